"""SQLite opened the one way in which a commit means durable (design 04, "Journal").

Rules: WAL with `synchronous=FULL`, both read back; pages of 16 KiB; the writing connection alone moves the write-ahead log,
and only when it is told to; readers are query_only (SQLite 3.7.0 to 3.51.2 can corrupt when two connections write or
checkpoint at once). Nobody moves the log while closing: after an I/O error that would write what nobody vouches for. Nothing
of a store goes into temporary files.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import apsw

from comity.errors import ErrorCode, StorageError
from comity_broker.storage.sqlite.directory import COPY_FIRST, PAGE_BYTES

BUSY_MILLISECONDS: Final = 10_000
# Small: a broker's memory does not grow with its store, and what is beyond lies in the system's own cache of the file.
WRITER_CACHE_KIB: Final = 4_096
READER_CACHE_KIB: Final = 2_048
LOG_LIMIT_BYTES: Final = 64 << 20

_FULL: Final = 2
_STATEMENTS: Final = 256


@contextmanager
def disk_errors(doing: str) -> Iterator[None]:
    """Turn what SQLite raises into StorageError; `doing` says what could not be done."""
    try:
        yield
    except apsw.FullError as error:
        raise StorageError(
            f"{doing}: the disk is full",
            what_to_do="Free room on the file system of the data directory.",
            code=ErrorCode.STORAGE_FULL,
        ) from error
    except apsw.Error as error:
        raise StorageError(f"{doing}: {error}", what_to_do=COPY_FIRST) from error


def new_store(path: Path, vfs: str | None = None) -> apsw.Connection:
    """Give an empty file the pages and the journal of a store; raises apsw errors."""
    connection = _open(path, vfs)
    connection.pragma("page_size", PAGE_BYTES)
    connection.pragma("journal_mode", "wal")
    return connection


def open_writer(path: Path, vfs: str | None = None) -> apsw.Connection:
    """Open the one writing connection; raises apsw errors, StorageError where SQLite does not keep what is asked of it."""
    connection = _open(path, vfs)
    connection.pragma("synchronous", "full")
    connection.pragma("cache_size", -WRITER_CACHE_KIB)
    connection.pragma("journal_size_limit", LOG_LIMIT_BYTES)
    kept = {name: connection.pragma(name) for name in ("page_size", "journal_mode", "synchronous")}
    if kept != {"page_size": PAGE_BYTES, "journal_mode": "wal", "synchronous": _FULL}:
        connection.close()
        raise StorageError(
            f"{path.name} is not kept as a store must be: {kept}",
            what_to_do="Keep the data directory on a local file system with working fsync, and change no pragma.",
        )
    return connection


def open_reader(path: Path, vfs: str | None = None) -> apsw.Connection:
    """Open a connection that cannot write; raises apsw errors."""
    connection = _open(path, vfs)
    connection.pragma("query_only", True)
    connection.pragma("cache_size", -READER_CACHE_KIB)
    return connection


def _open(path: Path, vfs: str | None) -> apsw.Connection:
    connection = apsw.Connection(str(path), apsw.SQLITE_OPEN_READWRITE, vfs, _STATEMENTS)
    connection.set_busy_timeout(BUSY_MILLISECONDS)
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
    connection.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
    connection.wal_autocheckpoint(0)
    connection.pragma("cell_size_check", True)
    connection.pragma("temp_store", "memory")
    return connection
