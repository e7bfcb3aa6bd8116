"""Segments as admission would have stored them, for tests of delivery: real bytes, no cryptography.

A segment holds RESTRICTED reports of XAR/n1 with a stanza for XBO/n1, which the agreement of `builders_dispatch` permits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from builders_dispatch_store import INCARNATION
from builders_identity import HOUR, NOW, Held, Nation, Seeded, nation
from comity.envelope.core import Core, LogSeen, encode_core
from comity.envelope.evidence import BatchSignature, SlotCode, encode_batch_signature
from comity.envelope.forwarding import prune
from comity.envelope.manifest import Manifest, PortionDigest, StanzaRow, encode_manifest, row_key
from comity.envelope.packets import packet_id, stanza_size
from comity.envelope.receipts import Receipt, encode_receipt
from comity.envelope.segment import SegmentHead, encode_segment, encode_whole_item, parse_segment
from comity_broker.access import Caller
from comity_broker.auditlog.events import audit_failure
from comity_broker.auditlog.log import Log
from comity_broker.dispatch.packets import encode_named, packets_named
from comity_broker.dispatch.withheld import encode_due, encode_withheld
from comity_broker.entries import Salts, add_events
from comity_broker.storage.protocol import (
    BatchRow,
    InboxRow,
    LaneKey,
    LaneRow,
    PacketRow,
    ReportRow,
    Rows,
    SegmentRow,
)
from comity_policy.facts import Addressee, Kind, Originator, PortionMarking, Precedence, Profile
from comity_policy.marking import Label

AGREEMENT = "XAR-XBO-1"
EPOCH = bytes(range(16, 32))
LABEL = Label("XAR", "RESTRICTED", releasable_to=frozenset({"XAR", "XBO"}))


@dataclass(frozen=True)
class Cast:
    """The nations and nodes of every world, made once."""

    xar: Nation
    xbo: Nation
    sender: Held
    reader: Held
    other: Held
    hub: Held


@lru_cache(maxsize=1)
def cast() -> Cast:
    xar, xbo = nation("XAR"), nation("XBO")
    accredited = {"accreditation": xbo.attestation("SECRET")}
    sender = xar.node("n1", region="xar", accreditation=xar.attestation("SECRET"))
    reader = xbo.node("n1", region="xbo", **accredited)
    other = xbo.node("n2", region="xbo", **accredited)
    return Cast(xar, xbo, sender, reader, other, xar.broker())


def fingerprint_of(held: Held) -> bytes:
    return held.decapsulator.fingerprint


def caller_of(held: Held) -> Caller:
    return Caller(held.identity, frozenset({"node"}), bytes(48), held.tls_fingerprint)


@dataclass(frozen=True)
class Placement:
    """What dispatch is told of a commit."""

    row: SegmentRow
    lane: LaneRow
    inboxes: tuple[InboxRow, ...]


@dataclass(frozen=True)
class Made:
    """One segment that was admitted. `numbers` are the origin_sequence of each slot, `leaves` their leaves."""

    segment_id: bytes
    item: int
    lane: int
    first: int
    leaves: tuple[bytes, ...]
    data: bytes
    log_index: int
    batch: bytes
    placed: Placement

    def number(self, slot: int) -> int:
        return self.first + slot


@dataclass
class Draft:
    """What a segment is to be: slots that are due for XBO/n1 (None: all) and for XBO/n2, refused ones, times, portions withheld by slot."""

    count: int = 1
    transport_class: int = 4
    epoch: bytes = EPOCH
    node: str = "XAR/n1"
    due: Sequence[int] | None = None
    also_due: Sequence[int] = ()
    refused: Sequence[int] = ()
    withheld: Mapping[int, Sequence[int]] = field(default_factory=dict)
    not_before: Mapping[int, int] = field(default_factory=dict)
    expires_at: Mapping[int, int] = field(default_factory=dict)
    portions: int = 1
    packet: bytes = b"packet one"


@dataclass
class Maker:
    """Makes segments of one agreement. `digest` is the agreement's, `key_set` the sender's."""

    log: Log
    digest: bytes
    key_set: bytes
    random: Seeded
    people: Cast

    def admission(self, draft: Draft, key: LaneKey, first: int, now_ms: int) -> Callable:
        """Give the build that admits a segment whose first number is `first`."""
        data, cores = self._segment(draft, first, now_ms)
        whole = parse_segment(data)
        stored = prune(data, draft.refused) if draft.refused else data
        packet = packet_id(draft.packet)
        record = encode_batch_signature(BatchSignature(1, AGREEMENT, self.key_set, 1, b"signature"))
        salts = Salts.draw(self.log, 1, self.random)
        due = set(range(draft.count)) if draft.due is None else set(draft.due)

        def build(head, known):
            lane = known.lanes.get(key) or LaneRow(key, head.lane_next, 0)
            admitted = [slot for slot in range(draft.count) if slot not in draft.refused]
            grown = replace(
                head,
                broker_time=max(head.broker_time, now_ms),
                item_next=head.item_next + 1,
                agreement_sequence_next=head.agreement_sequence_next + len(admitted),
                lane_next=max(head.lane_next, lane.lane + 1),
            )
            rows = Rows(grown, None)
            add_events(rows, self.log, [audit_failure(time=NOW, reason="stands for SUBMIT_ACCEPTED")], salts)
            receipt = Receipt(
                self.log.origin,
                AGREEMENT,
                whole.segment_id,
                head.agreement_sequence_next,
                len(admitted),
                head.leaf_next,
                rows.entries[0].leaf_hash,
                NOW,
                NOW,
                refusals=tuple((slot, SlotCode.POLICY) for slot in sorted(draft.refused)),
            )
            row = SegmentRow(
                head.item_next,
                whole.segment_id,
                stored,
                hashlib.sha384(record).digest(),
                0,
                b"",
                lane.lane,
                draft.transport_class,
                first,
                draft.count,
                head.leaf_next,
                now_ms,
                max(core.expires_at for core in cores),
                head.state_epoch,
                encode_receipt(receipt),
                min((cores[slot].expires_at for slot in admitted), default=0),
                max((cores[slot].not_before for slot in admitted), default=0),
                encode_named(packets_named(stored)),
            )
            rows.segments.append(row)
            for number, slot in enumerate(admitted):
                core = cores[slot]
                rows.reports.append(
                    ReportRow(
                        core.report_id,
                        whole.leaves[slot],
                        row.item,
                        slot,
                        core.origin_sequence,
                        head.agreement_sequence_next + number,
                        1,
                        core.not_before,
                        core.expires_at,
                        head.leaf_next,
                    )
                )
            for node, slots in (("XBO/n1", due - set(draft.refused)), ("XBO/n2", set(draft.also_due))):
                less = {slot: draft.withheld[slot] for slot in draft.withheld if slot in slots}
                rows.inboxes.append(
                    InboxRow(node, lane.lane, row.item, encode_due(slots, draft.count), encode_withheld(less))
                )
            rows.lanes.append(lane._replace(last_origin_sequence=first + draft.count - 1))
            rows.batches.append(BatchRow(row.batch, record))
            if packet not in known.packets:
                rows.packets.append(
                    PacketRow(packet, draft.packet, fingerprint_of(self.people.reader), NOW + 30 * 24 * HOUR)
                )
            placed = Placement(row, rows.lanes[0], tuple(rows.inboxes))
            rows.result = Made(
                whole.segment_id, row.item, lane.lane, first, whole.leaves, stored, head.leaf_next, record, placed
            )
            return rows

        return build

    def _segment(self, draft: Draft, first: int, now_ms: int) -> tuple[bytes, list[Core]]:
        profile = Profile(
            suite=1,
            originator=Originator("XAR", "n1"),
            key_set=self.key_set,
            agreement_id=AGREEMENT,
            agreement_digest=self.digest,
            statements_seen=3,
            precedence=Precedence(max(1, draft.transport_class)),
            exercise=False,
            kind=Kind.RECALL if draft.transport_class == 0 else Kind.REPORT,
            categories=("terrorism",),
            purpose="counter-terrorism",
            emergency=b"",
            addressees=(Addressee("XBO"),),
            approvals_required=0,
            portions=(PortionMarking(LABEL),) * draft.portions,
        )
        cores = [self._core(draft, profile, first + slot, slot, now_ms) for slot in range(draft.count)]
        items = [self._item(draft, core) for core in cores]
        head = SegmentHead(AGREEMENT, draft.epoch, draft.transport_class, first)
        return encode_segment(head, items), cores

    def _core(self, draft: Draft, profile: Profile, number: int, slot: int, now_ms: int) -> Core:
        raw = bytearray(
            hashlib.sha256(
                draft.node.encode() + draft.epoch + bytes((draft.transport_class,)) + number.to_bytes(8, "big")
            ).digest()[:16]
        )
        raw[6], raw[8] = 0x70 | raw[6] & 0x0F, 0x80 | raw[8] & 0x3F
        created = now_ms
        return Core(
            report_id=bytes(raw),
            origin_epoch=draft.epoch,
            origin_sequence=number,
            created_at=created,
            not_before=max(created, draft.not_before.get(slot, created)),
            expires_at=draft.expires_at.get(slot, created + 24 * HOUR),
            agreement_log_seen=LogSeen(INCARNATION, 1, bytes(32)),
            key_log_seen=LogSeen(INCARNATION, 1, bytes(32)),
            refers_to=(),
            profile=profile,
        )

    def _item(self, draft: Draft, core: Core) -> bytes:
        bodies = [b"ciphertext %d of %d" % (index, core.origin_sequence) for index in range(draft.portions)]
        indices = tuple(range(draft.portions))
        stanza = bytes(stanza_size(draft.portions))
        digest = hashlib.sha384(stanza).digest()
        rows = [
            StanzaRow(held.identity.party, fingerprint_of(held), packet_id(packet), indices, digest)
            for held, packet in ((self.people.sender, b"packet own"), (self.people.reader, draft.packet))
        ]
        manifest = Manifest(
            encode_core(core),
            tuple(PortionDigest(hashlib.sha384(body).digest(), len(body)) for body in bodies),
            tuple(sorted(rows, key=row_key)),
        )
        return encode_whole_item(encode_manifest(manifest), [stanza] * len(rows), bodies)
