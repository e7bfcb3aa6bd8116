"""A commit in the making: heads and rows in memory, and the statements that write them.

What a unit makes is held to the head it was built from, since a hole in a log or a number given twice would be found by a
partner first: items, leaves, lanes and agreement sequences go on without a hole, epoch and time do not go back, the frontier
has as many hashes as its size says, a body belongs to an entry of the same unit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final, NamedTuple

import apsw

from comity.errors import ComityError, ErrorCode
from comity_broker.storage.protocol import Head, Rows
from comity_broker.storage.sqlite.schema import (
    EXCEPTION,
    HASH_BYTES,
    TABLES,
    UPLOAD,
    Numbered,
    Table,
    insert_heads,
    values_of,
)

STATEMENT_CHARACTERS: Final = 16_000  # apsw keeps the compiled form of texts up to 16 KiB
STATEMENT_VARIABLES: Final = 32_000  # SQLite takes 32,766
INTERNAL_RETRY_SECONDS: Final = 60.0

_ExceptionKey = tuple[int, str, str, int, int]
_UploadKey = tuple[int, str, bytes]


class Incarnation(NamedTuple):
    """An incarnation's number in this store, and its 16 bytes."""

    number: int
    id: bytes


_REMOVE_UPLOAD: Final = f"DELETE FROM {UPLOAD.name} WHERE shard = ? AND node = ? AND digest = ?"  # noqa: S608 - our own name


def internal(what: str) -> ComityError:
    """Give the refusal of a unit that the broker itself got wrong. It ends nothing: no entry says that anything ended."""
    return ComityError(
        f"the broker made something it cannot store: {what}",
        what_to_do="This is a fault of the broker: its operations log says more. Nothing of it was stored.",
        code=ErrorCode.INTERNAL,
        retry_after_seconds=INTERNAL_RETRY_SECONDS,
    )


@dataclass(slots=True)
class Draft:
    """Rows that wait to be written, over the heads that are committed. `size` is the weight of their large values in bytes."""

    incarnation: Incarnation
    committed: Mapping[str, Numbered]
    next_number: int
    changed: dict[str, Numbered] = field(default_factory=dict)
    size: int = 0
    _values: dict[str, list[object]] = field(default_factory=dict)
    _removed: dict[_ExceptionKey, None] = field(default_factory=dict)
    _uploads_gone: dict[_UploadKey, None] = field(default_factory=dict)

    def find(self, shard: str) -> Numbered | None:
        """Give a shard as the units so far leave it."""
        return self.changed.get(shard) or self.committed.get(shard)

    def first(self, shard: str) -> Numbered:
        """Give a shard that does not exist yet."""
        return Numbered(self.next_number, self.incarnation.number, Head(shard, self.incarnation.id))

    def take(self, before: Numbered, rows: Rows[Any]) -> None:
        """Take in what a unit made of a shard, all or nothing; raises ComityError (INTERNAL) where it does not follow on."""
        _check(before.head, rows)
        shard = before.number
        made = [(table, found) for table in TABLES if (found := table.rows_of(rows))]
        flat = [(table.name, list(chain.from_iterable(_complete(table, before, found)))) for table, found in made]
        size = sum(len(segment.data) for segment in rows.segments)
        size += sum(len(body.body) + len(body.records) for body in rows.bodies)
        size += sum(len(packet.data) for packet in rows.packets)
        gone = {(shard, *row[:4]): row.state == 0 for row in rows.exceptions}
        for name, values in flat:
            self._values.setdefault(name, []).extend(values)
        for key, removed in gone.items():
            self._removed.pop(key, None)
            if removed:
                self._removed[key] = None
        for upload in rows.uploads:
            place = (shard, upload.node, upload.digest)
            self._uploads_gone.pop(place, None)
            if not upload.state:
                self._uploads_gone[place] = None
        self.size += size
        self.next_number = max(self.next_number, shard + 1)
        self.changed[rows.head.shard] = before._replace(head=rows.head)

    def write(self, connection: apsw.Connection) -> None:
        """Write everything, one statement a table where its values fit into one; raises what SQLite says."""
        if not self.changed:
            return
        for table in TABLES:
            if values := self._values.get(table.name):
                _insert(connection, table, values)
        if self._removed:
            at_once = STATEMENT_VARIABLES // 5
            keys = list(self._removed)
            for first in range(0, len(keys), at_once):
                some = keys[first : first + at_once]
                connection.execute(_remove_exceptions(len(some)), tuple(chain.from_iterable(some)))
        for place in self._uploads_gone:
            connection.execute(_REMOVE_UPLOAD, place)
        heads = [values_of(shard) for shard in self.changed.values()]
        connection.execute(insert_heads(len(heads)), tuple(chain.from_iterable(heads)))


def _complete(table: Table, shard: Numbered, found: Sequence[Sequence[object]]) -> Sequence[Sequence[object]]:
    if table.by_incarnation:
        return [(shard.number, shard.incarnation, *row) for row in found]
    return [(shard.number, *row) for row in found]


def _insert(connection: apsw.Connection, table: Table, values: Sequence[object]) -> None:
    width = table.width
    at_once = min(STATEMENT_CHARACTERS // (2 * width + 2), STATEMENT_VARIABLES // width)
    for first in range(0, len(values), at_once * width):
        some = values[first : first + at_once * width]
        connection.execute(table.insert(len(some) // width), tuple(some))


def _remove_exceptions(count: int) -> str:
    key = "shard, node, consumer, item, slot"
    return f"DELETE FROM {EXCEPTION.name} WHERE ({key}) IN (VALUES {','.join(['(?,?,?,?,?)'] * count)})"  # noqa: S608 - nothing of a peer's is in it


def _check(before: Head, rows: Rows[Any]) -> None:
    after = rows.head
    lanes = sorted(row.lane for row in rows.lanes if row.lane >= before.lane_next)
    for what, numbers, first, following in (
        ("items", [row.item for row in rows.segments], before.item_next, after.item_next),
        ("log indices", [row.log_index for row in rows.entries], before.leaf_next, after.leaf_next),
        (
            "agreement sequences",
            [row.agreement_sequence for row in rows.reports],
            before.agreement_sequence_next,
            after.agreement_sequence_next,
        ),
        ("lanes", lanes, before.lane_next, after.lane_next),
    ):
        if following < first or numbers != list(range(first, following)):
            raise internal(f"the {what} of {before.shard} do not go from {first} up to {following} without a hole")
    if (after.shard, after.incarnation, after.log_first) != (before.shard, before.incarnation, before.log_first):
        raise internal(f"the head of {before.shard} became another's")
    if after.state_epoch < before.state_epoch or after.broker_time < before.broker_time:
        raise internal(f"the epoch or the time of {before.shard} goes back")
    if [len(one) for one in after.frontier] != [HASH_BYTES] * after.tree_size.bit_count():
        raise internal(f"the frontier of {before.shard} does not fit a log of {after.tree_size}")
    if any(not before.leaf_next <= row.log_index < after.leaf_next for row in rows.bodies):
        raise internal(f"a body of {before.shard} belongs to no entry of this unit")
