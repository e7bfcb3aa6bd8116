"""Proofs while clauses are suspended, counterexamples where an agreement is broken on purpose, and relaxations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib.resources import files

import pytest

from builders_engine import DIGEST, TEXT
from comity_policy import clauses as kinds
from comity_policy import lowering, lowering_clauses, rules, sources
from comity_policy.analysis.proofs import CAVEAT, EMERGENCY, UMBRELLA, Outcome, Proof, prove
from comity_policy.analysis.relaxations import newly_permitted, relaxations
from comity_policy.analysis.verdicts import VERDICTS
from comity_policy.analysis.verdicts.parts import Verdict
from comity_policy.analysis.witness import UnconfirmedError
from comity_policy.caveat import Caveat
from comity_policy.clauses import Ceiling, Clause, Span, Window
from comity_policy.decision import Baseline
from comity_policy.document import load
from comity_policy.facts import AgreementState, Point
from comity_policy.lowering import Source, Umbrella, source_of
from comity_policy.mutants import dropped, mutants
from comity_policy.sections import AgreementKind
from comity_policy.vocabulary import bundled
from sabotage_tools import Fault, in_function, rewritten, skipped_clause, skipped_row

IN_FORCE = AgreementState(in_force=True)


@cache
def text(name: str) -> str:
    return (files("comity_policy") / "examples" / f"{name}.toml").read_text(encoding="utf-8")


def source(name: str = "xar-xbo-ct", state: AgreementState = IN_FORCE, **changes: str) -> Source:
    return source_of(load(text(name).encode()), bytes(48), state, bundled())


def changed(old: str, new: str, name: str = "xar-xbo-ct") -> Source:
    assert text(name).count(old) == 1
    return source_of(load(text(name).replace(old, new).encode()), b"2" * 48, IN_FORCE, bundled())


def test_everything_is_proved_while_clauses_are_suspended() -> None:
    made = source(state=AgreementState(in_force=True, suspended_clauses=frozenset({"3.1", "10"})))
    proofs = list(prove(made))
    assert all(one.outcome is Outcome.PROVED for one in proofs)
    assert {"3.1", "10"}.isdisjoint(one.clause_id for one in proofs)


def first(invariant: str, made: Source) -> Proof:
    return next(one for one in prove(made) if one.invariant == invariant)


def nobody_asks_for_a_marking(patch: pytest.MonkeyPatch) -> None:
    """Put in three faults: the baseline asks for the marking in three places."""
    for row in (Baseline.NATIONAL_ONLY, Baseline.MARKING, Baseline.RELEASABLE):
        skipped_row(row)(patch)
    patch.setattr(lowering_clauses, "clause_tests", _without(lowering_clauses.clause_tests, rules.Released))


def _without(lower: Callable[..., tuple[rules.Test, ...]], test: type) -> Callable[..., tuple[rules.Test, ...]]:
    return lambda *given: tuple(one for one in lower(*given) if not isinstance(one, test))


def nobody_asks_who_passes_it_on(patch: pytest.MonkeyPatch) -> None:
    skipped_row(Baseline.ONWARD)(patch)
    patch.setattr(lowering_clauses, "clause_tests", _without(lowering_clauses.clause_tests, rules.NotPassedOn))


def a_suspended_grant_grants(patch: pytest.MonkeyPatch) -> None:
    grants = rewritten(sources.grants, sources, "own.suspends(clause) is suspended", "not suspended")
    for module in (lowering, sources):
        patch.setattr(module, "grants", grants)


BROKEN: dict[str, tuple[str, Fault]] = {
    "no ceiling is decided": ("ceiling", skipped_clause(Ceiling)),
    "the ceiling is one level too high": (
        "ceiling",
        in_function(lowering_clauses, "ceiling", "min(ranks)", "min(ranks) + 1"),
    ),
    "nobody asks for a marking": ("unmarked", nobody_asks_for_a_marking),
    "nobody asks whether it is national-only": ("national-only", nobody_asks_for_a_marking),
    "nobody asks who passes it on": ("originator-control", nobody_asks_who_passes_it_on),
    "no grant is asked for": ("grant", skipped_row(Baseline.GRANT)),
    "a suspended grant grants": ("grant", a_suspended_grant_grants),
}


@pytest.mark.parametrize(("invariant", "fault"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_agreement_gives_a_counterexample_that_the_engine_permits(
    invariant: str, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault(monkeypatch)
    made = source(state=AgreementState(in_force=True, suspended_clauses=frozenset({"3.1"})))
    proof = first(invariant, made)
    assert proof.outcome is Outcome.REFUTED
    assert proof.counterexample is not None
    assert proof.counterexample.decided_by(made).permit
    assert proof.words.startswith("REFUTED: nothing ")
    assert f"level {proof.counterexample.profile.portions[0].label.classification}" in proof.words


def test_a_suspension_that_lifts_a_requirement_is_a_counterexample(monkeypatch: pytest.MonkeyPatch) -> None:
    in_function(lowering_clauses, "clause_tests", "return (rules.Suspended(covers(setting, clause)),)", "return ()")(
        monkeypatch
    )
    refuted = [one.clause_id for one in prove(source()) if one.outcome is Outcome.REFUTED]
    assert {"4", "5.1", "6", "7", "10", "11"} <= set(refuted)


def test_a_counterexample_that_the_engine_refuses_counts_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VERDICTS, rules.RankAtMost, lambda _test, _table: Verdict())
    with pytest.raises(UnconfirmedError, match="4 DENIED"):
        list(prove(source()))


# Relaxations


def directions(before: Source, after: Source) -> set[tuple[str, str, tuple[str, ...]]]:
    return {(one.from_party, one.to_party, one.clause_ids) for one in relaxations(before, after)}


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ('to = "XBO", level = "SECRET"', 'to = "XBO", level = "TOP-SECRET"', {("XAR", "XBO", ("4",))}),
        ('"counter-terrorism", "threat-to-life"]', '"counter-terrorism", "threat-to-life", "investigation"]',
         {("XAR", "XBO", ("6",)), ("XBO", "XAR", ("6",))}),
        ("longest = { days = 30 }", "longest = { days = 31 }", {("XAR", "XBO", ("8",)), ("XBO", "XAR", ("8",))}),
        ('flash = ["duty-officer"]', 'flash = ["duty-officer", "liaison"]',
         {("XAR", "XBO", ("10",)), ("XBO", "XAR", ("10",))}),
        ('categories = ["terrorism"]', 'categories = ["terrorism", "cyber"]',
         {("XBO", "XAR", (str(Baseline.GRANT),))}),
    ],
)  # fmt: skip
def test_what_a_change_relaxes_is_found_in_its_directions_and_what_it_tightens_is_not(
    old: str, new: str, found: set[tuple[str, str, tuple[str, ...]]]
) -> None:
    before, after = source(), changed(old, new)
    assert directions(before, after) == found
    assert directions(after, before) == set()
    assert newly_permitted(after, before) is None


def test_a_witness_is_permitted_by_the_later_version_and_refused_by_the_earlier_one() -> None:
    before, after = source(), changed("longest = { days = 30 }", "longest = { days = 31 }")
    for one in relaxations(before, after):
        assert one.witness.decided_by(after).permit
        assert [each.clause_id for each in one.witness.decided_by(before).violations] == ["8"]
        assert one.words.startswith("refused before by 8: ")


def test_two_changes_at_once_are_both_found() -> None:
    before = source()
    after = replace(changed("longest = { days = 30 }", "longest = { days = 31 }"))
    after = source_of(dropped(after.document, "7"), after.digest, IN_FORCE, bundled())
    assert directions(before, after) == {
        ("XAR", "XBO", ("7",)), ("XAR", "XBO", ("8",)), ("XBO", "XAR", ("7",)), ("XBO", "XAR", ("8",)),
    }  # fmt: skip


def test_the_same_text_relaxes_nothing() -> None:
    assert newly_permitted(source(), changed("Each Party shall bear", "Every Party shall bear")) is None


@pytest.mark.parametrize("name", ["xar-xbo-ct"])
def test_dropping_a_word_of_a_list_relaxes_nothing_and_dropping_a_clause_does(name: str) -> None:
    made = source(name)
    for what, document in mutants(made.document):
        other = source_of(document, made.digest, IN_FORCE, bundled())
        if what.startswith("clause 4: ") and "lower" in what:
            assert newly_permitted(made, other) is None, what
            assert newly_permitted(other, made) is not None, what
        if what in {"clause 6 dropped", "clause 11 dropped"}:
            assert newly_permitted(made, other) is not None, what


def test_the_points_at_which_it_is_relaxed_are_told() -> None:
    before, after = source(), changed("oldest_key = { days = 90 }", "oldest_key = { days = 91 }")
    assert {one.witness.moment.point for one in relaxations(before, after)} == {Point.EGRESS}


# What stands beside an agreement


def beside(*clauses: Clause, **more: object) -> Source:
    """The first example with more clauses, and what it is compiled with."""
    document = source().document
    document = replace(document, clauses=(*document.clauses, *clauses))
    return source_of(document, DIGEST, IN_FORCE, bundled(), **more)  # type: ignore[arg-type]  # an umbrella and caveats


EMERGENCY_CLAUSES = (
    kinds.Emergency(id="20", text=TEXT, to=("XBO",), onward=True, review_within=Span(days=2)),
    kinds.Quota(id="21", text=TEXT, from_party="XAR", to_party="XBO", window=Window.DAY, reports=10, bytes=1_000_000),
)


def only(invariant: str, made: Source) -> list[Proof]:
    return [one for one in prove(made) if one.invariant == invariant]


def test_an_emergency_lifts_what_it_may_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    made = beside(*EMERGENCY_CLAUSES)
    assert [one.outcome for one in prove(made)].count(Outcome.REFUTED) == 0
    in_function(
        lowering_clauses,
        "clause_tests",
        "return (ceiling(clause, direction, setting.table),)",
        "return (setting.unless_lifted(ceiling(clause, direction, setting.table)),)",
    )(monkeypatch)
    (proof,) = only(EMERGENCY, made)
    assert proof.counterexample is not None
    assert proof.counterexample.profile.emergency
    assert proof.counterexample.moment.emergency_declared
    assert "emergency yes" in proof.words


def test_a_caveat_never_widens(monkeypatch: pytest.MonkeyPatch) -> None:
    caveat = Caveat(
        party="XAR",
        id="NO-ARMS",
        agreement="XAR-XBO-CT-1",
        digest=f"sha384:{DIGEST.hex()}",
        partner_text="A limitation.",
        clauses=(kinds.Exclude(id="1", text=TEXT, categories=("arms-trafficking",)),),
    )
    made = beside(caveats=(caveat,))
    (proof,) = only(CAVEAT, made)
    assert proof.words == "PROVED: caveat NO-ARMS of XAR permits nothing that was refused without it"
    assert directions(beside(), made) == set()
    assert ("XAR", "XBO", ("caveat/XAR/NO-ARMS/1",)) in directions(made, beside())
    without_own = rewritten(
        sources.layers, sources, "(own_layer(source), ", "(*(() if source.caveats else (own_layer(source),)), "
    )
    monkeypatch.setattr(lowering, "layers", without_own)
    (proof,) = only(CAVEAT, made)
    assert proof.outcome is Outcome.REFUTED


def test_an_arrangement_is_within_its_umbrella(monkeypatch: pytest.MonkeyPatch) -> None:
    umbrella = Umbrella(
        replace(
            source().document,
            id="XAR-XBO-U",
            kind=AgreementKind.UMBRELLA,
            clauses=(kinds.Purpose(id="1", text=TEXT, purposes=("counter-terrorism",)),),
        ),
        bytes(48),
        IN_FORCE,
    )
    made = beside(umbrella=umbrella)
    made = replace(made, document=replace(made.document, kind=AgreementKind.ARRANGEMENT))
    (proof,) = only(UMBRELLA, made)
    assert proof.words == "PROVED: the arrangement permits nothing that a clause of its umbrella XAR-XBO-U refuses"
    monkeypatch.setattr(lowering, "layers", rewritten(sources.layers, sources, "*_umbrella_layers(source), ", ""))
    (proof,) = only(UMBRELLA, made)
    assert proof.counterexample is not None
    assert proof.counterexample.profile.purpose == "threat-to-life"
