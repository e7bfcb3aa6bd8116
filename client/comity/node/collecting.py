"""Who waits for what became of a report: pending reports in the order in which they were given, and their outcomes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Final

from comity.attachment import Tell, untold
from comity.errors import ComityError
from comity.node.receipts import Receipt, Sent
from comity.report import Report
from comity_policy.clauses import Acknowledge
from comity_policy.explanation import ClauseExplanation

_ACKNOWLEDGE: Final = Acknowledge.__struct_config__.tag


@dataclass(slots=True, eq=False)
class Pending:
    """A report on its way, of `size` bytes of content; `since` is the event loop's time.

    `resealed` says that it is sealed a second time, without the `late`.
    """

    number: int
    report: Report
    agreement_id: str
    collector: Collector
    since: float
    sent: Sent | None = None
    resealed: bool = False
    late: frozenset[str] = frozenset()
    tell: Tell = untold
    size: int = field(init=False)

    def __post_init__(self) -> None:
        self.size = length_of(self.report)

    def goes_to_others(self, refusal: ComityError, recipients: Iterable[str]) -> bool:
        """Say whether to seal once more for those recipient parties that are not late: that somebody is, the broker alone knows."""
        told = (one for one in refusal.clauses if isinstance(one, ClauseExplanation) and one.kind == _ACKNOWLEDGE)
        late = frozenset(one.recipient_party for one in told)
        if self.sent is not None or self.resealed or not late or late >= frozenset(recipients):
            return False
        self.resealed, self.late = True, late
        return True

    def accept(self, receipt: Receipt) -> None:
        """Give the receipt; `Collector.wake` then wakes whoever waits, once for many."""
        if self.sent is None:
            self.sent = Sent(self.number, self.report, receipt=receipt)

    def refuse(self, error: ComityError) -> None:
        """Give a refusal and wake whoever waits."""
        if self.sent is None:
            self.sent = Sent(self.number, self.report, refusal=error)
            self.collector.wake()


@dataclass(slots=True, eq=False)
class Collector:
    """Pending reports of one caller, the oldest first; bounded by whoever fills it (`room`)."""

    pendings: deque[Pending] = field(default_factory=deque)
    size: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _taken: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, pending: Pending) -> None:
        """Take a report on."""
        self.pendings.append(pending)
        self.size += pending.size

    def wake(self) -> None:
        """Say that something may have changed."""
        self._changed.set()

    async def changed(self) -> None:
        """Wait until something may have changed."""
        await self._changed.wait()
        self._changed.clear()

    def take(self) -> Sent | None:
        """Give the oldest report's outcome and drop it, if it has come to an end."""
        if not self.pendings or self.pendings[0].sent is None:
            return None
        self._taken.set()
        pending = self.pendings.popleft()
        self.size -= pending.size
        return pending.sent

    async def room(self, reports: int, size: int) -> None:
        """Wait until fewer reports, and fewer bytes of content, are pending."""
        while len(self.pendings) >= reports or self.size >= size:
            self._taken.clear()
            await self._taken.wait()


def length_of(report: Report) -> int:
    """Give the bytes of a report's content that are held in memory."""
    return sum([len(one.content) for one in report.portions if isinstance(one.content, bytes)])


async def each(reports: Iterable[Report] | AsyncIterable[Report]) -> AsyncIterator[Report]:
    """Give the reports one after the other, from either sort of source."""
    if isinstance(reports, AsyncIterable):
        async for report in reports:
            yield report
    else:
        for report in reports:
            yield report
