"""Keys of logs and witnesses: bare C2SP keys, which are of no suite (design 05, "Format").

A private key is a type byte (01 Ed25519, 06 ML-DSA-44) and a 32-byte seed; the public key is the type byte and the key, as
a broker's bundle lists it. What is signed, and the blob around a signature, belong to the note formats, not here.
"""

from __future__ import annotations

import os
from typing import Final

from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from nacl.bindings import crypto_sign, crypto_sign_seed_keypair

from comity.errors import MalformedError
from comity.identity.listed import LOG_ED25519, LOG_MLDSA44
from comity.suites import KeyRole, RandomBytes, Suite, fingerprint

SEED_BYTES: Final = 32
_ED25519_SIGNATURE: Final = 64


class LogSecret:
    """A private key of a log or witness. Its text form shows its type only."""

    __slots__ = ("_ed25519", "_mldsa", "_private", "public")

    def __init__(self, private: bytes) -> None:
        if len(private) != 1 + SEED_BYTES or private[0] not in {LOG_ED25519, LOG_MLDSA44}:
            raise MalformedError("a private log key is a type byte, 01 or 06, and a seed of 32 bytes")
        self._private = private
        self._ed25519 = b""
        self._mldsa: MLDSA44PrivateKey | None = None
        if private[0] == LOG_ED25519:
            public, self._ed25519 = crypto_sign_seed_keypair(private[1:])
        else:
            self._mldsa = MLDSA44PrivateKey.from_seed_bytes(private[1:])
            public = self._mldsa.public_key().public_bytes_raw()
        self.public = private[:1] + public

    @classmethod
    def generate(cls, kind: int, random_bytes: RandomBytes = os.urandom) -> LogSecret:
        """Make a fresh key of type 01 or 06."""
        return cls(bytes([kind]) + random_bytes(SEED_BYTES))

    @property
    def kind(self) -> int:
        """Give the type byte."""
        return self._private[0]

    def fingerprint(self, role: KeyRole = KeyRole.LOG) -> bytes:
        """Give the 48-byte fingerprint of the key in that role."""
        return fingerprint(role, Suite.X509, self.public)

    def sign(self, message: bytes) -> bytes:
        """Sign exactly these bytes: 64 bytes of Ed25519, or 2420 of ML-DSA-44 with the empty context."""
        if self._mldsa is not None:
            return self._mldsa.sign(message)
        return crypto_sign(message, self._ed25519)[:_ED25519_SIGNATURE]

    def to_private_bytes(self) -> bytes:
        """Give type and seed, for an encrypted key file."""
        return self._private

    def __repr__(self) -> str:
        return f"LogSecret(kind={self.kind:#04x})"
