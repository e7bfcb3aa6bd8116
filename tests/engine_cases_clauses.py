"""Decisions as a table, second half: the clauses of an agreement from the ceiling on (see `engine_cases`)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from builders_engine import (
    CLAUSES,
    DAY,
    HOUR,
    NOW,
    OPEN,
    TABLE_BEGINS,
    TEXT,
    Situation,
    egress,
    opening,
    without,
)
from comity_policy import clauses as kinds
from comity_policy.clauses import Span
from comity_policy.facts import AgreementState, Precedence, Role
from comity_policy.marking import Label
from engine_words import (
    LONG,
    LONG_AGO,
    NATIONAL,
    ONWARD,
    OPEN_ORCON_REL,
    ORCON,
    OTHER_TIMES,
    PASSED_ON,
    URGENT,
    Row,
    codes,
    marked,
)

FLOORED = kinds.Capabilities(id="14", text=TEXT, wire=(1,), suites=(1,), obligations=("use", "retention"))
FLOOR = frozenset({"wire/1", "suite/1", "use", "retention"})


def floored(at: str = "admission", *, node: Any = None, moment: Any = None, **more: Any) -> Situation:
    """Give a report under an agreement that sets a floor, between nodes that reach it but for what is said."""
    make = {"admission": Situation, "egress": egress, "opening": opening}[at]
    return make(
        clauses=(*CLAUSES, FLOORED),
        node={"capabilities": FLOOR, **(node or {})},
        moment={"sender_capabilities": FLOOR, **(moment or {})},
        **more,
    )


CLAUSE_CASES: dict[str, Row] = {
    # Ceiling
    "above the ceiling": (
        Situation(label=marked(classification="TOP-SECRET"), node={"accreditation_level": "PRISNE"}),
        ("4 DENIED",),
    ),
    "a limit whose level has no rank": (
        Situation(
            clauses=(
                *without("4"),
                kinds.Ceiling(
                    id="4", text=TEXT, limits=(kinds.CeilingLimit(from_party="XAR", to_party="XBO", level="GEHEIM"),)
                ),
            )
        ),
        ("4 FACT_MISSING",),
    ),
    "a suspended ceiling": (Situation(label=OPEN, suspended=("4",)), ("4 CLAUSE_SUSPENDED",)),
    # Tables and clearance
    "an accreditation that covers less": (Situation(node={"accreditation_level": "DUVERNE"}), ("5 DENIED",)),
    "protected as the level above": (
        Situation(label=marked(classification="RESTRICTED"), node={"accreditation_level": "DUVERNE"}),
        (),
    ),
    "the highest row of a level that stands for two": (
        Situation(label=marked(classification="CONFIDENTIAL"), node={"accreditation_level": "DUVERNE"}),
        (),
    ),
    "an accreditation that ends now": (Situation(node={"accreditation_until": NOW}), ("5 DENIED",)),
    "one moment before the accreditation ends": (Situation(node={"accreditation_until": NOW + 1}), ()),
    "no accreditation": (Situation(node={"accreditation_level": None}), ("5 FACT_MISSING",)),
    "an accreditation without an end": (egress(node={"accreditation_until": None}), ("5 FACT_MISSING",)),
    "an accreditation at no known level": (Situation(node={"accreditation_level": "SECRET"}), ("5 FACT_MISSING",)),
    "the unclassified needs no accreditation": (
        Situation(label=OPEN, node={"accreditation_level": None, "accreditation_until": None}),
        (),
    ),
    "a suspended clearance": (Situation(suspended=("5",)), ("5 CLAUSE_SUSPENDED",)),
    "a suspended clearance and the unclassified": (Situation(label=OPEN, suspended=("5",)), ()),
    "the first moment of the newer table": (
        replace(
            OTHER_TIMES,
            label=marked(classification="CONFIDENTIAL"),
            node={**OTHER_TIMES.node, "accreditation_level": "DUVERNE", "accreditation_until": NOW},
        ),
        (),
    ),
    "the last moment of the older table": (
        replace(
            OTHER_TIMES,
            label=marked(classification="CONFIDENTIAL"),
            times={**LONG_AGO, "created_at": TABLE_BEGINS - 1},
            node={**OTHER_TIMES.node, "accreditation_level": "DUVERNE", "accreditation_until": NOW},
        ),
        ("baseline/vocabulary DENIED", "4 FACT_MISSING", "5 FACT_MISSING"),
    ),
    "before any table": (
        Situation(
            label=OPEN,
            times={"created_at": 0, "not_before": 0, "expires_at": DAY},
            node={"oldest_key_since": 0, "accreditation_until": DAY},
            moment={"now": HOUR, "sender_key_since": 0},
        ),
        (
            "baseline/marking DENIED",
            "baseline/vocabulary DENIED",
            "4 FACT_MISSING",
            "5 FACT_MISSING",
            "6 DENIED",
        ),
    ),
    # Releasability
    "not in REL TO": (Situation(label=marked(releasable_to=codes("XAR", "XDE"))), ("6 DENIED",)),
    "DISPLAY ONLY keeps no copy": (
        Situation(label=Label("XAR", "SECRET", display_only=codes("XBO"))),
        ("6 DENIED",),
    ),
    "RELIDO releases nothing by itself": (
        Situation(label=Label("XAR", "SECRET", dissemination=codes("RELIDO"))),
        ("6 DENIED",),
    ),
    "RELIDO beside REL TO": (Situation(label=marked(dissemination=codes("RELIDO"))), ()),
    "unclassified and uncontrolled": (Situation(label=OPEN), ()),
    "unclassified with ORCON": (Situation(label=replace(OPEN, dissemination=codes("ORCON"))), ("6 DENIED",)),
    "unclassified with DISPLAY ONLY": (Situation(label=replace(OPEN, display_only=codes("XBO"))), ("6 DENIED",)),
    "unclassified with REL TO others": (
        Situation(label=replace(OPEN, releasable_to=codes("XAR", "XDE"))),
        ("6 DENIED",),
    ),
    "no releasability clause: the baseline stands in": (
        Situation(clauses=without("6"), label=marked(releasable_to=codes("XAR", "XDE"))),
        ("baseline/releasable DENIED",),
    ),
    "no releasability clause and everything passes": (Situation(clauses=without("6")), ()),
    "a suspended releasability": (Situation(suspended=("6",)), ("6 CLAUSE_SUSPENDED",)),
    "a suspended releasability and the neutral": (Situation(suspended=("6",), label=OPEN), ()),
    "a suspended releasability and the unclassified with a list": (
        Situation(suspended=("6",), label=replace(OPEN, releasable_to=codes("XAR", "XBO"))),
        ("6 CLAUSE_SUSPENDED",),
    ),
    # Originator control
    "ORCON sent by the originator": (Situation(label=ORCON), ()),
    "ORCON passed on": (Situation(label=ORCON, moment=PASSED_ON, clauses=ONWARD), ("7 DENIED",)),
    "ORCON passed on, at opening": (opening(label=ORCON, moment=PASSED_ON, clauses=ONWARD), ("7 DENIED",)),
    "ORCON passed on, not decided at egress": (egress(label=ORCON, moment={"direct": False}), ()),
    "ORCON passed on with a grant": (
        Situation(label=ORCON, moment={**PASSED_ON, "onward_grant": True}, clauses=ONWARD),
        (),
    ),
    "ORCON passed on without a clause that lets go on": (
        Situation(label=ORCON, moment={**PASSED_ON, "onward_grant": True}),
        ("baseline/onward DENIED",),
    ),
    "ORCON cannot be suspended": (
        Situation(label=ORCON, moment=PASSED_ON, clauses=ONWARD, suspended=("7",)),
        ("7 DENIED",),
    ),
    "no originator-control clause: the baseline stands in": (
        Situation(clauses=tuple(one for one in ONWARD if one.id != "7"), label=OPEN_ORCON_REL, moment=PASSED_ON),
        ("baseline/originator-control DENIED",),
    ),
    "no originator-control clause, not decided at egress": (
        egress(clauses=without("7"), label=ORCON, moment={"direct": False}),
        (),
    ),
    # Purpose
    "a purpose not agreed": (Situation(profile={"purpose": "border"}), ("8 DENIED",)),
    "the opener states no purpose": (opening(moment={"opening_purpose": None}), ("8 FACT_MISSING",)),
    "the opener states an empty purpose": (opening(moment={"opening_purpose": ""}), ("8 FACT_MISSING",)),
    "the opener states another agreed purpose": (opening(moment={"opening_purpose": "investigation"}), ("8 DENIED",)),
    "a suspended purpose": (Situation(label=OPEN, suspended=("8",)), ("8 CLAUSE_SUSPENDED",)),
    # Residency
    "a node elsewhere": (Situation(node={"region": "xde"}), ("9 DENIED",)),
    "a broker elsewhere": (egress(moment={"broker_region": "xde"}), ("9 DENIED",)),
    "a node whose region is not attested": (Situation(node={"region": None}), ("9 FACT_MISSING",)),
    "a broker whose region is not known": (egress(moment={"broker_region": None}), ("9 FACT_MISSING",)),
    "both, one elsewhere and one not known": (
        Situation(node={"region": None}, moment={"broker_region": "xde"}),
        ("9 FACT_MISSING",),
    ),
    "a party without regions": (
        Situation(
            clauses=(*without("9"), kinds.Residency(id="9", text=TEXT, regions={"XBO": ("xar", "xbo")})),
        ),
        ("9 DENIED",),
    ),
    "no residency decided at opening": (opening(node={"region": "xde"}), ()),
    "a suspended residency": (Situation(suspended=("9",)), ("9 CLAUSE_SUSPENDED",)),
    "a suspended residency, not decided at opening": (opening(suspended=("9",)), ()),
    # Retention
    "kept as long as allowed": (Situation(times={"expires_at": NOW - HOUR + 30 * DAY}), ()),
    "kept one moment longer": (Situation(times={"expires_at": NOW - HOUR + 30 * DAY + 1}), ("10 DENIED",)),
    "kept longer, counted from its making": (
        egress(times={"not_before": NOW + DAY, "expires_at": NOW + 30 * DAY}),
        ("10 DENIED",),
    ),
    "opened at the last moment": (
        opening(
            times={**LONG, "created_at": NOW - 31 * DAY, "not_before": NOW - 31 * DAY},
            moment={"admitted_at": NOW - 30 * DAY, "sender_key_since": NOW - 60 * DAY},
            node={"oldest_key_since": NOW - 60 * DAY},
        ),
        (),
    ),
    "opened a moment later": (
        opening(
            times={**LONG, "created_at": NOW - 31 * DAY, "not_before": NOW - 31 * DAY},
            moment={"admitted_at": NOW - 30 * DAY - 1, "sender_key_since": NOW - 60 * DAY},
            node={"oldest_key_since": NOW - 60 * DAY},
        ),
        ("10 DENIED",),
    ),
    "the admission is not logged": (opening(moment={"admitted_at": None}), ("10 FACT_MISSING", "13 FACT_MISSING")),
    "retention cannot be suspended": (Situation(times=LONG, suspended=("10",)), ("10 DENIED",)),
    # Embargo
    "an embargo": (Situation(times={"not_before": NOW + DAY}), ()),
    "an embargo to the end": (Situation(times={"not_before": NOW + 7 * DAY}), ("11 DENIED",)),
    "an embargo to the end, not decided at egress": (egress(times={"not_before": NOW + 7 * DAY}), ()),
    "the embargo is over now": (opening(times={"not_before": NOW}), ()),
    "the embargo is over in a moment": (opening(times={"not_before": NOW + 1}), ("11 DENIED",)),
    "a suspended embargo": (Situation(times={"not_before": NOW}, suspended=("11",)), ("11 CLAUSE_SUSPENDED",)),
    "a suspended embargo before the report was made": (
        opening(times={"created_at": NOW + 1, "not_before": NOW + 1}, suspended=("11",)),
        ("11 CLAUSE_SUSPENDED",),
    ),
    "a suspended embargo where there is none": (Situation(suspended=("11",)), ()),
    "no embargo clause: the baseline stands in at admission": (
        Situation(clauses=without("11"), times={"not_before": NOW + 8 * DAY}),
        ("baseline/times DENIED",),
    ),
    "no embargo clause: the baseline stands in at opening": (
        opening(clauses=without("11"), times={"not_before": NOW + 1}),
        ("baseline/times DENIED",),
    ),
    "no embargo clause and everything passes": (opening(clauses=without("11")), ()),
    # Precedence
    "FLASH without the role": (Situation(profile=URGENT), ("12 DENIED",)),
    "FLASH with the role": (Situation(profile=URGENT, moment={"sender_roles": frozenset({Role.DUTY_OFFICER})}), ()),
    "FLASH without attested roles": (egress(profile=URGENT, moment={"sender_roles": None}), ("12 FACT_MISSING",)),
    "IMMEDIATE with the role": (Situation(profile={"precedence": Precedence.IMMEDIATE}), ()),
    "IMMEDIATE without the role": (
        Situation(profile={"precedence": Precedence.IMMEDIATE}, moment={"sender_roles": frozenset({Role.NODE})}),
        ("12 DENIED",),
    ),
    "PRIORITY without any role": (
        Situation(profile={"precedence": Precedence.PRIORITY}, moment={"sender_roles": None}),
        (),
    ),
    "FLASH at opening": (opening(profile=URGENT), ()),
    "a suspended precedence clause": (
        Situation(profile={"precedence": Precedence.IMMEDIATE}, suspended=("12",)),
        ("12 CLAUSE_SUSPENDED",),
    ),
    "a suspended precedence clause and ROUTINE": (Situation(suspended=("12",)), ()),
    # Suites
    "a suite not agreed": (Situation(profile={"suite": 2}), ("13 DENIED",)),
    "keys of the oldest age": (
        Situation(moment={"sender_key_since": NOW - 90 * DAY}, node={"oldest_key_since": NOW - 90 * DAY}),
        (),
    ),
    "the sender's key too old": (Situation(moment={"sender_key_since": NOW - 90 * DAY - 1}), ("13 DENIED",)),
    "the recipient's key too old": (egress(node={"oldest_key_since": NOW - 90 * DAY - 1}), ("13 DENIED",)),
    "the sender's key not begun": (Situation(moment={"sender_key_since": NOW + 1}), ("13 DENIED",)),
    "the recipient's key not begun": (Situation(node={"oldest_key_since": NOW + 1}), ("13 DENIED",)),
    "the sender's key not attested": (Situation(moment={"sender_key_since": None}), ("13 FACT_MISSING",)),
    "the recipient's key not attested": (opening(node={"oldest_key_since": None}), ("13 FACT_MISSING",)),
    "a key-log view of the oldest age": (Situation(moment={"key_log_age": HOUR}), ()),
    "a stale key-log view": (opening(moment={"key_log_age": HOUR + 1}), ("13 DENIED",)),
    "a key-log view of the future": (Situation(moment={"key_log_age": -1}), ("13 DENIED",)),
    "no key-log view": (egress(moment={"key_log_age": None}), ("13 FACT_MISSING",)),
    "keys were young enough at admission": (
        opening(
            times={"created_at": NOW - 11 * DAY},
            moment={"admitted_at": NOW - 10 * DAY, "sender_key_since": NOW - 100 * DAY},
        ),
        (),
    ),
    "a suspended suites clause": (Situation(label=OPEN, suspended=("13",)), ("13 CLAUSE_SUSPENDED",)),
    # Capabilities
    "both nodes can what the floor asks": (floored(), ()),
    "a recipient that can less": (floored(node={"capabilities": FLOOR - {"use"}}), ("14 DENIED",)),
    "a sender that can less": (floored(moment={"sender_capabilities": FLOOR - {"wire/1"}}), ("14 DENIED",)),
    "a recipient without the suite, at egress": (
        floored("egress", node={"capabilities": FLOOR - {"suite/1"}}),
        ("14 DENIED",),
    ),
    "a recipient that can less, at opening": (
        floored("opening", node={"capabilities": FLOOR - {"use"}}),
        ("14 DENIED",),
    ),
    "a recipient that states nothing": (floored(node={"capabilities": None}), ("14 FACT_MISSING",)),
    "a sender that states nothing": (floored(moment={"sender_capabilities": None}), ("14 FACT_MISSING",)),
    "what is missing speaks before what is lacking": (
        floored(node={"capabilities": frozenset()}, moment={"sender_capabilities": None}),
        ("14 FACT_MISSING",),
    ),
    "capabilities that are no set": (floored(node={"capabilities": sorted(FLOOR)}), ("14 FACT_MISSING",)),
    "more than the floor": (floored(node={"capabilities": FLOOR | {"recall"}}), ()),
    "a suspended capabilities clause": (floored(suspended=("14",)), ("14 CLAUSE_SUSPENDED",)),
    # Suspension of what is not there, and several at once
    "a suspended clause nobody wrote": (Situation(suspended=("99",)), ()),
    "an article cannot be suspended": (Situation(suspended=("0",)), ()),
    "everything at once, in order": (
        Situation(
            state=AgreementState(in_force=False, reason="EXPIRED", suspended_clauses=frozenset({"1", "13"})),
            label=NATIONAL,
            profile={"purpose": "border", "agreement_id": "XAR-XBO-2", **URGENT},
            times={"expires_at": NOW + 40 * DAY, "not_before": NOW + 50 * DAY},
            node={"valid": False, "region": "xde", "accreditation_level": "DUVERNE"},
            moment={"broker": None},
        ),
        (
            "baseline/in-force DENIED",
            "baseline/agreement DENIED",
            "baseline/broker FACT_MISSING",
            "baseline/node DENIED",
            "baseline/national-only DENIED",
            "baseline/grant DENIED",
            "1 CLAUSE_SUSPENDED",
            "5 DENIED",
            "6 DENIED",
            "8 DENIED",
            "9 DENIED",
            "10 DENIED",
            "11 DENIED",
            "12 DENIED",
            "13 CLAUSE_SUSPENDED",
        ),
    ),
    "the agreement's other clause of a kind also counts": (
        Situation(clauses=(*CLAUSES, kinds.Retention(id="15", text=TEXT, longest=Span(days=1)))),
        ("15 DENIED",),
    ),
}
