"""Decisions as a table: what differs from a world that passes, and the whole set of violated clauses that comes out.

One row a rule and a boundary. The engine's test reads it, and so does the sabotage test: each named fault must change
at least one row.
"""

from __future__ import annotations

from dataclasses import replace

from builders_engine import (
    CLAUSES,
    HOUR,
    NOW,
    OPEN,
    TEXT,
    Situation,
    egress,
    opening,
    without,
)
from comity_policy import clauses as kinds
from comity_policy.facts import Addressee, AgreementState, Kind, Originator
from comity_policy.marking import CategorySet, Label, Origin, OriginKind, Tlp
from engine_cases_clauses import CLAUSE_CASES
from engine_cases_handling import HANDLING_CASES
from engine_cases_sharing import SHARING_CASES
from engine_cases_types import TYPE_CASES
from engine_words import (
    FROM_XBO,
    INFORMATIVE,
    NATIONAL,
    PERMISSIVE,
    READER,
    RESTRICTIVE,
    TO_XDE,
    Row,
    categorised,
    codes,
    marked,
)

TO_OFFICER = {"addressees": (Addressee("XBO", officer="XBO/officer1"),)}
SUSPENDED_WHOLE = AgreementState(in_force=False, reason="SUSPENDED")
OVER = AgreementState(in_force=False, reason="TERMINATED")
SURVIVES = kinds.Survives(id="17", text=TEXT, clauses=("10",))

