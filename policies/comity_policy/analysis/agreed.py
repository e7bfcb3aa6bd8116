"""What the parties hold an agreement to (`[[invariant]]`), as what must never be permitted, proved or refuted by z3.

Each invariant is said here from its own fields, in the words of a case: which reports would break it, in one direction at one
point. `proofs` asks whether such a report is permitted. An arrangement is asked for its umbrella's invariants too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from comity_policy import sources
from comity_policy.analysis import attributes as of
from comity_policy.analysis.conditions import Section
from comity_policy.analysis.terms import FALSE, Is, Term, among, amount, any_of, at_most, every, no
from comity_policy.analysis.verdicts.parts import is_lifted, is_lifted_onward
from comity_policy.facts import PersonalData, Point
from comity_policy.invariants import (
    AlwaysApproved,
    Invariant,
    NeverAbove,
    NeverLonger,
    NeverOnward,
    NeverPersonalData,
    NeverTo,
    OnlyFor,
    PersonalSort,
    invariant_gloss,
)
from comity_policy.lowering import Source, Table


@dataclass(frozen=True, slots=True)
class Promise:
    """An invariant, of the agreement itself or of its umbrella, with the name and the words that a proof tells it by."""

    invariant: Invariant
    name: str
    of_umbrella: bool

    @property
    def statement(self) -> str:
        """Give what it says."""
        return f"{self.name}: {invariant_gloss(self.invariant).removesuffix('.')}"

    def broken(self, source: Source, section: Section) -> Term:
        """Give which reports break it in a section, whether or not they are permitted."""
        direction = section.direction
        return _broken(
            self.invariant, source, section, direction.umbrella_table if self.of_umbrella else direction.table
        )


def promises(source: Source) -> Iterator[Promise]:
    """Give the agreement's own invariants, then its umbrella's."""
    for one in source.document.invariants:
        yield Promise(one, one.id, of_umbrella=False)
    if source.umbrella is not None:
        above = source.umbrella.document
        for one in above.invariants:
            yield Promise(one, f"{above.id}/{one.id}", of_umbrella=True)


def _broken(invariant: Invariant, source: Source, section: Section, table: Table) -> Term:
    from_party, to_party = section.parties
    match invariant:
        case NeverTo():
            about = any_of(of.CATEGORIES, sources.below(invariant.categories, source.descendants))
            return about if to_party == invariant.party else FALSE
        case NeverAbove():
            return no(_up_to(table, invariant.level, 0)) if from_party == invariant.from_party else FALSE
        case NeverOnward():
            warned = is_lifted_onward() if invariant.but_warnings else FALSE
            asked = from_party == invariant.from_party and section.point is not Point.EGRESS
            return every(no(Is(of.DIRECT)), no(warned)) if asked else FALSE
        case OnlyFor():
            again = of.OPENING_PURPOSE if section.point is Point.OPENING else of.PURPOSE
            return no(every(*(among(one, invariant.purposes) for one in dict.fromkeys((of.PURPOSE, again)))))
        case NeverPersonalData():
            special = among(of.PERSONAL_DATA, {PersonalData.SPECIAL.name})
            any_ = no(among(of.PERSONAL_DATA, {PersonalData.NONE.name}))
            return special if invariant.sort is PersonalSort.SPECIAL else any_
        case AlwaysApproved():
            asked = from_party == invariant.from_party and section.point is Point.ADMISSION
            enough = every(Is(of.APPROVALS_KNOWN), at_most(amount(invariant.officers), of.APPROVALS))
            return every(no(_up_to(table, invariant.level, -1)), no(enough), no(is_lifted())) if asked else FALSE
        case NeverLonger():
            within = at_most(of.EXPIRES_AT, amount(of.CREATED_AT, invariant.longest.milliseconds))
            return FALSE if section.point is Point.OPENING else no(within)


def _up_to(table: Table, level: str, plus: int) -> Term:
    """Give the levels up to a level (`plus` ranks above it); none of them where the table does not know it."""
    if level not in table.ranks:
        return FALSE
    return among(of.CLASSIFICATION, (one for one, rank in table.ranks.items() if rank <= table.ranks[level] + plus))
