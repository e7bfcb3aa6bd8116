"""From a decided segment to the unit that admits it: one transaction for reports, inboxes, log entry and receipt.

What only the commit can know is settled here, in order: a segment known whole gets its stored receipt again; a node begins no
lane beyond its number of them; a lane has no gap; a report known under the same leaf is a duplicate, under another ID_REUSED; a number at or below the lane's highest is
REPLAYED; where a quota counts the report, it is decided once more with what its window holds by then (`quotas`), and reserves
room when it is admitted. Refused and duplicate slots are stored as their leaves, so the segment's id stays. A segment of which nothing entered
is stored too, all leaves: its numbers are explained to every recipient. Pure: salts are drawn before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from comity.envelope.core import Core
from comity.envelope.forwarding import prune
from comity.envelope.limits import SALT
from comity.envelope.receipts import Receipt, SlotOutcome, SlotRecord, encode_receipt, encode_slot_record
from comity.errors import ComityError, ConflictError, ErrorCode, MalformedError
from comity.suites import RandomBytes
from comity_broker.admission import Admissible
from comity_broker.auditlog.bodies import Caller as LogCaller
from comity_broker.auditlog.bodies import Event
from comity_broker.auditlog.kinds import BODY_LIMIT, SHARED
from comity_broker.auditlog.log import Log, record_tree
from comity_broker.auditlog.submissions import SegmentAdmission, submitted
from comity_broker.deciding import Candidate
from comity_broker.dispatch.packets import encode_named
from comity_broker.dispatch.withheld import encode_due, encode_withheld
from comity_broker.entries import Salts, add_events
from comity_broker.naming import named_uploads, upload_keys
from comity_broker.quotas import Tally
from comity_broker.recalling import words_on
from comity_broker.recording import decisions_of
from comity_broker.settling import settle
from comity_broker.slots import SlotDecision, SlotRefused, rows_of
from comity_broker.storage.protocol import (
    BatchRow,
    BodyRow,
    EntryRow,
    Head,
    InboxRow,
    Known,
    LaneKey,
    LaneRow,
    PacketRow,
    Reads,
    ReportOutcome,
    ReportRow,
    Rows,
    SegmentRow,
    Unit,
)
from comity_policy.decision import ReportDecision

_GAP_RETRY_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Admitted:
    """What a commit made of a segment: its row, which slots were refused and why, and whether it was there before.

    `took_back` says that it took reports back and raised the epoch. `entry` and `bodies` (the shared part and the sender's own) are
    those of the entry, `lane` and `inboxes` where the segment stands, where it is new.
    """

    row: SegmentRow
    refused: Mapping[int, SlotRefused]
    known: bool
    admitted: int
    took_back: bool = False
    entry: EntryRow | None = None
    bodies: tuple[BodyRow, ...] = ()
    lane: LaneRow | None = None
    inboxes: tuple[InboxRow, ...] = ()


@dataclass(frozen=True, slots=True)
class Draws:
    """The random bytes of one admission: slot records' salts, and those of as many entries as there may be."""

    records: bytes
    entries: bytes

    @classmethod
    def draw(cls, admissible: Admissible, log: Log, random_bytes: RandomBytes) -> Draws:
        """Draw as much as any outcome may take: a slot may add an ID_REUSED entry, or those of what it takes back."""
        slots, told = len(admissible.slots), sum(len(one.recipients) for one in admissible.takings.values())
        return cls(random_bytes(SALT * slots), random_bytes(SALT * (1 + len(log.parties)) * (1 + slots + told)))


def unit_of(
    admissible: Admissible, log: Log, caller: LogCaller, draws: Draws, *, lanes_per_node: int
) -> Unit[Admitted]:
    """Give the unit that admits this segment; a node gets at most `lanes_per_node` lanes of an agreement."""
    segment = admissible.segment
    node = f"{admissible.signed_by.party}/{admissible.signed_by.node}"
    lane = LaneKey(node, segment.origin_epoch, segment.transport_class)

    def build(head: Head, known: Known) -> Rows[Admitted]:
        before = known.segments.get(segment.segment_id)
        if before is not None:
            return Rows(head, Admitted(before, {}, known=True, admitted=0))
        if lane not in known.lanes and known.lane_counts[node] >= lanes_per_node:
            raise _too_many_lanes(node, segment.agreement_id, lanes_per_node)
        return _Building(admissible, log, caller, draws).rows(head, known, lane)

    return Unit(
        shard=segment.log_name,
        build=build,
        reads=Reads(
            report_ids=[one.item.core.report_id for one in admissible.slots],
            segment_ids=[segment.segment_id],
            lanes=[lane],
            lanes_of=[node],
            packets=list(admissible.packets),
            holdings=words_on(admissible.takings),
            quotas=[rule.key(admissible.decided_at) for rule in admissible.quotas],
            uploads=upload_keys(node, (one.item for one in admissible.slots)),
        ),
        urgency=segment.transport_class,
        expected_epoch=admissible.epoch,
        beside=admissible.beside,
    )


class _Building:
    """One run of the build function."""

    def __init__(self, admissible: Admissible, log: Log, caller: LogCaller, draws: Draws) -> None:
        self._of = admissible
        self._log = log
        self._caller = caller
        self._draws = draws

    def rows(self, head: Head, known: Known, key: LaneKey) -> Rows[Admitted]:
        segment = self._of.segment
        lane = known.lanes.get(key) or LaneRow(key, head.lane_next, 0)
        if segment.first_origin_sequence > lane.last_origin_sequence + 1 and not _may_jump(head, known.lanes.get(key)):
            raise ConflictError(
                f"origin_sequence {segment.first_origin_sequence} leaves a gap: this lane has come to "
                f"{lane.last_origin_sequence}",
                what_to_do="Send what is missing first, in the order of its numbers.",
                code=ErrorCode.SEQUENCE_GAP,
                retry_after_seconds=_GAP_RETRY_SECONDS,
            )
        now = max(head.broker_time, self._of.decided_at)
        tally = Tally(self._of.quotas, [rule.key(self._of.decided_at) for rule in self._of.quotas], known.quotas, now)
        settled = settle(self._of, self._caller, known, lane, tally, now)
        duplicates, refused, reused = settled.duplicates, settled.refused, settled.reused
        admitted = [one for one in settled.slots if one.slot not in refused and one.slot not in duplicates]
        uploads = named_uploads(key.node, [one.item for one in admitted], known)
        first_sequence = head.agreement_sequence_next
        decisions, index_of = decisions_of(self._of, settled.slots, duplicates.keys() | refused.keys())
        records = record_tree(
            [encode_slot_record(_record(one, duplicates, refused, index_of.get(one.slot, 0))) for one in settled.slots],
            lambda _: self._draws.records,
        )
        admission = SegmentAdmission(
            time=now,
            received_at=self._of.received_at,
            key_log_size=self._of.key_log_size,
            state_epoch=head.state_epoch,
            transport_class=segment.transport_class,
            origin_epoch=segment.origin_epoch,
            first_origin_sequence=segment.first_origin_sequence,
            segment_id=segment.segment_id,
            slots=len(self._of.slots),
            first_agreement_sequence=first_sequence,
            records=records.root,
            agreement_digest=self._of.agreement_digest,
            under=self._of.under,
            duplicates=tuple(sorted(duplicates.items())),
            refusals=tuple((slot, one.code) for slot, one in sorted(refused.items())),
        )
        grown = replace(
            head,
            broker_time=now,
            item_next=head.item_next + 1,
            agreement_sequence_next=first_sequence + len(admitted),
            lane_next=max(head.lane_next, lane.lane + 1),
        )
        takings = [(one, self._of.takings[one.slot]) for one in admitted if one.slot in self._of.takings]
        rows: Rows[Admitted] = Rows(grown.raised() if takings else grown, _NOTHING)
        events: list[Event] = [_bounded(submitted(admission, self._caller, decisions)), *reused]
        for one, taking in takings:
            rows.holdings.append(taking.word(head.leaf_next + len(events)))
            events += taking.events(one.item, self._caller, now)
        salts = Salts(self._draws.entries[: SALT * (1 + len(self._log.parties)) * len(events)])
        add_events(rows, self._log, events, salts, {0: records})
        receipt = encode_receipt(
            Receipt(
                origin=self._log.origin,
                agreement_id=segment.agreement_id,
                segment_id=segment.segment_id,
                first_agreement_sequence=first_sequence,
                count=len(admitted),
                log_index=head.leaf_next,
                leaf_hash=rows.entries[0].leaf_hash,
                received_at=self._of.received_at,
                admitted_at=now,
                duplicates=admission.duplicates,
                refusals=admission.refusals,
            )
        )
        row = self._segment_row(before=head, lane=lane.lane, now=now, receipt=receipt, admitted=admitted)
        self._report_rows(rows, row, admitted, first_sequence)
        self._inbox_rows(rows, row, admitted)
        rows.segments.append(row)
        ended = max(lane.last_origin_sequence, _last(self._of))
        rows.lanes.append(lane._replace(last_origin_sequence=ended, restored=0))
        rows.quotas.extend(tally.reserved)
        rows.uploads.extend(uploads)
        rows.batches.append(BatchRow(row.batch, self._of.batch))
        rows.packets.extend(self._packet_rows(known, row.expires_at))
        rows.result = Admitted(
            row,
            refused,
            known=False,
            admitted=len(admitted),
            took_back=bool(takings),
            entry=rows.entries[0],
            bodies=tuple(
                one
                for one in rows.bodies
                if one.log_index == row.log_index and one.part in {SHARED, self._caller.party}
            ),
            lane=rows.lanes[0],
            inboxes=tuple(rows.inboxes),
        )
        return rows

    def _segment_row(
        self, *, before: Head, lane: int, now: int, receipt: bytes, admitted: Sequence[SlotDecision]
    ) -> SegmentRow:
        segment = self._of.segment
        pruned = set(range(len(segment.items))) - {one.slot for one in admitted}
        return SegmentRow(
            item=before.item_next,
            segment_id=segment.segment_id,
            data=prune(segment.data, pruned) if pruned else segment.data,
            batch=hashlib.sha384(self._of.batch).digest(),
            batch_index=self._of.batch_index,
            batch_path=b"".join(self._of.batch_path),
            lane=lane,
            transport_class=segment.transport_class,
            first_origin_sequence=segment.first_origin_sequence,
            slots=len(segment.items),
            log_index=before.leaf_next,
            admitted_at=now,
            expires_at=max(one.item.core.expires_at for one in self._of.slots),
            epoch=before.state_epoch,
            receipt=receipt,
            expires_first=min((one.item.core.expires_at for one in admitted), default=0),
            not_before_last=max((put_off_until(one.item.core) for one in admitted), default=0),
            packets=encode_named((row.fingerprint, row.packet_id) for row in rows_of(one.item for one in admitted)),
        )

    def _report_rows(
        self, rows: Rows[Admitted], row: SegmentRow, admitted: Sequence[SlotDecision], first_sequence: int
    ) -> None:
        for number, one in enumerate(admitted):
            core = one.item.core
            # By place: names cost as much again, for each report.
            rows.reports.append(
                ReportRow(
                    core.report_id,
                    one.item.leaf,
                    row.item,
                    one.slot,
                    core.origin_sequence,
                    first_sequence + number,
                    ReportOutcome.ADMITTED,
                    put_off_until(core),
                    core.expires_at,
                    row.log_index,
                )
            )

    def _inbox_rows(self, rows: Rows[Admitted], row: SegmentRow, admitted: Sequence[SlotDecision]) -> None:
        given: dict[str, set[bytes]] = {}
        for candidate in self._of.candidates:
            given.setdefault(candidate.name, set()).update(candidate.record.fingerprints)
        for candidate in self._of.candidates:
            due: list[int] = []
            withheld: dict[int, tuple[int, ...]] = {}
            before: SlotDecision | None = None
            lacking: tuple[int, ...] | None = None
            for one in admitted:
                if before is None or not _alike(before, one):
                    before, lacking = one, _lacking(one, candidate, given[candidate.name])
                if lacking is not None:
                    due.append(one.slot)
                if lacking:
                    withheld[one.slot] = lacking
            rows.inboxes.append(
                InboxRow(candidate.name, row.lane, row.item, encode_due(due, row.slots), encode_withheld(withheld))
            )

    def _packet_rows(self, known: Known, expires_at: int) -> list[PacketRow]:
        recipients = {row.packet_id: row.fingerprint for row in rows_of(one.item for one in self._of.slots)}
        return [
            PacketRow(packet, data, recipients[packet], expires_at)
            for packet, data in self._of.packets.items()
            if packet not in known.packets
        ]


def put_off_until(core: Core) -> int:
    """Give when a report may be handed over, Unix ms; 0 at once: no two clocks agree, and what nobody put off waits for none."""
    return core.not_before if core.not_before > core.created_at else 0


def _alike(one: SlotDecision, other: SlotDecision) -> bool:
    """Say whether two slots are for the same keys, by the same decision."""
    layout = one.item.manifest.layout
    return layout is not None and layout is other.item.manifest.layout and one.decision is other.decision


def _lacking(one: SlotDecision, candidate: Candidate, keys: Collection[bytes]) -> tuple[int, ...] | None:
    """Give the portions of a slot that a node does not get; None where it gets nothing of it."""
    if not any(row.fingerprint in keys for row in one.item.manifest.rows):
        return None
    kept = _of_party(one.decision, candidate.record.party)
    return tuple(index for index in range(len(one.item.core.profile.portions)) if index not in kept)


def _bounded(event: Event) -> Event:
    """Give an event whose bodies everybody reads; raises MalformedError for a larger one, of which nothing is stored."""
    largest = max(len(one) for one in (event.shared, *event.own.values()))
    if largest > BODY_LIMIT:
        raise MalformedError(
            f"what was decided of this segment takes {largest} bytes of the log, at most {BODY_LIMIT}",
            what_to_do="Send fewer reports at a time, or reports that are more alike.",
            code=ErrorCode.LIMIT_EXCEEDED,
        )
    return event


def _record(
    one: SlotDecision, duplicates: Mapping[int, int], refused: Mapping[int, SlotRefused], decision: int
) -> SlotRecord:
    outcome = SlotOutcome.ADMITTED
    code = None
    if one.slot in duplicates:
        outcome = SlotOutcome.DUPLICATE
    elif one.slot in refused:
        outcome, code = SlotOutcome.REFUSED, refused[one.slot].code
    return SlotRecord(one.slot, outcome, one.item.leaf, one.item.core.report_id, code, decision)


def _of_party(decision: ReportDecision, party: str) -> set[int]:
    return {index for (of, _), indices in decision.permitted.items() if of == party for index in indices}


def _last(of: Admissible) -> int:
    return of.segment.first_origin_sequence + len(of.segment.items) - 1


def _may_jump(head: Head, lane: LaneRow | None) -> bool:
    """Say whether numbers of a lane may have been lost by a restore, since it has not gone on yet (docs/adr/0023)."""
    return bool(lane.restored) if lane is not None else head.log_first > 0


def _too_many_lanes(node: str, agreement_id: str, lanes_per_node: int) -> ComityError:
    return MalformedError(
        f"{node} has {lanes_per_node} lanes under {agreement_id}, and this would begin another",
        what_to_do="Go on with a lane that is there, or have the broker's operator raise lanes_per_node.",
        code=ErrorCode.LIMIT_EXCEEDED,
    )


_NOTHING: Final = Admitted(
    SegmentRow(0, b"", b"", b"", 0, b"", 0, 0, 0, 0, 0, 0, 0, 0, b"", 0, 0, b""), {}, known=False, admitted=0
)
