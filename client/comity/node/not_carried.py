"""What recipients say did not come though the log says it was handed over: the originator's own look at the carriage (design 04, promise 3).

Rules in order:
1. An acknowledgement's outcome INCOMPLETE (not all that the manifest gives came) or PRUNED accuses whoever carried the report, where the log
   says DELIVERED of that slot to that consumer: both cannot be so. It is an alarm, at the originator's party alone.
2. What ended since (expired, parked, withdrawn, recalled, superseded) comes pruned by right, and "acknowledged" is a consumer's last word.
3. The log is followed once, in pages, by whichever process of the node comes first: how far, and what is handed over and not acknowledged,
   is in a file of its own. After a restore the log's next incarnation is followed from its beginning.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from comity.envelope.evidence import AckOutcome, decode_ack
from comity.errors import MalformedError
from comity.node.alarms import AlarmKind
from comity.node.database import open_database, rows_of, storing
from comity.node.entries import MirroredEntry
from comity.node.logged_entries import slots_in
from comity.node.mirror import Mirror

FILE: Final = "handed.sqlite"
# Of the order of 10 ms of work, for others wait meanwhile; the rest of a long log comes with later refreshes.
PAGE: Final = 16
PAGES_AT_ONCE: Final = 16
_ENDED: Final = frozenset({"EXPIRED", "PARKED", "PARKED_DROPPED", "HELD_WITHDRAWN", "RECALLED", "SUPERSEDED"})
_FOLLOWED: Final = frozenset({"DELIVERED", "ACKNOWLEDGED", *_ENDED})
_ACCUSES: Final = frozenset({AckOutcome.INCOMPLETE, AckOutcome.PRUNED})
_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE followed (origin TEXT PRIMARY KEY, next INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE handed (origin TEXT, node TEXT, segment BLOB, consumer TEXT, slots BLOB NOT NULL,
  PRIMARY KEY (origin, node, segment, consumer)) WITHOUT ROWID;
"""


class _Key(NamedTuple):
    """A segment at one consumer of one node (PARTY/NODE)."""

    node: str
    segment: bytes
    consumer: str


class NotCarried:
    """One node's look. One thread at a time uses it; several processes may have the file open."""

    def __init__(self, path: Path, mirror: Mirror, party: str) -> None:
        self._path = path
        self._mirror = mirror
        self._party = party
        self._db = open_database(path, schema=_SCHEMA, version=_VERSION)
        with storing(path):
            # What a power cut loses of it is followed again.
            self._db.execute("PRAGMA synchronous=NORMAL")

    def close(self) -> None:
        """Close the file."""
        with storing(self._path):
            self._db.close()

    async def look(self, agreement_id: str) -> None:
        """Follow an agreement's log as far as the mirror has it, so many pages at most; raises StorageError."""
        pin = self._mirror.pin(agreement_id)
        if pin is None:
            return
        for _ in range(PAGES_AT_ONCE):
            first = self._next(pin.origin, pin.first)
            if first >= pin.size:
                return
            end = min(first + PAGE, pin.size)
            with storing(self._path), self._db:
                for entry in self._mirror.entries_of(agreement_id, _FOLLOWED, first, end):
                    self._take(agreement_id, pin.origin, entry)
                rows_of(self._db, "REPLACE INTO followed VALUES (?, ?)", (pin.origin, end))
            await asyncio.sleep(0)

    def _next(self, origin: str, first: int) -> int:
        with storing(self._path):
            rows = rows_of(self._db, "SELECT next FROM followed WHERE origin = ?", (origin,))
        return int(rows[0][0]) if rows else first

    # --- an entry ---------------------------------------------------------------------------------------------------

    def _take(self, agreement_id: str, origin: str, entry: MirroredEntry) -> None:
        own = entry.own(self._party)
        # What was sent to the own party is its receivers' to look at.
        if not own or own["recipient"]["party"] == self._party:
            return
        node = f"{own['recipient']['party']}/{own['recipient']['node']}"
        if entry.kind == "DELIVERED":
            for segment, slots in _named(own):
                self._hand(origin, _Key(node, segment, own["consumer"]), slots)
        elif entry.kind == "ACKNOWLEDGED":
            self._answered(agreement_id, origin, entry.log_index, node, own)
        else:
            for segment, slots in _named(own):
                self._end(origin, node, segment, slots, own.get("consumer"))

    def _answered(self, agreement_id: str, origin: str, log_index: int, node: str, own: Mapping[str, Any]) -> None:
        try:
            ack = decode_ack(bytes.fromhex(own["ack"]))
        except (MalformedError, ValueError):
            return  # Whoever verifies the log finds that; it accuses nobody.
        for segment, outcomes in ack.segments:
            key = _Key(node, segment, own["consumer"])
            before = self._handed(origin, key)
            if not before:
                continue
            said = dict(enumerate(outcomes))
            odd = [slot for slot, outcome in said.items() if outcome in _ACCUSES and before >> slot & 1]
            if odd:
                words = ", ".join(f"slot {slot} {AckOutcome(said[slot]).name}" for slot in odd)
                self._mirror.raise_alarm(
                    AlarmKind.NOT_CARRIED,
                    agreement_id,
                    f"{node} ({own['consumer']}), segment {segment.hex()}",
                    f"entry {log_index} says of what the log says was delivered: {words}",
                )
            done = sum(1 << slot for slot, outcome in said.items() if outcome == AckOutcome.ACKNOWLEDGED)
            self._put(origin, key, before & ~done)

    # --- the file ---------------------------------------------------------------------------------------------------

    def _handed(self, origin: str, key: _Key) -> int:
        rows = rows_of(
            self._db,
            "SELECT slots FROM handed WHERE origin = ? AND node = ? AND segment = ? AND consumer = ?",
            (origin, *key),
        )
        return int.from_bytes(rows[0][0], "little") if rows else 0

    def _hand(self, origin: str, key: _Key, slots: int) -> None:
        self._put(origin, key, self._handed(origin, key) | slots)

    def _end(self, origin: str, node: str, segment: bytes, slots: int, consumer: str | None) -> None:
        """Take that slots ended for a consumer, or for all of a node's."""
        where = "SELECT consumer FROM handed WHERE origin = ? AND node = ? AND segment = ?"
        for (one,) in rows_of(self._db, where, (origin, node, segment)):
            if consumer in {None, one}:
                key = _Key(node, segment, one)
                self._put(origin, key, self._handed(origin, key) & ~slots)

    def _put(self, origin: str, key: _Key, slots: int) -> None:
        if slots:
            data = slots.to_bytes((slots.bit_length() + 7) // 8, "little")
            rows_of(self._db, "REPLACE INTO handed VALUES (?, ?, ?, ?, ?)", (origin, *key, data))
        else:
            rows_of(
                self._db,
                "DELETE FROM handed WHERE origin = ? AND node = ? AND segment = ? AND consumer = ?",
                (origin, *key),
            )


def _named(own: Mapping[str, Any]) -> Iterator[tuple[bytes, int]]:
    """Give each segment that a body names, with the mask of its slots."""
    for one in own["segments"]:
        yield bytes.fromhex(one["segment_id"]), sum(1 << slot for slot in slots_in(one["slots"]))
