"""Mutants of an agreement: the same document with one thing changed, which a good test table must notice.

In the document's order, per enforced clause: the clause dropped; each word and row of each of its lists dropped; each level of
a limit or row one higher and one lower; each span a minute longer and a minute shorter; each number one more and one less;
each choice the other way. Recorded texts and tracked times decide nothing and have no mutants; nor has what only the facts
know of (a window's length, a lateness). A mutant need not load: it only has to be decided by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import TypeVar

import msgspec

from comity_policy.clauses import (
    Audit,
    Capabilities,
    Carrier,
    Ceiling,
    CeilingLimit,
    Channel,
    ChannelRow,
    Clearance,
    Consent,
    Copies,
    CopyRow,
    DualControl,
    Emergency,
    Exclude,
    LevelRow,
    NeedRow,
    NeedToKnow,
    OnFailure,
    Onward,
    Passage,
    PersonalDataRule,
    PreApproval,
    PrecedenceRule,
    Purpose,
    Quota,
    Reproduction,
    Residency,
    Retention,
    Scope,
    Span,
    Special,
    Suites,
    UseRule,
)
from comity_policy.companions import Caveat
from comity_policy.sections import Document

Mutant = tuple[str, Document]

_T = TypeVar("_T")
_LISTS: Mapping[type, tuple[str, ...]] = {
    Scope: ("categories", "kinds"),
    Purpose: ("purposes",),
    PersonalDataRule: ("purposes",),
    PrecedenceRule: ("flash", "immediate"),
    Suites: ("allowed",),
    Capabilities: ("wire", "suites", "obligations"),
    Emergency: ("to",),
    Exclude: ("to", "categories", "kinds"),
    NeedRow: ("offices", "communities", "officers"),
}
_SPANS: Mapping[type, tuple[str, ...]] = {
    Retention: ("longest",),
    Suites: ("oldest_key", "oldest_key_log_view"),
}
_NUMBERS: Mapping[type, tuple[str, ...]] = {
    Onward: ("max_hops",),
    PersonalDataRule: ("persons_max",),
    Quota: ("reports", "bytes"),
    DualControl: ("officers",),
}
_CHOICES: Mapping[type, tuple[tuple[str, type[StrEnum]], ...]] = {
    PersonalDataRule: (("special_categories", Special),),
    PreApproval: (("portions", Passage),),
    UseRule: (("evidence", Consent), ("action_on", Consent)),
    Audit: (("on_failure", OnFailure),),
    CopyRow: (("copies", Copies),),
}
_ROWS: Mapping[type, str] = {
    Ceiling: "limits",
    Clearance: "officer_from",
    Channel: "rows",
    Reproduction: "rows",
    DualControl: "from_levels",
    NeedToKnow: "rows",
    Onward: "pre_approved",
}


def mutants(document: Document) -> Iterator[Mutant]:
    """Give each mutant with a name that says what was done to which clause."""
    for clause in document.clauses:
        if not clause.points:
            continue
        yield f"clause {clause.id} dropped", dropped(document, clause.id)
        for what, changed in _changed(document, clause):
            others = (changed if one is clause else one for one in document.clauses)
            yield f"clause {clause.id}: {what}", replace(document, clauses=tuple(others))


def caveat_mutants(document: Document, caveat: Caveat) -> Iterator[tuple[str, Caveat]]:
    """Give each mutant of a national caveat on the agreement, named like the agreement's own."""
    for position, clause in enumerate(caveat.clauses):
        before, after = caveat.clauses[:position], caveat.clauses[position + 1 :]
        yield f"clause {clause.id} dropped", replace(caveat, clauses=(*before, *after))
        for what, changed in _changed(document, clause):
            yield f"clause {clause.id}: {what}", replace(caveat, clauses=(*before, changed, *after))


def dropped(document: Document, clause_id: str) -> Document:
    """Give the document without one clause."""
    return replace(document, clauses=tuple(clause for clause in document.clauses if clause.id != clause_id))


