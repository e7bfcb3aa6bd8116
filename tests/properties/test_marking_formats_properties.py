"""Markings in other formats: what is written reads back, what is read is never wider, and any input ends in a refusal."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from builders_labels import LEVELS, labels
from comity_policy import grading, iep, timestamps, tlp
from comity_policy.marking import Label, MarkingError, Tlp, faults
from comity_policy.stanag4774 import ID_TYPES, ConfidentialityLabel, LabelKind, from_xml, to_xml

TIMES = st.integers(0, timestamps.LATEST)
PRINTABLE = st.text(min_size=1, max_size=20).filter(str.isprintable)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(("6x6", "4x4", "icd-203", "red")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def policies(draw: st.DrawFn) -> iep.Policy:
    return iep.Policy(
        id=draw(PRINTABLE),
        name=draw(PRINTABLE),
        start_date=draw(TIMES),
        end_date=draw(st.none() | TIMES),
        encrypt_in_transit=draw(st.sampled_from(iep.Encryption)),
        permitted_actions=draw(st.sampled_from(iep.Actions)),
        affected_party_notifications=draw(st.sampled_from(iep.Permission)),
        tlp=draw(st.sampled_from(Tlp)),
        attribution=draw(st.sampled_from(iep.Attribution)),
        unmodified_resale=draw(st.sampled_from(iep.Permission)),
        external_references=tuple(draw(st.lists(PRINTABLE, max_size=2))),
    )


def is_no_wider(one: iep.Policy, other: iep.Policy) -> bool:
    return (
        one.tlp >= other.tlp
        and one.encrypt_in_transit <= other.encrypt_in_transit
        and one.permitted_actions <= other.permitted_actions
        and one.affected_party_notifications <= other.affected_party_notifications
        and one.attribution <= other.attribution
        and one.unmodified_resale <= other.unmodified_resale
    )


@st.composite
def carried(draw: st.DrawFn) -> ConfidentialityLabel:
    """Labels the format can say: no set is the policy's default, and a successor has its day."""
    label = said(draw(labels()))
    if label.review_at and draw(st.booleans()):
        label = replace(label, successor=said(draw(labels())))
    return ConfidentialityLabel(
        label,
        draw(TIMES),
        draw(st.sampled_from(LabelKind)),
        draw(st.just("") | PRINTABLE),
        draw(st.none() | st.tuples(st.sampled_from(ID_TYPES), PRINTABLE)),
    )


def said(label: Label) -> Label:
    return replace(label, categories=tuple(replace(one, values=one.values or frozenset()) for one in label.categories))


@given(carried())
def test_a_stanag_4774_label_reads_back(one: ConfidentialityLabel) -> None:
    assert from_xml(to_xml(one), LEVELS) == one


@given(carried(), st.data())
def test_a_changed_stanag_4774_label_is_another_label_or_refused(
    one: ConfidentialityLabel, data: st.DataObject
) -> None:
    written = to_xml(one)
    at = data.draw(st.integers(0, len(written)))
    changed = written[:at] + data.draw(st.binary(max_size=4)) + written[at + data.draw(st.integers(0, 8)) :]
    try:
        read = from_xml(changed, LEVELS)
    except MarkingError:
        return
    assert faults(read.label) == ()
    assert from_xml(to_xml(read), LEVELS) == read


@given(st.binary(max_size=200))
def test_any_bytes_are_a_label_or_a_marking_error(data: bytes) -> None:
    try:
        from_xml(data, LEVELS)
    except MarkingError:
        return
    raise AssertionError(data)


@given(policies())
def test_an_iep_policy_reads_back(policy: iep.Policy) -> None:
    assert iep.from_json(iep.to_json(policy)) == policy


@given(policies(), st.integers(0, 1 << 42))
def test_a_policy_read_in_and_written_out_again_is_never_wider(policy: iep.Policy, at: int) -> None:
    handling = iep.Handling.of(policy, at)
    again = handling.to_policy(policy.id, start=at)
    assert is_no_wider(again, policy if policy.covers(at) else iep.MOST_RESTRICTIVE)
    assert iep.Handling.of(again, at) == handling
    if policy.covers(at):
        assert again.end_date == policy.end_date
        assert again.start_date >= policy.start_date


@given(st.lists(policies(), min_size=1, max_size=4))
def test_the_strictest_of_several_policies_is_no_wider_than_any(several: list[iep.Policy]) -> None:
    whole = iep.strictest(several)
    assert all(is_no_wider(whole, one) for one in several)
    assert is_no_wider(iep.MOST_RESTRICTIVE, whole)


@given(st.dictionaries(st.sampled_from((*iep.to_json(iep.MOST_RESTRICTIVE), "other")), JSON))
def test_any_object_is_a_policy_or_a_marking_error(data: dict[str, object]) -> None:
    try:
        policy = iep.from_json(data)
    except MarkingError:
        return
    assert iep.from_json(iep.to_json(policy)) == policy


@given(JSON, JSON, JSON)
def test_any_stix_marking_is_a_tlp_none_or_a_marking_error(
    name: object, definition: object, extensions: object
) -> None:
    marking = {"name": name, "definition_type": "tlp", "definition": definition, "extensions": extensions}
    try:
        found = tlp.from_stix(marking)
    except MarkingError:
        return
    assert found is None or found in Tlp


@given(JSON)
def test_any_header_is_an_assessment_or_a_marking_error(value: object) -> None:
    for read in (grading.grading_from_header, grading.confidence_from_header, grading.estimate_from_header):
        try:
            found = read(value)
        except MarkingError:
            continue
        assert read(found.to_header()) == found


@given(st.text(max_size=30))
def test_any_text_is_a_grading_or_a_marking_error(text: str) -> None:
    try:
        found = grading.parse_grading(text)
    except MarkingError:
        return
    assert str(found) == text


@given(TIMES)
def test_a_time_reads_back(unix_ms: int) -> None:
    assert timestamps.parsed(timestamps.written(unix_ms)) == unix_ms
