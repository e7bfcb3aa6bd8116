"""When an agreement enters into force, among whom, and what applies before."""

from datetime import UTC, datetime

from builders_lifecycle import (
    ON_RECEIPT,
    THREE,
    Life,
    ms,
    provisionally,
    refused,
    term,
    treaty,
)
from comity_policy.facts import AgreementState
from comity_policy.lifecycle import Phase, StepKind, TransitionFault
from comity_policy.sections import EntryIntoForce, EntryOffset, EntryRule, Renewal

K = StepKind


# --- entry into force -------------------------------------------------------------------------------------------------


def test_a_fixed_date_is_the_later_of_the_date_and_the_last_signature():
    entry = EntryIntoForce(EntryRule.FIXED_DATE, at=datetime(2027, 6, 1, tzinfo=UTC))
    life = Life(treaty(entry_into_force=entry)).signed()
    assert life.state().phase is Phase.SIGNED
    assert life.state(ms("2027-06-01") - 1).policy().reason == "NOT_YET"
    assert life.state("2027-06-01").phase is Phase.IN_FORCE
    late = Life(treaty(entry_into_force=entry), now=ms("2027-07-01")).signed()
    assert late.state().in_force_at == late.steps[-1].at_ms


def test_the_later_receipt_fixes_the_date_that_counts():
    entry = EntryIntoForce(
        EntryRule.AFTER_LATER_RECEIPT, offset=EntryOffset(first_day_of_month=2), zone="Europe/Berlin"
    )
    life = Life(treaty(entry_into_force=entry)).signed()
    first = life.take(K.NOTIFY_COMPLETION, "XAR", at="2027-01-10T09:00", date="2026-12-24")
    life.take(K.RECEIVE, "XBO", names=first.digest, at="2027-01-20T09:00")
    second = life.take(K.NOTIFY_COMPLETION, "XBO", at="2027-01-25T09:00")
    assert life.state().phase is Phase.SIGNED
    # In Berlin it is February already.
    life.take(K.RECEIVE, "XAR", names=second.digest, at="2027-01-31T23:30")
    state = life.state()
    assert (state.phase, state.in_force_at) == (Phase.COMPLETED, ms("2027-04-01T00:00+02:00"))
    assert life.state("2027-03-31T21:59:59").phase is Phase.COMPLETED
    assert life.state("2027-03-31T22:00").phase is Phase.IN_FORCE


def test_without_an_offset_the_later_receipt_itself_is_the_entry():
    life = Life(treaty(entry_into_force=ON_RECEIPT)).signed().completed()
    assert life.state().in_force_at == life.steps[-1].at_ms


def test_an_offset_after_the_last_signature():
    entry = EntryIntoForce(EntryRule.ON_SIGNATURE, offset=EntryOffset(days=30))
    life = Life(treaty(entry_into_force=entry)).signed()
    assert life.state().in_force_at == ms("2027-02-03")


def test_no_entry_into_force_is_before_the_act_that_fixes_it():
    entry = EntryIntoForce(EntryRule.AFTER_LATER_RECEIPT, offset=EntryOffset(days=1))
    life = Life(treaty(entry_into_force=entry))
    life.take(K.PROPOSE, "XAR")
    life.each(K.REVIEW)
    life.each(K.SIGN)
    life.completed()
    assert life.state().in_force_at is None
    life.take(K.LOG_SIGN, "XAR", at="2027-05-01T10:00")
    life.take(K.LOG_SIGN, "XBO", at="2027-05-02T10:00")
    assert life.state().in_force_at == ms("2027-05-02T10:00")


def test_a_completion_is_notified_by_who_signed_and_received_by_another():
    life = Life(treaty(entry_into_force=ON_RECEIPT))
    life.take(K.PROPOSE, "XAR")
    refused(life, K.NOTIFY_COMPLETION, "XAR", because="has not signed")
    life.each(K.REVIEW)
    life.each(K.SIGN)
    sent = life.take(K.NOTIFY_COMPLETION, "XAR")
    refused(life, K.NOTIFY_COMPLETION, "XAR", because="already")
    refused(life, K.RECEIVE, "XAR", names=sent.digest, because="notified it itself")
    refused(life, K.RECEIVE, "XBO", names="00" * 48, because="no notification", fault=TransitionFault.DIGEST)
    life.take(K.RECEIVE, "XBO", names=sent.digest)
    refused(life, K.RECEIVE, "XBO", names=sent.digest, because="received this notification already")
    said = life.state().current.completed["XAR"]
    assert (said.instrument, said.authority, said.date) == ("Law 17/2027", "Parliament", "2027-01-04")


def test_a_rule_that_does_without_completion_takes_none():
    refused(Life(treaty()).signed(), K.NOTIFY_COMPLETION, "XAR", because="asks for no completion")


def test_two_parties_notify_at_the_same_time_without_a_conflict():
    life = Life(treaty(entry_into_force=ON_RECEIPT)).signed()
    ours, theirs = life.step(K.NOTIFY_COMPLETION, "XAR"), life.step(K.NOTIFY_COMPLETION, "XBO")
    life.take(K.NOTIFY_COMPLETION, "XAR", follows=ours.follows)
    life.take(K.NOTIFY_COMPLETION, "XBO", follows=theirs.follows)
    assert set(life.state().current.completed) == {"XAR", "XBO"}


