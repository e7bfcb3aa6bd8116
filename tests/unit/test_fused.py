"""Checks laid end to end: which are, which are called, and what several agreements share."""

from __future__ import annotations

from typing import Any

from builders_engine import DIGEST, VOCABULARIES, Situation, laid_end_to_end, without
from comity_policy import engine, fused, predicates, rules
from comity_policy.engine import compile_agreement
from comity_policy.facts import AgreementState, Point
from comity_policy.fused import Fused, fuse
from comity_policy.predicates import sharing
from sabotage_tools import rewritten

IN_FORCE = AgreementState(in_force=True)


def checks_of(situation: Situation) -> list[Any]:
    program, *_ = situation.compiled()._programs["XAR", "XBO"]
    return [check for point in Point for check, _ in program.at[point].checks]


def fused_of(situation: Situation, digest: bytes = DIGEST) -> Fused:
    compiled = laid_end_to_end(compile_agreement(situation.document(), digest, IN_FORCE, VOCABULARIES))
    compiled.decide(*situation.facts())
    program, *_ = compiled._programs["XAR", "XBO"]
    found = program.at[Point.ADMISSION].fused
    assert found is not None
    return found


def test_every_check_of_an_agreement_with_clauses_of_every_kind_is_laid_out_and_none_called():
    assert {check.__qualname__ for check in checks_of(Situation()) if fused._body(check) is None} == set()


def test_a_check_is_called_whose_code_is_not_what_its_file_says():
    check = rewritten(sharing.rank_at_most, sharing, "rank <= limit", "rank < limit")(rules.RankAtMost(2))
    one = fuse([check])
    assert one.constants == (check,)
    by_code = ({predicates.DENIED: "denied"},)
    answers = [one.run(one.constants, by_code, None, None, None, rank, None, None) for rank in (1, 2)]
    assert answers == [(), ("denied",)]


def test_agreements_that_ask_the_same_share_their_code_and_not_their_constants():
    one, other = fused_of(Situation()), fused_of(Situation(), b"e" * 48)
    assert one.run is other.run
    assert one.constants != other.constants


def test_agreements_that_ask_something_else_do_not():
    assert fused_of(Situation()).run is not fused_of(Situation(clauses=without("4"))).run


def test_an_agreement_lays_out_what_it_is_asked_often_and_answers_as_before():
    permitted, refused = Situation(), Situation(node={"valid": False, "region": 7})
    compiled = permitted.compiled()
    program, *_ = compiled._programs["XAR", "XBO"]
    answers = []
    while program.at[Point.ADMISSION].fused is None:
        answers.append((compiled.decide(*permitted.facts()), compiled.decide(*refused.facts())))
    assert len(answers) == engine.FUSED_FROM // 2 + 1
    answers.append((compiled.decide(*permitted.facts()), compiled.decide(*refused.facts())))
    assert len(set(answers)) == 1
    assert compiled.decide(*permitted.facts()).permit
    assert not compiled.decide(*refused.facts()).permit
