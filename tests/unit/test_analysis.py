"""The second opinions' own parts: every rule is rendered, nothing can fail open, and words that differ stay apart."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import get_args

import pytest

from builders_engine import DIGEST, NOW, VOCABULARIES, Situation, opening, told
from comity_policy import rules
from comity_policy.analysis import attributes as of
from comity_policy.analysis.attributes import ATTRIBUTES, usage
from comity_policy.analysis.cedar import UNDECIDED, CedarTwin, direction_policies, policies, schema, validation_errors
from comity_policy.analysis.conditions import Window, sections
from comity_policy.analysis.solver import Z3Model, find
from comity_policy.analysis.symbols import domains
from comity_policy.analysis.terms import (
    FALSE,
    TRUE,
    Attribute,
    Beyond,
    Is,
    Member,
    Nothing,
    Owner,
    Same,
    Sort,
    Term,
    among,
    amount,
    any_of,
    at_most,
    below,
    every,
    no,
    only_of,
    some,
)
from comity_policy.analysis.values import values_of
from comity_policy.analysis.verdicts import VERDICTS, verdict
from comity_policy.analysis.witness import span
from comity_policy.facts import Moment, NodeFacts, Usage
from comity_policy.lowering import NO_TABLE, Source, source_of
from comity_policy.rules import Test
from engine_cases import CASES


def source(situation: Situation) -> Source:
    return situation.compiled().source


# Rules


def test_every_rule_there_is_has_a_verdict() -> None:
    assert VERDICTS.keys() == set(get_args(Test))


def test_a_rule_nobody_renders_is_not_skipped() -> None:
    @dataclass(frozen=True, slots=True)
    class Unheard:
        pass

    with pytest.raises(KeyError):
        verdict(Unheard(), NO_TABLE)  # type: ignore[arg-type]  # the case is a type nobody knows
    with pytest.raises(KeyError):
        verdict(rules.AllOf((rules.Never(), Unheard())), NO_TABLE)  # type: ignore[arg-type]  # as above


def test_the_table_of_decisions_holds_for_the_twin_and_the_model() -> None:
    made: dict[str, tuple[CedarTwin, Z3Model]] = {}
    wrong = []
    for name, (situation, expected) in CASES.items():
        key = repr((situation.clauses, situation.suspended, situation.state))
        if key not in made:
            made[key] = (CedarTwin(source(situation)), Z3Model(source(situation)))
        for one in made[key]:
            decision = one.decide(*situation.facts())
            if (told(decision), decision.permit) != (expected, expected == ()):
                wrong.append((name, type(one), told(decision)))
    assert wrong == []


# Facts


def test_every_attribute_has_a_value_of_its_sort() -> None:
    types = {Sort.TRUTH: bool, Sort.NUMBER: int, Sort.WORD: str, Sort.WORDS: frozenset}
    for values in (values_of(*Situation().facts()), values_of(*opening().facts())):
        assert values.keys() <= {*ATTRIBUTES, *usage("quota")}
        assert all(type(values[one]) is types[one.sort] for one in ATTRIBUTES)


@pytest.mark.parametrize("wrong", [None, ["xbo"], 1.5])
def test_a_fact_that_is_missing_or_of_a_wrong_type_is_not_known_and_neutral(wrong: object) -> None:
    never_missing = {"party", "node", "point", "now"}
    node = {one.name: wrong for one in fields(NodeFacts) if one.name not in never_missing}
    moment = {one.name: wrong for one in fields(Moment) if one.name not in never_missing}
    values = values_of(*Situation(node=node, moment=moment).facts())
    facts = [one for one in ATTRIBUTES if one.known is not None and one.owner is not Owner.REPORT]
    assert len(facts) > 25
    assert {one.name for one in facts if values[one.known] is not False or values[one]} == set()


def test_the_window_of_a_quota_has_attributes_by_its_clause() -> None:
    moment = {"usage": {"3.1": Usage(4, 5), "3_1": Usage(True, 7), "3-1": None}, "size": 6}
    values = values_of(*Situation(moment=moment).facts())
    assert [values[one] for one in usage("3.1")] == [True, 4, 5]
    assert [values[usage(one)[0]] for one in ("3_1", "3-1", "elsewhere")] == [False] * 3
    assert len({one.name for clause in ("3.1", "3_1", "3-1") for one in usage(clause)}) == 9


def test_a_portion_there_is_none_of_is_an_error() -> None:
    profile, times, _, node, moment = Situation().facts()
    for index in (-1, 1):
        with pytest.raises(IndexError):
            CedarTwin(source(Situation())).decide(profile, times, index, node, moment)


# The twin


def test_the_twin_passes_the_strict_validator() -> None:
    for made in (source(Situation()), source(Situation(suspended=("1", "4", "9")))):
        assert validation_errors(policies(made), made) == ()


def test_the_validator_would_find_an_attribute_that_may_not_be_there() -> None:
    made = source(Situation())
    assert validation_errors(policies(made).replace("principal.region_known", "principal.region_unheard_of"), made)


def test_every_policy_has_an_id_of_its_own_and_names_its_clause() -> None:
    made = [
        one
        for pair in (("XAR", "XBO"), ("XBO", "XAR"), ("XAR", "XDE"))
        for one in direction_policies(source(Situation()), *pair)
    ]
    assert len({one.policy_id for one in made}) == len(made)
    for one in made:
        assert (one.condition is None) == one.text.split("\n")[-3 if "when" in one.text else -2].startswith("permit")
        if one.condition is not None:
            assert f'@clause("{one.condition.clause_id}")\n@reason("{one.condition.reason}")\n' in one.text


def test_an_error_of_cedar_denies() -> None:
    twin = CedarTwin(source(Situation()))
    most = 2**63 - 1
    passing = Situation(times={"created_at": NOW, "not_before": NOW})
    assert twin.decide(*passing.facts()).permit
    for expires_at in (most, most + 1):
        spoiled = replace(passing, times={**passing.times, "expires_at": expires_at, "created_at": expires_at - 1})
        assert twin.decide(*spoiled.facts()).violations == (UNDECIDED,)
        assert not twin.decide(*spoiled.facts()).permit


def test_the_schema_has_every_attribute() -> None:
    text = schema(source(Situation()))
    assert all(f"{one.name}: {one.sort.value}" in text for one in ATTRIBUTES)


# Sections


def test_the_tables_of_a_direction_share_out_all_time() -> None:
    made = sections(source(Situation()), "XAR", "XBO")
    windows = list(dict.fromkeys(one.window for one in made))
    assert windows[0].ends_at is None
    assert windows[-1].begins_at is None
    assert [one.begins_at for one in windows[:-1]] == [one.ends_at for one in windows[1:]]
    assert all(sum(one.holds(at) for one in windows) == 1 for at in (0, NOW, windows[0].begins_at or 0))


def test_windows_have_in_common_what_both_hold() -> None:
    assert Window(1, 5).common(Window(3, None)) == Window(3, 5)
    assert Window(None, 3).common(Window(3, None)) is None


# The model


def test_constants_make_terms_short() -> None:
    one = Is(of.VALID)
    assert (every(), every(TRUE, one), every(one, FALSE)) == (TRUE, one, FALSE)
    assert (some(), some(FALSE, one), some(one, TRUE)) == (FALSE, one, TRUE)
    assert (no(TRUE), no(no(one))) == (FALSE, one)
    assert (among(of.PURPOSE, ()), only_of(of.CATEGORIES, ()), any_of(of.CATEGORIES, ())) == (
        FALSE,
        Nothing(of.CATEGORIES),
        FALSE,
    )


def test_words_no_condition_tells_apart_are_one_value() -> None:
    terms = (among(of.PURPOSE, "ab"), among(of.PURPOSE, "abc"))
    assert domains(terms)["purpose"].values == (("a", "b"), ("c",), ())


OTHER_PURPOSE = among(of.OPENING_PURPOSE, "ab")


@pytest.mark.parametrize(
    ("wanted", "is_possible"),
    [
        ((Same(of.PURPOSE, of.OPENING_PURPOSE), among(of.PURPOSE, "a"), among(of.OPENING_PURPOSE, "b")), False),
        ((no(Same(of.PURPOSE, of.OPENING_PURPOSE)), among(of.PURPOSE, "ab"), OTHER_PURPOSE), True),
        ((no(Same(of.PURPOSE, of.OPENING_PURPOSE)), among(of.PURPOSE, "a"), among(of.OPENING_PURPOSE, "a")), False),
        ((Member(of.POLICY, of.RELEASABLE_TO), Nothing(of.RELEASABLE_TO)), False),
        ((Member(of.POLICY, of.RELEASABLE_TO), among(of.POLICY, "a"), only_of(of.RELEASABLE_TO, "b")), False),
        ((Beyond(of.RELEASABLE_TO, of.POLICY), among(of.POLICY, "a"), only_of(of.RELEASABLE_TO, "a")), False),
        ((Beyond(of.RELEASABLE_TO, of.POLICY), among(of.POLICY, "a"), only_of(of.RELEASABLE_TO, "ab")), True),
        ((Beyond(of.RELEASABLE_TO, of.POLICY), no(among(of.POLICY, "a")), no(any_of(of.RELEASABLE_TO, "a"))), True),
        ((no(Beyond(of.RELEASABLE_TO, of.POLICY)), among(of.POLICY, "a"), any_of(of.RELEASABLE_TO, "b")), False),
        ((Is(of.DIRECT), no(Is(of.DIRECT_KNOWN))), False),
        ((any_of(of.RELEASABLE_TO, "a"), no(Is(of.RELEASABLE))), False),
        ((no(among(of.PRECEDENCE, ("FLASH", "IMMEDIATE", "PRIORITY", "ROUTINE"))),), False),
        ((at_most(of.NOW, amount(of.CREATED_AT, -(2**70))), below(of.CREATED_AT, of.NOW)), False),
    ],
)
def test_what_holds_of_every_case_holds_in_the_model(wanted: tuple[Term, ...], *, is_possible: bool) -> None:
    found = find(wanted)
    assert (found is not None) == is_possible


def test_two_words_of_one_value_come_out_as_two() -> None:
    found = find((no(Same(of.PURPOSE, of.OPENING_PURPOSE)), among(of.PURPOSE, "ab"), OTHER_PURPOSE))
    assert found is not None
    assert {found.values[of.PURPOSE], found.values[of.OPENING_PURPOSE]} == {"a", "b"}


def test_a_wish_that_cannot_be_is_given_up_and_the_next_is_not() -> None:
    wishes: tuple[Term, ...] = (below(of.NOW, 5), among(of.PURPOSE, "b"))
    found = find((no(below(of.NOW, 7)), among(of.PURPOSE, "ab")), wishes)
    assert found is not None
    assert found.values[of.PURPOSE] == "b"


def test_strangers_are_denied_by_twin_and_model_with_the_engines_reasons() -> None:
    situation, expected = CASES["a recipient that is no party"]
    made = source_of(situation.document(), DIGEST, source(situation).state, VOCABULARIES)
    assert told(CedarTwin(made).decide(*situation.facts())) == expected
    assert told(Z3Model(made).decide(*situation.facts())) == expected


@pytest.mark.parametrize(
    ("milliseconds", "text"), [(0, "0"), (86_400_000, "1d"), (-90_000, "-1m30s"), (3_600_001, "1h1ms")]
)
def test_spans_are_written_as_tables_of_cases_write_them(milliseconds: int, text: str) -> None:
    assert span(milliseconds) == text


def test_attributes_are_each_there_once() -> None:
    assert len({(one.owner, one.name) for one in ATTRIBUTES}) == len(ATTRIBUTES)
    assert all(
        isinstance(one, Attribute) and (one.domain != "") == (one.sort in {Sort.WORD, Sort.WORDS}) for one in ATTRIBUTES
    )
