"""Lists of reports as the broker tells them: no content, no title, where each stands for each consumer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from uuid import UUID


class ReportState(IntEnum):
    """Where a report stands for one consumer; the numbers are those of ``comity.v1.ReportState``."""

    DUE = 1
    SENT = 2
    DONE = 3
    RETRY = 4
    PARKED = 5
    HELD = 6
    EXPIRED = 7
    WITHDRAWN = 8
    DROPPED = 9
    REFUSED = 10
    RECALLED = 11
    SUPERSEDED = 12


class ParkedAction(IntEnum):
    """What becomes of a parked report."""

    REPLAY = 1
    DROP = 2


class HeldAction(IntEnum):
    """The originator's word on a held report."""

    CONFIRM = 1
    WITHDRAW = 2


@dataclass(frozen=True, slots=True)
class ConsumerState:
    """Where a report stands for one consumer of one node (PARTY/NODE)."""

    node: str
    consumer: str
    state: ReportState
    attempts: int
    reason: str


@dataclass(frozen=True, slots=True)
class ReportRow:
    """One report as the broker sees it. Times are Unix milliseconds."""

    agreement_id: str
    report_id: UUID
    leaf: bytes
    segment_id: bytes
    slot: int
    originator: str
    transport_class: int
    origin_sequence: int
    created_at: int
    admitted_at: int
    expires_at: int
    log_index: int
    consumers: tuple[ConsumerState, ...]

    @property
    def ref(self) -> SlotRef:
        """Give what names it in `resolve_parked` and `resolve_held`."""
        return SlotRef(self.agreement_id, self.segment_id, self.slot)


@dataclass(frozen=True, slots=True)
class SlotRef:
    """One report by its segment: what the broker calls it."""

    agreement_id: str
    segment_id: bytes
    slot: int
