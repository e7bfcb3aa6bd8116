"""The checks of clauses, and of the baseline rows that stand in for them."""

from __future__ import annotations

from comity_policy import rules
from comity_policy.facts import Moment, NodeFacts, Precedence, Profile, Times
from comity_policy.marking import Control, Label
from comity_policy.predicates.codes import DENIED, HOLDS, MISSING, SUSPENDED, Check
from comity_policy.rules import Guard

_ORCON = Control.ORCON.value


def _controlled(label: Label, rank: int | None) -> bool:
    return rank != 0 or bool(label.dissemination) or label.releasable_to is not None or label.display_only is not None


def _covered(guard: Guard, profile: Profile, times: Times, label: Label, rank: int | None) -> bool:
    match guard:
        case Guard.ALWAYS:
            return True
        case Guard.CLASSIFIED:
            return rank != 0
        case Guard.CONTROLLED:
            return _controlled(label, rank)
        case Guard.EMBARGOED:
            return times.not_before > times.created_at
        case Guard.URGENT:
            return profile.precedence in {Precedence.FLASH, Precedence.IMMEDIATE}


def _applies(grant: rules.Grant, profile: Profile) -> bool:
    categories = profile.categories
    return bool(categories) and profile.kind in grant.kinds and grant.categories.issuperset(categories)


def suspended(test: rules.Suspended) -> Check:
    """Deny what a suspended requirement covers."""
    guard = test.covers

    def check(profile: Profile, times: Times, label: Label, rank: int | None, _n: NodeFacts, _m: Moment) -> int:
        return SUSPENDED if _covered(guard, profile, times, label, rank) else HOLDS

    return check


def suspended_grant(test: rules.SuspendedGrant) -> Check:
    """Name the suspended grant that would have permitted, where no other does."""
    grant, others = test.grant, test.others

    def check(profile: Profile, _t: Times, _l: Label, _r: int | None, _n: NodeFacts, _m: Moment) -> int:
        if not _applies(grant, profile) or any(_applies(other, profile) for other in others):
            return HOLDS
        return SUSPENDED

    return check


def released(test: rules.Released) -> Check:
    """Hold where REL TO names the recipient, or nothing limits the portion at all."""
    party = test.party

    def check(_p: Profile, _t: Times, label: Label, rank: int | None, _n: NodeFacts, _m: Moment) -> int:
        released_to = label.releasable_to
        if released_to is None:
            return DENIED if _controlled(label, rank) else HOLDS
        return HOLDS if party in released_to else DENIED

    return check


def not_passed_on(_test: rules.NotPassedOn) -> Check:
    """Hold where the originator itself sends, or a grant covers this very report, or nothing is ORCON."""

    def check(_p: Profile, _t: Times, label: Label, _r: int | None, _n: NodeFacts, moment: Moment) -> int:
        if _ORCON not in label.dissemination or moment.direct is True or moment.onward_grant is True:
            return HOLDS
        attested: tuple[object, object] = (moment.direct, moment.onward_grant)
        return DENIED if all(one is False for one in attested) else MISSING

    return check


def embargo_ends(_test: rules.EmbargoEnds) -> Check:
    """Hold where something is left to read when the embargo ends."""

    def check(_p: Profile, times: Times, _l: Label, _r: int | None, _n: NodeFacts, _m: Moment) -> int:
        return HOLDS if times.not_before < times.expires_at else DENIED

    return check


def embargo_over(_test: rules.EmbargoOver) -> Check:
    """Hold from `not_before` on."""

    def check(_p: Profile, times: Times, _l: Label, _r: int | None, _n: NodeFacts, moment: Moment) -> int:
        return HOLDS if moment.now >= times.not_before else DENIED

    return check


def rank_at_most(test: rules.RankAtMost) -> Check:
    """Hold up to the lowest limit of the direction."""
    limit = test.limit

    def check(_p: Profile, _t: Times, _l: Label, rank: int | None, _n: NodeFacts, _m: Moment) -> int:
        if rank is None or limit is None:
            return MISSING
        return HOLDS if rank <= limit else DENIED

    return check


def accredited(test: rules.Accredited) -> Check:
    """Hold where the node's attested accreditation is current and covers the rank; unclassified needs none."""
    covers = test.covers

    def check(_p: Profile, _t: Times, _l: Label, rank: int | None, node: NodeFacts, moment: Moment) -> int:
        if rank == 0:
            return HOLDS
        level, until = node.accreditation_level, node.accreditation_until
        if rank is None or level is None or type(until) is not int:
            return MISSING
        highest = covers.get(level)
        if highest is None:
            return MISSING
        return HOLDS if rank <= highest and moment.now < until else DENIED

    return check


def purpose_among(test: rules.PurposeAmong) -> Check:
    """Hold where the stated purpose is allowed and, at opening, the opener's is the same."""
    purposes, asked_again = test.purposes, test.asked_again

    def check(profile: Profile, _t: Times, _l: Label, _r: int | None, _n: NodeFacts, moment: Moment) -> int:
        purpose = profile.purpose
        if not purpose or (asked_again and not moment.opening_purpose):
            return MISSING
        if asked_again and moment.opening_purpose != purpose:
            return DENIED if isinstance(moment.opening_purpose, str) else MISSING
        return HOLDS if purpose in purposes else DENIED

    return check


def rests_in(test: rules.RestsIn) -> Check:
    """Hold where both the broker's and the node's region may hold this party's information."""
    regions = test.regions

    def check(_p: Profile, _t: Times, _l: Label, _r: int | None, node: NodeFacts, moment: Moment) -> int:
        at_broker, at_node = moment.broker_region, node.region
        if not (isinstance(at_broker, str) and isinstance(at_node, str)):
            return MISSING
        return HOLDS if at_broker in regions and at_node in regions else DENIED

    return check


def expires_within(test: rules.ExpiresWithin) -> Check:
    """Hold where the report expires within the span of its making."""
    longest = test.longest

    def check(_p: Profile, times: Times, _l: Label, _r: int | None, _n: NodeFacts, _m: Moment) -> int:
        return HOLDS if times.expires_at <= times.created_at + longest else DENIED

    return check


def opened_within(test: rules.OpenedWithin) -> Check:
    """Hold where the report is opened within the span of its admission."""
    longest = test.longest

    def check(_p: Profile, _t: Times, _l: Label, _r: int | None, _n: NodeFacts, moment: Moment) -> int:
        admitted_at = moment.admitted_at
        if type(admitted_at) is not int:
            return MISSING
        return HOLDS if moment.now <= admitted_at + longest else DENIED

    return check


def sent_by(test: rules.SentBy) -> Check:
    """Hold where the sender has an attested role that may use the precedence; PRIORITY and ROUTINE are free."""
    flash, immediate, most_urgent, free_from = test.flash, test.immediate, Precedence.FLASH, Precedence.PRIORITY

    def check(profile: Profile, _t: Times, _l: Label, _r: int | None, _n: NodeFacts, moment: Moment) -> int:
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

    def check(profile: Profile, _t: Times, _l: Label, _r: int | None, node: NodeFacts, moment: Moment) -> int:
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
