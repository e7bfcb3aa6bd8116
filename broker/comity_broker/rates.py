"""How fast a broker works now: its counts, looked at every two seconds and kept for a minute.

The work itself is not asked: a rate is the difference of two looks. `run` must be running, in a task group of the server's;
a broker that has just begun gives the rates of what it has seen.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from comity_broker.counts import Counts, Durations, durations_since, percentile_seconds

LOOK_SECONDS: Final = 2.0
_SHORT_SECONDS: Final = 10.0
_LONG_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Look:
    """The sums at one moment of the monotonic clock."""

    at: float
    durations: Durations
    admitted: int
    handed_over: int
    acknowledged: int
    refused: int


@dataclass(frozen=True, slots=True)
class Rates:
    """What happens: a second, over the last ten; refusals a minute and commit times in milliseconds, over the last minute."""

    commits_per_second: float
    admitted_per_second: float
    handed_over_per_second: float
    acknowledged_per_second: float
    refusals_per_minute: float
    commit_p50_ms: float
    commit_p99_ms: float


@dataclass(slots=True)
class Looks:
    """The looks of the last minute; `durations` gives a copy of how long commits took."""

    counts: Counts
    durations: Callable[[], Durations]
    monotonic: Callable[[], float]
    _looks: deque[Look] = field(default_factory=deque)

    async def run(self) -> None:
        """Look, until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_SECONDS)

    def look(self) -> None:
        """Look once, and forget what is older than a minute but for the newest of that."""
        look = self._now()
        self._looks.append(look)
        while len(self._looks) > 1 and self._looks[1].at <= look.at - _LONG_SECONDS:
            self._looks.popleft()

    def rates(self) -> Rates:
        """Give the rates up to now."""
        now = self._now()
        short, long = self._since(now.at - _SHORT_SECONDS) or now, self._since(now.at - _LONG_SECONDS) or now
        seconds = max(now.at - short.at, LOOK_SECONDS)
        minutes = max(now.at - long.at, LOOK_SECONDS) / 60
        commits = durations_since(now.durations, long.durations)
        return Rates(
            commits_per_second=(now.durations.number - short.durations.number) / seconds,
            admitted_per_second=(now.admitted - short.admitted) / seconds,
            handed_over_per_second=(now.handed_over - short.handed_over) / seconds,
            acknowledged_per_second=(now.acknowledged - short.acknowledged) / seconds,
            refusals_per_minute=(now.refused - long.refused) / minutes,
            commit_p50_ms=percentile_seconds(commits, 0.5) * 1000,
            commit_p99_ms=percentile_seconds(commits, 0.99) * 1000,
        )

    def _since(self, at: float) -> Look | None:
        """Give the newest look that is at least so old, else the oldest there is."""
        found = self._looks[0] if self._looks else None
        for look in self._looks:
            if look.at > at:
                break
            found = look
        return found

    def _now(self) -> Look:
        counts = self.counts
        return Look(
            at=self.monotonic(),
            durations=self.durations(),
            admitted=sum(counts.admitted_reports.values()),
            handed_over=sum(counts.handed_over_reports.values()),
            acknowledged=sum(counts.acknowledged_reports.values()),
            refused=sum(counts.refused_reports.values())
            + sum(counts.refused_answers.values())
            + sum(counts.denied_calls.values()),
        )
