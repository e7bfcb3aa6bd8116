"""Checks laid end to end answer as they do one by one: by the generated cases, and by faults put into how they are laid out."""

from __future__ import annotations

import pytest
from hypothesis import settings

from builders_engine import laid_end_to_end, told
from builders_generated import DIGEST, VOCABULARIES
from builders_generated_cases import cases
from comity_policy import engine, fused
from comity_policy.engine import compile_agreement
from sabotage_tools import Fault, compiled_anew, in_function, in_method

SEEDS = 500 if settings.get_current_profile_name() == "long" else 60
# Where a fault shows in rare cases only, more agreements are made to find it.
SEARCHED = 120
# Of a seed's cases so many are decided with the times of all.
ASKED = 10


def difference(seed: int) -> str | None:
    """The first case of a seed that comes out otherwise end to end than one by one, and both answers."""
    made, facts = cases(seed)
    agreement = (made.document, DIGEST, made.state, VOCABULARIES)
    one_by_one, end_to_end = (compile_agreement(*agreement, **made.beside) for _ in range(2))
    laid_end_to_end(end_to_end)
    for place, one in enumerate(facts):
        expected, found = one_by_one.decide(*one), end_to_end.decide(*one)
        if found != expected:
            return f"cases({seed})[1][{place}]: one by one {told(expected)}, end to end {told(found)}"
    return None


def test_they_answer_as_they_do_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "FUSED_FROM", 1 << 30)
    assert [found for seed in range(SEEDS) if (found := difference(seed))] == []


def timed_difference(seed: int) -> str | None:
    """The first case of a seed that comes out otherwise when it is decided with all times of the seed together."""
    made, facts = cases(seed)
    agreement = (made.document, DIGEST, made.state, VOCABULARIES)
    one_by_one, end_to_end = (compile_agreement(*agreement, **made.beside) for _ in range(2))
    laid_end_to_end(end_to_end)
    every = [one[1] for one in facts]
    for place, (profile, _, portion, node, moment) in enumerate(facts[:: len(facts) // ASKED]):
        expected = [one_by_one.decide(profile, times, portion, node, moment) for times in every]
        found = end_to_end.decide_each(profile, every, portion, node, moment)
        if found != expected:
            return f"seed {seed}, case {place}: one by one {expected}, together {found}"
    return None


def test_reports_that_differ_in_their_times_are_decided_together_as_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "FUSED_FROM", 1 << 30)
    assert [found for seed in range(SEEDS // 2) if (found := timed_difference(seed))] == []


TIMED_FAULTS: dict[str, Fault] = {
    "a check that reads times is not asked again": in_method(
        fused._Renaming, fused, "visit_Name", "self.read.add(self._facts[name])", "pass"
    ),
    "a check that is called is not asked again": in_function(
        fused, "_text", "if laid.is_timed or not timed:", "if (laid.is_timed and body is not None) or not timed:"
    ),
    "a later table is that of the first report": in_method(
        engine.CompiledAgreement, engine, "decide_each", "times.created_at", "each[0].created_at"
    ),
    "all are answered as the first": in_method(
        engine.CompiledAgreement, engine, "decide_each", "timed = fused.timed(", "timed = () and fused.timed("
    ),
}


@pytest.mark.parametrize("fault", TIMED_FAULTS.values(), ids=TIMED_FAULTS.keys())
def test_a_fault_in_deciding_them_together_is_found(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled_anew(fault)(monkeypatch)
    monkeypatch.setattr(engine, "FUSED_FROM", 1 << 30)
    assert any(timed_difference(seed) for seed in range(SEARCHED))


FAULTS: dict[str, Fault] = {
    "what follows a condition that holds is forgotten": in_function(fused, "_laid", "[*body, *rest]", "[*body]"),
    "what follows a condition that does not is forgotten": in_function(fused, "_laid", "[*orelse, *rest]", "[*orelse]"),
    "what follows a loop is forgotten": in_function(fused, "_laid", "_laid(rest, leaves_loop=False)", "[]"),
    "a loop goes on after an answer": in_function(fused, "_laid", "[ast.Break()] if leaves_loop", "[] if leaves_loop"),
    "a condition is turned around": in_function(fused, "_answered", "ast.UnaryOp(ast.Not(), test)", "test"),
    "an answer that is worked out is not looked at": in_function(
        fused, "_answered", "return [assigned, *ast.parse", "return [assigned] or [*ast.parse"
    ),
    "every answer is a denial": in_function(fused, "_answered", "][{number}],)", "][1],)"),
    "a fact of a wrong type is told as a denial": in_function(fused, "_text", "[{MISSING}],)", "[1],)"),
    "a fact of a wrong type is no violation": in_function(
        fused, "_text", 'f"  found += (by_code[{place}][{MISSING}],)"', '"  pass"'
    ),
    "the first violation stands last": in_function(
        fused, "_answered", "found += (by_code[{_PLACE}][{number}],)", "found = (by_code[{_PLACE}][{number}],) + found"
    ),
    "a check has the constants of another": in_function(
        fused, "_placed", "first + number", "max(first + number - 1, 0)"
    ),
    "a check that is called is not asked": in_function(
        fused,
        "_text",
        "_AS_IT_IS if body is None else body",
        "_Body(('pass',), ('check',), {}, is_timed=True) if body is None else body",
    ),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_in_how_they_are_laid_out_is_found(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled_anew(fault)(monkeypatch)
    monkeypatch.setattr(engine, "FUSED_FROM", 1 << 30)
    # A name that is not there, or text that is no program, is found too.
    found = False
    for seed in range(SEARCHED):
        try:
            found = difference(seed) is not None
        except (NameError, SyntaxError, IndexError):
            found = True
        if found:
            break
    assert found
