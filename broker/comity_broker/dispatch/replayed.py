"""What one segment of a replay gives again, and why not the rest; the unit that says so first. Nothing here does I/O.

A slot comes again if this consumer was handed it at least once and it may go now. The unit writes one entry for each originator's
party and nothing else: no floor, no exception, no attempt. It is refused with STATE_CHANGED where the agreement's state is another one,
or its originator withdrew a report meanwhile, which raises no epoch.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from comity.envelope.receipts import Receipt
from comity.errors import ConflictError, ErrorCode
from comity.suites import RandomBytes
from comity_broker.auditlog.bodies import Event, SegmentSlots
from comity_broker.auditlog.log import Log
from comity_broker.auditlog.replays import replayed
from comity_broker.dispatch.composing import structural
from comity_broker.dispatch.floors import LaneState
from comity_broker.dispatch.frames import Reason, SkipReason
from comity_broker.dispatch.logged import Recipient, require_open
from comity_broker.dispatch.withheld import slots_of
from comity_broker.entries import Salts, add_events
from comity_broker.storage.protocol import (
    ExceptionRow,
    ExceptionState,
    Head,
    HoldingState,
    HoldRow,
    InboxRow,
    Known,
    Reads,
    Rows,
    SegmentRow,
    Unit,
)

_OTHER_FRAME: Final = Reason(SkipReason.OTHER_FRAME)
_ENDED: Final = {
    ExceptionState.EXPIRED: SkipReason.EXPIRED,
    ExceptionState.WITHDRAWN: SkipReason.WITHDRAWN,
    ExceptionState.RECALLED: SkipReason.RECALLED,
    ExceptionState.SUPERSEDED: SkipReason.SUPERSEDED,
}


@dataclass(frozen=True, slots=True)
class Start:
    """From where a consumer reads again: what was admitted from a time on (Unix ms), or from an entry on; the other is 0."""

    since: int = 0
    log_index: int = 0


@dataclass(slots=True, eq=False)
class Again:
    """One segment of a replay. `before` are the slots that were handed over before, `give` those that come again."""

    row: SegmentRow
    inbox: InboxRow
    originator: str
    due: int
    before: int
    give: int = 0
    reasons: dict[int, Reason] = field(default_factory=dict)

    def why(self, slot: int, receipt: Receipt, exceptions: Mapping[int, ExceptionRow]) -> Reason:
        """Say why a slot does not come."""
        if not self.due >> slot & 1:
            return structural(self.row, receipt, slot)
        if slot in self.reasons:
            return self.reasons[slot]
        found = exceptions.get(slot)
        ended = None if found is None else _ENDED.get(ExceptionState(found.state))
        # What did not end was never handed over: its turn comes in the consumer's own stream.
        return _OTHER_FRAME if found is None or ended is None else Reason(ended, found.log_index)


def handed_before(state: LaneState, item: int, due: int, exceptions: Mapping[int, ExceptionRow]) -> int:
    """Give the mask of the due slots of an item that a consumer was handed at least once; `exceptions` by slot."""
    handed = due & ~state.waiting(item, due)
    for slot, row in exceptions.items():
        # A replay of what was parked counts attempts from 0 again, but parked is only what was handed over.
        before = row.attempts > 0 or row.state == ExceptionState.RETRY
        handed = handed | 1 << slot if before else handed & ~(1 << slot)
    return handed & due


def replay_unit(  # noqa: PLR0917 - what the entry says, and what it depends on
    agreement_id: str,
    to: Recipient,
    start: Start,
    segments: Sequence[Again],
    holds: Collection[HoldRow],
    log: Log,
    *,
    now_ms: int,
    epoch: int,
    urgency: int,
    random_bytes: RandomBytes,
    beside: tuple[str, int] | None = None,
) -> Unit[int]:
    """Give the unit that says REPLAYED of what comes again; its result is the log's time, Unix ms."""
    by_party: dict[str, list[SegmentSlots]] = {}
    for one in segments:
        span = SegmentSlots(one.row.segment_id, list(slots_of(one.give)))
        by_party.setdefault(one.originator, []).append(span)
    salts = Salts.draw(log, len(by_party), random_bytes)
    below = max((one.item_next for one in holds), default=0)
    keys = [(one.row.item, slot) for one in segments if one.row.item < below for slot in slots_of(one.give)]

    def events(at: int) -> list[Event]:
        return [
            replayed(
                time=at,
                caller=to.caller,
                originator=party,
                recipient=(to.party, to.name),
                consumer=to.consumer,
                since=start.since,
                from_log_index=start.log_index,
                segments=spans,
            )
            for party, spans in sorted(by_party.items())
        ]

    def build(head: Head, known: Known) -> Rows[int]:
        require_open(head)
        if any(word.state != HoldingState.CONFIRMED for word in known.holdings.values()):
            raise ConflictError(
                "reports were withdrawn while they were about to be given again",
                what_to_do="Look again.",
                code=ErrorCode.STATE_CHANGED,
            )
        at = max(head.broker_time, now_ms)
        rows = Rows(replace(head, broker_time=at), at)
        add_events(rows, log, events(at), salts)
        return rows

    return Unit(agreement_id, build, Reads(holdings=keys), urgency=urgency, expected_epoch=epoch, beside=beside)
