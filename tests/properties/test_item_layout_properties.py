"""A segment's items read by the layout of those before them are what each is read alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders_envelope import World
from comity.envelope.item_layout import ItemLayout
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
