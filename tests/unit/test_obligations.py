"""The duties that follow from an agreement: who owes what until which millisecond, and whether it was done."""

import pytest

from builders_acts import DAY, HOUR, MINUTE, TRACKED, Case, living
from builders_lifecycle import THREE, Life, amending, in_force, treaty
from comity_policy import clauses as kinds
from comity_policy.acts import ActKind
from comity_policy.clauses import Span
from comity_policy.facts import Precedence
from comity_policy.obligations import DutyKind, DutyState, stopped_by
from comity_policy.steps import StepKind

OPEN, DONE, OVERDUE, FROZEN = DutyState.OPEN, DutyState.DONE, DutyState.OVERDUE, DutyState.FROZEN
MISSED = DutyState.MISSED


def only(found):
    (one,) = found
    return one


@pytest.mark.parametrize(
    ("precedence", "kind", "within"),
    [
        (Precedence.FLASH, DutyKind.ACKNOWLEDGE, 10 * MINUTE),
        (Precedence.FLASH, DutyKind.READ, 5 * MINUTE),
        (Precedence.ROUTINE, DutyKind.ACKNOWLEDGE, DAY),
    ],
)
def test_a_recipient_answers_until_the_last_millisecond_of_its_time(precedence, kind, within):
    case = living()
    handed = case.hand(precedence=precedence)
    due = handed.at_ms + within
    found = only(case.owed(kind))
    assert (found.duty.owner, found.duty.due_ms, found.state) == ("XBO", due, OPEN)
    assert only(case.owed(kind, at=due)).state is OPEN
    assert only(case.owed(kind, at=due + 1)).state is OVERDUE
    case.wait(within)
    (case.read if kind is DutyKind.READ else case.answer)(handed)
    assert (only(case.owed(kind, at=due - 1)).state, only(case.owed(kind, at=due)).state) == (OPEN, DONE)
    assert not only(case.owed(kind)).late


def test_what_was_answered_late_is_done_and_late():
    case = living()
    handed = case.hand()
    case.wait(DAY + 1)
    case.answer(handed)
    found = only(case.owed(DutyKind.ACKNOWLEDGE))
    assert (found.state, found.late, found.done_at) == (DONE, True, case.now)


@pytest.mark.parametrize("waited", [HOUR, 5 * DAY])
def test_what_expired_or_was_given_up_was_not_acknowledged(waited):
    case = living()
    handed = case.hand(precedence=Precedence.FLASH)
    before = case.owed(DutyKind.ACKNOWLEDGE, DutyKind.READ)
    case.wait(waited)
    case.answer(handed, given=False)
    found = case.owed(DutyKind.ACKNOWLEDGE, DutyKind.READ)
    assert [(one.duty, one.state, one.done_at) for one in found] == [(one.duty, MISSED, None) for one in before]
    assert stopped_by(case.life.state(), found, "XBO") == frozenset()
    case.wait(HOUR)
    case.answer(handed)
    late = only(case.owed(DutyKind.ACKNOWLEDGE))
    assert (late.state, late.done_at, late.late) == (DONE, case.now, True)
    # Whoever answers has the report after all, and may read it.
    assert only(case.owed(DutyKind.READ)).state is OVERDUE
    case.read(handed)
    assert only(case.owed(DutyKind.READ)).state is DONE


def test_what_its_originator_took_back_needs_neither_answer_nor_reading():
    case = living()
    case.answer(case.hand(precedence=Precedence.FLASH), taken_back=True)
    case.wait(DAY)
    assert [one.state for one in case.owed(DutyKind.ACKNOWLEDGE, DutyKind.READ)] == [DONE, DONE]


def test_a_machines_answer_is_no_reading_and_an_officers_word_no_answer():
    case = living()
    handed = case.hand(precedence=Precedence.FLASH)
    case.answer(handed)
    states = [(one.duty.kind, one.state) for one in case.owed(DutyKind.ACKNOWLEDGE, DutyKind.READ)]
    assert states == [(DutyKind.READ, OPEN), (DutyKind.ACKNOWLEDGE, DONE)]
    case.wait(5 * MINUTE + 1)
    assert only(case.owed(DutyKind.READ)).state is OVERDUE
    case.hand(2, precedence=Precedence.FLASH)
    case.read(handed)
    late = next(one for one in case.owed(DutyKind.READ) if one.duty.subject == handed.report)
    assert (late.state, late.late) == (DONE, True)
    assert {one.state for one in case.owed(DutyKind.READ)} == {DONE, OPEN}


