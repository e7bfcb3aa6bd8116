"""Explaining never fails where deciding answered: every violation is told in words, whatever the facts are.

Facts come from peers and from files; one of a wrong type or size is refused like any other, and whoever asks why is told.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders_engine import AT_OPENING, MOMENT, NODE, PROFILE, SECRET, TIMES, Situation
from comity_policy.engine import decide_report
from comity_policy.explanation import ClauseExplanation, explain, explain_report
from comity_policy.facts import Addressee, Point, Role
from engine_cases_types import TYPE_CASES

FAR = 2**63 - 1

hashable = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(
        [0, -1, FAR, -FAR, 1e300, float("nan"), float("inf"), "", "XBO", "\x00", b"x", (), (None,), ("XBO",)]
    ),
    st.sampled_from([frozenset(), frozenset({"XBO", 5}), frozenset({None}), frozenset({Role.LIAISON})]),
)
anything = st.one_of(hashable, st.just([]), st.just(["xbo"]), st.just({}), st.just(object()))


def changes(value: Any, *, but: frozenset[str] = frozenset(), values: st.SearchStrategy[Any] = anything) -> Any:
    """One or two fields of a dataclass with any value at all."""
    names = [one.name for one in fields(value) if one.name not in but]
    return st.dictionaries(st.sampled_from(names), values, max_size=2)


# Nodes, parties and levels are looked up in tables: they can be anything that can be.
labels = st.builds(
    lambda changed, level: replace(SECRET, **changed, **level),
    changes(SECRET, but=frozenset({"classification"})),
    st.dictionaries(st.just("classification"), hashable),
)
situations = st.builds(
    lambda label, profile, times, node, moment, suspended: Situation(
        label=label, profile=profile, times=times, node=node, moment=moment, suspended=suspended
    ),
    labels,
    changes(PROFILE, but=frozenset({"portions", "originator"})),
    changes(TIMES),
    st.builds(
        lambda changed, named: {**changed, **named},
        changes(NODE, but=frozenset({"party", "node"})),
        st.dictionaries(st.sampled_from(["party", "node"]), hashable),
    ),
    st.tuples(
        st.sampled_from([{"point": Point.EGRESS}, {"point": Point.ADMISSION}, AT_OPENING]),
        changes(MOMENT, but=frozenset({"point"})),
    ).map(lambda two: {**two[0], **two[1]}),
    st.sampled_from([(), ("1",), ("4", "9")]),
)


def explained(situation: Situation) -> tuple[ClauseExplanation, ...]:
    compiled, facts = situation.compiled(), situation.facts()
    decision = compiled.decide(*facts)
    told = explain(compiled, *facts, decision)
    assert [(one.clause_id, one.reason) for one in told] == [(one.clause_id, one.reason) for one in decision.violations]
    return told


def in_words(told: tuple[ClauseExplanation, ...]) -> bool:
    return all(isinstance(text, str) and text for one in told for text in (one.fact, one.got, one.wanted, one.nearest))


@given(situations)
def test_every_violation_is_told_in_words_whatever_the_facts_are(situation: Situation) -> None:
    assert in_words(explained(situation))


@given(situations)
def test_a_whole_report_is_explained_too(situation: Situation) -> None:
    compiled, (profile, times, _, node, moment) = situation.compiled(), situation.facts()
    whole = replace(profile, addressees=(Addressee(node.party),))
    decision = decide_report(compiled, whole, times, (node,), moment)
    told = explain_report(compiled, whole, times, (node,), moment, decision)
    assert in_words(told)
    assert bool(told) == bool(decision.violations)


@pytest.mark.parametrize("when_made", [FAR, -FAR])
def test_a_time_outside_the_calendar_is_told_by_its_number(when_made: int) -> None:
    told = explained(Situation(times={"created_at": when_made}))
    assert any(f"{when_made} ms" in one.got for one in told if one.clause_id == "baseline/times")


@pytest.mark.parametrize("situation", [row[0] for row in TYPE_CASES.values()], ids=TYPE_CASES.keys())
def test_a_fact_of_a_wrong_type_is_explained_like_one_that_is_missing(situation: Situation) -> None:
    assert in_words(explained(situation))


@pytest.mark.parametrize("tlp", [False, 9, "RED"])
def test_a_colour_that_is_none_is_explained(tlp: object) -> None:
    told = explained(Situation(label=replace(SECRET, tlp=tlp, releasable_to=None)))  # type: ignore[arg-type]  # the wrong type is the case
    assert told
    assert in_words(told)
