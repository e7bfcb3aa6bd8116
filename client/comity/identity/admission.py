"""Whether the key log may take a statement now: the rules of `comity.identity.directory`, decided without changing anything.

Order of decision: form; known already; card; signatures (only keys that may sign, all that must); clock; sequence; name;
keys. So what is said of a statement without authority is that it has none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from comity.errors import ConflictError, ErrorCode, KeyFault
from comity.identity.bodies import (
    Body,
    DirectoryKey,
    Listing,
    OfficerAccreditation,
    PartyCard,
    Revocation,
    read_body,
)
from comity.identity.capabilities import NodeCapabilities
from comity.identity.certificates import CLOCK_HINT, utc
from comity.identity.listed import ListedKey
from comity.identity.names import Identity
from comity.identity.records import NodeRecord
from comity.identity.state import CLOCK_SKEW_MS, State
from comity.statement import Statement, verify_signature_of
from comity.suites import KeyRole
from comity_policy.facts import Role

BY_ITSELF: Final = 1
BY_DIRECTORY: Final = 2
BY_ROOT: Final = 3

_PARTY_ROLES: Final = frozenset({KeyRole.ROOT, KeyRole.DIRECTORY})
_SIGNING_ROLES: Final = frozenset(
    {KeyRole.ROOT, KeyRole.DIRECTORY, KeyRole.NODE_SIGNING, KeyRole.OFFICER_SIGNING, KeyRole.BROKER_SIGNING}
)


@dataclass(frozen=True, slots=True)
class Decided:
    """An admissible statement: what it says, the key behind a listing or capabilities, and the rank of a revocation's signer."""

    body: Body
    signed_by: bytes = b""
    rank: int = 0


@dataclass(frozen=True, slots=True)
class _Allowed:
    suite: int
    public: bytes
    rank: int


