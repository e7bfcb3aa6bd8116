"""The tables of design 04, "Data", in SQLite: every key begins with the shard, strict types, 16 KiB pages.

A shard stands in the tables as a small number, and so does an incarnation: `shard` and `incarnation` say which. Log indices count
over all incarnations of a shard; tiles are of one tree, so they are keyed by the incarnation too.
The other columns are the fields of the protocol's rows in their order, so neither can change without the other.

Rows of a kilobyte and more are in ordinary tables, small ones WITHOUT ROWID, in the order in which they are read. A report is
keyed by its place, so that a commit writes at the table's end; its id has a unique index of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple, get_type_hints

import apsw

from comity_broker.storage.protocol import (
    BatchRow,
    BodyRow,
    ConsumerRow,
    DocumentRow,
    EntryRow,
    ExceptionRow,
    FloorRow,
    Head,
    HoldingRow,
    HoldRow,
    InboxRow,
    LaneKey,
    LaneRow,
    PacketRow,
    QuotaRow,
    ReportRow,
    Rows,
    SegmentRow,
    StatementRow,
    TileRow,
    UmbrellaRow,
    UploadRow,
)

APPLICATION_ID: Final = 0x434D5459
SCHEMA_VERSION: Final = 3
HASH_BYTES: Final = 32

_TYPES: Final = {int: "INTEGER", bytes: "BLOB", str: "TEXT"}
_Columns = tuple[tuple[str, str], ...]


class Numbered(NamedTuple):
    """A shard's number in this store, the number of its incarnation, and its head."""

    number: int
    incarnation: int
    head: Head


# A text for each number of rows that segments have, in the tables that have a row a report.
_STATEMENTS_KEPT: Final = 256


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A table that units add rows to. `columns` are names and types after the shard (and the incarnation); `key` likewise.

    `small` keeps its rows in the key's own tree. `replaces`: a row with a known key gives the other columns anew; `repeats`: it
    is the same row and changes nothing; neither: it is a fault.
    """

    name: str
    columns: _Columns
    key: tuple[str, ...]
    rows_of: Callable[[Rows[Any]], Sequence[Sequence[object]]]
    by_incarnation: bool = False
    small: bool = True
    replaces: bool = False
    repeats: bool = False

    @property
    def owner(self) -> tuple[str, ...]:
        """Give the columns before those of the row."""
        return ("shard", "incarnation") if self.by_incarnation else ("shard",)

    @property
    def width(self) -> int:
        """Give the number of all columns."""
        return len(self.owner) + len(self.columns)

    @property
    def selected(self) -> str:
        """Give the columns of the protocol's row, for a SELECT."""
        return ", ".join(f"{self.name}.{column}" for column, _ in self.columns)

    @property
    def definition(self) -> str:
        """Give the statement that makes the table."""
        columns = [f"{column} INTEGER NOT NULL" for column in self.owner]
        columns += [f"{column} {kind} NOT NULL" for column, kind in self.columns]
        key = f"PRIMARY KEY ({', '.join((*self.owner, *self.key))})"
        return f"CREATE TABLE {self.name} ({', '.join(columns)}, {key}) STRICT{', WITHOUT ROWID' * self.small}"

    @lru_cache(_STATEMENTS_KEPT)  # noqa: B019 - tables are there for good
    def insert(self, count: int) -> str:
        """Give the statement that adds so many rows."""
        names = ", ".join((*self.owner, *(column for column, _ in self.columns)))
        one = f"({'?,' * (self.width - 1)}?)"
        statement = f"INSERT INTO {self.name} ({names}) VALUES {','.join([one] * count)}"  # noqa: S608 - names come from here
        key = ", ".join((*self.owner, *self.key))
        if self.repeats:
            return f"{statement} ON CONFLICT ({key}) DO NOTHING"
        if self.replaces:
            others = [column for column, _ in self.columns if column not in self.key]
            return f"{statement} ON CONFLICT ({key}) DO UPDATE SET {_anew(others)}"
        return statement


