"""What goes to a subscriber, before it is a message: one dataclass a frame (exchange.proto has the meaning of each)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from typing import Final

from comity.errors import ComityError
from comity_broker.dispatch.withheld import slots_of

# Segments are mostly full, or of a few sizes: what is said of all their slots is made once.
_MASKS_KEPT: Final = 64


class SkipReason(IntEnum):
    """Why a recipient gets a reason instead of a report; the numbers are those of ``comity.v1.SkipReason``."""

    REFUSED = 1
    NOT_ADDRESSED = 2
    EXPIRED = 3
    PARKED = 4
    WITHDRAWN = 5
    SETTLED = 6
    HELD = 7
    RETRY = 8
    OTHER_FRAME = 9
    DUPLICATE = 10
    RECALLED = 11
    SUPERSEDED = 12


@dataclass(frozen=True, slots=True)
class Reason:
    """Why one slot does not come, and the log entry that says so; 0 where no entry is about that."""

    why: SkipReason
    log_index: int = 0


@dataclass(frozen=True, slots=True)
class Skip:
    """What one number of a lane became."""

    origin_sequence: int
    leaf: bytes
    reason: Reason


@dataclass(frozen=True, slots=True)
class Opened:
    """The answer to open; `deadline` in seconds."""

    session: int
    incarnation: bytes
    deadline: float


@dataclass(frozen=True, slots=True)
class Delivered:
    """A segment as this node may have it. `slots` are (slot, attempt) ascending."""

    segment: bytes
    batch_signature: bytes
    batch_index: int
    batch_path: tuple[bytes, ...]
    key_packets: tuple[bytes, ...]
    log_index: int
    admitted_at: int
    slots: tuple[tuple[int, int], ...]
    skipped: tuple[Skip, ...]
    absent: tuple[Skip, ...]
    resume_token: bytes


@lru_cache(_MASKS_KEPT)
def _first(mask: int) -> tuple[tuple[int, int], ...]:
    return tuple((slot, 1) for slot in slots_of(mask))


def numbered(mask: int, attempts: Mapping[int, int]) -> tuple[tuple[int, int], ...]:
    """Give (slot, number of its hand-over) for the slots of a mask, ascending; `attempts` has those that are not the first."""
    if not attempts:
        return _first(mask)
    return tuple((slot, attempts.get(slot, 1)) for slot in slots_of(mask))


@dataclass(frozen=True, slots=True)
class AckConfirmed:
    """Outcomes are durable; `record_digest` is the SHA-384 of the Ack record."""

    record_digest: bytes
    log_index: int
    agreement_id: str


@dataclass(frozen=True, slots=True)
class FrameRefused:
    """One of the subscriber's frames is refused; `record_digest` names the Ack record it is about, or is empty."""

    error: ComityError = field(compare=False)
    record_digest: bytes = b""
    agreement_id: str = ""


@dataclass(frozen=True, slots=True)
class NewCheckpoint:
    """A signed note of an agreement's log; of the key log where `agreement_id` is empty."""

    agreement_id: str
    note: bytes


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """Everything that was due has been handed over."""


@dataclass(frozen=True, slots=True)
class FellBehind:
    """So many reports at least wait beyond the credit."""

    waiting: int


@dataclass(frozen=True, slots=True)
class Held:
    """So many reports at least wait for the agreement, or for their originator's word."""

    agreement_id: str
    count: int


@dataclass(frozen=True, slots=True)
class InMaintenance:
    """Nothing is handed over until then, Unix milliseconds; 0: that is over."""

    until: int


@dataclass(frozen=True, slots=True)
class Draining:
    """The broker is about to stop; `retry_after` in seconds."""

    retry_after: float


Frame = (
    Opened
    | Delivered
    | AckConfirmed
    | FrameRefused
    | NewCheckpoint
    | CaughtUp
    | FellBehind
    | Held
    | InMaintenance
    | Draining
)
