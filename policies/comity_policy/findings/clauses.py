"""The clauses that say what may flow to whom: what each found when it refused."""

from __future__ import annotations

from comity_policy.banner import banner
from comity_policy.clauses import (
    Carrier,
    Ceiling,
    Channel,
    Clearance,
    Exclude,
    NeedToKnow,
    OriginatorControl,
    PersonalDataRule,
    Purpose,
    Releasability,
    Residency,
    Special,
)
from comity_policy.decision import Reason
from comity_policy.facts import Point, Role
from comity_policy.findings.case import NOT_ATTESTED, Case, Finding, RemedyAction, listed, when
from comity_policy.findings.handling import of_handling
from comity_policy.sources import AnyClause


def of_clause(case: Case, clause: AnyClause) -> Finding:
    """Give what a violated clause found; a suspended requirement cannot hold, whatever the facts."""
    if clause.grant:
        # A grant is named only while it is suspended, also where a fact of a wrong type leaves open whether it would apply.
        return _suspended_grant(case, clause)
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
        case NeedToKnow():
            return _need_to_know(case, clause)
        case PersonalDataRule():
            return _personal_data(case, clause)
        case Channel():
            return _channel(case, clause)
        case Exclude():
            return _exclude(case, clause)
        case Purpose():
            return _purpose(case, clause)
        case Residency():
            return _residency(case, clause)
        case _:
            return of_handling(case, clause)


def _suspended(case: Case, clause: AnyClause) -> Finding:
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
    return Finding(
        "who sends ORCON content",
        "somebody else than the originator, without a grant for this report",
        f"{case.originator}, or its grant for this very report",
        f"with the consent of {case.originator}",
        case.remedy(RemedyAction.ASK_CONSENT, "", Role.LIAISON),
    )


def _suspended_grant(case: Case, clause: AnyClause) -> Finding:
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


def _clearance(case: Case, clause: Clearance) -> Finding:
    covered = case.table.covers.get(case.node.accreditation_level or "")
    until = case.node.accreditation_until
    accredited = case.rank == 0 or (
        (case.rank is not None and covered is not None and until is not None)
        and case.rank <= covered
        and case.moment.now < until
    )
    asks_reader = case.moment.point is Point.OPENING and any(
        row.party == case.originator for row in clause.officer_from
    )
    return _reader_cleared(case) if asks_reader and accredited else _accredited(case)


def _able(case: Case) -> str:
    able = [level for level, highest in case.table.covers.items() if case.rank is not None and highest >= case.rank]
    return (
        f"one of {', '.join(able)}, current at {when(case.moment.now)}" if able else "a level of the agreement's table"
    )


def _reader_cleared(case: Case) -> Finding:
    reader = case.moment.reader
    name, got = "whoever reads", NOT_ATTESTED
    if reader is not None:
        name, got = reader.officer, reader.clearance_level or NOT_ATTESTED
        got += f" until {when(reader.clearance_until)}"
    return Finding(
        f"clearance of {name}",
        got,
        _able(case),
        "opened by an officer whose clearance covers the level",
        case.open_as(),
    )


def _accredited(case: Case) -> Finding:
    node, ranks = case.node, case.table.ranks
    until = "" if node.accreditation_level is None else f" until {when(node.accreditation_until)}"
    covered = case.table.covers.get(node.accreditation_level or "")
    lower = [level for level, one in ranks.items() if covered is not None and one <= covered]
    current = node.accreditation_until is not None and case.moment.now < node.accreditation_until
    return Finding(
        f"accreditation of {node.party}/{node.node}",
        (node.accreditation_level or NOT_ATTESTED) + until,
        _able(case),
        f"a portion at {lower[-1]} or lower" if lower and current else f"after {node.party} accredits the node",
        case.raise_with_partner(),
    )


