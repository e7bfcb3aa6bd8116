"""What `check` finds between an agreement and what stands beside it: an umbrella above, national caveats below.

1. Both an arrangement and its umbrella decide, so whatever the arrangement allows and the umbrella does not is dead: an error,
   for its parties believe something that will not be. `comity agreement prove` proves the same of all clauses together.
2. An arrangement whose umbrella was not given is not compared, and that is said.
3. A caveat has no grants, so it only ever subtracts; one of its clauses that the agreement, or its umbrella, does not exceed
   subtracts nothing: an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import assert_never

from comity_policy.check_finding import Finding, error, note
from comity_policy.clauses import (
    Capabilities,
    CaveatClause,
    Ceiling,
    CeilingLimit,
    Channel,
    Clause,
    Clearance,
    DualControl,
    Exclude,
    NeedToKnow,
    PersonalDataRule,
    PrecedenceRule,
    Purpose,
    Quota,
    Residency,
    Retention,
    Scope,
    Special,
    Suites,
)
from comity_policy.companions import Caveat
from comity_policy.phrases import counted, joined
from comity_policy.sections import AgreementKind, Document
from comity_policy.vocabulary import Vocabularies


def umbrella_findings(document: Document, umbrella: Document | None) -> Iterator[Finding]:
    """Compare what an arrangement allows with the umbrella's clauses of the same kind, by rules 1 and 2."""
    if umbrella is None:
        if document.kind == AgreementKind.ARRANGEMENT:
            yield note("", "the umbrella was not given: what it does not allow is not found here")
        return
    for clause in document.clauses:
        for other in umbrella.clauses:
            what = _excess(document, clause, other)
            if what:
                yield error(clause.id, f"{what} is dead: clause {other.id} of {umbrella.id} does not allow it")


def caveat_findings(
    document: Document, words: Vocabularies, umbrella: Document | None, caveats: Sequence[Caveat]
) -> Iterator[Finding]:
    """Say of each caveat what it is on, and which of its clauses subtract nothing, by rule 3."""
    above = (*document.clauses, *(umbrella.clauses if umbrella is not None else ()))
    for caveat in caveats:
        where = f"caveat/{caveat.party}/{caveat.id}"
        also = f" and on what {caveat.party} receives" if caveat.incoming else ""
        told = f"{counted(len(caveat.clauses), 'requirement')} on what {caveat.party} sends{also}; it only subtracts"
        yield note("", f"caveat {caveat.id} of {caveat.party}: {told}")
        for clause in caveat.clauses:
            dead = _subtracts_nothing(document, words, caveat, clause, above)
            if dead:
                yield error(f"{where}/{clause.id}", f"subtracts nothing: {dead}")


def _excess(document: Document, clause: Clause | CaveatClause, other: Clause) -> str:
    """Give what the first clause allows and the other does not; nothing for clauses of two kinds."""
    match clause, other:
        case Retention(), Retention() if other.longest.milliseconds < clause.longest.milliseconds:
            return "the longer keeping"
        case Purpose(), Purpose():
            return _words(clause.purposes, other.purposes)
        case Suites(), Suites():
            older = clause.oldest_key.milliseconds > other.oldest_key.milliseconds
            return ", ".join(
                filter(
                    None,
                    (
                        _words(map(str, clause.allowed), map(str, other.allowed)),
                        "the older key" if older else "",
                    ),
                )
            )
        case PrecedenceRule(), PrecedenceRule():
            return _words(
                (f"{one} for FLASH" for one in clause.flash), (f"{one} for FLASH" for one in other.flash)
            ) or _words(
                (f"{one} for IMMEDIATE" for one in clause.immediate),
                (f"{one} for IMMEDIATE" for one in other.immediate),
            )
        case PersonalDataRule(), PersonalDataRule():
            special = clause.special_categories is Special.ALLOW and other.special_categories is Special.DENY
            more = clause.persons_max > other.persons_max
            return ", ".join(
                filter(
                    None,
                    (
                        _words(clause.purposes, other.purposes),
                        "special categories" if special else "",
                        "the larger number of persons" if more else "",
                    ),
                )
            )
        case Residency(), Residency():
            extra = (
                f"{region} for {party}"
                for party, regions in clause.regions.items()
                for region in regions
                if region not in other.regions.get(party, ())
            )
            return ", ".join(extra)
        case Ceiling(), Ceiling():
            lower = {(one.from_party, one.to_party): one.level for one in other.limits}
            higher = (
                f"the limit from {one.from_party} to {one.to_party}"
                for one in clause.limits
                if _above(document, (one.from_party, one.to_party), one.level, lower)
            )
            return ", ".join(higher)
        case _:
            return ""


