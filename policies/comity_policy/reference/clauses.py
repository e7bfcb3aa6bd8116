"""The clause kinds in the reference interpreter: where each is decided, what it covers, when it is violated.

Source: docs/policy-semantics.md, "Clauses", one function a row. A clause that needs no typed field takes the case alone,
so that the baseline can stand in for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, assert_never

from comity_policy.clauses import (
    Acknowledge,
    Article,
    Audit,
    Authorities,
    Breach,
    Capabilities,
    CaveatClause,
    Ceiling,
    Channel,
    Clause,
    Clearance,
    Closed,
    Disputes,
    DualControl,
    Embargo,
    Emergency,
    Exclude,
    NeedToKnow,
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
    Span,
    Suites,
    Survives,
    UseRule,
)
from comity_policy.decision import Reason
from comity_policy.facts import Kind, PersonalData, Point, Precedence, Role, Use
from comity_policy.reference import handling
from comity_policy.reference.case import (
    Case,
    Reasons,
    as_number,
    as_roles,
    as_text,
    as_truth,
    as_use,
    as_words,
    covered_rank,
    is_classified,
    is_controlled,
    is_within,
    rank_of,
)


def points_of(clause: Clause | CaveatClause) -> str:
    """Give the letters of the points at which the clause is decided."""
    match clause:
        case Scope() | Ceiling() | Clearance() | Releasability() | Purpose() | Retention() | Suites():
            return "EAO"
        case NeedToKnow() | PersonalDataRule() | Capabilities():
            return "EAO"
        case Closed():
            return "EAO"
        case Residency() | PrecedenceRule() | Channel() | Exclude():
            return "EA"
        case OriginatorControl() | Embargo() | Onward() | Emergency() | Survives():
            return "AO"
        case Quota() | DualControl() | Acknowledge() | Audit():
            return "A"
        case Reproduction() | UseRule() | Relabel():
            return "O"
        case Article() | Breach() | Disputes() | SecurityMeasures() | Authorities():
            return ""
        case _ as never:
            assert_never(never)


_NEVER_SUSPENDED = (
    OriginatorControl,
    Retention,
    UseRule,
    Relabel,
    Survives,
    Audit,
    Breach,
    Disputes,
    SecurityMeasures,
    Authorities,
    Article,
    Exclude,
)


def judged(case: Case, clause: Clause | CaveatClause) -> Reasons:
    """Give every reason for which the clause is violated, where it is decided."""
    if clause.id in case.state.suspended_clauses and not isinstance(clause, _NEVER_SUSPENDED):
        if _covers(case, clause):
            yield Reason.CLAUSE_SUSPENDED
        return
    yield from _RULES[type(clause)](case, clause)


def _never(_case: Case, _clause: object) -> Reasons:
    yield from ()


def _covers(case: Case, clause: Clause | CaveatClause) -> bool:
    match clause:
        case Scope():
            return _applies(case, clause) and not granted(case)
        case Onward():
            return case.moment.direct is False and not handling.onward_clauses(case)
        case Emergency():
            return False
        case Clearance():
            asks_reader = case.point is Point.OPENING and bool(handling.own_rows(case, clause.officer_from))
            return is_classified(case) or asks_reader
        case Releasability():
            return is_controlled(case)
        case PersonalDataRule():
            return case.portion.personal_data is not PersonalData.NONE
        case Reproduction():
            return as_use(case.moment.use) in (None, Use.COPY, Use.TRANSLATION)
        case Quota():
            return (clause.from_party, clause.to_party) == (case.sender, case.recipient)
        case DualControl():
            return any(row.party == case.sender for row in clause.from_levels)
        case Acknowledge():
            return case.profile.precedence not in (Precedence.FLASH, Precedence.IMMEDIATE)
        case Embargo():
            early = case.point is Point.OPENING and case.moment.now < case.times.not_before
            return case.times.not_before > case.times.created_at or early
        case PrecedenceRule():
            return case.profile.precedence in (Precedence.FLASH, Precedence.IMMEDIATE)
        case _:
            return True


def _applies(case: Case, scope: Scope) -> bool:
    if scope.from_party != case.sender or scope.to_party != case.recipient:
        return False
    if not _is_named(case, scope.kinds) or not case.profile.categories:
        return False
    return all(is_within(case, category, scope.categories) for category in case.profile.categories)


def _is_named(case: Case, kinds: Sequence[str]) -> bool:
    """Say whether the kind of message is one of these; a message that supersedes a report is a report."""
    kind = case.profile.kind
    return kind.word in kinds or (kind is Kind.SUPERSEDE and "report" in kinds)


def granted(case: Case) -> bool:
    """Say whether a scope that is not suspended applies."""
    for clause in case.document.clauses:
        if isinstance(clause, Scope) and clause.id not in case.state.suspended_clauses and _applies(case, clause):
            return True
    return False


def _ceiling(case: Case, clause: Ceiling) -> Reasons:
    limits = [one for one in clause.limits if (one.from_party, one.to_party) == (case.sender, case.recipient)]
    if not limits:
        yield Reason.DENIED
        return
    rank = rank_of(case, case.label.classification)
    for limit in limits:
        highest = rank_of(case, limit.level)
        if rank is None or highest is None:
            yield Reason.FACT_MISSING
        elif rank > highest:
            yield Reason.DENIED


def _clearance(case: Case, clause: Clearance) -> Reasons:
    yield from handling.officer_clearance(case, clause)
    if not is_classified(case):
        return
    rank = rank_of(case, case.label.classification)
    level = as_text(case.node.accreditation_level)
    until = as_number(case.node.accreditation_until)
    covered = None if level is None else covered_rank(case, level)
    if rank is None or until is None or covered is None:
        yield Reason.FACT_MISSING
    elif case.moment.now >= until or covered < rank:
        yield Reason.DENIED


def releasability(case: Case) -> Reasons:
    """Judge a `releasability` clause, or its stand-in."""
    if is_controlled(case):
        released = case.label.releasable_to
        if released is None or case.recipient not in released:
            yield Reason.DENIED


def originator_control(case: Case) -> Reasons:
    """Judge an `originator-control` clause, or its stand-in."""
    if "ORCON" not in case.label.dissemination:
        return
    direct, grant = as_truth(case.moment.direct), handling.onward_grant(case)
    if direct or grant:
        return
    yield Reason.FACT_MISSING if direct is None or grant is None else Reason.DENIED


def _purpose(case: Case, clause: Purpose) -> Reasons:
    stated = case.profile.purpose
    if not stated:
        yield Reason.FACT_MISSING
    if stated not in clause.purposes:
        yield Reason.DENIED
    if case.point is Point.OPENING:
        asked = as_text(case.moment.opening_purpose)
        if not asked:
            yield Reason.FACT_MISSING
        if asked != stated:
            yield Reason.DENIED


def _residency(case: Case, clause: Residency) -> Reasons:
    allowed = clause.regions.get(case.sender)
    if allowed is None:
        yield Reason.DENIED
        return
    for region in (as_text(case.moment.broker_region), as_text(case.node.region)):
        if region is None:
            yield Reason.FACT_MISSING
        elif region not in allowed:
            yield Reason.DENIED


def _milliseconds(span: Span) -> int:
    length = timedelta(weeks=span.weeks, days=span.days, hours=span.hours, minutes=span.minutes)
    return length // timedelta(milliseconds=1)


def _retention(case: Case, clause: Retention) -> Reasons:
    longest = _milliseconds(clause.longest)
    if case.point is not Point.OPENING:
        if case.times.expires_at > case.times.created_at + longest:
            yield Reason.DENIED
        return
    admitted = as_number(case.moment.admitted_at)
    if admitted is None:
        yield Reason.FACT_MISSING
    elif case.moment.now > admitted + longest:
        yield Reason.DENIED


def embargo(case: Case) -> Reasons:
    """Judge an `embargo` clause, or its stand-in, at A and O."""
    if case.point is Point.ADMISSION and case.times.not_before >= case.times.expires_at:
        yield Reason.DENIED
    if case.point is Point.OPENING and case.moment.now < case.times.not_before and not handling.is_lifted(case):
        yield Reason.DENIED


def _precedence(case: Case, clause: PrecedenceRule) -> Reasons:
    if case.profile.precedence is Precedence.FLASH:
        allowed = clause.flash
    elif case.profile.precedence is Precedence.IMMEDIATE:
        allowed = clause.immediate
    else:
        return
    roles = as_roles(case.moment.sender_roles)
    if roles is None:
        yield Reason.FACT_MISSING
    elif not any(role in roles for role in Role if role.word in allowed):
        yield Reason.DENIED


def _suites(case: Case, clause: Suites) -> Reasons:
    if case.profile.suite not in clause.allowed:
        yield Reason.DENIED
    opening = case.point is Point.OPENING
    used_at = as_number(case.moment.admitted_at) if opening else case.moment.now
    if used_at is None:
        yield Reason.FACT_MISSING
    for since in (as_number(case.moment.sender_key_since), as_number(case.node.oldest_key_since)):
        if since is None:
            yield Reason.FACT_MISSING
        elif used_at is not None and not 0 <= used_at - since <= _milliseconds(clause.oldest_key):
            yield Reason.DENIED
    view = as_number(case.moment.key_log_age)
    if view is None:
        yield Reason.FACT_MISSING
    elif not 0 <= view <= _milliseconds(clause.oldest_key_log_view):
        yield Reason.DENIED


def _capabilities(case: Case, clause: Capabilities) -> Reasons:
    floor = [f"wire/{one}" for one in clause.wire]
    floor += [f"suite/{one}" for one in clause.suites]
    floor += clause.obligations
    for stated in (as_words(case.node.capabilities), as_words(case.moment.sender_capabilities)):
        if stated is None:
            yield Reason.FACT_MISSING
        elif any(word not in stated for word in floor):
            yield Reason.DENIED


def _exclude(case: Case, clause: Exclude) -> Reasons:
    if clause.to and case.recipient not in clause.to:
        return
    if clause.kinds and not _is_named(case, clause.kinds):
        return
    categories = case.profile.categories
    if not categories:
        yield Reason.FACT_MISSING
    elif not clause.categories or any(is_within(case, one, clause.categories) for one in categories):
        yield Reason.DENIED


_RULES: dict[type, Callable[[Case, Any], Reasons]] = {
    Scope: _never,
    Ceiling: _ceiling,
    Clearance: _clearance,
    NeedToKnow: handling.need_to_know,
    Releasability: lambda case, _: releasability(case),
    OriginatorControl: lambda case, _: originator_control(case),
    Onward: _never,
    Purpose: _purpose,
    PersonalDataRule: handling.personal_data,
    Residency: _residency,
    Channel: handling.channel,
    Retention: _retention,
    Reproduction: handling.reproduction,
    Quota: handling.quota,
    PrecedenceRule: _precedence,
    DualControl: handling.dual_control,
    Acknowledge: handling.acknowledge,
    Suites: _suites,
    Capabilities: _capabilities,
    UseRule: handling.use_rule,
    Embargo: lambda case, _: embargo(case),
    Relabel: lambda case, _: handling.relabel(case),
    Emergency: _never,
    Survives: _never,
    Audit: handling.audit,
    Exclude: _exclude,
    Closed: _exclude,
}
