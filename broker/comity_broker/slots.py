"""The decision of one slot: what its recipients may have, whether its stanzas agree, and why it is refused.

In order: what was found wrong with it before (a view of a log, an approval) refuses it; no portion permitted to anybody; a
stanza that gives a node other portions than were decided; fewer approvals than its core asks for. The decision is taken in
every case, since the log records it. Pure: `admitting` takes it once more where only the commit knows a fact.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from comity.envelope.core import Core
from comity.envelope.evidence import SlotCode
from comity.envelope.manifest import StanzaRow
from comity.envelope.reasons import RejectReason
from comity.envelope.segment import WholeItem
from comity.errors import ComityError, RefusedError, RejectedError
from comity.light import light
from comity.suites import KeyRole
from comity_broker.deciding import Candidate, Decider
from comity_policy.decision import ReportDecision
from comity_policy.engine import CompiledAgreement
from comity_policy.explanation import ClauseExplanation, explain_report, sender_view
from comity_policy.facts import Moment, Profile, Times, Usage

_NOBODY: Final = ("", "")


@dataclass(frozen=True, slots=True)
class SlotRefused:
    """Why a slot does not enter: the code for receipts, and what its sender is told."""

    code: SlotCode
    error: ComityError


@light
class SlotDecision:
    """What was decided of one slot; `refused` None lets it in, if the commit finds it new. `unsound` was found before."""

    slot: int
    item: WholeItem
    moment: Moment
    decision: ReportDecision
    refused: SlotRefused | None
    unsound: SlotRefused | None = None

    def speaks_for(self, item: WholeItem) -> bool:
        """Say whether another report of the segment is let in by the very same decision, where nothing counts or names reports singly."""
        core, own = item.core, self.item.core
        layout = item.manifest.layout
        return (
            layout is not None
            and layout is self.item.manifest.layout
            and core.profile is own.profile
            and core.created_at == own.created_at
            and core.not_before == own.not_before
            and core.expires_at == own.expires_at
            and self.refused is None
            and self.unsound is None
            and not (item.approvals or self.item.approvals)
        )

    @property
    def recipients(self) -> frozenset[str]:
        """Give the parties that have a node which may have something of it."""
        return frozenset(party for party, _ in self.decision.permitted)


def rows_of(items: Iterable[WholeItem]) -> Iterator[StanzaRow]:
    """Give the stanza rows of some reports, but of those in a row that are for the same keys and packets only one's."""
    before: object | None = None
    for item in items:
        layout = item.manifest.layout
        if layout is None or layout is not before:
            yield from item.manifest.rows
        before = layout


class SlotDecider:
    """Decides the slots of one segment under one state of its agreement, for the nodes that may be recipients.

    Of slots in a row that ask the very same (profile, times, moment) one is decided, and of those whose rows are alike too, the
    stanzas of one are compared.
    """

    __slots__ = ("_asked", "_decided", "_fits", "_owners", "agreement_id", "candidates", "compiled", "decider")

    def __init__(
        self, agreement_id: str, compiled: CompiledAgreement, candidates: tuple[Candidate, ...], decider: Decider
    ) -> None:
        self.agreement_id = agreement_id
        self.compiled = compiled
        self.candidates = candidates
        self.decider = decider
        self._owners = {
            key.fingerprint: (one.record.party, one.record.node)
            for one in candidates
            for key in one.record.keys_of(KeyRole.NODE_KEM)
        }
        self._asked: tuple[Profile, int, int, int, Moment] | None = None
        self._decided: tuple[Times, ReportDecision] | None = None
        self._fits: tuple[object, ReportDecision] | None = None

    def decide(self, slot: int, item: WholeItem, moment: Moment, unsound: SlotRefused | None = None) -> SlotDecision:
        """Decide one slot."""
        profile, (times, decision) = item.core.profile, self._decision(item.core, moment)
        refused = unsound
        if refused is None and (not decision.permit or self._exceeds(item, decision)):
            facts = [one.facts for one in self.candidates]
            explanations = explain_report(self.compiled, profile, times, facts, moment, decision)
            refused = self._denied(decision, sender_view(explanations, profile.originator.party))
        if refused is None and len(moment.approvals or ()) < profile.approvals_required:
            refused = SlotRefused(SlotCode.MALFORMED, RejectedError(RejectReason.APPROVALS_MISSING))
        return SlotDecision(slot, item, moment, decision, refused, unsound)

    def again(self, one: SlotDecision, usage: Mapping[str, Usage]) -> SlotDecision:
        """Decide a slot once more, knowing what the windows of quotas hold."""
        return self.decide(one.slot, one.item, replace(one.moment, usage=usage), one.unsound)

    def _decision(self, core: Core, moment: Moment) -> tuple[Times, ReportDecision]:
        asked = (core.profile, core.created_at, core.not_before, core.expires_at, moment)
        if self._decided is None or self._asked != asked:
            times = core.times
            self._asked = asked
            self._decided = (
                times,
                self.decider.decide(self.compiled, core.profile, times, self.candidates, moment),
            )
        return self._decided

    def _exceeds(self, item: WholeItem, decision: ReportDecision) -> bool:
        """Say whether a stanza gives a node other portions than were decided for it."""
        layout = item.manifest.layout
        if layout is not None and self._fits is not None and self._fits[0] is layout and self._fits[1] is decision:
            return False
        own, permitted = item.core.profile.originator.party, decision.permitted
        for row in item.manifest.rows:
            if row.party != own and row.indices != permitted.get(self._owners.get(row.fingerprint, _NOBODY), ()):
                return True
        self._fits = (layout, decision)
        return False

    def _denied(self, decision: ReportDecision, explanations: Sequence[ClauseExplanation]) -> SlotRefused:
        clauses = ", ".join(dict.fromkeys(one.clause_id for one in explanations))
        if not decision.permit:
            message = f"{self.agreement_id} does not permit this report (clauses: {clauses or 'no recipient node'})"
            what = "Each clause names what would make it pass."
        else:
            message = f"a stanza gives a node other portions than {self.agreement_id} permits it ({clauses})"
            what = "Fetch agreement and key log, then decide and seal again."
        error = RefusedError(message, what_to_do=what, clauses=tuple(explanations))
        return SlotRefused(SlotCode.STANZAS if decision.permit else SlotCode.POLICY, error)
