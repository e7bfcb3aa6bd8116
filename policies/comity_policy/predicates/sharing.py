"""The checks of clauses that say what may flow to whom, and of the baseline rows that stand in for them."""

from __future__ import annotations

from comity_policy import rules
from comity_policy.clauses import Carrier
from comity_policy.facts import Moment, NodeFacts, PersonalData, PortionMarking, Profile, Reader, Times
from comity_policy.marking import Control
from comity_policy.predicates.codes import DENIED, HOLDS, MISSING, Check
from comity_policy.predicates.suspension import controlled, lifted_onward

_ORCON = Control.ORCON.value


def released(test: rules.Released) -> Check:
    """Hold where REL TO names the recipient, or nothing limits the portion at all."""
    party = test.party

    def check(_p: Profile, _t: Times, portion: PortionMarking, rank: int | None, _n: NodeFacts, _m: Moment) -> int:
        label = portion.label
        released_to = label.releasable_to
        if released_to is None:
            return DENIED if controlled(label, rank) else HOLDS
        return HOLDS if party in released_to else DENIED

    return check


def not_passed_on(test: rules.NotPassedOn) -> Check:
    """Hold where the originator itself sends, or a grant covers this very report, or nothing is ORCON."""
    in_emergency = test.lifted

    def check(
        profile: Profile, _t: Times, portion: PortionMarking, _r: int | None, _n: NodeFacts, moment: Moment
    ) -> int:
        label = portion.label
        if _ORCON not in label.dissemination or moment.direct is True or moment.onward_grant is True:
            return HOLDS
        if in_emergency and lifted_onward(profile, portion, moment):
            return HOLDS
        return refused(moment)

    def refused(moment: Moment) -> int:
        attested: tuple[object, object] = (moment.direct, moment.onward_grant)
        return DENIED if all(one is False for one in attested) else MISSING

    return check


def rank_at_most(test: rules.RankAtMost) -> Check:
    """Hold up to the lowest limit of the direction."""
    limit = test.limit

    def check(_p: Profile, _t: Times, _q: PortionMarking, rank: int | None, _n: NodeFacts, _m: Moment) -> int:
        if rank is None or limit is None:
            return MISSING
        return HOLDS if rank <= limit else DENIED

    return check


def accredited(test: rules.Accredited) -> Check:
    """Hold where the node's attested accreditation is current and covers the rank; unclassified needs none."""
    covers = test.covers

    def check(_p: Profile, _t: Times, _q: PortionMarking, rank: int | None, node: NodeFacts, moment: Moment) -> int:
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


def reader_cleared(test: rules.ReaderCleared) -> Check:
    """Hold below the lowest rank, and where the reading officer's attested clearance is current and covers the rank."""
    covers, lowest = test.covers, test.lowest

    def check(_p: Profile, _t: Times, _q: PortionMarking, rank: int | None, _n: NodeFacts, moment: Moment) -> int:
        if rank is None or lowest is None:
            return MISSING
        if rank < lowest:
            return HOLDS
        reader = moment.reader
        if not isinstance(reader, Reader):
            return MISSING
        level, until = reader.clearance_level, reader.clearance_until
        if level is None or type(until) is not int:
            return MISSING
        highest = covers.get(level)
        if highest is None:
            return MISSING
        return HOLDS if rank <= highest and moment.now < until else DENIED

    return check


def needs_to_know(test: rules.NeedsToKnow) -> Check:
    """Hold for the named offices and communities of the node, and for what is addressed to a named officer."""
    party, officers = test.party, test.officers

    def check(profile: Profile, _t: Times, _q: PortionMarking, _r: int | None, node: NodeFacts, _m: Moment) -> int:
        for one in profile.addressees:
            if one.party == party and one.officer in officers:
                return HOLDS
        return _any_of(_some(test.offices, node.offices), _some(test.communities, node.communities))

    def read(_p: Profile, _t: Times, _q: PortionMarking, _r: int | None, _n: NodeFacts, moment: Moment) -> int:
        reader = moment.reader
        if not isinstance(reader, Reader):
            return MISSING
        held = _some(test.offices, reader.offices), _some(test.communities, reader.communities)
        return HOLDS if HOLDS in held or reader.officer in officers else DENIED

    return read if test.asks_reader else check


def _any_of(*codes: int) -> int:
    """Hold where one part holds, else say the strongest of the others."""
    return HOLDS if HOLDS in codes else max(codes)


def _some(named: frozenset[str], held: object) -> int:
    if not named:
        return DENIED
    if not isinstance(held, frozenset):
        return MISSING
    return DENIED if named.isdisjoint(held) else HOLDS


def personal_data_for(test: rules.PersonalDataFor) -> Check:
    """Hold for a portion without personal data, and for one of few enough persons for an allowed purpose."""
    purposes, special, persons_max, asked_again = test.purposes, test.special, test.persons_max, test.asked_again

    def check(
        profile: Profile, _t: Times, portion: PortionMarking, _r: int | None, _n: NodeFacts, moment: Moment
    ) -> int:
        kind = portion.personal_data
        if kind is PersonalData.NONE:
            return HOLDS
        purpose, asked, persons = profile.purpose, moment.opening_purpose, portion.persons
        if not purpose or type(persons) is not int or persons < 1:
            return MISSING
        if asked_again and not (isinstance(asked, str) and asked):
            return MISSING
        if purpose not in purposes or (asked_again and asked not in purposes):
            return DENIED
        return DENIED if persons > persons_max or (kind is PersonalData.SPECIAL and not special) else HOLDS

    return check


def carried_as(test: rules.CarriedAs) -> Check:
    """Hold where the broker may carry the rank; below a party's rows it may."""
    by_rank, broker = test.by_rank, Carrier.BROKER

    def check(_p: Profile, _t: Times, _q: PortionMarking, rank: int | None, _n: NodeFacts, _m: Moment) -> int:
        if not by_rank:
            return MISSING if by_rank is None else HOLDS
        if rank is None:
            return MISSING
        return HOLDS if by_rank.get(rank, broker) is broker else DENIED

    return check


def purpose_among(test: rules.PurposeAmong) -> Check:
    """Hold where the stated purpose is allowed and, at opening, the opener's is the same."""
    purposes, asked_again = test.purposes, test.asked_again

    def check(profile: Profile, _t: Times, _q: PortionMarking, _r: int | None, _n: NodeFacts, moment: Moment) -> int:
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

    def check(_p: Profile, _t: Times, _q: PortionMarking, _r: int | None, node: NodeFacts, moment: Moment) -> int:
        at_broker, at_node = moment.broker_region, node.region
        if not (isinstance(at_broker, str) and isinstance(at_node, str)):
            return MISSING
        return HOLDS if at_broker in regions and at_node in regions else DENIED

    return check


def not_excluded(test: rules.NotExcluded) -> Check:
    """Deny what a national caveat keeps back."""
    kinds, categories = test.kinds, test.categories

    def check(profile: Profile, _t: Times, _q: PortionMarking, _r: int | None, _n: NodeFacts, _m: Moment) -> int:
        if kinds is not None and profile.kind not in kinds:
            return HOLDS
        if not profile.categories:
            return MISSING
        return HOLDS if categories is not None and categories.isdisjoint(profile.categories) else DENIED

    return check
