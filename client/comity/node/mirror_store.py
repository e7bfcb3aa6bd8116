"""The mirror on disk: entries, bodies, pins, texts, alarms and evidence in one SQLite file. No rule of its own.

Entries beyond a log's pinned size are provisional: they were fetched and not yet led to a signed root. They are dropped when
a refresh begins. Pin, frontier and note change in one transaction. When a restored broker goes on with a log of its next
incarnation, what it lost of the old one, and the tiles of its tree, are moved under the old log's origin, in one transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, cast

from comity.envelope.record_list import decode_record_list, encode_record_list
from comity.node.alarms import Alarm, AlarmKind
from comity.node.database import insert_rows, open_database, rows_of, storing
from comity.node.entries import MirroredEntry, Part
from comity.node.logs import LeftLog, LogPin
from comity.verify.trees import Frontier, TileHash

_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE log (name TEXT PRIMARY KEY, origin TEXT NOT NULL, vkeys TEXT NOT NULL, frontier BLOB NOT NULL,
  note BLOB NOT NULL, refreshed_at INTEGER NOT NULL, shown BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE entry (name TEXT, log_index INTEGER, kind TEXT NOT NULL, entry BLOB NOT NULL, leaf BLOB NOT NULL,
  PRIMARY KEY (name, log_index)) WITHOUT ROWID;
CREATE TABLE part (name TEXT, log_index INTEGER, part TEXT, salt BLOB NOT NULL, body BLOB NOT NULL, records BLOB NOT NULL,
  PRIMARY KEY (name, log_index, part)) WITHOUT ROWID;
CREATE TABLE tile (name TEXT, level INTEGER, number INTEGER, hash BLOB NOT NULL,
  PRIMARY KEY (name, level, number)) WITHOUT ROWID;
CREATE TABLE document (agreement TEXT PRIMARY KEY, document BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE text (agreement TEXT, digest TEXT, document BLOB NOT NULL, PRIMARY KEY (agreement, digest)) WITHOUT ROWID;
CREATE TABLE alarm (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, agreement TEXT NOT NULL, subject TEXT NOT NULL,
  detail TEXT NOT NULL, at INTEGER NOT NULL, UNIQUE (kind, agreement, subject, detail));
CREATE TABLE evidence (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, name TEXT NOT NULL, what TEXT NOT NULL,
  own BLOB NOT NULL, shown BLOB NOT NULL);
"""
# Added to files that were begun before it.
_LEFT: Final = """
CREATE TABLE IF NOT EXISTS left_log (name TEXT, number INTEGER, origin TEXT NOT NULL, vkeys TEXT NOT NULL, first INTEGER NOT NULL,
  kept INTEGER NOT NULL, verified INTEGER NOT NULL, note BLOB NOT NULL, PRIMARY KEY (name, number)) WITHOUT ROWID;
"""


