"""An agreement's way to its signatures: rounds, reviews, objections; conflicts and wrong steps."""

from dataclasses import replace

import pytest

from builders_lifecycle import (
    DAY,
    ON_RECEIPT,
    START,
    TERMS,
    THREE,
    Life,
    digest_of,
    refused,
    term,
    treaty,
)
from comity_policy.facts import AgreementState, Role
from comity_policy.lifecycle import Phase, StepKind, TransitionError, TransitionFault, draft, fold

K = StepKind


def other_text(life, title="On terrorism, second round"):
    text = replace(life.state().document, title=title)
    life.texts = (*life.texts, text)
    return text


# --- the plain way ----------------------------------------------------------------------------------------------------


def test_an_agreement_goes_from_draft_into_force_by_the_steps_of_all():
    life = Life(treaty())
    assert life.state().phase is Phase.DRAFT
    life.take(K.PROPOSE, "XAR")
    assert life.state().phase is Phase.PROPOSED
    life.each(K.INITIAL)
    assert life.state().phase is Phase.INITIALLED
    life.each(K.REVIEW)
    assert life.state().phase is Phase.REVIEWED
    life.each(K.SIGN)
    assert life.state().phase is Phase.SIGNED
    life.take(K.LOG_SIGN, "XAR")
    assert life.state().policy() == AgreementState(in_force=False, reason="NOT_YET")
    last = life.take(K.LOG_SIGN, "XBO")
    state = life.state()
    assert (state.phase, state.in_force_at, state.bound) == (Phase.IN_FORCE, last.at_ms, {"XAR", "XBO"})
    assert state.policy() == AgreementState(in_force=True)
    assert state.open_logs == (TERMS.origin,)


@pytest.mark.parametrize("missing", range(7))
def test_nothing_is_in_force_while_one_step_of_anybody_is_missing(missing):
    life = Life(treaty()).signed()
    assert len(life.steps) == 7
    kept = life.steps[:missing] + life.steps[missing + 1 :]
    try:
        state = fold(life.document, digest_of(life.document), kept, START + 9999 * DAY)
    except TransitionError:
        return  # a later step of the chain follows the one that is missing
    assert not state.policy().in_force
    assert state.in_force_at is None


def test_a_fold_at_an_earlier_time_counts_as_that_of_its_last_step():
    life = Life(treaty()).signed()
    assert life.state(0).now_ms == life.steps[-1].at_ms
    assert life.state(0).phase is Phase.IN_FORCE


def test_the_history_says_who_did_what_and_what_time_did():
    life = Life(treaty(entry_into_force=ON_RECEIPT, duration=term(years=1))).signed().completed()
    told = [event.what for event in life.state("2030-01-01").history]
    assert told[0] == "XAR/liaison1 (liaison) proposed the agreement"
    assert (
        "XBO/liaison1 (liaison) notified the completion of internal procedures (Law 17/2027 of 2027-01-04, Parliament)"
        in told
    )
    assert told[-2:] == ["entered into force", "expired"]
    assert "expired" not in [event.what for event in life.state("2027-06-01").history]


# --- rounds -----------------------------------------------------------------------------------------------------------


def test_each_round_begins_with_nothing():
    life = Life(treaty())
    life.take(K.PROPOSE, "XAR")
    life.each(K.REVIEW)
    text = other_text(life)
    life.take(K.COUNTER, "XBO", text)
    state = life.state()
    assert (state.phase, state.document, state.reviewed) == (Phase.COUNTERED, text, frozenset())
    assert [one.party for one in state.current.rounds] == ["XAR", "XBO"]
    refused(life, K.SIGN, "XAR", because="has not reviewed")
    refused(life, K.REVIEW, "XAR", life.document, because="other bytes", fault=TransitionFault.DIGEST)


def test_parties_may_come_back_to_an_earlier_text_and_sign_it_anew():
    life = Life(treaty())
    life.take(K.PROPOSE, "XAR")
    life.each(K.REVIEW)
    life.take(K.COUNTER, "XBO", other_text(life))
    life.texts = (*life.texts, life.document)
    life.take(K.COUNTER, "XAR", life.document)
    assert life.state().reviewed == frozenset()
    life.each(K.REVIEW)
    life.each(K.LOG_SIGN)
    life.each(K.SIGN)
    assert life.state().phase is Phase.IN_FORCE
    assert life.state().digest == digest_of(life.document)


