"""The register of a node: what was opened, by whom and for what use; caveats acknowledged; copies; what waits (design 02, point O).

Rules in order:
1. A line is on disk before what it says happens: a report is entered as opened before it is shown, a caveat as acknowledged
   before the report it stands before is opened, a copy before it is made, a report as waiting before it is parked.
2. An envelope is kept as it came, sealed to this node's keys, until its report expires: no plaintext is kept here. Lines of the
   register stay.
3. A number of the register is one copy or translation: it is taken once, by whoever made it.
4. Several processes of a node may write; each write is one transaction.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from comity.errors import ErrorCode, NotFoundError
from comity.node.database import open_database, rows_of, storing
from comity_policy.facts import Use
from comity_policy.readers import Lack

_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE opened (report_id BLOB, leaf BLOB NOT NULL, agreement TEXT NOT NULL, reader TEXT NOT NULL, purpose TEXT NOT NULL,
  use TEXT NOT NULL, at INTEGER NOT NULL);
CREATE INDEX opened_report ON opened (report_id);
CREATE TABLE acknowledged (report_id BLOB, clause TEXT, reader TEXT, agreement TEXT NOT NULL, digest BLOB NOT NULL,
  at INTEGER NOT NULL, PRIMARY KEY (report_id, clause, reader, digest)) WITHOUT ROWID;
CREATE TABLE copy (number INTEGER PRIMARY KEY AUTOINCREMENT, report_id BLOB NOT NULL, agreement TEXT NOT NULL, use TEXT NOT NULL,
  reader TEXT NOT NULL, at INTEGER NOT NULL, made_at INTEGER);
CREATE INDEX copy_report ON copy (report_id);
CREATE TABLE waiting (consumer TEXT, report_id BLOB, agreement TEXT NOT NULL, segment_id BLOB NOT NULL, slot INTEGER NOT NULL,
  lacks TEXT NOT NULL, tried TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (consumer, report_id)) WITHOUT ROWID;
CREATE TABLE envelope (report_id BLOB PRIMARY KEY, agreement TEXT NOT NULL, log_index INTEGER NOT NULL,
  admitted_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, exported BLOB NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class OpenedLine:
    """That a report was opened: by whom (an officer, or the node itself), for what, when (Unix ms)."""

    report_id: bytes
    leaf: bytes
    agreement_id: str
    reader: str
    purpose: str
    use: Use
    at: int


@dataclass(frozen=True, slots=True)
class AcknowledgedLine:
    """That caveats of a text were shown and acknowledged before a report was opened: by whom, when."""

    report_id: bytes
    clauses: frozenset[str]
    reader: str
    agreement_id: str
    digest: bytes
    at: int


@dataclass(frozen=True, slots=True)
class WaitingLine:
    """A report that was parked because an opening lacked something; `tried` says who opened in vain, and how accredited."""

    consumer: str
    report_id: bytes
    agreement_id: str
    segment_id: bytes
    slot: int
    lacks: frozenset[Lack]
    tried: str
    at: int


@dataclass(frozen=True, slots=True)
class CopyLine:
    """A registered copy or translation. `made_at` is None until it was made."""

    number: int
    report_id: bytes
    agreement_id: str
    use: Use
    reader: str
    at: int
    made_at: int | None


@dataclass(frozen=True, slots=True)
class KeptEnvelope:
    """An envelope as it came (`comity.envelope.exported`), and where the log has its admission."""

    report_id: bytes
    agreement_id: str
    log_index: int
    admitted_at: int
    expires_at: int
    exported: bytes


class Register:
    """A node's register. One thread at a time uses an instance; several instances may have one file open."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db = open_database(path, schema=_SCHEMA, version=_VERSION)

    def close(self) -> None:
        """Close the file."""
        with storing(self._path):
            self._db.close()

    # --- opening ----------------------------------------------------------------------------------------------------

    def open_report(self, line: OpenedLine, envelope: KeptEnvelope | None) -> None:
        """Enter that a report is opened now, and keep its envelope where it is not kept yet."""
        with storing(self._path), self._db:
            values = (line.report_id, line.leaf, line.agreement_id, line.reader, line.purpose, line.use.value, line.at)
            rows_of(self._db, "INSERT INTO opened VALUES (?, ?, ?, ?, ?, ?, ?)", values)
            if envelope is not None:
                rows_of(
                    self._db,
                    "INSERT INTO envelope VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (report_id) DO NOTHING",
                    (
                        *(envelope.report_id, envelope.agreement_id, envelope.log_index, envelope.admitted_at),
                        *(envelope.expires_at, envelope.exported),
                    ),
                )

    def was_opened(self, report_id: bytes, leaf: bytes) -> bool:
        """Say whether this very report was opened before."""
        with storing(self._path):
            return bool(
                rows_of(self._db, "SELECT 1 FROM opened WHERE report_id = ? AND leaf = ? LIMIT 1", (report_id, leaf))
            )

    def openings(self, report_id: bytes) -> tuple[OpenedLine, ...]:
        """Give every opening of a report, the oldest first."""
        with storing(self._path):
            rows = rows_of(self._db, "SELECT * FROM opened WHERE report_id = ? ORDER BY rowid", (report_id,))
        return tuple(
            OpenedLine(report, leaf, agreement_id, reader, purpose, Use(use), at)
            for report, leaf, agreement_id, reader, purpose, use, at in rows
        )

    def acknowledge(self, line: AcknowledgedLine) -> None:
        """Enter caveats as acknowledged."""
        with storing(self._path), self._db:
            for clause in sorted(line.clauses):
                rows_of(
                    self._db,
                    "INSERT INTO acknowledged VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                    (line.report_id, clause, line.reader, line.agreement_id, line.digest, line.at),
                )

    def acknowledged(self, report_id: bytes, reader: str, digest: bytes) -> frozenset[str]:
        """Give the caveats of a text that somebody acknowledged for a report."""
        with storing(self._path):
            rows = rows_of(
                self._db,
                "SELECT clause FROM acknowledged WHERE report_id = ? AND reader = ? AND digest = ?",
                (report_id, reader, digest),
            )
        return frozenset(row[0] for row in rows)

    # --- what waits -------------------------------------------------------------------------------------------------

    def wait(self, line: WaitingLine) -> None:
        """Enter a report as waiting, in place of an earlier line of it."""
        values = (
            *(line.consumer, line.report_id, line.agreement_id, line.segment_id, line.slot),
            *(" ".join(sorted(line.lacks)), line.tried, line.at),
        )
        with storing(self._path), self._db:
            rows_of(self._db, "REPLACE INTO waiting VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)

    def waiting(self, consumer: str) -> tuple[WaitingLine, ...]:
        """Give what waits for a consumer, by report."""
        with storing(self._path):
            rows = rows_of(self._db, "SELECT * FROM waiting WHERE consumer = ? ORDER BY report_id", (consumer,))
        return tuple(
            WaitingLine(whose, report_id, agreement_id, segment_id, slot, _lacks(lacks), tried, at)
            for whose, report_id, agreement_id, segment_id, slot, lacks, tried, at in rows
        )

    def wait_no_more(self, lines: Iterable[WaitingLine]) -> None:
        """Take lines away: their reports come again, or are gone."""
        with storing(self._path), self._db:
            for line in lines:
                where = (line.consumer, line.report_id)
                rows_of(self._db, "DELETE FROM waiting WHERE consumer = ? AND report_id = ?", where)

    # --- copies -----------------------------------------------------------------------------------------------------

    def enter_copy(self, report_id: bytes, agreement_id: str, use: Use, reader: str, at: int) -> int:
        """Enter a copy or translation that is to be made; gives its number."""
        with storing(self._path), self._db:
            values = (report_id, agreement_id, use.value, reader, at)
            ((number,),) = rows_of(
                self._db,
                "INSERT INTO copy (report_id, agreement, use, reader, at) VALUES (?, ?, ?, ?, ?) RETURNING number",
                values,
            )
        return int(number)

    def copies(self, report_id: bytes) -> tuple[CopyLine, ...]:
        """Give the copies and translations of a report, by number."""
        with storing(self._path):
            rows = rows_of(self._db, "SELECT * FROM copy WHERE report_id = ? ORDER BY number", (report_id,))
        return tuple(
            CopyLine(number, report, agreement_id, Use(use), reader, at, made_at)
            for number, report, agreement_id, use, reader, at, made_at in rows
        )

    def unmade_copy(self, report_id: bytes, use: Use, reader: str) -> CopyLine | None:
        """Give the first copy of this use that was entered by this reader and not made yet."""
        lines = (one for one in self.copies(report_id) if one.use is use and one.reader == reader)
        return next((one for one in lines if one.made_at is None), None)

    def make_copy(self, number: int, at: int) -> bool:
        """Enter that a copy is made now; False where it was made before, by another process."""
        with storing(self._path), self._db:
            taken = rows_of(
                self._db,
                "UPDATE copy SET made_at = ? WHERE number = ? AND made_at IS NULL RETURNING number",
                (at, number),
            )
        return bool(taken)

    # --- envelopes --------------------------------------------------------------------------------------------------

    def envelope(self, report_id: bytes) -> KeptEnvelope:
        """Give a kept envelope; raises NotFoundError REPORT_UNKNOWN."""
        with storing(self._path):
            rows = rows_of(self._db, "SELECT * FROM envelope WHERE report_id = ?", (report_id,))
        if not rows:
            raise NotFoundError(
                "no envelope of this report is kept here",
                what_to_do="One is kept from its first opening until it expires, where a clause asks who reads or for what "
                "use. Other reports are the files that comity receive wrote.",
                code=ErrorCode.REPORT_UNKNOWN,
            )
        return KeptEnvelope(*rows[0])

    def drop_expired(self, now_ms: int) -> None:
        """Drop envelopes of reports that have expired: nobody may open them any more."""
        with storing(self._path), self._db:
            rows_of(self._db, "DELETE FROM envelope WHERE expires_at <= ?", (now_ms,))


def _lacks(words: str) -> frozenset[Lack]:
    return frozenset(map(Lack, words.split()))