def test_a_minimum_brings_it_into_force_among_those_who_did_all():
    life = Life(treaty(THREE, entry_into_force=EntryIntoForce(EntryRule.ON_SIGNATURE, minimum=2))).signed("XAR", "XDE")
    state = life.state()
    assert (state.phase, state.bound) == (Phase.IN_FORCE, {"XAR", "XDE"})
    # Nothing flows from or to who is not bound: those grants are as if suspended.
    names = {clause.id: clause for clause in state.document.clauses}
    without = state.policy().suspended_clauses
    assert {(names[one].from_party, names[one].to_party) for one in without} == {
        *(("XAR", "XBO"), ("XBO", "XAR"), ("XBO", "XDE"), ("XDE", "XBO"))
    }


def test_without_a_minimum_all_three_are_needed():
    life = Life(treaty(THREE)).signed("XAR", "XDE")
    assert life.state().phase is Phase.PROPOSED
    life.take(K.REVIEW, "XBO")
    life.take(K.SIGN, "XBO")
    life.take(K.LOG_SIGN, "XBO")
    assert life.state().phase is Phase.IN_FORCE


def test_the_first_receipt_by_any_other_party_counts():
    entry = EntryIntoForce(EntryRule.AFTER_LATER_RECEIPT, minimum=2)
    life = Life(treaty(THREE, entry_into_force=entry)).signed()
    ours = life.take(K.NOTIFY_COMPLETION, "XAR")
    theirs = life.take(K.NOTIFY_COMPLETION, "XBO")
    life.take(K.RECEIVE, "XDE", names=ours.digest)
    first = life.take(K.RECEIVE, "XDE", names=theirs.digest)
    life.take(K.RECEIVE, "XAR", names=theirs.digest)
    assert (life.state().in_force_at, life.state().bound) == (first.at_ms, {"XAR", "XBO"})
    late = life.take(K.NOTIFY_COMPLETION, "XDE")
    assert life.state().bound == {"XAR", "XBO"}
    life.take(K.RECEIVE, "XAR", names=late.digest)
    assert life.state().bound == set(THREE)


# --- provisional application ------------------------------------------------------------------------------------------


def test_named_grants_apply_between_signature_and_entry_into_force():
    life = Life(provisionally(treaty(entry_into_force=ON_RECEIPT), "1.0", until="2028-01-01T00:00"))
    life.take(K.PROPOSE, "XAR")
    life.each(K.REVIEW)
    life.take(K.SIGN, "XAR")
    life.each(K.LOG_SIGN)
    assert life.state().provisional_clauses is None
    life.take(K.SIGN, "XBO")
    state = life.state()
    assert (state.phase, state.bound, state.provisional_clauses) == (Phase.PROVISIONAL, {"XAR", "XBO"}, {"1.0"})
    assert state.policy() == AgreementState(in_force=True, suspended_clauses=frozenset({"1.1", "3"}))
    assert life.state("2028-01-01").phase is Phase.SIGNED
    assert not life.state("2028-01-01").policy().in_force
    life.completed()
    assert life.state().policy() == AgreementState(in_force=True)


def test_a_party_ends_provisional_application_by_suspending():
    life = Life(provisionally(treaty(entry_into_force=ON_RECEIPT), "1.0")).signed()
    life.take(K.SUSPEND, "XBO")
    assert (life.state().phase, life.state().policy().in_force) == (Phase.SUSPENDED, False)


def test_a_party_leaves_what_is_applied_provisionally_by_notice():
    life = Life(provisionally(treaty(entry_into_force=ON_RECEIPT), "1.0")).signed()
    life.take(K.NOTICE, "XBO", at="2027-02-01T10:00")
    assert life.state("2027-07-31").phase is Phase.PROVISIONAL
    assert life.state("2027-08-01").phase is Phase.TERMINATED


def test_one_party_alone_applies_nothing_provisionally_though_others_signed_the_text():
    entry = EntryIntoForce(EntryRule.AFTER_LATER_RECEIPT, minimum=2)
    life = Life(provisionally(treaty(THREE, entry_into_force=entry), "1.0"))
    life.take(K.PROPOSE, "XAR")
    life.each(K.REVIEW)
    life.each(K.LOG_SIGN, "XAR", "XBO")
    life.each(K.SIGN)
    assert (life.state().phase, life.state().bound) == (Phase.PROVISIONAL, {"XAR", "XBO"})
    life.take(K.NOTICE, "XBO", at="2027-02-01T10:00")
    after = life.state("2027-08-01")
    assert (after.phase, after.bound, after.policy().in_force) == (Phase.SIGNED, frozenset(), False)


def test_a_renewal_is_not_objected_to_before_the_first_term():
    duration = term(years=1, renewal=Renewal.TACIT)
    life = Life(provisionally(treaty(entry_into_force=ON_RECEIPT, duration=duration), "1.0")).signed()
    refused(life, K.OBJECT_RENEWAL, "XBO", because="first term has not begun")


def test_the_moments_at_which_time_alone_changes_something_are_known():
    entry = EntryIntoForce(EntryRule.ON_SIGNATURE, offset=EntryOffset(days=30))
    document = provisionally(treaty(entry_into_force=entry, duration=term(years=1)), "1.0", until="2027-02-01T00:00")
    life = Life(document).signed()
    assert life.state().turning_points == (ms("2027-02-01"), ms("2027-02-03"), ms("2028-02-03"))
    assert life.state("2027-02-02").turning_points == (ms("2027-02-03"), ms("2028-02-03"))
