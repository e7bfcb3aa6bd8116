"""The reading side: short reads over one connection that cannot write (design 04, "Inside the broker").

A coroutine here does not suspend: each answer is one statement or one read transaction, ended before it returns, so that
no snapshot keeps the write-ahead log growing. Tiles are those of the shard's present incarnation. The connection
belongs to the event loop's thread; `check` opens one of its own in another.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw

from comity_broker.storage.protocol import (
    BodyRow,
    ConsumerRow,
    ContinuedRow,
    DocumentRow,
    EntryRow,
    ExceptionRow,
    FloorRow,
    Head,
    HoldingRow,
    HoldRow,
    InboxRow,
    Known,
    LaneRow,
    QuotaRow,
    Reads,
    ReportRow,
    SegmentRow,
    StatementRow,
    UmbrellaRow,
    UploadRow,
    Usage,
)
from comity_broker.storage.sqlite.check import check_store
from comity_broker.storage.sqlite.connection import disk_errors
from comity_broker.storage.sqlite.reads import gather
from comity_broker.storage.sqlite.schema import (
    BATCH,
    BODY,
    CONSUMER,
    CONTINUED,
    DOCUMENT,
    ENTRY,
    EXCEPTION,
    FLOOR,
    HEADS,
    HOLD,
    HOLDING,
    INBOX,
    LANE,
    PACKET,
    QUOTA,
    REPORT,
    SEGMENT,
    STATEMENT,
    TILE,
    UMBRELLA,
    UPLOAD,
    Table,
    hashes_of,
    lane_of,
    numbered_of,
)

Row = TypeVar("Row")

_VARIABLES: Final = 32_000
_WITHOUT_BYTES: Final = SEGMENT.selected.replace(f"{SEGMENT.name}.data,", "x'',")


class SqliteReader:
    """`Reader` over a query_only connection."""

    def __init__(self, connection: apsw.Connection, path: Path, vfs: str | None = None) -> None:
        self._connection = connection
        self._path = path
        self._vfs = vfs

    async def shards(self) -> list[Head]:
        """Give the head of every shard, by name."""
        return [numbered_of(row).head for row in self._all(f"{HEADS} ORDER BY name")]

    async def head(self, shard: str) -> Head | None:
        """Give a shard's head."""
        return next((numbered_of(row).head for row in self._all(f"{HEADS} WHERE name = ?", shard)), None)

    async def known(self, shard: str, reads: Reads) -> Known:
        """Give what a unit would read."""
        with disk_errors("the store cannot be read"), self._connection:
            found = self._connection.execute("SELECT number FROM shard WHERE name = ?", (shard,)).get
            seen = gather(self._connection, [(shard, found, reads)])[shard]
        return seen.known(reads)

    async def inbox(self, shard: str, node: str, lane: int, after_item: int, limit: int) -> list[InboxRow]:
        """Give inbox rows of a node and lane with item > after_item, ascending."""
        where = "node = ? AND lane = ? AND item > ? ORDER BY item LIMIT ?"
        return self._rows(INBOX, InboxRow._make, shard, where, node, lane, after_item, limit)

    async def segments(self, shard: str, items: Sequence[int]) -> dict[int, SegmentRow]:
        """Give segments by item."""
        return {row.item: row for row in self._among(SEGMENT, SegmentRow._make, shard, "item", items)}

    async def segments_named(self, shard: str, segment_ids: Sequence[bytes]) -> dict[bytes, SegmentRow]:
        """Give segments by id, without their bytes."""
        found = self._among(SEGMENT, SegmentRow._make, shard, "segment_id", segment_ids, selected=_WITHOUT_BYTES)
        return {row.segment_id: row for row in found}

    async def segments_from(self, shard: str, first_log_index: int, limit: int) -> list[SegmentRow]:
        """Give segments admitted from a log index on, ascending by it."""
        where = "log_index >= ? ORDER BY log_index, item LIMIT ?"
        return self._rows(SEGMENT, SegmentRow._make, shard, where, first_log_index, limit)

    async def reports_of(self, shard: str, items: Sequence[int]) -> dict[int, list[ReportRow]]:
        """Give the admitted reports of segments by item, ascending by slot."""
        found: dict[int, list[ReportRow]] = {}
        for row in self._among(REPORT, ReportRow._make, shard, "item", items):
            found.setdefault(row.item, []).append(row)
        return found

    async def reports(self, shard: str, after: tuple[int, int], limit: int) -> list[ReportRow]:
        """Give admitted reports with (item, slot) > after, ascending."""
        where = "(item, slot) > (?, ?) ORDER BY item, slot LIMIT ?"
        return self._rows(REPORT, ReportRow._make, shard, where, *after, limit)

    async def batches(self, shard: str, digests: Sequence[bytes]) -> dict[bytes, bytes]:
        """Give batch records by digest."""
        return dict(self._among(BATCH, _pair, shard, "digest", digests))

    async def packets(self, shard: str, packet_ids: Sequence[bytes]) -> dict[bytes, bytes]:
        """Give key packets by id."""
        return dict(self._among(PACKET, _pair, shard, "packet_id", packet_ids))

    async def lanes(self, shard: str) -> list[LaneRow]:
        """Give every lane of a shard, ascending by number."""
        return self._rows(LANE, lane_of, shard, "TRUE ORDER BY lane")

    async def floors(self, shard: str, node: str | None = None, consumer: str | None = None) -> list[FloorRow]:
        """Give floors of a shard, of one node or consumer where named."""
        where, values = _named(node, consumer)
        return self._rows(FLOOR, FloorRow._make, shard, f"{where} ORDER BY node, consumer, lane", *values)

    async def exceptions(self, shard: str, node: str | None = None, consumer: str | None = None) -> list[ExceptionRow]:
        """Give exceptions of a shard, ascending by (node, consumer, item, slot)."""
        where, values = _named(node, consumer)
        order = f"{where} ORDER BY node, consumer, item, slot"
        return self._rows(EXCEPTION, ExceptionRow._make, shard, order, *values)

    async def holds(self, shard: str) -> list[HoldRow]:
        """Give the suspensions of an agreement, ascending."""
        return self._rows(HOLD, HoldRow._make, shard, "TRUE ORDER BY log_index")

    async def holdings(self, shard: str) -> list[HoldingRow]:
        """Give the words on held reports, ascending by (item, slot)."""
        return self._rows(HOLDING, HoldingRow._make, shard, "TRUE ORDER BY item, slot")

    async def quotas(self, shard: str) -> list[QuotaRow]:
        """Give what the windows of an agreement's quotas hold, ascending by key."""
        return self._rows(QUOTA, QuotaRow._make, shard, f"TRUE ORDER BY {', '.join(QUOTA.key)}")

    async def uploads(self, shard: str) -> list[UploadRow]:
        """Give every upload of an agreement, ascending by (node, digest)."""
        return self._rows(UPLOAD, UploadRow._make, shard, "TRUE ORDER BY node, digest")

    async def consumers(self) -> list[ConsumerRow]:
        """Give every consumer, by node and name."""
        rows = self._all(f"SELECT {CONSUMER.selected} FROM consumer ORDER BY node, consumer")  # noqa: S608 - names come from `schema`
        return [ConsumerRow._make(row) for row in rows]

    async def entries(self, shard: str, first: int, limit: int) -> list[EntryRow]:
        """Give log entries from an index on, ascending."""
        return self._rows(ENTRY, EntryRow._make, shard, "log_index >= ? ORDER BY log_index LIMIT ?", first, limit)

    async def leaf_hashes(self, shard: str, first: int, count: int) -> list[bytes]:
        """Give SHA-256 leaf hashes from an index on."""
        where = "log_index >= ? ORDER BY log_index LIMIT ?"
        return [row[0] for row in self._all(_select(ENTRY, "leaf_hash", where), shard, first, count)]

    async def continued(self, shard: str) -> list[ContinuedRow]:
        """Give the logs of a shard that restores left behind, the oldest first."""
        rows = self._all(CONTINUED, shard)
        return [ContinuedRow(row[0], row[1], hashes_of(row[2]), row[3]) for row in rows]

    async def tiles(self, shard: str, level: int, first: int, count: int) -> list[bytes]:
        """Give subtree roots of a level (from 1) from an index on."""
        where = "level = ? AND tile.number >= ? ORDER BY tile.number LIMIT ?"
        return [row[0] for row in self._all(_select(TILE, "tile.root", where), shard, level, first, count)]

    async def bodies(self, shard: str, log_indices: Sequence[int], parts: Sequence[str]) -> list[BodyRow]:
        """Give the named parts of entries, ascending by (log_index, part)."""
        rows = self._among(BODY, BodyRow._make, shard, "log_index", sorted(set(log_indices)))
        return sorted((row for row in rows if row.part in parts), key=lambda row: row[:2])

    async def statements(self, shard: str, first: int = 0) -> list[StatementRow]:
        """Give a shard's statements from a log index on, ascending."""
        return self._rows(STATEMENT, StatementRow._make, shard, "log_index >= ? ORDER BY log_index", first)

    async def documents(self, shard: str) -> list[DocumentRow]:
        """Give an agreement's texts, in no order."""
        return self._rows(DOCUMENT, DocumentRow._make, shard, "TRUE")

    async def umbrellas(self, shard: str) -> list[UmbrellaRow]:
        """Give how far an arrangement's umbrella counted when, ascending."""
        return self._rows(UMBRELLA, UmbrellaRow._make, shard, "TRUE ORDER BY log_index")

    async def usage(self) -> Usage:
        """Say how much room there is."""
        usage = shutil.disk_usage(self._path.parent)
        return Usage(free_bytes=usage.free, total_bytes=usage.total)

    async def check(self) -> list[str]:
        """Check the whole store; give what is wrong, in words. Takes long, in a thread and over a connection of its own."""
        return await asyncio.to_thread(check_store, self._path, self._vfs)

    def close(self) -> None:
        """Close."""
        self._connection.close()

    def _all(self, statement: str, *values: object) -> list[Any]:
        with disk_errors("the store cannot be read"):
            return list(self._connection.execute(statement, values))

    def _rows(
        self, table: Table, row_of: Callable[[Sequence[Any]], Row], shard: str, where: str, *values: object
    ) -> list[Row]:
        return [row_of(row) for row in self._all(_select(table, table.selected, where), shard, *values)]

    def _among(
        self,
        table: Table,
        row_of: Callable[[Sequence[Any]], Row],
        shard: str,
        column: str,
        keys: Sequence[object],
        *,
        selected: str = "",
    ) -> Iterable[Row]:
        distinct = list(dict.fromkeys(keys))
        for first in range(0, len(distinct), _VARIABLES):
            some = distinct[first : first + _VARIABLES]
            statement = (
                f"WITH wanted (key) AS (VALUES {','.join(['(?)'] * len(some))})"  # noqa: S608 - names come from `schema`
                f" SELECT {selected or table.selected} FROM shard CROSS JOIN wanted CROSS JOIN {table.name}"
                f" ON {_belongs(table)} AND {table.name}.{column} = wanted.key WHERE shard.name = ?"
            )
            yield from (row_of(row) for row in self._all(statement, *some, shard))


def _belongs(table: Table) -> str:
    same = f"{table.name}.shard = shard.number"
    return f"{same} AND {table.name}.incarnation = shard.incarnation" if table.by_incarnation else same


def _select(table: Table, selected: str, where: str) -> str:
    return (
        f"SELECT {selected} FROM shard JOIN {table.name} ON {_belongs(table)}"  # noqa: S608 - names come from `schema`
        f" WHERE shard.name = ? AND {where}"
    )


def _named(node: str | None, consumer: str | None) -> tuple[str, list[str]]:
    asked = [(column, value) for column, value in (("node", node), ("consumer", consumer)) if value is not None]
    return " AND ".join(["TRUE", *(f"{column} = ?" for column, _ in asked)]), [value for _, value in asked]


def _pair(row: Sequence[Any]) -> tuple[bytes, bytes]:
    return row[0], row[1]