CASES: dict[str, Row] = {
    "everything passes at admission": (Situation(), ()),
    "everything passes at egress": (egress(), ()),
    "everything passes at opening": (opening(), ()),
    # The state of the agreement
    "not in force": (Situation(state=AgreementState(in_force=False, reason="NOT_YET")), ("baseline/in-force DENIED",)),
    "not in force and one clause suspended": (
        Situation(state=AgreementState(in_force=False, reason="SUSPENDED", suspended_clauses=frozenset({"4"}))),
        ("baseline/in-force DENIED", "4 CLAUSE_SUSPENDED"),
    ),
    "not in force at opening": (
        opening(state=AgreementState(in_force=False, reason="EXPIRED")),
        ("baseline/in-force DENIED",),
    ),
    "suspended whole, at opening": (opening(state=SUSPENDED_WHOLE), ("baseline/in-force DENIED",)),
    "suspended whole, and what was opened before": (opening(state=SUSPENDED_WHOLE, moment={"held": True}), ()),
    "suspended whole, and held, at admission": (
        Situation(state=SUSPENDED_WHOLE, moment={"held": True}),
        ("baseline/in-force DENIED",),
    ),
    "over, and held": (opening(state=OVER, moment={"held": True}), ("baseline/in-force DENIED",)),
    "over, and held under clauses that survive": (
        opening(state=OVER, moment={"held": True}, clauses=(*CLAUSES, SURVIVES)),
        (),
    ),
    "over, and not held under clauses that survive": (
        opening(state=OVER, clauses=(*CLAUSES, SURVIVES)),
        ("baseline/in-force DENIED",),
    ),
    "not yet in force, and held": (
        opening(
            state=AgreementState(in_force=False, reason="NOT_YET"),
            moment={"held": True},
            clauses=(*CLAUSES, SURVIVES),
        ),
        ("baseline/in-force DENIED",),
    ),
    "what is held obeys every other rule": (
        opening(state=SUSPENDED_WHOLE, moment={"held": True, "opening_purpose": "border"}),
        ("8 DENIED",),
    ),
    # Parties, agreement, addressees, broker, node
    "a recipient that is no party": (
        Situation(label=OPEN, node={"party": "XFA"}, profile={"addressees": (Addressee("XFA"),)}),
        (
            "baseline/parties DENIED",
            "baseline/marking DENIED",
            "baseline/vocabulary DENIED",
            "baseline/grant DENIED",
            "4 DENIED",
            "5 FACT_MISSING",
            "6 DENIED",
        ),
    ),
    "another node of the originator's party": (
        Situation(label=OPEN, node={"party": "XAR", "node": "n2"}, profile={"addressees": (Addressee("XAR"),)}),
        (
            "baseline/parties DENIED",
            "baseline/marking DENIED",
            "baseline/vocabulary DENIED",
            "baseline/grant DENIED",
            "4 DENIED",
            "5 FACT_MISSING",
            "6 DENIED",
        ),
    ),
    "a party without grant, limit and place in REL TO": (
        Situation(node=TO_XDE, profile={"addressees": (Addressee("XDE"),)}),
        ("baseline/grant DENIED", "4 DENIED", "6 DENIED"),
    ),
    "other bytes of the agreement": (
        Situation(profile={"agreement_digest": b"e" * 48}),
        ("baseline/agreement DENIED",),
    ),
    "another agreement's id": (Situation(profile={"agreement_id": "XAR-XBO-2"}), ("baseline/agreement DENIED",)),
    "a party nobody addressed": (
        Situation(profile={"addressees": (Addressee("XDE"),)}),
        ("baseline/addressee DENIED",),
    ),
    "the node's office": (Situation(profile={"addressees": (Addressee("XBO", office="desk"),)}), ()),
    "another office": (
        Situation(profile={"addressees": (Addressee("XBO", office="other"),)}),
        ("baseline/addressee DENIED",),
    ),
    "the node's community": (Situation(profile={"addressees": (Addressee("XBO", community="ct"),)}), ()),
    "another community beside its office": (
        Situation(profile={"addressees": (Addressee("XBO", office="desk", community="other"),)}),
        ("baseline/addressee DENIED",),
    ),
    "an officer of whom nobody says whether the node has one": (
        Situation(profile=TO_OFFICER),
        ("baseline/addressee FACT_MISSING",),
    ),
    "an officer of the node": (Situation(profile=TO_OFFICER, node={"officers": codes("XBO/officer1")}), ()),
    "an officer of another node": (
        Situation(profile=TO_OFFICER, node={"officers": codes("XBO/officer2")}),
        ("baseline/addressee DENIED",),
    ),
    "opened by the officer": (
        opening(profile=TO_OFFICER, node={"officers": codes("XBO/officer1")}, moment={"reader": READER}),
        (),
    ),
    "opened by another officer": (
        opening(
            profile=TO_OFFICER,
            node={"officers": codes("XBO/officer1")},
            moment={"reader": replace(READER, officer="XBO/officer2")},
        ),
        ("baseline/addressee DENIED",),
    ),
    "opened by nobody known": (
        opening(profile=TO_OFFICER, node={"officers": codes("XBO/officer1")}),
        ("baseline/addressee FACT_MISSING",),
    ),
    "an addressee of another office and an officer nobody attests": (
        Situation(profile={"addressees": (Addressee("XBO", office="other", officer="XBO/officer1"),)}),
        ("baseline/addressee DENIED",),
    ),
    "the second addressee": (
        Situation(profile={"addressees": (Addressee("XDE"), Addressee("XBO", office="other"), Addressee("XBO"))}),
        (),
    ),
    "a broker nobody named": (Situation(moment={"broker": "elsewhere"}), ("baseline/broker DENIED",)),
    "a broker not known": (egress(moment={"broker": None}), ("baseline/broker FACT_MISSING",)),
    "at opening the broker is not asked": (opening(moment={"broker": None, "broker_region": None}), ()),
    "a node without valid keys": (Situation(node={"valid": False}), ("baseline/node DENIED",)),
    # Marking
    "classified without a foreign-disclosure marking": (
        Situation(label=Label("XAR", "SECRET")),
        ("baseline/marking DENIED", "6 DENIED"),
    ),
    "classified, ORCON only": (
        Situation(label=Label("XAR", "SECRET", dissemination=codes("ORCON"))),
        ("baseline/marking DENIED", "6 DENIED"),
    ),
    "an ill-formed label": (
        Situation(label=marked(dissemination=codes("RELIDO"), display_only=codes("XDE"))),
        ("baseline/marking DENIED",),
    ),
    "a REL TO without the originator": (
        Situation(label=marked(releasable_to=codes("XBO", "XDE"))),
        ("baseline/marking DENIED",),
    ),
    "a group that is not expanded in REL TO": (
        Situation(label=marked(releasable_to=codes("XAR", "XBO", "FVEY"))),
        ("baseline/marking DENIED", "baseline/vocabulary DENIED"),
    ),
    "an empty REL TO": (
        Situation(label=marked(releasable_to=codes())),
        ("baseline/marking DENIED", "6 DENIED"),
    ),
    "TLP:RED": (Situation(label=marked(tlp=Tlp.RED)), ("baseline/marking DENIED",)),
    "TLP:RED to an officer": (
        Situation(label=marked(tlp=Tlp.RED), profile=TO_OFFICER, node={"officers": codes("XBO/officer1")}),
        (),
    ),
    "TLP:RED to an officer and to the party": (
        Situation(
            label=marked(tlp=Tlp.RED),
            profile={"addressees": (Addressee("XBO", officer="XBO/officer1"), Addressee("XBO"))},
        ),
        ("baseline/marking DENIED",),
    ),
    "TLP:RED to an officer, and to another party": (
        Situation(
            label=marked(tlp=Tlp.RED),
            profile={"addressees": (Addressee("XBO", officer="XBO/officer1"), Addressee("XDE"))},
            node={"officers": codes("XBO/officer1")},
        ),
        (),
    ),
    "TLP:AMBER+STRICT": (Situation(label=marked(tlp=Tlp.AMBER_STRICT)), ()),
    "national-only": (Situation(label=NATIONAL), ("baseline/national-only DENIED", "6 DENIED")),
    "national-only with a list": (
        Situation(label=marked(dissemination=codes("NATIONAL-ONLY"))),
        ("baseline/marking DENIED", "baseline/national-only DENIED"),
    ),
    # Words
    "no purpose": (
        Situation(profile={"purpose": ""}),
        ("baseline/vocabulary FACT_MISSING", "8 FACT_MISSING"),
    ),
    "no categories": (
        Situation(profile={"categories": ()}),
        ("baseline/vocabulary FACT_MISSING", "baseline/grant DENIED"),
    ),
    "an unknown purpose": (
        Situation(profile={"purpose": "trade"}),
        ("baseline/vocabulary DENIED", "8 DENIED"),
    ),
    "an unknown category": (
        Situation(profile={"categories": ("terrorism", "weather")}),
        ("baseline/vocabulary DENIED", "baseline/grant DENIED"),
    ),
    "an unknown level": (
        Situation(label=marked(classification="GEHEIM")),
        ("baseline/vocabulary DENIED", "4 FACT_MISSING", "5 FACT_MISSING"),
    ),
    "an unknown level without a list": (
        Situation(label=Label("XAR", "GEHEIM")),
        ("baseline/marking DENIED", "baseline/vocabulary DENIED", "4 FACT_MISSING", "5 FACT_MISSING", "6 DENIED"),
    ),
    "a label of another policy": (
        Situation(label=replace(OPEN, policy="XBO")),
        ("baseline/vocabulary DENIED",),
    ),
    "an unknown dissemination word": (
        Situation(label=marked(dissemination=codes("NOFORN"))),
        ("baseline/vocabulary DENIED",),
    ),
    "an unknown party in REL TO": (
        Situation(label=marked(releasable_to=codes("XAR", "XBO", "QQQ"))),
        ("baseline/vocabulary DENIED",),
    ),
    "a third party the vocabulary knows in REL TO": (
        Situation(label=marked(releasable_to=codes("XAR", "XBO", "XFA"))),
        (),
    ),
    "an unknown party in DISPLAY ONLY": (
        Situation(label=marked(display_only=codes("QQQ"))),
        ("baseline/vocabulary DENIED",),
    ),
    "an unknown origin": (
        Situation(label=marked(origin=Origin(OriginKind.FGI, codes("QQQ")))),
        ("baseline/vocabulary DENIED",),
    ),
    # Category sets
    "a restrictive set": (
        Situation(label=categorised(RESTRICTIVE, codes("a"))),
        ("baseline/access FACT_MISSING",),
    ),
    "an empty restrictive set": (Situation(label=categorised(RESTRICTIVE, codes())), ()),
    "an absent restrictive set": (Situation(label=categorised(RESTRICTIVE, None)), ("baseline/access DENIED",)),
    "in a permissive set": (Situation(label=categorised(PERMISSIVE, codes("XBO"))), ()),
    "not in a permissive set": (
        Situation(label=categorised(PERMISSIVE, codes("XDE"))),
        ("baseline/access DENIED",),
    ),
    "an empty permissive set": (Situation(label=categorised(PERMISSIVE, codes())), ("baseline/access DENIED",)),
    "an absent permissive set": (Situation(label=categorised(PERMISSIVE, None)), ("baseline/access DENIED",)),
    "an informative set": (Situation(label=categorised(INFORMATIVE, codes("a"))), ()),
    "a denied set before one whose fact is missing": (
        Situation(
            label=marked(categories=(CategorySet("a", PERMISSIVE, codes()), CategorySet("b", RESTRICTIVE, codes("x"))))
        ),
        ("baseline/access FACT_MISSING",),
    ),
    # Times
    "created after its embargo": (Situation(times={"not_before": NOW - HOUR - 1}), ("baseline/times DENIED",)),
    "expired before it was made": (
        Situation(times={"created_at": NOW + 60_000, "not_before": NOW + 60_000, "expires_at": NOW + 60_000}),
        ("baseline/times DENIED", "11 DENIED"),
    ),
    "expired": (Situation(times={"expires_at": NOW}), ("baseline/times DENIED",)),
    "expired at opening": (opening(times={"expires_at": NOW}), ("baseline/times DENIED",)),
    "one moment before it expires": (Situation(times={"expires_at": NOW + 1}), ()),
    "made 72 hours ago": (Situation(times={"created_at": NOW - 72 * HOUR}), ()),
    "made more than 72 hours ago": (
        Situation(times={"created_at": NOW - 72 * HOUR - 1}),
        ("baseline/times DENIED",),
    ),
    "made more than 72 hours ago and opened now": (opening(times={"created_at": NOW - 80 * HOUR}), ()),
    "two minutes ahead": (Situation(times={"created_at": NOW + 120_000, "not_before": NOW + 120_000}), ()),
    "more than two minutes ahead": (
        egress(times={"created_at": NOW + 120_001, "not_before": NOW + 120_001}),
        ("baseline/times DENIED",),
    ),
    # Grants
    "an RFI": (Situation(profile={"kind": Kind.RFI}), ()),
    "a kind nobody granted": (Situation(profile={"kind": Kind.PLAN}), ("baseline/grant DENIED",)),
    "a descendant of a granted category": (Situation(profile={"categories": ("couriers",)}), ()),
    "the parent of a granted category": (Situation(profile={"categories": ("crime",)}), ("baseline/grant DENIED",)),
    "a category granted the other way": (Situation(profile={"categories": ("drugs",)}), ("baseline/grant DENIED",)),
    "two categories of one grant": (Situation(profile={"categories": ("terrorism", "couriers")}), ()),
    "two categories of two grants": (
        Situation(profile={"categories": ("terrorism", "cyber")}),
        ("baseline/grant DENIED",),
    ),
    "a kind only the other grant has": (
        Situation(profile={"kind": Kind.RFI, "categories": ("cyber",)}),
        ("baseline/grant DENIED",),
    ),
    "the other direction": (
        Situation(
            label=FROM_XBO,
            profile={
                "originator": Originator("XBO", "n1"),
                "categories": ("drugs",),
                "addressees": (Addressee("XAR"),),
            },
            node={"party": "XAR", "accreditation_level": "SECRET", "region": "xbo"},
            moment={"broker_region": "xbo"},
        ),
        (),
    ),
    "the other direction above its ceiling, outside its regions": (
        Situation(
            label=replace(FROM_XBO, classification="TAJNE"),
            profile={
                "originator": Originator("XBO", "n1"),
                "categories": ("drugs",),
                "addressees": (Addressee("XAR"),),
            },
            node={"party": "XAR", "accreditation_level": "SECRET", "region": "xbo"},
        ),
        ("4 DENIED", "9 DENIED"),
    ),
    "a suspended grant": (
        Situation(suspended=("1",)),
        ("baseline/grant DENIED", "1 CLAUSE_SUSPENDED"),
    ),
    "a suspended grant of something else": (Situation(suspended=("3",)), ()),
    "a suspended grant of the other direction": (Situation(suspended=("2",)), ()),
    "a suspended grant where another applies": (
        Situation(
            suspended=("1",),
            clauses=(
                *CLAUSES,
                kinds.Scope(
                    id="15", text=TEXT, from_party="XAR", to_party="XBO", categories=("crime",), kinds=("report",)
                ),
            ),
        ),
        (),
    ),
    "no grant at all": (Situation(clauses=without("1", "2", "3")), ("baseline/grant DENIED",)),
    **CLAUSE_CASES,
    **SHARING_CASES,
    **HANDLING_CASES,
    **TYPE_CASES,
}
