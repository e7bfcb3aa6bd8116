"""Segment: a run of one lane's envelopes, the unit on the wire, in the journal and in delivery (design 03, "Segment").

A report somebody may not have travels as its 48-byte leaf ("pruned"); a stanza or ciphertext somebody may not have is
tagged withheld; either way the tree recomputes, so the segment id stays and its signature holds. Everything is forwarded
verbatim otherwise (`forwarding`).

    segment id = SHA-384(0x00 | PAE(segment, origin_epoch, class, first origin_sequence, leaf count, segment root))
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Final, TypeVar

from comity.envelope import limits, tree
from comity.envelope.core import Core
from comity.envelope.evidence import Approval, encode_approvals, read_approvals
from comity.envelope.item_layout import ItemLayout
from comity.envelope.layout import ManifestReader
from comity.envelope.manifest import Manifest
from comity.envelope.manifest import leaf as manifest_leaf
from comity.envelope.packets import stanza_size
from comity.envelope.profile import ProfileMemo, is_exercise_class
from comity.envelope.records import Reader, bounded, fixed, listed, text, u8, u16, u32, u64, variable
from comity.errors import ErrorCode, MalformedError
from comity.identity.names import log_name
from comity.light import light

_LAST_CLASS: Final = 9
_STANZA_BYTES: Final = stanza_size(limits.PORTIONS)


class _ItemTag(IntEnum):
    PRUNED = 0
    WHOLE = 1


class _BodyTag(IntEnum):
    WITHHELD = 0
    INLINE = 1
    UPLOADED = 2


_INLINE: Final = int(_BodyTag.INLINE)


class Absent(Enum):
    """Why a stanza or ciphertext is not among the bytes."""

    WITHHELD = "withheld"
    UPLOADED = "uploaded"


Body = bytes | Absent
Bodies = tuple[tuple[Body, ...], tuple[Body, ...], tuple[Approval, ...]]

P = TypeVar("P")
W = TypeVar("W")


@light
class PrunedItem:
    """A slot of which only the leaf is here."""

    leaf: bytes


@light
class WholeItem:
    """A slot whose manifest is here; stanzas and ciphertexts stand in the manifest's order."""

    leaf: bytes
    manifest_bytes: bytes
    manifest: Manifest
    core: Core
    stanzas: tuple[Body, ...]
    ciphertexts: tuple[Body, ...]
    approvals: tuple[Approval, ...]


Item = PrunedItem | WholeItem


@dataclass(frozen=True, slots=True)
class Segment:
    """A parsed segment with its exact bytes. `transport_class` is the lane class of design 04."""

    data: bytes
    agreement_id: str
    origin_epoch: bytes
    transport_class: int
    first_origin_sequence: int
    items: tuple[Item, ...]
    segment_id: bytes

    @property
    def log_name(self) -> str:
        """Give the name of the log it stands in: the agreement's, or that of its exercise."""
        return log_name(self.agreement_id, exercise=is_exercise_class(self.transport_class))

    @property
    def leaves(self) -> tuple[bytes, ...]:
        """Give the leaf of every slot."""
        return tuple(item.leaf for item in self.items)

    @property
    def whole(self) -> tuple[tuple[int, WholeItem], ...]:
        """Give (slot, item) for every slot that is here whole."""
        return tuple((slot, item) for slot, item in enumerate(self.items) if isinstance(item, WholeItem))


@dataclass(frozen=True, slots=True)
class SegmentHead:
    """What a segment says before its items."""

    agreement_id: str
    origin_epoch: bytes
    transport_class: int
    first_origin_sequence: int


# --- ids ------------------------------------------------------------------------------------------------------------


def segment_id(
    origin_epoch: bytes, transport_class: int, first_origin_sequence: int, leaf_count: int, root: bytes
) -> bytes:
    """Give a segment's id, which is also its leaf in the tree of its batch."""
    return tree.labelled_leaf("segment", origin_epoch, transport_class, first_origin_sequence, leaf_count, root)


# --- reading --------------------------------------------------------------------------------------------------------


