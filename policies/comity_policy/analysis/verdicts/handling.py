"""The verdicts of clauses that say how information is sent, kept and used.

Each function gives what violates the test of its name in `comity_policy.rules`.
"""

from __future__ import annotations

from comity_policy import rules
from comity_policy.analysis import attributes as of
from comity_policy.analysis.terms import (
    FALSE,
    TRUE,
    Attribute,
    Is,
    Member,
    NumberAmong,
    Term,
    among,
    amount,
    any_of,
    at_most,
    below,
    every,
    holds,
    no,
    some,
)
from comity_policy.analysis.verdicts.parts import (
    Verdict,
    above,
    at_ranks,
    is_copying,
    ranked,
)
from comity_policy.clauses import Copies
from comity_policy.lowering import Table


def embargo_ends(_test: rules.EmbargoEnds, _table: Table) -> Verdict:
    return Verdict(no(below(of.NOT_BEFORE, of.EXPIRES_AT)))


def embargo_over(_test: rules.EmbargoOver, _table: Table) -> Verdict:
    return Verdict(below(of.NOW, of.NOT_BEFORE))


def expires_within(test: rules.ExpiresWithin, _table: Table) -> Verdict:
    return Verdict(no(at_most(of.EXPIRES_AT, amount(of.CREATED_AT, test.longest))))


def opened_within(test: rules.OpenedWithin, _table: Table) -> Verdict:
    return Verdict(no(at_most(of.NOW, amount(of.ADMITTED_AT, test.longest))), missing=no(Is(of.ADMITTED_AT_KNOWN)))


def sent_by(test: rules.SentBy, _table: Table) -> Verdict:
    flash, immediate = (among(of.PRECEDENCE, {word}) for word in ("FLASH", "IMMEDIATE"))
    may_flash, may_immediate = (
        any_of(of.SENDER_ROLES, (role.word for role in roles)) for roles in (test.flash, test.immediate)
    )
    return Verdict(
        some(every(flash, no(may_flash)), every(immediate, no(may_immediate))),
        missing=every(some(flash, immediate), no(Is(of.SENDER_ROLES_KNOWN))),
    )


def sealed_with(test: rules.SealedWith, _table: Table) -> Verdict:
    used_at = of.ADMITTED_AT if test.as_admitted else of.NOW
    known = (of.SENDER_KEY_SINCE_KNOWN, of.OLDEST_KEY_SINCE_KNOWN, of.KEY_LOG_AGE_KNOWN)
    asked = (*known, of.ADMITTED_AT_KNOWN) if test.as_admitted else known
    fresh = every(
        NumberAmong(of.SUITE, test.allowed) if test.allowed else FALSE,
        *(_of_age(since, used_at, test.oldest_key) for since in (of.SENDER_KEY_SINCE, of.OLDEST_KEY_SINCE)),
        no(below(of.KEY_LOG_AGE, 0)),
        at_most(of.KEY_LOG_AGE, test.oldest_view),
    )
    return Verdict(no(fresh), missing=no(every(*map(Is, asked))))


def _of_age(since: Attribute, used_at: Attribute, oldest: int) -> Term:
    return every(at_most(since, used_at), at_most(used_at, amount(since, oldest)))


def enables(test: rules.Enables, _table: Table) -> Verdict:
    stated = (of.CAPABILITIES, of.SENDER_CAPABILITIES)
    return Verdict(
        no(every(*(holds(one, word) for one in stated for word in sorted(test.words)))),
        missing=no(every(Is(of.CAPABILITIES_KNOWN), Is(of.SENDER_CAPABILITIES_KNOWN))),
    )


def copied_as(test: rules.CopiedAs, table: Table) -> Verdict:
    if not test.by_rank:
        return Verdict(missing=some(no(Is(of.USE_KNOWN)), is_copying() if test.by_rank is None else FALSE))
    registered, consented = (
        at_ranks(table, {rank for rank, copies in test.by_rank.items() if copies is rule})
        for rule in (Copies.REGISTERED, Copies.CONSENT)
    )
    unsaid = some(
        no(ranked(table)),
        every(registered, no(Is(of.REGISTERED_KNOWN))),
        every(consented, no(Is(of.CONSENTS_KNOWN))),
    )
    refused = some(every(registered, no(Is(of.REGISTERED))), every(consented, no(Member(of.USE, of.CONSENTS))))
    return Verdict(every(is_copying(), refused), missing=some(no(Is(of.USE_KNOWN)), every(is_copying(), unsaid)))


def within_quota(test: rules.WithinQuota, _table: Table) -> Verdict:
    known, reports, size = of.usage(test.clause_id)
    unknown = some(no(Is(known)), no(Is(of.SIZE_KNOWN)), *(below(one, 0) for one in (reports, size, of.SIZE)))
    room = every(at_most(amount(reports, 1), test.reports), at_most(amount(size, of.SIZE), test.size))
    return Verdict(no(room), missing=unknown)


def rank_known(test: rules.RankKnown, table: Table) -> Verdict:
    return Verdict(missing=TRUE if test.other is None else no(ranked(table)))


def approved_by(test: rules.ApprovedBy, table: Table) -> Verdict:
    if test.from_rank is None:
        return Verdict(missing=TRUE)
    asked = above(table, test.from_rank - 1)
    enough = every(*(at_most(amount(test.officers), one) for one in (of.APPROVALS, of.APPROVALS_REQUIRED)))
    return Verdict(every(asked, no(enough)), missing=some(no(ranked(table)), every(asked, no(Is(of.APPROVALS_KNOWN)))))


def not_overdue(test: rules.NotOverdue, _table: Table) -> Verdict:
    asked = no(among(of.PRECEDENCE, ("FLASH", "IMMEDIATE")))
    return Verdict(every(asked, holds(of.OVERDUE, test.clause_id)), missing=every(asked, no(Is(of.OVERDUE_KNOWN))))


def used_as(test: rules.UsedAs, _table: Table) -> Verdict:
    by_consent = among(of.USE, (use.value for use in test.consent))
    unknown = some(
        no(Is(of.USE_KNOWN)), no(Is(of.CAVEATS_ACKNOWLEDGED_KNOWN)), every(by_consent, no(Is(of.CONSENTS_KNOWN)))
    )
    refused = some(
        no(holds(of.CAVEATS_ACKNOWLEDGED, test.clause_id)), every(by_consent, no(Member(of.USE, of.CONSENTS)))
    )
    return Verdict(refused, missing=unknown)


def marked_by(test: rules.MarkedBy, _table: Table) -> Verdict:
    return Verdict(no(among(of.RELABELLED_BY, ("", test.party))), missing=no(Is(of.RELABELLED_BY_KNOWN)))


def log_takes_entries(_test: rules.LogTakesEntries, _table: Table) -> Verdict:
    return Verdict(no(Is(of.LOG_AVAILABLE)), missing=no(Is(of.LOG_AVAILABLE_KNOWN)))