class MirrorStore:
    """The file. `name` is an agreement's id, or empty for the key log."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db = open_database(path, schema=_SCHEMA, version=_VERSION)
        with storing(path):
            self._db.execute(_LEFT)

    def close(self) -> None:
        """Close the file."""
        with storing(self._path):
            self._db.close()

    # --- logs -------------------------------------------------------------------------------------------------------

    def names(self) -> tuple[str, ...]:
        """Give every log that was pinned."""
        with storing(self._path):
            rows = rows_of(self._db, "SELECT name FROM log ORDER BY name")
        return tuple(name for (name,) in rows)

    def pin(self, name: str) -> tuple[LogPin, int, bytes] | None:
        """Give a log's pin, when it was refreshed (Unix ms), and a note that was shown elsewhere and not reached yet."""
        with storing(self._path):
            rows = rows_of(
                self._db,
                "SELECT origin, vkeys, frontier, note, refreshed_at, shown FROM log WHERE name = ?",
                (name,),
            )
        if not rows:
            return None
        origin, vkeys, frontier, note, refreshed_at, shown = rows[0]
        before = self._left(name)
        pin = LogPin(
            origin,
            tuple(vkeys.split("\n")),
            Frontier.decode(frontier),
            note,
            first=before[-1].end if before else 0,
            before=before,
        )
        return pin, refreshed_at, shown

    def _left(self, name: str) -> tuple[LeftLog, ...]:
        with storing(self._path):
            rows = rows_of(
                self._db,
                "SELECT origin, vkeys, first, kept, verified, note FROM left_log WHERE name = ? ORDER BY number",
                (name,),
            )
        return tuple(LeftLog(origin, tuple(vkeys.split("\n")), *rest) for origin, vkeys, *rest in rows)

    def leave(self, name: str, left: LeftLog, pin: LogPin, refreshed_at: int) -> None:
        """Go on with the next incarnation of a log: keep apart what was lost of the one that is left, and pin the new one."""
        with storing(self._path), self._db:
            for statement in (
                "UPDATE entry SET name = ? WHERE name = ? AND log_index >= ?",
                "UPDATE part SET name = ? WHERE name = ? AND log_index >= ?",
            ):
                self._db.execute(statement, (left.origin, name, left.end))
            self._db.execute("UPDATE tile SET name = ? WHERE name = ?", (left.origin, name))
            self._db.execute(
                "INSERT INTO left_log VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(name, len(pin.before), left.origin, "\n".join(left.vkeys)),
                    *(left.first, left.kept, left.verified, left.note),
                ),
            )
            self._db.execute(
                "INSERT OR REPLACE INTO log VALUES (?, ?, ?, ?, ?, ?, ?)",
                (name, pin.origin, "\n".join(pin.vkeys), pin.frontier.encode(), pin.note, refreshed_at, b""),
            )

    def put_pin(self, name: str, pin: LogPin, refreshed_at: int, shown: bytes) -> None:
        """Write a log's pin."""
        with storing(self._path), self._db:
            self._db.execute(
                "INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET frontier = excluded.frontier,"
                " note = excluded.note, refreshed_at = excluded.refreshed_at, shown = excluded.shown",
                (name, pin.origin, "\n".join(pin.vkeys), pin.frontier.encode(), pin.note, refreshed_at, shown),
            )

    # --- entries ----------------------------------------------------------------------------------------------------

    def drop_provisional(self, name: str, size: int, first: int = 0) -> None:
        """Drop what was fetched beyond the pinned size; `first` is the index of the tree's first leaf."""
        with storing(self._path), self._db:
            for statement in (
                "DELETE FROM entry WHERE name = ? AND log_index >= ?",
                "DELETE FROM part WHERE name = ? AND log_index >= ?",
            ):
                self._db.execute(statement, (name, size))
            tiles = "DELETE FROM tile WHERE name = ? AND ((number + 1) << (8 * level)) > ?"
            self._db.execute(tiles, (name, size - first))

    def append(
        self, name: str, entries: Sequence[MirroredEntry], leaves: Sequence[bytes], tiles: Iterable[TileHash]
    ) -> None:
        """Add a run of entries."""
        parts = [
            (name, entry.log_index, part, one.salt, one.body, encode_record_list(one.records))
            for entry in entries
            for part, one in entry.parts.items()
        ]
        with storing(self._path), self._db:
            insert_rows(
                self._db,
                "entry",
                [
                    (name, entry.log_index, entry.kind, entry.entry, leaf)
                    for entry, leaf in zip(entries, leaves, strict=True)
                ],
            )
            insert_rows(self._db, "part", parts)
            insert_rows(self._db, "tile", [(name, *tile) for tile in tiles])

    def entries(
        self, name: str, pin: LogPin, first: int, end: int, kinds: Iterable[str] | None = None
    ) -> tuple[MirroredEntry, ...]:
        """Give entries with first <= index < end, of certain kinds where named, each under the origin it has by the pin."""
        wanted = None if kinds is None else sorted(kinds)
        condition = "" if wanted is None else f" AND kind IN ({', '.join('?' * len(wanted))})"
        select = "SELECT log_index, kind, entry FROM entry WHERE name = ? AND log_index >= ? AND log_index < ?"
        with storing(self._path):
            rows = rows_of(self._db, f"{select}{condition} ORDER BY log_index", (name, first, end, *(wanted or ())))
            found = [(*row, self._parts(name, row[0])) for row in rows]
        return tuple(MirroredEntry(pin.origin_at(row[0]), *row) for row in found)

    def lost(self, left: LeftLog, log_index: int | None = None) -> tuple[MirroredEntry, ...]:
        """Give the entries, or the one, that a restored broker lost of a log it left behind, as far as they were verified here."""
        select = (
            "SELECT log_index, kind, entry FROM entry WHERE name = ? AND log_index BETWEEN ? AND ? ORDER BY log_index"
        )
        first, last = (left.end, left.first + left.verified) if log_index is None else (log_index, log_index)
        with storing(self._path):
            rows = rows_of(self._db, select, (left.origin, first, last))
            found = [(*row, self._parts(left.origin, row[0])) for row in rows]
        return tuple(MirroredEntry(left.origin, *row) for row in found)

    def lost_kinds(self, left: LeftLog) -> dict[str, int]:
        """Give how many entries of each kind are lost."""
        counted = "SELECT kind, count(*) FROM entry WHERE name = ? GROUP BY kind ORDER BY kind"
        with storing(self._path):
            return dict(cast("list[tuple[str, int]]", rows_of(self._db, counted, (left.origin,))))

    def leaves(self, name: str, first: int, count: int) -> list[bytes]:
        """Give leaf hashes."""
        with storing(self._path):
            rows = rows_of(
                self._db,
                "SELECT leaf FROM entry WHERE name = ? AND log_index >= ? AND log_index < ? ORDER BY log_index",
                (name, first, first + count),
            )
        return [leaf for (leaf,) in rows]

    def tiles(self, name: str, level: int, first: int, count: int) -> list[bytes]:
        """Give hashes of a tile level, from 1."""
        with storing(self._path):
            rows = rows_of(
                self._db,
                "SELECT hash FROM tile WHERE name = ? AND level = ? AND number >= ? AND number < ? ORDER BY number",
                (name, level, first, first + count),
            )
        return [one for (one,) in rows]

    def _parts(self, name: str, log_index: int) -> dict[str, Part]:
        rows = rows_of(
            self._db, "SELECT part, salt, body, records FROM part WHERE name = ? AND log_index = ?", (name, log_index)
        )
        return {part: Part(salt, body, decode_record_list(records)) for part, salt, body, records in rows}

    # --- texts, alarms, evidence ------------------------------------------------------------------------------------

    def document(self, agreement_id: str) -> bytes | None:
        """Give the exact text that was proposed first."""
        with storing(self._path):
            rows = rows_of(self._db, "SELECT document FROM document WHERE agreement = ?", (agreement_id,))
        return rows[0][0] if rows else None

    def put_document(self, agreement_id: str, document: bytes) -> None:
        """Keep the exact text that was proposed first, once."""
        with storing(self._path), self._db:
            self._db.execute("INSERT OR IGNORE INTO document VALUES (?, ?)", (agreement_id, document))

    def texts(self, agreement_id: str) -> dict[str, bytes]:
        """Give the texts that later steps brought, by digest in hex."""
        with storing(self._path):
            rows = rows_of(self._db, "SELECT digest, document FROM text WHERE agreement = ?", (agreement_id,))
        return dict(cast("list[tuple[str, bytes]]", rows))

    def put_text(self, agreement_id: str, digest: str, document: bytes) -> None:
        """Keep a text that a later step brought, once."""
        with storing(self._path), self._db:
            self._db.execute("INSERT OR IGNORE INTO text VALUES (?, ?, ?)", (agreement_id, digest, document))

    def alarm(self, alarm: Alarm) -> bool:
        """Write an alarm; False where the same one stands there already."""
        with storing(self._path), self._db:
            self._db.execute(
                "INSERT OR IGNORE INTO alarm (kind, agreement, subject, detail, at) VALUES (?, ?, ?, ?, ?)",
                (alarm.kind.value, alarm.agreement_id, alarm.subject, alarm.detail, alarm.at),
            )
            changes = self._db.changes()
        return changes > 0

    def alarms(self) -> tuple[Alarm, ...]:
        """Give every alarm, the oldest first."""
        with storing(self._path):
            rows = rows_of(self._db, "SELECT kind, agreement, subject, detail, at FROM alarm ORDER BY id")
        return tuple(Alarm(AlarmKind(kind), *rest) for kind, *rest in rows)

    def put_evidence(self, at: int, name: str, what: str, own: bytes, shown: bytes) -> None:
        """Keep what proves a fork: our note, and what was shown."""
        with storing(self._path), self._db:
            self._db.execute(
                "INSERT INTO evidence (at, name, what, own, shown) VALUES (?, ?, ?, ?, ?)", (at, name, what, own, shown)
            )

    def evidence(self) -> tuple[tuple[int, str, str, bytes, bytes], ...]:
        """Give what was kept: time, log, what it is, our note, what was shown."""
        with storing(self._path):
            rows = rows_of(self._db, "SELECT at, name, what, own, shown FROM evidence ORDER BY id")
        return tuple((at, name, what, own, shown) for at, name, what, own, shown in rows)
