"""Lock files: one process at a time owns an outbox, a consumer's inbox, a refresh of the mirror (design 04, "Idempotency").

A lock is the kernel's (`flock`), so it ends with its process. Whoever finds it taken waits, unless it is told not to; waiting
never blocks the event loop.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from comity.errors import ConflictError, ErrorCode, StorageError

_LOOK_SECONDS: Final = 0.05


class FileLock:
    """An exclusive lock beside `path`, named ``<path>.lock``."""

    __slots__ = ("_descriptor", "_path", "_what")

    def __init__(self, path: Path, what: str) -> None:
        self._path = path.with_name(path.name + ".lock")
        self._what = what
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        """Say whether this object holds the lock."""
        return self._descriptor is not None

    def try_acquire(self) -> bool:
        """Take the lock if nobody has it; raises StorageError where the file cannot be made."""
        if self._descriptor is not None:
            return True
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError(f"{self._path} cannot be made: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        except OSError as error:
            os.close(descriptor)
            raise StorageError(f"{self._path} cannot be locked: {error.strerror}") from error
        self._descriptor = descriptor
        return True

    async def acquire(self, *, wait: bool = True) -> None:
        """Take the lock, waiting for whoever has it; with ``wait=False`` raises ConflictError LOCKED instead."""
        while not self.try_acquire():
            if not wait:
                raise ConflictError(
                    f"another process uses {self._what}",
                    what_to_do="Wait until it ends, or stop it.",
                    code=ErrorCode.LOCKED,
                )
            await asyncio.sleep(_LOOK_SECONDS)

    def release(self) -> None:
        """Let go; does nothing when it is not held."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    async def __aenter__(self) -> Self:
        await self.acquire()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
