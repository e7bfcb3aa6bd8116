"""The broker's time never goes back, and a step of the wall clock is told once."""

from __future__ import annotations

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


def test_a_step_of_the_wall_clock_back_is_told_once_although_the_brokers_time_stays():
    wall, seconds = [100_000], [0.0]
    clock = BrokerClock(wall=lambda: wall[0], monotonic=lambda: seconds[0])
    assert clock.stepped() == 0
    wall[0] -= 60_000
    assert (clock.stepped(), clock.stepped()) == (-60_000, 0)
