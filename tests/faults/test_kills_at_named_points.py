"""kill -9 at every named point of journal, dispatch and both nodes, by turns, `KILLS` times (`make faults`); the checker judges.

What is printed says how many kills fell at each point.
"""

import os

import pytest

from fault_arena import CAMPAIGN_RATE, Arena
from fault_kills import kill_at_points, turns
from world_files import made_world

KILLS = int(os.environ.get("COMITY_KILLS", "0"))

pytestmark = [
    pytest.mark.skipif(KILLS == 0, reason="the long version: make faults (short: tests/faults/test_schedules.py)"),
    pytest.mark.timeout(7_200),
]


def test_nothing_acknowledged_is_lost_or_shown_again_whatever_point_a_process_dies_at(tmp_path):
    with Arena(made_world(tmp_path), rate=CAMPAIGN_RATE) as arena:
        summary = kill_at_points(arena, KILLS)
    print(f"\n{summary}")
    assert summary.findings == []
    assert sum(summary.fell.values()) == KILLS
    assert len(summary.fell) == min(KILLS, len(turns()))
