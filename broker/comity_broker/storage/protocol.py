"""What a broker asks of whatever keeps its data, and the rows it keeps (design of exchange, "Data").

Rules in order:
1. Everything belongs to one *shard*: an agreement, or one of the broker's own logs and registers (`KEYS`, `OPERATIONS`,
   `SESSIONS`). A unit touches one shard; every primary key begins with it; there is no global sequence.
2. `commit` is the only write. A unit says what it reads, and one pure function that makes rows from what was read; the
   function may run again, and then gives the same bytes (salts and nonces are drawn before). What it raises as a
   ComityError refuses the unit alone; its neighbours commit.
3. An outcome is Committed, Refused or Unknown. After Unknown (an I/O error, a lost connection) nobody is told anything: the
   embedded broker exits and recovers by reading.
4. A unit that names an epoch is refused with STATE_CHANGED when the head's `state_epoch` is another: decide again. An agreement's
   exercise has a shard of its own, whose units also name the epoch of the agreement's (`beside`): the two lie together.
5. Items, leaves and agreement sequences are dense per shard, over all its incarnations; a reader never sees n + 1 without n.

Reads are coroutines, so that a backend behind a network fits; none holds a snapshot when it returns. Times are Unix
milliseconds, UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, Protocol, TypeVar

from comity.errors import ComityError
from comity_broker.storage.rows import (
    BatchRow,
    BodyRow,
    ConsumerRow,
    ContinuedRow,
    DocumentRow,
    EntryRow,
    ExceptionRow,
    ExceptionState,
    FloorRow,
    Head,
    HoldingRow,
    HoldingState,
    HoldRow,
    InboxRow,
    LaneKey,
    LaneRow,
    PacketRow,
    QuotaRow,
    ReportOutcome,
    ReportRow,
    SegmentRow,
    StatementRow,
    TileRow,
    UmbrellaRow,
    UploadRow,
    UploadState,
)

__all__ = [
    "KEYS",
    "NO_READS",
    "OPERATIONS",
    "SESSIONS",
    "BatchRow",
    "BodyRow",
    "Build",
    "Committed",
    "ConsumerRow",
    "ContinuedRow",
    "DocumentRow",
    "EntryRow",
    "ExceptionRow",
    "ExceptionState",
    "FloorRow",
    "GoOn",
    "Head",
    "HoldRow",
    "HoldingRow",
    "HoldingState",
    "InboxRow",
    "Known",
    "LaneKey",
    "LaneRow",
    "Outcome",
    "PacketRow",
    "QuotaKey",
    "QuotaRow",
    "Reader",
    "Reads",
    "Refused",
    "ReportOutcome",
    "ReportRow",
    "Rows",
    "SegmentRow",
    "StatementRow",
    "Storage",
    "TileRow",
    "UmbrellaRow",
    "Unit",
    "Unknown",
    "UploadRow",
    "UploadState",
    "Usage",
    "Writer",
    "take_all",
]

KEYS: Final = "keys"
OPERATIONS: Final = "operations"
SESSIONS: Final = "sessions"

# The first fields of a `QuotaRow`: clause, from whom, to whom, kind of window, its first millisecond.
QuotaKey = tuple[str, str, str, str, int]

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


@dataclass(slots=True)
class Rows(Generic[R]):
    """What a unit writes: the new head, rows to add, and its result.

    Floors, lanes, exceptions, holdings, quotas, consumers and uploads replace what has their key.
    """

    head: Head
    result: R
    segments: list[SegmentRow] = field(default_factory=list)
    reports: list[ReportRow] = field(default_factory=list)
    batches: list[BatchRow] = field(default_factory=list)
    packets: list[PacketRow] = field(default_factory=list)
    inboxes: list[InboxRow] = field(default_factory=list)
    lanes: list[LaneRow] = field(default_factory=list)
    entries: list[EntryRow] = field(default_factory=list)
    bodies: list[BodyRow] = field(default_factory=list)
    tiles: list[TileRow] = field(default_factory=list)
    statements: list[StatementRow] = field(default_factory=list)
    documents: list[DocumentRow] = field(default_factory=list)
    floors: list[FloorRow] = field(default_factory=list)
    exceptions: list[ExceptionRow] = field(default_factory=list)
    holds: list[HoldRow] = field(default_factory=list)
    umbrellas: list[UmbrellaRow] = field(default_factory=list)
    holdings: list[HoldingRow] = field(default_factory=list)
    quotas: list[QuotaRow] = field(default_factory=list)
    consumers: list[ConsumerRow] = field(default_factory=list)
    uploads: list[UploadRow] = field(default_factory=list)


# --- units ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reads:
    """What a unit's build needs to know, each by its key; of the nodes in `lanes_of`, how many lanes each has."""

    report_ids: Sequence[bytes] = ()
    segment_ids: Sequence[bytes] = ()
    lanes: Sequence[LaneKey] = ()
    floors: Sequence[tuple[str, str, int]] = ()
    exceptions: Sequence[tuple[str, str, int, int]] = ()
    packets: Sequence[bytes] = ()
    holdings: Sequence[tuple[int, int]] = ()
    consumers: Sequence[tuple[str, str]] = ()
    lanes_of: Sequence[str] = ()
    quotas: Sequence[QuotaKey] = ()
    uploads: Sequence[tuple[str, bytes]] = ()


