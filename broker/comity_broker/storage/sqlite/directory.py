"""The data directory as SQLite's store uses it: one broker at a time, files nobody else reads, damage seen before opening.

Rules in order:
1. `flock` on `broker.lock` comes before anything is opened, and is kept until everything is closed.
2. A store that others may read, that is not SQLite's, has other pages than ours, or has lost its end is refused, not repaired.
3. A file is made by its owner alone (0600) and its directory entry is on the disk before it is used.
"""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from comity.errors import ConflictError, ErrorCode, NotFoundError, StorageError

LOCK_NAME: Final = "broker.lock"
STORE_NAME: Final = "store.sqlite"
PAGE_BYTES: Final = 16384
PRIVATE: Final = 0o600
COPY_FIRST: Final = "Stop, copy the whole data directory, then look at the disk and at the newest backup."

_MAGIC: Final = b"SQLite format 3\x00"
_HEADER_BYTES: Final = 100
_OTHERS: Final = 0o077
_LOCK_TEXT_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class DirectoryLock:
    """A data directory that this process alone has."""

    descriptor: int

    @classmethod
    def take(cls, data: Path) -> Self:
        """Take the directory; raises ConflictError (LOCKED) where another broker has it, NotFoundError where it is not."""
        path = data / LOCK_NAME
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE)
        except FileNotFoundError as error:
            raise NotFoundError(
                f"there is no data directory {data}", what_to_do="Make one with `comity broker init`."
            ) from error
        except OSError as error:
            raise StorageError(
                f"{path} cannot be opened: {error.strerror}", what_to_do="Look at the directory's owner and mode."
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, _LOCK_TEXT_BYTES, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise ConflictError(
                f"another broker has {data}" + (f" ({holder})" if holder else ""),
                what_to_do="Stop it first, or give this one a directory of its own: two brokers never share one.",
                code=ErrorCode.LOCKED,
            ) from error
        except OSError as error:
            os.close(descriptor)
            raise StorageError(
                f"{path} cannot be locked: {error.strerror}",
                what_to_do="Keep the data directory on a local file system that has flock.",
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()}\n".encode("ascii"), 0)
        return cls(descriptor)

    def release(self) -> None:
        """Let go of the directory."""
        os.close(self.descriptor)


def make_private_file(path: Path) -> None:
    """Make an empty file that only its owner reads, with its directory entry on the disk; one that is there stays."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE))
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_store_file(path: Path) -> None:
    """Look at the store's first bytes and its mode; raises StorageError. Never while SQLite has it open.

    (Closing a file drops every POSIX lock that the process has on it, SQLite's too.)
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        raise StorageError(f"{path} cannot be opened: {error.strerror}", what_to_do=COPY_FIRST) from error
    try:
        mode, header = os.fstat(descriptor).st_mode, os.pread(descriptor, _HEADER_BYTES, 0)
    finally:
        os.close(descriptor)
    if mode & _OTHERS:
        raise StorageError(
            f"{path} can be read by others (mode {mode & 0o777:o})",
            what_to_do="Find out who read it, then `chmod 600` it and the files beside it.",
        )
    if header and (not header.startswith(_MAGIC) or len(header) < _HEADER_BYTES):
        raise StorageError(f"{path} is not a store, or its beginning is damaged", what_to_do=COPY_FIRST)
    if header and int.from_bytes(header[16:18], "big") != PAGE_BYTES:
        raise StorageError(f"{path} was not made by a broker: its pages are of another size", what_to_do=COPY_FIRST)


def check_store_length(path: Path, pages: int) -> None:
    """Compare the store's length with its number of pages, nothing waiting in the write-ahead log; raises StorageError."""
    length = path.stat().st_size
    if length != pages * PAGE_BYTES:
        raise StorageError(
            f"{path} has {length} bytes, and {pages * PAGE_BYTES} by its own account", what_to_do=COPY_FIRST
        )
