"""What the check of an agreement finds, kind by kind: dead parameters, contradictions, what no machine enforces."""

from __future__ import annotations

import pytest

from builders_document import DIGEST, agreement_text
from builders_every_kind import MORE, clause_text, every_kind
from comity_policy.check import Finding, Severity, check
from comity_policy.document import Document, load
from comity_policy.vocabulary import bundled


def found(text: str, umbrella: Document | None = None) -> tuple[Finding, ...]:
    return check(load(text.encode()), bundled(), umbrella)


def about(clause_id: str, fields: str) -> tuple[str, ...]:
    """The errors and warnings about a clause with other fields."""
    findings = found(every_kind({clause_id: fields}))
    return tuple(one.message for one in findings if one.clause_id == clause_id and one.severity is not Severity.NOTE)


DEAD = {
    "rows of a level above a row that holds already": (
        "26",
        'from = [{ party = "XAR", level = "RESTRICTED" }, { party = "XAR", level = "SECRET" }]\nofficers = 2',
        "the row of XAR from SECRET is dead: RESTRICTED is below it",
    ),
    "readers asked from a level above another": (
        "37",
        'officer_from = [{ party = "XAR", level = "RESTRICTED" }, { party = "XAR", level = "SECRET" }]',
        "the row of XAR from SECRET is dead: RESTRICTED is below it",
    ),
    "a channel that is the one below": (
        "23",
        'rows = [{ party = "XAR", level = "SECRET", by = "broker" }]',
        "the row of XAR from SECRET is dead: broker holds below it already",
    ),
    "copies as below": (
        "24",
        'rows = [{ party = "XAR", level = "SECRET", copies = "free" }]',
        "the row of XAR from SECRET is dead: free holds below it already",
    ),
    "an end as below": (
        "38",
        'longest = { days = 1 }\nend = [{ party = "XAR", level = "SECRET", end = "destroy" }]',
        "the row of XAR from SECRET is dead: destroy holds below it already",
    ),
    "no channel for anything": (
        "23",
        'rows = [{ party = "XAR", level = "UNCLASSIFIED", by = "courier" }]',
        "no broker carries anything of XAR: its grants can never permit",
    ),
    "a pre-approval nobody grants": (
        "21",
        'max_hops = 1\npre_approved = [{ from = "XAR", to = "XBO", category = "cyber" }]',
        "the pre-approval of cyber from XAR to XBO is dead: no scope grants it in this direction",
    ),
    "a pre-approved tearline nobody grants": (
        "21",
        'max_hops = 1\npre_approved = [{ from = "XAR", to = "XBO", category = "terrorism" }]',
        "the pre-approval of terrorism from XAR to XBO is dead: no scope grants tearlines of it",
    ),
    "passing on between two": (
        "21",
        "max_hops = 1",
        "grants nothing: of two parties nobody is left to whom anything could be passed on",
    ),
    "personal data for a purpose that is not allowed": (
        "22",
        MORE["22"][1].replace("threat-to-life", "investigation"),
        "clause 6 does not allow investigation",
    ),
    "personal data for no allowed purpose": (
        "22",
        MORE["22"][1].replace('["counter-terrorism", "threat-to-life"]', '["investigation"]'),
        "no purpose of it is one of clause 6: personal data can never flow",
    ),
    "a lower precedence sooner": (
        "27",
        "within = { FLASH = { hours = 1 }, ROUTINE = { minutes = 1 } }\nstop_after = { days = 1 }",
        "a lower precedence is to be acknowledged sooner than a higher one",
    ),
    "acknowledgements that stop nothing": (
        "27",
        "within = { ROUTINE = { days = 1 } }",
        "stops nothing: what is overdue is escalated only",
    ),
    "what survives and is not decided on what is held": (
        "31",
        'clauses = ["7"]',
        "clause 7 is not decided on what is held: that it survives changes nothing",
    ),
    "a log nobody waits for": (
        "32",
        'on_failure = "degrade"',
        "traffic goes on while the log takes no entries",
    ),
    "no oversight": ("32", "", "names no body of oversight"),
    "measures before the report": (
        "33",
        MORE["33"][1].replace("days = 30", "hours = 1"),
        "notification, initial report and measures do not follow one another",
    ),
    "escalation before consultation": (
        "34",
        MORE["34"][1].replace("days = 60", "days = 6"),
        "a dispute is escalated before the consultation is over",
    ),
    "a party without an authority": (
        "36",
        'contacts = [{ party = "XAR", role = "r", name = "n", contact = "c" }]',
        "names no authority of XBO",
    ),
}


