"""The compiled form: one closure a test, the hot path of every decision.

A check is called with (profile, times, label, rank, node, moment) and gives a code: `HOLDS` or an index into the reasons
of a violation. `rank` is the label's common rank in the direction, None when unknown. A missing fact gives `MISSING`,
never `HOLDS`; where a test needs several facts the missing one speaks first (docs/policy-semantics.md). A fact of a wrong
type is a missing one: a check asks for the type where another type could pass or be told as a denial (a truth value is no
number); what raises TypeError or AttributeError out of a comparison all the same, the engine turns into `MISSING`.

Each builder takes the lowered test and binds its constants, so that a check reads attributes and compares, nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from comity_policy import rules
from comity_policy.predicates import baseline, clauses
from comity_policy.predicates.codes import DENIED, HOLDS, MISSING, SUSPENDED, Check
from comity_policy.rules import Test

__all__ = ["BUILDERS", "DENIED", "HOLDS", "MISSING", "SUSPENDED", "Check", "build"]


def all_of(test: rules.AllOf) -> Check:
    """Hold where every part holds; a missing fact of one part speaks before another's denial."""
    parts = tuple(build(part) for part in test.parts)

    def check(*facts: Any) -> int:
        return max(part(*facts) for part in parts)

    return check


BUILDERS: Mapping[type[Test], Callable[[Any], Check]] = {
    rules.Never: baseline.never,
    rules.Suspended: clauses.suspended,
    rules.SuspendedGrant: clauses.suspended_grant,
    rules.Granted: baseline.granted,
    rules.Agreement: baseline.agreement,
    rules.Addressed: baseline.addressed,
    rules.CarriedBy: baseline.carried_by,
    rules.NodeValid: baseline.node_valid,
    rules.WellMarked: baseline.well_marked,
    rules.KnownWords: baseline.known_words,
    rules.CategoryAccess: baseline.category_access,
    rules.NotNationalOnly: baseline.not_national_only,
    rules.Released: clauses.released,
    rules.NotPassedOn: clauses.not_passed_on,
    rules.InTime: baseline.in_time,
    rules.EmbargoEnds: clauses.embargo_ends,
    rules.EmbargoOver: clauses.embargo_over,
    rules.RankAtMost: clauses.rank_at_most,
    rules.Accredited: clauses.accredited,
    rules.PurposeAmong: clauses.purpose_among,
    rules.RestsIn: clauses.rests_in,
    rules.ExpiresWithin: clauses.expires_within,
    rules.OpenedWithin: clauses.opened_within,
    rules.SentBy: clauses.sent_by,
    rules.SealedWith: clauses.sealed_with,
    rules.AllOf: all_of,
}


def build(test: Test) -> Check:
    """Give the check of one lowered test. Raises KeyError for a test nobody compiles: nothing is skipped."""
    return BUILDERS[type(test)](test)
