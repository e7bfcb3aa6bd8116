"""A long file on its way to disk: flushed window by window beside the writing, so that its last flush finds little to do.

Rules in order:
1. One flush at a time; a window that fills meanwhile is flushed with the next one.
2. What a flush failed with is raised by the next call. The system tells it once, so it must not be lost.
3. `stop` before the descriptor is closed: nobody flushes a number that another file has by then.
"""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Final, Self

WINDOW_BYTES: Final = 16 << 20
# Shared by every file of a process: a disk flushes no faster for being asked by many.
_FLUSHERS: Final = ThreadPoolExecutor(2, "comity-flush")


class Flushing:
    """The flushes of one open file, which one thread writes. Leaving it waits for the flush that runs."""

    __slots__ = ("_descriptor", "_flush", "_waiting")

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._waiting = 0
        self._flush: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def wrote(self, size: int) -> None:
        """Take note of so many bytes more in the file, and have them flushed where that is due; raises OSError."""
        self._waiting += size
        if self._flush is not None and self._flush.done():
            self._settle()
        if self._waiting >= WINDOW_BYTES and self._flush is None:
            self._waiting = 0
            self._flush = _FLUSHERS.submit(os.fsync, self._descriptor)

    def finish(self) -> None:
        """Return when everything written is on disk; raises OSError."""
        self._settle()
        self._waiting = 0
        os.fsync(self._descriptor)

    def stop(self) -> None:
        """Wait for the flush that runs, whatever became of it: the file is given up, or was finished."""
        flush, self._flush = self._flush, None
        if flush is not None:
            flush.exception()

    def _settle(self) -> None:
        flush, self._flush = self._flush, None
        if flush is not None:
            flush.result()
