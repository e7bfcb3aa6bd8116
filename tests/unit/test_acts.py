"""The exact objects that officers sign under an agreement, and when such an act may be taken."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from builders_acts import DAY, HOUR, MINUTE, TRACKED, Case, living
from builders_lifecycle import THREE, Life, amending, in_force, provisionally, treaty
from comity_policy import clauses as kinds
from comity_policy.act_rules import breach_stage, valid_declaration
from comity_policy.acts import Act, ActError, ActKind, act_kind
from comity_policy.facts import Role
from comity_policy.sections import EntryIntoForce, EntryRule
from comity_policy.steps import StepKind
from comity_policy.transitions import TransitionError, TransitionFault

CASE = living()
KINDS = list(ActKind)


@pytest.mark.parametrize("kind", KINDS)
def test_an_act_and_its_body_say_the_same(kind):
    made = CASE.act(kind)
    place = {"digest": made.digest, "log_index": made.log_index, "at_ms": made.at_ms}
    assert Act.from_body(made.to_body(), **place) == made


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_must_be_there_and_no_other_may(kind):
    body = CASE.act(kind).to_body()
    for key in body:
        with pytest.raises(ActError):
            Act.from_body({name: value for name, value in body.items() if name != key})
    with pytest.raises(ActError, match="missing or unknown more"):
        Act.from_body({**body, "more": ""})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [None, -7, True, [], {}, ["x", "x"], "x" * 10_000, "\x00", " ", 1.5])
def test_no_key_takes_a_value_of_another_shape(kind, value):
    body = CASE.act(kind).to_body()
    free = {"witnesses"} if value == [] else set()
    for key in body.keys() - free:
        with pytest.raises(ActError):
            Act.from_body({**body, key: value})


def test_reports_and_leaves_are_pairs():
    body = CASE.act(ActKind.CERTIFY).to_body()
    with pytest.raises(ActError, match="the same reports"):
        Act.from_body({**body, "leaves": ["ab" * 48, "cd" * 48]})


def test_no_machine_and_no_auditor_acts_and_a_step_is_no_act():
    for kind in KINDS:
        assert kind.roles
        assert not kind.roles & {Role.NODE, Role.OPERATOR, Role.AUDITOR}
    assert ActKind.DECLARE.roles == {Role.DUTY_OFFICER}
    assert [act_kind(kind.value) for kind in StepKind] == [None] * len(StepKind)


def refused(case, kind, party="XAR", *, because, fault=TransitionFault.STATE, **changes):
    with pytest.raises(TransitionError, match=because) as caught:
        case.take(kind, party, **changes)
    assert caught.value.fault is fault


@pytest.mark.parametrize(
    "kind", [one for one in KINDS if one not in {ActKind.REVIEW, ActKind.BREACH_UPDATE, ActKind.BREACH_CLOSE}]
)
def test_an_act_that_fits_is_taken_once(kind):
    case = living()
    made = case.take(kind)
    with pytest.raises(TransitionError, match="there already"):
        case.take(kind)
    assert case.acts == [made]


@pytest.mark.parametrize("kind", KINDS)
def test_an_act_needs_a_clause_behind_it(kind):
    bare = treaty()
    case = living()
    case.life = in_force(clauses=tuple(one for one in bare.clauses if not isinstance(one, kinds.Retention)))
    refused(case, kind, because="no clause of the kind")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("changes", "because", "fault"),
    [
        ({"role": Role.AUDITOR}, "not auditor", TransitionFault.ROLE),
        ({"officer": "XBO/duty1"}, "no officer of a party", TransitionFault.NOT_A_PARTY),
        ({"party": "XDE", "officer": "XDE/duty1"}, "no officer of a party", TransitionFault.NOT_A_PARTY),
        ({"agreement_digest": "00" * 48}, "another version", TransitionFault.DIGEST),
        ({"agreement_id": "XAR-XBO-2"}, "is about XAR-XBO-2", TransitionFault.DIGEST),
    ],
)
def test_who_may_not_and_what_is_about_something_else(kind, changes, because, fault):
    case = living()
    made = case.act(kind, **changes)
    with pytest.raises(TransitionError, match=because) as caught:
        case.take(kind, **changes)
    assert caught.value.fault is fault
    assert made not in case.acts


def test_an_old_signature_is_not_taken_later_and_none_of_the_future():
    case = living()
    refused(case, ActKind.ATTEST, made_at=case.now - 72 * HOUR - 1, because="too long ago")
    refused(case, ActKind.ATTEST, made_at=case.now + 2 * MINUTE + 1, because="in the future")
    case.take(ActKind.ATTEST, made_at=case.now - 72 * HOUR)
    case.take(ActKind.ATTEST, made_at=case.now + 2 * MINUTE)


def test_a_declaration_is_valid_from_its_entry_until_its_last_millisecond_and_for_its_own_party_alone():
    case = living()
    declared = case.take(ActKind.DECLARE, valid_until=case.now + HOUR)
    at = declared.at_ms
    assert [valid_declaration(declared, "XAR", when) for when in (at - 1, at, at + HOUR - 1, at + HOUR)] == [
        False, True, True, False,
    ]  # fmt: skip
    assert not valid_declaration(declared, "XBO", at)
    assert not valid_declaration(case.take(ActKind.ATTEST), "XAR", at)


def test_a_declaration_holds_no_longer_than_the_clause_wants_its_review():
    case = living()
    case.take(ActKind.DECLARE, valid_until=case.now + 24 * HOUR)
    refused(case, ActKind.DECLARE, valid_until=case.now + 24 * HOUR + 1, because="at most 1440 minutes")
    refused(case, ActKind.DECLARE, valid_until=case.now, because="more than nothing")


def test_nothing_is_declared_under_a_suspended_clause_or_agreement():
    for clauses in (("22",), ()):
        case = living()
        case.life.take(StepKind.SUSPEND, "XBO", clauses=clauses)
        refused(case, ActKind.DECLARE, because="not in force, or its emergency clause is suspended")


def test_a_review_is_by_another_officer_of_the_same_party_and_once():
    case = living()
    declared = case.take(ActKind.DECLARE)
    refused(case, ActKind.REVIEW, names="cd" * 48, because="no declaration of the own party")
    refused(case, ActKind.REVIEW, "XBO", names=declared.digest, because="no declaration of the own party")
    refused(
        case, ActKind.REVIEW, names=declared.digest, officer=declared.officer, because="another officer",
        fault=TransitionFault.ROLE,
    )  # fmt: skip
    case.take(ActKind.REVIEW, names=declared.digest)
    refused(
        case, ActKind.REVIEW, names=declared.digest, reason="Again.", because="reviewed already",
        fault=TransitionFault.CONFLICT,
    )  # fmt: skip


def witnessed(**fields):
    bare = tuple(one for one in treaty().clauses if not isinstance(one, kinds.Retention))
    clause = kinds.Retention(id="2", text={"en": "x"}, longest=kinds.Span(days=30), **fields)
    case = living()
    case.life = in_force(clauses=(*bare, clause))
    return case


def test_a_certificate_has_the_witnesses_that_the_clause_asks_for():
    case = witnessed(witnesses=2)
    refused(case, ActKind.CERTIFY, witnesses=("XAR/officer2",), because="needs 2 witnesses")
    refused(case, ActKind.CERTIFY, witnesses=("XAR/officer2", "XBO/officer2"), because="of the same party")
    signer = case.act(ActKind.CERTIFY).officer
    refused(case, ActKind.CERTIFY, witnesses=("XAR/officer2", signer), because="other officers")
    made = case.take(ActKind.CERTIFY, witnesses=("XAR/officer2", "XAR/officer3"))
    assert made.signers == {made.officer, "XAR/officer2", "XAR/officer3"}


def test_destruction_in_an_emergency_needs_a_clause_that_allows_it():
    refused(witnessed(), ActKind.CERTIFY, cause="emergency", because="not allowed")
    witnessed(emergency_destruction=True).take(ActKind.CERTIFY, cause="emergency")


def test_a_certificate_is_about_what_another_party_sent():
    refused(living(), ActKind.CERTIFY, originator="XAR", because="another party's reports")
    refused(living(), ActKind.CERTIFY, originator="XDE", because="is no party", fault=TransitionFault.NOT_A_PARTY)
    refused(living(), ActKind.RELEASE, holder="XAR", because="another one")


@pytest.mark.parametrize("subject_id", ["01" * 16, "01010101-0101-0101-0101-010101010101", "01" * 48])
def test_what_an_open_dispute_names_is_not_destroyed(subject_id):
    case = living()
    opened = case.life.take(StepKind.DISPUTE_OPEN, "XBO", subject_id=subject_id)
    refused(case, ActKind.CERTIFY, because="an open dispute holds")
    case.life.take(StepKind.DISPUTE_CLOSE, "XBO", names=opened.digest)
    refused(case, ActKind.CERTIFY, because="an open dispute holds")
    case.life.take(StepKind.DISPUTE_CLOSE, "XAR", names=opened.digest)
    case.take(ActKind.CERTIFY)


def test_a_breach_goes_through_its_stages_in_their_order_by_its_own_party():
    case = living()
    opened = case.take(ActKind.BREACH_OPEN)
    names = {"names": opened.digest}
    refused(case, ActKind.BREACH_CLOSE, **names, because="after its measures; it is OPEN")
    refused(case, ActKind.BREACH_UPDATE, **names, stage="measures", because="when the breach is REPORTED")
    refused(case, ActKind.BREACH_UPDATE, "XBO", **names, because="no breach of the own party")
    case.take(ActKind.BREACH_UPDATE, **names)
    assert breach_stage(opened, case.acts) == "REPORTED"
    case.take(ActKind.BREACH_UPDATE, **names, stage="measures")
    case.take(ActKind.BREACH_CLOSE, **names)
    assert breach_stage(opened, case.acts) == "CLOSED"
    refused(case, ActKind.BREACH_CLOSE, **names, reason="Again.", because="it is CLOSED")


def test_a_breach_is_not_discovered_after_it_is_notified():
    case = living()
    refused(case, ActKind.BREACH_OPEN, discovered_at=case.now + 1, because="not discovered after")
    case.take(ActKind.BREACH_OPEN, discovered_at=case.now)


def test_after_the_end_its_parties_still_certify_and_nobody_declares():
    case = living()
    case.life.take(StepKind.NOTICE, "XBO", reason="We leave.")
    case.wait(200 * DAY)
    assert case.life.state().ended
    case.take(ActKind.CERTIFY)
    refused(case, ActKind.DECLARE, because="not in force")


def left_by_xde(*more, **changes):
    """Give an agreement of three that XDE has left and that goes on binding the two others."""
    base = treaty(THREE)
    case = Case(Life(treaty(THREE, clauses=(*base.clauses, *TRACKED, *more), **changes)).signed(*THREE))
    case.life.take(StepKind.WITHDRAW, "XDE", reason="We leave.")
    case.wait(200 * DAY)
    assert case.life.state().bound == {"XAR", "XBO"}
    return case


def test_who_left_still_accounts_for_what_it_holds_and_declares_nothing():
    case = left_by_xde()
    case.take(ActKind.CERTIFY, "XDE", witnesses=())
    opened = case.take(ActKind.BREACH_OPEN, "XDE")
    case.take(ActKind.BREACH_UPDATE, "XDE", names=opened.digest)
    case.take(ActKind.RELEASE, "XDE", holder="XAR")
    refused(case, ActKind.DECLARE, "XDE", because="is not bound")


def test_who_left_certifies_also_after_an_amendment_without_retention():
    case = left_by_xde()
    first = case.life.document
    case.life.amended(amending(first, clauses=tuple(one for one in first.clauses if one.id != "2")), "XAR", "XBO")
    case.take(ActKind.CERTIFY, "XDE", witnesses=())


def test_who_was_never_bound_accounts_for_nothing():
    base = treaty(THREE)
    entry = EntryIntoForce(EntryRule.ON_SIGNATURE, minimum=2)
    document = treaty(THREE, clauses=(*base.clauses, *TRACKED), entry_into_force=entry)
    case = Case(Life(document).signed("XAR", "XBO"))
    refused(case, ActKind.CERTIFY, "XDE", because="is not bound", witnesses=())


def test_what_was_shared_provisionally_is_certified_after_it_lapsed():
    base = treaty(clauses=(*treaty().clauses, *TRACKED))
    entry = EntryIntoForce(EntryRule.FIXED_DATE, at=datetime(2030, 1, 1, tzinfo=UTC))
    document = replace(provisionally(base, "1.0", "1.1", until="2027-03-01T00:00"), entry_into_force=entry)
    case = Case(Life(document).signed())
    assert case.life.state().bound == {"XAR", "XBO"}
    case.wait(100 * DAY)
    assert case.life.state().bound == frozenset()
    case.take(ActKind.CERTIFY)


def test_nobody_acts_under_what_is_not_in_force_yet():
    case = living()
    case.life = Life(case.life.document)
    case.life.take(StepKind.PROPOSE, "XAR")
    refused(case, ActKind.CONTACT, because="is not bound")
