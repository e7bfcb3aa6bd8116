"""The outbox: what was sealed and signed, on disk before it is sent, until nothing can ask for it again (design 04, "Sender").

Rules in order:
1. A batch of segments goes in with its signature, key packets and lane numbers in one transaction with fsync. Nothing leaves
   the node before: a number that was used is on disk, a number that is not on disk was never used.
2. Lanes are (agreement, class) under one `origin_epoch`, 16 random bytes made with the outbox, and anew whenever a lane broke
   (a segment of it was refused whole and for good): a broken lane's numbers are never used again. Where the process died before
   it left a broken lane, whoever opens the outbox next does.
3. What is unanswered is sent again, byte for byte and lane by lane in the order of its numbers, before anything new of that
   lane. A receipt ends it, and so does a refusal without a time to try again.
4. Receipts with the entry's bodies stay (custody); sealed bytes stay until the last report of the segment expires, since a
   broker that was restored from a backup asks for them again: they are unanswered once more, and their receipts stay apart.
5. One process at a time owns an outbox (a lock file); whoever comes second waits.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import apsw

from comity.envelope import limits
from comity.errors import UsageError
from comity.node.database import insert_rows, open_database, rows_of, storing
from comity.node.locks import FileLock
from comity.suites import RandomBytes

_VERSION: Final = 1
_PAGE: Final = 16 << 10
_SCHEMA: Final = """
CREATE TABLE meta (one INTEGER PRIMARY KEY CHECK (one = 1), origin_epoch BLOB NOT NULL);
CREATE TABLE lane (agreement TEXT, origin_epoch BLOB, class INTEGER, next INTEGER NOT NULL,
  PRIMARY KEY (agreement, origin_epoch, class)) WITHOUT ROWID;
