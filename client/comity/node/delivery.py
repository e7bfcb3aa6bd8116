"""One report in the application's hands: what it is, and what the application makes of it (designs 01 and 04).

    async with delivery as report:      # leaves: acknowledged; raises: handed over again later; delivery.park(reason)
        print(report.banner, report.text)

Leaving the block acknowledges at once in memory: the report is not shown again by this process. It is on disk, and then signed
and sent, within 50 ms or when the application waits for the next one; `settled` waits for the disk. What is raised inside goes
on to the application after the report was given back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from enum import Enum
from types import TracebackType
from typing import Final, Protocol

from comity.errors import UsageError
from comity.identity.names import agreement_of, is_exercise
from comity.node.inbox import InboxLane
from comity.report import ReceivedReport
from comity_policy.readers import Lack

REASON_LIMIT: Final = 1000
# Control, FLASH, IMMEDIATE, PRIORITY, ROUTINE; exercise classes follow in the same order.
CLASSES: Final = 5
_FIRST_RETRY_SECONDS: Final = 1.0
_LAST_RETRY_SECONDS: Final = 60.0


def waiting_reason(lacks: frozenset[Lack]) -> str:
    """Give the reason that a report is parked with when something of it waits; it names no clause, which may be national."""
    return f"waits for another opening: {', '.join(sorted(lacks))}"


class _Fate(Enum):
    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    PARKED = "parked"
    GIVEN_BACK = "given back"


class Desk(Protocol):
    """What takes a delivery's end."""

    def acknowledged(self, delivery: Delivery, waiter: asyncio.Future[None] | None) -> None:
        """Take that the application is done with it."""

    def taken(self, delivery: Delivery, waiter: asyncio.Future[None] | None) -> None:
        """Take that the application is done with what opened, while something of it waits: that is parked."""

    def parked(self, delivery: Delivery, reason: str) -> None:
        """Take that it is to be parked."""

    def given_back(self, delivery: Delivery, after_seconds: float) -> None:
        """Take that it is to be handed over again, not before so many seconds."""


class Delivery:
    """A report handed over, and where it stands. `origin` is PARTY/NODE; `attempt` counts from 1; times in Unix ms.

    `approved_by` are the officers whose approvals verified. `waits_for` is what other openings would bring for portions that
    stay closed in this one and that nobody opened before: while there is anything, to acknowledge the report parks it instead (it
    was not read whole; a recall is given back), what this opening gave counts as read, and `receive` by whoever brings what is
    lacking hands it over again. The opening that gives the last portion acknowledges it.
    """

    __slots__ = (
        "_desk",
        "_fate",
        "admitted_at",
        "approved_by",
        "attempt",
        "expires_at",
        "lane",
        "log_index",
        "origin_sequence",
        "report",
        "report_id",
        "segment_id",
        "segment_slots",
        "slot",
        "waits",
    )

    def __init__(
        self,
        desk: Desk,
        report: ReceivedReport,
        *,
        lane: InboxLane,
        origin_sequence: int,
        attempt: int,
        admitted_at: int,
        log_index: int,
        approved_by: frozenset[str],
        segment_id: bytes,
        slot: int,
        segment_slots: int,
        report_id: bytes,
        expires_at: int,
        waits: Iterable[frozenset[Lack]] = (),
    ) -> None:
        self._desk = desk
        self._fate = _Fate.OPEN
        self.report = report
        self.lane = lane
        self.origin_sequence = origin_sequence
        self.attempt = attempt
        self.admitted_at = admitted_at
        self.log_index = log_index
        self.approved_by = approved_by
        self.segment_id = segment_id
        self.slot = slot
        self.segment_slots = segment_slots
        self.report_id = report_id
        self.expires_at = expires_at
        self.waits = frozenset(waits)

    @property
    def agreement_id(self) -> str:
        """Give the agreement it came under."""
        return agreement_of(self.lane.agreement_id)

    @property
    def exercise(self) -> bool:
        """Say whether it is of an exercise; its banner says so too."""
        return is_exercise(self.lane.agreement_id)

    @property
    def origin(self) -> str:
        """Give the node that sent it, PARTY/NODE."""
        return self.lane.originator

    @property
    def transport_class(self) -> int:
        """Give the class of its lane, 0 to 9."""
        return self.lane.transport_class

    @property
    def waits_for(self) -> frozenset[Lack]:
        """Give what other openings would bring for what stays closed; nothing where acknowledging is the last word."""
        return frozenset[Lack]().union(*self.waits)

    @property
    def is_open(self) -> bool:
        """Say whether nothing was made of it yet."""
        return self._fate is _Fate.OPEN

    async def __aenter__(self) -> ReceivedReport:
        return self.report

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.is_open:
            return
        if error is None:
            self.acknowledge()
        elif isinstance(error, Exception):
            self.retry()
        # A cancellation or an exit says nothing about the report: it comes again in the next session.

    def acknowledge(self) -> None:
        """Acknowledge; does nothing when it was before. One of which something waits is parked."""
        if self.waits:
            if self.is_open:
                self._end(_Fate.PARKED)
                self._desk.taken(self, None)
        elif self._fate is not _Fate.ACKNOWLEDGED:
            self._end(_Fate.ACKNOWLEDGED)
            self._desk.acknowledged(self, None)

    async def settled(self) -> None:
        """Acknowledge, and wait until that is on this machine's disk. One of which something waits is parked."""
        if self._fate is _Fate.ACKNOWLEDGED:
            raise UsageError(
                "the report was acknowledged before", what_to_do="Call settled() instead of acknowledge()."
            )
        if self.waits and not self.is_open:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._end(_Fate.PARKED if self.waits else _Fate.ACKNOWLEDGED)
        (self._desk.taken if self.waits else self._desk.acknowledged)(self, waiter)
        await waiter

    def park(self, reason: str) -> None:
        """Put it aside for an officer to look at; its lane goes on. Raises UsageError for a reason over 1,000 characters."""
        if not 0 < len(reason) <= REASON_LIMIT:
            raise UsageError(f"a reason has 1 to {REASON_LIMIT} characters")
        self._end(_Fate.PARKED)
        self._desk.parked(self, reason)

    def retry(self, after_seconds: float | None = None) -> None:
        """Give it back, to be handed over again; without a time after 1 s, doubling with each attempt up to 60 s."""
        seconds = after_seconds
        if seconds is None:
            seconds = min(_LAST_RETRY_SECONDS, _FIRST_RETRY_SECONDS * 2 ** min(self.attempt - 1, 16))
        self._end(_Fate.GIVEN_BACK)
        self._desk.given_back(self, max(0.0, seconds))

    def _end(self, fate: _Fate) -> None:
        if self._fate is not _Fate.OPEN:
            raise UsageError(f"the report was {self._fate.value} before")
        self._fate = fate

    def __repr__(self) -> str:
        return f"Delivery({self.origin} {self.agreement_id} class {self.transport_class} number {self.origin_sequence})"


def through(delivery: Delivery, before: Callable[[Desk], Desk]) -> Delivery:
    """Let another desk take a delivery's end before the one that it came from; give it."""
    delivery._desk = before(delivery._desk)  # noqa: SLF001 - the desk is nothing an application has to do with
    return delivery
