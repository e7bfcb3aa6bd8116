"""Floors in generated agreements, and what nodes state, drawn beside everything else.

The random source is one of their own, so that a seed's agreements and cases are otherwise what they are without a floor: what is known
of a seed, such as which fault it finds, stays true.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

from builders_generated import TEXT, Generated, chance, some
from builders_generated_reports import Draft
from comity_policy import clauses as kinds
from comity_policy.abilities import OBLIGATIONS
from comity_policy.facts import AgreementState

_WORDS = tuple(sorted(OBLIGATIONS))
_NO_SET = (None, "use", ("use",), ["use"], 5)


def with_floors(rng: Random, made: Generated) -> Generated:
    """Give the agreement with a floor more often than not, of its own, its umbrella's or a caveat's; now and then suspended."""
    for number in range(rng.choices((0, 1, 2), (2, 5, 1))[0]):
        made = _with_one(rng, made, f"floor-{number}")
    return made


def _with_one(rng: Random, made: Generated, clause_id: str) -> Generated:
    clause = kinds.Capabilities(
        id=clause_id,
        text=TEXT,
        wire=some(rng, (1,), 0, 1),
        suites=some(rng, (1, 2), 0, 1),
        obligations=some(rng, _WORDS, 1, 3),
    )
    suspended = chance(rng, 0.015)
    if made.caveats and chance(rng, 0.4):
        first, *rest = made.caveats
        return replace(made, caveats=(replace(first, clauses=(*first.clauses, clause)), *rest), _by_kind={})
    if made.umbrella is not None and chance(rng, 0.4):
        above = made.umbrella
        document = replace(above.document, clauses=_among(rng, above.document.clauses, clause))
        state = _suspending(above.state, clause_id) if suspended else above.state
        return replace(made, umbrella=replace(above, document=document, state=state), _by_kind={})
    document = replace(made.document, clauses=_among(rng, made.document.clauses, clause))
    state = _suspending(made.state, clause_id) if suspended else made.state
    return replace(made, document=document, state=state, _by_kind={})


def _among(rng: Random, clauses: tuple[kinds.Clause, ...], clause: kinds.Clause) -> tuple[kinds.Clause, ...]:
    place = rng.randint(0, len(clauses))
    return (*clauses[:place], clause, *clauses[place:])


def _suspending(state: AgreementState, clause_id: str) -> AgreementState:
    return replace(state, suspended_clauses=state.suspended_clauses | {clause_id})


def stating(rng: Random, made: Generated, draft: Draft) -> Draft:
    """Let both nodes state what reaches every floor and words that none asks for; now and then less, nothing, or no set of words."""
    floor = frozenset[str]().union(*(one.words for one in made.clauses(kinds.Capabilities)))
    ends = ((draft.node, "capabilities"), (draft.moment, "sender_capabilities"))
    for part, field in ends:
        part[field] = floor.union(some(rng, (*_WORDS, "wire/1", "suite/2"), 0, 2))
    if chance(rng, 0.035):
        for part, field in some(rng, ends, 1, 2):
            lacking = some(rng, sorted(floor), 1, 1) or ("use",)
            part[field] = rng.choice((part[field] - {*lacking}, part[field] - {*lacking}, rng.choice(_NO_SET)))
    return draft
