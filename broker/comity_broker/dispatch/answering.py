"""What a consumer answers: signed acknowledgements, and reports given back (design 03, "Ack"; design 04).

In order, for an acknowledgement: a record that was confirmed before is confirmed again; it parses; the key set is this node's and
counts now; the signature; the agreement is one of its party's; every segment was handed to this consumer, all of one
originator's party, one outcome a slot, none for a slot that was not handed over; the view of the log that it signs is a part of
ours. Answers under one agreement that wait together become one unit. Given back to be handed over later: the lane waits.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from comity.envelope import reasons
from comity.envelope.answering import is_control
from comity.envelope.evidence import Ack, SignedAck, check_ack, decode_ack, verify_ack
from comity.envelope.reasons import RejectReason
from comity.errors import ComityError, ErrorCode, NotFoundError
from comity_broker.access import Caller
from comity_broker.auditlog.kinds import EventKind
from comity_broker.dispatch.answers import PARK_REASON, Acknowledgement, Answered, Answers, ItemAnswer
from comity_broker.dispatch.desk import Desk, Place
from comity_broker.dispatch.frames import AckConfirmed, FrameRefused
from comity_broker.dispatch.gathering import Gathered, check_outcomes, never_parked
from comity_broker.dispatch.handing import skips
from comity_broker.dispatch.logged import Recipient
from comity_broker.dispatch.shared import Shared
from comity_broker.dispatch.withheld import slots_of
from comity_broker.outcomes import settled
from comity_broker.tracing import About

_CONFIRMED_KEPT: Final = 16_384


class Confirmed:
    """Acknowledgements that are durable, by the consumer and the digest of the record; the oldest leave."""

    def __init__(self, capacity: int = _CONFIRMED_KEPT) -> None:
        self._capacity = capacity
        self._known: OrderedDict[tuple[str, str, bytes], AckConfirmed] = OrderedDict()

    def find(self, to: Recipient, digest: bytes) -> AckConfirmed | None:
        """Give what was answered to a record before."""
        return self._known.get((to.node, to.consumer, digest))

    def add(self, to: Recipient, confirmed: AckConfirmed) -> None:
        """Remember what was answered."""
        self._known[to.node, to.consumer, confirmed.record_digest] = confirmed
        while len(self._known) > self._capacity:
            self._known.popitem(last=False)


@dataclass(frozen=True, slots=True)
class SlotName:
    """One report by agreement, segment id and slot."""

    agreement_id: str
    segment_id: bytes
    slot: int


@dataclass(frozen=True, slots=True)
class GivenBack:
    """Reports given back. `retry_after` in seconds; None parks them, for `reason`."""

    slots: Sequence[SlotName]
    retry_after: float | None
    reason: str = ""


class Answering:
    """Takes the answers of one session, one call at a time."""

    def __init__(
        self, shared: Shared, to: Recipient, caller: Caller, desks: Mapping[str, Desk], confirmed: Confirmed
    ) -> None:
        self._shared = shared
        self._to = to
        self._caller = caller
        self._desks = desks
        self._confirmed = confirmed
        self._committed = self._commit if shared.tracer is None else self._traced

    # --- acknowledgements -------------------------------------------------------------------------------------------

    async def acknowledge(self, signed: Sequence[SignedAck]) -> list[AckConfirmed | FrameRefused]:
        """Take acknowledgements; give what is answered, once all of it is durable."""
        answers: list[AckConfirmed | FrameRefused] = []
        gathered: dict[str, Gathered] = {}
        for one in signed:
            digest = hashlib.sha384(one.record).digest()
            known = self._confirmed.find(self._to, digest)
            if known is not None:
                answers.append(known)
                continue
            try:
                await self._gather(gathered, one, digest)
            except ComityError as error:
                self._shared.rejections.rejected(self._caller, "", digest, error)
                self._refused("", error)
                answers.append(FrameRefused(error, digest))
        for each in gathered.values():
            answers += await self._committed(each)
        return answers

    async def _gather(self, gathered: dict[str, Gathered], signed: SignedAck, digest: bytes) -> None:
        ack = self._verified(signed)
        desk = self._desk(ack.agreement_id)
        places: dict[bytes, Place] = {}
        for segment_id, _ in ack.segments:
            place = await desk.place(self._shared.reader, segment_id)
            if place is not None:
                places[segment_id] = place
        check_ack(
            ack,
            agreement_id=desk.agreement_id,
            key_set=ack.key_set,
            consumer=self._to.consumer,
            slots=lambda segment_id: places[segment_id].slots if segment_id in places else None,
        )
        parties = {place.cursor.party for place in places.values()}
        reasons.require(len(parties) == 1, RejectReason.ACK_SEGMENT)
        for segment_id, outcomes in ack.segments:
            check_outcomes(places[segment_id], outcomes)
        await self._shared.logs.check_seen(desk.agreement_id, ack.agreement_log_seen)
        one = gathered.setdefault(desk.agreement_id, Gathered(desk))
        one.records.append((digest, Acknowledgement(parties.pop(), signed)))
        for segment_id, outcomes in ack.segments:
            one.take_outcomes(places[segment_id], segment_id, outcomes)
            # A record may speak of 16,384 reports: what is urgent passes between its segments.
            await asyncio.sleep(0)

    def _verified(self, signed: SignedAck) -> Ack:
        claimed = decode_ack(signed.record)
        record, key = self._shared.keys.signing_node(claimed.key_set, claimed.suite, self._shared.clock.now_ms())
        mine = (record.party, record.node) == (self._to.party, self._to.name)
        reasons.require(mine, RejectReason.ACK_KEY_SET)
        return verify_ack(signed, key.suite, key.public)

    async def _traced(self, one: Gathered) -> list[AckConfirmed | FrameRefused]:
        tracer = self._shared.tracer
        if tracer is None:
            return await self._commit(one)
        with tracer.span("acknowledgement", About(one.desk.agreement_id, self._to.party, reports=one.settles)):
            return await self._commit(one)

    async def _commit(self, one: Gathered) -> list[AckConfirmed | FrameRefused]:
        one.settle_told()
        settles = one.settles
        try:
            answered = await self._submit(one.desk, [record for _, record in one.records], one.answers())
        except ComityError as error:
            one.untold()
            self._refused(one.desk.agreement_id, error)
            return [FrameRefused(error, digest, one.desk.agreement_id) for digest, _ in one.records]
        self._shared.counts.acknowledged(one.desk.agreement_id, self._to.party, settles)
        await self._take(one, answered)
        answers: list[AckConfirmed | FrameRefused] = []
        for number, (digest, _) in enumerate(one.records):
            confirmed = AckConfirmed(digest, answered.first_log_index + number, one.desk.agreement_id)
            self._confirmed.add(self._to, confirmed)
            answers.append(confirmed)
        return answers

    # --- given back -------------------------------------------------------------------------------------------------

    async def give_back(self, frame: GivenBack) -> FrameRefused | None:
        """Take reports back, to be handed over again later or parked; give the refusal where it is refused."""
        gathered: dict[str, Gathered] = {}
        try:
            for name in frame.slots:
                desk = self._desk(name.agreement_id)
                place = await desk.place(self._shared.reader, name.segment_id)
                if place is None or not 0 <= name.slot < place.slots:
                    raise NotFoundError("no such report was handed to this consumer", code=ErrorCode.ITEM_UNKNOWN)
                if frame.retry_after is None and is_control(place.cursor.row.key.transport_class):
                    raise never_parked()
                one = gathered.setdefault(name.agreement_id, Gathered(desk))
                one.take_back(place, name.segment_id, name.slot)
            for one in gathered.values():
                if frame.retry_after is None:
                    await self._park(one, frame.reason or PARK_REASON)
                else:
                    await self._retry(one, frame.retry_after)
        except ComityError as error:
            self._refused("", error)
            return FrameRefused(error)
        return None

    async def _park(self, one: Gathered, reason: str) -> None:
        if not any(item.park | item.replay_park for item in one.items.values()):
            return
        one.settle_told()
        await self._take(one, await self._submit(one.desk, [], one.answers(), reason))

    async def _retry(self, one: Gathered, after: float) -> None:
        when = self._shared.clock.monotonic() + after
        not_before = self._shared.clock.now_ms() + int(after * 1000)
        items: list[ItemAnswer] = []
        for item in one.items.values():
            cursor = item.cursor
            replay = cursor.replays.get(item.item)
            for reference, slots in ((item.reference, item.park), (replay, item.replay_park)):
                given = 0 if reference is None else cursor.give_back(reference, slots, when)
                if reference is not None and given:
                    retried = {slot: (reference.attempt(slot), not_before) for slot in slots_of(given)}
                    lane = cursor.row.lane
                    items.append(ItemAnswer(lane, cursor.party, item.item, item.segment_id, None, retried=retried))
        if items:
            await self._submit(one.desk, [], items)

    # --- the unit ---------------------------------------------------------------------------------------------------

    async def _submit(
        self,
        desk: Desk,
        records: Sequence[Acknowledgement],
        items: Sequence[ItemAnswer],
        park_reason: str = PARK_REASON,
    ) -> Answered:
        shared = self._shared
        answers = Answers(
            agreement_id=desk.agreement_id,
            to=self._to,
            acknowledgements=records,
            items=items,
            now_ms=shared.clock.now_ms(),
            key_log_size=shared.keys.size,
            park_reason=park_reason,
        )
        unit = answers.unit(shared.logs.log(desk.agreement_id), shared.random_bytes)
        answered = settled(await shared.journal.submit(unit)).result
        shared.clock.committed(answered.logged.at_ms)
        return answered

    async def _take(self, one: Gathered, answered: Answered) -> None:
        parked_at = {
            party: log_index for (kind, party), log_index in answered.logged.places.items() if kind is EventKind.PARKED
        }
        for cursor, reference, found in one.take(parked_at):
            await asyncio.sleep(0)
            if not found:
                continue
            row = await self._shared.shelf.segment(one.desk.agreement_id, reference.item)
            reports = await self._shared.reader.reports_of(one.desk.agreement_id, [reference.item])
            by_slot = {report.slot: report for report in reports.get(reference.item, ())}
            cursor.skips.extend(skips(reference, row, by_slot, found))

    def _refused(self, agreement_id: str, error: ComityError) -> None:
        self._shared.counts.answer_refused((agreement_id, self._to.party, error.code.name))

    def _desk(self, agreement_id: str) -> Desk:
        desk = self._desks.get(agreement_id)
        if desk is None:
            raise NotFoundError(
                f"there is no agreement {agreement_id} here for this party", code=ErrorCode.AGREEMENT_UNKNOWN
            )
        return desk
