"""The checks only baseline rows use."""

from __future__ import annotations

from comity_policy import rules
from comity_policy.facts import (
    Addressee,
    Kind,
    Moment,
    NodeFacts,
    PortionMarking,
    Profile,
    Reader,
    Times,
)
from comity_policy.marking import (
    DISSEMINATION,
    CategoryKind,
    Control,
    Tlp,
    has_disclosure_marking,
    is_well_formed,
)
from comity_policy.predicates.codes import DENIED, HOLDS, MISSING, Check
from comity_policy.predicates.suspension import lifted_onward

_NATIONAL_ONLY = Control.NATIONAL_ONLY.value


def never(_test: rules.Never) -> Check:
    """Deny whatever the facts: the compiled state already decided."""

    def check(_p: Profile, _t: Times, _q: PortionMarking, _r: int | None, _n: NodeFacts, _m: Moment) -> int:
        return DENIED

    return check


def only_held(_test: rules.OnlyHeld) -> Check:
    """Hold for what this party opened before."""

    def check(_p: Profile, _t: Times, _q: PortionMarking, _r: int | None, _n: NodeFacts, moment: Moment) -> int:
        return HOLDS if moment.held is True else DENIED

    return check


def agreement(test: rules.Agreement) -> Check:
    """Hold where the report names this very agreement."""
    agreement_id, digest = test.agreement_id, test.digest

    def check(profile: Profile, _t: Times, _q: PortionMarking, _r: int | None, _n: NodeFacts, _m: Moment) -> int:
        return HOLDS if profile.agreement_digest == digest and profile.agreement_id == agreement_id else DENIED

    return check


def addressed(test: rules.Addressed) -> Check:
    """Hold where an addressee matches the node and, at opening, the officer who reads."""
    party, asks_reader = test.party, test.asks_reader

    def check(profile: Profile, _t: Times, _q: PortionMarking, _r: int | None, node: NodeFacts, moment: Moment) -> int:
        code = DENIED
        for one in profile.addressees:
            if one.party == party:
                if not one.office and not one.community and not one.officer:
                    return HOLDS
                matched = _matched(one, node, moment, asks_reader=asks_reader)
                if matched == HOLDS:
                    return HOLDS
                code = max(code, matched)
        return code

    return check


def _matched(one: Addressee, node: NodeFacts, moment: Moment, *, asks_reader: bool) -> int:
    codes = (
        _held(one.office, node.offices),
        _held(one.community, node.communities),
        _held(one.officer, node.officers),
        _read_by(one.officer, moment.reader) if asks_reader else HOLDS,
    )
    return DENIED if DENIED in codes else max(codes)


def _held(word: str, held: object) -> int:
    if not word:
        return HOLDS
    if not isinstance(held, frozenset):
        return MISSING
    return HOLDS if word in held else DENIED


def _read_by(officer: str, reader: object) -> int:
    if not officer:
        return HOLDS
    if not isinstance(reader, Reader) or not isinstance(reader.officer, str):
        return MISSING
    return HOLDS if reader.officer == officer else DENIED


def carried_by(test: rules.CarriedBy) -> Check:
    """Hold where the broker is one the agreement names."""
    brokers = test.brokers

    def check(_p: Profile, _t: Times, _q: PortionMarking, _r: int | None, _n: NodeFacts, moment: Moment) -> int:
        broker = moment.broker
        if not isinstance(broker, str):
            return MISSING
        return HOLDS if broker in brokers else DENIED

    return check


def node_valid(_test: rules.NodeValid) -> Check:
    """Hold where the node's bundle is current and not revoked."""

    def check(_p: Profile, _t: Times, _q: PortionMarking, _r: int | None, node: NodeFacts, _m: Moment) -> int:
        valid: object = node.valid
        if valid is True:
            return HOLDS
        return DENIED if valid is False else MISSING

    return check


def well_marked(test: rules.WellMarked) -> Check:
    """Hold where the label is well-formed, disclosable by its own words where classified, TLP:RED to named officers."""
    codes, red, to_party = test.parties, Tlp.RED, test.to_party

    def check(profile: Profile, _t: Times, portion: PortionMarking, rank: int | None, _n: NodeFacts, _m: Moment) -> int:
        label = portion.label
        if label.tlp is red and unnamed(profile):
            return DENIED
        if rank != 0 and label.releasable_to is None and not has_disclosure_marking(label):
            return DENIED
        return HOLDS if is_well_formed(label, codes) else DENIED

    def unnamed(profile: Profile) -> bool:
        return any(one.party == to_party and not one.officer for one in profile.addressees)

    return check


