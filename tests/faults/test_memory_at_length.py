"""Ten thousand reports of 1 KiB in one go: no process grows by more than 10 MiB after the first thousand (`make faults`)."""

import os

import pytest

from constant_memory import LIMIT_KIB, memory_growth

pytestmark = [
    pytest.mark.skipif("COMITY_KILLS" not in os.environ, reason="the long version: make faults (short: tests/e2e)"),
    pytest.mark.timeout(1200),
]


def test_ten_thousand_reports_take_no_more_memory_than_one_thousand(tmp_path):
    growth = memory_growth(tmp_path, reports=10_000)
    print(f"\n{growth}")
    assert growth.over(LIMIT_KIB) == {}
