"""The tasks of one session: none is ever cancelled, and what one fails of ends the stream (design 04, "Subscribe").

What was given to the journal is awaited, and memory follows it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final

from comity.errors import ComityError
from comity_broker.dispatch.logged import Recipient

_LOG: Final = logging.getLogger(__name__)


class Tasks:
    """What a session has under way. `failed` is told what a task ended with, `done` that one is over."""

    def __init__(self, to: Recipient, *, failed: Callable[[ComityError], None], done: Callable[[], None]) -> None:
        self._to = to
        self._failed = failed
        self._over = done
        self._tasks: set[asyncio.Task[None]] = set()

    def __bool__(self) -> bool:
        return bool(self._tasks)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin something."""
        task = asyncio.get_running_loop().create_task(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def finish(self) -> None:
        """Wait until nothing is under way."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except ComityError as error:
            self._failed(error)
        except Exception as error:  # noqa: BLE001 - the outermost place of a task: the stream ends and says so
            _LOG.error("session_failed", extra={"node": self._to.node, "consumer": self._to.consumer}, exc_info=error)
            self._failed(ComityError("delivery failed inside the broker", what_to_do="Connect again."))

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._over()
