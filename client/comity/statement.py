"""Statements: what people and machines of a party sign about keys, officers and agreements (design 03, "Three encodings").

Rules in order:
1. The body is one object in canonical JSON with a text member ``type``, at most 64 KiB; it is carried as its exact bytes.
2. A signature is over PAE(statement, suite, body bytes), where the suite is that of the signing key. Which key has which
   suite the directory says, never the statement.
3. One to eight signatures, each by another key, ascending by the key's fingerprint.
4. A statement's digest is SHA-384 of its body bytes: signatures may be added, the statement stays the same.

As JSON (in files and audit bodies) a statement is ``{"body": hex, "signatures": [{"key": hex, "signature": hex}]}``; as a
file it is that object in canonical JSON, so that one statement has one encoding.

    >>> from comity.keys.signer import SoftSigner
    >>> from comity.suites import KeyRole, generate_signing
    >>> signer = SoftSigner(generate_signing(1), KeyRole.ROOT)
    >>> statement = sign_statement({"type": "example"}, signer)
    >>> verify_signature_of(decode(encode(statement)), signer.fingerprint, 1, signer.public)
    True
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from comity import canonical
from comity.canonical import Json
from comity.errors import ErrorCode, MalformedError, UsageError
from comity.pae import Item, pae
from comity.suites import FINGERPRINT_SIZE, SUITES, Suite, verify_signature

BODY_LIMIT: Final = 1 << 16
SIGNATURES_LIMIT: Final = 8
SIGNATURE_BYTES: Final = max(row.signature_size for row in SUITES.values())
FILE_LIMIT: Final = 2 * (BODY_LIMIT + SIGNATURES_LIMIT * (FINGERPRINT_SIZE + SIGNATURE_BYTES + 32)) + 64
DIGEST_BYTES: Final = 48

_TYPE: Final = re.compile(r"[a-z][a-z0-9-]{0,63}")


class StatementSigner(Protocol):
    """What signs a statement: one key of one suite and role (``comity.keys.signer.Signer`` is one)."""

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
        """Sign PAE(purpose, items)."""


@dataclass(frozen=True, slots=True)
class StatementSignature:
    """One signature and the 48-byte fingerprint of the key that made it."""

    key: bytes
    signature: bytes

    def __post_init__(self) -> None:
        if len(self.key) != FINGERPRINT_SIZE:
            raise MalformedError(f"a statement's key fingerprint has {FINGERPRINT_SIZE} bytes")
        if not 0 < len(self.signature) <= SIGNATURE_BYTES:
            raise MalformedError(f"a statement's signature has 1 to {SIGNATURE_BYTES} bytes")


@dataclass(frozen=True, slots=True)
class Statement:
    """Signed bytes. Its form is checked when it is made (MalformedError); that a signature is valid is not."""

    body: bytes
    signatures: tuple[StatementSignature, ...]

    def __post_init__(self) -> None:
        _checked_fields(self.body)
        if not self.signatures:
            raise MalformedError("a statement has a signature")
        if len(self.signatures) > SIGNATURES_LIMIT:
            raise _over_limit(len(self.signatures), SIGNATURES_LIMIT, "signatures")
        keys = [one.key for one in self.signatures]
        if any(keys[i] >= keys[i + 1] for i in range(len(keys) - 1)):
            raise MalformedError("a statement's signatures are not strictly ascending by key")

    @property
    def digest(self) -> bytes:
        """Give the 48-byte digest of the body."""
        return statement_digest(self.body)

    @property
    def fields(self) -> dict[str, Json]:
        """Give the body's object, parsed anew at each call."""
        return _checked_fields(self.body)

    @property
    def type(self) -> str:
        """Give the body's ``type``."""
        return str(self.fields["type"])

    def signature_of(self, key: bytes) -> bytes | None:
        """Give the signature by the key with this fingerprint; None where there is none."""
        for one in self.signatures:
            if one.key == key:
                return one.signature
        return None


