"""What rules are made from: an agreement with its state, its umbrella and the national caveats on it, settled once.

A **layer** is one text whose clauses are decided together: the agreement's own first, then its umbrella's (without what
grants), then each caveat's that applies. A layer says by which tables its clauses are decided, which are suspended, and how
decisions write their ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from comity_policy import rules
from comity_policy.clauses import CeilingLimit, Clause, Emergency, Exclude, Onward, PreApproval, Quota, Scope
from comity_policy.companions import Caveat, Umbrella
from comity_policy.facts import AgreementState, Kind
from comity_policy.marking import is_party_code
from comity_policy.sections import Document, Equivalence
from comity_policy.vocabulary import Vocabularies

__all__ = [
    "KINDS",
    "NO_TABLE",
    "AnyClause",
    "Direction",
    "Layer",
    "Source",
    "Table",
    "Umbrella",
    "below",
    "directions",
    "every_layer",
    "grants",
    "layer_of",
    "layers",
    "lifts",
    "onward_grants",
    "own_layer",
    "source_of",
    "table_at",
    "tables",
]

KINDS: Mapping[str, Kind] = {kind.word: kind for kind in Kind}

AnyClause = Clause | Exclude

_NOT_INHERITED = (Scope, Onward, Emergency)
_NOBODY: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Table:
    """One equivalence of a direction: ranks of the sender's levels, highest row of each of the recipient's levels."""

    begins_at: int
    ranks: Mapping[str, int]
    covers: Mapping[str, int]


NO_TABLE = Table(begins_at=0, ranks={}, covers={})


@dataclass(frozen=True, slots=True)
class Direction:
    """From whom to whom, and the tables between their levels: the agreement's, and where it has one its umbrella's."""

    from_party: str
    to_party: str
    table: Table
    umbrella_table: Table = NO_TABLE

    @property
    def begins_at(self) -> int:
        """Give the Unix millisecond from which both tables are in use."""
        return max(self.table.begins_at, self.umbrella_table.begins_at)

    def has(self, one: Scope | CeilingLimit | Quota | PreApproval) -> bool:
        """Say whether a grant or limit is of this direction."""
        return one.from_party == self.from_party and one.to_party == self.to_party


@dataclass(frozen=True, slots=True)
class Layer:
    """Clauses of one text. `prefix` stands before their ids; `lifted` by a declared emergency, where one may lift."""

    clauses: tuple[AnyClause, ...]
    document: Document
    prefix: str = ""
    suspended: frozenset[str] = _NOBODY
    liftable: bool = True
    caveat: Caveat | None = None

    def suspends(self, clause: AnyClause) -> bool:
        """Say whether a clause is suspended; protective kinds cannot be, whatever the state lists."""
        return clause.suspendable and clause.id in self.suspended

    def written(self, clause: AnyClause) -> str:
        """Give the clause's id as decisions and facts write it."""
        return self.prefix + clause.id


@dataclass(frozen=True, slots=True)
class Source:
    """What is compiled: an agreement's document with its digest and state; its words and grants, settled once.

    `descendants` has every category with itself and all below it.
    """

    document: Document
    digest: bytes
    state: AgreementState
    parties: frozenset[str]
    party_codes: frozenset[str]
    categories: frozenset[str]
    purposes: frozenset[str]
    grants: Mapping[str, rules.Grant]
    descendants: Mapping[str, frozenset[str]]
    umbrella: Umbrella | None = None
    caveats: tuple[Caveat, ...] = ()


def source_of(
    document: Document,
    digest: bytes,
    state: AgreementState,
    vocabularies: Vocabularies,
    *,
    umbrella: Umbrella | None = None,
    caveats: Iterable[Caveat] = (),
) -> Source:
    """Give what rules are made from, every grant with the descendants of its categories."""
    parties = frozenset(document.parties) | frozenset(vocabularies.parties)
    descendants = _descendants(vocabularies)
    return Source(
        document,
        digest,
        state,
        parties=parties,
        party_codes=frozenset(filter(is_party_code, parties)),
        categories=frozenset(vocabularies.categories),
        purposes=frozenset(vocabularies.purposes),
        grants={clause.id: _grant(clause, descendants) for clause in document.clauses if isinstance(clause, Scope)},
        descendants=descendants,
        umbrella=umbrella,
        caveats=tuple(sorted(caveats, key=lambda one: (one.party, one.id))),
    )


def _descendants(vocabularies: Vocabularies) -> Mapping[str, frozenset[str]]:
    """Give every category with itself and all below it: each stands below its own lineage."""
    found: dict[str, set[str]] = {category: set() for category in vocabularies.categories}
    for category in vocabularies.categories:
        for above in vocabularies.lineage(category):
            found[above].add(category)
    return {category: frozenset(below) for category, below in found.items()}


def _grant(clause: Scope, descendants: Mapping[str, frozenset[str]]) -> rules.Grant:
    return rules.Grant(
        clause.id,
        kinds=kinds_of(clause.kinds),
        categories=below(clause.categories, descendants),
    )


def kinds_of(words: Iterable[str]) -> frozenset[Kind]:
    """Give the kinds of message that a clause names: what supersedes a report is one."""
    kinds = frozenset(KINDS[word] for word in words)
    return kinds | {Kind.SUPERSEDE} if Kind.REPORT in kinds else kinds


