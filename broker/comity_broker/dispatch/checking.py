"""Whether reports may be handed over now: their times, suspensions with what their originator said since, and the decision anew.

In order, for a slot: taken back by its originator (recalled, superseded), whether it was handed over before or not; withdrawn by its originator while it was held; expired; held by a suspension that came before it was handed
over and after which its originator said nothing; not permitted to this node any more; not yet to be handed over (`not_before`).
Else it may go. What was handed over once is not held by a suspension any more: its age and the decision are looked at.

The decision is taken anew (`Rechecker`), but for what admission alone decides, where it may have changed since: another
state_epoch, a date of the agreement or an accreditation that ended meanwhile, a start of the broker, or an hour. It is taken under the version that the report names,
and under every later one that applies to what is held. A report goes only if this node may still have every portion that its
stanza gives it. A suspension of clauses holds what it would have denied. A sender's key that was revoked holds too; one that was rotated
does not.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from comity.envelope.segment import Segment, WholeItem
from comity.errors import ErrorCode, StorageError
from comity.identity.directory import KeyDirectory
from comity.identity.records import NodeRecord, RecordedKey
from comity.suites import KeyRole
from comity_broker.deciding import Approved, Decider
from comity_broker.dispatch.withheld import slots_of
from comity_broker.standing import Standing, Under
from comity_broker.storage.protocol import HoldingRow, HoldingState, ReportRow, SegmentRow
from comity_policy.facts import Profile

TAKEN_BACK: Final = frozenset({HoldingState.RECALLED, HoldingState.SUPERSEDED})
_TRUSTED_MS: Final = 3_600_000
_SLICE: Final = 32


@dataclass(frozen=True, slots=True)
class Suspension:
    """A suspension that came before an item was handed over, and the slots that it holds."""

    log_index: int
    slots: int


@dataclass(slots=True)
class Verdicts:
    """What may be done with slots of one item. `hold` and `withdrawn` give the log entry, `taken_back` the word.

    From the first slot on that waits for its `not_before` nothing more is said; `until_ms` is that time, else 0.
    """

    hand: int = 0
    expired: int = 0
    hold: dict[int, int] = field(default_factory=dict)
    withdrawn: dict[int, int] = field(default_factory=dict)
    taken_back: dict[int, HoldingRow] = field(default_factory=dict)
    until_ms: int = 0


def all_may_go(row: SegmentRow, now_ms: int) -> bool:
    """Say whether no report of a segment has expired or waits for its `not_before`: else each is looked at (`judge`)."""
    return row.not_before_last <= now_ms < row.expires_first


def judge(
    slots: int,
    reports: Mapping[int, ReportRow],
    now_ms: int,
    *,
    denied: int = 0,
    suspensions: Sequence[Suspension] = (),
    words: Mapping[int, HoldingRow] | None = None,
) -> Verdicts:
    """Say what may be done with slots of an item; `reports`, `words` by slot. Raises StorageError where a report is missing."""
    verdicts = Verdicts()
    for slot in slots_of(slots):
        row = reports.get(slot)
        if row is None:
            raise StorageError(
                "the store lacks a report that an inbox names",
                what_to_do="Nothing was lost by this: stop, copy the data directory, run comity broker check.",
                code=ErrorCode.STORAGE_FAILED,
            )
        word = (words or {}).get(slot)
        binding = [
            one.log_index
            for one in suspensions
            if one.slots >> slot & 1 and (word is None or word.log_index < one.log_index)
        ]
        if word is not None and word.state in TAKEN_BACK:
            verdicts.taken_back[slot] = word
        elif word is not None and word.state == HoldingState.WITHDRAWN:
            verdicts.withdrawn[slot] = word.log_index
        elif row.expires_at <= now_ms:
            verdicts.expired |= 1 << slot
        elif binding:
            verdicts.hold[slot] = binding[-1]
        elif denied >> slot & 1:
            verdicts.hold[slot] = 0
        elif row.not_before > now_ms:
            verdicts.until_ms = row.not_before
            break
        else:
            verdicts.hand |= 1 << slot
    return verdicts


class Rechecker:
    """Takes decisions anew at hand-over, by the same kind of facts as admission."""

    def __init__(self, decider: Decider, keys: KeyDirectory) -> None:
        self._decider = decider
        self._keys = keys
        self._since_ms = 0

    def started(self, now_ms: int) -> None:
        """Trust no decision of an earlier process, Unix ms: it may have died before it said which keys had changed."""
        self._since_ms = now_ms

    def may_have_changed(self, row: SegmentRow, standing: Standing, node: NodeRecord, now_ms: int) -> bool:
        """Say whether a decision of a segment's admission may be another one now."""
        until = None if node.accreditation is None else node.accreditation.until
        lapsed = until is not None and row.admitted_at < until <= now_ms
        earlier = row.admitted_at <= self._since_ms
        late = now_ms - row.admitted_at >= _TRUSTED_MS
        return row.epoch != standing.epoch or lapsed or earlier or late or standing.turned(row.admitted_at, now_ms)

    async def denied(
        self,
        under: Under,
        segment: Segment,
        slots: int,
        node: NodeRecord,
        now_ms: int,
        *,
        breathe: Callable[[], Awaitable[None]],
    ) -> int:
        """Give those of the slots of which this node may not have now what their stanzas give it.

        `breathe` is awaited after every 32 reports, so that what is more urgent passes.
        """
        denied = 0
        for number, slot in enumerate(slots_of(slots)):
            if number % _SLICE == _SLICE - 1:
                await breathe()
            item = segment.items[slot]
            if not isinstance(item, WholeItem) or not self._permits(under, item, node, now_ms):
                denied |= 1 << slot
        return denied

    def owns(self, node: NodeRecord, fingerprint: bytes) -> bool:
        """Say whether a KEM key is or was this node's."""
        owner = self._keys.owner(fingerprint)
        return owner is not None and owner.identity == node.identity

    def _permits(self, under: Under, item: WholeItem, node: NodeRecord, now_ms: int) -> bool:
        profile = item.core.profile
        key, agreements = self._sender(profile), under(profile.agreement_digest)
        if key is None or not agreements:
            return False
        given = {index for row in item.manifest.rows if self.owns(node, row.fingerprint) for index in row.indices}
        officers = self._keys.officers_under(node.party, profile.agreement_id, now_ms)
        candidate = self._decider.candidate(node, officers, profile.suite, now_ms, capable=True)
        moment = self._decider.moment(now_ms, key, Approved(roles=frozenset(one.role for one in item.approvals)))
        for compiled in agreements:
            # A later version that applies to what is held decides on the report as if it named that version.
            named = replace(profile, agreement_digest=compiled.source.digest)
            if not given <= self._decider.still_permitted(compiled, named, item.core.times, candidate, moment):
                return False
        return True

    def _sender(self, profile: Profile) -> RecordedKey | None:
        bundle = self._keys.key_set(profile.key_set)
        key = None if bundle is None else bundle.key(KeyRole.NODE_SIGNING, profile.suite)
        if bundle is None or key is None:
            return None
        revoked = self._keys.revocation(key.fingerprint) or self._keys.revocation(bundle.signed_by)
        return None if revoked else key
