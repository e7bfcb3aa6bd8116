"""The journal: one thread that owns the writing side and puts what waits into one commit (design 04, "Journal").

Rules in order:
1. A unit is written in the order of its urgency, and in the order of submission among equals; so the order of effect is the
   log's order. There is no waiting for company: a commit takes what is there, within `JournalLimits`.
2. While a unit of urgency `URGENT` or less waits, a commit closes after the unit in hand. One unit that is not urgent goes into
   every commit that has room for it, so that nothing waits for ever.
3. An outcome is told in the loop's thread, after COMMIT, with one call a commit. A waiter that is gone takes nothing with it:
   a commit is never cancelled and never timed out.
4. An Unknown outcome, the thread's death, or no commit finishing for `stall_seconds` while work waits is fatal: `on_fatal` is
   called once, from whichever thread saw it, and whoever still waits is never answered. Nobody is told what nobody knows.
5. The write-ahead log is moved back by this thread alone, when nothing waits or when it has grown long.

`faults` is for tests: `reach` is called at the points of `FaultPoint`, and does nothing in a broker that serves.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Protocol, TypeVar, cast

from comity.errors import ErrorCode, StorageError, UnreachableError
from comity_broker.counts import Durations
from comity_broker.storage.protocol import GoOn, Outcome, Unit, Unknown, Writer

URGENT: Final = 2
RETRY_SECONDS: Final = 5.0

_JOIN_SECONDS: Final = 0.05

R = TypeVar("R")


class FaultPoint(StrEnum):
    """Where a test may stop, kill or fail the writer."""

    BEFORE_COMMIT = "before-commit"
    AFTER_COMMIT = "after-commit"
    BEFORE_CHECKPOINT = "before-checkpoint"
    AFTER_CHECKPOINT = "after-checkpoint"


class Faults(Protocol):
    """What happens at a fault point."""

    def reach(self, point: FaultPoint) -> None:
        """Do what a test wants there; runs in the writer's thread, and what it raises is the thread's death."""


class _NoFaults:
    def reach(self, point: FaultPoint) -> None:
        """Do nothing."""


NO_FAULTS: Final[Faults] = _NoFaults()


@dataclass(frozen=True, slots=True)
class JournalLimits:
    """How much goes into a commit, how much may wait, and when the writer is idle or stuck.

    `units`, `reports` and `size_bytes` bound one commit (a first unit is taken whatever it weighs); `waiting` and
    `urgent_waiting` bound what is queued, each kind on its own. A write-ahead log of `idle_backlog_bytes` is moved when nothing
    came for `idle_seconds`, one of `backlog_bytes` at once.
    """

    units: int = 64
    reports: int = 512
    size_bytes: int = 4 << 20
    waiting: int = 1_024
    urgent_waiting: int = 256
    backlog_bytes: int = 8 << 20
    idle_backlog_bytes: int = 1 << 20
    idle_seconds: float = 0.25
    stall_seconds: float = 10.0
    watch_seconds: float = 1.0


DEFAULT_LIMITS: Final = JournalLimits()


@dataclass(frozen=True, slots=True)
class JournalNumbers:
    """What a journal has written since the start, and what waits: units by commits, bytes of the write-ahead log."""

    durations: Durations
    units: int
    waiting: int
    backlog_bytes: int


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    """A unit and who waits for it."""

    unit: Unit[Any]
    future: asyncio.Future[Outcome[Any]]

    @property
    def is_urgent(self) -> bool:
        return self.unit.urgency <= URGENT


class Journal:
    """Group commit over one `Writer`. Everything public is for the event loop's thread."""

    def __init__(
        self,
        writer: Writer,
        *,
        on_fatal: Callable[[BaseException], None],
        monotonic: Callable[[], float] = time.monotonic,
        faults: Faults = NO_FAULTS,
        limits: JournalLimits = DEFAULT_LIMITS,
    ) -> None:
        self._writer = writer
        self._on_fatal = on_fatal
        self._monotonic = monotonic
        self._faults = faults
        self._limits = limits
        self._room = asyncio.Semaphore(limits.waiting)
        self._urgent_room = asyncio.Semaphore(limits.urgent_waiting)
        # Everything from here to the thread is shared with it, and changed under the condition's lock.
        self._changed = threading.Condition()
        self._levels: dict[int, deque[_Waiting]] = {}
        self._urgent = 0
        self._since: float | None = None
        self._stopping = False
        self._failure: BaseException | None = None
        self._durations = Durations()
        self._written = 0
        self._backlog = 0
        self._last_commit = monotonic()
        self._tried_backlog = 0
        self._thread = threading.Thread(target=self._write, name="journal", daemon=True)
        self._watcher: asyncio.TimerHandle | None = None

    # --- for the event loop -----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the writer's thread, and the watch over it; within a running event loop."""
        self._thread.start()
        self._watch_again(asyncio.get_running_loop())

    async def submit(self, unit: Unit[R]) -> Outcome[R]:
        """Have a unit written; give its outcome, Committed or Refused.

        Where there is room the unit is queued before this first suspends. Raises UnreachableError (DRAINING) after `stop` and
        StorageError after a failure: such a unit was not taken.
        """
        return cast("Outcome[R]", await (await self._queued(unit)))

    async def submit_many(self, units: Sequence[Unit[R]]) -> list[Outcome[R]]:
        """Have units written in this order (among equals in urgency); give their outcomes in this order."""
        futures = [await self._queued(unit) for unit in units]
        return [cast("Outcome[R]", outcome) for outcome in await asyncio.gather(*futures)]

    def stop(self) -> None:
        """Write what is queued, move the write-ahead log back, and end the thread. Blocks; what is told comes after."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        while self._thread.is_alive() and self._failure is None:
            self._thread.join(_JOIN_SECONDS)
            self._look_for_stall()
        if self._watcher is not None:
            self._watcher.cancel()

    def last_commit_age(self) -> float:
        """Give the seconds since a commit last finished, or since the start."""
        return self._monotonic() - self._last_commit

    def stalled_seconds(self) -> float:
        """Give for how long work has been waiting without a commit finishing, in seconds; 0 where none waits."""
        since = self._since
        return 0.0 if since is None else self._monotonic() - since

    def durations(self) -> Durations:
        """Give how long each commit since the start took; a copy."""
        with self._changed:
            return self._durations.copy()

    def numbers(self) -> JournalNumbers:
        """Give the numbers as they are now, all of one moment."""
        with self._changed:
            waiting = sum(len(level) for level in self._levels.values())
            return JournalNumbers(self._durations.copy(), self._written, waiting, self._backlog)

    async def _queued(self, unit: Unit[Any]) -> asyncio.Future[Outcome[Any]]:
        self._refuse_when_closed()
        room = self._room_of(unit)
        await room.acquire()
        try:
            self._refuse_when_closed()
        except BaseException:
            room.release()
            raise
        waiting = _Waiting(unit, asyncio.get_running_loop().create_future())
        with self._changed:
            self._levels.setdefault(unit.urgency, deque()).append(waiting)
            self._urgent += waiting.is_urgent
            if self._since is None:
                self._since = self._monotonic()
            self._changed.notify()
        return waiting.future

    def _room_of(self, unit: Unit[Any]) -> asyncio.Semaphore:
        return self._urgent_room if unit.urgency <= URGENT else self._room

    def _refuse_when_closed(self) -> None:
        if self._failure is not None:
            raise StorageError(
                "the journal has failed, and the broker ends",
                what_to_do="Try again when the broker is back: this was not stored.",
                retry_after_seconds=RETRY_SECONDS,
            )
        if self._stopping:
            raise UnreachableError(
                "the broker is about to stop",
                what_to_do="Try again in a few seconds.",
                code=ErrorCode.DRAINING,
                retry_after_seconds=RETRY_SECONDS,
            )

    def _tell(self, told: Sequence[tuple[_Waiting, Outcome[Any]]]) -> None:
        for waiting, outcome in told:
            self._room_of(waiting.unit).release()
            if not waiting.future.done():
                waiting.future.set_result(outcome)

    def _watch_again(self, loop: asyncio.AbstractEventLoop) -> None:
        self._look_for_stall()
        if self._failure is None:
            self._watcher = loop.call_later(self._limits.watch_seconds, self._watch_again, loop)

    def _look_for_stall(self) -> None:
        if self.stalled_seconds() > self._limits.stall_seconds:
            self._fail(
                StorageError(
                    f"no commit finished for {self._limits.stall_seconds:g} seconds while work was waiting",
                    what_to_do="Look at the disk of the data directory; the next start reads what is there.",
                )
            )

    # --- the writer's thread ----------------------------------------------------------------------------------------

    def _write(self) -> None:
        try:
            while (batch := self._next()) is not None:
                if batch:
                    self._commit(batch)
                    if self._backlog_is_long():
                        self._checkpoint()
                else:
                    self._checkpoint()
            self._checkpoint()
        except BaseException as error:  # noqa: BLE001 - whatever ends this thread must end the process, not only the thread
            self._fail(error)

    def _next(self) -> list[_Waiting] | None:
        """Give what goes into the next commit; nothing when it is time for a checkpoint, None at the end."""
        with self._changed:
            while True:
                if self._levels:
                    return self._take()
                if self._stopping or self._failure is not None:
                    return None
                if not self._changed.wait(self._idle_seconds()) and not self._levels:
                    return []

    def _idle_seconds(self) -> float | None:
        backlog = self._writer.backlog_bytes
        worth_it = backlog >= self._limits.idle_backlog_bytes and backlog != self._tried_backlog
        return self._limits.idle_seconds if worth_it else None

    def _take(self) -> list[_Waiting]:
        taken: list[_Waiting] = []
        reports = 0
        for urgency in sorted(self._levels):
            level = self._levels[urgency]
            while level:
                reports += len(level[0].unit.reads.report_ids)
                if taken and (len(taken) >= self._limits.units or reports > self._limits.reports):
                    return taken
                taken.append(level.popleft())
                self._urgent -= taken[-1].is_urgent
            del self._levels[urgency]
        return taken

    def _commit(self, batch: Sequence[_Waiting]) -> None:
        self._faults.reach(FaultPoint.BEFORE_COMMIT)
        started = self._monotonic()
        outcomes = self._writer.commit([waiting.unit for waiting in batch], self._go_on(batch))
        self._faults.reach(FaultPoint.AFTER_COMMIT)
        for outcome in outcomes:
            if isinstance(outcome, Unknown):
                raise outcome.error
        now = self._monotonic()
        backlog = self._writer.backlog_bytes
        with self._changed:
            self._put_back(batch[len(outcomes) :])
            self._since = now if self._levels else None
            self._last_commit = now
            self._durations.add(now - started)
            self._written += len(outcomes)
            self._backlog = backlog
            if self._failure is not None:
                return
        told = list(zip(batch, outcomes, strict=False))
        batch[0].future.get_loop().call_soon_threadsafe(self._tell, told)

    def _go_on(self, batch: Sequence[_Waiting]) -> GoOn:
        def go_on(taken: int, size: int) -> bool:
            if size >= self._limits.size_bytes:
                return False
            return batch[taken - 1].is_urgent or self._urgent == 0

        return go_on

    def _put_back(self, batch: Sequence[_Waiting]) -> None:
        for waiting in reversed(batch):
            self._levels.setdefault(waiting.unit.urgency, deque()).appendleft(waiting)
            self._urgent += waiting.is_urgent

    def _backlog_is_long(self) -> bool:
        backlog, limit = self._writer.backlog_bytes, self._limits.backlog_bytes
        # A log that readers or a full disk keep from being moved is tried again when it has grown by as much again.
        grown = backlog - self._tried_backlog if backlog >= self._tried_backlog else backlog
        return grown >= limit and (self._urgent == 0 or grown >= 4 * limit)

    def _checkpoint(self) -> None:
        self._faults.reach(FaultPoint.BEFORE_CHECKPOINT)
        self._writer.checkpoint()
        self._backlog = self._tried_backlog = self._writer.backlog_bytes
        self._faults.reach(FaultPoint.AFTER_CHECKPOINT)

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            if self._failure is not None:
                return
            self._failure = error
            self._changed.notify()
        self._on_fatal(error)
