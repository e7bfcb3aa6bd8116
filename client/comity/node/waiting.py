"""Reports that wait for officers' approvals: sealed, on disk, and never sent before enough are there (design 03, "Approval").

Rules in order:
1. An approval names a leaf, and a leaf its number in a lane. So each waiting report has a lane to itself, which nothing else is
   numbered in: those that come later never wait for it. A lane is used again once the broker has taken the report that went
   in it, or it expired: were that one refused with its segment, the lane would be dead, and the approvals of the next one with it.
2. The file lies beside the outbox and has no owner: an officer's approval comes from another process than the one that sends.
3. A report waits until it expires, at most as long as a broker takes what was made before (72 hours). What is sent is deleted
   here after the outbox has it; a report found in both was stored there, then the process died.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self
from uuid import UUID

from comity.envelope import limits
from comity.envelope.evidence import SIGNATURE_BYTES, Approval, encode_approval, read_approvals
from comity.envelope.forwarding import with_approvals
from comity.envelope.records import Reader, u32
from comity.envelope.segment import WholeItem, parse_segment
from comity.errors import ConflictError, ErrorCode, MalformedError, NotFoundError, StorageError
from comity.node.database import insert_rows, open_database, rows_of, storing
from comity.node.outbox import Lane, StoredSegment
from comity.node.sealing import KeySet, Sealed
from comity.suites import RandomBytes

FILE: Final = "waiting.sqlite"
LONGEST_MS: Final = 72 * 3_600_000
LANES: Final = 64

_VERSION: Final = 1
_APPROVAL_BYTES: Final = 63 + SIGNATURE_BYTES
_SCHEMA: Final = """
CREATE TABLE pool (agreement TEXT, class INTEGER, origin_epoch BLOB, PRIMARY KEY (agreement, class, origin_epoch)) WITHOUT ROWID;
CREATE TABLE report (report_id BLOB PRIMARY KEY, agreement TEXT NOT NULL, origin_epoch BLOB NOT NULL, class INTEGER NOT NULL,
  first INTEGER NOT NULL, segment_id BLOB NOT NULL, key_set BLOB NOT NULL, suite INTEGER NOT NULL, expires_at INTEGER NOT NULL,
  data BLOB NOT NULL, UNIQUE (agreement, origin_epoch, class));
CREATE TABLE packet (report_id BLOB, packet_id BLOB, data BLOB NOT NULL, PRIMARY KEY (report_id, packet_id)) WITHOUT ROWID;
CREATE TABLE approval (report_id BLOB, officer BLOB, record BLOB NOT NULL, PRIMARY KEY (report_id, officer)) WITHOUT ROWID;
"""
_COLUMNS: Final = "report_id, agreement, origin_epoch, class, first, segment_id, key_set, suite, expires_at, data"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A sealed report that waits: its segment of one, with the approvals that are there, and the packets its rows name."""

    report_id: UUID
    segment: StoredSegment
    key_set: KeySet
    packets: tuple[tuple[bytes, bytes], ...]

    @property
    def item(self) -> WholeItem:
        """Give the report as it would be published."""
        ((_, item),) = parse_segment(self.segment.data).whole
        return item

    @property
    def until_ms(self) -> int:
        """Give when it has waited too long, Unix milliseconds."""
        core = self.item.core
        return min(core.expires_at, core.created_at + LONGEST_MS)

    @classmethod
    def of(cls, sealed: Sealed) -> Self:
        """Give a report that was sealed alone."""
        (report_id,) = sealed.report_ids
        return cls(UUID(bytes=report_id), sealed.stored, sealed.key_set, sealed.packets)