def test_nobody_has_to_read_an_instruction_to_nodes():
    case = living()
    case.hand(precedence=Precedence.FLASH, control=True)
    assert [one.duty.kind for one in case.owed(DutyKind.ACKNOWLEDGE, DutyKind.READ)] == [DutyKind.ACKNOWLEDGE]


def test_whoever_acted_on_a_report_has_read_it():
    case = living()
    handed = case.hand(precedence=Precedence.FLASH)
    case.read(handed, ActKind.ACTION)
    assert only(case.owed(DutyKind.READ)).state is DONE


def test_the_reading_of_another_party_or_of_another_report_ends_nothing():
    case = living()
    handed = case.hand(precedence=Precedence.FLASH)
    about = {"reports": (handed.report,), "leaves": (handed.leaf,)}
    case.take(ActKind.READ, "XAR", originator="XBO", **about)
    case.take(ActKind.READ, "XBO", originator="XAR", reports=(f"{9:032x}",), leaves=(handed.leaf,))
    assert only(case.owed(DutyKind.READ)).state is OPEN


def test_what_was_acknowledged_before_it_expired_is_done():
    case = living()
    handed = case.hand()
    case.answer(handed)
    case.wait(HOUR)
    case.answer(handed, given=False)
    assert only(case.owed(DutyKind.ACKNOWLEDGE)).state is DONE


def test_a_precedence_without_a_time_owes_nothing():
    case = living()
    case.hand(precedence=Precedence.PRIORITY)
    assert case.owed(DutyKind.ACKNOWLEDGE, DutyKind.READ) == []


def test_a_party_owes_once_for_a_report_from_its_first_hand_over():
    case = living()
    first = case.hand()
    case.wait(HOUR)
    case.hand()
    found = only(case.owed(DutyKind.ACKNOWLEDGE))
    assert found.duty.since_ms == first.at_ms


def test_what_is_late_beyond_the_limit_stops_what_is_not_urgent():
    case = living()
    handed = case.hand()
    stop = handed.at_ms + DAY + 3 * DAY
    state = case.life.state()

    def stops(at, party="XBO"):
        return stopped_by(state.at(at), case.owed(at=at), party)

    assert (stops(stop), stops(stop + 1), stops(stop + 1, "XAR")) == (frozenset(), {"20"}, frozenset())
    case.wait(4 * DAY + HOUR)
    case.answer(handed)
    assert stops(case.now) == frozenset()


def test_a_holder_ends_its_keeping_with_a_certificate_of_that_very_report():
    case = living()
    handed = case.hand()
    case.hand(2)
    due = handed.admitted_at + 30 * DAY
    assert [one.duty.due_ms for one in case.owed(DutyKind.END_KEEPING)] == [due, due]
    case.wait(DAY)
    case.take(ActKind.CERTIFY, "XBO", originator="XAR", reports=(handed.report,), leaves=(handed.leaf,))
    states = {one.duty.subject: one.state for one in case.owed(DutyKind.END_KEEPING)}
    assert states == {handed.report: DONE, f"{2:032x}": OPEN}
    assert {one.state for one in case.owed(DutyKind.END_KEEPING, at=due + 1)} == {DONE, OVERDUE}


def test_a_certificate_of_another_holder_or_about_another_originator_ends_nothing():
    case = living()
    handed = case.hand()
    about = {"reports": (handed.report,), "leaves": (handed.leaf,)}
    case.take(ActKind.CERTIFY, "XAR", originator="XBO", **about)
    assert only(case.owed(DutyKind.END_KEEPING)).state is OPEN
    case.take(ActKind.RELEASE, "XBO", holder="XAR", **about)
    assert only(case.owed(DutyKind.END_KEEPING)).state is OPEN
    case.take(ActKind.RELEASE, "XAR", holder="XBO", **about)
    assert only(case.owed(DutyKind.END_KEEPING)).state is DONE


@pytest.mark.parametrize("named", ["report", "entry"])
def test_an_open_dispute_freezes_the_end_of_keeping_until_both_have_closed_it(named):
    case = living()
    handed = case.hand()
    subject_id = handed.report if named == "report" else str(handed.entry)
    opened = case.life.take(StepKind.DISPUTE_OPEN, "XAR", subject=named, subject_id=subject_id)
    due = handed.admitted_at + 30 * DAY
    assert only(case.owed(DutyKind.END_KEEPING, at=due + 1)).state is FROZEN
    case.wait(31 * DAY)
    for party in ("XAR", "XBO"):
        assert only(case.owed(DutyKind.END_KEEPING)).state is FROZEN
        case.life.take(StepKind.DISPUTE_CLOSE, party, names=opened.digest)
    assert only(case.owed(DutyKind.END_KEEPING)).state is OVERDUE


