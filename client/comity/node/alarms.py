"""Alarms: what a node must tell its people and cannot mend by itself (designs 03 to 05).

An alarm is written to the node's own store with what proves it, logged, and never taken back. It stops what it is about
(the segment, the lane's silence, the agreement), not the node.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class AlarmKind(StrEnum):
    """What happened."""

    FORK = "FORK"
    SEGMENT_REJECTED = "SEGMENT_REJECTED"
    SEQUENCE_GAP = "SEQUENCE_GAP"
    ID_REUSED = "ID_REUSED"
    FALSE_REASON = "FALSE_REASON"
    UNEXPLAINED = "UNEXPLAINED"
    NOT_ADMITTED = "NOT_ADMITTED"
    RECEIPT_FALSE = "RECEIPT_FALSE"
    INCOMPLETE = "INCOMPLETE"
    NOT_CARRIED = "NOT_CARRIED"
    NOT_TAKEN = "NOT_TAKEN"
    CAVEAT_UNREAD = "CAVEAT_UNREAD"
    READING_REFUSED = "READING_REFUSED"
    RESTORED = "RESTORED"


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm. `subject` names the log, lane, segment or report in hex or text; `at` is Unix milliseconds, our clock."""

    kind: AlarmKind
    agreement_id: str
    subject: str
    detail: str
    at: int
