"""The verifier's own reader and canonical JSON accept exactly what the SDK's accept, and read the same out of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from builders_attack_evidence import receipt
from builders_envelope import INCARNATION, NOW, Stream, World, core, profile
from builders_identity import Seeded
from comity import canonical
from comity.envelope.core import LogSeen, Reference, Relation, decode_core, encode_core
from comity.envelope.evidence import (
    Ack,
    BatchSignature,
    SlotCode,
    decode_ack,
    decode_batch_signature,
    encode_ack,
    encode_batch_signature,
    sign_approval,
)
from comity.envelope.exported import decode_exported, encode_exported, export
from comity.envelope.forwarding import with_approvals
from comity.envelope.limits import SUCCESSORS
from comity.envelope.manifest import decode_manifest
from comity.envelope.profile import decode_profile, encode_profile
from comity.envelope.receipts import (
    SlotOutcome,
    SlotRecord,
    decode_receipt,
    decode_signed_receipt,
    decode_slot_record,
    encode_receipt,
    encode_signed_receipt,
    encode_slot_record,
    sign_receipts,
)
from comity.envelope.segment import Absent, parse_segment
from comity.errors import MalformedError
from comity.keys.signer import SoftSigner
from comity.suites import KeyRole, generate_signing
from comity.verify.records import FormError, read, read_exported
from comity.verify.table import read_json
from comity_policy.facts import Action, Addressee, PersonalData, PortionMarking, Role
from comity_policy.marking import CategoryKind, CategorySet, Label, Origin, OriginKind, Pap, Tlp

WORLD = World()
SIGNER = SoftSigner(generate_signing(1, Seeded("reader")), KeyRole.BROKER_SIGNING)
RICH = Label(
    policy="XAR",
    classification="SECRET",
    dissemination=frozenset({"ORCON", "RELIDO"}),
    releasable_to=frozenset({"XAR", "XBO"}),
    display_only=frozenset(),
    origin=Origin(OriginKind.JOINT, frozenset({"XAR", "XDE"})),
    tlp=Tlp.AMBER_STRICT,
    pap=Pap.RED,
    categories=(
        CategorySet("a", CategoryKind.PERMISSIVE, frozenset({"x", "y"})),
        CategorySet("é", CategoryKind.INFORMATIVE, None),
    ),
    review_at=NOW,
    successor=Label(policy="XAR", classification="RESTRICTED"),
)


@cache
def samples() -> dict[str, list[bytes]]:
    """Give encoded records, the rich and the plain."""
    rich = profile(
        WORLD.sender,
        portions=(PortionMarking(RICH, PersonalData.SPECIAL, 3, warn=True), PortionMarking(Label("XAR", "SECRET"))),
        addressees=(Addressee("XBO", Action.INFO, "desk", "ct", ""), Addressee("XBO"), Addressee("XDE", officer="o")),
        categories=("arms", "terrorism"),
        emergency=bytes(48),
        originator=replace(profile(WORLD.sender).originator, officer_fingerprint=bytes(48), officer_role=Role.LIAISON),
    )
    references = (
        Reference(Relation.RECALLS, bytes(16), bytes(48)),
        Reference(Relation.DERIVED_FROM, bytes(16), bytes(48)),
    )
    delivery = WORLD.delivery(2)
    leaf = parse_segment(delivery.data).items[0].leaf
    approvals = [sign_approval(SIGNER, leaf, Role.LIAISON, NOW)]
    segment = parse_segment(with_approvals(delivery.data, {0: approvals}))
    exported = export(
        segment,
        0,
        batch=delivery.batch,
        index=0,
        batch_path=(),
        key_packets=list(delivery.packets.values()),
    )
    item = replace(exported.item, stanzas=(Absent.WITHHELD,) * 2, ciphertexts=(Absent.UPLOADED, Absent.WITHHELD))
    bare = replace(exported, item=item, key_packets=(), batch_path=(bytes(48), bytes(48)))
    ack = Ack(1, "XAR-XBO-1", bytes(48), "default", NOW, LogSeen(INCARNATION, 3, bytes(32)), ((bytes(48), b"\1\6\0"),))
    batch = BatchSignature(1, "XAR-XBO-1", bytes(48), 7, bytes(3373))
    full = replace(receipt(), duplicates=((0, 5),), refusals=((1, SlotCode.POLICY), (2, SlotCode.PRUNED)))
    records = [encode_receipt(full), encode_receipt(receipt())]
    return {
        "profile": [encode_profile(rich), encode_profile(profile(WORLD.sender))],
        "core": [encode_core(core(WORLD.sender, 3, rich, refers_to=references)), encode_core(core(WORLD.sender))],
        "manifest": [one.manifest_bytes for _, one in segment.whole],
        "exported": [encode_exported(exported), encode_exported(bare)],
        "ack": [encode_ack(ack), encode_ack(replace(ack, segments=((bytes(48), b"\1"), (b"\1" * 48, b"\2"))))],
        "batch": [encode_batch_signature(batch)],
        "receipt": records,
        "signed": [encode_signed_receipt(one) for one in sign_receipts(SIGNER, bytes(48), records, Stream(b"r"))],
        "slot": [
            encode_slot_record(SlotRecord(3, SlotOutcome.REFUSED, bytes(48), bytes(16), SlotCode.REPLAYED, 2)),
            encode_slot_record(SlotRecord(0, SlotOutcome.PRUNED, bytes(48), b"", None, 0)),
        ],
    }


THEIRS: dict[str, Callable[[bytes], object]] = {
    "profile": decode_profile,
    "core": decode_core,
    "manifest": decode_manifest,
    "exported": decode_exported,
    "ack": decode_ack,
    "batch": decode_batch_signature,
    "receipt": decode_receipt,
    "signed": decode_signed_receipt,
    "slot": decode_slot_record,
}
OURS: dict[str, Callable[[bytes], object]] = {name: (lambda data, name=name: read(name, data)) for name in THEIRS} | {
    "exported": read_exported,
    "core": lambda data: read("profile", read("core", data)["profile"]),
}


def accepts(reader: Callable[[bytes], object], data: bytes) -> bool:
    try:
        reader(data)
    except (FormError, UnicodeDecodeError, MalformedError):
        return False
    return True


@pytest.mark.parametrize("name", THEIRS)
def test_what_the_sdk_writes_is_read(name):
    for data in samples()[name]:
        assert accepts(OURS[name], data)
        assert accepts(THEIRS[name], data)


@st.composite
def changes(draw: st.DrawFn) -> tuple[str, bytes]:
    """Give a record's name and bytes with one to three changes: a bit, a byte, a cut, a copy, a growth."""
    name = draw(st.sampled_from(sorted(THEIRS)))
    data = draw(st.sampled_from(samples()[name]))
    for _ in range(draw(st.integers(1, 3))):
        # Most of a record's structure lies at its beginning; ciphertexts and signatures are long and formless.
        place = draw(st.integers(0, min(len(data), 400))) if draw(st.booleans()) else draw(st.integers(0, len(data)))
        match draw(st.sampled_from(["set", "step", "cut", "insert", "copy"])):
            case "set":
                data = data[:place] + draw(st.binary(min_size=1, max_size=4)) + data[place + 1 :]
            case "step" if place < len(data):
                data = data[:place] + bytes([(data[place] + draw(st.sampled_from([1, 255]))) % 256]) + data[place + 1 :]
            case "cut":
                data = data[:place] + data[place + draw(st.integers(1, 60)) :]
            case "insert":
                data = data[:place] + draw(st.binary(max_size=8)) + data[place:]
            case "copy":
                size = draw(st.integers(1, 120))
                data = data[:place] + data[place : place + size] + data[place:]
    return name, data


