"""The directory: the pure fold of a key log, which a broker and every node compute alike (design 03, "Keys and trust").

It starts from the cards of trusted parties and takes statements in the order of the key log. Rules in order:
1. The broker introduces nobody: a statement of a party without a trusted card is refused. A card in the log is taken only
   if it is the one trusted already, and changes nothing.
2. A key counts only by the chain root -> directory key (90 days) -> listing, each signature by exactly the keys that may
   make it, in force at the log's time of the entry and not revoked. A listing ends no later than the key that signed it.
3. Full powers (the role plenipotentiary) need the root's signature besides the directory key's.
4. Sequences only rise; the newest statement of an identity replaces all before it, at the moment it is logged.
5. A key belongs to one identity in one role for ever, also when no listing holds it any more.
6. A revocation is by root, directory key or the key itself; of root and directory keys by the root or the key itself. It
   counts from its entry on, together with everything that the revoked key signed. A second one by a higher signer restates
   the claimed time of compromise, so that a thief cannot fix it; the order of entries stays.
7. What a node can do (its capabilities) the node itself says, with a signing key of its newest listing; the newest statement
   counts until its key is revoked, also when the key is rotated away.
8. A key set only says which keys verify: facts are read from the node's newest bundle, and a key absent from it is refused.

`admissible` decides without changing anything, so that a broker refuses before it logs; `apply` records. Look-ups take a
`log_size`: the answer as of the first so many entries of the key log. Deciding has its own file, `admission`, and so
has who may connect, `connecting`.

    directory = KeyDirectory({card.party: card})
    directory.apply(statement, log_index=1, at_ms=entry_time)
    record, key = directory.signing_node(key_set, suite, now_ms)
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeVar

from comity.errors import ConflictError, ErrorCode, KeyFault, VerificationError
from comity.identity.admission import Admission
from comity.identity.bodies import Body, DirectoryKey, PartyCard, Revocation
from comity.identity.capabilities import CapabilitiesRecord, NodeCapabilities
from comity.identity.certificates import Authority, Leaf, utc
from comity.identity.names import Identity
from comity.identity.records import (
    BrokerRecord,
    KeyOwner,
    NodeRecord,
    OfficerRecord,
    Record,
    RecordedKey,
    RevocationRecord,
    newest,
)
from comity.identity.state import State
from comity.statement import Statement
from comity.suites import KeyRole
from comity_policy.facts import NodeFacts, Reader

R = TypeVar("R", NodeRecord, BrokerRecord, OfficerRecord)


class KeyDirectory:
    """The fold. Only `trust` and `apply` change it, each wholly or not at all."""

    def __init__(self, cards: Mapping[str, PartyCard] | None = None) -> None:
        self._state = State()
        self._admission = Admission(self._state)
        for card in (cards or {}).values():
            self.trust(card)

    # --- trust and fold ---------------------------------------------------------------------------------------------

    def trust(self, card: PartyCard) -> None:
        """Trust a party's card, which a person compared. Statements of it that were skipped before must be folded again.

        Raises ConflictError when the party has another card here, or another party the trust domain.
        """
        known = self._state.cards.get(card.party)
        if known is not None:
            if known.statement.body != card.statement.body:
                raise ConflictError(f"another card of {card.party} is trusted here")
            return
        holder = self._state.domains.get(card.trust_domain)
        if holder is not None:
            raise ConflictError(f"the trust domain {card.trust_domain} is {holder}'s already")
        self._admission.require_unowned((card.root,), card.party, None)
        self._state.cards[card.party] = card
        self._state.domains[card.trust_domain] = card.party
        self._state.own(card.party, None, (card.root,), card.issued_at)

    def admissible(self, statement: Statement, at_ms: int) -> Body:
        """Give what a statement says if the key log may take it now (Unix ms); changes nothing.

        Raises MalformedError for its form, ConflictError SEQUENCE_STALE for one that is older than or beside what is logged,
        and KeyFault for everything else: PARTY_UNTRUSTED, KEY_EXPIRED, KEY_REVOKED, KEY_UNKNOWN, CLOCK_WINDOW, BUNDLE_REJECTED.
        """
        return self._admission.decide(statement, at_ms).body

    def apply(self, statement: Statement, *, log_index: int, at_ms: int) -> Body:
        """Fold one entry of the key log: its index, and its time in Unix ms; raises as `admissible` does.

        Raises VerificationError when the index is not above the last one's.
        """
        if log_index < self._state.size:
            raise VerificationError(f"entry {log_index} of the key log comes after entry {self._state.size - 1}")
        decided = self._admission.decide(statement, at_ms)
        body = decided.body
        if isinstance(body, DirectoryKey):
            self._state.add_directory_key(body, log_index, at_ms)
        elif isinstance(body, Revocation):
            self._state.add_revocation(body, decided.rank, log_index, at_ms)
        elif isinstance(body, NodeCapabilities):
            self._state.add_capabilities(body, decided.signed_by, log_index, at_ms)
        elif not isinstance(body, PartyCard):
            self._state.add_listing(body, decided.signed_by, log_index, at_ms)
        self._state.logged[statement.digest] = log_index
        self._state.size = log_index + 1
        return body

    @property
    def size(self) -> int:
        """Give one more than the index of the last entry folded."""
        return self._state.size

    def logged_at(self, digest: bytes) -> int | None:
        """Give the entry that holds the statement with this digest; None where it is not logged."""
        return self._state.logged.get(digest)

    def next_sequence(self, party: str, name: str = "") -> int:
        """Give the sequence of an identity's next statement; without a name that of the party's next directory key."""
        return self._admission.last_sequence(party, name) + 1

    # --- look-ups ---------------------------------------------------------------------------------------------------

    @property
    def cards(self) -> Mapping[str, PartyCard]:
        """Give the trusted cards by party."""
        return MappingProxyType(self._state.cards)

    def card(self, party: str) -> PartyCard:
        """Give a trusted party's card; raises KeyFault PARTY_UNTRUSTED."""
        return self._admission.card(party)

    def find(self, party: str, name: str, log_size: int | None = None) -> Record | None:
        """Give the newest record of PARTY/NAME, whatever it is; None where nothing is logged."""
        return newest(self._state.listed(party, name), log_size)

    def node(self, party: str, name: str, log_size: int | None = None) -> NodeRecord | None:
        """Give a node's newest record; None where none is logged."""
        return _only(NodeRecord, self.find(party, name, log_size))

    def broker(self, party: str, name: str, log_size: int | None = None) -> BrokerRecord | None:
        """Give a broker's newest record; None where none is logged."""
        return _only(BrokerRecord, self.find(party, name, log_size))

    def officer(self, party: str, name: str, log_size: int | None = None) -> OfficerRecord | None:
        """Give an officer's newest record; None where none is logged."""
        return _only(OfficerRecord, self.find(party, name, log_size))

    def nodes(self, party: str) -> tuple[NodeRecord, ...]:
        """Give the newest record of each of a party's nodes, by name."""
        return self._all(NodeRecord, party)

    def capabilities(self, party: str, node: str, log_size: int | None = None) -> CapabilitiesRecord | None:
        """Give what a node says last that it can; None where it says nothing, or its key was revoked since."""
        return self._state.able(party, node, log_size)

    def can(self, party: str, node: str, log_size: int | None = None) -> frozenset[str] | None:
        """Give what a node says last that it can, in the words of floors; None where `capabilities` gives none."""
        stated = self.capabilities(party, node, log_size)
        return None if stated is None else stated.words

    def capabilities_since(self, party: str, node: str, at_ms: int) -> int:
        """Give how many capability statements of a node were logged from that time (Unix ms) on."""
        return sum(one.at_ms >= at_ms for one in self._state.capabilities.get((party, node), ()))

    def next_capabilities(self, party: str, node: str) -> int:
        """Give the number of a node's next capability statement."""
        return max((one.body.sequence for one in self._state.capabilities.get((party, node), ())), default=0) + 1

    def brokers(self, party: str) -> tuple[BrokerRecord, ...]:
        """Give the newest record of each of a party's brokers, by name."""
        return self._all(BrokerRecord, party)

    def officers(self, party: str) -> tuple[OfficerRecord, ...]:
        """Give the newest record of each of a party's officers, withdrawn ones too, by name."""
        return self._all(OfficerRecord, party)

    def key_set(self, key_set: bytes) -> NodeRecord | None:
        """Give the record a key set names, whatever became of its keys since; None where none is logged."""
        return self._state.key_sets.get(key_set)

    def owner(self, key: bytes) -> KeyOwner | None:
        """Give whose key a fingerprint is, also when no listing holds it any more; None where it was never listed."""
        return self._state.owners.get(key)

    def revocation(self, key: bytes, log_size: int | None = None) -> RevocationRecord | None:
        """Give the revocation of a key; None where it is not revoked."""
        return self._state.revocation(key, log_size)

    def counts(self, key: bytes, log_size: int | None = None) -> bool:
        """Say whether a key counts at that place of the key log: listed then, and nothing of its chain revoked.

        Only the order of entries is looked at; whether a listing has expired, `require_current` says.
        """
        owner = self._state.owners.get(key)
        if owner is None or self._state.revoked_chain(key, owner.party, log_size) is not None:
            return False
        if owner.identity is None:
            return owner.key.role is KeyRole.ROOT or self._state.directory_logged(owner.party, key, log_size)
        record = self.find(owner.party, owner.identity.name, log_size)
        if record is None or not record.lists(key):
            return False
        return self._state.revoked_chain(record.signed_by, owner.party, log_size) is None

    # --- what counts now --------------------------------------------------------------------------------------------

    def require_current(self, record: Record, now_ms: int, log_size: int | None = None) -> None:
        """Check that a record has not expired, was not withdrawn and its chain not revoked; raises KeyFault.

        A record counts from the entry that logged it; `now_ms` is compared with its end only.
        """
        revoked = self._state.revoked_chain(record.signed_by, record.party, log_size)
        if revoked is not None:
            raise _revoked(f"the directory key behind {record.identity}", revoked)
        if isinstance(record, OfficerRecord) and not record.roles:
            raise KeyFault(f"the accreditation of {record.identity} was withdrawn", code=ErrorCode.KEY_REVOKED)
        if now_ms >= record.valid_until:
            raise KeyFault(
                f"the keys of {record.identity} expired at {utc(record.valid_until)}",
                what_to_do="Rotate its keys, or have its party renew the bundle.",
                code=ErrorCode.KEY_EXPIRED,
            )

    def is_current(self, record: Record, now_ms: int, log_size: int | None = None) -> bool:
        """Say whether `require_current` would pass."""
        try:
            self.require_current(record, now_ms, log_size)
        except KeyFault:
            return False
        return True

    def signing_node(
        self, key_set: bytes, suite: int, now_ms: int, log_size: int | None = None
    ) -> tuple[NodeRecord, RecordedKey]:
        """Give the newest record of the node a key set names, and the key set's signing key of that suite.

        Raises KeyFault: KEY_UNKNOWN (no such key set or suite, or the newest bundle holds the key no more), KEY_REVOKED,
        KEY_EXPIRED.
        """
        bundle = self._state.key_sets.get(key_set)
        if bundle is None or (log_size is not None and bundle.log_index >= log_size):
            raise KeyFault("no node has this key set", what_to_do="Fetch the key log and try again.")
        key = bundle.key(KeyRole.NODE_SIGNING, suite)
        if key is None:
            raise KeyFault(f"the key set of {bundle.identity} has no signing key of suite {suite:#06x}")
        record = self._newest(NodeRecord, bundle.identity, key.fingerprint, now_ms, log_size)
        return record, next(one for one in record.keys if one.fingerprint == key.fingerprint)

    def officer_by_key(self, key: bytes, now_ms: int, log_size: int | None = None) -> OfficerRecord:
        """Give the officer whose signing key this is; raises KeyFault: KEY_UNKNOWN, KEY_REVOKED, KEY_EXPIRED."""
        owner = self._state.owners.get(key)
        if owner is None or owner.identity is None or owner.key.role is not KeyRole.OFFICER_SIGNING:
            raise KeyFault("no officer has this key", what_to_do="Fetch the key log and try again.")
        return self._newest(OfficerRecord, owner.identity, key, now_ms, log_size)

    def authorities(self, party: str, now_ms: int) -> tuple[Authority, ...]:
        """Give a party's X.509 authorities in force, the newest first; raises KeyFault PARTY_UNTRUSTED."""
        self.card(party)
        found: dict[bytes, Authority] = {}
        for one in self._state.directory_keys(party, now_ms):
            _, issuing = one.keys
            if self._state.revocation(issuing.fingerprint) is None:
                found.setdefault(one.authority.der, one.authority)
        return tuple(found.values())

    # --- connections ------------------------------------------------------------------------------------------------

    def identity_of(self, leaf: Leaf) -> Identity:
        """Give the identity a certificate names; raises KeyFault PARTY_UNTRUSTED for a trust domain of no trusted party.

        It is a claim: the handshake proved that the party's authority made it, `connecting` says whether the key counts.
        """
        party = self._state.domains.get(leaf.spiffe.trust_domain)
        if party is None:
            raise KeyFault("the certificate is of a party that is not trusted here", code=ErrorCode.PARTY_UNTRUSTED)
        return Identity(party, leaf.spiffe.kind, leaf.spiffe.name)

    # --- facts ------------------------------------------------------------------------------------------------------

    def node_facts(
        self,
        record: NodeRecord,
        now_ms: int,
        suite: int,
        log_size: int | None = None,
        *,
        officers: frozenset[str] | None = None,
        capable: bool = False,
    ) -> NodeFacts:
        """Give what policy may know of a node that would use the keys of this suite at that Unix millisecond.

        `officers` are what `officers_under` gives of its party, where anybody asks; `capable` that somebody asks what it can. `oldest_key_since` is None where it has no signing or no KEM key of the suite; `valid` is False where the record has
        expired, its chain or one of the two keys is revoked.
        """
        pair = [record.key(role, suite) for role in (KeyRole.NODE_SIGNING, KeyRole.NODE_KEM)]
        keys = [key for key in pair if key is not None]
        revoked = any(self._state.revocation(key.fingerprint, log_size) is not None for key in keys)
        return NodeFacts(
            party=record.party,
            node=record.node,
            region=record.region,
            offices=record.offices,
            communities=record.communities,
            accreditation_level=None if record.accreditation is None else record.accreditation.level,
            accreditation_until=None if record.accreditation is None else record.accreditation.until,
            oldest_key_since=min(key.since for key in keys) if len(keys) == len(pair) else None,
            valid=not revoked and self.is_current(record, now_ms, log_size),
            officers=officers,
            capabilities=self.can(record.party, record.node, log_size) if capable else None,
        )

    def officers_under(self, party: str, agreement_id: str, now_ms: int, log_size: int | None = None) -> frozenset[str]:
        """Give the officers of a party (PARTY/NAME) who have a key and an accreditation for this agreement that count then."""
        found = (self.officer(party, name, log_size) for name in self._state.listings.get(party, ()))
        return frozenset(
            str(record.identity)
            for record in found
            if record is not None
            and record.acts_under(agreement_id)
            and self.is_current(record, now_ms, log_size)
            and any(
                self._state.revocation(key.fingerprint, log_size) is None
                for key in record.keys_of(KeyRole.OFFICER_SIGNING)
            )
        )

    def next_end(self, party: str, now_ms: int) -> int | None:
        """Give the next Unix millisecond after now at which a listing of a party ends; None where none does."""
        newest = (records[-1] for records in self._state.listings.get(party, {}).values() if records)
        return min((one.valid_until for one in newest if one.valid_until > now_ms), default=None)

    def reader(self, key: bytes, agreement_id: str, now_ms: int) -> Reader:
        """Give what policy may know of the officer whose signing key this is, for one agreement at that Unix millisecond.

        Raises KeyFault: as `officer_by_key`, and for an accreditation that is not for this agreement.
        """
        record = self.officer_by_key(key, now_ms)
        if not record.acts_under(agreement_id):
            raise KeyFault(
                f"{record.identity} is not accredited for {agreement_id}",
                what_to_do=f"comity officer accredit {record.identity} --agreement {agreement_id} ...",
            )
        return Reader(
            officer=str(record.identity),
            offices=record.offices,
            communities=record.communities,
            clearance_level=None if record.clearance is None else record.clearance.level,
            clearance_until=None if record.clearance is None else record.clearance.until,
        )

    # --- inside -----------------------------------------------------------------------------------------------------

    def _all(self, kind: type[R], party: str) -> tuple[R, ...]:
        found = (_only(kind, self.find(party, name)) for name in sorted(self._state.listings.get(party, ())))
        return tuple(record for record in found if record is not None)

    def _newest(self, kind: type[R], identity: Identity, key: bytes, now_ms: int, log_size: int | None) -> R:
        record = _only(kind, self.find(identity.party, identity.name, log_size))
        if record is None:
            raise KeyFault(f"{identity} was not listed then")
        revoked = self._state.revocation(key, log_size)
        if revoked is not None:
            raise _revoked(f"the key of {identity}", revoked)
        if not record.lists(key):
            raise KeyFault(f"the newest bundle of {identity} holds this key no more")
        self.require_current(record, now_ms, log_size)
        return record


def _only(kind: type[R], record: Record | None) -> R | None:
    return record if isinstance(record, kind) else None


def _revoked(what: str, revocation: RevocationRecord) -> KeyFault:
    return KeyFault(f"{what} was revoked at {utc(revocation.at_ms)}", code=ErrorCode.KEY_REVOKED)
