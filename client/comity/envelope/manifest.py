"""Manifest: what a signature finally covers of one report (design 03, "Manifest" and "leaf").

It holds the core's exact bytes, a digest and length for every portion's ciphertext, and a row for every stanza, so that
a withheld portion or stanza shows as withheld and is never silently absent.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import field
from functools import lru_cache
from itertools import pairwise
from typing import Final

from comity.envelope import limits
from comity.envelope.core import CORE_BYTES
from comity.envelope.limits import TEXT_BYTES
from comity.envelope.records import PAE_LENGTH, Reader, bounded, fixed, listed, pae_head, text, u32, u64, variable
from comity.errors import MalformedError
from comity.light import light

LEAF_PAE: Final = b"\x00" + pae_head("manifest", 1)
_FINGERPRINT_PACKET: Final = struct.Struct(f">{limits.DIGEST}s{limits.DIGEST}s")
_HEADS_KEPT: Final = 512
_PORTION: Final = struct.Struct(f">{limits.DIGEST}sQ")


@light
class PortionDigest:
    """SHA-384 and length of a portion's ciphertext."""

    digest: bytes
    length: int


@light
class StanzaRow:
    """For whom a stanza is, under which packet, for which portions, and its SHA-384."""

    party: str
    fingerprint: bytes
    packet_id: bytes
    indices: tuple[int, ...]
    digest: bytes


@light
class Manifest:
    """The signed content of one envelope; `core` is the core's exact bytes.

    `layout`, where it is not None, is one object for manifests that differ in ids, numbers, times and digests alone.
    """

    core: bytes
    portions: tuple[PortionDigest, ...]
    rows: tuple[StanzaRow, ...]
    layout: object | None = field(default=None, compare=False, repr=False)


def row_key(row: StanzaRow) -> tuple[bytes, bytes]:
    """Give what stanza rows ascend by."""
    return row.party.encode(), row.fingerprint


def encode_manifest(manifest: Manifest) -> bytes:
    """Encode a manifest whose rows already ascend; raises MalformedError."""
    keys = [row_key(row) for row in manifest.rows]
    if any(keys[i] >= keys[i + 1] for i in range(len(keys) - 1)):
        raise MalformedError("manifest: stanza rows are not strictly ascending")
    data = b"".join(
        (
            variable(manifest.core, CORE_BYTES),
            listed(
                [fixed(item.digest, limits.DIGEST) + u64(item.length) for item in manifest.portions],
                limits.PORTIONS,
                least=1,
            ),
            listed([_row(row) for row in manifest.rows], limits.STANZAS, least=1),
        )
    )
    if len(data) > limits.MANIFEST_BYTES:
        raise MalformedError(f"manifest: {len(data)} bytes, at most {limits.MANIFEST_BYTES}")
    return data


def decode_manifest(data: bytes) -> Manifest:
    """Decode exactly the bytes of one manifest."""
    reader = bounded(data, limits.MANIFEST_BYTES, "manifest")
    core = reader.variable(CORE_BYTES, "a core")
    portions: list[PortionDigest] = []
    for _ in range(reader.count(limits.PORTIONS, _PORTION.size, "portions", least=1)):
        digest, length = _PORTION.unpack(reader.raw(_PORTION.size))
        if length > limits.CIPHERTEXT_BYTES:
            raise reader.over_limit("a ciphertext", length, limits.CIPHERTEXT_BYTES)
        portions.append(PortionDigest(digest, length))
    rows: list[StanzaRow] = []
    before = (b"", b"")
    for _ in range(reader.count(limits.STANZAS, 157, "stanza rows", least=1)):
        row = _read_row(reader)
        key = row_key(row)
        if key <= before:
            raise reader.malformed("stanza rows are not strictly ascending")
        before = key
        rows.append(row)
    reader.end()
    return Manifest(core, tuple(portions), tuple(rows))


def leaf_prefix(size: int) -> bytes:
    """Give what a leaf hashes before a manifest of so many bytes."""
    return LEAF_PAE + PAE_LENGTH(size)


def leaf(manifest_bytes: bytes) -> bytes:
    """Give the leaf of an envelope in its segment's tree."""
    return hashlib.sha384(b"".join((LEAF_PAE, PAE_LENGTH(len(manifest_bytes)), manifest_bytes))).digest()


# Rows of one lane differ in their digests alone, so what stands before it is worked out once for a run of reports.


def _row(row: StanzaRow) -> bytes:
    return row_head(row.party, row.fingerprint, row.packet_id, row.indices) + fixed(row.digest, limits.DIGEST)


@lru_cache(maxsize=_HEADS_KEPT)
def row_head(party: str, fingerprint: bytes, packet_id: bytes, indices: tuple[int, ...]) -> bytes:
    """Encode a stanza row but for its digest, which stands last; raises MalformedError."""
    if any(index >= after for index, after in pairwise(indices)):
        raise MalformedError("manifest: portion indices are not strictly ascending")
    return b"".join(
        (
            text(party),
            fixed(fingerprint, limits.DIGEST),
            fixed(packet_id, limits.DIGEST),
            listed([u32(index) for index in indices], limits.PORTIONS, least=1),
        )
    )


def _read_row(reader: Reader) -> StanzaRow:
    start = reader.position
    reader.variable(TEXT_BYTES, "a text")
    reader.raw(_FINGERPRINT_PACKET.size)
    reader.raw(4 * reader.count(limits.PORTIONS, 4, "portion indices", least=1))
    party, fingerprint, packet_id, indices = _read_row_head(reader.data[start : reader.position])
    return StanzaRow(party, fingerprint, packet_id, indices, reader.raw(limits.DIGEST))


@lru_cache(maxsize=_HEADS_KEPT)
def _read_row_head(data: bytes) -> tuple[str, bytes, bytes, tuple[int, ...]]:
    reader = Reader(data, "manifest row")
    party = reader.text()
    fingerprint, packet_id = _FINGERPRINT_PACKET.unpack(reader.raw(_FINGERPRINT_PACKET.size))
    count = reader.count(limits.PORTIONS, 4, "portion indices", least=1)
    indices = struct.unpack(f">{count}I", reader.raw(4 * count))
    if any(index >= after for index, after in pairwise(indices)):
        raise reader.malformed("portion indices are not strictly ascending")
    return party, fingerprint, packet_id, indices
