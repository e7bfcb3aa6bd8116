"""The exact objects that officers sign: every kind of step there and back, and what no step may say."""

import pytest

from builders_lifecycle import TERMS, Life, treaty
from comity_policy.facts import Role
from comity_policy.steps import ABOUT_LOGS, Step, StepError, StepKind

LIFE = Life(treaty())
KINDS = list(StepKind)


def step(kind, **changes):
    extra = {"names": "ef" * 48} if kind in {StepKind.RECEIVE, StepKind.DISPUTE_CLOSE} else {}
    extra |= {"clauses": ("3",)} if kind is StepKind.REVIEW_CLAUSES else {}
    return LIFE.step(kind, "XAR", **{**extra, **changes})


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_and_its_body_say_the_same(kind):
    made = step(kind)
    body = made.to_body()
    assert body["type"] == kind.value
    place = {"digest": made.digest, "log_index": made.log_index, "at_ms": made.at_ms}
    assert Step.from_body(body, **place) == made


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_must_be_there_and_no_other_may(kind):
    body = step(kind).to_body()
    for key in body:
        with pytest.raises(StepError):
            Step.from_body({name: value for name, value in body.items() if name != key})
    with pytest.raises(StepError, match="missing or unknown more"):
        Step.from_body({**body, "more": ""})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [None, -7, True, [], {}, ["x", "x"], "x" * 10_000, "\x00", " "])
def test_no_key_takes_a_value_of_another_shape(kind, value):
    made = step(kind)
    body = made.to_body()
    free = {"reason"} if isinstance(value, str) and len(value) < 1000 else set()
    free |= {"clauses"} if value == [] else set()
    for key in body.keys() - free:
        with pytest.raises(StepError):
            Step.from_body({**body, key: value})


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_stands_in_one_chain_and_only_the_logs_terms_in_none(kind):
    assert (kind.multilateral + kind.unilateral) == (0 if kind in ABOUT_LOGS else 1)


@pytest.mark.parametrize("kind", KINDS)
def test_no_machine_and_no_auditor_takes_a_step(kind):
    assert kind.roles
    assert not kind.roles & {Role.NODE, Role.OPERATOR, Role.AUDITOR}


def test_what_all_must_sign_is_signed_with_full_powers():
    for kind in (StepKind.SIGN, StepKind.ACCEDE, StepKind.RENEW, StepKind.NOTICE, StepKind.WITHDRAW):
        assert kind.roles == {Role.PLENIPOTENTIARY}


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        (StepKind.PROPOSE, {"clauses": ("3",)}),
        (StepKind.SIGN, {"reason": "Because."}),
        (StepKind.SUSPEND, {"names": "ef" * 48}),
        (StepKind.REVIEW, {"log": TERMS}),
        (StepKind.NOTICE, {"annex": "D"}),
    ],
)
def test_a_step_with_fields_its_kind_does_not_have_is_no_body(kind, changes):
    with pytest.raises(StepError, match="missing or unknown"):
        Step(
            kind=kind,
            agreement_id="XAR-XBO-1",
            agreement_digest="ab" * 48,
            party="XAR",
            officer="XAR/liaison1",
            role=Role.LIAISON,
            **changes,
        ).to_body()


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        (StepKind.NOTIFY_COMPLETION, "date", "2027-02-29"),
        (StepKind.NOTIFY_COMPLETION, "date", "2027-2-9"),
        (StepKind.NOTIFY_COMPLETION, "date", "\u0662\u0660\u0662\u0667-01-01"),
        (StepKind.NOTIFY_COMPLETION, "instrument", ""),
        (StepKind.NOTIFY_COMPLETION, "authority", "Parliament\u202e"),
        (StepKind.DISPUTE_OPEN, "deadline", "2027-13-01"),
        (StepKind.DISPUTE_OPEN, "subject", "party"),
        (StepKind.DISPUTE_OPEN, "subject_id", "../x y"),
        (StepKind.DISPUTE_CLOSE, "names", "EF" * 48),
        (StepKind.RECEIVE, "names", ""),
        (StepKind.NOTES, "annex", "d"),
        (StepKind.CAVEAT_ADD, "caveat", "-"),
        (StepKind.CAVEAT_ADD, "caveat_digest", "cd"),
        (StepKind.CAVEAT_ADD, "partner_text", ""),
        (StepKind.CAVEAT_ADD, "partner_text", "x" * 1001),
        (StepKind.CAVEAT_ADD, "partner_text", "A limitation\u202e"),
        (StepKind.SUSPEND, "reason", "x" * 1001),
        (StepKind.OBJECT, "clauses", ["3", "3"]),
        (StepKind.REVIEW_CLAUSES, "clauses", [f"c{number}" for number in range(1025)]),
        (StepKind.SIGN, "follows", "ab"),
        (StepKind.LOG_SIGN, "follows", "ab" * 48),
        (StepKind.LOG_SIGN, "anchor_slot", True),
        (StepKind.LOG_SIGN, "anchor_slot", 1 << 32),
        (StepKind.LOG_SIGN, "log_vkeys", []),
        (StepKind.PROPOSE, "type", "agreement-dance"),
        (StepKind.PROPOSE, "role", "king"),
        (StepKind.PROPOSE, "officer", "XAR/../x"),
        (StepKind.PROPOSE, "party", "xar"),
    ],
)
def test_a_value_out_of_shape_is_refused(kind, key, value):
    with pytest.raises(StepError):
        Step.from_body({**step(kind).to_body(), key: value})


def test_a_type_that_is_unhashable_is_no_step():
    with pytest.raises(StepError, match="unknown type"):
        Step.from_body({"type": ["agreement-sign"]})
