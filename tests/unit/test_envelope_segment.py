"""Manifests, segments and their tree: strict reading, and forwarding that keeps the id."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace

import pytest

from builders_envelope import AGREEMENT, NodeKeys, World, core, leaves, refused
from comity.envelope import limits, tree
from comity.envelope.core import encode_core
from comity.envelope.forwarding import Withholding, deliverable, prune, with_approvals, withhold
from comity.envelope.manifest import Manifest, PortionDigest, StanzaRow, decode_manifest, encode_manifest
from comity.envelope.records import u16, u32
from comity.envelope.segment import (
    Absent,
    PrunedItem,
    SegmentHead,
    WholeItem,
    encode_pruned_item,
    encode_segment,
    parse_segment,
)
from comity.errors import ErrorCode, MalformedError

SENDER = NodeKeys.generate("XAR", "n1")
CORE = core(SENDER)


# --- manifest and segment ----------------------------------------------------------------------------------------------


def manifest(**changes: object) -> Manifest:
    row = StanzaRow("XBO", bytes(48), bytes(48), (0,), bytes(48))
    base = Manifest(encode_core(CORE), (PortionDigest(bytes(48), 1096),), (row,))
    return replace(base, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"portions": ()},
        {"portions": (PortionDigest(bytes(48), 1),) * 65},
        {"rows": ()},
        {"rows": (StanzaRow("XBO", bytes(48), bytes(48), (), bytes(48)),)},
        {"rows": (StanzaRow("XBO", bytes(48), bytes(48), (1, 0), bytes(48)),)},
        {"rows": (StanzaRow("XBO", bytes(48), bytes(48), (0,), bytes(48)),) * 2},
        {"rows": tuple(StanzaRow("XBO", i.to_bytes(48, "big"), bytes(48), (0,), bytes(48)) for i in range(1025))},
        {"core": bytes(100_000)},
    ],
    ids="-".join,
)
def test_a_manifest_over_a_limit_or_out_of_order_is_not_written(changes: dict[str, object]) -> None:
    with pytest.raises(MalformedError):
        encode_manifest(manifest(**changes))


def test_a_manifest_is_read_strictly() -> None:
    data = encode_manifest(manifest())
    assert decode_manifest(data) == manifest()
    refused(lambda: decode_manifest(data + b"\x00"))
    huge = encode_manifest(manifest(portions=(PortionDigest(bytes(48), limits.CIPHERTEXT_BYTES),)))
    decode_manifest(huge)
    over = encode_manifest(manifest(portions=(PortionDigest(bytes(48), limits.CIPHERTEXT_BYTES + 1),)))
    refused(lambda: decode_manifest(over), code=ErrorCode.LIMIT_EXCEEDED)
    rows = [StanzaRow("XBO", bytes([i]) * 48, bytes(48), (0,), bytes(48)) for i in (1, 2)]
    two = encode_manifest(manifest(rows=tuple(rows)))
    start = len(two) - 2 * 159
    refused(lambda: decode_manifest(two[:start] + two[start + 159 :] + two[start : start + 159]))
    refused(lambda: decode_manifest(bytes(limits.MANIFEST_BYTES + 1)), code=ErrorCode.LIMIT_EXCEEDED)


HEAD = SegmentHead(AGREEMENT, bytes(16), 4, 1)


@pytest.mark.parametrize(
    "data",
    [
        u16(2) + encode_segment(HEAD, [encode_pruned_item(bytes(48))])[2:],
        encode_segment(replace(HEAD, transport_class=10), [encode_pruned_item(bytes(48))]),
        encode_segment(replace(HEAD, first_origin_sequence=0), [encode_pruned_item(bytes(48))]),
        encode_segment(HEAD, [encode_pruned_item(bytes(48))]) + b"\x00",
        encode_segment(HEAD, [encode_pruned_item(bytes(48))])[:-1],
        encode_segment(HEAD, [b"\x02" + bytes(48)]),
        encode_segment(HEAD, [b"\x01" + u32(3) + b"abc" + u32(0) + u32(0) + u32(0)]),
    ],
    ids=["version", "class", "sequence 0", "trailing", "truncated", "item tag", "item without bodies"],
)
def test_a_segment_is_read_strictly(data: bytes) -> None:
    refused(lambda: parse_segment(data))


def test_a_segment_has_1_to_256_slots_and_at_most_1_mib() -> None:
    parse_segment(encode_segment(HEAD, [encode_pruned_item(bytes(48))] * 256))
    refused(lambda: encode_segment(HEAD, []))
    refused(lambda: encode_segment(HEAD, [encode_pruned_item(bytes(48))] * 257), code=ErrorCode.LIMIT_EXCEEDED)
    refused(lambda: encode_segment(HEAD, [bytes(1 << 20)]), code=ErrorCode.LIMIT_EXCEEDED)
    refused(lambda: parse_segment(bytes((1 << 20) + 1)), code=ErrorCode.LIMIT_EXCEEDED)


@pytest.mark.parametrize("tag", [2, 3, 255])
def test_a_stanza_is_inline_or_withheld_only(tag: int) -> None:
    data = World().seal().data
    item = parse_segment(data).items[0]
    assert isinstance(item, WholeItem)
    stanza = item.stanzas[0]
    assert isinstance(stanza, bytes)
    at = data.index(b"\x01" + struct.pack(">I", len(stanza)) + stanza)
    refused(lambda: parse_segment(data[:at] + bytes([tag]) + data[at + 1 :]))


def test_whatever_is_pruned_or_withheld_the_segment_id_stays() -> None:
    sealed = World().seal(3)
    less = deliverable(sealed.data, {0}, {1: Withholding(stanzas=frozenset({0}), ciphertexts=frozenset({1}))})
    segment = parse_segment(less)
    assert segment.segment_id == sealed.segment_id
    pruned, partial, full = segment.items
    assert isinstance(pruned, PrunedItem)
    assert isinstance(partial, WholeItem)
    assert partial.stanzas[0] is Absent.WITHHELD
    assert partial.ciphertexts[1] is Absent.WITHHELD
    assert full == parse_segment(sealed.data).items[2]
    assert prune(prune(sealed.data, {0}), {0, 1, 2}) == prune(sealed.data, {0, 1, 2})
    assert deliverable(sealed.data, (), {}) == sealed.data


@pytest.mark.parametrize(
    "use",
    [
        lambda data: prune(data, {3}),
        lambda data: prune(data, {-1}),
        lambda data: withhold(data, {3: Withholding()}),
        lambda data: withhold(data, {0: Withholding(stanzas=frozenset({2}))}),
        lambda data: with_approvals(data, {3: []}),
        lambda data: with_approvals(prune(data, {0}), {0: []}),
    ],
)
def test_what_a_segment_does_not_have_cannot_be_taken_from_it(use: Callable[[bytes], bytes]) -> None:
    data = World().seal(3).data
    refused(lambda: use(data))


@pytest.mark.parametrize("count", [*range(1, 18), 31, 32, 33, 255, 256])
def test_every_leaf_has_a_path_and_no_other_place(count: int) -> None:
    rows = tree.levels(leaves(count))
    for index in {0, 1, count // 2, count - 1} & set(range(count)):
        path = tree.path(rows, index)
        assert tree.root_from_path(rows[0][index], index, count, path) == rows[-1][0]
        assert tree.root_from_path(rows[0][index], index, count, (*path, bytes(48))) is None
        assert not path or tree.root_from_path(rows[0][index], index, count, path[:-1]) is None
        assert tree.root_from_path(rows[0][index], count, count, path) is None
        assert tree.root_from_path(rows[0][index], -1, count, path) is None


def test_the_tree_splits_at_the_largest_power_of_two() -> None:
    def rfc6962(items: list[bytes]) -> bytes:
        if len(items) == 1:
            return items[0]
        split = 1
        while split * 2 < len(items):
            split *= 2
        return tree.node(rfc6962(items[:split]), rfc6962(items[split:]))

    for count in range(1, 70):
        assert tree.root(leaves(count)) == rfc6962(leaves(count))
    with pytest.raises(ValueError, match="at least one"):
        tree.root([])
