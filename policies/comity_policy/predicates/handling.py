"""The checks of clauses that say how information is sent, kept and used."""

from __future__ import annotations

from comity_policy import rules
from comity_policy.clauses import Copies
from comity_policy.facts import Moment, NodeFacts, PortionMarking, Precedence, Profile, Times, Usage, Use
from comity_policy.predicates.codes import DENIED, HOLDS, MISSING, Check
from comity_policy.predicates.suspension import COPYING


def embargo_ends(_test: rules.EmbargoEnds) -> Check:
    """Hold where something is left to read when the embargo ends."""

    def check(_p: Profile, times: Times, _q: PortionMarking, _r: int | None, _n: NodeFacts, _m: Moment) -> int:
        return HOLDS if times.not_before < times.expires_at else DENIED

    return check


def embargo_over(_test: rules.EmbargoOver) -> Check:
    """Hold from `not_before` on."""

    def check(_p: Profile, times: Times, _q: PortionMarking, _r: int | None, _n: NodeFacts, moment: Moment) -> int:
        return HOLDS if moment.now >= times.not_before else DENIED

    return check


def expires_within(test: rules.ExpiresWithin) -> Check:
    """Hold where the report expires within the span of its making."""
    longest = test.longest

    def check(_p: Profile, times: Times, _q: PortionMarking, _r: int | None, _n: NodeFacts, _m: Moment) -> int:
        return HOLDS if times.expires_at <= times.created_at + longest else DENIED

    return check


def opened_within(test: rules.OpenedWithin) -> Check:
    """Hold where the report is opened within the span of its admission."""
    longest = test.longest

    def check(_p: Profile, _t: Times, _q: PortionMarking, _r: int | None, _n: NodeFacts, moment: Moment) -> int:
        admitted_at = moment.admitted_at
        if type(admitted_at) is not int:
            return MISSING
        return HOLDS if moment.now <= admitted_at + longest else DENIED

    return check


def sent_by(test: rules.SentBy) -> Check:
    """Hold where the sender has an attested role that may use the precedence; PRIORITY and ROUTINE are free."""
    flash, immediate, most_urgent, free_from = test.flash, test.immediate, Precedence.FLASH, Precedence.PRIORITY

    def check(profile: Profile, _t: Times, _q: PortionMarking, _r: int | None, _n: NodeFacts, moment: Moment) -> int:
        precedence = profile.precedence
        if precedence >= free_from:
            return HOLDS
        roles = moment.sender_roles
        if not isinstance(roles, frozenset):
            return MISSING
        return DENIED if roles.isdisjoint(flash if precedence == most_urgent else immediate) else HOLDS

    return check


def sealed_with(test: rules.SealedWith) -> Check:
    """Hold where suite, age of both keys and age of the key-log view are allowed."""
    allowed, oldest_key, oldest_view, as_admitted = test.allowed, test.oldest_key, test.oldest_view, test.as_admitted

    def check(profile: Profile, _t: Times, _q: PortionMarking, _r: int | None, node: NodeFacts, moment: Moment) -> int:
        sender_since, node_since, view_age = moment.sender_key_since, node.oldest_key_since, moment.key_log_age
        used_at = moment.admitted_at if as_admitted else moment.now
        if not (
            type(sender_since) is int and type(node_since) is int and type(view_age) is int and type(used_at) is int
        ):
            return MISSING
        if (
            profile.suite in allowed
            and 0 <= used_at - sender_since <= oldest_key
            and 0 <= used_at - node_since <= oldest_key
            and 0 <= view_age <= oldest_view
        ):
            return HOLDS
        return DENIED

    return check


def enables(test: rules.Enables) -> Check:
    """Hold where both nodes' statements say all of the floor."""
    floor = test.words

    def check(_p: Profile, _t: Times, _q: PortionMarking, _r: int | None, node: NodeFacts, moment: Moment) -> int:
        of_node, of_sender = node.capabilities, moment.sender_capabilities
        if not (isinstance(of_node, frozenset) and isinstance(of_sender, frozenset)):
            return MISSING
        return HOLDS if floor <= of_node and floor <= of_sender else DENIED

    return check


