"""What one node may have of one segment: the bitmaps of an inbox row, and the segment's bytes cut to them (design 03 and 04).

- `due` has a 1 bit for each slot that the node gets, slot 0 the lowest bit of the first byte, one byte for each eight slots
  begun. In memory such a set of slots is an int, bit n for slot n: a *mask*.
- `withheld` says which portions of due slots the node may not have; empty: it may have all. Slots that lack the same portions
  stand together: u64be mask of portions | u8 count | that many bytes of a bitmap of slots, the last not 0; groups ascend
  strictly by their portions, no slot stands in two. So one value has one encoding.

    row = InboxRow(node, lane, item, encode_due({0, 2}, 3), encode_withheld({2: {1}}))
    deliverable_bytes(segment, 3, decode_due(row.due), row.withheld)
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice
from typing import Final

from comity.envelope import limits
from comity.envelope.forwarding import Withholding, deliverable
from comity.errors import MalformedError

SLOT_BYTES: Final = limits.SLOTS // 8
_PORTIONS_BYTES: Final = limits.PORTIONS // 8


def mask_of(slots: Iterable[int]) -> int:
    """Give the mask of some slots; raises MalformedError for one that no segment has."""
    mask = 0
    for slot in slots:
        if not 0 <= slot < limits.SLOTS:
            raise MalformedError(f"no segment has a slot {slot}")
        mask |= 1 << slot
    return mask


def slots_of(mask: int) -> Iterator[int]:
    """Give the slots of a mask, ascending."""
    # Mostly all of a segment: a run from slot 0 needs no looking at bits.
    return _one_by_one(mask) if mask & (mask + 1) else iter(range(mask.bit_length()))


def lowest(mask: int, count: int) -> int:
    """Give the mask of the first `count` slots of a mask."""
    return mask if mask.bit_count() <= count else mask_of(islice(slots_of(mask), count))


def _one_by_one(mask: int) -> Iterator[int]:
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest


def encode_due(slots: Iterable[int], count: int) -> bytes:
    """Encode which of a segment's `count` slots a node gets; raises MalformedError for a slot it does not have."""
    mask = mask_of(slots)
    if not 1 <= count <= limits.SLOTS or mask >> count:
        raise MalformedError(f"due: a segment of {count} slots has not all of these")
    return mask.to_bytes((count + 7) // 8, "little")


def decode_due(data: bytes, count: int | None = None) -> int:
    """Give the mask of the slots that are due; with `count`, of a segment of so many slots exactly."""
    mask = int.from_bytes(data, "little")
    if not 1 <= len(data) <= SLOT_BYTES or (count is not None and (len(data) != (count + 7) // 8 or mask >> count)):
        raise MalformedError("due: is no bitmap of this segment's slots")
    return mask


def encode_withheld(withheld: Mapping[int, Collection[int]]) -> bytes:
    """Encode, for each slot of which portions are withheld, the indices of those; slots without any are left out."""
    groups: dict[int, int] = {}
    for slot, portions in withheld.items():
        lacking = 0
        for portion in portions:
            if not 0 <= portion < limits.PORTIONS:
                raise MalformedError(f"withheld: no report has a portion {portion}")
            lacking |= 1 << portion
        if lacking:
            groups[lacking] = groups.get(lacking, 0) | mask_of((slot,))
    return b"".join(
        b"".join((lacking.to_bytes(_PORTIONS_BYTES, "big"), bitmap(slots))) for lacking, slots in sorted(groups.items())
    )


def decode_withheld(data: bytes, count: int = limits.SLOTS) -> dict[int, frozenset[int]]:
    """Give the withheld portions of each slot that lacks some, in a segment of `count` slots; raises MalformedError."""
    found: dict[int, frozenset[int]] = {}
    before = seen = position = 0
    while position < len(data):
        lacking = int.from_bytes(data[position : position + _PORTIONS_BYTES], "big")
        slots, position = read_bitmap(data, position + _PORTIONS_BYTES)
        if lacking <= before or not slots or slots & seen or slots >> count:
            raise MalformedError("withheld: groups do not ascend, or a slot stands in none or two of them")
        before, seen = lacking, seen | slots
        portions = frozenset(slots_of(lacking))
        found.update((slot, portions) for slot in slots_of(slots))
    return found


def bitmap(mask: int) -> bytes:
    """Give a mask as u8 count and that many bytes, lowest slots first, the last byte not 0."""
    size = (mask.bit_length() + 7) // 8
    return bytes((size,)) + mask.to_bytes(size, "little")


def read_bitmap(data: bytes, position: int) -> tuple[int, int]:
    """Give the mask that `bitmap` wrote at `position`, and where it ends; raises MalformedError."""
    size = data[position] if position < len(data) else SLOT_BYTES + 1
    end = position + 1 + size
    if size > SLOT_BYTES or end > len(data) or (size and not data[end - 1]):
        raise MalformedError("bitmap: ends too early, is too long or has a 0 at its end")
    return int.from_bytes(data[position + 1 : end], "little"), end


def deliverable_bytes(data: bytes, count: int, slots: int, withheld: bytes) -> bytes:
    """Give a segment of `count` slots as one node may have it: whole in the slots of a mask, leaves elsewhere.

    Byte for byte the segment where nothing is left out. Raises MalformedError for bytes that are no such segment.
    """
    less = decode_withheld(withheld, count) if withheld else {}
    kept = {slot: Withholding(ciphertexts=portions) for slot, portions in less.items() if slots >> slot & 1}
    left_out = ((1 << count) - 1) & ~slots
    if not left_out and not kept:
        return data
    return deliverable(data, frozenset(slots_of(left_out)), kept)
