"""Recalls are stopped by next to nothing: every evaluation asks the same few rows of a recall, whatever an agreement says."""

from dataclasses import replace

import pytest

from builders_generated import DIGEST, VOCABULARIES
from builders_generated_cases import cases
from comity_policy import lowering, reference
from comity_policy.analysis.cedar import CedarTwin
from comity_policy.analysis.solver import Z3Model
from comity_policy.decision import Baseline
from comity_policy.engine import compile_agreement
from comity_policy.facts import AgreementState, Kind
from sabotage_tools import in_method

SEEDS = range(40)
ASKED = {*map(str, lowering.OF_RECALLS)}
OTHERS = {str(one) for one in Baseline} - ASKED


def recalls(seed):
    """The agreement of a seed with its cases, each the recall of what it was."""
    made, facts = cases(seed)
    return made, [(replace(one[0], kind=Kind.RECALL), *one[1:]) for one in facts[:12]]


def differences(seed):
    made, facts = recalls(seed)
    agreement = (made.document, DIGEST, made.state, VOCABULARIES)
    compiled = compile_agreement(*agreement, **made.beside)
    twin, model = CedarTwin(compiled.source), Z3Model(compiled.source)
    for one in facts:
        expected = reference.decide(*agreement, *one, **made.beside)
        answers = (compiled.decide(*one), twin.decide(*one), model.judge(*one)[0])
        if {*answers} != {expected}:
            yield expected, answers


@pytest.mark.parametrize("seed", SEEDS[:10])
def test_all_evaluations_give_the_same_answers_for_recalls(seed):
    assert list(differences(seed)) == []


def test_nothing_but_who_where_when_and_how_sealed_stops_a_recall():
    permitted = 0
    for seed in SEEDS:
        made, facts = recalls(seed)
        tags = {one.id: one.__struct_config__.tag for one in made.document.clauses}
        compiled = compile_agreement(made.document, DIGEST, made.state, VOCABULARIES, **made.beside)
        for one in facts:
            decision = compiled.decide(*one)
            permitted += decision.permit
            cited = {each.clause_id for each in decision.violations}
            assert not cited & OTHERS
            assert all(tags[name] in {"suites", "audit"} for name in cited - ASKED if name in tags)
    assert permitted > len(SEEDS)


def test_neither_the_end_nor_a_suspension_stops_a_recall():
    permitted = 0
    for seed in SEEDS:
        made, facts = recalls(seed)
        before = compile_agreement(made.document, DIGEST, made.state, VOCABULARIES, **made.beside)
        for reason in ("SUSPENDED", "TERMINATED", "EXPIRED"):
            state = AgreementState(in_force=False, reason=reason)
            after = compile_agreement(made.document, DIGEST, state, VOCABULARIES, **made.beside)
            for one in facts:
                if before.decide(*one).permit:
                    permitted += 1
                    assert after.decide(*one).permit
    assert permitted > len(SEEDS)


@pytest.mark.parametrize("seed", SEEDS[:10])
def test_what_supersedes_a_report_is_decided_as_a_report_is(seed):
    made, facts = cases(seed)
    agreement = (made.document, DIGEST, made.state, VOCABULARIES)
    compiled = compile_agreement(*agreement, **made.beside)
    twin, model = CedarTwin(compiled.source), Z3Model(compiled.source)
    for one in (one for one in facts if one[0].kind is Kind.REPORT):
        new = (replace(one[0], kind=Kind.SUPERSEDE), *one[1:])
        expected = reference.decide(*agreement, *one, **made.beside)
        others = (reference.decide(*agreement, *new, **made.beside), twin.decide(*new), model.judge(*new)[0])
        assert {compiled.decide(*new), *others} == {expected}


def test_an_engine_that_asks_a_recall_what_it_asks_of_reports_is_found(monkeypatch):
    from comity_policy import engine

    in_method(engine._Program, engine, "rules", "if profile.kind is Kind.RECALL", "if False")(monkeypatch)
    assert any(next(differences(seed), None) for seed in SEEDS)
