"""Which way each change of an amendment goes, proved by z3: relaxed, tightened, both or neither, with a case for each.

Rules in order:

1. What is compared is what is decided: both texts in force, each with its umbrella and its caveats.
2. A change **relaxes** where there is a case that the later text permits and the earlier one refused, and the change is why: the
   later text with this one change undone refuses it, or the earlier text with this one change made permits it. It **tightens**
   where the same holds with the texts exchanged. So a grant that only moved to another article is neither.
3. Every relaxation is listed: each case of z3's own list (`relaxations`) is accounted for by a change that is said to relax, or
   `UnlistedError` says which is not.
4. Every case was decided by the engine under all texts that it is told of.

    for one in diff(before, after, vocabularies):
        one.change.article, one.direction, one.relaxation
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeVar

from comity_policy.analysis.relaxations import Relaxation, case_of, relaxations
from comity_policy.analysis.witness import Witness
from comity_policy.companions import Caveat
from comity_policy.diff import Change, Status, compare
from comity_policy.sections import Document, Equivalence
from comity_policy.sources import Source, source_of
from comity_policy.vocabulary import Vocabularies

_T = TypeVar("_T")
CAVEAT, UMBRELLA = "caveat", "umbrella"


class Direction(StrEnum):
    """Which way a change goes."""

    RELAXED = "relaxed"
    TIGHTENED = "tightened"
    BOTH = "both"
    UNCHANGED = "unchanged"


class UnlistedError(Exception):
    """A relaxation that z3 knows and no listed change accounts for: the diff is wrong, and nothing it says counts."""


@dataclass(frozen=True, slots=True)
class Directed:
    """One change with the case it newly permits and the one it newly refuses, as far as there are such."""

    change: Change
    relaxation: Witness | None = None
    tightening: Witness | None = None

    @property
    def direction(self) -> Direction:
        """Give which way it goes."""
        if self.relaxation is not None:
            return Direction.RELAXED if self.tightening is None else Direction.BOTH
        return Direction.UNCHANGED if self.tightening is None else Direction.TIGHTENED


def diff(before: Source, after: Source, vocabularies: Vocabularies) -> tuple[Directed, ...]:
    """Give every clause of either text, then what else changed, each with its direction.

    Raises UnlistedError by rule 3, UnsolvedError where z3 gives up, UnconfirmedError where the engine decides otherwise.
    """
    found = tuple(_directed(change, before, after, vocabularies) for change in _changes(before, after))
    check_listed(found, relaxations(before, after), before, after, vocabularies)
    return found


def check_listed(
    found: Iterable[Directed], known: Iterable[Relaxation], before: Source, after: Source, vocabularies: Vocabularies
) -> None:
    """Hold a diff against a list of relaxations; raises UnlistedError for one that no change said to relax accounts for."""
    relaxing = [one.change for one in found if one.relaxation is not None]
    for one in known:
        if not any(_is_why(change, one.witness, before, after, vocabularies) for change in relaxing):
            raise UnlistedError(f"no change that is listed accounts for this, {one.words}")


def _is_why(change: Change, case: Witness, before: Source, after: Source, vocabularies: Vocabularies) -> bool:
    undone, done = _with(after, before, change, vocabularies), _with(before, after, change, vocabularies)
    return not case.decided_by(undone).permit or case.decided_by(done).permit


def _changes(before: Source, after: Source) -> Iterator[Change]:
    yield from compare(before.document, after.document)
    old, new = _caveats(before), _caveats(after)
    for name in dict.fromkeys((*old, *new)):
        if name not in old or name not in new:
            status = Status.ADDED if name not in old else Status.REMOVED
            yield Change(
                CAVEAT, name, status, (("applies" if name in new else "does not apply") + " to the later text",)
            )
        elif old[name].clauses != new[name].clauses or old[name].incoming != new[name].incoming:
            yield Change(CAVEAT, name, Status.CHANGED)
    names = [None if one.umbrella is None else one.umbrella.digest for one in (before, after)]
    if names[0] != names[1]:
        yield Change(UMBRELLA, "", Status.CHANGED, ("another text of the umbrella",))


def _directed(change: Change, before: Source, after: Source, vocabularies: Vocabularies) -> Directed:
    if change.status in {Status.UNCHANGED, Status.REWORDED}:
        return Directed(change)
    undone, done = _with(after, before, change, vocabularies), _with(before, after, change, vocabularies)
    return Directed(
        change,
        relaxation=case_of((after,), (before, undone)) or case_of((after, done), (before,)),
        tightening=case_of((before,), (after, done)) or case_of((before, undone), (after,)),
    )


def _with(base: Source, other: Source, change: Change, vocabularies: Vocabularies) -> Source:
    """Give one version with a single change taken from the other."""
    document, caveats, umbrella = base.document, base.caveats, base.umbrella
    match change.part:
        case "clause":
            document = _with_clause(document, other.document, change.id)
        case "parties" | "brokers":
            entries = {
                change.part: _swapped(getattr(document, change.part), getattr(other.document, change.part), change.id)
            }
            document = replace(document, **entries)  # type: ignore[arg-type]  # a field and its own type
        case "equivalence":
            document = replace(document, equivalences=_tables(document, other.document, change.id))
        case _ if change.part == CAVEAT:
            caveats = tuple(_swapped(_caveats(base), _caveats(other), change.id).values())
        case _ if change.part == UMBRELLA:
            umbrella = other.umbrella
    return source_of(document, base.digest, base.state, vocabularies, umbrella=umbrella, caveats=caveats)


def _with_clause(document: Document, other: Document, clause_id: str) -> Document:
    clauses = _swapped({one.id: one for one in document.clauses}, {one.id: one for one in other.clauses}, clause_id)
    # Which clauses stand in an annex decides nothing.
    return replace(document, clauses=tuple(clauses.values()), annexes=())


def _tables(document: Document, other: Document, name: str) -> tuple[Equivalence, ...]:
    return tuple(_swapped(_named_tables(document), _named_tables(other), name).values())


def _named_tables(document: Document) -> dict[str, Equivalence]:
    return {f"from {one.from_party} to {one.to_party} of {one.valid_from}": one for one in document.equivalences}


def _swapped(entries: Mapping[str, _T], others: Mapping[str, _T], name: str) -> dict[str, _T]:
    kept = dict(entries)
    if name in others:
        kept[name] = others[name]
    else:
        kept.pop(name, None)
    return kept


def _caveats(source: Source) -> dict[str, Caveat]:
    return {f"{one.party}/{one.id}": one for one in source.caveats}
