"""Logs in which a quota counts, an answer is late, an emergency is declared: entries as the broker writes them, facts as a test says.

log = FactsLog("quota", "acknowledge", "emergency")
log.submit(Report(size=100), usage=...)       # decided by the engine on the facts that are given, true or not
log.deliver(0); log.acknowledge(0)
log.replayed()                                # what a replay says of each segment
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cache

from builders_every_kind import MORE, clause_text
from builders_replay import PASSING, logged, one_decision, text
from builders_replay_life import PARTIES, Life, read, unsigned
from comity.envelope.core import LogSeen
from comity.envelope.evidence import Ack, AckOutcome, SignedAck, SlotCode, encode_ack
from comity.node.decision_records import Evidence
from comity.node.logged_entries import LoggedEntry
from comity.node.logged_texts import Texts
from comity.node.replaying import LogReplay, Replayed
from comity.texts import agreement_digest
from comity_broker.auditlog import events
from comity_broker.auditlog.acts import act_taken
from comity_broker.auditlog.bodies import BROKER, Caller, Event, SegmentSlots
from comity_broker.auditlog.kinds import EventKind
from comity_broker.auditlog.submissions import DecidedUnder
from comity_policy.acts import THREAT_TO_LIFE, Act, ActKind
from comity_policy.document import load
from comity_policy.engine import CompiledAgreement, compile_agreement
from comity_policy.facts import AgreementState, Point, Role, Usage
from comity_policy.table_facts import Facts, build
from comity_policy.vocabulary import bundled

MINUTE = 60_000
DAY = 24 * 60 * MINUTE
QUOTA, ACKNOWLEDGE, EMERGENCY = "25", "27", "30"
NOTHING = Usage(0, 0)


@cache
def text_with(*clauses: str) -> bytes:
    return text() + "".join(clause_text(one, *MORE[one]) for one in clauses).encode()


@cache
def compiled_with(*clauses: str) -> CompiledAgreement:
    words = text_with(*clauses)
    return compile_agreement(load(words), agreement_digest(words), AgreementState(in_force=True), bundled())


@dataclass
class AskedOffices:
    """Says of every officer the same."""

    answers: frozenset[bool] = frozenset({True})

    def held(self, *_: object) -> frozenset[bool]:
        return self.answers


@dataclass(frozen=True)
class Report:
    """A report as its decision records it: its size, and what the windows held, by the record."""

    size: int = 100
    held: Usage = NOTHING
    refused: bool = False


class FactsLog:
    """One agreement's log with these clauses in its text; `at_ms` is the time of the next entry."""

    def __init__(self, *clauses: str) -> None:
        self.clauses = clauses
        self.text = text_with(*clauses)
        self.entries: list[LoggedEntry] = list(Life(self.text).signed().entries)
        self.facts: Facts = build(
            load(self.text), agreement_digest(self.text), {"from": "XAR", "to": "XBO", **PASSING}, Point.ADMISSION
        )
        self.at_ms = self.facts.moment.now
        self.segments: list[bytes] = []
        self.offices: AskedOffices | None = AskedOffices()

    def submit(
        self,
        *reports: Report,
        overdue: Collection[str] = (),
        emergency: bytes = b"",
        declared: bool = False,
        told: bool = True,
    ) -> LoggedEntry:
        """Add a segment whose decisions record these facts; `told` says whether they record windows at all."""
        facts, number = self.facts, len(self.segments)
        profile = replace(facts.profile, emergency=emergency)
        later = self.at_ms - facts.moment.now
        times = replace(
            facts.times,
            created_at=facts.times.created_at + later,
            not_before=facts.times.not_before + later,
            expires_at=facts.times.expires_at + later,
        )
        node = replace(
            facts.node,
            accreditation_until=self.at_ms + DAY,
            oldest_key_since=self.at_ms - DAY,
            overdue=frozenset(overdue),
        )
        made = DecidedUnder.of(compiled_with(*self.clauses).source, bundled().digests, {})
        decisions = []
        for slot, one in enumerate(reports or (Report(),)):
            usage = {QUOTA: one.held} if QUOTA in self.clauses and told else {}
            moment = replace(
                facts.moment,
                now=self.at_ms,
                size=one.size,
                usage=usage,
                emergency_declared=declared,
                log_available=True,
                sender_key_since=self.at_ms - DAY,
            )
            decision = one_decision(profile, times, node, moment, compiled_with(*self.clauses))
            decisions.append(replace(decision, slots=[slot]))
        refusals = [(slot, SlotCode.POLICY) for slot, one in enumerate(decisions) if not one.result.permit]
        self.segments.append(hashlib.sha384(b"%d" % number).digest())
        entry = logged(
            decisions,
            len(self.entries),
            len(decisions),
            refusals,
            made_under=made,
            manifests={slot: Evidence(bytes(48), profile, times) for slot in range(len(decisions))},
            of=self.text,
            segment=self.segments[-1],
        )
        return self._keep(entry)

    def declare(self, party: str = "XAR", *, valid_ms: int = DAY // 2) -> bytes:
        """Let an officer declare an emergency; give the declaration's digest."""
        fields = {"basis": THREAT_TO_LIFE, "reason": "Two boats are sinking.", "valid_until": self.at_ms + valid_ms}
        act = Act(
            kind=ActKind.DECLARE,
            agreement_id=load(self.text).id,
            agreement_digest=agreement_digest(self.text).hex(),
            party=party,
            officer=f"{party}/duty",
            role=Role.DUTY_OFFICER,
            made_at=self.at_ms,
            **fields,
        )
        statement = unsigned(act.to_body())
        placed = Act.from_body(act.to_body(), digest=statement.digest.hex())
        self._add(
            act_taken(
                placed,
                time=self.at_ms,
                caller=BROKER,
                key_log_size=1,
                state_epoch=1,
                agreement_digest=agreement_digest(self.text),
                statement=statement,
            )
        )
        return statement.digest

    def deliver(self, segment: int, slots: Sequence[int] = (0,), readers: Collection[str] = PARTIES) -> LoggedEntry:
        """Hand slots of a segment over to XBO."""
        event = events.delivered(
            time=self.at_ms,
            caller=Caller("XBO", "m1"),
            originator="XAR",
            recipient=("XBO", "m1"),
            consumer="default",
            session=bytes(16),
            segments=[SegmentSlots(self.segments[segment], slots, 1)],
        )
        return self._add(event, readers)

    def acknowledge(self, segment: int, *outcomes: AckOutcome) -> LoggedEntry:
        """Let XBO answer for slots of a segment."""
        given = bytes(outcomes or (AckOutcome.ACKNOWLEDGED,))
        ack = Ack(
            suite=1,
            agreement_id=load(self.text).id,
            key_set=bytes(48),
            consumer="default",
            time=self.at_ms,
            agreement_log_seen=LogSeen(bytes(16), 1, bytes(32)),
            segments=((self.segments[segment], given),),
        )
        event = events.acknowledged(
            time=self.at_ms,
            caller=Caller("XBO", "m1"),
            key_log_size=1,
            originator="XAR",
            recipient=("XBO", "m1"),
            consumer="default",
            ack=SignedAck(encode_ack(ack), b"-"),
        )
        return self._add(event)

    def expire(self, segment: int) -> LoggedEntry:
        """Let slot 0 of a segment pass its end."""
        of = [SegmentSlots(self.segments[segment], (0,), 1)]
        return self._add(events.expired(time=self.at_ms, originator="XAR", recipient=("XBO", "m1"), segments=of))

    def hide(self, kind: EventKind, number: int = 0, *parts: str) -> None:
        """Present an entry of a kind without these parts, or without any."""
        places = [place for place, entry in enumerate(self.entries) if entry.kind == kind.value]
        entry = self.entries[places[number]]
        own = {party: body for party, body in entry.own.items() if parts and party not in parts}
        shared = {} if not parts or "shared" in parts else entry.shared
        self.entries[places[number]] = replace(entry, shared=shared, own=own)

    def replayed(self) -> list[Replayed]:
        """Replay it."""
        replaying = LogReplay(Texts([self.text]), offices=self.offices)
        return [done for entry in self.entries if (done := replaying.take(entry)) is not None]

    def _add(self, event: Event, readers: Collection[str] = PARTIES) -> LoggedEntry:
        return self._keep(read(event, len(self.entries), readers))

    def _keep(self, entry: LoggedEntry) -> LoggedEntry:
        self.entries.append(entry)
        return entry
