"""The plaintext of a portion: header, content and padding (design 03, "portion i").

    plaintext = u32be header length | header | u64be content length | content | zeros

The header is one canonical JSON object of at most 64 KiB; members a reader does not know are kept. The whole is as long
as max(1024, Padme(n)), n being everything before the zeros; Padme(n) rounds n up to a multiple of 2^(e - s) with
e = floor(log2 n), s = floor(log2 e) + 1, so the length tells log log n bits. The reader checks that length and each zero.

    >>> padded_size(20), padded_size(1025), padded_size(100_000)
    (1024, 1088, 100352)
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final

from comity import canonical
from comity.canonical import Json
from comity.envelope import limits
from comity.errors import MalformedError

_U32: Final = struct.Struct(">I")
_U64: Final = struct.Struct(">Q")
_LEAST: Final = 1024
_SMALL_HEADER: Final = 512
_ZEROS: Final = bytes(64 << 10)

Header = dict[str, Json]


def padded_size(used: int) -> int:
    """Give the length of a plaintext whose header, content and lengths take `used` bytes (at least 12)."""
    if used <= _LEAST:
        return _LEAST
    exponent = used.bit_length() - 1
    step = 1 << (exponent - exponent.bit_length())
    return -(-used // step) * step


def encode_header(header: Mapping[str, Json]) -> bytes:
    """Give the canonical bytes of a header; raises MalformedError over 64 KiB."""
    encoded = canonical.dumps(dict(header))
    if len(encoded) > limits.HEADER_BYTES:
        raise MalformedError(f"a portion's header has {len(encoded)} bytes, at most {limits.HEADER_BYTES}")
    return encoded


def encode_portion(encoded_header: bytes, content: bytes) -> bytes:
    """Give the padded plaintext of a portion whose content is in memory."""
    header_length, length = len(encoded_header), len(content)
    used = 12 + header_length + length
    zeros = bytes(padded_size(used) - used)
    return b"".join((_U32.pack(header_length), encoded_header, _U64.pack(length), content, zeros))


def prefix(encoded_header: bytes, content_length: int) -> bytes:
    """Give what stands before the content."""
    return b"".join((_U32.pack(len(encoded_header)), encoded_header, _U64.pack(content_length)))


def zeros(encoded_header: bytes, content_length: int) -> Iterator[bytes]:
    """Give the padding after a content that is streamed, in pieces of at most 64 KiB."""
    used = 12 + len(encoded_header) + content_length
    left = padded_size(used) - used
    while left:
        piece = min(left, len(_ZEROS))
        yield _ZEROS[:piece]
        left -= piece


def decode_portion(plaintext: bytes) -> tuple[Header, bytes]:
    """Take a whole plaintext apart; raises MalformedError for anything its writer would not have written."""
    total = len(plaintext)
    if total < _LEAST:
        raise MalformedError("portion: ends too early")
    (header_length,) = _U32.unpack_from(plaintext)
    start = 12 + header_length
    if header_length > limits.HEADER_BYTES or start > total:
        raise MalformedError(f"portion: a header of {header_length} bytes is too long")
    (length,) = _U64.unpack_from(plaintext, start - 8)
    used = start + length
    if used > total or total != padded_size(used):
        raise MalformedError("portion: the padded length does not fit the content")
    if plaintext.count(0, used) != total - used:
        raise MalformedError("portion: the padding is not zero")
    return _header(plaintext[4 : start - 8]), plaintext[start:used]


def _header(data: bytes) -> Header:
    """Give a header of its own for each portion; portions of one kind have the same few bytes."""
    members = _plain_members(data) if len(data) <= _SMALL_HEADER else None
    return canonical.load_object(data, limit=limits.HEADER_BYTES) if members is None else dict(members)


@lru_cache(maxsize=256)
def _plain_members(data: bytes) -> tuple[tuple[str, Json], ...] | None:
    """Give the members of a header that holds nothing that could be changed; None for any other."""
    header = canonical.load_object(data, limit=limits.HEADER_BYTES)
    return None if any(isinstance(value, list | dict) for value in header.values()) else tuple(header.items())


class PortionStream:
    """Takes a plaintext of known total length apart piece by piece, without holding the content.

    Nothing it gives may be shown before `finish` has returned, nor before the decryptor's own end was reached.
    """

    __slots__ = ("_buffer", "_content_left", "_fed", "_total", "_used", "header", "length")

    def __init__(self, total: int) -> None:
        self.header: Header = {}
        self.length = 0
        self._total = total
        self._used = -1
        self._buffer = b""
        self._fed = 0
        self._content_left = 0

    def feed(self, piece: bytes) -> bytes:
        """Take the next piece and give the content in it; raises MalformedError."""
        self._fed += len(piece)
        if self._fed > self._total:
            raise MalformedError("portion: longer than announced")
        if self._used < 0:
            self._buffer += piece
            if not self._read_prefix():
                return b""
            piece, self._buffer = self._buffer[self._used - self.length :], b""
        content = piece[: self._content_left]
        self._content_left -= len(content)
        if len(piece) > len(content) and piece[len(content) :].strip(b"\x00"):
            raise MalformedError("portion: the padding is not zero")
        return content

    def finish(self) -> None:
        """Check that the plaintext ended where its lengths say; raises MalformedError."""
        if self._fed != self._total or self._used < 0 or self._content_left:
            raise MalformedError("portion: ends too early")

    def _read_prefix(self) -> bool:
        if len(self._buffer) < _U32.size:
            return False
        (header_length,) = _U32.unpack_from(self._buffer)
        if header_length > limits.HEADER_BYTES:
            raise MalformedError(f"portion: header of {header_length} bytes, at most {limits.HEADER_BYTES}")
        before_content = 12 + header_length
        if len(self._buffer) < before_content:
            return False
        (self.length,) = _U64.unpack_from(self._buffer, before_content - 8)
        self._used = before_content + self.length
        if self._used > self._total or self._total != padded_size(self._used):
            raise MalformedError("portion: the padded length does not fit the content")
        self.header = _header(self._buffer[4 : 4 + header_length])
        self._content_left = self.length
        return True
