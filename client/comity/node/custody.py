"""Receipts that a node keeps, read beside the node while it works: what its party holds against the broker (design 05, "Custody").

The outbox's file is opened for reading alone and takes no lock; a node that was never used has none.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import apsw

from comity.node.database import rows_of, storing

_FILE: Final = "outbox.sqlite"
_BUSY_MS: Final = 5_000
_BELOW: Final = (
    "SELECT log_index, signed FROM receipt WHERE agreement = ? AND log_index < ? ORDER BY log_index, segment_id"
)


def kept_receipts(outbox: Path, agreement_id: str, below: int) -> tuple[tuple[int, bytes], ...]:
    """Give (log index, signed receipt) of an agreement whose entry lies below a log size; raises StorageError."""
    path = outbox / _FILE
    if not path.exists():
        return ()
    with storing(path):
        database = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            database.set_busy_timeout(_BUSY_MS)
            return tuple((index, signed) for index, signed in rows_of(database, _BELOW, (agreement_id, below)))
        finally:
            database.close()