LACKING = "this release does not carry it: "


@pytest.mark.parametrize(("clause_id", "fields", "message"), DEAD.values(), ids=DEAD.keys())
def test_what_is_dead_or_contradicts_is_found(clause_id: str, fields: str, message: str) -> None:
    assert message in about(clause_id, fields)


def test_a_sound_clause_is_not_complained_of() -> None:
    for clause_id in ("20", "22", "23", "24", "25", "26", "27", "28", "29", "30", "31", "32", "33", "34", "35", "36"):
        complaints = [one for one in about(clause_id, MORE[clause_id][1]) if not one.startswith(LACKING)]
        assert complaints == []


def test_an_emergency_that_lets_go_on_needs_a_clause_to_go_on_by() -> None:
    text = agreement_text(more=clause_text("30", *MORE["30"]))
    assert Finding(
        Severity.ERROR, "30", "onward = true lifts nothing: without an onward clause nothing is passed on"
    ) in found(text)


def test_of_two_quotas_of_a_window_the_looser_is_dead() -> None:
    looser = clause_text("40", "quota", MORE["25"][1].replace("= 200", "= 300"))
    assert Finding(Severity.ERROR, "40", "is dead: clause 25 allows no more in the same window") in found(
        every_kind() + looser
    )


def test_what_no_ledger_tracks_is_said_so_that_nobody_believes_it_is_done() -> None:
    assert not [one for one in found(every_kind()) if "no ledger of this release" in one.message]
    assert not [one for one in found(every_kind()) if one.message.startswith(LACKING)]
    unused = {one.clause_id for one in found(every_kind()) if one.message.startswith("decided, and not used yet")}
    assert unused == {"21"}


def umbrella(*clauses: tuple[str, str, str]) -> Document:
    """The bundled example as an umbrella: its head, and these clauses alone."""
    head = agreement_text(kind="umbrella").split("[[clause]]")[0].replace("XAR-XBO-CT-1", "XAR-XBO-GSA-1")
    return load((head + "".join(clause_text(*one) for one in clauses)).encode())


LIMITS = (
    'limits = [{ from = "XAR", to = "XBO", level = "CONFIDENTIAL" }, { from = "XBO", to = "XAR", level = "SECRET" }]'
)
WIDER = {
    "a ceiling": (("4", "ceiling", LIMITS), "4", "the limit from XAR to XBO is dead: clause 4 of XAR-XBO-GSA-1"),
    "a keeping": (("8", "retention", "longest = { hours = 1 }"), "8", "the longer keeping is dead: clause 8 of"),
    "a purpose": (("6", "purpose", 'purposes = ["counter-terrorism"]'), "6", "threat-to-life is dead: clause 6 of"),
    "a region": (("7", "residency", 'regions = { XAR = ["xar", "xbo"] }'), "7", "xbo for XBO is dead: clause 7 of"),
}


@pytest.mark.parametrize(("clause", "clause_id", "message"), WIDER.values(), ids=WIDER.keys())
def test_what_an_arrangement_allows_beyond_its_umbrella_is_dead(
    clause: tuple[str, str, str], clause_id: str, message: str
) -> None:
    text = agreement_text(kind="arrangement", under=f'agreement = "XAR-XBO-GSA-1"\ndigest = "{DIGEST}"')
    errors = [one for one in found(text, umbrella(clause)) if one.severity is Severity.ERROR]
    assert any(one.clause_id == clause_id and message in one.message for one in errors)


def test_an_umbrella_grants_nothing_and_what_grants_in_it_is_dead() -> None:
    text = umbrella(("1", "onward", "max_hops = 1"))
    findings = check(text, bundled())
    assert Finding(Severity.ERROR, "1", "is dead: an umbrella grants nothing, its arrangements do") in findings
    assert not any("nothing is granted" in one.message for one in findings)


def test_what_the_umbrella_has_the_arrangement_does_not_lack() -> None:
    text = agreement_text(kind="arrangement", under=f'agreement = "XAR-XBO-GSA-1"\ndigest = "{DIGEST}"')
    lacks = "no personal-data clause: personal data flow like everything else"
    assert lacks in [one.message for one in found(text)]
    assert lacks not in [one.message for one in found(text, umbrella(("22", *MORE["22"])))]
