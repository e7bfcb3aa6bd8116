"""How long an agreement binds and whom: renewal, notice, withdrawal, accession; and disputes and caveats."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from builders_lifecycle import (
    ORIGIN,
    TERMS,
    THREE,
    Life,
    acceding,
    amending,
    in_force,
    ms,
    refused,
    term,
    treaty,
)
from comity_policy.facts import AgreementState
from comity_policy.lifecycle import Phase, StepKind, admissible
from comity_policy.sections import (
    EntryIntoForce,
    EntryRule,
    NoticePeriod,
    Renewal,
    Termination,
)

K = StepKind


def _utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# --- renewal ----------------------------------------------------------------------------------------------------------


def test_a_term_is_over_when_nothing_renews_it():
    life = in_force(duration=term(years=3))
    ends = ms("2030-01-04")
    assert (life.state().ends_at, life.state().term_ends_at) == (ends, ends)
    assert life.state(ends - 1).phase is Phase.IN_FORCE
    assert life.state(ends).policy() == AgreementState(in_force=False, reason="EXPIRED")
    assert life.state(ends).bound == frozenset()
    refused(life, K.SUSPEND, "XAR", at="2031-01-01", because="has expired")


def test_a_tacit_renewal_goes_on_and_on():
    life = in_force(duration=term(years=1, renewal=Renewal.TACIT, remind_days=(30, 1)))
    assert life.state("2099-06-01").phase is Phase.IN_FORCE
    state = life.state("2030-06-01")
    assert (state.ends_at, state.term_ends_at) == (None, ms("2031-01-04"))
    assert state.reminders == (ms("2030-12-05"), ms("2031-01-03"))


def test_an_objection_ends_it_with_the_term_that_runs():
    life = in_force(duration=term(years=1, renewal=Renewal.TACIT))
    life.take(K.OBJECT_RENEWAL, "XBO", at="2029-12-31T10:00")
    assert life.state().ends_at == ms("2030-01-04")
    refused(life, K.OBJECT_RENEWAL, "XBO", because="already")
    refused(life, K.RENEW, "XBO", because="not renewed in this way")
    assert life.state("2030-01-04").phase is Phase.EXPIRED


def test_an_objection_on_the_first_day_of_a_new_term_ends_that_one():
    life = in_force(duration=term(years=1, renewal=Renewal.TACIT))
    life.take(K.OBJECT_RENEWAL, "XBO", at="2028-01-04T00:00")
    assert life.state().ends_at == ms("2029-01-04")


def test_an_express_renewal_needs_every_signature_in_the_term_before():
    life = in_force(duration=term(months=1, renewal=Renewal.EXPRESS))
    life.take(K.RENEW, "XAR")
    refused(life, K.RENEW, "XAR", because="signed the renewal already")
    assert life.state().ends_at == ms("2027-02-04")
    life.take(K.RENEW, "XBO")
    assert life.state().ends_at == ms("2027-03-04")
    refused(life, K.RENEW, "XBO", because="agreed on already")
    refused(life, K.OBJECT_RENEWAL, "XBO", because="not renewed in this way")
    life.take(K.RENEW, "XAR", at="2027-02-04T00:00")
    life.take(K.RENEW, "XBO", at="2027-03-03T23:59")
    assert life.state().ends_at == ms("2027-04-04")
    refused(life, K.RENEW, "XAR", at="2027-04-04T00:00", because="has expired")


def test_half_a_renewal_renews_nothing():
    life = in_force(duration=term(months=1, renewal=Renewal.EXPRESS))
    life.take(K.RENEW, "XAR")
    assert life.state("2027-02-04").phase is Phase.EXPIRED


def test_terms_of_an_older_version_stay_as_they_were_renewed():
    life = in_force(duration=term(months=1, renewal=Renewal.EXPRESS))
    life.each(K.RENEW)
    life.now = ms("2027-02-20")
    life.amended(amending(life.document, title="Amended"))
    life.about = life.texts[-1]
    life.each(K.RENEW)
    assert life.state("2027-04-19").document.version == 2
    assert life.state().ends_at == ms("2027-04-20")


# --- notice, withdrawal, accession ------------------------------------------------------------------------------------


def test_notice_terminates_after_its_period_and_binds_until_then():
    life = in_force()
    life.take(K.NOTICE, "XBO", at="2027-08-31T10:00")
    ends = ms("2028-02-29")
    state = life.state()
    assert (state.phase, state.ends_at, state.policy()) == (
        Phase.NOTICE_GIVEN,
        ends,
        AgreementState(in_force=True),
    )
    assert life.state(ends - 1).phase is Phase.NOTICE_GIVEN
    assert life.state(ends).policy() == AgreementState(in_force=False, reason="TERMINATED")
    assert life.state(ends).history[-1].what == "terminated"
    refused(life, K.NOTICE, "XBO", because="given notice already")
    refused(life, K.SUSPEND, "XAR", at="2028-02-29", because="has been terminated")


def test_of_two_notices_the_earlier_end_counts():
    life = in_force()
    life.take(K.NOTICE, "XAR", at="2027-03-01T10:00")
    life.take(K.NOTICE, "XBO", at="2027-04-01T10:00")
    assert life.state().ends_at == ms("2027-09-01")


def test_a_term_that_ends_before_the_notice_ends_it():
    life = in_force(duration=term(months=3))
    life.take(K.NOTICE, "XAR", at="2027-03-01T10:00")
    assert life.state("2027-04-04").phase is Phase.EXPIRED


def test_a_suspended_agreement_may_be_left():
    life = in_force()
    life.take(K.SUSPEND, "XAR")
    life.take(K.NOTICE, "XBO")
    assert life.state().phase is Phase.SUSPENDED
    assert life.state("2027-08-01").phase is Phase.TERMINATED


def test_without_a_section_on_termination_there_is_no_notice():
    refused(in_force(termination=None), K.NOTICE, "XAR", because="says nothing of termination")


def test_one_of_three_withdraws_and_the_others_stay_bound():
    life = in_force(*THREE)
    refused(life, K.NOTICE, "XDE", because="one of them withdraws")
    life.take(K.WITHDRAW, "XDE", at="2027-02-01T10:00")
    assert life.state().phase is Phase.NOTICE_GIVEN
    state = life.state("2027-08-01")
    assert (state.phase, state.bound) == (Phase.IN_FORCE, {"XAR", "XBO"})
    names = {clause.id: clause for clause in state.document.clauses}
    without = [names[one] for one in state.policy().suspended_clauses]
    assert without
    assert all("XDE" in {one.from_party, one.to_party} for one in without)
    refused(life, K.SUSPEND, "XDE", at="2027-08-01T00:00", because="has left it")
    refused(life, K.ACCEDE, "XDE", because="is bound by|has left")
    refused(life, K.WITHDRAW, "XBO", because="notice of termination")
    life.take(K.NOTICE, "XBO", at="2027-09-01T10:00")
    assert life.state("2028-03-01").phase is Phase.TERMINATED


def test_who_stays_may_suspend_also_what_was_amended_without_the_one_that_left():
    life = in_force(*THREE)
    life.take(K.WITHDRAW, "XDE", at="2027-02-01T10:00")
    life.now = ms("2027-08-02")
    life.amended(amending(life.document, title="Amended"), "XAR", "XBO")
    assert life.state().document.version == 2
    life.take(K.SUSPEND, "XBO")
    assert not life.state().policy().in_force


def test_when_two_of_three_withdraw_it_is_over_with_the_second():
    life = in_force(*THREE)
    life.take(K.WITHDRAW, "XDE", at="2027-02-01T10:00")
    life.take(K.WITHDRAW, "XBO", at="2027-03-01T10:00")
    assert life.state().ends_at == ms("2027-09-01")
    assert life.state("2027-08-15").bound == {"XAR", "XBO"}
    assert life.state("2027-09-01").phase is Phase.TERMINATED


def test_an_objection_of_one_of_three_lets_it_leave_with_the_term():
    life = in_force(*THREE, duration=term(years=1, renewal=Renewal.TACIT))
    life.take(K.OBJECT_RENEWAL, "XDE")
    assert life.state("2028-01-04").bound == {"XAR", "XBO"}
    assert life.state("2040-01-01").phase is Phase.IN_FORCE


def test_a_party_named_by_the_text_accedes():
    life = acceding()
    refused(life, K.SUSPEND, "XDE", because="has not signed")
    refused(life, K.ACCEDE, "XDE", because="has not reviewed")
    refused(life, K.SIGN, "XDE", because="accedes")
    life.take(K.REVIEW, "XDE")
    life.take(K.ACCEDE, "XDE")
    assert life.state().bound == {"XAR", "XBO"}
    last = life.take(K.LOG_SIGN, "XDE")
    state = life.state()
    assert (state.bound, state.current.bound_from["XDE"]) == (set(THREE), last.at_ms)
    assert state.open_logs == (ORIGIN,)
    assert state.policy() == AgreementState(in_force=True)
    refused(life, K.ACCEDE, "XDE", because="is bound by")
    refused(life, K.ACCEDE, "XAR", because="is bound by")


def test_who_accedes_signs_every_open_log():
    life = acceding()
    second = replace(TERMS, origin="second.example/treaty")
    life.each(K.LOG_SIGN, "XAR", "XBO", log=second)
    life.take(K.REVIEW, "XDE")
    life.take(K.LOG_SIGN, "XDE")
    life.take(K.ACCEDE, "XDE")
    assert life.state().bound == {"XAR", "XBO"}
    assert set(life.state().open_logs) == {ORIGIN, second.origin}
    life.take(K.LOG_SIGN, "XDE", log=second)
    assert life.state().bound == set(THREE)


def test_accession_waits_for_the_rule_of_entry_too():
    life = Life(treaty(THREE, entry_into_force=EntryIntoForce(EntryRule.AFTER_LATER_RECEIPT, minimum=2)))
    life.signed("XAR", "XBO").completed("XAR", "XBO")
    life.take(K.REVIEW, "XDE")
    life.take(K.LOG_SIGN, "XDE")
    life.take(K.ACCEDE, "XDE")
    sent = life.take(K.NOTIFY_COMPLETION, "XDE")
    assert life.state().bound == {"XAR", "XBO"}
    received = life.take(K.RECEIVE, "XAR", names=sent.digest)
    assert life.state().current.bound_from["XDE"] == received.at_ms


def test_nobody_accedes_to_what_is_not_in_force():
    life = Life(treaty())
    life.take(K.PROPOSE, "XAR")
    refused(life, K.ACCEDE, "XBO", because="a party signs it")


# --- disputes ---------------------------------------------------------------------------------------------------------


def test_a_dispute_holds_until_both_have_closed_it():
    life = in_force()
    opened = life.take(K.DISPUTE_OPEN, "XBO")
    assert life.state().disputed("report", "r-1")
    assert not life.state().disputed("decision", "r-1")
    life.take(K.DISPUTE_CLOSE, "XBO", names=opened.digest)
    assert life.state().disputed("report", "r-1")
    refused(life, K.DISPUTE_CLOSE, "XBO", names=opened.digest, because="closed this dispute already")
    refused(life, K.DISPUTE_CLOSE, "XAR", names="00" * 48, because="no open dispute")
    life.take(K.DISPUTE_CLOSE, "XAR", names=opened.digest)
    assert life.state().open_disputes == ()


def test_a_dispute_is_over_at_its_deadline_in_the_agreements_zone():
    life = in_force(entry_into_force=EntryIntoForce(EntryRule.ON_SIGNATURE, zone="Europe/Berlin"))
    opened = life.take(K.DISPUTE_OPEN, "XBO", deadline="2027-07-01")
    assert life.state("2027-06-30T21:59:59").disputed("report", "r-1")
    assert not life.state("2027-06-30T22:00").disputed("report", "r-1")
    refused(life, K.DISPUTE_CLOSE, "XAR", names=opened.digest, at="2027-07-01", because="no open dispute")


def test_a_dispute_outlives_the_agreement():
    life = in_force(duration=term(months=1))
    life.take(K.DISPUTE_OPEN, "XBO", at="2027-03-01T10:00", deadline="2028-01-01")
    assert life.state().phase is Phase.EXPIRED
    assert life.state().disputed("report", "r-1")


@pytest.mark.parametrize("deadline", ["2027-01-04", "2026-12-31", "2031-01-01", "9999-12-31", "0001-01-01"])
def test_the_deadline_of_a_dispute_is_near_and_to_come(deadline):
    refused(in_force(), K.DISPUTE_OPEN, "XBO", deadline=deadline, because="deadline")


def test_a_dispute_is_opened_by_who_signed_with_a_reason():
    refused(in_force(), K.DISPUTE_OPEN, "XAR", reason="", because="states its reason")
    refused(acceding(), K.DISPUTE_OPEN, "XDE", because="has not signed")


def test_a_dispute_is_closed_by_those_who_were_parties_when_it_was_opened():
    life = acceding()
    opened = life.take(K.DISPUTE_OPEN, "XBO")
    refused(life, K.DISPUTE_CLOSE, "XDE", names=opened.digest, because="not one of those")


def test_a_dispute_may_be_judged_before_the_log_has_given_it_a_time():
    life = in_force()
    step = replace(life.step(K.DISPUTE_OPEN, "XAR"), at_ms=0, log_index=0)
    admissible(life.state(), step)


# --- caveats ----------------------------------------------------------------------------------------------------------


def test_a_caveat_is_added_and_withdrawn_by_one_party_alone():
    life = in_force()
    life.take(K.CAVEAT_ADD, "XAR")
    life.take(K.CAVEAT_ADD, "XBO", caveat_digest="ef" * 48)
    assert life.state().caveats == {("XAR", "c1"): "cd" * 48, ("XBO", "c1"): "ef" * 48}
    refused(life, K.CAVEAT_ADD, "XAR", because="withdraw it first")
    refused(life, K.CAVEAT_WITHDRAW, "XAR", caveat="c2", because="has no caveat c2")
    life.take(K.CAVEAT_WITHDRAW, "XAR")
    assert life.state().caveats == {("XBO", "c1"): "ef" * 48}


def test_a_caveat_is_taken_at_any_time():
    life = Life(treaty(duration=term(months=1)))
    life.take(K.CAVEAT_ADD, "XAR")
    life.signed()
    life.take(K.CAVEAT_WITHDRAW, "XAR", at="2027-06-01")
    assert life.state().caveats == {}


# --- limits -----------------------------------------------------------------------------------------------------------


def test_a_notice_of_a_century_has_a_date():
    life = in_force(termination=Termination(NoticePeriod(months=1200)))
    life.take(K.NOTICE, "XAR", at="2027-02-28T10:00")
    assert life.state().ends_at == ms("2127-02-28")


def test_an_umbrella_takes_no_caveat_for_it_shares_nothing():
    life = in_force(kind="umbrella")
    refused(life, K.CAVEAT_ADD, "XAR", because="belongs on its arrangements")
