"""Pre-authentication encoding: the one way in which structures become bytes to sign, hash or derive from.

``PAE(label, f1..fn)`` = u64be count of items, the label included, then every item as u64be length + bytes
(design of DSSE and PASETO, with our own labels ``comity/v1/<purpose>``). Integers are u64be, text is UTF-8, an
absent item is empty; no item is a list. Unambiguous: two different item lists never encode to the same bytes.

    >>> pae("statement", 1, b"body").hex()[:16]
    '0000000000000003'
"""

from __future__ import annotations

import struct

PREFIX = "comity/v1/"
_U64 = struct.Struct(">Q")

Item = bytes | str | int | None


def pae(purpose: str, *items: Item) -> bytes:
    """Encode `items` under the label ``comity/v1/<purpose>``; integers must lie in 0..2^64-1."""
    parts = [_U64.pack(len(items) + 1)]
    for item in (PREFIX + purpose, *items):
        raw = _as_bytes(item)
        parts.append(_U64.pack(len(raw)))
        parts.append(raw)
    return b"".join(parts)


def label(purpose: str) -> bytes:
    """Give the whole PAE label as bytes, the context string of ML-DSA signatures."""
    return (PREFIX + purpose).encode()


def _as_bytes(item: Item) -> bytes:
    if isinstance(item, bytes):
        return item
    if isinstance(item, str):
        return item.encode()
    if item is None:
        return b""
    return _U64.pack(item)
