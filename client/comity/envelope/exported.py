"""Exported: one envelope alone, which still verifies, for a court (design 03, "Exported").

It holds the whole item, its slot and path in the segment, the segment's index and path in the batch, the batch signature
and the key packets its rows name. An uploaded ciphertext stays tagged so and lies beside it as a file. At most 4 MiB.
Everything inline is checked, whoever reads; a packet that no row names refuses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from comity.envelope import limits, reasons, tree
from comity.envelope.checks import (
    SigningNode,
    VerifiedSegment,
    check_batch_path,
    check_bodies,
    check_envelope_equalities,
)
from comity.envelope.evidence import BatchSignature, VerifiedBatches, decode_batch_signature, encode_batch_signature
from comity.envelope.packets import packet_id
from comity.envelope.profile import ProfileMemo
from comity.envelope.reasons import RejectReason
from comity.envelope.records import bounded, fixed, listed, u8, u16, u32, u64, variable
from comity.envelope.segment import (
    PrunedItem,
    Segment,
    WholeItem,
    encode_bodies,
    read_bodies,
    segment_id,
    whole_item,
)
from comity.errors import ErrorCode, MalformedError, UsageError
from comity.suites import SUITES

_PACKET_BYTES = max(row.packet_size for row in SUITES.values())
_BATCH_BYTES = 8 << 10


@dataclass(frozen=True, slots=True)
class Exported:
    """One envelope with all that proves its place under its originator's signature."""

    origin_epoch: bytes
    transport_class: int
    first_origin_sequence: int
    leaf_count: int
    slot: int
    path: tuple[bytes, ...]
    item: WholeItem
    index: int
    batch_path: tuple[bytes, ...]
    batch: BatchSignature
    key_packets: tuple[bytes, ...]


def export(
    segment: Segment,
    slot: int,
    *,
    batch: BatchSignature,
    index: int,
    batch_path: Sequence[bytes],
    key_packets: Sequence[bytes],
) -> Exported:
    """Take one whole slot out of a segment; packets that its rows do not name are left out. Raises UsageError."""
    item = segment.items[slot]
    if isinstance(item, PrunedItem):
        raise UsageError(f"slot {slot} came pruned: there is no envelope to export")
    named = {row.packet_id for row in item.manifest.rows}
    by_id = {packet_id(data): data for data in key_packets}
    return Exported(
        origin_epoch=segment.origin_epoch,
        transport_class=segment.transport_class,
        first_origin_sequence=segment.first_origin_sequence,
        leaf_count=len(segment.items),
        slot=slot,
        path=tree.path(tree.levels(segment.leaves), slot),
        item=item,
        index=index,
        batch_path=tuple(batch_path),
        batch=batch,
        key_packets=tuple(by_id[name] for name in sorted(named & by_id.keys())),
    )


def encode_exported(exported: Exported) -> bytes:
    """Encode an exported envelope; raises MalformedError over 4 MiB."""
    item = exported.item
    data = b"".join(
        (
            u16(limits.VERSION),
            fixed(exported.origin_epoch, limits.UUID),
            u8(exported.transport_class),
            u64(exported.first_origin_sequence),
            u32(exported.leaf_count),
            u32(exported.slot),
            listed((fixed(step, limits.DIGEST) for step in exported.path), limits.PATH_HASHES),
            variable(item.manifest_bytes, limits.MANIFEST_BYTES),
            encode_bodies(item.stanzas, item.ciphertexts, item.approvals),
            u32(exported.index),
            listed((fixed(step, limits.DIGEST) for step in exported.batch_path), limits.PATH_HASHES),
            variable(encode_batch_signature(exported.batch), _BATCH_BYTES),
            listed((variable(packet, _PACKET_BYTES) for packet in exported.key_packets), limits.KEY_PACKETS),
        )
    )
    if len(data) > limits.EXPORTED_BYTES:
        raise MalformedError(
            f"exported: {len(data)} bytes, at most {limits.EXPORTED_BYTES}", code=ErrorCode.LIMIT_EXCEEDED
        )
    return data


def decode_exported(data: bytes, profiles: ProfileMemo | None = None) -> Exported:
    """Decode exactly the bytes of one exported envelope; `verify_exported` says whether to believe them.

    `profiles` remembers those of many envelopes.
    """
    reader = bounded(data, limits.EXPORTED_BYTES, "exported")
    version = reader.u16()
    if version != limits.VERSION:
        raise reader.malformed(f"version {version} is not known here")
    origin_epoch, transport_class_, first = reader.raw(limits.UUID), reader.u8(), reader.u64()
    leaf_count, slot = reader.u32(), reader.u32()
    if not 1 <= leaf_count <= limits.SLOTS:
        raise reader.over_limit("the number of leaves", leaf_count, limits.SLOTS)
    path = reader.digests(limits.PATH_HASHES, limits.DIGEST, "hashes of a path")
    item = whole_item(reader.variable(limits.MANIFEST_BYTES, "a manifest"), read_bodies(reader), profiles)
    index = reader.u32()
    batch_path = reader.digests(limits.PATH_HASHES, limits.DIGEST, "hashes of a path")
    batch = decode_batch_signature(reader.variable(_BATCH_BYTES, "a batch signature"))
    packets: list[bytes] = []
    before = b""
    for _ in range(reader.count(limits.KEY_PACKETS, 4, "key packets")):
        packet = reader.variable(_PACKET_BYTES, "a key packet")
        name = packet_id(packet)
        if name <= before:
            raise reader.malformed("key packets are not strictly ascending by id")
        before = name
        packets.append(packet)
    reader.end()
    return Exported(
        origin_epoch=origin_epoch,
        transport_class=transport_class_,
        first_origin_sequence=first,
        leaf_count=leaf_count,
        slot=slot,
        path=path,
        item=item,
        index=index,
        batch_path=batch_path,
        batch=batch,
        key_packets=tuple(packets),
    )


def verify_exported(exported: Exported, signed_by: SigningNode, *, memo: VerifiedBatches) -> VerifiedSegment:
    """Check an exported envelope from its leaf to its signature, and all that is inline; raises RejectedError.

    Gives it as a verified segment of its own, whose one item stands in slot 0.
    """
    item = exported.item
    root = tree.root_from_path(item.leaf, exported.slot, exported.leaf_count, exported.path)
    reasons.require(root is not None, RejectReason.EXPORTED_ROOT)
    identifier = segment_id(
        exported.origin_epoch,
        exported.transport_class,
        exported.first_origin_sequence,
        exported.leaf_count,
        root or b"",
    )
    check_batch_path(
        exported.batch,
        identifier,
        index=exported.index,
        path=exported.batch_path,
        signed_by=signed_by,
        memo=memo,
    )
    alone = Segment(
        data=b"",
        agreement_id=exported.batch.agreement_id,
        origin_epoch=exported.origin_epoch,
        transport_class=exported.transport_class,
        # The one item stands in slot 0 here, so the run is taken to begin at its own number.
        first_origin_sequence=exported.first_origin_sequence + exported.slot,
        items=(item,),
        segment_id=identifier,
    )
    check_envelope_equalities(alone, exported.batch, signed_by, caller=None)
    check_bodies(item, complete=False)
    named = {row.packet_id for row in item.manifest.rows}
    unnamed = [packet for packet in exported.key_packets if packet_id(packet) not in named]
    reasons.require(not unnamed, RejectReason.PACKET_UNNAMED)
    return VerifiedSegment(alone, signed_by)
