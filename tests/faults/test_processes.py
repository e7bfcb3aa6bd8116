"""Processes that stop for longer than a deadline, clocks that step, a poison report, a consumer that comes too late, suspensions.

Each is a scenario of whole processes with the checker as its oracle. Two brokers on one data directory: tests/e2e/test_clear_errors.py;
keys that rotate, are renewed and revoked under live streams: tests/e2e/test_renewal.py and test_quick_start.py.
"""

import os
from uuid import UUID

import pytest

from fault_arena import Arena
from fault_clock import HOUR_MS
from fault_points import Point
from fault_schedule import LONGER_SECONDS, pass_time
from processes import Process, until
from world_files import AGREEMENT, made_world

pytestmark = [
    pytest.mark.skipif("COMITY_KILLS" not in os.environ, reason="the long version: make faults"),
    pytest.mark.timeout(400),
]


@pytest.mark.parametrize("name", ["broker", "sender", "receiver"])
def test_a_process_that_stops_for_longer_than_a_deadline_and_goes_on_loses_and_repeats_nothing(tmp_path, name):
    with Arena(made_world(tmp_path)) as arena:
        arena.start()
        arena.progress(20)
        with arena.paused(name):
            pass_time(LONGER_SECONDS)
        arena.progress(20)
        assert arena.settle() == []


@pytest.mark.parametrize("point", [Point.SHOWN, Point.SETTLING])
def test_a_receiver_that_stops_between_a_report_and_its_acknowledgement_is_shown_nothing_twice(tmp_path, point):
    """Its deadline passes meanwhile, and the broker hands over again what the receiver has in hand."""
    with Arena(made_world(tmp_path)) as arena:
        arena.start()
        receiver = arena.process("receiver")
        arena.arm("receiver", point=point, times=3, action="pause")
        receiver.wait_for(lambda: f"paused at {point}" in receiver.log.read_text(), "the pause")
        pass_time(LONGER_SECONDS)
        arena.go_on("receiver")
        arena.progress(20)
        assert arena.settle() == []


@pytest.mark.parametrize("hours", [1, -1], ids=["forward", "back"])
@pytest.mark.parametrize("whose", ["everybody", "broker", "sender", "receiver"])
def test_a_clock_that_steps_by_an_hour_loses_and_repeats_nothing(tmp_path, whose, hours):
    with Arena(made_world(tmp_path)) as arena:
        arena.start()
        arena.progress(20)
        for name in arena.clocks if whose == "everybody" else (whose,):
            arena.clocks[name].step(hours * HOUR_MS)
        arena.progress(20)
        for name in arena.clocks if whose == "everybody" else (whose,):
            arena.clocks[name].step(-hours * HOUR_MS)
        arena.progress(20)
        assert arena.settle() == []


def test_a_poison_report_is_parked_after_its_attempts_and_takes_no_neighbour_with_it(tmp_path):
    with Arena(made_world(tmp_path), consumers=("default",)) as arena:
        arena.settings["COMITY_BROKER_ATTEMPTS"] = "5"
        arena.start_broker()
        arena.start_sender("--count", "60")
        deaths = 0
        while not _all_but(arena, 20):
            deaths += _dies_or_finishes(arena, arena.start_receiver("--poison", "20"))
        assert deaths == 5
        rows = (
            arena.world.machine("XBO").done("report", "list", "--state", "parked", "--as", "XBO/n1", "--json").records
        )
        poison = arena.history.receipts[20].report_id
        parked = {UUID(row["report_id"]) for row in rows}
        # Of another lane one may be parked with it, which was in hand at each death; of its own lane none.
        assert poison in parked
        assert all(arena.history.number_of(one) % 7 == 0 for one in parked - {poison})
        for report_id in parked:
            arena.history.excuse("default", report_id)
        assert arena.settle() == []


def _dies_or_finishes(arena: Arena, receiver: Process) -> bool:
    until(lambda: arena.listen() and (receiver.exit_code is not None or _all_but(arena, 20)), "poison, or all others")
    return receiver.exit_code is not None


def _all_but(arena: Arena, number: int) -> bool:
    """Say whether every report with a receipt was acknowledged, but for one."""
    arena.listen()
    receipts = arena.history.receipts
    owed = {told.report_id for other, told in receipts.items() if other != number}
    return len(receipts) == 60 and owed <= arena.history.settled("default")


def test_a_consumer_that_comes_after_reports_expired_gets_a_reason_for_each_and_no_alarm(tmp_path):
    """Past the edge of retention: the broker's clock goes on by more than the agreement lets a report live."""
    with Arena(made_world(tmp_path), consumers=("default",)) as arena:
        arena.start_broker()
        arena.start_sender("--count", "40", "--expires-minutes", "30")
        sender = arena.process("sender")
        until(lambda: arena.listen() and sender.exit_code is not None, "the sender's end")
        assert sender.exit_code == 0, sender.tail
        late = {told.report_id for told in arena.history.receipts.values()}
        for clock in arena.clocks.values():
            clock.step(HOUR_MS)
        arena.start_receiver()
        arena.start_sender("--count", "40")
        arena.progress(40)
        for report_id in late:
            arena.history.excuse("default", report_id)
        findings = arena.settle()
        assert findings == []
        assert not late & arena.history.settled("default"), "an expired report was shown"


@pytest.mark.parametrize(
    "point", [Point.RECEIVED, Point.AFTER_COMMIT, Point.HANDING_OVER, Point.HANDED_OVER, Point.ANSWERING]
)
def test_a_suspension_that_overtakes_at_a_point_holds_what_was_not_handed_over_and_loses_nothing(tmp_path, point):
    """What waits at the point goes on after the suspension is in force; after the resume its originator confirms what was held."""
    with Arena(made_world(tmp_path), consumers=("default",)) as arena:
        arena.start()
        arena.arm("broker", hold=point)
        broker = arena.process("broker")
        broker.wait_for(lambda: f"held at {point}" in broker.log.read_text(), "something at the point")
        officer = arena.world.machine("XAR")
        officer.done("agreement", "suspend", AGREEMENT, "--reason", "a leak", "--as", "XAR/officer1")
        arena.arm("broker")
        sender = arena.process("sender")
        until(lambda: arena.listen().refused, "the sender to be told of the suspension")
        assert sender.exit_code is None, sender.tail
        arena.stop_sending()
        officer.done("agreement", "resume", AGREEMENT, "--as", "XAR/officer1")
        held = officer.done("report", "list", "--state", "held", "--as", "XAR/n1", "--json").records
        if held:
            officer.done("report", "confirm", *(row["report_id"] for row in held), "--as", "XAR/n1")
        arena.start_sender("--count", "10")
        assert arena.settle() == []
