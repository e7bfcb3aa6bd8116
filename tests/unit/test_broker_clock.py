"""The broker's time never goes back, and a step of the wall clock is told once."""

from __future__ import annotations

import pytest

from comity_broker.clock import BrokerClock


def test_the_brokers_time_does_not_go_back_with_the_wall_clock_between_two_commits():
    wall = [10_000]
    clock = BrokerClock(wall=lambda: wall[0])
    assert clock.now_ms() == 10_000
    wall[0] = 4_000
    assert clock.now_ms() == 10_000
    wall[0] = 10_001
    assert clock.now_ms() == 10_001


def test_the_brokers_time_is_never_before_what_was_committed():
    clock = BrokerClock(wall=lambda: 5)
    clock.committed(70)
    clock.committed(60)
    assert clock.now_ms() == 70


class Stepped:
    """A clock whose parts a test sets, and the steps that it told, each with the time that was handed out last."""

    def __init__(self) -> None:
        self.wall, self.seconds = 100_000, 0.0
        self.told: list[tuple[int, int]] = []
        self.clock = BrokerClock(wall=lambda: self.wall, monotonic=lambda: self.seconds)
        self.clock.on_step(lambda before, after: self.told.append((before, after)))
        self.clock.now_ms()

    def pass_seconds(self, seconds: float) -> None:
        self.seconds += seconds
        self.wall += int(seconds * 1000)


def test_a_step_is_told_before_the_new_time_is_handed_out():
    stepped = Stepped()
    handed_out: list[int] = []
    stepped.clock.on_step(lambda *_: handed_out.append(stepped.clock._greatest))
    stepped.wall += 3_600_000
    assert stepped.clock.now_ms() == 3_700_000
    assert handed_out == [100_000]


@pytest.mark.parametrize("by", [60_000, -60_000])
def test_a_step_is_told_once(by):
    stepped = Stepped()
    stepped.wall += by
    for _ in range(3):
        stepped.clock.now_ms()
        stepped.pass_seconds(0.5)
    assert stepped.told == [(100_000, 100_000 + by)]


def test_steps_that_are_small_each_are_told_when_together_they_are_not():
    stepped = Stepped()
    for _ in range(3):
        stepped.wall += 2_000
        stepped.pass_seconds(1.0)
        stepped.clock.now_ms()
    assert stepped.told == [(103_000, 109_000)]


def test_time_that_passes_is_no_step_and_neither_is_a_small_one():
    stepped = Stepped()
    stepped.pass_seconds(86_400.0)
    stepped.wall += 5_000
    stepped.clock.now_ms()
    assert stepped.told == []


def test_a_step_before_anybody_listens_is_told_to_whoever_comes():
    wall, told = [100_000], []
    clock = BrokerClock(wall=lambda: wall[0], monotonic=lambda: 0.0)
    clock.now_ms()
    wall[0] += 60_000
    clock.now_ms()
    clock.on_step(lambda before, after: told.append(after - before))
    clock.now_ms()
    assert told == [60_000]


def test_a_process_that_was_stopped_between_its_two_readings_has_seen_no_step():
    told, walls, seconds = [], [100_000, 100_000, 3_700_000], [0.0, 3600.0, 3600.0]
    clock = BrokerClock(wall=lambda: walls.pop(0), monotonic=lambda: seconds.pop(0))
    clock.on_step(lambda *step: told.append(step))
    clock.now_ms()
    clock.now_ms()
    assert (told, walls) == ([], [])
