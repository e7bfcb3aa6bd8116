"""What is due next in one lane for one consumer: the state that is stored, and what only this session knows (design 04).

Rules in order:
1. Items come in their order, slots in theirs. A lane waits behind a report that is being handed over again; other lanes do
   not. A report that was parked, expired, withdrawn or dropped lets the lane go on.
2. A slot is handed over again when its deadline passes, when it is given back, and in a new session. What was handed over
   once may come again together; what was handed over twice comes alone in its lane, so that a report that kills its reader
   takes no neighbour's attempts with it.
3. A held slot does not block: its lane goes on, and it comes when it is free.
4. The floor passes an item only when the consumer is known to have got the reasons for what it did not get: it answered the
   frame that told them or a later one of the lane. A new session is told again.
5. A replay is outside the order: it neither waits for its lane nor blocks it, and moves no floor.

Nothing here does I/O or reads a clock; `now` is monotonic, in seconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from comity.envelope.answering import is_control
from comity_broker.dispatch.floors import Change, LaneState
from comity_broker.dispatch.frames import Reason, Skip, SkipReason
from comity_broker.dispatch.references import Pending, Reference, drop, mark, unmark
from comity_broker.dispatch.withheld import decode_due, slots_of
from comity_broker.storage.protocol import ExceptionRow, ExceptionState, InboxRow, LaneRow

CREDIT_PATIENCE_SECONDS: Final = 0.25
_ALONE_AFTER: Final = 2
_UNTOLD_KEPT: Final = 64
_REASONS: Final = {
    ExceptionState.PARKED: SkipReason.PARKED,
    ExceptionState.DROPPED: SkipReason.PARKED,
    ExceptionState.EXPIRED: SkipReason.EXPIRED,
    ExceptionState.WITHDRAWN: SkipReason.WITHDRAWN,
    ExceptionState.RECALLED: SkipReason.RECALLED,
    ExceptionState.SUPERSEDED: SkipReason.SUPERSEDED,
}


def classes_of(*, exercise: bool) -> tuple[range, range]:
    """Give the classes of a session, which is of real or of exercise traffic, so neither stands before the other; and the urgent ones."""
    first = 5 * exercise
    return range(first, first + 5), range(first, first + 3)


class LaneCursor:
    """One lane of one consumer, in one session.

    `changes` counts what may free a held report, `looked` is its value when all held ones were looked at last. Until
    `waits_until_ms` (Unix ms) nothing new is looked at. Since `short_since` its next item waits for credit to go whole.
    """

    def __init__(self, row: LaneRow, state: LaneState) -> None:
        self.row = row
        self.state = state
        self.items: dict[int, Reference] = {}
        self.replays: dict[int, Reference] = {}
        self.skips: list[tuple[Reference, Skip]] = []
        self.queue: deque[Reference] = deque()
        self.held: dict[int, Reference] = {}
        self.more = True
        self.changes = 1
        self.looked = 0
        self.waits_until_ms = 0
        self.short_since: float | None = None
        self._last = self.read_to = state.floor
        self._again: dict[int, Reference] = {}
        # Slots by item: those the lane waits behind, and those of them that come alone.
        self._retried: dict[int, int] = {}
        self._alone: dict[int, int] = {}

    @property
    def party(self) -> str:
        """Give the originator's party."""
        return self.row.key.node.partition("/")[0]

    # --- reading ahead ----------------------------------------------------------------------------------------------

    @property
    def read_after(self) -> int:
        """Give the item after which storage is read next; items that are done are passed over."""
        if self.state.is_done(self.read_to + 1):
            self.read_to = self._last = self.state.done_until(self.read_to + 1)
        return self.read_to

    def extend(
        self, rows: Iterable[InboxRow], exceptions: Mapping[int, Mapping[int, ExceptionRow]], now: float, now_ms: int
    ) -> None:
        """Take inbox rows that follow those read before; `exceptions` by item and slot."""
        for row in rows:
            previous, self._last = self._last, row.item
            self.read_to = row.item
            if self.state.is_done(row.item):
                continue
            due = decode_due(row.due)
            reference = Reference(row.item, previous, due, row.withheld, due)
            self.items[row.item] = reference
            if row.item <= self.state.handed:
                self._take_up(reference, exceptions.get(row.item, {}), now, now_ms)
            self._enqueue(reference)

    def let_go(self) -> None:
        """Forget what was read ahead and never handed over, so that a lane that waits takes no room from others."""
        while self.queue and self.queue[-1].item > self.state.handed:
            self.items.pop(self.queue.pop().item, None)
        if self.read_to > self.state.handed:
            self.read_to = self._last = max(self.state.handed, self.state.floor)
            self.more = True

    def _take_up(
        self,
        reference: Reference,
        exceptions: Mapping[int, ExceptionRow],
        now: float,
        now_ms: int,
    ) -> None:
        item = reference.item
        for slot in slots_of(self.state.settled(item, reference.due)):
            row = exceptions.get(slot)
            why = None if row is None else _REASONS.get(ExceptionState(row.state))
            if row is not None and why is not None:
                reference.reasons[slot] = Reason(why, row.log_index)
        for slot in slots_of(self.state.outstanding(item, reference.due)):
            row = exceptions.get(slot)
            reference.retry[slot] = now + (0.0 if row is None else max(0, row.not_before - now_ms) / 1000)
            reference.attempts[slot] = 1 if row is None else row.attempts
            mark(self._retried, item, 1 << slot)
        for slot in slots_of(self.state.held(item)):
            row = exceptions.get(slot)
            if row is not None and row.attempts:
                reference.attempts[slot] = row.attempts
        if reference.retry or not self.state.waiting(item, reference.due) & ~self.state.held(item):
            self._again[item] = reference

    def _enqueue(self, reference: Reference) -> None:
        item = reference.item
        held = self.state.held(item)
        if held:
            self.held[item] = reference
        if item > self.state.handed or self.state.waiting(item, reference.due) & ~held:
            self.queue.append(reference)

    def replay(self, row: InboxRow, slots: Mapping[int, int], now: float) -> None:
        """Take up reports that were parked and are to be handed over again: slot -> attempts so far."""
        fresh = Reference(row.item, 0, 0, row.withheld, decode_due(row.due))
        reference = self.replays.setdefault(row.item, fresh)
        for slot, attempts in slots.items():
            reference.due |= 1 << slot
            reference.retry[slot] = now
            reference.attempts[slot] = attempts
            if row.item in self.items:
                self.items[row.item].reasons.pop(slot, None)

    # --- what could be handed over ----------------------------------------------------------------------------------

    @property
    def blocked(self) -> bool:
        """Say whether the lane waits behind a report that is handed over again."""
        return bool(self._retried)

    @property
    def is_idle(self) -> bool:
        """Say whether nothing could be handed over or told, whatever the time and the credit: nothing needs to be looked at."""
        open_ones = self.more or self.queue or self.held or self._again or self.replays
        return not open_ones and len(self.items) <= _UNTOLD_KEPT

    @property
    def ahead(self) -> int:
        """Give how many items wait to be handed over for the first time."""
        return len(self.queue)

    @property
    def in_flight(self) -> int:
        """Give how many reports are with the consumer or on their way."""
        return sum(one.flight.bit_count() for one in (*self.items.values(), *self.replays.values()))

    def exhausted(self, attempts: int) -> list[Pending]:
        """Give what was handed over so many times without an answer, to be parked. Class 0 is never parked."""
        if is_control(self.row.key.transport_class):
            return []
        found = []
        for reference in (*(self._again[item] for item in sorted(self._again)), *self.replays.values()):
            spent = sum(1 << slot for slot in reference.retry if reference.attempts.get(slot, 1) >= attempts)
            if spent:
                found.append(Pending(reference, spent))
        return found

    def again(self, now: float) -> list[Pending]:
        """Give what is to be handed over again now, in order; with no slots, an item whose reasons are to be told again."""
        found: list[Pending] = []
        if self._alone:
            return found
        for item in sorted(self._again):
            reference = self._again[item]
            slots = 0
            for slot in sorted(reference.retry):
                alone = reference.attempts[slot] >= _ALONE_AFTER
                if reference.retry[slot] > now or (alone and (found or slots)):
                    return [*found, Pending(reference, slots)] if slots else found
                slots |= 1 << slot
                if alone:
                    return [Pending(reference, slots)]
            found.append(Pending(reference, slots))
        return found

    def replayable(self, now: float) -> list[Pending]:
        """Give the replays that are to be handed over now."""
        ready = [
            Pending(one, sum(1 << slot for slot, at in one.retry.items() if at <= now)) for one in self.replays.values()
        ]
        return [one for one in ready if one.slots]

    def fresh(self) -> Iterator[Pending]:
        """Give what was never handed over, in order: first what was held, where it is looked at again, then what follows."""
        if self.blocked:
            return
        if self.looked != self.changes:
            for item in sorted(self.held):
                yield Pending(self.held[item], self.state.held(item))
        for reference in list(self.queue):
            item = reference.item
            yield Pending(reference, self.state.waiting(item, reference.due) & ~self.state.held(item))

    def owed(self, now: float) -> int:
        """Give how many reports are to be handed over again whose time has come, also where they wait for one another."""
        return sum(at <= now for one in (*self._again.values(), *self.replays.values()) for at in one.retry.values())

    def next_retry(self) -> float | None:
        """Give when something may be handed over again, where that is only a matter of time."""
        times = [min(one.retry.values()) for one in self.replays.values() if one.retry]
        waiting = [one for one in self._again.values() if one.retry]
        if waiting and not self._alone:
            first = min(waiting, key=lambda one: one.item)
            times.append(first.retry[min(first.retry)])
        return min(times, default=None)

    def overdue(self) -> list[Reference]:
        """Mark as told, and give, the oldest of too many settled items that only wait for an answer to a later frame."""
        waiting = [
            one
            for one in self.items.values()
            if one.told_by and not one.told and self.state.settled(one.item, one.due) == one.due
        ]
        surplus = waiting[: max(0, len(waiting) - _UNTOLD_KEPT)]
        for one in surplus:
            one.told = True
        return surplus

    # --- what happened ----------------------------------------------------------------------------------------------

    def take(
        self,
        reference: Reference,
        change: Change,
        *,
        again: Mapping[int, int] | None = None,
        reasons: Mapping[int, Reason] | None = None,
        handed: bool = False,
    ) -> None:
        """Take what was committed: the change, slots handed over again with their attempt, why slots were settled.

        `handed` says that a frame of the item follows.
        """
        item = reference.item
        self.state.apply(change)
        if handed:
            self._again.pop(item, None)
        # An answer may have been taken before a hand-over that was committed before it.
        still = ~self.state.settled(item, reference.due)
        for slot, attempt in (again or {}).items():
            if still >> slot & 1:
                self._hand_again(reference, slot, attempt)
                mark(self._retried, item, 1 << slot)
                if attempt > _ALONE_AFTER:
                    mark(self._alone, item, 1 << slot)
        reference.flight |= change.hand & still
        self._forget(reference, change.settle | change.hold)
        drop(reference.attempts, change.settle)
        for slot, reason in (reasons or {}).items():
            reference.reasons[slot] = reason
            reference.told, reference.told_by = False, 0
        self._place(reference)

    def take_replay(self, reference: Reference, again: Mapping[int, int], settled: int = 0) -> None:
        """Take what was committed of a replay."""
        for slot, attempt in again.items():
            self._hand_again(reference, slot, attempt)
        self._forget(reference, settled)
        drop(reference.attempts, settled)
        reference.due &= ~settled
        if not reference.due:
            self.replays.pop(reference.item, None)

    def give_back(self, reference: Reference, slots: int, when: float) -> int:
        """Take slots back from the consumer, to be handed over again from `when` on; give those that were with it."""
        given = reference.flight & slots
        reference.flight &= ~given
        replayed = self.replays.get(reference.item) is reference
        for slot in slots_of(given):
            reference.retry[slot] = when
            reference.attempts.setdefault(slot, 1)
        if given and not replayed:
            mark(self._retried, reference.item, given)
            unmark(self._alone, reference.item, given)
            self._again[reference.item] = reference
        return given

    def written(self, reference: Reference, slots: int, frame: int) -> None:
        """Take that a frame of the item is written to the stream, with what the lane had skipped."""
        reference.first_sent = reference.first_sent or frame
        reference.sent = reference.told_by = frame
        reference.newest = slots
        for other, _ in self.skips:
            other.told_by = frame
        self.skips.clear()

    def received(self, reference: Reference, answered: int) -> list[Reference]:
        """Take that the consumer answered these slots of an item: it has got that frame, and those of the lane before it.

        Gives the items that are told by this, the item itself among them where its newest frame is answered.
        """
        if not reference.sent:
            told = [] if reference.told or reference.reasons else [reference]
        else:
            newest = answered & reference.newest or reference.sent == reference.first_sent
            until = reference.sent if newest else reference.first_sent
            told = [one for one in self.items.values() if not one.told and 0 < one.told_by <= until]
        for one in told:
            one.told = True
        return told

    def _hand_again(self, reference: Reference, slot: int, attempt: int) -> None:
        reference.retry.pop(slot, None)
        reference.attempts[slot] = attempt
        reference.flight |= 1 << slot

    def _forget(self, reference: Reference, slots: int) -> None:
        reference.flight &= ~slots
        drop(reference.retry, slots)
        unmark(self._retried, reference.item, slots)
        unmark(self._alone, reference.item, slots)

    def _place(self, reference: Reference) -> None:
        item = reference.item
        held = self.state.held(item)
        if held:
            self.held[item] = reference
        else:
            self.held.pop(item, None)
        if self.queue and self.queue[0] is reference and not self.state.waiting(item, reference.due) & ~held:
            self.queue.popleft()
        if reference.retry:
            self._again[item] = reference
        elif reference.sent:
            self._again.pop(item, None)
        if self.state.is_done(item):
            self.items.pop(item, None)
            self._again.pop(item, None)
