"""What a crash, a full disk or a failing one leaves of a commit: all of it or nothing, and never a wrong word about it."""

import asyncio
import contextlib
import itertools
import os
import signal

import apsw
import pytest

from builders_storage import (
    AGREEMENT,
    OTHER,
    acknowledgement,
    everything,
    exception,
    opening,
    report_id,
    segment,
    statement,
)
from comity.errors import ErrorCode, StorageError
from comity_broker.journal import FaultPoint, Journal
from comity_broker.storage.protocol import Committed, Reads, Refused, Unknown
from comity_broker.storage.sqlite import open_storage
from faulty_vfs import Fault, FaultyVfs, files_of, killed, lay_down, power_cut, torn, without_syncs

INCARNATION = b"incarnation here"


def first_commit():
    return [opening(), opening(OTHER), segment(1, 5), segment(1, 2, OTHER)]


def second_commit():
    """Two agreements, every table that a commit writes, rows that are new and rows that are replaced, some large ones."""
    return [
        segment(100, 4, weight=20_000),
        statement(1),
        acknowledgement(1),
        exception(1, 1),
        segment(50, 3, OTHER, weight=9_000),
        acknowledgement(1, OTHER),
        segment(200, 6),
    ]


def shown(storage) -> dict:
    return asyncio.run(everything(storage.reader))


def shown_in(folder) -> dict:
    """What a restarted broker finds, after it found nothing wrong."""
    with open_storage(folder) as storage:
        assert asyncio.run(storage.reader.check()) == []
        return shown(storage)


def new_store(folder, vfs=None):
    folder.mkdir()
    return open_storage(folder, create=True, random_bytes=lambda _: INCARNATION, vfs=vfs and vfs.name)


def folders_in(tmp_path):
    return (tmp_path / f"crash-{number}" for number in itertools.count())


@pytest.fixture
def states(tmp_path):
    """What is shown before and after the second commit, where nothing goes wrong."""
    with new_store(tmp_path / "undisturbed") as storage:
        storage.writer.commit(first_commit())
        before = shown(storage)
        outcomes = storage.writer.commit(second_commit())
        assert all(isinstance(outcome, Committed) for outcome in outcomes)
        return before, shown(storage)


@pytest.fixture
def recorded(tmp_path):
    """The files after the first commit, the changes that the second one makes, and those with a checkpoint after it."""
    vfs = FaultyVfs()
    with new_store(tmp_path / "recorded", vfs) as storage:
        storage.writer.commit(first_commit())
        files = files_of(tmp_path / "recorded")
        vfs.trace.clear()
        storage.writer.commit(second_commit())
        commit = list(vfs.trace)
        storage.writer.checkpoint()
        return files, commit, list(vfs.trace)


def count(changes, *kinds) -> int:
    return sum(change.kind in kinds for change in changes)


# --- crashes ------------------------------------------------------------------------------------------------------------


def test_a_broker_killed_between_any_two_writes_of_a_commit_finds_all_of_it_or_nothing(tmp_path, states, recorded):
    files, commit, trace = recorded
    before, after = states
    folders = folders_in(tmp_path)
    found = [shown_in(lay_down(killed(files, trace[:upto]), next(folders))) for upto in range(len(trace) + 1)]
    assert all(state in (before, after) for state in found)
    assert found[0] == before
    whole = found.index(after)
    assert found[whole:] == [after] * (len(found) - whole), "what was there once is there for good"
    assert whole <= len(commit)


@pytest.mark.parametrize(
    "survives",
    [
        pytest.param(lambda _number, _change: None, id="nothing-unsynced-survives"),
        pytest.param(lambda number, change: change if number % 2 else None, id="every-other-write-survives"),
        pytest.param(lambda number, change: change if number % 2 == 0 else None, id="the-other-writes-survive"),
        pytest.param(lambda _number, change: torn(change), id="writes-are-torn"),
    ],
)
def test_a_power_cut_between_any_two_writes_leaves_all_of_a_commit_or_nothing(tmp_path, states, recorded, survives):
    files, commit, trace = recorded
    before, after = states
    folders = folders_in(tmp_path)
    for upto in range(len(trace) + 1):
        found = shown_in(lay_down(power_cut(files, trace[:upto], survives), next(folders)))
        assert found in (before, after)
        assert upto < len(commit) or found == after, "a commit that answered is durable"


def test_a_disk_that_lies_about_fsync_loses_whole_commits_or_is_found_out(tmp_path, states, recorded):
    files, _, trace = recorded
    folders = folders_in(tmp_path)
    lying = without_syncs(trace)
    for upto, parity in itertools.product(range(0, len(lying) + 1, 3), (0, 1, None)):
        left = power_cut(
            files, lying[:upto], lambda number, change, parity=parity: change if number % 2 == parity else None
        )
        # Found out: opening refuses with StorageError, which is what a command exits with 18 for.
        with contextlib.suppress(StorageError):
            assert shown_in(lay_down(left, next(folders))) in states


