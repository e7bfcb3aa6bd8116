"""The small checks of which the rules for a document are made: each gives the faults of one value at one place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from comity_policy.clauses import Span
from comity_policy.faults import Fault
from comity_policy.sections import Document
from comity_policy.toml_lines import Path

LONGEST_SPAN_DAYS = 36_525

_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def direction_faults(document: Document, from_party: str, to_party: str, path: Path) -> Iterator[Fault]:
    """Give the faults of a direction: two different parties."""
    yield from party_faults(document, from_party, (*path, "from"))
    yield from party_faults(document, to_party, (*path, "to"))
    if from_party == to_party:
        yield Fault((*path, "to"), "a direction leads from one party to another")


def party_faults(document: Document, code: str, path: Path) -> Iterator[Fault]:
    """Give the fault of a code that is no party of the agreement."""
    if code not in document.parties:
        yield Fault(path, f"{code!r} is no party of this agreement ({', '.join(document.parties)})")


def span_faults(span: Span, path: Path) -> Iterator[Fault]:
    """Give the fault of a span that is not positive or too long."""
    parts = (span.weeks, span.days, span.hours, span.minutes)
    if min(parts) < 0 or not 0 < span.milliseconds <= LONGEST_SPAN_DAYS * 86_400_000:
        yield Fault(path, "must be a positive length of time of at most 100 years")


def number_faults(number: int, least: int, most: int, path: Path) -> Iterator[Fault]:
    """Give the fault of a number out of its range."""
    if not least <= number <= most:
        yield Fault(path, f"must be {least} to {most}")


def list_faults(words: Sequence[object], path: Path) -> Iterator[Fault]:
    """Give the faults of a list that must say something, and nothing twice."""
    if not words:
        yield Fault(path, "is empty")
    yield from repetition_faults(words, path)


def repetition_faults(words: Sequence[object], path: Path) -> Iterator[Fault]:
    """Give every entry of a list that is there already."""
    for position, word in enumerate(words):
        if words.index(word) != position:
            yield Fault((*path, position), f"{word!r} is there already")


def unknown_faults(
    words: Sequence[object], known: Mapping[str, object] | frozenset[str] | Sequence[object], path: Path, what: str
) -> Iterator[Fault]:
    """Give every entry of a list that is not known."""
    for position, word in enumerate(words):
        if word not in known:
            yield Fault((*path, position), f"unknown {what} {word!r}")


def text_faults(texts: Mapping[str, str], document: Document, path: Path, what: str) -> Iterator[Fault]:
    """Give the faults of what is said to people: in every authentic language and in no other."""
    for language in document.languages.authentic:
        if language not in texts:
            yield Fault(path, f"{what} has no text in {language!r}")
    for language, text in texts.items():
        if language not in document.languages.authentic:
            yield Fault((*path, language), "is not an authentic language of the agreement")
        yield from people_faults(text, (*path, language))


def people_faults(text: str, path: Path) -> Iterator[Fault]:
    """Give the fault of words that people could not read."""
    if not text.strip():
        yield Fault(path, "must not be empty")
    elif _UNPRINTABLE.search(text):
        yield Fault(path, "holds control characters, which people would not see")
