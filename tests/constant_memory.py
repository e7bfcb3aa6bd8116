"""Sending many reports in one go, and how the memory of every process grows with them.

growth = memory_growth(tmp_path, reports=10_000)
growth.over(10 * 1024)          # those that grew by more than 10 MiB after the first thousand, in KiB
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kill_brokers import numbered_directories
from processes import ending, start_anew
from world_files import made_world

BASE = 1_000
LIMIT_KIB = 10 * 1024


@dataclass(frozen=True)
class Growth:
    """Peak memory (VmHWM, KiB) of each process: after the first `BASE` reports, and what came on top until the end."""

    reports: int
    base: dict[str, int]
    more: dict[str, int]

    def over(self, limit_kib: int) -> dict[str, int]:
        return {name: kib for name, kib in self.more.items() if kib > limit_kib}

    def __str__(self) -> str:
        told = ", ".join(
            f"{name} {self.base[name] / 1024:.0f} + {self.more[name] / 1024:.1f} MiB" for name in self.base
        )
        return f"{self.reports} reports in one go; peak memory after {BASE}, and what came on top: {told}"


def memory_growth(path: Path, reports: int) -> Growth:
    """Send a directory of so many reports of 1 KiB with `comity send`, receive them with `comity receive`."""
    world = made_world(path / "world", begins=start_anew)
    directory = next(numbered_directories(path / "reports", reports))
    broker = world.start_broker()
    receiving = world.receive("--follow")
    sending = world.send(directory)
    running = {"broker": broker, "sender": sending, "receiver": receiving}
    base: dict[str, int] = {}
    peak = dict.fromkeys(running, 0)
    with ending(*running.values()):

        def through(count: int) -> bool:
            come = {"broker": len(receiving.lines), "sender": len(sending.lines), "receiver": len(receiving.lines)}
            for name, process in running.items():
                # A process that has ended says 0: what it had last is what it had at most.
                peak[name] = max(peak[name], process.peak_kib)
                if come[name] >= BASE:
                    base.setdefault(name, peak[name])
            return min(come.values()) >= count

        receiving.wait_for(lambda: through(reports), f"{reports} reports", seconds=900)
        sending.done()
        last = sending.records[-1]
        assert last["accepted"] == reports
        assert last["reports_per_second"] > 0, "the rate is told at the end"
    return Growth(reports, base, {name: peak[name] - base[name] for name in running})
