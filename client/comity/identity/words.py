"""Fingerprints as words, to be read aloud over a second channel (design 03, "Keys and trust").

The first 16 bytes of a fingerprint, a word each: even positions from the one column of the list, odd from the other, so
that a word skipped, doubled or swapped is heard. To find another key with the same sixteen words takes 2^128 tries.

    >>> fingerprint_words(bytes(48))[:3]
    ('aardvark', 'adroitness', 'aardvark')
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Final

from comity.errors import UsageError
from comity.suites import FINGERPRINT_SIZE

WORDS: Final = 16


def fingerprint_words(fingerprint: bytes) -> tuple[str, ...]:
    """Give the sixteen words of a 48-byte fingerprint; raises UsageError for another length."""
    if len(fingerprint) != FINGERPRINT_SIZE:
        raise UsageError(f"a fingerprint has {FINGERPRINT_SIZE} bytes, not {len(fingerprint)}")
    columns = _columns()
    return tuple(columns[i % 2][fingerprint[i]] for i in range(WORDS))


@cache
def _columns() -> tuple[tuple[str, ...], tuple[str, ...]]:
    text = resources.files("comity.identity").joinpath("words.txt").read_text(encoding="utf-8")
    rows = [line.split() for line in text.splitlines() if not line.startswith("#")]
    return tuple(row[0] for row in rows), tuple(row[1] for row in rows)
