"""Which segments a consumer was handed something of, from one on, in the order of admission: its lanes, merged item by item.

Read in pages, so that neither a long history nor many lanes are in memory. Lanes of which nothing was handed over from there on are not
looked at. What was handed over is as of the beginning: it only grows, and what comes later is in the consumer's hands anyway.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from comity_broker.dispatch.floors import LaneState
from comity_broker.dispatch.logged import Recipient
from comity_broker.dispatch.replayed import Again, Start, handed_before
from comity_broker.dispatch.shelf import missing
from comity_broker.dispatch.withheld import decode_due
from comity_broker.storage.protocol import ExceptionRow, InboxRow, Reader

_PAGE: Final = 64


async def first_item(reader: Reader, agreement_id: str, start: Start) -> int | None:
    """Give the item of the first segment that a replay begins with; None where there is none."""
    log_index = start.log_index or await _entry_since(reader, agreement_id, start.since)
    rows = await reader.segments_from(agreement_id, log_index, 1)
    return rows[0].item if rows else None


async def _entry_since(reader: Reader, agreement_id: str, since_ms: int) -> int:
    """Give an entry from which on all segments were admitted at that time or later, and none before it: the log's time never falls."""
    head = await reader.head(agreement_id)
    low, high = 0, 0 if head is None else head.leaf_next
    while low < high:
        middle = (low + high) // 2
        rows = await reader.segments_from(agreement_id, middle, 1)
        if not rows or rows[0].admitted_at >= since_ms:
            high = middle
        else:
            low = rows[0].log_index + 1
    return low


@dataclass(slots=True)
class _Lane:
    """One lane: where it stands, whose it is, rows that were read, and after which item to read on."""

    number: int
    originator: str
    state: LaneState
    after: int
    rows: deque[InboxRow] = field(default_factory=deque)
    more: bool = True


@dataclass(slots=True)
class Walk:
    """A walk under way."""

    reader: Reader
    agreement_id: str
    node: str
    exceptions: Mapping[int, Mapping[int, ExceptionRow]]
    _lanes: dict[int, _Lane] = field(default_factory=dict)
    _heads: list[tuple[int, int]] = field(default_factory=list)

    @classmethod
    async def of(cls, reader: Reader, agreement_id: str, to: Recipient, item: int | None) -> Walk:
        """Begin at an item; a walk of nothing for None."""
        exceptions: dict[int, dict[int, ExceptionRow]] = {}
        walk = cls(reader, agreement_id, to.node, exceptions)
        if item is None:
            return walk
        for row in await reader.exceptions(agreement_id, to.node, to.consumer):
            exceptions.setdefault(row.item, {})[row.slot] = row
        floors = {row.lane: row for row in await reader.floors(agreement_id, to.node, to.consumer)}
        for one in await reader.lanes(agreement_id):
            party, state = one.key.node.partition("/")[0], LaneState.decode(floors.get(one.lane))
            if state.handed >= item:
                lane = walk._lanes[one.lane] = _Lane(one.lane, party, state, item - 1)
                await walk._push(lane)
        return walk

    def exceptions_of(self, item: int) -> Mapping[int, ExceptionRow]:
        """Give the exceptions of an item, by slot."""
        return self.exceptions.get(item, {})

    async def next(self) -> Again | None:
        """Give the next segment of which something was handed over; None at the end."""
        while self._heads:
            item, number = heapq.heappop(self._heads)
            lane = self._lanes[number]
            inbox = lane.rows.popleft()
            await self._push(lane)
            due = decode_due(inbox.due)
            before = handed_before(lane.state, item, due, self.exceptions_of(item))
            if before:
                row = (await self.reader.segments(self.agreement_id, [item])).get(item)
                if row is None:
                    raise missing("a segment that an inbox names")
                return Again(row, inbox, lane.originator, due, before)
            await asyncio.sleep(0)
        return None

    async def _push(self, lane: _Lane) -> None:
        """Have the lane's next row stand for it, as far as anything was handed over."""
        if not lane.rows and lane.more:
            rows = await self.reader.inbox(self.agreement_id, self.node, lane.number, lane.after, _PAGE)
            lane.rows.extend(row for row in rows if row.item <= lane.state.handed)
            lane.more = len(lane.rows) == _PAGE
            lane.after = rows[-1].item if rows else lane.after
        if lane.rows:
            heapq.heappush(self._heads, (lane.rows[0].item, lane.number))
