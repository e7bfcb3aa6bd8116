"""A consistent copy of a store, of a running broker or of one that is stopped (design 04, "Journal").

Rules in order:
1. A stopped broker's store is opened first as a start opens it, and refused where a start refuses it; nobody else gets in meanwhile.
2. A running broker's store is read beside it over a connection that cannot write and never moves the write-ahead log: that is the
   writer's alone. One read transaction is held for the whole copy, so the copy is one moment of the store.
3. The copy is private, whole, without a write-ahead log, and on the disk before it counts.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import apsw

from comity.errors import ConflictError, ErrorCode, NotFoundError, StorageError
from comity_broker.storage.protocol import Head
from comity_broker.storage.sqlite.connection import disk_errors, open_reader
from comity_broker.storage.sqlite.directory import COPY_FIRST, STORE_NAME, make_private_file
from comity_broker.storage.sqlite.opening import open_storage
from comity_broker.storage.sqlite.schema import APPLICATION_ID, HEADS, SCHEMA_VERSION, numbered_of

_PAGES: Final = 512

Tell = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class StoreCopy:
    """What was copied: whether the broker ran, its newest incarnation, and every shard's head in the copy."""

    running: bool
    incarnation: bytes
    heads: tuple[Head, ...]


def copy_store(data: Path, into: Path, tell: Tell) -> StoreCopy:
    """Copy the store of a data directory into another directory, where there is none; `tell` hears pages done and in all.

    Raises NotFoundError, StorageError.
    """
    path = data / STORE_NAME
    if not path.exists():
        raise NotFoundError(f"there is no store in {data}", code=ErrorCode.FILE_UNKNOWN)
    with _held(data) as running, disk_errors("the store cannot be copied"):
        source = open_reader(path)
        try:
            return _copied(source, into / STORE_NAME, running=running, tell=tell)
        finally:
            source.close()


@contextlib.contextmanager
def _held(data: Path) -> Iterator[bool]:
    """Keep a stopped broker's store to ourselves; say whether the broker runs."""
    try:
        storage = open_storage(data)
    except ConflictError as error:
        if error.code is not ErrorCode.LOCKED:
            raise
        yield True
        return
    with storage:
        yield False


def _copied(source: apsw.Connection, target: Path, *, running: bool, tell: Tell) -> StoreCopy:
    source.execute("BEGIN")
    heads = tuple(numbered_of(row).head for row in source.execute(f"{HEADS} ORDER BY name"))
    if source.pragma("application_id") != APPLICATION_ID or source.pragma("user_version") != SCHEMA_VERSION:
        raise StorageError("the store is of another version", what_to_do="Run the release of Comity that wrote it.")
    incarnation: bytes = source.execute("SELECT id FROM incarnation ORDER BY number DESC LIMIT 1").get
    make_private_file(target)
    copy = apsw.Connection(str(target))
    try:
        with copy.backup("main", source, "main") as backup:
            while not backup.done:
                backup.step(_PAGES)
                tell(backup.page_count - backup.remaining, backup.page_count)
        same = tuple(numbered_of(row).head for row in copy.execute(f"{HEADS} ORDER BY name")) == heads
    finally:
        copy.close()
        source.execute("ROLLBACK")
    for beside in ("-wal", "-shm"):
        target.with_name(target.name + beside).unlink(missing_ok=True)
    if not same:
        raise StorageError("the copy of the store is not what was copied", what_to_do=COPY_FIRST)
    descriptor = os.open(target, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return StoreCopy(running, incarnation, heads)
