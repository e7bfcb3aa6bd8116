"""What sealing works out once for the reports of a run: everything but ids, numbers, times, keys, digests and bodies.

Reports of a run share profile, views of both logs, recipients and the keys to them (`seal`), so their cores, manifests and items have
the same bytes between those places; `layout` reads them the same way. `RunForm` takes these bytes, and the beginnings of what is
hashed, from the first report, which is encoded in full. What it gives is what `encode_core`, `encode_manifest`, `stanza_context` and
`encode_whole_item` give.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha384
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from comity.envelope import chunked, limits, packets
from comity.envelope.core import CORE_PAE, Core, check_core, encode_core
from comity.envelope.evidence import NO_APPROVALS
from comity.envelope.manifest import LEAF_PAE, Manifest, PortionDigest, StanzaRow, encode_manifest, row_head
from comity.envelope.padding import encode_portion
from comity.envelope.records import PAE_LENGTH, u32
from comity.envelope.segment import Absent, encode_body
from comity.light import light

# What of a core is one report's own, behind its version: id, epoch, number and times.
_OWN: Final = struct.Struct(f">H{limits.UUID}s{limits.UUID}sQQQQ")
_NO_DIGEST: Final = bytes(limits.DIGEST)
_UPLOADED: Final = encode_body(Absent.UPLOADED, 0)

Row = tuple[str, bytes, bytes, tuple[int, ...]]


@light
class PortionInput:
    """A portion in memory: canonical header bytes (`padding.encode_header`) and content."""

    encoded_header: bytes
    content: bytes


@dataclass(frozen=True, slots=True)
class UploadedPortion:
    """A portion whose ciphertext is uploaded beside the segment; `uploads.UploadSealer` makes one."""

    content_key: bytes = field(repr=False)
    digest: bytes = field(repr=False)
    length: int


class RunForm:
    """How reports are written that differ from `core` in id, number and times alone, for rows (party, fingerprint, packet id, portions)."""

    __slots__ = (
        "_core_pae",
        "_core_tail",
        "_first",
        "_item_head",
        "_leaf_pae",
        "_manifest_head",
        "_portion_count",
        "_rows",
    )

    def __init__(self, core: Core, encoded_profile: bytes, rows: Sequence[Row], portions: int) -> None:
        """Take it from a run's first core; raises MalformedError for what the formats cannot carry."""
        encoded = encode_core(core, encoded_profile)
        empty = [StanzaRow(*row, _NO_DIGEST) for row in rows]
        manifest = encode_manifest(Manifest(encoded, (PortionDigest(_NO_DIGEST, 0),) * portions, tuple(empty)))
        self._first = core
        self._core_tail = encoded[_OWN.size :]
        self._core_pae = CORE_PAE + PAE_LENGTH(len(encoded))
        self._manifest_head = u32(len(encoded))
        self._portion_count = u32(portions)
        self._leaf_pae = LEAF_PAE + PAE_LENGTH(len(manifest))
        self._item_head = b"\x01" + u32(len(manifest))
        count = u32(len(rows))
        # Behind a count in the manifest, and in the item, stands the first row.
        self._rows = tuple(
            [
                (
                    indices,
                    packets.context_tail(packet, party, fingerprint, indices),
                    (b"" if number else count) + row_head(party, fingerprint, packet, indices),
                    (b"" if number else count) + b"\x01" + u32(packets.stanza_size(len(indices))),
                )
                for number, (party, fingerprint, packet, indices) in enumerate(rows)
            ]
        )

    def fits(self, core: Core) -> bool:
        """Say whether a report's core, of the same profile, differs from the first one's in nothing but its id, number and times."""
        first = self._first
        return (
            core.agreement_log_seen is first.agreement_log_seen
            and core.key_log_seen is first.key_log_seen
            and core.origin_epoch == first.origin_epoch
            and core.refers_to == first.refers_to
            and core.version == first.version
        )

    def seal(
        self,
        core: Core,
        portions: Sequence[PortionInput | UploadedPortion],
        keys: Sequence[bytes],
        nonces: Sequence[bytes],
        keks: Sequence[AESGCM],
    ) -> tuple[bytes, bytes]:
        """Seal a report: a content key a portion, nonce and KEK a row. Gives its leaf and the bytes of its item; raises MalformedError."""
        check_core(core)
        own = _OWN.pack(
            core.version,
            core.report_id,
            core.origin_epoch,
            core.origin_sequence,
            core.created_at,
            core.not_before,
            core.expires_at,
        )
        core_bytes = own + self._core_tail
        bound = sha384(self._core_pae + core_bytes).digest()
        content_keys: list[bytes] = []
        bodies: list[bytes] = [self._portion_count]
        manifest = [self._manifest_head, core_bytes, self._portion_count]
        for index, portion in enumerate(portions):
            if isinstance(portion, UploadedPortion):
                content_keys.append(portion.content_key)
                bodies.append(_UPLOADED)
                manifest += (portion.digest, PAE_LENGTH(portion.length))
                continue
            key = keys[index]
            plaintext = encode_portion(portion.encoded_header, portion.content)
            ciphertext = chunked.seal(key, chunked.portion_context(bound, index), plaintext)
            content_keys.append(key)
            bodies.append(encode_body(ciphertext, limits.EXPORTED_BYTES))
            manifest += (sha384(ciphertext).digest(), PAE_LENGTH(len(ciphertext)))
        start, item = packets.context_start(bound), [self._item_head, b""]
        for (indices, tail, row, head), kek, nonce in zip(self._rows, keks, nonces, strict=True):
            given = [(index, content_keys[index]) for index in indices]
            stanza = packets.seal_stanza(kek, nonce, start + tail, given)
            manifest += (row, sha384(stanza).digest())
            item += (head, stanza)
        item[1] = manifest_bytes = b"".join(manifest)
        item += bodies
        item.append(NO_APPROVALS)
        return sha384(self._leaf_pae + manifest_bytes).digest(), b"".join(item)
