"""Manifests of a run are read by what differs and written by what they share: never otherwise than one by one."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha384

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from builders_envelope import World
from comity.envelope.core import Core, decode_core, encode_core
from comity.envelope.layout import ManifestReader
from comity.envelope.manifest import Manifest, PortionDigest, StanzaRow, decode_manifest, encode_manifest
from comity.envelope.profile import encode_profile
from comity.envelope.run_form import RunForm, UploadedPortion
from comity.envelope.segment import SegmentHead, encode_segment, encode_whole_item, parse_segment
from comity.errors import MalformedError

WORLD = World()
CORE = WORLD.delivery(1).segment.items[0].core
HEAD = SegmentHead("XAR-XBO-1", bytes(16), 4, 1)
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


@given(
    st.lists(st.tuples(digests, lengths), min_size=1, max_size=3),
    st.lists(st.tuples(st.sampled_from(["XAR", "XBO", "XDE"]), digests, digests), min_size=1, max_size=3),
    st.integers(1, 1 << 52),
)
def test_a_form_writes_what_a_manifest_alone_is(
    portions: list[tuple[bytes, int]], rows: list[tuple[str, bytes, bytes]], number: int
) -> None:
    indices = tuple(range(len(portions)))
    ordered = sorted({row[:2]: row for row in rows}.values(), key=lambda row: (row[0].encode(), row[1]))
    form = RunForm(CORE, encode_profile(CORE.profile), [(*row, indices) for row in ordered], len(portions))
    core = replace(CORE, origin_sequence=number, expires_at=CORE.expires_at + number)
    uploaded = [UploadedPortion(bytes(32), digest, length) for digest, length in portions]
    leaf, item = form.seal(core, uploaded, (), [bytes(12)] * len(ordered), [AESGCM(bytes(32))] * len(ordered))
    ((whole,),) = (parse_segment(encode_segment(HEAD, [item])).items,)
    stanzas = [
        StanzaRow(*row, indices, sha384(stanza).digest()) for row, stanza in zip(ordered, whole.stanzas, strict=True)
    ]
    digested = tuple(PortionDigest(*one) for one in portions)
    assert whole.manifest_bytes == encode_manifest(Manifest(encode_core(core), digested, tuple(stanzas)))
    assert leaf == whole.leaf
    assert item == encode_whole_item(whole.manifest_bytes, whole.stanzas, whole.ciphertexts)


@pytest.mark.parametrize("parties", [("XBO", "XAR"), ("XAR", "XAR")])
def test_a_form_refuses_rows_that_do_not_ascend(parties: tuple[str, str]) -> None:
    with pytest.raises(MalformedError, match="ascending"):
        RunForm(CORE, encode_profile(CORE.profile), [(party, b"f" * 48, b"p" * 48, (0,)) for party in parties], 1)
