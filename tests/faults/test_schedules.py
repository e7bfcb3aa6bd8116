"""Random schedules of faults, each from a seed that is printed and gives the same schedule again (`make faults SEED=n`).

`make test` runs the seeds of `SMOKE`; `make faults` runs `SCHEDULES` of them from a first seed that it draws and prints, `TOGETHER` of
them one after the other in one world: to begin and to settle costs more than a schedule.
"""

import os

import pytest

from fault_arena import CAMPAIGN_RATE, Arena
from fault_schedule import PROCESSES, Act, run, schedule
from processes import until
from world_files import made_world

SCHEDULES = int(os.environ.get("COMITY_SCHEDULES", "0"))
SEED = os.environ.get("COMITY_SEED", "")
# What the short version does in one world: a kill at a point, a partition and a pause among them.
SMOKE = (18, 20, 17)
TOGETHER = 5


def worlds() -> list[range]:
    """The seeds of this run by world: the named one, as many as asked for, or none."""
    if SEED:
        return [range(int(SEED), int(SEED) + 1)]
    first = int(os.environ.get("COMITY_SEEDS_FROM", "1"))
    last = first + SCHEDULES
    return [range(one, min(one + TOGETHER, last)) for one in range(first, last, TOGETHER)]


@pytest.mark.skipif(not (SCHEDULES or SEED), reason="the long version: make faults (the short one is below)")
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("seeds", worlds(), ids=lambda seeds: f"{seeds[0]}-{seeds[-1]}")
def test_random_schedules_lose_repeat_and_reorder_nothing(tmp_path, seeds):
    with Arena(made_world(tmp_path), rate=CAMPAIGN_RATE) as arena:
        arena.start()
        for seed in seeds:
            planned = schedule(seed)
            print(f"\nseed {seed}: {'; '.join(map(str, planned))}", flush=True)
            for step in planned:
                run(step, arena)
        findings = arena.settle()
        print(f"{arena.history.acknowledged} acknowledgements", flush=True)
    assert findings == []


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
