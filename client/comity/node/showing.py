"""Showing: which report of the segments at hand comes next, and what becomes of it (design 04).

Rules in order:
1. Precedence is strict: what is more urgent comes next, between two reports of what is less; within a lane reports come in the
   order of their numbers.
2. A lane waits behind a report that was given back until it comes again and ends, or its time and some grace have passed (it
   was parked after its last attempt). Other lanes do not wait.
3. A report the inbox has as acknowledged is acknowledged again and not shown, whatever number it comes under. A report id under
   another leaf, or another report under an acknowledged number, is quarantined and an alarm. One that its originator took back is
   not shown, whether that came before it or after.
4. A report that comes again while the application still has it is not shown twice: its end counts for both.
5. A report that waits whole for another opening is parked (`reading`); of one that waits in part, what is open is shown, and once
   the application has taken that, it is entered and the report parked. A recall is never parked: it comes again after a while.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Final

from comity.envelope.evidence import AckOutcome
from comity.envelope.segment import WholeItem
from comity.node.acknowledging import Acknowledging
from comity.node.alarms import AlarmKind
from comity.node.delivery import CLASSES, Delivery, waiting_reason
from comity.node.inbox import Inbox, InboxLane, Known, Settlement
from comity.node.opened import OpenSegment, OpenSlot, Refusal
from comity.node.reading import Reading
from comity.node.reports import SlotRef
from comity.node.subscribing import Subscription
from comity.report import ReceivedReport
from comity.v1 import exchange_pb2

# Exercise classes rank with the real ones.
URGENCIES: Final = CLASSES
CONTROL_AGAIN_SECONDS: Final = 60.0
ATTEMPTS: Final = 5
GRACE_SECONDS: Final = 10.0
# The broker takes no longer one.
AGAIN_AT_MOST_SECONDS: Final = 86_400.0
_SLICE: Final = 32
_LOG: Final = logging.getLogger(__name__)

Alarms = Callable[[AlarmKind, str, str, str], None]


@dataclass(slots=True, eq=False)
class _Work:
    """A segment that is being shown: slots still to be judged, with their attempts, and how many have not ended."""

    opened: OpenSegment
    lane: InboxLane
    size: int
    slots: deque[tuple[int, int]]
    unresolved: int

    @property
    def segment_id(self) -> bytes:
        """Give the segment's id."""
        return self.opened.segment.segment_id


@dataclass(frozen=True, slots=True)
class _Blocked:
    """A lane that waits for one report to come again, at most until a time of the event loop."""

    segment_id: bytes
    slot: int
    until: float


def urgency(transport_class: int) -> int:
    """Give how urgent a lane class is: 0 control, 1 FLASH to 4 ROUTINE."""
    return transport_class % URGENCIES


