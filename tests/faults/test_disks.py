"""What a disk may do under a running broker: lose what was not synced, tear and reorder it, lie about fsync, fail, fill up.

Each is a scenario of whole processes with the checker as its oracle; tests/faults/test_storage_faults.py does the same to the store alone,
between any two writes.
"""

import os

import pytest

from fault_arena import UNKNOWN, Arena
from fault_points import Point, read_trace
from faulty_vfs import power_cut, torn, without_syncs
from kill_oracle import STORE
from processes import until
from world_files import made_world

pytestmark = [
    pytest.mark.skipif("COMITY_KILLS" not in os.environ, reason="the long version: make faults"),
    pytest.mark.timeout(400),
]

# What a command ends with where a broker's log is not the one that was signed.
FORKED = 15
SURVIVES = {
    "nothing": lambda _number, _change: None,
    "every-other-write": lambda number, change: change if number % 2 else None,
    "torn": lambda _number, change: torn(change),
}


def store_files(arena: Arena) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in arena.world.data.glob(f"{STORE}*") if path.suffix != ".sqlite-shm"}


def lay_down(arena: Arena, files: dict[str, bytes]) -> None:
    """Put a store's files in the place of those that are there; what the processes shared in memory is gone with the power."""
    for path in arena.world.data.glob(f"{STORE}*"):
        path.unlink()
    for name, data in files.items():
        path = arena.world.data / name
        path.touch(0o600)
        path.write_bytes(data)


def durable(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: data for name, data in files.items() if not name.endswith("-shm")}


@pytest.mark.parametrize("survives", SURVIVES)
def test_a_power_cut_at_each_point_of_a_commit_loses_nothing_that_was_told(tmp_path, survives):
    points = (Point.IN_COMMIT, Point.BEFORE_SYNC, Point.AFTER_COMMIT, Point.IN_CHECKPOINT)
    with Arena(made_world(tmp_path)) as arena:
        files = durable(store_files(arena))
        arena.start_broker("--keep-trace")
        arena.start_receiver()
        arena.start_sender()
        for times, point in enumerate(points, 1):
            arena.progress(10)
            arena.kill_at("broker", point, times)
            files = durable(power_cut(files, read_trace(arena.arm_file("broker")), SURVIVES[survives]))
            lay_down(arena, files)
            arena.start_broker("--keep-trace")
        assert arena.settle() == []


def test_a_disk_that_lied_about_fsync_is_found_out_by_what_was_signed(tmp_path):
    """All that was written since the start is gone, and every receipt with it: the log's last tree, kept apart, says so."""
    with Arena(made_world(tmp_path)) as arena:
        files = durable(store_files(arena))
        arena.start_broker("--keep-trace")
        arena.start_receiver()
        arena.start_sender()
        arena.progress(30)
        arena.kill_at("broker", Point.AFTER_COMMIT, 2)
        arena.kill("sender")
        arena.kill("receiver")
        lying = without_syncs(read_trace(arena.arm_file("broker")))
        lay_down(arena, durable(power_cut(files, lying, lambda *_: None)))
        broker = arena.start_broker()
        broker.wait_for(lambda: "log_frozen" in broker.log.read_text(), "the frozen log")
        report = tmp_path / "report.txt"
        report.write_text("Two boats left at dawn.")
        sending = arena.world.send(report)
        sending.done(FORKED)
        assert "LOG_FROZEN" in sending.log.read_text()
        assert not sending.records, "a receipt from a broker that has forgotten what it signed"


@pytest.mark.parametrize(("kind", "after"), [("write", 2), ("sync", 1), ("sync", 3)])
def test_a_broker_whose_disk_fails_ends_at_once_and_the_next_one_has_all_it_told(tmp_path, kind, after):
    with Arena(made_world(tmp_path)) as arena:
        arena.start()
        broker = arena.process("broker")
        arena.arm("broker", disk={"error": "io", "kinds": [kind], "after": after, "times": 1})
        until(lambda: arena.listen() and broker.exit_code is not None, "the broker's end", seconds=120)
        assert broker.exit_code == UNKNOWN, broker.tail
        arena.disarm("broker")
        arena.start_broker()
        arena.progress(20)
        assert arena.settle() == []


@pytest.mark.parametrize("kind", ["write", "sync", "truncate"])
def test_a_broker_whose_disk_fails_while_it_starts_says_so_and_the_next_one_has_all(tmp_path, kind):
    with Arena(made_world(tmp_path)) as arena:
        arena.start()
        arena.progress(20)
        arena.kill("broker")
        said = arena.start_failing_broker(disk={"error": "io", "kinds": [kind], "times": 1})
        assert f"the disk failed a {kind}" in said
        assert "StorageError" in said
        arena.start_broker()
        arena.progress(10)
        assert arena.settle() == []


def test_a_full_disk_refuses_for_a_while_and_loses_nothing(tmp_path):
    with Arena(made_world(tmp_path)) as arena:
        arena.start()
        arena.arm("broker", disk={"error": "full", "kinds": ["write"], "suffix": "-wal", "times": 0, "short": True})
        broker = arena.process("broker")
        broker.wait_for(lambda: broker.log.read_text().count("the disk failed") > 1, "a full disk, and another try")
        arena.arm("broker")
        arena.progress(20)
        assert arena.settle() == []
        assert arena.history.refused == {}, "a refusal for now ended a number"
