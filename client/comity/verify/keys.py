"""Statements, and the fold of a key log: whose a key was, and whether it counted, after how many entries (design of envelopes, "Keys").

Rules in order: the caller compares each card's root with the agreement's; a directory key is signed by the root; a listing (bundle or
accreditation) by exactly one directory key in force, full powers by the root besides, and it ends no later than that key; sequences
rise; a revocation is by root, directory key or the key itself and counts from its entry on, with all that the revoked key signed.
A node says itself what it can, by one signing key of its newest listing, in numbers of their own that rise too.
A key counts while the newest listing of its identity holds it. `size` is how many entries of the key log a look-up may know.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_der_x509_certificate

from comity.verify.crypto import digest, verifies
from comity.verify.records import require
from comity.verify.table import read_json

_SKEW_MS: Final = 300_000
_VALIDITY: Final = "valid_from valid_until sequence"
_BODIES: Final = {
    "party-card": "name jurisdiction trust_domain root issued_at",
    "directory-key": f"suite public issuing_certificate {_VALIDITY}",
    "node-bundle": f"node region offices communities keys accreditation {_VALIDITY}",
    "broker-bundle": f"broker region keys {_VALIDITY}",
    "officer-accreditation": f"officer keys roles agreements offices communities clearance {_VALIDITY}",
    "revocation": "key reason compromised_at issued_at",
    "node-capabilities": "node software wire suites obligations valid_from sequence",
}
_NAMES: Final = {"node-bundle": "node", "broker-bundle": "broker", "officer-accreditation": "officer"}


class Key(NamedTuple):
    """A public key with its role and suite."""

    role: str
    suite: int
    public: bytes

    @property
    def fingerprint(self) -> bytes:
        """Give the fingerprint over all three."""
        return digest("key", *self)

    def signed(self, signature: bytes, purpose: str, *items: bytes | str | int) -> bool:
        """Say whether the key made this signature over PAE(purpose, items)."""
        return verifies(self.suite, self.public, signature, purpose, *items)


class Statement:
    """A statement as bodies and files hold it: the exact body, what it says, its signatures by key. Raises ValueError."""

    def __init__(self, value: dict[str, Any]) -> None:
        self.body = bytes.fromhex(value["body"])
        self.fields: dict[str, Any] = read_json(self.body, 1 << 16)
        keys = [one["key"] for one in value["signatures"]]
        self.signatures = {bytes.fromhex(one["key"]): bytes.fromhex(one["signature"]) for one in value["signatures"]}
        ordered = keys == sorted(key.hex() for key in self.signatures)
        require(ordered and 1 <= len(keys) <= 8, "a statement has 1 to 8 signatures, ascending by key")
        declared = _BODIES.get(self.fields["type"])
        good = declared is None or self.fields.keys() == {"type", "party", *declared.split()}
        require(good, f"a {self.fields['type']} has other keys than are declared")

    def by(self, key: Key) -> bool:
        """Say whether this key signed it validly."""
        return key.signed(self.signatures.get(key.fingerprint, b""), "statement", key.suite, self.body)


@dataclass(frozen=True, slots=True)
class Listing:
    """What one entry of the key log says of an identity, and the directory key that signed it."""

    index: int
    fields: dict[str, Any]
    identity: tuple[str, str]
    keys: dict[bytes, Key]
    signed_by: bytes


class KeyLog:
    """The fold, and the cards it starts from. `revoked` maps a key to its entry, `revocations` are (entry, party, time)."""

    def __init__(self) -> None:
        self.cards: dict[str, tuple[Statement, Key]] = {}
        self.revoked: dict[bytes, int] = {}
        self.revocations: list[tuple[int, str, int]] = []
        self.listings: dict[tuple[str, str], list[Listing]] = {}
        self.capabilities: dict[tuple[str, str], list[tuple[int, dict[str, Any]]]] = {}
        self._directory: list[tuple[Key, dict[str, Any]]] = []
        self._owners: dict[bytes, tuple[str, str, Key]] = {}
        self._key_sets: dict[bytes, Listing] = {}
        self._sequences: dict[tuple[str, str], int] = {}

    def trust(self, card: Statement) -> None:
        """Take a card, which the root it names signed alone; raises ValueError."""
        party, root = card.fields["party"], Key("root", *_public(card.fields["root"]))
        good = card.fields["type"] == "party-card" and len(card.signatures) == 1 and card.by(root)
        require(good, "a party's card is not signed by the root it names")
        self.cards[party] = card, root
        self._owners[root.fingerprint] = party, "", root

    def apply(self, index: int, at: int, one: Statement) -> None:
        """Fold one entry of that index and time; raises ValueError for a statement that is not admissible."""
        fields, kind, party = one.fields, one.fields["type"], one.fields["party"]
        if party not in self.cards:
            return  # of a party to other agreements only
        if kind == "node-capabilities":
            self._state(index, at, one)
            return
        root, revoked, ends = self.cards[party][1], b"", 1 << 53
        by = {
            key.fingerprint: (key, body["valid_until"])
            for key, body in self._directory
            if body["party"] == party and body["valid_from"] - _SKEW_MS <= at < body["valid_until"]
            if key.fingerprint in one.signatures
        }
        allowed = {key: signer for key, (signer, _) in by.items()}
        if kind == "revocation":
            revoked = bytes.fromhex(fields["key"])
            owner, name, itself = self._owners[revoked]
            allowed = {revoked: itself, root.fingerprint: root} | (allowed if name else {})
            fits = owner == party and len(one.signatures) == 1
        elif kind in ("directory-key", "party-card"):
            allowed, fits = {root.fingerprint: root}, len(one.signatures) == 1
        else:
            allowed |= {root.fingerprint: root} if kind == "officer-accreditation" else {}
            powers = "plenipotentiary" in fields.get("roles", ())
            fits = len(by) == 1 and kind in _NAMES and (not powers or root.fingerprint in one.signatures)
            ends = min((until for _, until in by.values()), default=0)
        counted = (key in allowed and (key == revoked or key not in self.revoked) for key in one.signatures)
        fits = fits and all(counted) and all(one.by(allowed[key]) for key in one.signatures)
        require(fits, f"a {kind} of {party} is not signed by the keys that must, or by one that may not")
        if kind == "revocation":
            self.revoked.setdefault(revoked, index)
            self.revocations.append((index, party, at))
        if kind in ("revocation", "party-card"):
            return
        name = fields[_NAMES[kind]] if kind in _NAMES else ""
        fits = at < fields["valid_until"] <= ends and fields["sequence"] > self._sequences.get((party, name), 0)
        require(fits, f"a {kind} of {party} has expired, outlives its directory key, or is not the newest")
        self._sequences[party, name] = fields["sequence"]
        keys = [Key(item["role"], *_public(item)) for item in fields.get("keys", ())]
        own = ("broker", "log") if kind == "broker-bundle" else kind.split("-")[:1]
        require(all(key.role.split("-")[0] in own for key in keys), f"a {kind} lists a key of another role")
        if kind == "directory-key":
            keys = [Key("directory", *_public(fields)), _issuing(fields)]
            self._directory.append((keys[0], fields))
        for key in keys:
            owned = self._owners.setdefault(key.fingerprint, (party, name, key))[:2] == (party, name)
            require(owned, f"a key of {party}/{name} is another's")
        if name:
            listing = Listing(index, fields, (party, name), {key.fingerprint: key for key in keys}, *by)
            self.listings.setdefault((party, name), []).append(listing)
            self._key_sets[digest("key-set", one.body)] = listing

    def _state(self, index: int, at: int, one: Statement) -> None:
        """Take what a node says that it can."""
        party, node = whose = one.fields["party"], one.fields["node"]
        require(len(one.signatures) == 1, f"the capabilities of {party}/{node} have several signatures")
        listing, key = self.counting(next(iter(one.signatures)), "node-signing", index, at)
        require(
            listing.identity == whose and one.by(key), f"the capabilities of {party}/{node} are not signed by the node"
        )
        fits = one.fields["sequence"] > max(
            (said["sequence"] for _, said in self.capabilities.get(whose, ())), default=0
        )
        require(fits, f"the capabilities of {party}/{node} are not the newest")
        self.capabilities.setdefault(whose, []).append((index, one.fields))

    def counting(self, key: bytes, role: str, size: int, at: int) -> tuple[Listing, Key]:
        """Give the identity whose key of that role counts after `size` entries at that time; raises FormError."""
        party, name, *_ = self._owners.get(key, ("", ""))
        known = [one for one in self.listings.get((party, name), ()) if one.index < size]
        good = known and key in known[-1].keys and known[-1].keys[key].role == role
        require(good, f"the newest listing has no such key of role {role}")
        chain = (key, known[-1].signed_by, self.cards[party][1].fingerprint)
        revoked = any(self.revoked.get(one, size) < size for one in chain)
        expired = at >= known[-1].fields["valid_until"]
        require(not expired and not revoked, f"the key of {party}/{name} had expired or was revoked")
        return known[-1], known[-1].keys[key]

    def signing_key(self, key_set: bytes, suite: int) -> bytes:
        """Give the fingerprint of the signing key that a key set has for a suite, empty where there is none."""
        keys = self._key_sets[key_set].keys.values() if key_set in self._key_sets else ()
        return next((key.fingerprint for key in keys if key[:2] == ("node-signing", suite)), b"")


def _public(item: dict[str, Any]) -> tuple[int, bytes]:
    return item["suite"], bytes.fromhex(item["public"])


def _issuing(fields: dict[str, Any]) -> Key:
    certificate = load_der_x509_certificate(bytes.fromhex(fields["issuing_certificate"]))
    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return Key("x509-issuing", 0, spki)
