"""Mutants of seeds, the same for the same random source: what the smoke test tries, and what atheris mixes with its own.

Blind to every format, with an eye for what most formats have: length fields, numbers, words, nesting.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from random import Random

_BYTES = (0, 1, 0x0A, 0x20, 0x22, 0x2F, 0x30, 0x5C, 0x7F, 0x80, 0xC0, 0xED, 0xFF)
_NUMBERS = (b"0", b"-1", b"1", b"255", b"256", b"65536", b"4294967296", b"9007199254740991", b"9007199254740992")
_NUMBERS += (b"18446744073709551615", b"9" * 40, b"1e9", b"1.5", b"0x10", b"nan", b"inf", b"true", b"null")
_ODD = (
    "\u202e",
    "\u2028",
    "é",
    "e\u0301",
    "\x00",
    "\x9b",
    "\ud800",
    "\uffff",
    chr(0x1D538),
    chr(0x661),
    " ",
    "\r\n",
    "//",
    "..",
    "{}",
    "[]",
)
_NUMBER = re.compile(rb"[0-9]+")
_WORD = re.compile(rb"[A-Za-z0-9_-]{2,}")
_NESTED = ((b"[", b"]"), (b"{", b"}"), (b'{"a":', b"}"), (b"a.", b""), (b"<a>", b"</a>"), (b"\x0a\x7f", b""))

_Change = Callable[[bytes, bytes, Random], bytes]


def mutants(seeds: Sequence[bytes], random: Random, count: int, longest: int) -> Iterator[bytes]:
    """Give `count` mutants of seeds, each of at most `longest` bytes."""
    for _ in range(count):
        yield mutated(random.choice(seeds), random.choice(seeds), random, longest)


def mutated(data: bytes, other: bytes, random: Random, longest: int) -> bytes:
    """Give bytes with one to four changes, some of them taken from `other`."""
    for _ in range(random.choice((1, 1, 1, 2, 2, 3, 4))):
        data = random.choice(_CHANGES)(data, other, random)
    return data[:longest]


def _span(data: bytes, random: Random) -> tuple[int, int]:
    start = random.randint(0, len(data))
    return start, min(len(data), start + random.choice((1, 2, 4, 8, 16, 48, 256, len(data))))


def _flip(data: bytes, _: bytes, random: Random) -> bytes:
    if not data:
        return b"\x00"
    place = random.randrange(len(data))
    return b"".join((data[:place], bytes([data[place] ^ 1 << random.randrange(8)]), data[place + 1 :]))


def _set(data: bytes, _: bytes, random: Random) -> bytes:
    place = random.randint(0, len(data))
    return b"".join((data[:place], bytes([random.choice(_BYTES)]), data[place + 1 :]))


def _truncate(data: bytes, _: bytes, random: Random) -> bytes:
    return data[: random.randint(0, len(data))]


def _drop(data: bytes, _: bytes, random: Random) -> bytes:
    start, end = _span(data, random)
    return data[:start] + data[end:]


def _repeat(data: bytes, _: bytes, random: Random) -> bytes:
    start, end = _span(data, random)
    return data[:start] + data[start:end] * random.choice((2, 2, 3, 17)) + data[end:]


def _splice(data: bytes, other: bytes, random: Random) -> bytes:
    (start, end), (first, last) = _span(data, random), _span(other, random)
    return data[:start] + other[first:last] + data[random.choice((start, end)) :]


def _cross(data: bytes, other: bytes, random: Random) -> bytes:
    place = random.randint(0, min(len(data), len(other)))
    return data[:place] + other[place:]


def _length(data: bytes, _: bytes, random: Random) -> bytes:
    """Change what looks like a length: an integer that is no longer than the input."""
    for _attempt in range(32):
        width = random.choice((1, 2, 4, 8))
        place = random.randint(0, max(0, len(data) - width))
        value = int.from_bytes(data[place : place + width], "big")
        if 0 < value <= len(data):
            top = (1 << 8 * width) - 1
            new = random.choice((value - 1, value + 1, value * 2, 0, 1, top, top >> 1, len(data)))
            return b"".join((data[:place], min(new, top).to_bytes(width, "big"), data[place + width :]))
    return data


def _number(data: bytes, _: bytes, random: Random) -> bytes:
    return _replaced(_NUMBER, data, random.choice(_NUMBERS), random)


def _word(data: bytes, other: bytes, random: Random) -> bytes:
    words = _WORD.findall(other[:4096]) or [b"a"]
    return _replaced(_WORD, data, random.choice(words), random)


def _replaced(what: re.Pattern[bytes], data: bytes, new: bytes, random: Random) -> bytes:
    found = what.search(data, random.randint(0, len(data))) or what.search(data)
    return data if found is None else data[: found.start()] + new + data[found.end() :]


def _odd(data: bytes, _: bytes, random: Random) -> bytes:
    place = random.randint(0, len(data))
    return data[:place] + random.choice(_ODD).encode("utf-8", "surrogatepass") + data[place:]


def _nest(data: bytes, _: bytes, random: Random) -> bytes:
    start, end = _span(data, random)
    before, after = random.choice(_NESTED)
    depth = random.choice((1, 2, 9, 70, 1500))
    return data[:start] + before * depth + data[start:end] + after * depth + data[end:]


_CHANGES: tuple[_Change, ...] = (
    *(_flip, _flip, _set, _truncate, _drop, _repeat, _splice, _splice),
    *(_cross, _length, _length, _number, _word, _word, _odd, _nest),
)
