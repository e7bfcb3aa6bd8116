"""The compiled form: one closure a test, the hot path of every decision.

A check is called with (profile, times, portion, rank, node, moment) and gives a code: `HOLDS` or an index into the reasons
of a violation. `rank` is the portion's common rank in the direction, None when unknown. A missing fact gives `MISSING`,
never `HOLDS`; where a test needs several facts the missing one speaks first (docs/policy-semantics.md). A fact of a wrong
type is a missing one: a check asks for the type where another type could pass or be told as a denial (a truth value is no
number); what raises TypeError or AttributeError out of a comparison all the same, the engine turns into `MISSING`.

Each builder takes the lowered test and binds its constants, so that a check reads attributes and compares, nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from comity_policy import rules
from comity_policy.facts import Moment, NodeFacts, PortionMarking, Profile, Times
from comity_policy.predicates import baseline, handling, sharing, suspension
from comity_policy.predicates.codes import DENIED, HOLDS, MISSING, SUSPENDED, Check
from comity_policy.rules import Test

__all__ = ["BUILDERS", "DENIED", "HOLDS", "MISSING", "SUSPENDED", "Check", "build"]


def all_of(test: rules.AllOf) -> Check:
    """Hold where every part holds; a missing fact of one part speaks before another's denial."""
    parts = tuple(build(part) for part in test.parts)

    def check(*facts: Any) -> int:
        return max(part(*facts) for part in parts)

    return check


def unless_lifted(test: rules.UnlessLifted) -> Check:
    """Hold in a declared emergency, else as the test does."""
    otherwise = build(test.test)

    def check(  # noqa: PLR0917 - what every check is called with
        profile: Profile, times: Times, portion: PortionMarking, rank: int | None, node: NodeFacts, moment: Moment
    ) -> int:
        return HOLDS if suspension.lifted(profile, moment) else otherwise(profile, times, portion, rank, node, moment)

    return check


def by_table(test: rules.ByTable) -> Check:
    """Hold as the test does for the portion's rank in the other table."""
    rank_of, ranked = test.ranks.get, build(test.test)

    def check(
        profile: Profile, times: Times, portion: PortionMarking, _r: int | None, node: NodeFacts, moment: Moment
    ) -> int:
        return ranked(profile, times, portion, rank_of(portion.label.classification), node, moment)

    return check


BUILDERS: Mapping[type[Test], Callable[[Any], Check]] = {
    rules.Never: baseline.never,
    rules.OnlyHeld: baseline.only_held,
    rules.Suspended: suspension.suspended,
    rules.SuspendedGrant: suspension.suspended_grant,
    rules.SuspendedOnward: suspension.suspended_onward,
    rules.Granted: baseline.granted,
    rules.Agreement: baseline.agreement,
    rules.Addressed: baseline.addressed,
    rules.CarriedBy: baseline.carried_by,
    rules.NodeValid: baseline.node_valid,
    rules.WellMarked: baseline.well_marked,
    rules.KnownWords: baseline.known_words,
    rules.CategoryAccess: baseline.category_access,
    rules.NotNationalOnly: baseline.not_national_only,
    rules.Released: sharing.released,
    rules.NotPassedOn: sharing.not_passed_on,
    rules.SentDirectly: baseline.sent_directly,
    rules.PassedOn: baseline.passed_on,
    rules.InTime: baseline.in_time,
    rules.EmbargoEnds: handling.embargo_ends,
    rules.EmbargoOver: handling.embargo_over,
    rules.RankAtMost: sharing.rank_at_most,
    rules.Accredited: sharing.accredited,
    rules.ReaderCleared: sharing.reader_cleared,
    rules.NeedsToKnow: sharing.needs_to_know,
    rules.PersonalDataFor: sharing.personal_data_for,
    rules.CarriedAs: sharing.carried_as,
    rules.PurposeAmong: sharing.purpose_among,
    rules.RestsIn: sharing.rests_in,
    rules.NotExcluded: sharing.not_excluded,
    rules.ExpiresWithin: handling.expires_within,
    rules.OpenedWithin: handling.opened_within,
    rules.CopiedAs: handling.copied_as,
    rules.WithinQuota: handling.within_quota,
    rules.RankKnown: handling.rank_known,
    rules.ApprovedBy: handling.approved_by,
    rules.NotOverdue: handling.not_overdue,
    rules.UsedAs: handling.used_as,
    rules.MarkedBy: handling.marked_by,
    rules.LogTakesEntries: handling.log_takes_entries,
    rules.SentBy: handling.sent_by,
    rules.SealedWith: handling.sealed_with,
    rules.Enables: handling.enables,
    rules.AllOf: all_of,
    rules.UnlessLifted: unless_lifted,
    rules.ByTable: by_table,
}


def build(test: Test) -> Check:
    """Give the check of one lowered test. Raises KeyError for a test nobody compiles: nothing is skipped."""
    return BUILDERS[type(test)](test)
