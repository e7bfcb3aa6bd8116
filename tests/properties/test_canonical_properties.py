"""Canonical JSON is one encoding a value: what is read is what would be written, whichever way it was checked."""

import json

from hypothesis import given
from hypothesis import strategies as st

from comity import canonical
from comity.errors import MalformedError

# Around what is looked at one by one: names that sort another way by code unit, numbers of sixteen digits and more.
NAMES = st.sampled_from(["a", "b", "é", "\ue000", "\U0001f600", "\\", '"', "1234567890123456"]) | st.text(max_size=3)
INTEGERS = st.integers() | st.sampled_from([2**53 - 1, 2**53, -(2**53) + 1, -(2**53), 10**15, 10**16])
VALUES = st.recursive(
    st.none() | st.booleans() | INTEGERS | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


def written(value):
    try:
        return canonical.dumps(value)
    except MalformedError:
        return None


@given(VALUES)
def test_what_is_written_is_read_again_and_nothing_else_is_written(value):
    data = written(value)
    if data is not None:
        assert canonical.loads(data) == value


@given(VALUES, st.booleans(), st.booleans(), st.sampled_from([(",", ":"), (", ", ":"), (",", ": ")]))
def test_bytes_are_taken_exactly_where_they_are_what_would_be_written(value, sort, ascii_only, separators):
    text = json.dumps(value, sort_keys=sort, ensure_ascii=ascii_only, separators=separators)
    try:
        data = text.encode()
    except UnicodeEncodeError:
        return
    try:
        taken = canonical.loads(data)
    except MalformedError:
        assert data != written(value)
    else:
        assert data == written(value)
        assert taken == value
