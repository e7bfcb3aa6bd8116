"""Killing processes at named points by turns, under load, and what the checker says of all of it.

with Arena(made_world(tmp_path)) as arena:
    print(kill_at_points(arena, kills=200))
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from fault_arena import Arena
from fault_checker import Finding
from fault_points import BROKER_POINTS, RECEIVER_POINTS, SENDER_POINTS, Point

# Reports that every consumer acknowledges between two kills, so that each falls while all of it is under way.
BETWEEN = 10
TOLD_EVERY = 10


@dataclass(frozen=True)
class Summary:
    """What happened: how many kills fell at each point, and what the checker found."""

    fell: Counter[str]
    findings: list[Finding]
    receipts: int
    acknowledged: int
    checkpoints: int

    def __str__(self) -> str:
        places = ", ".join(f"{self.fell[point]} {point}" for point in Point if self.fell[point])
        found = "\n".join(map(str, self.findings)) or "nothing lost, duplicated, reordered or resurrected"
        return (
            f"{sum(self.fell.values())} kills at named points: {places}. {self.receipts} receipts, "
            f"{self.acknowledged} acknowledgements, {self.checkpoints} checkpoints: {found}."
        )


def turns() -> list[tuple[str, Point]]:
    """Give every point with the process that has it; a broker's points are most of them, and a node's come between."""
    nodes = [*(("receiver", point) for point in RECEIVER_POINTS), *(("sender", point) for point in SENDER_POINTS)]
    taken = []
    for number, point in enumerate(BROKER_POINTS):
        taken.append(("broker", point))
        if number < len(nodes):
            taken.append(nodes[number])
    return taken


def kill_at_points(arena: Arena, kills: int) -> Summary:
    """Kill so many times, by turns, each time a little deeper into the stream; settle and judge."""
    arena.start()
    arena.start_watcher()
    order = turns()
    for number in range(kills):
        name, point = order[number % len(order)]
        arena.kill_at(name, point, 1 + number % 4)
        arena.restart(name)
        arena.progress(BETWEEN)
        if (number + 1) % TOLD_EVERY == 0:
            print(f"{number + 1} kills", flush=True)
    findings = arena.settle()
    history = arena.history
    return Summary(arena.kills, findings, len(history.receipts), history.acknowledged, len(history.checkpoints))
