"""The checks of suspended clauses, and of what a declared emergency lifts."""

from __future__ import annotations

from comity_policy import rules
from comity_policy.facts import Moment, NodeFacts, PersonalData, PortionMarking, Precedence, Profile, Times, Use
from comity_policy.marking import Label
from comity_policy.predicates.codes import HOLDS, SUSPENDED, Check
from comity_policy.rules import Guard

COPYING = frozenset({Use.COPY, Use.TRANSLATION})


def controlled(label: Label, rank: int | None) -> bool:
    """Say whether a portion is classified or carries any control."""
    return rank != 0 or bool(label.dissemination) or label.releasable_to is not None or label.display_only is not None


def lifted(profile: Profile, moment: Moment) -> bool:
    """Say whether the report goes under an emergency that a duty officer declared."""
    return bool(profile.emergency) and moment.emergency_declared is True


def lifted_onward(profile: Profile, portion: PortionMarking, moment: Moment) -> bool:
    """Say whether the emergency also stands for the originator's prior consent: it marked the portion as a warning."""
    return portion.warn is True and lifted(profile, moment)


def _covered(  # noqa: PLR0917 - a guard, and what a check is called with
    guard: Guard, profile: Profile, times: Times, portion: PortionMarking, rank: int | None, moment: Moment
) -> bool:
    match guard:
        case Guard.ALWAYS:
            return True
        case Guard.CLASSIFIED:
            return rank != 0
        case Guard.CONTROLLED:
            return controlled(portion.label, rank)
        case Guard.EMBARGOED:
            return times.not_before > times.created_at
        case Guard.NOT_YET:
            return times.not_before > times.created_at or moment.now < times.not_before
        case Guard.URGENT:
            return profile.precedence in {Precedence.FLASH, Precedence.IMMEDIATE}
        case Guard.UNHURRIED:
            return profile.precedence not in {Precedence.FLASH, Precedence.IMMEDIATE}
        case Guard.PERSONAL_DATA:
            return portion.personal_data is not PersonalData.NONE
        case Guard.COPYING:
            return not isinstance(moment.use, Use) or moment.use in COPYING


def _applies(grant: rules.Grant, profile: Profile) -> bool:
    categories = profile.categories
    return bool(categories) and profile.kind in grant.kinds and grant.categories.issuperset(categories)


def suspended(test: rules.Suspended) -> Check:
    """Deny what a suspended requirement covers."""
    guard = test.covers

    def check(
        profile: Profile, times: Times, portion: PortionMarking, rank: int | None, _n: NodeFacts, moment: Moment
    ) -> int:
        return SUSPENDED if _covered(guard, profile, times, portion, rank, moment) else HOLDS

    return check


def suspended_grant(test: rules.SuspendedGrant) -> Check:
    """Name the suspended grant that would have permitted, where no other does."""
    grant, others = test.grant, test.others

    def check(profile: Profile, _t: Times, _q: PortionMarking, _r: int | None, _n: NodeFacts, _m: Moment) -> int:
        if not _applies(grant, profile) or any(_applies(other, profile) for other in others):
            return HOLDS
        return SUSPENDED

    return check


def suspended_onward(_test: rules.SuspendedOnward) -> Check:
    """Name the suspended grant to pass on, where somebody else than the originator sends."""

    def check(_p: Profile, _t: Times, _q: PortionMarking, _r: int | None, _n: NodeFacts, moment: Moment) -> int:
        return SUSPENDED if moment.direct is False else HOLDS

    return check
