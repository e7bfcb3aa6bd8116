"""The egress decision: what of a report may go to which node, before anything is sealed (design 02, point E).

Rules in order:
1. Facts come from the mirror alone: the agreement in force now, the newest bundles of every addressed party's nodes, the age
   of our view of the key log. The sender's word is not a fact.
2. Every portion is decided for every node of every addressed party; keys are made for what is permitted and for nobody else.
3. A report none of whose portions is permitted to anybody is refused with the clauses that refuse, each with its remedy. A
   party none of whose nodes passes is named; the others get what is theirs.
4. Group codes in a marking give way to their members on the day the report is created; the portion's header keeps the day, the
   codes and the digest of the file that says so.
5. `preview` is the same decision without a connection, without sealing, and with every explanation.
What is kept between reports is no decision: parsed markings by what was written, and facts until the moment they change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from comity.canonical import Json
from comity.envelope.core import Reference, Relation
from comity.envelope.padding import encode_header
from comity.envelope.seal import PortionInput, Recipient
from comity.errors import ErrorCode, KeyFault, MalformedError, RefusedError, UsageError
from comity.identity.names import Identity
from comity.identity.records import NodeRecord
from comity.node.agreements import AgreementView
from comity.node.clock import NowMs
from comity.node.directory import recipient_of
from comity.node.mirror import Mirror
from comity.portion import Portion, StoredContent
from comity.report import Report, milliseconds
from comity.suites import KeyRole, Suite
from comity_policy.clauses import Retention, Suites
from comity_policy.decision import ReportDecision
from comity_policy.engine import decide_report
from comity_policy.explanation import ClauseExplanation, explain_report
from comity_policy.facts import Moment, NodeFacts, Originator, Point, Profile, Role, Times
from comity_policy.groups import Groups, bundled, day_of, group_codes

DEFAULT_KEEP_MS: Final = 30 * 86_400_000
# What a segment of one report may take: a segment less its head, as `Sealer.size_of` counts.
CONTENT_BYTES: Final = (1 << 20) - (64 << 10)
_PROFILES_KEPT: Final = 64
_HEADERS_KEPT: Final = 256


@dataclass(frozen=True, slots=True)
class PreviewedNode:
    """What one node (PARTY/NODE) would get: indices of portions that it may read, and of those that stay closed to it."""

    node: str
    portions: tuple[int, ...]
    withheld: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Preview:
    """Who would receive a report, which portions, and why not the others. Times are Unix milliseconds.

    `deferred` are the clauses that only the broker or the reader decides. `explanations` are for our own party only.
    """

    agreement_id: str
    banner: str
    in_force: bool
    permitted: bool
    nodes: tuple[PreviewedNode, ...]
    refused_parties: tuple[str, ...]
    explanations: tuple[ClauseExplanation, ...]
    deferred: tuple[str, ...]
    key_log_age_ms: int | None
    expires_at: int

    @property
    def refusal(self) -> RefusedError | None:
        """Give the error `send` would raise; None where it would go."""
        if self.permitted:
            return None
        return _refusal(self.agreement_id, self.refused_parties, self.explanations, in_force=self.in_force)


@dataclass(frozen=True, slots=True)
class Cleared:
    """A report that may go: what is signed, what is sealed, and for whom. `nodes` are PARTY/NODE in the recipients' order."""

    view: AgreementView
    profile: Profile
    times: Times
    refers_to: tuple[Reference, ...]
    portions: tuple[PortionInput, ...]
    recipients: tuple[tuple[Recipient, tuple[int, ...]], ...]
    nodes: tuple[tuple[str, tuple[int, ...]], ...]
    refused_parties: tuple[str, ...]


@dataclass(slots=True)
class _Facts:
    """What decisions under one agreement are taken from, until `good_until` or the mirror's next version."""

    view: AgreementView
    version: int
    good_until: int
    suite: Suite
    own: NodeRecord
    own_since: int
    keep_ms: int
    broker: str
    broker_region: str | None
    nodes: tuple[NodeFacts, ...]
    recipients: dict[tuple[str, str], Recipient]
    refreshed: int | None
    profiles: dict[object, Profile] = field(default_factory=dict)


