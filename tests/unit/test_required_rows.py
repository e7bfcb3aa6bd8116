"""Rows that every table of decisions must have, each by the name people know it by."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders_document import EXAMPLE
from builders_engine import CLAUSES, OPEN, TEXT, VOCABULARIES, Situation, opening, told
from builders_treaties import IN_FORCE, UMBRELLA_DIGEST, umbrella
from comity_policy import clauses as kinds
from comity_policy.document import DocumentError, load
from comity_policy.engine import compile_agreement
from comity_policy.facts import Addressee, AgreementState, Precedence, Role, Usage
from engine_cases_handling import DUAL, QUOTA
from engine_words import DECLARED, EMERGENCY, READER, TO_XDE, codes, marked


def answer(situation: Situation) -> tuple[str, ...]:
    return told(situation.decide())


def test_an_unclassified_heading_keeps_rel_to() -> None:
    heading = replace(OPEN, releasable_to=codes("XAR", "XDE"))
    assert answer(Situation(label=heading)) == ("6 DENIED",)
    assert answer(Situation(label=replace(OPEN, releasable_to=codes("XAR", "XBO")))) == ()


def test_a_suspended_ceiling_denies() -> None:
    assert answer(Situation(label=OPEN, suspended=("4",))) == ("4 CLAUSE_SUSPENDED",)


def test_a_suspended_grant_denies() -> None:
    assert answer(Situation(suspended=("1",))) == ("baseline/grant DENIED", "1 CLAUSE_SUSPENDED")


def test_a_missing_equivalence_row_does_not_load() -> None:
    row = '    ["CONFIDENTIAL", "CONFIDENTIAL"],\n'
    with pytest.raises(DocumentError) as caught:
        load(EXAMPLE.replace(row, "", 1).encode())
    assert caught.value.path.startswith("equivalence")


def test_flash_with_one_officer_and_a_declaration_is_permitted() -> None:
    """The review is due by the emergency clause: who keeps obligations reads its time there."""
    situation = Situation(
        clauses=(*CLAUSES, QUOTA, DUAL, EMERGENCY),
        profile={**DECLARED["profile"], "precedence": Precedence.FLASH},
        moment={
            **DECLARED["moment"],
            "sender_roles": frozenset({Role.DUTY_OFFICER}),
            "approvals": codes("XAR/officer1"),
            "usage": {"16": Usage(10, 0)},
            "size": 1,
        },
    )
    assert answer(situation) == ()
    undeclared = replace(situation, moment={**situation.moment, "emergency_declared": False})
    assert answer(undeclared) == ("16 DENIED", "18 DENIED")
    assert EMERGENCY.review_within.milliseconds == 86_400_000


def test_the_umbrella_alone_denies() -> None:
    above = umbrella()
    compiled = compile_agreement(above.document, above.digest, IN_FORCE, VOCABULARIES)
    situation = Situation(
        label=marked(classification="CONFIDENTIAL"),
        profile={"agreement_id": above.document.id, "agreement_digest": UMBRELLA_DIGEST},
    )
    assert told(compiled.decide(*situation.facts())) == ("baseline/grant DENIED",)


def test_a_listed_oversight_body_is_not_a_third_party() -> None:
    """It reads at the node of its own party: nothing is passed on, and no grant to pass on is asked for."""
    body = kinds.Oversight(party="XBO", body="parliamentary control", access="content-sample")
    audit = kinds.Audit(id="23", text=TEXT, oversight=(body,))
    overseen = opening(
        clauses=(*CLAUSES, audit), moment={"reader": replace(READER, officer="XBO/control1", offices=codes())}
    )
    assert answer(overseen) == ()
    assert answer(replace(overseen, moment={**overseen.moment, "direct": False})) == ("baseline/onward DENIED",)


@pytest.mark.parametrize("reason", ["NOT_YET", "SUSPENDED", "EXPIRED", "TERMINATED"])
def test_a_third_party_without_an_agreement_in_force_denies(reason: str) -> None:
    scope = kinds.Scope(
        id="29", text=TEXT, from_party="XAR", to_party="XDE", categories=("terrorism",), kinds=("report",)
    )
    onward = kinds.Onward(id="30", text=TEXT, max_hops=1)
    passed = Situation(
        clauses=(scope, onward),
        label=marked(releasable_to=codes("XAR", "XDE")),
        node=TO_XDE,
        profile={"addressees": (Addressee("XDE"),)},
        moment={"direct": False, "onward_grant": True, "hops": 1, "disputed": False},
    )
    assert answer(passed) == ()
    over = replace(passed, state=AgreementState(in_force=False, reason=reason))
    assert answer(over) == ("baseline/in-force DENIED",)


def test_a_third_party_without_any_agreement_denies() -> None:
    stranger = Situation(label=OPEN, node={"party": "XFA"}, profile={"addressees": (Addressee("XFA"),)})
    assert "baseline/parties DENIED" in answer(stranger)
