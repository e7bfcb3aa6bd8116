"""Baseline rows: what each means, and what it found when it refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from comity_policy.banner import banner, tlp_word
from comity_policy.clauses import Embargo, Scope
from comity_policy.decision import Baseline
from comity_policy.facts import Point, Role
from comity_policy.findings.case import (
    NO_REMEDY,
    NOT_ATTESTED,
    Case,
    Finding,
    RemedyAction,
    attested,
    listed,
    span,
    when,
)
from comity_policy.findings.clauses import originator_control, releasability
from comity_policy.lowering import CREATED_AT_AHEAD, CREATED_AT_OLDEST
from comity_policy.marking import DISSEMINATION, CategoryKind, Tlp, faults, has_disclosure_marking
from comity_policy.sources import onward_grants

TEXT: Mapping[Baseline, tuple[str, str]] = {
    Baseline.IN_FORCE: (
        "The agreement must be in force.",
        "Nothing is shared under an agreement before it enters into force, while it is suspended, or after its end.",
    ),
    Baseline.PARTIES: (
        "Originator and recipient must be two parties of the agreement.",
        "An agreement carries information between its own parties and to nobody else.",
    ),
    Baseline.AGREEMENT: (
        "The report must name this agreement and the bytes that were signed.",
        "A decision is taken under exactly one agreement, named by its id and digest.",
    ),
    Baseline.ADDRESSEE: (
        "An addressee of the report must match the recipient's node.",
        "A node receives what is addressed to its party, office, community or officer; an officer opens what is addressed to it.",
    ),
    Baseline.BROKER: (
        "The broker must be one the agreement names.",
        "A broker that the agreement does not name carries nothing of it.",
    ),
    Baseline.NODE: (
        "The recipient's node must have a current key set that is not revoked.",
        "Nothing is sealed to a node whose keys are not valid.",
    ),
    Baseline.MARKING: (
        "The portion must be well-formed in its marking and, where classified, say to whom it may be disclosed.",
        "An ill-formed marking, or a classified portion without a foreign-disclosure marking, is not shared.",
    ),
    Baseline.VOCABULARY: (
        "Every level, control, category, purpose and party of the report must be a word the agreement knows.",
        "An unknown word is refused, never ignored.",
    ),
    Baseline.ACCESS: (
        "No category set of the marking may shut the recipient out.",
        "A subject needs every restrictive category and a place in every permissive one.",
    ),
    Baseline.NATIONAL_ONLY: (
        "National-only information never leaves its party.",
        "No agreement, grant or consent releases what is marked national-only.",
    ),
    Baseline.RELEASABLE: (
        "The recipient's party must stand in the portion's REL TO.",
        "Unmarked is not releasable.",
    ),
    Baseline.ONWARD: (
        "Only the originator sends, unless a grant of the agreement lets others pass the report on.",
        "What was received goes on only with the originator's consent, over so many hops, and while no dispute is open.",
    ),
    Baseline.ORIGINATOR_CONTROL: (
        "ORCON content goes on only with the originator's grant for that very report.",
        "The originator controls further dissemination.",
    ),
    Baseline.TIMES: (
        "The report's times must be in order, near the clock, and not over.",
        "A report is made near the time it is sent and is gone after it expires.",
    ),
    Baseline.GRANT: (
        "A grant of the agreement must cover the kind of message and all its categories in this direction.",
        "What no clause grants does not flow.",
    ),
}


def _in_force(case: Case) -> Finding:
    document, umbrella = case.document, case.source.umbrella
    name, reason = document.id, case.state.reason or "NOT_IN_FORCE"
    if case.state.in_force is True:
        name, reason = (
            ("umbrella", "UNKNOWN")
            if umbrella is None
            else (f"umbrella {umbrella.document.id}", umbrella.state.reason or "NOT_IN_FORCE")
        )
    wait = {
        "NOT_YET": "after its entry into force",
        "SUSPENDED": "after whoever suspended it resumes it",
        "EXPIRED": "under a renewed or a new agreement",
        "TERMINATED": "under a new agreement",
        "UNKNOWN": "with the agreement it is an arrangement under",
    }
    return Finding(
        "state of the agreement",
        reason if name == document.id else f"{name}: {reason}",
        "IN_FORCE",
        wait.get(reason, "when it is in force"),
        case.raise_with_partner(),
    )


def _parties(case: Case) -> Finding:
    nearest = "address a party of the agreement other than the originator's own"
    return Finding(
        "originator and recipient party",
        f"{case.originator} to {case.node.party}",
        f"two of {listed(case.document.parties)}",
        nearest,
        NO_REMEDY,
    )


def _agreement(case: Case) -> Finding:
    document = case.document
    return Finding(
        "agreement the report names",
        f"{case.profile.agreement_id} sha384:{case.profile.agreement_digest.hex()}",
        f"{document.id} sha384:{case.source.digest.hex()}",
        "seal again under the version in force",
        case.remedy(RemedyAction.NONE, f"comity agreement show {document.id}", Role.LIAISON),
    )


def _addressee(case: Case) -> Finding:
    mine = [one for one in case.profile.addressees if one.party == case.node.party]
    # An officer's name begins with the party already.
    named = [
        "/".join(filter(None, ("" if one.officer else one.party, one.office, one.community, one.officer)))
        for one in mine
    ]
    node, reader = case.node, case.moment.reader
    nearest = f"address {node.party}, or an office, community or officer of {node.party}/{node.node}"
    holders = (node.offices, node.communities, node.officers)
    member_of = listed([word for words in holders for word in words or ()])
    wanted = f"one that matches a node in {member_of}"
    if case.moment.point is Point.OPENING and any(one.officer for one in mine):
        wanted += f" and its reader ({NOT_ATTESTED if reader is None else reader.officer})"
        (officer, *_) = sorted(one.officer for one in mine if one.officer)
        return Finding("addressees", listed(named), wanted, f"opened by {officer}", case.open_as(officer))
    return Finding("addressees", listed(named), wanted, nearest, NO_REMEDY)


def _broker(case: Case) -> Finding:
    named = listed(case.document.brokers)
    return Finding("broker", case.moment.broker or NOT_ATTESTED, f"one of {named}", f"send through {named}", NO_REMEDY)


def _node(case: Case) -> Finding:
    return Finding(
        "recipient node",
        f"{case.node.party}/{case.node.node} has no valid key set",
        "a current bundle that is not revoked",
        f"after {case.node.party} enrols the node anew",
        case.raise_with_partner(),
    )


def _marking(case: Case) -> Finding:
    label, found = case.label, list(faults(case.label))
    if case.table.ranks.get(label.classification) != 0 and not has_disclosure_marking(label):
        found.append("classified without a foreign-disclosure marking")
    if label.tlp is Tlp.RED and any(
        one.party == case.node.party and not one.officer for one in case.profile.addressees
    ):
        found.append(f"{tlp_word(Tlp.RED)} is for named individuals only, and an addressee names none")
    proposed = case.released_also()
    wanted = "a well-formed marking that says to whom it may be disclosed, and a named officer for TLP:RED"
    return Finding("marking", f"{banner(label)}: {'; '.join(found)}", wanted, proposed, case.mark(proposed))


def _vocabulary(case: Case) -> Finding:
    profile, label, known = case.profile, case.label, case.source
    named = (label.releasable_to or frozenset()) | (label.display_only or frozenset()) | label.origin.parties
    checks: tuple[tuple[str, frozenset[str], frozenset[str]], ...] = (
        ("category", frozenset(profile.categories), known.categories),
        ("purpose", frozenset({profile.purpose} - {""}), known.purposes),
        ("policy", frozenset({label.policy}), frozenset({case.originator})),
        ("level", frozenset({label.classification}), frozenset(case.table.ranks)),
        ("dissemination word", label.dissemination, DISSEMINATION),
        ("party", named, known.parties),
    )
    unknown = [(what, used - allowed, allowed) for what, used, allowed in checks if not used <= allowed]
    if not profile.categories:
        unknown.insert(0, ("category", frozenset(), known.categories))
    if not profile.purpose:
        unknown.insert(0, ("purpose", frozenset(), known.purposes))
    return Finding(
        "words of the report",
        "; ".join(f"{what} {listed(used)}" for what, used, _ in unknown),
        "words the agreement's vocabularies and tables know",
        "; ".join(f"{what}: one of {listed(allowed)}" for what, _, allowed in unknown),
        case.state_otherwise("--category CATEGORY --purpose PURPOSE"),
    )


def _access(case: Case) -> Finding:
    sets = [one for one in case.label.categories if one.kind is not CategoryKind.INFORMATIVE]
    got = "; ".join(
        f"{one.tag} ({one.kind.name.lower()}): {'absent' if one.values is None else listed(one.values)}" for one in sets
    )
    wanted = f"{case.node.party} in every permissive set, no restrictive one"
    return Finding("category sets", got, wanted, "a portion written without them", case.sanitise())


def _national_only(case: Case) -> Finding:
    return Finding(
        "marking",
        banner(case.label),
        "a portion that is not national-only",
        f"a portion written for release: {case.released_also(sanitised=True)}",
        case.sanitise(),
    )


def _onward(case: Case) -> Finding:
    moment, clauses = case.moment, onward_grants(case.source)
    hops = NOT_ATTESTED if moment.hops is None else str(moment.hops)
    disputed = attested(moment.disputed, "disputed", "not disputed")
    granted = attested(moment.onward_grant, "granted", "not granted")
    got = f"somebody else than {case.originator}" if moment.direct is False else f"sender {NOT_ATTESTED}"
    if not clauses:
        wanted = f"sent by {case.originator}: the agreement has no onward grant in force"
        return Finding("who sends", got, wanted, f"sent by {case.originator}", case.raise_with_partner())
    most = max(clause.max_hops for clause in clauses)
    return Finding(
        "passing on",
        f"{got}, hop {hops}, grant: {granted}, dispute: {disputed}",
        f"at most {most} hops, no dispute, and a grant of {case.originator} or a pre-approval for {case.node.party}",
        f"with the consent of {case.originator}, by hop {most}, after disputes are closed",
        case.remedy(RemedyAction.ASK_CONSENT, "", Role.LIAISON),
    )


def _times(case: Case) -> Finding:
    times, moment = case.times, case.moment
    got = f"created {when(times.created_at)}, not before {when(times.not_before)}, expires {when(times.expires_at)}"
    wanted = "created <= not before, created < expires, not expired"
    if moment.point is not Point.OPENING:
        wanted += f", created at most {span(CREATED_AT_OLDEST)} before and {span(CREATED_AT_AHEAD)} after the decision"
    if not any(isinstance(clause, Embargo) for clause in case.document.clauses):
        wanted += ", not before its time and with time left to read it"
    return Finding(
        "times", f"{got}, decided {when(moment.now)}", wanted, f"sealed again at {when(moment.now)}", NO_REMEDY
    )


def _grant(case: Case) -> Finding:
    profile = case.profile
    direction = [
        f"{clause.id}: {listed(clause.kinds)} about {listed(clause.categories)}"
        for clause in case.document.clauses
        if isinstance(clause, Scope) and (clause.from_party, clause.to_party) == (case.originator, case.node.party)
    ]
    return Finding(
        "kind and categories",
        f"{profile.kind.word} about {listed(profile.categories)}, {case.originator} to {case.node.party}",
        f"one grant for all of it: {'; '.join(direction) or 'the agreement grants nothing in this direction'}",
        "one report for each grant that covers it" if len(profile.categories) > 1 and direction else "a wider grant",
        case.raise_with_partner(),
    )


FINDINGS: Mapping[str, Callable[[Case], Finding]] = {
    Baseline.IN_FORCE: _in_force,
    Baseline.PARTIES: _parties,
    Baseline.AGREEMENT: _agreement,
    Baseline.ADDRESSEE: _addressee,
    Baseline.BROKER: _broker,
    Baseline.NODE: _node,
    Baseline.MARKING: _marking,
    Baseline.VOCABULARY: _vocabulary,
    Baseline.ACCESS: _access,
    Baseline.NATIONAL_ONLY: _national_only,
    Baseline.RELEASABLE: releasability,
    Baseline.ONWARD: _onward,
    Baseline.ORIGINATOR_CONTROL: originator_control,
    Baseline.TIMES: _times,
    Baseline.GRANT: _grant,
}
