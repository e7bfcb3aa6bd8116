"""Each named fault, put into the engine, changes a decision of the table: the table would notice it."""

from __future__ import annotations

import inspect

import pytest

from builders_engine import told
from comity_policy import engine, predicates
from comity_policy.engine import CompiledAgreement
from engine_cases import CASES
from sabotage_policy import FAULTS, Fault


def unexpected() -> str | None:
    """The first row whose decision is not the expected one; agreements are compiled once, with the fault in place."""
    compiled: dict[str, CompiledAgreement] = {}
    for name, (situation, expected) in CASES.items():
        key = repr((situation.clauses, situation.suspended, situation.state))
        if key not in compiled:
            compiled[key] = situation.compiled()
        decision = compiled[key].decide(*situation.facts())
        point = situation.facts()[-1].point
        deferred = tuple(one.id for one in situation.clauses if one.points and point not in one.points)
        if (told(decision), decision.permit, decision.deferred) != (expected, expected == (), deferred):
            return name
    return None


def test_the_table_holds_without_a_fault() -> None:
    assert unexpected() is None


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_the_fault_is_found(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    # What was made before it, and is shared by agreements, does not have the fault.
    monkeypatch.setattr(engine, "_shared_check", predicates.build)
    monkeypatch.setattr(engine, "_violations", inspect.unwrap(engine._violations))
    fault(monkeypatch)
    assert unexpected() is not None
