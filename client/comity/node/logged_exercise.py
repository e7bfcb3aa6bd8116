"""An exercise as its log and its agreement's tell it together: what decided on its reports (docs/adr/0028).

Rules in order:
1. The state before an entry of the exercise is that of its agreement as of the entry which the last EXERCISE_FOLLOWS before it names,
   inclusive; caveats and changes of an umbrella count from there on as well.
2. A step that the agreement's log had `ORDER_MS` before counts all the same: a broker may be a moment late with it, not more.
3. Nobody is late with anything in an exercise, and no declaration counts in one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import Final

from comity.errors import VerificationError
from comity.node.directory import ORDER_MS
from comity.node.exercises import KIND
from comity.node.logged_entries import LoggedEntry
from comity.node.logged_life import LoggedLife
from comity.node.logged_texts import Texts
from comity_policy.lifecycle import State
from comity_policy.recorded import Difference, Gap, Missing, What


class Played:
    """The agreement of an exercise: its entries in their order, and the steps among them."""

    def __init__(self, texts: Texts, entries: Iterable[LoggedEntry], origins: Iterable[str]) -> None:
        self.life: Final = LoggedLife(texts)
        self.entries: Final[list[LoggedEntry]] = []
        self.origins: Final = frozenset(origins)
        for entry in entries:
            self.life.take(entry)
            self.entries.append(entry)


class ExerciseLife:
    """Where an exercise stands in the life of its agreement, entry by entry of its own log."""

    def __init__(self, played: Played) -> None:
        self._played = played
        self._places: list[tuple[int, int]] = []
        self._unseen: tuple[int, Gap] | None = None
        self._next = 0

    def take(self, entry: LoggedEntry) -> list[LoggedEntry]:
        """Take the next entry; give those of the agreement's log that count from here on. Raises VerificationError for another one."""
        if entry.log_index != self._next:
            raise VerificationError(f"entry {self._next} is not there")
        self._next += 1
        if entry.kind != KIND:
            return []
        if not entry.shared:
            self._unseen = self._unseen or (entry.log_index, entry.unseen)
            return []
        before, place = self._places[-1][1] if self._places else -1, entry.shared["agreement_log_index"]
        if entry.shared["agreement_origin"] not in self._played.origins or not before < place < self._played.life.size:
            raise VerificationError("it follows what its agreement's log does not have, or an older state of it")
        self._places.append((entry.log_index, place))
        return self._played.entries[before + 1 : place + 1]

    def state(self, before: int, now_ms: int) -> State | Gap:
        """Give what its agreement amounts to before an entry of the exercise at a time."""
        if self._unseen is not None and self._unseen[0] < before:
            return self._unseen[1]
        count = bisect_left(self._places, (before, 0))
        if not count:
            return Gap(Missing.ENTRY, f"what entry {before} follows of its agreement's log")
        return self._played.life.state(self._places[count - 1][1] + 1, now_ms)

    def late(self, now_ms: int) -> tuple[Difference, ...]:
        """Say what speaks against the state at a time after the entries that were taken."""
        newest = self._played.life.newest_at(now_ms - ORDER_MS)
        if newest is None or not self._places or newest <= self._places[-1][1]:
            return ()
        words = f"entry {newest} of the agreement's log had stood there, and the exercise's log did not follow it"
        return (Difference(What.STATE, words),)
