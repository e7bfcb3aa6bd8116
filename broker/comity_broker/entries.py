"""From events to the rows of a unit: what `auditlog.log` makes, added to what a unit writes. Pure: salts are drawn before.

A unit's build may run again and then gives the same bytes, so whoever makes a unit draws its salts first (`Salts`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from comity.envelope.limits import SALT
from comity.envelope.record_list import encode_record_list
from comity.suites import RandomBytes
from comity.verify.trees import Frontier
from comity_broker.auditlog.bodies import Event
from comity_broker.auditlog.log import Log, RecordTree
from comity_broker.storage.protocol import BodyRow, EntryRow, Head, R, Rows, TileRow


@dataclass(frozen=True, slots=True)
class Salts:
    """Random bytes for the entries of one unit, drawn once."""

    data: bytes

    @classmethod
    def draw(cls, log: Log, events: int, random_bytes: RandomBytes) -> Salts:
        """Draw the salts that so many events of a log take."""
        return cls(random_bytes(SALT * (1 + len(log.parties)) * events))

    def __call__(self, size: int) -> bytes:
        """Give the bytes drawn; raises ValueError where another number is asked for."""
        if size != len(self.data):
            raise ValueError(f"{len(self.data)} bytes of salt were drawn, {size} are needed")
        return self.data


def open_head(shard: str, incarnation: bytes, broker_time: int) -> Head:
    """Give the head of a shard that has nothing yet."""
    return Head(shard, incarnation, broker_time=broker_time, root=Frontier().root)


def add_events(
    rows: Rows[R], log: Log, events: Sequence[Event], salts: Salts, records: Mapping[int, RecordTree] | None = None
) -> None:
    """Append events to the log of the rows' head; `records` are slot records of the shared body, by the event's number."""
    head = rows.head
    first = head.leaf_next
    appended = log.append(Frontier(head.tree_size, head.frontier), events, salts, head.log_first)
    for entry in appended.entries:
        rows.entries.append(EntryRow(entry.log_index, entry.kind.value, entry.data, entry.leaf_hash))
        tree = (records or {}).get(entry.log_index - first)
        for name, part in entry.parts.items():
            pairs = () if tree is None or name != "shared" else zip(tree.salts, tree.records, strict=True)
            encoded = encode_record_list(pairs)
            rows.bodies.append(BodyRow(entry.log_index, name, part.salt, part.body, encoded))
    rows.tiles.extend(TileRow(*tile) for tile in appended.tile_hashes)
    rows.head = replace(
        head,
        leaf_next=head.log_first + appended.frontier.size,
        frontier=appended.frontier.hashes,
        root=appended.frontier.root,
    )
