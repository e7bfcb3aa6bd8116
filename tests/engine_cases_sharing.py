"""Decisions as a table: clauses that say what may flow to whom, and passing on (see `engine_cases`)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from builders_engine import NOW, OPEN, SECRET, TEXT, Situation, egress, opening, without
from comity_policy import clauses as kinds
from comity_policy.clauses import Carrier, Clause, LevelRow, NeedRow, Span, Special
from comity_policy.facts import Addressee, Kind, PersonalData, PortionMarking
from engine_words import (
    DECLARED,
    EMERGENCY,
    ONWARD,
    ORCON,
    PASSED_ON,
    READER,
    Row,
    beside,
    beside_at_opening,
    codes,
    marked,
)

CLEARANCE = kinds.Clearance(
    id="5",
    text=TEXT,
    officer_from=(LevelRow(party="XAR", level="CONFIDENTIAL"), LevelRow(party="XBO", level="TAJNE")),
)
NEED = kinds.NeedToKnow(
    id="15",
    text=TEXT,
    rows=(
        NeedRow(party="XBO", offices=("desk",), communities=("ct",), officers=("XBO/officer1",)),
        NeedRow(party="XAR", offices=("desk",)),
    ),
)
OFFICES_ONLY = kinds.NeedToKnow(id="15", text=TEXT, rows=(NeedRow(party="XBO", offices=("desk",)),))
DATA = kinds.PersonalDataRule(
    id="16",
    text=TEXT,
    purposes=("counter-terrorism",),
    special_categories=Special.DENY,
    persons_max=5,
    review_every=Span(days=365),
    correct_within=Span(days=5),
)
CHANNEL = kinds.Channel(
    id="18",
    text=TEXT,
    rows=(
        kinds.ChannelRow(party="XBO", level="OTEVRENE", by=Carrier.VOICE),
        kinds.ChannelRow(party="XAR", level="CONFIDENTIAL", by=Carrier.BROKER),
        kinds.ChannelRow(party="XAR", level="SECRET", by=Carrier.COURIER),
    ),
)


def cleared(base: tuple[Clause, ...] = (*without("5"), CLEARANCE), **changes: Any) -> Situation:
    return opening(clauses=base, **changes)


def personal(kind: PersonalData = PersonalData.ORDINARY, persons: int = 1) -> dict[str, Any]:
    return {"portions": (PortionMarking(SECRET, kind, persons),)}


def passed_on(moment: dict[str, Any] | None = None, **changes: Any) -> Situation:
    return Situation(clauses=changes.pop("clauses", ONWARD), moment={**PASSED_ON, **(moment or {})}, **changes)


def warned(label: Any = SECRET) -> dict[str, Any]:
    return {**DECLARED["profile"], "portions": (PortionMarking(label, warn=True),)}


CYBER = {"categories": ("cyber",)}
TEARLINE_SCOPE = kinds.Scope(
    id="19", text=TEXT, from_party="XAR", to_party="XBO", categories=("cyber",), kinds=("tearline",)
)

SHARING_CASES: dict[str, Row] = {
    # The reading officer's clearance
    "read by a cleared officer": (cleared(moment={"reader": READER}), ()),
    "read by an officer whose clearance is too low": (
        cleared(moment={"reader": replace(READER, clearance_level="DUVERNE")}),
        ("5 DENIED",),
    ),
    "read by an officer whose clearance is over": (
        cleared(moment={"reader": replace(READER, clearance_until=NOW)}),
        ("5 DENIED",),
    ),
    "read a moment before the clearance is over": (
        cleared(moment={"reader": replace(READER, clearance_until=NOW + 1)}),
        (),
    ),
    "read by no officer": (cleared(), ("5 FACT_MISSING",)),
    "read by an officer without a clearance": (
        cleared(moment={"reader": replace(READER, clearance_level=None)}),
        ("5 FACT_MISSING",),
    ),
    "read by an officer whose clearance has no end": (
        cleared(moment={"reader": replace(READER, clearance_until=None)}),
        ("5 FACT_MISSING",),
    ),
    "read by an officer cleared at no known level": (
        cleared(moment={"reader": replace(READER, clearance_level="SECRET")}),
        ("5 FACT_MISSING",),
    ),
    "below the level from which the reader is asked": (cleared(label=marked(classification="RESTRICTED")), ()),
    "the level from which the reader is asked": (
        cleared(label=marked(classification="CONFIDENTIAL")),
        ("5 FACT_MISSING",),
    ),
    "a cleared officer at a node that is not accredited": (
        cleared(moment={"reader": READER}, node={"accreditation_level": "DUVERNE"}),
        ("5 DENIED",),
    ),
    "an officer not cleared at a node nobody accredits": (
        cleared(
            moment={"reader": replace(READER, clearance_level="DUVERNE")},
            node={"accreditation_level": None},
        ),
        ("5 FACT_MISSING",),
    ),
    "the reader is not asked at admission": (Situation(clauses=(*without("5"), CLEARANCE)), ()),
    "a level from which the reader is asked that has no rank": (
        cleared(
            (
                *without("5"),
                kinds.Clearance(id="5", text=TEXT, officer_from=(LevelRow(party="XAR", level="GEHEIM"),)),
            ),
            moment={"reader": READER},
        ),
        ("5 FACT_MISSING",),
    ),
    "a clearance that asks the readers of another party's information": (
        cleared((*without("5"), kinds.Clearance(id="5", text=TEXT, officer_from=CLEARANCE.officer_from[1:]))),
        (),
    ),
    "a suspended clearance that asks readers, and the unclassified": (
        cleared(label=OPEN, suspended=("5",)),
        ("5 CLAUSE_SUSPENDED",),
    ),
    "a suspended clearance that asks readers, and the unclassified at admission": (
        Situation(clauses=(*without("5"), CLEARANCE), label=OPEN, suspended=("5",)),
        (),
    ),
    # Need to know
    "an office that needs to know": (beside(OFFICES_ONLY), ()),
    "an office that does not need to know": (beside(OFFICES_ONLY, node={"offices": codes("other")}), ("15 DENIED",)),
    "offices nobody attests": (
        beside(OFFICES_ONLY, node={"offices": None}),
        ("15 FACT_MISSING",),
    ),
    "a community is not asked of a row of offices": (
        beside(OFFICES_ONLY, node={"offices": codes(), "communities": None}),
        ("15 DENIED",),
    ),
    "a community that needs to know": (beside(NEED, node={"offices": None}), ()),
    "nobody who needs to know": (
        egress(clauses=beside(NEED).clauses, node={"offices": codes(), "communities": codes()}),
        ("15 DENIED",),
    ),
    "communities nobody attests": (
        beside(NEED, node={"offices": codes(), "communities": None}),
        ("15 FACT_MISSING",),
    ),
    "an addressed officer who needs to know": (
        beside(
            NEED,
            profile={"addressees": (Addressee("XBO", officer="XBO/officer1"),)},
            node={"offices": None, "communities": None, "officers": codes("XBO/officer1")},
        ),
        (),
    ),
    "an addressed officer who does not need to know": (
        beside(
            NEED,
            profile={"addressees": (Addressee("XBO", officer="XBO/officer2"),)},
            node={"offices": codes(), "communities": codes(), "officers": codes("XBO/officer2")},
        ),
        ("15 DENIED",),
    ),
    "a party without a row": (
        beside(kinds.NeedToKnow(id="15", text=TEXT, rows=NEED.rows[1:])),
        ("15 DENIED",),
    ),
    "opened by an officer of the office": (
        beside_at_opening(OFFICES_ONLY, moment={"reader": replace(READER, officer="XBO/officer9")}),
        (),
    ),
    "opened by the named officer": (
        beside_at_opening(
            NEED, moment={"reader": replace(READER, offices=codes(), communities=codes())}, node={"offices": codes()}
        ),
        (),
    ),
    "opened by an officer who does not need to know": (
        beside_at_opening(OFFICES_ONLY, moment={"reader": replace(READER, offices=codes("other"))}),
        ("15 DENIED",),
    ),
    "opened by no officer": (beside_at_opening(NEED), ("15 FACT_MISSING",)),
    "a suspended need to know": (beside(NEED, label=OPEN, suspended=("15",)), ("15 CLAUSE_SUSPENDED",)),
    # Personal data
    "no personal data": (beside(DATA, profile={"purpose": "investigation"}), ()),
    "personal data for an allowed purpose": (beside(DATA, profile=personal()), ()),
    "personal data for another purpose": (
        beside(DATA, profile={**personal(), "purpose": "investigation"}),
        ("16 DENIED",),
    ),
    "personal data of the most persons": (beside(DATA, profile=personal(persons=5)), ()),
    "personal data of one person more": (
        egress(clauses=beside(DATA).clauses, profile=personal(persons=6)),
        ("16 DENIED",),
    ),
    "personal data of nobody knows how many": (beside(DATA, profile=personal(persons=0)), ("16 FACT_MISSING",)),
    "special categories": (beside(DATA, profile=personal(PersonalData.SPECIAL)), ("16 DENIED",)),
    "special categories where they are allowed": (
        beside(
            kinds.PersonalDataRule(
                id="16",
                text=TEXT,
                purposes=("counter-terrorism",),
                special_categories=Special.ALLOW,
                persons_max=5,
                review_every=Span(days=365),
                correct_within=Span(days=5),
            ),
            profile=personal(PersonalData.SPECIAL),
        ),
        (),
    ),
    "personal data opened for an allowed purpose": (beside_at_opening(DATA, profile=personal()), ()),
    "personal data opened for another purpose": (
        beside_at_opening(DATA, base=without("8"), profile=personal(), moment={"opening_purpose": "investigation"}),
        ("16 DENIED",),
    ),
    "personal data opened for no purpose": (
        beside_at_opening(DATA, base=without("8"), profile=personal(), moment={"opening_purpose": ""}),
        ("16 FACT_MISSING",),
    ),
    "a suspended personal-data clause": (
        beside(DATA, profile=personal(), suspended=("16",)),
        ("16 CLAUSE_SUSPENDED",),
    ),
    "a suspended personal-data clause without any": (beside(DATA, suspended=("16",)), ()),
    # Channel
    "what goes by courier": (beside(CHANNEL), ("18 DENIED",)),
    "what goes by courier, not decided at opening": (beside_at_opening(CHANNEL), ()),
    "what goes by broker": (beside(CHANNEL, label=marked(classification="CONFIDENTIAL")), ()),
    "what is below every row goes by broker": (beside(CHANNEL, label=marked(classification="RESTRICTED")), ()),
    "the row below counts for a level without one": (
        beside(CHANNEL, label=marked(classification="TOP-SECRET"), base=without("4", "5")),
        ("18 DENIED",),
    ),
    "another party's channels": (beside(kinds.Channel(id="18", text=TEXT, rows=CHANNEL.rows[:1])), ()),
    "another party's channels, and an unknown level": (
        beside(
            kinds.Channel(id="18", text=TEXT, rows=CHANNEL.rows[:1]),
            base=without("4", "5"),
            label=marked(classification="GEHEIM"),
        ),
        ("baseline/vocabulary DENIED",),
    ),
    "a channel for an unknown level": (
        beside(CHANNEL, base=without("4", "5"), label=marked(classification="GEHEIM")),
        ("baseline/vocabulary DENIED", "18 FACT_MISSING"),
    ),
    "a row whose level has no rank": (
        beside(
            kinds.Channel(id="18", text=TEXT, rows=(kinds.ChannelRow(party="XAR", level="GEHEIM", by=Carrier.BROKER),))
        ),
        ("18 FACT_MISSING",),
    ),
    "a suspended channel": (beside(CHANNEL, label=OPEN, suspended=("18",)), ("18 CLAUSE_SUSPENDED",)),
    # Passing on
    "passed on with a pre-approval": (passed_on(), ()),
    "passed on at opening": (opening(clauses=ONWARD, moment=PASSED_ON), ()),
    "passed on, not decided at egress": (egress(moment={"direct": False}), ()),
    "passed on without an onward clause": (Situation(moment=PASSED_ON), ("baseline/onward DENIED",)),
    "passed on without an onward clause, whatever else is missing": (
        Situation(moment={"direct": False}),
        ("baseline/onward DENIED",),
    ),
    "nobody says who sends": (Situation(moment={"direct": None}), ("baseline/onward FACT_MISSING",)),
    "nobody says who sends, where an onward clause is": (
        passed_on({"direct": None}),
        ("baseline/onward FACT_MISSING",),
    ),
    "passed on over the most hops": (passed_on({"hops": 2}), ()),
    "passed on over one hop more": (passed_on({"hops": 3}), ("baseline/onward DENIED",)),
    "passed on over no hop": (passed_on({"hops": 0}), ("baseline/onward DENIED",)),
    "passed on over nobody knows how many hops": (passed_on({"hops": None}), ("baseline/onward FACT_MISSING",)),
    "passed on over a truth value": (passed_on({"hops": True}), ("baseline/onward FACT_MISSING",)),
    "passed on in a dispute": (passed_on({"disputed": True}), ("baseline/onward DENIED",)),
    "passed on in a dispute nobody knows of": (passed_on({"disputed": None}), ("baseline/onward FACT_MISSING",)),
    "passed on in a dispute, with a grant": (
        passed_on({"disputed": True, "onward_grant": True}),
        ("baseline/onward DENIED",),
    ),
    "pre-approved for tearlines only": (passed_on(profile=CYBER), ("baseline/onward DENIED",)),
    "a pre-approved tearline": (
        passed_on(profile={**CYBER, "kind": Kind.TEARLINE}, clauses=(*ONWARD, TEARLINE_SCOPE)),
        (),
    ),
    "a descendant of a pre-approved category": (passed_on(profile={"categories": ("couriers",)}), ()),
    "passed on with the originator's grant": (passed_on({"onward_grant": True}, profile=CYBER), ()),
    "passed on with a grant nobody attests": (
        passed_on({"onward_grant": None}, profile=CYBER),
        ("baseline/onward FACT_MISSING",),
    ),
    "passed on too far with a grant nobody attests": (
        passed_on({"onward_grant": None, "hops": 3}, profile=CYBER),
        ("baseline/onward FACT_MISSING",),
    ),
    "a suspended onward clause": (
        passed_on(suspended=("14",)),
        ("baseline/onward DENIED", "14 CLAUSE_SUSPENDED"),
    ),
    "a suspended onward clause and the originator": (Situation(clauses=ONWARD, suspended=("14",)), ()),
    "a suspended onward clause beside another": (
        passed_on(
            {"onward_grant": True},
            clauses=(*ONWARD, kinds.Onward(id="21", text=TEXT, max_hops=1)),
            suspended=("14",),
        ),
        (),
    ),
    "the most hops of two onward clauses": (
        passed_on({"hops": 2}, clauses=(*ONWARD, kinds.Onward(id="21", text=TEXT, max_hops=1))),
        (),
    ),
    "a suspended onward clause grants no hops": (
        passed_on(
            {"onward_grant": True, "hops": 2},
            clauses=(*ONWARD, kinds.Onward(id="21", text=TEXT, max_hops=1)),
            suspended=("14",),
        ),
        ("baseline/onward DENIED",),
    ),
    # A declared emergency stands for the prior consent to passing on a warning.
    "a warning passed on in an emergency": (
        passed_on(DECLARED["moment"], clauses=(*ONWARD, EMERGENCY), profile={**warned(), **CYBER}),
        (),
    ),
    "an ORCON warning passed on in an emergency": (
        passed_on(DECLARED["moment"], clauses=(*ONWARD, EMERGENCY), profile=warned(ORCON)),
        (),
    ),
    "what is no warning passed on in an emergency": (
        passed_on(DECLARED["moment"], clauses=(*ONWARD, EMERGENCY), profile={**DECLARED["profile"], **CYBER}),
        ("baseline/onward DENIED",),
    ),
    "a warning passed on in an emergency nobody declared": (
        passed_on(clauses=(*ONWARD, EMERGENCY), profile={**warned(), **CYBER}),
        ("baseline/onward DENIED",),
    ),
    "a warning passed on under a declaration the report does not name": (
        passed_on(DECLARED["moment"], clauses=(*ONWARD, EMERGENCY), profile={**warned(), **CYBER, "emergency": b""}),
        ("baseline/onward DENIED",),
    ),
    "an ORCON warning passed on under a suspended emergency clause": (
        passed_on(DECLARED["moment"], clauses=(*ONWARD, EMERGENCY), profile=warned(ORCON), suspended=("20",)),
        ("7 DENIED",),
    ),
    "an emergency clause that does not lift the consent": (
        passed_on(
            DECLARED["moment"],
            clauses=(
                *ONWARD,
                kinds.Emergency(id="20", text=TEXT, to=("XBO",), onward=False, review_within=Span(days=1)),
            ),
            profile=warned(ORCON),
        ),
        ("7 DENIED",),
    ),
    "an emergency for somebody else": (
        passed_on(
            DECLARED["moment"],
            clauses=(
                *ONWARD,
                kinds.Emergency(id="20", text=TEXT, to=("XDE",), onward=True, review_within=Span(days=1)),
            ),
            profile=warned(ORCON),
        ),
        ("7 DENIED",),
    ),
    "an emergency never lifts the dispute": (
        passed_on({**DECLARED["moment"], "disputed": True}, clauses=(*ONWARD, EMERGENCY), profile=warned()),
        ("baseline/onward DENIED",),
    ),
}
