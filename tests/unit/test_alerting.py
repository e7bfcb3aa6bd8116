"""Whom to wake when: each contact after half of the time that is left to the one before, the first at once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders_acts import MINUTE, living
from builders_lifecycle import treaty
from comity_policy.alerting import alert_times, alerted, is_told_of_reading, read_within
from comity_policy.facts import Precedence


@pytest.mark.parametrize(
    ("due", "contacts", "times"),
    [
        (16, 4, (0, 8, 12, 14)),
        (16, 1, (0,)),
        (16, 0, ()),
        (None, 3, (0,)),
        (None, 0, ()),
        (0, 2, (0, 0)),
    ],
)
def test_the_next_contact_is_alerted_after_half_of_what_remains(due, contacts, times):
    assert alert_times(0, due, contacts) == times


@given(st.integers(0, 10**13), st.integers(0, 10**9), st.integers(1, 64))
def test_every_contact_is_alerted_in_time_and_in_order(since, within, contacts):
    times = alert_times(since, since + within, contacts)
    assert len(times) == contacts
    assert list(times) == sorted(times)
    assert times[0] == since
    assert all(at <= since + within for at in times)
    assert [alerted(times, at) for at in (since - 1, since + within)] == [0, contacts]


def test_the_shortest_time_to_read_counts_and_a_precedence_without_one_has_none():
    document = living().life.document
    assert read_within([document], Precedence.FLASH) == 5 * MINUTE
    assert read_within([document], Precedence.ROUTINE) is None
    assert is_told_of_reading([document])
    assert not is_told_of_reading([treaty()])
