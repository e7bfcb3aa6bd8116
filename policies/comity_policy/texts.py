"""The texts whose clauses speak of reports that are shared under an agreement: its own, and its umbrella's.

Rules in order:
1. What happened at a moment is governed by the version of then, and by the umbrella's version that this one names by digest, also
   where the umbrella was amended since.
2. An umbrella's clause is written with the umbrella's id before its own, as decisions write it.
3. What an umbrella's clause asks ends with the arrangement or with the umbrella, whichever ends first.
Pure: states are arguments.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from comity_policy.clauses import Clause
from comity_policy.document import Document
from comity_policy.state import State


@dataclass(frozen=True, slots=True)
class Text:
    """One text, and the states of the agreements with which what it asks ends; `prefix` stands before its clauses' ids."""

    document: Document
    states: tuple[State, ...]
    prefix: str = ""

    def written(self, clause: Clause) -> str:
        """Give a clause's id as decisions and duties write it."""
        return self.prefix + clause.id


def texts_at(state: State, at_ms: int, above: State | None) -> Iterator[Text]:
    """Give the texts that governed at a moment, the agreement's own first; `above` is the umbrella, None without one."""
    document = state.governing(at_ms).document
    yield Text(document, (state,))
    umbrella = _named_by(document, above)
    if umbrella is not None and above is not None:
        yield Text(umbrella, (state, above), f"{umbrella.id}/")


def texts_of(state: State, above: State | None) -> Iterator[Text]:
    """Give every text that governs or governed, by rule 1."""
    for version in state.governed:
        document = version.document
        yield Text(document, (state,))
        umbrella = _named_by(document, above)
        if umbrella is not None and above is not None:
            yield Text(umbrella, (state, above), f"{umbrella.id}/")


def _named_by(document: Document, above: State | None) -> Document | None:
    under = document.under
    if under is None or above is None or above.document.id != under.agreement:
        return None
    version = above.version(under.digest.removeprefix("sha384:"))
    return None if version is None else version.document
