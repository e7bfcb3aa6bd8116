"""A node that is refused too often waits; others do not."""

import pytest

from comity.errors import ErrorCode, UnreachableError
from comity_broker.budget import RefusalBudget


def test_a_node_that_is_refused_too_often_is_told_when_to_come_back():
    now = [100.0]
    budget = RefusalBudget(2, lambda: now[0])
    for _ in range(2):
        budget.check("XAR/n1")
        budget.spend("XAR/n1")
    with pytest.raises(UnreachableError) as caught:
        budget.check("XAR/n1")
    assert caught.value.code is ErrorCode.RATE_LIMITED
    assert caught.value.retry_after_seconds == pytest.approx(0.5)
    budget.check("XBO/n1")
    now[0] += 0.5
    budget.check("XAR/n1")


def test_the_bucket_never_holds_more_than_a_second_of_refusals():
    now = [0.0]
    budget = RefusalBudget(3, lambda: now[0])
    budget.check("XAR/n1")
    now[0] = 1000.0
    budget.spend("XAR/n1", 3)
    with pytest.raises(UnreachableError):
        budget.check("XAR/n1")


def test_a_segment_with_more_refused_slots_than_a_second_allows_is_owed_for():
    now = [0.0]
    budget = RefusalBudget(50, lambda: now[0])
    budget.spend("XAR/n1", 250)
    for later, free in ((4.0, False), (4.5, True)):
        now[0] = later
        if free:
            budget.check("XAR/n1")
        else:
            with pytest.raises(UnreachableError) as caught:
                budget.check("XAR/n1")
            assert caught.value.retry_after_seconds == pytest.approx(0.1)


def test_nobody_owes_more_than_ten_seconds():
    now = [0.0]
    budget = RefusalBudget(50, lambda: now[0])
    for _ in range(100):
        budget.spend("XAR/n1", 256)
    now[0] = 10.5
    budget.check("XAR/n1")
