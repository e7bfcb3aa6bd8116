"""What delivery writes into an agreement's log, gathered by kind and originator's party before its entries are made.

An event speaks of one originator's party and one recipient node, so a unit that covers lanes of several parties has one of each
kind for every party. Everything here is known before the commit but the time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from comity.errors import ErrorCode, MalformedError, StorageError
from comity.identity.names import is_exercise
from comity_broker.auditlog.bodies import BROKER, Caller, Event, SegmentSlots
from comity_broker.auditlog.events import delivered, expired, held, parked
from comity_broker.auditlog.kinds import EventKind
from comity_broker.dispatch.floors import LaneState
from comity_broker.storage.protocol import Head, Known

_FROZEN_RETRY_SECONDS: Final = 30.0
_SESSION_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Recipient:
    """Whose consumer it is, in which session, over which connection."""

    party: str
    name: str
    consumer: str
    session: int
    caller: Caller

    @property
    def node(self) -> str:
        """Give PARTY/NODE."""
        return f"{self.party}/{self.name}"

    @property
    def exercise(self) -> bool:
        """Say whether the consumer is one of exercise traffic."""
        return is_exercise(self.consumer)


@dataclass(frozen=True, slots=True)
class Said:
    """One event to be logged. `caller` is the broker itself where nobody asked for it."""

    kind: EventKind
    originator: str
    segments: tuple[SegmentSlots, ...]
    reason: str = ""
    caller: Caller = BROKER

    def event(self, to: Recipient, at_ms: int) -> Event:
        """Build the event; raises MalformedError for a kind that is none of delivery's."""
        recipient = (to.party, to.name)
        match self.kind:
            case EventKind.EXPIRED:
                return expired(time=at_ms, originator=self.originator, recipient=recipient, segments=self.segments)
            case EventKind.HELD:
                return held(
                    self.kind,
                    time=at_ms,
                    caller=self.caller,
                    originator=self.originator,
                    recipient=recipient,
                    segments=self.segments,
                    reason=self.reason,
                )
            case EventKind.PARKED | EventKind.PARKED_REPLAYED | EventKind.PARKED_DROPPED:
                return parked(
                    self.kind,
                    time=at_ms,
                    caller=self.caller,
                    originator=self.originator,
                    recipient=recipient,
                    consumer=to.consumer,
                    segments=self.segments,
                    reason=self.reason,
                )
            case EventKind.DELIVERED:
                return delivered(
                    time=at_ms,
                    caller=self.caller,
                    originator=self.originator,
                    recipient=recipient,
                    consumer=to.consumer,
                    session=to.session.to_bytes(_SESSION_BYTES, "big"),
                    segments=self.segments,
                )
        raise MalformedError(f"{self.kind.value} is not of delivery")


def said(
    kind: EventKind,
    spans: Iterable[tuple[str, SegmentSlots]],
    *,
    reason: str = "",
    caller: Caller = BROKER,
) -> list[Said]:
    """Give one event for each originator's party that has slots to name, parties ascending."""
    by_party: dict[str, list[SegmentSlots]] = {}
    for party, span in spans:
        if span.slots:
            by_party.setdefault(party, []).append(span)
    return [Said(kind, party, tuple(found), reason, caller) for party, found in sorted(by_party.items())]


def places(first: int, events: Sequence[Said]) -> dict[tuple[EventKind, str], int]:
    """Give where each event's entry comes to stand, the first at `first`."""
    return {(one.kind, one.originator): first + number for number, one in enumerate(events)}


def require_open(head: Head) -> None:
    """Raise StorageError LOG_FROZEN, to be tried again, for a log that nothing may be written to."""
    if head.frozen_reason:
        raise StorageError(
            f"the log of {head.shard} is frozen: {head.frozen_reason}",
            what_to_do="Nothing is handed over or taken under it until both parties have compared their mirrors.",
            code=ErrorCode.LOG_FROZEN,
            retry_after_seconds=_FROZEN_RETRY_SECONDS,
        )


def lane_states(known: Known, to: Recipient, lanes: Iterable[int]) -> dict[int, LaneState]:
    """Give the stored state of some lanes, by number."""
    return {lane: LaneState.decode(known.floors.get((to.node, to.consumer, lane))) for lane in sorted(set(lanes))}