def _changed(document: Document, clause: _T) -> Iterator[tuple[str, _T]]:
    yield from _of_fields(clause)
    if type(clause) in _ROWS:
        yield from _of_rows(document, clause, _ROWS[type(clause)])
    if isinstance(clause, Emergency):
        yield "onward the other way", _with(clause, "onward", not clause.onward)
    if isinstance(clause, Residency):
        for party, regions in clause.regions.items():
            for word, rest in _without_each(regions):
                yield f"regions of {party} without {word}", _with(clause, "regions", {**clause.regions, party: rest})


def _of_fields(one: _T) -> Iterator[tuple[str, _T]]:
    """Change each list, span, number and choice of a clause or row."""
    kind = type(one)
    for field in _LISTS.get(kind, ()):
        for word, rest in _without_each(getattr(one, field)):
            yield f"{field} without {word}", _with(one, field, rest)
    for field in _SPANS.get(kind, ()):
        length: Span = getattr(one, field)
        for word, minutes in (("longer", 1), ("shorter", -1)):
            shifted = msgspec.structs.replace(length, minutes=length.minutes + minutes)
            yield f"{field} a minute {word}", _with(one, field, shifted)
    for field in _NUMBERS.get(kind, ()):
        number: int = getattr(one, field)
        for word, other in (("more", number + 1), ("less", number - 1)):
            yield f"{field} one {word}", _with(one, field, other)
    for field, words in _CHOICES.get(kind, ()):
        for choice in words:
            if choice is not getattr(one, field):
                yield f"{field} {choice}", _with(one, field, choice)
    if isinstance(one, ChannelRow):
        # By courier or by voice: the broker refuses both alike.
        carrier = Carrier.COURIER if one.by is Carrier.BROKER else Carrier.BROKER
        yield f"by {carrier}", _with(one, "by", carrier)


def _of_rows(document: Document, clause: _T, field: str) -> Iterator[tuple[str, _T]]:
    """Drop each row of a clause, and change each row by itself."""
    rows: tuple[msgspec.Struct, ...] = getattr(clause, field)
    for position, row in enumerate(rows):
        name, before, after = _row_name(row), rows[:position], rows[position + 1 :]

        def with_row(
            *changed: msgspec.Struct,
            before: tuple[msgspec.Struct, ...] = before,
            after: tuple[msgspec.Struct, ...] = after,
        ) -> _T:
            return _with(clause, field, (*before, *changed, *after))

        yield f"{name} dropped", with_row()
        for what, changed in (*_shifted(document, row), *_of_fields(row)):
            yield f"{name} {what}", with_row(changed)


def _row_name(row: msgspec.Struct) -> str:
    match row:
        case CeilingLimit():
            return f"limit from {row.from_party} to {row.to_party}"
        case PreApproval():
            return f"pre-approval of {row.category} from {row.from_party} to {row.to_party}"
        case LevelRow():
            return f"row of {row.party} from {row.level}"
        case NeedRow():
            return f"row of {row.party}"
        case _:
            raise TypeError(f"{type(row).__name__} is no row of a clause")


def _shifted(document: Document, row: msgspec.Struct) -> Iterator[tuple[str, msgspec.Struct]]:
    """Give a row one level higher and one lower, where its party has such levels."""
    if not isinstance(row, CeilingLimit | LevelRow):
        return
    levels = _levels(document, row)
    if row.level not in levels:
        return
    rank = levels.index(row.level)
    for word, other in (("higher", rank + 1), ("lower", rank - 1)):
        if 0 <= other < len(levels):
            yield f"one level {word}", msgspec.structs.replace(row, level=levels[other])


def _levels(document: Document, row: CeilingLimit | LevelRow) -> tuple[str, ...]:
    if isinstance(row, LevelRow):
        return document.levels_of(row.party)
    table = document.equivalence(row.from_party, row.to_party)
    return () if table is None else table.levels


def _with(one: _T, field: str, value: object) -> _T:
    change: Callable[..., _T] = msgspec.structs.replace
    return change(one, **{field: value})


def _without_each(words: Sequence[_T]) -> Iterator[tuple[_T, tuple[_T, ...]]]:
    for position, word in enumerate(words):
        yield word, (*words[:position], *words[position + 1 :])
