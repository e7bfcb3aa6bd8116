"""SQLite, opened the one way in which a commit means durable (design of exchange, "Journal").

Rules: WAL with `synchronous=FULL`, both read back; pages of 16 KiB; the writing connection alone checkpoints, readers are
query_only and never write (SQLite 3.7.0 to 3.51.2 can corrupt when two connections write or checkpoint at once).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import apsw

from comity.errors import ErrorCode, StorageError

PAGE_BYTES: Final = 16384
_FULL: Final = 2


def open_writer(path: Path, vfs: str | None = None) -> apsw.Connection:
    """Open the one writing connection; raises StorageError where SQLite does not keep what is asked of it."""
    connection = _open(path, apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE, vfs)
    connection.pragma("page_size", PAGE_BYTES)
    mode = connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "full")
    if mode != "wal" or connection.pragma("synchronous") != _FULL:
        raise StorageError(
            f"{path.name} is not kept in WAL mode with full synchronisation",
            what_to_do="Keep the data directory on a local file system with working fsync.",
        )
    return connection


def open_reader(path: Path, vfs: str | None = None) -> apsw.Connection:
    """Open a connection that cannot write."""
    connection = _open(path, apsw.SQLITE_OPEN_READWRITE, vfs)
    connection.pragma("query_only", True)
    connection.wal_autocheckpoint(0)
    return connection


def _open(path: Path, flags: int, vfs: str | None) -> apsw.Connection:
    try:
        connection = apsw.Connection(str(path), flags, vfs)
        connection.set_busy_timeout(10_000)
        connection.pragma("schema_version")
    except apsw.FullError as error:
        raise StorageError(f"{path.name} cannot be opened: the disk is full", code=ErrorCode.STORAGE_FULL) from error
    except apsw.Error as error:
        raise StorageError(
            f"{path.name} cannot be opened: {error}", what_to_do="Copy the data directory, then look at the disk."
        ) from error
    return connection
