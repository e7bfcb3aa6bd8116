"""What travels between an identity's machine and its party's: a request, and what was issued for it (design 03, "Keys").

A *request* names a node, officer or broker, its public keys, and a certificate request signed by its TLS key. It is no
statement: nothing in it counts before the party signs. What was *issued* is the signed bundle or accreditation, the leaf
certificate, and the certificate of the authority that issued it. Both are files of canonical JSON, and hostile until read:

1. Exactly the keys below, everything bounded.
2. The certificate request names this identity's TLS key, which is among the keys, and is signed by it.
3. A leaf was issued by the authority beside it, for the identity and with a TLS key that the statement lists.

    {"identity": "XAR/n1", "kind": "node", "keys": [{"public", "role", "suite"}], "certificate_request": hex,
     "region": "xar", "offices": [], "communities": []}
    {"statement": statement, "certificate": hex, "authority": hex}

What only takes away (a revocation, an officer's withdrawal) needs no request: *statements* alone travel, for somebody with a
connection to publish. Whether they count, the broker decides.

    {"statements": [statement, ...]}
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from comity import canonical
from comity.errors import MalformedError, UsageError
from comity.identity.bodies import KEYS_LIMIT, WORDS_LIMIT, Listing, OfficerAccreditation, Revocation, read_body
from comity.identity.certificates import CERTIFICATE_LIMIT, check_leaf, read_authority
from comity.identity.fields import Fields, ascending
from comity.identity.listed import ListedKey, key_order
from comity.identity.names import Identity, IdentityKind, split_identity
from comity.keys.tls import spki_of_request, to_pem
from comity.statement import FILE_LIMIT as STATEMENT_LIMIT
from comity.statement import Statement, from_json, to_json
from comity.suites import KeyRole, Suite

FILE_LIMIT: Final = STATEMENT_LIMIT + (1 << 16)
STATEMENTS_LIMIT: Final = 16 << 20
STATEMENTS_COUNT: Final = 1024
_PUBLIC_LIMIT: Final = 4096
_REQUEST: Final = ("identity", "kind", "keys", "certificate_request", "region", "offices", "communities")
_ISSUED: Final = ("statement", "certificate", "authority")


@dataclass(frozen=True, slots=True)
class Request:
    """What an identity asks its party to issue. Region, offices and communities are wishes, of nodes and brokers."""

    identity: Identity
    keys: tuple[ListedKey, ...]
    certificate_request: bytes
    region: str = ""
    offices: tuple[str, ...] = ()
    communities: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        spki = spki_of_request(self.certificate_request)
        tls = self.identity.kind.tls_role
        if not any(key.role is tls and key.public == spki for key in self.keys):
            raise MalformedError(f"the request of {self.identity} lists another TLS key than it asks a certificate for")

    @property
    def spki(self) -> bytes:
        """Give the TLS key the certificate is for, SPKI DER."""
        return spki_of_request(self.certificate_request)


@dataclass(frozen=True, slots=True)
class Issued:
    """What a party issued for an identity; DER certificates."""

    statement: Statement
    certificate: bytes
    authority: bytes

    @property
    def certificate_pem(self) -> bytes:
        """Give the leaf as PEM."""
        return to_pem((self.certificate,))

    def listing(self, now_ms: int) -> Listing:
        """Give what the statement lists, after rule 3; raises MalformedError, or KeyFault for a clock or an issuer."""
        listing = read_body(self.statement)
        if not isinstance(listing, Listing):
            raise MalformedError("what was issued is neither a bundle nor an accreditation")
        leaf = check_leaf(self.certificate, read_authority(self.authority), now_ms)
        identity = listing.identity
        listed = {key.public for key in listing.keys if key.role is identity.kind.tls_role}
        if (leaf.spiffe.kind, leaf.spiffe.name) != (identity.kind, identity.name) or leaf.spki not in listed:
            raise MalformedError(f"the certificate that was issued is not that of {identity}")
        return listing


def encode_request(request: Request) -> bytes:
    """Encode a request as a file."""
    keys = [
        {"role": key.role.value, "suite": int(key.suite), "public": key.public.hex()}
        for key in sorted(request.keys, key=key_order)
    ]
    return canonical.dumps(
        {
            "identity": str(request.identity),
            "kind": request.identity.kind.value,
            "keys": keys,
            "certificate_request": request.certificate_request.hex(),
            "region": request.region,
            "offices": ascending(request.offices),
            "communities": ascending(request.communities),
        }
    )


def decode_request(data: bytes) -> Request:
    """Read what `encode_request` writes; raises MalformedError."""
    fields = Fields(canonical.load_object(data, limit=FILE_LIMIT), "request", _REQUEST)
    party, name = split_identity(fields.text("identity", str))
    kind = IdentityKind(fields.text("kind", _one_of(IdentityKind)))
    keys = [
        ListedKey(
            KeyRole(part.text("role", _one_of(KeyRole))),
            part.number("suite", most=max(Suite)),
            part.data("public", limit=_PUBLIC_LIMIT),
        )
        for part in fields.parts("keys", KEYS_LIMIT, ("role", "suite", "public"))
    ]
    return Request(
        identity=Identity(party, kind, name),
        keys=tuple(keys),
        certificate_request=fields.data("certificate_request", limit=CERTIFICATE_LIMIT),
        region=fields.text("region", str),
        offices=fields.texts("offices", WORDS_LIMIT, str),
        communities=fields.texts("communities", WORDS_LIMIT, str),
    )


def encode_issued(issued: Issued) -> bytes:
    """Encode what was issued as a file."""
    return canonical.dumps(
        {
            "statement": to_json(issued.statement),
            "certificate": issued.certificate.hex(),
            "authority": issued.authority.hex(),
        }
    )


def decode_issued(data: bytes) -> Issued:
    """Read what `encode_issued` writes; raises MalformedError."""
    value = canonical.load_object(data, limit=FILE_LIMIT)
    fields = Fields(value, "issued", _ISSUED)
    return Issued(
        statement=from_json(value["statement"]),
        certificate=fields.data("certificate", limit=CERTIFICATE_LIMIT),
        authority=fields.data("authority", limit=CERTIFICATE_LIMIT),
    )


def encode_statements(statements: Sequence[Statement]) -> bytes:
    """Encode statements as a file; raises UsageError for more than one holds."""
    if len(statements) > STATEMENTS_COUNT:
        raise UsageError(f"one file holds at most {STATEMENTS_COUNT} statements, these are {len(statements)}")
    return canonical.dumps({"statements": [to_json(one) for one in statements]})


def decode_statements(data: bytes, identity: Identity) -> tuple[Statement, ...]:
    """Read what `encode_statements` writes: revocations and withdrawals of an identity's party.

    Raises MalformedError for anything else, UsageError where it takes nothing from this identity or its party.
    """
    value = canonical.load_object(data, limit=STATEMENTS_LIMIT)
    listed = value.get("statements")
    if set(value) != {"statements"} or not isinstance(listed, list) or not 0 < len(listed) <= STATEMENTS_COUNT:
        raise MalformedError(f"a file of statements is an object of 'statements', 1 to {STATEMENTS_COUNT}")
    statements = tuple(from_json(one) for one in listed)
    for statement in statements:
        body = read_body(statement)
        withdrawal = isinstance(body, OfficerAccreditation) and not body.roles and body.identity == identity
        if not isinstance(body, Revocation) and not withdrawal:
            raise MalformedError(f"the file holds something else than what takes keys or roles from {identity}")
        if body.party != identity.party:
            raise UsageError(f"the statements are of {body.party}, not of {identity.party}")
    return statements


def _one_of(words: type[IdentityKind | KeyRole]) -> Callable[[str], str]:
    def check(text: str) -> str:
        if text not in {word.value for word in words}:
            raise MalformedError(f"not one of {', '.join(word.value for word in words)}")
        return text

    return check
