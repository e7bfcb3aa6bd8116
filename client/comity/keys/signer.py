"""The two protocols behind which private keys sit: what signs, and what opens key packets.

A key may lie in an encrypted file (`files`), in memory for a test, or in a device. Whoever uses one sees its suite, its
public half and its fingerprint, never the private bytes.
"""

from __future__ import annotations

from typing import Protocol

from comity.errors import RejectedError
from comity.pae import Item
from comity.suites import KemSecret, KeyRole, SigningSecret, Suite, fingerprint


class Signer(Protocol):
    """Something that signs with one key of one suite and one role."""

    @property
    def suite(self) -> Suite:
        """Give the key's suite."""

    @property
    def public(self) -> bytes:
        """Give the public key in its wire form."""

    @property
    def fingerprint(self) -> bytes:
        """Give the key's 48-byte fingerprint."""

    def sign(self, purpose: str, *items: Item) -> bytes:
        """Sign PAE(purpose, items), with every half the suite has. May be called from a worker thread."""


class Decapsulator(Protocol):
    """Something that opens what was sealed to one KEM key."""

    @property
    def suite(self) -> Suite:
        """Give the key's suite."""

    @property
    def public(self) -> bytes:
        """Give the public key in its wire form."""

    @property
    def fingerprint(self) -> bytes:
        """Give the key's 48-byte fingerprint."""

    def decapsulate(self, suite: int, packet: bytes, info: bytes) -> bytes:
        """Open a packet of this suite; raises RejectedError for another suite or a packet that does not open."""


class SoftSigner:
    """A signer whose key lies in this process."""

    __slots__ = ("_secret", "fingerprint", "public", "suite")

    def __init__(self, secret: SigningSecret, role: KeyRole) -> None:
        self._secret = secret
        self.suite = secret.suite
        self.public = secret.public
        self.fingerprint = fingerprint(role, secret.suite, secret.public)

    def sign(self, purpose: str, *items: Item) -> bytes:
        """Sign PAE(purpose, items)."""
        return self._secret.sign(purpose, *items)


class SoftDecapsulator:
    """A decapsulator whose key lies in this process."""

    __slots__ = ("_secret", "fingerprint", "public", "suite")

    def __init__(self, secret: KemSecret, role: KeyRole = KeyRole.NODE_KEM) -> None:
        self._secret = secret
        self.suite = secret.suite
        self.public = secret.public
        self.fingerprint = fingerprint(role, secret.suite, secret.public)

    def decapsulate(self, suite: int, packet: bytes, info: bytes) -> bytes:
        """Open a packet of this suite; raises RejectedError."""
        if suite != self.suite:
            raise RejectedError("hpke: the packet's suite is not the key's")
        return self._secret.decapsulate(packet, info)
