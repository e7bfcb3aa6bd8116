"""How long to wait before the next try: doubling from 0.2 s to 10 s, each time between half of it and all of it at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from comity.suites import RandomBytes

FIRST_SECONDS: Final = 0.2
LAST_SECONDS: Final = 10.0


@dataclass(slots=True)
class Backoff:
    """The waits of one stream. `random_bytes` draws the jitter, so that nodes do not come back all at once."""

    random_bytes: RandomBytes
    _seconds: float = FIRST_SECONDS
    _least: float = 0.0

    def succeeded(self) -> None:
        """Begin again with the shortest wait."""
        self._seconds = FIRST_SECONDS

    def wait_at_least(self, seconds: float) -> None:
        """Take note of what the broker asked for, for the next wait alone."""
        self._least = max(self._least, seconds)

    def next_seconds(self, retry_after_seconds: float | None = None) -> float:
        """Give how long to wait now, at least what the broker asked for."""
        least, self._least = max(self._least, retry_after_seconds or 0.0), 0.0
        jitter = self._seconds * (0.5 + 0.5 * int.from_bytes(self.random_bytes(4), "big") / (1 << 32))
        self._seconds = min(LAST_SECONDS, 2 * self._seconds)
        return max(least, jitter)
