"""The duties of an agreement as a node knows them from its own mirror.

An acknowledgement does a duty where the recipient's node signed it, and not on the broker's word. That a report expired, or was
given up by its reader, the broker says in the log, and whoever sent it can hold that against the report: nobody answered for it.

Hand-overs, answers and certificates about reports are known to their originator's party and their recipient's: of others' duties
about reports a party knows nothing. Of everything else each party sees the same. `comity_policy.obligations` says what follows.

    duties_of(mirror, "XAR-XBO-1", now_ms)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from comity.envelope import limits
from comity.envelope.answering import answered, is_control, precedence_of
from comity.envelope.evidence import SignedAck, decode_ack, verify_ack
from comity.envelope.receipts import SlotOutcome, decode_slot_record
from comity.envelope.speaking import spoken_of
from comity.errors import KeyFault, MalformedError, RejectedError
from comity.identity.directory import KeyDirectory
from comity.node.acts import acts_of, handlings_of
from comity.node.entries import SHARED, MirroredEntry
from comity.node.mirror import Mirror
from comity_policy.acts import Act
from comity_policy.obligations import Answer, Handover, Tracked, duties
from comity_policy.state import State

_ENDING: Final = frozenset({"EXPIRED", "PARKED_DROPPED"})
# What its originator took back is owed to nobody any more: that ends a waiting as an answer does.
_TAKEN_BACK: Final = frozenset({"RECALLED", "SUPERSEDED"})
_KINDS: Final = frozenset({"SUBMIT_ACCEPTED", "DELIVERED", "ACKNOWLEDGED", *_ENDING, *_TAKEN_BACK})


@dataclass(frozen=True, slots=True)
class Owed:
    """What a mirror knows of one agreement: its state, the acts under it, the hand-overs, and every duty."""

    state: State
    acts: tuple[Act, ...]
    handovers: tuple[Handover, ...]
    duties: tuple[Tracked, ...]

    def of(self, party: str) -> tuple[Tracked, ...]:
        """Give a party's own duties."""
        return tuple(one for one in self.duties if one.duty.owner == party)


@dataclass(frozen=True, slots=True)
class Admitted:
    """What an entry admitted: `reports` has the id and leaf in hex of each slot."""

    entry: int
    at_ms: int
    originator: str
    transport_class: int
    reports: dict[int, tuple[str, str]]


@dataclass(slots=True)
class Facts:
    """What the entries say, in their order."""

    directory: KeyDirectory
    agreement_id: str
    segments: dict[str, Admitted] = field(default_factory=dict)
    handovers: list[Handover] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)

    def take(self, entry: MirroredEntry, party: str) -> None:
        """Take one entry."""
        shared = entry.shared()
        if entry.kind == "SUBMIT_ACCEPTED":
            self.segments[shared["segment_id"]] = admitted_in(entry, shared)
            return
        own = entry.own(party)
        if not own or (entry.kind == "ACKNOWLEDGED" and not self.is_signed(shared, own)):
            return
        recipient, at_ms = own["recipient"]["party"], shared["time"]
        for admitted, report, leaf in self._reports(slots_in(entry.kind, own)):
            if entry.kind == "DELIVERED":
                self.handovers.append(handover_of(admitted, report, leaf, recipient, at_ms))
            else:
                given, taken_back = entry.kind not in _ENDING, entry.kind in _TAKEN_BACK
                self.answers.append(Answer(report, recipient, at_ms, given=given, taken_back=taken_back))

    def reports_of(self, entry: MirroredEntry, party: str) -> frozenset[str]:
        """Give which reports an entry speaks of, as far as the party reads it: by ids and leaves."""
        spoken = spoken_of((entry.shared(), entry.own(party)))
        slots = ((segment_id.hex(), slot) for segment_id, slot in spoken.slots)
        return spoken.reports.union(report for _, report, _ in self._reports(slots))

    def is_signed(self, shared: dict[str, Any], own: dict[str, Any]) -> bool:
        """Say whether the node that an acknowledgement is said to be of signed it, with a key that counted then."""
        signed = SignedAck(bytes.fromhex(own["ack"]), bytes.fromhex(own["signature"]))
        try:
            said = decode_ack(signed.record)
            at_ms, log_size = shared["time"], shared["key_log_size"]
            record, key = self.directory.signing_node(said.key_set, said.suite, at_ms, log_size)
            verify_ack(signed, key.suite, key.public)
        except (KeyFault, MalformedError, RejectedError):
            return False
        named = (own["recipient"]["party"], own["recipient"]["node"], own["consumer"], self.agreement_id)
        return (record.party, record.node, said.consumer, said.agreement_id) == named

    def _reports(self, slots: Iterable[tuple[str, int]]) -> Iterator[tuple[Admitted, str, str]]:
        for segment_id, slot in slots:
            admitted = self.segments.get(segment_id)
            named = None if admitted is None else admitted.reports.get(slot)
            if admitted is not None and named is not None:
                yield admitted, *named


def duties_of(mirror: Mirror, agreement_id: str, now_ms: int) -> Owed:
    """Give what is known of the duties under an agreement at a time; raises as `Mirror.agreement`."""
    facts = Facts(mirror.directory, agreement_id)
    for entry in mirror.entries_of(agreement_id, _KINDS):
        facts.take(entry, mirror.party)
    fold = mirror.fold(agreement_id)
    acts, state = acts_of(mirror, agreement_id), fold.state(now_ms)
    umbrella = fold.umbrella_of(state)
    above = None if umbrella is None else umbrella.state
    speaking = {one.log_index: facts.reports_of(one, mirror.party) for one in _disputed(mirror, agreement_id, state)}
    known = (*acts, *handlings_of(mirror, agreement_id))
    found = duties(state, known, facts.handovers, facts.answers, now_ms, speaking=speaking, above=above)
    return Owed(state, acts, tuple(facts.handovers), found)


def _disputed(mirror: Mirror, agreement_id: str, state: State) -> Iterator[MirroredEntry]:
    for index in sorted(state.holds().entries):
        yield from mirror.entry_at(agreement_id, index)


def admitted_in(entry: MirroredEntry, shared: dict[str, Any]) -> Admitted:
    """Give what an entry admitted, from its shared body."""
    records = (decode_slot_record(record) for _, record in entry.parts[SHARED].records)
    reports = {
        one.slot: (one.report_id.hex(), one.leaf.hex()) for one in records if one.outcome is SlotOutcome.ADMITTED
    }
    return Admitted(entry.log_index, shared["time"], shared["actor"]["party"], shared["class"], reports)


def slots_in(kind: str, own: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """Give the segments and slots that an own body of such an entry speaks of; of an acknowledgement those that it answers."""
    if kind == "ACKNOWLEDGED":
        for segment_id, outcomes in decode_ack(bytes.fromhex(own["ack"])).segments:
            yield from ((segment_id.hex(), slot) for slot in answered(outcomes))
        return
    for one in own["segments"]:
        for first, last in one["slots"]:
            yield from ((one["segment_id"], slot) for slot in range(first, min(last + 1, limits.SLOTS)))


def handover_of(admitted: Admitted, report: str, leaf: str, recipient: str, at_ms: int) -> Handover:
    """Give the hand-over of an admitted report, as duties follow from it."""
    return Handover(
        report=report,
        leaf=leaf,
        entry=admitted.entry,
        admitted_at=admitted.at_ms,
        originator=admitted.originator,
        recipient=recipient,
        precedence=precedence_of(admitted.transport_class),
        at_ms=at_ms,
        control=is_control(admitted.transport_class),
    )
