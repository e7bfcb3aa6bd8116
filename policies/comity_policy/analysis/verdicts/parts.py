"""What a verdict is, and the conditions several verdicts share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from comity_policy import rules
from comity_policy.analysis import attributes as of
from comity_policy.analysis.terms import FALSE, Is, Nothing, Term, among, every, no, only_of, some
from comity_policy.facts import Use
from comity_policy.lowering import Table


@dataclass(frozen=True, slots=True)
class Verdict:
    """When a rule is violated, by reason."""

    denied: Term = FALSE
    missing: Term = FALSE
    suspended: Term = FALSE


def unclassified(table: Table) -> Term:
    """Give whether the portion's level is the lowest; one without a rank is not."""
    return among(of.CLASSIFICATION, (level for level, rank in table.ranks.items() if rank == 0))


def ranked(table: Table) -> Term:
    """Give whether the portion's level has a rank."""
    return among(of.CLASSIFICATION, table.ranks)


def above(table: Table, limit: int) -> Term:
    """Give whether the portion's level is above a rank."""
    return among(of.CLASSIFICATION, (level for level, rank in table.ranks.items() if rank > limit))


def at_ranks(table: Table, ranks: Iterable[int]) -> Term:
    """Give whether the portion's level is at one of the ranks."""
    listed = frozenset(ranks)
    return among(of.CLASSIFICATION, (level for level, rank in table.ranks.items() if rank in listed))


def controlled(table: Table) -> Term:
    """Give whether the portion may go only to whom it is released to."""
    return some(no(unclassified(table)), no(Nothing(of.DISSEMINATION)), Is(of.RELEASABLE), Is(of.DISPLAYABLE))


def applies(grant: rules.Grant) -> Term:
    """Give whether a grant covers the kind of message and all its categories."""
    return every(
        among(of.KIND, (kind.word for kind in grant.kinds)),
        no(Nothing(of.CATEGORIES)),
        only_of(of.CATEGORIES, grant.categories),
    )


def is_lifted() -> Term:
    """Give whether the report goes under an emergency that a duty officer declared."""
    return every(Is(of.EMERGENCY), Is(of.EMERGENCY_DECLARED))


def is_lifted_onward() -> Term:
    """Give whether the emergency also stands for the originator's prior consent: it marked the portion as a warning."""
    return every(Is(of.WARN), is_lifted())


def is_copying() -> Term:
    """Give whether the opening is for a copy or a translation."""
    return among(of.USE, (Use.COPY.value, Use.TRANSLATION.value))
