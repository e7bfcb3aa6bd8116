"""The key log as a node folds it, and what envelopes and decisions take from it (designs 03 and 05).

Rules in order:
1. Entries are folded in the log's order, at the log's times, with the cards this machine trusts. What a party says that is not
   trusted here is kept in the mirror and means nothing; what has no authority means nothing and is an alarm.
2. The key log says how old a claim "the key log had n entries then" may be: `least_size` refuses a place in it that leaves
   out what was there before. So nobody hides a withdrawal by stating an older size.
3. Whose key signs a batch, and whether an officer may approve, are answers of the newest entries.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from comity.envelope.checks import OfficerKey, SigningNode
from comity.envelope.seal import Recipient
from comity.errors import ComityError, ErrorCode, KeyFault
from comity.identity.bodies import PartyCard
from comity.identity.directory import KeyDirectory
from comity.identity.records import NodeRecord, RecordedKey
from comity.node.entries import MirroredEntry
from comity.statement import from_json
from comity.suites import KeyRole

STATEMENTS: Final = frozenset({"KEY_ENROLLED", "KEY_ROTATED", "KEY_REVOKED", "CAPABILITIES_STATED"})
# Two entries of different logs get their times within one commit of each other.
ORDER_MS: Final = 60_000


@dataclass(slots=True)
class KeyLog:
    """The fold of a key log so far. `faults` are (index, why) of statements of trusted parties that have no authority."""

    directory: KeyDirectory
    times: list[int] = field(default_factory=list)
    faults: list[tuple[int, str]] = field(default_factory=list)

    @classmethod
    def trusting(cls, cards: Mapping[str, PartyCard]) -> KeyLog:
        """Begin a fold with the cards that are trusted here."""
        return cls(KeyDirectory(cards))

    @property
    def size(self) -> int:
        """Give how many entries were folded."""
        return len(self.times)

    def take(self, entry: MirroredEntry) -> None:
        """Fold the next entry, whose parts were checked; raises VerificationError or MalformedError for its form."""
        body = entry.shared()
        self.times.append(body["time"])
        if entry.kind not in STATEMENTS:
            return
        statement = from_json(body["statement"])
        if statement.type == "party-card":
            return
        try:
            self.directory.apply(statement, log_index=entry.log_index, at_ms=body["time"])
        except ComityError as error:
            if error.code is not ErrorCode.PARTY_UNTRUSTED:
                self.faults.append((entry.log_index, error.message))

    def least_size(self, at_ms: int) -> int:
        """Give how many entries the key log had at least at that time (Unix ms) of another log of the same broker."""
        return bisect_left(self.times, at_ms - ORDER_MS)

    def size_at(self, at_ms: int) -> int:
        """Give how many entries the key log had when the broker's time was that."""
        return bisect_right(self.times, at_ms)


def signing_node(
    directory: KeyDirectory, key_set: bytes, suite: int, now_ms: int
) -> tuple[SigningNode, NodeRecord, RecordedKey]:
    """Give the node a key set names with its signing key, as checks take it; raises KeyFault."""
    record, key = directory.signing_node(key_set, suite, now_ms)
    return SigningNode(record.party, record.node, key_set, suite, key.public), record, key


def officer_lookup(
    directory: KeyDirectory, agreement_id: str, now_ms: int, log_size: int | None = None
) -> Callable[[bytes], OfficerKey | None]:
    """Give what checks of approvals ask: an officer's key that counts then, with the roles it holds for an agreement.

    `log_size` is how much of the key log counted then; None: all of it.
    """

    def look_up(fingerprint: bytes) -> OfficerKey | None:
        try:
            record = directory.officer_by_key(fingerprint, now_ms, log_size)
        except KeyFault:
            return None
        key = next(one for one in record.keys if one.fingerprint == fingerprint)
        roles = frozenset(role for role in record.roles if record.holds(role, agreement_id))
        return OfficerKey(str(record.identity), record.party, key.suite, key.public, roles)

    return look_up


def recipient_of(record: NodeRecord, suite: int) -> Recipient | None:
    """Give a node's KEM key of a suite as sealing takes it; None where it has none."""
    key = record.key(KeyRole.NODE_KEM, suite)
    return None if key is None else Recipient(record.party, suite, key.public, key.fingerprint)
