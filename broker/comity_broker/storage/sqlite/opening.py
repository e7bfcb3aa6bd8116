"""Opening a store: what is refused, in order (design 04, "Storage protocol": refuses, never repairs).

1. A directory that another broker has; a store that is not there, or is there where one is to be made.
2. A file that others may read, that is not SQLite's, or has other pages.
3. A write-ahead log with damage that SQLite would take for its end (`write_ahead_log`).
4. A store of another application or schema version, whose tables are not exactly ours, or whose pragmas are not kept.
5. Up to `QUICK_CHECK_BYTES`, a store whose pages are not sound. (A larger one is checked by `Reader.check`, which takes long.)
6. A file that is shorter or longer than it says.

Before 3 the write-ahead log is written again and synced, before 6 it is moved into the database: a restarted broker builds
on nothing that a power cut would take away.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import apsw

from comity.errors import ConflictError, ErrorCode, NotFoundError, StorageError
from comity_broker.storage.sqlite.connection import disk_errors, new_store, open_reader, open_writer
from comity_broker.storage.sqlite.directory import (
    COPY_FIRST,
    PAGE_BYTES,
    STORE_NAME,
    DirectoryLock,
    check_store_file,
    check_store_length,
    make_private_file,
)
from comity_broker.storage.sqlite.draft import Incarnation
from comity_broker.storage.sqlite.reader import SqliteReader
from comity_broker.storage.sqlite.schema import APPLICATION_ID, SCHEMA_VERSION, expected_schema, make_tables, schema_of
from comity_broker.storage.sqlite.write_ahead_log import find_log_damage, renew_log
from comity_broker.storage.sqlite.writer import SqliteWriter

INCARNATION_BYTES: Final = 16
QUICK_CHECK_BYTES: Final = 32 << 20


@dataclass(slots=True)
class SqliteStorage:
    """An opened store: one writer, one reader, and the directory's lock until `close`."""

    incarnation: bytes
    writer: SqliteWriter
    reader: SqliteReader
    _lock: DirectoryLock

    def close(self) -> None:
        """Close both sides and let go of the directory."""
        self.reader.close()
        self.writer.close()
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_storage(
    data: Path,
    *,
    create: bool = False,
    random_bytes: Callable[[int], bytes] = os.urandom,
    vfs: str | None = None,
) -> SqliteStorage:
    """Open the store of a data directory, or make it where `create` is set.

    `random_bytes` gives the incarnation of a new store; `vfs` names a registered SQLite VFS. Raises ConflictError (LOCKED, or
    FILE_EXISTS where a store is to be made and there is one), NotFoundError where there is none, StorageError where what is
    there cannot be vouched for.
    """
    lock = DirectoryLock.take(data)
    try:
        with disk_errors("the store cannot be opened"):
            return _open_locked(data / STORE_NAME, lock, random_bytes if create else None, vfs)
    except BaseException:
        lock.release()
        raise


def _open_locked(path: Path, lock: DirectoryLock, new: Callable[[int], bytes] | None, vfs: str | None) -> SqliteStorage:
    if new is None and not path.exists():
        raise NotFoundError(f"there is no store in {path.parent}", what_to_do="Make one with `comity broker init`.")
    if new is not None:
        make_private_file(path)
    elif path.stat().st_size == 0:
        raise _unfinished(path)
    check_store_file(path)
    if new is not None:
        _make(path, new, vfs)
    log = path.with_name(f"{path.name}-wal")
    renew_log(log, vfs)
    writing = open_writer(path, vfs)
    try:
        incarnation = _vouched_for(writing, path, log)
        reading = open_reader(path, vfs)
    except BaseException:
        writing.close()
        raise
    return SqliteStorage(incarnation.id, SqliteWriter(writing, incarnation), SqliteReader(reading, path, vfs), lock)


def _make(path: Path, random_bytes: Callable[[int], bytes], vfs: str | None) -> None:
    connection = new_store(path, vfs)
    try:
        if schema_of(connection):
            raise ConflictError(
                f"there is a store in {path.parent} already",
                what_to_do="Open it, or name another directory.",
                code=ErrorCode.FILE_EXISTS,
            )
        connection.pragma("synchronous", "full")
        with connection:
            make_tables(connection)
            connection.pragma("application_id", APPLICATION_ID)
            connection.pragma("user_version", SCHEMA_VERSION)
            connection.execute("INSERT INTO incarnation VALUES (1, ?)", (random_bytes(INCARNATION_BYTES),))
    finally:
        connection.close()


def _vouched_for(connection: apsw.Connection, path: Path, log: Path) -> Incarnation:
    schema = schema_of(connection)
    frames, _ = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)
    if damage := find_log_damage(log, max(frames, 0)):
        raise StorageError(f"{path.name}: {damage}", what_to_do=COPY_FIRST)
    if not schema:
        raise _unfinished(path)
    is_ours = connection.pragma("application_id") == APPLICATION_ID
    version = connection.pragma("user_version")
    if not is_ours or version != SCHEMA_VERSION:
        raise StorageError(
            f"{path.name} has schema version {version} of {'ours' if is_ours else 'another program'}; this is"
            f" {SCHEMA_VERSION}",
            what_to_do="Run the release of Comity that wrote it, or migrate it with the one that knows both.",
        )
    if schema != expected_schema():
        raise StorageError(f"the tables of {path.name} are not those of its version", what_to_do=COPY_FIRST)
    pages = connection.pragma("page_count")
    found = connection.execute("PRAGMA quick_check(1)").get if pages * PAGE_BYTES <= QUICK_CHECK_BYTES else "ok"
    if found != "ok":
        raise StorageError(f"{path.name} is damaged: {found}", what_to_do=COPY_FIRST)
    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    check_store_length(path, pages)
    rows = list(connection.execute("SELECT number, id FROM incarnation ORDER BY number DESC LIMIT 1"))
    if not rows or len(rows[0][1]) != INCARNATION_BYTES:
        raise StorageError(f"{path.name} has no incarnation", what_to_do=COPY_FIRST)
    return Incarnation(*rows[0])


def _unfinished(path: Path) -> StorageError:
    return StorageError(
        f"{path.name} was being made when its broker stopped",
        what_to_do="Nothing is in it: move it away, and start the broker again.",
    )
