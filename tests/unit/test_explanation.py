"""Explanations: every violation of the decision table is told with fact, got, wanted, nearest and a remedy."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders_engine import (
    DAY,
    HOUR,
    MOMENT,
    NODE,
    NOW,
    OPEN,
    PROFILE,
    SECRET,
    TIMES,
    Situation,
    egress,
    opening,
)
from comity_policy.clauses import Status
from comity_policy.decision import Reason
from comity_policy.engine import decide_report
from comity_policy.explanation import (
    ClauseExplanation,
    PartnerExplanation,
    RemedyAction,
    explain,
    explain_report,
    partner_view,
)
from comity_policy.facts import Addressee, AgreementState, PortionMarking, Precedence
from comity_policy.findings.case import span, when
from comity_policy.marking import Label
from engine_cases import CASES
from engine_cases_handling import HANDLING_CASES
from engine_cases_sharing import SHARING_CASES
from engine_cases_types import TYPE_CASES


def explained(situation: Situation) -> tuple[ClauseExplanation, ...]:
    compiled, facts = situation.compiled(), situation.facts()
    return explain(compiled, *facts, compiled.decide(*facts))


WELL_TYPED = {name: row for name, row in CASES.items() if name not in TYPE_CASES}


@pytest.mark.parametrize(("situation", "expected"), WELL_TYPED.values(), ids=WELL_TYPED.keys())
def test_every_violation_of_the_table_is_explained_in_order(situation: Situation, expected: tuple[str, ...]) -> None:
    told = explained(situation)
    assert tuple(f"{one.clause_id} {one.reason}" for one in told) == expected
    for one in told:
        assert all((one.kind, one.gloss, one.text, one.fact, one.got, one.wanted, one.nearest))
        assert one.portions == (0,)
        assert one.recipient_party == situation.facts()[3].party
        assert Status.ENFORCED in one.status
        assert (one.remedy.who == "") == (one.remedy == type(one.remedy)(RemedyAction.NONE))


def only(situation: Situation) -> ClauseExplanation:
    (one,) = explained(situation)
    return one


def test_a_permitted_portion_has_no_explanation() -> None:
    assert explained(Situation()) == ()


def test_a_clause_is_explained_with_its_own_words() -> None:
    one = only(Situation(profile={"suite": 2}))
    assert (one.clause_id, one.kind, one.text) == ("13", "suites", "As both parties agreed.")
    assert one.reason is Reason.DENIED
    assert one.wanted.startswith("suite one of 1")


def test_above_the_ceiling_the_nearest_is_a_portion_at_the_ceiling() -> None:
    top = replace(SECRET, classification="TOP-SECRET")
    one = only(Situation(label=top, node={"accreditation_level": "PRISNE"}))
    assert (one.got, one.wanted, one.nearest) == ("TOP-SECRET", "at most SECRET", "a portion written at SECRET")
    assert one.remedy.action is RemedyAction.SANITISE
    assert one.remedy.who == "release-authority of XAR"


def test_not_in_rel_to_the_remedy_is_a_marking_ready_to_paste() -> None:
    one = only(Situation(label=replace(SECRET, releasable_to=frozenset({"XAR", "XDE"}))))
    assert one.got == "SECRET//REL TO XAR, XDE"
    assert one.nearest == "SECRET//REL TO XAR, XBO, XDE"
    assert one.remedy.action is RemedyAction.MARK
    assert one.nearest in one.remedy.command


def test_national_only_is_remedied_by_writing_for_release_never_by_marking() -> None:
    first, _ = explained(Situation(label=Label("XAR", "SECRET", dissemination=frozenset({"NATIONAL-ONLY"}))))
    assert first.clause_id == "baseline/national-only"
    assert first.remedy.action is RemedyAction.SANITISE


def test_a_classified_portion_without_a_marking_is_shown_the_marking_it_could_have() -> None:
    first, *_ = explained(Situation(label=Label("XAR", "SECRET")))
    assert "classified without a foreign-disclosure marking" in first.got
    assert first.nearest == "SECRET//REL TO XAR, XBO"


def test_an_accreditation_too_low_names_the_levels_that_would_do_and_what_the_node_may_have() -> None:
    one = only(Situation(node={"accreditation_level": "DUVERNE"}))
    assert one.got == f"DUVERNE until {when(NOW + DAY)}"
    assert one.wanted.startswith("one of TAJNE, PRISNE")
    assert one.nearest == "a portion at CONFIDENTIAL or lower"
    assert one.remedy.action is RemedyAction.RAISE_WITH_PARTNER


def test_a_fact_nobody_attested_is_said_to_be_missing() -> None:
    one = only(Situation(node={"region": None}))
    assert one.reason is Reason.FACT_MISSING
    assert one.got == "broker xar, node not attested"


def test_a_suspended_clause_says_so_and_who_to_talk_to() -> None:
    _, grant = explained(Situation(suspended=("1",)))
    assert grant.got == "clause 1 is suspended"
    assert grant.remedy.command == "comity agreement show XAR-XBO-1"
    assert only(Situation(suspended=("9",))).wanted == "the requirement in force: suspended, it cannot be met"


def test_an_unknown_word_is_named_with_the_known_ones() -> None:
    first, *_ = explained(Situation(profile={"purpose": "trade"}))
    assert first.got == "purpose trade"
    assert first.nearest == "purpose: one of border, counter-terrorism, investigation"


def test_no_grant_lists_what_the_direction_grants() -> None:
    one = only(Situation(profile={"categories": ("drugs",)}))
    assert one.got == "report about drugs, XAR to XBO"
    assert "1: report, rfi about terrorism; 3: report about cyber" in one.wanted
    split = only(Situation(profile={"categories": ("terrorism", "cyber")}))
    assert split.nearest == "one report for each grant that covers it"


def test_times_are_told_in_utc_and_spans_in_words() -> None:
    one = only(Situation(times={"expires_at": NOW + 40 * DAY}))
    assert (one.got, one.wanted) == ("40 d 1 h", "at most 30 d")
    assert one.nearest == f"expires {when(NOW - HOUR + 30 * DAY)}"
    assert when(0) == "1970-01-01T00:00:00Z"
    assert when(1) == "1970-01-01T00:00:00.001Z"
    assert (span(0), span(-61_000), span(None)) == ("0 s", "-1 min 1 s", "not attested")


def test_an_embargo_says_when_it_ends() -> None:
    assert only(opening(times={"not_before": NOW + HOUR})).nearest == f"at {when(NOW + HOUR)}"


def test_flash_without_the_role_needs_another_officer() -> None:
    one = only(egress(profile={"precedence": Precedence.FLASH}))
    assert one.remedy.action is RemedyAction.SECOND_OFFICER
    assert one.remedy.who == "duty-officer of XAR"


def test_another_use_asks_the_originators_consent() -> None:
    one = only(opening(moment={"opening_purpose": "investigation"}))
    assert one.remedy.action is RemedyAction.ASK_CONSENT
    assert one.remedy.who == "liaison of XBO"


@pytest.mark.parametrize("reason", ["NOT_YET", "SUSPENDED", "EXPIRED", "TERMINATED"])
def test_an_agreement_not_in_force_says_why(reason: str) -> None:
    one = only(Situation(state=AgreementState(in_force=False, reason=reason)))
    assert (one.got, one.wanted) == (reason, "IN_FORCE")


REPORT = replace(
    PROFILE,
    portions=(PortionMarking(OPEN), PortionMarking(SECRET), PortionMarking(SECRET)),
    addressees=(Addressee("XBO"), Addressee("XDE")),
)
LOW = replace(NODE, accreditation_level="DUVERNE")
XDE_NODE = replace(NODE, party="XDE", node="secret-desk", accreditation_level="GEHEIM")


def report_explained() -> tuple[ClauseExplanation, ...]:
    compiled, nodes = Situation().compiled(), (LOW, XDE_NODE)
    decision = decide_report(compiled, REPORT, TIMES, nodes, MOMENT)
    return explain_report(compiled, REPORT, TIMES, nodes, MOMENT, decision)


def test_a_reports_explanation_tells_the_same_finding_once_with_its_portions() -> None:
    clearance = [one for one in report_explained() if one.clause_id == "5"]
    assert [(one.recipient_party, one.portions) for one in clearance] == [("XBO", (1, 2))]


def test_a_partner_sees_its_own_refusals_only_and_no_fact() -> None:
    view = partner_view(report_explained(), "XBO")
    assert [one.clause_id for one in view] == ["5"]
    assert not {"got", "fact", "wanted", "nearest", "remedy", "recipient_party"} & set(PartnerExplanation.__slots__)


def test_a_partners_view_never_names_other_recipients_or_third_parties() -> None:
    third = replace(SECRET, releasable_to=frozenset({"XAR", "XFA"}))
    report = replace(REPORT, portions=(PortionMarking(third),))
    compiled, nodes = Situation().compiled(), (LOW, XDE_NODE)
    told = explain_report(compiled, report, TIMES, nodes, MOMENT, decide_report(compiled, report, TIMES, nodes, MOMENT))
    assert any("XFA" in one.got for one in told)
    assert {"6", "5"} == {one.clause_id for one in partner_view(told, "XBO")}
    shown = repr(partner_view(told, "XBO"))
    for secret in ("XFA", "XDE", "secret-desk", "GEHEIM"):
        assert secret not in shown
    assert partner_view(told, "XFA") == ()


KIND_CLAUSES: dict[str, tuple[Situation, str, str, RemedyAction]] = {
    "a used-up quota": (
        HANDLING_CASES["a report above the quota"][0],
        "10 reports and 0 bytes, and this report of 100 bytes",
        "from 2026-12-01T00:00:00Z on, when the next day begins, or as an emergency that a duty officer declares",
        RemedyAction.SECOND_OFFICER,
    ),
    "one officer": (
        HANDLING_CASES["one officer"][0],
        "XAR/officer1; the report asks for 2",
        "approved by 2 officers",
        RemedyAction.SECOND_OFFICER,
    ),
    "an overdue acknowledgement": (
        HANDLING_CASES["something overdue"][0],
        "overdue beyond 2 d",
        "after XBO acknowledges, or as IMMEDIATE",
        RemedyAction.RAISE_WITH_PARTNER,
    ),
    "a copy without consent": (
        HANDLING_CASES["a copy without consent"][0],
        "consent to none",
        "with the consent of XAR, or opened to read",
        RemedyAction.ASK_CONSENT,
    ),
    "a copy that is not registered": (
        HANDLING_CASES["a copy that is not registered"][0],
        "not registered",
        "entered in the register",
        RemedyAction.NONE,
    ),
    "a caveat not acknowledged": (
        HANDLING_CASES["read without its caveat"][0],
        "not acknowledged",
        "after its caveat is acknowledged",
        RemedyAction.NONE,
    ),
    "evidence without consent": (
        HANDLING_CASES["evidence without consent"][0],
        "consent to action",
        "with the consent of XAR, or opened to read",
        RemedyAction.ASK_CONSENT,
    ),
    "a marking somebody changed": (
        HANDLING_CASES["a marking somebody else changed"][0],
        "XBO",
        "with the marking XAR gave it",
        RemedyAction.RAISE_WITH_PARTNER,
    ),
    "a log that takes no entries": (
        HANDLING_CASES["a log that takes no entries"][0],
        "takes no entries or lacks its quorum",
        "after its operator restores it",
        RemedyAction.NONE,
    ),
    "a reader cleared too low": (
        SHARING_CASES["read by an officer whose clearance is too low"][0],
        f"DUVERNE until {when(NOW + DAY)}",
        "opened by an officer whose clearance covers the level",
        RemedyAction.SECOND_OFFICER,
    ),
    "nobody who needs to know": (
        SHARING_CASES["nobody who needs to know"][0],
        "node in none, officers addressed none",
        "sent to one of XBO/officer1, ct, desk",
        RemedyAction.RAISE_WITH_PARTNER,
    ),
    "personal data of too many": (
        SHARING_CASES["personal data of one person more"][0],
        "ORDINARY of 6 persons, for counter-terrorism",
        "a portion without personal data, or of at most 5 persons for one of counter-terrorism, no special categories",
        RemedyAction.SANITISE,
    ),
    "what goes by courier": (
        SHARING_CASES["what goes by courier"][0],
        "SECRET through a broker",
        "a portion at CONFIDENTIAL, or by another channel",
        RemedyAction.SANITISE,
    ),
    "passed on too far": (
        SHARING_CASES["passed on over one hop more"][0],
        "somebody else than XAR, hop 3, grant: not granted, dispute: not disputed",
        "with the consent of XAR, by hop 2, after disputes are closed",
        RemedyAction.ASK_CONSENT,
    ),
}


@pytest.mark.parametrize(("situation", "got", "nearest", "action"), KIND_CLAUSES.values(), ids=KIND_CLAUSES.keys())
def test_each_kind_says_what_it_found_and_the_nearest_that_would_pass(
    situation: Situation, got: str, nearest: str, action: RemedyAction
) -> None:
    one = only(situation)
    assert (one.got, one.nearest, one.remedy.action) == (got, nearest, action)


def test_what_the_recipient_can_remedy_is_for_the_recipients_people() -> None:
    assert only(HANDLING_CASES["a copy without consent"][0]).remedy.who == "liaison of XBO"
    assert only(HANDLING_CASES["a report above the quota"][0]).remedy.who == "duty-officer of XAR"
