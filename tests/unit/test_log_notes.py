"""C2SP notes, checkpoints, keys and policies: the published examples, and everything that must be refused."""

from __future__ import annotations

import base64

import pytest

from builders_ed25519 import encode, torsion
from builders_identity import Seeded
from comity.verify.crypto import ed25519_verifies
from comity.verify.notes import (
    Checkpoint,
    KeyType,
    NoteError,
    Policy,
    VerifierKey,
    parse_checkpoint,
    parse_note,
    parse_policy,
    parse_vkey,
    policy_without_witnesses,
    verify_checkpoint,
)
from comity.verify.trees import EMPTY_ROOT
from comity_broker.auditlog.checkpoint import LogKeys

ORIGIN = "hub.xar.example/agreement/XAR-XBO-1/000102030405060708090a0b0c0d0e0f"
KEYS = LogKeys.generate(Seeded("log keys"))
OTHER = LogKeys.generate(Seeded("other log keys"))
CHECKPOINT = Checkpoint(ORIGIN, 7, bytes(range(32)))
NOTE = KEYS.sign(CHECKPOINT)
TEXT, _, LINES = NOTE.decode().partition("\n\n")
FIRST, SECOND, _ = LINES.split("\n")
POLICY = parse_policy(policy_without_witnesses(KEYS.vkeys(ORIGIN)))

# The example of c2sp.org/signed-note.
EXAMPLE_VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
EXAMPLE_NOTE = """This is an example message.

— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=
"""
# The example of c2sp.org/tlog-cosignature, whose keys are not published.
EXAMPLE_CHECKPOINT = """example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==
"""


def note(*lines: str, text: str = TEXT) -> bytes:
    return (text + "\n\n" + "".join(line + "\n" for line in lines)).encode()


def refused(data: bytes, policy: Policy = POLICY) -> None:
    with pytest.raises(NoteError):
        verify_checkpoint(data, policy)


def resigned(text: str) -> bytes:
    """Sign any text with the Ed25519 key alone."""
    key, _ = KEYS.verifier_keys(ORIGIN)
    return (text + "\n" + key.line(KEYS._ed25519.sign(text.encode())) + SECOND + "\n").encode()


def test_the_published_note_verifies_with_the_published_key():
    key = parse_vkey(EXAMPLE_VKEY)
    text, ((name, key_id, signature),) = parse_note(EXAMPLE_NOTE.encode())
    assert (key.name, key.key_id, key.key_type) == (name, key_id, KeyType.ED25519)
    assert str(key) == EXAMPLE_VKEY
    assert ed25519_verifies(key.public, text.encode(), signature)
    assert not ed25519_verifies(key.public, b"This is another message.\n", signature)


def test_the_published_checkpoint_is_read():
    text, signatures = parse_note(EXAMPLE_CHECKPOINT.encode())
    assert [name for name, _, _ in signatures] == ["example.com/behind-the-sofa", "witness.example.com/w1"]
    checkpoint = parse_checkpoint(text)
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    assert checkpoint.text == text


def test_what_a_cosigner_signs_has_the_layout_of_the_specification():
    message = Checkpoint("log.example/a", 258, bytes(range(32))).cosigned("w.example", 0x0102)
    assert message == b"".join(
        (
            b"subtree/v1\n\x00",
            b"\x09w.example",
            b"\x00\x00\x00\x00\x00\x00\x01\x02",
            b"\x0dlog.example/a",
            b"\x00\x00\x00\x00\x00\x00\x00\x00",
            b"\x00\x00\x00\x00\x00\x00\x01\x02",
            bytes(range(32)),
        )
    )


def test_a_log_signs_with_both_keys_and_states_time_0():
    assert verify_checkpoint(NOTE, POLICY) == CHECKPOINT
    _, ((_, _, ed25519), (_, _, mldsa)) = parse_note(NOTE)
    assert len(ed25519) == 64
    assert mldsa[:8] == bytes(8)
    assert len(mldsa) == 8 + 2420


def test_a_checkpoint_signed_with_one_of_the_two_keys_does_not_count():
    refused(note(FIRST))
    refused(note(SECOND))