NO_READS: Final = Reads()


@dataclass(frozen=True, slots=True)
class Known:
    """What was there, by key; a key that is not there is not in the mapping. `packets` are those already stored.

    `lane_counts` has every node that was asked for, also one without a lane.
    """

    reports: Mapping[bytes, ReportRow]
    segments: Mapping[bytes, SegmentRow]
    lanes: Mapping[LaneKey, LaneRow]
    floors: Mapping[tuple[str, str, int], FloorRow]
    exceptions: Mapping[tuple[str, str, int, int], ExceptionRow]
    packets: frozenset[bytes]
    holdings: Mapping[tuple[int, int], HoldingRow]
    consumers: Mapping[tuple[str, str], ConsumerRow]
    lane_counts: Mapping[str, int]
    quotas: Mapping[QuotaKey, QuotaRow]
    uploads: Mapping[tuple[str, bytes], UploadRow]


Build = Callable[[Head, Known], Rows[R_co]]


@dataclass(frozen=True, slots=True)
class Unit(Generic[R]):
    """One shard's change. `urgency` 0 is written first; `expected_epoch` None depends on no state; `create` makes the shard.

    `beside` is another shard of the same agreement with the epoch that it must have, where the unit depends on its state too.
    """

    shard: str
    build: Callable[[Head, Known], Rows[R]]
    reads: Reads = NO_READS
    urgency: int = 4
    expected_epoch: int | None = None
    create: bool = False
    beside: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Committed(Generic[R]):
    """Durable. `result` is what build gave, `head` the shard's head after this unit."""

    result: R
    head: Head


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing of this unit was written."""

    error: ComityError


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody knows whether it was written; only reading after a restart tells."""

    error: BaseException


Outcome = Committed[R] | Refused | Unknown


# --- the protocol ---------------------------------------------------------------------------------------------------

GoOn = Callable[[int, int], bool]


def take_all(_taken: int, _size: int) -> bool:
    """Say yes: a commit takes every unit it is given."""
    return True


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes of the file system that holds the data."""

    free_bytes: int
    total_bytes: int


class Writer(Protocol):
    """The one writing side. Not for several threads at once: the journal's thread owns it."""

    def commit(self, units: Sequence[Unit[object]], go_on: GoOn = take_all) -> list[Outcome[object]]:
        """Write the units in order in one transaction with fsync; one outcome a unit. Never raises for a unit.

        Before each unit but the first, `go_on` is asked with the number of units taken and the bytes they write; where it
        says no, the commit closes: the units from there on are not touched and have no outcome.
        """

    @property
    def backlog_bytes(self) -> int:
        """Give the bytes that wait for a checkpoint."""

    def checkpoint(self) -> None:
        """Move the write-ahead log back into the database, when there is time for it."""

    def close(self) -> None:
        """Close; nothing is written."""


