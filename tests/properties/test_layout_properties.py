"""Manifests of a run are read by what differs and written by what they share: never otherwise than one by one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders_envelope import World
from comity.envelope.core import Core, decode_core
from comity.envelope.layout import ManifestReader
from comity.envelope.manifest import Manifest, ManifestForm, PortionDigest, StanzaRow, decode_manifest, encode_manifest
from comity.errors import MalformedError

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
