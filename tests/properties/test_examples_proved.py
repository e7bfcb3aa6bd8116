"""z3 proves of every example what it never permits: see `comity_policy.analysis.proofs` for the list.

The proofs of the trilateral example take about a minute: a usual run leaves its suspensions to the long one.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import settings

from builders_agreements import NAMES, example
from comity_policy.analysis.proofs import (
    AGREED,
    CAVEAT,
    EMERGENCY,
    INVARIANTS,
    SUSPENSION,
    UMBRELLA,
    Outcome,
    Proof,
    prove,
    prove_agreed,
)
from comity_policy.clauses import Emergency
from comity_policy.facts import AgreementState

LONG = settings.get_current_profile_name() == "long"
SLOW = {"xar-xbo-xde-sea"}


def refuted(proofs: list[Proof]) -> list[str]:
    return [one.words for one in proofs if one.outcome is not Outcome.PROVED]


@pytest.mark.parametrize("name", [name for name in NAMES if LONG or name not in SLOW])
def test_everything_is_proved_of_an_example(name: str) -> None:
    made = example(name)
    proofs = list(prove(made.source()))
    assert refuted(proofs) == []
    proved = [one.invariant for one in proofs]
    assert proved[: len(INVARIANTS)] == list(INVARIANTS)
    suspendable = [clause.id for clause in made.document.clauses if clause.suspendable]
    assert [one.clause_id for one in proofs if one.invariant == SUSPENSION] == [*suspendable, ""]
    own = len(made.document.invariants) + (len(made.umbrella.document.invariants) if made.umbrella else 0)
    assert proved.count(AGREED) == own
    assert proved.count(CAVEAT) == len(made.caveats)
    assert proved.count(UMBRELLA) == (made.umbrella is not None)
    assert proved.count(EMERGENCY) == any(isinstance(one, Emergency) for one in made.document.clauses)


@pytest.mark.parametrize("name", sorted(SLOW))
def test_what_no_example_may_ever_permit_is_proved_of_a_slow_one_too(name: str) -> None:
    source = example(name).source()
    proofs = [*itertools.islice(prove(source), len(INVARIANTS)), *prove_agreed(source)]
    assert refuted(proofs) == []
    assert len(proofs) == len(INVARIANTS) + len(source.document.invariants)


def test_every_kind_of_proof_is_asked_of_some_example() -> None:
    made = [example(name) for name in NAMES]
    assert any(one.umbrella is not None for one in made)
    assert sum(len(one.caveats) for one in made) >= 4
    assert {type(invariant).__name__ for one in made for invariant in one.document.invariants} == {
        *("NeverTo", "NeverAbove", "NeverOnward", "OnlyFor", "NeverPersonalData", "AlwaysApproved", "NeverLonger")
    }


def test_what_was_promised_holds_while_clauses_are_suspended() -> None:
    state = AgreementState(in_force=True, suspended_clauses=frozenset({"1.1", "2"}))
    assert refuted(list(prove_agreed(replace(example("xar-xbo-ct-arrangement").source(), state=state)))) == []
