"""The engine: every rule and boundary as a row of `engine_cases`, and what a whole report gets."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders_engine import CLAUSES, MOMENT, NODE, OPEN, PROFILE, SECRET, TIMES, Situation, egress, opening, told
from comity_policy.decision import Reason, Violation
from comity_policy.engine import decide_report
from comity_policy.facts import Addressee, Point, PortionMarking
from engine_cases import CASES


@pytest.mark.parametrize(("situation", "expected"), CASES.values(), ids=CASES.keys())
def test_a_decision_names_the_whole_set_of_violated_clauses_in_order(
    situation: Situation, expected: tuple[str, ...]
) -> None:
    decision = situation.decide()
    assert told(decision) == expected
    assert decision.permit is (expected == ())


def test_every_enforced_kind_is_the_sole_reason_of_a_refusal_in_the_table() -> None:
    sole = {expected[0].split()[0] for _, expected in CASES.values() if len(expected) == 1}
    enforced = {clause.id for clause in CLAUSES if clause.points and not clause.grant}
    assert enforced <= sole


def test_a_decision_lists_the_clauses_left_to_another_point() -> None:
    assert egress().decide().deferred == ("7", "11")
    assert Situation().decide().deferred == ()
    assert opening().decide().deferred == ("9", "12")
    assert opening(suspended=("9",)).decide().deferred == ("9", "12")


def test_a_refused_decision_lists_them_too() -> None:
    assert egress(profile={"suite": 2}).decide().deferred == ("7", "11")


def test_a_portion_that_is_not_there_is_an_error_not_an_answer() -> None:
    compiled, (profile, times, _, node, moment) = Situation().compiled(), Situation().facts()
    for index in (1, -1):
        with pytest.raises(IndexError):
            compiled.decide(profile, times, index, node, moment)


def test_no_clause_is_evaluated_less_because_another_failed() -> None:
    alone = set(Situation(profile={"suite": 2}).decide().violations)
    together = set(Situation(profile={"suite": 2, "purpose": "border"}).decide().violations)
    assert alone < together


PORTIONS = (PortionMarking(OPEN), PortionMarking(SECRET), PortionMarking(replace(SECRET, classification="TOP-SECRET")))
REPORT = replace(PROFILE, portions=PORTIONS, addressees=(Addressee("XBO"), Addressee("XDE")))
SECOND = replace(NODE, node="n2", accreditation_level="OTEVRENE")
XDE_NODE = replace(NODE, party="XDE", accreditation_level="GEHEIM")


def test_a_report_is_decided_by_portion_and_recipient_node() -> None:
    decision = decide_report(Situation().compiled(), REPORT, TIMES, (NODE, SECOND, XDE_NODE), MOMENT)
    assert decision.permit
    assert decision.permitted == {("XBO", "n1"): (0, 1), ("XBO", "n2"): (0,)}
    assert decision.refused_parties == ("XDE",)
    assert set(decision.violations) == {
        ("XBO", "n1", 2),
        ("XBO", "n2", 1),
        ("XBO", "n2", 2),
        ("XDE", "n1", 0),
        ("XDE", "n1", 1),
        ("XDE", "n1", 2),
    }
    assert decision.violations["XBO", "n2", 1] == (Violation("5", Reason.DENIED),)


def test_a_report_of_which_nothing_is_permitted_is_refused() -> None:
    decision = decide_report(Situation().compiled(), REPORT, TIMES, (XDE_NODE,), MOMENT)
    assert not decision.permit
    assert decision.refused_parties == ("XBO", "XDE")


def test_a_party_without_any_node_is_refused() -> None:
    decision = decide_report(Situation().compiled(), REPORT, TIMES, (), MOMENT)
    assert not decision.permit
    assert decision.refused_parties == ("XBO", "XDE")


def test_a_report_lists_the_clauses_left_to_another_point_whoever_receives_it() -> None:
    for nodes in ((NODE,), ()):
        decision = decide_report(Situation().compiled(), REPORT, TIMES, nodes, replace(MOMENT, point=Point.EGRESS))
        assert decision.deferred == ("7", "11")


def test_the_originators_own_node_is_no_recipient() -> None:
    own = replace(NODE, party="XAR", node="n1")
    report = replace(REPORT, addressees=(Addressee("XBO"), Addressee("XAR")))
    decision = decide_report(Situation().compiled(), report, TIMES, (own, NODE), MOMENT)
    assert all(key[:2] != ("XAR", "n1") for key in decision.violations)
    assert set(decision.permitted) == {("XBO", "n1")}


def test_a_node_of_a_party_nobody_addressed_is_not_considered() -> None:
    report = replace(REPORT, addressees=(Addressee("XBO"),))
    decision = decide_report(Situation().compiled(), report, TIMES, (NODE, XDE_NODE), MOMENT)
    assert {key[0] for key in decision.violations} == {"XBO"}
    assert decision.refused_parties == ()


def test_an_addressee_narrowed_to_an_office_reaches_its_nodes_only() -> None:
    elsewhere = replace(NODE, node="n3", offices=frozenset({"registry"}))
    report = replace(PROFILE, addressees=(Addressee("XBO", office="desk"),))
    decision = decide_report(Situation().compiled(), report, TIMES, (NODE, elsewhere), MOMENT)
    assert decision.permitted == {("XBO", "n1"): (0,)}
    assert decision.violations["XBO", "n3", 0] == (Violation("baseline/addressee", Reason.DENIED),)


def test_an_addressee_that_names_an_officer_reaches_the_nodes_that_have_one() -> None:
    report = replace(PROFILE, addressees=(Addressee("XBO", officer="XBO/officer1"),))
    with_officer = replace(NODE, officers=frozenset({"XBO/officer1"}))
    decision = decide_report(Situation().compiled(), report, TIMES, (with_officer, SECOND), MOMENT)
    assert decision.permitted == {("XBO", "n1"): (0,)}
    assert decision.violations["XBO", "n2", 0] == (
        Violation("baseline/addressee", Reason.FACT_MISSING),
        Violation("5", Reason.DENIED),
    )
