"""A broker, a sender and a receiver as processes of their own, mTLS on loopback, a data directory on disk: what whole-path rows share.

    with exchanging(folder / "world", ["12000", "4000/16x1"]) as exchange:
        rounds = [exchange.round() for _ in range(2)]

Each report is of 1 KiB, sealed for one recipient node, signed, decided on at egress, admission and opening, durable with its audit
entry before its receipt, delivered, verified, opened, and acknowledged with a signature. Processor time is what the three processes used
for one round, user and system, all threads. At the end everything that was sent must be in the store: a measurement of something
lost says nothing.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from sender_process import Round as Asked

from kill_oracle import read_store
from processes import Broker, Process, ending, start_anew
from world_files import AGREEMENT, World, made_world

WARM = 1_024
HERE = Path(__file__).parent
PATIENCE_SECONDS = 600.0


@dataclass(frozen=True)
class Round:
    """One round: from the first report made to the last one acknowledged by its application, in seconds."""

    reports: int
    seconds: float
    seconds_to_receipt: float
    cpu: dict[str, float]
    peak_mib: dict[str, int]
    groups_us: dict[str, float]
    in_hand_us: dict[str, float]

    @property
    def rate(self) -> float:
        """Reports a second, end to end."""
        return self.reports / self.seconds

    @property
    def cpu_us(self) -> dict[str, float]:
        """Processor time a report, by process, in microseconds."""
        return {name: seconds / self.reports * 1e6 for name, seconds in self.cpu.items()}


@dataclass
class Exchange:
    """Three processes at work, a round at a time."""

    world: World
    broker: Broker
    sending: Process
    receiving: Process
    waiting: list[Asked] = field(default_factory=list)
    sent: int = 0

    def round(self) -> Round:
        """Have the sender send its next lot; wait until the receiver has acknowledged all of it."""
        asked = self.waiting.pop(0)
        sending, receiving, broker = self.sending, self.receiving, self.broker
        sent, received = len(sending.records), len(receiving.records)
        broker_cpu = broker.cpu_seconds
        sending.signal(signal.SIGUSR1)
        receiving.wait_for(lambda: len(receiving.records) > received, "every report", seconds=PATIENCE_SECONDS)
        sending.wait_for(lambda: len(sending.records) > sent, "every receipt", seconds=PATIENCE_SECONDS)
        self.sent += asked.count
        told, got = sending.records[-1], receiving.records[-1]
        running = {"sender": sending, "broker": broker, "receiver": receiving}
        return Round(
            asked.count,
            got["at"] - told["began"],
            told["ended"] - told["began"],
            {
                "sender": told["cpu"],
                "broker": broker.cpu_seconds - broker_cpu,
                "receiver": got["cpu"] - receiving.records[received - 1]["cpu"],
            },
            {name: one.peak_kib // 1024 for name, one in running.items()},
            told["groups_us"],
            got["from_due_us"],
        )


@contextmanager
def exchanging(folder: Path, rounds: Sequence[str], *, warm: int = WARM) -> Iterator[Exchange]:
    """Start the three for these rounds (`sender_process` says how they are written), after one to warm up; check at the end."""
    asked = [Asked.of(word) for word in rounds]
    words = [str(warm), *rounds]
    world = made_world(folder, begins=start_anew)
    broker = world.start_broker()
    sending = world.start_python("XAR", HERE / "sender_process.py", "XAR/n1", AGREEMENT, *words)
    counts = [str(Asked.of(word).count) for word in words]
    receiving = world.start_python("XBO", HERE / "receiver_process.py", "XBO/n1", *counts)
    with ending(broker, sending, receiving):
        exchange = Exchange(world, broker, sending, receiving, [Asked.of(str(warm)), *asked])
        for one in (sending, receiving):
            one.wait_for(lambda one=one: one.records, "it is connected")
        exchange.round()
        yield exchange
        assert not exchange.waiting, f"{len(exchange.waiting)} rounds were not run"
        for one in (sending, receiving):
            one.done(seconds=PATIENCE_SECONDS)
        assert broker.stop() == 0, broker.tail
    check_stored(world, exchange.sent)


def check_stored(world: World, count: int, agreement: str = AGREEMENT) -> None:
    """See that so many reports are in the store of a broker that has stopped."""
    stored = read_store(world.data, agreement)
    assert len(stored.reports) == count, f"{len(stored.reports)} reports are stored, {count} were sent"


def split_us(rounds: Sequence[Round]) -> dict[str, float]:
    """Give the median processor time a report, by process, in microseconds."""
    return {name: round(median(one.cpu_us[name] for one in rounds), 1) for name in rounds[0].cpu}


def common(rounds: Sequence[Round]) -> dict[str, object]:
    """Give what every whole-path row says of how it was measured."""
    peaks = {name: max(one.peak_mib[name] for one in rounds) for name in rounds[0].peak_mib}
    return {"reports": rounds[0].reports, "rounds": len(rounds), "cores": os.cpu_count(), "peak_mib": peaks}
