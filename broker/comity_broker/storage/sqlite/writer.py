"""The one writing side: many units, one transaction, one fsync (design 04, "Journal" and "Storage protocol").

Rules in order:
1. Everything that the units ask for is read first; then each is built in memory, over what those before it made. A unit whose
   build raises, or whose rows do not follow on from the head, is refused and has left nothing: a build is pure, so its
   neighbours are not run again for it.
2. Then one statement a table writes the rows of all units, and COMMIT makes them durable.
3. Rows that SQLite itself refuses (a known key, a number out of range) undo the transaction; each unit is then written behind
   a savepoint of its own, so that only the culprit is refused.
4. A full disk refuses every unit, after a look that nothing of them is there. Whatever else SQLite or the system says leaves
   the outcome Unknown, and this writer writes no more.
5. What is kept in memory (the heads) changes after COMMIT only.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final

import apsw

from comity.errors import ComityError, ConflictError, ErrorCode, NotFoundError, StorageError
from comity_broker.storage.protocol import Committed, GoOn, Outcome, Refused, Unit, Unknown, take_all
from comity_broker.storage.sqlite.directory import COPY_FIRST, PAGE_BYTES
from comity_broker.storage.sqlite.draft import Draft, Incarnation, internal
from comity_broker.storage.sqlite.reads import Seen, gather
from comity_broker.storage.sqlite.schema import HEADS, Numbered, numbered_of

FULL_RETRY_SECONDS: Final = 30.0

_LOG: Final = logging.getLogger(__name__)
# What rows themselves can be guilty of; everything else that SQLite says is about the disk.
_ROW_FAULTS: Final = (
    apsw.ConstraintError,
    apsw.MismatchError,
    apsw.RangeError,
    apsw.TooBigError,
    OverflowError,
    TypeError,
    ValueError,
)

_Units = Sequence[Unit[object]]
_Taken = tuple[list[Outcome[object]], dict[str, Numbered]]


class SqliteWriter:
    """`Writer` over the one connection that writes and moves the write-ahead log. One thread at a time."""

    def __init__(self, connection: apsw.Connection, incarnation: Incarnation) -> None:
        self._connection = connection
        self._incarnation = incarnation
        self._heads = self._stored_heads()
        self._lost: BaseException | None = None
        self._waiting_pages = 0
        connection.wal_autocheckpoint(0)
        connection.set_wal_hook(self._count_pages)

    def commit(self, units: _Units, go_on: GoOn = take_all) -> list[Outcome[object]]:
        """Write the units in order; see `Writer.commit`. A full disk refuses all that were given, taken or not."""
        if self._lost is not None:
            return [Unknown(self._lost) for _ in units]
        try:
            return self._written(units, go_on)
        except apsw.FullError as error:
            return self._full(units, error)
        except (apsw.Error, OSError, MemoryError) as error:
            self._lost = error
            return [Unknown(error) for _ in units]

    @property
    def backlog_bytes(self) -> int:
        """Give the bytes that wait for a checkpoint."""
        return self._waiting_pages * PAGE_BYTES

    def checkpoint(self) -> None:
        """Move what readers let go of; raises StorageError where the disk fails, after which nothing is written.

        A full disk only leaves the write-ahead log as long as it is.
        """
        try:
            pages, moved = self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.FullError:
            _LOG.warning("checkpoint_disk_full", extra={"backlog_bytes": self.backlog_bytes})
            return
        except (apsw.Error, OSError) as error:
            self._lost = error
            raise StorageError(f"the write-ahead log cannot be moved: {error}", what_to_do=COPY_FIRST) from error
        self._waiting_pages = max(pages - moved, 0)

    def close(self) -> None:
        """Close; nothing is written."""
        self._connection.close()

    def _written(self, units: _Units, go_on: GoOn) -> list[Outcome[object]]:
        try:
            return self._transaction(units, go_on, self._together)
        except _ROW_FAULTS as error:
            _LOG.warning("commit_divided", exc_info=error)
        return self._transaction(units, go_on, self._apart)

    def _transaction(
        self, units: _Units, go_on: GoOn, write: Callable[[_Units, GoOn], _Taken]
    ) -> list[Outcome[object]]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            outcomes, changed = write(units, go_on)
            self._connection.execute("COMMIT" if changed else "ROLLBACK")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        self._heads.update(changed)
        return outcomes

    def _together(self, units: _Units, go_on: GoOn) -> _Taken:
        draft = Draft(self._incarnation, self._heads, self._next_number())
        seen = gather(self._connection, [(unit.shard, self._number(unit.shard), unit.reads) for unit in units])
        outcomes: list[Outcome[object]] = []
        for unit in units:
            if outcomes and not go_on(len(outcomes), draft.size):
                break
            outcomes.append(_built(unit, draft, seen[unit.shard]))
        draft.write(self._connection)
        return outcomes, draft.changed

    def _apart(self, units: _Units, go_on: GoOn) -> _Taken:
        heads, size, next_number = dict(self._heads), 0, self._next_number()
        changed: dict[str, Numbered] = {}
        outcomes: list[Outcome[object]] = []
        for unit in units:
            if outcomes and not go_on(len(outcomes), size):
                break
            draft = Draft(self._incarnation, heads, next_number)
            outcomes.append(self._behind_savepoint(unit, draft))
            if isinstance(outcomes[-1], Committed):
                changed.update(draft.changed)
                heads.update(draft.changed)
                size, next_number = size + draft.size, draft.next_number
        return outcomes, changed

    def _behind_savepoint(self, unit: Unit[object], draft: Draft) -> Outcome[object]:
        self._connection.execute("SAVEPOINT unit")
        try:
            there = draft.find(unit.shard)
            seen = gather(self._connection, [(unit.shard, there.number if there else None, unit.reads)])
            outcome = _built(unit, draft, seen[unit.shard])
            draft.write(self._connection)
        except _ROW_FAULTS as error:
            _LOG.error("unit_refused", exc_info=error, extra={"shard": unit.shard})
            self._connection.execute("ROLLBACK TO unit")
            outcome = Refused(internal(str(error) if isinstance(error, apsw.Error) else type(error).__name__))
        self._connection.execute("RELEASE unit")
        return outcome

    def _full(self, units: _Units, error: BaseException) -> list[Outcome[object]]:
        try:
            nothing_written = not self._connection.in_transaction and self._stored_heads() == self._heads
        except (apsw.Error, OSError) as second:
            nothing_written, error = False, second
        if not nothing_written:
            self._lost = error
            return [Unknown(error) for _ in units]
        refused = StorageError(
            "the disk is full: nothing was stored",
            what_to_do="Free room on the file system of the data directory; what was sent may be sent again.",
            code=ErrorCode.STORAGE_FULL,
            retry_after_seconds=FULL_RETRY_SECONDS,
        )
        return [Refused(refused) for _ in units]

    def _stored_heads(self) -> dict[str, Numbered]:
        shards = [numbered_of(row) for row in self._connection.execute(HEADS)]
        return {shard.head.shard: shard for shard in shards}

    def _number(self, shard: str) -> int | None:
        numbered = self._heads.get(shard)
        return numbered.number if numbered else None

    def _next_number(self) -> int:
        return 1 + max((numbered.number for numbered in self._heads.values()), default=0)

    def _count_pages(self, _connection: apsw.Connection, _database: str, pages: int) -> int:
        self._waiting_pages = pages
        return apsw.SQLITE_OK


def _built(unit: Unit[object], draft: Draft, seen: Seen) -> Outcome[object]:
    numbered = draft.find(unit.shard)
    if numbered is None and not unit.create:
        return Refused(
            NotFoundError(
                f"there is no {unit.shard} here",
                what_to_do="Look at the agreement's id, and at which broker carries it.",
                code=ErrorCode.AGREEMENT_UNKNOWN,
            )
        )
    before = numbered or draft.first(unit.shard)
    if unit.expected_epoch not in (None, before.head.state_epoch) or not _is_beside(unit, draft):
        return Refused(
            ConflictError(
                f"the state of {unit.shard} changed since this was decided",
                what_to_do="Decide again.",
                code=ErrorCode.STATE_CHANGED,
            )
        )
    try:
        rows = unit.build(before.head, seen.known(unit.reads))
        draft.take(before, rows)
    except ComityError as error:
        return Refused(error)
    except Exception as error:  # noqa: BLE001 - any fault of one build must leave the other units alone
        _LOG.error("unit_failed", exc_info=error, extra={"shard": unit.shard})
        return Refused(internal(f"building a unit of {unit.shard} failed ({type(error).__name__})"))
    seen.add(rows)
    return Committed(rows.result, rows.head)


def _is_beside(unit: Unit[object], draft: Draft) -> bool:
    """Say whether the other shard that a unit names has the epoch that it names."""
    if unit.beside is None:
        return True
    shard, epoch = unit.beside
    there = draft.find(shard)
    return there is not None and there.head.state_epoch == epoch