def test_of_two_counters_to_one_text_the_first_wins_and_the_other_is_a_conflict():
    life = Life(treaty())
    life.take(K.PROPOSE, "XAR")
    theirs = life.step(K.COUNTER, "XBO", other_text(life, "Theirs"))
    life.take(K.COUNTER, "XAR", other_text(life, "Ours"))
    refused(
        life,
        K.COUNTER,
        "XBO",
        life.texts[0],
        follows=theirs.follows,
        because="look at the newest state",
        fault=TransitionFault.CONFLICT,
    )


@pytest.mark.parametrize(
    ("text", "because"),
    [
        (treaty(id="XAR-XBO-2"), "is of XAR-XBO-2"),
        (treaty(THREE), "other parties or roots"),
        (treaty(version=2), "another version"),
    ],
)
def test_a_text_of_another_agreement_is_no_counter(text, because):
    life = Life(treaty(), (text,))
    life.take(K.PROPOSE, "XAR")
    refused(life, K.COUNTER, "XBO", text, agreement_id="XAR-XBO-1", because=because, fault=TransitionFault.DIGEST)


def test_a_text_that_is_not_held_is_no_counter():
    life = Life(treaty())
    life.take(K.PROPOSE, "XAR")
    refused(life, K.COUNTER, "XBO", treaty(title="?"), because="not held here", fault=TransitionFault.DIGEST)


def test_a_text_that_all_initialled_or_one_signed_is_frozen():
    life = Life(treaty())
    life.take(K.PROPOSE, "XAR")
    life.each(K.INITIAL)
    text = other_text(life)
    refused(life, K.COUNTER, "XBO", text, because="frozen")
    signed = Life(treaty(), (text,))
    signed.take(K.PROPOSE, "XAR")
    signed.take(K.REVIEW, "XAR")
    signed.take(K.SIGN, "XAR")
    refused(signed, K.COUNTER, "XBO", text, because="frozen")


# --- review and objection ---------------------------------------------------------------------------------------------


def test_a_review_may_go_clause_by_clause():
    life = Life(treaty())
    life.take(K.PROPOSE, "XAR")
    ids = tuple(clause.id for clause in life.document.clauses)
    life.take(K.REVIEW_CLAUSES, "XAR", clauses=ids[:2])
    refused(life, K.SIGN, "XAR", because="has not reviewed")
    refused(life, K.REVIEW_CLAUSES, "XAR", clauses=ids[1:3], because="already")
    refused(life, K.REVIEW_CLAUSES, "XAR", clauses=(), because="names no clause")
    refused(life, K.REVIEW_CLAUSES, "XAR", clauses=("99",), because="has no clause 99")
    life.take(K.REVIEW_CLAUSES, "XAR", clauses=ids[2:])
    assert life.state().reviewed == {"XAR"}
    life.take(K.SIGN, "XAR")


def test_an_objection_blocks_every_signature_until_it_is_lifted():
    life = Life(treaty())
    life.take(K.PROPOSE, "XAR")
    life.each(K.REVIEW)
    life.each(K.INITIAL)
    life.take(K.OBJECT, "XBO", clauses=("3",))
    assert life.state().phase is Phase.COUNTERED
    refused(life, K.SIGN, "XAR", because="XBO objects to 3")
    refused(life, K.SIGN, "XBO", because="has not reviewed")
    refused(life, K.INITIAL, "XBO", because="XBO objects to 3")
    life.take(K.REVIEW_CLAUSES, "XBO", clauses=("3",))
    life.each(K.SIGN)
    assert life.state().phase is Phase.SIGNED


def test_an_objection_opens_a_frozen_text_again_and_the_old_signature_does_not_count():
    life = Life(treaty())
    life.take(K.PROPOSE, "XAR")
    life.each(K.LOG_SIGN)
    life.each(K.REVIEW)
    life.take(K.SIGN, "XAR")
    life.take(K.OBJECT, "XBO", clauses=("3",))
    text = other_text(life)
    life.take(K.COUNTER, "XBO", text)
    assert (life.state().signed, life.state().current.objections) == (frozenset(), {})
    life.each(K.REVIEW)
    life.take(K.SIGN, "XBO")
    assert life.state().in_force_at is None
    life.take(K.SIGN, "XAR")
    assert life.state().phase is Phase.IN_FORCE


