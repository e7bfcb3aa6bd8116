"""Work that is finished though whoever asked for it goes away.

A call may be cancelled between a commit and what memory makes of it: a suspension would then be in the log and not in force until
the next start. So what writes runs in a task of its own, and only the waiting for it ends. Of one party at most `LIMIT` are begun
at a time, so that no party waits for another; a call that has to wait for its turn is still cancelled whole.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from comity.errors import ComityError

_LOG: Final = logging.getLogger(__name__)

LIMIT: Final = 16

T = TypeVar("T")


class Finishing:
    """What was begun and is not finished."""

    def __init__(self) -> None:
        self._rooms: dict[str, asyncio.Semaphore] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    async def whole(self, party: str, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Begin work of a party when it has room, and give what it gives; cancelled, it goes on without its caller."""
        room = self._rooms.setdefault(party, asyncio.Semaphore(LIMIT))
        await room.acquire()
        task = asyncio.get_running_loop().create_task(work())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: room.release())
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_unheard)
            raise

    async def finished(self, seconds: float) -> None:
        """Wait for what was begun, at most so long."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)


def _unheard(task: asyncio.Task[Any]) -> None:
    error = None if task.cancelled() else task.exception()
    if isinstance(error, ComityError):
        _LOG.info("refused_unheard", extra={"code": error.code.name})
    elif error is not None:
        _LOG.error("failed_unheard", exc_info=error)