@given(changes())
def test_the_two_readers_agree_on_every_changed_record(change):
    name, data = change
    assert accepts(OURS[name], data) == accepts(THEIRS[name], data)


@given(st.sampled_from(sorted(THEIRS)), st.binary(max_size=300))
def test_the_two_readers_agree_on_any_bytes(name, data):
    assert accepts(OURS[name], data) == accepts(THEIRS[name], data)


@pytest.mark.parametrize("name", ["slot", "ack", "receipt", "signed", "batch", "core", "profile"])
def test_the_two_readers_agree_on_every_single_byte_change(name):
    for data in samples()[name]:
        for place in range(min(len(data), 700)):
            for value in (data[place] ^ 1, data[place] ^ 0x80, 0, 255, (data[place] + 1) % 256):
                changed = data[:place] + bytes([value]) + data[place + 1 :]
                assert accepts(OURS[name], changed) == accepts(THEIRS[name], changed), (place, value)


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17])
def test_a_field_of_fixed_size_is_that_long_or_empty(size):
    head = bytes(4) + b"\1" + bytes(48)
    data = head + size.to_bytes(4, "big") + bytes(size) + b"\0" + bytes(4)
    assert accepts(OURS["slot"], data) == accepts(THEIRS["slot"], data) == (size in (0, 16))


