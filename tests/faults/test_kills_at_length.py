"""kill -9 of the broker and of the receiver, COMITY_KILLS times each (`make faults`: 50); `make test` has the short version.

The summary is printed: how many kills fell where. Of fifty, none of the places may be empty.
"""

import os

import pytest

import kill_brokers
import kill_receivers
from world_files import made_world

KILLS = int(os.environ.get("COMITY_KILLS", "0"))
MANY = 50

pytestmark = [
    pytest.mark.skipif(KILLS == 0, reason="the long version: make faults (the short one is tests/e2e/test_kill.py)"),
    pytest.mark.timeout(3600),
]


def test_no_receipt_is_lost_however_often_the_broker_is_killed(tmp_path):
    summary = kill_brokers.kill_brokers(made_world(tmp_path), KILLS)
    print(f"\n{summary}")
    assert len(summary.kills) == KILLS
    assert all(one.in_flight >= kill_brokers.LEAST for one in summary.kills)
    if KILLS >= MANY:
        assert all(summary.of(moment) for moment in kill_brokers.Moment)


def test_no_file_is_repeated_or_lost_however_often_the_receiver_is_killed(tmp_path):
    summary = kill_receivers.kill_receivers(made_world(tmp_path), KILLS)
    print(f"\n{summary}")
    assert summary.kills == KILLS
    if KILLS >= MANY:
        assert all(summary.cut[moment] for moment in kill_receivers.Moment)
