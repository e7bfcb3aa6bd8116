"""Decisions as a table, third part: facts of a wrong type, each of which counts as missing (see `engine_cases`)."""

from __future__ import annotations

from dataclasses import replace

from builders_engine import Situation, opening, without
from comity_policy.facts import Addressee, AgreementState, Reader, Role, Use
from engine_cases_handling import ACKNOWLEDGE, AUDIT, CONFIDENTIAL, DUAL, RELABEL, copied, quota, used
from engine_cases_sharing import CLEARANCE, NEED, OFFICES_ONLY
from engine_words import (
    DECLARED,
    EMERGENCY,
    ONWARD,
    ORCON,
    PASSED_ON,
    READER,
    URGENT,
    Row,
    beside,
    beside_at_opening,
)

TYPE_CASES: dict[str, Row] = {
    # Baseline rows
    "a state that does not say whether it is in force": (
        Situation(state=AgreementState(in_force="EXPIRED")),  # type: ignore[arg-type]  # what must not be read as true
        ("baseline/in-force DENIED",),
    ),
    "a broker that is no text": (Situation(moment={"broker": 5}), ("baseline/broker FACT_MISSING",)),
    "a node of which nobody says whether it is valid": (
        Situation(node={"valid": None}),
        ("baseline/node FACT_MISSING",),
    ),
    "an office that is part of a text": (
        Situation(profile={"addressees": (Addressee("XBO", office="desk"),)}, node={"offices": "desks"}),
        ("baseline/addressee FACT_MISSING",),
    ),
    "communities that are not attested, for an addressee of another office": (
        Situation(
            profile={"addressees": (Addressee("XBO", office="other", community="ct"),)}, node={"communities": None}
        ),
        ("baseline/addressee DENIED",),
    ),
    "offices that are not attested, for an addressee who needs none": (
        Situation(
            profile={"addressees": (Addressee("XBO", office="desk"), Addressee("XBO", community="ct"))},
            node={"offices": None},
        ),
        (),
    ),
    # Clauses
    "a region that is no text": (Situation(node={"region": ["xbo"]}), ("9 FACT_MISSING",)),
    "an age that is no number": (Situation(moment={"key_log_age": "1"}), ("13 FACT_MISSING",)),
    "roles that are no set": (Situation(profile=URGENT, moment={"sender_roles": 5}), ("12 FACT_MISSING",)),
    "roles that can be changed": (
        Situation(profile=URGENT, moment={"sender_roles": {Role.DUTY_OFFICER}}),
        ("12 FACT_MISSING",),
    ),
    "a region that is a number": (Situation(node={"region": 5}), ("9 FACT_MISSING",)),
    "a region that is no text beside a broker elsewhere": (
        Situation(node={"region": ["xbo"]}, moment={"broker_region": "xde"}),
        ("9 FACT_MISSING",),
    ),
    "an accreditation that is too low and ends at no number": (
        Situation(node={"accreditation_level": "DUVERNE", "accreditation_until": "tomorrow"}),
        ("5 FACT_MISSING",),
    ),
    "an accreditation whose end is a truth value": (
        Situation(node={"accreditation_until": True}),
        ("5 FACT_MISSING",),
    ),
    "ORCON, and nobody says who sends": (
        Situation(label=ORCON, moment={"direct": None}),
        ("baseline/onward FACT_MISSING", "7 FACT_MISSING"),
    ),
    "ORCON with a grant, and nobody says who sends": (
        Situation(label=ORCON, moment={"direct": None, "onward_grant": True}),
        ("baseline/onward FACT_MISSING",),
    ),
    "the opener's purpose is no text": (opening(moment={"opening_purpose": 5}), ("8 FACT_MISSING",)),
    "the admission is logged at a truth value": (
        opening(moment={"admitted_at": True}),
        ("10 FACT_MISSING", "13 FACT_MISSING"),
    ),
    "a key-log view whose age is a truth value": (Situation(moment={"key_log_age": False}), ("13 FACT_MISSING",)),
    "a suite not agreed, and a key of an age that is no number": (
        Situation(profile={"suite": 2}, moment={"sender_key_since": "1"}),
        ("13 FACT_MISSING",),
    ),
    # Clauses that ask more facts
    "officers that can be changed": (
        Situation(
            profile={"addressees": (Addressee("XBO", officer="XBO/officer1"),)}, node={"officers": {"XBO/officer1"}}
        ),
        ("baseline/addressee FACT_MISSING",),
    ),
    "a reader that is a name": (
        opening(
            profile={"addressees": (Addressee("XBO", officer="XBO/officer1"),)},
            node={"officers": frozenset({"XBO/officer1"})},
            moment={"reader": "XBO/officer1"},
        ),
        ("baseline/addressee FACT_MISSING",),
    ),
    "a reader whose clearance ends at a truth value": (
        opening(clauses=(*without("5"), CLEARANCE), moment={"reader": replace(READER, clearance_until=True)}),
        ("5 FACT_MISSING",),
    ),
    "a reader whose clearance is no word": (
        opening(clauses=(*without("5"), CLEARANCE), moment={"reader": replace(READER, clearance_level=["TAJNE"])}),  # type: ignore[arg-type]  # the wrong type is the case
        ("5 FACT_MISSING",),
    ),
    "a reader whose offices are no set": (
        beside_at_opening(OFFICES_ONLY, moment={"reader": replace(READER, offices=["desk"])}),  # type: ignore[arg-type]  # the wrong type is the case
        ("15 DENIED",),
    ),
    "a reader whose name is no text": (
        beside_at_opening(NEED, moment={"reader": Reader(5, frozenset(), frozenset(), None, None)}),  # type: ignore[arg-type]  # the wrong type is the case
        ("15 DENIED",),
    ),
    "hops that are text": (
        Situation(clauses=ONWARD, moment={**PASSED_ON, "hops": "1"}),
        ("baseline/onward FACT_MISSING",),
    ),
    "a dispute that is a number": (
        Situation(clauses=ONWARD, moment={**PASSED_ON, "disputed": 0}),
        ("baseline/onward FACT_MISSING",),
    ),
    "a declaration that is a number": (
        quota(reports=10, more=(EMERGENCY,), profile=DECLARED["profile"], moment={"emergency_declared": 1}),
        ("16 DENIED",),
    ),
    "a report measured in text": (quota(moment={"size": "100"}), ("16 FACT_MISSING",)),
    "a window counted in numbers": (quota(moment={"usage": {"16": 5}}), ("16 FACT_MISSING",)),
    "windows that are a list": (quota(moment={"usage": ["16"]}), ("16 FACT_MISSING",)),
    "approvals that can be changed": (
        beside(DUAL, profile={"approvals_required": 2}, moment={"approvals": {"XAR/officer1", "XAR/officer2"}}),
        ("18 FACT_MISSING",),
    ),
    "overdue clauses in a list": (beside(ACKNOWLEDGE, node={"overdue": ["19"]}), ("19 FACT_MISSING",)),
    "consents in a list": (copied(Use.COPY, consents=[Use.COPY]), ("15 FACT_MISSING",)),
    "a register that is a number": (copied(Use.COPY, label=CONFIDENTIAL, registered=1), ("15 FACT_MISSING",)),
    "acknowledged caveats in a list": (used(Use.READ, ["21"]), ("21 FACT_MISSING",)),
    "a use that is a number": (used(5), ("21 FACT_MISSING",)),
    "a marking changed by a number": (beside_at_opening(RELABEL, moment={"relabelled_by": 5}), ("22 FACT_MISSING",)),
    "a log that is a number": (beside(AUDIT, moment={"log_available": 1}), ("23 FACT_MISSING",)),
    "what is held by a number": (
        opening(state=AgreementState(in_force=False, reason="SUSPENDED"), moment={"held": 1}),
        ("baseline/in-force DENIED",),
    ),
}
