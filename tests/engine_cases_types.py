"""Decisions as a table, third part: facts of a wrong type, each of which counts as missing (see `engine_cases`)."""

from __future__ import annotations

from builders_engine import Situation, opening
from comity_policy.facts import Addressee, AgreementState, Role
from engine_words import ORCON, URGENT, Row

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
        ("baseline/addressee FACT_MISSING",),
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
        ("7 FACT_MISSING",),
    ),
    "ORCON with a grant, and nobody says who sends": (
        Situation(label=ORCON, moment={"direct": None, "onward_grant": True}),
        (),
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
}
