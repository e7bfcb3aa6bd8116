"""Waiting reports, whatever is done to them in whatever order, restarted or not: a lane has one, and none is lost."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from builders_envelope import Stream, World
from comity.envelope.evidence import Approval
from comity.envelope.limits import APPROVALS
from comity.errors import ConflictError, MalformedError, NotFoundError, StorageError
from comity.node.outbox import StoredSegment
from comity.node.waiting import LANES, Waiting, WaitingReports
from comity_policy.facts import Role

SEALED = World().seal().data
AGREEMENTS = st.sampled_from(["XAR-XBO-1", "XAR-XDE-1"])
OFFICERS = st.integers(0, APPROVALS + 3)


def approval(officer: int) -> Approval:
    return Approval(1, officer.to_bytes(48, "big"), Role.LIAISON, 1, b"signature of %d" % officer)


class Desk(RuleBasedStateMachine):
    """The file beside what it should hold: the approvals of each report, and the lane of each."""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.random = Stream(b"lanes")
        self.reports = WaitingReports(self.folder, self.random)
        self.waiting: dict[UUID, dict[int, Approval]] = {}
        self.lanes: dict[UUID, object] = {}
        self.made = 0

    @rule(agreement=AGREEMENTS, transport_class=st.integers(1, 2))
    def hold(self, agreement, transport_class):
        lane = self.reports.free_lane(agreement, transport_class)
        assert lane not in self.lanes.values()
        assert self.reports.free_lane(agreement, transport_class, {lane}) != lane
        self.made += 1
        name = UUID(int=self.made)
        segment = StoredSegment(self.made.to_bytes(48, "big"), lane, 1, 1, SEALED, 0, (bytes(48),), 1 << 50)
        self.reports.add(Waiting(name, segment, (bytes(48), 1), ((bytes(48), b"packet"),)))
        self.waiting[name] = {}
        self.lanes[name] = lane

    @precondition(lambda self: self.waiting)
    @rule(data=st.data(), officer=OFFICERS)
    def approve(self, data, officer):
        name = data.draw(st.sampled_from(sorted(self.waiting)))
        there = self.waiting[name]
        if officer in there:
            with pytest.raises(ConflictError):
                self.reports.approve(name, approval(officer))
        elif len(there) >= APPROVALS:
            with pytest.raises(MalformedError):
                self.reports.approve(name, approval(officer))
        else:
            self.reports.approve(name, approval(officer))
            there[officer] = approval(officer)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data(), broken=st.booleans())
    def remove(self, data, broken):
        name = data.draw(st.sampled_from(sorted(self.waiting)))
        self.reports.remove(name)
        del self.waiting[name]
        lane = self.lanes.pop(name)
        if broken:
            self.reports.retire(lane)
            assert self.reports.free_lane(lane.agreement_id, lane.transport_class) != lane
        with pytest.raises(NotFoundError):
            self.reports.approve(name, approval(0))

    @rule()
    def restart(self):
        self.reports.close()
        self.reports = WaitingReports(self.folder, self.random)

    @invariant()
    def holds_what_was_given(self):
        found = self.reports.all()
        assert {one.report_id for one in found} == set(self.waiting)
        for one in found:
            assert one.segment.lane == self.lanes[one.report_id]
            given = self.waiting[one.report_id]
            assert one.item.approvals == tuple(given[officer] for officer in sorted(given))
            assert one.packets == ((bytes(48), b"packet"),)

    def teardown(self):
        self.reports.close()
        shutil.rmtree(self.folder)


def test_a_desk_holds_what_was_given_to_it():
    examples = max(15, settings.default.max_examples // 8)
    run_state_machine_as_test(Desk, settings=settings(settings.default, max_examples=examples, stateful_step_count=25))


def test_no_more_reports_wait_than_there_are_lanes_for(tmp_path):
    reports = WaitingReports(tmp_path, Stream(b"lanes"))
    for number in range(LANES):
        lane = reports.free_lane("XAR-XBO-1", 1)
        segment = StoredSegment(number.to_bytes(48, "big"), lane, 1, 1, SEALED, 0, (), 1)
        reports.add(Waiting(UUID(int=number), segment, (bytes(48), 1), ()))
    with pytest.raises(StorageError, match="wait for approvals"):
        reports.free_lane("XAR-XBO-1", 1)
    assert reports.free_lane("XAR-XBO-1", 2)
    reports.close()
