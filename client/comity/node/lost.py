"""What a restored broker lost of its logs, as far as a mirror had verified it: evidence, of which nothing is folded (design 05)."""

from __future__ import annotations

from comity.node.entries import MirroredEntry
from comity.node.logs import LeftLog
from comity.node.mirror_state import KEYS, MirrorState


class Lost:
    """The entries that a broker's logs do not have any more; None in place of an agreement's id means the key log."""

    def __init__(self, state: MirrorState) -> None:
        self._state = state

    def kinds(self, agreement_id: str | None) -> dict[str, int]:
        """Give how many entries of each kind were lost of a log."""
        lost: dict[str, int] = {}
        for left in self._left(agreement_id or KEYS):
            for kind, count in self._state.store.lost_kinds(left).items():
                lost[kind] = lost.get(kind, 0) + count
        return lost

    def at(self, agreement_id: str, log_index: int) -> tuple[MirroredEntry, ...]:
        """Give the lost entries that had this index."""
        left = self._left(agreement_id)
        return tuple(entry for one in left for entry in self._state.store.lost(one, log_index))

    def entries(self, agreement_id: str | None) -> tuple[MirroredEntry, ...]:
        """Give the lost entries of a log."""
        return tuple(entry for left in self._left(agreement_id or KEYS) for entry in self._state.store.lost(left))

    def _left(self, name: str) -> tuple[LeftLog, ...]:
        mirrored = self._state.logs.get(name)
        return () if mirrored is None else mirrored.pin.before
