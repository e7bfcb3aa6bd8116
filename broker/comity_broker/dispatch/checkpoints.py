"""Checkpoints on their way to one consumer: of each log the newest, at most one a second (design 04)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from comity_broker.dispatch.frames import NewCheckpoint

_SECONDS: Final = 1.0


class Checkpoints:
    """The newest checkpoints that were not shown yet. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._notes: dict[str, bytes] = {}
        self._shown_at: dict[str, float] = {}

    def take(self, agreement_id: str, note: bytes) -> None:
        """Take a new one in place of an older one."""
        self._notes[agreement_id] = note

    def due(self, now: float) -> NewCheckpoint | None:
        """Give one whose turn has come, once."""
        for agreement_id in self._notes:
            if now - self._shown_at.get(agreement_id, float("-inf")) >= _SECONDS:
                self._shown_at[agreement_id] = now
                return NewCheckpoint(agreement_id, self._notes.pop(agreement_id))
        return None

    def turns(self, now: float) -> Iterator[float]:
        """Give when the turns of those come whose turn has not."""
        turns = (self._shown_at.get(one, now) + _SECONDS for one in self._notes)
        return (at for at in turns if at > now)
