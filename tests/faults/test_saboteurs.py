"""A broker that breaks a promise on purpose, once, is caught by the checker; the same broker without a saboteur is not."""

import os

import pytest

from fault_arena import Arena
from fault_checker import Fault
from processes import until
from world_files import made_world

pytestmark = [
    pytest.mark.skipif("COMITY_KILLS" not in os.environ, reason="the long version: make faults"),
    pytest.mark.timeout(300),
]

COUNT = 120


def started(arena: Arena, *options: str) -> None:
    """Start everything, and wait until the sender has a receipt for all it had to send."""
    arena.start_broker(*options)
    arena.start_receiver()
    arena.start_sender("--count", str(COUNT), "--one-class")
    sender = arena.process("sender")
    until(lambda: arena.listen() and sender.exit_code is not None, "the sender's end", seconds=120)
    assert sender.exit_code == 0, sender.tail


def came_as_far_as_it_comes(arena: Arena) -> None:
    """Wait until the newest report with a receipt was acknowledged by everybody, or the receiving node has raised an alarm."""
    newest = arena.history.receipts[max(arena.history.receipts)].report_id

    def come() -> bool:
        arena.listen()
        settled = all(newest in arena.history.settled(name) for name in arena.consumers)
        return settled or bool(arena.alarms("XBO"))

    until(come, "the newest report, or an alarm", seconds=120)


def faults_of(arena: Arena) -> set[Fault]:
    arena.process("receiver").kill()
    arena.process("broker").kill()
    return {finding.fault for finding in arena.judge()}


def test_a_broker_that_drops_one_segment_is_caught(tmp_path):
    with Arena(made_world(tmp_path)) as arena:
        started(arena, "--sabotage", "drop")
        came_as_far_as_it_comes(arena)
        assert Fault.LOST in faults_of(arena)


def test_a_broker_that_swaps_two_deliveries_is_caught(tmp_path):
    with Arena(made_world(tmp_path), consumers=("default",)) as arena:
        started(arena, "--sabotage", "reorder")
        came_as_far_as_it_comes(arena)
        assert faults_of(arena) & {Fault.REORDERED, Fault.ALARMED}


@pytest.mark.parametrize("sabotage", ["", "duplicate"], ids=["honest", "forgets-floors"])
def test_a_broker_that_forgets_what_was_acknowledged_is_caught(tmp_path, sabotage):
    """The receiver forgets too (its inbox is gone), so that only the broker's floor keeps reports from coming again."""
    with Arena(made_world(tmp_path), consumers=("default",)) as arena:
        started(arena, *(["--sabotage", sabotage] if sabotage else []))
        came_as_far_as_it_comes(arena)
        receiver = arena.process("receiver")
        assert receiver.stop() == 0, receiver.tail
        arena.listen()
        for path in arena.world.node_directory("XBO").glob("inbox-default.sqlite*"):
            path.unlink()
        arena.start_receiver()
        arena.start_sender("--count", "1")
        sender = arena.process("sender")
        until(lambda: arena.listen() and sender.exit_code is not None, "the sender's end", seconds=120)
        came_as_far_as_it_comes(arena)
        found = faults_of(arena)
    assert found == ({Fault.DUPLICATED} if sabotage else set())
