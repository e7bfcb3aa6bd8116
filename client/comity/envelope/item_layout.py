"""Item layout: where the whole items of a run differ, so that an item is read by one unpacking (design 03, "Segment").

What `layout` does for manifests this does for what stands around and behind them: tags, counts and lengths. An item with the very
same bytes in all those places has the same structure by construction; its values are checked as a parse in full checks them. Whatever does
not fit is left to that, which alone refuses.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from operator import itemgetter
from typing import Final

from comity.envelope.core import Core
from comity.envelope.layout import Layout
from comity.envelope.manifest import Manifest, leaf_prefix

# An item's tag and the length of its manifest; a count; a body's tag and length.
_HEAD_BYTES: Final = 5
_COUNT_BYTES: Final = 4
_BODY_HEAD_BYTES: Final = 5

Parts = tuple[bytes, bytes, Manifest, Core, tuple[bytes, ...], tuple[bytes, ...], tuple[()]]


class ItemLayout:
    """The structure of one whole item of which everything is inline and that nobody approved."""

    __slots__ = ("_bodies", "_ciphertexts", "_leaf", "_manifest", "_manifest_end", "_said", "_same", "_unpack", "size")

    def __init__(self, data: bytes, layout: Layout, stanzas: Sequence[bytes], ciphertexts: Sequence[bytes]) -> None:
        """Take it from an item that was parsed in full from `data`, whose manifest has that layout."""
        self._manifest = layout
        words = [f">{_HEAD_BYTES}s", layout.format]
        count = _COUNT_BYTES
        for bodies in (stanzas, ciphertexts):
            for body in bodies:
                words.append(f"{count + _BODY_HEAD_BYTES}s{len(body)}s")
                count = 0
            count = _COUNT_BYTES
        fields = struct.Struct("".join((*words, f"{_COUNT_BYTES}s")))
        self.size = fields.size
        self._unpack = fields.unpack_from
        self._bodies = 1 + layout.fields
        self._ciphertexts = self._bodies + 2 * len(stanzas)
        approvals = self._ciphertexts + 2 * len(ciphertexts)
        alike = [0, *(1 + place for place in layout.alike), *range(self._bodies, approvals, 2), approvals]
        self._same = itemgetter(*alike)
        self._said = self._same(self._unpack(data))
        self._manifest_end = _HEAD_BYTES + layout.size
        self._leaf = hashlib.sha384(leaf_prefix(layout.size))

    @classmethod
    def of(
        cls, data: bytes, manifest: Manifest, stanzas: Sequence[object], ciphertexts: Sequence[object]
    ) -> ItemLayout | None:
        """Give the layout of an item read from `data`; None where something is not inline, or its manifest is the first of a run."""
        inline = [[one for one in bodies if isinstance(one, bytes)] for bodies in (stanzas, ciphertexts)]
        if not isinstance(manifest.layout, Layout) or len(inline[0]) + len(inline[1]) < len(stanzas) + len(ciphertexts):
            return None
        return cls(data, manifest.layout, *inline)

    def read(self, data: bytes, start: int) -> Parts | None:
        """Read the item that begins at `start`: its leaf, manifest, core, stanzas, ciphertexts, no approvals.

        None for one of another structure. Raises MalformedError as a full parse does.
        """
        if start + self.size > len(data):
            return None
        fields = self._unpack(data, start)
        if self._same(fields) != self._said:
            return None
        manifest_bytes = data[start + _HEAD_BYTES : start + self._manifest_end]
        read = self._manifest.take(fields, 1, manifest_bytes)
        if read is None:
            return None
        leaf = self._leaf.copy()
        leaf.update(manifest_bytes)
        bodies = self._bodies
        behind = self._ciphertexts
        return (
            leaf.digest(),
            manifest_bytes,
            *read,
            fields[bodies + 1 : behind : 2],
            fields[behind + 1 : -1 : 2],
            (),
        )
