"""What is decided of one slot lets the next one in only where nothing that a decision asks for differs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders_envelope import World
from comity.envelope.evidence import Approval, SlotCode
from comity.envelope.segment import WholeItem
from comity.errors import RefusedError
from comity_broker.slots import SlotDecision, SlotRefused
from comity_policy.decision import ReportDecision
from comity_policy.facts import Moment, Point, Precedence, Role

RUN = [item for _, item in World().delivery(4).segment.whole]
OTHER = World().delivery(3, precedence=Precedence.PRIORITY).segment.whole[2][1]
REFUSED = SlotRefused(SlotCode.POLICY, RefusedError("not this one"))
APPROVAL = Approval(1, bytes(48), Role.NODE, 0, b"")


def decided(item: WholeItem, **changes: object) -> SlotDecision:
    roles = frozenset({Role.NODE})
    moment = Moment(
        point=Point.ADMISSION, now=0, broker="XAR/hub", broker_region="xar", key_log_age=0, sender_roles=roles
    )
    return replace(SlotDecision(2, item, moment, ReportDecision(permit=True), None), **changes)


def with_core(item: WholeItem, **changes: object) -> WholeItem:
    return replace(item, core=replace(item.core, **changes))


def test_a_report_that_asks_the_same_is_let_in_by_the_decision_before_it():
    assert decided(RUN[2]).speaks_for(RUN[3])


@pytest.mark.parametrize(
    "other",
    [
        RUN[0],
        OTHER,
        with_core(RUN[3], profile=OTHER.core.profile),
        with_core(RUN[3], created_at=RUN[3].core.created_at + 1),
        with_core(RUN[3], not_before=RUN[3].core.not_before + 1),
        with_core(RUN[3], expires_at=RUN[3].core.expires_at + 1),
        replace(RUN[3], approvals=(APPROVAL,)),
    ],
    ids=["first of the run", "other rows", "profile", "created_at", "not_before", "expires_at", "approvals"],
)
def test_a_report_that_asks_anything_else_is_decided_by_itself(other):
    assert not decided(RUN[2]).speaks_for(other)


@pytest.mark.parametrize("changes", [{"refused": REFUSED}, {"unsound": REFUSED}], ids=["refused", "unsound"])
def test_a_slot_that_is_not_let_in_speaks_for_none(changes):
    assert not decided(RUN[2], **changes).speaks_for(RUN[3])


def test_a_slot_that_somebody_approved_speaks_for_none():
    assert not decided(replace(RUN[2], approvals=(APPROVAL,))).speaks_for(RUN[3])
