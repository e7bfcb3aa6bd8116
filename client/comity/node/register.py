"""The register of a node: what was opened, by whom and for what use; caveats acknowledged; copies; what waits (design 02, point O).

Rules in order:
1. A line is on disk before what it says happens: a report is entered as opened before it is shown, a caveat as acknowledged
   before the report it stands before is opened, a copy before it is made, a report as waiting before it is parked.
2. An envelope is kept as it came, sealed to this node's keys, until its report expires: no plaintext is kept here. Lines of the
   register stay.
3. A caveat is acknowledged by its words, not by its clause's id: other words under the same id are another caveat.
4. What waits is known by its leaf: a partner that sends a report under the id of another's takes nothing from it. Who opened a
   waiting report in vain, and which portions whom an opening gave were taken, is kept until it expires.
5. A number of the register is one copy or translation: it is taken once, by whoever made it.
6. Several processes of a node may write; each write is one transaction.
7. Of a report that its originator took back (`taken_back`) no envelope is kept and nothing waits, unless a dispute holds it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from comity.errors import ErrorCode, NotFoundError
from comity.node.database import open_database, rows_of, storing
from comity.node.taken_back import FILE, TakenBackReports
from comity_policy.facts import Use
from comity_policy.readers import Lack

_VERSION: Final = 3
_SCHEMA: Final = """
CREATE TABLE opened (report_id BLOB, leaf BLOB NOT NULL, agreement TEXT NOT NULL, reader TEXT NOT NULL, purpose TEXT NOT NULL,
  use TEXT NOT NULL, portions TEXT NOT NULL, at INTEGER NOT NULL);
CREATE INDEX opened_report ON opened (report_id);
CREATE TABLE acknowledged (report_id BLOB, words BLOB, reader TEXT, clause TEXT NOT NULL, agreement TEXT NOT NULL,
  digest BLOB NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (report_id, words, reader)) WITHOUT ROWID;
CREATE TABLE copy (number INTEGER PRIMARY KEY AUTOINCREMENT, report_id BLOB NOT NULL, agreement TEXT NOT NULL, use TEXT NOT NULL,
  reader TEXT NOT NULL, at INTEGER NOT NULL, made_at INTEGER);
CREATE INDEX copy_report ON copy (report_id);
CREATE TABLE waiting (consumer TEXT, report_id BLOB, leaf BLOB NOT NULL, agreement TEXT NOT NULL, segment_id BLOB NOT NULL,
  slot INTEGER NOT NULL, lacks TEXT NOT NULL, at INTEGER NOT NULL, expires_at INTEGER NOT NULL,
  PRIMARY KEY (consumer, leaf)) WITHOUT ROWID;
CREATE TABLE tried (consumer TEXT, leaf BLOB, terms TEXT, portions TEXT NOT NULL, expires_at INTEGER NOT NULL,
  PRIMARY KEY (consumer, leaf, terms)) WITHOUT ROWID;
