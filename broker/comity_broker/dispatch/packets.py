"""Which key packets a segment's stanza rows name, read without decoding anything else: it is asked of every hand-over.

The bytes are a segment that admission parsed strictly, so the layout of design 03 is walked, not judged again; bytes that end
early are still refused.
"""

from __future__ import annotations

import struct
from typing import Final

from comity.envelope import limits
from comity.errors import MalformedError

_HEAD: Final = limits.UUID + 1 + 8
_PORTION: Final = limits.DIGEST + 8
_PAIR: Final = 2 * limits.DIGEST
_APPROVAL: Final = 2 + limits.DIGEST + 1 + 8
_u32: Final = struct.Struct(">I").unpack_from


def packets_named(data: bytes) -> frozenset[tuple[bytes, bytes]]:
    """Give every (KEM fingerprint, packet id) that a row of a whole item names; raises MalformedError."""
    pairs: set[bytes] = set()
    try:
        position = 2
        position += 4 + _u32(data, position)[0] + _HEAD
        count = _u32(data, position)[0]
        position += 4
        for _ in range(count):
            if data[position]:
                position = _bodies(data, _rows(data, position + 1, pairs))
            else:
                position += 1 + limits.DIGEST
    except (struct.error, IndexError):
        raise MalformedError("segment: ends too early") from None
    if position != len(data):
        raise MalformedError("segment: ends at another place than its items")
    return frozenset((pair[: limits.DIGEST], pair[limits.DIGEST :]) for pair in pairs)


def _rows(data: bytes, position: int, pairs: set[bytes]) -> int:
    """Collect the rows of the manifest whose length stands at `position`; give where the manifest ends."""
    end: int = position + 4 + _u32(data, position)[0]
    position += 4
    position += 4 + _u32(data, position)[0]
    position += 4 + _PORTION * _u32(data, position)[0]
    rows = _u32(data, position)[0]
    position += 4
    for _ in range(rows):
        position += 4 + _u32(data, position)[0]
        pairs.add(data[position : position + _PAIR])
        position += _PAIR
        position += 4 + 4 * _u32(data, position)[0] + limits.DIGEST
    return end


def _bodies(data: bytes, position: int) -> int:
    """Give where the stanzas, ciphertexts and approvals of an item end that begin at `position`."""
    for _ in range(2):
        count = _u32(data, position)[0]
        position += 4
        for _ in range(count):
            position += 5 + _u32(data, position + 1)[0] if data[position] == 1 else 1
    approvals = _u32(data, position)[0]
    position += 4
    for _ in range(approvals):
        position += _APPROVAL
        position += 4 + _u32(data, position)[0]
    return position
