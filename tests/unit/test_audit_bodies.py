"""What stands in the bodies of a log: runs of slots, and the kind of log that an origin names."""

from __future__ import annotations

import pytest

from builders_audit_log import KEYS_ORIGIN
from comity.errors import MalformedError
from comity_broker.auditlog.bodies import ranges
from comity_broker.auditlog.kinds import LogKind, log_kind_of


@pytest.mark.parametrize(
    ("numbers", "runs"), [([], []), ([3], [[3, 3]]), ([0, 1, 2], [[0, 2]]), ([0, 2, 3, 9], [[0, 0], [2, 3], [9, 9]])]
)
def test_slots_are_told_as_runs(numbers, runs):
    assert ranges(numbers) == runs


def test_a_log_is_known_by_its_origin():
    assert log_kind_of(KEYS_ORIGIN) is LogKind.KEYS


@pytest.mark.parametrize("origin", ["", "hub.example", "hub.example/keys", "hub.example/access/XAR/00"])
def test_a_log_of_no_kind_is_refused(origin):
    with pytest.raises(MalformedError):
        log_kind_of(origin)
