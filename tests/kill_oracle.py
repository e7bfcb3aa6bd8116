"""What must be true after a broker was killed, whatever it was doing: nothing a receipt was given for is lost.

The oracle reads a copy of the dead broker's store with plain SQLite and computes trees by itself; of the broker's code it uses nothing.
"""

from __future__ import annotations

import base64
import hashlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import apsw

STORE = "store.sqlite"


@dataclass(frozen=True)
class Stored:
    """What a store holds of one agreement: reports as id -> (leaf, log index), leaf hashes of the log, ids of segments."""

    reports: dict[UUID, tuple[str, int]]
    leaves: list[bytes]
    segments: dict[bytes, int]

    def root(self, size: int) -> bytes:
        """The root of the log's first entries."""
        assert size <= len(self.leaves), f"the log has {len(self.leaves)} entries, somebody saw {size}"
        return tree_root(self.leaves[:size])


def read_store(data: Path, agreement_id: str) -> Stored:
    """Read a broker's store while no broker runs; what it has in its write-ahead log counts, as it will at the next start."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / STORE
        for name in (STORE, f"{STORE}-wal"):
            if (data / name).exists():
                shutil.copy(data / name, copy.with_name(name))
        database = apsw.Connection(str(copy))
        try:
            ((shard,),) = database.execute("SELECT number FROM shard WHERE name = ?", (agreement_id,))
            reports = database.execute("SELECT report_id, leaf, log_index FROM report WHERE shard = ?", (shard,))
            entries = database.execute("SELECT entry FROM entry WHERE shard = ? ORDER BY log_index", (shard,))
            segments = database.execute("SELECT segment_id, log_index FROM segment WHERE shard = ?", (shard,))
            return Stored(
                {UUID(bytes=name): (leaf.hex(), index) for name, leaf, index in reports},
                [hashlib.sha256(b"\0" + entry).digest() for (entry,) in entries],
                dict(segments),
            )
        finally:
            database.close()


def tree_root(leaves: Sequence[bytes]) -> bytes:
    """The RFC 6962 root over leaf hashes, written once more: an oracle shares no code with what it judges."""
    stack: list[tuple[int, bytes]] = []
    for leaf in leaves:
        height, node = 0, leaf
        while stack and stack[-1][0] == height:
            height, node = height + 1, hashlib.sha256(b"\1" + stack.pop()[1] + node).digest()
        stack.append((height, node))
    if not stack:
        return hashlib.sha256(b"").digest()
    node = stack.pop()[1]
    while stack:
        node = hashlib.sha256(b"\1" + stack.pop()[1] + node).digest()
    return node


@dataclass
class Witnessed:
    """Everything that anybody outside the broker was told: receipts, acknowledged reports, checkpoints."""

    receipts: dict[UUID, dict] = field(default_factory=dict)
    acknowledged: Counter[UUID] = field(default_factory=Counter)
    checkpoints: set[tuple[str, int, str]] = field(default_factory=set)

    def saw_receipts(self, records: Iterable[dict]) -> None:
        """Take in what `comity send --json` said."""
        for record in records:
            if "report_id" in record:
                self.receipts[UUID(record["report_id"])] = record

    def saw_checkpoints(self, records: Iterable[dict]) -> None:
        """Take in what `checkpoint_watcher.py` said."""
        self.checkpoints |= {(record["origin"], record["size"], record["root"]) for record in records}

    def saw_last_signed(self, data: Path, agreement_id: str) -> None:
        """Take in the tree that the broker itself signed last, from the file it keeps apart from its store."""
        # Beside them a kill may leave one that was being written: nothing was signed from it.
        for path in (data / "last-signed").glob("*.signed"):
            origin, size, root = path.read_text().splitlines()[:3]
            if f"/agreement/{agreement_id}/" in origin:
                self.checkpoints.add((origin, int(size), _from_base64(root).hex()))

    def saw_mirror(self, mirror: Path, agreement_id: str) -> None:
        """Take in what a node has verified and pinned, and what a stream has shown it; a node that raised an alarm fails."""
        database = apsw.Connection(str(mirror), flags=apsw.SQLITE_OPEN_READONLY)
        database.set_busy_timeout(30_000)
        try:
            alarms = database.execute("SELECT kind, subject, detail FROM alarm").get
            assert not alarms, f"{mirror}: {alarms}"
            for notes in database.execute("SELECT note, shown FROM log WHERE name = ?", (agreement_id,)):
                for origin, size, root in (note.decode().splitlines()[:3] for note in notes if note):
                    self.checkpoints.add((origin, int(size), _from_base64(root).hex()))
        finally:
            database.close()

    def check(self, stored: Stored) -> None:
        """No receipt without its report and its log entry; every checkpoint a part of the log that is there now."""
        for report_id, receipt in self.receipts.items():
            assert stored.reports.get(report_id) == (receipt["leaf"], receipt["log_index"]), f"lost: {receipt}"
            assert receipt["log_index"] < len(stored.leaves), f"no entry: {receipt}"
        roots: dict[int, str] = {}
        for origin, size, root in self.checkpoints:
            if size not in roots:
                roots[size] = stored.root(size).hex()
            assert roots[size] == root, f"{origin}: {size} entries have another root than somebody was shown"


def _from_base64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


@dataclass(frozen=True)
class InFlight:
    """What a sender has sealed, stored and not had an answer for, in the order in which it goes out."""

    segments: tuple[tuple[bytes, int], ...]

    @property
    def reports(self) -> int:
        return sum(slots for _, slots in self.segments)


def unanswered(outbox: Path, window: int) -> InFlight | None:
    """Read the first segments of an outbox that wait for an answer, as many as a broker's window lets out at once.

    None where its owner was stopped in the middle of something for which it holds the file.
    """
    database = apsw.Connection(str(outbox), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        rows = database.execute(
            "SELECT segment_id, slots FROM segment WHERE state = 0 ORDER BY number LIMIT ?", (window,)
        )
        return InFlight(tuple(rows))
    except apsw.BusyError:
        return None
    finally:
        database.close()