def below(categories: Iterable[str], descendants: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """Give the categories with everything below them; one that is unknown stands for nothing."""
    return _NOBODY.union(*(descendants.get(category, _NOBODY) for category in categories))


def layers(source: Source, from_party: str, to_parties: Sequence[str]) -> tuple[Layer, ...]:
    """Give the texts that decide what a party sends to any of these, in the order in which decisions list them."""
    return (own_layer(source), *_umbrella_layers(source), *_caveat_layers(source, from_party, to_parties))


def own_layer(source: Source) -> Layer:
    """Give the agreement's own clauses."""
    return Layer(source.document.clauses, source.document, suspended=source.state.suspended_clauses)


def _umbrella_layers(source: Source) -> Iterator[Layer]:
    umbrella = source.umbrella
    if umbrella is not None:
        clauses = tuple(one for one in umbrella.document.clauses if not isinstance(one, _NOT_INHERITED))
        yield Layer(
            clauses,
            umbrella.document,
            prefix=f"{umbrella.document.id}/",
            suspended=umbrella.state.suspended_clauses,
        )


def _caveat_layers(source: Source, from_party: str, to_parties: Sequence[str]) -> Iterator[Layer]:
    for caveat in source.caveats:
        if caveat.party == from_party or (caveat.incoming and caveat.party in to_parties):
            yield _caveat_layer(source, caveat)


def _caveat_layer(source: Source, caveat: Caveat) -> Layer:
    prefix = f"caveat/{caveat.party}/{caveat.id}/"
    return Layer(caveat.clauses, source.document, prefix=prefix, liftable=False, caveat=caveat)


def every_layer(source: Source) -> tuple[Layer, ...]:
    """Give all texts, whoever sends to whom: the agreement's own first."""
    caveats = (_caveat_layer(source, caveat) for caveat in source.caveats)
    return (own_layer(source), *_umbrella_layers(source), *caveats)


def layer_of(source: Source, written: str) -> tuple[Layer, AnyClause]:
    """Give the layer and clause a decision's violation names; raises KeyError where none has that id."""
    for layer in every_layer(source):
        for clause in layer.clauses:
            if layer.written(clause) == written:
                return layer, clause
    raise KeyError(written)


def tables(document: Document, from_party: str, to_party: str) -> tuple[Table, ...]:
    """Give the direction's equivalences, the latest first; each begins at 00:00 UTC of its `valid_from`."""
    found = [_table(one) for one in document.equivalences if one.from_party == from_party and one.to_party == to_party]
    return tuple(sorted(found, key=lambda table: table.begins_at, reverse=True))


def table_at(document: Document, from_party: str, to_party: str, created_at: int) -> Table:
    """Give the direction's table for a report made at that time; `NO_TABLE` where none had begun."""
    return next((one for one in tables(document, from_party, to_party) if one.begins_at <= created_at), NO_TABLE)


def _table(equivalence: Equivalence) -> Table:
    rows = tuple(enumerate(zip(equivalence.levels, equivalence.protected_as, strict=True)))
    return Table(
        equivalence.begins_at,
        ranks=_shared((level, rank) for rank, (level, _) in rows),
        covers=_shared((level, rank) for rank, (_, level) in rows),
    )


def _shared(rows: Iterable[tuple[str, int]]) -> Mapping[str, int]:
    """Give one object for what many agreements say alike: the processor's caches hold it however many are in force."""
    return _mapping(tuple(rows))


@lru_cache(maxsize=1_024)
def _mapping(rows: tuple[tuple[str, int], ...]) -> Mapping[str, int]:
    return dict(rows)


def directions(source: Source, from_party: str, to_party: str) -> tuple[Direction, ...]:
    """Give the direction with each pair of tables that are in use together, the latest first."""
    documents = [source.document] if source.umbrella is None else [source.document, source.umbrella.document]
    begins = {table.begins_at for document in documents for table in tables(document, from_party, to_party)}
    return tuple(
        Direction(from_party, to_party, *(table_at(document, from_party, to_party, at) for document in documents))
        for at in sorted(begins, reverse=True)
    )


def grants(source: Source, direction: Direction, *, suspended: bool) -> tuple[rules.Grant, ...]:
    """Give the direction's grants that are (or are not) suspended, in document order."""
    own = own_layer(source)
    return tuple(
        source.grants[clause.id]
        for clause in own.clauses
        if isinstance(clause, Scope) and direction.has(clause) and own.suspends(clause) is suspended
    )


def onward_grants(source: Source) -> tuple[Onward, ...]:
    """Give the grants to pass on that are not suspended."""
    own = own_layer(source)
    return tuple(one for one in own.clauses if isinstance(one, Onward) and not own.suspends(one))


def lifts(source: Source, to_party: str, *, onward: bool = False) -> bool:
    """Say whether a declared emergency lifts requirements (or the prior consent) towards a party."""
    own = own_layer(source)
    return any(
        isinstance(one, Emergency) and to_party in one.to and (one.onward or not onward) and not own.suspends(one)
        for one in own.clauses
    )
