"""Putting a named fault into the policy engine, by rewriting a function of it in memory; nothing shipped has a switch for it."""

from __future__ import annotations
import __future__

import inspect
import sys
import textwrap
from collections.abc import Callable
from functools import cache
from types import FunctionType, ModuleType
from typing import Any

import pytest

from comity_policy import engine, fused, lowering, lowering_clauses, predicates, rules
from comity_policy.decision import Baseline
from comity_policy.facts import Point
from comity_policy.predicates import baseline as baseline_predicates
from comity_policy.predicates import sharing, suspension

Fault = Callable[[pytest.MonkeyPatch], None]


def rewritten(function: Callable[..., object], module: ModuleType, old: str, new: str) -> FunctionType:
    """Give the function with one place of its source changed, living in the same module."""
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(old) == 1, f"{old!r} stands {source.count(old)} times in {function}"
    made: dict[str, FunctionType] = {}
    code = compile(source.replace(old, new), inspect.getfile(function), "exec", __future__.annotations.compiler_flag)
    exec(code, module.__dict__, made)
    (result,) = made.values()
    return result


def in_function(module: ModuleType, name: str, old: str, new: str) -> Fault:
    def put(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(module, name, rewritten(getattr(module, name), module, old, new))

    return put


def in_method(cls: type, module: ModuleType, name: str, old: str, new: str) -> Fault:
    def put(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(cls, name, rewritten(cls.__dict__[name], module, old, new))

    return put


def in_check(test: type, old: str, new: str) -> Fault:
    def put(patch: pytest.MonkeyPatch) -> None:
        builder = predicates.BUILDERS[test]
        module = sys.modules[builder.__module__]
        patch.setitem(predicates.BUILDERS, test, rewritten(builder, module, old, new))

    return put


def in_time_check(old: str, new: str) -> Fault:
    """Rewrite both forms of the check of times: with the clock window and without."""

    def put(patch: pytest.MonkeyPatch) -> None:
        source = inspect.getsource(predicates.BUILDERS[rules.InTime])
        assert source.count(old) == 2, f"{old!r} stands {source.count(old)} times"
        patch.setitem(
            predicates.BUILDERS,
            rules.InTime,
            rewritten(predicates.BUILDERS[rules.InTime], baseline_predicates, source, source.replace(old, new)),
        )

    return put


def in_controlled(old: str, new: str) -> Fault:
    def put(patch: pytest.MonkeyPatch) -> None:
        made = rewritten(suspension.controlled, suspension, old, new)
        for module in (suspension, sharing):
            patch.setattr(module, "controlled", made)

    return put


def in_lifting(name: str, old: str, new: str) -> Fault:
    """Rewrite what says whether an emergency lifts, wherever it is asked."""

    def put(patch: pytest.MonkeyPatch) -> None:
        made = rewritten(getattr(suspension, name), suspension, old, new)
        for module in (suspension, sharing, baseline_predicates):
            if hasattr(module, name):
                patch.setattr(module, name, made)

    return put


def skipped_clause(kind: type) -> Fault:
    def put(patch: pytest.MonkeyPatch) -> None:
        original = lowering_clauses.clause_tests

        def faulty(setting: Any, clause: Any) -> Any:
            return () if isinstance(clause, kind) else original(setting, clause)

        patch.setattr(lowering_clauses, "clause_tests", faulty)

    return put


def skipped_row(row: Baseline) -> Fault:
    def put(patch: pytest.MonkeyPatch) -> None:
        original = lowering.baseline

        def faulty(source: Any, direction: Any, point: Point) -> Any:
            return ((one, test) for one, test in original(source, direction, point) if one is not row)

        patch.setattr(lowering, "baseline", faulty)

    return put


def undecided_at(point: Point) -> Fault:
    def put(patch: pytest.MonkeyPatch) -> None:
        original = lowering.lower
        patch.setattr(
            lowering, "lower", lambda source, direction, at: () if at is point else original(source, direction, at)
        )

    return put


def compiled_anew(fault: Fault) -> Fault:
    """Give the fault where nothing is shared: what was made before it, for other agreements, does not have it."""

    def put(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(engine, "_shared_check", predicates.build)
        patch.setattr(engine, "_violations", inspect.unwrap(engine._violations))
        for name in ("_run", "_body_of"):
            patch.setattr(fused, name, cache(inspect.unwrap(getattr(fused, name))))
        fault(patch)

    return put
