"""What answers mean for the items they name, gathered for one unit, and then for memory. Nothing here does I/O.

Outcomes 1 and 3 to 6 settle a slot that is out, end a replay and lift a park; 2 parks a slot that is out. An answer to a slot
that is settled already changes nothing. Of two answers to one slot in one unit the first counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from comity.envelope import reasons
from comity.envelope.answering import is_control
from comity.envelope.evidence import AckOutcome
from comity.envelope.reasons import RejectReason
from comity.errors import MalformedError
from comity_broker.dispatch.answers import Acknowledgement, ItemAnswer
from comity_broker.dispatch.desk import Desk, Place
from comity_broker.dispatch.floors import Change
from comity_broker.dispatch.frames import Reason, SkipReason
from comity_broker.dispatch.lanes import LaneCursor
from comity_broker.dispatch.references import Reference
from comity_broker.dispatch.withheld import mask_of, slots_of

_SETTLES: Final = frozenset(AckOutcome) - {AckOutcome.NOT_IN_THIS_ACK, AckOutcome.PARKED}
_NEEDS_A_REPORT: Final = frozenset(
    {AckOutcome.ACKNOWLEDGED, AckOutcome.PARKED, AckOutcome.UNREADABLE, AckOutcome.REFUSED}
)


@dataclass(slots=True, eq=False)
class ItemOutcome:
    """What becomes of one item: slots that are settled or parked, of a replay the same, and parks that are lifted."""

    cursor: LaneCursor
    item: int
    segment_id: bytes
    reference: Reference | None
    answered: int = 0
    settle: int = 0
    park: int = 0
    replay_settle: int = 0
    replay_park: int = 0
    lift: int = 0
    change: Change | None = None

    @property
    def parked(self) -> dict[int, int]:
        """Give the attempts of each slot that is parked."""
        replay = self.cursor.replays.get(self.item)
        found = {} if self.reference is None else {slot: self.reference.attempt(slot) for slot in slots_of(self.park)}
        if replay is not None:
            found |= {slot: replay.attempt(slot) for slot in slots_of(self.replay_park)}
        return found

    def answer(self) -> ItemAnswer:
        """Give what the unit takes of it; `change` must be made."""
        reference = self.reference
        cleared = [] if reference is None else [slot for slot in sorted(reference.attempts) if self.settle >> slot & 1]
        return ItemAnswer(
            lane=self.cursor.row.lane,
            originator=self.cursor.party,
            item=self.item,
            segment_id=self.segment_id,
            change=self.change,
            cleared=[*cleared, *slots_of(self.replay_settle | self.lift)],
            parked=self.parked,
        )


@dataclass(slots=True)
class Gathered:
    """The answers of one agreement that go into one unit. `told` are items whose reasons the consumer has got by them."""

    desk: Desk
    records: list[tuple[bytes, Acknowledgement]] = field(default_factory=list)
    items: dict[int, ItemOutcome] = field(default_factory=dict)
    told: list[tuple[LaneCursor, Reference]] = field(default_factory=list)

    @property
    def settles(self) -> int:
        """Give how many reports these answers settle; parked ones are not."""
        return sum((one.settle | one.replay_settle | one.lift).bit_count() for one in self.items.values())

    def take_outcomes(self, place: Place, segment_id: bytes, outcomes: bytes) -> None:
        """Take what an acknowledgement says of one segment."""
        one = self._of(place, segment_id)
        final = _where(outcomes, _SETTLES)
        parks = _where(outcomes, {AckOutcome.PARKED})
        one.answered |= final | parks
        if place.reference is not None:
            out = place.cursor.state.outstanding(place.item, place.due) & ~(one.settle | one.park)
            one.settle |= final & out
            one.park |= parks & out
        replay = place.cursor.replays.get(place.item)
        replayed = 0 if replay is None else replay.due & ~(one.replay_settle | one.replay_park)
        one.replay_settle |= final & replayed
        one.replay_park |= parks & replayed
        one.lift |= final & mask_of(self.desk.parked.get(place.item, ())) & ~replayed

    def take_back(self, place: Place, segment_id: bytes, slot: int) -> None:
        """Take that one report is given back, if it is with the consumer."""
        one = self._of(place, segment_id)
        replay = place.cursor.replays.get(place.item)
        if place.reference is not None:
            one.park |= place.reference.flight & 1 << slot
        if replay is not None:
            one.replay_park |= replay.flight & 1 << slot

    def settle_told(self) -> None:
        """Find what the consumer has got by these acknowledgements, and make every item's change."""
        for one in self.items.values():
            if one.reference is not None and self.records:
                self.told += [(one.cursor, reference) for reference in one.cursor.received(one.reference, one.answered)]
        for one in self.items.values():
            if one.reference is not None:
                one.change = one.reference.change(settle=one.settle | one.park, owes=bool(one.park))

    def untold(self) -> None:
        """Undo `settle_told`: the unit was refused."""
        for _, reference in self.told:
            reference.told = False

    def answers(self) -> list[ItemAnswer]:
        """Give what the unit takes."""
        others = [
            ItemAnswer(cursor.row.lane, cursor.party, one.item, one.segment_id, one.change())
            for cursor, one in self.told
            if one.item not in self.items
        ]
        return [*(one.answer() for one in self.items.values()), *others]

    def take(self, parked_at: Mapping[str, int]) -> Iterator[tuple[LaneCursor, Reference, dict[int, Reason]]]:
        """Have memory follow what was committed, item by item; give with each what is to be said as skipped.

        `parked_at` is the log index of PARKED by party.
        """
        for one in self.items.values():
            why = Reason(SkipReason.PARKED, parked_at.get(one.cursor.party, 0))
            found = dict.fromkeys(slots_of(one.park), why)
            for slot, attempts in one.parked.items():
                self.desk.parked.setdefault(one.item, {})[slot] = attempts
            for slot in slots_of(one.lift):
                self.desk.unpark(one.item, slot)
            replay = one.cursor.replays.get(one.item)
            if replay is not None:
                one.cursor.take_replay(replay, {}, one.replay_settle | one.replay_park)
                self.desk.forget_done(one.cursor, replay)
            if one.reference is not None and one.change is not None:
                one.cursor.take(one.reference, one.change, reasons=found)
                self.desk.forget_done(one.cursor, one.reference)
                yield one.cursor, one.reference, found
        for cursor, reference in self.told:
            if reference.item not in self.items:
                cursor.take(reference, reference.change())
                self.desk.forget_done(cursor, reference)

    def _of(self, place: Place, segment_id: bytes) -> ItemOutcome:
        made = ItemOutcome(place.cursor, place.item, segment_id, place.reference)
        return self.items.setdefault(place.item, made)


def check_outcomes(place: Place, outcomes: bytes) -> None:
    """Check that outcomes which need a report are of slots that were handed over; raises RejectedError, MalformedError.

    Class 0 is never parked.
    """
    said = _where(outcomes, _NEEDS_A_REPORT)
    never = said & ~place.due | said & place.cursor.state.waiting(place.item, place.due)
    reasons.require(not never, RejectReason.ACK_OUTCOMES)
    if is_control(place.cursor.row.key.transport_class) and AckOutcome.PARKED in outcomes:
        raise never_parked()


def never_parked() -> MalformedError:
    """Build the error for a park of class 0."""
    return MalformedError(
        "a recall is never parked", what_to_do="Give it back to be handed over again later, or acknowledge it."
    )


def _where(outcomes: bytes, wanted: frozenset[AckOutcome] | set[AckOutcome]) -> int:
    mask = 0
    for outcome in set(outcomes):
        if outcome in wanted:
            mask |= _with(outcomes, outcome)
    return mask


def _with(outcomes: bytes, outcome: int) -> int:
    if outcomes.count(outcome) == len(outcomes):
        return (1 << len(outcomes)) - 1
    return mask_of(slot for slot, one in enumerate(outcomes) if one == outcome)