def _anew(columns: Iterable[str]) -> str:
    return ", ".join(f"{column} = excluded.{column}" for column in columns)


def _fields(row: type[tuple[Any, ...]]) -> _Columns:
    columns: list[tuple[str, str]] = []
    for name, kind in get_type_hints(row).items():
        columns += [(name, _TYPES[kind])] if kind in _TYPES else _fields(kind)
    return tuple(columns)


def _flat_lanes(rows: Rows[Any]) -> Sequence[Sequence[object]]:
    return [(*row.key, *row[1:]) for row in rows.lanes]


SEGMENT: Final = Table("segment", _fields(SegmentRow), ("item",), lambda rows: rows.segments, small=False)
REPORT: Final = Table("report", _fields(ReportRow), ("item", "slot"), lambda rows: rows.reports)
BATCH: Final = Table("batch", _fields(BatchRow), ("digest",), lambda rows: rows.batches, small=False, repeats=True)
PACKET: Final = Table("packet", _fields(PacketRow), ("packet_id",), lambda rows: rows.packets, small=False)
INBOX: Final = Table("inbox", _fields(InboxRow), ("node", "lane", "item"), lambda rows: rows.inboxes)
LANE: Final = Table(
    "lane",
    _fields(LaneRow),
    ("node", "origin_epoch", "transport_class"),
    _flat_lanes,
    replaces=True,
)
ENTRY: Final = Table("entry", _fields(EntryRow), ("log_index",), lambda rows: rows.entries)
BODY: Final = Table("body", _fields(BodyRow), ("log_index", "part"), lambda rows: rows.bodies, small=False)
TILE: Final = Table("tile", _fields(TileRow), ("level", "number"), lambda rows: rows.tiles, by_incarnation=True)
STATEMENT: Final = Table("statement", _fields(StatementRow), ("log_index",), lambda rows: rows.statements, small=False)
DOCUMENT: Final = Table(
    "document", _fields(DocumentRow), ("digest",), lambda rows: rows.documents, small=False, repeats=True
)
FLOOR: Final = Table("floor", _fields(FloorRow), ("node", "consumer", "lane"), lambda rows: rows.floors, replaces=True)
EXCEPTION: Final = Table(
    "exception",
    _fields(ExceptionRow),
    ("node", "consumer", "item", "slot"),
    lambda rows: rows.exceptions,
    replaces=True,
)
HOLD: Final = Table("hold", _fields(HoldRow), ("log_index",), lambda rows: rows.holds)
UMBRELLA: Final = Table("umbrella", _fields(UmbrellaRow), ("log_index",), lambda rows: rows.umbrellas)
HOLDING: Final = Table("holding", _fields(HoldingRow), ("item", "slot"), lambda rows: rows.holdings, replaces=True)
QUOTA: Final = Table(
    "quota",
    _fields(QuotaRow),
    ("clause", "from_party", "to_party", "kind", "starts_at"),
    lambda rows: rows.quotas,
    replaces=True,
)
CONSUMER: Final = Table(
    "consumer", _fields(ConsumerRow), ("node", "consumer"), lambda rows: rows.consumers, replaces=True
)
UPLOAD: Final = Table("upload", _fields(UploadRow), ("node", "digest"), lambda rows: rows.uploads, replaces=True)
TABLES: Final = (
    SEGMENT, REPORT, BATCH, PACKET, INBOX, LANE, ENTRY, BODY, TILE, STATEMENT, DOCUMENT, FLOOR, EXCEPTION, HOLD, UMBRELLA,
    HOLDING, QUOTA, CONSUMER, UPLOAD,
)  # fmt: skip