def _words(allowed: Iterator[str] | Sequence[str], others: Iterator[str] | Sequence[str]) -> str:
    known = set(others)
    return ", ".join(word for word in allowed if word not in known)


def _above(document: Document, direction: tuple[str, str], level: str, limits: Mapping[tuple[str, str], str]) -> bool:
    if direction not in limits:
        return True
    limit, rank = document.rank_of(direction, limits[direction]), document.rank_of(direction, level)
    return limit is not None and rank is not None and limit < rank


def _subtracts_nothing(
    document: Document, words: Vocabularies, caveat: Caveat, clause: CaveatClause, above: Sequence[Clause]
) -> str:
    """Give why a caveat's clause refuses nothing that is not refused without it; empty where it may refuse something."""
    match clause:
        case Exclude():
            return _excludes_nothing(document, words, caveat, clause)
        case Ceiling():
            free = all(_is_free(document, caveat, limit, above) for limit in clause.limits)
            return "no limit of it is below the agreement's" if free else ""
        case Retention():
            shorter = any(
                isinstance(one, Retention) and one.longest.milliseconds <= clause.longest.milliseconds for one in above
            )
            return "the agreement allows no longer keeping" if shorter else ""
        case Purpose():
            within = any(isinstance(one, Purpose) and set(one.purposes) <= set(clause.purposes) for one in above)
            return "the agreement allows no other purpose" if within else ""
        case (
            Clearance()
            | NeedToKnow()
            | PersonalDataRule()
            | Residency()
            | Channel()
            | Quota()
            | PrecedenceRule()
            | DualControl()
            | Suites()
            | Capabilities()
        ):
            same = next((one.id for one in above if _fields(one) == _fields(clause)), "")
            return f"clause {same} says the same" if same else ""
        case _:
            assert_never(clause)


def _is_free(document: Document, caveat: Caveat, limit: CeilingLimit, above: Sequence[Clause]) -> bool:
    """Say whether a caveat's limit binds nothing: it is of a direction not decided by it, or an agreed one is no higher."""
    direction = (limit.from_party, limit.to_party)
    if caveat.party != limit.from_party and not (caveat.incoming and caveat.party == limit.to_party):
        return True
    agreed = [
        {(each.from_party, each.to_party): each.level for each in one.limits}
        for one in above
        if isinstance(one, Ceiling)
    ]
    table = document.equivalence(*direction)
    highest = table is not None and table.levels[-1] == limit.level
    return highest or any(
        direction in limits and not _above(document, direction, limits[direction], {direction: limit.level})
        for limits in agreed
    )


def _excludes_nothing(document: Document, words: Vocabularies, caveat: Caveat, clause: Exclude) -> str:
    granted = [
        one
        for one in document.clauses
        if isinstance(one, Scope)
        and (caveat.party == one.from_party or (caveat.incoming and caveat.party == one.to_party))
        and (not clause.to or one.to_party in clause.to)
        and (not clause.kinds or set(clause.kinds) & set(one.kinds))
    ]
    excluded = frozenset[str]().union(*map(words.descendants, clause.categories))
    flowing = frozenset[str]().union(*(words.descendants(category) for one in granted for category in one.categories))
    if not granted or (clause.categories and excluded.isdisjoint(flowing)):
        about = joined(clause.categories, "or") if clause.categories else "anything"
        return f"nothing about {about} is granted there"
    return ""


def _fields(clause: Clause | CaveatClause) -> tuple[object, ...]:
    return (type(clause), *(getattr(clause, name) for name in clause.__struct_fields__ if name not in {"id", "text"}))
