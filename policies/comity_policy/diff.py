"""What differs between two texts of an agreement, in words: clause by clause with gloss and text, then the other sections.

Rules in order:

1. A clause is compared with the clause of the same id, in the later text's order; what was removed stands where it was.
2. Fields are compared one by one, and each change is told in words. Where only the text changed, the clause is `REWORDED`: what
   is decided is the same, and lawyers read both.
3. Nothing here says which way a change goes: `analysis.diff` proves that.

    for change in compare(before, after):
        change.article, change.status, change.words
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import cast

import msgspec

from comity_policy.clauses import CeilingLimit, Clause, Span
from comity_policy.gloss import gloss
from comity_policy.invariants import invariant_gloss
from comity_policy.phrases import counted, joined, span_words
from comity_policy.sections import Document, NoticePeriod

_ABSENT = "nothing"
_SECTIONS = ("languages", "entry_into_force", "duration", "termination", "provisional", "interpretation", "under")
_HEADING = ("title", "kind", "version")


class Status(StrEnum):
    """What became of a clause or section."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    REWORDED = "reworded"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Change:
    """One clause or section under both texts. `words` tell each field that changed; gloss and texts are empty for sections.

    `part` says what it is: ``clause``, or the section's name; `id` is the clause's, or what the section names.
    """

    part: str
    id: str
    status: Status
    words: tuple[str, ...] = ()
    kind: str = ""
    gloss_before: str = ""
    gloss_after: str = ""
    text_before: Mapping[str, str] | None = None
    text_after: Mapping[str, str] | None = None

    @property
    def article(self) -> str:
        """Give its name as lawyers write it: ``Art. 3(1)``, or the section's, such as ``[duration]``."""
        if self.part != "clause":
            return f"[{self.part}]" + (f" {self.id}" if self.id else "")
        first, *rest = self.id.split(".")
        return f"Art. {first}" + "".join(f"({word})" for word in rest)


def compare(before: Document, after: Document) -> tuple[Change, ...]:
    """Give every clause of either text and what became of it, then every section that changed."""
    return (*_clauses(before, after), *_sections(before, after))


def _clauses(before: Document, after: Document) -> Iterator[Change]:
    old = {clause.id: clause for clause in before.clauses}
    new = {clause.id: clause for clause in after.clauses}
    for clause_id in _merged(list(old), list(new)):
        yield _clause(old.get(clause_id), new.get(clause_id), before, after)


def _merged(old: list[str], new: list[str]) -> list[str]:
    """Give the later order with each removed id after the one it stood behind."""
    found = list(new)
    for place, one in enumerate(old):
        if one not in found:
            found.insert(found.index(old[place - 1]) + 1 if place else 0, one)
    return found


def _clause(old: Clause | None, new: Clause | None, before: Document, after: Document) -> Change:
    known = cast("Clause", new or old)
    status = Status.CHANGED
    words: tuple[str, ...] = ()
    if old is None or new is None:
        status = Status.ADDED if old is None else Status.REMOVED
    else:
        words = tuple(_field_words(old, new))
        if not words:
            status = Status.UNCHANGED if old == new else Status.REWORDED
    return Change(
        part="clause",
        id=known.id,
        status=status,
        words=words,
        kind=str(known.__struct_config__.tag),
        gloss_before=gloss(old, before) if old is not None else "",
        gloss_after=gloss(new, after) if new is not None else "",
        text_before=old.text if old is not None else None,
        text_after=new.text if new is not None else None,
    )


def _field_words(old: Clause, new: Clause) -> Iterator[str]:
    if type(old) is not type(new):
        yield f"kind {new.__struct_config__.tag}, was {old.__struct_config__.tag}"
        return
    for name in old.__struct_fields__:
        if name not in {"id", "text"}:
            yield from _value_words(_named(name), getattr(old, name), getattr(new, name))


def _named(field: str) -> str:
    return field.replace("_", " ")


def _value_words(name: str, old: object, new: object) -> Iterator[str]:
    """Give in words how one value became another; nothing where they are the same."""
    if old == new:
        return
    if isinstance(old, tuple) and isinstance(new, tuple):
        yield from _list_words(name, old, new)
    elif isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys((*old, *new)):
            yield from _value_words(f"{name} {key}", old.get(key), new.get(key))
    else:
        yield f"{name} {_said(new)}, was {_said(old)}"


