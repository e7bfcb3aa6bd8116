"""One stream of one consumer: credit in, frames out, answers taken, deadlines kept (design 04, "Subscribe").

Each class is worked by a task of its own while there is work, so that a commit of ROUTINE never stands before FLASH; frames are
made one at a time, when the stream is ready for one, the most urgent class first. Answers are taken by one task in their order.
No task is ever cancelled: what was given to the journal is awaited, and memory follows it.

A deadline runs from when the write of a frame was over, and anew from each heartbeat; when it passes, only the reports of that
frame that were not answered are handed over again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Collection, Coroutine, Sequence
from typing import Any, Final

from comity.envelope.evidence import SignedAck
from comity.errors import ComityError, ErrorCode
from comity_broker.access import Caller
from comity_broker.dispatch.answering import Answering, Confirmed, GivenBack
from comity_broker.dispatch.composing import Composer
from comity_broker.dispatch.credits import Credits
from comity_broker.dispatch.deadlines import Deadlines
from comity_broker.dispatch.desk import Desk
from comity_broker.dispatch.frames import Delivered, Draining, Frame, NewCheckpoint, Opened
from comity_broker.dispatch.handing import HandingOver, Outgoing
from comity_broker.dispatch.logged import Recipient
from comity_broker.dispatch.shared import Shared
from comity_broker.dispatch.telling import Telling
from comity_broker.storage.protocol import LaneRow

_LOG: Final = logging.getLogger(__name__)
CLASSES: Final = range(5)
ANSWERS_WAITING: Final = 64
_LOW_WATER: Final = 4
_ACKS_TOGETHER: Final = 64
_LAG_SECONDS: Final = 0.02
_CHECKPOINT_SECONDS: Final = 1.0
_DRAIN_RETRY_SECONDS: Final = 5.0


class Session:
    """One stream. `next_frame` and `written` are the writer's, `credit` to `stop` the reader's side."""

    def __init__(
        self,
        shared: Shared,
        to: Recipient,
        caller: Caller,
        confirmed: Confirmed,
    ) -> None:
        self.to = to
        self.desks: dict[str, Desk] = {}
        self.credits = Credits()
        self.delivered_at = shared.clock.monotonic()
        self._shared = shared
        self._handing = HandingOver(shared, to, self.desks, self.credits)
        self._answering = Answering(shared, to, caller, self.desks, confirmed)
        self._composer = Composer(shared, to, self.credits)
        self._notices: deque[Frame] = deque()
        self._outgoing: dict[int, deque[Outgoing]] = {one: deque() for one in CLASSES}
        self._answers: asyncio.Queue[SignedAck | GivenBack] = asyncio.Queue(ANSWERS_WAITING)
        self._checkpoints: dict[str, bytes] = {}
        self._checkpoint_at: dict[str, float] = {}
        self._deadlines = Deadlines(shared.settings.redelivery, self.delivered_at)
        self._telling = Telling(shared, self.desks, self._handing, self.credits)
        self._writing: Outgoing | None = None
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._pumping: set[int] = set()
        self._dirty: set[int] = set()
        self._answers_running = False
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = False
        self._half_closed = False
        self._ended: ComityError | None = None
        self._closed = False
        self._notices.append(Opened(to.session, shared.incarnation, shared.settings.redelivery))

    # --- the writer's side ------------------------------------------------------------------------------------------

    async def next_frame(self) -> Frame | None:
        """Wait for the next frame to write; None ends the stream well. Raises the ComityError that ends it."""
        while True:
            self._changed.clear()
            if self._ended is not None:
                raise self._ended
            if self._notices:
                self._room.set()
                return self._notices.popleft()
            frame = await self._delivery()
            if frame is not None:
                return frame
            checkpoint = self._due_checkpoint()
            if checkpoint is not None:
                return checkpoint
            if self._is_over():
                return None
            if not self._stopped and not self._pumping:
                self._notices.extend(self._telling.news())
            if not self._notices:
                await self._changed.wait()

    def written(self) -> None:
        """Take that the frame given last was written: the deadline of its reports begins."""
        outgoing, self._writing = self._writing, None
        if outgoing is not None and outgoing.slots:
            now = self._shared.clock.monotonic()
            self._deadlines.begin(now, outgoing.cursor, outgoing.reference, outgoing.slots)
            self._arm()

    async def _delivery(self) -> Delivered | None:
        for transport_class in CLASSES:
            queue = self._outgoing[transport_class]
            while queue:
                outgoing = queue.popleft()
                self._room.set()
                frame = await self._composer.compose(outgoing)
                if frame is not None:
                    self.delivered_at = self._shared.clock.monotonic()
                    self._writing = outgoing
                    return frame
        return None

    def _due_checkpoint(self) -> NewCheckpoint | None:
        now = self._shared.clock.monotonic()
        for agreement_id in list(self._checkpoints):
            if now - self._checkpoint_at.get(agreement_id, float("-inf")) >= _CHECKPOINT_SECONDS:
                self._checkpoint_at[agreement_id] = now
                return NewCheckpoint(agreement_id, self._checkpoints.pop(agreement_id))
        return None

    def _is_over(self) -> bool:
        idle = not self._tasks and self._answers.empty()
        return idle and (self._half_closed or (self._stopped and not self.in_flight))

    # --- the reader's side ------------------------------------------------------------------------------------------

    def credit(self, reports: int, size: int) -> None:
        """Take more credit."""
        self.credits.grant(reports, size)
        self.kick()

    def heartbeat(self) -> None:
        """Take that the consumer is at work: every deadline begins anew."""
        self._deadlines.heard(self._shared.clock.monotonic())
        self._arm()

    async def answer(self, answer: SignedAck | GivenBack) -> None:
        """Take an answer; waits while too many wait."""
        await self._answers.put(answer)
        if not self._answers_running:
            self._answers_running = True
            self._spawn(self._take_answers())

    def stop(self) -> None:
        """Hand over nothing more."""
        self._stopped = True
        self._notify()

    def half_close(self) -> None:
        """Take that the consumer sends nothing more: the stream ends when what it sent is dealt with."""
        self._stopped = self._half_closed = True
        self._notify()

    # --- numbers ----------------------------------------------------------------------------------------------------

    @property
    def in_flight(self) -> int:
        """Give how many reports are with the consumer or on their way."""
        return sum(desk.in_flight for desk in self.desks.values())

    def held_under(self, agreement_id: str) -> int | None:
        """Give how many reports of an agreement that were read ahead are held; None where this session has none of it."""
        desk = self.desks.get(agreement_id)
        return None if desk is None else self._telling.held(desk)

    @property
    def waiting(self) -> int:
        """Give how many reports at least are due and not handed over."""
        return self._telling.waiting

    @property
    def unwritten(self) -> bool:
        """Say whether a frame with reports waits for the stream to take it."""
        return self._writing is not None or any(self._outgoing.values())

    @property
    def has_credit(self) -> bool:
        """Say whether the consumer granted what is not used."""
        return bool(self.credits.free(CLASSES[-1]))

    # --- the dispatcher's side --------------------------------------------------------------------------------------

    async def add_desk(self, agreement_id: str) -> None:
        """Take an agreement in, as it stands for this consumer."""
        if agreement_id in self.desks:
            return
        desk = Desk(agreement_id, self.to.node, self.to.consumer)
        await desk.load(self._shared.reader, self._shared.shelf, self._shared.clock.monotonic())
        # Two may have read while neither was here; the first to come stays.
        if self.desks.setdefault(agreement_id, desk) is desk:
            self.admitted(agreement_id, await self._shared.reader.lanes(agreement_id))

    def admitted(self, agreement_id: str, lanes: Sequence[LaneRow]) -> None:
        """Look for what was admitted under an agreement, whose lanes are these now."""
        desk = self.desks.get(agreement_id)
        if desk is not None:
            self.kick(desk.grew(lanes))

    async def replayed(self, agreement_id: str, lane: int, item: int, slots: Collection[int]) -> None:
        """Hand over again what was parked."""
        desk = self.desks.get(agreement_id)
        cursor = None if desk is None else desk.cursors.get(lane)
        if desk is not None and cursor is not None:
            await desk.replay(
                self._shared.reader, cursor, item, dict.fromkeys(slots, 0), self._shared.clock.monotonic()
            )
            self.kick()

    def dropped(self, agreement_id: str, item: int, slots: Collection[int]) -> None:
        """Forget what was parked."""
        desk = self.desks.get(agreement_id)
        for slot in slots if desk is not None else ():
            self.desks[agreement_id].unpark(item, slot)

    def changed(self, agreement_id: str) -> None:
        """Look again at what is held or waits under an agreement."""
        desk = self.desks.get(agreement_id)
        if desk is not None:
            desk.look_again()
            self.kick()

    def checkpoint(self, agreement_id: str, note: bytes) -> None:
        """Take a new checkpoint of a log, to be shown when its turn comes."""
        if not agreement_id or agreement_id in self.desks:
            self._checkpoints[agreement_id] = note
            self._arm()
            self._notify()

    def drain(self) -> None:
        """Hand over nothing more, and say that the broker is about to stop."""
        self._stopped = True
        self._notices.append(Draining(_DRAIN_RETRY_SECONDS))
        self._notify()

    def end(self, error: ComityError) -> None:
        """End the stream with an error."""
        self._ended = self._ended or error
        self._stopped = True
        self._notify()

    async def close(self) -> None:
        """Wait for what was given to the journal; nothing is begun any more."""
        self._stopped = self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._room.set()
        while self._tasks:
            await asyncio.wait(self._tasks)

    def kick(self, classes: Collection[int] = CLASSES) -> None:
        """Look for work of these classes."""
        if self._telling.nothing_waits:
            # Who had nothing to get is not behind: the time without a delivery begins with what comes now.
            self._telling.nothing_waits = False
            self.delivered_at = self._shared.clock.monotonic()
        present = {cursor.row.key.transport_class for desk in self.desks.values() for cursor in desk.cursors.values()}
        for transport_class in present.intersection(classes, CLASSES):
            self._dirty.add(transport_class)
            if transport_class not in self._pumping and not self._stopped:
                self._pumping.add(transport_class)
                self._spawn(self._pump(transport_class))
        self._notify()

    # --- handing over -----------------------------------------------------------------------------------------------

    async def _pump(self, transport_class: int) -> None:
        queue = self._outgoing[transport_class]
        try:
            while transport_class in self._dirty and not self._stopped:
                self._dirty.discard(transport_class)
                while not self._stopped and (frames := await self._round(transport_class)) is not None:
                    queue.extend(frames)
                    self._notify()
                    await self._until(lambda: len(queue) <= _LOW_WATER)
        finally:
            self._pumping.discard(transport_class)
            self._arm()
            self._notify()

    async def _round(self, transport_class: int) -> list[Outgoing] | None:
        try:
            return await self._handing.round(transport_class)
        except ComityError as error:
            if error.code is ErrorCode.STATE_CHANGED:
                # The ledger follows a commit within one turn of the loop; so does what made the round stale.
                await asyncio.sleep(_LAG_SECONDS)
                return []
            if error.retry_after_seconds is None:
                raise
            _LOG.warning("hand_over_waits", extra={"node": self.to.node, "code": error.code.name})
            self._later(error.retry_after_seconds, lambda: self.kick({transport_class}))
            return None

    # --- answers ----------------------------------------------------------------------------------------------------

    async def _take_answers(self) -> None:
        try:
            while not self._answers.empty():
                together: list[SignedAck] = []
                given_back: GivenBack | None = None
                while not self._answers.empty() and len(together) < _ACKS_TOGETHER and given_back is None:
                    one = self._answers.get_nowait()
                    if isinstance(one, GivenBack):
                        given_back = one
                    else:
                        together.append(one)
                if together:
                    self._notices.extend(await self._answering.acknowledge(together))
                if given_back is not None:
                    refused = await self._answering.give_back(given_back)
                    self._notices.extend(() if refused is None else (refused,))
                self.kick()
                await self._until(lambda: len(self._notices) <= ANSWERS_WAITING)
        finally:
            self._answers_running = False
            self._notify()

    # --- time -------------------------------------------------------------------------------------------------------

    def _arm(self) -> None:
        """Set the timer for whatever comes next by time alone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._closed:
            return
        clock = self._shared.clock
        now, now_ms = clock.monotonic(), clock.now_ms()
        deadline = self._deadlines.next()
        times = [] if deadline is None else [max(deadline, now)]
        for desk in self.desks.values():
            for cursor in desk.cursors.values():
                retry = cursor.next_retry()
                if retry is not None and retry > now:
                    times.append(retry)
                if cursor.waits_until_ms > now_ms:
                    times.append(now + (cursor.waits_until_ms - now_ms) / 1000)
        shown = (self._checkpoint_at.get(one, now) + _CHECKPOINT_SECONDS for one in self._checkpoints)
        times += [at for at in shown if at > now]
        if times:
            self._timer = asyncio.get_running_loop().call_later(min(times) - now, self.pass_time)

    def pass_time(self) -> None:
        """Do what time alone has made due: deadlines, tries again, embargoes that end."""
        self._deadlines.take_back(self._shared.clock.monotonic())
        self.kick()
        self._arm()

    # --- inside -----------------------------------------------------------------------------------------------------

    def _notify(self) -> None:
        self._changed.set()
        if self._stopped:
            self._room.set()

    async def _until(self, has_room: Callable[[], bool]) -> None:
        while not has_room() and not self._stopped:
            self._room.clear()
            await self._room.wait()

    def _later(self, seconds: float, act: Callable[[], None]) -> None:
        if not self._closed:
            asyncio.get_running_loop().call_later(seconds, act)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except ComityError as error:
            self.end(error)
        except Exception as error:  # noqa: BLE001 - the outermost place of a task: the stream ends and says so
            _LOG.error("session_failed", extra={"node": self.to.node, "consumer": self.to.consumer}, exc_info=error)
            self.end(ComityError("delivery failed inside the broker", what_to_do="Connect again."))

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._notify()
