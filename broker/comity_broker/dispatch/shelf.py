"""Segments that subscribers are about to get, put up when they were committed or read once: bounded in bytes, the least used leave first.

No backlog is kept here: what is not on the shelf is read from storage when its turn comes.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from comity.errors import ErrorCode, StorageError
from comity_broker.storage.protocol import Reader, SegmentRow

SHELF_BYTES: Final = 4 << 20
_BATCHES: Final = 512


class Shelf:
    """The newest segments and batch signatures."""

    def __init__(self, reader: Reader, capacity_bytes: int = SHELF_BYTES) -> None:
        self._reader = reader
        self._capacity = capacity_bytes
        self._segments: OrderedDict[tuple[str, int], SegmentRow] = OrderedDict()
        self._batches: OrderedDict[tuple[str, bytes], bytes] = OrderedDict()
        self._size = 0

    @property
    def size_bytes(self) -> int:
        """Give the bytes of segments kept."""
        return self._size

    async def segment(self, agreement_id: str, item: int) -> SegmentRow:
        """Give a segment; raises StorageError where the store lacks one that an inbox names."""
        key = (agreement_id, item)
        found = self._segments.get(key)
        if found is not None:
            self._segments.move_to_end(key)
            return found
        row = (await self._reader.segments(agreement_id, [item])).get(item)
        if row is None:
            raise missing("a segment that an inbox names")
        self._keep(agreement_id, row)
        return row

    def put(self, agreement_id: str, row: SegmentRow, batch: bytes) -> None:
        """Put up a segment that was just committed, and its batch signature, as storage gives them."""
        self._keep(agreement_id, row)
        self._keep_batch((agreement_id, row.batch), batch)

    async def batch(self, agreement_id: str, digest: bytes) -> bytes:
        """Give a batch signature's record; raises StorageError where the store lacks it."""
        key = (agreement_id, digest)
        found = self._batches.get(key)
        if found is None:
            found = (await self._reader.batches(agreement_id, [digest])).get(digest)
            if found is None:
                raise missing("a batch signature")
            self._keep_batch(key, found)
        return found

    def _keep(self, agreement_id: str, row: SegmentRow) -> None:
        key = (agreement_id, row.item)
        before = self._segments.pop(key, None)
        self._segments[key] = row
        self._size += len(row.data) - (0 if before is None else len(before.data))
        while self._size > self._capacity and len(self._segments) > 1:
            _, oldest = self._segments.popitem(last=False)
            self._size -= len(oldest.data)

    def _keep_batch(self, key: tuple[str, bytes], record: bytes) -> None:
        self._batches[key] = record
        while len(self._batches) > _BATCHES:
            self._batches.popitem(last=False)


def missing(what: str) -> StorageError:
    """Build the error for what a row names and the store lacks."""
    return StorageError(
        f"the store lacks {what}",
        what_to_do="Stop, copy the data directory, then run comity broker check.",
        code=ErrorCode.STORAGE_FAILED,
    )
