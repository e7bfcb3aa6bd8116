"""How many steps and acts a party may take in a day: what is logged is read for ever."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comity.errors import ErrorCode, RefusedError
from comity_broker.pace import DAY_MS, LIMIT, check_pace


@dataclass(frozen=True)
class Taken:
    party: str
    at_ms: int


def test_one_more_than_a_days_steps_is_refused_and_the_other_party_is_not():
    before = [Taken("XAR", at) for at in range(LIMIT)]
    check_pace("A-1", "XAR", before[:-1], LIMIT)
    check_pace("A-1", "XBO", before, LIMIT)
    with pytest.raises(RefusedError) as refused:
        check_pace("A-1", "XAR", before, LIMIT)
    assert refused.value.code is ErrorCode.LIMIT_EXCEEDED


def test_what_is_a_day_old_to_the_millisecond_counts_no_more():
    before = [Taken("XAR", 0)] * LIMIT
    with pytest.raises(RefusedError):
        check_pace("A-1", "XAR", before, DAY_MS - 1)
    check_pace("A-1", "XAR", before, DAY_MS)


@given(st.lists(st.tuples(st.sampled_from(["XAR", "XBO"]), st.integers(0, 3 * DAY_MS)), max_size=600))
def test_no_more_than_the_limit_is_ever_taken_within_a_day(asked: list[tuple[str, int]]) -> None:
    taken: list[Taken] = []
    for party, at_ms in sorted(asked, key=lambda one: one[1]):
        try:
            check_pace("A-1", party, taken, at_ms)
        except RefusedError:
            continue
        taken.append(Taken(party, at_ms))
    for one in taken:
        within = [other for other in taken if other.party == one.party and 0 <= one.at_ms - other.at_ms < DAY_MS]
        assert len(within) <= LIMIT