class Reader(Protocol):
    """The reading side. Every answer is of one snapshot that is gone when the coroutine returns."""

    async def shards(self) -> list[Head]:
        """Give the head of every shard."""

    async def head(self, shard: str) -> Head | None:
        """Give a shard's head."""

    async def known(self, shard: str, reads: Reads) -> Known:
        """Give what a unit would read."""

    async def inbox(self, shard: str, node: str, lane: int, after_item: int, limit: int) -> list[InboxRow]:
        """Give inbox rows of a node and lane with item > after_item, ascending."""

    async def segments(self, shard: str, items: Sequence[int]) -> dict[int, SegmentRow]:
        """Give segments by item."""

    async def segments_named(self, shard: str, segment_ids: Sequence[bytes]) -> dict[bytes, SegmentRow]:
        """Give segments by id, without their bytes (`data` empty): those are large, and who asks here needs none."""

    async def segments_from(self, shard: str, first_log_index: int, limit: int) -> list[SegmentRow]:
        """Give segments admitted from a log index on, ascending by it."""

    async def reports_of(self, shard: str, items: Sequence[int]) -> dict[int, list[ReportRow]]:
        """Give the admitted reports of segments by item, ascending by slot."""

    async def reports(self, shard: str, after: tuple[int, int], limit: int) -> list[ReportRow]:
        """Give admitted reports with (item, slot) > after, ascending."""

    async def batches(self, shard: str, digests: Sequence[bytes]) -> dict[bytes, bytes]:
        """Give batch records by digest."""

    async def packets(self, shard: str, packet_ids: Sequence[bytes]) -> dict[bytes, bytes]:
        """Give key packets by id."""

    async def lanes(self, shard: str) -> list[LaneRow]:
        """Give every lane of a shard, ascending by number."""

    async def floors(self, shard: str, node: str | None = None, consumer: str | None = None) -> list[FloorRow]:
        """Give floors of a shard, of one node or consumer where named."""

    async def exceptions(self, shard: str, node: str | None = None, consumer: str | None = None) -> list[ExceptionRow]:
        """Give exceptions of a shard, ascending by (node, consumer, item, slot)."""

    async def holds(self, shard: str) -> list[HoldRow]:
        """Give the suspensions of an agreement, ascending."""

    async def holdings(self, shard: str) -> list[HoldingRow]:
        """Give the originators' words on reports, ascending by (item, slot)."""

    async def quotas(self, shard: str) -> list[QuotaRow]:
        """Give what the windows of an agreement's quotas hold, ascending by key."""

    async def uploads(self, shard: str) -> list[UploadRow]:
        """Give every upload of an agreement, ascending by (node, digest)."""

    async def consumers(self) -> list[ConsumerRow]:
        """Give every consumer."""

    async def entries(self, shard: str, first: int, limit: int) -> list[EntryRow]:
        """Give log entries from an index on, ascending."""

    async def continued(self, shard: str) -> list[ContinuedRow]:
        """Give the logs of a shard that restores left behind, the oldest first."""

    async def leaf_hashes(self, shard: str, first: int, count: int) -> list[bytes]:
        """Give SHA-256 leaf hashes from a log index on."""

    async def tiles(self, shard: str, level: int, first: int, count: int) -> list[bytes]:
        """Give subtree roots of a level (from 1) of the present incarnation's tree from an index on."""

    async def bodies(self, shard: str, log_indices: Sequence[int], parts: Sequence[str]) -> list[BodyRow]:
        """Give the named parts of entries, ascending by (log_index, part)."""

    async def statements(self, shard: str, first: int = 0) -> list[StatementRow]:
        """Give a shard's statements from a log index on, ascending."""

    async def documents(self, shard: str) -> list[DocumentRow]:
        """Give an agreement's texts, in no order."""

    async def umbrellas(self, shard: str) -> list[UmbrellaRow]:
        """Give how far an arrangement's umbrella counted when, ascending."""

    async def usage(self) -> Usage:
        """Say how much room there is."""

    async def check(self) -> list[str]:
        """Check the whole store; give what is wrong, in words. Takes long."""

    def close(self) -> None:
        """Close."""


class Storage(Protocol):
    """An opened store: refuses what it cannot read, never repairs."""

    @property
    def incarnation(self) -> bytes:
        """Give the broker's incarnation, 16 bytes."""

    @property
    def writer(self) -> Writer:
        """Give the writing side."""

    @property
    def reader(self) -> Reader:
        """Give the reading side."""

    def close(self) -> None:
        """Close both sides and let go of the directory."""
