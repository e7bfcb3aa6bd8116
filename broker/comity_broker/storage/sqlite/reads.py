"""What a unit's build may know: stored rows, and over them what earlier units of the same commit made.

One statement a kind reads for all units of a commit, because every step of SQLite hands Python's lock to another thread.
The keys stand in a VALUES clause that leads the join: an IN list of that length was seen to scan the whole shard.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from typing import Any, Final, TypeVar

import apsw

from comity_broker.storage.protocol import (
    ConsumerRow,
    ExceptionRow,
    FloorRow,
    HoldingRow,
    Known,
    LaneKey,
    LaneRow,
    QuotaKey,
    QuotaRow,
    Reads,
    ReportRow,
    Rows,
    SegmentRow,
    UploadRow,
)
from comity_broker.storage.sqlite.schema import (
    CONSUMER,
    EXCEPTION,
    FLOOR,
    HOLDING,
    LANE,
    PACKET,
    QUOTA,
    REPORT,
    SEGMENT,
    UPLOAD,
    Table,
    lane_of,
)

K = TypeVar("K")
V = TypeVar("V")

_VARIABLES: Final = 32_000  # SQLite takes 32,766 a statement
_STATEMENTS_KEPT: Final = 256


@dataclass(slots=True)
class Seen:
    """What is known of one shard within one commit, by key."""

    reports: dict[bytes, ReportRow] = field(default_factory=dict)
    segments: dict[bytes, SegmentRow] = field(default_factory=dict)
    lanes: dict[LaneKey, LaneRow] = field(default_factory=dict)
    floors: dict[tuple[str, str, int], FloorRow] = field(default_factory=dict)
    exceptions: dict[tuple[str, str, int, int], ExceptionRow] = field(default_factory=dict)
    packets: set[bytes] = field(default_factory=set)
    holdings: dict[tuple[int, int], HoldingRow] = field(default_factory=dict)
    consumers: dict[tuple[str, str], ConsumerRow] = field(default_factory=dict)
    lane_counts: dict[str, int] = field(default_factory=dict)
    quotas: dict[QuotaKey, QuotaRow] = field(default_factory=dict)
    uploads: dict[tuple[str, bytes], UploadRow] = field(default_factory=dict)

    def known(self, reads: Reads) -> Known:
        """Give what one unit asked for."""
        return Known(
            reports=_chosen(self.reports, reads.report_ids),
            segments=_chosen(self.segments, reads.segment_ids),
            lanes=_chosen(self.lanes, reads.lanes),
            floors=_chosen(self.floors, reads.floors),
            exceptions=_chosen(self.exceptions, reads.exceptions),
            packets=frozenset(self.packets.intersection(reads.packets)),
            holdings=_chosen(self.holdings, reads.holdings),
            consumers=_chosen(self.consumers, reads.consumers),
            lane_counts={node: self.lane_counts.get(node, 0) for node in reads.lanes_of},
            quotas=_chosen(self.quotas, reads.quotas),
            uploads=_chosen(self.uploads, reads.uploads),
        )

    def add(self, rows: Rows[Any]) -> None:
        """Take in what a unit made, for those after it."""
        self.reports.update((row.report_id, row) for row in rows.reports)
        self.segments.update((row.segment_id, row) for row in rows.segments)
        for row in rows.lanes:
            # Who writes a lane has read it, so one that is not here yet is new.
            if row.key not in self.lanes:
                self.lane_counts[row.key.node] = self.lane_counts.get(row.key.node, 0) + 1
            self.lanes[row.key] = row
        self.floors.update((row[:3], row) for row in rows.floors)
        self.packets.update(row.packet_id for row in rows.packets)
        self.holdings.update((row[:2], row) for row in rows.holdings)
        self.consumers.update((row[:2], row) for row in rows.consumers)
        self.quotas.update((row[:5], row) for row in rows.quotas)
        for upload in rows.uploads:
            if upload.state:
                self.uploads[upload[:2]] = upload
            else:
                self.uploads.pop(upload[:2], None)
        for exception in rows.exceptions:
            if exception.state:
                self.exceptions[exception[:4]] = exception
            else:
                self.exceptions.pop(exception[:4], None)


def gather(connection: apsw.Connection, wanted: Sequence[tuple[str, int | None, Reads]]) -> dict[str, Seen]:
    """Read what many units ask for: (shard, its number or None where it is not there yet, reads). Raises apsw errors."""
    seen = {shard: Seen() for shard, _, _ in wanted}
    shard_of = {number: shard for shard, number, _ in wanted if number is not None}
    asked = [(number, reads) for _, number, reads in wanted if number is not None]
    for kind in _KINDS:
        if not any(kind.keys(reads) for _, reads in asked):
            continue
        keys = dict.fromkeys((number, key) for number, reads in asked for key in kind.keys(reads))
        for row in _matching(connection, kind, list(keys)):
            kind.put(seen[shard_of[row[0]]], row[1:])
    for number, node in dict.fromkeys((number, node) for number, reads in asked for node in reads.lanes_of):
        count = "SELECT count(*) FROM lane WHERE shard = ? AND node = ?"
        seen[shard_of[number]].lane_counts[node] = connection.execute(count, (number, node)).get
    return seen


@dataclass(frozen=True, slots=True, eq=False)
class _Kind:
    """One sort of row by key: what is asked, the key's columns, what is selected, and where a found row goes."""

    table: Table
    key: tuple[str, ...]
    selected: str
    keys: Callable[[Reads], Sequence[Any]]
    put: Callable[[Seen, Sequence[Any]], None]

    @lru_cache(_STATEMENTS_KEPT)  # noqa: B019 - kinds are there for good
    def statement(self, count: int) -> str:
        name = self.table.name
        one = f"({'?,' * len(self.key)}?)"
        on = " AND ".join(f"{name}.{column} = wanted.{column}" for column in ("shard", *self.key))
        return (
            f"WITH wanted (shard, {', '.join(self.key)}) AS (VALUES {','.join([one] * count)})"  # noqa: S608 - names come from `schema`
            f" SELECT {name}.shard, {self.selected} FROM wanted CROSS JOIN {name} ON {on}"
        )


