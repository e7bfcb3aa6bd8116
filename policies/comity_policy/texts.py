"""The texts whose clauses speak of reports that are shared under an agreement: its own, and its umbrella's.

Rules in order:
1. What happened at a moment is governed by the version of then, and by the umbrella's version that this one names by digest, also
   where the umbrella was amended since.
2. An umbrella's clause is written with the umbrella's id before its own, as decisions write it.
3. What an umbrella's clause asks ends with the arrangement or with the umbrella, whichever ends first.
4. What is held is governed by the version that it was shared under, and by each later one that applies to what is held.
Pure: states are arguments.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from comity_policy.clauses import Clause
from comity_policy.document import Document
from comity_policy.negotiation import Version
from comity_policy.sections import AppliesTo
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
    return _with_umbrella(state.governing(at_ms).document, state, above)


def texts_of_held(state: State, at_ms: int, above: State | None) -> Iterator[Text]:
    """Give the texts that govern what was shared at a moment and is held, by rule 4."""
    version = state.governing(at_ms)
    for one in (version, *later_for_held(state, version)):
        yield from _with_umbrella(one.document, state, above)


def texts_of(state: State, above: State | None) -> Iterator[Text]:
    """Give every text that governs or governed, by rule 1."""
    for version in state.governed:
        yield from _with_umbrella(version.document, state, above)


def later_for_held(state: State, version: Version) -> Iterator[Version]:
    """Give the versions after one that govern or governed, and apply to what is held where they are stricter."""
    governed = state.governed
    after = next((place for place, one in enumerate(governed, 1) if one is version), len(governed))
    for later in governed[after:]:
        amends = later.document.amends
        if amends is not None and amends.applies_to == AppliesTo.HELD_IF_STRICTER:
            yield later


def _with_umbrella(document: Document, state: State, above: State | None) -> Iterator[Text]:
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
