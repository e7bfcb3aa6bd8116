"""One consumer's lanes under one agreement, in one session: what was read ahead, and where the rest is found.

Read-ahead is references only, so many a class as the session allows; segments are read when they are handed over.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from comity_broker.dispatch.checking import TAKEN_BACK
from comity_broker.dispatch.floors import LaneState
from comity_broker.dispatch.lanes import CREDIT_PATIENCE_SECONDS, LaneCursor
from comity_broker.dispatch.references import Reference
from comity_broker.dispatch.shelf import Shelf
from comity_broker.dispatch.withheld import decode_due
from comity_broker.storage.protocol import (
    ExceptionRow,
    ExceptionState,
    HoldingRow,
    HoldRow,
    InboxRow,
    LaneRow,
    Reader,
    Reads,
)

AHEAD_LIMIT: Final = 256
_OPEN_LIMIT: Final = 4096


@dataclass(frozen=True, slots=True)
class Place:
    """Where a segment stands that an answer names. `reference` is None where its item is done."""

    cursor: LaneCursor
    item: int
    slots: int
    due: int
    reference: Reference | None


@dataclass(slots=True, eq=False)
class Desk:
    """The lanes of one consumer under one agreement."""

    agreement_id: str
    node: str
    consumer: str
    cursors: dict[int, LaneCursor] = field(default_factory=dict)
    holds: list[HoldRow] = field(default_factory=list)
    taken_back: dict[int, dict[int, HoldingRow]] = field(default_factory=dict)
    parked: dict[int, dict[int, int]] = field(default_factory=dict)
    held_told: int = 0
    stale: bool = True
    _exceptions: dict[int, dict[int, ExceptionRow]] = field(default_factory=dict)
    _by_segment: dict[bytes, tuple[LaneCursor, Reference, int]] = field(default_factory=dict)
    _turn: int = 0

    @property
    def party(self) -> str:
        """Give the consumer's party."""
        return self.node.partition("/")[0]

    # --- reading ----------------------------------------------------------------------------------------------------

    async def load(self, reader: Reader, shelf: Shelf, now: float) -> None:
        """Read where the consumer stands."""
        floors = {row.lane: row for row in await reader.floors(self.agreement_id, self.node, self.consumer)}
        for row in await reader.lanes(self.agreement_id):
            self._add(row, LaneState.decode(floors.get(row.lane)))
        rows = await reader.exceptions(self.agreement_id, self.node, self.consumer)
        lowest = min((one.state.floor for one in self.cursors.values()), default=0)
        for one in rows:
            if one.state == ExceptionState.PARKED:
                self.parked.setdefault(one.item, {})[one.slot] = one.attempts
            if one.item > lowest:
                self._exceptions.setdefault(one.item, {})[one.slot] = one
        for one in rows:
            if one.state == ExceptionState.RETRY:
                await self._take_up_replay(reader, shelf, one, now)
        await self.read_holds(reader)

    async def _take_up_replay(self, reader: Reader, shelf: Shelf, row: ExceptionRow, now: float) -> None:
        segment = await shelf.segment(self.agreement_id, row.item)
        cursor = self.cursors.get(segment.lane)
        if cursor is not None and cursor.state.settled(row.item, 1 << row.slot):
            await self.replay(reader, cursor, row.item, {row.slot: row.attempts}, now)

    async def replay(self, reader: Reader, cursor: LaneCursor, item: int, slots: dict[int, int], now: float) -> None:
        """Take up parked reports that are to be handed over again: slot -> attempts so far."""
        row = await self.inbox_row(reader, cursor, item)
        if row is not None:
            cursor.replay(row, slots, now)
        for slot in slots:
            self.unpark(item, slot)

    def grew(self, lanes: Sequence[LaneRow]) -> set[int]:
        """Take the agreement's lanes as they are now; give the classes in which something may have come."""
        grown: set[int] = set()
        for row in lanes:
            known = self.cursors.get(row.lane)
            if known is None:
                if self._add(row, LaneState()):
                    grown.add(row.key.transport_class)
            elif row.last_origin_sequence > known.row.last_origin_sequence:
                known.row, known.more = row, True
                grown.add(row.key.transport_class)
        return grown

    def brought(self, lane: LaneRow, inbox: InboxRow | None, now: float, now_ms: int, *, room: bool) -> set[int]:
        """Take a segment that was just committed, as `grew`; where all before it was read it is not read back, if there is `room`."""
        known = self.cursors.get(lane.lane)
        if known is None or known.more or not room:
            return self.grew([lane])
        if lane.last_origin_sequence > known.row.last_origin_sequence:
            known.row = lane
        # It may have been read between its commit and this.
        if inbox is None or inbox.item <= known.read_to:
            return set()
        known.extend([inbox], self._exceptions, now, now_ms)
        return {lane.key.transport_class}

    async def read_holds(self, reader: Reader) -> None:
        """Read the agreement's suspensions and what its originators took back, where they may have changed."""
        if self.stale:
            self.stale = False
            self.holds = await reader.holds(self.agreement_id)
            for row in await reader.holdings(self.agreement_id):
                if row.state in TAKEN_BACK:
                    self.taken_back.setdefault(row.item, {})[row.slot] = row

    async def read_ahead(self, reader: Reader, cursor: LaneCursor, room: int, now: float, now_ms: int) -> None:
        """Read references of a lane: all that were handed over and are open, and at most `room` that were not handed over."""
        while cursor.more and len(cursor.items) < _OPEN_LIMIT:
            after = cursor.read_after
            limit = AHEAD_LIMIT if after < cursor.state.handed else min(room, AHEAD_LIMIT) - cursor.ahead
            if limit <= 0:
                return
            rows = await reader.inbox(self.agreement_id, self.node, cursor.row.lane, after, limit)
            cursor.extend(rows, self._exceptions, now, now_ms)
            for row in rows:
                self._exceptions.pop(row.item, None)
            cursor.more = len(rows) == limit

    async def inbox_row(self, reader: Reader, cursor: LaneCursor, item: int) -> InboxRow | None:
        """Give the inbox row of one item; None where this node has none."""
        rows = await reader.inbox(self.agreement_id, self.node, cursor.row.lane, item - 1, 1)
        return rows[0] if rows and rows[0].item == item else None

    def _add(self, row: LaneRow, state: LaneState) -> bool:
        if row.key.node.partition("/")[0] == self.party:
            return False
        self.cursors[row.lane] = LaneCursor(row, state)
        return True

    # --- whose turn it is -------------------------------------------------------------------------------------------

    def turns(self, now: float, now_ms: int, looked: Mapping[int, float]) -> Iterator[float]:
        """Give, in monotonic seconds, when something is due by time alone: tries again, embargoes that end, what waits to go whole.

        `looked` has when each class was looked at last: what came due since then nobody has seen. Of a class that it has not
        nothing is to be looked at.
        """
        for cursor in self.cursors.values():
            seen = looked.get(cursor.row.key.transport_class, math.inf)
            retry = cursor.next_retry()
            if retry is not None and retry > seen:
                yield max(now, retry)
            if cursor.short_since is not None and cursor.short_since + CREDIT_PATIENCE_SECONDS > seen:
                yield max(now, cursor.short_since + CREDIT_PATIENCE_SECONDS)
            if cursor.waits_until_ms > now_ms:
                yield now + (cursor.waits_until_ms - now_ms) / 1000
            elif cursor.waits_until_ms:
                cursor.waits_until_ms = 0
                yield now

    def of_class(self, transport_class: int) -> list[LaneCursor]:
        """Give the lanes of a class, beginning with another one each time."""
        found = [one for one in self.cursors.values() if one.row.key.transport_class == transport_class]
        self._turn += 1
        start = self._turn % len(found) if found else 0
        return found[start:] + found[:start]

    def is_idle(self, transport_class: int) -> bool:
        """Say whether no lane of a class has anything to look at."""
        return all(one.is_idle for one in self.cursors.values() if one.row.key.transport_class == transport_class)

    def ahead(self, transport_class: int) -> int:
        """Give how many items of a class were read ahead."""
        return sum(one.ahead for one in self.cursors.values() if one.row.key.transport_class == transport_class)

    def look_again(self) -> None:
        """Have what is held looked at again, and suspensions read again."""
        self.stale = True
        for cursor in self.cursors.values():
            cursor.changes += 1
            cursor.waits_until_ms = 0

    # --- what answers name ------------------------------------------------------------------------------------------

    def handed(self, cursor: LaneCursor, reference: Reference, slots: int) -> None:
        """Remember a segment of so many slots that is handed over in this session, until it is done."""
        self._by_segment[reference.segment_id] = (cursor, reference, slots)

    def forget_done(self, cursor: LaneCursor, reference: Reference) -> None:
        """Forget a segment of which nothing is open any more."""
        if reference.item not in cursor.items and reference.item not in cursor.replays:
            self._by_segment.pop(reference.segment_id, None)

    async def place(self, reader: Reader, segment_id: bytes) -> Place | None:
        """Give where a segment stands that was handed to this consumer; None where none was."""
        known = self._by_segment.get(segment_id)
        if known is not None:
            cursor, reference, slots = known
            return Place(cursor, reference.item, slots, reference.addressed, cursor.items.get(reference.item))
        row = (await reader.known(self.agreement_id, Reads(segment_ids=[segment_id]))).segments.get(segment_id)
        found = None if row is None else self.cursors.get(row.lane)
        if row is None or found is None or row.item > found.state.handed:
            return None
        inbox = await self.inbox_row(reader, found, row.item)
        if inbox is None:
            return None
        return Place(found, row.item, row.slots, decode_due(inbox.due), found.items.get(row.item))

    def unpark(self, item: int, slot: int) -> None:
        """Forget that a slot is parked."""
        slots = self.parked.get(item, {})
        slots.pop(slot, None)
        if not slots:
            self.parked.pop(item, None)

    # --- numbers ----------------------------------------------------------------------------------------------------

    @property
    def in_flight(self) -> int:
        """Give how many reports are with the consumer or on their way."""
        return sum(one.in_flight for one in self.cursors.values())

    @property
    def held(self) -> int:
        """Give how many reports that were looked at are held."""
        return sum(one.state.held(item).bit_count() for one in self.cursors.values() for item in one.held)

    def unhanded(self) -> Iterator[tuple[LaneCursor, Reference, int]]:
        """Give what was read ahead and not handed over, with its slots."""
        for cursor in self.cursors.values():
            for reference in cursor.queue:
                waiting = cursor.state.waiting(reference.item, reference.due)
                yield cursor, reference, waiting & ~cursor.state.held(reference.item)
