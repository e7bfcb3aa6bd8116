"""Properties of the envelope's codecs: one value has one encoding, and hostile bytes never do more than be refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders_attack_evidence import receipt
from builders_envelope import AGREEMENT, NOW, World, core, leaves, portion, profile
from comity.envelope import chunked, padding, tree
from comity.envelope.checks import admit
from comity.envelope.core import Core, LogSeen, Reference, Relation, decode_core, encode_core, profile_bytes
from comity.envelope.evidence import (
    Ack,
    BatchSignature,
    VerifiedBatches,
    decode_ack,
    decode_batch_signature,
    encode_ack,
    encode_batch_signature,
    sign_approval,
)
from comity.envelope.exported import decode_exported, encode_exported, export
from comity.envelope.forwarding import deliverable, with_approvals
from comity.envelope.manifest import decode_manifest, encode_manifest
from comity.envelope.open import NotOpened, OpenedPortion, OpenedReport
from comity.envelope.profile import decode_label, decode_profile, encode_label, encode_profile
from comity.envelope.receipts import (
    SignedReceipt,
    SlotOutcome,
    SlotRecord,
    decode_receipt,
    decode_signed_receipt,
    decode_slot_record,
    encode_receipt,
    encode_signed_receipt,
    encode_slot_record,
)
from comity.envelope.seal import SealInput
from comity.envelope.segment import parse_segment
from comity.errors import MalformedError, RejectedError
from comity_policy.facts import (
    Action,
    Addressee,
    Kind,
    Originator,
    PersonalData,
    PortionMarking,
    Precedence,
    Profile,
    Role,
)
from comity_policy.marking import CategoryKind, CategorySet, Label, Origin, OriginKind, Pap, Tlp

WORLD = World()
texts = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=6)
text_sets = st.frozensets(texts, max_size=3)
optional_sets = st.none() | text_sets
digests = st.binary(min_size=48, max_size=48)
numbers = st.integers(0, 2**53 - 1)
counts = st.integers(0, 2**32 - 1)


def categories() -> st.SearchStrategy[tuple[CategorySet, ...]]:
    one = st.builds(CategorySet, texts, st.sampled_from(CategoryKind), optional_sets)
    return st.lists(one, max_size=3, unique_by=lambda item: item.tag).map(
        lambda items: tuple(sorted(items, key=lambda item: item.tag.encode()))
    )


labels = st.recursive(
    st.builds(
        Label,
        policy=texts,
        classification=texts,
        dissemination=text_sets,
        releasable_to=optional_sets,
        display_only=optional_sets,
        origin=st.builds(Origin, st.sampled_from(OriginKind), text_sets),
        tlp=st.none() | st.sampled_from(Tlp),
        pap=st.none() | st.sampled_from(Pap),
        categories=categories(),
        review_at=numbers,
    ),
    lambda inner: st.builds(lambda label, successor: replace(label, successor=successor), inner, inner),
    max_leaves=3,
)
empty_or_text = st.just("") | texts
addressees = st.builds(Addressee, texts, st.sampled_from(Action), empty_or_text, empty_or_text, empty_or_text)


def _encoded_addressee(item: Addressee) -> bytes:
    return b"".join(
        len(value.encode()).to_bytes(4, "big") + value.encode()
        for value in (item.party, item.office, item.community, item.officer)
    ) + bytes([item.action])


originators = st.builds(Originator, texts, texts) | st.builds(Originator, texts, texts, digests, st.sampled_from(Role))
profiles = st.builds(
    Profile,
    suite=st.integers(0, 2**16 - 1),
    originator=originators,
    key_set=digests,
    agreement_id=texts,
    agreement_digest=digests,
    statements_seen=counts,
    precedence=st.sampled_from(Precedence),
    exercise=st.booleans(),
    kind=st.sampled_from(Kind),
    categories=text_sets.map(lambda items: tuple(sorted(items, key=str.encode))),
    purpose=texts,
    emergency=st.just(b"") | digests,
    addressees=st.lists(addressees, min_size=1, max_size=3, unique=True).map(
        lambda items: tuple(sorted(items, key=_encoded_addressee))
    ),
    approvals_required=counts,
    portions=st.lists(
        st.builds(PortionMarking, labels, st.sampled_from(PersonalData), counts, st.booleans()), min_size=1, max_size=3
    ).map(tuple),
)
uuids = st.binary(min_size=16, max_size=16)
seen = st.builds(LogSeen, uuids, numbers, st.binary(min_size=32, max_size=32))


@st.composite
def cores(draw: st.DrawFn) -> Core:
    created, later, last = sorted(draw(st.tuples(numbers, numbers, numbers)))
    raw = bytearray(draw(uuids))
    raw[6], raw[8] = 0x70 | raw[6] & 15, 0x80 | raw[8] & 63
    references = draw(
        st.lists(st.builds(Reference, st.sampled_from(Relation), uuids, digests), max_size=3, unique=True)
    )
    return Core(
        report_id=bytes(raw),
        origin_epoch=draw(uuids),
        origin_sequence=draw(st.integers(1, 2**53 - 1)),
        created_at=created,
        not_before=min(later, last - 1) if last > created else later,
        expires_at=last if last > created else last + 1,
        agreement_log_seen=draw(seen),
        key_log_seen=draw(seen),
        refers_to=tuple(sorted(references)),
        profile=draw(profiles),
    )


@given(labels)
def test_a_label_comes_back_as_it_was(label: Label) -> None:
    assert decode_label(encode_label(label)) == label


@given(profiles)
@settings(max_examples=60)
def test_a_profile_comes_back_as_it_was(value: Profile) -> None:
    assert decode_profile(encode_profile(value)) == value


@given(cores())
@settings(max_examples=60)
def test_a_core_comes_back_as_it_was(value: Core) -> None:
    try:
        data = encode_core(value)
    except MalformedError:
        assert value.expires_at >= 2**53
        return
    assert decode_core(data) == value
    assert profile_bytes(data, value) == encode_profile(value.profile)


# --- hostile bytes --------------------------------------------------------------------------------------------------

SEALED = WORLD.seal(3)
BATCH = WORLD.sign(SEALED.segment_id)
APPROVED = with_approvals(SEALED.data, {1: [sign_approval(WORLD.sender.signer, SEALED.leaves[1], Role.LIAISON, NOW)]})
ALONE = export(
    parse_segment(APPROVED),
    1,
    batch=BATCH.signature,
    index=0,
    batch_path=(),
    key_packets=[packet.data for packet in SEALED.packets],
)
ACK = Ack(1, AGREEMENT, bytes(48), "default", NOW, LogSeen(bytes(16), 1, bytes(32)), ((bytes(48), b"\x01\x06"),))
FULL_PROFILE = profile(
    WORLD.sender,
    originator=Originator("XAR", "n1", bytes(48), Role.LIAISON),
    addressees=(Addressee("XBO"), Addressee("XDE", Action.INFO, office="x")),
    categories=("a", "b"),
)


def _again(data: bytes) -> bytes:
    parse_segment(data)
    return deliverable(data, (), {})


# Name: honest bytes, and reading followed by writing.
CODECS: dict[str, tuple[bytes, Callable[[bytes], bytes]]] = {
    "profile": (encode_profile(FULL_PROFILE), lambda data: encode_profile(decode_profile(data))),
    "core": (encode_core(core(WORLD.sender, of=FULL_PROFILE)), lambda data: encode_core(decode_core(data))),
    "manifest": (
        parse_segment(SEALED.data).whole[0][1].manifest_bytes,
        lambda data: encode_manifest(decode_manifest(data)),
    ),
    "segment": (APPROVED, _again),
    "batch": (
        encode_batch_signature(BatchSignature(1, AGREEMENT, bytes(48), 3, b"signature")),
        lambda data: encode_batch_signature(decode_batch_signature(data)),
    ),
    "ack": (encode_ack(ACK), lambda data: encode_ack(decode_ack(data))),
    "receipt": (encode_receipt(receipt()), lambda data: encode_receipt(decode_receipt(data))),
    "signed receipt": (
        encode_signed_receipt(SignedReceipt(b"record", 3, (bytes(48),) * 6, b"signature")),
        lambda data: encode_signed_receipt(decode_signed_receipt(data)),
    ),
    "slot record": (
        encode_slot_record(SlotRecord(3, SlotOutcome.ADMITTED, bytes(48), bytes(16), None, 1)),
        lambda data: encode_slot_record(decode_slot_record(data)),
    ),
    "exported": (encode_exported(ALONE), lambda data: encode_exported(decode_exported(data))),
    "portion": (
        padding.encode_portion(padding.encode_header({"title": "x"}), b"content"),
        lambda data: _portion_again(*padding.decode_portion(data)),
    ),
}


def _portion_again(header: padding.Header, content: bytes) -> bytes:
    return padding.encode_portion(padding.encode_header(header), content)


@st.composite
def mutations(draw: st.DrawFn, data: bytes) -> bytes:
    """Change, insert, delete or repeat a few bytes, mostly where structure stands rather than in long bodies."""
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, min(len(data), 400)) | st.integers(0, len(data)))
        how = draw(st.sampled_from(["set", "flip", "insert", "delete", "repeat", "cut"]))
        if how == "set":
            data = data[:at] + draw(st.binary(min_size=1, max_size=8)) + data[at + 8 :]
        elif how == "flip" and at < len(data):
            data = data[:at] + bytes([data[at] ^ 1 << draw(st.integers(0, 7))]) + data[at + 1 :]
        elif how == "insert":
            data = data[:at] + draw(st.binary(min_size=1, max_size=5)) + data[at:]
        elif how == "delete":
            data = data[:at] + data[at + draw(st.integers(1, 60)) :]
        elif how == "repeat":
            data = data[:at] + data[at : at + draw(st.integers(1, 60))] * 2 + data[at:]
        else:
            data = data[:at]
    return data


@pytest.mark.parametrize("name", CODECS)
def test_honest_bytes_come_back_as_they_were(name: str) -> None:
    data, again = CODECS[name]
    assert again(data) == data


@pytest.mark.parametrize("name", CODECS)
@given(random=st.data())
@settings(max_examples=120)
def test_any_change_of_bytes_is_refused_or_is_itself_canonical(name: str, random: st.DataObject) -> None:
    honest, again = CODECS[name]
    changed = random.draw(mutations(honest))
    try:
        written = again(changed)
    except MalformedError:
        return
    assert written == changed


@pytest.mark.parametrize("name", CODECS)
@given(data=st.binary(max_size=300))
@settings(max_examples=40)
def test_any_bytes_at_all_are_refused_or_are_canonical(name: str, data: bytes) -> None:
    _, again = CODECS[name]
    try:
        written = again(data)
    except MalformedError:
        return
    assert written == data


@given(changed=mutations(SEALED.data))
@settings(max_examples=150)
def test_no_change_of_a_signed_segment_is_admitted_but_of_what_lies_beside_manifests(changed: bytes) -> None:
    try:
        segment = parse_segment(changed)
        verified = admit(
            segment,
            BATCH.signature,
            BATCH.segment_ids,
            0,
            WORLD.sender.signing_node,
            caller=("XAR", "n1"),
            memo=MEMO,
        )
    except (MalformedError, RejectedError):
        return
    # Only pruning a slot keeps both the segment id and complete bodies.
    assert verified.segment.segment_id == SEALED.segment_id
    assert segment.leaves == SEALED.leaves
    for (_, ours), (_, theirs) in zip(segment.whole, parse_segment(SEALED.data).whole, strict=False):
        assert ours.manifest_bytes == theirs.manifest_bytes


MEMO = VerifiedBatches()


@given(changed=mutations(SEALED.packets[1].data), slot=st.integers(0, 2))
@settings(max_examples=40)
def test_a_changed_key_packet_never_opens(changed: bytes, slot: int) -> None:
    if changed == SEALED.packets[1].data:
        return
    verified = admit(
        parse_segment(SEALED.data),
        BATCH.signature,
        BATCH.segment_ids,
        0,
        WORLD.sender.signing_node,
        caller=None,
        memo=MEMO,
    )
    names = {packet.packet_id: changed for packet in SEALED.packets}
    assert isinstance(WORLD.reader.opener().open_slot(verified, slot, names, lambda _: None), NotOpened)


# --- sealing and opening --------------------------------------------------------------------------------------------


@given(
    contents=st.lists(st.binary(max_size=3000), min_size=1, max_size=4),
    given_to=st.integers(1, 15),
    title=st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
)
@settings(max_examples=30)
def test_a_reader_gets_exactly_the_portions_given_to_it(contents: list[bytes], given_to: int, title: str) -> None:
    indices = tuple(i for i in range(len(contents)) if given_to >> i & 1) or (0,)
    shared = profile(WORLD.sender, portions=(profile(WORLD.sender).portions[0],) * len(contents))
    parts = tuple(replace(portion("", title=title), content=content) for content in contents)
    sealed = WORLD.sender.sealer().seal_segment(
        [SealInput(core(WORLD.sender, 1, shared), parts, ((WORLD.reader.recipient, indices),))]
    )
    batch = WORLD.sign(sealed.segment_id)
    verified = admit(
        parse_segment(sealed.data),
        batch.signature,
        batch.segment_ids,
        0,
        WORLD.sender.signing_node,
        caller=("XAR", "n1"),
        memo=MEMO,
    )
    came = {packet.packet_id: packet.data for packet in sealed.packets}
    opened = WORLD.reader.opener().open_slot(verified, 0, came, lambda _: None)
    assert isinstance(opened, OpenedReport)
    got = {part.index: (part.content, part.header) for part in opened.portions if isinstance(part, OpenedPortion)}
    header = {"media_type": "text/plain", "title": title}
    assert got == {index: (contents[index], header) for index in indices}


@given(st.integers(12, 1 << 40))
def test_padding_adds_less_than_an_eighth_beyond_the_least(used: int) -> None:
    padded = padding.padded_size(used)
    assert padded >= max(used, 1024)
    assert padded <= 1024 or padded - used < used / 8


@given(st.binary(max_size=40_000), st.lists(st.integers(0, 40_000), max_size=4))
@settings(max_examples=25)
def test_streams_and_wholes_are_the_same_ciphertext_format(content: bytes, cuts: list[int]) -> None:
    bounds = [0, *sorted(cuts), len(content)]
    pieces = [content[a:b] for a, b in pairwise(bounds)]
    sealed = b"".join(chunked.seal_stream(bytes(32), b"context", pieces))
    assert len(sealed) == chunked.ciphertext_size(len(content))
    assert chunked.open_whole(bytes(32), b"context", sealed) == content
    halves = [sealed[: len(sealed) // 2], sealed[len(sealed) // 2 :]]
    assert b"".join(chunked.open_stream(bytes(32), b"context", halves)) == content


@given(st.integers(1, 300), st.data())
@settings(max_examples=60)
def test_a_path_proves_one_place_only(count: int, random: st.DataObject) -> None:
    rows = tree.levels(leaves(count))
    index = random.draw(st.integers(0, count - 1))
    path = tree.path(rows, index)
    assert tree.root_from_path(rows[0][index], index, count, path) == rows[-1][0]
    other = random.draw(st.integers(0, count - 1))
    if other != index:
        assert tree.root_from_path(rows[0][index], other, count, path) != rows[-1][0]