class Admission:
    """The rules over one state."""

    def __init__(self, state: State) -> None:
        self._state = state

    def decide(self, statement: Statement, at_ms: int) -> Decided:
        """Decide at the log's time (Unix ms); raises as `KeyDirectory.admissible` says."""
        body = read_body(statement)
        entry = self._state.logged.get(statement.digest)
        if entry is not None:
            raise ConflictError(f"this statement is entry {entry} already", code=ErrorCode.SEQUENCE_STALE)
        card = self.card(body.party)
        if isinstance(body, PartyCard):
            return self._card(statement, body, card, at_ms)
        if isinstance(body, DirectoryKey):
            return self._directory_key(statement, body, card, at_ms)
        if isinstance(body, Revocation):
            return self._revocation(statement, body, card, at_ms)
        if isinstance(body, NodeCapabilities):
            return self._capabilities(statement, body, card, at_ms)
        return self._listing(statement, body, card, at_ms)

    def card(self, party: str) -> PartyCard:
        """Give a trusted party's card; raises KeyFault PARTY_UNTRUSTED."""
        card = self._state.cards.get(party)
        if card is None:
            raise KeyFault(
                f"the card of {party} is not trusted here",
                what_to_do="comity party trust FILE, after comparing its words with the party over a second channel.",
                code=ErrorCode.PARTY_UNTRUSTED,
            )
        return card

    def last_sequence(self, party: str, name: str) -> int:
        """Give the newest sequence of an identity, or (empty name) of a party's directory keys; 0 where nothing is logged."""
        if name:
            return max((record.sequence for record in self._state.listed(party, name)), default=0)
        return max((record.body.sequence for record in self._state.directory.get(party, ())), default=0)

    def require_unowned(self, keys: Iterable[ListedKey], party: str, identity: Identity | None) -> None:
        """Check rule 5 for keys that `identity` (None: the party itself) would list; raises KeyFault."""
        for key in keys:
            known = self._state.publics.get((int(key.suite), key.public))
            if known is None:
                continue
            owner = self._state.owners[known]
            if (owner.party, owner.identity, owner.key.role) != (party, identity, key.role):
                whose = owner.identity or owner.party
                raise _rejected(
                    f"a key of role {key.role.value} is listed already, as {owner.key.role.value} of {whose}"
                )
            if self._state.revocation(known) is not None:
                raise KeyFault(f"a key of role {key.role.value} was revoked", code=ErrorCode.KEY_REVOKED)

    # --- one rule a type --------------------------------------------------------------------------------------------

    def _card(self, statement: Statement, body: PartyCard, card: PartyCard, at_ms: int) -> Decided:
        """Take the very card that is trusted already, as a record of it: a log trusts nobody."""
        if statement.body != card.statement.body:
            raise _rejected(f"this is another card of {card.party} than the one trusted here")
        self._signed(statement, self._root(card), card, at_ms)
        return Decided(body)

    def _directory_key(self, statement: Statement, body: DirectoryKey, card: PartyCard, at_ms: int) -> Decided:
        self._signed(statement, self._root(card), card, at_ms)
        if body.authority.trust_domain != card.trust_domain:
            raise _rejected(f"the issuing certificate is not constrained to {card.trust_domain}")
        _require_unexpired(body.valid_until, at_ms)
        self._require_sequence(body.party, "", body.sequence)
        self.require_unowned(body.keys, body.party, None)
        return Decided(body)

    def _listing(self, statement: Statement, body: Listing, card: PartyCard, at_ms: int) -> Decided:
        allowed = self._directory(body.party, at_ms)
        full_powers = isinstance(body, OfficerAccreditation) and Role.PLENIPOTENTIARY in body.roles
        if isinstance(body, OfficerAccreditation):
            allowed |= self._root(card)
        ranks = self._signed(statement, allowed, card, at_ms)
        by_directory = [key for key, rank in ranks.items() if rank == BY_DIRECTORY]
        if len(by_directory) != 1:
            raise _rejected(f"the listing of {body.identity} is signed by exactly one directory key")
        if full_powers and BY_ROOT not in ranks.values():
            raise _rejected(f"full powers for {body.identity} need the signature of the party's root as well")
        (signed_by,) = by_directory
        ends = max(one.valid_until for one in self._signers(body.party, at_ms) if one.key.fingerprint == signed_by)
        if body.valid_until > ends:
            raise _rejected(f"the listing of {body.identity} ends after the directory key that signed it, {utc(ends)}")
        if body.valid_from > at_ms + CLOCK_SKEW_MS:
            raise KeyFault(
                f"the listing of {body.identity} begins later than now; it takes effect when it is logged",
                what_to_do=CLOCK_HINT,
                code=ErrorCode.CLOCK_WINDOW,
            )
        _require_unexpired(body.valid_until, at_ms)
        known = self._state.listed(body.party, body.identity.name)
        if known and known[-1].identity != body.identity:
            raise _rejected(f"{body.identity} is the name of a {known[-1].identity.kind.value} already")
        self._require_sequence(body.party, body.identity.name, body.sequence)
        self.require_unowned(body.keys, body.party, body.identity)
        return Decided(body, signed_by=signed_by)

    def _revocation(self, statement: Statement, body: Revocation, card: PartyCard, at_ms: int) -> Decided:
        owner = self._state.owners.get(body.key)
        if owner is None:
            raise KeyFault("no listing has the key that is to be revoked", code=ErrorCode.KEY_UNKNOWN)
        if owner.party != body.party:
            raise _rejected(f"the key to be revoked is not one of {body.party}'s")
        allowed = {} if owner.key.role in _PARTY_ROLES else self._directory(body.party, at_ms)
        if owner.key.role in _SIGNING_ROLES:
            allowed[body.key] = _Allowed(owner.key.suite, owner.key.public, BY_ITSELF)
        # A root that revokes itself does so with the highest rank.
        allowed |= self._root(card)
        ranks = self._signed(statement, allowed, card, at_ms, itself=body.key)
        if len(ranks) != 1:
            raise _rejected("a revocation has one signature")
        (rank,) = ranks.values()
        if rank <= self._state.revocation_rank(body.key):
            raise KeyFault("the key is revoked already", code=ErrorCode.KEY_REVOKED)
        if max(body.issued_at, body.compromised_at) > at_ms + CLOCK_SKEW_MS:
            raise KeyFault("a revocation of a later time than now", what_to_do=CLOCK_HINT, code=ErrorCode.CLOCK_WINDOW)
        return Decided(body, rank=rank)

    def _capabilities(self, statement: Statement, body: NodeCapabilities, card: PartyCard, at_ms: int) -> Decided:
        """Take what a listed node says of itself with a signing key that counts: of suites it has keys of, and of now."""
        known = self._state.listed(body.party, body.node)
        node = known[-1] if known else None
        if not isinstance(node, NodeRecord):
            raise _rejected(f"{body.identity} is no node that is enrolled here")
        _require_unexpired(node.valid_until, at_ms)
        if self._state.revoked_chain(node.signed_by, body.party) is not None:
            raise KeyFault(f"the directory key behind {body.identity} was revoked", code=ErrorCode.KEY_REVOKED)
        allowed = {
            key.fingerprint: _Allowed(key.suite, key.public, BY_ITSELF) for key in node.keys_of(KeyRole.NODE_SIGNING)
        }
        ranks = self._signed(statement, allowed, card, at_ms)
        if len(ranks) != 1:
            raise _rejected(f"the capabilities of {body.identity} are signed by one key of the node")
        without = sorted(set(body.suites) - {key.suite for key in node.keys_of(KeyRole.NODE_KEM)})
        if without:
            raise _rejected(f"{body.identity} states suite {without[0]}, of which it has no keys")
        if body.valid_from > at_ms + CLOCK_SKEW_MS:
            raise KeyFault(
                f"the capabilities of {body.identity} begin later than now",
                what_to_do=CLOCK_HINT,
                code=ErrorCode.CLOCK_WINDOW,
            )
        last = self._state.capabilities.get((body.party, body.node), ())
        self._require_above(
            max((one.body.sequence for one in last), default=0), body.sequence, f"the capabilities of {body.identity}"
        )
        (signed_by,) = ranks
        return Decided(body, signed_by=signed_by)

    # --- signatures -------------------------------------------------------------------------------------------------

    def _root(self, card: PartyCard) -> dict[bytes, _Allowed]:
        root = card.root
        return {root.fingerprint: _Allowed(int(root.suite), root.public, BY_ROOT)}

    def _signers(self, party: str, at_ms: int) -> tuple[DirectoryKey, ...]:
        return self._state.directory_keys(party, at_ms)

    def _directory(self, party: str, at_ms: int) -> dict[bytes, _Allowed]:
        keys = (one.key for one in self._signers(party, at_ms))
        return {key.fingerprint: _Allowed(int(key.suite), key.public, BY_DIRECTORY) for key in keys}

    def _signed(
        self,
        statement: Statement,
        allowed: Mapping[bytes, _Allowed],
        card: PartyCard,
        at_ms: int,
        itself: bytes = b"",
    ) -> dict[bytes, int]:
        """Give the rank of each key that signed. A signature by any other key, or one that does not verify, refuses."""
        ranks: dict[bytes, int] = {}
        for one in statement.signatures:
            key = allowed.get(one.key)
            if key is None:
                raise self._why_not(one.key, card.party, at_ms)
            revoked = self._state.revoked_chain(one.key, card.party)
            if revoked is not None and one.key != itself:
                raise KeyFault("a key that signed the statement was revoked", code=ErrorCode.KEY_REVOKED)
            if not verify_signature_of(statement, one.key, key.suite, key.public):
                raise _rejected("a signature of the statement does not verify")
            ranks[one.key] = key.rank
        return ranks

    def _why_not(self, key: bytes, party: str, at_ms: int) -> KeyFault:
        """Say of a key that may not sign whether it once could have."""
        owner = self._state.owners.get(key)
        if owner is not None and owner.party == party and owner.key.role is KeyRole.DIRECTORY:
            if self._state.revoked_chain(key, party) is not None:
                return KeyFault("the directory key that signed the statement was revoked", code=ErrorCode.KEY_REVOKED)
            listed = self._state.directory.get(party, ())
            if not any(at_ms < one.body.valid_until for one in listed if one.body.key.fingerprint == key):
                return KeyFault(
                    "the directory key that signed the statement has expired",
                    what_to_do="Have the party's root list a new directory key, and sign with that.",
                    code=ErrorCode.KEY_EXPIRED,
                )
        return KeyFault(
            "the statement is signed by a key that may not sign it",
            what_to_do=f"Where {party} has renewed its directory key, take its newest card over first: comity party trust "
            "FILE, at a broker with --data DIR.",
            code=ErrorCode.BUNDLE_REJECTED,
        )

    # --- parts ------------------------------------------------------------------------------------------------------

    def _require_sequence(self, party: str, name: str, sequence: int) -> None:
        whose = f"{party}/{name}" if name else f"the directory key of {party}"
        self._require_above(self.last_sequence(party, name), sequence, whose)

    def _require_above(self, last: int, sequence: int, whose: str) -> None:
        if sequence > last:
            return
        same = "was used for another statement" if sequence == last else f"is older than {last}, which is logged"
        raise ConflictError(
            f"sequence {sequence} of {whose} {same}",
            what_to_do=f"Make it again with sequence {last + 1}.",
            code=ErrorCode.SEQUENCE_STALE,
        )


def _require_unexpired(valid_until: int, at_ms: int) -> None:
    if at_ms >= valid_until:
        raise KeyFault(f"the statement expired at {utc(valid_until)}", code=ErrorCode.KEY_EXPIRED)


def _rejected(problem: str) -> KeyFault:
    return KeyFault(problem, code=ErrorCode.BUNDLE_REJECTED)
