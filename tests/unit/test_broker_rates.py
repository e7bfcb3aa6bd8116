"""Counts and rates: durations in classes, percentiles of the last minute, and rates that are differences of two looks."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comity_broker.counts import (
    LEAST_SECONDS,
    OCTAVES,
    PER_OCTAVE,
    Counts,
    Durations,
    bound_seconds,
    class_name,
    no_durations,
    percentile_seconds,
)
from comity_broker.rates import LOOK_SECONDS, Looks

LANE = ("XAR-XBO-1", "XAR", 4)
SECONDS = st.floats(min_value=1e-7, max_value=100.0)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Place:
    """Counts and looks whose time a test passes."""

    def __init__(self) -> None:
        self.clock, self.counts, self.durations = Clock(), Counts(), Durations()
        self.looks = Looks(self.counts, self.durations.copy, self.clock)
        self.looks.look()

    def pass_seconds(self, seconds: float, *, admitted: int = 0, commits: tuple[float, ...] = ()) -> None:
        """Let time pass, looking as often as the broker does; so many reports come each time, and commits take so long."""
        for _ in range(int(seconds / LOOK_SECONDS)):
            self.clock.now += LOOK_SECONDS
            if admitted:
                self.counts.admitted(LANE, admitted, 1)
            for one in commits:
                self.durations.add(one)
            self.looks.look()


# --- durations ------------------------------------------------------------------------------------------------------


@given(st.lists(SECONDS, min_size=1, max_size=60), st.sampled_from([0.5, 0.9, 0.99, 1.0]))
def test_a_percentile_is_what_was_measured_or_at_most_a_class_above(measured, part):
    durations = Durations()
    for one in measured:
        durations.add(one)
    exact = sorted(measured)[max(1, math.ceil(len(measured) * part)) - 1]
    found = percentile_seconds(durations.counts, part)
    assert found >= exact * (1 - 1e-9)
    assert found <= max(LEAST_SECONDS, exact * 2 ** (1 / PER_OCTAVE) * (1 + 1e-9))
    assert durations.number == len(measured)
    assert durations.seconds == pytest.approx(sum(measured))


def test_what_is_shorter_or_longer_than_every_class_is_counted_too():
    durations = Durations()
    for seconds in (0.0, LEAST_SECONDS, 1e6):
        durations.add(seconds)
    assert (durations.counts[0], durations.counts[-1]) == (2, 1)
    assert percentile_seconds(durations.counts, 1.0) == bound_seconds(OCTAVES * PER_OCTAVE)
    assert bound_seconds(OCTAVES * PER_OCTAVE + 1) == math.inf


def test_nothing_measured_is_zero():
    assert percentile_seconds(no_durations(), 0.99) == 0.0


def test_each_class_has_its_word():
    real = ["control", "flash", "immediate", "priority", "routine"]
    assert [class_name(one) for one in range(10)] == [*real, *(f"exercise-{name}" for name in real)]


# --- rates ----------------------------------------------------------------------------------------------------------


def test_a_rate_is_of_the_last_ten_seconds():
    place = Place()
    place.pass_seconds(60, admitted=200)
    assert place.looks.rates().admitted_per_second == pytest.approx(100)
    place.pass_seconds(10)
    assert place.looks.rates().admitted_per_second == 0


def test_a_broker_that_has_just_begun_gives_what_it_has_seen():
    place = Place()
    place.counts.admitted(LANE, 30, 1)
    assert place.looks.rates().admitted_per_second == pytest.approx(30 / LOOK_SECONDS)
    place.pass_seconds(4)
    assert place.looks.rates().admitted_per_second == pytest.approx(30 / 4)


def test_percentiles_are_of_the_last_minute():
    place = Place()
    place.pass_seconds(30, commits=(1.0, 1.0))
    slow = place.looks.rates()
    place.pass_seconds(60, commits=(0.001,) * 10)
    fast = place.looks.rates()
    assert (slow.commit_p50_ms, fast.commit_p99_ms) == (pytest.approx(1000, rel=0.05), pytest.approx(1, rel=0.05))
    assert fast.commits_per_second == pytest.approx(5)
    place.pass_seconds(62)
    assert (place.looks.rates().commit_p50_ms, place.looks.rates().commits_per_second) == (0.0, 0.0)


def test_refusals_of_every_kind_make_the_rate_of_refusals():
    place = Place()
    place.pass_seconds(60)
    place.counts.refused(("", "XBO", "REJECTED"), 5)
    place.counts.answer_refused(("", "XBO", "REJECTED"))
    place.counts.denied("NOT_ENROLLED")
    assert place.looks.rates().refusals_per_minute == pytest.approx(7)


def test_no_more_than_a_minute_is_kept():
    place = Place()
    place.pass_seconds(3600, admitted=1)
    assert len(place.looks._looks) <= 60 / LOOK_SECONDS + 2
