"""RFC 6962 trees over SHA-256, and tlog-tiles: once for verifier, broker and SDK (design of audit, "Format").

leaf = SHA-256(0x00 || entry), node = SHA-256(0x01 || left || right), empty = SHA-256(""). Refused, in order: an index not below the size,
sizes that shrink, hashes that are not 32 bytes, a proof longer or shorter than index and size give it, a proof between equal sizes or
from size 0, equal sizes with unequal roots, size 0 with a root other than the empty one. Building a proof needs complete subtrees only:
a `Subtree` gives the root of the leaves [index << level, (index + 1) << level).

    >>> leaves = [leaf_hash(bytes([i])) for i in range(5)]
    >>> verify_inclusion(leaves[2], 2, 5, inclusion_proof(2, 5, subtrees_of(leaves)), root_of(leaves))
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

HASH_BYTES: Final = 32
TILE_WIDTH: Final = 256
TILE_HEIGHT: Final = 8
ENTRY_LIMIT: Final = (1 << 16) - 1
SIZE_LIMIT: Final = 1 << 63
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()

Subtree = Callable[[int, int], bytes]


class TreeError(ValueError):
    """A proof, size, root or tile that does not fit."""


class TileHash(NamedTuple):
    """Hash `number` of tile level `level` (1 and up): the root of a full tile of the level below."""

    level: int
    number: int
    hash: bytes


def leaf_hash(entry: bytes) -> bytes:
    """Give the hash of an entry."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Give the parent of two nodes."""
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Frontier:
    """The right edge of a tree: its size and the roots of its complete subtrees, largest first. Raises TreeError."""

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.size < SIZE_LIMIT or len(self.hashes) != self.size.bit_count():
            raise TreeError("a frontier has one hash for each bit of its size")
        _check_hashes(self.hashes)

    @property
    def root(self) -> bytes:
        """Give the root of the tree."""
        value = self.hashes[-1] if self.hashes else EMPTY_ROOT
        for left in self.hashes[-2::-1]:
            value = node_hash(left, value)
        return value

    def append(self, leaves: Iterable[bytes]) -> tuple[Frontier, list[TileHash]]:
        """Give the edge after further leaf hashes, and the hashes of the tiles that became full; O(1) a leaf."""
        sha256, size, edge, full = hashlib.sha256, self.size, list(self.hashes), []
        for leaf in leaves:
            value, level = leaf, 0
            while size >> level & 1:
                value = sha256(b"\x01" + edge.pop() + value).digest()
                level += 1
                if level % TILE_HEIGHT == 0:
                    full.append(TileHash(level // TILE_HEIGHT, size >> level, value))
            edge.append(value)
            size += 1
        return Frontier(size, tuple(edge)), full

    def encode(self) -> bytes:
        """Give the edge for storage: u64be size and the hashes."""
        return self.size.to_bytes(8, "big") + b"".join(self.hashes)

    @classmethod
    def decode(cls, data: bytes) -> Frontier:
        """Read what `encode` wrote; raises TreeError."""
        if len(data) < 8:
            raise TreeError("a frontier has at least 8 bytes")
        hashes = tuple(data[i : i + HASH_BYTES] for i in range(8, len(data), HASH_BYTES))
        return cls(int.from_bytes(data[:8], "big"), hashes)


def root_of(leaves: Iterable[bytes]) -> bytes:
    """Give the root over leaf hashes."""
    return Frontier().append(leaves)[0].root


def subtrees_of(leaves: Sequence[bytes]) -> Subtree:
    """Give the complete subtrees over leaf hashes in memory."""
    rows: list[Sequence[bytes]] = [leaves]

    def subtree(level: int, index: int) -> bytes:
        while len(rows) <= level:
            row = rows[-1]
            rows.append([node_hash(row[i], row[i + 1]) for i in range(0, len(row) - 1, 2)])
        return rows[level][index]

    return subtree


def range_root(start: int, end: int, subtree: Subtree) -> bytes:
    """Give the root of the leaves [start, end), where start is a multiple of the next power of two from end - start."""
    count = end - start
    if count & (count - 1) == 0:
        return subtree(count.bit_length() - 1, start // count)
    middle = start + _split(count)
    return node_hash(range_root(start, middle, subtree), range_root(middle, end, subtree))


def inclusion_proof(index: int, size: int, subtree: Subtree) -> tuple[bytes, ...]:
    """Give the path of leaf `index` in the tree of `size` leaves; raises TreeError. O(log size) subtrees."""
    if not 0 <= index < size:
        raise TreeError(f"leaf {index} is not in a tree of {size}")
    ranges, start, end = [], 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        ranges.append((middle, end) if index < middle else (start, middle))
        start, end = (start, middle) if index < middle else (middle, end)
    return tuple(range_root(*one, subtree) for one in reversed(ranges))


def consistency_proof(old: int, new: int, subtree: Subtree) -> tuple[bytes, ...]:
    """Give the proof that the tree of `old` leaves is a prefix of that of `new`; raises TreeError."""
    if not 0 <= old <= new:
        raise TreeError(f"a tree of {old} is no prefix of one of {new}")
    ranges, start, end, whole = [], 0, new, True
    while 0 < old != end:
        middle = start + _split(end - start)
        ranges.append((middle, end) if old <= middle else (start, middle))
        whole = whole and old <= middle
        start, end = (start, middle) if old <= middle else (middle, end)
    if not whole:
        ranges.append((start, end))
    return tuple(range_root(*one, subtree) for one in reversed(ranges))


def root_from_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """Give the root that the path of a leaf hash leads to; raises TreeError where index, size and proof do not fit."""
    if not 0 <= index < size < SIZE_LIMIT:
        raise TreeError(f"leaf {index} is not in a tree of {size}")
    _check_hashes((leaf, *proof))
    value, last = leaf, size - 1
    for sibling in proof:
        if last == 0:
            raise TreeError("the inclusion proof is too long")
        if index & 1 or index == last:
            value = node_hash(sibling, value)
            while not index & 1:  # a lone node at the right edge moves up until it has a left sibling
                index, last = index >> 1, last >> 1
        else:
            value = node_hash(value, sibling)
        index, last = index >> 1, last >> 1
    if last:
        raise TreeError("the inclusion proof is too short")
    return value


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Check that a leaf hash is number `index` in the tree of that size and root; raises TreeError."""
    if root_from_inclusion(leaf, index, size, proof) != root:
        raise TreeError("the inclusion proof leads to another root")


def verify_consistency(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Check that the first tree is a prefix of the second; raises TreeError."""
    if not 0 <= old <= new < SIZE_LIMIT:
        raise TreeError(f"a tree of {old} is no prefix of one of {new}")
    _check_hashes((old_root, new_root, *proof))
    if any(size == 0 and root != EMPTY_ROOT for size, root in ((old, old_root), (new, new_root))):
        raise TreeError("an empty tree has another root")
    if old in (0, new):
        if proof or (old == new and old_root != new_root):
            raise TreeError("equal sizes have unequal roots, or there is a proof where none is needed")
        return
    path = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    index, last = old - 1, new - 1
    while index & 1:
        index, last = index >> 1, last >> 1
    before = after = path[0] if path else b""
    for sibling in path[1:]:
        if last == 0:
            raise TreeError("the consistency proof is too long")
        if index & 1 or index == last:
            before, after = node_hash(sibling, before), node_hash(sibling, after)
            while index and not index & 1:
                index, last = index >> 1, last >> 1
        else:
            after = node_hash(after, sibling)
        index, last = index >> 1, last >> 1
    if last or before != old_root or after != new_root:
        raise TreeError("the consistency proof does not join the two roots")


def tile_path(level: int | None, number: int, width: int = TILE_WIDTH) -> str:
    """Give the path of a tile as tlog-tiles has it, or of an entry bundle where level is None."""
    groups = [f"{number % 1000:03d}"]
    while number := number // 1000:
        groups.insert(0, f"x{number % 1000:03d}")
    partial = "" if width == TILE_WIDTH else f".p/{width}"
    return f"tile/{'entries' if level is None else level}/{'/'.join(groups)}{partial}"


def read_bundle(data: bytes, width: int) -> list[bytes]:
    """Give the entries of an entry bundle (each behind its u16be length) of exactly that width; raises TreeError."""
    entries, position = [], 0
    for _ in range(width):
        start = position + 2
        position = start + int.from_bytes(data[position:start], "big")
        entries.append(data[start:position])
    if position != len(data):
        raise TreeError("an entry bundle ends too early or has trailing bytes")
    return entries


def _split(count: int) -> int:
    return 1 << (count - 1).bit_length() - 1  # the largest power of two below count


def _check_hashes(hashes: Iterable[bytes]) -> None:
    if any(len(one) != HASH_BYTES for one in hashes):
        raise TreeError("a hash is not 32 bytes")
