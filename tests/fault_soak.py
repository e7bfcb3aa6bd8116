"""A soak: an exchange at a steady rate while connections come and go, and what every process has open all the while.

    print(soak(Arena(made_world(tmp_path), rate=1000), seconds=1200))

The broker, which is sealed, says itself what it has (SIGUSR2, `fault_broker.counts`); of the nodes the kernel says it.
"""

from __future__ import annotations

import json
import signal
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

from fault_arena import Arena
from processes import Process, until

PROCESSES = ("broker", "sender", "receiver")
FLAT = 0.05
# What is open for a moment: a connection that comes while the one before it is still being closed, and its tasks.
SLACK = {"tasks": 12, "threads": 2, "descriptors": 6}
_LOOK_SECONDS = 1.0
_DROP_EVERY = 5

Counts = dict[str, int]


@dataclass(frozen=True)
class Soaked:
    """Looks at each process after the warm-up (the first half), in two halves: what was open in the first, what in the second."""

    seconds: float
    acknowledged: int
    early: dict[str, list[Counts]]
    late: dict[str, list[Counts]]

    def growth(self, name: str) -> float:
        """By how much a process's resident memory grew between the two halves, as a part of it."""
        before, after = (
            statistics.median(one["resident_kib"] for one in looks[name]) for looks in (self.early, self.late)
        )
        return after / before - 1

    def leaks(self) -> list[str]:
        """Give what grew more than it may."""
        found = [f"{name}: memory grew by {self.growth(name):.1%}" for name in PROCESSES if self.growth(name) > FLAT]
        for name in PROCESSES:
            for what, slack in SLACK.items():
                before = max(one.get(what, 0) for one in self.early[name])
                after = min(one.get(what, 0) for one in self.late[name])
                # What is leaked is never given back: even the lowest look is above all of before.
                if after > before + slack:
                    found.append(f"{name}: {what} grew from at most {before} to at least {after}")
        return found

    def __str__(self) -> str:
        told = ", ".join(
            f"{name} {self.late[name][-1]['resident_kib'] // 1024} MiB ({self.growth(name):+.1%}), "
            + ", ".join(f"{value} {what}" for what, value in self.late[name][-1].items() if what != "resident_kib")
            for name in PROCESSES
        )
        return f"{self.seconds:.0f} s, {self.acknowledged} acknowledgements; at the end {told}"


def soak(arena: Arena, seconds: float) -> Soaked:
    """Run for so long; resets the connections of both nodes by turns all the while."""
    arena.start()
    looks: list[tuple[float, dict[str, Counts]]] = []
    began = time.monotonic()
    while (gone := time.monotonic() - began) < seconds:
        looks.append((gone, {name: look(arena, name) for name in PROCESSES}))
        if len(looks) % _DROP_EVERY == 0:
            arena.wires[("sender", "receiver")[len(looks) // _DROP_EVERY % 2]].drop()
        arena.progress(1)
        next_look = began + gone + _LOOK_SECONDS
        until(lambda at=next_look: time.monotonic() > at, "the next look")
    warm = [one for gone, one in looks if gone >= seconds / 2]
    early, late = warm[: len(warm) // 2], warm[len(warm) // 2 :]

    def by_name(some: list[dict[str, Counts]]) -> dict[str, list[Counts]]:
        return {name: [one[name] for one in some] for name in PROCESSES}

    return Soaked(seconds, arena.history.acknowledged, by_name(early), by_name(late))


def look(arena: Arena, name: str) -> Counts:
    """Give what a process has open now."""
    process = arena.process(name)
    return _asked(arena, process) if name == "broker" else _seen(process)


def _asked(arena: Arena, broker: Process) -> Counts:
    path = arena.world.path / "counts.json"
    path.unlink(missing_ok=True)
    broker.signal(signal.SIGUSR2)
    broker.wait_for(path.exists, "its counts")
    return json.loads(path.read_text())


def _seen(process: Process) -> Counts:
    status = process.status
    descriptors = len(list(Path(f"/proc/{process.pid}/fd").iterdir()))
    return {
        "threads": int(status["Threads"]),
        "descriptors": descriptors,
        "resident_kib": int(status["VmRSS"].split()[0]),
    }
