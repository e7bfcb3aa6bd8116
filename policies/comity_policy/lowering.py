"""The intermediate form: what an agreement asks in one direction, at one point, as plain tests with their constants.

A rule is a clause's id and one test. Everything that the documents, the states and the vocabularies already settle is settled
here: levels become ranks of the direction's table, categories are expanded to their descendants, spans become
milliseconds, a suspended grant is left out and a suspended requirement becomes a test that cannot hold for what it covers
(suspension only subtracts). Rules stand in the order in which a decision lists them: baseline first, then the document's,
then the umbrella's, then those of national caveats. A clause that is not decided at the point has no rule there and is named
in `deferred` instead.

The meaning of every clause and baseline row is the table of docs/policy-semantics.md. What rules are made from is
`sources.py`, what each clause kind becomes `lowering_clauses.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from comity_policy import lowering_clauses, rules, sources
from comity_policy.clauses import (
    Audit,
    Embargo,
    OriginatorControl,
    Passage,
    PreApproval,
    Releasability,
    Suites,
    Survives,
)
from comity_policy.decision import Baseline
from comity_policy.document import Document
from comity_policy.facts import AgreementState, Point
from comity_policy.lowering_clauses import Setting
from comity_policy.rules import Rule, Test
from comity_policy.sections import AgreementKind
from comity_policy.sources import (
    NO_TABLE,
    Direction,
    Layer,
    Source,
    Table,
    Umbrella,
    directions,
    grants,
    layers,
    source_of,
    table_at,
    tables,
)

__all__ = [
    "CREATED_AT_AHEAD",
    "CREATED_AT_OLDEST",
    "NO_TABLE",
    "Direction",
    "Layer",
    "Source",
    "Table",
    "Umbrella",
    "baseline",
    "deferred",
    "directions",
    "grants",
    "layers",
    "lower",
    "source_of",
    "table_at",
    "tables",
]

CREATED_AT_OLDEST = 72 * 3_600_000
CREATED_AT_AHEAD = 2 * 60_000

# What is asked of a recall: it takes back and gives nothing, so what limits giving does not stop it.
OF_RECALLS = frozenset(
    {Baseline.PARTIES, Baseline.AGREEMENT, Baseline.ADDRESSEE, Baseline.BROKER, Baseline.NODE, Baseline.TIMES}
)
CLAUSES_OF_RECALLS = (Suites, Audit)

_READ_ON_AFTER = frozenset({"EXPIRED", "TERMINATED"})


def lower(source: Source, direction: Direction, point: Point) -> tuple[Rule, ...]:
    """Give the rules of one direction at one point, in the order in which decisions list violations."""
    return (
        *(Rule(row, test, row in OF_RECALLS) for row, test in baseline(source, direction, point)),
        *(
            rule
            for layer in layers(source, direction.from_party, (direction.to_party,))
            for rule in _layer_rules(source, layer, direction, point)
        ),
    )


def deferred(source: Source, from_party: str, to_parties: Sequence[str], point: Point) -> tuple[str, ...]:
    """Give the ids of the clauses that are decided on what a party sends to any of these, but not at this point."""
    return tuple(
        layer.written(clause)
        for layer in layers(source, from_party, to_parties)
        for clause in layer.clauses
        if clause.points and point not in clause.points
    )


def _layer_rules(source: Source, layer: Layer, direction: Direction, point: Point) -> Iterator[Rule]:
    own = layer.document is source.document
    table = direction.table if own else direction.umbrella_table
    setting = Setting(source, layer, direction, table, point)
    for clause in layer.clauses:
        for test in lowering_clauses.clause_tests(setting, clause):
            same_ranks = table.ranks == direction.table.ranks
            asked = test if same_ranks else rules.ByTable(table.ranks, test)
            yield Rule(layer.written(clause), asked, isinstance(clause, CLAUSES_OF_RECALLS))


def baseline(source: Source, direction: Direction, point: Point) -> Iterator[tuple[Baseline, Test]]:
    """Give the rows no author can forget that are decided at the point, in order."""
    document = source.document
    setting = Setting(source, sources.own_layer(source), direction, direction.table, point)
    from_party, to_party = direction.from_party, direction.to_party
    kinds = {type(clause) for clause in document.clauses}
    yield from in_force(source, direction, point)
    if from_party not in document.parties or to_party not in document.parties or from_party == to_party:
        yield Baseline.PARTIES, rules.Never()
    yield Baseline.AGREEMENT, rules.Agreement(document.id, source.digest)
    yield Baseline.ADDRESSEE, rules.Addressed(to_party, asks_reader=point is Point.OPENING)
    if point is not Point.OPENING:
        yield Baseline.BROKER, rules.CarriedBy(frozenset(document.brokers))
    yield Baseline.NODE, rules.NodeValid()
    yield Baseline.MARKING, rules.WellMarked(source.party_codes, to_party)
    yield Baseline.VOCABULARY, known_words(source, from_party)
    yield Baseline.ACCESS, rules.CategoryAccess(to_party)
    yield Baseline.NATIONAL_ONLY, rules.NotNationalOnly()
    if Releasability not in kinds:
        yield Baseline.RELEASABLE, rules.Released(to_party)
    if point is not Point.EGRESS:
        yield Baseline.ONWARD, passed_on(source, direction)
    if OriginatorControl not in kinds and point is not Point.EGRESS:
        yield Baseline.ORIGINATOR_CONTROL, lowering_clauses.originator_control(setting)
    times: tuple[Test, ...] = (
        rules.InTime(point is not Point.OPENING, CREATED_AT_OLDEST, CREATED_AT_AHEAD),
        *(lowering_clauses.embargo(setting) if Embargo not in kinds else ()),
    )
    yield Baseline.TIMES, times[0] if len(times) == 1 else rules.AllOf(times)
    yield Baseline.GRANT, rules.Granted(sources.grants(source, direction, suspended=False))


def in_force(source: Source, direction: Direction, point: Point) -> Iterator[tuple[Baseline, Test]]:
    """Give the row of what is not in force, the agreement's umbrella included; what is held may be read on.

    An umbrella that does not bind both ends of a direction is not in force between them.
    """
    umbrella = source.umbrella
    texts = [(source.document, source.state)]
    if umbrella is not None:
        texts.append((umbrella.document, umbrella.state))
    tests = [_over(document, state, point) for document, state in texts if state.in_force is not True]
    orphaned = source.document.kind == AgreementKind.ARRANGEMENT and umbrella is None
    ends = {direction.from_party, direction.to_party}
    unbound = umbrella is not None and not ends <= umbrella.document.parties.keys() - umbrella.state.unbound
    if orphaned or unbound or rules.Never() in tests:
        yield Baseline.IN_FORCE, rules.Never()
    elif tests:
        yield Baseline.IN_FORCE, tests[0]


def _over(document: Document, state: AgreementState, point: Point) -> Test:
    survives = any(isinstance(clause, Survives) for clause in document.clauses)
    readable = state.reason == "SUSPENDED" or (state.reason in _READ_ON_AFTER and survives)
    return rules.OnlyHeld() if point is Point.OPENING and readable else rules.Never()


def passed_on(source: Source, direction: Direction) -> Test:
    """Give the third-party rule: what somebody else than the originator sends needs its consent, and few enough hops."""
    clauses = sources.onward_grants(source)
    if not clauses:
        return rules.SentDirectly()
    return rules.PassedOn(
        max_hops=max(clause.max_hops for clause in clauses),
        pre_approved=tuple(
            _pre_approved(source, one) for clause in clauses for one in clause.pre_approved if direction.has(one)
        ),
        lifted=sources.lifts(source, direction.to_party, onward=True),
    )


def _pre_approved(source: Source, one: PreApproval) -> rules.PreApproved:
    return rules.PreApproved(
        sources.below((one.category,), source.descendants), tearline_only=one.portions is Passage.TEARLINE
    )


def known_words(source: Source, from_party: str) -> Test:
    """Give the words a report of this party may use."""
    return rules.KnownWords(from_party, source.parties, source.categories, source.purposes)
