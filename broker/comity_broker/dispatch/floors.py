"""Where one consumer stands in one lane, as it is stored: floor, handed, and what is settled or not handed over in between.

Rules in order:
1. Items of a lane ascend; between two of them there are numbers of other lanes. So "done from a to b" is said of numbers and
   means every item of the lane among them.
2. An item is *done* when all its due slots are settled and the consumer was told of all others. Every item up to `floor` is.
3. Every item up to `handed` was handed over in its turn. Of one that is not done, `settled` slots need nothing more, `waiting`
   slots were not handed over yet (credit, `not_before`, a hold), the other due slots were and are not answered. `held` slots
   are those among the waiting that the log says HELD of.
4. A `Change` only adds: it hands over, settles, holds, tells. Changes of different slots may come in any order.

`above` = empty, or u8 1 | u32be n | n * (u64be first, u64be last) of done numbers | u32be m | m * (u64be item, three bitmaps:
settled, waiting, held). Ranges and items ascend strictly; ranges neither touch one another nor the floor; an item that says
nothing does not stand there. So one state has one encoding, and decoding gives it or raises MalformedError.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from typing import Final

from comity.errors import MalformedError
from comity_broker.dispatch.withheld import bitmap, read_bitmap
from comity_broker.storage.protocol import FloorRow

_VERSION: Final = b"\x01"
_COUNT: Final = struct.Struct(">I")
_RANGE: Final = struct.Struct(">QQ")
_ITEM: Final = struct.Struct(">Q")
_LEAST_PARTIAL: Final = _ITEM.size + 3


@dataclass(frozen=True, slots=True)
class Partial:
    """An item between floor and handed that is not done, as masks of slots."""

    settled: int = 0
    waiting: int = 0
    held: int = 0


UNTOUCHED: Final = Partial()


@dataclass(frozen=True, slots=True)
class Change:
    """What happens to one item: `previous` is the item before it in the lane (or any number between), `due` its due slots.

    `hand` slots are handed over, `settle` slots need nothing more, `hold` slots become held; `told` says that the consumer
    knows why every other slot does not come.
    """

    previous: int
    item: int
    due: int
    hand: int = 0
    settle: int = 0
    hold: int = 0
    told: bool = False


@dataclass(slots=True)
class LaneState:
    """The state of one consumer in one lane. `done` are ranges above the floor, `partial` items that are not done."""

    floor: int = 0
    handed: int = 0
    done: list[tuple[int, int]] = field(default_factory=list)
    partial: dict[int, Partial] = field(default_factory=dict)

    # --- what it says -----------------------------------------------------------------------------------------------

    def is_done(self, item: int) -> bool:
        """Say whether an item of the lane is done."""
        return item <= self.floor or self._range_of(item) is not None

    def done_until(self, item: int) -> int:
        """Give the last number of the run of done numbers that `item` is in, or `item` itself."""
        if item <= self.floor:
            return self.floor
        found = self._range_of(item)
        return item if found is None else found[1]

    def settled(self, item: int, due: int) -> int:
        """Give the due slots of an item that need nothing more."""
        return due if self.is_done(item) else self.partial.get(item, UNTOUCHED).settled & due

    def waiting(self, item: int, due: int) -> int:
        """Give the due slots of an item that were not handed over and are not settled."""
        if item > self.handed:
            return due
        return 0 if self.is_done(item) else self.partial.get(item, UNTOUCHED).waiting & due

    def held(self, item: int) -> int:
        """Give the waiting slots of an item that the log says HELD of."""
        return self.partial.get(item, UNTOUCHED).held

    def outstanding(self, item: int, due: int) -> int:
        """Give the due slots of an item that were handed over and not answered."""
        if item > self.handed or self.is_done(item):
            return 0
        partial = self.partial.get(item, UNTOUCHED)
        return due & ~partial.settled & ~partial.waiting

    # --- what changes it --------------------------------------------------------------------------------------------

    def apply(self, change: Change) -> None:
        """Take a change. Of an item that is done nothing changes any more."""
        item = change.item
        if self.is_done(item):
            return
        before = Partial(waiting=change.due) if item > self.handed else self.partial.get(item, UNTOUCHED)
        self.handed = max(self.handed, item)
        settled = before.settled | change.settle & change.due
        hold = change.hold & change.due & ~settled
        waiting = (before.waiting & ~change.hand | hold) & ~settled
        held = (before.held | hold) & waiting
        self.partial.pop(item, None)
        if change.told and settled == change.due:
            self._mark_done(max(change.previous, self.floor) + 1, item)
        elif settled or waiting:
            self.partial[item] = Partial(settled, waiting, held)

    def _range_of(self, item: int) -> tuple[int, int] | None:
        place = bisect_right(self.done, (item, 1 << 64)) - 1
        if place >= 0 and self.done[place][0] <= item <= self.done[place][1]:
            return self.done[place]
        return None

    def _mark_done(self, first: int, last: int) -> None:
        start = bisect_left(self.done, (first, 0))
        if start and self.done[start - 1][1] >= first - 1:
            start -= 1
            first = self.done[start][0]
        end = start
        while end < len(self.done) and self.done[end][0] <= last + 1:
            last = max(last, self.done[end][1])
            end += 1
        self.done[start:end] = [(first, last)]
        if self.done[0][0] <= self.floor + 1:
            self.floor = self.done.pop(0)[1]

    # --- bytes ------------------------------------------------------------------------------------------------------

    @classmethod
    def decode(cls, row: FloorRow | None) -> LaneState:
        """Give the state that a row holds, the state of nothing for None; raises MalformedError."""
        if row is None:
            return cls()
        if not 0 <= row.floor <= row.handed:
            raise MalformedError("floor: it is above what was handed over")
        state = cls(row.floor, row.handed)
        if row.above:
            _read_above(state, row.above)
        return state

    def encode(self, node: str, consumer: str, lane: int) -> FloorRow:
        """Give the row of this state."""
        return FloorRow(node, consumer, lane, self.floor, self.handed, self._above())

    def _above(self) -> bytes:
        if not self.done and not self.partial:
            return b""
        parts = [_VERSION, _COUNT.pack(len(self.done)), *(_RANGE.pack(*one) for one in self.done)]
        parts.append(_COUNT.pack(len(self.partial)))
        for item in sorted(self.partial):
            one = self.partial[item]
            parts += (_ITEM.pack(item), bitmap(one.settled), bitmap(one.waiting), bitmap(one.held))
        return b"".join(parts)


def _read_above(state: LaneState, data: bytes) -> None:
    if data[:1] != _VERSION:
        raise MalformedError("floor: its version is not known here")
    count, position = _read_count(data, 1, _RANGE.size)
    before = state.floor + 1
    for _ in range(count):
        first, last = _RANGE.unpack_from(data, position)
        position += _RANGE.size
        if not before < first <= last <= state.handed:
            raise MalformedError("floor: done ranges touch, do not ascend or lie above what was handed over")
        before = last + 1
        state.done.append((first, last))
    count, position = _read_count(data, position, _LEAST_PARTIAL)
    before = state.floor
    for _ in range(count):
        (item,) = _ITEM.unpack_from(data[position : position + _ITEM.size].ljust(_ITEM.size, b"\x00"))
        settled, position = read_bitmap(data, position + _ITEM.size)
        waiting, position = read_bitmap(data, position)
        held, position = read_bitmap(data, position)
        if not before < item <= state.handed or state.is_done(item):
            raise MalformedError("floor: items do not ascend between floor and handed, or are done already")
        if settled & waiting or held & ~waiting or not settled | waiting:
            raise MalformedError("floor: an item contradicts itself or says nothing")
        before = item
        state.partial[item] = Partial(settled, waiting, held)
    if position != len(data) or not (state.done or state.partial):
        raise MalformedError("floor: has bytes that say nothing")


def _read_count(data: bytes, position: int, least: int) -> tuple[int, int]:
    end = position + _COUNT.size
    if end > len(data):
        raise MalformedError("floor: ends too early")
    (count,) = _COUNT.unpack_from(data, position)
    if count * least > len(data) - end:
        raise MalformedError("floor: ends too early")
    return count, end