def test_what_a_failed_fsync_left_is_made_durable_before_a_restarted_broker_builds_on_it(tmp_path, states):
    vfs, folder = FaultyVfs(), tmp_path / "store"
    with new_store(folder, vfs) as storage:
        storage.writer.commit(first_commit())
        files = files_of(folder)
        vfs.trace.clear()
        vfs.fault = Fault(apsw.IOError, ("sync",), "-wal")
        assert isinstance(storage.writer.commit(second_commit())[0], Unknown)
        lost = len(vfs.trace)
    with open_storage(folder, vfs=vfs.name) as storage:
        assert shown(storage) == states[1]
    # The system showed these writes until then, took them for clean after the failed fsync, and never writes them.
    trace = vfs.trace[lost:]
    folders = folders_in(tmp_path)
    for upto in range(len(trace) + 1):
        left = power_cut(files, trace[:upto], lambda _number, _change: None)
        assert shown_in(lay_down(left, next(folders))) in states
    assert shown_in(lay_down(left, tmp_path / "at-the-end")) == states[1]


@pytest.mark.parametrize("point", list(FaultPoint))
def test_a_broker_killed_at_a_named_point_has_stored_whatever_it_told(tmp_path, point):
    folder = tmp_path / "store"
    with new_store(folder) as storage:
        storage.writer.commit([opening()])
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        _serve_until_killed(folder, point, tell)
    os.close(tell)
    with os.fdopen(told, "rb") as pipe:
        receipts = [int(line) for line in pipe]
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    with open_storage(folder) as storage:
        assert asyncio.run(storage.reader.check()) == []
        items = [row.item for row in asyncio.run(storage.reader.segments_from(AGREEMENT, 0, 100))]
    assert receipts
    assert receipts == items[: len(receipts)], "a receipt means durable"
    assert len(items) - len(receipts) == (point is FaultPoint.AFTER_COMMIT)


class KillAt:
    """SIGKILL at the third commit, or at the first checkpoint."""

    def __init__(self, point: FaultPoint):
        self._point, self._left = point, 3 if point in (FaultPoint.BEFORE_COMMIT, FaultPoint.AFTER_COMMIT) else 1

    def reach(self, point: FaultPoint) -> None:
        self._left -= point is self._point
        if not self._left:
            os.kill(os.getpid(), signal.SIGKILL)


def _serve_until_killed(folder, point: FaultPoint, tell: int) -> None:
    async def serve():
        storage = open_storage(folder)
        journal = Journal(storage.writer, on_fatal=lambda _: os._exit(3), faults=KillAt(point))
        journal.start()
        for number in range(5):
            outcome = await journal.submit(segment(1 + 10 * number))
            os.write(tell, b"%d\n" % outcome.result)
        journal.stop()

    try:
        asyncio.run(serve())
    finally:
        os._exit(4)


# --- a full disk, a failing disk ------------------------------------------------------------------------------------


@pytest.mark.parametrize("short", [False, True], ids=["at-once", "after-half"])
def test_a_full_disk_refuses_every_unit_and_stores_nothing(tmp_path, states, recorded, short):
    before, after = states
    for after_writes in range(count(recorded[1], "write")):
        vfs, folder = FaultyVfs(), tmp_path / f"full-{after_writes}"
        with new_store(folder, vfs) as storage:
            storage.writer.commit(first_commit())
            vfs.fault = Fault(apsw.FullError, ("write",), after=after_writes, times=float("inf"), short=short)
            outcomes = storage.writer.commit(second_commit())
            assert {outcome.error.code for outcome in outcomes} == {ErrorCode.STORAGE_FULL}
            assert all(outcome.error.retry_after_seconds for outcome in outcomes), "no number ended by this"
            assert shown(storage) == before
            vfs.fault = None
            left = files_of(folder)
            assert all(isinstance(outcome, Committed) for outcome in storage.writer.commit(second_commit()))
            assert shown(storage) == after
        assert shown_in(lay_down(left, tmp_path / f"killed-{after_writes}")) == before
        assert shown_in(folder) == after


