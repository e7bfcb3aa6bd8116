"""Mutants of an agreement: the same document with one thing changed, which a good test table must notice.

In the document's order, per enforced clause: the clause dropped; each word of each of its lists dropped; each ceiling's
limit dropped, one level higher and one level lower; each span a minute longer and a minute shorter. Recorded texts and
tracked times decide nothing and have no mutants. A mutant need not load: it only has to be decided by.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

import msgspec

from comity_policy.clauses import Ceiling, Clause, PrecedenceRule, Purpose, Residency, Retention, Scope, Span, Suites
from comity_policy.sections import Document

Mutant = tuple[str, Document]

_T = TypeVar("_T")
_LISTS: dict[type, tuple[str, ...]] = {
    Scope: ("categories", "kinds"),
    Purpose: ("purposes",),
    PrecedenceRule: ("flash", "immediate"),
    Suites: ("allowed",),
}
_SPANS: dict[type, tuple[str, ...]] = {Retention: ("longest",), Suites: ("oldest_key", "oldest_key_log_view")}


def mutants(document: Document) -> Iterator[Mutant]:
    """Give each mutant with a name that says what was done to which clause."""
    for clause in document.clauses:
        if not clause.points:
            continue
        yield f"clause {clause.id} dropped", dropped(document, clause.id)
        for what, changed in _changed(document, clause):
            others = (changed if one is clause else one for one in document.clauses)
            yield f"clause {clause.id}: {what}", replace(document, clauses=tuple(others))


def dropped(document: Document, clause_id: str) -> Document:
    """Give the document without one clause."""
    return replace(document, clauses=tuple(clause for clause in document.clauses if clause.id != clause_id))


def _changed(document: Document, clause: Clause) -> Iterator[tuple[str, Clause]]:
    for field in _LISTS.get(type(clause), ()):
        for word, rest in _without_each(getattr(clause, field)):
            yield f"{field} without {word}", msgspec.structs.replace(clause, **{field: rest})
    for field in _SPANS.get(type(clause), ()):
        length: Span = getattr(clause, field)
        for word, minutes in (("longer", 1), ("shorter", -1)):
            shifted = msgspec.structs.replace(length, minutes=length.minutes + minutes)
            yield f"{field} a minute {word}", msgspec.structs.replace(clause, **{field: shifted})
    if isinstance(clause, Ceiling):
        yield from _ceilings(document, clause)
    if isinstance(clause, Residency):
        for party, regions in clause.regions.items():
            for word, rest in _without_each(regions):
                changed = {**clause.regions, party: rest}
                yield f"regions of {party} without {word}", msgspec.structs.replace(clause, regions=changed)


def _ceilings(document: Document, clause: Ceiling) -> Iterator[tuple[str, Clause]]:
    for position, limit in enumerate(clause.limits):
        name = f"limit from {limit.from_party} to {limit.to_party}"
        before, after = clause.limits[:position], clause.limits[position + 1 :]
        yield f"{name} dropped", msgspec.structs.replace(clause, limits=(*before, *after))
        table = document.equivalence(limit.from_party, limit.to_party)
        if table is None or limit.level not in table.levels:
            continue
        rank = table.levels.index(limit.level)
        for word, other in (("higher", rank + 1), ("lower", rank - 1)):
            if 0 <= other < len(table.levels):
                shifted = msgspec.structs.replace(limit, level=table.levels[other])
                yield f"{name} one level {word}", msgspec.structs.replace(clause, limits=(*before, shifted, *after))


def _without_each(words: Sequence[_T]) -> Iterator[tuple[_T, tuple[_T, ...]]]:
    for position, word in enumerate(words):
        yield word, (*words[:position], *words[position + 1 :])
