"""Four evaluations of one agreement agree: engine (its checks one by one and end to end), reference interpreter, Cedar twin, z3 model.

They are asked the generated cases of `builders_generated_cases`, in their own mix of permits and of every sole reason, and
cases in which one fact after another is missing or of a wrong type. A case is named as in `test_engine_reference`. The twin
and the model take milliseconds a case, so a usual run asks five thousand cases and a long one a hundred thousand.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import fields, replace
from itertools import islice

import pytest
from hypothesis import settings

from builders_engine import laid_end_to_end, told
from builders_generated import DIGEST, VOCABULARIES, Generated
from builders_generated_cases import FACTS_EACH, cases
from builders_generated_reports import Facts
from comity_policy import reference, rules
from comity_policy.analysis import cedar, symbols
from comity_policy.analysis.cedar import CedarTwin
from comity_policy.analysis.solver import Z3Model
from comity_policy.analysis.verdicts import VERDICTS, sharing
from comity_policy.decision import Decision
from comity_policy.engine import compile_agreement
from sabotage_tools import Fault, in_function, in_method, rewritten

# z3 makes very many small objects that live as long as their agreement: looking through them again and again finds nothing.
gc.set_threshold(50_000, 20, 20)
LONG = settings.get_current_profile_name() == "long"
AGREEMENTS_A_RUN = 10
RUNS = 200 if LONG else 10
# So many are made to look at the mix, and to find a fault.
SEARCHED = 16
# Long runs begin where the usual ones of `test_engine_reference` end.
FIRST = 1_000_000 if LONG else 0
NOT_FACTS = {"party", "node", "point", "now"}
WRONG = (None, 5, "5", b"5", True, ["xar"], frozenset({5.5}))


def differences(made: Generated, facts: list[Facts], seed: int) -> Iterator[str]:
    """The cases that one of the evaluations answers otherwise than the reference interpreter, each with all answers."""
    agreement = (made.document, DIGEST, made.state, VOCABULARIES)
    compiled, end_to_end = (compile_agreement(*agreement, **made.beside) for _ in range(2))
    laid_end_to_end(end_to_end)
    twin, model = CedarTwin(compiled.source), Z3Model(compiled.source)
    for place, one in enumerate(facts):
        expected = reference.decide(*agreement, *one, **made.beside)
        by_z3, would_be_looked_at = model.judge(*one)
        answers = {
            "engine": compiled.decide(*one),
            "engine, end to end": end_to_end.decide(*one),
            "Cedar": twin.decide(*one),
            "z3": by_z3,
        }
        if {*answers.values()} != {expected}:
            shown = ", ".join(f"{name} {_shown(answer)}" for name, answer in answers.items())
            yield f"seed {seed}, case {place}: reference {_shown(expected)}, {shown}"
        elif not would_be_looked_at:
            yield f"seed {seed}, case {place}: no proof would look at it"


def _shown(decision: Decision) -> str:
    return f"permit={decision.permit} {told(decision)} deferred={decision.deferred}"


@pytest.mark.parametrize("run", range(RUNS))
def test_all_evaluations_give_the_same_answers(run: int) -> None:
    seeds = range(FIRST + run * AGREEMENTS_A_RUN, FIRST + (run + 1) * AGREEMENTS_A_RUN)
    assert [found for seed in seeds for found in differences(*cases(seed), seed)] == []


def test_what_they_are_asked_is_permitted_and_refused() -> None:
    decisions = [
        reference.decide(made.document, DIGEST, made.state, VOCABULARIES, *one, **made.beside)
        for seed in range(SEARCHED)
        for made, facts in (cases(seed),)
        for one in facts
    ]
    assert len(decisions) == SEARCHED * FACTS_EACH
    assert 0.25 < sum(one.permit for one in decisions) / len(decisions) < 0.75
    reasons = {reason.reason for one in decisions for reason in one.violations}
    assert len(reasons) == 3


def spoiled(facts: Facts) -> Iterator[Facts]:
    """The case with each fact of node and moment missing, or of a wrong type."""
    profile, times, portion, node, moment = facts
    for field in fields(node):
        if field.name not in NOT_FACTS:
            yield from ((profile, times, portion, replace(node, **{field.name: one}), moment) for one in WRONG)
    for field in fields(moment):
        if field.name not in NOT_FACTS:
            yield from ((profile, times, portion, node, replace(moment, **{field.name: one})) for one in WRONG)


@pytest.mark.parametrize("seed", range(20 if LONG else 4))
def test_they_do_where_a_fact_is_missing_or_of_a_wrong_type(seed: int) -> None:
    made, facts = cases(seed)
    agreement = (made.document, DIGEST, made.state, VOCABULARIES)
    passing = [one for one in facts if reference.decide(*agreement, *one, **made.beside).permit] or facts
    asked = [other for one in islice(passing, 1) for other in spoiled(one)]
    assert list(differences(made, asked, seed)) == []


TWIN = "the twin: "
MODEL = "the model: "
FAULTS: dict[str, Fault] = {
    TWIN + "at most is less than": in_function(cedar, "_cedar", "{_amount(left)} <= ", "{_amount(left)} < "),
    TWIN + "all of the words is any of them": in_function(
        cedar,
        "_cedar",
        "{_set(words)}.containsAll({_path(attribute)})",
        "{_path(attribute)}.containsAny({_set(words)})",
    ),
    TWIN + "only the first part counts": in_function(
        cedar, "_cedar", 'return " || ".join(map(_operand, parts))', "return _operand(parts[0])"
    ),
    TWIN + "a missing fact is no violation": in_method(
        CedarTwin, cedar, "decide", "is not None]", "is not None and one.reason.value == 'DENIED']"
    ),
    MODEL + "at most is less than": in_method(symbols.Symbols, symbols, "formula", "(left) <= self", "(left) < self"),
    MODEL + "words nobody names are among all others": in_method(
        symbols.Domain, symbols, "within", "listed and listed[0] in words", "not listed or listed[0] in words"
    ),
    MODEL + "a plus is forgotten": in_method(symbols.Symbols, symbols, "_amount", "IntVal(amount.plus", "IntVal(0"),
    "both: one attested region is enough": lambda patch: patch.setitem(
        VERDICTS,
        rules.RestsIn,
        rewritten(sharing.rests_in, sharing, "missing=no(every(", "missing=no(some("),
    ),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_in_the_twin_or_the_model_is_found(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    fault(monkeypatch)
    assert any(next(differences(*cases(seed), seed), None) for seed in range(SEARCHED))
