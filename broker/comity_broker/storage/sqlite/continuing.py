"""Moving a store to its next incarnation (design 04, "Incarnation"): every shard's log begins anew, numbers go on.

One transaction: a frozen log loses the entries that its freezing wrote, which nothing ever signed: they stand where the history that
the nodes hold has others; the new incarnation's id; for every shard the edge of the tree it leaves behind is kept, the new tree is
empty and begins where log indices have come to; lanes are marked, since numbers of them may have been lost.
Only `comity broker restore` calls it, over a copy of a store that nobody else has.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import apsw

from comity.verify.trees import EMPTY_ROOT, Frontier
from comity_broker.storage.sqlite.connection import disk_errors, open_writer
from comity_broker.storage.sqlite.directory import STORE_NAME, DirectoryLock
from comity_broker.storage.sqlite.schema import HEADS, Numbered, numbered_of

_FREEZING: Final = ("LOG_FROZEN", "FORK_SEEN")


def begin_incarnation(data: Path, incarnation: bytes) -> None:
    """Move the store of a data directory that nobody else has to the incarnation with this id, 16 random bytes.

    Raises ConflictError LOCKED, StorageError.
    """
    lock = DirectoryLock.take(data)
    try:
        with disk_errors("the store cannot be moved to its next incarnation"):
            connection = open_writer(data / STORE_NAME)
            try:
                _begin(connection, incarnation)
                connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            finally:
                connection.close()
    finally:
        lock.release()


def _begin(connection: apsw.Connection, incarnation: bytes) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for shard in [numbered_of(row) for row in connection.execute(HEADS)]:
            if shard.head.frozen_reason:
                _without_freezing(connection, shard)
        number = connection.execute("SELECT max(number) + 1 FROM incarnation").get
        connection.execute("INSERT INTO incarnation VALUES (?, ?)", (number, incarnation))
        connection.execute(
            "INSERT INTO continued SELECT number, incarnation, log_first, frontier, root FROM shard WHERE leaf_next > 0"
        )
        connection.execute(
            "UPDATE shard SET incarnation = ?, log_first = leaf_next, frontier = x'',"
            " root = CASE WHEN leaf_next > 0 THEN ? ELSE root END, frozen_reason = '', state_epoch = state_epoch + 1",
            (number, EMPTY_ROOT),
        )
        connection.execute("UPDATE lane SET restored = 1")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _without_freezing(connection: apsw.Connection, shard: Numbered) -> None:
    """Take LOG_FROZEN away, and FORK_SEEN before it, where they end a log."""
    end = shard.head.leaf_next
    for kind in _FREEZING:
        last = "SELECT kind FROM entry WHERE shard = ? AND log_index = ? AND log_index >= ?"
        if connection.execute(last, (shard.number, end - 1, shard.head.log_first)).get == kind:
            end -= 1
    if end == shard.head.leaf_next:
        return
    for table in ("entry", "body"):
        connection.execute(f"DELETE FROM {table} WHERE shard = ? AND log_index >= ?", (shard.number, end))  # noqa: S608 - our own tables
    size = end - shard.head.log_first
    tiles = "DELETE FROM tile WHERE shard = ? AND incarnation = ? AND ((number + 1) << (8 * level)) > ?"
    connection.execute(tiles, (shard.number, shard.incarnation, size))
    leaves = "SELECT leaf_hash FROM entry WHERE shard = ? AND log_index >= ? ORDER BY log_index"
    edge, _ = Frontier().append(row[0] for row in connection.execute(leaves, (shard.number, shard.head.log_first)))
    connection.execute(
        "UPDATE shard SET leaf_next = ?, frontier = ?, root = ? WHERE number = ?",
        (end, b"".join(edge.hashes), edge.root, shard.number),
    )
