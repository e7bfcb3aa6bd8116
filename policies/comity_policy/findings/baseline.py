"""Baseline rows: what each means, and what it found when it refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from comity_policy.banner import banner, tlp_word
from comity_policy.clauses import Embargo, Scope
from comity_policy.decision import Baseline
from comity_policy.facts import Point, Role
from comity_policy.findings.case import NO_REMEDY, NOT_ATTESTED, Case, Finding, RemedyAction, listed, span, when
from comity_policy.findings.clauses import originator_control, releasability
from comity_policy.lowering import CREATED_AT_AHEAD, CREATED_AT_OLDEST
from comity_policy.marking import DISSEMINATION, CategoryKind, Tlp, faults, has_disclosure_marking

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
        "A node receives what is addressed to its party, office or community.",
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
    reason = case.state.reason or "NOT_IN_FORCE"
    wait = {
        "NOT_YET": "after its entry into force",
        "SUSPENDED": "after whoever suspended it resumes it",
        "EXPIRED": "under a renewed or a new agreement",
        "TERMINATED": "under a new agreement",
    }
    return Finding(
        "state of the agreement",
        reason,
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
    named = ["/".join(filter(None, (one.party, one.office, one.community, one.officer))) for one in mine]
    nearest = f"address {case.node.party}, or an office or community of {case.node.party}/{case.node.node}"
    if any(one.officer for one in mine):
        nearest += "; no officer: no attested fact says yet who reads"
    member_of = listed(case.node.offices | case.node.communities)
    return Finding("addressees", listed(named), f"one that matches a node in {member_of}", nearest, NO_REMEDY)


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
    if label.tlp is Tlp.RED:
        found.append(f"{tlp_word(Tlp.RED)} is for named individuals only")
    proposed = case.released_also()
    wanted = "a well-formed marking that says to whom it may be disclosed, other than TLP:RED"
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
    Baseline.ORIGINATOR_CONTROL: originator_control,
    Baseline.TIMES: _times,
    Baseline.GRANT: _grant,
}
