"""Dense runs of numbers: which of a lane's were settled, as few pairs as there are holes. Pure.

>>> runs = Runs()
>>> for number in (1, 2, 4): runs.add(number)
>>> runs.spans, 2 in runs, 3 in runs, runs.end_of_first
(((1, 2), (4, 4)), True, False, 2)
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable


class Runs:
    """A set of positive integers, kept as ascending, disjoint, non-touching (first, last) pairs. O(log holes) a question."""

    __slots__ = ("_firsts", "_lasts")

    def __init__(self, spans: Iterable[tuple[int, int]] = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in spans:
            self.add_span(first, last)

    def __contains__(self, number: int) -> bool:
        place = bisect_right(self._firsts, number) - 1
        return place >= 0 and number <= self._lasts[place]

    def has_span(self, first: int, last: int) -> bool:
        """Say whether every number from first to last is there."""
        place = bisect_right(self._firsts, first) - 1
        return place >= 0 and last <= self._lasts[place]

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self.spans)

    @property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """Give the pairs, ascending."""
        return tuple(zip(self._firsts, self._lasts, strict=True))

    @property
    def end_of_first(self) -> int:
        """Give the last number of the first run, 0 where there is none."""
        return self._lasts[0] if self._lasts else 0

    def add(self, number: int) -> None:
        """Add one number."""
        self.add_span(number, number)

    def add_span(self, first: int, last: int) -> None:
        """Add every number from first to last."""
        low = bisect_right(self._lasts, first - 2)
        high = bisect_right(self._firsts, last + 1)
        if low < high:
            first, last = min(first, self._firsts[low]), max(last, self._lasts[high - 1])
        self._firsts[low:high] = [first]
        self._lasts[low:high] = [last]
