"""What all sessions share: the engine room as dispatch sees it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from comity.envelope.core import LogSeen
from comity.errors import ComityError
from comity.identity.directory import KeyDirectory
from comity.suites import RandomBytes
from comity_broker.access import Caller
from comity_broker.auditlog.log import Log
from comity_broker.clock import BrokerClock
from comity_broker.counts import Counts
from comity_broker.dispatch.checking import Rechecker
from comity_broker.dispatch.shelf import Shelf
from comity_broker.ledger import Ledger
from comity_broker.settings import Settings
from comity_broker.storage.protocol import Reader
from comity_broker.tracing import Submitting, Tracer


class LogBook(Protocol):
    """The logs, as far as dispatch needs them."""

    def log(self, shard: str) -> Log:
        """Give what makes entries for a shard."""

    async def check_seen(self, shard: str, seen: LogSeen) -> None:
        """Check a view that a peer signed against this log; raises VerificationError FORK."""


class Rejections(Protocol):
    """Where the precise reason of a refused record is written down."""

    def rejected(
        self, caller: Caller, agreement_id: str, target: bytes, error: ComityError, slots: tuple[int, ...] = ()
    ) -> None:
        """Record one refused record; never blocks."""


Freeze = Callable[[str, str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Shared:
    """The parts. `freeze(agreement_id, reason)` stops everything under an agreement and raises the alarm.

    `held_until` gives until when nothing is handed over to anybody, Unix milliseconds, 0 where it is.
    `tracer` is None where traces are off: whoever would make spans looks once, when it is made.
    """

    reader: Reader
    journal: Submitting
    logs: LogBook
    ledger: Ledger
    keys: KeyDirectory
    rechecker: Rechecker
    shelf: Shelf
    clock: BrokerClock
    settings: Settings
    rejections: Rejections
    freeze: Freeze
    random_bytes: RandomBytes
    incarnation: bytes
    counts: Counts = field(default_factory=Counts)
    tracer: Tracer | None = None
    held_until: Callable[[], int] = lambda: 0
