"""One stream of one consumer: credit in, frames out, answers taken, deadlines kept (design 04, "Subscribe").

Each class is worked by a task of its own while there is work, so that a commit of ROUTINE never stands before FLASH; frames are
made one at a time, when the stream is ready for one, the most urgent class first. Answers are taken by one task in their order.
No task is ever cancelled (`tasks`).

A deadline runs from when the write of a frame was over, and anew from each heartbeat; when it passes, only the reports of that
frame that were not answered are handed over again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Final

from comity.envelope.evidence import SignedAck
from comity.errors import ComityError, ConflictError, ErrorCode, UnreachableError
from comity_broker.access import Caller
from comity_broker.dispatch.answering import Answering, Confirmed, GivenBack
from comity_broker.dispatch.checkpoints import Checkpoints
from comity_broker.dispatch.composing import Composer
from comity_broker.dispatch.credits import Credits
from comity_broker.dispatch.deadlines import Deadlines
from comity_broker.dispatch.desks import Desks
from comity_broker.dispatch.frames import Delivered, Draining, Frame, Opened
from comity_broker.dispatch.handing import HandingOver, Outgoing
from comity_broker.dispatch.lanes import classes_of
from comity_broker.dispatch.logged import Recipient
from comity_broker.dispatch.shared import Shared
from comity_broker.dispatch.tasks import Tasks
from comity_broker.dispatch.telling import Telling
from comity_broker.dispatch.writing import Writing
from comity_broker.storage.protocol import InboxRow, LaneRow

_LOG: Final = logging.getLogger(__name__)
ANSWERS_WAITING: Final = 64
LOW_WATER: Final = 4
_ACKS_TOGETHER: Final = 64
_LAG_SECONDS: Final = 0.02
_DRAIN_RETRY_SECONDS: Final = 5.0


class Session:
    """One stream. `next_frame` and `written` are the writer's, `credit` to `stop` the reader's side."""

    def __init__(self, shared: Shared, to: Recipient, caller: Caller, confirmed: Confirmed) -> None:
        self.to = to
        self._classes, self._urgent_classes = classes_of(exercise=to.exercise)
        self.desks = Desks(shared, to)
        self.credits = Credits()
        self.delivered_at = shared.clock.monotonic()
        self._shared = shared
        self._handing = HandingOver(shared, to, self.desks, self.credits)
        self._answering = Answering(shared, to, caller, self.desks, confirmed)
        self._notices: deque[Frame] = deque()
        self._outgoing: dict[int, deque[Outgoing]] = {one: deque() for one in self._classes}
        self._composer = Composer(shared, to, self.credits)
        self._writing = Writing(self._composer, self._outgoing, self._classes)
        self._urgent: Writing | None = None
        self._answers: asyncio.Queue[SignedAck | GivenBack] = asyncio.Queue(ANSWERS_WAITING)
        self._checkpoints = Checkpoints()
        self._deadlines = Deadlines(shared.settings.redelivery, self.delivered_at)
        self._telling = Telling(shared, self.desks, self._handing, self.credits)
        self._room = asyncio.Event()
        self._tasks = Tasks(to, failed=self.end, done=self._task_done)
        self._pumping: set[int] = set()
        self._dirty: set[int] = set()
        self._looked: dict[int, float] = {}
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
            self._writing.changed.clear()
            if self._ended is not None:
                raise self._ended
            if self._notices:
                self._room.set()
                return self._notices.popleft()
            if (frame := await self._delivery(self._writing)) is not None:
                return frame
            if (checkpoint := self._checkpoints.due(self._shared.clock.monotonic())) is not None:
                return checkpoint
            if self._is_over():
                return None
            if not self._stopped and not self._pumping:
                self._notices.extend(self._telling.news(elsewhere=self._is_urgent_out()))
            if not self._notices:
                await self._writing.changed.wait()

    def written(self, writing: Writing | None = None) -> None:
        """Take that the frame given last (to the stream that joined, where it is named) was written: its deadline begins."""
        outgoing = (writing or self._writing).written()
        if outgoing is not None and outgoing.slots:
            now = self._shared.clock.monotonic()
            self._deadlines.begin(now, outgoing.cursor, outgoing.reference, outgoing.slots, outgoing.attempts)
            self._arm()

    def join(self) -> Writing:
        """Take a second stream for what is urgent; raises ConflictError where there is one."""
        if self._urgent is not None:
            raise ConflictError("another stream joined this session before", code=ErrorCode.CONSUMER_BUSY)
        self._urgent = Writing(self._composer, self._outgoing, self._urgent_classes)
        self._writing.classes = self._classes[len(self._urgent_classes) :]
        return self._urgent

    async def next_urgent(self, writing: Writing) -> Frame | None:
        """Wait for the next frame of the stream that joined; None ends it well. Raises the ComityError that ends it."""
        while True:
            writing.changed.clear()
            if self._ended is not None:
                raise self._ended
            frame = await self._delivery(writing)
            if frame is not None:
                return frame
            if self._closed or self._is_over():
                return None
            await writing.changed.wait()

    def left(self) -> None:
        """Take that the stream that joined is gone: what it did not bring is handed over again, so the session ends with it."""
        if not self._closed and not self._is_over():
            self.end(UnreachableError("the stream for what is urgent ended", what_to_do="Connect again."))

    def _is_urgent_out(self) -> bool:
        """Say whether something on the stream that joined is on its way or not answered yet."""
        return self._urgent is not None and any(
            one.in_flight and one.row.key.transport_class in self._urgent_classes for one in self.desks.cursors
        )

    async def _delivery(self, writing: Writing) -> Delivered | None:
        if (frame := await writing.delivery(self._room)) is not None:
            self.delivered_at = self._shared.clock.monotonic()
        return frame

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
            self._tasks.spawn(self._take_answers())

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
        return self.desks.in_flight

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
        under_way = self._writing.is_under_way or (self._urgent is not None and self._urgent.is_under_way)
        return under_way or any(self._outgoing.values())

    @property
    def has_credit(self) -> bool:
        """Say whether the consumer granted what is not used."""
        return bool(self.credits.free(self._classes[-1]))

    # --- the dispatcher's side --------------------------------------------------------------------------------------

    async def add_desk(self, agreement_id: str) -> None:
        """Take an agreement in, as it stands for this consumer."""
        if await self.desks.take_in(agreement_id):
            self.admitted(agreement_id, await self._shared.reader.lanes(agreement_id))

    def brought(self, agreement_id: str, lane: LaneRow, inbox: InboxRow | None) -> None:
        """Take that a segment was admitted into a lane, and what this node gets of it, if anything."""
        if (classes := self.desks.brought(agreement_id, lane, inbox)) is not None:
            self.kick(classes)

    def admitted(self, agreement_id: str, lanes: Sequence[LaneRow]) -> None:
        """Look for what was admitted under an agreement, whose lanes are these now."""
        if (classes := self.desks.admitted(agreement_id, lanes)) is not None:
            self.kick(classes)

    async def replayed(self, agreement_id: str, lane: int, item: int, slots: Collection[int]) -> None:
        """Hand over again what was parked."""
        if await self.desks.replayed(agreement_id, lane, item, slots):
            self.kick()

    def dropped(self, agreement_id: str, item: int, slots: Collection[int]) -> None:
        """Forget what was parked."""
        self.desks.dropped(agreement_id, item, slots)

    def changed(self, agreement_id: str) -> None:
        """Look again at what is held or waits under an agreement."""
        if self.desks.look_again(agreement_id):
            self.kick()

    def checkpoint(self, agreement_id: str, note: bytes) -> None:
        """Take a new checkpoint of a log, to be shown when its turn comes."""
        if not agreement_id or agreement_id in self.desks:
            self._checkpoints.take(agreement_id, note)
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
        self._notify()
        await self._tasks.finish()

    def kick(self, classes: Collection[int] | None = None) -> None:
        """Look for work of these classes, of all where none are named."""
        if self._telling.nothing_waits:
            # Who had nothing to get is not behind: the time without a delivery begins with what comes now.
            self._telling.nothing_waits = False
            self.delivered_at = self._shared.clock.monotonic()
        waiting = {one.row.key.transport_class for one in self.desks.cursors if not one.is_idle}
        for transport_class in waiting.intersection(self._classes if classes is None else classes, self._classes):
            self._dirty.add(transport_class)
            if transport_class not in self._pumping and not self._stopped:
                self._pumping.add(transport_class)
                self._tasks.spawn(self._pump(transport_class))
        if not self._pumping:
            # Else whoever pumps says so when there is something to write, and when there is not.
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
                    await self._until(lambda: len(queue) <= LOW_WATER)
        finally:
            self._pumping.discard(transport_class)
            self._arm()
            self._notify()

    async def _round(self, transport_class: int) -> list[Outgoing] | None:
        self._looked[transport_class] = self._shared.clock.monotonic()
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
            asyncio.get_running_loop().call_later(error.retry_after_seconds, self.kick, {transport_class})
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
                    self._notify()
                if given_back is not None:
                    refused = await self._answering.give_back(given_back)
                    self._notices.extend(() if refused is None else (refused,))
                    self._notify()
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
        # A class at work arms anew when it is done; who is stopped hands over nothing more.
        looked = {} if self._stopped else {one: at for one, at in self._looked.items() if one not in self._pumping}
        times += [at for desk in self.desks.values() for at in desk.turns(now, now_ms, looked)]
        times += self._checkpoints.turns(now)
        if times:
            self._timer = asyncio.get_running_loop().call_later(min(times) - now, self.pass_time)

    def pass_time(self) -> None:
        """Do what time alone has made due: deadlines, tries again, embargoes that end."""
        self._deadlines.take_back(self._shared.clock.monotonic())
        self.kick()
        self._arm()

    # --- inside -----------------------------------------------------------------------------------------------------

    def _notify(self) -> None:
        self._writing.changed.set()
        urgent = self._urgent
        # Each wake costs a turn of the loop, and most are of what the first stream brings.
        if urgent is not None and (self._stopped or any(self._outgoing[one] for one in urgent.classes)):
            urgent.changed.set()
        if self._stopped:
            self._room.set()

    async def _until(self, has_room: Callable[[], bool]) -> None:
        while not has_room() and not self._stopped:
            self._room.clear()
            await self._room.wait()

    def _task_done(self) -> None:
        if self._stopped:
            self._notify()
