"""Each named fault, put into the engine, changes a decision of the table: the table would notice it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pytest

from builders_engine import Situation, told
from engine_cases import CASES
from sabotage_policy import FAULTS, Fault

Expected = tuple[tuple[str, ...], bool, tuple[str, ...]]


@dataclass
class Rows:
    """The rows of one agreement in one state: name, facts, and what is expected of the decision."""

    situation: Situation
    rows: list[tuple[str, tuple[Any, ...], Expected]] = field(default_factory=list)

    def unexpected(self) -> str | None:
        """The first row whose decision is not the expected one; the agreement is compiled once, with the fault in place."""
        compiled = self.situation.compiled()
        for name, facts, expected in self.rows:
            decision = compiled.decide(*facts)
            if (told(decision), decision.permit, decision.deferred) != expected:
                return name
        return None


@cache
def table() -> list[Rows]:
    """The rows by agreement, those that share one with the most others first: they cost the least and find the most."""
    found: dict[str, Rows] = {}
    for name, (situation, violations) in CASES.items():
        facts = situation.facts()
        point = facts[-1].point
        deferred = tuple(one.id for one in situation.clauses if one.points and point not in one.points)
        key = repr((situation.clauses, situation.suspended, situation.state))
        found.setdefault(key, Rows(situation)).rows.append((name, facts, (violations, violations == (), deferred)))
    return sorted(found.values(), key=lambda one: len(one.rows), reverse=True)


def unexpected() -> str | None:
    """The first row that differs, if one does."""
    return next((name for name in (one.unexpected() for one in table()) if name is not None), None)


def test_the_table_holds_without_a_fault() -> None:
    assert sum(len(one.rows) for one in table()) == len(CASES)
    assert unexpected() is None


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_the_fault_is_found(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    fault(monkeypatch)
    assert unexpected() is not None
