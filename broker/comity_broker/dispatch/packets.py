"""Which key packets the stanza rows of a segment name, as pairs of KEM fingerprint and packet id.

Of a segment as it is stored its row says so: pairs one after the other, ascending. Of one that was cut for a node it is read from
the bytes, and nothing else is: they are a segment that admission parsed strictly, so the layout of design 03 is walked, not judged
again; bytes that end early are still refused.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

from comity.envelope import limits
from comity.errors import MalformedError

Pair = tuple[bytes, bytes]

_HEAD: Final = limits.UUID + 1 + 8
_PORTION: Final = limits.DIGEST + 8
_PAIR: Final = 2 * limits.DIGEST
_APPROVAL: Final = 2 + limits.DIGEST + 1 + 8
_u32: Final = struct.Struct(">I").unpack_from


def encode_named(pairs: Iterable[Pair]) -> bytes:
    """Give pairs as a segment's row keeps them."""
    return b"".join(fingerprint + packet for fingerprint, packet in sorted(set(pairs)))


def decode_named(data: bytes) -> frozenset[Pair]:
    """Give the pairs that a segment's row keeps; raises MalformedError."""
    if len(data) % _PAIR:
        raise MalformedError("packets: is no whole number of pairs")
    return frozenset(_pair(data[at : at + _PAIR]) for at in range(0, len(data), _PAIR))


def _pair(data: bytes) -> Pair:
    return data[: limits.DIGEST], data[limits.DIGEST :]


def packets_named(data: bytes) -> frozenset[Pair]:
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
    return frozenset(map(_pair, pairs))


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