CREATE TABLE envelope (report_id BLOB PRIMARY KEY, agreement TEXT NOT NULL, log_index INTEGER NOT NULL,
  admitted_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, exported BLOB NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class OpenedLine:
    """That portions of a report were opened: by whom (an officer, or the node itself), for what, when (Unix ms)."""

    report_id: bytes
    leaf: bytes
    agreement_id: str
    reader: str
    purpose: str
    use: Use
    portions: frozenset[int]
    at: int


@dataclass(frozen=True, slots=True)
class AcknowledgedLine:
    """That caveats were shown and acknowledged before a report was opened: by whom, when; each clause's id by its words' digest."""

    report_id: bytes
    clauses: Mapping[bytes, str]
    reader: str
    agreement_id: str
    digest: bytes
    at: int


@dataclass(frozen=True, slots=True)
class WaitingLine:
    """A report that was parked because an opening lacked something; `lacks` says for some portion each what it lacked."""

    consumer: str
    report_id: bytes
    leaf: bytes
    agreement_id: str
    segment_id: bytes
    slot: int
    lacks: frozenset[frozenset[Lack]]
    at: int
    expires_at: int


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
        self.taken_back = TakenBackReports(path.with_name(FILE))

    def close(self) -> None:
        """Close the files."""
        self.taken_back.close()
        with storing(self._path):
            self._db.close()

    # --- opening ----------------------------------------------------------------------------------------------------

    def open_report(self, line: OpenedLine, envelope: KeptEnvelope | None) -> None:
        """Enter that a report is opened now, and keep its envelope where it is not kept yet."""
        with storing(self._path), self._db:
            values = (
                *(line.report_id, line.leaf, line.agreement_id, line.reader, line.purpose, line.use.value),
                *(_numbers_text(line.portions), line.at),
            )
            rows_of(self._db, "INSERT INTO opened VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
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
            OpenedLine(report, leaf, agreement_id, reader, purpose, Use(use), _numbers(portions), at)
            for report, leaf, agreement_id, reader, purpose, use, portions, at in rows
        )

    def acknowledge(self, line: AcknowledgedLine) -> None:
        """Enter caveats as acknowledged."""
        with storing(self._path), self._db:
            for words, clause in sorted(line.clauses.items()):
                rows_of(
                    self._db,
                    "INSERT INTO acknowledged VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                    (line.report_id, words, line.reader, clause, line.agreement_id, line.digest, line.at),
                )

    def acknowledged(self, report_id: bytes, reader: str) -> frozenset[bytes]:
        """Give the caveats that somebody acknowledged for a report, by the digests of their words."""
        with storing(self._path):
            rows = rows_of(
                self._db, "SELECT words FROM acknowledged WHERE report_id = ? AND reader = ?", (report_id, reader)
            )
        return frozenset(row[0] for row in rows)

    # --- what waits -------------------------------------------------------------------------------------------------

    def wait(self, line: WaitingLine, terms: str, taken: Iterable[int]) -> None:
        """Enter a report as waiting, in place of an earlier line of these very bytes, and who opened it: the portions that were taken then."""
        values = (
            *(line.consumer, line.report_id, line.leaf, line.agreement_id, line.segment_id, line.slot),
            *(_lacks_text(line.lacks), line.at, line.expires_at),
        )
        tried = (line.consumer, line.leaf, terms, _numbers_text(taken), line.expires_at)
        with storing(self._path), self._db:
            rows_of(self._db, "REPLACE INTO waiting VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
            rows_of(self._db, "REPLACE INTO tried VALUES (?, ?, ?, ?, ?)", tried)

    def tried(self, consumer: str, leaf: bytes) -> Mapping[str, frozenset[int]]:
        """Give who opened a report that waits, in the words of their terms, each with the portions that were taken then."""
        with storing(self._path):
            rows = rows_of(
                self._db, "SELECT terms, portions FROM tried WHERE consumer = ? AND leaf = ?", (consumer, leaf)
            )
        return {terms: _numbers(portions) for terms, portions in rows}

    def waiting(self, consumer: str) -> tuple[WaitingLine, ...]:
        """Give what waits for a consumer, by report."""
        with storing(self._path):
            rows = rows_of(self._db, "SELECT * FROM waiting WHERE consumer = ? ORDER BY report_id, leaf", (consumer,))
        return tuple(
            WaitingLine(whose, report_id, leaf, agreement_id, segment_id, slot, _lacks(lacks), at, expires_at)
            for whose, report_id, leaf, agreement_id, segment_id, slot, lacks, at, expires_at in rows
        )

    def wait_no_more(self, lines: Iterable[WaitingLine]) -> None:
        """Take lines away: their reports come again, or are gone."""
        with storing(self._path), self._db:
            for line in lines:
                where = (line.consumer, line.leaf)
                rows_of(self._db, "DELETE FROM waiting WHERE consumer = ? AND leaf = ?", where)

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

    def drop_report(self, report_id: bytes, leaf: bytes) -> None:
        """Drop the envelope of a report that was taken back, and what waits of it at any consumer; its lines stay."""
        with storing(self._path), self._db:
            rows_of(self._db, "DELETE FROM envelope WHERE report_id = ?", (report_id,))
            rows_of(self._db, "DELETE FROM waiting WHERE report_id = ? AND leaf = ?", (report_id, leaf))
            rows_of(self._db, "DELETE FROM tried WHERE leaf = ?", (leaf,))

    def drop_expired(self, now_ms: int) -> None:
        """Drop envelopes of reports that have expired, and who tried to open them: nobody may any more."""
        self.taken_back.drop_expired(now_ms)
        with storing(self._path), self._db:
            for table in ("envelope", "tried"):
                rows_of(self._db, f"DELETE FROM {table} WHERE expires_at <= ?", (now_ms,))  # noqa: S608 - our own tables


def _lacks(words: str) -> frozenset[frozenset[Lack]]:
    return frozenset(frozenset(map(Lack, some.split())) for some in words.split(","))


def _lacks_text(lacks: Iterable[frozenset[Lack]]) -> str:
    return ",".join(sorted(" ".join(sorted(some)) for some in lacks))


def _numbers(words: str) -> frozenset[int]:
    return frozenset(map(int, words.split()))


def _numbers_text(numbers: Iterable[int]) -> str:
    return " ".join(map(str, sorted(numbers)))
