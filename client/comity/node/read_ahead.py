"""Blocks of a file, read in another thread one ahead of whoever takes them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class ReadAhead:
    """`read` gives the next block in pieces, nothing at the end, and is called by one thread at a time. `end` before its file is closed."""

    def __init__(self, read: Callable[[], list[bytes]]) -> None:
        self._read = read
        self._next: asyncio.Future[list[bytes]] | None = None

    async def block(self) -> list[bytes]:
        """Give the next block; raises what reading it raised."""
        reading = self._next or self._reading()
        # A reader that is cancelled leaves the thread its work, and `end` waits for it.
        self._next = reading
        block = await asyncio.shield(reading)
        self._next = self._reading() if block else None
        return block

    async def end(self) -> None:
        """Return when nothing is read any more."""
        reading, self._next = self._next, None
        if reading is not None:
            await asyncio.gather(reading, return_exceptions=True)

    def _reading(self) -> asyncio.Future[list[bytes]]:
        return asyncio.ensure_future(asyncio.to_thread(self._read))
