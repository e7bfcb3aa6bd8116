"""Laws of the engine, held against every row of the decision table: what subtracts only subtracts, what lifts lifts no more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from builders_engine import DIGEST, TEXT, VOCABULARIES, Situation
from builders_treaties import UNDER, caveat, umbrella
from comity_policy import clauses as kinds
from comity_policy.clauses import Exclude
from comity_policy.decision import Baseline, Violation
from comity_policy.document import Document
from comity_policy.engine import CompiledAgreement, compile_agreement
from comity_policy.facts import AgreementState
from engine_cases import CASES
from engine_words import EMERGENCY

LIFTABLE = (kinds.Quota, kinds.Acknowledge, kinds.DualControl, kinds.Embargo, kinds.OriginatorControl)
LIFTABLE_ROWS = {Baseline.ONWARD, Baseline.ORIGINATOR_CONTROL, Baseline.TIMES}
DENIED = {name: situation for name, (situation, expected) in CASES.items() if expected}
_COMPILED: dict[str, CompiledAgreement] = {}


def state_of(situation: Situation) -> AgreementState:
    return situation.state or AgreementState(in_force=True, suspended_clauses=frozenset(situation.suspended))


def compiled(situation: Situation, state: AgreementState, beside: str = "") -> CompiledAgreement:
    """Compiled once for each text, state and what stands beside it: the rows share most of them."""
    key = repr((situation.clauses, state, beside))
    if key not in _COMPILED:
        document, more = BESIDE[beside](situation.document())
        _COMPILED[key] = compile_agreement(document, DIGEST, state, VOCABULARIES, **more)
    return _COMPILED[key]


def violations(situation: Situation, state: AgreementState | None = None) -> tuple[Violation, ...]:
    return compiled(situation, state or state_of(situation)).decide(*situation.facts()).violations


def suspensions(situation: Situation) -> Iterator[AgreementState]:
    """The state with each clause suspended besides, one at a time."""
    state = state_of(situation)
    for clause in situation.clauses:
        if clause.id not in state.suspended_clauses:
            yield replace(state, suspended_clauses=state.suspended_clauses | {clause.id})


@pytest.mark.parametrize("situation", DENIED.values(), ids=DENIED.keys())
def test_no_suspension_permits_what_was_denied(situation: Situation) -> None:
    for state in suspensions(situation):
        assert violations(situation, state) != ()


@pytest.mark.parametrize("situation", DENIED.values(), ids=DENIED.keys())
def test_suspending_the_whole_agreement_permits_nothing_that_was_denied(situation: Situation) -> None:
    state = replace(state_of(situation), in_force=False, reason="SUSPENDED")
    if state_of(situation).in_force is True:
        assert violations(situation, state) != ()


@pytest.mark.parametrize("situation", DENIED.values(), ids=DENIED.keys())
def test_an_emergency_lifts_only_what_it_may(situation: Situation) -> None:
    declared = replace(
        situation,
        clauses=(*situation.clauses, EMERGENCY),
        profile={**situation.profile, "emergency": b"e" * 48},
        moment={**situation.moment, "emergency_declared": True},
    )
    lifted = {one.clause_id for one in violations(situation)} - {one.clause_id for one in violations(declared)}
    by_id = {clause.id: clause for clause in situation.clauses}
    for clause_id in lifted:
        assert clause_id in LIFTABLE_ROWS or isinstance(by_id[clause_id], LIFTABLE)


CAVEAT = caveat(
    Exclude(id="1", text=TEXT, categories=("cyber",)), kinds.Purpose(id="2", text=TEXT, purposes=("border",))
)
BESIDE: dict[str, Callable[[Document], tuple[Document, dict[str, Any]]]] = {
    "": lambda document: (document, {}),
    "a caveat": lambda document: (document, {"caveats": (CAVEAT,)}),
    "an umbrella": lambda document: (replace(document, kind="arrangement", under=UNDER), {"umbrella": umbrella()}),
}


@pytest.mark.parametrize("situation", [one for one, _ in CASES.values()], ids=CASES.keys())
def test_a_caveat_only_adds_violations(situation: Situation) -> None:
    narrowed = compiled(situation, state_of(situation), "a caveat").decide(*situation.facts())
    before = violations(situation)
    assert narrowed.violations[: len(before)] == before


@pytest.mark.parametrize("situation", [one for one, _ in CASES.values()], ids=CASES.keys())
def test_an_arrangement_permits_nothing_it_would_not_permit_alone(situation: Situation) -> None:
    both = compiled(situation, state_of(situation), "an umbrella")
    before = violations(situation)
    after = both.decide(*situation.facts()).violations
    assert tuple(one for one in after if one in before) == before
