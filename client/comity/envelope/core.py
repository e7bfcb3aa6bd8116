"""Core: everything of one report that a clause or a queue reads, and nothing else (design 03, "Structures").

A core is encoded once, by its originator, and from then on carried as opaque bytes: hashes and signatures are of those
bytes. `decode_core` gives a value that encodes to the same bytes, or raises MalformedError.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Final

from comity.envelope import limits
from comity.envelope.profile import ProfileMemo, decode_profile, encode_profile
from comity.envelope.records import PAE_LENGTH, Reader, fixed, listed, pae_head, u8, u64, variable
from comity.errors import MalformedError
from comity.light import light
from comity_policy.facts import Profile, Times

_REFERENCE_BYTES: Final = 1 + limits.UUID + limits.DIGEST
CORE_BYTES: Final = limits.PROFILE_BYTES + limits.REFERENCES * _REFERENCE_BYTES + 256
_HEAD: Final = struct.Struct(">H16s16sQQQQ16sQ32s16sQ32s")
HEAD_BYTES: Final = _HEAD.size
_READ_HEAD: Final = struct.Struct(">H16s16sQQQQ56s56s")
_SEEN: Final = struct.Struct(">16sQ32s")
_SEEN_KEPT: Final = 256
CORE_PAE: Final = pae_head("core", 1)
_UUIDS: Final = (limits.UUID,) * 4
_NO_REFERENCES: Final = listed([], limits.REFERENCES)


class Relation(IntEnum):
    """How a report refers to another."""

    RECALLS = 1
    SUPERSEDES = 2
    IN_REPLY_TO = 3
    DERIVED_FROM = 4


@dataclass(frozen=True, slots=True)
class LogSeen:
    """The newest checkpoint of a log that the signer verified: 16-byte incarnation, size, 32-byte root."""

    incarnation: bytes
    size: int
    root: bytes


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """Another report, by id and leaf."""

    relation: Relation
    report_id: bytes
    leaf: bytes


@light
class Core:
    """One report's addressing, times and labels. Ids are 16 raw bytes, times Unix milliseconds.

    `created_at <= not_before < expires_at`; `origin_sequence` counts from 1 in its lane; `report_id` is a UUIDv7.
    """

    report_id: bytes
    origin_epoch: bytes
    origin_sequence: int
    created_at: int
    not_before: int
    expires_at: int
    agreement_log_seen: LogSeen
    key_log_seen: LogSeen
    refers_to: tuple[Reference, ...]
    profile: Profile
    version: int = limits.VERSION

    @property
    def times(self) -> Times:
        """Give the signed times as decisions take them."""
        return Times(self.created_at, self.not_before, self.expires_at)


def encode_core(core: Core, encoded_profile: bytes | None = None) -> bytes:
    """Encode a core; `encoded_profile` saves the work where many cores share one. Raises MalformedError."""
    check_core(core)
    profile = encode_profile(core.profile) if encoded_profile is None else encoded_profile
    seen, keys = core.agreement_log_seen, core.key_log_seen
    report_id, epoch = core.report_id, core.origin_epoch
    if (len(report_id), len(epoch), len(seen.incarnation), len(keys.incarnation)) != _UUIDS:
        raise MalformedError("core: an id, epoch or incarnation has not 16 bytes")
    if len(seen.root) != limits.ROOT or len(keys.root) != limits.ROOT:
        raise MalformedError("core: a root has not 32 bytes")
    head = _HEAD.pack(
        core.version,
        report_id,
        epoch,
        core.origin_sequence,
        core.created_at,
        core.not_before,
        core.expires_at,
        seen.incarnation,
        seen.size,
        seen.root,
        keys.incarnation,
        keys.size,
        keys.root,
    )
    references = _encode_references(core.refers_to) if core.refers_to else _NO_REFERENCES
    return b"".join((head, references, variable(profile, limits.PROFILE_BYTES)))


def _encode_references(refers_to: tuple[Reference, ...]) -> bytes:
    references = sorted(
        u8(item.relation) + fixed(item.report_id, limits.UUID) + fixed(item.leaf, limits.DIGEST) for item in refers_to
    )
    if len(set(references)) != len(references):
        raise MalformedError("a core names one reference twice")
    return listed(references, limits.REFERENCES)


def decode_core(data: bytes, memo: ProfileMemo | None = None) -> Core:
    """Decode exactly the bytes of one core; `memo` remembers profiles of one peer."""
    if len(data) > CORE_BYTES:
        raise MalformedError(f"core: {len(data)} bytes, at most {CORE_BYTES}")
    reader = Reader(data, "core")
    if len(data) < _HEAD.size:
        raise reader.malformed("ends too early")
    (
        version,
        report_id,
        origin_epoch,
        origin_sequence,
        created_at,
        not_before,
        expires_at,
        agreement_log_seen,
        key_log_seen,
    ) = _READ_HEAD.unpack_from(data)
    reader.position = _HEAD.size
    refers_to = _references(reader)
    encoded_profile = reader.variable(limits.PROFILE_BYTES, "a profile")
    reader.end()
    core = Core(
        report_id=report_id,
        origin_epoch=origin_epoch,
        origin_sequence=origin_sequence,
        created_at=created_at,
        not_before=not_before,
        expires_at=expires_at,
        agreement_log_seen=_seen(agreement_log_seen),
        key_log_seen=_seen(key_log_seen),
        refers_to=refers_to,
        profile=decode_profile(encoded_profile) if memo is None else memo.decode(encoded_profile),
        version=version,
    )
    check_core(core)
    return core


def profile_bytes(core_bytes: bytes, core: Core) -> bytes:
    """Give the exact bytes of the profile in a core, which is its last field; `core` was decoded from `core_bytes`."""
    return core_bytes[_HEAD.size + 4 + _REFERENCE_BYTES * len(core.refers_to) + 4 :]


def core_hash(core_bytes: bytes) -> bytes:
    """Give core_h = SHA-384(PAE(core, core_bytes)), to which portions and stanzas are bound."""
    return hashlib.sha384(b"".join((CORE_PAE, PAE_LENGTH(len(core_bytes)), core_bytes))).digest()


def encode_log_seen(seen: LogSeen) -> bytes:
    """Encode a checkpoint seen, which stands inline."""
    return fixed(seen.incarnation, limits.UUID) + u64(seen.size) + fixed(seen.root, limits.ROOT)


def read_log_seen(reader: Reader) -> LogSeen:
    """Read a checkpoint seen."""
    return LogSeen(reader.raw(limits.UUID), reader.u64(), reader.raw(limits.ROOT))


@lru_cache(maxsize=_SEEN_KEPT)
def _seen(encoded: bytes) -> LogSeen:
    """Give a checkpoint seen; the cores of a run were sealed under the same ones."""
    return LogSeen(*_SEEN.unpack(encoded))


def _references(reader: Reader) -> tuple[Reference, ...]:
    items: list[Reference] = []
    before = b""
    for _ in range(reader.count(limits.REFERENCES, 65, "references")):
        start = reader.position
        relation = reader.enum(Relation)
        report_id, leaf = reader.raw(limits.UUID), reader.raw(limits.DIGEST)
        encoded = reader.data[start : reader.position]
        if encoded <= before:
            raise reader.malformed("references are not strictly ascending")
        before = encoded
        items.append(Reference(relation, report_id, leaf))
    return tuple(items)


def check_core(core: Core) -> None:
    """Check what a core says by itself; raises MalformedError."""
    if core.version != limits.VERSION:
        raise MalformedError(f"core: version {core.version} is not known here")
    if len(core.report_id) != limits.UUID or core.report_id[6] >> 4 != 7 or core.report_id[8] >> 6 != 2:
        raise MalformedError("core: report_id is not a UUIDv7")
    if not 1 <= core.origin_sequence < limits.INTEGER:
        raise MalformedError("core: origin_sequence counts from 1, below 2^53")
    if not 0 <= core.created_at <= core.not_before < core.expires_at < limits.INTEGER:
        raise MalformedError("core: created_at <= not_before < expires_at < 2^53 does not hold")
    if not (0 <= core.agreement_log_seen.size < limits.INTEGER and 0 <= core.key_log_seen.size < limits.INTEGER):
        raise MalformedError("core: a log size is not below 2^53")
