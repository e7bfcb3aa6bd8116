"""After how long without an answer reports are handed over again: from the end of their write, anew from each heartbeat.

A deadline that passes takes back the reports of that one frame which were not answered and not handed over again since; it ends
nothing else. All frames wait equally long, so the first written is the first late. `now` is monotonic, in seconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from comity_broker.dispatch.lanes import LaneCursor
from comity_broker.dispatch.references import Reference


@dataclass(frozen=True, slots=True, eq=False)
class _Out:
    since: float
    cursor: LaneCursor
    reference: Reference
    slots: int
    attempts: Mapping[int, int]

    @property
    def late(self) -> int:
        """Give the slots of the frame that are still out by the hand-over that it was."""
        return self.reference.out_by(self.slots, self.attempts)


class Deadlines:
    """The frames of one stream whose reports are with the consumer."""

    def __init__(self, seconds: float, now: float) -> None:
        self._seconds = seconds
        self._heard_at = now
        self._out: deque[_Out] = deque()

    def begin(
        self, now: float, cursor: LaneCursor, reference: Reference, slots: int, attempts: Mapping[int, int]
    ) -> None:
        """Take that a frame was written; `attempts` has the numbers of hand-overs that are not the first."""
        self._out.append(_Out(now, cursor, reference, slots, attempts))

    def heard(self, now: float) -> None:
        """Take a heartbeat."""
        self._heard_at = now

    def next(self) -> float | None:
        """Give when the next one passes; answered ones are dropped on the way."""
        while self._out and not self._out[0].late:
            self._out.popleft()
        return max(self._out[0].since, self._heard_at) + self._seconds if self._out else None

    def take_back(self, now: float) -> bool:
        """Take back what is late; say whether anything was."""
        taken = False
        while (at := self.next()) is not None and at <= now:
            out = self._out.popleft()
            taken |= bool(out.cursor.give_back(out.reference, out.late, now))
        return taken
