"""Roots of a mirrored log at earlier sizes, from stored leaf hashes and full tiles; O(256) hashes for one not asked before."""

from __future__ import annotations

from typing import Final

from comity.node.mirror_store import MirrorStore
from comity.verify.trees import EMPTY_ROOT, TILE_HEIGHT, range_root, subtrees_of

_KEPT: Final = 4096


class Roots:
    """The roots of one log. Sizes asked for must not be above what was verified."""

    __slots__ = ("_known", "_name", "_store")

    def __init__(self, store: MirrorStore, name: str) -> None:
        self._store = store
        self._name = name
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
            hashes = self._store.tiles(self._name, tile_level, first, count)
        else:
            hashes = self._store.leaves(self._name, first, count)
        return subtrees_of(hashes)(height, 0)