def parse_segment(data: bytes, memo: ProfileMemo | None = None) -> Segment:
    """Parse a segment strictly, recompute its leaves, root and id; raises MalformedError.

    Equalities between its parts are not looked at here: `checks` does that.
    """
    parsing = Parsing(data, memo)
    for _ in parsing.steps(limits.SLOTS):
        pass
    return parsing.segment()


class Parsing:
    """A segment that is parsed a few items at a time, so that others have their turn between: `steps`, then `segment`."""

    __slots__ = ("_count", "_decode", "_head", "_items", "_reader")

    def __init__(self, data: bytes, memo: ProfileMemo | None = None) -> None:
        self._reader, self._head, self._count = _begin(data)
        self._decode = ManifestReader(memo)
        self._items: list[Item] = []

    def steps(self, count: int) -> Iterator[None]:
        """Parse all items, so many a step. Raises MalformedError."""
        reader, data = self._reader, self._reader.data
        layout: ItemLayout | None = None
        size = 0
        for number in range(1, self._count + 1):
            start = reader.position
            parts = None if layout is None else layout.read(data, start)
            if parts is not None:
                self._items.append(WholeItem(*parts))
                reader.position = start + size
            else:
                item = _item(reader, PrunedItem, self._whole)
                self._items.append(item)
                before, size = size, reader.position - start
                layout = None
                if size == before and isinstance(item, WholeItem) and not item.approvals:
                    layout = ItemLayout.of(data[start : start + size], item.manifest, item.stanzas, item.ciphertexts)
            if number % count == 0:
                yield

    def segment(self) -> Segment:
        """Give the segment, once all items are read; raises MalformedError for what stands behind them."""
        self._reader.end()
        head, items = self._head, tuple(self._items)
        root = tree.root([item.leaf for item in items])
        return Segment(
            data=self._reader.data,
            agreement_id=head.agreement_id,
            origin_epoch=head.origin_epoch,
            transport_class=head.transport_class,
            first_origin_sequence=head.first_origin_sequence,
            items=items,
            segment_id=segment_id(
                head.origin_epoch, head.transport_class, head.first_origin_sequence, len(items), root
            ),
        )

    def _whole(self, manifest_bytes: bytes, bodies: Bodies) -> WholeItem:
        return _whole(manifest_bytes, bodies, self._decode)


def read_bodies(reader: Reader) -> Bodies:
    """Read what follows a manifest in a whole item: stanzas, ciphertexts, approvals."""
    stanzas = [
        _body(reader, _STANZA_BYTES, uploadable=False)
        for _ in range(reader.count(limits.STANZAS, 1, "stanzas", least=1))
    ]
    ciphertexts = [
        _body(reader, limits.EXPORTED_BYTES, uploadable=True)
        for _ in range(reader.count(limits.PORTIONS, 1, "ciphertexts", least=1))
    ]
    return tuple(stanzas), tuple(ciphertexts), read_approvals(reader)


def whole_item(
    manifest_bytes: bytes,
    bodies: Bodies,
    memo: ProfileMemo | None = None,
) -> WholeItem:
    """Decode the manifest and core of a whole item."""
    return _whole(manifest_bytes, bodies, ManifestReader(memo))


def _whole(manifest_bytes: bytes, bodies: Bodies, decode: ManifestReader) -> WholeItem:
    manifest, core = decode(manifest_bytes)
    stanzas, ciphertexts, approvals = bodies
    return WholeItem(manifest_leaf(manifest_bytes), manifest_bytes, manifest, core, stanzas, ciphertexts, approvals)


def read_items(
    data: bytes, pruned: Callable[[bytes], P], whole: Callable[[bytes, Bodies], W]
) -> tuple[SegmentHead, list[P | W]]:
    """Read head and items; `pruned` makes an item of a leaf, `whole` one of a manifest's bytes and what follows them.

    Raises MalformedError.
    """
    reader, head, count = _begin(data)
    items = [_item(reader, pruned, whole) for _ in range(count)]
    reader.end()
    return head, items