def statement_digest(body: bytes) -> bytes:
    """Give SHA-384 of a statement's body bytes."""
    return hashlib.sha384(body).digest()


def sign_statement(body: Mapping[str, object], *signers: StatementSigner) -> Statement:
    """Encode and sign a body with each signer; raises MalformedError for a body that cannot be a statement's."""
    encoded = canonical.dumps(dict(body))
    _checked_fields(encoded)
    return Statement(encoded, _signatures(encoded, (), signers))


def cosign(statement: Statement, *signers: StatementSigner) -> Statement:
    """Give the same statement with further signatures; raises UsageError when a signer signed it before."""
    return Statement(statement.body, _signatures(statement.body, statement.signatures, signers))


def verify_signature_of(statement: Statement, key: bytes, suite: int, public: bytes) -> bool:
    """Say whether the key with this fingerprint, of which the directory knows suite and public key, signed it validly."""
    signature = statement.signature_of(key)
    if signature is None:
        return False
    return verify_signature(suite, public, "statement", pae("statement", int(suite), statement.body), signature)


def to_json(statement: Statement) -> dict[str, Json]:
    """Give the JSON object of a statement."""
    signatures: list[Json] = [{"key": one.key.hex(), "signature": one.signature.hex()} for one in statement.signatures]
    return {"body": statement.body.hex(), "signatures": signatures}


def from_json(value: Json) -> Statement:
    """Read the JSON object of a statement; raises MalformedError."""
    if not isinstance(value, dict) or set(value) != {"body", "signatures"}:
        raise MalformedError("a statement is an object of 'body' and 'signatures'")
    listed = value["signatures"]
    if not isinstance(listed, list):
        raise MalformedError("a statement's signatures are a list")
    if len(listed) > SIGNATURES_LIMIT:
        raise _over_limit(len(listed), SIGNATURES_LIMIT, "signatures")
    return Statement(_unhex(value["body"], BODY_LIMIT), tuple(_signature(one) for one in listed))


def encode(statement: Statement) -> bytes:
    """Give a statement as a file: the JSON object in canonical form."""
    return canonical.dumps(to_json(statement))


def decode(data: bytes) -> Statement:
    """Read exactly what `encode` writes; raises MalformedError."""
    return from_json(canonical.loads(data, limit=FILE_LIMIT))


def _checked_fields(body: bytes) -> dict[str, Json]:
    fields = canonical.load_object(body, limit=BODY_LIMIT)
    kind = fields.get("type")
    if not isinstance(kind, str) or not _TYPE.fullmatch(kind):
        raise MalformedError("a statement's body has no 'type', or one that is no word")
    return fields


def _signatures(
    body: bytes, before: tuple[StatementSignature, ...], signers: tuple[StatementSigner, ...]
) -> tuple[StatementSignature, ...]:
    keys = [*(one.key for one in before), *(signer.fingerprint for signer in signers)]
    if len(set(keys)) != len(keys):
        raise UsageError("one key signs a statement twice")
    added = (
        StatementSignature(signer.fingerprint, signer.sign("statement", int(signer.suite), body)) for signer in signers
    )
    return tuple(sorted((*before, *added), key=lambda one: one.key))


def _signature(value: Json) -> StatementSignature:
    if not isinstance(value, dict) or set(value) != {"key", "signature"}:
        raise MalformedError("a statement's signature is an object of 'key' and 'signature'")
    return StatementSignature(_unhex(value["key"], FINGERPRINT_SIZE), _unhex(value["signature"], SIGNATURE_BYTES))


def _unhex(value: Json, limit: int) -> bytes:
    if not isinstance(value, str) or not canonical.is_hex(value):
        raise MalformedError("a statement's bytes are lower-case hexadecimal")
    if len(value) > 2 * limit:
        raise _over_limit(len(value) // 2, limit, "bytes in one part")
    return bytes.fromhex(value)


def _over_limit(got: int, limit: int, what: str) -> MalformedError:
    return MalformedError(f"a statement has {got} {what}, at most {limit}", code=ErrorCode.LIMIT_EXCEEDED)
