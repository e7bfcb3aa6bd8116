"""Tiles, entry bundles and proofs out of stored hashes and entries by range (C2SP tlog-tiles; design of audit, "Tiles").

Pure, given readers. `HashReader(level, start, end)` gives the hashes [start, end) of a tile level: level 0 are leaf hashes, each
higher one the hashes of full tiles below, which `log.append` reports when they come to be. A store that keeps leaf hashes alone uses
`from_leaf_hashes`. Proofs read O(log size) tiles.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Final

from comity.errors import ErrorCode, NotFoundError
from comity.verify.trees import (
    TILE_HEIGHT,
    TILE_WIDTH,
    consistency_proof,
    inclusion_proof,
    range_root,
    root_of,
    subtrees_of,
)

HashReader = Callable[[int, int, int], Sequence[bytes]]
LeafReader = Callable[[int, int], Sequence[bytes]]
EntryReader = Callable[[int, int], Sequence[bytes]]

_CACHED_TILES: Final = 1024


class Tiles:
    """The tiles of one log as stored. Full tiles never change, so some are remembered (8 KiB each); threads may share one."""

    __slots__ = ("_cache", "_lock", "_read")

    def __init__(self, read: HashReader) -> None:
        self._read = read
        self._cache: OrderedDict[tuple[int, int], Sequence[bytes]] = OrderedDict()
        self._lock = Lock()

    def tile(self, level: int, number: int, size: int) -> bytes:
        """Give a tile as served for a tree of that size, partial at the right edge; raises NotFoundError."""
        return b"".join(self._hashes(level, number, _width(level, number, size)))

    def subtree(self, level: int, index: int) -> bytes:
        """Give the root of the leaves [index << level, (index + 1) << level), all of which are there."""
        tile_level, height = divmod(level, TILE_HEIGHT)
        first = index << height
        number, offset = divmod(first, TILE_WIDTH)
        count = 1 << height
        hashes = self._hashes(tile_level, number, offset + count)[offset : offset + count]
        return range_root(0, count, subtrees_of(hashes))

    def inclusion(self, log_index: int, size: int) -> tuple[bytes, ...]:
        """Give the path of an entry in the tree of that size; raises TreeError."""
        return inclusion_proof(log_index, size, self.subtree)

    def consistency(self, old: int, new: int) -> tuple[bytes, ...]:
        """Give the proof that the older tree is a prefix of the newer; raises TreeError."""
        return consistency_proof(old, new, self.subtree)

    def root(self, size: int) -> bytes:
        """Give the root of the first `size` entries."""
        return range_root(0, size, self.subtree) if size else root_of(())

    def _hashes(self, level: int, number: int, width: int) -> Sequence[bytes]:
        with self._lock:
            found = self._cache.get((level, number))
            if found is not None:
                self._cache.move_to_end((level, number))
                return found[:width]
        first = number * TILE_WIDTH
        hashes = self._read(level, first, first + width)
        if len(hashes) != width:
            raise NotFoundError(
                f"the log has no tile {level}/{number} of {width} hashes",
                what_to_do="Ask for a tree size the log has signed.",
                code=ErrorCode.RANGE_INVALID,
            )
        if width == TILE_WIDTH:
            with self._lock:
                self._cache[level, number] = hashes
                if len(self._cache) > _CACHED_TILES:
                    self._cache.popitem(last=False)
        return hashes


def from_leaf_hashes(read: LeafReader) -> HashReader:
    """Give a reader of all levels from stored leaf hashes; a tile of level n costs 256^(n + 1) of them."""

    def hashes(level: int, start: int, end: int) -> Sequence[bytes]:
        if level == 0:
            return read(start, end)
        return [root_of(hashes(level - 1, i * TILE_WIDTH, (i + 1) * TILE_WIDTH)) for i in range(start, end)]

    return hashes


def entry_bundle(number: int, size: int, read: EntryReader) -> bytes:
    """Give an entry bundle as served for a tree of that size; raises NotFoundError."""
    width = _width(0, number, size)
    entries = read(number * TILE_WIDTH, number * TILE_WIDTH + width)
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def _width(level: int, number: int, size: int) -> int:
    full, partial = divmod(size >> TILE_HEIGHT * level, TILE_WIDTH)
    if 0 <= number < full:
        return TILE_WIDTH
    if number == full and partial:
        return partial
    raise NotFoundError(
        f"a log of {size} entries has no tile {level}/{number}",
        what_to_do="Ask for a tile that a signed tree size has.",
        code=ErrorCode.RANGE_INVALID,
    )
