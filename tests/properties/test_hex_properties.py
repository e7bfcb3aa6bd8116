"""Bytes in canonical JSON are pairs of lower-case hexadecimal digits and nothing else, for us and for the verifier."""

import re

from hypothesis import example, given
from hypothesis import strategies as st

from comity.canonical import is_hex
from comity.verify.table import _is_hex


@given(st.text("0189afgABF xX_\n\u0663\uff11\ud800", max_size=8) | st.binary(max_size=40).map(bytes.hex))
@example("")
@example("0a ")
@example("0a 0b")
def test_hexadecimal_is_pairs_of_lower_case_digits_and_nothing_else(text):
    expected = re.fullmatch("(?:[0-9a-f]{2})*", text) is not None
    assert (is_hex(text), _is_hex(text)) == (expected, expected)
