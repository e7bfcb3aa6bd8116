"""An amendment's diff lists every relaxation: held against z3's own list, over the examples and generated amendments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from importlib.resources import files
from random import Random

import pytest

from comity_policy.analysis import diff as proofs
from comity_policy.analysis.diff import Directed, Direction, UnlistedError, check_listed, diff
from comity_policy.analysis.relaxations import relaxations
from comity_policy.analysis.witness import Witness
from comity_policy.document import Document, load
from comity_policy.facts import AgreementState
from comity_policy.lowering import Source, source_of
from comity_policy.mutants import mutants
from comity_policy.vocabulary import bundled

EXAMPLES = ("xar-xbo-ct", "xar-xde-cert")
AMENDMENTS = 3


@cache
def example(name: str) -> Document:
    return load((files("comity_policy") / "examples" / f"{name}.toml").read_bytes())


def source(document: Document, digest: bytes) -> Source:
    return source_of(document, digest, AgreementState(in_force=True), bundled())


def amended(document: Document, seed: int) -> Document:
    """Change one to three things in a document."""
    rng = Random(seed)
    for _ in range(rng.randint(1, 3)):
        _, document = rng.choice(list(mutants(document)))
    return document


def pairs(name: str, seed: int) -> tuple[Source, Source]:
    return source(example(name), b"1" * 48), source(amended(example(name), seed), b"2" * 48)


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("seed", range(AMENDMENTS))
def test_a_diff_lists_every_relaxation_in_both_directions(name: str, seed: int) -> None:
    before, after = pairs(name, seed)
    there, back = diff(before, after, bundled()), diff(after, before, bundled())
    check_listed(there, relaxations(before, after), before, after, bundled())
    check_listed(back, relaxations(after, before), after, before, bundled())
    assert _ids(there, Direction.RELAXED) == _ids(back, Direction.TIGHTENED)
    assert _ids(there, Direction.TIGHTENED) == _ids(back, Direction.RELAXED)
    for one in there:
        for case, permitting, refusing in (
            (one.relaxation, after, before),
            (one.tightening, before, after),
        ):
            if case is not None:
                assert case.decided_by(permitting).permit
                assert not case.decided_by(refusing).permit


def _ids(found: Sequence[Directed], direction: Direction) -> set[str]:
    """Give what goes that way, also where it goes both ways."""
    return {one.change.id for one in found if one.direction in {direction, Direction.BOTH}}


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_text_against_itself_changes_nothing(name: str) -> None:
    made = source(example(name), b"1" * 48)
    assert {one.direction for one in diff(made, made, bundled())} == {Direction.UNCHANGED}


def test_a_diff_that_forgets_one_relaxation_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    document = example("xar-xbo-ct")
    wider = replace(document, clauses=tuple(one for one in document.clauses if one.id not in {"4", "6"}))
    before, after = source(document, b"1" * 48), source(wider, b"2" * 48)
    whole = diff(before, after, bundled())
    relaxed = [one for one in whole if one.relaxation is not None]
    assert {one.change.id for one in relaxed} == {"4", "6"}
    for forgotten in relaxed:
        kept = [one for one in whole if one is not forgotten]
        with pytest.raises(UnlistedError, match=f"refused before by .*{forgotten.change.id}"):
            check_listed(kept, relaxations(before, after), before, after, bundled())

    def forgetful(permitted: Sequence[Source], refused: Sequence[Source]) -> Witness | None:
        return None

    monkeypatch.setattr(proofs, "case_of", forgetful)
    with pytest.raises(UnlistedError):
        diff(before, after, bundled())
