"""The order in which one connection sends what waits: all of what is real before anything of an exercise (docs/adr/0028).

Within each of the two the order stays that in which it came; lanes are of one or the other, so no lane's order changes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Turns(Generic[T]):
    """What waits; `last` says of one whether it stands behind all of which it does not."""

    def __init__(self, last: Callable[[T], bool]) -> None:
        self._is_last = last
        self._first: deque[T] = deque()
        self._last: deque[T] = deque()

    def __len__(self) -> int:
        return len(self._first) + len(self._last)

    def __iter__(self) -> Iterator[T]:
        yield from self._first
        yield from self._last

    @property
    def next(self) -> T:
        """Give whose turn it is; raises IndexError where nothing waits."""
        return (self._first or self._last)[0]

    def append(self, one: T) -> None:
        """Take one after all of its kind."""
        (self._last if self._is_last(one) else self._first).append(one)

    def put_back(self, some: Iterable[T]) -> None:
        """Take some, in their order, before all of their kind."""
        for one in reversed(list(some)):
            (self._last if self._is_last(one) else self._first).appendleft(one)

    def take(self) -> T:
        """Take whose turn it is out; raises IndexError where nothing waits."""
        return (self._first or self._last).popleft()

    def drop(self, gone: Callable[[T], bool]) -> None:
        """Forget those of which `gone` says so."""
        self._first = deque(one for one in self._first if not gone(one))
        self._last = deque(one for one in self._last if not gone(one))
