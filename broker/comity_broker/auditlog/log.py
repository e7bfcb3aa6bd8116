"""From events to entries: salts, commitments, leaves and the tree's right edge (design of audit, "Entries and bodies").

Rules in order:
1. entry = PAE(audit-entry, log_index, kind, C_shared, XAR, C_XAR, XBO, C_XBO, ...), parties in code order, all always present; a log
   without an agreement has the shared part alone. An entry has at most 65,535 bytes.
2. C = SHA-384(PAE(audit-body, salt, origin, log_index, part, body)), part = ``shared`` or a party's code, body empty where a part has
   nothing to say; every salt is 32 random bytes of its own.
3. The slot records of a segment are leaves SHA-384(0x00 | PAE(audit-record, salt, record)) of a tree whose root its body names.
4. leaf = SHA-256(0x00 || entry); appending needs the edge of the tree only (`comity.verify.trees.Frontier`).

Nothing here does I/O: `append` is a function of the edge, the events and the random source, so a unit of the journal may build its
rows again.

    appended = log.append(frontier, [event, ...], os.urandom)
    appended.entries[0].leaf_hash, appended.frontier.root
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from comity.envelope import tree
from comity.envelope.limits import SALT
from comity.envelope.records import PAE_LENGTH, pae_head
from comity.errors import ErrorCode, MalformedError
from comity.suites import RandomBytes
from comity.verify.trees import ENTRY_LIMIT, Frontier, TileHash, leaf_hash
from comity_broker.auditlog.bodies import Event
from comity_broker.auditlog.kinds import SHARED, TABLE, EventKind, LogKind, log_kind_of

_EIGHT: Final = PAE_LENGTH(8)
_SALT_LENGTH: Final = PAE_LENGTH(SALT)
_DIGEST_LENGTH: Final = PAE_LENGTH(48)
_BODY_HEAD: Final = pae_head("audit-body", 5)
_RECORD_HEAD: Final = b"\x00" + pae_head("audit-record", 2)


@dataclass(frozen=True, slots=True)
class Part:
    """What one part of an entry commits to. Both are deleted together by a redaction, and neither stands in the entry."""

    salt: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as the log has it: its exact bytes, its leaf hash, and the salted parts, ``shared`` and every party's."""

    log_index: int
    kind: EventKind
    data: bytes
    leaf_hash: bytes
    parts: Mapping[str, Part]


@dataclass(frozen=True, slots=True)
class Appended:
    """What an append gives: entries, the new edge, and hashes of tiles that became full (storing them is an optimisation)."""

    entries: tuple[Entry, ...]
    frontier: Frontier
    tile_hashes: tuple[TileHash, ...]


@dataclass(frozen=True, slots=True)
class RecordTree:
    """The encoded slot records of a segment with their salts, and the root its shared body names."""

    records: tuple[bytes, ...]
    salts: tuple[bytes, ...]
    root: bytes


class Log:
    """One log's name and parties; makes entries for it. `parties` is empty for a log without an agreement."""

    __slots__ = ("_entry_head", "_parts", "kind", "origin", "parties")

    def __init__(self, origin: str, parties: Sequence[str] = ()) -> None:
        self.origin = origin
        self.kind = log_kind_of(origin)
        self.parties = tuple(sorted(parties))
        if len(set(self.parties)) != len(self.parties) or bool(self.parties) != (self.kind is LogKind.AGREEMENT):
            raise MalformedError("an agreement's log names its parties once each, another log has none")
        self._entry_head = pae_head("audit-entry", 3 + 2 * len(self.parties))
        # Per part: what stands before its commitment in an entry, and before its body in what is committed to.
        self._parts = tuple(
            (part, b"" if part == SHARED else _item(part.encode()), _item(part.encode()))
            for part in (SHARED, *self.parties)
        )

    def append(
        self, frontier: Frontier, events: Sequence[Event], random_bytes: RandomBytes, log_first: int = 0
    ) -> Appended:
        """Give the entries of these events, which follow the tree of `frontier`; a few microseconds an event beside hashing.

        `log_first` is the log_index of the tree's first leaf: above 0 where a restore continued an earlier log.

        Raises MalformedError for an event that this log may not hold, for a body of somebody who is no party, and for an entry
        over 65,535 bytes.
        """
        count = len(self._parts)
        draw = random_bytes(SALT * count * len(events))
        entries = tuple(
            self._entry(
                log_first + frontier.size + number, event, draw[SALT * count * number : SALT * count * (number + 1)]
            )
            for number, event in enumerate(events)
        )
        grown, full = frontier.append([entry.leaf_hash for entry in entries])
        return Appended(entries, grown, tuple(full))

    def _entry(self, log_index: int, event: Event, salts: bytes) -> Entry:
        if event.kind not in TABLE[self.kind] or not event.own.keys() <= set(self.parties):
            raise MalformedError(f"{event.kind.value} with these parts is no event of the {self.kind.value} log")
        index = log_index.to_bytes(8, "big")
        before = _item(self.origin.encode()) + _EIGHT + index
        pieces = [self._entry_head, _EIGHT, index, _item(event.kind.value.encode())]
        parts: dict[str, Part] = {}
        for number, (part, code, name) in enumerate(self._parts):
            salt = salts[SALT * number : SALT * (number + 1)]
            body = event.shared if part == SHARED else event.own.get(part, b"")
            hashed = b"".join((_BODY_HEAD, _SALT_LENGTH, salt, before, name, PAE_LENGTH(len(body)), body))
            pieces += (code, _DIGEST_LENGTH, hashlib.sha384(hashed).digest())
            parts[part] = Part(salt, body)
        data = b"".join(pieces)
        if len(data) > ENTRY_LIMIT:
            raise MalformedError(f"an entry has at most {ENTRY_LIMIT} bytes", code=ErrorCode.LIMIT_EXCEEDED)
        return Entry(log_index, event.kind, data, leaf_hash(data), parts)


def record_tree(records: Sequence[bytes], random_bytes: RandomBytes) -> RecordTree:
    """Give the tree over a segment's encoded slot records, in slot order, under fresh salts; at least one record."""
    draw = random_bytes(SALT * len(records))
    salts = tuple(draw[SALT * i : SALT * (i + 1)] for i in range(len(records)))
    sha384 = hashlib.sha384
    leaves = [
        sha384(b"".join((_RECORD_HEAD, _SALT_LENGTH, salt, PAE_LENGTH(len(record)), record))).digest()
        for salt, record in zip(salts, records, strict=True)
    ]
    return RecordTree(tuple(records), salts, tree.root(leaves))


def _item(value: bytes) -> bytes:
    return PAE_LENGTH(len(value)) + value
