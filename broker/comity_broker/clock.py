"""The broker's time: it never goes back, and a step of the wall clock is noticed (design of exchange)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


def wall_ms() -> int:
    """Give the wall clock, Unix milliseconds."""
    return time.time_ns() // 1_000_000


@dataclass(slots=True)
class BrokerClock:
    """Broker time = the greatest of what was committed and what the wall clock ever showed; deadlines are monotonic.

    Rules in order:
    1. The wall clock was set where it went on by more than `step_ms` otherwise than the monotonic clock, since the first look or the
       step told last; so steps that are small each are told when together they are not. A clock that is slewed takes both along.
    2. A step is told before the time that it gave is handed out: nothing is decided by a time that nobody knows to be new.
    """

    wall: Callable[[], int] = wall_ms
    monotonic: Callable[[], float] = time.monotonic
    step_ms: int = 5_000
    _greatest: int = 0
    _offset: float | None = field(default=None)
    _listeners: list[Callable[[int, int], None]] = field(default_factory=list)

    def on_step(self, listener: Callable[[int, int], None]) -> None:
        """Call `listener` with each step: what the wall clock would show without it and what it shows, Unix milliseconds.

        It is called by whoever asks for the time, in any thread.
        """
        self._listeners.append(listener)

    def now_ms(self) -> int:
        """Give the broker's time, Unix milliseconds; it never goes back while the process runs."""
        wall = self.wall()
        self._notice(wall)
        self._greatest = max(self._greatest, wall)
        return self._greatest

    def committed(self, at_ms: int) -> None:
        """Take note of a committed time: the broker's time is never before it."""
        self._greatest = max(self._greatest, at_ms)

    def _notice(self, wall: int) -> None:
        offset = wall - self.monotonic() * 1000
        if self._offset is None:
            self._offset = offset
        if abs(offset - self._offset) > self.step_ms and self._listeners:
            self._confirm(self._offset)

    def _confirm(self, before: float) -> None:
        """Tell of a step where a second look says so too: a process that was stopped between two readings sees one as well."""
        wall = self.wall()
        offset = wall - self.monotonic() * 1000
        if abs(offset - before) <= self.step_ms:
            return
        self._offset = offset
        for listener in self._listeners:
            listener(wall - int(offset - before), wall)
