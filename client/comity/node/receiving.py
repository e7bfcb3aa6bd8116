"""Receiving: from a subscription to reports in the application's hands, and back to signed outcomes (designs 03 and 04).

Rules in order:
1. What came is opened when it is its turn (`opening`), accounted for (`accounting`), then shown (`showing`). Where the mirror must
   know more first, it is refreshed first.
2. A segment whose signature or root fails, or that is an exercise's on a real stream or the reverse, is never acknowledged and is an alarm. Every number of a lane is a report or a reason;
   one that is neither is an alarm.
3. What the broker says of entries is compared with its log when the mirror has come that far: before anything is shown where it
   has, later where it has not (`prove`). What differs is an alarm, and a delivery that the log denies is not shown.
4. Constant memory: what waits is bounded by the credit given to the broker; where one does not keep to it, nothing is read from it
   until there is room again.
5. Whoever leaves waits until what the application is done with is on disk, and at most 5 s until the broker confirms it, and has
   taken what is given back.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final

from comity.envelope.evidence import SignedAck
from comity.envelope.profile import is_exercise_class, stated_class
from comity.errors import ComityError, ErrorCode, MalformedError, RejectedError, StorageError, UnreachableError
from comity.identity.names import Identity
from comity.node.accounting import account
from comity.node.acknowledging import Acknowledging
from comity.node.alarms import AlarmKind
from comity.node.background import Background
from comity.node.comparing import Comparing
from comity.node.delivery import Delivery
from comity.node.inbox import Inbox, InboxLane
from comity.node.logs import RefreshNeeded
from comity.node.mirror import Mirror
from comity.node.opened import OpenSegment
from comity.node.opening import Opening
from comity.node.reading import Reading
from comity.node.showing import URGENCIES, Showing, urgency
from comity.node.subscribing import Subscription
from comity.v1 import exchange_pb2

CLOSE_SECONDS: Final = 5.0
# Several times what a broker that keeps to its credit hands over before it is opened and shown.
HELD_BYTES: Final = 64 << 20
REFRESH_AGAIN_SECONDS: Final = 0.25
_SLICE: Final = 32
_LEAVING_TURNS: Final = 8
_LOG: Final = logging.getLogger(__name__)


class Receiver:
    """Receives for one consumer; owns the inbox it is given until `close`. Listens to its subscription."""

    def __init__(
        self,
        inbox: Inbox,
        *,
        mirror: Mirror,
        identity: Identity,
        opening: Opening,
        reading: Reading,
        acknowledging: Callable[[Callable[[SignedAck], None]], Acknowledging],
        subscription: Callable[[Receiver], Subscription],
        refresh: Callable[[], Awaitable[None]],
        exercise: bool = False,
    ) -> None:
        self._exercise = exercise
        self._inbox = inbox
        self._mirror = mirror
        self._comparing = Comparing(mirror, identity)
        self._opening = opening
        self._reading = reading
        self._refresh = refresh
        self._background = Background(self._fail)
        self._failure: Exception | None = None
        self._frames: list[deque[exchange_pb2.Delivery]] = [deque() for _ in range(URGENCIES)]
        self._held_bytes = 0
        self._roomy = asyncio.Event()
        self._subscription = subscription(self)
        self._acks = acknowledging(self._subscription.acknowledge)
        self._arrived = asyncio.Event()
        self._confirmed = asyncio.Event()
        self._showing = Showing(
            inbox,
            reading,
            self._acks,
            lambda: self._subscription,
            alarm=mirror.raise_alarm,
            changed=self._arrived.set,
            spawn=self._background.start,
            renewed=self._renewed,
        )
        self._caught_up = False
        self._incarnation = b""
        self._sessions = 0
        self._gave_up = False
        self._closing = False
        self._closed = asyncio.Event()

    # --- to the application -----------------------------------------------------------------------------------------

    async def deliveries(self, *, follow: bool) -> AsyncIterator[Delivery]:
        """Give reports as they come; without `follow` end when everything that was due was given and has ended. Closes when it is left."""
        self._background.start(self._acks.run(), "acknowledge")
        self._background.start(self._subscription.run(), "subscribe")
        shown = 0
        try:
            while True:
                await self._renewed()
                delivery = await self._showing.next(self._waits)
                self._roomy.set()
                if delivery is not None:
                    yield delivery
                    shown += 1
                    if shown % _SLICE == 0:
                        # Nothing here waits while reports are at hand, and the streams want their turn.
                        await asyncio.sleep(0)
                elif self._failure is not None:
                    raise self._failure
                elif not await self._open_frame():
                    self._acks.flush()
                    self._subscription.flush()
                    if not follow and self._caught_up and not self._showing.busy:
                        # Not before: an application may hold several reports, and each of them has an end to be sent.
                        return
                    await self._something()
        finally:
            await self.close()

    def _waits(self, urgent: int) -> bool:
        return any(self._frames[: urgent + 1])

    async def _something(self) -> None:
        """Wait for a frame, a failure, or a lane that need not wait any longer."""
        self._arrived.clear()
        unblocks_at = self._showing.unblocks_at
        timer = None
        if unblocks_at is not None:
            timer = asyncio.get_running_loop().call_at(unblocks_at, self._arrived.set)
        try:
            await self._arrived.wait()
        finally:
            if timer is not None:
                timer.cancel()

    async def left(self) -> bool:
        """Say whether whoever iterated has left, after waiting until everything of it is closed."""
        for _ in range(_LEAVING_TURNS):
            if self._closing:
                await self._closed.wait()
                return True
            # An iterator that was dropped is closed by the event loop, a turn or two later.
            await asyncio.sleep(0)
        return False

    async def close(self) -> None:
        """Stop by rule 5; whoever calls it a second time waits for the end of the first."""
        if self._closing:
            await self._closed.wait()
            return
        self._closing = True
        self._roomy.set()
        try:
            if self._failure is None:
                await self._showing.quiet()
                self._subscription.stop()
                await self._acks.quiet()
                await self._until_confirmed()
                # What does not get there comes again, in the next session.
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._subscription.leave(), CLOSE_SECONDS)
        finally:
            try:
                await self._background.close()
            finally:
                try:
                    await self._acks.close()
                finally:
                    try:
                        self._reading.close()
                    finally:
                        self._inbox.close()
                        self._closed.set()

    async def _until_confirmed(self) -> None:
        handle = asyncio.get_running_loop().call_later(CLOSE_SECONDS, self._give_up_waiting)
        try:
            while self._acks.unconfirmed and self._failure is None and not self._gave_up:
                self._confirmed.clear()
                await self._confirmed.wait()
        finally:
            handle.cancel()

    def _give_up_waiting(self) -> None:
        self._gave_up = True
        self._confirmed.set()

    # --- segments ---------------------------------------------------------------------------------------------------

    async def _open_frame(self) -> bool:
        """Open the next segment that came, the most urgent first; says whether there was one."""
        for urgent, frames in enumerate(self._frames):
            if frames:
                frame = frames.popleft()
                self._held_bytes -= frame.ByteSize()
                if not self._mirror.follows(self._incarnation) and not await self._refreshed():
                    return True
                opened = await self._opened(frame, urgent)
                if opened is not None:
                    self._begin(frame, opened)
                return True
        return False

    async def _opened(self, frame: exchange_pb2.Delivery, urgent: int) -> OpenSegment | None:
        """Open a segment; None for one that is an alarm, comes again in another session, or waits for what is more urgent."""
        session = self._sessions
        try:
            parsing = self._opening.parsing(frame)
            for _ in parsing.steps(_SLICE):
                await asyncio.sleep(0)
                if self._sessions != session:
                    return None
                if urgent and self._waits(urgent - 1):
                    self._frames[urgent].appendleft(frame)
                    self._held_bytes += frame.ByteSize()
                    return None
            segment = parsing.segment()
            if is_exercise_class(segment.transport_class) != self._exercise:
                raise MalformedError(
                    f"a report of class {segment.transport_class} came to a consumer of "
                    f"{'exercise' if self._exercise else 'real'} traffic"
                )
            try:
                return self._opening.open_segment(frame, refreshed=False, segment=segment)
            except RefreshNeeded:
                if not await self._refreshed():
                    return None
                return self._opening.open_segment(frame, refreshed=True, segment=segment)
        except ComityError as error:
            if isinstance(error, StorageError):
                raise
            reason = error.reason if isinstance(error, RejectedError) else error.message
            self._mirror.raise_alarm(AlarmKind.SEGMENT_REJECTED, "", f"entry {frame.log_index}", reason)
            return None

    async def _renewed(self) -> bool:
        """Refresh where our view is old, and say so: nothing is refused for its age, as a clock that was set forward makes none old."""
        if not self._mirror.is_stale:
            return False
        try:
            return await self._refreshed()
        except ComityError as error:
            # What it is about is stopped in the mirror, and is said of each report that needs it.
            _LOG.warning("refresh_failed", extra={"code": error.code.name, "reason": error.message})
            return False

    async def _refreshed(self) -> bool:
        """Refresh, however long the broker is away; False where what asked for it comes again in another session."""
        session = self._sessions
        while self._sessions == session and self._failure is None:
            try:
                await self._refresh()
            except UnreachableError as error:
                _LOG.info("refresh_waits", extra={"reason": error.message})
                await asyncio.sleep(REFRESH_AGAIN_SECONDS)
            else:
                return self._sessions == session
        return False

    def _begin(self, frame: exchange_pb2.Delivery, opened: OpenSegment) -> None:
        segment, signed_by = opened.segment, opened.verified.signed_by
        originator = f"{signed_by.party}/{signed_by.node}"
        lane = InboxLane(segment.log_name, originator, segment.origin_epoch, segment.transport_class)
        accounted = account(frame, segment, self._inbox.accounted(lane))
        alarm = self._mirror.raise_alarm
        if accounted.missing:
            numbers = f"{originator} {accounted.missing[0]} to {accounted.missing[-1]}"
            alarm(AlarmKind.SEQUENCE_GAP, lane.agreement_id, numbers, "neither a report nor a reason came")
        for slot in accounted.unexplained:
            number = segment.first_origin_sequence + slot
            alarm(
                AlarmKind.UNEXPLAINED, lane.agreement_id, f"{originator} {number}", "it did not come, without a reason"
            )
        self._inbox.account(lane, accounted.until)
        later, false = self._comparing.compared(accounted.claims)
        if false:
            return
        self._acks.claim(later)
        self._acks.resume_token = frame.resume_token
        if accounted.over or not frame.slots:
            self._acks.tell(lane, segment.segment_id, len(segment.items), accounted.over)
        self._showing.take(opened, lane, frame)

    # --- from the broker (Listener) ---------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Say whether reports are being worked on."""
        return self._showing.busy or any(self._frames)

    def incarnation(self, incarnation: bytes) -> None:
        """Take which incarnation the broker is of. One that was restored may not know what we answered: it hands that over again."""
        if self._incarnation not in {b"", incarnation}:
            for digest in tuple(self._acks.unconfirmed):
                self.confirmed(digest)
        self._incarnation = incarnation

    def began(self) -> Sequence[SignedAck]:
        """Forget what a session before was handed: it comes again. Give what was not confirmed."""
        for frames in self._frames:
            frames.clear()
        self._held_bytes = 0
        self._showing.forget()
        self._caught_up = False
        self._sessions += 1
        return tuple(self._acks.unconfirmed.values())

    def delivered(self, frame: exchange_pb2.Delivery) -> None:
        """Take a segment; its class is looked at to know what is urgent, before anything of it is checked."""
        if self._closing:
            return  # It comes again.
        self._opening.remember_packets(frame.key_packets)
        self._frames[urgency(stated_class(frame.segment))].append(frame)
        self._held_bytes += frame.ByteSize()
        self._arrived.set()

    async def room(self) -> None:
        """Wait while so much waits to be opened or shown that the broker cannot have kept to its credit."""
        while self._held_bytes + self._showing.held_bytes > HELD_BYTES and not self._closing and self._failure is None:
            self._roomy.clear()
            await self._roomy.wait()

    def confirmed(self, record_digest: bytes) -> None:
        """Take that an acknowledgement is durable."""
        self._acks.confirmed(record_digest)
        self._confirmed.set()

    def refused(self, error: ComityError, record_digest: bytes) -> None:
        """Take that a frame of ours was refused: an answer to what ended meanwhile is no matter, all else ends receiving."""
        if not record_digest and error.code is ErrorCode.ITEM_UNKNOWN:
            _LOG.info("answer_too_late", extra={"reason": error.message})
        elif not isinstance(error, StorageError | UnreachableError):
            raise error

    def checkpoint(self, agreement_id: str, note: bytes) -> None:
        """Take a checkpoint that the stream brought; raises ForkError."""
        self._mirror.take_checkpoint(agreement_id or None, note)

    def caught_up(self, *, yes: bool) -> None:
        """Take whether everything that was due has been handed over."""
        self._caught_up = yes
        self._arrived.set()

    def held(self, agreement_id: str, count: int) -> None:
        """Take that reports wait for the agreement."""
        _LOG.warning("reports_held", extra={"agreement": agreement_id, "count": count})

    # --- the log's word ---------------------------------------------------------------------------------------------

    async def prove(self, agreement_id: str) -> None:
        """Compare what the broker said with its log, as far as the mirror has come; what differs is an alarm."""
        pin = self._mirror.pin(agreement_id)
        if pin is None or self._is_closing():
            return
        compared: list[int] = []
        for number, claim in self._inbox.claims(agreement_id, pin.size):
            # A segment's records take a while to compare: others have their turn in between.
            await asyncio.sleep(0)
            if self._is_closing():
                return
            self._comparing.holds(claim)
            compared.append(number)
        if compared:
            await self._acks.in_worker(self._inbox.drop_claims, compared)

    def _is_closing(self) -> bool:
        return self._closing

    def _fail(self, error: Exception) -> None:
        self._failure = self._failure or error
        self._arrived.set()
        self._roomy.set()
        self._confirmed.set()
