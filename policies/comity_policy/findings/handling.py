"""The clauses that say how information is sent, kept and used: what each found when it refused."""

from __future__ import annotations

from comity_policy.abilities import able_words
from comity_policy.clauses import (
    Acknowledge,
    Audit,
    Capabilities,
    Consent,
    Copies,
    DualControl,
    Embargo,
    PrecedenceRule,
    Quota,
    Relabel,
    Reproduction,
    Retention,
    Suites,
    UseRule,
)
from comity_policy.facts import Point, Precedence, Role, Use
from comity_policy.findings.case import (
    NO_REMEDY,
    NOT_ATTESTED,
    Case,
    Finding,
    Remedy,
    RemedyAction,
    attested,
    listed,
    span,
    when,
)
from comity_policy.sources import AnyClause


def of_handling(case: Case, clause: AnyClause) -> Finding:
    """Give what a violated clause found."""
    match clause:
        case Retention():
            return _retention(case, clause)
        case Reproduction():
            return _reproduction(case, clause)
        case Quota():
            return _quota(case, clause)
        case DualControl():
            return _dual_control(case, clause)
        case Acknowledge():
            return _acknowledge(case, clause)
        case UseRule():
            return _use(case, clause)
        case Relabel():
            return _relabel(case)
        case Audit():
            return _audit(case)
        case Embargo():
            return _embargo(case, clause)
        case PrecedenceRule():
            return _precedence(case, clause)
        case Suites():
            return _suites(case, clause)
        case Capabilities():
            return _capabilities(case, clause)
        case _:
            raise ValueError(f"clause {clause.id} is of a kind that never refuses")


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
        case.state_otherwise(f"--expires-at {latest}"),
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
        Remedy(RemedyAction.SECOND_OFFICER, case.approved_by(1), f"{allowed} of {case.originator}"),
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


def _capabilities(case: Case, clause: Capabilities) -> Finding:
    own = case.profile.originator
    sender, recipient = f"{own.party}/{own.node}", f"{case.node.party}/{case.node.node}"
    told: dict[str, str] = {}
    for name, stated in ((sender, case.moment.sender_capabilities), (recipient, case.node.capabilities)):
        if not isinstance(stated, frozenset):
            told[name] = f"{name} has stated nothing"
        elif not clause.words <= stated:
            told[name] = f"{name} cannot {able_words(clause.words - stated)}"
    parties = dict.fromkeys(name.partition("/")[0] for name in told)
    renewed = " and ".join(f"{party} renews the software of its node" for party in parties)
    look = f"comity node capabilities {own.party if [*told] == [sender] else case.node.party} --as {sender}"
    return Finding(
        "capabilities of both nodes",
        "; ".join(told.values()),
        f"each states that it can {able_words(clause.words)}",
        f"after {renewed} and it connects, or both parties amend clause {case.clause_id}",
        case.remedy(RemedyAction.NONE, look, Role.OPERATOR)
        if [*told] == [sender]
        else case.remedy(RemedyAction.RAISE_WITH_PARTNER, look, Role.LIAISON),
    )


def _reproduction(case: Case, clause: Reproduction) -> Finding:
    moment, rows = case.moment, [row for row in clause.rows if row.party == case.originator]
    told = "; ".join(f"from {row.level} on {row.copies}" for row in rows)
    if moment.use is None:
        return Finding("use", NOT_ATTESTED, "a stated use", "opened to read", NO_REMEDY)
    known = [row for row in rows if case.table.ranks.get(row.level, 0) <= (case.rank or 0)]
    if known and known[-1].copies is Copies.REGISTERED:
        registered = attested(moment.registered, "registered", "not registered")
        command = f"comity report register REPORT_ID --use {moment.use} --reader {case.node.party}/OFFICER"
        remedy = case.recipients_remedy(RemedyAction.NONE, command, Role.SECURITY_AUTHORITY)
        return Finding(
            f"{moment.use} of {case.label.classification}", registered, told, "entered in the register", remedy
        )
    return Finding(
        f"{moment.use} of {case.label.classification}",
        f"consent to {_consents(case)}",
        told,
        f"with the consent of {case.originator}, or opened to read",
        case.ask_consent(),
    )


