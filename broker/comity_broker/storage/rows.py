"""The rows a broker keeps, and the head of a shard (design of exchange, "Data"). `protocol` gives them on to everybody.

A store's tables have these fields, in this order. Times are Unix milliseconds, UTC.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Head:
    """The state of one shard. `frontier` are the roots of the log's perfect subtrees, the largest first; `root` 32 bytes.

    `state_epoch` is raised by every statement, revocation or accreditation that can change a decision. A log that a restore continued
    has its first leaf at `log_first`: `leaf_next` and every other log index count over all incarnations (docs/adr/0023).
    """

    shard: str
    incarnation: bytes
    state_epoch: int = 0
    broker_time: int = 0
    item_next: int = 1
    leaf_next: int = 0
    agreement_sequence_next: int = 1
    lane_next: int = 1
    frontier: tuple[bytes, ...] = ()
    root: bytes = b""
    frozen_reason: str = ""
    log_first: int = 0

    @property
    def tree_size(self) -> int:
        """Give how many leaves the tree of this incarnation's log has."""
        return self.leaf_next - self.log_first

    def raised(self) -> Head:
        """Give the head with the next epoch."""
        return replace(self, state_epoch=self.state_epoch + 1)


class ReportOutcome(IntEnum):
    """What admission did with a report. REFUSED rows are never written: the next try is a new envelope."""

    ADMITTED = 1


class LaneKey(NamedTuple):
    """A lane of an agreement: originator "PARTY/NODE", 16-byte origin_epoch, class 0 to 9."""

    node: str
    origin_epoch: bytes
    transport_class: int


class LaneRow(NamedTuple):
    """A lane with its number in the shard (from 1) and the highest origin_sequence that ended.

    `restored` is 1 until the lane first goes on after a restore, which may have lost numbers of it (docs/adr/0023).
    """

    key: LaneKey
    lane: int
    last_origin_sequence: int
    restored: int = 0


class ContinuedRow(NamedTuple):
    """A log that a restore left behind: its incarnation, the index of its first leaf, and the edge of its tree."""

    incarnation: bytes
    log_first: int
    frontier: tuple[bytes, ...]
    root: bytes


class SegmentRow(NamedTuple):
    """A segment as it is handed out: refused slots pruned. `receipt` is the unsigned receipt record.

    `epoch` is the head's state_epoch it was decided under; `expires_at` the latest of its reports'. What handing over asks of all
    its admitted reports stands here too: `expires_first` and `not_before_last`, both 0 where there are none, and `packets`, the
    key packets that their rows name (`comity_broker.dispatch` reads it).
    """

    item: int
    segment_id: bytes
    data: bytes
    batch: bytes
    batch_index: int
    batch_path: bytes
    lane: int
    transport_class: int
    first_origin_sequence: int
    slots: int
    log_index: int
    admitted_at: int
    expires_at: int
    epoch: int
    receipt: bytes
    expires_first: int
    not_before_last: int
    packets: bytes


class ReportRow(NamedTuple):
    """A report that was admitted; stays as a tombstone (id, leaf) until 72 hours after it expired.

    `not_before` is 0 where it was not put off.
    """

    report_id: bytes
    leaf: bytes
    item: int
    slot: int
    origin_sequence: int
    agreement_sequence: int
    outcome: int
    not_before: int
    expires_at: int
    log_index: int


class QuotaRow(NamedTuple):
    """What one window of one quota holds: admitted reports and their bytes.

    `clause` is the clause's id as decisions write it, `kind` that of the window, `starts_at` its first millisecond.
    """

    clause: str
    from_party: str
    to_party: str
    kind: str
    starts_at: int
    reports: int
    size: int


class BatchRow(NamedTuple):
    """A BatchSignature record by the SHA-384 of its bytes."""

    digest: bytes
    record: bytes


class PacketRow(NamedTuple):
    """A key packet."""

    packet_id: bytes
    data: bytes
    recipient_fingerprint: bytes
    expires_at: int