def _purpose(case: Case, clause: Purpose) -> Finding:
    stated, asked = case.profile.purpose or "none stated", case.moment.opening_purpose
    if case.moment.point is Point.OPENING and case.profile.purpose in clause.purposes:
        return Finding(
            "purpose of the opener",
            asked or "none stated",
            stated,
            f"state {stated}, or ask the originator's consent to another use",
            case.recipients_remedy(RemedyAction.ASK_CONSENT, f"comity receive --purpose {stated}", Role.LIAISON),
        )
    one_of = listed(clause.purposes)
    return Finding(
        "purpose", stated, f"one of {one_of}", f"state one of {one_of}", case.state_otherwise("--purpose PURPOSE")
    )


def _need_to_know(case: Case, clause: NeedToKnow) -> Finding:
    party, reader = case.node.party, case.moment.reader
    rows = [row for row in clause.rows if row.party == party]
    named = listed([word for row in rows for word in (*row.offices, *row.communities, *row.officers)])
    if case.moment.point is Point.OPENING:
        got = NOT_ATTESTED if reader is None else f"{reader.officer} in {_members(reader.offices, reader.communities)}"
        fact, nearest = "officer who opens", f"opened by one of {named}"
    else:
        officers = [one.officer for one in case.profile.addressees if one.party == party and one.officer]
        got = f"node in {_members(case.node.offices, case.node.communities)}, officers addressed {listed(officers)}"
        fact, nearest = "offices, communities and officers", f"sent to one of {named}"
    if not rows:
        return Finding(
            fact, got, f"a row for {party}", "after the parties agree who needs to know", case.raise_with_partner()
        )
    if case.moment.point is Point.OPENING:
        officers = sorted(officer for row in rows for officer in row.officers)
        return Finding(fact, got, f"one of {named}", nearest, case.open_as(officers[0] if officers else ""))
    return Finding(fact, got, f"one of {named}", nearest, case.raise_with_partner())


def _members(offices: frozenset[str] | None, communities: frozenset[str] | None) -> str:
    return NOT_ATTESTED if offices is None or communities is None else listed(offices | communities)


def _personal_data(case: Case, clause: PersonalDataRule) -> Finding:
    portion, asked = case.portion, case.moment.opening_purpose
    one_of = listed(clause.purposes)
    got = f"{portion.personal_data.name} of {portion.persons} persons, for {case.profile.purpose or 'no purpose'}"
    if case.moment.point is Point.OPENING:
        got += f", opened for {asked or 'no purpose'}"
    special = "" if clause.special_categories is Special.ALLOW else ", no special categories"
    return Finding(
        "personal data",
        got,
        f"of 1 to {clause.persons_max} persons, for one of {one_of}{special}",
        f"a portion without personal data, or of at most {clause.persons_max} persons for one of {one_of}{special}",
        case.sanitise(),
    )


def _channel(case: Case, clause: Channel) -> Finding:
    rows = [row for row in clause.rows if row.party == case.originator]
    told = "; ".join(f"{row.level} by {row.by}" for row in rows)
    ranks = [
        case.table.ranks[row.level] for row in rows if row.level in case.table.ranks and row.by is not Carrier.BROKER
    ]
    level = case.below(ranks)
    nearest = f"a portion at {level}, or by another channel" if level else "by another channel"
    return Finding("channel", f"{case.label.classification} through a broker", told, nearest, case.sanitise())


def _exclude(case: Case, clause: Exclude) -> Finding:
    profile = case.profile
    return Finding(
        "national caveat",
        f"{profile.kind.word} about {listed(profile.categories)}, to {case.node.party}",
        f"none of the categories {listed(clause.categories) if clause.categories else 'at all'}, "
        f"of the kinds {listed(clause.kinds) if clause.kinds else 'at all'}, "
        f"to {listed(clause.to) if clause.to else 'anybody'}",
        "after the caveat is withdrawn",
        case.remedy(RemedyAction.NONE, f"comity agreement show {case.document.id}", Role.RELEASE_AUTHORITY),
    )


def _residency(case: Case, clause: Residency) -> Finding:
    allowed = listed(clause.regions.get(case.originator, ()))
    got = f"broker {case.moment.broker_region or NOT_ATTESTED}, node {case.node.region or NOT_ATTESTED}"
    nearest = f"a broker and a node in {allowed}"
    return Finding("regions", got, f"both among {allowed}", nearest, case.raise_with_partner())
