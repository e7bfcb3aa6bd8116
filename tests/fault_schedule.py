"""Schedules of faults from a seed: what happens, to whom, after how much progress. Pure: the same seed gives the same schedule.

    for step in schedule(seed=7):
        print(step)             # after 12: kill broker at after-commit (2)
        run(step, arena)

Each step is done while reports flow, and mended before the next one, but for what the step leaves behind (a clock that stepped).
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from fault_arena import UNKNOWN, Arena
from fault_points import BROKER_POINTS, RECEIVER_POINTS, SENDER_POINTS, Point
from processes import until

STEPS = 4
# Longer than a delivery's deadline in the arena, which is a second.
LONGER_SECONDS = 1.5
PROCESSES = ("broker", "sender", "receiver")
WIRES = ("sender", "receiver")


class Act(StrEnum):
    """What is done."""

    KILL_AT = "kill at a point"
    KILL = "kill"
    RESTART = "stop in order and start"
    PAUSE = "stop for longer than a deadline"
    DROP = "reset the connections of"
    CUT = "cut off"
    PARTITION = "partition"
    HALF_OPEN = "half-open the connections of"
    DELAY = "delay everything of"
    FLIP = "flip a bit on the wire of"
    CLOCK = "step every clock"
    IO_ERROR = "fail the disk under"


@dataclass(frozen=True)
class Step:
    """One fault: what is done to whom, after how many more acknowledgements; `detail` and `times` say where exactly."""

    after: int
    act: Act
    whom: str
    detail: str = ""
    times: int = 1

    def __str__(self) -> str:
        where = f" ({self.detail}, {self.times})" if self.detail else ""
        return f"after {self.after}: {self.act} {self.whom}{where}"


def schedule(seed: int, steps: int = STEPS) -> tuple[Step, ...]:
    """Give the schedule of a seed."""
    chance = random.Random(seed)
    return tuple(_step(chance) for _ in range(steps))


def _step(chance: random.Random) -> Step:
    after = chance.randint(1, 30)
    act = chance.choices(tuple(_DRAWN), [weight for weight, _ in _DRAWN.values()])[0]
    whom, detail, times = _DRAWN[act][1](chance)
    return Step(after, act, whom, detail, times)


_Drawn = tuple[str, str, int]


def _draw_point(chance: random.Random) -> _Drawn:
    name = chance.choices(PROCESSES, (3, 1, 1))[0]
    points = {"broker": BROKER_POINTS, "receiver": RECEIVER_POINTS, "sender": SENDER_POINTS}[name]
    return name, chance.choice(points), chance.randint(1, 6)


def _draw_from(*names: str) -> Callable[[random.Random], _Drawn]:
    return lambda chance: (chance.choice(names), "", 1)


def _draw_way(chance: random.Random) -> _Drawn:
    return chance.choice(WIRES), chance.choice(("up", "down")), 1


def _draw_hours(chance: random.Random) -> _Drawn:
    return "", chance.choice(("forward", "back")), 1


def _draw_error(chance: random.Random) -> _Drawn:
    return "broker", chance.choice(("write", "sync")), chance.randint(1, 4)


_DRAWN: dict[Act, tuple[int, Callable[[random.Random], _Drawn]]] = {
    Act.KILL_AT: (8, _draw_point),
    Act.KILL: (3, _draw_from(*PROCESSES)),
    Act.RESTART: (1, _draw_from("broker", "receiver")),
    Act.PAUSE: (3, _draw_from(*PROCESSES)),
    Act.DROP: (3, _draw_from(*WIRES)),
    Act.CUT: (2, _draw_from(*WIRES)),
    Act.PARTITION: (3, _draw_from(*WIRES)),
    Act.HALF_OPEN: (2, _draw_way),
    Act.DELAY: (1, _draw_from(*WIRES)),
    Act.FLIP: (1, _draw_from(*WIRES)),
    Act.CLOCK: (1, _draw_hours),
    Act.IO_ERROR: (2, _draw_error),
}


# --- doing it -------------------------------------------------------------------------------------------------------


def run(step: Step, arena: Arena) -> None:
    """Wait for the step's moment, do it, and mend what can be mended."""
    arena.progress(step.after)
    _DONE[step.act](step, arena)


def _kill_at(step: Step, arena: Arena) -> None:
    arena.kill_at(step.whom, Point(step.detail), step.times)
    arena.restart(step.whom)


def _kill(step: Step, arena: Arena) -> None:
    arena.kill(step.whom)
    arena.restart(step.whom)


def _restart(step: Step, arena: Arena) -> None:
    process = arena.process(step.whom)
    arena.ready(step.whom)
    assert process.stop() == 0, process.tail
    arena.restart(step.whom)


def _pause(step: Step, arena: Arena) -> None:
    with arena.paused(step.whom):
        pass_time(LONGER_SECONDS)


def _drop(step: Step, arena: Arena) -> None:
    arena.wires[step.whom].drop()


def _broken(breaking: Callable[[Step, Arena], None]) -> Callable[[Step, Arena], None]:
    def run_broken(step: Step, arena: Arena) -> None:
        breaking(step, arena)
        pass_time(LONGER_SECONDS)
        arena.wires[step.whom].mend()

    return run_broken


def _delay(step: Step, arena: Arena) -> None:
    arena.wires[step.whom].delay(0.1)
    arena.progress(5)
    arena.wires[step.whom].mend()


def _flip(step: Step, arena: Arena) -> None:
    wire = arena.wires[step.whom]
    before = wire.garbled
    wire.flip()
    until(lambda: wire.garbled > before, "a flipped bit")


def _clock(step: Step, arena: Arena) -> None:
    arena.step_clocks(1 if step.detail == "forward" else -1)


def _io_error(step: Step, arena: Arena) -> None:
    broker = arena.process("broker")
    arena.arm("broker", disk={"error": "io", "kinds": [step.detail], "after": step.times, "times": 1})
    until(lambda: arena.listen() and broker.exit_code is not None, "the broker to end on an I/O error", seconds=120)
    assert broker.exit_code == UNKNOWN, broker.tail
    arena.disarm("broker")
    arena.restart("broker")


def pass_time(seconds: float) -> None:
    """Wait until so much time has passed: a deadline, a heartbeat and a patience are of time."""
    end = time.monotonic() + seconds
    until(lambda: time.monotonic() > end, "time to pass")


_DONE: dict[Act, Callable[[Step, Arena], None]] = {
    Act.KILL_AT: _kill_at,
    Act.KILL: _kill,
    Act.RESTART: _restart,
    Act.PAUSE: _pause,
    Act.DROP: _drop,
    Act.CUT: _broken(lambda step, arena: arena.wires[step.whom].cut()),
    Act.PARTITION: _broken(lambda step, arena: arena.wires[step.whom].partition()),
    Act.HALF_OPEN: _broken(lambda step, arena: arena.wires[step.whom].half_open(step.detail)),
    Act.DELAY: _delay,
    Act.FLIP: _flip,
    Act.CLOCK: _clock,
    Act.IO_ERROR: _io_error,
}
