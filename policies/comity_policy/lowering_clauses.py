"""How each clause kind becomes a test of the intermediate form, in one direction at one point (see `lowering`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from comity_policy import rules, sources
from comity_policy.clauses import (
    Acknowledge,
    Article,
    Audit,
    Authorities,
    Breach,
    Capabilities,
    Carrier,
    Ceiling,
    Channel,
    Clearance,
    Consent,
    Copies,
    Disputes,
    DualControl,
    Embargo,
    Emergency,
    Exclude,
    LevelRow,
    NeedToKnow,
    OnFailure,
    Onward,
    OriginatorControl,
    PersonalDataRule,
    PrecedenceRule,
    Purpose,
    Quota,
    Relabel,
    Releasability,
    Reproduction,
    Residency,
    Retention,
    Scope,
    SecurityMeasures,
    Special,
    Suites,
    Survives,
    UseRule,
)
from comity_policy.facts import Point, Role, Use
from comity_policy.rules import Guard, Test
from comity_policy.sources import AnyClause, Direction, Layer, Source, Table

_ROLES = {role.word: role for role in Role}

_Row = TypeVar("_Row", bound=LevelRow)


@dataclass(frozen=True, slots=True)
class Setting:
    """Where clauses are decided: whose text they are of, in which direction (with that text's table), at which point."""

    source: Source
    layer: Layer
    direction: Direction
    table: Table
    point: Point

    @property
    def is_opening(self) -> bool:
        return self.point is Point.OPENING

    def unless_lifted(self, test: Test) -> Test:
        """Give the test as a declared emergency lifts it, where one may."""
        liftable = self.layer.liftable and sources.lifts(self.source, self.direction.to_party)
        return rules.UnlessLifted(test) if liftable else test


def clause_tests(setting: Setting, clause: AnyClause) -> tuple[Test, ...]:
    """Give the test of one clause, none where it does not decide."""
    direction, point = setting.direction, setting.point
    if point not in clause.points:
        return ()
    if isinstance(clause, Scope | Onward | Emergency):
        return suspended_grant(setting, clause)
    if not concerns(setting, clause):
        return ()
    if setting.layer.suspends(clause):
        return (rules.Suspended(covers(setting, clause)),)
    match clause:
        case Ceiling():
            return (ceiling(clause, direction, setting.table),)
        case Clearance():
            return (clearance(setting, clause),)
        case Releasability():
            return (rules.Released(direction.to_party),)
        case NeedToKnow():
            return (need_to_know(setting, clause),)
        case OriginatorControl():
            return (originator_control(setting),)
        case PersonalDataRule():
            return (personal_data(setting, clause),)
        case Channel():
            return (rules.CarriedAs(channels(setting, clause)),)
        case Purpose():
            return (rules.PurposeAmong(frozenset(clause.purposes), asked_again=setting.is_opening),)
        case Residency():
            return (
                rules.RestsIn(frozenset(clause.regions[direction.from_party]))
                if direction.from_party in clause.regions
                else rules.Never(),
            )
        case Retention():
            return (retention(clause, point),)
        case Reproduction():
            return (rules.CopiedAs(copies(setting, clause)),)
        case Quota():
            quota = rules.WithinQuota(setting.layer.written(clause), clause.reports, clause.bytes)
            return (setting.unless_lifted(quota),)
        case DualControl():
            return (dual_control(setting, clause),)
        case Acknowledge():
            return (
                (setting.unless_lifted(rules.NotOverdue(setting.layer.written(clause))),) if clause.stop_after else ()
            )
        case UseRule():
            return (use(setting, clause),)
        case Relabel():
            return (rules.MarkedBy(direction.from_party),)
        case Embargo():
            return embargo(setting)
        case PrecedenceRule():
            return (rules.SentBy(_roles(clause.flash), _roles(clause.immediate)),)
        case Suites():
            return (suites(clause, point),)
        case Capabilities():
            return (rules.Enables(clause.words),)
        case Audit():
            return (rules.LogTakesEntries(),) if clause.on_failure is OnFailure.HALT else ()
        case Exclude():
            return (exclude(setting, clause),)
        case Survives() | Article() | Breach() | Disputes() | SecurityMeasures() | Authorities():
            return ()


def concerns(setting: Setting, clause: AnyClause) -> bool:
    """Say whether a clause speaks about this direction at all; where it does not, its suspension covers nothing either."""
    direction = setting.direction
    match clause:
        case Quota():
            return direction.has(clause)
        case DualControl():
            return any(row.party == direction.from_party for row in clause.from_levels)
        case Exclude():
            return not clause.to or direction.to_party in clause.to
        case _:
            return True


def covers(setting: Setting, clause: AnyClause) -> Guard:
    """Give what a requirement covers: what its suspension makes impossible."""
    match clause:
        case Clearance():
            return Guard.ALWAYS if _asks_reader(setting, clause) else Guard.CLASSIFIED
        case Releasability():
            return Guard.CONTROLLED
        case PersonalDataRule():
            return Guard.PERSONAL_DATA
        case Reproduction():
            return Guard.COPYING
        case Acknowledge():
            return Guard.UNHURRIED
        case Embargo():
            return Guard.NOT_YET if setting.is_opening else Guard.EMBARGOED
        case PrecedenceRule():
            return Guard.URGENT
        case _:
            return Guard.ALWAYS


def suspended_grant(setting: Setting, clause: Scope | Onward | Emergency) -> tuple[Test, ...]:
    """Give the test that names a suspended grant of this direction; a grant in force is read by the baseline."""
    source, direction = setting.source, setting.direction
    if not setting.layer.suspends(clause):
        return ()
    match clause:
        case Scope():
            others = sources.grants(source, direction, suspended=False)
            return (rules.SuspendedGrant(source.grants[clause.id], others),) if direction.has(clause) else ()
        case Onward():
            return () if sources.onward_grants(source) else (rules.SuspendedOnward(),)
        case Emergency():
            return ()


def ceiling(clause: Ceiling, direction: Direction, table: Table) -> Test:
    """Give the lowest limit of the direction; one whose level has no rank leaves nothing to compare with."""
    levels = [limit.level for limit in clause.limits if direction.has(limit)]
    if not levels:
        return rules.Never()
    ranked = table.ranks
    ranks = [ranked[level] for level in levels if level in ranked]
    return rules.RankAtMost(min(ranks) if len(ranks) == len(levels) else None)


def clearance(setting: Setting, clause: Clearance) -> Test:
    """Give the node's accreditation and, from its party's row on, the reader's clearance at opening."""
    accredited = rules.Accredited(setting.table.covers)
    if not _asks_reader(setting, clause):
        return accredited
    lowest = lowest_rank(setting, clause.officer_from)
    return rules.AllOf((rules.ReaderCleared(setting.table.covers, lowest), accredited))


def _asks_reader(setting: Setting, clause: Clearance) -> bool:
    from_party = setting.direction.from_party
    return setting.is_opening and any(row.party == from_party for row in clause.officer_from)


def need_to_know(setting: Setting, clause: NeedToKnow) -> Test:
    """Give who of the recipient needs to know, all its rows together; a party without one is told nothing."""
    to_party = setting.direction.to_party
    rows = [row for row in clause.rows if row.party == to_party]
    if not rows:
        return rules.Never()
    return rules.NeedsToKnow(
        to_party,
        offices=frozenset(one for row in rows for one in row.offices),
        communities=frozenset(one for row in rows for one in row.communities),
        officers=frozenset(one for row in rows for one in row.officers),
        asks_reader=setting.is_opening,
    )


def originator_control(setting: Setting) -> Test:
    """Give the rule for ORCON, which a declared emergency lifts where its grant says so."""
    return rules.NotPassedOn(lifted=sources.lifts(setting.source, setting.direction.to_party, onward=True))


def personal_data(setting: Setting, clause: PersonalDataRule) -> Test:
    """Give the rule for personal data; at opening the opener states a purpose too."""
    return rules.PersonalDataFor(
        frozenset(clause.purposes),
        special=clause.special_categories is Special.ALLOW,
        persons_max=clause.persons_max,
        asked_again=setting.is_opening,
    )


def channels(setting: Setting, clause: Channel) -> Mapping[int, Carrier] | None:
    """Give the channel of every rank from the party's lowest row on."""
    found = rows_by_rank(setting, clause.rows)
    return None if found is None else {rank: row.by for rank, row in found.items()}


def copies(setting: Setting, clause: Reproduction) -> Mapping[int, Copies] | None:
    """Give the rule for copies of every rank from the party's lowest row on."""
    found = rows_by_rank(setting, clause.rows)
    return None if found is None else {rank: row.copies for rank, row in found.items()}


def rows_by_rank(setting: Setting, rows: Sequence[_Row]) -> Mapping[int, _Row] | None:
    """Give for every rank of the table the party's row that speaks of it; None where a level of a row has no rank.

    Of two rows of one level the first counts.
    """
    ranks = setting.table.ranks
    own = [row for row in rows if row.party == setting.direction.from_party]
    if any(row.level not in ranks for row in own):
        return None
    found: dict[int, _Row] = {}
    for rank in ranks.values():
        below = [row for row in own if ranks[row.level] <= rank]
        if below:
            found[rank] = max(below, key=lambda row: ranks[row.level])
    return found


def lowest_rank(setting: Setting, rows: Sequence[LevelRow]) -> int | None:
    """Give the rank from which the party's rows speak; None where a level of a row has no rank."""
    found = rows_by_rank(setting, rows)
    return min(found) if found else None


def dual_control(setting: Setting, clause: DualControl) -> Test:
    """Give the approvals a rank needs. A rank nobody knows is no rank below, in an emergency neither."""
    lowest = lowest_rank(setting, clause.from_levels)
    approved = setting.unless_lifted(rules.ApprovedBy(lowest, clause.officers))
    return rules.AllOf((rules.RankKnown(lowest), approved)) if isinstance(approved, rules.UnlessLifted) else approved


def retention(clause: Retention, point: Point) -> Test:
    """Give the longest keeping as the point can see it."""
    longest = clause.longest.milliseconds
    return rules.OpenedWithin(longest) if point is Point.OPENING else rules.ExpiresWithin(longest)


def use(setting: Setting, clause: UseRule) -> Test:
    """Give the caveat to acknowledge, and the uses that need consent."""
    rule_of = {Use.EVIDENCE: clause.evidence, Use.ACTION: clause.action_on}
    by_consent = frozenset(use for use, rule in rule_of.items() if rule is Consent.CONSENT)
    return rules.UsedAs(setting.layer.written(clause), by_consent)


def embargo(setting: Setting) -> tuple[Test, ...]:
    """Give what an embargo asks at the point."""
    match setting.point:
        case Point.EGRESS:
            return ()
        case Point.ADMISSION:
            return (rules.EmbargoEnds(),)
        case Point.OPENING:
            return (setting.unless_lifted(rules.EmbargoOver()),)


def suites(clause: Suites, point: Point) -> Test:
    """Give the allowed suites and ages; at opening keys are as old as they were at admission."""
    return rules.SealedWith(
        frozenset(clause.allowed),
        clause.oldest_key.milliseconds,
        clause.oldest_key_log_view.milliseconds,
        as_admitted=point is Point.OPENING,
    )


def exclude(setting: Setting, clause: Exclude) -> Test:
    """Give what a national caveat keeps back from the recipient."""
    descendants = setting.source.descendants
    return rules.NotExcluded(
        kinds=sources.kinds_of(clause.kinds) if clause.kinds else None,
        categories=sources.below(clause.categories, descendants) if clause.categories else None,
    )


def _roles(words: tuple[str, ...]) -> frozenset[Role]:
    return frozenset(_ROLES[word] for word in words)
