"""The intermediate form: what an agreement asks in one direction, at one point, as plain tests with their constants.

A rule is a clause's id and one test. Everything that the document, the state and the vocabularies already settle is settled
here: levels become ranks of the direction's table, categories are expanded to their descendants, spans become
milliseconds, a suspended grant is left out and a suspended requirement becomes a test that cannot hold for what it covers
(suspension only subtracts). Rules stand in the order in which a decision lists them: baseline first, then the document's.
A clause that is not decided at the point has no rule there and is named in `deferred` instead.

The meaning of every clause and baseline row is the table of docs/policy-semantics.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from comity_policy import rules
from comity_policy.clauses import (
    Article,
    Ceiling,
    CeilingLimit,
    Clause,
    Clearance,
    Embargo,
    OriginatorControl,
    PrecedenceRule,
    Purpose,
    Releasability,
    Residency,
    Retention,
    Scope,
    Suites,
)
from comity_policy.decision import Baseline
from comity_policy.document import Document, Equivalence
from comity_policy.facts import AgreementState, Kind, Point, Role
from comity_policy.marking import is_party_code
from comity_policy.rules import Guard, Rule, Test
from comity_policy.vocabulary import Vocabularies

CREATED_AT_OLDEST = 72 * 3_600_000
CREATED_AT_AHEAD = 2 * 60_000

_KINDS = {kind.word: kind for kind in Kind}
_ROLES = {role.word: role for role in Role}


@dataclass(frozen=True, slots=True)
class Table:
    """One equivalence of a direction: ranks of the sender's levels, highest row of each of the recipient's levels."""

    begins_at: int
    ranks: Mapping[str, int]
    covers: Mapping[str, int]


NO_TABLE = Table(begins_at=0, ranks={}, covers={})


@dataclass(frozen=True, slots=True)
class Direction:
    """From whom to whom, and the table between their levels."""

    from_party: str
    to_party: str
    table: Table

    def has(self, one: Scope | CeilingLimit) -> bool:
        """Say whether a grant or limit is of this direction."""
        return one.from_party == self.from_party and one.to_party == self.to_party


@dataclass(frozen=True, slots=True)
class Source:
    """What is compiled: an agreement's document with its digest and state; its words and grants, settled once."""

    document: Document
    digest: bytes
    state: AgreementState
    parties: frozenset[str]
    party_codes: frozenset[str]
    categories: frozenset[str]
    purposes: frozenset[str]
    grants: Mapping[str, rules.Grant]


def source_of(document: Document, digest: bytes, state: AgreementState, vocabularies: Vocabularies) -> Source:
    """Give what rules are made from, every grant with the descendants of its categories."""
    parties = frozenset(document.parties) | frozenset(vocabularies.parties)
    return Source(
        document,
        digest,
        state,
        parties=parties,
        party_codes=frozenset(filter(is_party_code, parties)),
        categories=frozenset(vocabularies.categories),
        purposes=frozenset(vocabularies.purposes),
        grants={clause.id: _grant(clause, vocabularies) for clause in document.clauses if isinstance(clause, Scope)},
    )


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
        ranks={level: rank for rank, (level, _) in rows},
        covers={level: rank for rank, (_, level) in rows},
    )


def lower(source: Source, direction: Direction, point: Point) -> tuple[Rule, ...]:
    """Give the rules of one direction at one point, in the order in which decisions list violations."""
    return (
        *(Rule(row, test) for row, test in baseline(source, direction, point)),
        *(
            Rule(clause.id, test)
            for clause in source.document.clauses
            for test in clause_tests(source, clause, direction, point)
        ),
    )


def deferred(document: Document, point: Point) -> tuple[str, ...]:
    """Give the ids of the clauses that are decided, but not at this point."""
    return tuple(clause.id for clause in document.clauses if clause.points and point not in clause.points)


def grants(source: Source, direction: Direction, *, suspended: bool) -> tuple[rules.Grant, ...]:
    """Give the direction's grants that are (or are not) suspended, in document order."""
    return tuple(
        source.grants[clause.id]
        for clause in source.document.clauses
        if isinstance(clause, Scope) and direction.has(clause) and is_suspended(source.state, clause) is suspended
    )


def is_suspended(state: AgreementState, clause: Clause) -> bool:
    """Say whether a clause is suspended; protective kinds cannot be, whatever the state lists."""
    return clause.suspendable and clause.id in state.suspended_clauses


def _grant(clause: Scope, vocabularies: Vocabularies) -> rules.Grant:
    return rules.Grant(
        clause.id,
        kinds=frozenset(_KINDS[word] for word in clause.kinds),
        categories=frozenset[str]().union(*(vocabularies.descendants(category) for category in clause.categories)),
    )


