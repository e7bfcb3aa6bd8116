"""The keys of one identity, in memory, by role. A key is never shown: what comes out signs, opens or proves itself.

During a rotation a role has more than one key of a suite. Which of them counts the directory says, so whoever asks gives
the fingerprints of the newest listing as `among`; without them, several keys are an error, never a guess.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TypeVar

from comity.errors import KeyFault
from comity.identity.listed import LOG_ROLES, TLS_ROLES, ListedKey
from comity.keys.log_keys import LogSecret
from comity.keys.signer import SoftDecapsulator, SoftSigner
from comity.keys.tls import TlsSecret
from comity.suites import KemSecret, KeyRole, SigningSecret, Suite

Secret = SigningSecret | KemSecret | TlsSecret | LogSecret
S = TypeVar("S", SigningSecret, KemSecret, TlsSecret, LogSecret)


@dataclass(frozen=True, slots=True)
class HeldKey:
    """A private key, what it is for, and when it was made (Unix ms)."""

    listed: ListedKey
    secret: Secret
    created_at: int


class KeyRing:
    """Keys by role. Its text form shows roles only."""

    __slots__ = ("_keys",)

    def __init__(self, keys: Iterable[HeldKey]) -> None:
        self._keys = tuple(keys)

    def signer(
        self, role: KeyRole, suite: Suite | None = None, *, among: Collection[bytes] | None = None
    ) -> SoftSigner:
        """Give the signer of a role (and suite); raises KeyFault KEY_UNKNOWN when there is none, or more than one."""
        return SoftSigner(self._one(SigningSecret, role, suite, among), role)

    def signers(self, role: KeyRole) -> tuple[SoftSigner, ...]:
        """Give all signers of a role."""
        return tuple(
            SoftSigner(key.secret, role)
            for key in self._keys
            if key.listed.role is role and isinstance(key.secret, SigningSecret)
        )

    def decapsulators(self) -> dict[bytes, SoftDecapsulator]:
        """Give all KEM keys by fingerprint, those that are being rotated away too: they still open what was sealed to them."""
        return {
            key.listed.fingerprint: SoftDecapsulator(key.secret)
            for key in self._keys
            if isinstance(key.secret, KemSecret)
        }

    def tls(self, role: KeyRole, *, among: Collection[bytes] | None = None) -> TlsSecret:
        """Give the TLS or issuing key of a role; raises KeyFault KEY_UNKNOWN when there is none, or more than one."""
        return self._one(TlsSecret, role, None, among)

    def log_keys(self, role: KeyRole = KeyRole.LOG) -> tuple[LogSecret, ...]:
        """Give all keys of a log or witness."""
        return tuple(key.secret for key in self._keys if key.listed.role is role and isinstance(key.secret, LogSecret))

    def listed(self) -> tuple[ListedKey, ...]:
        """Give the public side of every key."""
        return tuple(key.listed for key in self._keys)

    def _one(self, kind: type[S], role: KeyRole, suite: Suite | None, among: Collection[bytes] | None) -> S:
        found: list[S] = []
        for key in self._keys:
            fits = key.listed.role is role and (suite is None or key.listed.suite == suite)
            if fits and isinstance(key.secret, kind) and (among is None or key.listed.fingerprint in among):
                found.append(key.secret)
        if len(found) == 1:
            return found[0]
        which = f"{role.value} key" if suite is None else f"{role.value} key of suite {suite.name}"
        if found:
            raise KeyFault(
                f"there are {len(found)} keys that could be the {which}; the newest listing says which counts"
            )
        raise KeyFault(
            f"there is no {which} here{'' if among is None else ' that the newest listing holds'}",
            what_to_do="Look at the identity's keys directory, or fetch the key log.",
        )

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(sorted(key.listed.role.value for key in self._keys))})"


def listed_key(role: KeyRole, secret: Secret) -> ListedKey:
    """Give the public side of a private key in a role; raises MalformedError for a kind of key the role does not have."""
    if isinstance(secret, TlsSecret):
        return ListedKey(role, Suite.X509, secret.spki)
    if isinstance(secret, LogSecret):
        return ListedKey(role, Suite.X509, secret.public)
    return ListedKey(role, secret.suite, secret.public)


def secret_from_bytes(role: KeyRole, suite: int, private: bytes) -> Secret:
    """Rebuild a private key of a role from its private bytes; raises MalformedError."""
    if role is KeyRole.NODE_KEM:
        return KemSecret.from_private_bytes(suite, private)
    if role in TLS_ROLES:
        return TlsSecret.from_private_bytes(private)
    if role in LOG_ROLES:
        return LogSecret(private)
    return SigningSecret.from_private_bytes(suite, private)
