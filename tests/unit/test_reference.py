"""The reference interpreter: the table of decisions holds for it too, and it stands on nothing of the engine."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest

from builders_engine import DIGEST, MOMENT, NODE, OPEN, PROFILE, SECRET, TIMES, VOCABULARIES, Situation, told
from comity_policy import reference
from comity_policy.decision import Decision, Reason, Violation
from comity_policy.facts import Addressee, AgreementState, Point, PortionMarking
from engine_cases import CASES

DATA_ONLY = {"clauses", "companions", "decision", "facts", "marking", "sections", "vocabulary"}
OF_MARKING = {"CategoryKind", "Label", "OriginKind", "Tlp"}
# What a dataclass derives from its fields is code the engine stands on.
DERIVED = {
    *("milliseconds", "points", "suspendable", "grant", "levels", "protected_as", "begins_at"),
    *("clause", "equivalence", "equivalences_of", "rank_of", "levels_of", "directions", "descendants", "lineage"),
}


def decided(situation: Situation) -> Decision:
    state = situation.state or AgreementState(in_force=True, suspended_clauses=frozenset(situation.suspended))
    return reference.decide(situation.document(), DIGEST, state, VOCABULARIES, *situation.facts())


@pytest.mark.parametrize(("situation", "expected"), CASES.values(), ids=CASES.keys())
def test_the_interpreter_names_the_whole_set_of_violated_clauses_in_order(
    situation: Situation, expected: tuple[str, ...]
) -> None:
    decision = decided(situation)
    assert told(decision) == expected
    assert decision.permit is (expected == ())
    point = situation.facts()[-1].point
    assert decision.deferred == tuple(one.id for one in situation.clauses if one.points and point not in one.points)


def test_a_portion_that_is_not_there_is_an_error_of_the_caller() -> None:
    for index in (1, -1):
        with pytest.raises(IndexError):
            reference.decide(
                Situation().document(),
                DIGEST,
                AgreementState(in_force=True),
                VOCABULARIES,
                PROFILE,
                TIMES,
                index,
                NODE,
                MOMENT,
            )


def test_a_report_is_answered_by_portion_and_node_without_the_originators_own() -> None:
    top = replace(SECRET, classification="TOP-SECRET")
    report = replace(
        PROFILE,
        portions=tuple(PortionMarking(label) for label in (OPEN, SECRET, top)),
        addressees=(Addressee("XDE"), Addressee("XBO"), Addressee("XAR"), Addressee("XBO", office="desk")),
    )
    nodes = (
        NODE,
        replace(NODE, node="n2", accreditation_level=None),
        replace(NODE, party="XAR", node="n1"),
        replace(NODE, party="XFA", node="n1"),
    )
    agreement = (Situation().document(), DIGEST, AgreementState(in_force=True), VOCABULARIES)
    decision = reference.decide_report(*agreement, report, TIMES, nodes, replace(MOMENT, point=Point.EGRESS))
    assert decision.permit
    assert decision.permitted == {("XBO", "n1"): (0, 1), ("XBO", "n2"): (0,)}
    assert set(decision.violations) == {("XBO", "n1", 2), ("XBO", "n2", 1), ("XBO", "n2", 2)}
    assert decision.violations["XBO", "n2", 1] == (Violation("5", Reason.FACT_MISSING),)
    assert decision.refused_parties == ("XDE", "XAR")
    assert decision.deferred == ("7", "11")


def test_a_report_without_any_recipient_is_refused() -> None:
    agreement = (Situation().document(), DIGEST, AgreementState(in_force=True), VOCABULARIES)
    decision = reference.decide_report(*agreement, PROFILE, TIMES, (), MOMENT)
    assert (decision.permit, decision.permitted, decision.refused_parties) == (False, {}, ("XBO",))


def test_the_interpreter_shares_dataclasses_with_the_engine_and_nothing_else() -> None:
    for path in Path(reference.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute):
                assert node.attr not in DERIVED, f"{path.name} uses .{node.attr}"
            elif isinstance(node, ast.Import):
                assert not any(name.name.startswith("comity") for name in node.names)
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("comity"):
                module = (node.module or "").removeprefix("comity_policy.")
                assert module.split(".")[0] in DATA_ONLY | {"reference"}, f"{path.name} imports {module}"
                if module == "marking":
                    assert {name.name for name in node.names} <= OF_MARKING
