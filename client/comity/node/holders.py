"""Who holds a report: for each node that was to get it, what the log proves of it (design 04). Read from the own mirror alone.

Rules in order:
1. Sent: the log has the hand-over. Delivered: the node's own signed acknowledgement. Read: an officer's word that it was read, or
   acted on, as far as it counts (`acts`). The broker's word counts for nothing.
2. After a recall: acknowledged, by the node's signature on the recall; destroyed, by the holder party's certificate, signed by its
   officers, which speaks for all its nodes; held, where an open dispute forbids destroying it.
3. A node that was handed a recalled report, and of whose party there is no certificate, is outstanding, whatever else it said.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from comity.envelope.evidence import AckOutcome, decode_ack
from comity.envelope.receipts import SlotOutcome, decode_slot_record
from comity.errors import ErrorCode, NotFoundError
from comity.identity.names import agreement_of, exercise_of, is_exercise
from comity.node.acts import acts_of, handlings_of
from comity.node.duties import Facts
from comity.node.entries import SHARED, MirroredEntry
from comity.node.logged_entries import slots_in
from comity.node.mirror import Mirror
from comity.node.taken_back import held_by
from comity_policy.acts import ActKind

_KINDS: Final = frozenset({"SUBMIT_ACCEPTED", "DELIVERED", "ACKNOWLEDGED", "RECALLED", "SUPERSEDED"})
Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Proof:
    """When something happened (Unix ms, the log's time), and the entry that proves it."""

    at_ms: int
    log_index: int


@dataclass(slots=True)
class Holder:
    """One node that was to get the report; `node` is PARTY/NODE, `portions` count from 0. What is None has no proof.

    `held_by` are the open disputes that forbid destroying it.
    """

    node: str
    portions: tuple[int, ...]
    sent: Proof | None = None
    delivered: Proof | None = None
    read: Proof | None = None
    taken_back: Proof | None = None
    taken_back_how: str = ""
    told: Proof | None = None
    acknowledged: Proof | None = None
    destroyed: Proof | None = None
    held_by: tuple[str, ...] = ()

    @property
    def party(self) -> str:
        """Give its party."""
        return self.node.partition("/")[0]

    @property
    def outstanding(self) -> bool:
        """Say whether it was handed what was taken back, without a certificate that it is gone."""
        return self.taken_back is not None and self.sent is not None and self.destroyed is None

    @property
    def standing(self) -> str:
        """Say in a word where it stands, the last thing first."""
        if self.destroyed is not None:
            return "destroyed"
        if self.sent is None:
            return "not sent" if self.taken_back is None else "never sent"
        if self.taken_back is not None:
            if self.held_by:
                return "held"
            return "outstanding" if self.acknowledged is None else "recall acknowledged"
        if self.read is not None:
            return "read"
        return "sent" if self.delivered is None else "delivered"


@dataclass(frozen=True, slots=True)
class Holding:
    """A report that our party sent, and who holds it. `by` is what took it back, empty where nothing did."""

    agreement_id: str
    report_id: UUID
    leaf: bytes
    admitted: Proof
    by: tuple[UUID, ...]
    holders: tuple[Holder, ...]

    @property
    def outstanding(self) -> tuple[Holder, ...]:
        """Give those that hold what was taken back."""
        return tuple(one for one in self.holders if one.outstanding)


@dataclass(slots=True)
class _Reading:
    """The entries of one log, in their order, about one report of ours."""

    mirror: Mirror
    agreement_id: str
    report_id: bytes
    facts: Facts
    leaf: bytes = b""
    admitted: Proof | None = None
    place: Place | None = None
    by: dict[bytes, Place | None] = field(default_factory=dict)
    holders: dict[str, Holder] = field(default_factory=dict)
    _admissions: dict[bytes, Place] = field(default_factory=dict)

    def take(self, entry: MirroredEntry) -> None:
        shared, own = entry.shared(), entry.own(self.mirror.party)
        proof = Proof(shared["time"], entry.log_index)
        if entry.kind == "SUBMIT_ACCEPTED":
            self._submitted(entry, shared, own, proof)
        elif not own or self.place is None:
            return
        elif (holder := self._holder(own)) is not None:
            self._of_holder(entry, shared, own, holder, proof)

    def _submitted(self, entry: MirroredEntry, shared: dict[str, Any], own: dict[str, Any], proof: Proof) -> None:
        if shared["actor"]["party"] != self.mirror.party:
            return
        records = [decode_slot_record(record) for _, record in entry.parts[SHARED].records]
        admitted = [one for one in records if one.outcome is SlotOutcome.ADMITTED]
        # The entries that say that it was taken back come right after that of what took it back.
        self._admissions = {one.report_id: (shared["segment_id"], one.slot) for one in admitted}
        for record in (one for one in admitted if one.report_id == self.report_id):
            self.leaf, self.admitted = record.leaf, proof
            self.place = shared["segment_id"], record.slot
            for decision in own["decisions"]:
                if record.slot in slots_in(decision["slots"]):
                    for one in decision["recipients"]:
                        name = f"{one['party']}/{one['node']}"
                        if one["portions"]:
                            self.holders[name] = Holder(name, tuple(one["portions"]))

    def _of_holder(
        self, entry: MirroredEntry, shared: dict[str, Any], own: dict[str, Any], holder: Holder, proof: Proof
    ) -> None:
        if entry.kind == "ACKNOWLEDGED":
            if self.facts.is_signed(shared, own):
                self._acknowledged(own, holder, proof)
            return
        places = set(_places(own))
        if self.place in places and entry.kind == "DELIVERED":
            holder.sent = holder.sent or proof
        elif self.place in places:
            by = bytes.fromhex(own["report_id"])
            self.by[by] = self._admissions.get(by, self.by.get(by))
            if holder.taken_back is None or entry.kind == "RECALLED":
                holder.taken_back, holder.taken_back_how = proof, entry.kind.lower()
        elif entry.kind == "DELIVERED" and places.intersection(self.by.values()):
            holder.told = holder.told or proof

    def _acknowledged(self, own: dict[str, Any], holder: Holder, proof: Proof) -> None:
        for segment_id, outcomes in decode_ack(bytes.fromhex(own["ack"])).segments:
            for slot, outcome in enumerate(outcomes):
                place = segment_id.hex(), slot
                if outcome == AckOutcome.ACKNOWLEDGED and place == self.place:
                    holder.delivered = holder.delivered or proof
                elif outcome == AckOutcome.ACKNOWLEDGED and place in self.by.values():
                    holder.acknowledged = holder.acknowledged or proof

    def _of_party(self, party: str) -> Iterator[Holder]:
        return (one for one in self.holders.values() if one.party == party)

    def _holder(self, own: dict[str, Any]) -> Holder | None:
        recipient = own["recipient"]
        return self.holders.get(f"{recipient['party']}/{recipient['node']}")

    def attested(self) -> None:
        """Take what officers said of it that counts, and the disputes that are open now."""
        leaf = self.leaf.hex()
        if is_exercise(self.agreement_id):
            # Officers certify and read what is real: no act of theirs is about an exercise.
            return
        for act in handlings_of(self.mirror, self.agreement_id, [self.report_id.hex()]):
            # Whoever acted on it has read it.
            for holder in self._of_party(act.party) if leaf in act.leaves else ():
                holder.read = holder.read or Proof(act.at_ms, act.log_index)
        for act in acts_of(self.mirror, self.agreement_id):
            certifies = act.kind is ActKind.CERTIFY and leaf in act.leaves
            for holder in self._of_party(act.party) if certifies else ():
                holder.destroyed = holder.destroyed or Proof(act.at_ms, act.log_index)
        disputes = held_by(self.mirror.agreement(agreement_of(self.agreement_id)).state, self.report_id, self.leaf)
        for holder in self.holders.values():
            holder.held_by = disputes


def holders_of(mirror: Mirror, report_id: UUID, agreement_id: str = "") -> Holding:
    """Give who holds a report of our party, of one agreement or wherever it is; raises NotFoundError REPORT_UNKNOWN.

    Reads the whole log of an agreement, as far as the mirror has come.
    """
    of = [agreement_id] if agreement_id else [view.agreement_id for view in mirror.agreements()]
    for name in (*of, *map(exercise_of, of)):
        mirror.agreement(agreement_of(name))
        reading = _Reading(mirror, name, report_id.bytes, Facts(mirror.directory, name))
        for entry in mirror.entries_of(name, _KINDS):
            reading.take(entry)
        if reading.admitted is not None:
            reading.attested()
            by = tuple(UUID(bytes=one) for one in reading.by)
            holders = tuple(reading.holders[one] for one in sorted(reading.holders))
            return Holding(name, report_id, reading.leaf, reading.admitted, by, holders)
    raise NotFoundError(
        f"the log has no report {report_id} that {mirror.party} sent, as far as it was fetched",
        what_to_do="comity report list shows those there are.",
        code=ErrorCode.REPORT_UNKNOWN,
    )


def _places(own: dict[str, Any]) -> Iterator[Place]:
    for one in own["segments"]:
        yield from ((one["segment_id"], slot) for slot in slots_in(one["slots"]))
