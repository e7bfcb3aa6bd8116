"""Acts of officers in the log, and what an auditor's verifier makes of them."""

from __future__ import annotations

import json

import pytest

from builders_audit import good_audit
from builders_audit_acts import ABOUT_REPORT, act_of, acted, every_act
from builders_audit_cases_handled import read
from comity.errors import MalformedError
from comity.verify import table
from comity.verify.checks import Verification
from comity_broker.auditlog.acts import duties_changed, event_kind
from comity_broker.auditlog.kinds import EventKind
from comity_policy.acts import ActKind
from comity_policy.facts import Role

CERTIFICATE = {"kind": ActKind.CERTIFY, "officer": "XAR/lia", "role": Role.LIAISON}


@pytest.fixture
def audit():
    return good_audit()


def findings(audit, tmp_path):
    audit.write(tmp_path)
    return {(finding.code.name, finding.log_index) for finding in Verification(tmp_path).findings}


def certificate(audit, *witnesses, **changes):
    return act_of(audit, ActKind.CERTIFY, "XAR/lia", Role.LIAISON, *witnesses, **changes)


def test_the_verifiers_table_of_acts_is_the_policys():
    ours = {}
    for kind in ActKind:
        outcomes = ("destroyed", "returned") if kind is ActKind.CERTIFY else ("",)
        for outcome in outcomes:
            named = event_kind(act_of(good_audit(), kind, "XAR/lia", min(kind.roles), outcome=outcome))
            ours.setdefault(named.value, {})[kind.value] = {role.word for role in kind.roles}
    theirs = {entry: {kind: set(roles) for kind, roles in kinds.items()} for entry, kinds in table.ACTS.items()}
    assert ours == theirs


def test_acts_that_hold_pass_and_those_about_reports_stand_in_both_parties_bodies_alone(audit, tmp_path):
    shared = acted(audit, act_of(audit, ActKind.CONTACT, "XAR/lia", Role.LIAISON))
    between = acted(audit, certificate(audit, "XAR/law", "XAR/plen"))
    told = duties_changed(EventKind.DUTY_OVERDUE, time=audit.tick(), duties=[ABOUT_REPORT], readers=("XAR", "XBO"))
    audit.events.append(told)
    assert shared.own == {}
    assert set(json.loads(between.shared)) == {"time", "key_log_size"}
    assert set(between.own) == {"XAR", "XBO"}
    assert set(json.loads(told.shared)) == {"time"}
    assert findings(audit, tmp_path) == set()


def test_what_an_officer_read_or_acted_on_holds_where_its_party_was_handed_it(audit, tmp_path):
    read(audit, 0, 1)
    read(audit, 0, kind=ActKind.ACTION)
    assert findings(audit, tmp_path) == set()
    read(audit, 0, party="XAR")
    assert findings(audit, tmp_path) == {("NOT_DELIVERED", len(audit.events) - 1)}


def hidden_witness(audit):
    acted(audit, certificate(audit, "XAR/law"), "XAR/lia")


def unnamed_witness(audit):
    acted(audit, certificate(audit), "XAR/lia", "XAR/law")


def wrong_role(audit):
    acted(audit, act_of(audit, ActKind.DECLARE, "XAR/lia", Role.DUTY_OFFICER, valid_until=audit.time))


def role_that_may_not(audit):
    acted(audit, act_of(audit, ActKind.DECLARE, "XAR/lia", Role.LIAISON, valid_until=audit.time))


def another_agreement(audit):
    acted(audit, certificate(audit, agreement_id="XAR-XBO-9"))


def another_version(audit):
    acted(audit, certificate(audit, agreement_digest="00" * 48))


@pytest.mark.parametrize(
    "made",
    [hidden_witness, unnamed_witness, wrong_role, role_that_may_not, another_agreement, another_version],
    ids=lambda made: made.__name__,
)
def test_an_act_that_does_not_hold_is_found(audit, tmp_path, made):
    made(audit)
    assert findings(audit, tmp_path) == {("STATEMENT", len(audit.events) - 1)}


def test_an_act_is_built_from_its_own_statement_alone(audit):
    every = every_act(audit)
    told = {"DUTY_DUE", "DUTY_OVERDUE", "DUTY_DONE", "DUTY_MISSED"}
    assert {event.kind.value for event in every} == {*table.ACTS, *told}
    with pytest.raises(MalformedError):
        duties_changed(EventKind.REVIEWED, time=1, duties=[], readers=())