class UploadState(IntEnum):
    """Where an upload stands. OPEN takes bytes, READY is whole and durable, LEAVING is to be deleted and nothing names it."""

    OPEN = 1
    READY = 2
    LEAVING = 3


class UploadRow(NamedTuple):
    """A ciphertext that a node ("PARTY/NODE") uploads or has uploaded, by its SHA-384; `state` 0 removes the row.

    `touched_at` is when a stream of it last began or ended whole; `expires_at` the latest of the reports' that name it, 0 while
    none does.
    """

    node: str
    digest: bytes
    length: int
    state: int
    touched_at: int
    expires_at: int


class InboxRow(NamedTuple):
    """What one node gets of one segment, never updated.

    `due` has a 1 bit for each slot handed over (slot 0 is the lowest bit of the first byte); `withheld` says which
    portions of those slots it may not have (`comity_broker.dispatch` reads it, empty: all of them).
    """

    node: str
    lane: int
    item: int
    due: bytes
    withheld: bytes


class EntryRow(NamedTuple):
    """A log entry: its index, kind, exact bytes and SHA-256 leaf hash."""

    log_index: int
    kind: str
    entry: bytes
    leaf_hash: bytes


class BodyRow(NamedTuple):
    """One part of an entry. `records` is empty, or every (salt || record) with a u32be length before each."""

    log_index: int
    part: str
    salt: bytes
    body: bytes
    records: bytes


class TileRow(NamedTuple):
    """The root of the perfect subtree of 256^level leaves that is the `number`-th of its level; level from 1."""

    level: int
    number: int
    root: bytes


class StatementRow(NamedTuple):
    """A statement that a log took: in a key log a bundle, accreditation or revocation, in an agreement's a step."""

    log_index: int
    at_ms: int
    body: bytes
    signatures: bytes


class DocumentRow(NamedTuple):
    """An agreement's exact text by SHA-384(PAE(agreement, text))."""

    digest: bytes
    document: bytes


class FloorRow(NamedTuple):
    """Where one consumer stands in one lane. Every item up to `floor` is settled, up to `handed` was handed over.

    `above` says what is settled beyond the floor (`comity_broker.dispatch` reads it).
    """

    node: str
    consumer: str
    lane: int
    floor: int
    handed: int
    above: bytes


class ExceptionState(IntEnum):
    """Why a report is not simply due or done."""

    RETRY = 1
    PARKED = 2
    DROPPED = 3
    EXPIRED = 4
    WITHDRAWN = 5
    RECALLED = 6
    SUPERSEDED = 7


class ExceptionRow(NamedTuple):
    """A report of one consumer with which something went wrong; `state` 0 removes the row."""

    node: str
    consumer: str
    item: int
    slot: int
    state: int
    attempts: int
    not_before: int
    reason: str
    log_index: int


class HoldRow(NamedTuple):
    """A suspension as dispatch needs it: whatever is below `item_next` and not handed over yet waits for a word.

    `clauses` are the suspended clauses, joined by commas, empty for the whole agreement.
    """

    log_index: int
    item_next: int
    clauses: str


class UmbrellaRow(NamedTuple):
    """From entry `log_index` of an arrangement's log on its umbrella counts as of entry `umbrella_log_index` of its own.

    In the shard of an agreement's exercise it is the agreement itself that counts as of that entry.
    """

    log_index: int
    umbrella_log_index: int


class HoldingState(IntEnum):
    """The originator's word on a report: on a held one, or that takes any report back."""

    CONFIRMED = 1
    WITHDRAWN = 2
    RECALLED = 3
    SUPERSEDED = 4


class HoldingRow(NamedTuple):
    """The originator's newest word on one report."""

    item: int
    slot: int
    state: int
    log_index: int


class ConsumerRow(NamedTuple):
    """A consumer of a node: the number of its newest session, and since when it exists."""

    node: str
    consumer: str
    session: int
    created_at: int
