"""Decisions as the broker takes them: facts from the directory, never the sender's word (design of policy, "The decision").

Admission and hand-over ask here, so that both take a decision from the same kind of facts. Pure but for the directory it is
given: the moment is an argument.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from comity.identity.directory import KeyDirectory
from comity.identity.records import NodeRecord, RecordedKey
from comity_policy.decision import ReportDecision
from comity_policy.engine import CompiledAgreement, decide_report
from comity_policy.facts import Moment, NodeFacts, Point, Profile, Role, Times


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


class Decider:
    """Takes decisions at this broker."""

    def __init__(self, place: Place, keys: KeyDirectory) -> None:
        self._place = place
        self._keys = keys

    def moment(self, now_ms: int, key: RecordedKey, approved_as: frozenset[Role] = frozenset()) -> Moment:
        """Give the moment of an admission: `key` is the sender's signing key, `approved_as` the roles of verified approvals.

        The key log is this broker's own, so its view of it is of now.
        """
        return Moment(
            point=Point.ADMISSION,
            now=now_ms,
            broker=self._place.broker,
            broker_region=self._place.region,
            key_log_age=0,
            sender_roles=frozenset({Role.NODE}) | approved_as,
            # A caller that is not the originator was refused before (`checks.admit`).
            direct=True,
            sender_key_since=key.since,
        )

    def candidates(self, parties: Sequence[str], originator: str, suite: int, now_ms: int) -> tuple[Candidate, ...]:
        """Give every listed node of the parties other than the originator's, by party and name."""
        return tuple(
            Candidate(record, self._keys.node_facts(record, now_ms, suite))
            for party in sorted(parties)
            if party != originator
            for record in self._keys.nodes(party)
        )

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
