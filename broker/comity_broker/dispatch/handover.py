"""The unit that hands over: one transaction of one agreement, committed before a byte of it is written to the stream. Pure.

In order: the log is not frozen; nothing of it was settled or handed over meanwhile (else STATE_CHANGED: look again); events for
each originator's party: EXPIRED, HELD, PARKED where the attempts are used up, DELIVERED; floors; exceptions. Floors are read in
the unit and changed there, so that a hand-over and an answer of one lane may be under way together.

A report needs an exception row only when something went wrong with it: handed over more than once or held after it was,
parked, expired, withdrawn. Its `attempts` say how often it was handed over, 0 that it never was: evidence shows it, or hides it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from comity.errors import ConflictError, ErrorCode
from comity.suites import RandomBytes
from comity_broker.auditlog.bodies import SegmentSlots
from comity_broker.auditlog.kinds import EventKind
from comity_broker.auditlog.log import Log
from comity_broker.dispatch.floors import Change, LaneState
from comity_broker.dispatch.logged import Recipient, Said, lane_states, places, require_open, said
from comity_broker.dispatch.withheld import slots_of
from comity_broker.entries import Salts, add_events
from comity_broker.storage.protocol import ExceptionRow, ExceptionState, Head, Known, Reads, Rows, Unit

ATTEMPTS_REASON: Final = "attempts"
HELD_REASON: Final = "the agreement was suspended, or does not permit it now"


@dataclass(frozen=True, slots=True)
class ItemPlan:
    """What is to be done with one item. `change` is what its floor takes, None for a replay, which moves none.

    `hand` slots are handed over for the first time, `again` slots were before; `attempts` has the number of each hand-over that
    is not the first, `before` how often the slots were handed over that end or are held now, where they were. `expired` slots, `withdrawn` (with the entry that says so), `taken_back` (with the state and the entry) and `parked` (with their attempts) are those the
    change settles, for a replay those that end.
    """

    lane: int
    originator: str
    item: int
    segment_id: bytes
    change: Change | None
    hand: int = 0
    again: int = 0
    attempts: Mapping[int, int] = field(default_factory=dict)
    before: Mapping[int, int] = field(default_factory=dict)
    expired: int = 0
    hold: int = 0
    withdrawn: Mapping[int, int] = field(default_factory=dict)
    taken_back: Mapping[int, tuple[ExceptionState, int]] = field(default_factory=dict)
    parked: Mapping[int, int] = field(default_factory=dict)

    @property
    def slots(self) -> int:
        """Give all slots that are handed over."""
        return self.hand | self.again

    def attempt(self, slot: int) -> int:
        """Give the number of a slot's hand-over."""
        return self.attempts.get(slot, 1)


@dataclass(frozen=True, slots=True)
class Logged:
    """What a unit gave: its time, and where its entries are by kind and originator's party."""

    at_ms: int
    places: Mapping[tuple[EventKind, str], int]


