"""From a committed hand-over to the frame that is written: bytes cut to what this node may have, reasons, packets, token.

A frame is made when its turn to be written comes, so that no bytes wait in memory, a slot that was answered meanwhile is left
out, and a key packet that an earlier frame of the stream brought is not brought again.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from comity.envelope import limits
from comity.envelope.profile import ProfileMemo
from comity.envelope.receipts import Receipt, decode_receipt
from comity.envelope.segment import parse_segment
from comity_broker.dispatch.credits import Credits
from comity_broker.dispatch.frames import Delivered, Reason, Skip, SkipReason, numbered
from comity_broker.dispatch.handing import Outgoing
from comity_broker.dispatch.logged import Recipient
from comity_broker.dispatch.packets import decode_named, packets_named
from comity_broker.dispatch.shared import Shared
from comity_broker.dispatch.tokens import TOKEN_LANES, ResumeToken, encode_token
from comity_broker.dispatch.withheld import deliverable_bytes, slots_of
from comity_broker.storage.protocol import SegmentRow

_PACKETS_REMEMBERED: Final = 16_384
_SETTLED: Final = Reason(SkipReason.SETTLED)
_OTHER_FRAME: Final = Reason(SkipReason.OTHER_FRAME)
_RETRY: Final = Reason(SkipReason.RETRY)


class Composer:
    """Makes the delivery frames of one stream."""

    def __init__(self, shared: Shared, to: Recipient, credits_: Credits) -> None:
        self._shared = shared
        self._to = to
        self._credits = credits_
        self._memo = ProfileMemo()
        self._floors: OrderedDict[tuple[str, int], int] = OrderedDict()
        self._frames = 0

    async def compose(self, outgoing: Outgoing, brought: OrderedDict[bytes, None]) -> Delivered | None:
        """Make a frame, and count it as written; None where everything of it was answered meanwhile.

        `brought` are the key packets that the stream it goes on has had, and has those of this frame afterwards.
        """
        cursor, reference, agreement_id = outgoing.cursor, outgoing.reference, outgoing.desk.agreement_id
        mask, handed = reference.out_by(outgoing.slots, outgoing.attempts), outgoing.slots.bit_count()
        if handed and not mask:
            self._credits.use(outgoing.transport_class, -handed, -outgoing.size)
            return None
        row = await self._shared.shelf.segment(agreement_id, reference.item)
        data = deliverable_bytes(row.data, row.slots, mask, reference.withheld)
        spared = handed - mask.bit_count()
        self._credits.use(outgoing.transport_class, -spared, len(data) - outgoing.size)
        skipped = tuple(skip for _, skip in cursor.skips)
        absent = self._absent(outgoing, row, data, mask)
        self._frames += 1
        cursor.written(reference, mask, self._frames)
        return Delivered(
            segment=data,
            batch_signature=await self._shared.shelf.batch(agreement_id, row.batch),
            batch_index=row.batch_index,
            batch_path=path_of(row.batch_path),
            key_packets=await packets_for(self._shared, self._to, agreement_id, row, data, brought),
            log_index=row.log_index,
            admitted_at=row.admitted_at,
            slots=numbered(mask, outgoing.attempts),
            skipped=skipped,
            absent=absent,
            resume_token=self._token(agreement_id, cursor.row.lane, cursor.state.floor),
        )

    def _absent(self, outgoing: Outgoing, row: SegmentRow, data: bytes, mask: int) -> tuple[Skip, ...]:
        missing = ((1 << row.slots) - 1) & ~mask
        if not missing:
            return ()
        leaves = parse_segment(data, self._memo).leaves
        receipt = decode_receipt(row.receipt)
        return tuple(
            Skip(row.first_origin_sequence + slot, leaves[slot], _reason(outgoing, row, receipt, slot))
            for slot in slots_of(missing)
        )

    def _token(self, agreement_id: str, lane: int, floor: int) -> bytes:
        self._floors[agreement_id, lane] = floor
        self._floors.move_to_end((agreement_id, lane))
        while len(self._floors) > TOKEN_LANES:
            self._floors.popitem(last=False)
        return encode_token(ResumeToken(self._shared.incarnation, self._to.session, dict(self._floors)))


def _reason(outgoing: Outgoing, row: SegmentRow, receipt: Receipt, slot: int) -> Reason:
    """Say why a slot is not in a frame."""
    cursor, item = outgoing.cursor, outgoing.reference.item
    reference = cursor.items.get(item)
    if not outgoing.reference.addressed >> slot & 1:
        return structural(row, receipt, slot)
    if reference is None or cursor.state.settled(item, 1 << slot):
        return _SETTLED if reference is None else reference.reasons.get(slot, _SETTLED)
    if cursor.state.held(item) >> slot & 1:
        return Reason(SkipReason.HELD, reference.held_by.get(slot, 0))
    return _RETRY if slot in reference.retry else _OTHER_FRAME


async def packets_for(  # noqa: PLR0917 - what a frame brings, and to whom
    shared: Shared, to: Recipient, agreement_id: str, row: SegmentRow, data: bytes, brought: OrderedDict[bytes, None]
) -> tuple[bytes, ...]:
    """Give the key packets that rows of a node's own keys name in a segment cut for it, without those its stream `brought`, which takes them."""
    named = decode_named(row.packets) if data is row.data else packets_named(data)
    record = shared.keys.node(to.party, to.name)
    wanted = sorted(
        packet
        for fingerprint, packet in named
        if packet not in brought and record is not None and shared.rechecker.owns(record, fingerprint)
    )
    if not wanted:
        return ()
    found = await shared.reader.packets(agreement_id, wanted)
    for packet in found:
        brought[packet] = None
    while len(brought) > _PACKETS_REMEMBERED:
        brought.popitem(last=False)
    return tuple(found[packet] for packet in wanted if packet in found)


def structural(row: SegmentRow, receipt: Receipt, slot: int) -> Reason:
    """Say why a slot that a node does not have due is not in any frame to it."""
    for one, log_index in receipt.duplicates:
        if one == slot:
            return Reason(SkipReason.DUPLICATE, log_index)
    refused = any(one == slot for one, _ in receipt.refusals)
    return Reason(SkipReason.REFUSED if refused else SkipReason.NOT_ADDRESSED, row.log_index)


def path_of(data: bytes) -> tuple[bytes, ...]:
    """Give the hashes of a path as a segment's row keeps it."""
    return tuple(data[at : at + limits.DIGEST] for at in range(0, len(data), limits.DIGEST))
