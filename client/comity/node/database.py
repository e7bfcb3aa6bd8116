"""The SQLite files of a node: opened alike, refused when they are not ours or damaged, every failure a StorageError.

WAL, synchronous=FULL: what a commit says is on disk. Files are 0600 in a directory 0700. A file of another schema version is
refused, never repaired. One thread at a time uses a connection.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, cast

import apsw

from comity.errors import ErrorCode, StorageError

_FULL: Final = (apsw.FullError, apsw.TooBigError)
_CACHE_KIB: Final = 512  # a node has several files open, and its memory does not grow with them
_BUSY_MS: Final = 10_000
_ROWS_A_STATEMENT: Final = 128


def open_database(
    path: Path, *, schema: str, version: int, page_bytes: int = 4096, vfs: str | None = None
) -> apsw.Connection:
    """Open or make a file; raises StorageError for one of another version, a damaged one, or one that cannot be opened."""
    with storing(path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = not path.exists()
        if fresh:
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        connection = apsw.Connection(str(path), vfs=vfs)
        try:
            _prepare(connection, path, schema, version, page_bytes)
        except BaseException:
            connection.close()
            raise
        return connection


def _prepare(connection: apsw.Connection, path: Path, schema: str, version: int, page_bytes: int) -> None:
    connection.set_busy_timeout(_BUSY_MS)
    connection.execute(f"PRAGMA page_size={page_bytes}")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=OFF")
    connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
    with connection:
        (found,) = connection.execute("PRAGMA user_version").fetchone() or (0,)
        if found == 0 and not connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone():
            connection.execute(schema)
            connection.execute(f"PRAGMA user_version={version}")
            found = version
    if found != version:
        raise StorageError(
            f"{path.name} is of version {found}, this program reads version {version}",
            what_to_do="Use the version of comity that wrote it.",
        )


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turn every failure of SQLite and the file system within into StorageError."""
    try:
        yield
    except (apsw.Error, OSError) as error:
        raise _meaning(path, _first(error)) from error


def _first(error: BaseException) -> BaseException:
    """Give the failure that came first: after some, SQLite has rolled back by itself, and the connection's own attempt fails too."""
    while isinstance(error, apsw.Error | OSError) and isinstance(error.__context__, apsw.Error | OSError):
        error = error.__context__
    return error


def _meaning(path: Path, error: BaseException) -> StorageError:
    if isinstance(error, _FULL) or (isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}):
        return StorageError(
            f"{path.name} cannot grow: the disk is full",
            what_to_do="Make room, then try again. Nothing was lost.",
            code=ErrorCode.STORAGE_FULL,
        )
    if isinstance(error, apsw.CorruptError | apsw.NotADBError):
        return StorageError(
            f"{path.name} is damaged: {error}",
            what_to_do="Nothing was changed. Keep the file, and put a backup in its place.",
        )
    return StorageError(f"{path.name} failed: {error}", what_to_do="Look at the disk, then try again.")


def rows_of(connection: apsw.Connection, statement: str, arguments: Sequence[object] = ()) -> list[tuple[Any, ...]]:
    """Run a statement and give all its rows."""
    return cast("list[tuple[Any, ...]]", connection.execute(statement, cast("Any", arguments)).fetchall())


def insert_rows(
    connection: apsw.Connection, table: str, rows: Sequence[tuple[object, ...]], *, replace: bool = False
) -> None:
    """Insert (or replace) many rows in few statements: each step of SQLite hands the interpreter over (design 08)."""
    verb = "REPLACE" if replace else "INSERT"
    for start in range(0, len(rows), _ROWS_A_STATEMENT):
        some = rows[start : start + _ROWS_A_STATEMENT]
        values = ", ".join([f"({', '.join('?' * len(some[0]))})"] * len(some))
        rows_of(connection, f"{verb} INTO {table} VALUES {values}", [value for row in some for value in row])
