"""Decisions as the broker takes them: facts from the directory, never the sender's word (design of policy, "The decision").

Admission and hand-over ask here, so that both take a decision from the same kind of facts. What is decided at admission alone
(how old a report is then, quotas, approvals, what is overdue) is settled there once, and hand-over does not ask for it again;
a suspension of such a clause still holds. Pure but for the directory and the attesters it is given: the moment is an argument.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from comity.identity.directory import KeyDirectory
from comity.identity.records import NodeRecord, RecordedKey
from comity_policy.decision import Baseline, Reason, ReportDecision, Violation
from comity_policy.engine import CompiledAgreement, decide_report
from comity_policy.facts import Moment, NodeFacts, Point, Profile, Role, Times, Usage
from comity_policy.floors import floors
from comity_policy.sources import layer_of
from comity_policy.state import State


@dataclass(frozen=True, slots=True)
class Place:
    """The broker's name in agreements and where ciphertext rests in it."""

    broker: str
    region: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node that may be a recipient: what the directory lists, and what policy may know of it."""

    record: NodeRecord
    facts: NodeFacts

    @property
    def name(self) -> str:
        """Give PARTY/NODE."""
        return f"{self.record.party}/{self.record.node}"


class Attested(Protocol):
    """What is known of duties and declarations under an agreement; a time is Unix milliseconds."""

    def emergency(self, agreement_id: str, declaration: bytes, party: str, now_ms: int) -> bool:
        """Say whether a verified, logged declaration of `party` with that digest is valid at the time."""

    def overdue(self, agreement_id: str, party: str, now_ms: int) -> frozenset[str]:
        """Give the acknowledge clauses under which that party is late beyond the limit."""


class NothingAttested:
    """A broker that keeps no ledger of duties: nothing was declared, and nothing falls due."""

    def emergency(self, _agreement_id: str, _declaration: bytes, _party: str, _now_ms: int) -> bool:
        """Say that nothing was declared."""
        return False

    def overdue(self, _agreement_id: str, _party: str, _now_ms: int) -> frozenset[str]:
        """Say that nothing is late."""
        return frozenset()


@dataclass(frozen=True, slots=True)
class Approved:
    """The officers whose approvals of a report verified, and the roles in which they approved."""

    identities: frozenset[str] = frozenset()
    roles: frozenset[Role] = frozenset()


NOBODY: Final = Approved()


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What is the same for every report of a segment at its admission; `usage` is empty where no quota counts it."""

    agreement_id: str
    state: State
    log_available: bool
    usage: Mapping[str, Usage]


class Decider:
    """Takes decisions at this broker."""

    def __init__(self, place: Place, keys: KeyDirectory, attested: Attested | None = None) -> None:
        self._place = place
        self._keys = keys
        self._attested = NothingAttested() if attested is None else attested

    def moment(
        self, now_ms: int, key: RecordedKey, approved: Approved = NOBODY, can: frozenset[str] | None = None
    ) -> Moment:
        """Give the moment of a decision by this broker: `key` is the sender's signing key, `can` what it states, where that is asked.

        The key log is this broker's own, so its view of it is of now.
        """
        return Moment(
            point=Point.ADMISSION,
            now=now_ms,
            broker=self._place.broker,
            broker_region=self._place.region,
            key_log_age=0,
            sender_roles=frozenset({Role.NODE}) | approved.roles,
            # A caller that is not the originator was refused before (`checks.admit`).
            direct=True,
            sender_key_since=key.since,
            sender_capabilities=can,
            approvals=approved.identities,
        )

    def within(self, moment: Moment, within: Circumstances) -> Moment:
        """Give the moment of a report's admission as it is for each one of a segment that nothing else is known of."""
        return replace(
            moment,
            usage=within.usage,
            log_available=within.log_available,
            emergency_declared=False,
            disputed=False,
        )

    def admission(
        self, moment: Moment, within: Circumstances, profile: Profile, report_id: bytes, *, size: int | None
    ) -> Moment:
        """Give the moment of one report's admission out of the segment's (`within`); `size` is asked for where a quota counts it."""
        declared = bool(profile.emergency) and self._attested.emergency(
            within.agreement_id, profile.emergency, profile.originator.party, moment.now
        )
        disputed = bool(within.state.disputes) and within.state.disputed("report", report_id.hex())
        if size is None and not declared and not disputed:
            return moment
        return replace(moment, size=size, emergency_declared=declared, disputed=disputed)

    def candidates(
        self,
        agreement_id: str,
        parties: Sequence[str],
        originator: str,
        suite: int,
        now_ms: int,
        *,
        under: str = "",
        capable: bool = False,
    ) -> tuple[Candidate, ...]:
        """Give every listed node of the parties other than the originator's, by party and name, with what is asked at admission.

        What a party is late with stops what goes to its own nodes, and nothing that goes to others; in an exercise, by the name of
        whose log it is asked `under`, nobody is late with anything. `capable`: the agreement asks what they can.
        """
        found: list[Candidate] = []
        for party in sorted(parties):
            if party != originator:
                officers = self._keys.officers_under(party, agreement_id, now_ms)
                late = self._attested.overdue(under or agreement_id, party, now_ms)
                for one in self._keys.nodes(party):
                    candidate = self.candidate(one, officers, suite, now_ms, capable=capable)
                    found.append(replace(candidate, facts=replace(candidate.facts, overdue=late)))
        return tuple(found)

    def candidate(
        self, record: NodeRecord, officers: frozenset[str], suite: int, now_ms: int, *, capable: bool = False
    ) -> Candidate:
        """Give one node with its facts; `officers` are those of its party that are accredited for the agreement."""
        facts = self._keys.node_facts(record, now_ms, suite, officers=officers, capable=capable)
        return Candidate(record, facts)

    def decide(
        self,
        compiled: CompiledAgreement,
        profile: Profile,
        times: Times,
        candidates: Sequence[Candidate],
        moment: Moment,
    ) -> ReportDecision:
        """Decide one report for these nodes."""
        return decide_report(compiled, profile, times, [one.facts for one in candidates], moment)

    def still_permitted(
        self, compiled: CompiledAgreement, profile: Profile, times: Times, candidate: Candidate, moment: Moment
    ) -> frozenset[int]:
        """Give the portions of an admitted report that a node may have handed over now.

        What its sender could is of the admission.
        """
        asked = floors(compiled.source, profile.originator.party, candidate.record.party).values()
        if asked:
            moment = replace(moment, sender_capabilities=frozenset[str]().union(*asked))
        decision = self.decide(compiled, profile, times, [candidate], moment)
        own = (candidate.record.party, candidate.record.node)
        settled = {
            index
            for (party, node, index), violations in decision.violations.items()
            if (party, node) == own and all(_settled_at_admission(compiled, one) for one in violations)
        }
        return frozenset(decision.permitted.get(own, ())) | settled


def _settled_at_admission(compiled: CompiledAgreement, violation: Violation) -> bool:
    """Say whether a violation is of what admission alone decides: how near its times were, and clauses of no other point."""
    if violation.reason is Reason.CLAUSE_SUSPENDED:
        return False
    if violation.clause_id == Baseline.TIMES:
        return True
    if violation.clause_id in set(Baseline):
        return False
    _, clause = layer_of(compiled.source, violation.clause_id)
    return clause.points == frozenset({Point.ADMISSION})