CREATE TABLE batch (number INTEGER PRIMARY KEY, signature BLOB NOT NULL, segment_ids BLOB NOT NULL);
CREATE TABLE packet (packet_id BLOB PRIMARY KEY, data BLOB NOT NULL, expires_at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE segment (number INTEGER PRIMARY KEY, segment_id BLOB NOT NULL UNIQUE, agreement TEXT NOT NULL,
  origin_epoch BLOB NOT NULL, class INTEGER NOT NULL, first INTEGER NOT NULL, slots INTEGER NOT NULL, batch INTEGER NOT NULL,
  position INTEGER NOT NULL, packets BLOB NOT NULL, expires_at INTEGER NOT NULL, state INTEGER NOT NULL, data BLOB NOT NULL);
CREATE INDEX unanswered ON segment (number) WHERE state = 0;
CREATE TABLE receipt (segment_id BLOB PRIMARY KEY, agreement TEXT NOT NULL, log_index INTEGER NOT NULL,
  leaf_hash BLOB NOT NULL, signed BLOB NOT NULL, broker_key BLOB NOT NULL, entry BLOB NOT NULL, proved INTEGER NOT NULL)
  WITHOUT ROWID;
CREATE INDEX unproved ON receipt (agreement, log_index) WHERE proved = 0;
"""

_FILE: Final = "outbox.sqlite"
_SEGMENTS: Final = "segment (segment_id, agreement, origin_epoch, class, first, slots, batch, position, packets, expires_at, state, data)"
_RECEIPT: Final = "segment_id, agreement, log_index, leaf_hash, signed, broker_key, entry"
FaultPoint = Callable[[str], None]
T = TypeVar("T")


def no_fault(point: str) -> None:
    """Do nothing at a fault point; tests put a crash in its place."""


class SegmentState(IntEnum):
    """Where a stored segment stands."""

    UNANSWERED = 0
    ACCEPTED = 1
    ENDED = 2


class Lane(NamedTuple):
    """One lane of this node."""

    agreement_id: str
    origin_epoch: bytes
    transport_class: int


@dataclass(frozen=True, slots=True)
class StoredSegment:
    """A sealed segment as it is sent: its bytes, its place in its batch, and the ids of the key packets its rows name."""

    segment_id: bytes
    lane: Lane
    first_origin_sequence: int
    slots: int
    data: bytes
    position: int
    packet_ids: tuple[bytes, ...]
    expires_at: int

    @property
    def next_origin_sequence(self) -> int:
        """Give the first number after this segment's."""
        return self.first_origin_sequence + self.slots


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """Segments under one batch signature, and the packets that are new with them by id."""

    signature: bytes
    segment_ids: tuple[bytes, ...]
    segments: tuple[StoredSegment, ...]
    packets: tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class StoredReceipt:
    """A verified receipt in its bytes, with its encoded log entry (empty where none came); `agreement_id` is its log's name."""

    segment_id: bytes
    agreement_id: str
    log_index: int
    leaf_hash: bytes
    signed: bytes
    broker_key: bytes
    entry: bytes


class Outbox:
    """One node's outbox, opened by `Outbox.open`. Blocking, with fsync; one thread at a time uses it."""

    def __init__(self, directory: Path, lock: FileLock, random_bytes: RandomBytes, fault: FaultPoint) -> None:
        self._path = directory / _FILE
        self._lock = lock
        self._random_bytes = random_bytes
        self._fault = fault
        self._db = open_database(self._path, schema=_SCHEMA, version=_VERSION, page_bytes=_PAGE)
        with storing(self._path), self._db:
            rows = rows_of(
                self._db,
                "SELECT origin_epoch FROM meta WHERE origin_epoch NOT IN (SELECT origin_epoch FROM segment WHERE state = 2)",
            )
            self._epoch: bytes = rows[0][0] if rows else self._new_epoch()

    @classmethod
    async def open(
        cls,
        directory: Path,
        *,
        wait: bool = True,
        random_bytes: RandomBytes = os.urandom,
        fault: FaultPoint = no_fault,
    ) -> Outbox:
        """Open an outbox, or begin one, when nobody else has it.

        Waits for whoever has it, or raises ConflictError LOCKED. Raises StorageError.
        """
        lock = FileLock(directory / _FILE, f"the outbox in {directory}")
        await lock.acquire(wait=wait)
        try:
            return cls(directory, lock, random_bytes, fault)
        except BaseException:
            lock.release()
            raise

    def close(self) -> None:
        """Close the file and let others in."""
        try:
            with storing(self._path):
                self._db.close()
        finally:
            self._lock.release()

    def within(self, work: Callable[[apsw.Connection], T]) -> T:
        """Run something with the file in one transaction with fsync (`losing`); raises StorageError."""
        with storing(self._path), self._db:
            done = work(self._db)
        return done  # noqa: RET504 - to mypy a return inside might not be reached

    @property
    def directory(self) -> Path:
        """Give the directory it lies in."""
        return self._path.parent

    # --- lanes ------------------------------------------------------------------------------------------------------

    @property
    def origin_epoch(self) -> bytes:
        """Give the epoch that new lanes are under."""
        return self._epoch

    def numbers(self) -> dict[Lane, int]:
        """Give for every lane of the present epoch the first origin_sequence that was never used; lanes not named: 1."""
        with storing(self._path):
            rows = rows_of(self._db, "SELECT agreement, class, next FROM lane WHERE origin_epoch = ?", (self._epoch,))
        return {Lane(agreement, self._epoch, transport_class): first for agreement, transport_class, first in rows}

    def next_number(self, lane: Lane) -> int:
        """Give the first number of a lane that no stored segment used."""
        with storing(self._path):
            return self._next_number(lane)

    def _next_number(self, lane: Lane) -> int:
        rows = rows_of(
            self._db,
            "SELECT next FROM lane WHERE agreement = ? AND origin_epoch = ? AND class = ?",
            (lane.agreement_id, lane.origin_epoch, lane.transport_class),
        )
        return rows[0][0] if rows else 1

    def lanes_in(self, state: SegmentState) -> frozenset[Lane]:
        """Give the lanes, of whatever epoch, that have a segment in a state."""
        which = "SELECT DISTINCT agreement, origin_epoch, class FROM segment WHERE state = ?"
        with storing(self._path):
            return frozenset(Lane(*row) for row in rows_of(self._db, which, (int(state),)))

    def begin_epoch(self) -> bytes:
        """Leave every lane behind and give a fresh epoch; what is unanswered under the old one stays what it is."""
        with storing(self._path), self._db:
            self._epoch = self._new_epoch()
        return self._epoch

    def _new_epoch(self) -> bytes:
        epoch = self._random_bytes(limits.UUID)
        rows_of(
            self._db,
            "INSERT INTO meta VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET origin_epoch = excluded.origin_epoch",
            (epoch,),
        )
        return epoch

    # --- what is sent -----------------------------------------------------------------------------------------------

    def append(self, batches: Sequence[StoredBatch]) -> None:
        """Store signed batches, whose segments continue their lanes; returns when they are on disk. Raises StorageError."""
        self._fault("append:begin")
        with storing(self._path), self._db:
            for batch in batches:
                self._advance(batch.segments)
                rows = rows_of(
                    self._db,
                    "INSERT INTO batch (signature, segment_ids) VALUES (?, ?) RETURNING number",
                    (batch.signature, b"".join(batch.segment_ids)),
                )
                insert_rows(self._db, _SEGMENTS, [_segment_row(segment, rows[0][0]) for segment in batch.segments])
                self._add_packets(batch)
            self._fault("append:before-commit")
        self._fault("append:after-commit")

    def _add_packets(self, batch: StoredBatch) -> None:
        until = max(segment.expires_at for segment in batch.segments)
        for packet_id, data in batch.packets:
            rows_of(
                self._db,
                "INSERT INTO packet VALUES (?, ?, ?) ON CONFLICT (packet_id) DO NOTHING",
                (packet_id, data, until),
            )
        named = {packet_id for segment in batch.segments for packet_id in segment.packet_ids}
        marks = ", ".join("?" * len(named))
        update = f"UPDATE packet SET expires_at = max(expires_at, ?) WHERE packet_id IN ({marks})"  # noqa: S608 - only marks
        rows_of(self._db, update, (until, *sorted(named)))

    def _advance(self, segments: Iterable[StoredSegment]) -> None:
        for segment in segments:
            lane = segment.lane
            key = (lane.agreement_id, lane.origin_epoch, lane.transport_class)
            if self._next_number(lane) != segment.first_origin_sequence:
                raise UsageError(f"a segment does not continue its lane at {segment.first_origin_sequence}")
            rows_of(
                self._db,
                "INSERT INTO lane VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET next = excluded.next",
                (*key, segment.next_origin_sequence),
            )

    def state_of(self, segment_id: bytes) -> SegmentState | None:
        """Say where a segment stands; None for one that is not here (any more)."""
        with storing(self._path):
            rows = rows_of(self._db, "SELECT state FROM segment WHERE segment_id = ?", (segment_id,))
        return SegmentState(rows[0][0]) if rows else None

    def waits(self) -> bool:
        """Say whether anything is unanswered."""
        with storing(self._path):
            return bool(rows_of(self._db, "SELECT 1 FROM segment WHERE state = 0 LIMIT 1"))

    def waiting(self) -> int:
        """Give how many reports are in what is unanswered."""
        with storing(self._path):
            ((reports,),) = rows_of(self._db, "SELECT coalesce(sum(slots), 0) FROM segment WHERE state = 0")
        return int(reports)

    def unanswered(self) -> tuple[StoredBatch, ...]:
        """Give what is to be sent again, in the order in which it was stored, with every packet its rows name."""
        with storing(self._path):
            rows = rows_of(
                self._db,
                "SELECT segment_id, agreement, origin_epoch, class, first, slots, data, position, packets, expires_at, batch"
                " FROM segment WHERE state = 0 ORDER BY number",
            )
            by_batch: dict[int, list[StoredSegment]] = {}
            for segment_id, agreement, epoch, transport_class, first, slots, data, *rest in rows:
                position, packets, until, batch = rest
                lane = Lane(agreement, epoch, transport_class)
                segment = StoredSegment(
                    segment_id, lane, first, slots, data, position, _pieces(packets, limits.DIGEST), until
                )
                by_batch.setdefault(batch, []).append(segment)
            return tuple(self._batch(number, segments) for number, segments in by_batch.items())

    def _batch(self, number: int, segments: Sequence[StoredSegment]) -> StoredBatch:
        ((signature, ids),) = rows_of(self._db, "SELECT signature, segment_ids FROM batch WHERE number = ?", (number,))
        named = sorted({packet_id for segment in segments for packet_id in segment.packet_ids})
        marks = ", ".join("?" * len(named))
        packets = rows_of(self._db, f"SELECT packet_id, data FROM packet WHERE packet_id IN ({marks})", named)  # noqa: S608 - only marks
        return StoredBatch(
            signature, _pieces(ids, limits.DIGEST), tuple(segments), tuple((name, data) for name, data in packets)
        )

    def settle(self, receipts: Sequence[StoredReceipt], ended: Sequence[bytes] = ()) -> None:
        """Store verified receipts, and mark segments (by id) that a refusal ended; returns when that is on disk."""
        self._fault("settle:begin")
        answered = [
            *((one.segment_id, SegmentState.ACCEPTED) for one in receipts),
            *((one, SegmentState.ENDED) for one in ended),
        ]
        with storing(self._path), self._db:
            insert_rows(
                self._db,
                "receipt",
                [
                    (
                        one.segment_id,
                        one.agreement_id,
                        one.log_index,
                        one.leaf_hash,
                        one.signed,
                        one.broker_key,
                        one.entry,
                        0,
                    )
                    for one in receipts
                    if not self._has_receipt(one.segment_id)
                ],
            )
            for segment_id, state in answered:
                rows_of(self._db, "UPDATE segment SET state = ? WHERE segment_id = ?", (int(state), segment_id))
        self._fault("settle:after-commit")

    def _has_receipt(self, segment_id: bytes) -> bool:
        return bool(rows_of(self._db, "SELECT 1 FROM receipt WHERE segment_id = ?", (segment_id,)))

    # --- custody ----------------------------------------------------------------------------------------------------

    def receipt(self, segment_id: bytes) -> StoredReceipt | None:
        """Give the receipt of a segment."""
        with storing(self._path):
            rows = rows_of(self._db, f"SELECT {_RECEIPT} FROM receipt WHERE segment_id = ?", (segment_id,))  # noqa: S608 - our own columns
        return StoredReceipt(*rows[0]) if rows else None

    def unproved(self, agreement_id: str, below: int) -> tuple[StoredReceipt, ...]:
        """Give receipts whose entry lies below a log size and was not compared with the log yet."""
        with storing(self._path):
            rows = rows_of(
                self._db,
                f"SELECT {_RECEIPT} FROM receipt WHERE proved = 0 AND agreement = ? AND log_index < ? ORDER BY log_index",  # noqa: S608 - our own columns
                (agreement_id, below),
            )
        return tuple(StoredReceipt(*row) for row in rows)

    def proved(self, segment_ids: Sequence[bytes]) -> None:
        """Note that these receipts were compared with the log."""
        with storing(self._path), self._db:
            for segment_id in segment_ids:
                rows_of(self._db, "UPDATE receipt SET proved = 1 WHERE segment_id = ?", (segment_id,))

    def drop_expired(self, now_ms: int) -> int:
        """Delete the sealed bytes of answered segments whose reports have all expired; receipts stay. Gives how many."""
        with storing(self._path), self._db:
            gone = rows_of(
                self._db, "DELETE FROM segment WHERE state != 0 AND expires_at <= ? RETURNING number", (now_ms,)
            )
            rows_of(self._db, "DELETE FROM batch WHERE number NOT IN (SELECT batch FROM segment)")
            rows_of(self._db, "DELETE FROM packet WHERE expires_at <= ?", (now_ms,))
        return len(gone)


def _segment_row(segment: StoredSegment, batch: int) -> tuple[object, ...]:
    lane = segment.lane
    return (
        segment.segment_id,
        lane.agreement_id,
        lane.origin_epoch,
        lane.transport_class,
        segment.first_origin_sequence,
        segment.slots,
        batch,
        segment.position,
        b"".join(segment.packet_ids),
        segment.expires_at,
        int(SegmentState.UNANSWERED),
        segment.data,
    )


def _pieces(data: bytes, size: int) -> tuple[bytes, ...]:
    return tuple(data[start : start + size] for start in range(0, len(data), size))
