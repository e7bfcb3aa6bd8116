"""Entries of a log as a party reads them: the exact entry, and the bodies it may see, checked against it (design 05).

Rules in order:
1. entry = PAE(audit-entry, log_index, kind, C_shared, XAR, C_XAR, XBO, C_XBO, ...): the index is the one asked for, the parties are
   the agreement's, in code order, all of them; a log without an agreement has the shared part alone.
2. The shared part and our own are here, no other is: a broker that leaves one out has not shown us the log.
3. C = SHA-384(PAE(audit-body, salt, origin, log_index, part, body)): what is here is what was committed to.
4. Where a shared body names a tree of records, as many are here as slots and their root is the one it names.
A body is parsed only where something is read in it, and then strictly (`comity.verify.table`).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from comity.envelope import limits, tree
from comity.envelope.receipts import slot_record_leaf
from comity.errors import VerificationError
from comity.pae import PREFIX, pae
from comity.verify import table
from comity.verify.records import FormError

SHARED: Final = table.SHARED
ENTRY_BYTES: Final = 65_535
BODY_BYTES: Final = 1 << 20
RECORD_BYTES: Final = 1 << 10

_U64: Final = struct.Struct(">Q")
_KINDS_WITH_RECORDS: Final = frozenset({"SUBMIT_ACCEPTED", "SUBMIT_REJECTED"})


@dataclass(frozen=True, slots=True)
class Part:
    """One part of an entry: its salt, its body, and (salt, record) for every slot of a segment."""

    salt: bytes
    body: bytes
    records: tuple[tuple[bytes, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class MirroredEntry:
    """An entry whose parts are what it commits to. `parts` has ``shared`` and, in an agreement's log, our own."""

    origin: str
    log_index: int
    kind: str
    entry: bytes
    parts: Mapping[str, Part]

    def shared(self) -> dict[str, Any]:
        """Read the shared body; raises VerificationError for one of another form than its kind has, or that says nothing."""
        body = self._body(SHARED)
        if not body:
            raise self._wrong("its shared body says nothing")
        return body

    def own(self, party: str) -> dict[str, Any]:
        """Read a party's own body, empty where it has nothing to say; raises VerificationError."""
        return self._body(party)

    def _body(self, part: str) -> dict[str, Any]:
        try:
            return table.read_body(log_kind(self.origin), self.kind, part, self.parts[part].body)
        except FormError as error:
            raise self._wrong(str(error)) from error

    def _wrong(self, problem: str) -> VerificationError:
        return VerificationError(f"entry {self.log_index} of {self.origin}: {problem}")


def log_kind(origin: str) -> str:
    """Give which kind of log an origin names: agreement, keys or operations; raises VerificationError."""
    words = origin.split("/")
    if len(words) < 3 or words[1] not in table.TABLE:
        raise VerificationError(f"{origin[:80]!r} is not the origin of a log")
    return words[1]


def check_entry(
    origin: str, log_index: int, entry: bytes, parts: Mapping[str, Part], *, parties: Sequence[str], own: str
) -> MirroredEntry:
    """Check an entry and the parts that came with it; `parties` ascending, empty for a log without an agreement.

    Raises VerificationError for anything that breaks a rule above.
    """

    def wrong(problem: str) -> VerificationError:
        return VerificationError(f"entry {log_index} of {origin}: {problem}")

    if len(entry) > ENTRY_BYTES:
        raise wrong("has more than 65,535 bytes")
    items = _items(entry)
    if items is None or len(items) != 4 + 2 * len(parties) or items[0] != f"{PREFIX}audit-entry".encode():
        raise wrong("is not an entry of this log")
    if items[1] != _U64.pack(log_index):
        raise wrong("states another index")
    if [item.decode("ascii", "replace") for item in items[4::2]] != list(parties):
        raise wrong("does not name the agreement's parties")
    kind = items[2].decode("ascii", "replace")
    if kind not in table.TABLE[log_kind(origin)]:
        raise wrong(f"is of an unknown kind {kind[:40]!r}")
    commitments = {SHARED: items[3], **dict(zip(parties, items[5::2], strict=True))}
    wanted = {SHARED, own} if parties else {SHARED}
    if set(parts) != wanted:
        raise wrong(f"came with the parts {', '.join(sorted(parts)) or 'none'}, not {', '.join(sorted(wanted))}")
    for name, part in parts.items():
        if len(part.salt) != limits.SALT or len(part.body) > BODY_BYTES:
            raise wrong(f"its {name} part has a salt or body of a wrong size")
        committed = pae("audit-body", part.salt, origin, log_index, name, part.body)
        if hashlib.sha384(committed).digest() != commitments[name]:
            raise wrong(f"its {name} body is not the one it commits to")
    checked = MirroredEntry(origin, log_index, kind, entry, parts)
    _check_records(checked)
    return checked


def _check_records(entry: MirroredEntry) -> None:
    records = entry.parts[SHARED].records
    if any(part.records for name, part in entry.parts.items() if name != SHARED):
        raise VerificationError(f"entry {entry.log_index} of {entry.origin}: records stand beside the shared part only")
    if entry.kind not in _KINDS_WITH_RECORDS:
        if records:
            raise VerificationError(f"entry {entry.log_index} of {entry.origin}: has records that nothing names")
        return
    header = entry.shared()
    fits = all(len(salt) == limits.SALT and len(record) <= RECORD_BYTES for salt, record in records)
    if not fits or not 1 <= len(records) <= limits.SLOTS or len(records) != header["slots"]:
        raise VerificationError(f"entry {entry.log_index} of {entry.origin}: came without its slot records")
    root = tree.root([slot_record_leaf(salt, record) for salt, record in records])
    if root.hex() != header["records"]:
        raise VerificationError(f"entry {entry.log_index} of {entry.origin}: its slot records are not those it names")


def _items(data: bytes) -> list[bytes] | None:
    """Take a PAE apart; None for bytes that are none."""
    if len(data) < 8:
        return None
    (count,) = _U64.unpack_from(data)
    # Each item takes at least its length, so a count is bounded by the bytes that are here.
    if count > len(data) // 8:
        return None
    items: list[bytes] = []
    position = 8
    for _ in range(count):
        start = position + 8
        if start > len(data):
            return None
        position = start + _U64.unpack_from(data, start - 8)[0]
        if position > len(data):
            return None
        items.append(data[start:position])
    return items if position == len(data) else None