def test_who_has_signed_objects_no_more():
    life = Life(treaty())
    life.take(K.PROPOSE, "XAR")
    refused(life, K.OBJECT, "XBO", clauses=("3",), reason=" ", because="states its reason")
    life.take(K.REVIEW, "XAR")
    life.take(K.SIGN, "XAR")
    refused(life, K.OBJECT, "XAR", clauses=("3",), because="objects no more")
    life.take(K.OBJECT, "XBO", clauses=("3",))
    refused(life, K.OBJECT, "XBO", clauses=("3",), because="objects to clause 3 already")


# --- who may, and in which order --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "changes", "because", "fault"),
    [
        (K.PROPOSE, {"party": "XDE", "officer": "XDE/liaison1"}, "no party", TransitionFault.NOT_A_PARTY),
        (K.PROPOSE, {"officer": "XBO/liaison1"}, "no officer", TransitionFault.NOT_A_PARTY),
        (K.PROPOSE, {"role": Role.LEGAL_REVIEWER}, "is for", TransitionFault.ROLE),
        (K.PROPOSE, {"agreement_id": "XAR-XBO-2"}, "is about", TransitionFault.DIGEST),
        (K.PROPOSE, {"agreement_digest": "00" * 48}, "other bytes", TransitionFault.DIGEST),
        (K.PROPOSE, {"follows": "00" * 48}, "newest state", TransitionFault.CONFLICT),
        (K.PROPOSE, {"digest": ""}, "no digest", TransitionFault.CONFLICT),
        (K.REVIEW, {}, "not been proposed", TransitionFault.STATE),
        (K.INITIAL, {}, "not been proposed", TransitionFault.STATE),
        (K.SUSPEND, {}, "nothing to suspend", TransitionFault.STATE),
        (K.NOTICE, {}, "is not bound", TransitionFault.STATE),
    ],
)
def test_a_step_that_is_not_admissible_is_refused_with_its_reason(kind, changes, because, fault):
    refused(Life(treaty()), kind, changes.pop("party", "XAR"), because=because, fault=fault, **changes)


def test_a_fold_of_a_log_out_of_order_fails():
    life = Life(treaty()).signed()
    document, digest = life.document, digest_of(life.document)
    backwards = [*life.steps[:1], replace(life.steps[1], log_index=1)]
    older = [*life.steps[:1], replace(life.steps[1], at_ms=START)]
    late = [replace(life.steps[0], at_ms=1 << 60)]
    for steps, because in ((backwards, "not after"), (older, "older than"), (late, "no calendar")):
        with pytest.raises(TransitionError, match=because):
            fold(document, digest, steps, 0)


def test_a_step_is_taken_once():
    life = Life(treaty()).signed()
    refused(life, K.REVIEW, "XAR", because="has reviewed")
    refused(life, K.SIGN, "XAR", because="in force by rule")
    refused(life, K.LOG_SIGN, "XAR", because="has signed the log")
    refused(
        life, K.SUSPEND, "XAR", digest=life.steps[-1].digest, because="there already", fault=TransitionFault.CONFLICT
    )


def test_a_log_with_other_terms_is_another_log():
    life = Life(treaty())
    life.take(K.LOG_SIGN, "XAR")
    other = replace(TERMS, log_vkeys=("other",))
    refused(life, K.LOG_SIGN, "XBO", log=other, because="other keys", fault=TransitionFault.CONFLICT)
    life.take(K.LOG_SIGN, "XBO", log=replace(TERMS, origin="second.example/treaty"))
    assert life.state().open_logs == ()


def test_a_draft_is_nothing_yet():
    state = draft(treaty(), digest_of(treaty()))
    assert (state.phase, state.bound, state.ends_at, state.history, state.open_logs) == (
        Phase.DRAFT,
        frozenset(),
        None,
        (),
        (),
    )