def test_a_second_signature_of_one_key_rejects_the_note():
    refused(note(FIRST, SECOND, FIRST))
    refused(note(FIRST, SECOND, SECOND))


def test_a_failing_signature_of_a_known_key_rejects_the_note_though_a_good_one_follows():
    other = OTHER.sign(CHECKPOINT).decode().partition("\n\n")[2].split("\n")[0]
    key, _ = KEYS.verifier_keys(ORIGIN)
    forged = key.line(base64.b64decode(other.split(" ")[2])[4:]).rstrip("\n")
    refused(note(forged, FIRST, SECOND))


def test_unknown_signers_are_ignored_even_under_a_known_name():
    stranger = f"— {ORIGIN} " + base64.b64encode(b"\x01\x02\x03\x04something").decode()
    assert verify_checkpoint(note(stranger, FIRST, SECOND, "— witness.example AAAAAAA="), POLICY) == CHECKPOINT


def test_keys_of_another_log_or_broker_do_not_count():
    refused(NOTE, parse_policy(policy_without_witnesses(OTHER.vkeys(ORIGIN))))
    refused(NOTE, parse_policy(policy_without_witnesses(KEYS.vkeys("another.example/log"))))


def test_a_cosignature_moved_to_another_size_or_root_fails():
    refused(resigned(TEXT.replace("\n7\n", "\n8\n") + "\n"))
    refused(resigned(TEXT.replace("AAEC", "AAEB") + "\n"))


def test_a_log_that_states_a_time_is_refused():
    _, mldsa = KEYS.verifier_keys(ORIGIN)
    stated = (5).to_bytes(8, "big")
    line = mldsa.line(stated + KEYS._mldsa.sign(CHECKPOINT.cosigned(ORIGIN, 5))).rstrip("\n")
    refused(note(FIRST, line))


def test_an_extension_line_is_refused_because_the_cosignature_does_not_cover_it():
    refused(resigned(TEXT + "\nmore\n"))


@pytest.mark.parametrize(
    "text",
    [
        f"{ORIGIN}\n07\n{TEXT.split()[2]}\n",
        f"{ORIGIN}\n+7\n{TEXT.split()[2]}\n",
        f"{ORIGIN}\n-7\n{TEXT.split()[2]}\n",
        f"{ORIGIN}\n7 \n{TEXT.split()[2]}\n",
        f"{ORIGIN}\n\uff17\n{TEXT.split()[2]}\n",
        f"{ORIGIN}\n{1 << 63}\n{TEXT.split()[2]}\n",
        f"{ORIGIN}\n7\nAAAA\n",
        f"{ORIGIN}\n7\n{TEXT.split()[2][:-1]}\n",
        f"{ORIGIN}\n7\n{TEXT.split()[2][:-2]}9=\n",
        f"{ORIGIN}\n0\n{TEXT.split()[2]}\n",
        f"{ORIGIN}\n7\n",
        f"{ORIGIN}\n7\n{TEXT.split()[2]}",
        f"{ORIGIN} \n7\n{TEXT.split()[2]}\n",
        f"{'a' * 256}\n7\n{TEXT.split()[2]}\n",
        f"ö\n7\n{TEXT.split()[2]}\n",
        f"\n7\n{TEXT.split()[2]}\n",
    ],
)
def test_a_checkpoint_has_one_form(text):
    with pytest.raises(NoteError):
        parse_checkpoint(text)