@dataclass(frozen=True, slots=True)
class HandOver:
    """Items of one agreement to be handed over together."""

    agreement_id: str
    to: Recipient
    plans: Sequence[ItemPlan]
    now_ms: int

    def unit(
        self,
        log: Log,
        *,
        epoch: int,
        urgency: int,
        random_bytes: RandomBytes,
        beside: tuple[str, int] | None = None,
    ) -> Unit[Logged]:
        """Give the unit; it is refused with STATE_CHANGED where the agreement's state is not that of `epoch` (`Unit`) any more."""
        events = self._events()
        salts = Salts.draw(log, len(events), random_bytes)
        node, consumer = self.to.node, self.to.consumer

        def build(head: Head, known: Known) -> Rows[Logged]:
            require_open(head)
            at = max(head.broker_time, self.now_ms)
            result = Logged(at, places(head.leaf_next, events))
            rows = Rows(replace(head, broker_time=at), result)
            states = lane_states(known, self.to, (one.lane for one in self.plans if one.change is not None))
            for one in self.plans:
                if one.change is not None:
                    _check_still_due(states[one.lane], one, one.change)
                    states[one.lane].apply(one.change)
                rows.exceptions.extend(_exceptions(self.to, one, result))
            rows.floors.extend(state.encode(node, consumer, lane) for lane, state in states.items())
            if events:
                add_events(rows, log, [one.event(self.to, at) for one in events], salts)
            return rows

        reads = Reads(floors=sorted({(node, consumer, one.lane) for one in self.plans}))
        return Unit(self.agreement_id, build, reads, urgency=urgency, expected_epoch=epoch, beside=beside)

    def _events(self) -> list[Said]:
        plans = self.plans
        return [
            *said(EventKind.EXPIRED, ((one.originator, _span(one, slots_of(one.expired))) for one in plans)),
            *said(
                EventKind.HELD,
                ((one.originator, _span(one, slots_of(one.hold))) for one in plans),
                reason=HELD_REASON,
            ),
            *said(
                EventKind.PARKED,
                ((one.originator, _span(one, one.parked)) for one in plans),
                reason=ATTEMPTS_REASON,
            ),
            *said(EventKind.DELIVERED, _handed(plans), caller=self.to.caller),
        ]


def _handed(plans: Sequence[ItemPlan]) -> Iterator[tuple[str, SegmentSlots]]:
    for one in plans:
        by_attempt = {1: one.slots}
        for slot, attempt in one.attempts.items():
            by_attempt[1] &= ~(1 << slot)
            by_attempt[attempt] = by_attempt.get(attempt, 0) | 1 << slot
        for attempt, slots in sorted(by_attempt.items()):
            yield one.originator, SegmentSlots(one.segment_id, list(slots_of(slots)), attempt)


def _span(one: ItemPlan, slots: Iterator[int] | Mapping[int, int]) -> SegmentSlots:
    return SegmentSlots(one.segment_id, sorted(slots))


def _check_still_due(state: LaneState, one: ItemPlan, change: Change) -> None:
    waiting = state.waiting(one.item, change.due)
    outstanding = state.outstanding(one.item, change.due)
    if change.hand & ~waiting or one.again & ~outstanding:
        raise ConflictError(
            "reports were answered while they were about to be handed over again",
            what_to_do="Look again.",
            code=ErrorCode.STATE_CHANGED,
        )


def _exceptions(to: Recipient, one: ItemPlan, logged: Logged) -> Iterator[ExceptionRow]:
    def row(slot: int, state: ExceptionState, kind: EventKind, attempts: int, reason: str = "") -> ExceptionRow:
        log_index = logged.places[kind, one.originator]
        return ExceptionRow(to.node, to.consumer, one.item, slot, state, attempts, 0, reason, log_index)

    # What is handed over for the first time has no row, but for a replay, whose row says that it was parked.
    for slot in slots_of(one.slots) if one.change is None else sorted(one.attempts):
        if one.attempt(slot) > 1 or one.change is None:
            yield row(slot, ExceptionState.RETRY, EventKind.DELIVERED, one.attempt(slot))
    for slot in slots_of(one.hold):
        if slot in one.before:
            yield row(slot, ExceptionState.RETRY, EventKind.HELD, one.before[slot])
    for slot in slots_of(one.expired):
        yield row(slot, ExceptionState.EXPIRED, EventKind.EXPIRED, one.before.get(slot, 0))
    for slot, attempts in one.parked.items():
        yield row(slot, ExceptionState.PARKED, EventKind.PARKED, attempts, ATTEMPTS_REASON)
    for slot, log_index in one.withdrawn.items():
        attempts = one.before.get(slot, 0)
        yield ExceptionRow(to.node, to.consumer, one.item, slot, ExceptionState.WITHDRAWN, attempts, 0, "", log_index)
    for slot, (state, log_index) in one.taken_back.items():
        yield ExceptionRow(to.node, to.consumer, one.item, slot, state, one.before.get(slot, 0), 0, "", log_index)
