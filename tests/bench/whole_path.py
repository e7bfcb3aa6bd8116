"""The whole path, as fast as it goes: sender, broker and receiver as processes of their own, mTLS on loopback, a data directory on disk.

Each report is of 1 KiB, sealed for one recipient node, signed, decided on at egress, admission and opening, durable with its audit
entry before its receipt, delivered, verified, opened, and acknowledged with a signature. After some to warm up, the same number is
sent a few times; the value is the median. Processor time is what the three processes used for one round, user and system, all threads.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from results import A_SECOND, Row
from sender_process import REPORT_BYTES

from kill_oracle import read_store
from processes import Broker, Process, ending
from world_files import AGREEMENT, World, build_world

END_TO_END = 4_000.0
CPU_US = 500.0
ROUNDS = 3
WARM = 1_024
_HERE = Path(__file__).parent
_PATIENCE_SECONDS = 600.0


@dataclass(frozen=True)
class Round:
    """One round: from the first report made to the last one acknowledged by its application, in seconds."""

    seconds: float
    seconds_to_receipt: float
    cpu: dict[str, float]
    peak_mib: dict[str, int]


def whole_path(folder: Path, reports: int, rounds: int = ROUNDS) -> dict[str, Row]:
    """Measure rounds of so many reports each."""
    world = build_world(folder / "world")
    warm = min(WARM, reports)
    counts = [str(count) for count in (warm, *[reports] * rounds)]
    load = os.getloadavg()[0]
    broker = world.start_broker()
    sending = world.start_python("XAR", _HERE / "sender_process.py", "XAR/n1", AGREEMENT, *counts)
    receiving = world.start_python("XBO", _HERE / "receiver_process.py", "XBO/n1", *counts)
    with ending(broker, sending, receiving):
        for one in (sending, receiving):
            one.wait_for(lambda one=one: one.records, "it is connected")
        found = [_round(broker, sending, receiving) for _ in counts]
        for one in (sending, receiving):
            one.done(seconds=_PATIENCE_SECONDS)
        assert broker.stop() == 0, broker.tail
    _check(world, warm + reports * rounds)
    peaks = {name: max(one.peak_mib[name] for one in found) for name in found[0].peak_mib}
    return _rows(found[1:], reports, {"load_before": round(load, 2), "peak_mib": peaks})


def _round(broker: Broker, sending: Process, receiving: Process) -> Round:
    """Have the sender send its next lot; wait until the receiver has acknowledged all of it."""
    sent, received = len(sending.records), len(receiving.records)
    broker_cpu = broker.cpu_seconds
    sending.signal(signal.SIGUSR1)
    receiving.wait_for(lambda: len(receiving.records) > received, "every report", seconds=_PATIENCE_SECONDS)
    sending.wait_for(lambda: len(sending.records) > sent, "every receipt", seconds=_PATIENCE_SECONDS)
    told, got = sending.records[-1], receiving.records[-1]
    running = {"sender": sending, "broker": broker, "receiver": receiving}
    peaks = {name: one.peak_kib // 1024 for name, one in running.items()}
    before = receiving.records[received - 1].get("cpu", got["cpu"])
    return Round(
        got["at"] - told["began"],
        told["ended"] - told["began"],
        {"sender": told["cpu"], "broker": broker.cpu_seconds - broker_cpu, "receiver": got["cpu"] - before},
        peaks,
    )


def _check(world: World, count: int) -> None:
    """Everything that was measured has to be there: a benchmark of something lost says nothing."""
    stored = read_store(world.data, AGREEMENT)
    assert len(stored.reports) == count, f"{len(stored.reports)} reports are stored, {count} were sent"


def _rows(rounds: list[Round], reports: int, more: dict[str, object]) -> dict[str, Row]:
    rates = [reports / one.seconds for one in rounds]
    cpu = [sum(one.cpu.values()) / reports * 1e6 for one in rounds]
    split = {name: round(median(one.cpu[name] for one in rounds) / reports * 1e6, 1) for name in rounds[0].cpu}
    common = {"reports": reports, "rounds": len(rounds), "report_bytes": REPORT_BYTES, "cores": os.cpu_count(), **more}
    return {
        "end_to_end": Row(
            median(rates),
            A_SECOND,
            END_TO_END,
            {
                **common,
                "by_round": [round(rate, 1) for rate in rates],
                "to_receipt": round(median(reports / one.seconds_to_receipt for one in rounds), 1),
            },
        ),
        "cpu_per_report": Row(
            median(cpu),
            "us/report",
            CPU_US,
            {"split": split, "by_round": [round(one, 1) for one in cpu], "reports": reports},
        ),
    }
