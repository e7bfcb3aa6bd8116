"""The gloss of every kind states every field of its clause, and abbreviates nothing."""

from __future__ import annotations

import pytest

from builders_every_kind import MORE, every_kind
from comity_policy.document import load
from comity_policy.gloss import gloss, status_words

DOCUMENT = load(every_kind().encode())

STATED = {
    "20": ("in XBO for the office ct-desk or the officer XBO/officer1", "in XAR for the community counter-terrorism"),
    "21": ("at most 1 time", "from XAR may go on to XBO, every kind of message, about terrorism"),
    "22": (
        "only for counter-terrorism or threat-to-life",
        "at most 10 persons",
        "special categories of personal data do not flow",
        "every 52 weeks",
        "within 5 days",
    ),
    "23": ("information of XAR from SECRET on goes by courier", "from TOP-SECRET on goes by voice"),
    "24": (
        "from RESTRICTED on is copied and translated only where the copy is registered",
        "from CONFIDENTIAL on is copied and translated only with the originator's consent",
    ),
    "25": ("From XAR to XBO at most 200 reports and 1000000 bytes", "day that begins at 00:00 UTC"),
    "26": ("of XAR from CONFIDENTIAL on", "at least 2 different officers"),
    "27": ("FLASH within 10 minutes and ROUTINE within 1 day", "more than 3 days", "PRIORITY or ROUTINE"),
    "28": ("'For intelligence only.'", "as evidence is only with the originator's consent", "action on it is free"),
    "29": ("notice of 6 weeks", "after 30 years"),
    "30": ("to XBO", "prior consent to passing on what it marked as a warning", "review within 24 hours"),
    "31": ("clauses 8, 28 and 29 still bind",),
    "32": (
        "parliamentary control of XAR (access: events)",
        "no third parties",
        "3650 days",
        "nothing is admitted while",
    ),
    "33": ("notified within 24 hours", "within 72 hours", "within 30 days"),
    "34": ("consult about a dispute for 30 days", "after 60 days"),
    "35": ("at least every 365 days",),
    "36": ("For XAR the security authority is Office for Security (+0 1)", "for XBO the security authority is Bureau"),
    "37": ("of XAR from CONFIDENTIAL on and of XBO from SECRET on", "personal clearance"),
    "38": (
        "longer than 20 days",
        "of XAR from SECRET on is returned",
        "below these levels is destroyed",
        "2 witnesses",
        "destruction in an emergency is allowed",
    ),
    "39": (
        "each has stated, signed by itself",
        "speaks version 1 of the wire protocol",
        "opens and seals suite 1",
        "enforces use and destruction-certificate",
    ),
}


def test_every_kind_has_a_row_here() -> None:
    assert STATED.keys() == MORE.keys()


@pytest.mark.parametrize(("clause_id", "parts"), STATED.items(), ids=[MORE[one][0] for one in STATED])
def test_every_field_is_stated(clause_id: str, parts: tuple[str, ...]) -> None:
    told = gloss(DOCUMENT.clause(clause_id), DOCUMENT)
    for part in parts:
        assert part in told
    assert told.endswith(".")
    assert told[:1].isupper()
    assert "\n" not in told


OTHERWISE = {
    "21": ("max_hops = 2", "at most 2 times, and the originator granted it for that very report; nothing is approved"),
    "22": (MORE["22"][1].replace('"deny"', '"allow"').replace("= 10", "= 1"), "at most 1 person; special categories of personal data flow like others"),
    "27": ("within = { FLASH = { minutes = 1 } }", "FLASH within 1 minute; what is overdue is escalated and stops nothing."),
    "30": (MORE["30"][1].replace("true", "false"), "but not the originator's consent to passing on"),
    "31": ('clauses = ["8"]', "clause 8 still bind"),
    "32": ('on_failure = "degrade"', "No body of oversight is named"),
    "39": ('obligations = ["recall"]', "that its software enforces recall."),
    "38": ("longest = { hours = 3 }", "at the end it is destroyed; its holder alone signs a certificate"),
}  # fmt: skip


@pytest.mark.parametrize(("clause_id", "fields", "part"), [(one, *rest) for one, rest in OTHERWISE.items()])
def test_other_fields_are_told_otherwise(clause_id: str, fields: str, part: str) -> None:
    document = load(every_kind({clause_id: fields}).encode())
    assert part in gloss(document.clause(clause_id), document)


@pytest.mark.parametrize(
    ("clause_id", "words"),
    [
        ("25", "enforced at admission"),
        ("28", "enforced at opening"),
        ("23", "enforced at egress and admission"),
        ("30", "enforced at admission and opening, tracked"),
        ("33", "tracked"),
        ("29", "enforced at opening, tracked by hand"),
        ("1", "recorded"),
    ],
)
def test_the_status_is_an_auditors_first_question(clause_id: str, words: str) -> None:
    assert status_words(DOCUMENT.clause(clause_id)) == words
