"""The reserves of the disk: which classes may still be written how full it is (design of exchange, "Disk")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from comity.errors import ErrorCode, StorageError
from comity_broker.storage.protocol import Reader
from comity_policy.facts import Precedence

_RETRY_SECONDS: Final = 30.0


class DiskGuard:
    """Says whether a class may still be written (design of exchange, "Disk")."""

    def __init__(self, reader: Reader, full: Mapping[int, float]) -> None:
        self._reader = reader
        self._full = full

    async def check(self, transport_class: int) -> None:
        """Raise StorageError STORAGE_FULL, to be tried again, when the disk is past the reserve of this class."""
        usage = await self._reader.usage()
        used = 1 - usage.free_bytes / max(1, usage.total_bytes)
        # Past the reserve of ROUTINE nothing is written for an exercise, whatever its precedence.
        if used > self._full.get(min(transport_class, Precedence.ROUTINE), 1.0):
            raise StorageError(
                f"the broker's disk is {used:.0%} full, past the reserve of this precedence",
                what_to_do="Nothing was accepted. Its operator has to make room; the report stays in the outbox.",
                code=ErrorCode.STORAGE_FULL,
                retry_after_seconds=_RETRY_SECONDS,
            )
