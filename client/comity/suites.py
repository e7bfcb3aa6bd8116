"""The one table of cipher suites, and the raw keys that belong to them (design 03, "Suites" and "Rules").

Rules in order:
1. A key has one suite and one role; nothing in a message chooses an algorithm, the directory does.
2. A signature of a suite is valid only when *all* its halves verify over the same PAE bytes, which name the suite; the
   context string of ML-DSA is the whole PAE label. Halves are never listed or accepted alone.
3. Ed25519 is libsodium's (PyNaCl). Before it is called, a key or an R is refused whose y, sign bit cleared, is not below
   p, or is 0, 1, p - 1 or one of the two of order 8: with this rule libraries give one verdict on hostile input.
4. HPKE is base mode, single shot; the interface has no additional data, so all context goes into `info` (4 KiB at most).
5. A fingerprint is SHA-384(PAE(key, role, suite, public key)); X.509 keys take part as SPKI DER with suite 0.
6. No classical-only suite, no fallback: an unknown suite is refused.

Wire forms: hybrid KEM key = ML-KEM-768 ek (1184) || X25519 (32); hybrid signing key = Ed25519 (32) || ML-DSA-65 (1952);
hybrid signature = Ed25519 (64) || ML-DSA-65 (3309); the cnsa suite has bare ML-KEM-1024 and ML-DSA-87 forms.
Private forms are seeds: X-Wing's 32-byte decapsulation key, ML-KEM's d || z (64), Ed25519 seed || ML-DSA seed (64),
ML-DSA seed (32).

    >>> secret = generate_signing(Suite.HYBRID)
    >>> signature = secret.sign("statement", int(Suite.HYBRID), b"body")
    >>> verify_signature(Suite.HYBRID, secret.public, "statement", pae("statement", 1, b"body"), signature)
    True
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mldsa import (
    MLDSA65PrivateKey,
    MLDSA65PublicKey,
    MLDSA87PrivateKey,
    MLDSA87PublicKey,
)
from cryptography.hazmat.primitives.asymmetric.mlkem import (
    MLKEM768PrivateKey,
    MLKEM768PublicKey,
    MLKEM1024PrivateKey,
    MLKEM1024PublicKey,
)
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import BadSignatureError

from comity.errors import ErrorCode, MalformedError, RejectedError, UsageError
from comity.pae import Item, label, pae

RandomBytes = Callable[[int], bytes]
FINGERPRINT_SIZE: Final = 48
INFO_LIMIT: Final = 4096

_ED25519_KEY: Final = 32
_ED25519_SIGNATURE: Final = 64
_MLKEM768_KEY: Final = 1184
_P: Final = 2**255 - 19
_ORDER_8: Final = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_REFUSED_Y: Final = frozenset({0, 1, _P - 1, _ORDER_8, _P - _ORDER_8})


class Suite(IntEnum):
    """Suite numbers on the wire; `X509` is the number of TLS and issuing keys inside fingerprints only."""

    X509 = 0
    HYBRID = 0x0001
    CNSA = 0x0002


class KeyRole(StrEnum):
    """What a key is for. A key has exactly one role, and its fingerprint covers it."""

    ROOT = "root"
    DIRECTORY = "directory"
    X509_ISSUING = "x509-issuing"
    NODE_SIGNING = "node-signing"
    NODE_KEM = "node-kem"
    NODE_TLS = "node-tls"
    OFFICER_SIGNING = "officer-signing"
    OFFICER_TLS = "officer-tls"
    BROKER_TLS = "broker-tls"
    BROKER_SIGNING = "broker-signing"
    LOG = "log"
    WITNESS = "witness"


@dataclass(frozen=True, slots=True)
class SuiteSpec:
    """One row of the table: names, sizes in bytes of what travels, and the HPKE suite."""

    suite: Suite
    word: str
    signing_public_size: int
    signing_private_size: int
    signature_size: int
    kem_public_size: int
    kem_private_size: int
    encapsulation_size: int
    hpke: hpke.Suite

    @property
    def packet_size(self) -> int:
        """Give the size of a key packet: the encapsulation, a 32-byte key and the tag."""
        return self.encapsulation_size + 32 + 16


SUITES: Final[dict[int, SuiteSpec]] = {
    Suite.HYBRID: SuiteSpec(
        suite=Suite.HYBRID,
        word="hybrid",
        signing_public_size=_ED25519_KEY + 1952,
        signing_private_size=64,
        signature_size=_ED25519_SIGNATURE + 3309,
        kem_public_size=_MLKEM768_KEY + 32,
        kem_private_size=32,
        encapsulation_size=1120,
        hpke=hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM),
    ),
    Suite.CNSA: SuiteSpec(
        suite=Suite.CNSA,
        word="cnsa",
        signing_public_size=2592,
        signing_private_size=32,
        signature_size=4627,
        kem_public_size=1568,
        kem_private_size=64,
        encapsulation_size=1568,
        hpke=hpke.Suite(hpke.KEM.MLKEM1024, hpke.KDF.HKDF_SHA384, hpke.AEAD.AES_256_GCM),
    ),
}


def spec(suite: int) -> SuiteSpec:
    """Give the table's row; raises MalformedError for a suite that is not in it."""
    row = SUITES.get(suite)
    if row is None:
        raise MalformedError(f"suite {suite:#06x} is not known here", code=ErrorCode.SUITE_NOT_ALLOWED)
    return row


