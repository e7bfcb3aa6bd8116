"""Entries from a broker are hostile bytes: whatever comes, it is the entry it must be or it is refused."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders_audit import good_audit
from builders_audit_log import ORIGIN
from builders_hostile import Served
from comity.errors import VerificationError
from comity.node.entries import Part, check_entry, log_kind
from comity.pae import pae

AUDIT = good_audit()
LOG = Served.of(ORIGIN, AUDIT.events, AUDIT.log_keys, AUDIT.records, ("XAR", "XBO"))


def parts_of(index: int) -> dict[str, Part]:
    entry = LOG.entries[index]
    found = {}
    for name in ("shared", "XAR"):
        tree = LOG.records.get(index) if name == "shared" else None
        records = () if tree is None else tuple(zip(tree.salts, tree.records, strict=True))
        found[name] = Part(entry.parts[name].salt, entry.parts[name].body, records)
    return found


def check(index: int, entry: bytes, parts: dict[str, Part]):
    return check_entry(ORIGIN, index, entry, parts, parties=("XAR", "XBO"), own="XAR")


@pytest.mark.parametrize("index", range(len(LOG.entries)))
def test_every_true_entry_is_taken(index):
    entry = check(index, LOG.entries[index].data, parts_of(index))
    assert entry.kind == LOG.entries[index].kind.value
    assert entry.shared()["time"]


@given(st.integers(0, len(LOG.entries) - 1), st.data())
def test_an_entry_with_any_byte_changed_is_refused_or_differs_only_in_what_others_commit_to(index, data):
    """The partner's commitment is not ours to check: the log's root is what holds it."""
    true = LOG.entries[index].data
    place = data.draw(st.integers(0, len(true) - 1))
    changed = true[:place] + bytes([true[place] ^ data.draw(st.integers(1, 255))]) + true[place + 1 :]
    if place >= len(true) - 48:
        check(index, changed, parts_of(index))
    else:
        with pytest.raises(VerificationError):
            check(index, changed, parts_of(index))


@given(st.binary(max_size=400))
def test_bytes_of_nobody_are_refused(data):
    with pytest.raises(VerificationError):
        check(0, data, parts_of(0))


@given(st.lists(st.one_of(st.binary(max_size=60), st.text(max_size=20)), max_size=10), st.integers(0, 3))
def test_well_formed_encodings_of_something_else_are_refused(items, cut):
    data = pae("audit-entry", *items)
    with pytest.raises(VerificationError):
        check(0, data[: len(data) - cut], parts_of(0))


@given(st.text(max_size=60))
def test_only_origins_of_logs_have_a_kind(origin):
    with contextlib.suppress(VerificationError):
        assert log_kind(origin) in {"agreement", "keys", "operations"}