def copied_as(test: rules.CopiedAs) -> Check:
    """Hold for every use but copying; a copy is free, registered, or consented to by rank."""
    by_rank = test.by_rank

    def check(_p: Profile, _t: Times, _q: PortionMarking, rank: int | None, _n: NodeFacts, moment: Moment) -> int:
        use = moment.use
        if not isinstance(use, Use):
            return MISSING
        if use not in COPYING:
            return HOLDS
        if not by_rank:
            return MISSING if by_rank is None else HOLDS
        if rank is None:
            return MISSING
        match by_rank.get(rank, Copies.FREE):
            case Copies.FREE:
                return HOLDS
            case Copies.REGISTERED:
                return _true(moment.registered)
            case Copies.CONSENT:
                return _consented(use, moment)

    return check


def _true(attested: object) -> int:
    if attested is True:
        return HOLDS
    return DENIED if attested is False else MISSING


def _consented(use: Use, moment: Moment) -> int:
    consents = moment.consents
    if not isinstance(consents, frozenset):
        return MISSING
    return HOLDS if use in consents else DENIED


def within_quota(test: rules.WithinQuota) -> Check:
    """Hold where the window has room for this report."""
    clause_id, most_reports, most_bytes = test.clause_id, test.reports, test.size

    def check(_p: Profile, _t: Times, _q: PortionMarking, _r: int | None, _n: NodeFacts, moment: Moment) -> int:
        usage, size = moment.usage, moment.size
        used = usage.get(clause_id) if usage is not None else None
        if not isinstance(used, Usage):
            return MISSING
        reports, held = used.reports, used.size
        if not (type(size) is int and type(reports) is int and type(held) is int and min(size, reports, held) >= 0):
            return MISSING
        return HOLDS if reports + 1 <= most_reports and held + size <= most_bytes else DENIED

    return check


def rank_known(test: rules.RankKnown) -> Check:
    """Hold where both ranks are known."""
    other = test.other

    def check(_p: Profile, _t: Times, _q: PortionMarking, rank: int | None, _n: NodeFacts, _m: Moment) -> int:
        return MISSING if rank is None or other is None else HOLDS

    return check


def approved_by(test: rules.ApprovedBy) -> Check:
    """Hold below the rank, and where enough officers approved and the report says that as many must."""
    from_rank, officers = test.from_rank, test.officers

    def check(profile: Profile, _t: Times, _q: PortionMarking, rank: int | None, _n: NodeFacts, moment: Moment) -> int:
        if rank is None or from_rank is None:
            return MISSING
        if rank < from_rank:
            return HOLDS
        approvals = moment.approvals
        if not isinstance(approvals, frozenset):
            return MISSING
        named = sum(isinstance(one, str) for one in approvals)
        return HOLDS if named >= officers and profile.approvals_required >= officers else DENIED

    return check


def not_overdue(test: rules.NotOverdue) -> Check:
    """Hold for FLASH and IMMEDIATE, and where the recipient is not overdue beyond the limit."""
    clause_id, stopped_from = test.clause_id, Precedence.PRIORITY

    def check(profile: Profile, _t: Times, _q: PortionMarking, _r: int | None, node: NodeFacts, _m: Moment) -> int:
        if profile.precedence < stopped_from:
            return HOLDS
        overdue = node.overdue
        if not isinstance(overdue, frozenset):
            return MISSING
        return DENIED if clause_id in overdue else HOLDS

    return check


def used_as(test: rules.UsedAs) -> Check:
    """Hold where the caveat was acknowledged and, for a use that needs it, the originator consents."""
    clause_id, by_consent = test.clause_id, test.consent

    def check(_p: Profile, _t: Times, _q: PortionMarking, _r: int | None, _n: NodeFacts, moment: Moment) -> int:
        use, acknowledged = moment.use, moment.caveats_acknowledged
        if not (isinstance(use, Use) and isinstance(acknowledged, frozenset)):
            return MISSING
        consented = _consented(use, moment) if use in by_consent else HOLDS
        return max(consented, HOLDS if clause_id in acknowledged else DENIED)

    return check


def marked_by(test: rules.MarkedBy) -> Check:
    """Hold where nobody but the originator changed the marking."""
    unchanged_or_own = ("", test.party)

    def check(_p: Profile, _t: Times, _q: PortionMarking, _r: int | None, _n: NodeFacts, moment: Moment) -> int:
        by = moment.relabelled_by
        if not isinstance(by, str):
            return MISSING
        return HOLDS if by in unchanged_or_own else DENIED

    return check


def log_takes_entries(_test: rules.LogTakesEntries) -> Check:
    """Hold where the log takes entries."""

    def check(_p: Profile, _t: Times, _q: PortionMarking, _r: int | None, _n: NodeFacts, moment: Moment) -> int:
        return _true(moment.log_available)

    return check
