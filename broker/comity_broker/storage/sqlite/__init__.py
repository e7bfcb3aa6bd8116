"""SQLite as the store of the embedded broker: one writer, short readers, nothing repaired (`opening` has the rules).

with open_storage(data) as storage:
outcomes = storage.writer.commit(units)
"""

from __future__ import annotations

from comity_broker.storage.sqlite.continuing import begin_incarnation
from comity_broker.storage.sqlite.copying import StoreCopy, copy_store
from comity_broker.storage.sqlite.directory import DirectoryLock
from comity_broker.storage.sqlite.opening import SqliteStorage, open_storage

__all__ = ["DirectoryLock", "SqliteStorage", "StoreCopy", "begin_incarnation", "copy_store", "open_storage"]