def _list_words(name: str, old: tuple[object, ...], new: tuple[object, ...]) -> Iterator[str]:
    limits = _limits(old), _limits(new)
    if any(limits):
        for pair in dict.fromkeys((*limits[0], *limits[1])):
            was, level = (one.get(pair, "no level") for one in limits)
            if was != level:
                yield f"from {pair[0]} to {pair[1]} up to {level}, was {was}"
        return
    added = [_said(one) for one in new if one not in old]
    dropped = [_said(one) for one in old if one not in new]
    if added:
        yield f"{name} now also {joined(added, 'and')}"
    if dropped:
        yield f"{name} no longer {joined(dropped, 'and')}"
    if not added and not dropped:
        yield f"{name} in another order or number"


def _limits(rows: tuple[object, ...]) -> dict[tuple[str, str], str]:
    return {(one.from_party, one.to_party): one.level for one in rows if isinstance(one, CeilingLimit)}


def _said(value: object) -> str:
    match value:
        case None | "" | ():
            return _ABSENT
        case Span():
            return span_words(value) or _ABSENT
        case NoticePeriod():
            parts = (("month", value.months), ("week", value.weeks), ("day", value.days))
            return joined((counted(number, unit) for unit, number in parts if number), "and")
        case bool():
            return "yes" if value else "no"
        case msgspec.Struct():
            fields = ((name, getattr(value, name)) for name in value.__struct_fields__)
            return " ".join(f"{_named(name)} {_said(one)}" for name, one in fields if one not in (None, "", ()))
        case tuple():
            return joined(map(_said, value), "and")
        case Mapping():
            return joined((f"{key} {_said(one)}" for key, one in value.items()), "and")
        case _:
            return str(value)


# --- sections ---------------------------------------------------------------------------------------------------------


def _sections(before: Document, after: Document) -> Iterator[Change]:
    heading = [words for name in _HEADING for words in _value_words(name, getattr(before, name), getattr(after, name))]
    if heading:
        yield Change("agreement", "", Status.CHANGED, tuple(heading))
    for part, old, new in (
        ("parties", before.parties, after.parties),
        ("brokers", before.brokers, after.brokers),
        ("vocabularies", before.vocabularies, after.vocabularies),
        ("equivalence", _tables(before), _tables(after)),
        ("annex", _annexes(before), _annexes(after)),
        ("invariant", _invariants(before), _invariants(after)),
    ):
        yield from _entries(part, cast("Mapping[str, object]", old), cast("Mapping[str, object]", new))
    for name in _SECTIONS:
        yield from _entry(name, "", getattr(before, name), getattr(after, name))


def _entries(part: str, old: Mapping[str, object], new: Mapping[str, object]) -> Iterator[Change]:
    for name in dict.fromkeys((*old, *new)):
        yield from _entry(part, name, old.get(name), new.get(name))


def _entry(part: str, name: str, old: object, new: object) -> Iterator[Change]:
    if old == new:
        return
    if old is None or new is None:
        status = Status.ADDED if old is None else Status.REMOVED
        yield Change(part, name, status, (_said(new if old is None else old),))
    elif isinstance(old, msgspec.Struct):
        words = (
            words
            for field in old.__struct_fields__
            for words in _value_words(_named(field), getattr(old, field), getattr(new, field))
        )
        yield Change(part, name, Status.CHANGED, tuple(words))
    else:
        yield Change(part, name, Status.CHANGED, tuple(_value_words(part, old, new)))


def _tables(document: Document) -> dict[str, tuple[str, ...]]:
    """Give each table of equivalence by its direction and day, its rows in words."""
    return {
        f"from {one.from_party} to {one.to_party} of {one.valid_from}": tuple(
            f"{level} as {protected}" for level, protected in zip(one.levels, one.protected_as, strict=True)
        )
        for one in document.equivalences
    }


def _annexes(document: Document) -> dict[str, tuple[str, ...]]:
    return {one.id: (f"amended by {one.amended_by}", *([f"by {one.by}"] if one.by else [])) for one in document.annexes}


def _invariants(document: Document) -> dict[str, tuple[str, ...]]:
    return {one.id: (invariant_gloss(one),) for one in document.invariants}