class Showing:
    """The segments at hand of one consumer; takes the end of every delivery it gives (`delivery.Desk`).

    `held_bytes` is how much of them waits to be shown. `renewed` refreshes a view that is old, and says whether it did.
    """

    def __init__(
        self,
        inbox: Inbox,
        reading: Reading,
        acknowledging: Acknowledging,
        subscription: Callable[[], Subscription],
        *,
        alarm: Alarms,
        changed: Callable[[], None],
        spawn: Callable[[Coroutine[Any, Any, None], str], object],
        renewed: Callable[[], Awaitable[bool]],
    ) -> None:
        self._inbox = inbox
        self._reading = reading
        self._acks = acknowledging
        self._subscription = subscription
        self._alarm = alarm
        self._changed = changed
        self._spawn = spawn
        self._renewed = renewed
        self._aside: set[asyncio.Future[None]] = set()
        self._works: list[deque[_Work]] = [deque() for _ in range(URGENCIES)]
        self._in_hand: dict[tuple[bytes, int], _Work | None] = {}
        self._blocked: dict[InboxLane, _Blocked] = {}
        self.held_bytes = 0

    @property
    def busy(self) -> bool:
        """Say whether anything is in the application's hands or waits to be."""
        return bool(self._in_hand or any(self._works))

    @property
    def unblocks_at(self) -> float | None:
        """Give when the next lane stops waiting, in the event loop's time; None when none waits."""
        return min((blocked.until for blocked in self._blocked.values()), default=None)

    def take(self, opened: OpenSegment, lane: InboxLane, frame: exchange_pb2.Delivery) -> None:
        """Take a segment whose slots are to be shown."""
        self._reading.look()
        slots = deque((one.slot, one.attempt) for one in frame.slots if one.slot < len(opened.segment.items))
        if slots:
            self.held_bytes += len(frame.segment)
            self._works[urgency(lane.transport_class)].append(
                _Work(opened, lane, len(frame.segment), slots, len(slots))
            )

    def forget(self) -> None:
        """Forget what an earlier session was handed; what the application has in hand stays with it."""
        for works in self._works:
            works.clear()
        self.held_bytes = 0
        self._blocked.clear()
        self._in_hand = dict.fromkeys(self._in_hand)

    async def next(self, waits: Callable[[int], bool]) -> Delivery | None:
        """Give the next report to show; None when nothing is at hand, or something waits to be opened that comes before it.

        `waits` says whether a segment of that urgency or a higher one waits to be opened.
        """
        judged = 0
        while (found := self._pick(waits)) is not None:
            delivery = await self._judge(*found)
            if delivery is not None:
                return delivery
            judged += 1
            if judged % _SLICE == 0:
                await asyncio.sleep(0)
        return None

    def _pick(self, waits: Callable[[int], bool]) -> tuple[_Work, int, int] | None:
        for urgent, works in enumerate(self._works):
            if works and urgent and waits(urgent - 1):
                return None
            for place, work in enumerate(works):
                found = self._take_slot(work)
                if found is not None:
                    if not work.slots:
                        self.held_bytes -= work.size
                        del works[place]
                    return work, *found
        return None

    def _take_slot(self, work: _Work) -> tuple[int, int] | None:
        """Take the next slot of a segment, unless its lane waits for another report."""
        blocked = self._blocked.get(work.lane)
        if blocked is not None and blocked.until <= asyncio.get_running_loop().time():
            del self._blocked[work.lane]
            blocked = None
        if blocked is None:
            return work.slots.popleft()
        if blocked.segment_id == work.segment_id:
            for one in work.slots:
                if one[0] == blocked.slot:
                    work.slots.remove(one)
                    return one
        return None

    async def _judge(self, work: _Work, slot: int, attempt: int) -> Delivery | None:
        """Show a report, or settle it for what it is."""
        key = (work.segment_id, slot)
        if key in self._in_hand:
            self._in_hand[key] = work
            return None
        segment = work.opened.segment
        number = segment.first_origin_sequence + slot
        item = segment.items[slot]
        if isinstance(item, WholeItem):
            known = self._inbox.knows(item.core.report_id, item.leaf)
            acknowledged = self._inbox.outcome(work.lane, number) is AckOutcome.ACKNOWLEDGED
            if known is Known.REUSED or (acknowledged and known is Known.NEW):
                detail = (
                    "the report id stands for another report" if known is Known.REUSED else "the number is used twice"
                )
                self._alarm(AlarmKind.ID_REUSED, segment.agreement_id, f"{work.lane.originator} {number}", detail)
                self._settle(work, slot, Settlement(work.lane, number, AckOutcome.REFUSED))
                return None
            if known is Known.SETTLED:
                core = item.core
                self._settle(
                    work,
                    slot,
                    Settlement(work.lane, number, AckOutcome.ACKNOWLEDGED, core.report_id, item.leaf, core.expires_at),
                )
                return None
            taken_back = self._reading.taken_back(item)
            if taken_back is not None:
                self._refuse(work, slot, Refusal(AckOutcome.REFUSED, taken_back.words))
                return None
        # In hand from here on: whoever reads may be asked, and meanwhile the session may end or hand it over again.
        self._in_hand[key] = work
        try:
            result = await self._reading.open(work.opened, slot)
            if isinstance(result, Refusal) and await self._renewed():
                work.opened.decided = None
                result = await self._reading.open(work.opened, slot)
        except BaseException:
            del self._in_hand[key]
            raise
        if isinstance(result, OpenSlot) and result.report is not None:
            return self._delivery(work, slot, attempt, result, result.report)
        now = self._in_hand.pop(key)
        if now is not None and isinstance(result, OpenSlot):
            if result.waits:
                self._park(now, slot, waiting_reason(result.lacks))
            else:
                # Other openings gave all of it, and this one gives nothing: what remains is refused for good.
                ids = result.report_id, result.leaf, result.expires_at
                self._settle(now, slot, Settlement(now.lane, number, AckOutcome.ACKNOWLEDGED, *ids))
        elif now is not None and isinstance(result, Refusal):
            if result.early_seconds:
                self._put_off(now, slot, attempt, result.early_seconds)
            else:
                self._refuse(now, slot, result)
        return None

    def _delivery(self, work: _Work, slot: int, attempt: int, result: OpenSlot, report: ReceivedReport) -> Delivery:
        segment = work.opened.segment
        return Delivery(
            self,
            report,
            lane=work.lane,
            origin_sequence=segment.first_origin_sequence + slot,
            attempt=attempt,
            admitted_at=work.opened.admitted_at,
            log_index=work.opened.log_index,
            approved_by=result.approved_by,
            segment_id=work.segment_id,
            slot=slot,
            segment_slots=len(segment.items),
            report_id=result.report_id,
            expires_at=result.expires_at,
            waits=result.waits.values(),
        )

    def _park(self, work: _Work, slot: int, reason: str) -> None:
        segment = work.opened.segment
        number = segment.first_origin_sequence + slot
        fields = {"subject": f"{work.lane.originator} {number}", "reason": reason}
        _LOG.warning("report_waits", extra={"agreement": segment.agreement_id, **fields})
        ref = exchange_pb2.SlotRef(agreement_id=segment.log_name, segment_id=segment.segment_id, slot=slot)
        self._unblock(work.lane, work.segment_id, slot)
        self._put_aside(ref, segment.transport_class, reason)
        self._count_off(work)

    def _put_aside(self, ref: exchange_pb2.SlotRef, transport_class: int, reason: str) -> None:
        if urgency(transport_class):
            self._subscription().give_back(ref, park=reason)
        else:
            self._subscription().give_back(ref, after_seconds=CONTROL_AGAIN_SECONDS)

    def _put_off(self, work: _Work, slot: int, attempt: int, seconds: float) -> None:
        """Have a report come again that came before its time by our clock, which is behind the broker's, or was."""
        segment = work.opened.segment
        number = segment.first_origin_sequence + slot
        fields = {"subject": f"{work.lane.originator} {number}", "reason": f"{seconds:.0f} s before its time"}
        _LOG.warning("report_early", extra={"agreement": segment.agreement_id, **fields})
        self._wait_for(work.lane, work.segment_id, slot, attempt, min(seconds, AGAIN_AT_MOST_SECONDS))
        ref = exchange_pb2.SlotRef(agreement_id=segment.log_name, segment_id=segment.segment_id, slot=slot)
        self._subscription().give_back(ref, after_seconds=min(seconds, AGAIN_AT_MOST_SECONDS))
        self._count_off(work)

    def _refuse(self, work: _Work, slot: int, refusal: Refusal) -> None:
        segment = work.opened.segment
        number = segment.first_origin_sequence + slot
        subject = f"{work.lane.originator} {number}"
        fields = {"subject": subject, "outcome": refusal.outcome.name, "reason": refusal.reason}
        _LOG.warning("report_not_opened", extra={"agreement": segment.agreement_id, **fields})
        if refusal.fork or refusal.outcome is AckOutcome.INCOMPLETE:
            kind = AlarmKind.FORK if refusal.fork else AlarmKind.INCOMPLETE
            self._alarm(kind, segment.agreement_id, subject, refusal.reason)
        self._settle(work, slot, Settlement(work.lane, number, refusal.outcome))

    # --- what the application makes of it ---------------------------------------------------------------------------

    def acknowledged(self, delivery: Delivery, waiter: asyncio.Future[None] | None) -> None:
        """Take that the application is done with a report."""
        settlement = Settlement(
            delivery.lane,
            delivery.origin_sequence,
            AckOutcome.ACKNOWLEDGED,
            delivery.report_id,
            delivery.report.leaf,
            delivery.expires_at,
        )
        self._acks.add(settlement, delivery.segment_id, delivery.slot, delivery.segment_slots, waiter)
        self._ended(delivery)

    def taken(self, delivery: Delivery, waiter: asyncio.Future[None] | None) -> None:
        """Take that the application is done with what opened of a report of which something waits."""
        self._enter_waiting(delivery, waiting_reason(delivery.waits_for), delivery.report.shown, waiter)

    def parked(self, delivery: Delivery, reason: str) -> None:
        """Take that a report is to be parked."""
        if delivery.waits:
            self._enter_waiting(delivery, reason, (), None)
            return
        self._subscription().give_back(_ref(delivery), park=reason)
        self._ended(delivery)

    def _enter_waiting(
        self, delivery: Delivery, reason: str, taken: Iterable[int], waiter: asyncio.Future[None] | None
    ) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future() if waiter is None else waiter
        self._aside.add(done)
        self._spawn(self._entered_waiting(delivery, reason, tuple(taken), done), "wait")

    async def _entered_waiting(
        self, delivery: Delivery, reason: str, taken: tuple[int, ...], done: asyncio.Future[None]
    ) -> None:
        """Park a report of which something waits, once the register says so and what was taken of it."""
        place = SlotRef(delivery.lane.agreement_id, delivery.segment_id, delivery.slot)
        report = delivery.report
        try:
            await self._reading.wait(place, delivery.report_id, report.leaf, delivery.waits, delivery.expires_at, taken)
        except BaseException:
            done.cancel()
            raise
        finally:
            self._aside.discard(done)
        self._put_aside(_ref(delivery), delivery.transport_class, reason)
        self._ended(delivery)
        if not done.done():
            done.set_result(None)

    async def quiet(self) -> None:
        """Wait until what was taken of waiting reports is entered, and they are parked."""
        while self._aside:
            await asyncio.wait(list(self._aside))

    def given_back(self, delivery: Delivery, after_seconds: float) -> None:
        """Take that a report is to be handed over again: its lane waits, unless its attempts are used up."""
        self._ended(delivery)
        self._wait_for(delivery.lane, delivery.segment_id, delivery.slot, delivery.attempt, after_seconds)
        self._subscription().give_back(_ref(delivery), after_seconds=after_seconds)

    def _wait_for(self, lane: InboxLane, segment_id: bytes, slot: int, attempt: int, after_seconds: float) -> None:
        if attempt < ATTEMPTS:
            until = asyncio.get_running_loop().time() + after_seconds + GRACE_SECONDS
            self._blocked[lane] = _Blocked(segment_id, slot, until)

    def _ended(self, delivery: Delivery) -> None:
        work = self._in_hand.pop((delivery.segment_id, delivery.slot), None)
        self._unblock(delivery.lane, delivery.segment_id, delivery.slot)
        if work is not None:
            self._count_off(work)
        if not self._in_hand:
            self._changed()

    def _settle(self, work: _Work, slot: int, settlement: Settlement) -> None:
        self._acks.add(settlement, work.segment_id, slot, len(work.opened.segment.items))
        self._unblock(work.lane, work.segment_id, slot)
        self._count_off(work)

    def _unblock(self, lane: InboxLane, segment_id: bytes, slot: int) -> None:
        blocked = self._blocked.get(lane)
        if blocked is not None and (blocked.segment_id, blocked.slot) == (segment_id, slot):
            del self._blocked[lane]
            self._changed()

    def _count_off(self, work: _Work) -> None:
        """Give credit back for one report, and for the bytes of a segment when its last report ended."""
        work.unresolved -= 1
        if urgency(work.lane.transport_class):
            self._subscription().credit(1, 0 if work.unresolved else work.size)


def _ref(delivery: Delivery) -> exchange_pb2.SlotRef:
    return exchange_pb2.SlotRef(
        agreement_id=delivery.lane.agreement_id, segment_id=delivery.segment_id, slot=delivery.slot
    )