@pytest.mark.parametrize("successors", [SUCCESSORS - 1, SUCCESSORS, SUCCESSORS + 1])
def test_the_two_readers_agree_on_how_deep_labels_may_lie(successors):
    label = Label("XAR", "UNCLASSIFIED")
    data = _label(label, successors)
    encoded = _with_label(data)
    assert accepts(OURS["profile"], encoded) == accepts(THEIRS["profile"], encoded) == (successors <= SUCCESSORS)


def _label(label: Label, successors: int) -> bytes:
    """Encode a label with so many successors inside one another, by hand: the SDK writes no more than it may."""
    from comity.envelope.profile import encode_label

    data = encode_label(label)
    inner = data
    for _ in range(successors):
        inner = data[:-4] + len(inner).to_bytes(4, "big") + inner
    return inner


def _with_label(label: bytes) -> bytes:
    plain = profile(WORLD.sender, portions=(PortionMarking(Label("XAR", "UNCLASSIFIED")),))
    data = encode_profile(plain)
    own = _label(Label("XAR", "UNCLASSIFIED"), 0)
    place = data.rindex(len(own).to_bytes(4, "big") + own)
    return data[:place] + len(label).to_bytes(4, "big") + label + data[place + 4 + len(own) :]


def test_the_values_read_are_the_values_written():
    (data, _) = samples()["exported"]
    ours, theirs = read_exported(data), decode_exported(data)
    assert ours["leaf"] == theirs.item.leaf
    assert (ours["slot"], ours["leaves"], ours["path"]) == (theirs.slot, theirs.leaf_count, list(theirs.path))
    rows = [(row["party"], row["key"], tuple(row["indices"]), row["digest"]) for row in ours["manifest"]["rows"]]
    assert rows == [(row.party, row.fingerprint, row.indices, row.digest) for row in theirs.item.manifest.rows]
    read_core, core_ = ours["manifest"]["core"], theirs.item.core
    assert (read_core["report_id"], read_core["origin_sequence"]) == (core_.report_id, core_.origin_sequence)
    assert read_core["profile"]["key_set"] == core_.profile.key_set
    assert ours["batch"]["signature"] == theirs.batch.signature
    assert [one["officer"] for one in ours["approvals"]] == [one.officer_fingerprint for one in theirs.item.approvals]


# --- canonical JSON -------------------------------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


def json_accepts(load: Callable[[bytes], object], data: bytes) -> bool:
    try:
        load(data)
    except (FormError, MalformedError):
        return False
    return True


@given(json_values)
def test_canonical_json_reads_back(value):
    try:
        data = canonical.dumps(value)
    except MalformedError:
        return
    assert read_json(data) == value


@given(json_values, st.integers(0, 60), st.binary(max_size=2), st.integers(0, 2))
@example({"\ue000": 1, "\U00010000": 2}, 0, b"", 0)
def test_the_two_readers_of_json_agree(value, place, put, taken):
    try:
        data = canonical.dumps(value)
    except MalformedError:
        return
    data = data[:place] + put + data[place + taken :]
    assert json_accepts(read_json, data) == json_accepts(canonical.loads, data)


@pytest.mark.parametrize(
    "data",
    [
        b'{"a":1,"a":1}',
        b'{"b":1,"a":1}',
        b"1.0",
        b"1e3",
        b"NaN",
        b"-0",
        b"9007199254740992",
        b'"\\u0041"',
        b'"\\/"',
        b'"\\ud800"',
        b"\xff",
        b"\xef\xbb\xbf1",
        b" 1",
        b"[" * 100_000,
        b"",
        '"é"'.encode("utf-16"),
    ],
)
def test_what_is_not_canonical_json_is_refused_by_both(data):
    assert not json_accepts(read_json, data)
    assert not json_accepts(canonical.loads, data)
