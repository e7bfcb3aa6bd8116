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

    `stepped` tells once of each step of more than `step_ms` between two looks: how far, in milliseconds.
    """

    wall: Callable[[], int] = wall_ms
    monotonic: Callable[[], float] = time.monotonic
    step_ms: int = 5_000
    _greatest: int = 0
    _offset: float | None = field(default=None)

    def now_ms(self) -> int:
        """Give the broker's time, Unix milliseconds; it never goes back while the process runs."""
        self._greatest = max(self._greatest, self.wall())
        return self._greatest

    def committed(self, at_ms: int) -> None:
        """Take note of a committed time: the broker's time is never before it."""
        self._greatest = max(self._greatest, at_ms)

    def stepped(self) -> int:
        """Give how far the wall clock stepped since the last look, 0 when it did not."""
        offset = self.wall() - self.monotonic() * 1000
        before, self._offset = self._offset, offset
        if before is None or abs(offset - before) <= self.step_ms:
            return 0
        return int(offset - before)