def known_words(test: rules.KnownWords) -> Check:
    """Hold where every word of the report is one the agreement's vocabularies and tables know."""
    policy, parties, purposes = test.policy, test.parties, test.purposes
    known_categories = test.categories.issuperset

    def check(profile: Profile, _t: Times, portion: PortionMarking, rank: int | None, _n: NodeFacts, _m: Moment) -> int:
        label = portion.label
        purpose, categories = profile.purpose, profile.categories
        if not purpose or not categories:
            return MISSING
        if rank is None or label.policy != policy or purpose not in purposes or not known_categories(categories):
            return DENIED
        words, released, displayed, origins = (
            label.dissemination,
            label.releasable_to,
            label.display_only,
            label.origin.parties,
        )
        if (
            (not words or words <= DISSEMINATION)
            and (not released or released <= parties)
            and (not displayed or displayed <= parties)
            and (not origins or origins <= parties)
        ):
            return HOLDS
        return DENIED

    return check


def category_access(test: rules.CategoryAccess) -> Check:
    """Hold where no category set of the label shuts the recipient out; what the node holds is not attested."""
    party = test.party

    def check(_p: Profile, _t: Times, portion: PortionMarking, _r: int | None, _n: NodeFacts, _m: Moment) -> int:
        label = portion.label
        code = HOLDS
        for one in label.categories:
            if one.kind == CategoryKind.RESTRICTIVE:
                if one.values:
                    return MISSING
                if one.values is None:
                    code = DENIED
            elif one.kind != CategoryKind.INFORMATIVE and (one.values is None or party not in one.values):
                code = DENIED
        return code

    return check


def not_national_only(_test: rules.NotNationalOnly) -> Check:
    """Hold where the label is not national-only."""

    def check(_p: Profile, _t: Times, portion: PortionMarking, _r: int | None, _n: NodeFacts, _m: Moment) -> int:
        label = portion.label
        return DENIED if _NATIONAL_ONLY in label.dissemination else HOLDS

    return check


def in_time(test: rules.InTime) -> Check:
    """Hold where the signed times are ordered, not over, and near the clock."""
    oldest, ahead = test.created_at_oldest, test.created_at_ahead

    def in_order(_p: Profile, times: Times, _q: PortionMarking, _r: int | None, _n: NodeFacts, moment: Moment) -> int:
        created_at = times.created_at
        return HOLDS if created_at <= times.not_before and created_at < times.expires_at > moment.now else DENIED

    def in_order_and_recent(
        _p: Profile, times: Times, _q: PortionMarking, _r: int | None, _n: NodeFacts, moment: Moment
    ) -> int:
        created_at, now = times.created_at, moment.now
        if created_at <= times.not_before and created_at < times.expires_at > now:
            return HOLDS if now - oldest <= created_at <= now + ahead else DENIED
        return DENIED

    return in_order_and_recent if test.windowed else in_order


def granted(test: rules.Granted) -> Check:
    """Hold where one grant alone covers the kind of message and all its categories."""
    grants = tuple((grant.kinds, grant.categories.issuperset) for grant in test.grants)

    def check(profile: Profile, _t: Times, _q: PortionMarking, _r: int | None, _n: NodeFacts, _m: Moment) -> int:
        categories, kind = profile.categories, profile.kind
        if categories:
            for kinds, covers in grants:
                if kind in kinds and covers(categories):
                    return HOLDS
        return DENIED

    return check


def sent_directly(_test: rules.SentDirectly) -> Check:
    """Hold where the originator itself sends."""

    def check(_p: Profile, _t: Times, _q: PortionMarking, _r: int | None, _n: NodeFacts, moment: Moment) -> int:
        direct: object = moment.direct
        if direct is True:
            return HOLDS
        return DENIED if direct is False else MISSING

    return check


def passed_on(test: rules.PassedOn) -> Check:
    """Hold where the originator sends, or lets this report go on to this party over so many hops."""
    max_hops, in_emergency = test.max_hops, test.lifted
    approvals = tuple((one.categories.issuperset, one.tearline_only) for one in test.pre_approved)

    def check(
        profile: Profile, _t: Times, portion: PortionMarking, _r: int | None, _n: NodeFacts, moment: Moment
    ) -> int:
        if moment.direct is True:
            return HOLDS
        attested: tuple[object, object] = (moment.direct, moment.disputed)
        hops = moment.hops
        if type(hops) is not int or not all(isinstance(one, bool) for one in attested):
            return MISSING
        if not consented(profile, portion, moment):
            grant: object = moment.onward_grant
            return DENIED if grant is False else MISSING
        return HOLDS if 1 <= hops <= max_hops and moment.disputed is False else DENIED

    def consented(profile: Profile, portion: PortionMarking, moment: Moment) -> bool:
        if moment.onward_grant is True or (in_emergency and lifted_onward(profile, portion, moment)):
            return True
        categories, is_tearline = profile.categories, profile.kind is Kind.TEARLINE
        return bool(categories) and any(
            covers(categories) and (is_tearline or not tearline_only) for covers, tearline_only in approvals
        )

    return check
