"""What originators took back, as a node knows it: recalled and superseded reports, come or not (design 04).

Rules in order:
1. A line is on disk before anybody is told, and so before what took the report back is acknowledged.
2. A report is meant by id, leaf and the party that sent it: nobody takes back what another party sent.
3. The first recall of a report stays; a recall takes the place of a replacement.
4. All consumers of a node share the lines; each looks again when another process has written.
5. A line is forgotten 72 hours after what took the report back has expired: by then the report itself has.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final
from uuid import UUID

from comity.node.database import open_database, rows_of, storing
from comity_policy.holds import Holds
from comity_policy.state import State

FILE: Final = "taken-back.sqlite"
KEPT_AFTER_EXPIRY_MS: Final = 72 * 3_600_000
_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE taken_back (report_id BLOB, leaf BLOB, party TEXT, how TEXT NOT NULL, by BLOB NOT NULL, agreement TEXT NOT NULL,
  at INTEGER NOT NULL, expires_at INTEGER NOT NULL, PRIMARY KEY (report_id, leaf, party)) WITHOUT ROWID;
"""


class How(StrEnum):
    """How a report was taken back."""

    RECALLED = "recalled"
    SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True)
class TakenBack:
    """That a party took a report of its own back, by another report; `at` is when we learned it, Unix ms."""

    report_id: bytes
    leaf: bytes
    party: str
    how: How
    by: bytes
    agreement_id: str
    at: int
    expires_at: int

    @property
    def words(self) -> str:
        """Say it in words for people."""
        return f"report {UUID(bytes=self.report_id)} was {self.how} by {self.party}"


class TakenBackReports:
    """The lines of one node. One thread at a time uses it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db = open_database(path, schema=_SCHEMA, version=_VERSION)
        self._version = -1
        self._lines: dict[bytes, dict[tuple[bytes, str], TakenBack]] = {}
        self.look()

    def close(self) -> None:
        """Close the file."""
        with storing(self._path):
            self._db.close()

    def look(self) -> None:
        """Read again, if another process has written since."""
        with storing(self._path):
            version = int(rows_of(self._db, "PRAGMA data_version")[0][0])
            if version == self._version:
                return
            rows = rows_of(self._db, "SELECT * FROM taken_back")
        self._version = version
        self._lines = {}
        for report_id, leaf, party, how, by, agreement_id, at, expires_at in rows:
            self._take(TakenBack(report_id, leaf, party, How(how), by, agreement_id, at, expires_at))

    def find(self, report_id: bytes, leaf: bytes, party: str) -> TakenBack | None:
        """Give how the report of that id and leaf was taken back by the party that sent it; None where it was not."""
        lines = self._lines.get(report_id)
        return None if lines is None else lines.get((leaf, party))

    def of_report(self, report_id: bytes) -> TakenBack | None:
        """Give how a report that is kept here was taken back, by its id alone; None where it was not."""
        return next(iter(self._lines.get(report_id, {}).values()), None)

    def add(self, line: TakenBack) -> None:
        """Write a line; returns when it is on disk. Raises StorageError."""
        before = self.find(line.report_id, line.leaf, line.party)
        if before is not None and before.how is How.RECALLED:
            return
        with storing(self._path), self._db:
            values = (line.report_id, line.leaf, line.party, line.how.value, line.by, line.agreement_id)
            rows_of(
                self._db, "REPLACE INTO taken_back VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*values, line.at, line.expires_at)
            )
        self._take(line)

    def drop_expired(self, now_ms: int) -> None:
        """Forget lines by rule 5."""
        with storing(self._path), self._db:
            rows_of(self._db, "DELETE FROM taken_back WHERE expires_at <= ?", (now_ms - KEPT_AFTER_EXPIRY_MS,))
        self._version = -1
        self.look()

    def _take(self, line: TakenBack) -> None:
        self._lines.setdefault(line.report_id, {})[line.leaf, line.party] = line


def held_by(state: State, report_id: bytes, leaf: bytes) -> tuple[str, ...]:
    """Give the open disputes that keep a report from being destroyed, by the digests that name them.

    One on an entry may speak of it: which reports an entry speaks of is not looked up here, and a hold rather keeps too much.
    """
    found: list[str] = []
    for one in state.open_disputes:
        holds = Holds.of([(one.opened.subject, one.opened.subject_id)])
        if holds.entries or holds.on(report_id.hex(), leaf.hex()):
            found.append(one.opened.digest)
    return tuple(found)
