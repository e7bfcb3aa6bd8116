"""The clause kinds: what each found when it refused."""

from __future__ import annotations

from comity_policy.banner import banner
from comity_policy.clauses import (
    Ceiling,
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
from comity_policy.decision import Reason
from comity_policy.facts import Point, Precedence, Role
from comity_policy.findings.case import NO_REMEDY, NOT_ATTESTED, Case, Finding, Remedy, RemedyAction, listed, span, when


def of_clause(case: Case, clause: Clause) -> Finding:
    """Give what a violated clause found; a suspended requirement cannot hold, whatever the facts."""
    if isinstance(clause, Scope):
        # A grant is named only while it is suspended, also where a fact of a wrong type leaves open whether it would apply.
        return _scope(case, clause)
    if case.reason is Reason.CLAUSE_SUSPENDED:
        return _suspended(case, clause)
    match clause:
        case Ceiling():
            return _ceiling(case, clause)
        case Clearance():
            return _clearance(case, clause)
        case Releasability():
            return releasability(case)
        case OriginatorControl():
            return originator_control(case)
        case Purpose():
            return _purpose(case, clause)
        case Residency():
            return _residency(case, clause)
        case Retention():
            return _retention(case, clause)
        case Embargo():
            return _embargo(case, clause)
        case PrecedenceRule():
            return _precedence(case, clause)
        case Suites():
            return _suites(case, clause)
        case _:
            raise ValueError(f"clause {clause.id} is of a kind that never refuses")


def _suspended(case: Case, clause: Clause) -> Finding:
    return Finding(
        "state of the clause",
        f"clause {clause.id} is suspended",
        "the requirement in force: suspended, it cannot be met",
        f"after clause {clause.id} is resumed",
        case.raise_with_partner(),
    )


def releasability(case: Case) -> Finding:
    proposed = case.released_also()
    return Finding("marking", banner(case.label), f"REL TO with {case.node.party}", proposed, case.mark(proposed))


def originator_control(case: Case) -> Finding:
    command = f"comity consent ask --agreement {case.document.id} --to {case.node.party}"
    return Finding(
        "who sends ORCON content",
        "somebody else than the originator, without a grant for this report",
        f"{case.originator}, or its grant for this very report",
        f"with the consent of {case.originator}",
        case.remedy(RemedyAction.ASK_CONSENT, command, Role.LIAISON),
    )


def _scope(case: Case, clause: Scope) -> Finding:
    return Finding(
        "state of the grant",
        f"clause {clause.id} is suspended",
        "a grant in force",
        f"after clause {clause.id} is resumed",
        case.raise_with_partner(),
    )


def _ceiling(case: Case, clause: Ceiling) -> Finding:
    limits = [
        limit.level
        for limit in clause.limits
        if (limit.from_party, limit.to_party) == (case.originator, case.node.party)
    ]
    known = [level for level in limits if level in case.table.ranks]
    lowest = min(known, key=case.table.ranks.__getitem__) if known else ""
    return Finding(
        "classification",
        case.label.classification or "none stated",
        f"at most {lowest}" if lowest else f"a limit for {case.originator} to {case.node.party}",
        f"a portion written at {lowest}" if lowest else "after the parties agree on a limit",
        case.sanitise() if lowest else case.raise_with_partner(),
    )


def _clearance(case: Case, _clause: Clearance) -> Finding:
    node, ranks = case.node, case.table.ranks
    rank = ranks.get(case.label.classification)
    able = [level for level, highest in case.table.covers.items() if rank is not None and highest >= rank]
    until = "" if node.accreditation_level is None else f" until {when(node.accreditation_until)}"
    covered = case.table.covers.get(node.accreditation_level or "")
    lower = [level for level, one in ranks.items() if covered is not None and one <= covered]
    current = node.accreditation_until is not None and case.moment.now < node.accreditation_until
    return Finding(
        f"accreditation of {node.party}/{node.node}",
        (node.accreditation_level or NOT_ATTESTED) + until,
        f"one of {', '.join(able)}, current at {when(case.moment.now)}" if able else "a level of the agreement's table",
        f"a portion at {lower[-1]} or lower" if lower and current else f"after {node.party} accredits the node",
        case.raise_with_partner(),
    )


def _purpose(case: Case, clause: Purpose) -> Finding:
    stated, asked = case.profile.purpose or "none stated", case.moment.opening_purpose
    if case.moment.point is Point.OPENING and case.profile.purpose in clause.purposes:
        command = f"comity consent ask --agreement {case.document.id} --kind purpose"
        return Finding(
            "purpose of the opener",
            asked or "none stated",
            stated,
            f"state {stated}, or ask the originator's consent to another use",
            Remedy(RemedyAction.ASK_CONSENT, command, f"{Role.LIAISON.word} of {case.node.party}"),
        )
    one_of = listed(clause.purposes)
    return Finding(
        "purpose", stated, f"one of {one_of}", f"state one of {one_of}", case.state_otherwise("--purpose PURPOSE")
    )


def _residency(case: Case, clause: Residency) -> Finding:
    allowed = listed(clause.regions.get(case.originator, ()))
    got = f"broker {case.moment.broker_region or NOT_ATTESTED}, node {case.node.region or NOT_ATTESTED}"
    nearest = f"a broker and a node in {allowed}"
    return Finding("regions", got, f"both among {allowed}", nearest, case.raise_with_partner())


def _retention(case: Case, clause: Retention) -> Finding:
    longest, times, moment = clause.longest.milliseconds, case.times, case.moment
    if moment.point is Point.OPENING:
        limit = None if moment.admitted_at is None else moment.admitted_at + longest
        got = f"admitted {when(moment.admitted_at)}, opened {when(moment.now)}"
        nearest = "nothing: the time to keep it is over" if limit is not None else "with the log entry of its admission"
        return Finding("time of opening", got, f"at most {span(longest)} after admission", nearest, NO_REMEDY)
    latest = when(times.created_at + longest)
    return Finding(
        "time kept",
        span(times.expires_at - times.created_at),
        f"at most {span(longest)}",
        f"expires {latest}",
        case.state_otherwise(f"--expires {latest}"),
    )


def _embargo(case: Case, _clause: Embargo) -> Finding:
    times = case.times
    if case.moment.point is Point.OPENING:
        start = when(times.not_before)
        return Finding("embargo", when(case.moment.now), f"not before {start}", f"at {start}", NO_REMEDY)
    return Finding(
        "embargo",
        f"not before {when(times.not_before)}, expires {when(times.expires_at)}",
        "an embargo that ends before the report expires",
        f"not before an earlier time than {when(times.expires_at)}",
        case.state_otherwise("--not-before TIME"),
    )


def _precedence(case: Case, clause: PrecedenceRule) -> Finding:
    precedence = case.profile.precedence
    allowed = listed(clause.flash if precedence is Precedence.FLASH else clause.immediate)
    roles = case.moment.sender_roles
    return Finding(
        f"sender's roles for {precedence.name}",
        NOT_ATTESTED if roles is None else listed(tuple(role.word for role in roles)),
        f"one of {allowed}",
        f"{Precedence.PRIORITY.name}, or sent by one of {allowed}",
        Remedy(RemedyAction.SECOND_OFFICER, "", f"{allowed} of {case.originator}"),
    )


def _suites(case: Case, clause: Suites) -> Finding:
    moment = case.moment
    used_at = moment.admitted_at if moment.point is Point.OPENING else moment.now

    def age(since: int | None) -> str:
        return NOT_ATTESTED if since is None or used_at is None else span(used_at - since)

    return Finding(
        "suite, keys and key log",
        f"suite {case.profile.suite}, sender's key {age(moment.sender_key_since)}, "
        f"recipient's key {age(case.node.oldest_key_since)}, key-log view {span(moment.key_log_age)}",
        f"suite one of {listed(clause.allowed)}, keys at most {span(clause.oldest_key.milliseconds)}, "
        f"key-log view at most {span(clause.oldest_key_log_view.milliseconds)}",
        "an allowed suite, rotated keys and a fresh view of the key log",
        case.remedy(
            RemedyAction.NONE, f"comity node show {case.originator}/{case.profile.originator.node}", Role.OPERATOR
        ),
    )
