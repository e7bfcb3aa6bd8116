"""SQLite as the store of the embedded broker: one writer, short readers, nothing repaired (`opening` has the rules).

with open_storage(data) as storage:
outcomes = storage.writer.commit(units)
"""

from __future__ import annotations

from comity_broker.storage.sqlite.opening import SqliteStorage, open_storage

__all__ = ["SqliteStorage", "open_storage"]
