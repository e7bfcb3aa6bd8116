"""What a party may be shown of admitted segments as evidence: no more than it sent, or was handed (design 05, "Custody").

Rules in order:
1. The originator's party sees every report of its segments, as it brought it.
2. Another party sees a report once one of its nodes was handed it, whatever became of it then. What no node of it has due, what
   is held or waits, expired or was withdrawn and was never handed over is its leaf alone, as in a delivery: no manifest, no
   core, no label.
3. Nobody sees a stanza or ciphertext here.

    view = await EvidenceView.of(reader, "XAR-XBO-1", "XBO")
    data = await view.shown(row)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Self

from comity.envelope.forwarding import Withholding, deliverable
from comity.envelope.segment import parse_segment
from comity_broker.dispatch.floors import LaneState
from comity_broker.dispatch.withheld import decode_due, mask_of, slots_of
from comity_broker.storage.protocol import ExceptionRow, ExceptionState, Reader, SegmentRow

_ENDED: Final = frozenset(
    {ExceptionState.EXPIRED, ExceptionState.WITHDRAWN, ExceptionState.RECALLED, ExceptionState.SUPERSEDED}
)


@dataclass(frozen=True, slots=True)
class _Consumer:
    """Where one consumer of the party stands: its lanes by number.

    Of each item `ended` are the slots that ended before they were handed over, `went` those that are known to have been handed
    over, though they may wait again.
    """

    lanes: dict[int, LaneState] = field(default_factory=dict)
    ended: dict[int, int] = field(default_factory=dict)
    went: dict[int, int] = field(default_factory=dict)

    def handed(self, row: SegmentRow, due: int) -> int:
        """Give the mask of the due slots of a segment that this consumer was handed."""
        state = self.lanes.get(row.lane)
        if state is None:
            return 0
        ended, went = self.ended.get(row.item, 0), self.went.get(row.item, 0)
        return due & (~state.waiting(row.item, due) & ~ended | went)

    def take(self, row: ExceptionRow) -> None:
        """Take what went wrong with one report; its attempts are 0 where it was never handed over."""
        if row.attempts:
            self.went[row.item] = self.went.get(row.item, 0) | mask_of((row.slot,))
        elif row.state in _ENDED:
            self.ended[row.item] = self.ended.get(row.item, 0) | mask_of((row.slot,))


@dataclass(frozen=True, slots=True)
class EvidenceView:
    """What one party was handed under one agreement, as of when it was read."""

    _reader: Reader
    _agreement_id: str
    _party: str
    _originators: Mapping[int, str]
    _nodes: Mapping[str, Sequence[_Consumer]]

    @classmethod
    async def of(cls, reader: Reader, agreement_id: str, party: str) -> Self:
        """Read where the consumers of a party's nodes stand, of withdrawn nodes too: what those got, the party got."""
        return cls(
            _reader=reader,
            _agreement_id=agreement_id,
            _party=party,
            _originators={lane.lane: lane.key.node.partition("/")[0] for lane in await reader.lanes(agreement_id)},
            _nodes=await _consumers(reader, agreement_id, party),
        )

    async def shown(self, row: SegmentRow) -> bytes:
        """Give a segment as the party may see it; the segment id stays."""
        whole = [slot for slot, _ in parse_segment(row.data).whole]
        if self._originators[row.lane] != self._party:
            handed = await self.handed(row)
            whole = [slot for slot in whole if slot in handed]
        return _without_content(row.data, whole)

    def originator(self, row: SegmentRow) -> str:
        """Give the party that sent a segment."""
        return self._originators[row.lane]

    async def handed(self, row: SegmentRow) -> frozenset[int]:
        """Give the slots of a segment that some node of the party was handed."""
        handed = 0
        for node, consumers in self._nodes.items():
            inbox = await self._reader.inbox(self._agreement_id, node, row.lane, row.item - 1, 1)
            due = decode_due(inbox[0].due) if inbox and inbox[0].item == row.item else 0
            for consumer in consumers:
                handed |= consumer.handed(row, due)
        return frozenset(slots_of(handed))


async def _consumers(reader: Reader, agreement_id: str, party: str) -> Mapping[str, Sequence[_Consumer]]:
    """Give by node where each consumer of a party stands; one that was never handed anything has no floor, and is left out."""
    found: dict[str, dict[str, _Consumer]] = {}
    for floor in await reader.floors(agreement_id):
        if floor.node.partition("/")[0] == party:
            consumer = found.setdefault(floor.node, {}).setdefault(floor.consumer, _Consumer())
            consumer.lanes[floor.lane] = LaneState.decode(floor)
    for row in await reader.exceptions(agreement_id):
        consumers = found.get(row.node, {})
        if row.consumer in consumers:
            consumers[row.consumer].take(row)
    return {node: tuple(consumers.values()) for node, consumers in found.items()}


def _without_content(data: bytes, shown: Sequence[int]) -> bytes:
    """Give a segment with these slots' manifests and approvals, every other slot as its leaf, and no content."""
    segment = parse_segment(data)
    items = dict(segment.whole)
    return deliverable(
        data,
        items.keys() - set(shown),
        {
            slot: Withholding(
                frozenset(range(len(items[slot].stanzas))), frozenset(range(len(items[slot].ciphertexts)))
            )
            for slot in shown
        },
    )
