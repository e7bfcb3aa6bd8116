"""National caveats: one party's requirements, which only ever take back, and of which the partner sees one text."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders_document import DIGEST, EXAMPLE
from builders_engine import CLAUSES, MOMENT, NODE, OPEN, PROFILE, TEXT, TIMES, Situation, egress, told
from builders_every_kind import MORE, caveat_text
from builders_treaties import caveat, narrowed, umbrella, under
from comity_policy import clauses as kinds
from comity_policy.caveat import Caveat, load_caveat
from comity_policy.clauses import Exclude, Span
from comity_policy.document import DocumentError, load
from comity_policy.engine import CompositionError, decide_report
from comity_policy.explanation import explain, partner_view
from comity_policy.facts import Addressee, AgreementState, Kind, Originator, Point, Usage
from engine_words import DECLARED, EMERGENCY, FROM_XBO, marked

NO_COURIERS = Exclude(id="1", text=TEXT, categories=("terrorist-finance",))
COURIERS = {"categories": ("couriers",)}
BACK = {
    "label": FROM_XBO,
    "profile": {"originator": Originator("XBO", "n1"), "categories": ("drugs",), "addressees": (Addressee("XAR"),)},
    "node": {"party": "XAR", "accreditation_level": "SECRET", "region": "xbo"},
    "moment": {"broker_region": "xbo"},
}


def answer(situation: Situation, *caveats: Caveat) -> tuple[str, ...]:
    return told(narrowed(*caveats, clauses=situation.clauses).decide(*situation.facts()))


def test_what_a_caveat_excludes_does_not_flow_with_everything_below_it() -> None:
    assert answer(Situation(profile=COURIERS), caveat(NO_COURIERS)) == ("caveat/XAR/C1/1 DENIED",)
    assert answer(egress(profile=COURIERS), caveat(NO_COURIERS)) == ("caveat/XAR/C1/1 DENIED",)
    assert answer(Situation(), caveat(NO_COURIERS)) == ()


def test_one_excluded_category_is_enough() -> None:
    assert answer(Situation(profile={"categories": ("terrorism", "couriers")}), caveat(NO_COURIERS)) == (
        "caveat/XAR/C1/1 DENIED",
    )


def test_an_exclusion_may_be_of_kinds_and_to_parties() -> None:
    rfis = Exclude(id="1", text=TEXT, kinds=("rfi",))
    assert answer(Situation(profile={"kind": Kind.RFI}), caveat(rfis)) == ("caveat/XAR/C1/1 DENIED",)
    assert answer(Situation(), caveat(rfis)) == ()
    to_others = Exclude(id="1", text=TEXT, to=("XDE",))
    assert answer(Situation(), caveat(to_others)) == ()
    to_them = Exclude(id="1", text=TEXT, to=("XBO",))
    assert answer(Situation(), caveat(to_them)) == ("caveat/XAR/C1/1 DENIED",)


def test_a_report_without_categories_lacks_a_fact() -> None:
    assert answer(Situation(profile={"categories": ()}), caveat(NO_COURIERS)) == (
        "baseline/vocabulary FACT_MISSING",
        "baseline/grant DENIED",
        "caveat/XAR/C1/1 FACT_MISSING",
    )


def test_an_exclusion_is_not_decided_at_opening() -> None:
    opened = Situation(
        profile=COURIERS,
        moment={"point": Point.OPENING, "admitted_at": TIMES.created_at, "opening_purpose": "counter-terrorism"},
    )
    assert answer(opened, caveat(NO_COURIERS)) == ()
    assert narrowed(caveat(NO_COURIERS)).decide(*opened.facts()).deferred == ("9", "12", "caveat/XAR/C1/1")


def test_a_caveat_is_on_what_its_party_sends() -> None:
    everything = Exclude(id="1", text=TEXT, kinds=("report",))
    assert answer(Situation(**BACK), caveat(everything)) == ()
    assert narrowed(caveat(everything)).decide(*Situation(**BACK).facts()).deferred == ()
    assert answer(Situation(**BACK), caveat(everything, incoming=True)) == ("caveat/XAR/C1/1 DENIED",)


def test_caveats_stand_after_agreement_and_umbrella_by_party_and_id() -> None:
    everything = Exclude(id="1", text=TEXT, kinds=("report",))
    caveats = (
        caveat(everything, party="XBO", incoming=True),
        caveat(everything, caveat_id="C2"),
        caveat(everything),
    )
    compiled = under(umbrella(), caveats=caveats)
    assert told(compiled.decide(*Situation(profile={"suite": 2}).facts())) == (
        "13 DENIED",
        "XAR-GSA-1/4 DENIED",
        "caveat/XAR/C1/1 DENIED",
        "caveat/XAR/C2/1 DENIED",
        "caveat/XBO/C1/1 DENIED",
    )


def test_the_other_kinds_mean_what_they_mean_in_an_agreement() -> None:
    limit = kinds.CeilingLimit(from_party="XAR", to_party="XBO", level="CONFIDENTIAL")
    ceiling = kinds.Ceiling(id="1", text=TEXT, limits=(limit,))
    assert answer(Situation(), caveat(ceiling)) == ("caveat/XAR/C1/1 DENIED",)
    assert answer(Situation(label=marked(classification="CONFIDENTIAL")), caveat(ceiling)) == ()
    shorter = kinds.Retention(id="1", text=TEXT, longest=Span(days=1))
    assert answer(Situation(), caveat(shorter)) == ("caveat/XAR/C1/1 DENIED",)


def test_nothing_lifts_a_caveat() -> None:
    quota = kinds.Quota(
        id="1", text=TEXT, from_party="XAR", to_party="XBO", window=kinds.Window.DAY, reports=1, bytes=10
    )
    used_up = Situation(
        clauses=(*CLAUSES, EMERGENCY),
        profile=DECLARED["profile"],
        moment={**DECLARED["moment"], "usage": {"caveat/XAR/C1/1": Usage(1, 0)}, "size": 1},
    )
    assert answer(used_up, caveat(quota)) == ("caveat/XAR/C1/1 DENIED",)


def test_a_suspension_does_not_touch_a_caveat() -> None:
    state = AgreementState(in_force=True, suspended_clauses=frozenset({"1", "caveat/XAR/C1/1"}))
    compiled = under(umbrella(), state=state, caveats=(caveat(NO_COURIERS),))
    assert "caveat/XAR/C1/1 DENIED" in told(compiled.decide(*Situation(profile=COURIERS).facts()))


def test_a_caveat_never_widens() -> None:
    for situation in (Situation(), Situation(profile=COURIERS), Situation(label=OPEN), Situation(profile={"suite": 2})):
        before, after = answer(situation), answer(situation, caveat(NO_COURIERS))
        assert after[: len(before)] == before


@pytest.mark.parametrize(
    ("caveats", "problem"),
    [
        ((caveat(NO_COURIERS, digest=b"x" * 48),), "not on this text"),
        ((caveat(NO_COURIERS, party="XFA"),), "no party"),
        ((caveat(NO_COURIERS), caveat(NO_COURIERS)), "given twice"),
    ],
)
def test_a_caveat_on_something_else_does_not_compile(caveats: tuple[Caveat, ...], problem: str) -> None:
    with pytest.raises(CompositionError, match=problem):
        narrowed(*caveats)


def test_a_reports_decision_names_the_caveats_left_to_another_point() -> None:
    use = kinds.Quota(id="1", text=TEXT, from_party="XBO", to_party="XAR", window=kinds.Window.DAY, reports=1, bytes=10)
    compiled = narrowed(caveat(NO_COURIERS), caveat(use, party="XBO", incoming=True))
    decision = decide_report(compiled, PROFILE, TIMES, (NODE,), replace(MOMENT, point=Point.EGRESS))
    assert decision.deferred == ("7", "11", "caveat/XBO/C1/1")


def test_its_own_party_is_told_what_the_caveat_says_and_the_partner_one_text() -> None:
    compiled, facts = narrowed(caveat(NO_COURIERS)), Situation(profile=COURIERS).facts()
    (one,) = told_in_full = explain(compiled, *facts, compiled.decide(*facts))
    assert one.kind == "exclude"
    assert "terrorist-finance" in one.gloss
    assert "terrorist-finance" in one.wanted
    (seen,) = partner_view(told_in_full, "XBO")
    assert seen.text == seen.gloss == "A national limitation applies."
    assert seen.clause_id == "XAR/C1"
    assert "terrorist" not in repr(seen)


AGREEMENT = load(EXAMPLE.encode())
EXCLUDES = ("1", "exclude", 'categories = ["arms-trafficking"]\nkinds = ["assessment"]\nto = ["XBO"]')


def test_a_caveat_is_read_as_written() -> None:
    made = load_caveat(caveat_text(EXCLUDES, heading="incoming = true").encode(), AGREEMENT)
    assert (made.party, made.id, made.agreement, made.digest) == ("XAR", "NO-ROUTES", "XAR-XBO-CT-1", DIGEST)
    assert (made.incoming, made.partner_text) == (True, "Arland applies a limitation.")
    (clause,) = made.clauses
    assert isinstance(clause, Exclude)
    assert (clause.categories, clause.kinds, clause.to) == (("arms-trafficking",), ("assessment",), ("XBO",))


def test_every_kind_a_caveat_may_have_is_read() -> None:
    allowed = {kind.__struct_config__.tag for kind in kinds.CaveatClause.__args__}
    more = [(clause_id, kind, fields) for clause_id, (kind, fields) in MORE.items() if kind in allowed]
    made = load_caveat(caveat_text(EXCLUDES, *more).encode(), AGREEMENT)
    assert len(made.clauses) == len(more) + 1


FAULTS = {
    "a grant": (caveat_text(("1", "onward", "max_hops = 1")), "clause[0].kind", "unknown clause kind 'onward'"),
    "no party": (caveat_text(EXCLUDES).replace('party = "XAR"', 'party = "XDE"', 1), "caveat.party", "no party"),
    "another agreement": (caveat_text(EXCLUDES, agreement="X-1"), "caveat.agreement", "is not 'XAR-XBO-CT-1'"),
    "no digest": (caveat_text(EXCLUDES).replace(DIGEST, "sha384:ab"), "caveat.digest", "must be sha384:"),
    "a bad name": (caveat_text(EXCLUDES).replace("NO-ROUTES", "no routes"), "caveat.id", "must be 1 to 32"),
    "nothing for the partner": (
        caveat_text(EXCLUDES).replace("Arland applies a limitation.", " "),
        "caveat.partner_text",
        "must not be empty",
    ),
    "an unknown field": (caveat_text(EXCLUDES, heading="secret = true"), "caveat.secret", "unknown field"),
    "an unknown section": (f"{caveat_text(EXCLUDES)}\n[under]\na = 1\n", "under", "unknown section"),
    "no clause": (caveat_text(), "document", "section 'clause' is missing"),
    "an exclusion of everything": (caveat_text(("1", "exclude", "")), "clause[0]", "would exclude everything"),
    "an unknown category": (
        caveat_text(("1", "exclude", 'categories = ["weather"]')),
        "clause[0].categories[0]",
        "unknown category",
    ),
    "an unknown kind": (caveat_text(("1", "exclude", 'kinds = ["gossip"]')), "clause[0].kinds[0]", "unknown kind"),
    "a clause twice": (caveat_text(EXCLUDES, EXCLUDES), "clause[1].id", "is there already"),
    "no text": (caveat_text(EXCLUDES).replace("text.en", "text.xa"), "clause[0].text", "has no text in 'en'"),
    "a ceiling without a limit": (
        caveat_text(("1", "ceiling", 'limits = [{ from = "XBO", to = "XAR", level = "SECRET" }]')),
        "clause[0].limits",
        "there is no limit from XAR to XBO",
    ),
}


@pytest.mark.parametrize(("text", "place", "problem"), FAULTS.values(), ids=FAULTS.keys())
def test_a_caveat_that_is_wrong_does_not_load(text: str, place: str, problem: str) -> None:
    with pytest.raises(DocumentError) as caught:
        load_caveat(text.encode(), AGREEMENT)
    assert caught.value.path == place
    assert problem in caught.value.problem
    assert caught.value.line >= 1