_HEAD_COLUMNS: Final = (
    "number", "name", "incarnation", "state_epoch", "broker_time", "item_next", "leaf_next", "agreement_sequence_next",
    "lane_next", "frontier", "root", "frozen_reason", "log_first",
)  # fmt: skip
HEADS: Final = (
    f"SELECT shard.number, incarnation, name, id, {', '.join(_HEAD_COLUMNS[3:])}"  # noqa: S608 - names come from here
    " FROM shard JOIN incarnation ON incarnation.number = shard.incarnation"
)
CONTINUED: Final = (
    "SELECT id, c.log_first, c.frontier, c.root FROM shard JOIN continued AS c ON c.shard = shard.number"
    " JOIN incarnation ON incarnation.number = c.incarnation WHERE shard.name = ? ORDER BY c.incarnation"
)
SCHEMA: Final = (
    "CREATE TABLE incarnation (number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE) STRICT",
    (
        "CREATE TABLE shard (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, incarnation INTEGER NOT NULL,"
        " state_epoch INTEGER NOT NULL, broker_time INTEGER NOT NULL, item_next INTEGER NOT NULL, leaf_next INTEGER NOT NULL,"
        " agreement_sequence_next INTEGER NOT NULL, lane_next INTEGER NOT NULL, frontier BLOB NOT NULL, root BLOB NOT NULL,"
        " frozen_reason TEXT NOT NULL, log_first INTEGER NOT NULL) STRICT"
    ),
    (
        "CREATE TABLE continued (shard INTEGER NOT NULL, incarnation INTEGER NOT NULL, log_first INTEGER NOT NULL,"
        " frontier BLOB NOT NULL, root BLOB NOT NULL, PRIMARY KEY (shard, incarnation)) STRICT, WITHOUT ROWID"
    ),
    *(table.definition for table in TABLES),
    "CREATE UNIQUE INDEX segment_by_id ON segment (shard, segment_id)",
    "CREATE INDEX segment_by_log_index ON segment (shard, log_index)",
    "CREATE UNIQUE INDEX report_by_id ON report (shard, report_id)",
    "CREATE UNIQUE INDEX lane_by_number ON lane (shard, lane)",
)


def numbered_of(row: Sequence[Any]) -> Numbered:
    """Give a shard from a row of `HEADS`."""
    number, incarnation, *values = row
    values[8] = hashes_of(values[8])
    return Numbered(number, incarnation, Head(*values))


def hashes_of(data: bytes) -> tuple[bytes, ...]:
    """Give the hashes of a frontier as it is stored."""
    return tuple(data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES))


@lru_cache(_STATEMENTS_KEPT)
def insert_heads(count: int) -> str:
    """Give the statement that writes so many heads, new or not."""
    one = f"({'?,' * (len(_HEAD_COLUMNS) - 1)}?)"
    return (
        f"INSERT INTO shard ({', '.join(_HEAD_COLUMNS)}) VALUES {','.join([one] * count)}"  # noqa: S608 - names come from here
        f" ON CONFLICT (number) DO UPDATE SET {_anew(_HEAD_COLUMNS[2:])}"
    )


def values_of(shard: Numbered) -> tuple[object, ...]:
    """Give the values that `insert_heads` takes for one shard."""
    number, incarnation, head = shard
    return (
        number, head.shard, incarnation, head.state_epoch, head.broker_time, head.item_next, head.leaf_next,
        head.agreement_sequence_next, head.lane_next, b"".join(head.frontier), head.root, head.frozen_reason,
        head.log_first,
    )  # fmt: skip


def lane_of(row: Sequence[Any]) -> LaneRow:
    """Give a lane from the columns of `LANE`."""
    return LaneRow(LaneKey(*row[:3]), *row[3:])


def make_tables(connection: apsw.Connection) -> None:
    """Make every table and index."""
    for statement in SCHEMA:
        connection.execute(statement)


def expected_schema() -> list[tuple[Any, ...]]:
    """Give what SQLite itself says of a store with exactly this schema."""
    connection = apsw.Connection(":memory:")
    make_tables(connection)
    return schema_of(connection)


def schema_of(connection: apsw.Connection) -> list[tuple[Any, ...]]:
    """Give every table, index, view and trigger of a store, in order."""
    return list(connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name"))
