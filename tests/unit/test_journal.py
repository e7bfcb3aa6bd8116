"""Group commit: the order in which units take effect, and who is told what."""

import asyncio
import threading
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders_journal import FLASH, Fatal, Gate, event, journals, names, submitted
from builders_storage import AGREEMENT, OTHER, acknowledgement, failing, opening, report_id, segment
from comity.errors import ConflictError
from comity_broker.journal import DEFAULT_LIMITS, FaultPoint, Journal
from comity_broker.storage.protocol import Committed, Reads, Refused
from comity_broker.storage.sqlite import open_storage


@pytest.fixture
async def place(tmp_path):
    with journals(tmp_path) as place:
        yield place


@pytest.fixture
def storage(place):
    return place[1]


@pytest.fixture
def start(place):
    return place[2]


# --- order --------------------------------------------------------------------------------------------------------------


async def test_what_is_urgent_is_written_before_what_waits_already(storage, start):
    gate = Gate(FaultPoint.BEFORE_COMMIT)
    journal = start(gate)
    tasks = await submitted(journal, event("first"))
    await gate.until_reached()
    tasks += await submitted(journal, event("routine"), event("priority", 3), event("recall", 0), event("flash", FLASH))
    gate.open()
    await asyncio.gather(*tasks)
    assert await names(storage) == ["first", "recall", "flash", "priority", "routine"]


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from([AGREEMENT, OTHER])), max_size=40), st.integers(1, 70))
def test_equals_keep_the_order_in_which_they_were_submitted(tmp_path_factory, submissions, units):
    async def run():
        with open_storage(tmp_path_factory.mktemp("store"), create=True) as storage:
            storage.writer.commit([opening(), opening(OTHER)])
            gate, fatal = Gate(FaultPoint.BEFORE_COMMIT), Fatal()
            limits = replace(DEFAULT_LIMITS, units=units)
            journal = Journal(storage.writer, on_fatal=fatal, faults=gate, limits=limits)
            journal.start()
            tasks = await submitted(journal, event("first"))
            await gate.until_reached()
            tasks += await submitted(
                journal, *(event(str(n), urgency, shard) for n, (urgency, shard) in enumerate(submissions))
            )
            gate.open()
            await asyncio.gather(*tasks)
            for shard in (AGREEMENT, OTHER):
                mine = [(urgency, n) for n, (urgency, where) in enumerate(submissions) if where == shard]
                expected = ["first"] * (shard == AGREEMENT) + [str(n) for _, n in sorted(mine)]
                assert await names(storage, shard) == expected
            journal.stop()
            assert fatal.errors == []

    asyncio.run(run())


async def test_a_commit_closes_after_the_unit_in_hand_when_something_urgent_comes(storage, start):
    building, go_on = threading.Event(), threading.Event()
    gate = Gate(FaultPoint.BEFORE_COMMIT)
    journal = start(gate)
    tasks = await submitted(
        journal, event("r1", before=lambda: (building.set(), go_on.wait())), *map(event, ("r2", "r3"))
    )
    await gate.until_reached()
    gate.open()
    await asyncio.to_thread(building.wait)
    tasks += await submitted(journal, event("flash", FLASH))
    go_on.set()
    await asyncio.gather(*tasks)
    assert await names(storage) == ["r1", "flash", "r2", "r3"]


async def test_one_that_can_wait_goes_into_every_commit_however_much_is_urgent(storage, start):
    building, go_on = threading.Event(), threading.Event()
    gate = Gate(FaultPoint.BEFORE_COMMIT)
    journal = start(gate)
    tasks = await submitted(journal, event("first"))
    await gate.until_reached()
    tasks += await submitted(
        journal, event("r1"), event("r2"), event("f1", FLASH, before=lambda: (building.set(), go_on.wait()))
    )
    gate.open()
    await asyncio.to_thread(building.wait)
    tasks += await submitted(journal, event("f2", FLASH))
    go_on.set()
    await asyncio.gather(*tasks)
    assert await names(storage) == ["first", "f1", "r1", "f2", "r2"]


@pytest.mark.parametrize(
    ("limits", "units", "commits"),
    [
        ({"units": 4}, [event(str(n)) for n in range(10)], 3),
        ({"reports": 10}, [segment(1 + 10 * n, 5) for n in range(6)], 3),
        ({"reports": 10}, [segment(1 + 100 * n, 50) for n in range(3)], 3),
        ({"size_bytes": 1_000}, [segment(1 + 10 * n, 2, weight=600) for n in range(3)], 3),
        ({}, [segment(1 + 10 * n, 5) for n in range(6)], 1),
    ],
)
async def test_a_commit_takes_what_waits_within_its_limits(storage, start, limits, units, commits):
    gate = Gate(FaultPoint.BEFORE_COMMIT)
    journal = start(gate, **limits)
    tasks = await submitted(journal, event("first"))
    await gate.until_reached()
    tasks += await submitted(journal, *units)
    gate.open()
    assert all(isinstance(outcome, Committed) for outcome in await asyncio.gather(*tasks))
    assert gate.passed[FaultPoint.AFTER_COMMIT] == 1 + commits


# --- who is told --------------------------------------------------------------------------------------------------------


async def test_each_waiter_gets_its_own_outcome_in_the_order_it_asked(start):
    journal = start()
    units = [segment(1), failing(ConflictError("no")), acknowledgement(1), segment(1), segment(100)]
    outcomes = await journal.submit_many(units)
    assert [type(outcome) for outcome in outcomes] == [Committed, Refused, Committed, Refused, Committed]
    assert [outcome.result for outcome in (outcomes[0], outcomes[4])] == [1, 2]


async def test_a_waiter_that_goes_away_takes_nothing_with_it(storage, start):
    gate = Gate(FaultPoint.BEFORE_COMMIT)
    journal = start(gate)
    tasks = await submitted(journal, event("first"), event("gone"), event("last"))
    await gate.until_reached()
    tasks[1].cancel()
    gate.open()
    await asyncio.gather(tasks[0], tasks[2])
    assert tasks[1].cancelled()
    assert await names(storage) == ["first", "gone", "last"]


async def test_what_is_told_is_in_the_store_already(storage, start):
    journal = start()
    for number in range(20):
        await journal.submit(segment(1 + 10 * number))
        known = await storage.reader.known(AGREEMENT, Reads(report_ids=[report_id(1 + 10 * number)]))
        assert len(known.reports) == 1


async def test_no_more_than_the_limit_waits_and_what_is_urgent_has_room_of_its_own(storage, start):
    gate = Gate(FaultPoint.BEFORE_COMMIT)
    journal = start(gate, waiting=2, urgent_waiting=1, units=1)
    tasks = await submitted(journal, *map(event, ("r1", "r2", "r3", "r4")))
    await gate.until_reached()
    tasks += await submitted(journal, event("f1", FLASH), event("f2", FLASH))
    gate.open()
    await asyncio.gather(*tasks)
    written = await names(storage)
    assert written.index("f1") == 1
    assert [name for name in written if name[0] == "r"] == ["r1", "r2", "r3", "r4"]