class Egress:
    """Decides for one node. Not for several threads at once."""

    def __init__(self, mirror: Mirror, identity: Identity, now_ms: NowMs, groups: Groups | None = None) -> None:
        self._mirror = mirror
        self._identity = identity
        self._now_ms = now_ms
        self._groups = bundled() if groups is None else groups
        self._facts: dict[str, _Facts] = {}
        self._headers: dict[tuple[str, str, str], bytes] = {}

    def clear(self, report: Report, agreement_id: str) -> Cleared:
        """Decide a report; raises RefusedError with the clauses, and whatever keeps the agreement from being decided.

        MalformedError for a report whose markings do not go together or that is too large to travel in one piece.
        """
        now = self._now_ms()
        facts = self._current(agreement_id, now)
        profile = self._profile(report, facts, day_of(now))
        times = _times(report, facts, now)
        moment = self._moment(facts, now)
        decision = decide_report(facts.view.compiled, profile, times, facts.nodes, moment)
        if not decision.permit:
            explanations = explain_report(facts.view.compiled, profile, times, facts.nodes, moment, decision)
            in_force = facts.view.state.policy().in_force
            raise _refusal(agreement_id, decision.refused_parties, explanations, in_force=in_force)
        return Cleared(
            view=facts.view,
            profile=profile,
            times=times,
            refers_to=_references(report),
            portions=tuple(self._portion(portion, day_of(now)) for portion in report.portions),
            recipients=tuple((facts.recipients[node], indices) for node, indices in decision.permitted.items()),
            nodes=tuple((f"{party}/{name}", indices) for (party, name), indices in decision.permitted.items()),
            refused_parties=decision.refused_parties,
        )

    def preview(self, report: Report, agreement_id: str) -> Preview:
        """Say who would receive a report; raises as `clear`, but for the refusal."""
        now = self._now_ms()
        facts = self._current(agreement_id, now)
        day = day_of(now)
        profile, times, moment = self._profile(report, facts, day), _times(report, facts, now), self._moment(facts, now)
        decision = decide_report(facts.view.compiled, profile, times, facts.nodes, moment)
        for portion in report.portions:
            self._portion(portion, day)
        return Preview(
            agreement_id=agreement_id,
            banner=report.banner,
            in_force=facts.view.state.policy().in_force,
            permitted=decision.permit,
            nodes=_previewed(facts.nodes, profile, decision),
            refused_parties=decision.refused_parties,
            explanations=explain_report(facts.view.compiled, profile, times, facts.nodes, moment, decision),
            deferred=decision.deferred,
            key_log_age_ms=moment.key_log_age,
            expires_at=times.expires_at,
        )

    # --- facts ------------------------------------------------------------------------------------------------------

    def _current(self, agreement_id: str, now: int) -> _Facts:
        facts = self._facts.get(agreement_id)
        if facts is None or facts.version != self._mirror.version or now >= facts.good_until:
            facts = self._facts[agreement_id] = self._gather(agreement_id, now)
        return facts

    def _gather(self, agreement_id: str, now: int) -> _Facts:
        view = self._mirror.agreement(agreement_id)
        directory = self._mirror.directory
        own = directory.node(self._identity.party, self._identity.name)
        if own is None:
            raise KeyFault(
                f"{self._identity} is not enrolled at {self._mirror.broker}",
                what_to_do=f"comity node enrol {self._identity}",
                code=ErrorCode.NOT_ENROLLED,
            )
        directory.require_current(own, now)
        suite = _suite(view, own)
        key = own.key(KeyRole.NODE_SIGNING, suite)
        broker = self._mirror.broker
        record = directory.broker(broker.party, broker.name)
        nodes: list[NodeFacts] = []
        recipients: dict[tuple[str, str], Recipient] = {}
        ends = [own.valid_until]
        for party in view.parties:
            for node in directory.nodes(party) if party != self._identity.party else ():
                recipient = recipient_of(node, suite)
                if recipient is not None:
                    nodes.append(directory.node_facts(node, now, suite))
                    recipients[node.party, node.node] = recipient
                    ends.append(node.valid_until)
        ends += view.state.turning_points
        return _Facts(
            view=view,
            version=self._mirror.version,
            good_until=min((moment for moment in ends if moment > now), default=now),
            suite=suite,
            own=own,
            own_since=own.valid_from if key is None else key.since,
            keep_ms=_longest(view),
            broker=view.broker_name(broker.party, broker.name),
            broker_region=None if record is None else record.region,
            nodes=tuple(nodes),
            recipients=recipients,
            refreshed=None if view.key_log_age_ms is None else now - view.key_log_age_ms,
        )

    def _moment(self, facts: _Facts, now: int) -> Moment:
        return Moment(
            point=Point.EGRESS,
            now=now,
            broker=facts.broker,
            broker_region=facts.broker_region,
            key_log_age=None if facts.refreshed is None else now - facts.refreshed,
            sender_roles=frozenset({Role.NODE}),
            direct=True,
            sender_key_since=facts.own_since,
        )

    # --- what is signed ---------------------------------------------------------------------------------------------

    def _profile(self, report: Report, facts: _Facts, day: date) -> Profile:
        if report.exercise:
            raise UsageError(
                "exercise traffic is not carried by this release", what_to_do="Leave the exercise flag out."
            )
        written = (
            day,
            report.marking,
            tuple((one.marking, one.personal_data, one.persons, one.warn) for one in report.portions),
            report.categories,
            report.purpose,
            report.precedence,
            report.kind,
            report.addressees,
            report.approvals_required,
            report.emergency,
        )
        found = facts.profiles.get(written)
        if found is None:
            if len(facts.profiles) >= _PROFILES_KEPT:
                facts.profiles.clear()
            view = facts.view
            found = facts.profiles[written] = report.profile(
                suite=int(facts.suite),
                originator=Originator(self._identity.party, self._identity.name),
                key_set=facts.own.key_set,
                agreement_id=view.agreement_id,
                agreement_digest=view.digest,
                statements_seen=len(view.statements),
                parties=view.parties,
                levels=view.document.levels_of(self._identity.party),
                groups=self._groups.on(day),
            )
        return found

    def _portion(self, portion: Portion, day: date) -> PortionInput:
        if isinstance(portion.content, StoredContent) or portion.length > CONTENT_BYTES:
            raise MalformedError(
                f"a portion of {portion.length} bytes is too large: this release carries at most {CONTENT_BYTES} in a report",
                what_to_do="Split the content over several reports.",
                code=ErrorCode.LIMIT_EXCEEDED,
            )
        groups = group_codes(portion.marking.text, self._groups.memberships)
        if groups:
            record = self._groups.record(groups, day)
            kept: dict[str, Json] = {name: one if isinstance(one, str) else [*one] for name, one in record.items()}
            return PortionInput(encode_header({**portion.header, "groups": kept}), portion.content)
        if portion.extra:
            return PortionInput(encode_header(portion.header), portion.content)
        said = (portion.media_type, portion.file_name, portion.title)
        header = self._headers.get(said)
        if header is None:
            if len(self._headers) >= _HEADERS_KEPT:
                self._headers.clear()
            header = self._headers[said] = encode_header(portion.header)
        return PortionInput(header, portion.content)


