"""Random schedules of faults, each from a seed that is printed and gives the same schedule again (`make faults SEED=n`).

`make test` runs the seeds of `SMOKE`; `make faults` runs `SCHEDULES` of them, one after the other from a first seed that it draws and prints.
"""

import os

import pytest

from fault_arena import Arena
from fault_schedule import PROCESSES, Act, run, schedule
from processes import until
from world_files import made_world

SCHEDULES = int(os.environ.get("COMITY_SCHEDULES", "0"))
SEED = os.environ.get("COMITY_SEED", "")
# What the short version does in one world: a kill at a point, a partition and a pause among them.
SMOKE = (18, 20, 17)


def seeds() -> list[int]:
    """The seeds of this run: the named one, as many as asked for, or none."""
    if SEED:
        return [int(SEED)]
    first = int(os.environ.get("COMITY_SEEDS_FROM", "1"))
    return [first + number for number in range(SCHEDULES)]


def exchange_with(path, seed: int, steps: int) -> tuple[str, list[str]]:
    """Run one schedule in a world of its own; gives what was done, and what the checker found."""
    planned = schedule(seed, steps)
    told = f"seed {seed}: {'; '.join(map(str, planned))}"
    print(f"\n{told}", flush=True)
    with Arena(made_world(path)) as arena:
        arena.start()
        for step in planned:
            run(step, arena)
        return told, [str(finding) for finding in arena.settle()]


@pytest.mark.skipif(not (SCHEDULES or SEED), reason="the long version: make faults (the short one is below)")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", seeds())
def test_a_random_schedule_loses_repeats_and_reorders_nothing(tmp_path, seed):
    told, findings = exchange_with(tmp_path, seed, 4)
    assert findings == [], told


@pytest.mark.timeout(300)
def test_three_short_schedules_lose_repeat_and_reorder_nothing(tmp_path, capsys):
    steps = [step for seed in SMOKE for step in schedule(seed, 1)]
    with Arena(made_world(tmp_path)) as arena:
        arena.start()
        for step in steps:
            run(step, arena)
        _cut_off_what_was_restarted(arena)
        findings = arena.settle()
    with capsys.disabled():
        print(f"\nseeds {SMOKE}: {'; '.join(map(str, steps))}; {arena.history.acknowledged} acknowledgements")
    assert findings == []


def _cut_off_what_was_restarted(arena: Arena) -> None:
    """A node that finds no broker at its start ends, as it should: what follows a restart waits until it is connected."""
    arena.kill("sender")
    arena.restart("sender")
    wire = arena.wires["sender"]
    wire.cut()
    before = wire.accepted
    until(lambda: wire.accepted > before, "the sender to try")
    wire.mend()
    arena.progress(1)


def test_a_seed_gives_the_same_schedule_again():
    assert schedule(17, 20) == schedule(17, 20)
    assert schedule(17, 20) != schedule(18, 20)


def test_schedules_draw_every_act_and_every_process():
    drawn = [step for seed in range(200) for step in schedule(seed)]
    assert {step.act for step in drawn} == set(Act)
    assert {step.whom for step in drawn if step.whom} == set(PROCESSES)
