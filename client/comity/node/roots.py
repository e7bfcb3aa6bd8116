"""Roots of a mirrored log at earlier sizes, of the present incarnation or of one that was left behind, from stored leaf hashes and full tiles; O(256) hashes for one not asked before."""

from __future__ import annotations

from typing import Final

from comity.node.logs import LeftLog
from comity.node.mirror_store import MirrorStore
from comity.verify.trees import EMPTY_ROOT, TILE_HEIGHT, range_root, subtrees_of

_KEPT: Final = 4096


class Roots:
    """The roots of one tree. Sizes asked for must not be above what was verified.

    `first` is the log_index of its first leaf; of a log that was `left` behind, what was lost lies under its origin.
    """

    __slots__ = ("_first", "_known", "_left", "_name", "_store")

    def __init__(self, store: MirrorStore, name: str, first: int = 0, left: LeftLog | None = None) -> None:
        self._store = store
        self._name = name
        self._first = first if left is None else left.first
        self._left = left
        self._known: dict[int, bytes] = {0: EMPTY_ROOT}

    def root(self, size: int) -> bytes:
        """Give the root over the first `size` entries."""
        found = self._known.get(size)
        if found is None:
            if len(self._known) >= _KEPT:
                self._known = {0: EMPTY_ROOT}
            found = self._known[size] = range_root(0, size, self._subtree)
        return found

    def _subtree(self, level: int, index: int) -> bytes:
        tile_level, height = divmod(level, TILE_HEIGHT)
        first, count = index << height, 1 << height
        if tile_level:
            hashes = self._store.tiles(
                self._name if self._left is None else self._left.origin, tile_level, first, count
            )
        else:
            hashes = self._leaves(self._first + first, count)
        return subtrees_of(hashes)(height, 0)

    def _leaves(self, first: int, count: int) -> list[bytes]:
        if self._left is None:
            return self._store.leaves(self._name, first, count)
        kept = max(0, min(count, self._left.end - first))
        hashes = self._store.leaves(self._name, first, kept)
        return hashes + self._store.leaves(self._left.origin, first + kept, count - kept)