def test_what_full_disks_left_behind_the_end_of_the_log_is_not_taken_for_damage(tmp_path):
    """Two commits that failed at their very last write leave frames that say they end a commit."""
    small, smaller = [segment(500, 4, weight=20_000)], [statement(2)]

    def writes(name, units, *committed_before):
        vfs = FaultyVfs()
        with new_store(tmp_path / name, vfs) as storage:
            for before in (first_commit(), *committed_before):
                storage.writer.commit(before)
            vfs.trace.clear()
            storage.writer.commit(units)
            return count(vfs.trace, "write")

    def fails_at_the_last(writer, units, number):
        vfs.fault = Fault(apsw.FullError, ("write",), after=number - 1, times=float("inf"), short=True)
        assert isinstance(writer.commit(units)[0], Refused)
        vfs.fault = None

    large_writes, small_writes = writes("one", second_commit()), writes("two", small, smaller)
    vfs, folder = FaultyVfs(), tmp_path / "store"
    with new_store(folder, vfs) as storage:
        storage.writer.commit(first_commit())
        fails_at_the_last(storage.writer, second_commit(), large_writes)
        assert isinstance(storage.writer.commit(smaller)[0], Committed)
        fails_at_the_last(storage.writer, small, small_writes)
        expected, left = shown(storage), files_of(folder)
    assert shown_in(lay_down(left, tmp_path / "killed")) == expected


@pytest.mark.parametrize(("kind", "short"), [("write", False), ("write", True), ("sync", False)])
def test_after_an_io_error_nobody_is_told_anything_and_a_restart_finds_all_or_nothing(
    tmp_path, states, recorded, kind, short
):
    for after in range(count(recorded[1], kind)):
        vfs, folder = FaultyVfs(), tmp_path / f"broken-{after}"
        with new_store(folder, vfs) as storage:
            storage.writer.commit(first_commit())
            vfs.fault = Fault(apsw.IOError, (kind,), after=after, short=short)
            assert {type(outcome) for outcome in storage.writer.commit(second_commit())} == {Unknown}
            trace = list(vfs.trace)
            assert {type(outcome) for outcome in storage.writer.commit([statement(2)])} == {Unknown}
        assert vfs.trace == trace, "something was written after the error"
        assert shown_in(folder) in states


def test_what_an_unknown_commit_left_is_what_a_restarted_broker_knows(tmp_path):
    vfs, folder = FaultyVfs(), tmp_path / "store"
    with new_store(folder, vfs) as storage:
        storage.writer.commit(first_commit())
        vfs.fault = Fault(apsw.IOError, ("sync",), "-wal")
        (outcome,) = storage.writer.commit([segment(100, 4)])
        assert isinstance(outcome, Unknown)
    with open_storage(folder) as storage:
        known = asyncio.run(storage.reader.known(AGREEMENT, Reads(report_ids=[report_id(100)]))).reports
        (again,) = storage.writer.commit([segment(100, 4)])
        assert isinstance(again, Refused if known else Committed)
        reports = asyncio.run(storage.reader.reports(AGREEMENT, (0, 0), 100))
        assert [row.report_id for row in reports].count(report_id(100)) == 1


@pytest.mark.parametrize("kind", ["write", "sync"])
def test_a_checkpoint_that_fails_loses_nothing_and_ends_the_writing(tmp_path, states, kind):
    vfs, folder = FaultyVfs(), tmp_path / "store"
    with new_store(folder, vfs) as storage:
        storage.writer.commit(first_commit())
        storage.writer.commit(second_commit())
        vfs.fault = Fault(apsw.IOError, (kind,))
        with pytest.raises(StorageError, match="write-ahead log"):
            storage.writer.checkpoint()
        assert isinstance(storage.writer.commit([statement(2)])[0], Unknown)
    assert shown_in(folder) == states[1]


@pytest.mark.parametrize("kind", ["write", "sync", "truncate"])
def test_a_disk_that_fails_while_a_store_is_opened_is_said_so_and_loses_nothing(tmp_path, states, kind):
    vfs, folder = FaultyVfs(), tmp_path / "store"
    with new_store(folder) as storage:
        storage.writer.commit(first_commit())
        storage.writer.commit(second_commit())
    for after in itertools.count():
        vfs.fault = Fault(apsw.IOError, (kind,), after=after)
        with contextlib.suppress(StorageError):
            open_storage(folder, vfs=vfs.name).close()
            break
    assert after > 0
    assert shown_in(folder) == states[1]


def test_a_full_disk_only_puts_a_checkpoint_off(tmp_path, states):
    vfs, folder = FaultyVfs(), tmp_path / "store"
    with new_store(folder, vfs) as storage:
        storage.writer.commit(first_commit())
        vfs.fault = Fault(apsw.FullError, ("write",), ".sqlite", times=float("inf"))
        storage.writer.checkpoint()
        assert storage.writer.backlog_bytes > 0
        assert all(isinstance(outcome, Committed) for outcome in storage.writer.commit(second_commit()))
        vfs.fault = None
        storage.writer.checkpoint()
        assert storage.writer.backlog_bytes == 0
    assert shown_in(folder) == states[1]
