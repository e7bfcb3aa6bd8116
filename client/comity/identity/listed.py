"""A public key as a statement lists it: role, suite, bytes and fingerprint, checked when it is made.

A signing key decodes, its Ed25519 half is canonical and not of small order; a KEM key was sealed to once, which finds an
X25519 half of small order; a TLS key is the one SPKI DER of a P-256 key; a log or witness key is a C2SP key, bare: a type
byte (01 Ed25519, 06 ML-DSA-44) and the key (design 05).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

from comity.errors import MalformedError
from comity.identity.certificates import check_spki
from comity.suites import (
    KeyRole,
    Suite,
    check_kem_public,
    check_signing_public,
    ed25519_point_is_refused,
    fingerprint,
)

LOG_ED25519: Final = 0x01
LOG_MLDSA44: Final = 0x06
_LOG_KEY_SIZES: Final = {LOG_ED25519: 32, LOG_MLDSA44: 1312}
TLS_ROLES: Final = frozenset({KeyRole.X509_ISSUING, KeyRole.NODE_TLS, KeyRole.OFFICER_TLS, KeyRole.BROKER_TLS})
LOG_ROLES: Final = frozenset({KeyRole.LOG, KeyRole.WITNESS})


@dataclass(frozen=True, slots=True)
class ListedKey:
    """A public key and what it is for; making one checks it (MalformedError). TLS and log keys have suite 0."""

    role: KeyRole
    suite: int
    public: bytes
    fingerprint: bytes = field(init=False)

    def __post_init__(self) -> None:
        check_key(self.role, self.suite, self.public)
        object.__setattr__(self, "fingerprint", fingerprint(self.role, self.suite, self.public))


def check_key(role: KeyRole, suite: int, public: bytes) -> None:
    """Check a public key of a role; raises MalformedError."""
    if role is KeyRole.NODE_KEM:
        check_kem_public(suite, public)
    elif role in LOG_ROLES:
        _require_suite_zero(role, suite)
        _check_log_key(public)
    elif role in TLS_ROLES:
        _require_suite_zero(role, suite)
        check_spki(public)
    else:
        check_signing_public(suite, public)


def key_order(key: ListedKey) -> tuple[str, int, bytes]:
    """Give what the keys of a body are sorted by."""
    return key.role.value, int(key.suite), key.public


def _check_log_key(public: bytes) -> None:
    if not public or _LOG_KEY_SIZES.get(public[0]) != len(public) - 1:
        raise MalformedError("a log key is a type byte, 01 or 06, and an Ed25519 or ML-DSA-44 key")
    if public[0] == LOG_ED25519:
        if ed25519_point_is_refused(public[1:]):
            raise MalformedError("the Ed25519 key of a log is not canonical or of small order")
        return
    try:
        MLDSA44PublicKey.from_public_bytes(public[1:])
    except ValueError as error:
        raise MalformedError("the ML-DSA-44 key of a log does not decode") from error


def _require_suite_zero(role: KeyRole, suite: int) -> None:
    if suite != Suite.X509:
        raise MalformedError(f"a key of role {role.value} has suite 0")
