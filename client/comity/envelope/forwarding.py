"""Forwarding: a segment as one node may have it, made of its bytes (design 03, "Segment").

Pruning, withholding and adding approvals copy bytes and decode no manifest; the tree recomputes from what is left, so the
segment id stays and its signature holds.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from comity.envelope.evidence import Approval
from comity.envelope.manifest import leaf as manifest_leaf
from comity.envelope.segment import (
    Absent,
    Body,
    SegmentHead,
    encode_pruned_item,
    encode_segment,
    encode_whole_item,
    read_items,
)
from comity.errors import MalformedError
from comity.light import light


@dataclass(frozen=True, slots=True)
class Withholding:
    """What not to hand over of one slot: positions of stanza rows, and portion indices."""

    stanzas: frozenset[int] = frozenset()
    ciphertexts: frozenset[int] = frozenset()


_NOTHING: Final = Withholding()


@light
class _Frame:
    """One item with nothing decoded that forwarding does not need. `leaf` is empty where a manifest stands."""

    leaf: bytes
    manifest_bytes: bytes
    stanzas: tuple[Body, ...]
    ciphertexts: tuple[Body, ...]
    approvals: tuple[Approval, ...]


def prune(data: bytes, slots: Collection[int]) -> bytes:
    """Give the segment with these slots reduced to their leaves; the segment id stays."""
    return deliverable(data, slots, {})


def withhold(data: bytes, withheld: Mapping[int, Withholding]) -> bytes:
    """Give the segment without these stanzas and ciphertexts; the segment id stays."""
    return deliverable(data, (), withheld)


def deliverable(data: bytes, pruned: Collection[int], withheld: Mapping[int, Withholding]) -> bytes:
    """Give a segment as one node may have it: some slots pruned, of others some stanzas and ciphertexts withheld.

    Raises MalformedError for bytes that are no segment, and for slots or positions that it does not have.
    """
    head, frames = _frames(data)
    if any(not 0 <= slot < len(frames) for slot in (*pruned, *withheld)):
        raise MalformedError("segment: has no such slot")
    encoded: list[bytes] = []
    for slot, frame in enumerate(frames):
        if frame.leaf:
            encoded.append(encode_pruned_item(frame.leaf))
        elif slot in pruned:
            encoded.append(encode_pruned_item(manifest_leaf(frame.manifest_bytes)))
        else:
            less = withheld.get(slot, _NOTHING)
            encoded.append(
                encode_whole_item(
                    frame.manifest_bytes,
                    _without(frame.stanzas, less.stanzas),
                    _without(frame.ciphertexts, less.ciphertexts),
                    frame.approvals,
                )
            )
    return encode_segment(head, encoded)


def with_approvals(data: bytes, approvals: Mapping[int, Sequence[Approval]]) -> bytes:
    """Give the segment with these approvals beside the manifests of these slots; the segment id stays."""
    head, frames = _frames(data)
    if any(not 0 <= slot < len(frames) or frames[slot].leaf for slot in approvals):
        raise MalformedError("segment: has no such whole slot")
    return encode_segment(
        head,
        [
            encode_pruned_item(frame.leaf)
            if frame.leaf
            else encode_whole_item(
                frame.manifest_bytes, frame.stanzas, frame.ciphertexts, approvals.get(slot, frame.approvals)
            )
            for slot, frame in enumerate(frames)
        ],
    )


def _without(bodies: tuple[Body, ...], positions: frozenset[int]) -> tuple[Body, ...]:
    if not positions:
        return bodies
    if not all(0 <= position < len(bodies) for position in positions):
        raise MalformedError("segment: has no such stanza or ciphertext")
    return tuple(Absent.WITHHELD if position in positions else body for position, body in enumerate(bodies))


def _frames(data: bytes) -> tuple[SegmentHead, list[_Frame]]:
    return read_items(
        data,
        lambda leaf: _Frame(leaf, b"", (), (), ()),
        lambda manifest_bytes, bodies: _Frame(b"", manifest_bytes, *bodies),
    )
