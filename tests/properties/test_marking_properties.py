"""Markings: print and parse are inverse; the roll-up is a join that never widens who may have the content."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import assume, given
from hypothesis import strategies as st

from builders_labels import LEVELS, PARTIES, labels
from comity_policy.banner import banner, parse_banner, parse_portion_mark, portion_mark
from comity_policy.marking import (
    CategoryKind,
    CategorySet,
    Label,
    MarkingError,
    Subject,
    as_imported,
    faults,
    has_disclosure_marking,
    join,
    may_access,
)


def sealable(label: Label) -> bool:
    """What sealing accepts: a classified label says to whom it may be disclosed."""
    return label.classification == "OPEN" or has_disclosure_marking(label)


@given(labels())
def test_generated_labels_are_well_formed(label: Label) -> None:
    assert faults(label) == ()


@given(labels(categories=False), st.sampled_from(("XAR", "XBO")))
def test_a_banner_and_a_portion_mark_parse_back_to_their_label(label: Label, viewer: str) -> None:
    carried = replace(label, review_at=0)
    assert parse_banner(banner(label, viewer=viewer), viewer, LEVELS) == carried
    assert parse_portion_mark(portion_mark(label, LEVELS, viewer=viewer), viewer, LEVELS) == carried


@given(labels(categories=False), st.data())
def test_an_accepted_text_is_the_only_way_to_write_its_label(label: Label, data: st.DataObject) -> None:
    text = banner(label, viewer="XAR")
    at = data.draw(st.integers(0, len(text)))
    changed = text[:at] + data.draw(st.text(" /,XARBOE", max_size=3)) + text[at + data.draw(st.integers(0, 3)) :]
    try:
        parsed = parse_banner(changed, "XAR", LEVELS)
    except MarkingError:
        return
    assert banner(parsed, viewer="XAR") == changed


@given(st.text(max_size=60))
def test_any_text_is_a_marking_or_a_marking_error(text: str) -> None:
    try:
        label = parse_banner(text, "XAR", LEVELS)
    except MarkingError:
        return
    assert faults(label) == ()


@given(st.lists(labels(), min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_join_is_commutative(portions: list[Label], shuffle) -> None:
    shuffled = list(portions)
    shuffle.shuffle(shuffled)
    assert join(shuffled, LEVELS) == join(portions, LEVELS)


@given(labels(), labels(), labels())
def test_join_is_associative(a: Label, b: Label, c: Label) -> None:
    whole = join([a, b, c], LEVELS)
    assert join([join([a, b], LEVELS), c], LEVELS) == whole
    assert join([a, join([b, c], LEVELS)], LEVELS) == whole


@given(labels().filter(sealable))
def test_join_is_idempotent_on_what_may_be_sealed(label: Label) -> None:
    assert join([label], LEVELS) == label
    assert join([label, label], LEVELS) == label


@given(st.lists(labels(), min_size=1, max_size=4))
def test_a_roll_up_is_well_formed_and_rolls_up_to_itself(portions: list[Label]) -> None:
    whole = join(portions, LEVELS)
    assert faults(whole) == ()
    assert join([whole], LEVELS) == whole
    assert sealable(whole)


@given(
    st.lists(labels(), min_size=1, max_size=4),
    st.sampled_from(PARTIES),
    st.sampled_from((None, *LEVELS)),
    st.frozensets(st.sampled_from(("XBO", "XDE", "a"))),
)
def test_who_may_have_the_roll_up_may_have_every_portion(portions, party, clearance, held) -> None:
    subject = Subject(party, clearance, (CategorySet("tier", CategoryKind.RESTRICTIVE, held),))
    if may_access(join(portions, LEVELS), subject, LEVELS):
        assert all(may_access(portion, subject, LEVELS) for portion in portions)


@given(st.lists(labels(), min_size=1, max_size=4))
def test_a_roll_up_loses_no_control_and_shows_to_nobody_new(portions: list[Label]) -> None:
    whole = join(portions, LEVELS)
    bound = [one for one in portions if one.classification != "OPEN" or one.dissemination or shown(one)]
    assert all("ORCON" in whole.dissemination for one in portions if "ORCON" in one.dissemination)
    assert all("NATIONAL-ONLY" in whole.dissemination for one in portions if "NATIONAL-ONLY" in one.dissemination)
    assert "RELIDO" not in whole.dissemination or all("RELIDO" in one.dissemination for one in bound)
    assert all(shown(whole) <= shown(one) for one in bound)
    assert all(LEVELS.index(whole.classification) >= LEVELS.index(one.classification) for one in portions)
    assert all(whole.tlp is not None and whole.tlp >= one.tlp for one in portions if one.tlp is not None)


def shown(label: Label) -> frozenset[str]:
    return ((label.releasable_to or frozenset()) | (label.display_only or frozenset())) - {label.policy}


@given(labels())
def test_what_is_read_in_may_be_sealed_and_opens_to_nobody_new(label: Label) -> None:
    taken = as_imported(label, LEVELS)
    assert sealable(taken)
    assert faults(taken) == ()
    assert shown(taken) == shown(label)
    assert as_imported(taken, LEVELS) == taken


@given(st.lists(st.sampled_from((*PARTIES, "XGRP", "XALL")), min_size=2, unique=True))
def test_a_group_code_means_its_members_and_a_banner_never_prints_it(codes: list[str]) -> None:
    groups = {"XGRP": frozenset({"XBO", "XDE"}), "XALL": frozenset(PARTIES)}
    listed = ["XAR", *sorted(code for code in codes if code in PARTIES[1:])]
    listed += sorted(code for code in codes if code in groups)
    assume(len(listed) > 1)
    label = parse_banner(f"SECRET//REL TO {', '.join(listed)}", "XAR", LEVELS, groups)
    written_out = {member for code in listed for member in groups.get(code, {code})}
    assert label.releasable_to == frozenset(written_out)
    assert parse_banner(banner(label), "XAR", LEVELS) == label
