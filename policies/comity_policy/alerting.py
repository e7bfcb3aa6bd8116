"""Whom to wake for a report that nobody has read: contacts in their order, each after half of the time that is left to the one before.

alert_times(handed_ms, due_ms, 3)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from comity_policy.clauses import PrecedenceRule
from comity_policy.document import Document
from comity_policy.facts import Precedence


def read_within(documents: Iterable[Document], precedence: Precedence) -> int | None:
    """Give in how many milliseconds a report of a precedence is to be read, by an agreement's text and its umbrella's.

    The shortest where several clauses say so, None for none.
    """
    spans = (one.read_within.get(precedence.name) for one in _rules(documents))
    return min((span.milliseconds for span in spans if span is not None), default=None)


def is_told_of_reading(documents: Iterable[Document]) -> bool:
    """Say whether an agreement, or its umbrella, has it that originators are told who read what: by a clause on precedence."""
    return any(True for _ in _rules(documents))


def _rules(documents: Iterable[Document]) -> Iterator[PrecedenceRule]:
    return (one for document in documents for one in document.clauses if isinstance(one, PrecedenceRule))


def alert_times(since_ms: int, due_ms: int | None, contacts: int) -> tuple[int, ...]:
    """Give when each of so many contacts is alerted, while nobody has read it; the first at once.

    The next is alerted after half of the time that remains until `due_ms`. Without a time to read only the first is: nothing says
    when it would be the next one's turn.
    """
    if due_ms is None:
        return (since_ms,)[:contacts]
    times, at_ms = [], since_ms
    for _ in range(contacts):
        times.append(at_ms)
        at_ms += (due_ms - at_ms) // 2
    return tuple(times)


def alerted(times: tuple[int, ...], now_ms: int) -> int:
    """Give how many of these times have come."""
    return sum(1 for at_ms in times if at_ms <= now_ms)