def test_an_empty_log_states_the_empty_root():
    empty = Checkpoint(ORIGIN, 0, EMPTY_ROOT)
    assert parse_checkpoint(empty.text) == empty
    assert parse_checkpoint(Checkpoint(ORIGIN, (1 << 63) - 1, bytes(32)).text).size == (1 << 63) - 1


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"text\n",
        b"text\n\n",
        b"text\n\n\xe2\x80\x94 a AAAAAAA=",
        b"text\n\n- a AAAAAAA=\n",
        b"text\n\n\xe2\x80\x94 a  AAAAAAA=\n",
        b"text\n\n\xe2\x80\x94 a AAAAAAA= \n",
        b"text\n\n\xe2\x80\x94 a+b AAAAAAA=\n",
        b"text\n\n\xe2\x80\x94 a\xc2\xa0b AAAAAAA=\n",
        b"text\n\n\xe2\x80\x94  AAAAAAA=\n",
        b"text\n\n\xe2\x80\x94 a AAAA\n",
        b"text\n\n\xe2\x80\x94 a AAAAAAB=\n",
        b"text\n\n\xe2\x80\x94 a AAAAAA\n",
        b"text\n\n\xe2\x80\x94 a AAAA AAA=\n",
        b"te\rxt\n\n\xe2\x80\x94 a AAAAAAA=\n",
        b"te\x00xt\n\n\xe2\x80\x94 a AAAAAAA=\n",
        b"te\xffxt\n\n\xe2\x80\x94 a AAAAAAA=\n",
        b"x" * 65_536 + b"\n\n\xe2\x80\x94 a AAAAAAA=\n",
    ],
)
def test_a_note_has_one_form(data):
    with pytest.raises(NoteError):
        parse_note(data)


def test_a_note_of_64_kib_is_read():
    data = b"\n\n\xe2\x80\x94 a AAAAAAA=\n"
    assert parse_note(b"x" * (65_536 - len(data)) + data)[1] == [("a", bytes(4), b"\0")]


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        "example.com/foo",
        EXAMPLE_VKEY.replace("530d", "530e"),
        EXAMPLE_VKEY.replace("530d903a", "530D903A"),
        EXAMPLE_VKEY.replace("foo", "bar"),
        EXAMPLE_VKEY + "=",
        EXAMPLE_VKEY[:-4],
        "example.com/foo+530d903a+BOkyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530d903a+",
        "a b+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
    ],
)
def test_a_verifier_key_has_one_form(vkey):
    with pytest.raises(NoteError):
        parse_vkey(vkey)


def test_both_kinds_of_key_come_back_from_their_text():
    assert [parse_vkey(text) for text in KEYS.vkeys(ORIGIN)] == list(KEYS.verifier_keys(ORIGIN))


def test_a_log_key_of_small_order_signs_nothing():
    for point in torsion():
        key = VerifierKey(ORIGIN, KeyType.ED25519, encode(point))
        forged = key.line(encode(point) + bytes(32)).rstrip("\n")
        refused(note(forged, SECOND), Policy((key, POLICY.logs[1])))


def test_a_policy_may_have_comments_spaces_and_addresses():
    first, second = KEYS.vkeys(ORIGIN)
    text = f"# a policy\n\n \tlog  {second}\thttps://hub.xar.example/ \nquorum none\n  log {first}\n"
    assert parse_policy(text.encode()) == POLICY
    assert POLICY.origin == ORIGIN


@pytest.mark.parametrize(
    "lines",
    [
        "log {0}\nlog {1}\n",
        "log {0}\nquorum none\n",
        "log {1}\nquorum none\n",
        "quorum none\n",
        "log {0}\nlog {0}\nquorum none\n",
        "log {0}\nlog {1}\nlog {1}\nquorum none\n",
        "log {0}\nlog {2}\nquorum none\n",
        "log {0}\nlog {1}\nquorum none\nquorum none\n",
        "log {0}\nlog {1}\nquorum w\n",
        "log {0}\nlog {1}\nwitness w {1}\nquorum w\n",
        "log {0}\nlog {1}\ngroup g any w\nquorum g\n",
        "log {0} a b\nlog {1}\nquorum none\n",
        "log {0}\nlog {1}\nquorum none",
        "log {0}\r\nlog {1}\nquorum none\n",
        "log {0}\nlog {1}\nquorum none\nallow everything\n",
        "log x\nlog {1}\nquorum none\n",
    ],
)
def test_a_policy_lists_both_keys_of_one_log_and_nothing_it_cannot_keep(lines):
    with pytest.raises(NoteError):
        parse_policy(lines.format(*KEYS.vkeys(ORIGIN), KEYS.vkeys("other.example/log")[1]).encode())


def test_a_policy_is_at_most_64_kib():
    with pytest.raises(NoteError):
        parse_policy(b"#" * 65_536 + b"\n" + policy_without_witnesses(KEYS.vkeys(ORIGIN)))
