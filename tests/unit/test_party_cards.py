"""Party cards, the words of a fingerprint, and what a revocation means for what was entered before it."""

from __future__ import annotations

from pathlib import Path

import pytest

from builders_identity import DAY, NOW, Seeded, fails, malformed, nation
from comity import canonical, statement
from comity.errors import ConflictError, ErrorCode, KeyFault, UsageError
from comity.identity import issue
from comity.identity.cardfile import DIRECTORY_LIMIT, decode_card_file, encode_card_file, read_party_card
from comity.identity.verdicts import Verdict, verdict
from comity.identity.words import fingerprint_words
from comity.keys.signer import SoftSigner
from comity.statement import sign_statement
from comity.suites import KeyRole, generate_signing

XAR = nation("XAR")
N1 = XAR.node("n1")

# --- cards and words ------------------------------------------------------------------------------------------------


def test_a_card_file_comes_back_with_the_words_of_its_root():
    file = XAR.card_file
    read = decode_card_file(encode_card_file(file))
    assert read == file
    assert read.words == fingerprint_words(XAR.root.fingerprint)
    assert read.to_directory().authorities("XAR", NOW) == (XAR.authority,)


def test_a_card_that_its_root_did_not_sign_is_no_card():
    fields = XAR.card_statement.fields
    other = SoftSigner(generate_signing(1, Seeded("other")), KeyRole.ROOT)
    for forged in (
        sign_statement(fields, other),
        sign_statement(fields, XAR.root, other),
        statement.Statement(canonical.dumps({**fields, "name": "Other"}), XAR.card_statement.signatures),
    ):
        fails(lambda: read_party_card(forged), ErrorCode.BUNDLE_REJECTED, KeyFault)  # noqa: B023 - called at once
    malformed(lambda: read_party_card(N1.statement))


def card_file(**changes: object) -> bytes:
    value = canonical.load_object(encode_card_file(XAR.card_file))
    return canonical.dumps({**value, **changes})


def test_a_card_file_holds_a_card_and_its_directory_keys_only():
    other = nation("XBO")
    of_root = statement.to_json(XAR.directory_statement)
    for data in (
        b"{}",
        card_file(more=1),
        card_file(directory={}),
        card_file(directory=[of_root] * (DIRECTORY_LIMIT + 1)),
        card_file(directory=[statement.to_json(N1.statement)]),
        card_file() + b"\n",
    ):
        malformed(lambda: decode_card_file(data))  # noqa: B023 - called at once
    foreign = card_file(directory=[statement.to_json(other.directory_statement)])
    fails(lambda: decode_card_file(foreign), ErrorCode.PARTY_UNTRUSTED, KeyFault)
    own = card_file(directory=[statement.to_json(XAR.directory_key(root=other.root))])
    fails(lambda: decode_card_file(own), ErrorCode.BUNDLE_REJECTED, KeyFault)
    twice = card_file(directory=[of_root, of_root])
    fails(lambda: decode_card_file(twice), ErrorCode.SEQUENCE_STALE, ConflictError)


def test_words_differ_by_position_so_that_a_swap_is_heard():
    words = fingerprint_words(bytes([0, 0, 1, 1]) + bytes(range(44)))
    assert words[:4] == ("aardvark", "adroitness", "absurd", "adviser")
    assert len(words) == 16


def test_every_byte_has_a_word_of_its_own_in_each_position():
    spoken = [fingerprint_words(bytes([value, value]) + bytes(46))[:2] for value in range(256)]
    assert len({word.lower() for pair in spoken for word in pair}) == 512
    assert all(word.isascii() and word.isalpha() for pair in spoken for word in pair)


def test_words_are_of_a_whole_fingerprint():
    with pytest.raises(UsageError):
        fingerprint_words(bytes(16))


def test_the_word_list_lies_in_the_package():
    assert (Path(issue.__file__).parent / "words.txt").is_file()


# --- verdicts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entered", "revoked", "at_ms", "compromised", "expected"),
    [
        (7, None, 1000, 0, Verdict.VALID),
        (7, None, None, 5, Verdict.VALID),
        (7, 9, 1000, 0, Verdict.VALID),
        (7, 9, None, 0, Verdict.VALID),
        (7, 9, 999, 1000, Verdict.VALID),
        (7, 9, 1000, 1000, Verdict.CONTESTED),
        (7, 9, 1001, 1000, Verdict.CONTESTED),
        (7, 9, None, 1000, Verdict.CONTESTED),
        (9, 9, 999, 1000, Verdict.INVALID),
        (10, 9, 1, 1000, Verdict.INVALID),
        (10, 9, None, 0, Verdict.INVALID),
    ],
)
def test_order_decides_and_a_claimed_time_only_contests(entered, revoked, at_ms, compromised, expected):
    assert verdict(entered, revoked, at_ms, compromised) is expected


def test_revoking_today_repudiates_nothing_that_was_entered_last_month():
    last_month, today = NOW - 30 * DAY, NOW
    assert verdict(100, 5000, last_month, 0) is Verdict.VALID
    assert verdict(100, 5000, last_month, today) is Verdict.VALID
    assert verdict(100, 5000, last_month, last_month - DAY) is Verdict.CONTESTED
