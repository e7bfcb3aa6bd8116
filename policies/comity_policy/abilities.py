"""What a node's software can be relied on for: the closed words of capability statements, and of the floor an agreement sets.

A word of `OBLIGATIONS` is a clause kind that the node itself enforces once it holds a report, or an obligation of its own: `read`
(an officer's signed word that a report was read), `recall`, `supersede` and `destruction-certificate`. Versions and suites are
words too, so that what a node can is one set of words and a floor a subset of it:

    >>> sorted(words_of(wire=[1], suites=[1, 2], obligations=["use"]))
    ['suite/1', 'suite/2', 'use', 'wire/1']
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

OBLIGATIONS: Final = frozenset(
    {
        "acknowledge",
        "clearance",
        "destruction-certificate",
        "embargo",
        "emergency",
        "need-to-know",
        "originator-control",
        "personal-data",
        "purpose",
        "read",
        "recall",
        "relabel",
        "reproduction",
        "retention",
        "supersede",
        "use",
    }
)


def words_of(*, wire: Iterable[int], suites: Iterable[int], obligations: Iterable[str]) -> frozenset[str]:
    """Give versions of the wire protocol, envelope suites by their numbers, and obligations as one set of words."""
    return frozenset({*(f"wire/{one}" for one in wire), *(f"suite/{one}" for one in suites), *obligations})


def able_words(words: Iterable[str] | None) -> str:
    """Give what a node can, or cannot, as people read it: ``enforce use, speak wire protocol 1``."""
    listed = sorted(words or ())
    parts = [f"speak wire protocol {one[5:]}" for one in listed if one.startswith("wire/")]
    parts += [f"open suite {one[6:]}" for one in listed if one.startswith("suite/")]
    obligations = [one for one in listed if one in OBLIGATIONS]
    return ", ".join([*([f"enforce {', '.join(obligations)}"] if obligations else []), *parts])
