"""Receipts whose entries a restored broker has lost: put aside in the outbox, and their segments unanswered once more.

Functions over the outbox's file, for `Outbox.within`. A lost receipt stays, as evidence of what the broker once had.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import apsw

from comity.envelope.profile import is_exercise_class
from comity.identity.names import log_name
from comity.node.database import rows_of
from comity.node.outbox import Lane, StoredReceipt

_COLUMNS: Final = "segment_id, agreement, log_index, leaf_hash, signed, broker_key, entry"
# Added to files that were begun before it.
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS lost_receipt (number INTEGER PRIMARY KEY, segment_id BLOB NOT NULL, agreement TEXT NOT NULL,
  log_index INTEGER NOT NULL, leaf_hash BLOB NOT NULL, signed BLOB NOT NULL, broker_key BLOB NOT NULL, entry BLOB NOT NULL);
"""


def log_of(lane: Lane) -> str:
    """Give the name of the log that the reports of a lane stand in: the agreement's, or that of its exercise."""
    return log_name(lane.agreement_id, exercise=is_exercise_class(lane.transport_class))


def agreements(db: apsw.Connection) -> tuple[str, ...]:
    """Give the names of the logs that the segments which are kept stand in: agreements', and those of their exercises."""
    rows = rows_of(db, "SELECT DISTINCT agreement, class FROM segment")
    return tuple(sorted({log_of(Lane(name, b"", transport_class)) for name, transport_class in rows}))


def receipts_from(db: apsw.Connection, agreement_id: str, log_index: int) -> tuple[StoredReceipt, ...]:
    """Give the receipts of an agreement whose entries have this index or a later one."""
    select = f"SELECT {_COLUMNS} FROM receipt WHERE agreement = ? AND log_index >= ? ORDER BY log_index"  # noqa: S608 - our own columns
    return tuple(StoredReceipt(*row) for row in rows_of(db, select, (agreement_id, log_index)))


def lose(db: apsw.Connection, segment_ids: Sequence[bytes]) -> int:
    """Put receipts aside, and have their segments sent again; gives how many there are still.

    A segment whose reports have expired was let go, and stays lost.
    """
    again = 0
    db.execute(_TABLE)
    for segment_id in segment_ids:
        copy = f"INSERT INTO lost_receipt ({_COLUMNS}) SELECT {_COLUMNS} FROM receipt WHERE segment_id = ?"  # noqa: S608 - our own columns
        rows_of(db, copy, (segment_id,))
        rows_of(db, "DELETE FROM receipt WHERE segment_id = ?", (segment_id,))
        kept = "UPDATE segment SET state = 0 WHERE segment_id = ? AND state = 1 RETURNING number"
        again += len(rows_of(db, kept, (segment_id,)))
    return again
