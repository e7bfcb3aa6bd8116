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
from typing import Any, Final

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

    __slots__ = (
        "_core",
        "_core_end",
        "_recipients",
        "_rows_at",
        "_said",
        "_same",
        "_unpack",
        "alike",
        "fields",
        "format",
        "size",
    )

    def __init__(self, data: bytes, manifest: Manifest, core: Core) -> None:
        """Take it from a manifest that was decoded from `data`, and its core.

        `format` says how to unpack its `size` bytes into so many `fields`, those in the places `alike` being the same for all.
        """
        self._core = core
        self._core_end = 4 + len(manifest.core)
        self._recipients = tuple((row.party, row.fingerprint, row.packet_id, row.indices) for row in manifest.rows)
        between = self._core_end - _BEFORE - _OWN_BYTES + _COUNT_BYTES
        words = [f"{_BEFORE}s{_OWN}{between}s", _PORTION * len(manifest.portions)]
        count = _COUNT_BYTES
        for row in manifest.rows:
            head = 4 + len(row.party.encode()) + 2 * limits.DIGEST + 4 + 4 * len(row.indices)
            words.append(f"{count + head}s{limits.DIGEST}s")
            count = 0
        self.format = "".join(words)
        unpacking = struct.Struct(">" + self.format)
        self.size, self._unpack = unpacking.size, unpacking.unpack
        self._rows_at = _FIRST_PORTION + 2 * len(manifest.portions)
        self.fields = self._rows_at + 2 * len(manifest.rows)
        self.alike = (0, _FIRST_PORTION - 1, *range(self._rows_at, self.fields, 2))
        self._same = itemgetter(*self.alike)
        self._said = self._same(self._unpack(data))

    def read(self, data: bytes) -> tuple[Manifest, Core] | None:
        """Read a manifest of this structure; None for any other. Raises MalformedError as a full parse does."""
        if len(data) != self.size:
            return None
        fields = self._unpack(data)
        return None if self._same(fields) != self._said else self.take(fields, 0, data)

    def take(self, fields: tuple[Any, ...], first: int, data: bytes) -> tuple[Manifest, Core] | None:
        """Take the manifest `data` whose fields, from number `first` on, have the same in the places `alike`; as `read`."""
        portions_at, at = first + _FIRST_PORTION, first + self._rows_at
        lengths = fields[portions_at + 1 : at : 2]
        if max(lengths) > limits.CIPHERTEXT_BYTES:
            return None
        of = self._core
        report_id, epoch, sequence, created_at, not_before, expires_at = fields[first + 1 : first + 7]
        core = Core(
            report_id,
            epoch,
            sequence,
            created_at,
            not_before,
            expires_at,
            of.agreement_log_seen,
            of.key_log_seen,
            of.refers_to,
            of.profile,
        )
        check_core(core)
        portions = tuple(map(PortionDigest, fields[portions_at:at:2], lengths))
        digests = fields[at + 1 : first + self.fields : 2]
        rows = tuple([StanzaRow(*to, digest) for to, digest in zip(self._recipients, digests, strict=True)])
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