def _consents(case: Case) -> str:
    return NOT_ATTESTED if case.moment.consents is None else listed(case.moment.consents)


def _quota(case: Case, clause: Quota) -> Finding:
    usage, size = case.moment.usage, case.moment.size
    used = None if usage is None else usage.get(case.clause_id)
    got = NOT_ATTESTED if used is None else f"{used.reports} reports and {used.size} bytes"
    _, ends_at = clause.window.around(case.moment.now)
    return Finding(
        f"used in this {clause.window}",
        f"{got}, and this report of {NOT_ATTESTED if size is None else f'{size} bytes'}",
        f"at most {clause.reports} reports and {clause.bytes} bytes in a {clause.window}",
        f"from {when(ends_at)} on, when the next {clause.window} begins, or as an emergency that a duty officer declares",
        case.remedy(RemedyAction.SECOND_OFFICER, "", Role.DUTY_OFFICER),
    )


def _dual_control(case: Case, clause: DualControl) -> Finding:
    approvals, required = case.moment.approvals, case.profile.approvals_required
    levels = [row.level for row in clause.from_levels if row.party == case.originator]
    return Finding(
        f"approvals of {case.label.classification}",
        f"{NOT_ATTESTED if approvals is None else listed(approvals)}; the report asks for {required}",
        f"{clause.officers} different officers of {case.originator} from {levels[0]} on, and a report that asks for as many",
        f"approved by {clause.officers} officers",
        case.remedy(RemedyAction.SECOND_OFFICER, case.approved_by(clause.officers), Role.RELEASE_AUTHORITY),
    )


def _acknowledge(case: Case, clause: Acknowledge) -> Finding:
    limit = "" if clause.stop_after is None else span(clause.stop_after.milliseconds)
    overdue = case.node.overdue
    return Finding(
        f"acknowledgements of {case.node.party}",
        NOT_ATTESTED if overdue is None else f"overdue beyond {limit}",
        f"none overdue beyond {limit}",
        f"after {case.node.party} acknowledges, or as {Precedence.IMMEDIATE.name}",
        case.raise_with_partner(),
    )


def _use(case: Case, clause: UseRule) -> Finding:
    moment = case.moment
    if moment.use is None:
        return Finding("use", NOT_ATTESTED, "a stated use", "opened to read", NO_REMEDY)
    acknowledged = moment.caveats_acknowledged
    if acknowledged is None or case.clause_id not in acknowledged:
        got = NOT_ATTESTED if acknowledged is None else "not acknowledged"
        remedy = case.recipients_remedy(RemedyAction.NONE, "comity receive --accept-caveats", Role.LIAISON)
        return Finding("caveat", got, "acknowledged before opening", "after its caveat is acknowledged", remedy)
    by_consent = [
        use
        for use, rule in ((Use.EVIDENCE, clause.evidence), (Use.ACTION, clause.action_on))
        if rule is Consent.CONSENT
    ]
    return Finding(
        f"use as {moment.use}",
        f"consent to {_consents(case)}",
        f"consent of {case.originator} to {listed(by_consent)}",
        f"with the consent of {case.originator}, or opened to read",
        case.ask_consent(),
    )


def _relabel(case: Case) -> Finding:
    by = case.moment.relabelled_by
    return Finding(
        "who changed the marking",
        NOT_ATTESTED if by is None else by,
        f"nobody, or {case.originator}",
        f"with the marking {case.originator} gave it",
        case.recipients_remedy(
            RemedyAction.RAISE_WITH_PARTNER, f"comity agreement show {case.document.id}", Role.LIAISON
        ),
    )


def _audit(case: Case) -> Finding:
    takes = attested(case.moment.log_available, "takes entries", "takes no entries or lacks its quorum")
    return Finding(
        "log of the agreement",
        takes,
        "a log that takes entries and has its quorum",
        "after its operator restores it",
        case.remedy(RemedyAction.NONE, "comity broker status", Role.OPERATOR),
    )