def baseline(source: Source, direction: Direction, point: Point) -> Iterator[tuple[Baseline, Test]]:
    """Give the rows no author can forget that are decided at the point, in order."""
    document, state = source.document, source.state
    from_party, to_party = direction.from_party, direction.to_party
    kinds = {type(clause) for clause in document.clauses}
    if state.in_force is not True:
        yield Baseline.IN_FORCE, rules.Never()
    if from_party not in document.parties or to_party not in document.parties or from_party == to_party:
        yield Baseline.PARTIES, rules.Never()
    yield Baseline.AGREEMENT, rules.Agreement(document.id, source.digest)
    yield Baseline.ADDRESSEE, rules.Addressed(to_party)
    if point is not Point.OPENING:
        yield Baseline.BROKER, rules.CarriedBy(frozenset(document.brokers))
    yield Baseline.NODE, rules.NodeValid()
    yield Baseline.MARKING, rules.WellMarked(source.party_codes)
    yield Baseline.VOCABULARY, known_words(source, from_party)
    yield Baseline.ACCESS, rules.CategoryAccess(to_party)
    yield Baseline.NATIONAL_ONLY, rules.NotNationalOnly()
    if Releasability not in kinds:
        yield Baseline.RELEASABLE, rules.Released(to_party)
    if OriginatorControl not in kinds and point is not Point.EGRESS:
        yield Baseline.ORIGINATOR_CONTROL, rules.NotPassedOn()
    times: tuple[Test, ...] = (
        rules.InTime(point is not Point.OPENING, CREATED_AT_OLDEST, CREATED_AT_AHEAD),
        *(_embargo(point) if Embargo not in kinds else ()),
    )
    yield Baseline.TIMES, times[0] if len(times) == 1 else rules.AllOf(times)
    yield Baseline.GRANT, rules.Granted(grants(source, direction, suspended=False))


def clause_tests(source: Source, clause: Clause, direction: Direction, point: Point) -> tuple[Test, ...]:
    """Give the test of one clause, none where it does not decide."""
    if point not in clause.points:
        return ()
    if isinstance(clause, Scope):
        return suspended_grant(source, clause, direction)
    if is_suspended(source.state, clause):
        return (rules.Suspended(covers(clause)),)
    match clause:
        case Ceiling():
            return (ceiling(clause, direction),)
        case Clearance():
            return (rules.Accredited(direction.table.covers),)
        case Releasability():
            return (rules.Released(direction.to_party),)
        case OriginatorControl():
            return (rules.NotPassedOn(),)
        case Purpose():
            return (rules.PurposeAmong(frozenset(clause.purposes), asked_again=point is Point.OPENING),)
        case Residency():
            return (
                rules.RestsIn(frozenset(clause.regions[direction.from_party]))
                if direction.from_party in clause.regions
                else rules.Never(),
            )
        case Retention():
            return (retention(clause, point),)
        case Embargo():
            return _embargo(point)
        case PrecedenceRule():
            return (rules.SentBy(_roles(clause.flash), _roles(clause.immediate)),)
        case Suites():
            return (suites(clause, point),)
        case Article():
            return ()


def covers(clause: Clause) -> Guard:
    """Give what a requirement covers: what its suspension makes impossible."""
    match clause:
        case Clearance():
            return Guard.CLASSIFIED
        case Releasability():
            return Guard.CONTROLLED
        case Embargo():
            return Guard.EMBARGOED
        case PrecedenceRule():
            return Guard.URGENT
        case _:
            return Guard.ALWAYS


def suspended_grant(source: Source, clause: Scope, direction: Direction) -> tuple[Test, ...]:
    """Give the test that names a suspended grant of this direction; a grant in force is read by the baseline."""
    if not is_suspended(source.state, clause) or not direction.has(clause):
        return ()
    others = grants(source, direction, suspended=False)
    return (rules.SuspendedGrant(source.grants[clause.id], others),)


def ceiling(clause: Ceiling, direction: Direction) -> Test:
    """Give the lowest limit of the direction; one whose level has no rank leaves nothing to compare with."""
    levels = [limit.level for limit in clause.limits if direction.has(limit)]
    if not levels:
        return rules.Never()
    ranked = direction.table.ranks
    ranks = [ranked[level] for level in levels if level in ranked]
    return rules.RankAtMost(min(ranks) if len(ranks) == len(levels) else None)


def retention(clause: Retention, point: Point) -> Test:
    """Give the longest keeping as the point can see it."""
    longest = clause.longest.milliseconds
    return rules.OpenedWithin(longest) if point is Point.OPENING else rules.ExpiresWithin(longest)


def suites(clause: Suites, point: Point) -> Test:
    """Give the allowed suites and ages; at opening keys are as old as they were at admission."""
    return rules.SealedWith(
        frozenset(clause.allowed),
        clause.oldest_key.milliseconds,
        clause.oldest_key_log_view.milliseconds,
        as_admitted=point is Point.OPENING,
    )


def known_words(source: Source, from_party: str) -> Test:
    """Give the words a report of this party may use."""
    return rules.KnownWords(from_party, source.parties, source.categories, source.purposes)


def _embargo(point: Point) -> tuple[Test, ...]:
    match point:
        case Point.EGRESS:
            return ()
        case Point.ADMISSION:
            return (rules.EmbargoEnds(),)
        case Point.OPENING:
            return (rules.EmbargoOver(),)


def _roles(words: tuple[str, ...]) -> frozenset[Role]:
    return frozenset(_ROLES[word] for word in words)