def _suite(view: AgreementView, own: NodeRecord) -> Suite:
    """Give the first suite the agreement allows that our node has keys of; without a clause the default one."""
    clauses = [clause for clause in view.document.clauses if isinstance(clause, Suites)]
    allowed = clauses[0].allowed if clauses else (int(Suite.HYBRID),)
    for suite in allowed:
        if own.key(KeyRole.NODE_SIGNING, suite) is not None:
            return Suite(suite)
    raise KeyFault(
        f"{own.identity} has no key of a suite that {view.agreement_id} allows",
        what_to_do=f"comity node rotate {own.identity}",
        code=ErrorCode.SUITE_NOT_ALLOWED,
    )


def _longest(view: AgreementView) -> int:
    kept = [clause.longest.milliseconds for clause in view.document.clauses if isinstance(clause, Retention)]
    return min([DEFAULT_KEEP_MS, *kept])


def _times(report: Report, facts: _Facts, now: int) -> Times:
    """Give the signed times: `not_before` never before now, `expires_at` as late as the agreement lets it."""
    not_before = now if report.not_before is None else max(now, milliseconds(report.not_before))
    expires_at = now + facts.keep_ms if report.expires_at is None else milliseconds(report.expires_at)
    if expires_at <= not_before:
        raise MalformedError(
            "the report would expire before it may be handed over",
            what_to_do="Give an expires_at after not_before, or leave both out.",
        )
    return Times(now, not_before, expires_at)


def _references(report: Report) -> tuple[Reference, ...]:
    relations = {relation.name.lower().replace("_", "-"): relation for relation in Relation}
    found: list[Reference] = []
    for word, report_id, leaf in report.refers_to:
        if word not in relations:
            raise MalformedError(f"{word!r} is not one of: {', '.join(relations)}")
        found.append(Reference(relations[word], report_id.bytes, leaf))
    return tuple(found)


def _previewed(nodes: Sequence[NodeFacts], profile: Profile, decision: ReportDecision) -> tuple[PreviewedNode, ...]:
    addressed = {one.party for one in profile.addressees}
    count = range(len(profile.portions))
    found = []
    for node in nodes:
        if node.party in addressed:
            portions = decision.permitted.get((node.party, node.node), ())
            withheld = tuple(index for index in count if index not in portions)
            found.append(PreviewedNode(f"{node.party}/{node.node}", portions, withheld))
    return tuple(found)


def _refusal(
    agreement_id: str,
    parties: Sequence[str],
    explanations: tuple[ClauseExplanation, ...],
    *,
    in_force: bool,
) -> RefusedError:
    who = ", ".join(parties) or "anybody"
    if not explanations:
        return RefusedError(
            f"no node of {who} has keys that this report could be sealed to",
            what_to_do="Ask the partner to enrol its nodes, then fetch the key log again.",
        )
    clauses = ", ".join(dict.fromkeys(one.clause_id for one in explanations))
    remedies = [one.remedy.command for one in explanations if one.remedy.command]
    return RefusedError(
        f"{agreement_id} does not permit this report to {who}: {clauses}",
        what_to_do=remedies[0] if remedies else explanations[0].nearest,
        code=ErrorCode.POLICY_DENIED if in_force else ErrorCode.AGREEMENT_NOT_IN_FORCE,
        clauses=explanations,
    )
