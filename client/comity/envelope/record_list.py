"""Record list: the records of a segment's tree with their salts, as they are kept and travel (design 05, "Entries and bodies").

For each slot in order: u32be length of what follows, the salt (32 bytes), the record. Brokers and mirrors keep these bytes and brokers
send them as they are kept: a message for every record took longer to put together than the record takes to hash.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

from comity.envelope.limits import SALT
from comity.errors import MalformedError

_U32: Final = struct.Struct(">I")


def encode_record_list(records: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Encode (salt, record) of every slot, in order."""
    parts: list[bytes] = []
    for salt, record in records:
        parts += (_U32.pack(len(salt) + len(record)), salt, record)
    return b"".join(parts)


def decode_record_list(data: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """Give (salt, record) of every slot; raises MalformedError where one is shorter than its salt or ends behind the bytes."""
    found: list[tuple[bytes, bytes]] = []
    end, position = len(data), 0
    while position < end:
        start = position + _U32.size
        position = start + _U32.unpack_from(data, position)[0] if start <= end else end + 1
        if position > end or position < start + SALT:
            raise MalformedError("the records of an entry: one is cut short")
        found.append((data[start : start + SALT], data[start + SALT : position]))
    return tuple(found)