def test_a_dispute_lapses_at_its_deadline_and_the_hold_with_it():
    case = living()
    case.hand()
    case.life.take(StepKind.DISPUTE_OPEN, "XAR", subject_id=f"{1:032x}", deadline="2027-03-01")
    case.wait(31 * DAY)
    until = case.life.state().disputes[0].until_ms
    assert [only(case.owed(DutyKind.END_KEEPING, at=at)).state for at in (until - 1, until)] == [FROZEN, OVERDUE]


def test_the_end_of_the_agreement_ends_the_keeping_unless_it_survives():
    surviving = kinds.Survives(id="40", text={"en": "x"}, clauses=("2",))
    for more, ended_early in (((), True), ((surviving,), False)):
        case = living(*more)
        case.life.take(StepKind.NOTICE, "XBO", reason="We leave.")
        end = case.life.state().ends_at
        case.wait(end - case.now - DAY)
        handed = case.hand()
        due = only(case.owed(DutyKind.END_KEEPING)).duty.due_ms
        assert due == (end if ended_early else handed.admitted_at + 30 * DAY)


def test_the_keeping_of_who_leaves_ends_with_its_leaving():
    case = Case(Life(treaty(THREE, clauses=(*treaty(THREE).clauses, *TRACKED))).signed(*THREE))
    case.life.take(StepKind.WITHDRAW, "XDE", reason="We leave.")
    left = case.life.state().departures["XDE"].at_ms
    case.wait(left - case.now - DAY)
    case.hand(1, "XDE")
    stays = case.hand(2, "XBO")
    dues = {one.duty.owner: one.duty.due_ms for one in case.owed(DutyKind.END_KEEPING)}
    assert dues == {"XDE": left, "XBO": stays.admitted_at + 30 * DAY}


def test_a_declaration_is_reviewed_in_time_by_its_party():
    case = living()
    declared = case.take(ActKind.DECLARE)
    due = declared.at_ms + 24 * HOUR
    found = only(case.owed(DutyKind.REVIEW_EMERGENCY))
    assert (found.duty.owner, found.duty.due_ms, found.duty.subject) == ("XAR", due, declared.digest)
    assert only(case.owed(DutyKind.REVIEW_EMERGENCY, at=due + 1)).state is OVERDUE
    case.wait(24 * HOUR)
    case.take(ActKind.REVIEW, names=declared.digest)
    assert only(case.owed(DutyKind.REVIEW_EMERGENCY)).state is DONE


def test_a_holder_corrects_each_report_it_was_told_of_in_time_and_anew_each_time():
    case = living()
    first, second = case.hand(), case.hand(2)
    about = {"reports": (first.report, second.report), "leaves": (first.leaf, second.leaf)}
    case.take(ActKind.ASK_CORRECTION, "XAR", **about)
    due = case.now + 5 * DAY
    found = case.owed(DutyKind.CORRECT)
    assert {(one.duty.owner, one.duty.originator, one.duty.subject, one.duty.due_ms, one.state) for one in found} == {
        ("XBO", "XAR", first.report, due, OPEN),
        ("XBO", "XAR", second.report, due, OPEN),
    }
    assert {one.state for one in case.owed(DutyKind.CORRECT, at=due)} == {OPEN}
    assert {one.state for one in case.owed(DutyKind.CORRECT, at=due + 1)} == {OVERDUE}
    case.wait(DAY)
    mine = {"reports": (first.report,), "leaves": (first.leaf,)}
    case.take(ActKind.CORRECTED, "XAR", originator="XBO", **mine)
    assert {one.state for one in case.owed(DutyKind.CORRECT)} == {OPEN}, "another holder's"
    case.take(ActKind.CORRECTED, "XBO", originator="XAR", **mine)
    assert {(one.duty.subject, one.state) for one in case.owed(DutyKind.CORRECT)} == {
        (first.report, DONE),
        (second.report, OPEN),
    }
    case.wait(DAY)
    case.take(ActKind.ASK_CORRECTION, "XAR", **mine, reason="It is wrong still.")
    again = [one for one in case.owed(DutyKind.CORRECT) if one.duty.subject == first.report]
    assert sorted(one.state for one in again) == [DONE, OPEN]
    assert len({one.duty.id for one in again}) == 2