def by_word(word: str) -> Suite:
    """Give the suite that agreements and commands call `word`; raises UsageError."""
    for row in SUITES.values():
        if row.word == word:
            return row.suite
    raise UsageError(f"no suite is called {word!r}", what_to_do="Suites are: hybrid, cnsa.")


def fingerprint(role: KeyRole | str, suite: int, public: bytes) -> bytes:
    """Give the 48-byte fingerprint of a key; raises ValueError for a role that does not exist."""
    return hashlib.sha384(pae("key", KeyRole(role).value, int(suite), public)).digest()


# --- Ed25519 --------------------------------------------------------------------------------------------------------


def ed25519_point_is_refused(encoded: bytes) -> bool:
    """Say whether an encoded point (a key, or the R of a signature) is refused before any library sees it."""
    y = int.from_bytes(encoded, "little") & ((1 << 255) - 1)
    return y >= _P or y in _REFUSED_Y


def ed25519_verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Verify one Ed25519 signature by rule 3. Also used alone for the C2SP keys of logs, which are no suite's half."""
    if len(public) != _ED25519_KEY or len(signature) != _ED25519_SIGNATURE:
        return False
    if ed25519_point_is_refused(public) or ed25519_point_is_refused(signature[:32]):
        return False
    try:
        crypto_sign_open(signature + message, public)
    except BadSignatureError:
        return False
    return True


# --- signatures -----------------------------------------------------------------------------------------------------


class SigningSecret:
    """A raw private signing key of a suite. Its text form shows the suite only."""

    __slots__ = ("_ed25519", "_mldsa", "_private", "public", "suite")

    def __init__(self, suite: int, private: bytes) -> None:
        row = spec(suite)
        if len(private) != row.signing_private_size:
            raise MalformedError(f"a private signing key of suite {row.word} has {row.signing_private_size} bytes")
        self.suite = row.suite
        self._private = private
        self._ed25519 = b""
        self._mldsa: MLDSA65PrivateKey | MLDSA87PrivateKey
        if row.suite is Suite.HYBRID:
            ed25519_public, self._ed25519 = crypto_sign_seed_keypair(private[:32])
            self._mldsa = MLDSA65PrivateKey.from_seed_bytes(private[32:])
            self.public = ed25519_public + self._mldsa.public_key().public_bytes_raw()
        else:
            self._mldsa = MLDSA87PrivateKey.from_seed_bytes(private)
            self.public = self._mldsa.public_key().public_bytes_raw()

    def sign(self, purpose: str, *items: Item) -> bytes:
        """Sign PAE(purpose, items); the items must name the suite, themselves or inside the record they carry."""
        message = pae(purpose, *items)
        signature = self._mldsa.sign(message, label(purpose))
        if self.suite is Suite.HYBRID:
            return crypto_sign(message, self._ed25519)[:_ED25519_SIGNATURE] + signature
        return signature

    def to_private_bytes(self) -> bytes:
        """Give the seeds, for an encrypted key file."""
        return self._private

    @classmethod
    def from_private_bytes(cls, suite: int, data: bytes) -> SigningSecret:
        """Rebuild a key from `to_private_bytes`; raises MalformedError."""
        return cls(suite, data)

    def __repr__(self) -> str:
        return f"SigningSecret(suite={self.suite.name})"


def generate_signing(suite: int, random_bytes: RandomBytes = os.urandom) -> SigningSecret:
    """Make a fresh signing key."""
    return SigningSecret(suite, random_bytes(spec(suite).signing_private_size))


def verify_signature(suite: int, public: bytes, purpose: str, message_pae: bytes, signature: bytes) -> bool:
    """Say whether every half of `signature` is valid over `message_pae`, which PAE(purpose, ...) made.

    Gives False for keys and signatures of a wrong size or form, for an unknown suite, and for bytes whose label is not
    `purpose`. Never raises for hostile bytes.
    """
    row = SUITES.get(suite)
    context = label(purpose)
    if row is None or len(public) != row.signing_public_size or len(signature) != row.signature_size:
        return False
    if message_pae[8:16] != len(context).to_bytes(8, "big") or message_pae[16 : 16 + len(context)] != context:
        return False
    if row.suite is Suite.HYBRID:
        if not ed25519_verify(public[:_ED25519_KEY], message_pae, signature[:_ED25519_SIGNATURE]):
            return False
        public, signature = public[_ED25519_KEY:], signature[_ED25519_SIGNATURE:]
    try:
        _mldsa_public(row.suite, public).verify(signature, message_pae, context)
    except (InvalidSignature, ValueError):
        return False
    return True


