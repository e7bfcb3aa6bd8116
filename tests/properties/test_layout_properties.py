"""Manifests of a run are read by what differs and written by what they share: never otherwise than one by one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders_envelope import World
from comity.envelope.core import Core, decode_core
from comity.envelope.item_layout import ItemLayout
from comity.envelope.layout import ManifestReader
from comity.envelope.manifest import Manifest, ManifestForm, PortionDigest, StanzaRow, decode_manifest, encode_manifest
from comity.envelope.segment import (
    Absent,
    Body,
    SegmentHead,
    encode_pruned_item,
    encode_segment,
    encode_whole_item,
    parse_segment,
)
from comity.errors import MalformedError
from comity_policy.facts import Precedence

WORLD = World()
RUN = [item.manifest_bytes for item in WORLD.delivery(3).segment.items]

digests = st.binary(min_size=48, max_size=48)
lengths = st.integers(0, 1 << 36)


def alone(data: bytes) -> tuple[Manifest, Core] | str:
    try:
        manifest = decode_manifest(data)
        return manifest, decode_core(manifest.core)
    except MalformedError as error:
        return type(error).__name__


def in_a_run(data: bytes) -> tuple[Manifest, Core] | str:
    """Read it as the last of a run that begins with `RUN`'s first two."""
    read = ManifestReader(None)
    for one in RUN[:2]:
        read(one)
    try:
        return read(data)
    except MalformedError as error:
        return type(error).__name__


def test_the_second_of_a_run_is_read_by_its_layout() -> None:
    read = ManifestReader(None)
    first, second, third = (read(one) for one in RUN)
    assert first[0].layout is None
    assert second[0].layout is not None
    assert second[0].layout is third[0].layout
    assert [first, second, third] == [alone(one) for one in RUN]
    assert second[1].profile is third[1].profile


@given(st.integers(0, len(RUN[2]) - 1), st.integers(0, 255))
def test_any_byte_may_differ(place: int, byte: int) -> None:
    data = RUN[2][:place] + bytes([byte]) + RUN[2][place + 1 :]
    assert in_a_run(data) == alone(data)


@given(st.binary(max_size=40), st.integers(0, len(RUN[2])), st.integers(0, 40))
def test_bytes_may_be_put_in_and_left_out(put: bytes, place: int, left_out: int) -> None:
    data = RUN[2][:place] + put + RUN[2][place + left_out :]
    assert in_a_run(data) == alone(data)


SEGMENT = WORLD.delivery(4).segment
OTHER = WORLD.delivery(1, precedence=Precedence.PRIORITY).segment
HEAD = SegmentHead(SEGMENT.agreement_id, SEGMENT.origin_epoch, SEGMENT.transport_class, SEGMENT.first_origin_sequence)
WHOLE = [
    encode_whole_item(item.manifest_bytes, item.stanzas, item.ciphertexts, item.approvals) for _, item in SEGMENT.whole
]


def items_of(encoded: list[bytes]) -> list[object] | str:
    """Give the items of a segment of these, or which error it is refused with."""
    try:
        return list(parse_segment(encode_segment(HEAD, encoded)).items)
    except MalformedError as error:
        return type(error).__name__


def one_by_one(encoded: list[bytes]) -> list[object] | str:
    """Give the same, each item read as the only one of its segment."""
    found: list[object] = []
    for one in encoded:
        read = items_of([one])
        if isinstance(read, str):
            return read
        found += read
    return found


def test_the_third_item_of_a_run_is_read_by_its_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    monkeypatch.setattr(
        ItemLayout, "read", lambda self, data, start, of=ItemLayout.read: read.append(start) or of(self, data, start)
    )
    assert items_of(WHOLE) == one_by_one(WHOLE)
    assert len(read) == 2
    run = parse_segment(encode_segment(HEAD, WHOLE)).whole
    assert run[1][1].manifest.layout is run[3][1].manifest.layout


@given(st.integers(0, len(WHOLE[2]) - 1), st.integers(0, 255))
def test_any_byte_of_an_item_may_differ(place: int, byte: int) -> None:
    other = WHOLE[2][:place] + bytes([byte]) + WHOLE[2][place + 1 :]
    assert items_of([*WHOLE[:2], other]) == one_by_one([*WHOLE[:2], other])


@given(st.binary(max_size=40), st.integers(0, len(WHOLE[2])), st.integers(0, 40))
def test_bytes_of_an_item_may_be_put_in_and_left_out(put: bytes, place: int, left_out: int) -> None:
    other = WHOLE[2][:place] + put + WHOLE[2][place + left_out :]
    assert items_of([*WHOLE[:2], other]) == one_by_one([*WHOLE[:2], other])


@given(st.lists(st.sampled_from([0, 1, 2, 3, "pruned", "withheld", "uploaded", "other run"]), min_size=1, max_size=8))
def test_a_segment_of_all_sorts_is_read_as_each_item_alone(sorts: list[int | str]) -> None:
    encoded = [_item_of(sort) for sort in sorts]
    assert items_of(encoded) == one_by_one(encoded)


def _item_of(sort: int | str) -> bytes:
    if isinstance(sort, int):
        return WHOLE[sort]
    item = (SEGMENT if sort != "other run" else OTHER).whole[0][1]
    ciphertexts: list[Body] = list(item.ciphertexts)
    if sort == "pruned":
        return encode_pruned_item(item.leaf)
    if sort != "other run":
        ciphertexts[0] = Absent.WITHHELD if sort == "withheld" else Absent.UPLOADED
    return encode_whole_item(item.manifest_bytes, item.stanzas, ciphertexts, item.approvals)


@given(
    st.lists(st.tuples(digests, lengths), min_size=1, max_size=3),
    st.lists(st.tuples(st.sampled_from(["XAR", "XBO", "XDE"]), digests, digests, digests), min_size=1, max_size=3),
)
def test_a_form_writes_what_a_manifest_alone_is(
    portions: list[tuple[bytes, int]], rows: list[tuple[str, bytes, bytes, bytes]]
) -> None:
    indices = tuple(range(len(portions)))
    ordered = sorted({row[:2]: row for row in rows}.values(), key=lambda row: (row[0].encode(), row[1]))
    stanzas = [StanzaRow(*row[:3], indices, row[3]) for row in ordered]
    core = RUN[0][4:100]
    whole = encode_manifest(Manifest(core, tuple(PortionDigest(*one) for one in portions), tuple(stanzas)))
    form = ManifestForm([(row.party, row.fingerprint, row.packet_id, row.indices) for row in stanzas], len(portions))
    assert form.encode(core, portions, [row.digest for row in stanzas]) == whole


@pytest.mark.parametrize("parties", [("XBO", "XAR"), ("XAR", "XAR")])
def test_a_form_refuses_rows_that_do_not_ascend(parties: tuple[str, str]) -> None:
    with pytest.raises(MalformedError, match="ascending"):
        ManifestForm([(party, b"f" * 48, b"p" * 48, (0,)) for party in parties], 1)
