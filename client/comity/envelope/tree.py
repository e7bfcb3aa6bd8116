"""The SHA-384 trees of envelopes: RFC 6962's shape over leaves that are already hashes (design 03, "Segment").

node = SHA-384(0x01 | left | right); a lone node at the end of a row moves up unchanged, which is RFC 6962's split at the
largest power of two below the count. What a leaf is, the caller says: manifests, segment ids and receipts each hash a
labelled PAE behind 0x00, so none passes for another or for an inner node. A path is right only with exactly the length
that index and count give it. (The logs' own trees are SHA-256 and live in `comity.verify`.)
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from comity.pae import Item, pae


def labelled_leaf(purpose: str, *items: Item) -> bytes:
    """Give SHA-384(0x00 | PAE(purpose, items))."""
    return hashlib.sha384(b"\x00" + pae(purpose, *items)).digest()


def node(left: bytes, right: bytes) -> bytes:
    """Give the parent of two nodes."""
    return hashlib.sha384(b"\x01" + left + right).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """Give the root over at least one leaf."""
    return levels(leaves)[-1][0]


def levels(leaves: Sequence[bytes]) -> list[list[bytes]]:
    """Give every row of the tree, leaves first; raises ValueError without a leaf."""
    if not leaves:
        raise ValueError("a tree has at least one leaf")
    rows = [list(leaves)]
    while len(rows[-1]) > 1:
        row = rows[-1]
        above = [node(row[i], row[i + 1]) for i in range(0, len(row) - 1, 2)]
        if len(row) % 2:
            above.append(row[-1])
        rows.append(above)
    return rows


def path(rows: Sequence[Sequence[bytes]], index: int) -> tuple[bytes, ...]:
    """Give the hashes from leaf `index` up, out of the rows of `levels`."""
    hashes: list[bytes] = []
    for row in rows[:-1]:
        sibling = index ^ 1
        if sibling < len(row):
            hashes.append(row[sibling])
        index >>= 1
    return tuple(hashes)


def root_from_path(leaf: bytes, index: int, count: int, hashes: Sequence[bytes]) -> bytes | None:
    """Give the root that a path leads to, or None when index, count and length of the path do not fit together."""
    if not 0 <= index < count:
        return None
    value = leaf
    remaining = iter(hashes)
    last = count - 1
    while last:
        if index % 2 or index != last:
            sibling = next(remaining, None)
            if sibling is None:
                return None
            value = node(sibling, value) if index % 2 else node(value, sibling)
        index >>= 1
        last >>= 1
    return value if next(remaining, None) is None else None