class WaitingReports:
    """One node's waiting reports. Blocking, with fsync; several processes may use the file."""

    def __init__(self, outbox: Path, random_bytes: RandomBytes) -> None:
        self._path = outbox / FILE
        self._random_bytes = random_bytes
        self._db = open_database(self._path, schema=_SCHEMA, version=_VERSION)

    @staticmethod
    def any_in(outbox: Path) -> bool:
        """Say whether a report ever waited there."""
        return (outbox / FILE).exists()

    def close(self) -> None:
        """Close the file."""
        with storing(self._path):
            self._db.close()

    # --- lanes ------------------------------------------------------------------------------------------------------

    def free_lane(self, agreement_id: str, transport_class: int, avoid: Collection[Lane] = ()) -> Lane:
        """Give a lane that no waiting report has, and none of those to avoid; raises StorageError where as many wait as may."""
        with storing(self._path), self._db:
            rows = rows_of(
                self._db,
                "SELECT origin_epoch FROM pool WHERE agreement = ? AND class = ? AND origin_epoch NOT IN"
                " (SELECT origin_epoch FROM report WHERE agreement = pool.agreement AND class = pool.class)",
                (agreement_id, transport_class),
            )
            for (epoch,) in rows:
                lane = Lane(agreement_id, epoch, transport_class)
                if lane not in avoid:
                    return lane
            ((lanes,),) = rows_of(
                self._db,
                "SELECT count(*) FROM pool WHERE agreement = ? AND class = ?",
                (agreement_id, transport_class),
            )
            if lanes < LANES:
                epoch = self._random_bytes(limits.UUID)
                rows_of(self._db, "INSERT INTO pool VALUES (?, ?, ?)", (agreement_id, transport_class, epoch))
                return Lane(agreement_id, epoch, transport_class)
        raise StorageError(
            f"{LANES} reports of this precedence wait for approvals, or for the broker, under {agreement_id} already",
            what_to_do="Have them approved and sent, or wait until they expire: comity report list",
            code=ErrorCode.LIMIT_EXCEEDED,
        )

    def retire(self, lane: Lane) -> None:
        """Use a lane no more: the broker takes no further number of it."""
        with storing(self._path), self._db:
            key = (lane.agreement_id, lane.transport_class, lane.origin_epoch)
            rows_of(self._db, "DELETE FROM pool WHERE agreement = ? AND class = ? AND origin_epoch = ?", key)

    # --- reports ----------------------------------------------------------------------------------------------------

    def add(self, one: Waiting) -> None:
        """Store a report; returns when it is on disk. Raises MalformedError where its approvals would not fit beside it."""
        if len(one.segment.data) + limits.APPROVALS * _APPROVAL_BYTES > limits.SEGMENT_BYTES:
            raise MalformedError(
                "the report is too large to travel with its approvals",
                what_to_do="Split the content over several reports.",
                code=ErrorCode.LIMIT_EXCEEDED,
            )
        segment, lane, name = one.segment, one.segment.lane, one.report_id.bytes
        row = (
            name, lane.agreement_id, lane.origin_epoch, lane.transport_class, segment.first_origin_sequence,
            segment.segment_id, one.key_set[0], one.key_set[1], segment.expires_at, segment.data,
        )  # fmt: skip
        with storing(self._path), self._db:
            insert_rows(self._db, "report", [row])
            insert_rows(self._db, "packet", [(name, packet_id, data) for packet_id, data in one.packets])

    def all(self) -> tuple[Waiting, ...]:
        """Give every waiting report, the oldest first, with the approvals that are there."""
        with storing(self._path), self._db:
            rows = rows_of(self._db, f"SELECT {_COLUMNS} FROM report ORDER BY report_id")  # noqa: S608 - our own columns
            found: list[Waiting] = []
            for (
                report_id,
                agreement,
                epoch,
                transport_class,
                first,
                segment_id,
                key_set,
                suite,
                expires_at,
                data,
            ) in rows:
                packets = tuple(
                    (packet_id, packet)
                    for packet_id, packet in rows_of(
                        self._db, "SELECT packet_id, data FROM packet WHERE report_id = ?", (report_id,)
                    )
                )
                segment = StoredSegment(
                    segment_id=segment_id,
                    lane=Lane(agreement, epoch, transport_class),
                    first_origin_sequence=first,
                    slots=1,
                    data=with_approvals(data, {0: self._approvals(report_id)}),
                    position=0,
                    packet_ids=tuple(packet_id for packet_id, _ in packets),
                    expires_at=expires_at,
                )
                found.append(Waiting(UUID(bytes=report_id), segment, (key_set, suite), packets))
        return tuple(found)

    def find(self, report_id: UUID) -> Waiting:
        """Give one; raises NotFoundError."""
        for one in self.all():
            if one.report_id == report_id:
                return one
        raise unknown(report_id)

    def approve(self, report_id: UUID, approval: Approval) -> None:
        """Store an approval; raises NotFoundError, ConflictError for a second of one key, MalformedError for one too many."""
        with storing(self._path), self._db:
            if not rows_of(self._db, "SELECT 1 FROM report WHERE report_id = ?", (report_id.bytes,)):
                raise unknown(report_id)
            there = self._approvals(report_id.bytes)
            if any(one.officer_fingerprint == approval.officer_fingerprint for one in there):
                raise ConflictError(
                    f"this officer approved report {report_id} already",
                    what_to_do="comity report list shows who else may.",
                    code=ErrorCode.FILE_EXISTS,
                )
            if len(there) >= limits.APPROVALS:
                raise MalformedError(f"a report carries at most {limits.APPROVALS} approvals")
            row = (report_id.bytes, approval.officer_fingerprint, encode_approval(approval))
            insert_rows(self._db, "approval", [row])

    def _approvals(self, report_id: bytes) -> tuple[Approval, ...]:
        rows = rows_of(self._db, "SELECT record FROM approval WHERE report_id = ? ORDER BY officer", (report_id,))
        return read_approvals(Reader(u32(len(rows)) + b"".join(record for (record,) in rows), "approvals"))

    def remove(self, report_id: UUID) -> None:
        """Forget a report: the outbox has it, or it is given up."""
        with storing(self._path), self._db:
            for table in ("approval", "packet", "report"):
                rows_of(self._db, f"DELETE FROM {table} WHERE report_id = ?", (report_id.bytes,))  # noqa: S608 - our own tables


def unknown(report_id: UUID) -> NotFoundError:
    """Give the error for a report that does not wait here."""
    return NotFoundError(
        f"no report {report_id} waits for approvals here",
        what_to_do="It may have been sent, or have expired: comity report list",
        code=ErrorCode.REPORT_UNKNOWN,
    )
