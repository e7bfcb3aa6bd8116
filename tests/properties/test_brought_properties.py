"""Whatever comes with a step is read, or refused with an error of ours; nothing else ever comes of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from builders_document import EXAMPLE
from builders_every_kind import caveat_text
from builders_lifecycle import step_of
from comity.errors import ComityError
from comity.texts import SALT_SIZE, agreement_digest, caveat_digest
from comity_broker.brought import NOTHING, check_sizes, read_brought
from comity_policy.document import load
from comity_policy.lifecycle import StepKind, draft

TEXT = EXAMPLE.encode()
STATE = draft(load(TEXT), agreement_digest(TEXT))
CAVEAT = caveat_text(("1", "exclude", 'categories = ["cyber"]')).encode()
SALT = bytes(SALT_SIZE)
BRINGING = (StepKind.COUNTER, StepKind.AMEND, StepKind.NOTES)
# Real texts with a piece cut out, doubled or put in, and plain bytes.
BYTES = st.one_of(
    st.binary(max_size=64),
    st.tuples(st.sampled_from((TEXT, CAVEAT)), st.integers(0, 3_000), st.integers(0, 60), st.binary(max_size=8)).map(
        lambda cut: cut[0][: cut[1]] + cut[3] + cut[0][cut[1] + cut[2] :]
    ),
)


def tried(step, text: bytes, salt: bytes):
    """Read what a step brings; None where it is refused."""
    try:
        check_sizes(step, text, salt)
        return read_brought(STATE, step, text, salt)
    except ComityError:
        return None


@given(text=BYTES, kind=st.sampled_from(BRINGING), honest=st.booleans())
def test_a_text_is_taken_by_its_digest_or_refused(text, kind, honest):
    named = agreement_digest(text if honest else text + b"x").hex()
    brought = tried(step_of(STATE, kind, "XAR", agreement_digest=named), text, b"")
    if brought is not None and brought is not NOTHING:
        assert honest
        assert [row.document for row in brought.rows] == [text]
        assert list(brought.texts) == [named]


@given(text=BYTES, salt=st.binary(min_size=SALT_SIZE - 1, max_size=SALT_SIZE + 1), honest=st.booleans())
def test_a_caveat_is_taken_by_its_salted_digest_or_refused(text, salt, honest):
    named = caveat_digest(salt, text if honest else text + b"x").hex()
    said = {"caveat": "NO-ROUTES", "caveat_digest": named, "partner_text": "Arland applies a limitation."}
    brought = tried(step_of(STATE, StepKind.CAVEAT_ADD, "XAR", **said), text, salt)
    if brought is not None:
        assert honest
        assert brought.caveat is not None
        assert (brought.caveat.party, brought.caveat.text, brought.caveat.salt) == ("XAR", text, salt)


@given(text=st.binary(max_size=4), salt=st.binary(max_size=4), kind=st.sampled_from(StepKind))
def test_a_step_that_brings_nothing_comes_with_nothing(text, salt, kind):
    if kind in {*BRINGING, StepKind.CAVEAT_ADD, StepKind.LOG_SIGN}:
        return
    changes = {"names": "ab" * 48} if kind in {StepKind.RECEIVE, StepKind.DISPUTE_CLOSE} else {}
    changes |= {"clauses": ("3",)} if kind in {StepKind.REVIEW_CLAUSES, StepKind.OBJECT} else {}
    brought = tried(step_of(STATE, kind, "XAR", **changes), text, salt)
    assert brought is (None if text or salt else NOTHING)


def test_a_whole_caveat_is_read():
    # The text of the example names another digest of its agreement than it has; a step that names the same is believed here.
    said = {"caveat": "NO-ROUTES", "caveat_digest": caveat_digest(SALT, CAVEAT).hex()}
    said |= {"partner_text": "Arland applies a limitation.", "agreement_digest": "ab" * 48}
    assert tried(step_of(STATE, StepKind.CAVEAT_ADD, "XAR", **said), CAVEAT, SALT) is not None
