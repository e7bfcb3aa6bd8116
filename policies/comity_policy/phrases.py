"""The words glosses are made of: lists, spans and sentences, written out and never abbreviated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from comity_policy.clauses import LevelRow, Span


def joined(words: Iterable[str], last: str) -> str:
    """Give a list in words, e.g. ``a, b and c``; ``none`` for an empty one."""
    listed = list(words)
    if not listed:
        return "none"
    return listed[0] if len(listed) == 1 else f"{', '.join(listed[:-1])} {last} {listed[-1]}"


def sentence(parts: Iterable[str]) -> str:
    """Give parts as one sentence without its full stop."""
    text = "; ".join(parts)
    return text[:1].upper() + text[1:]


def span_words(span: Span) -> str:
    """Give a span in words, e.g. ``2 days and 3 hours``."""
    parts = [
        f"{count} {unit if count == 1 else unit + 's'}"
        for count, unit in ((span.weeks, "week"), (span.days, "day"), (span.hours, "hour"), (span.minutes, "minute"))
        if count
    ]
    return joined(parts, "and")


def counted(number: int, one: str, many: str = "") -> str:
    """Give a number with its noun, e.g. ``1 report`` or ``2 reports``."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def kinds_words(kinds: Sequence[str]) -> str:
    """Give kinds of message in words."""
    return f"the kind{'s' if len(kinds) > 1 else ''} {joined(kinds, 'and')}"


def roles_words(roles: Sequence[str]) -> str:
    """Give who may, by roles."""
    return f"the {joined(roles, 'or')}" if roles else "nobody"


def them(words: Sequence[str]) -> str:
    """Give the pronoun for a list."""
    return "them" if len(words) > 1 else "it"


def by_precedence(spans: Mapping[str, Span]) -> str:
    """Give a time for each precedence, e.g. ``FLASH within 10 minutes``."""
    return joined((f"{word} within {span_words(span)}" for word, span in spans.items()), "and")


def by_level(rows: Iterable[tuple[LevelRow, str]]) -> str:
    """Give what holds from each level on, e.g. ``information of XAR from SECRET on by courier``."""
    return joined((f"information of {row.party} from {row.level} on {what}" for row, what in rows), "and")
