"""Tasks that one object owns: started together, ended together, and a failure of one is told once (design 06, "Concurrency").

What was handed to a thread and has not begun there is dropped without a word when whoever waits for it is cancelled. What must
not be lost that way is awaited through `to_its_end`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

_LOG: Final = logging.getLogger(__name__)

T = TypeVar("T")


async def to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """Await work that is finished though this task is cancelled meanwhile; raises what it raised, else the cancellation."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    result = task.result()
    if cancelled is not None:
        raise cancelled
    return result


class Background:
    """Owns tasks until `close`. `failed` is called with what a task raised, once for each; it must not raise."""

    def __init__(self, failed: Callable[[Exception], None]) -> None:
        self._failed = failed
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Start a task."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def close(self) -> None:
        """Cancel every task and wait for its end, also where whoever waits is cancelled meanwhile: that is raised afterwards."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        cancelled: asyncio.CancelledError | None = None
        while any(not task.done() for task in tasks):
            try:
                await asyncio.wait(tasks)
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if isinstance(error, Exception):
            _LOG.error("task_failed", extra={"task": task.get_name(), "error": type(error).__name__})
            self._failed(error)
        elif error is not None:
            raise error
