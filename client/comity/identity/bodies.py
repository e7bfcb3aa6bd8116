"""Statements about keys, read strictly into frozen values (design 03, "Keys and trust").

A body is a closed table of keys per type; a missing or unknown key refuses. Times are Unix milliseconds, bytes lower-case
hexadecimal, sets ascending. Reading says what a statement claims; who may claim it is `comity.identity.directory`'s.

| type | further keys | signed by |
|---|---|---|
| party-card | party, name, jurisdiction, trust_domain, root {suite, public}, issued_at | root |
| directory-key | party, suite, public, issuing_certificate, valid_from, valid_until, sequence | root |
| node-bundle | party, node, region, offices, communities, keys, accreditation, valid_from, valid_until, sequence | directory key |
| broker-bundle | party, broker, region, keys, valid_from, valid_until, sequence | directory key |
| officer-accreditation | party, officer, keys, roles, agreements, offices, communities, clearance, valid_from, valid_until, sequence | directory key; with the role plenipotentiary the root as well |
| revocation | party, key, reason, compromised_at, issued_at | root, directory key, or the key itself |
| node-capabilities | see `comity.identity.capabilities` | the node's signing key |

Keys are checked as they are read (`comity.identity.listed`). In one listing a suite has at most one signing key and one KEM
key; a node's signing and KEM keys are of the same suites; two TLS keys may stand side by side while one replaces the other.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from comity.errors import MalformedError
from comity.identity import capabilities
from comity.identity.capabilities import NodeCapabilities
from comity.identity.certificates import Authority, read_authority
from comity.identity.fields import Fields, word_of
from comity.identity.listed import ListedKey, key_order
from comity.identity.names import Identity, IdentityKind, check_name, check_party, check_trust_domain, split_identity
from comity.pae import pae
from comity.statement import Statement
from comity.suites import FINGERPRINT_SIZE, KeyRole, Suite
from comity_policy.facts import Role

DIRECTORY_DAYS: Final = 90
DAY_MS: Final = 86_400_000
KEYS_LIMIT: Final = 16
WORDS_LIMIT: Final = 64
AGREEMENTS_LIMIT: Final = 256
TLS_KEYS_LIMIT: Final = 2
PUBLIC_LIMIT: Final = 4096

_LEVEL: Final = 64
_REASON: Final = 200
_WORD: Final = word_of(re.compile(r"[a-z0-9][a-z0-9-]{0,62}"), "a word (lower-case letters, digits and hyphens)")
_AGREEMENT: Final = word_of(re.compile(r"[A-Z0-9][A-Z0-9-]{1,63}"), "an agreement id")
_JURISDICTION: Final = 64
_OFFICER_ROLES: Final = {role.word: role for role in Role if role is not Role.NODE}
_ATTESTATION: Final = ("level", "by", "until")
_VALIDITY: Final = ("valid_from", "valid_until", "sequence")


@dataclass(frozen=True, slots=True)
class Attestation:
    """An accreditation (of a node's system) or clearance (of an officer): a level of the own party, by whom, until when."""

    level: str
    by: str
    until: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PartyCard:
    """A party and its root key. Trust is a person's act: whoever holds one compared its words over a second channel."""

    party: str
    name: str
    jurisdiction: str
    trust_domain: str
    root: ListedKey
    issued_at: int
    statement: Statement

    @property
    def root_fingerprint(self) -> bytes:
        """Give the 48-byte fingerprint that agreements pin and people read aloud."""
        return self.root.fingerprint


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryKey:
    """A party's directory key and its X.509 authority, for at most 90 days."""

    party: str
    key: ListedKey
    authority: Authority
    valid_from: int
    valid_until: int
    sequence: int

    @property
    def keys(self) -> tuple[ListedKey, ...]:
        """Give both keys it lists."""
        return (self.key, ListedKey(KeyRole.X509_ISSUING, Suite.X509, self.authority.spki))


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeBundle:
    """A node's keys and attested facts. `key_set` is SHA-384(PAE(key-set, body bytes)): what envelopes name."""

    party: str
    node: str
    region: str
    offices: frozenset[str]
    communities: frozenset[str]
    keys: tuple[ListedKey, ...]
    accreditation: Attestation | None
    valid_from: int
    valid_until: int
    sequence: int
    key_set: bytes

    @property
    def identity(self) -> Identity:
        """Give whose keys they are."""
        return Identity(self.party, IdentityKind.NODE, self.node)


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerBundle:
    """A broker's keys; log keys stand bare, as type byte and key."""

    party: str
    broker: str
    region: str
    keys: tuple[ListedKey, ...]
    valid_from: int
    valid_until: int
    sequence: int

    @property
    def identity(self) -> Identity:
        """Give whose keys they are."""
        return Identity(self.party, IdentityKind.BROKER, self.broker)


@dataclass(frozen=True, slots=True, kw_only=True)
class OfficerAccreditation:
    """An officer's keys, roles, offices, communities and clearance. No roles: withdrawn. No agreements: all of the party's."""

    party: str
    officer: str
    keys: tuple[ListedKey, ...]
    roles: frozenset[Role]
    agreements: frozenset[str]
    offices: frozenset[str]
    communities: frozenset[str]
    clearance: Attestation | None
    valid_from: int
    valid_until: int
    sequence: int

    @property
    def identity(self) -> Identity:
        """Give whose keys they are."""
        return Identity(self.party, IdentityKind.OFFICER, self.officer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """A key that counts no longer. `compromised_at` is the claimed time of compromise, 0 where none is claimed."""

    party: str
    key: bytes
    reason: str
    compromised_at: int
    issued_at: int


Listing = NodeBundle | BrokerBundle | OfficerAccreditation
Body = PartyCard | DirectoryKey | Listing | Revocation | NodeCapabilities


def read_body(statement: Statement) -> Body:
    """Read a statement about keys; raises MalformedError. Signatures are not looked at."""
    fields = statement.fields
    kind = str(fields["type"])
    reader = _READERS.get(kind)
    if reader is None:
        raise MalformedError(f"{kind!r} is no statement about keys")
    keys, read = reader
    return read(Fields(fields, kind, ("type", "party", *keys)), statement)


def key_set_of(body: bytes) -> bytes:
    """Give the key-set fingerprint of a node bundle's body bytes."""
    return hashlib.sha384(pae("key-set", body)).digest()


# --- one reader a type ----------------------------------------------------------------------------------------------


def _party_card(fields: Fields, statement: Statement) -> PartyCard:
    root = fields.part("root", ("suite", "public"))
    return PartyCard(
        party=fields.text("party", check_party),
        name=fields.free_text("name", 200),
        jurisdiction=fields.free_text("jurisdiction", _JURISDICTION),
        trust_domain=fields.text("trust_domain", check_trust_domain),
        root=ListedKey(KeyRole.ROOT, root.number("suite", most=0xFFFF), root.data("public", limit=PUBLIC_LIMIT)),
        issued_at=fields.number("issued_at", least=1),
        statement=statement,
    )


def _directory_key(fields: Fields, _: Statement) -> DirectoryKey:
    valid_from, valid_until, sequence = _validity(fields)
    if valid_until - valid_from > DIRECTORY_DAYS * DAY_MS:
        raise fields.malformed("valid_until", f"is more than {DIRECTORY_DAYS} days after 'valid_from'")
    key = ListedKey(KeyRole.DIRECTORY, fields.number("suite", most=0xFFFF), fields.data("public", limit=PUBLIC_LIMIT))
    authority = read_authority(fields.data("issuing_certificate", limit=PUBLIC_LIMIT))
    if authority.not_before_ms > valid_from or authority.not_after_ms < valid_until:
        raise fields.malformed("issuing_certificate", "is not valid as long as the directory key")
    return DirectoryKey(
        party=fields.text("party", check_party),
        key=key,
        authority=authority,
        valid_from=valid_from,
        valid_until=valid_until,
        sequence=sequence,
    )


def _node_bundle(fields: Fields, statement: Statement) -> NodeBundle:
    party = fields.text("party", check_party)
    valid_from, valid_until, sequence = _validity(fields)
    keys = _keys(fields, (KeyRole.NODE_SIGNING, KeyRole.NODE_KEM, KeyRole.NODE_TLS))
    signing = {key.suite for key in keys if key.role is KeyRole.NODE_SIGNING}
    sealing = {key.suite for key in keys if key.role is KeyRole.NODE_KEM}
    if not signing or signing != sealing:
        raise fields.malformed("keys", "must hold a signing and a KEM key of each suite the node uses")
    _require_role(fields, keys, KeyRole.NODE_TLS)
    return NodeBundle(
        party=party,
        node=fields.text("node", check_name),
        region=fields.text("region", _WORD),
        offices=frozenset(fields.texts("offices", WORDS_LIMIT, _WORD)),
        communities=frozenset(fields.texts("communities", WORDS_LIMIT, _WORD)),
        keys=keys,
        accreditation=_attestation(fields, "accreditation", party),
        valid_from=valid_from,
        valid_until=valid_until,
        sequence=sequence,
        key_set=key_set_of(statement.body),
    )


def _broker_bundle(fields: Fields, _: Statement) -> BrokerBundle:
    valid_from, valid_until, sequence = _validity(fields)
    keys = _keys(fields, (KeyRole.BROKER_SIGNING, KeyRole.BROKER_TLS, KeyRole.LOG))
    _require_role(fields, keys, KeyRole.BROKER_SIGNING)
    _require_role(fields, keys, KeyRole.BROKER_TLS)
    return BrokerBundle(
        party=fields.text("party", check_party),
        broker=fields.text("broker", check_name),
        region=fields.text("region", _WORD),
        keys=keys,
        valid_from=valid_from,
        valid_until=valid_until,
        sequence=sequence,
    )


def _officer_accreditation(fields: Fields, _: Statement) -> OfficerAccreditation:
    party = fields.text("party", check_party)
    valid_from, valid_until, sequence = _validity(fields)
    keys = _keys(fields, (KeyRole.OFFICER_SIGNING, KeyRole.OFFICER_TLS))
    roles = frozenset(_OFFICER_ROLES[word] for word in fields.texts("roles", WORDS_LIMIT, _officer_role))
    if roles:
        _require_role(fields, keys, KeyRole.OFFICER_SIGNING)
    return OfficerAccreditation(
        party=party,
        officer=fields.text("officer", check_name),
        keys=keys,
        roles=roles,
        agreements=frozenset(fields.texts("agreements", AGREEMENTS_LIMIT, _AGREEMENT)),
        offices=frozenset(fields.texts("offices", WORDS_LIMIT, _WORD)),
        communities=frozenset(fields.texts("communities", WORDS_LIMIT, _WORD)),
        clearance=_attestation(fields, "clearance", party),
        valid_from=valid_from,
        valid_until=valid_until,
        sequence=sequence,
    )


def _revocation(fields: Fields, _: Statement) -> Revocation:
    return Revocation(
        party=fields.text("party", check_party),
        key=fields.data("key", size=FINGERPRINT_SIZE),
        reason=fields.free_text("reason", _REASON),
        compromised_at=fields.number("compromised_at"),
        issued_at=fields.number("issued_at", least=1),
    )


_Reader = Callable[[Fields, Statement], Body]
_READERS: Final[dict[str, tuple[tuple[str, ...], _Reader]]] = {
    "party-card": (("name", "jurisdiction", "trust_domain", "root", "issued_at"), _party_card),
    "directory-key": (("suite", "public", "issuing_certificate", *_VALIDITY), _directory_key),
    "node-bundle": (
        ("node", "region", "offices", "communities", "keys", "accreditation", *_VALIDITY),
        _node_bundle,
    ),
    "broker-bundle": (("broker", "region", "keys", *_VALIDITY), _broker_bundle),
    "officer-accreditation": (
        ("officer", "keys", "roles", "agreements", "offices", "communities", "clearance", *_VALIDITY),
        _officer_accreditation,
    ),
    "revocation": (("key", "reason", "compromised_at", "issued_at"), _revocation),
    capabilities.KIND: (capabilities.KEYS, capabilities.read_capabilities),
}


# --- parts ----------------------------------------------------------------------------------------------------------


def _validity(fields: Fields) -> tuple[int, int, int]:
    valid_from, valid_until = fields.number("valid_from", least=1), fields.number("valid_until", least=1)
    if valid_from >= valid_until:
        raise fields.malformed("valid_until", "is not after 'valid_from'")
    return valid_from, valid_until, fields.number("sequence", least=1)


def _attestation(fields: Fields, name: str, party: str) -> Attestation | None:
    part = fields.part_or_none(name, _ATTESTATION)
    if part is None:
        return None

    def of_party(text: str) -> str:
        if split_identity(text)[0] != party:
            raise MalformedError("an officer of another party")
        return text

    return Attestation(part.free_text("level", _LEVEL), part.text("by", of_party), part.number("until", least=1))


def _officer_role(text: str) -> str:
    if text not in _OFFICER_ROLES:
        raise MalformedError("not a role of officers")
    return text


def _keys(fields: Fields, roles: Sequence[KeyRole]) -> tuple[ListedKey, ...]:
    """Read a list of keys, ascending by role, suite and public key, each role within its number."""
    keys: list[ListedKey] = []
    for part in fields.parts("keys", KEYS_LIMIT, ("role", "suite", "public")):
        role = part.text("role", _word_of_roles(roles))
        keys.append(
            ListedKey(KeyRole(role), part.number("suite", most=0xFFFF), part.data("public", limit=PUBLIC_LIMIT))
        )
    order = [key_order(key) for key in keys]
    if any(order[i] >= order[i + 1] for i in range(len(order) - 1)):
        raise fields.malformed("keys", "must be strictly ascending by role, suite and key")
    for key in keys:
        same = sum((one.role, one.suite) == (key.role, key.suite) for one in keys)
        if key.role is not KeyRole.LOG and same > (1 if key.suite else TLS_KEYS_LIMIT):
            raise fields.malformed("keys", f"holds too many of role {key.role.value}")
    return tuple(keys)


def _word_of_roles(roles: Sequence[KeyRole]) -> Callable[[str], str]:
    def check(text: str) -> str:
        if text not in roles:
            raise MalformedError("not a role of a key that stands here")
        return text

    return check


def _require_role(fields: Fields, keys: Sequence[ListedKey], role: KeyRole) -> None:
    if not any(key.role is role for key in keys):
        raise fields.malformed("keys", f"holds no key of role {role.value}")
