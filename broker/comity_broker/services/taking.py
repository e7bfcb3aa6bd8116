"""What a Publish stream takes: one request after the other, until the sender ends it or the broker drains.

A read is never cancelled (grpc.aio leaks its batch then, grpc/grpc#43360). A drain leaves it where it is: the handler returns,
that ends the call, and with the call the read ends by itself. What it gives then is dropped: the sender, which has no answer for
it, brings it again to the next broker.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Taking(Generic[T]):
    """The requests of one stream. `close` when the call is over."""

    def __init__(self, requests: AsyncIterator[T], draining: asyncio.Event) -> None:
        self._requests = aiter(requests)
        self._draining = draining
        self._stopped = asyncio.create_task(draining.wait())

    async def next(self) -> T | None:
        """Give the next request; None when there is none, or the broker drains."""
        reading = asyncio.create_task(self._read())
        reading.add_done_callback(_looked_at)
        await asyncio.wait({reading, self._stopped}, return_when=asyncio.FIRST_COMPLETED)
        return None if self._draining.is_set() else reading.result()

    async def room(self, room: asyncio.Semaphore) -> bool:
        """Wait for a place in the window; say False when the broker drains: nothing more is taken then."""
        if not room.locked():
            await room.acquire()
            return not self._draining.is_set()
        waiting = asyncio.create_task(room.acquire())
        try:
            await asyncio.wait({waiting, self._stopped}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        return not self._draining.is_set()

    def close(self) -> None:
        """Wait for the drain no longer."""
        self._stopped.cancel()

    async def _read(self) -> T | None:
        return await anext(self._requests, None)


def _looked_at(read: asyncio.Task[T]) -> None:
    """Look at how a read ended that nobody waits for any more: with its call."""
    if not read.cancelled():
        read.exception()
