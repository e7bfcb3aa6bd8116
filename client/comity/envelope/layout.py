"""Layout: where the manifests of a run differ, so that only those places are read (design 03, "Manifest" and "Segment").

The manifests of one run say the same but for ids, numbers, times and digests. `Layout` keeps what one that was parsed in full has
between those places. A manifest of the same length with the very same bytes there has the same structure, and is read by one
unpacking; its values are checked as `core.decode_core` and `manifest.decode_manifest` check them. Whatever does not fit is left
to those two, which alone refuse.

    read = ManifestReader(memo)
    read(manifest_bytes)            # (Manifest, Core), of every manifest of a segment in turn
"""

from __future__ import annotations

import struct
from operator import itemgetter
from typing import Final

from comity.envelope import limits
from comity.envelope.core import HEAD_BYTES, Core, check_core, decode_core
from comity.envelope.manifest import Manifest, PortionDigest, StanzaRow, decode_manifest
from comity.envelope.profile import ProfileMemo

# A core's length and version stand before the values that are one report's own, its views of logs and its profile behind.
_BEFORE: Final = 4 + 2
_OWN: Final = f"{limits.UUID}s{limits.UUID}sQQQQ"
_OWN_BYTES: Final = 2 * limits.UUID + 4 * 8
_SEEN_BYTES: Final = HEAD_BYTES - 2 - _OWN_BYTES
_PORTION: Final = f"{limits.DIGEST}sQ"
_COUNT_BYTES: Final = 4
_FIRST_PORTION: Final = 8


class Layout:
    """The structure of one manifest; what it reads shares profile, views and recipients with that one."""

    __slots__ = ("_core", "_core_end", "_fields", "_recipients", "_rows_at", "_said", "_same")

    def __init__(self, data: bytes, manifest: Manifest, core: Core) -> None:
        """Take it from a manifest that was decoded from `data`, and its core."""
        self._core = core
        self._core_end = 4 + len(manifest.core)
        self._recipients = tuple((row.party, row.fingerprint, row.packet_id, row.indices) for row in manifest.rows)
        between = self._core_end - _BEFORE - _OWN_BYTES + _COUNT_BYTES
        words = [f">{_BEFORE}s{_OWN}{between}s", _PORTION * len(manifest.portions)]
        count = _COUNT_BYTES
        for row in manifest.rows:
            head = 4 + len(row.party.encode()) + 2 * limits.DIGEST + 4 + 4 * len(row.indices)
            words.append(f"{count + head}s{limits.DIGEST}s")
            count = 0
        self._fields = struct.Struct("".join(words))
        self._rows_at = _FIRST_PORTION + 2 * len(manifest.portions)
        heads = range(self._rows_at, self._rows_at + 2 * len(manifest.rows), 2)
        self._same = itemgetter(0, _FIRST_PORTION - 1, *heads)
        self._said = self._same(self._fields.unpack(data))

    def read(self, data: bytes) -> tuple[Manifest, Core] | None:
        """Read a manifest of this structure; None for any other. Raises MalformedError as a full parse does."""
        if len(data) != self._fields.size:
            return None
        fields = self._fields.unpack(data)
        if self._same(fields) != self._said:
            return None
        at = self._rows_at
        lengths = fields[_FIRST_PORTION + 1 : at : 2]
        if max(lengths) > limits.CIPHERTEXT_BYTES:
            return None
        of = self._core
        core = Core(
            fields[1],
            fields[2],
            fields[3],
            fields[4],
            fields[5],
            fields[6],
            of.agreement_log_seen,
            of.key_log_seen,
            of.refers_to,
            of.profile,
        )
        check_core(core)
        portions = tuple(map(PortionDigest, fields[_FIRST_PORTION:at:2], lengths))
        rows = tuple([StanzaRow(*to, digest) for to, digest in zip(self._recipients, fields[at + 1 :: 2], strict=True)])
        return Manifest(data[4 : self._core_end], portions, rows, self), core


class ManifestReader:
    """Reads one manifest after the other; `memo` remembers profiles of the peer they come from."""

    __slots__ = ("_last", "_layout", "_memo")

    def __init__(self, memo: ProfileMemo | None) -> None:
        self._memo = memo
        self._last: tuple[bytes, Manifest, Core] | None = None
        self._layout: Layout | None = None

    def __call__(self, data: bytes) -> tuple[Manifest, Core]:
        """Decode exactly the bytes of one manifest and of the core in it; raises MalformedError."""
        last = self._last
        if self._layout is None and last is not None and len(last[0]) == len(data):
            self._layout = Layout(*last)
        read = None if self._layout is None else self._layout.read(data)
        if read is not None:
            return read
        manifest = decode_manifest(data)
        core = decode_core(manifest.core, self._memo)
        self._last, self._layout = (data, manifest, core), None
        return manifest, core
