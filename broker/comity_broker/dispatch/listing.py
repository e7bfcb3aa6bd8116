"""Where reports stand, for whoever may know: a page of an agreement's reports with the state of each consumer (design 04).

A party sees what it sent, with the consumers of every node that has it due, and what its own nodes have due, with its own
consumers. A report that was refused at admission is shown to its originator's party alone, by its leaf. States, in order: what an
exception says (parked, dropped, expired, withdrawn, waiting for another try) unless it was recalled since; settled; withdrawn,
recalled or superseded; expired; handed over; held; due.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from comity.envelope import limits
from comity.envelope.profile import ProfileMemo
from comity.envelope.receipts import Receipt, decode_receipt
from comity.envelope.segment import Item, WholeItem, parse_segment
from comity.identity.names import is_exercise, log_name
from comity_broker.dispatch.claiming import DEFAULT_CONSUMER
from comity_broker.dispatch.floors import LaneState
from comity_broker.dispatch.shared import Shared
from comity_broker.dispatch.withheld import decode_due
from comity_broker.standing import Standing
from comity_broker.storage.protocol import (
    ExceptionRow,
    ExceptionState,
    HoldingRow,
    HoldingState,
    HoldRow,
    LaneRow,
    Reads,
    SegmentRow,
)

_SEGMENTS_AT_ONCE: Final = 4


class ReportState(IntEnum):
    """Where a report stands for one consumer; the numbers are those of ``comity.v1.ReportState``."""

    DUE = 1
    SENT = 2
    DONE = 3
    RETRY = 4
    PARKED = 5
    HELD = 6
    EXPIRED = 7
    WITHDRAWN = 8
    DROPPED = 9
    REFUSED = 10
    RECALLED = 11
    SUPERSEDED = 12


_TAKEN_BACK: Final = frozenset({ReportState.RECALLED, ReportState.SUPERSEDED})
_OPEN: Final = frozenset({ExceptionState.RETRY, ExceptionState.PARKED})
_EXCEPTIONS: Final = {
    ExceptionState.RETRY: ReportState.RETRY,
    ExceptionState.PARKED: ReportState.PARKED,
    ExceptionState.DROPPED: ReportState.DROPPED,
    ExceptionState.EXPIRED: ReportState.EXPIRED,
    ExceptionState.WITHDRAWN: ReportState.WITHDRAWN,
    ExceptionState.RECALLED: ReportState.RECALLED,
    ExceptionState.SUPERSEDED: ReportState.SUPERSEDED,
}
_WORDS: Final = {
    HoldingState.WITHDRAWN: ReportState.WITHDRAWN,
    HoldingState.RECALLED: ReportState.RECALLED,
    HoldingState.SUPERSEDED: ReportState.SUPERSEDED,
}


@dataclass(frozen=True, slots=True)
class ConsumerLine:
    """Where a report stands for one consumer."""

    node: str
    consumer: str
    state: ReportState
    attempts: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ReportLine:
    """One report as the broker sees it. `report_id` is empty and times are 0 for one that was refused."""

    agreement_id: str
    report_id: bytes
    leaf: bytes
    segment_id: bytes
    slot: int
    originator: str
    transport_class: int
    origin_sequence: int
    created_at: int
    admitted_at: int
    expires_at: int
    log_index: int
    consumers: tuple[ConsumerLine, ...]


@dataclass(frozen=True, slots=True)
class Position:
    """Where a list goes on: the agreement, the entry and the slot after which."""

    agreement_id: str = ""
    log_index: int = 0
    slot: int = -1


@dataclass(frozen=True, slots=True)
class Filter:
    """What is asked for: only these states, only this report; empty: any."""

    states: frozenset[ReportState] = frozenset()
    report_id: bytes = b""

    def takes(self, line: ReportLine) -> bool:
        """Say whether a line is asked for."""
        if self.report_id and line.report_id != self.report_id:
            return False
        return not self.states or any(one.state in self.states for one in line.consumers)


@dataclass(frozen=True, slots=True)
class Place:
    """What is stored of one consumer in one lane, and of one item."""

    state: LaneState
    exceptions: Mapping[tuple[int, int], ExceptionRow]


@dataclass(slots=True)
class _View:
    """One agreement as it is read for one list."""

    standing: Standing
    lanes: Mapping[int, LaneRow]
    holds: Sequence[HoldRow]
    in_force: bool
    consumers: Mapping[str, Sequence[str]]
    places: dict[tuple[str, str, int], Place] = field(default_factory=dict)

    def line(self, row: SegmentRow, item: Item, slot: int, consumers: tuple[ConsumerLine, ...]) -> ReportLine:
        """Give the line of one slot."""
        core = item.core if isinstance(item, WholeItem) else None
        return ReportLine(
            agreement_id=self.standing.agreement_id,
            report_id=b"" if core is None else core.report_id,
            leaf=item.leaf,
            segment_id=row.segment_id,
            slot=slot,
            originator=self.lanes[row.lane].key.node,
            transport_class=row.transport_class,
            origin_sequence=row.first_origin_sequence + slot,
            created_at=0 if core is None else core.created_at,
            admitted_at=row.admitted_at,
            expires_at=0 if core is None else core.expires_at,
            log_index=row.log_index,
            consumers=consumers,
        )


def report_state(
    place: Place, item: int, slot: int, *, expires_at: int, now_ms: int, held: bool, word: HoldingRow | None
) -> ConsumerLine:
    """Say where a report that a consumer has due stands; node and consumer are left empty."""
    row = place.exceptions.get((item, slot))
    bit = 1 << slot
    ended = None if word is None else _WORDS.get(HoldingState(word.state))
    if row is not None:
        if ended in _TAKEN_BACK and row.state in _OPEN:
            return ConsumerLine("", "", ended, row.attempts)
        out = row.state == ExceptionState.RETRY and row.attempts > 0 and row.not_before <= now_ms
        if out and place.state.held(item) & bit:
            return ConsumerLine("", "", ReportState.HELD, row.attempts)
        state = ReportState.SENT if out else _EXCEPTIONS[ExceptionState(row.state)]
        return ConsumerLine("", "", state, row.attempts, row.reason)
    if place.state.settled(item, bit):
        return ConsumerLine("", "", ReportState.DONE)
    if ended is not None:
        return ConsumerLine("", "", ended)
    if expires_at <= now_ms:
        return ConsumerLine("", "", ReportState.EXPIRED)
    if not place.state.waiting(item, bit):
        return ConsumerLine("", "", ReportState.SENT, 1)
    is_held = held or bool(place.state.held(item) & bit)
    return ConsumerLine("", "", ReportState.HELD if is_held else ReportState.DUE)


class Listing:
    """Reads lists."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._memo = ProfileMemo()

    async def lines(
        self, party: str, standings: Sequence[Standing], wanted: Filter, after: Position
    ) -> AsyncGenerator[tuple[ReportLine | None, Position]]:
        """Give lines a party may know, agreement by agreement in the order of admission, each with where it stands.

        After each segment that was looked at comes None, so that whoever asks can stop there however few were found.
        """
        for standing in standings:
            if standing.agreement_id < after.agreement_id:
                continue
            start = after if standing.agreement_id == after.agreement_id else Position(standing.agreement_id)
            view = await self._view(standing)
            async for row in self._segments(standing.agreement_id, wanted, start):
                first = start.slot + 1 if row.log_index == start.log_index else 0
                async for line in self._of_segment(view, party, row, first):
                    if wanted.takes(line):
                        yield line, Position(standing.agreement_id, row.log_index, line.slot)
                await asyncio.sleep(0)
                yield None, Position(standing.agreement_id, row.log_index, limits.SLOTS - 1)

    async def _segments(self, agreement_id: str, wanted: Filter, start: Position) -> AsyncIterator[SegmentRow]:
        reader = self._shared.reader
        if wanted.report_id:
            known = await reader.known(agreement_id, Reads(report_ids=[wanted.report_id]))
            report = known.reports.get(wanted.report_id)
            if report is not None and report.log_index >= start.log_index:
                yield await self._shared.shelf.segment(agreement_id, report.item)
            return
        following = start.log_index
        while True:
            rows = await reader.segments_from(agreement_id, following, _SEGMENTS_AT_ONCE)
            for row in rows:
                yield row
            if len(rows) < _SEGMENTS_AT_ONCE:
                return
            following = rows[-1].log_index + 1

    async def _view(self, standing: Standing) -> _View:
        reader, agreement_id = self._shared.reader, standing.agreement_id
        consumers: dict[str, list[str]] = {}
        for row in await reader.consumers():
            if is_exercise(row.consumer) == is_exercise(agreement_id):
                consumers.setdefault(row.node, []).append(row.consumer)
        return _View(
            standing=standing,
            lanes={row.lane: row for row in await reader.lanes(agreement_id)},
            holds=await reader.holds(agreement_id),
            in_force=standing.in_force(self._shared.clock.now_ms()),
            consumers=consumers,
        )

    async def _of_segment(self, view: _View, party: str, row: SegmentRow, first_slot: int) -> AsyncIterator[ReportLine]:
        lane = view.lanes[row.lane]
        sent = lane.key.node.partition("/")[0] == party
        due = await self._due(view, lane, row.item, None if sent else party)
        if not sent and not any(due.values()):
            return
        segment = parse_segment(row.data, self._memo)
        receipt = decode_receipt(row.receipt)
        for slot in range(first_slot, row.slots):
            item = segment.items[slot]
            if isinstance(item, WholeItem):
                consumers = await self._consumers(view, row, slot, item.core.expires_at, due)
                if sent or consumers:
                    yield view.line(row, item, slot, consumers)
            elif sent and any(slot == one for one, _ in receipt.refusals):
                yield view.line(row, item, slot, (_refused(receipt, slot),))

    async def _due(self, view: _View, lane: LaneRow, item: int, party: str | None) -> dict[str, int]:
        """Give the due slots of an item by node: of every node, or of one party's nodes."""
        originator = lane.key.node.partition("/")[0]
        parties = [party] if party is not None else [one for one in view.standing.parties if one != originator]
        found: dict[str, int] = {}
        for one in parties:
            for record in self._shared.keys.nodes(one):
                node = f"{record.party}/{record.node}"
                rows = await self._shared.reader.inbox(view.standing.agreement_id, node, lane.lane, item - 1, 1)
                found[node] = decode_due(rows[0].due) if rows and rows[0].item == item else 0
        return found

    async def _consumers(
        self, view: _View, row: SegmentRow, slot: int, expires_at: int, due: Mapping[str, int]
    ) -> tuple[ConsumerLine, ...]:
        agreement_id = view.standing.agreement_id
        below = any(row.item < one.item_next and not one.clauses for one in view.holds)
        known = await self._shared.reader.known(agreement_id, Reads(holdings=[(row.item, slot)]))
        word = known.holdings.get((row.item, slot))
        spoken = word is not None and all(
            word.log_index > one.log_index for one in view.holds if row.item < one.item_next
        )
        lines: list[ConsumerLine] = []
        default = log_name(DEFAULT_CONSUMER, exercise=is_exercise(agreement_id))
        for node, mask in due.items():
            for consumer in view.consumers.get(node, (default,)) if mask >> slot & 1 else ():
                line = report_state(
                    await self._place(view, node, consumer, row.lane),
                    row.item,
                    slot,
                    expires_at=expires_at,
                    now_ms=self._shared.clock.now_ms(),
                    held=not view.in_force or (below and not spoken),
                    word=word,
                )
                lines.append(ConsumerLine(node, consumer, line.state, line.attempts, line.reason))
        return tuple(lines)

    async def _place(self, view: _View, node: str, consumer: str, lane: int) -> Place:
        key = (node, consumer, lane)
        if key not in view.places:
            reader, agreement_id = self._shared.reader, view.standing.agreement_id
            floors = {one.lane: one for one in await reader.floors(agreement_id, node, consumer)}
            rows = {(one.item, one.slot): one for one in await reader.exceptions(agreement_id, node, consumer)}
            for one in view.lanes:
                view.places[node, consumer, one] = Place(LaneState.decode(floors.get(one)), rows)
        return view.places[key]


def _refused(receipt: Receipt, slot: int) -> ConsumerLine:
    code = next(code for one, code in receipt.refusals if one == slot)
    return ConsumerLine("", "", ReportState.REFUSED, 0, code.name)
