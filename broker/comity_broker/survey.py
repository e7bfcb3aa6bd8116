"""What a broker shows its operator of itself: one picture, taken in the event loop, that status and metrics are written from.

Rules in order:
1. A picture is of plain values that nothing changes any more. Who writes it out, in whatever thread, reads nothing else.
2. One is taken at a time, and one that is young enough for whoever asks is given again: however many scrape, the backlogs are
   counted once in `PICTURE_SECONDS` for them.
3. Alarms are what needs a person: they are found here, each with what to do.
"""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from importlib.metadata import version
from pathlib import Path
from typing import Final

from comity_broker.clock import BrokerClock
from comity_broker.counts import Counts, class_name
from comity_broker.dispatch.dispatcher import Dispatcher
from comity_broker.dispatch.status import ConsumerStatus
from comity_broker.journal import Journal, JournalNumbers
from comity_broker.monitor import Monitor
from comity_broker.operations import OperationsLog
from comity_broker.rates import Looks, Rates
from comity_broker.storage.protocol import KEYS, OPERATIONS, Reader

PICTURE_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Alarm:
    """What stands still and needs somebody; times in Unix ms, 0 where not known."""

    kind: str
    reason: str
    what_to_do: str
    agreement_id: str = ""
    node: str = ""
    consumer: str = ""
    since_ms: int = 0
    times: int = 0


@dataclass(frozen=True, slots=True)
class AgreementPicture:
    """One agreement: its phase, entries of its log, reports admitted, why it is frozen."""

    agreement_id: str
    phase: str
    log_size: int
    reports: int
    frozen_reason: str
    waits_for_parties: bool = False


@dataclass(frozen=True, slots=True)
class DiskPicture:
    """The file system of the data, in bytes, and by class from how full on it is refused."""

    free_bytes: int
    total_bytes: int
    full_at: dict[int, float]

    @property
    def used(self) -> float:
        """Give the part that is in use, 0 to 1."""
        return 1 - self.free_bytes / max(1, self.total_bytes)

    def refuses(self, transport_class: int) -> bool:
        """Say whether a class is refused."""
        return self.used > self.full_at[transport_class]


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything. `started_at` and `now_ms` are Unix ms, `last_commit_age` seconds."""

    started_at: int
    now_ms: int
    version: str
    draining: bool
    cpu_seconds: float
    resident_bytes: int
    journal: JournalNumbers
    last_commit_age: float
    counts: Counts
    rates: Rates
    disk: DiskPicture
    key_log_size: int
    operations_log_size: int
    operations_dropped: int
    agreements: tuple[AgreementPicture, ...]
    consumers: tuple[ConsumerStatus, ...]
    alarms: tuple[Alarm, ...]


def resident_bytes() -> int:
    """Give the memory of this process that is resident: its second number in statm (proc_pid_statm(5)), which is of pages."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()


def copied(counts: Counts) -> Counts:
    """Give the numbers as they are now."""
    return Counts(**{one.name: dict(getattr(counts, one.name)) for one in fields(counts)})


@dataclass(slots=True)
class Survey:
    """Takes the pictures."""

    reader: Reader
    journal: Journal
    dispatcher: Dispatcher
    operations: OperationsLog
    monitor: Monitor
    clock: BrokerClock
    looks: Looks
    full_at: dict[int, float]
    draining: Callable[[], bool]
    started_at: int
    _taking: asyncio.Lock = field(default_factory=asyncio.Lock)
    _newest: tuple[float, Picture] | None = None

    async def picture(self, at_most_seconds: float = 0.0) -> Picture:
        """Give a picture that is no older than that, or than this call."""
        asked = self.clock.monotonic()
        async with self._taking:
            if self._newest is None or self._newest[0] < asked - at_most_seconds:
                began = self.clock.monotonic()
                self._newest = (began, await self._take())
            return self._newest[1]

    async def _take(self) -> Picture:
        usage = await self.reader.usage()
        sizes = {head.shard: head for head in await self.reader.shards()}
        now_ms = self.clock.now_ms()
        agreements: list[AgreementPicture] = []
        for standing in self.monitor.ledger.books():
            head = sizes.get(standing.agreement_id)
            agreements.append(
                AgreementPicture(
                    agreement_id=standing.agreement_id,
                    phase=standing.state(now_ms).phase.value,
                    log_size=0 if head is None else head.leaf_next,
                    reports=0 if head is None else head.agreement_sequence_next - 1,
                    frozen_reason=standing.frozen_reason or standing.unconfirmed,
                    waits_for_parties=not standing.frozen_reason and bool(standing.unconfirmed),
                )
            )
        consumers = tuple(await self.dispatcher.status())
        disk = DiskPicture(usage.free_bytes, usage.total_bytes, self.full_at)
        return Picture(
            started_at=self.started_at,
            now_ms=self.clock.now_ms(),
            version=version("comity"),
            draining=self.draining(),
            cpu_seconds=time.process_time(),
            resident_bytes=resident_bytes(),
            journal=self.journal.numbers(),
            last_commit_age=self.journal.last_commit_age(),
            counts=copied(self.looks.counts),
            rates=self.looks.rates(),
            disk=disk,
            key_log_size=sizes[KEYS].leaf_next if KEYS in sizes else 0,
            operations_log_size=sizes[OPERATIONS].leaf_next if OPERATIONS in sizes else 0,
            operations_dropped=self.operations.dropped,
            agreements=tuple(agreements),
            consumers=consumers,
            alarms=(*_failing(self.monitor), *_found(consumers, agreements, disk)),
        )


def _failing(monitor: Monitor) -> Iterator[Alarm]:
    for one in monitor.alarms:
        yield Alarm(
            kind="MONITOR" if one.agreement_id else "CLOCK",
            reason=one.reason,
            what_to_do=one.what_to_do,
            agreement_id=one.agreement_id,
            since_ms=one.since_ms,
            times=one.times,
        )


def _found(
    consumers: Sequence[ConsumerStatus], agreements: Sequence[AgreementPicture], disk: DiskPicture
) -> Iterator[Alarm]:
    for consumer in consumers:
        if consumer.stalled_since:
            yield Alarm(
                kind="STALLED",
                reason=f"{consumer.backlog} reports wait, there is credit, and nothing is delivered",
                what_to_do="Tell whoever runs the node: its program does not read, or keeps the lane behind a report it gave back.",
                node=consumer.node,
                consumer=consumer.consumer,
                since_ms=consumer.stalled_since,
            )
    for agreement in agreements:
        if agreement.waits_for_parties:
            yield Alarm(
                kind="FROZEN",
                reason=f"it waits: {agreement.frozen_reason}",
                what_to_do=f"A liaison of each party: comity agreement confirm-log {agreement.agreement_id}",
                agreement_id=agreement.agreement_id,
            )
        elif agreement.frozen_reason:
            yield Alarm(
                kind="FROZEN",
                reason=f"its log is frozen: {agreement.frozen_reason}",
                what_to_do="Copy the data directory and tell both parties: docs/operator.md, What a freeze means.",
                agreement_id=agreement.agreement_id,
            )
    refused = [class_name(one).upper() for one in sorted(disk.full_at) if one and disk.refuses(one)]
    if refused:
        yield Alarm(
            kind="DISK",
            reason=f"the disk is {disk.used:.0%} full: {', '.join(refused)} refused",
            what_to_do="Enlarge the file system of the data directory; delete nothing in it.",
        )
