"""The floors that an agreement sets for the software of both nodes: of its own clauses, its umbrella's, and national caveats'."""

from __future__ import annotations

from collections.abc import Mapping

from comity_policy.clauses import Capabilities
from comity_policy.sources import Source, layers


def sets_floor(source: Source) -> bool:
    """Say whether anything asks what a node can; where nothing does, no decision looks at it."""
    texts = [source.document.clauses, *(one.clauses for one in source.caveats)]
    if source.umbrella is not None:
        texts.append(source.umbrella.document.clauses)
    return any(isinstance(clause, Capabilities) for clauses in texts for clause in clauses)


def floors(source: Source, from_party: str, to_party: str) -> Mapping[str, frozenset[str]]:
    """Give what each clause asks of both nodes in a direction, by the clause's id as decisions write it."""
    return {
        layer.written(clause): clause.words
        for layer in layers(source, from_party, (to_party,))
        for clause in layer.clauses
        if isinstance(clause, Capabilities)
    }
