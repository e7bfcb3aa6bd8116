"""Records: strict reading, strict writing, every limit of primitives, labels, profiles and cores."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from dataclasses import replace

import pytest

from builders_envelope import NOW, RELEASABLE, NodeKeys, core, profile, refused
from comity.envelope import chunked, packets, tree
from comity.envelope.core import LogSeen, Reference, Relation, core_hash, decode_core, encode_core
from comity.envelope.manifest import leaf as manifest_leaf
from comity.envelope.profile import (
    ProfileMemo,
    decode_label,
    decode_profile,
    encode_label,
    encode_profile,
    transport_class,
)
from comity.envelope.records import Reader, flag, listed, text, text_set, u32, u64, variable
from comity.errors import ErrorCode, MalformedError
from comity.pae import pae
from comity_policy.facts import Addressee, Kind, PortionMarking, Precedence, Role
from comity_policy.marking import CategoryKind, CategorySet

SENDER = NodeKeys.generate("XAR", "n1")
PROFILE = profile(SENDER)
CORE = core(SENDER)


# --- primitives --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [2, 3, 255])
def test_a_flag_is_0_or_1(value: int) -> None:
    refused(Reader(bytes([value]), "x").flag)


@pytest.mark.parametrize("value", [0, 12, 255])
def test_an_undeclared_enum_value_is_refused(value: int) -> None:
    refused(lambda: Reader(bytes([value]), "x").enum(Kind))


def test_an_integer_stays_below_2_to_the_53() -> None:
    assert Reader(u64(2**53 - 1), "x").u64() == 2**53 - 1
    refused(Reader(struct.pack(">Q", 2**53), "x").u64, code=ErrorCode.LIMIT_EXCEEDED)
    refused(lambda: u64(2**53))
    refused(lambda: u32(-1))


@pytest.mark.parametrize("character", ["\x00", "\n", "\x1f", "\x7f", "\x80", "\x9f"])
def test_text_has_no_control_characters(character: str) -> None:
    refused(lambda: text(f"a{character}"))
    raw = f"a{character}".encode()
    refused(Reader(struct.pack(">I", len(raw)) + raw, "x").text)


@pytest.mark.parametrize("value", ["\xa0", "e\u0301", "\u00e9", "\u2028", "\ufeff", "\U0001f6a2"])
def test_text_stands_as_it_is_without_normalisation(value: str) -> None:
    assert Reader(text(value), "x").text() == value


@pytest.mark.parametrize("raw", [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf5\x80\x80\x80"])
def test_text_is_valid_utf_8(raw: bytes) -> None:
    refused(Reader(variable(raw, 10), "x").text)


def test_a_lone_surrogate_is_not_written() -> None:
    refused(lambda: text("\ud800"))


def test_text_is_empty_only_where_it_may_be() -> None:
    refused(Reader(bytes(4), "x").text)
    assert Reader(bytes(4), "x").text(empty=True) == ""
    refused(lambda: text(""))


def test_text_has_at_most_1024_bytes() -> None:
    assert Reader(text("x" * 1024), "x").text() == "x" * 1024
    refused(lambda: text("é" * 513), code=ErrorCode.LIMIT_EXCEEDED)
    refused(Reader(struct.pack(">I", 1025) + bytes(1025), "x").text, code=ErrorCode.LIMIT_EXCEEDED)


def test_a_count_is_compared_with_the_bytes_left_before_anything_is_built() -> None:
    huge = Reader(struct.pack(">I", 60) + bytes(100), "x")
    refused(lambda: huge.count(64, 48, "hashes"))
    refused(lambda: Reader(struct.pack(">I", 2**32 - 1), "x").count(64, 48, "h"), code=ErrorCode.LIMIT_EXCEEDED)


@pytest.mark.parametrize("values", [["b", "a"], ["a", "a"], ["aa", "a"]])
def test_a_set_ascends_strictly(values: list[str]) -> None:
    data = listed([text(value) for value in values], 64)
    refused(lambda: Reader(data, "x").text_set(64, "names"))


def test_a_set_of_texts_ascends_by_utf_8_without_the_length() -> None:
    written = text_set(["b", "aaa", "é", "Z"], 64)
    assert Reader(written, "x").text_set(64, "names") == ("Z", "aaa", "b", "é")
    refused(lambda: text_set(["a", "a"], 64))


def test_absent_and_empty_sets_differ() -> None:
    assert Reader(flag(False) + u32(0), "x").optional_text_set(64, "p") is None
    assert Reader(flag(True) + u32(0), "x").optional_text_set(64, "p") == frozenset()
    refused(lambda: Reader(flag(False) + u32(1) + text("XAR"), "x").optional_text_set(64, "p"))


@pytest.mark.parametrize("size", [1, 47, 49])
def test_a_fixed_field_that_may_be_empty_has_no_other_length(size: int) -> None:
    with pytest.raises(MalformedError):
        Reader(u32(size) + bytes(size), "x").fixed_or_empty(48, "a digest")
    assert Reader(u32(0), "x").fixed_or_empty(48, "a digest") == b""


@pytest.mark.parametrize("read", ["u8", "u16", "u32", "u64", "flag", "text"])
def test_a_record_that_ends_too_early_is_refused(read: str) -> None:
    refused(getattr(Reader(b"", "x"), read))


# --- label, profile, core ----------------------------------------------------------------------------------------------

DECODERS: dict[str, tuple[Callable[[bytes], object], bytes]] = {
    "label": (decode_label, encode_label(RELEASABLE)),
    "profile": (decode_profile, encode_profile(PROFILE)),
    "core": (decode_core, encode_core(CORE)),
}


@pytest.mark.parametrize("name", DECODERS)
def test_trailing_bytes_and_every_truncation_refuse(name: str) -> None:
    decode, data = DECODERS[name]
    decode(data)
    refused(lambda: decode(data + b"\x00"))
    for length in range(len(data)):
        with pytest.raises(MalformedError):
            decode(data[:length])


def test_a_profile_comes_back_as_it_was() -> None:
    assert decode_profile(encode_profile(PROFILE)) == PROFILE


@pytest.mark.parametrize(
    "changes",
    [
        {"portions": ()},
        {"portions": (PortionMarking(RELEASABLE),) * 65},
        {"addressees": ()},
        {"addressees": (Addressee("XBO"), Addressee("XBO"))},
        {"addressees": tuple(Addressee(f"X{i}") for i in range(257))},
        {"categories": tuple(f"c{i}" for i in range(65))},
        {"categories": ("a", "a")},
        {"purpose": ""},
        {"agreement_id": "x" * 1025},
        {"key_set": bytes(47)},
        {"emergency": bytes(1)},
        {"statements_seen": 2**32},
        {"portions": (PortionMarking(replace(RELEASABLE, dissemination=frozenset(map(str, range(65))))),)},
        {"portions": (PortionMarking(RELEASABLE, persons=-1),)},
        {"portions": (PortionMarking(replace(RELEASABLE, classification="y" * 1000)),) * 64, "purpose": "z" * 1000},
    ],
    ids="-".join,
)
def test_a_profile_over_a_limit_is_not_written(changes: dict[str, object]) -> None:
    with pytest.raises(MalformedError):
        encode_profile(replace(PROFILE, **changes))


def test_an_officer_has_fingerprint_and_role_or_neither() -> None:
    alone = replace(PROFILE.originator, officer_role=Role.LIAISON)
    refused(lambda: encode_profile(replace(PROFILE, originator=alone)))
    both = replace(PROFILE.originator, officer_role=Role.LIAISON, officer_fingerprint=bytes(48))
    data = encode_profile(replace(PROFILE, originator=both))
    broken = data.replace(bytes(48) + bytes([Role.LIAISON]), bytes(48) + b"\x00", 1)
    assert broken != data
    refused(lambda: decode_profile(broken))


def test_a_label_has_at_most_16_successors() -> None:
    label = RELEASABLE
    for _ in range(16):
        label = replace(RELEASABLE, successor=label)
    data = encode_label(label)
    assert decode_label(data) == label
    with pytest.raises(MalformedError):
        encode_label(replace(RELEASABLE, successor=label))
    deep = data
    for _ in range(900):
        head = encode_label(RELEASABLE)[:-4]
        deep = head + struct.pack(">I", len(deep)) + deep
        if len(deep) > 60_000:
            break
    with pytest.raises(MalformedError):
        decode_label(deep)


def test_category_sets_ascend_by_tag_and_tags_are_unique() -> None:
    first, second = (CategorySet(tag, CategoryKind.RESTRICTIVE, None) for tag in ("a", "b"))
    good = encode_label(replace(RELEASABLE, categories=(second, first)))
    assert decode_label(good).categories == (first, second)
    refused(lambda: encode_label(replace(RELEASABLE, categories=(first, first))))
    swapped = good.replace(text("a"), b"\x00\x00\x00\x01#").replace(text("b"), text("a")).replace(text("#"), text("b"))
    refused(lambda: decode_label(swapped))


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2},
        {"origin_sequence": 0},
        {"origin_sequence": 2**53},
        {"not_before": NOW - 1},
        {"expires_at": NOW},
        {"expires_at": 2**53},
        {"report_id": bytes(16)},
        {"report_id": b"\x77" * 16},
        {"origin_epoch": bytes(15)},
        {"agreement_log_seen": LogSeen(bytes(16), 2**53, bytes(32))},
        {"agreement_log_seen": LogSeen(bytes(16), 1, b"")},
        {"key_log_seen": LogSeen(bytes(15), 1, bytes(32))},
        {"refers_to": (Reference(Relation.RECALLS, bytes(16), bytes(47)),)},
        {"refers_to": (Reference(Relation.RECALLS, bytes(16), bytes(48)),) * 2},
        {"refers_to": tuple(Reference(Relation.RECALLS, bytes(16), bytes([i]) * 48) for i in range(65))},
    ],
    ids="-".join,
)
def test_a_core_that_breaks_a_rule_is_not_written(changes: dict[str, object]) -> None:
    with pytest.raises(MalformedError):
        encode_core(replace(CORE, **changes))


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        (0, b"\x00\x02"),
        (8, b"\x40"),
        (10, b"\x00"),
        (34, bytes(8)),
        (34, b"\xff" * 8),
        (42, b"\xff" * 8),
        (58, bytes(8)),
    ],
)
def test_a_core_that_breaks_a_rule_is_not_read(offset: int, value: bytes) -> None:
    data = encode_core(CORE)
    with pytest.raises(MalformedError):
        decode_core(data[:offset] + value + data[offset + len(value) :])


def test_references_ascend_strictly() -> None:
    two = tuple(Reference(Relation.RECALLS, bytes([i]) * 16, bytes(48)) for i in (2, 1))
    data = encode_core(replace(CORE, refers_to=two))
    assert decode_core(data).refers_to == two[::-1]
    start = len(encode_core(CORE)) - len(encode_profile(PROFILE)) - 4
    first, second = data[start : start + 65], data[start + 65 : start + 130]
    refused(lambda: decode_core(data[:start] + second + first + data[start + 130 :]))
    refused(lambda: decode_core(data[:start] + first + first + data[start + 130 :]))


@pytest.mark.parametrize(
    ("kind", "precedence", "exercise", "expected"),
    [
        (Kind.REPORT, Precedence.FLASH, False, 1),
        (Kind.RFI, Precedence.ROUTINE, False, 4),
        (Kind.RECALL, Precedence.ROUTINE, False, 0),
        (Kind.RECALL, Precedence.FLASH, True, 5),
        (Kind.PLAN, Precedence.FLASH, True, 6),
        (Kind.PLAN, Precedence.ROUTINE, True, 9),
    ],
)
def test_class_follows_kind_precedence_and_exercise(
    kind: Kind, precedence: Precedence, exercise: bool, expected: int
) -> None:
    assert transport_class(replace(PROFILE, kind=kind, precedence=precedence, exercise=exercise)) == expected


def test_a_memo_gives_the_same_profile_for_the_same_bytes_and_stays_within_its_bytes() -> None:
    one = encode_profile(PROFILE)
    memo = ProfileMemo(capacity_bytes=3 * len(one))
    assert memo.decode(one) is memo.decode(bytes(bytearray(one)))
    for number in range(20):
        memo.decode(encode_profile(replace(PROFILE, statements_seen=number)))
    assert memo.size_bytes <= 3 * len(one)
    refused(lambda: memo.decode(one[:-1]))
    assert memo.decode(one) == PROFILE


def test_hot_paes_are_what_pae_gives() -> None:
    digest, other = bytes(range(48)), bytes(range(1, 49))
    assert chunked.portion_context(digest, 3) == pae("portion", digest, 3)
    joined = b"\x00\x00\x00\x01\x00\x00\x00\x05"
    assert packets.stanza_context(digest, other, "XÖ", digest, (1, 5)) == pae(
        "stanza", digest, other, "XÖ", digest, joined
    )
    assert manifest_leaf(b"manifest") == tree.labelled_leaf("manifest", b"manifest")
    assert core_hash(b"core") == hashlib.sha384(pae("core", b"core")).digest()
