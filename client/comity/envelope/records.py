"""Records: the encoding of everything that is signed and hot (design 03, "Three encodings").

Fields stand in fixed order: integers big-endian of fixed width (u8, u16, u32; u64 below 2^53), fixed bytes raw, variable
fields u32be length + bytes, lists u32be count + items. No optional fields, no alternatives. A set is a list in strictly
ascending order of a key. Text is UTF-8 without control characters (Unicode Cc), taken as it stands. So one value has one
encoding, and decoding either gives a value that encodes to the same bytes or raises MalformedError: nothing else.

A count is compared with the bytes that are left before anything is built from it.

    >>> reader = Reader(text("XAR") + flag(True), "example")
    >>> reader.text(), reader.flag(), reader.end()
    ('XAR', True, None)
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import Final, TypeVar

from comity.envelope.limits import INTEGER, TEXT_BYTES
from comity.errors import ErrorCode, MalformedError
from comity.pae import label

_U16: Final = struct.Struct(">H")
_U32: Final = struct.Struct(">I")
_U64: Final = struct.Struct(">Q")
_read_u32: Final = _U32.unpack_from
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f]")

# The u64be length before an item of a PAE.
PAE_LENGTH: Final = _U64.pack

E = TypeVar("E", bound=IntEnum)


class Reader:
    """A cursor over the bytes of one record; `name` stands in its errors."""

    __slots__ = ("_end", "data", "name", "position")

    def __init__(self, data: bytes, name: str) -> None:
        self.data = data
        self.name = name
        self.position = 0
        self._end = len(data)

    def malformed(self, problem: str) -> MalformedError:
        """Build the error for a problem at the place reached."""
        return MalformedError(f"{self.name}: {problem} (before byte {self.position})")

    def over_limit(self, what: str, got: int, limit: int) -> MalformedError:
        """Build the error for a value over its limit."""
        return MalformedError(f"{self.name}: {what} is {got}, at most {limit}", code=ErrorCode.LIMIT_EXCEEDED)

    def raw(self, size: int) -> bytes:
        """Read exactly `size` bytes."""
        start = self.position
        self.position = stop = start + size
        if stop > self._end:
            raise self.malformed("ends too early")
        return self.data[start:stop]

    def unpack(self, layout: struct.Struct) -> tuple[int | bytes, ...]:
        """Read a run of fixed-width fields at once."""
        start = self.position
        self.position = stop = start + layout.size
        if stop > self._end:
            raise self.malformed("ends too early")
        return layout.unpack_from(self.data, start)

    def u8(self) -> int:
        """Read an unsigned byte."""
        start = self.position
        if start >= self._end:
            raise self.malformed("ends too early")
        self.position = start + 1
        return self.data[start]

    def u16(self) -> int:
        """Read a suite or a version."""
        return int.from_bytes(self.raw(2), "big")

    def u32(self) -> int:
        """Read a count or an index."""
        start = self.position
        self.position = stop = start + 4
        if stop > self._end:
            raise self.malformed("ends too early")
        value: int = _read_u32(self.data, start)[0]
        return value

    def u64(self) -> int:
        """Read a size, a sequence or a time in milliseconds: below 2^53."""
        value = int.from_bytes(self.raw(8), "big")
        if value >= INTEGER:
            raise self.over_limit("an integer", value, INTEGER - 1)
        return value

    def flag(self) -> bool:
        """Read a flag: 0 or 1."""
        value = self.u8()
        if value > 1:
            raise self.malformed(f"a flag is {value}")
        return value == 1

    def enum(self, kind: type[E]) -> E:
        """Read a declared value of an enum."""
        value = self.u8()
        try:
            return kind(value)
        except ValueError:
            raise self.malformed(f"{kind.__name__} {value} is not declared") from None

    def enum_or_none(self, kind: type[E]) -> E | None:
        """Read a declared value of an enum, or 0 for none."""
        if self.position < self._end and self.data[self.position] == 0:
            self.position += 1
            return None
        return self.enum(kind)

    def variable(self, limit: int, what: str) -> bytes:
        """Read a variable field of at most `limit` bytes."""
        start = self.position + 4
        if start > self._end:
            raise self.malformed("ends too early")
        size = _read_u32(self.data, start - 4)[0]
        if size > limit:
            raise self.over_limit(what, size, limit)
        self.position = stop = start + size
        if stop > self._end:
            raise self.malformed("ends too early")
        return self.data[start:stop]

    def fixed_or_empty(self, size: int, what: str) -> bytes:
        """Read a variable field that is empty or has exactly `size` bytes."""
        value = self.variable(size, what)
        if value and len(value) != size:
            raise self.malformed(f"{what} has {len(value)} bytes, not 0 or {size}")
        return value

    def text(self, *, empty: bool = False, limit: int = TEXT_BYTES) -> str:
        """Read a text; only with `empty` may it be empty."""
        raw = self.variable(limit, "a text")
        if not raw and not empty:
            raise self.malformed("a text is empty")
        try:
            value = raw.decode()
        except UnicodeDecodeError:
            raise self.malformed("a text is not UTF-8") from None
        if _CONTROL.search(value):
            raise self.malformed("a text holds a control character")
        return value

    def count(self, limit: int, item_size: int, what: str, *, least: int = 0) -> int:
        """Read a count whose items take at least `item_size` bytes each."""
        value = self.u32()
        if value > limit:
            raise self.over_limit(f"the number of {what}", value, limit)
        if value < least:
            raise self.malformed(f"{value} {what}, at least {least}")
        if value * item_size > self._end - self.position:
            raise self.malformed(f"{value} {what} do not fit in the bytes left")
        return value

    def text_set(self, limit: int, what: str) -> tuple[str, ...]:
        """Read a set of texts, ascending by their UTF-8."""
        values: list[str] = []
        before = b""
        for _ in range(self.count(limit, 5, what)):
            value = self.text()
            key = value.encode()
            if key <= before:
                raise self.malformed(f"{what} are not strictly ascending")
            before = key
            values.append(value)
        return tuple(values)

    def optional_text_set(self, limit: int, what: str) -> frozenset[str] | None:
        """Read a flag and a set of texts: None is absent, which is not the empty set."""
        present = self.flag()
        values = self.text_set(limit, what)
        if not present:
            if values:
                raise self.malformed(f"{what} are absent and yet listed")
            return None
        return frozenset(values)

    def digests(self, limit: int, size: int, what: str) -> tuple[bytes, ...]:
        """Read a list of fixed-size hashes, in any order."""
        return tuple(self.raw(size) for _ in range(self.count(limit, size, what)))

    def end(self) -> None:
        """Refuse trailing bytes."""
        if self.position != self._end:
            raise self.malformed(f"{self._end - self.position} trailing bytes")


def bounded(data: bytes, limit: int, name: str) -> Reader:
    """Open a reader over a whole record of at most `limit` bytes."""
    if len(data) > limit:
        raise MalformedError(f"{name}: {len(data)} bytes, at most {limit}", code=ErrorCode.LIMIT_EXCEEDED)
    return Reader(data, name)


def pae_head(purpose: str, items: int) -> bytes:
    """Give the beginning of PAE(purpose, so many items), which hot structures keep.

    What follows is, for every item, `PAE_LENGTH(length)` and its bytes.
    """
    whole = label(purpose)
    return PAE_LENGTH(items + 1) + PAE_LENGTH(len(whole)) + whole


# --- writing --------------------------------------------------------------------------------------------------------


def u8(value: int) -> bytes:
    """Write an unsigned byte."""
    return _in_range(value, 1 << 8).to_bytes(1, "big")


def u16(value: int) -> bytes:
    """Write a suite or a version."""
    return _U16.pack(_in_range(value, 1 << 16))


def u32(value: int) -> bytes:
    """Write a count or an index."""
    return _U32.pack(_in_range(value, 1 << 32))


def u64(value: int) -> bytes:
    """Write a size, a sequence or a time: below 2^53."""
    return _U64.pack(_in_range(value, INTEGER))


def flag(value: bool) -> bytes:
    """Write a flag."""
    return b"\x01" if value else b"\x00"


def enum_or_none(value: IntEnum | None) -> bytes:
    """Write an enum value, or 0 for none."""
    return u8(0 if value is None else int(value))


def fixed(value: bytes, size: int) -> bytes:
    """Write exactly `size` bytes."""
    if len(value) != size:
        raise MalformedError(f"a field of {size} bytes was given {len(value)}")
    return value


def fixed_or_empty(value: bytes, size: int) -> bytes:
    """Write a variable field that is empty or has exactly `size` bytes."""
    return variable(fixed(value, size) if value else b"", size)


def variable(value: bytes, limit: int) -> bytes:
    """Write a variable field of at most `limit` bytes."""
    if len(value) > limit:
        raise MalformedError(f"a field has {len(value)} bytes, at most {limit}", code=ErrorCode.LIMIT_EXCEEDED)
    return _U32.pack(len(value)) + value


def text(value: str, *, empty: bool = False, limit: int = TEXT_BYTES) -> bytes:
    """Write a text."""
    if not value and not empty:
        raise MalformedError("a text is empty")
    if _CONTROL.search(value):
        raise MalformedError("a text holds a control character")
    try:
        return variable(value.encode(), limit)
    except UnicodeEncodeError:
        raise MalformedError("a text holds a lone surrogate") from None


def listed(items: Iterable[bytes], limit: int, *, least: int = 0) -> bytes:
    """Write a list of encoded items, in the order given."""
    parts = items if isinstance(items, list) else list(items)
    if len(parts) > limit:
        raise MalformedError(f"a list has {len(parts)} items, at most {limit}", code=ErrorCode.LIMIT_EXCEEDED)
    if len(parts) < least:
        raise MalformedError(f"a list has {len(parts)} items, at least {least}")
    return _U32.pack(len(parts)) + b"".join(parts)


def text_set(values: Iterable[str], limit: int) -> bytes:
    """Write a set of texts, ascending by their UTF-8; a text given twice is an error."""
    return listed(_strict(sorted(text(value)[4:] for value in values)), limit)


def optional_text_set(values: frozenset[str] | None, limit: int) -> bytes:
    """Write a flag and a set of texts; None is absent."""
    return flag(values is not None) + text_set(values or (), limit)


def _strict(ascending: list[bytes]) -> Iterator[bytes]:
    for index, value in enumerate(ascending):
        if index and value == ascending[index - 1]:
            raise MalformedError("a set holds one text twice")
        yield _U32.pack(len(value)) + value


def _in_range(value: int, bound: int) -> int:
    if not 0 <= value < bound:
        raise MalformedError(f"an integer is {value}, it must lie in 0..{bound - 1}")
    return value
