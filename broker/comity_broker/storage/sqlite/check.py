"""The whole store read and recomputed: what `Reader.check` finds (design 04, "check"; design 05, "Format").

In order: SQLite's own pages and indexes; then for each shard, up to the head as it was at the start: entries without a hole,
each with its leaf hash; the full tiles, the frontier and the root that follow from them; items, and reports' agreement
sequences without a hole; no floor beyond what was handed over, none of that beyond the last item; no body, statement, report
or inbox row without its entry or segment. Everything that a head covers never changes, so pages are read one by one and only
SQLite's own check holds a snapshot.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import apsw

from comity.errors import ComityError
from comity.verify.trees import Frontier, leaf_hash
from comity_broker.storage.sqlite.connection import disk_errors, open_reader
from comity_broker.storage.sqlite.schema import HEADS, Numbered, hashes_of, numbered_of

PAGE_ROWS: Final = 2_048
FINDINGS_LIMIT: Final = 100
_LEFT: Final = "SELECT incarnation, log_first, frontier, root FROM continued WHERE shard = ? ORDER BY incarnation"


@dataclass(frozen=True, slots=True)
class _Tree:
    """The log of one incarnation: its entries by index, and the edge of its tree."""

    shard: int
    incarnation: int
    entries: range
    frontier: tuple[bytes, ...]
    root: bytes


def check_store(path: Path, vfs: str | None = None) -> list[str]:
    """Check a store that may be in use; give what is wrong in words, at most `FINDINGS_LIMIT`, empty where all is well."""
    found: list[str] = []
    try:
        with disk_errors("the store cannot be read"):
            connection = open_reader(path, vfs)
            try:
                for finding in _findings(connection):
                    found.append(finding)
                    if len(found) == FINDINGS_LIMIT:
                        break
            finally:
                connection.close()
    except ComityError as error:
        found.append(error.message)
    return found


def _findings(connection: apsw.Connection) -> Iterator[str]:
    sound = [row[0] for row in connection.execute(f"PRAGMA integrity_check({FINDINGS_LIMIT})")]
    yield from (f"pages: {line}" for line in sound if line != "ok")
    for row in list(connection.execute(HEADS)):
        shard = numbered_of(row)
        name = shard.head.shard
        yield from (f"{name}: {finding}" for finding in _log_findings(connection, shard))
        yield from (f"{name}: {finding}" for finding in _item_findings(connection, shard))
        yield from (f"{name}: {finding}" for finding in _misplaced(connection, shard))


def _log_findings(connection: apsw.Connection, shard: Numbered) -> Iterator[str]:
    head, key = shard.head, (shard.number,)
    left = connection.execute(_LEFT, key)
    trees = [*((row[0], row[1], hashes_of(row[2]), row[3]) for row in left)]
    trees.append((shard.incarnation, head.log_first, head.frontier, head.root))
    ends = [*(tree[1] for tree in trees[1:]), head.leaf_next]
    for (incarnation, first, hashes, root), end in zip(trees, ends, strict=True):
        tree = _Tree(shard.number, incarnation, range(first, end), hashes, root)
        yield from _tree_findings(connection, tree)


def _tree_findings(connection: apsw.Connection, tree: _Tree) -> Iterator[str]:
    frontier, key = Frontier(), (tree.shard,)
    for first in range(tree.entries.start, tree.entries.stop, PAGE_ROWS):
        upto = min(first + PAGE_ROWS, tree.entries.stop)
        rows = _page(connection, "entry", "log_index, entry, leaf_hash", key, range(first, upto))
        if [row[0] for row in rows] != list(range(first, upto)):
            yield f"log entries {first} to {upto - 1} are not all there, so nothing further of this log was compared"
            return
        hashes = [leaf_hash(row[1]) for row in rows]
        for found, (log_index, _, stored) in zip(hashes, rows, strict=True):
            if found != stored:
                yield f"log entry {log_index} does not have its leaf hash"
        frontier, full = frontier.append(hashes)
        yield from _tile_findings(connection, (tree.shard, tree.incarnation), full)
    if tree.entries and (frontier.hashes, frontier.root) != (tree.frontier, tree.root):
        yield f"the head's frontier or root is not that of its {len(tree.entries)} entries"


def _tile_findings(
    connection: apsw.Connection, key: tuple[int, int], full: Sequence[tuple[int, int, bytes]]
) -> Iterator[str]:
    statement = "SELECT root FROM tile WHERE shard = ? AND incarnation = ? AND level = ? AND number = ?"
    for level, index, root in full:
        if connection.execute(statement, (*key, level, index)).get != root:
            yield f"tile {index} of level {level} is not there or has another root"


def _item_findings(connection: apsw.Connection, shard: Numbered) -> Iterator[str]:
    following, head, key = 1, shard.head, (shard.number,)
    for first in range(1, head.item_next, PAGE_ROWS):
        upto = min(first + PAGE_ROWS, head.item_next)
        items = _page(connection, "segment", "item", key, range(first, upto))
        if [row[0] for row in items] != list(range(first, upto)):
            yield f"items {first} to {upto - 1} are not all there"
        reports = sorted(
            row[1] for row in _page(connection, "report", "item, agreement_sequence", key, range(first, upto))
        )
        if reports != list(range(following, following + len(reports))):
            yield f"the agreement sequences of items {first} to {upto - 1} do not go on from {following} without a hole"
        following = reports[-1] + 1 if reports else following
    if following != head.agreement_sequence_next:
        yield f"reports end before agreement sequence {following}, the head says {head.agreement_sequence_next}"


def _page(
    connection: apsw.Connection, table: str, columns: str, key: Sequence[int], numbers: range
) -> list[tuple[Any, ...]]:
    """Give the rows whose first column, the number within the shard, is in a range, ascending."""
    number = columns.split(",", 1)[0]
    statement = f"SELECT {columns} FROM {table} WHERE shard = ? AND {number} >= ? AND {number} < ? ORDER BY {number}"  # noqa: S608 - all values are bound
    return list(connection.execute(statement, (*key, numbers.start, numbers.stop)))


def _misplaced(connection: apsw.Connection, shard: Numbered) -> Iterator[str]:
    for what, table, condition in _MISPLACED:
        statement = f"SELECT count(*) FROM shard AS s JOIN {table} AS t ON t.shard = s.number WHERE s.number = ? AND {condition}"  # noqa: S608 - all values are bound
        if count := connection.execute(statement, (shard.number,)).get:
            yield f"{count} {what}"


_NO_ENTRY: Final = "NOT EXISTS (SELECT 1 FROM entry AS e WHERE e.shard = t.shard AND e.log_index = t.log_index)"
_NO_SEGMENT: Final = "NOT EXISTS (SELECT 1 FROM segment AS e WHERE e.shard = t.shard AND e.item = t.item)"
_MISPLACED: Final = (
    ("log entries beyond the head", "entry", "t.log_index >= s.leaf_next"),
    (
        "tiles that the log is too short for",
        "tile",
        "t.incarnation = s.incarnation AND t.number >= (s.leaf_next - s.log_first) >> (8 * t.level)",
    ),
    ("items beyond the head", "segment", "t.item >= s.item_next"),
    ("items whose log entry is beyond the log", "segment", "t.log_index >= s.leaf_next"),
    ("lanes beyond the head", "lane", "t.lane >= s.lane_next"),
    ("floors beyond what was handed over", "floor", "t.floor > t.handed"),
    ("floors that hand over what is not there", "floor", "t.handed >= s.item_next"),
    ("reports without their segment", "report", _NO_SEGMENT),
    ("inbox rows without their segment", "inbox", _NO_SEGMENT),
    ("bodies without their entry", "body", _NO_ENTRY),
    ("statements without their entry", "statement", _NO_ENTRY),
    ("umbrellas without their entry", "umbrella", _NO_ENTRY),
)