def test_a_breach_has_three_clocks():
    case = living()
    opened = case.take(ActKind.BREACH_OPEN, discovered_at=case.now - 25 * HOUR)
    found = {one.duty.kind: one for one in case.owed() if one.duty.clause_id == "23"}
    notify, report, measures = (
        found[kind] for kind in (DutyKind.NOTIFY_BREACH, DutyKind.REPORT_BREACH, DutyKind.ANSWER_BREACH)
    )
    assert (notify.state, notify.late) == (DONE, True)
    assert (report.state, report.duty.due_ms) == (OPEN, opened.at_ms + 72 * HOUR)
    assert (measures.state, measures.duty.due_ms) == (OPEN, opened.at_ms + 30 * DAY)
    case.take(ActKind.BREACH_UPDATE, names=opened.digest)
    assert only(case.owed(DutyKind.REPORT_BREACH)).state is DONE
    case.take(ActKind.BREACH_UPDATE, names=opened.digest, stage="measures")
    assert only(case.owed(DutyKind.ANSWER_BREACH)).state is DONE


def test_each_party_to_a_dispute_closes_it_for_itself():
    case = living()
    opened = case.life.take(StepKind.DISPUTE_OPEN, "XAR")
    found = case.owed(DutyKind.CONSULT, DutyKind.ESCALATE)
    assert [(one.duty.kind, one.duty.owner) for one in found] == [
        (DutyKind.CONSULT, "XAR"),
        (DutyKind.CONSULT, "XBO"),
        (DutyKind.ESCALATE, "XAR"),
        (DutyKind.ESCALATE, "XBO"),
    ]
    assert found[0].duty.due_ms == opened.at_ms + 30 * DAY
    case.life.take(StepKind.DISPUTE_CLOSE, "XAR", names=opened.digest)
    states = {(one.duty.owner, one.state) for one in case.owed(DutyKind.CONSULT)}
    assert states == {("XAR", DONE), ("XBO", OPEN)}


@pytest.mark.parametrize(
    ("kind", "act", "every"),
    [(DutyKind.ATTEST, ActKind.ATTEST, 365 * DAY), (DutyKind.REVIEW_PERSONAL, ActKind.REVIEW_PERSONAL, 90 * DAY)],
)
def test_what_recurs_counts_from_the_entry_into_force_and_then_from_the_last_time(kind, act, every):
    case = living()
    since = case.life.state().in_force_at
    assert {(one.duty.owner, one.duty.due_ms, one.state) for one in case.owed(kind)} == {
        ("XAR", since + every, OPEN),
        ("XBO", since + every, OPEN),
    }
    case.wait(10 * DAY)
    case.take(act)
    mine = [one for one in case.owed(kind) if one.duty.owner == "XAR"]
    assert [(one.state, one.duty.due_ms) for one in mine] == [(DONE, since + every), (OPEN, case.now + every)]
    late = case.owed(kind, at=since + every + 1)
    assert [one.duty.owner for one in late if one.state is OVERDUE] == ["XBO"]


def test_nothing_that_recurs_falls_due_after_the_end():
    case = living()
    case.life.take(StepKind.NOTICE, "XBO", reason="We leave.")
    case.wait(1_000 * DAY)
    assert case.owed(DutyKind.ATTEST) == []
    assert {one.state for one in case.owed(DutyKind.REVIEW_PERSONAL)} == {OVERDUE}


def test_a_fact_of_the_future_is_not_known_yet():
    case = living()
    before = case.now
    case.wait(HOUR)
    case.take(ActKind.DECLARE)
    case.hand()
    assert {one.duty.kind for one in case.owed(at=before)} == {DutyKind.ATTEST, DutyKind.REVIEW_PERSONAL}


def test_the_version_that_governed_gives_the_duties():
    case = living()
    handed = case.hand()
    first = case.life.document

    shorter = tuple(
        kinds.Acknowledge(id="20", text=one.text, within={"ROUTINE": Span(hours=1)}) if one.id == "20" else one
        for one in first.clauses
    )
    case.life.amended(amending(first, clauses=shorter))
    later = case.hand(2)
    dues = {one.duty.subject: one.duty.due_ms for one in case.owed(DutyKind.ACKNOWLEDGE)}
    assert dues == {handed.report: handed.at_ms + DAY, later.report: later.at_ms + HOUR}


def test_an_agreement_without_such_clauses_owes_nothing():
    case = living()
    case.life = in_force(clauses=tuple(one for one in treaty().clauses if not isinstance(one, kinds.Retention)))
    case.hand()
    assert case.owed() == []