@lru_cache(maxsize=256)
def _mldsa_public(suite: Suite, public: bytes) -> MLDSA65PublicKey | MLDSA87PublicKey:
    if suite is Suite.HYBRID:
        return MLDSA65PublicKey.from_public_bytes(public)
    return MLDSA87PublicKey.from_public_bytes(public)


def check_signing_public(suite: int, public: bytes) -> None:
    """Check a signing key before a directory lists it; raises MalformedError."""
    row = spec(suite)
    if len(public) != row.signing_public_size:
        raise MalformedError(f"a signing key of suite {row.word} has {row.signing_public_size} bytes")
    if row.suite is Suite.HYBRID:
        if ed25519_point_is_refused(public[:_ED25519_KEY]):
            raise MalformedError("the Ed25519 half of a signing key is not canonical or of small order")
        public = public[_ED25519_KEY:]
    try:
        _mldsa_public(row.suite, public)
    except ValueError as error:
        raise MalformedError("the ML-DSA part of a signing key does not decode") from error


# --- key encapsulation ----------------------------------------------------------------------------------------------


class KemSecret:
    """A raw private KEM key of a suite. Its text form shows the suite only."""

    __slots__ = ("_key", "_private", "public", "suite")

    def __init__(self, suite: int, private: bytes) -> None:
        row = spec(suite)
        if len(private) != row.kem_private_size:
            raise MalformedError(f"a private KEM key of suite {row.word} has {row.kem_private_size} bytes")
        self.suite = row.suite
        self._private = private
        self._key: hpke.MLKEM768X25519PrivateKey | MLKEM1024PrivateKey
        if row.suite is Suite.HYBRID:
            expanded = hashlib.shake_256(private).digest(96)
            mlkem, x25519 = (
                MLKEM768PrivateKey.from_seed_bytes(expanded[:64]),
                X25519PrivateKey.from_private_bytes(expanded[64:]),
            )
            self._key = hpke.MLKEM768X25519PrivateKey(mlkem, x25519)
            self.public = mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
        else:
            self._key = MLKEM1024PrivateKey.from_seed_bytes(private)
            self.public = self._key.public_key().public_bytes_raw()

    def decapsulate(self, packet: bytes, info: bytes) -> bytes:
        """Open what `encapsulate` sealed under the same `info`; raises RejectedError, with one reason for all."""
        if len(info) > INFO_LIMIT:
            raise RejectedError("hpke: info over 4 KiB")
        try:
            return spec(self.suite).hpke.decrypt(packet, self._key, info=info)
        except (InvalidTag, ValueError) as error:
            raise RejectedError("hpke: does not open") from error

    def to_private_bytes(self) -> bytes:
        """Give the seed, for an encrypted key file."""
        return self._private

    @classmethod
    def from_private_bytes(cls, suite: int, data: bytes) -> KemSecret:
        """Rebuild a key from `to_private_bytes`; raises MalformedError."""
        return cls(suite, data)

    def __repr__(self) -> str:
        return f"KemSecret(suite={self.suite.name})"


def generate_kem(suite: int, random_bytes: RandomBytes = os.urandom) -> KemSecret:
    """Make a fresh KEM key."""
    return KemSecret(suite, random_bytes(spec(suite).kem_private_size))


def encapsulate(suite: int, public: bytes, plaintext: bytes, info: bytes) -> bytes:
    """Seal `plaintext` to a KEM key, bound to `info`; raises MalformedError for a key that is none, or a long info."""
    if len(info) > INFO_LIMIT:
        raise MalformedError("HPKE info is over 4 KiB", code=ErrorCode.LIMIT_EXCEEDED)
    row = spec(suite)
    try:
        return row.hpke.encrypt(plaintext, _kem_public(row.suite, public), info=info)
    except ValueError as error:
        raise MalformedError("the KEM key cannot be sealed to") from error


def check_kem_public(suite: int, public: bytes) -> None:
    """Check a KEM key before a directory lists it, by sealing to it once; raises MalformedError."""
    encapsulate(suite, public, b"", b"")


def _kem_public(suite: Suite, public: bytes) -> hpke.MLKEM768X25519PublicKey | MLKEM1024PublicKey:
    row = spec(suite)
    if len(public) != row.kem_public_size:
        raise MalformedError(f"a KEM key of suite {row.word} has {row.kem_public_size} bytes")
    try:
        if row.suite is Suite.HYBRID:
            return hpke.MLKEM768X25519PublicKey(
                MLKEM768PublicKey.from_public_bytes(public[:_MLKEM768_KEY]),
                X25519PublicKey.from_public_bytes(public[_MLKEM768_KEY:]),
            )
        return MLKEM1024PublicKey.from_public_bytes(public)
    except ValueError as error:
        raise MalformedError("the KEM key does not decode") from error
