"""Changes of an agreement that is in force: suspensions, amendments, exchanges of notes."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from builders_lifecycle import (
    ON_RECEIPT,
    THREE,
    Life,
    acceding,
    amending,
    digest_of,
    in_force,
    refused,
    term,
    treaty,
    with_annex,
)
from comity_policy.facts import AgreementState, Role
from comity_policy.lifecycle import Phase, StepKind, TransitionFault
from comity_policy.sections import (
    AmendedBy,
    EntryIntoForce,
    EntryRule,
)

K = StepKind


def _utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# --- suspension -------------------------------------------------------------------------------------------------------


def test_what_two_suspended_needs_both_to_resume():
    life = in_force()
    life.each(K.SUSPEND)
    assert life.state().policy() == AgreementState(in_force=False, reason="SUSPENDED")
    life.take(K.RESUME, "XAR")
    assert life.state().whole_suspended_by == {"XBO"}
    refused(life, K.RESUME, "XAR", because="has not suspended")
    life.take(K.RESUME, "XBO")
    assert life.state().phase is Phase.IN_FORCE


def test_single_clauses_are_suspended_but_not_those_that_protect():
    life = in_force()
    life.take(K.SUSPEND, "XAR", clauses=("3", "4"))
    life.take(K.SUSPEND, "XBO", clauses=("3",))
    assert life.state().suspended_by == {"3": {"XAR", "XBO"}, "4": {"XAR"}}
    refused(life, K.SUSPEND, "XAR", clauses=("2",), because="protects what was shared")
    refused(life, K.SUSPEND, "XAR", clauses=("0",), because="protects")
    refused(life, K.SUSPEND, "XAR", clauses=("99",), because="no clause 99")
    refused(life, K.SUSPEND, "XAR", clauses=("4",), because="already")
    refused(life, K.RESUME, "XBO", clauses=("4",), because="each party resumes what it suspended")
    refused(life, K.SUSPEND, "XAR", clauses=("1.0",), reason="  ", because="states its reason")
    life.take(K.RESUME, "XAR", clauses=("3", "4"))
    assert life.state().policy() == AgreementState(in_force=True, suspended_clauses=frozenset({"3"}))


def test_the_two_sides_suspend_at_the_same_time_without_a_conflict():
    life = in_force()
    ours, theirs = life.step(K.SUSPEND, "XAR"), life.step(K.SUSPEND, "XBO", clauses=("3",))
    life.take(K.SUSPEND, "XAR", follows=ours.follows)
    life.take(K.SUSPEND, "XBO", follows=theirs.follows, clauses=("3",))
    assert life.state().whole_suspended_by == {"XAR"}
    refused(life, K.SUSPEND, "XBO", follows="", because="chain of XBO", fault=TransitionFault.CONFLICT)


def test_a_suspension_by_a_party_that_left_no_longer_binds_the_others():
    life = in_force(*THREE)
    life.take(K.SUSPEND, "XDE", clauses=("3",))
    life.take(K.WITHDRAW, "XDE", at="2027-02-15T10:00")
    assert life.state().suspended_clauses == {"3"}
    assert life.state("2027-08-15").suspended_clauses == frozenset()
    assert life.state("2027-08-15").bound == {"XAR", "XBO"}


# --- amendments -------------------------------------------------------------------------------------------------------


def test_the_old_version_binds_until_the_new_one_is_in_force_and_governs_what_was_shared_under_it():
    life = in_force(entry_into_force=ON_RECEIPT).completed()
    old, new = life.document, amending(life.document, title="Amended")
    life.amended(new)
    state = life.state()
    assert (state.phase, state.document, state.pending.document) == (Phase.IN_FORCE, old, new)
    life.about = new
    life.completed()
    state = life.state()
    assert (state.document, state.digest, state.pending) == (new, digest_of(new), None)
    assert state.governing(state.in_force_at - 1).document == old
    assert state.governing(state.in_force_at).document == new
    assert state.history[-1].what == "version 2 entered into force"


def test_an_amendment_needs_all_who_are_bound_whatever_the_minimum_was():
    life = acceding()
    for kind in (K.REVIEW, K.LOG_SIGN, K.ACCEDE):
        life.take(kind, "XDE")
    life.amended(amending(life.document, title="Amended"), "XAR", "XBO")
    assert life.state().document.version == 1
    for kind in (K.REVIEW, K.SIGN):
        life.take(kind, "XDE", life.texts[0])
    assert life.state().document.version == 2
    assert life.state().bound == set(THREE)


def test_an_amendment_is_countered_objected_to_and_signed_like_any_text():
    life = in_force()
    first = amending(life.document, title="First try")
    second = replace(first, title="Second try")
    life.texts = (first, second)
    life.take(K.AMEND, "XAR", first)
    life.take(K.OBJECT, "XBO", first, clauses=("3",))
    refused(life, K.SIGN, "XAR", first, because="has not reviewed")
    life.take(K.COUNTER, "XBO", second)
    for kind in (K.REVIEW, K.SIGN):
        life.each(kind, text=second)
    assert life.state().document == second
    # The signatures under the first try are nowhere.
    assert [version.document.title for version in life.state().versions] == ["On terrorism", "Second try"]


def test_who_is_not_bound_has_no_say_in_an_amendment():
    life = acceding()
    first = amending(life.document, title="First try")
    second = replace(first, title="Second try")
    life.texts = (first, second)
    life.take(K.AMEND, "XAR", first)
    refused(life, K.OBJECT, "XDE", first, because="is not bound")
    refused(life, K.REVIEW, "XDE", first, because="is not bound")
    refused(life, K.COUNTER, "XDE", second, because="is not bound")
    life.take(K.COUNTER, "XBO", second)


def test_steps_about_the_agreement_name_the_version_that_binds():
    life = in_force()
    old, new = life.document, amending(life.document, title="Amended")
    life.texts = (new,)
    life.take(K.AMEND, "XAR", new)
    refused(life, K.SUSPEND, "XBO", new, because="other bytes", fault=TransitionFault.DIGEST)
    life.each(K.REVIEW, text=new)
    life.each(K.SIGN, text=new)
    refused(life, K.SUSPEND, "XBO", old, because="other bytes", fault=TransitionFault.DIGEST)
    life.take(K.SUSPEND, "XBO", new)


def test_what_is_suspended_stays_so_in_the_new_version_where_the_clause_is_still_there():
    life = in_force()
    life.take(K.SUSPEND, "XAR", clauses=("3", "1.0"))
    kept = tuple(clause for clause in life.document.clauses if clause.id != "1.0")
    life.amended(amending(life.document, clauses=kept))
    assert life.state().suspended_by == {"3": {"XAR"}}
    life.take(K.RESUME, "XAR", clauses=("3",))
    assert life.state().policy() == AgreementState(in_force=True)


@pytest.mark.parametrize(
    ("changes", "because"),
    [
        ({"id": "XAR-XBO-2"}, "is of XAR-XBO-2"),
        ({"amends": None}, "does not amend"),
        ({"parties": treaty(THREE).parties}, "other parties"),
    ],
)
def test_a_text_that_does_not_amend_this_version_is_refused(changes, because):
    life = in_force()
    text = amending(life.document, **changes)
    life.texts = (text,)
    refused(life, K.AMEND, "XAR", text, agreement_id="XAR-XBO-1", because=because, fault=TransitionFault.DIGEST)


def test_an_amendment_of_an_older_version_is_refused():
    life = in_force()
    stale = amending(life.document, title="Stale")
    life.amended(amending(life.document, title="Amended"))
    life.texts = (*life.texts, stale)
    refused(life, K.AMEND, "XAR", stale, because="does not amend", fault=TransitionFault.DIGEST)


def test_what_is_not_in_force_is_not_amended():
    life = Life(treaty())
    life.take(K.PROPOSE, "XAR")
    text = amending(life.document)
    life.texts = (text,)
    refused(life, K.AMEND, "XAR", text, because="nothing it could amend")


def test_a_new_amendment_takes_the_place_of_one_that_was_not_agreed():
    life = in_force()
    first, second = amending(life.document, title="First"), amending(life.document, title="Second")
    life.amended(first, "XAR")
    life.amended(second)
    assert life.state().document == second


def test_an_amendment_that_is_agreed_waits_undisturbed_for_its_date():
    life = in_force(entry_into_force=ON_RECEIPT).completed()
    later = replace(life.document, entry_into_force=EntryIntoForce(EntryRule.FIXED_DATE, at=_utc("2028-01-01")))
    agreed = amending(life.document, entry_into_force=later.entry_into_force)
    life.amended(agreed)
    other = amending(life.document, title="Other")
    life.texts = (*life.texts, other)
    refused(life, K.AMEND, "XBO", other, because="agreed and enters into force soon")
    refused(life, K.COUNTER, "XBO", other, because="signed by as many as it needs")
    assert life.state("2027-12-31T23:59:59").document.version == 1
    assert life.state("2028-01-01").document.version == 2


def test_an_amendment_that_comes_after_the_end_changes_nothing():
    life = in_force(duration=term(years=1))
    entry = EntryIntoForce(EntryRule.FIXED_DATE, at=_utc("2029-01-01"))
    life.amended(amending(life.document, entry_into_force=entry))
    assert life.state("2030-01-01").phase is Phase.EXPIRED
    assert life.state("2030-01-01").document.version == 1


# --- notes ------------------------------------------------------------------------------------------------------------


def annexed():
    life = Life(with_annex(with_annex(treaty()), annex_id="E", amended_by=AmendedBy.RATIFICATION, by="")).signed()
    plain = treaty()
    text = amending(life.document)
    weekly = with_annex(with_annex(plain, "daily"), annex_id="E", amended_by=AmendedBy.RATIFICATION, by="")
    text = replace(weekly, version=text.version, amends=text.amends)
    life.texts = (text,)
    return life, text


def test_an_annex_is_changed_by_the_notes_of_all():
    life, text = annexed()
    life.take(K.NOTES, "XAR", text)
    assert life.state().document.version == 1
    refused(life, K.NOTES, "XAR", text, because="sent this note already")
    last = life.take(K.NOTES, "XBO", text)
    state = life.state()
    assert (state.document, state.in_force_at, state.phase) == (text, last.at_ms, Phase.IN_FORCE)
    assert state.document.clause("D.1").text == {"en": "Rosters are exchanged daily."}


@pytest.mark.parametrize(
    ("changes", "because", "fault"),
    [
        ({"annex": "E"}, "more than annex E", TransitionFault.DIGEST),
        ({"annex": "F"}, "more than annex F", TransitionFault.DIGEST),
        ({"role": Role.LIAISON}, "are for security-authority", TransitionFault.ROLE),
        ({"role": Role.AUDITOR}, "is for", TransitionFault.ROLE),
        ({"agreement_digest": "00" * 48}, "not held", TransitionFault.DIGEST),
    ],
)
def test_a_note_is_of_the_right_role_about_the_right_annex(changes, because, fault):
    life, text = annexed()
    refused(life, K.NOTES, "XAR", text, because=because, fault=fault, **changes)


def test_notes_change_nothing_but_their_annex():
    life, text = annexed()
    for other in (
        replace(text, title="Something else"),
        replace(text, annexes=text.annexes[::-1]),
        replace(text, annexes=(replace_annex(text.annexes[0], by="liaison"), text.annexes[1])),
        replace(text, annexes=text.annexes[1:], clauses=tuple(one for one in text.clauses if one.id != "D.1")),
    ):
        life.texts = (other,)
        refused(life, K.NOTES, "XAR", other, because="notes|more than", fault=TransitionFault.DIGEST)


def replace_annex(annex, **changes):
    fields = {"id": annex.id, "amended_by": annex.amended_by, "by": annex.by, "clauses": annex.clauses, **changes}
    return type(annex)(**fields)


def test_an_annex_changed_by_ratification_takes_no_notes():
    life, _ = annexed()
    after = replace_annex(life.document.annexes[1], clauses=())
    clauses = tuple(one for one in life.document.clauses if one.id != "E.1")
    text = amending(life.document, annexes=(life.document.annexes[0], after), clauses=clauses)
    life.texts = (text,)
    refused(life, K.NOTES, "XAR", text, annex="E", because="no annex E changed by notes")


def test_notes_are_neither_reviewed_nor_countered():
    life, text = annexed()
    life.take(K.NOTES, "XAR", text)
    refused(life, K.REVIEW, "XBO", text, because="each party sends its own")
    refused(life, K.SIGN, "XBO", text, because="each party sends its own")
    other = replace(text, title="Other")
    life.texts = (text, other)
    refused(life, K.COUNTER, "XBO", other, because="answer with a note")
