"""The unit that takes answers: acknowledgements and reports given back, one transaction of one agreement. Pure.

In order: the log is not frozen; ACKNOWLEDGED for each record, PARKED for each originator's party whose reports the application
parked; floors; exceptions. An answer to what is settled already changes no floor: it is evidence all the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from comity.envelope.evidence import SignedAck
from comity.suites import RandomBytes
from comity_broker.auditlog.bodies import SegmentSlots
from comity_broker.auditlog.events import acknowledged
from comity_broker.auditlog.kinds import EventKind
from comity_broker.auditlog.log import Log
from comity_broker.dispatch.floors import Change
from comity_broker.dispatch.handover import Logged
from comity_broker.dispatch.logged import Recipient, lane_states, places, require_open, said
from comity_broker.entries import Salts, add_events
from comity_broker.storage.protocol import ExceptionRow, ExceptionState, Head, Known, Reads, Rows, Unit

PARK_REASON: Final = "application"
ANSWER_URGENCY: Final = 3


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """A verified record and the originator's party it is about."""

    originator: str
    signed: SignedAck


@dataclass(frozen=True, slots=True)
class ItemAnswer:
    """What the consumer said of one item. `change` is what its floor takes, None where no floor is concerned.

    `cleared` slots have an exception row that falls away; `parked` gives the attempts of each, `retried` attempts and the time
    (Unix ms) before which it is not handed over again.
    """

    lane: int
    originator: str
    item: int
    segment_id: bytes
    change: Change | None
    cleared: Sequence[int] = ()
    parked: Mapping[int, int] = field(default_factory=dict)
    retried: Mapping[int, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answered:
    """What a unit gave: its time, where the first acknowledgement's entry is (others follow), where parked ones are."""

    logged: Logged
    first_log_index: int


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers under one agreement to be taken together."""

    agreement_id: str
    to: Recipient
    acknowledgements: Sequence[Acknowledgement]
    items: Sequence[ItemAnswer]
    now_ms: int
    key_log_size: int
    park_reason: str = PARK_REASON

    def unit(self, log: Log, random_bytes: RandomBytes) -> Unit[Answered]:
        """Give the unit. It depends on no state of the agreement: evidence is taken at any time."""
        parks = said(
            EventKind.PARKED,
            ((one.originator, SegmentSlots(one.segment_id, sorted(one.parked))) for one in self.items),
            reason=self.park_reason,
            caller=self.to.caller,
        )
        count = len(self.acknowledgements)
        salts = Salts.draw(log, count + len(parks), random_bytes)
        node, consumer = self.to.node, self.to.consumer

        def build(head: Head, known: Known) -> Rows[Answered]:
            require_open(head)
            at = max(head.broker_time, self.now_ms)
            logged = Logged(at, places(head.leaf_next + count, parks))
            rows = Rows(replace(head, broker_time=at), Answered(logged, head.leaf_next))
            states = lane_states(known, self.to, (one.lane for one in self.items if one.change is not None))
            for one in self.items:
                if one.change is not None:
                    states[one.lane].apply(one.change)
                rows.exceptions.extend(self._exceptions(one, logged))
            rows.floors.extend(state.encode(node, consumer, lane) for lane, state in states.items())
            events = [
                acknowledged(
                    time=at,
                    caller=self.to.caller,
                    key_log_size=self.key_log_size,
                    originator=one.originator,
                    recipient=(self.to.party, self.to.name),
                    consumer=consumer,
                    ack=one.signed,
                )
                for one in self.acknowledgements
            ]
            events += [one.event(self.to, at) for one in parks]
            if events:
                add_events(rows, log, events, salts)
            return rows

        lanes = sorted({(node, consumer, one.lane) for one in self.items if one.change is not None})
        return Unit(self.agreement_id, build, Reads(floors=lanes), urgency=ANSWER_URGENCY)

    def _exceptions(self, one: ItemAnswer, logged: Logged) -> Iterator[ExceptionRow]:
        key = (self.to.node, self.to.consumer, one.item)
        for slot in one.cleared:
            yield ExceptionRow(*key, slot, 0, 0, 0, "", 0)
        for slot, attempts in one.parked.items():
            log_index = logged.places[EventKind.PARKED, one.originator]
            yield ExceptionRow(*key, slot, ExceptionState.PARKED, attempts, 0, self.park_reason, log_index)
        for slot, (attempts, not_before) in one.retried.items():
            yield ExceptionRow(*key, slot, ExceptionState.RETRY, attempts, not_before, "", 0)
