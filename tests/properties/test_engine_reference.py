"""Engine and reference interpreter give the same answer to every generated case; the generator is known to be sharp.

A case is named by its seed and its place: `builders_generated_cases.cases(seed)[1][place]` makes it again. The seeds are
fixed, so that the mix of the run and what it finds are the same every time; a property adds seeds nobody has tried.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cache

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from builders_engine import told
from builders_generated import DIGEST, VOCABULARIES, Generated
from builders_generated_cases import FACTS_EACH, cases, reports
from builders_generated_reports import Facts
from comity_policy import engine, reference
from comity_policy.clauses import Clause, Exclude
from comity_policy.decision import Baseline, Decision, Reason
from comity_policy.engine import compile_agreement
from find_engine_faults import places, where_to_look
from sabotage_policy import FAULTS, Fault
from sabotage_tools import in_function

AGREEMENTS = 400
# Where a fault shows in rare cases only, more agreements are made to find it.
SEARCHED = 3 * AGREEMENTS
RUN = 2_000 if settings.get_current_profile_name() == "long" else AGREEMENTS
# What an emergency lifts and what survives are read by other rows: these two are never violated themselves.
READ_ONLY = {"emergency", "survives"}
KINDS = {
    kind.__struct_config__.tag: kind
    for kind in (*Clause.__args__, Exclude)
    if kind.points and kind.__struct_config__.tag not in READ_ONLY
}

CAN_LACK_A_FACT = {
    Baseline.ADDRESSEE,
    Baseline.BROKER,
    Baseline.NODE,
    Baseline.VOCABULARY,
    Baseline.ACCESS,
    Baseline.ONWARD,
    Baseline.ORIGINATOR_CONTROL,
    *KINDS.keys() - {"scope", "onward", "releasability", "embargo"},
}
REPORT_FAULTS = {
    "the originator's own node is decided": ("or (node.party, node.node) == own", ""),
    "a node nobody addressed is decided": ("node.party not in addressed or ", ""),
    "a report of which nothing is permitted is permitted": ("permit=bool(permitted)", "permit=True"),
    "every addressed party is refused": ("if party not in served", ""),
    "only the last portion is permitted": ("indices.append(index)", "indices = [index]"),
    "the clauses left to another point are not told": (
        "deferred=compiled.deferred(profile.originator.party, addressed, moment.point)",
        "deferred=()",
    ),
}

Answered = tuple[Generated, list[tuple[Facts, Decision]]]


def answered(seed: int) -> Answered:
    """The cases of a seed with the answers of the reference interpreter."""
    made, facts = cases(seed)
    agreement = (made.document, DIGEST, made.state, VOCABULARIES)
    return made, [(one, reference.decide(*agreement, *one, **made.beside)) for one in facts]


kept = cache(answered)


def difference(seed: int, cases_of_it: Answered) -> str | None:
    """The first case of a seed to which the engine gives another answer, and both answers."""
    made, answers = cases_of_it
    compiled = compile_agreement(made.document, DIGEST, made.state, VOCABULARIES, **made.beside)
    for place, (facts, expected) in enumerate(answers):
        decision = compiled.decide(*facts)
        if decision != expected:
            return f"cases({seed})[1][{place}]: engine {_shown(decision)}, reference {_shown(expected)}"
    return None


def _shown(decision: Decision) -> str:
    return f"permit={decision.permit} {told(decision)} deferred={decision.deferred}"


@dataclass
class Run:
    """What all cases of the run came to, counted on the answers of the reference interpreter."""

    differences: list[str] = field(default_factory=list)
    permits: int = 0
    cases: int = 0
    sole: Counter[str] = field(default_factory=Counter)
    reasons: Counter[tuple[str, Reason]] = field(default_factory=Counter)

    def add(self, made: Generated, decision: Decision) -> None:
        self.cases += 1
        self.permits += decision.permit
        kinds: dict[str, str] = {name: clause.__struct_config__.tag for name, clause in made.named()}
        found = [(kinds.get(one.clause_id, one.clause_id), one.reason) for one in decision.violations]
        self.reasons.update(found)
        # The baseline's rows for grants speak for the scopes and the onward clauses.
        speaks = {Baseline.GRANT: "scope", Baseline.ONWARD: "onward"}
        about = {speaks.get(row, row) for row, _ in found}  # type: ignore[call-overload]  # any row
        self.sole.update(about if len(about) == 1 else ())


@cache
def run() -> Run:
    """Take every decision of the run; the cases of the shorter run are kept for the faults."""
    result = Run()
    for seed in range(RUN):
        made, answers = kept(seed) if seed < AGREEMENTS else answered(seed)
        result.differences += filter(None, [difference(seed, (made, answers))])
        for _, decision in answers:
            result.add(made, decision)
    return result


def test_engine_and_reference_interpreter_give_the_same_answers() -> None:
    assert run().differences == []
    assert run().cases == RUN * FACTS_EACH


@settings(max_examples=RUN // 10, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(st.integers(min_value=RUN, max_value=2**64))
def test_they_do_for_seeds_nobody_has_tried(seed: int) -> None:
    assert difference(seed, answered(seed)) is None


def report_difference(seed: int, mix: Counter[str]) -> str | None:
    """The first report of a seed that the engine answers otherwise; what the others came to is added to the mix."""
    made, facts = reports(seed)
    agreement = (made.document, DIGEST, made.state, VOCABULARIES)
    compiled = compile_agreement(*agreement, **made.beside)
    for place, one in enumerate(facts):
        decision = engine.decide_report(compiled, *one)
        if decision != (expected := reference.decide_report(*agreement, *one, **made.beside)):
            return f"reports({seed})[1][{place}]: engine {decision}, reference {expected}"
        mix["partly" if decision.permit and decision.violations else "whole" if decision.permit else "refused"] += 1
    return None


def test_they_give_the_same_answers_to_whole_reports() -> None:
    mix: Counter[str] = Counter()
    assert [found for seed in range(RUN) if (found := report_difference(seed, mix))] == []
    assert min(mix[one] for one in ("whole", "partly", "refused")) > RUN


def test_between_a_quarter_and_three_quarters_of_the_cases_are_permitted() -> None:
    assert 0.25 < run().permits / run().cases < 0.75


def test_every_enforced_kind_is_the_sole_reason_of_many_refusals() -> None:
    assert {kind: run().sole[kind] for kind in KINDS if run().sole[kind] < 50} == {}


def test_every_row_is_violated_for_every_reason_it_can_have() -> None:
    rows = {reason: {row for row, one in run().reasons if one is reason} for reason in Reason}
    assert rows[Reason.DENIED] == {*Baseline, *KINDS} - {"scope", "onward"}
    assert rows[Reason.CLAUSE_SUSPENDED] == {name for name, kind in KINDS.items() if kind.suspendable}
    assert rows[Reason.FACT_MISSING] == CAN_LACK_A_FACT
    assert {one: count for one, count in run().reasons.items() if count < 10} == {}


@pytest.mark.parametrize(("name", "fault"), FAULTS.items(), ids=FAULTS.keys())
def test_a_fault_in_the_engine_is_found_by_the_generated_cases(
    name: str, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault(monkeypatch)
    assert any(difference(seed, kept(seed)) for seed in where_to_look(name, SEARCHED))


def test_the_table_of_where_faults_are_found_names_faults_only() -> None:
    assert places().keys() - FAULTS.keys() == set()


@pytest.mark.parametrize("fault", REPORT_FAULTS.values(), ids=REPORT_FAULTS.keys())
def test_a_fault_in_the_decision_of_a_report_is_found(fault: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    in_function(engine, "decide_report", *fault)(monkeypatch)
    assert any(report_difference(seed, Counter()) for seed in range(AGREEMENTS))
