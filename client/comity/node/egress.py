"""The egress decision: what of a report may go to which node, before anything is sealed (design 02, point E).

Rules in order:
1. Facts come from the mirror alone: the agreement in force now, the newest bundles of every addressed party's nodes, the age
   of our view of the key log. The sender's word is not a fact.
2. Every portion is decided for every node of every addressed party; keys are made for what is permitted and for nobody else.
3. A report none of whose portions is permitted to anybody is refused with the clauses that refuse, each with its remedy. A
   party none of whose nodes passes is named; the others get what is theirs.
4. Group codes in a marking give way to their members on the day the report is created; the portion's header keeps the day, the
   codes and the digest of the file that says so.
5. Officers who approve are told before anything is sealed whether they suffice: for the precedence by the roles they approve in,
   for dual control, which the broker decides, by the same clauses with as many approvals as there will be. Where approvals are
   awaited, both are asked when the report is released. A report asks for as many approvals as officers were named for it, and
   for that of the one it says acts, whatever the clauses ask for.
6. An emergency declaration that a report names is in the own mirror, of the own party and valid now, at its release as well. A
   report of an exercise names none, and has no attachments.
7. `preview` is the same decision without a connection, without sealing, and with every explanation.
Kept between reports are parsed markings by what was written, facts until the moment they change, and the last decision for
reports that ask the very same at the same reading of the clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Final

from comity.envelope.checks import verified_approvals
from comity.envelope.seal import Recipient
from comity.envelope.segment import WholeItem
from comity.errors import ErrorCode, KeyFault, RefusedError, UsageError
from comity.identity.names import Identity
from comity.node.acts import declaration_of
from comity.node.approving import (
    NOBODY,
    Approving,
    Suited,
    approvals_needed,
    dual_controlled,
    lacking_approvals,
    may_approve,
    require_acting,
    require_cleared,
    resolved,
    suited,
)
from comity.node.cleared import Cleared
from comity.node.clock import NowMs, steady
from comity.node.directory import officer_lookup, recipient_of
from comity.node.egress_facts import Facts, Who
from comity.node.mirror import Mirror
from comity.node.portion_inputs import PortionInputs
from comity.node.previews import Preview, previewed, refused
from comity.node.signed_terms import longest_keeping, references_of, suite_of
from comity.portion import StoredContent
from comity.report import Report
from comity.suites import KeyRole
from comity_policy.decision import ReportDecision
from comity_policy.engine import decide_report
from comity_policy.explanation import ClauseExplanation, explain_report
from comity_policy.facts import Moment, NodeFacts, Originator, Point, Profile, Times
from comity_policy.groups import Groups, bundled, day_of
from comity_policy.readers import asked_at_opening

_PROFILES_KEPT: Final = 64


@dataclass(frozen=True, slots=True)
class _Decided:
    """A decision with what it was taken from; `lacking` are the clauses that ask for approvals which will not be there."""

    facts: Facts
    profile: Profile
    times: Times
    moment: Moment
    decision: ReportDecision
    who: Who
    approving: Approving
    lacking: tuple[ClauseExplanation, ...]
    suited: Suited

    @property
    def explanations(self) -> tuple[ClauseExplanation, ...]:
        """Give why portions or the whole are refused, with the officers who could mend it in the commands."""
        compiled, nodes = self.facts.view.compiled, self.facts.nodes
        found = explain_report(compiled, self.profile, self.times, nodes, self.moment, self.decision)
        return self.approving.with_officers((*found, *self.lacking), self.suited)

    @property
    def refusal(self) -> RefusedError | None:
        """Give the error that says why it does not go; None where it goes."""
        view, profile = self.facts.view, self.profile
        if not self.decision.permit:
            in_force = view.state.policy().in_force
            return refused(view.agreement_id, self.decision.refused_parties, self.explanations, in_force=in_force)
        if self.lacking:
            parties = tuple(dict.fromkeys(one.recipient_party for one in self.lacking))
            told = self.approving.with_officers(self.lacking, self.suited)
            return refused(view.agreement_id, parties, told, in_force=view.state.policy().in_force)
        if not profile.approvals_required or self.approving.awaited:
            return None
        there = len(self.approving.identities)
        if there < profile.approvals_required:
            return RefusedError(
                f"the report asks for {profile.approvals_required} officers' approvals, and {there} will be there",
                what_to_do="Name each officer with --approve-as, or let it wait with --await-approval.",
            )
        return None


class Egress:
    """Decides for one node. Not for several threads at once."""

    def __init__(self, mirror: Mirror, identity: Identity, now_ms: NowMs, groups: Groups | None = None) -> None:
        self._mirror = mirror
        self._identity = identity
        self._now_ms = steady(now_ms)
        self._groups = bundled() if groups is None else groups
        self._facts: dict[str, Facts] = {}
        self._portion = PortionInputs(self._groups).of
        self._last_day = (-1, date.min)
        self._last: tuple[tuple[object, ...], _Decided] | None = None

    def clear(
        self, report: Report, agreement_id: str, approved_by: Sequence[Identity] = (), *, awaited: bool = False
    ) -> Cleared:
        """Decide a report; raises RefusedError with the clauses, and whatever keeps the agreement from being decided.

        `approved_by` are the officers who will approve it; with `awaited` others may, later. MalformedError for a report whose
        markings do not go together or that is too large to travel in one piece.
        """
        decided = self._decide(report, agreement_id, approved_by, awaited=awaited)
        if (refusal := decided.refusal) is not None:
            raise refusal
        day = self._day(decided.moment.now)
        view = decided.facts.view
        if report.exercise:
            # What is signed of an exercise says how far the exercise's own log was seen.
            view = replace(view, log_seen=self._mirror.exercise_seen(agreement_id))
        return Cleared(
            view,
            decided.profile,
            decided.times,
            references_of(report) if report.refers_to else (),
            tuple([self._portion(portion, day) for portion in report.portions]),
            *decided.who,
            decided.decision.refused_parties,
        )

    def preview(self, report: Report, agreement_id: str, approved_by: Sequence[Identity] = ()) -> Preview:
        """Say who would receive a report; raises as `clear`, but for the refusal."""
        decided = self._decide(report, agreement_id, approved_by)
        for portion in report.portions:
            self._portion(portion, self._day(decided.moment.now))
        decision, refusal = decided.decision, decided.refusal
        if refusal is not None:
            decision = replace(decision, permit=False, permitted={})
        return Preview(
            agreement_id=agreement_id,
            banner=report.banner,
            in_force=decided.facts.view.state.policy().in_force,
            permitted=decision.permit,
            nodes=previewed(decided.facts.nodes, decided.profile, decision),
            refused_parties=decision.refused_parties,
            explanations=decided.explanations,
            deferred=decision.deferred,
            at_opening=asked_at_opening(
                decided.facts.view.compiled.source,
                self._identity.party,
                [one.party for one in decided.profile.addressees],
            ),
            key_log_age_ms=decided.moment.key_log_age,
            expires_at=decided.times.expires_at,
            approvals_required=decided.profile.approvals_required,
            refusal=refusal,
        )

    def check_approved(self, item: WholeItem) -> None:
        """Decide a sealed report as its approvals stand beside it now; raises RefusedError with what is lacking, and as `clear`."""
        now = self._now_ms()
        profile, agreement_id = item.core.profile, item.core.profile.agreement_id
        facts = self._current(agreement_id, now)
        identities = verified_approvals(item, officer_lookup(self._mirror.directory, agreement_id, now))
        approving = Approving(verified=identities, stated=frozenset(one.role for one in item.approvals))
        decided = self._decided(facts, profile, item.core.times, now, approving)
        if (refusal := decided.refusal) is not None:
            raise refusal
        require_acting(item)
        permitted = decided.decision.permitted
        given = {facts.recipients[node].fingerprint: set(portions) for node, portions in permitted.items()}
        others = (row for row in item.manifest.rows if row.party != self._identity.party)
        if any(not set(row.indices) <= given.get(row.fingerprint, set()) for row in others):
            raise RefusedError(
                "a node may have less of this report now than it was sealed with",
                what_to_do="Send it anew: it is sealed for whom it may go to now, and approved again.",
            )

    def may_approve(self, profile: Profile) -> tuple[str, ...]:
        """Give the officers of our party who could approve such a report, with the roles they hold for it."""
        now = self._now_ms()
        view = self._current(profile.agreement_id, now).view
        return may_approve(self._mirror.directory, view, profile, now)

    # --- deciding ---------------------------------------------------------------------------------------------------

    def _decide(
        self, report: Report, agreement_id: str, approved_by: Sequence[Identity], *, awaited: bool = False
    ) -> _Decided:
        now = self._now_ms()
        facts = self._current(agreement_id, now)
        approving = NOBODY
        if approved_by or awaited:
            given = resolved(
                self._mirror.directory, facts.view, self._identity.party, approved_by, report.precedence, now
            )
            approving = replace(given, awaited=awaited)
        profile = facts.asking(self._profile(report, facts, self._day(now), approving), approving.least)
        if approving.officers:
            require_cleared(self._mirror.directory, facts.view, approving.officers, profile, now)
        times = facts.times(report, now)
        # Of reports in a row that ask the same at one reading of the clock, one is decided.
        question = (facts, profile, times, now, approving)
        if self._last is None or self._last[0] != question:
            self._last = (question, self._decided(facts, profile, times, now, approving))
        return self._last[1]

    def _day(self, now: int) -> date:
        if self._last_day[0] != now:
            self._last_day = (now, day_of(now))
        return self._last_day[1]

    def _decided(self, facts: Facts, profile: Profile, times: Times, now: int, approving: Approving) -> _Decided:
        if profile.emergency:
            declaration_of(self._mirror, profile.agreement_id, profile.emergency, self._identity.party, now)
        compiled, moment = facts.view.compiled, self._moment(facts, now, approving)
        decision = decide_report(compiled, profile, times, facts.nodes, moment)
        lacking: tuple[ClauseExplanation, ...] = ()
        if facts.dual_control and decision.permit:
            needed = approvals_needed(compiled, profile, times, facts.nodes, moment, decision)
            profile = facts.asking(profile, needed)
            lacking = lacking_approvals(compiled, profile, times, facts.nodes, moment, decision, approving)
        who = Suited()
        if lacking or not decision.permit:
            who = suited(self._mirror.directory, facts.view, profile, now)
        to_whom = facts.who(decision.permitted)
        return _Decided(facts, profile, times, moment, decision, to_whom, approving, lacking, who)

    # --- facts ------------------------------------------------------------------------------------------------------

    def _current(self, agreement_id: str, now: int) -> Facts:
        facts = self._facts.get(agreement_id)
        if facts is None or facts.version != self._mirror.version or now >= facts.good_until:
            facts = self._facts[agreement_id] = self._gather(agreement_id, now)
        return facts

    def _gather(self, agreement_id: str, now: int) -> Facts:
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
        suite = suite_of(view, own)
        key = own.key(KeyRole.NODE_SIGNING, suite)
        broker = self._mirror.broker
        record = directory.broker(broker.party, broker.name)
        nodes: list[NodeFacts] = []
        recipients: dict[tuple[str, str], Recipient] = {}
        ends = [own.valid_until]
        for party in view.parties:
            officers = directory.officers_under(party, agreement_id, now)
            ends += (one.valid_until for one in directory.officers(party))
            for node in directory.nodes(party) if party != self._identity.party else ():
                recipient = recipient_of(node, suite)
                if recipient is not None:
                    nodes.append(directory.node_facts(node, now, suite, officers=officers, capable=True))
                    recipients[node.party, node.node] = recipient
                    ends.append(node.valid_until)
        ends += view.turning_points
        return Facts(
            view=view,
            version=self._mirror.version,
            good_until=min((moment for moment in ends if moment > now), default=now),
            suite=suite,
            own=own,
            own_since=own.valid_from if key is None else key.since,
            own_can=directory.can(own.party, own.node),
            keep_ms=longest_keeping(view),
            broker=view.broker_name(broker.party, broker.name),
            broker_region=None if record is None else record.region,
            nodes=tuple(nodes),
            recipients=recipients,
            refreshed=None if view.key_log_age_ms is None else now - view.key_log_age_ms,
            dual_control=dual_controlled(view.compiled),
        )

    def _moment(self, facts: Facts, now: int, approving: Approving) -> Moment:
        return Moment(
            point=Point.EGRESS,
            now=now,
            broker=facts.broker,
            broker_region=facts.broker_region,
            key_log_age=None if facts.refreshed is None else now - facts.refreshed,
            sender_roles=approving.roles,
            direct=True,
            sender_key_since=facts.own_since,
            sender_capabilities=facts.own_can,
        )

    # --- what is signed ---------------------------------------------------------------------------------------------

    def _profile(self, report: Report, facts: Facts, day: date, approving: Approving) -> Profile:
        if report.exercise:
            _check_exercise(report)
        written = (
            day,
            report.marking,
            tuple([(one.marking, one.personal_data, one.persons, one.warn) for one in report.portions]),
            report.categories,
            report.purpose,
            report.precedence,
            report.kind,
            report.addressees,
            report.approvals_required,
            report.emergency,
            report.exercise,
            approving.acting,
        )
        last = facts.last_profile
        if last is not None and last[0] == written:
            return last[1]
        found = facts.profiles.get(written)
        if found is None:
            if len(facts.profiles) >= _PROFILES_KEPT:
                facts.profiles.clear()
            view = facts.view
            found = facts.profiles[written] = report.profile(
                suite=int(facts.suite),
                originator=Originator(self._identity.party, self._identity.name, *approving.acting),
                key_set=facts.own.key_set,
                agreement_id=view.agreement_id,
                agreement_digest=view.digest,
                statements_seen=len(view.statements),
                parties=view.parties,
                levels=view.document.levels_of(self._identity.party),
                groups=self._groups.on(day),
            )
        facts.last_profile = (written, found)
        return found


def _check_exercise(report: Report) -> None:
    """Check that an exercise may carry a report; raises UsageError."""
    if report.emergency:
        raise UsageError(
            "an emergency declaration is a real act: no exercise goes under one",
            what_to_do="Leave the declaration out; practise with what the agreement permits without one.",
        )
    if any(isinstance(one.content, StoredContent) for one in report.portions):
        raise UsageError(
            "an exercise carries no attachments in this release", what_to_do="Send it without its attachments."
        )
