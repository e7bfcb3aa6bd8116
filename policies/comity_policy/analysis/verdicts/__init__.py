"""What violates each test of the intermediate form, as conditions over attributes.

One function a test type, `VERDICTS` says which; a test nobody renders raises. A verdict has one condition a reason. Where
several hold for one rule the strongest is told: CLAUSE_SUSPENDED, then FACT_MISSING, then DENIED, so a condition need not say
that no stronger one holds. The meanings are the table of docs/policy-semantics.md.

A new test type is one function and one line in `VERDICTS`; a fact nobody asked for before is an attribute first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from comity_policy import rules
from comity_policy.analysis.terms import every, no, some
from comity_policy.analysis.verdicts import baseline, handling, sharing, suspension
from comity_policy.analysis.verdicts.parts import Verdict, is_lifted
from comity_policy.lowering import Table
from comity_policy.rules import Test

__all__ = ["VERDICTS", "Verdict", "verdict"]


def verdict(test: Test, table: Table) -> Verdict:
    """Give what violates a test under a table. Raises KeyError for a test nobody renders: nothing is skipped."""
    return VERDICTS[type(test)](test, table)


def all_of(test: rules.AllOf, table: Table) -> Verdict:
    """Give what violates one of the parts."""
    parts = [verdict(part, table) for part in test.parts]
    return Verdict(
        some(*(one.denied for one in parts)),
        some(*(one.missing for one in parts)),
        some(*(one.suspended for one in parts)),
    )


def unless_lifted(test: rules.UnlessLifted, table: Table) -> Verdict:
    """Give what violates the test, but for a declared emergency."""
    found, asked = verdict(test.test, table), no(is_lifted())
    return Verdict(*(every(asked, term) for term in (found.denied, found.missing, found.suspended)))


def by_table(test: rules.ByTable, table: Table) -> Verdict:
    """Give what violates the test for the rank in another table."""
    return verdict(test.test, replace(table, ranks=test.ranks))


VERDICTS: Mapping[type[Test], Callable[[Any, Table], Verdict]] = {
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
