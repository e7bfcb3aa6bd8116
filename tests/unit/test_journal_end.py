"""When a journal must end the broker, how it stops, and when it moves the write-ahead log back."""

import asyncio
import threading

import apsw
import pytest

from builders_journal import Broken, Clock, Gate, Turnstile, event, journals, names, submitted
from builders_storage import segment
from comity.errors import ErrorCode, StorageError, UnreachableError
from comity_broker.counts import percentile_seconds
from comity_broker.journal import FaultPoint
from faulty_vfs import Fault


@pytest.fixture
async def place(tmp_path):
    with journals(tmp_path) as place:
        yield place


@pytest.fixture
def vfs(place):
    return place[0]


@pytest.fixture
def storage(place):
    return place[1]


@pytest.fixture
def start(place):
    return place[2]


# --- the end ------------------------------------------------------------------------------------------------------------


async def test_stopping_writes_what_is_queued_and_takes_nothing_more(storage, start):
    journal = start(units=1)
    tasks = await submitted(journal, *(event(str(n)) for n in range(20)))
    journal.stop()
    with pytest.raises(UnreachableError) as caught:
        await journal.submit(event("late"))
    assert caught.value.code is ErrorCode.DRAINING
    assert caught.value.retry_after_seconds
    await asyncio.gather(*tasks)
    assert await names(storage) == [str(n) for n in range(20)]
    assert storage.writer.backlog_bytes == 0


async def test_an_unknown_outcome_is_fatal_and_nobody_is_told_anything(start, vfs):
    gate = Gate(FaultPoint.BEFORE_COMMIT)
    journal = start(gate)
    waiting = await submitted(journal, event("unknown"), event("queued behind it"))
    await gate.until_reached()
    vfs.fault = Fault(apsw.IOError, ("sync",), "-wal")
    gate.open()
    assert isinstance(await journal.fatal.error(), apsw.IOError)
    with pytest.raises(StorageError) as caught:
        await journal.submit(event("late"))
    assert caught.value.retry_after_seconds
    assert not any(task.done() for task in waiting)
    journal.stop()
    assert journal.fatal.errors == [], "it is said once"


async def test_the_death_of_the_writer_is_fatal(start):
    journal = start(Broken())
    waiting = await submitted(journal, event("committed, and then"))
    assert isinstance(await journal.fatal.error(), MemoryError)
    assert not waiting[0].done()


async def test_a_commit_that_does_not_finish_while_work_waits_is_fatal(start):
    clock, gate = Clock(), Gate(FaultPoint.BEFORE_COMMIT)
    journal = start(gate, monotonic=clock, watch_seconds=0.001)
    clock.now = 1_000.0
    assert journal.stalled_seconds() == 0, "an idle broker is not stuck"
    waiting = await submitted(journal, event("stuck"))
    await gate.until_reached()
    clock.now = 1_009.0
    assert journal.stalled_seconds() == 9
    assert journal.fatal.errors == []
    clock.now = 1_010.5
    assert isinstance(await journal.fatal.error(), StorageError)
    gate.open()
    await asyncio.to_thread(journal._thread.join)
    await asyncio.sleep(0)
    assert not waiting[0].done(), "what comes after is told to nobody"


async def test_what_fails_after_that_is_not_said_again(start):
    class StuckThenBroken(Gate):
        def reach(self, point):
            super().reach(point)
            raise MemoryError

    clock, gate = Clock(), StuckThenBroken(FaultPoint.BEFORE_COMMIT)
    journal = start(gate, monotonic=clock, watch_seconds=0.001)
    await submitted(journal, event("stuck"))
    await gate.until_reached()
    clock.now = 11.0
    assert isinstance(await journal.fatal.error(), StorageError)
    gate.open()
    await asyncio.to_thread(journal._thread.join)
    assert journal.fatal.errors == []


async def test_each_commit_that_finishes_starts_the_waiting_of_the_rest_anew(start):
    clock, turnstile = Clock(), Turnstile()
    journal = start(turnstile, monotonic=clock, units=1)
    tasks = await submitted(journal, event("first"), event("second"))
    await turnstile.arrival()
    clock.now = 9.0
    turnstile.let_one()
    await turnstile.arrival()
    clock.now = 12.0
    assert journal.stalled_seconds() == 3
    turnstile.let_one()
    await asyncio.gather(*tasks)
    assert journal.stalled_seconds() == 0


async def test_a_commit_that_finishes_ends_the_waiting(start):
    clock = Clock()
    journal = start(monotonic=clock)
    for _ in range(5):
        clock.now += 9
        assert journal.last_commit_age() >= 9
        await journal.submit(event("done"))
        assert journal.last_commit_age() == journal.stalled_seconds() == 0


# --- the write-ahead log ------------------------------------------------------------------------------------------------


async def test_the_write_ahead_log_is_moved_back_when_nothing_comes(storage, start):
    class Checkpoints:
        done = threading.Semaphore(0)

        def reach(self, point):
            if point is FaultPoint.AFTER_CHECKPOINT:
                self.done.release()

    checkpoints = Checkpoints()
    journal = start(checkpoints, idle_backlog_bytes=1, idle_seconds=0.001)
    await journal.submit(segment(1))
    while storage.writer.backlog_bytes:
        await asyncio.to_thread(checkpoints.done.acquire)


async def test_a_long_write_ahead_log_is_moved_back_while_work_waits(storage, start):
    gate = Gate()
    journal = start(gate, backlog_bytes=1 << 20, units=1)
    await journal.submit_many([segment(1 + 10 * n, 8, weight=30_000) for n in range(20)])
    assert gate.passed[FaultPoint.AFTER_CHECKPOINT] >= 2
    assert storage.writer.backlog_bytes < 2 << 20


async def test_a_full_disk_does_not_make_it_try_again_for_ever(start, vfs):
    gate = Gate()
    journal = start(gate, backlog_bytes=1 << 18, units=1)
    vfs.fault = Fault(apsw.FullError, ("write",), ".sqlite", times=float("inf"))
    await journal.submit_many([event(str(n)) for n in range(40)])
    assert 1 <= gate.passed[FaultPoint.AFTER_CHECKPOINT] <= 20
    vfs.fault = None


async def test_what_was_written_and_how_long_it_took_is_counted(start):
    journal = start()
    assert journal.numbers().durations.number == 0
    for number in range(10):
        await journal.submit(event(str(number)))
    numbers = journal.numbers()
    assert (numbers.durations.number, numbers.units, numbers.waiting) == (10, 10, 0)
    assert 0 < percentile_seconds(numbers.durations.counts, 0.5) <= percentile_seconds(numbers.durations.counts, 0.99)
    assert numbers.durations.seconds > 0
    await journal.submit(event("later"))
    assert (numbers.durations.number, journal.durations().number) == (10, 11), "a copy does not change"