def _matching(connection: apsw.Connection, kind: _Kind, keys: Sequence[tuple[int, Any]]) -> Iterable[Sequence[Any]]:
    at_once = _VARIABLES // (1 + len(kind.key))
    for first in range(0, len(keys), at_once):
        some = keys[first : first + at_once]
        pairs = some if len(kind.key) == 1 else [(number, *key) for number, key in some]
        yield from connection.execute(kind.statement(len(some)), tuple(chain.from_iterable(pairs)))


def _chosen(found: Mapping[K, V], keys: Sequence[K]) -> dict[K, V]:
    return {key: found[key] for key in keys if key in found}


def _put_report(seen: Seen, row: Sequence[Any]) -> None:
    seen.reports[row[0]] = ReportRow(*row)


def _put_segment(seen: Seen, row: Sequence[Any]) -> None:
    seen.segments[row[1]] = SegmentRow(*row)


def _put_lane(seen: Seen, row: Sequence[Any]) -> None:
    lane = lane_of(row)
    seen.lanes[lane.key] = lane


def _put_floor(seen: Seen, row: Sequence[Any]) -> None:
    floor = FloorRow(*row)
    seen.floors[floor[:3]] = floor


def _put_exception(seen: Seen, row: Sequence[Any]) -> None:
    exception = ExceptionRow(*row)
    seen.exceptions[exception[:4]] = exception


def _put_packet(seen: Seen, row: Sequence[Any]) -> None:
    seen.packets.add(row[0])


def _put_holding(seen: Seen, row: Sequence[Any]) -> None:
    holding = HoldingRow(*row)
    seen.holdings[holding[:2]] = holding


def _put_consumer(seen: Seen, row: Sequence[Any]) -> None:
    consumer = ConsumerRow(*row)
    seen.consumers[consumer[:2]] = consumer


def _put_quota(seen: Seen, row: Sequence[Any]) -> None:
    quota = QuotaRow(*row)
    seen.quotas[quota[:5]] = quota


def _put_upload(seen: Seen, row: Sequence[Any]) -> None:
    upload = UploadRow(*row)
    seen.uploads[upload[:2]] = upload


_KINDS: Final = (
    _Kind(REPORT, ("report_id",), REPORT.selected, lambda reads: reads.report_ids, _put_report),
    _Kind(SEGMENT, ("segment_id",), SEGMENT.selected, lambda reads: reads.segment_ids, _put_segment),
    _Kind(LANE, ("node", "origin_epoch", "transport_class"), LANE.selected, lambda reads: reads.lanes, _put_lane),
    _Kind(FLOOR, ("node", "consumer", "lane"), FLOOR.selected, lambda reads: reads.floors, _put_floor),
    _Kind(
        EXCEPTION,
        ("node", "consumer", "item", "slot"),
        EXCEPTION.selected,
        lambda reads: reads.exceptions,
        _put_exception,
    ),
    _Kind(PACKET, ("packet_id",), "packet.packet_id", lambda reads: reads.packets, _put_packet),
    _Kind(HOLDING, ("item", "slot"), HOLDING.selected, lambda reads: reads.holdings, _put_holding),
    _Kind(CONSUMER, ("node", "consumer"), CONSUMER.selected, lambda reads: reads.consumers, _put_consumer),
    _Kind(QUOTA, QUOTA.key, QUOTA.selected, lambda reads: reads.quotas, _put_quota),
    _Kind(UPLOAD, UPLOAD.key, UPLOAD.selected, lambda reads: reads.uploads, _put_upload),
)
