"""An arrangement is decided with its umbrella: both hold, and the umbrella alone grants nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders_engine import (
    CLAUSES,
    DIGEST,
    EQUIVALENCES,
    NOW,
    TEXT,
    VOCABULARIES,
    Situation,
    document_of,
    opening,
    told,
)
from builders_treaties import IN_FORCE, UMBRELLA_CLAUSES, UMBRELLA_DIGEST, arrangement, umbrella, under
from comity_policy import clauses as kinds
from comity_policy.clauses import Clause
from comity_policy.decision import Decision
from comity_policy.engine import CompiledAgreement, CompositionError, Umbrella, compile_agreement, decide_report
from comity_policy.explanation import explain
from comity_policy.facts import AgreementState, Point, Usage
from comity_policy.sections import Equivalence
from comity_policy.vocabulary import VocabularyError
from engine_words import DECLARED, EMERGENCY, ONWARD, PASSED_ON, marked

CONFIDENTIAL = marked(classification="CONFIDENTIAL")
SUSPENDED = AgreementState(in_force=False, reason="SUSPENDED")
OVER = AgreementState(in_force=False, reason="TERMINATED")
SURVIVES = kinds.Survives(id="17", text=TEXT, clauses=("8",))


def decided(compiled: CompiledAgreement, situation: Situation | None = None) -> Decision:
    return compiled.decide(*(situation or Situation(label=CONFIDENTIAL)).facts())


def test_what_both_allow_flows() -> None:
    assert decided(under(umbrella())).permit


def test_what_the_umbrella_does_not_allow_does_not_flow() -> None:
    decision = decided(under(umbrella()), Situation())
    assert told(decision) == ("XAR-GSA-1/4 DENIED",)


def test_the_clauses_of_the_umbrella_stand_after_the_arrangements() -> None:
    situation = Situation(profile={"suite": 2}, times={"expires_at": NOW + 20 * 86_400_000})
    assert told(decided(under(umbrella()), situation)) == ("13 DENIED", "XAR-GSA-1/4 DENIED", "XAR-GSA-1/8 DENIED")


def test_the_umbrella_alone_grants_nothing() -> None:
    alone = umbrella()
    compiled = compile_agreement(alone.document, alone.digest, IN_FORCE, VOCABULARIES)
    facts = Situation(
        label=CONFIDENTIAL, profile={"agreement_id": "XAR-GSA-1", "agreement_digest": UMBRELLA_DIGEST}
    ).facts()
    assert told(compiled.decide(*facts)) == ("baseline/grant DENIED",)


def test_a_grant_of_the_umbrella_is_not_the_arrangements() -> None:
    granting = umbrella((*UMBRELLA_CLAUSES, CLAUSES[1], *ONWARD[-1:], EMERGENCY))
    without_grants = tuple(one for one in CLAUSES if not one.grant)
    assert told(decided(under(granting, without_grants))) == ("baseline/grant DENIED",)
    passed = Situation(label=CONFIDENTIAL, moment=PASSED_ON)
    assert told(decided(under(granting), passed)) == ("baseline/onward DENIED",)


def test_without_its_umbrella_an_arrangement_is_never_in_force() -> None:
    assert told(decided(under(None))) == ("baseline/in-force DENIED",)
    held = opening(label=CONFIDENTIAL, moment={"held": True})
    assert told(decided(under(None), held)) == ("baseline/in-force DENIED",)


def test_an_umbrella_not_in_force_stops_its_arrangements() -> None:
    assert told(decided(under(umbrella(state=SUSPENDED)))) == ("baseline/in-force DENIED",)


@pytest.mark.parametrize(
    ("state", "above", "clauses", "permit"),
    [
        (IN_FORCE, umbrella(state=SUSPENDED), CLAUSES, True),
        (IN_FORCE, umbrella(state=OVER), CLAUSES, False),
        (IN_FORCE, umbrella((*UMBRELLA_CLAUSES, SURVIVES), OVER), CLAUSES, True),
        (SUSPENDED, umbrella(state=OVER), CLAUSES, False),
        (OVER, umbrella((*UMBRELLA_CLAUSES, SURVIVES), OVER), CLAUSES, False),
        (OVER, umbrella((*UMBRELLA_CLAUSES, SURVIVES), OVER), (*CLAUSES, SURVIVES), True),
    ],
)
def test_what_is_held_is_read_on_where_both_texts_let_it(
    state: AgreementState, above: Umbrella, clauses: tuple[Clause, ...], permit: bool
) -> None:
    held = opening(label=CONFIDENTIAL, moment={"held": True})
    assert decided(under(above, clauses, state), held).permit is permit


def test_a_clause_suspended_in_the_umbrella_cannot_be_met() -> None:
    suspended = umbrella(state=AgreementState(in_force=True, suspended_clauses=frozenset({"4"})))
    assert told(decided(under(suspended))) == ("XAR-GSA-1/4 CLAUSE_SUSPENDED",)
    own = AgreementState(in_force=True, suspended_clauses=frozenset({"9"}))
    assert told(decided(under(umbrella(), state=own))) == ("9 CLAUSE_SUSPENDED",)


def test_the_arrangements_emergency_lifts_the_umbrellas_clauses_too() -> None:
    early = opening(label=CONFIDENTIAL, times={"not_before": NOW + 1}, **DECLARED)
    assert told(decided(under(umbrella()), early)) == ("11 DENIED", "XAR-GSA-1/9 DENIED")
    assert decided(under(umbrella(), (*CLAUSES, EMERGENCY)), early).permit


def test_facts_know_the_umbrellas_clauses_by_their_written_ids() -> None:
    quota = kinds.Quota(
        id="4", text=TEXT, from_party="XAR", to_party="XBO", window=kinds.Window.DAY, reports=1, bytes=10
    )
    compiled = under(umbrella((quota,)))
    used = Situation(moment={"usage": {"XAR-GSA-1/4": Usage(0, 0)}, "size": 1})
    assert decided(compiled, used).permit
    other = Situation(moment={"usage": {"4": Usage(0, 0)}, "size": 1})
    assert told(decided(compiled, other)) == ("XAR-GSA-1/4 FACT_MISSING",)


def test_each_text_is_decided_by_its_own_tables() -> None:
    """The umbrella knows no CONFIDENTIAL: there SECRET is the lowest level above unclassified."""
    own = umbrella()
    tables = tuple(
        Equivalence("XAR", "XBO", one.valid_from, (("OPEN", "OTEVRENE"), ("SECRET", "TAJNE")))
        if (one.from_party, one.to_party) == ("XAR", "XBO")
        else one
        for one in EQUIVALENCES
    )
    limit = kinds.CeilingLimit(from_party="XAR", to_party="XBO", level="SECRET")
    other = replace(
        own,
        document=replace(
            own.document, equivalences=tables, clauses=(kinds.Ceiling(id="4", text=TEXT, limits=(limit,)),)
        ),
    )
    assert decided(under(other), Situation()).permit
    assert told(decided(under(other))) == ("XAR-GSA-1/4 FACT_MISSING",)


def test_what_is_left_to_another_point_is_named_with_the_umbrella() -> None:
    compiled = under(umbrella())
    situation = Situation(label=CONFIDENTIAL, moment={"point": Point.EGRESS})
    profile, times, _, node, moment = situation.facts()
    assert decided(compiled, situation).deferred == ("7", "11", "XAR-GSA-1/9")
    assert decide_report(compiled, profile, times, (node,), moment).deferred == ("7", "11", "XAR-GSA-1/9")


def test_a_refusal_by_the_umbrella_is_explained_with_its_text() -> None:
    compiled, facts = under(umbrella()), Situation().facts()
    (one,) = explain(compiled, *facts, compiled.decide(*facts))
    assert (one.clause_id, one.kind, one.wanted) == ("XAR-GSA-1/4", "ceiling", "at most CONFIDENTIAL")


def test_an_umbrella_that_is_not_in_force_is_named() -> None:
    compiled, facts = under(umbrella(state=OVER)), Situation(label=CONFIDENTIAL).facts()
    (one,) = explain(compiled, *facts, compiled.decide(*facts))
    assert one.got == "umbrella XAR-GSA-1: TERMINATED"


@pytest.mark.parametrize(
    ("above", "problem"),
    [
        (replace(umbrella(), digest=b"x" * 48), "is under XAR-GSA-1"),
        (replace(umbrella(), document=replace(umbrella().document, id="XAR-GSA-2")), "not under XAR-GSA-2"),
        (replace(umbrella(), document=replace(umbrella().document, kind="agreement")), "is no umbrella"),
    ],
)
def test_another_umbrella_does_not_compile(above: Umbrella, problem: str) -> None:
    with pytest.raises(CompositionError, match=problem):
        under(above)


def test_an_agreement_has_no_umbrella() -> None:
    with pytest.raises(CompositionError, match="is no arrangement"):
        compile_agreement(document_of(CLAUSES), DIGEST, IN_FORCE, VOCABULARIES, umbrella=umbrella())


def test_an_umbrella_with_other_vocabularies_does_not_compile() -> None:
    other = umbrella()
    unknown = replace(other, document=replace(other.document, vocabularies={"regions": "sha384:00"}))
    with pytest.raises(VocabularyError):
        compile_agreement(arrangement(), DIGEST, IN_FORCE, VOCABULARIES, umbrella=unknown)


@pytest.mark.parametrize("party", ["XAR", "XBO"])
def test_an_umbrella_that_does_not_bind_an_end_is_not_in_force_between_them(party: str) -> None:
    """Whoever withdrew from the umbrella has no arrangement under it either, though the umbrella goes on for others."""
    left = replace(IN_FORCE, unbound=frozenset({party}))
    compiled = under(umbrella(state=left))
    assert told(decided(compiled, Situation(label=CONFIDENTIAL))) == ("baseline/in-force DENIED",)


def test_an_umbrella_that_does_not_name_an_end_is_not_in_force_for_it() -> None:
    above = umbrella()
    named = {code: party for code, party in above.document.parties.items() if code != "XBO"}
    compiled = under(replace(above, document=replace(above.document, parties=named)))
    assert "baseline/in-force DENIED" in told(decided(compiled, Situation(label=CONFIDENTIAL)))