def _begin(data: bytes) -> tuple[Reader, SegmentHead, int]:
    """Read what stands before the items; gives a reader that stands there, the head, and how many items follow."""
    reader = bounded(data, limits.SEGMENT_BYTES, "segment")
    version = reader.u16()
    if version != limits.VERSION:
        raise reader.malformed(f"version {version} is not known here")
    head = SegmentHead(reader.text(), reader.raw(limits.UUID), reader.u8(), reader.u64())
    if head.transport_class > _LAST_CLASS:
        raise reader.malformed(f"class {head.transport_class} is not declared")
    if head.first_origin_sequence == 0:
        raise reader.malformed("origin_sequence counts from 1")
    return reader, head, reader.count(limits.SLOTS, limits.DIGEST + 1, "items", least=1)


def _item(reader: Reader, pruned: Callable[[bytes], P], whole: Callable[[bytes, Bodies], W]) -> P | W:
    if reader.enum(_ItemTag) is _ItemTag.WHOLE:
        return whole(reader.variable(limits.MANIFEST_BYTES, "a manifest"), read_bodies(reader))
    return pruned(reader.raw(limits.DIGEST))


def _body(reader: Reader, limit: int, *, uploadable: bool) -> Body:
    tag = reader.u8()
    if tag == _INLINE:
        return reader.variable(limit, "a stanza or ciphertext")
    if tag == _BodyTag.WITHHELD:
        return Absent.WITHHELD
    if tag == _BodyTag.UPLOADED and uploadable:
        return Absent.UPLOADED
    raise reader.malformed(f"tag {tag} of a stanza or ciphertext is not declared")


# --- writing --------------------------------------------------------------------------------------------------------


def encode_whole_item(
    manifest_bytes: bytes, stanzas: Sequence[Body], ciphertexts: Sequence[Body], approvals: Sequence[Approval] = ()
) -> bytes:
    """Encode a whole item."""
    bodies = encode_bodies(stanzas, ciphertexts, approvals)
    return b"".join((b"\x01", variable(manifest_bytes, limits.MANIFEST_BYTES), bodies))


def encode_bodies(stanzas: Sequence[Body], ciphertexts: Sequence[Body], approvals: Sequence[Approval]) -> bytes:
    """Encode what follows a manifest in a whole item."""
    return (
        listed([encode_body(body, _STANZA_BYTES) for body in stanzas], limits.STANZAS, least=1)
        + listed([encode_body(body, limits.EXPORTED_BYTES) for body in ciphertexts], limits.PORTIONS, least=1)
        + encode_approvals(approvals)
    )


def carried_size(item: WholeItem) -> int:
    """Give the bytes that a whole item takes in its segment."""
    bodies = encode_bodies(item.stanzas, item.ciphertexts, item.approvals)
    return 1 + len(variable(item.manifest_bytes, limits.MANIFEST_BYTES)) + len(bodies)


def encode_pruned_item(leaf: bytes) -> bytes:
    """Encode a pruned item."""
    return b"\x00" + fixed(leaf, limits.DIGEST)


def encode_segment(head: SegmentHead, encoded_items: Sequence[bytes]) -> bytes:
    """Encode a segment from its items; raises MalformedError over 1 MiB (LIMIT_EXCEEDED)."""
    if not encoded_items:
        raise MalformedError("segment: has no items")
    if len(encoded_items) > limits.SLOTS:
        raise MalformedError(
            f"segment: {len(encoded_items)} items, at most {limits.SLOTS}", code=ErrorCode.LIMIT_EXCEEDED
        )
    start = (
        u16(limits.VERSION),
        text(head.agreement_id),
        fixed(head.origin_epoch, limits.UUID),
        u8(head.transport_class),
        u64(head.first_origin_sequence),
        u32(len(encoded_items)),
    )
    # Joined at once: a segment is large, and each copy of it costs as much as many of its reports' hashes.
    data = b"".join((*start, *encoded_items))
    if len(data) > limits.SEGMENT_BYTES:
        raise MalformedError(
            f"segment: {len(data)} bytes, at most {limits.SEGMENT_BYTES}", code=ErrorCode.LIMIT_EXCEEDED
        )
    return data


def encode_body(body: Body, limit: int) -> bytes:
    """Encode a stanza or ciphertext of at most `limit` bytes."""
    if body is Absent.WITHHELD:
        return b"\x00"
    if body is Absent.UPLOADED:
        return b"\x02"
    return b"\x01" + variable(body, limit)
