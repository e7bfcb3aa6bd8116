"""Sending: from reports to verified receipts, in constant memory, with one signature in flight (designs 03, 04 and 08).

    report -> egress decision -> open run of its lane -> sealed -> signed with all that is sealed -> outbox -> Publish -> receipt

Rules in order:
1. What may go is decided before it is sealed, sealed before it is stored, and stored before it is sent (`pipeline`).
2. What is urgent waits for nobody and has a connection of its own.
3. A receipt counts when it is verified (`receipting`). A refused report never takes its neighbours with it. Where a recipient is
   late with its acknowledgements, which the broker alone knows, the report is sealed once more for the others.
4. A segment refused whole and for good breaks its lane: what is behind it cannot go either. The lane is left for a new
   epoch, and reports that somebody waits for are decided and sealed once more, after a refresh. What an earlier process
   stored is lost then, with nobody to tell but the node's people: it raises an alarm.
5. What officers approve is sealed alone, waits on disk until enough of them have, and is released then (`awaiting`): by whoever
   asked for it, or by the sender that finds it.
6. Whoever waits longer than `patience_seconds` while the broker cannot take it is told so; the report stays in the outbox and
   goes when it can.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from itertools import count
from typing import Final
from uuid import UUID

from comity.attachment import Tell, untold
from comity.envelope.profile import is_urgent, transport_class
from comity.errors import ComityError, ErrorCode, UnreachableError
from comity.identity.names import Identity
from comity.node.alarms import AlarmKind
from comity.node.approving import Approver
from comity.node.attaching import Attaching
from comity.node.awaited import WaitingReport
from comity.node.awaiting import Awaiting
from comity.node.background import Background
from comity.node.backoff import Backoff
from comity.node.cleared import Cleared
from comity.node.clock import NowMs
from comity.node.collecting import Collector, Pending, each
from comity.node.connection import Connection
from comity.node.egress import Egress
from comity.node.mirror import Mirror
from comity.node.outbox import Lane, Outbox, StoredSegment
from comity.node.own_keys import OwnKeys
from comity.node.pipeline import Pipeline
from comity.node.publishing import Outgoing, Publisher
from comity.node.receipting import Answer, Receipting
from comity.node.receipts import Receipt, Sent
from comity.node.republishing import Republishing
from comity.node.resealing import LANE_BROKE, Resealing
from comity.node.sealing import Sealed, Sealing
from comity.node.stale import refresh_if_stale
from comity.report import Report
from comity.suites import RandomBytes
from comity.v1 import exchange_pb2

PATIENCE_SECONDS: Final = 30.0
IN_FLIGHT: Final = 1024
IN_FLIGHT_BYTES: Final = 32 << 20
_SLICE: Final = 32
_LOOK_SECONDS: Final = 0.05


class Sender:
    """Sends for one node; owns the outbox it is given until `close`. Made inside a running event loop."""

    def __init__(
        self,
        outbox: Outbox,
        *,
        identity: Identity,
        mirror: Mirror,
        egress: Egress,
        connections: tuple[Connection, Connection],
        keys: OwnKeys,
        refresh: Callable[[], Awaitable[None]],
        now_ms: NowMs,
        random_bytes: RandomBytes,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._outbox = outbox
        self._mirror = mirror
        self._egress = egress
        self._refresh = refresh
        self._now_ms = now_ms
        self._patience = patience_seconds
        self._receipting = Receipting(mirror, identity.party)
        self._background = Background(self._fail)
        self._failure: ComityError | None = None
        self._sealing = Sealing(
            identity, keys.recipient, outbox.origin_epoch, outbox.numbers(), now_ms=now_ms, random_bytes=random_bytes
        )
        self._publishers = {
            urgent: Publisher(
                connection,
                answered=self._answered,
                ended=self.ended,
                troubled=self.troubled,
                backoff=Backoff(random_bytes),
                restoring=lambda: self._republishing,
            )
            for urgent, connection in zip((False, True), connections, strict=True)
        }
        self._pipeline = Pipeline(
            self._sealing,
            outbox,
            signer=keys.signer,
            publisher=self._publishers.__getitem__,
            handed_back=self._handed_back,
        )
        self._republishing = Republishing(mirror, outbox, self._pipeline, refresh, self._pipeline.send_first)
        self._attaching = Attaching(
            outbox, self, self._sealing, self._pipeline, connections=connections, random_bytes=random_bytes
        )
        self._awaiting = Awaiting(
            outbox,
            mirror=mirror,
            egress=egress,
            sealing=self._sealing,
            pipeline=self._pipeline,
            attaching=self._attaching,
            opener=keys.opener,
            now_ms=now_ms,
            random_bytes=random_bytes,
        )
        self._collectors: set[Collector] = set()
        self.released: tuple[UUID, ...] = ()
        self._resealing = Resealing(
            renew=self._renew, submit=lambda one: self._submit(one, flush=True), spawn=self._background.start
        )

    async def start(self) -> None:
        """Send again what nobody answered, and begin to take reports. Sealed bytes whose reports expired are let go."""
        await self._awaiting.leave_dead_lanes()
        await self._pipeline.on_disk(self._outbox.drop_expired, self._now_ms())
        await self._republishing.look()
        unanswered = await self._pipeline.on_disk(self._outbox.unanswered)
        waiting = await self._awaiting.segment_ids()
        self._pipeline.send_again(await self._attaching.start(self._background, unanswered, waiting))
        self._pipeline.start(self._background)
        for urgent, publisher in self._publishers.items():
            self._background.start(publisher.run(), "publish urgent" if urgent else "publish")
        self.released = await self._awaiting.release_ready()
        self._background.start(self._awaiting.keep_releasing(), "release approved")

    async def close(self) -> None:
        """Stop. What is stored and unanswered is sent by whoever opens the outbox next."""
        await self._background.close()
        await self._awaiting.close()
        await self._attaching.close()
        await self._pipeline.close()
        self._outbox.close()

    async def settled(self) -> None:
        """Wait until everything that is stored is answered; raises what stops the sending."""
        while await self._pipeline.on_disk(self._outbox.waits):
            self._require_sound()
            await asyncio.sleep(_LOOK_SECONDS)

    def _require_sound(self) -> None:
        if self._failure is not None:
            raise self._failure

    async def prove(self, agreement_id: str) -> None:
        """Compare the receipts of an agreement with its log, as far as the mirror has come."""
        pin = self._mirror.pin(agreement_id)
        if pin is not None:
            unproved = await self._pipeline.on_disk(self._outbox.unproved, agreement_id, pin.size)
            proved = self._receipting.prove(unproved)
            await self._pipeline.on_disk(self._outbox.proved, proved)

    # --- sending ----------------------------------------------------------------------------------------------------

    async def send(
        self, report: Report, agreement_id: str, approved_by: Sequence[Approver] = (), tell: Tell = untold
    ) -> Receipt:
        """Send one report, approved by these officers, and give its receipt; raises why it was refused."""
        collector = Collector()
        self._collectors.add(collector)
        try:
            if approved_by:
                self._require_sound()
                await self._awaiting.send(report, agreement_id, collector, approved_by, tell)
            else:
                await refresh_if_stale(self._mirror, self._refresh)
                self._take(report, agreement_id, collector, 0, tell, flush=True)
            while (sent := collector.take()) is None:
                await collector.changed()
        finally:
            self._collectors.discard(collector)
        if sent.receipt is None:
            raise sent.refusal or UnreachableError("the report has no receipt")
        return sent.receipt

    async def await_approval(
        self, report: Report, agreement_id: str, approved_by: Sequence[Approver] = (), tell: Tell = untold
    ) -> WaitingReport:
        """Seal a report and let it wait until enough officers have approved it; these have, if they agree."""
        self._require_sound()
        return await self._awaiting.hold(report, agreement_id, approved_by, tell)

    async def send_many(
        self,
        reports: Iterable[Report] | AsyncIterable[Report],
        agreement_id: str,
        approved_by: Sequence[Approver] = (),
    ) -> AsyncIterator[Sent]:
        """Send reports in constant memory (approved ones singly) and give what became of each, in order; raises for none alone."""
        if approved_by:
            numbers = count()
            async for report in each(reports):
                yield await self._became(next(numbers), report, agreement_id, approved_by)
            return
        collector = Collector()
        self._collectors.add(collector)
        feeding = asyncio.create_task(self._feed(reports, agreement_id, collector))
        feeding.add_done_callback(lambda _: collector.wake())
        try:
            while True:
                while (sent := collector.take()) is not None:
                    yield sent
                if feeding.done():
                    feeding.result()
                    if not collector.pendings:
                        return
                await collector.changed()
        finally:
            self._collectors.discard(collector)
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)

    async def _became(self, number: int, report: Report, agreement_id: str, approved_by: Sequence[Approver]) -> Sent:
        try:
            return Sent(number, report, receipt=await self.send(report, agreement_id, approved_by))
        except ComityError as error:
            return Sent(number, report, refusal=error)

    async def _feed(
        self, reports: Iterable[Report] | AsyncIterable[Report], agreement_id: str, collector: Collector
    ) -> None:
        number = 0
        if isinstance(reports, AsyncIterable):
            async for report in reports:
                await self._feed_one(report, agreement_id, collector, number)
                number += 1
        else:
            for report in reports:
                await self._feed_one(report, agreement_id, collector, number)
                number += 1
        self._pipeline.flush()

    async def _feed_one(self, report: Report, agreement_id: str, collector: Collector, number: int) -> None:
        if len(collector.pendings) >= IN_FLIGHT or collector.size >= IN_FLIGHT_BYTES:
            await collector.room(IN_FLIGHT, IN_FLIGHT_BYTES)
        if self._mirror.is_stale:
            await refresh_if_stale(self._mirror, self._refresh)
        self._take(report, agreement_id, collector, number, untold, flush=False)
        if (number + 1) % _SLICE == 0:
            # So that what is urgent passes between slices.
            await asyncio.sleep(0)

    def _take(
        self, report: Report, agreement_id: str, collector: Collector, number: int, tell: Tell, *, flush: bool
    ) -> None:
        since = asyncio.get_running_loop().time()
        collector.add(pending := Pending(number, report, agreement_id, collector, since, tell=tell))
        self._submit(pending, flush=flush)

    def _submit(self, pending: Pending, *, flush: bool) -> None:
        if self._failure is not None:
            pending.refuse(self._failure)
            return
        try:
            cleared = self.clear(pending)
            if cleared.has_attachments:
                self._attaching.take(pending, cleared)
                return
            self._sealing.add(pending, cleared, cleared.view.log_seen, cleared.view.key_log_seen)
        except ComityError as error:
            pending.refuse(error)
            return
        self._pipeline.added(urgent=is_urgent(transport_class(cleared.profile)), flush=flush)

    def clear(self, pending: Pending) -> Cleared:
        """Decide a report as of now; raises what refuses it."""
        return self._egress.clear(pending.report, pending.agreement_id).but(pending.late)

    # --- answers ----------------------------------------------------------------------------------------------------

    def _answered(self, outgoing: Outgoing, frame: exchange_pb2.SegmentReceipt) -> None:
        segment = outgoing.segment
        try:
            answer = self._receipting.verify(segment, frame)
        except ComityError as error:
            self._mirror.raise_alarm(
                AlarmKind.RECEIPT_FALSE, segment.lane.agreement_id, segment.segment_id.hex(), error.message
            )
            self._refuse(outgoing, error)
            return
        self._pipeline.accept(answer.stored)
        if outgoing.sealed is not None:
            self._tell(outgoing.sealed, answer)
        elif answer.refusals:
            self._lost(segment, len(answer.refusals), next(iter(answer.refusals.values())))
        if any(error.code is ErrorCode.REPLAYED for error in answer.refusals.values()):
            # The broker knows these numbers from before: our outbox is older than what was sent.
            self._pipeline.end(segment.segment_id)
            self._break(segment.lane)

    def _tell(self, sealed: Sealed, answer: Answer) -> None:
        collectors: set[Collector] = set()
        for slot, pending in enumerate(sealed.pendings):
            refusal = answer.refusals.get(slot)
            if refusal is None:
                pending.accept(answer.of_slot(slot, sealed))
                collectors.add(pending.collector)
            elif pending.goes_to_others(refusal, sealed.cleared[slot].parties):
                self._submit(pending, flush=True)
            else:
                self._resealing.take(pending, refusal)
        for collector in collectors:
            collector.wake()

    def ended(self, outgoing: Outgoing, error: ComityError) -> None:
        """Take that a stored segment is refused for good."""
        self._pipeline.end(outgoing.segment.segment_id)
        self._break(outgoing.segment.lane)
        if outgoing.sealed is None:
            self._lost(outgoing.segment, outgoing.segment.slots, error)
            return
        for pending in outgoing.sealed.pendings:
            self._resealing.take(pending, error)

    def _lost(self, segment: StoredSegment, reports: int, error: ComityError) -> None:
        """Tell that reports which an earlier process stored were refused: no caller waits who could be told."""
        which = f"{reports} of its {segment.slots} reports" if reports < segment.slots else f"its {reports} reports"
        detail = f"{which}, in the outbox since an earlier run, were not taken ({error.code.name}): {error.message}"
        self._mirror.raise_alarm(AlarmKind.NOT_TAKEN, segment.lane.agreement_id, segment.segment_id.hex(), detail)

    def troubled(self, error: ComityError, delayed: list[Outgoing]) -> None:
        """Tell those who wait too long, and upload again what the broker says it has lost."""
        if error.code is ErrorCode.UPLOAD_MISSING:
            for outgoing in delayed:
                self._attaching.again(outgoing)
        now = asyncio.get_running_loop().time()
        late = UnreachableError(
            f"{error.message}; the report is in the outbox and goes when it can",
            what_to_do=error.what_to_do,
            code=error.code,
            retry_after_seconds=error.retry_after_seconds,
        )
        for outgoing in delayed:
            for pending in outgoing.sealed.pendings if outgoing.sealed is not None else ():
                if now - pending.since >= self._patience:
                    pending.refuse(late)

    def _refuse(self, outgoing: Outgoing, error: ComityError) -> None:
        for pending in outgoing.sealed.pendings if outgoing.sealed is not None else ():
            pending.refuse(error)

    # --- broken lanes -----------------------------------------------------------------------------------------------

    def _break(self, lane: Lane) -> None:
        """Leave a lane whose numbers the broker will not take; what is behind goes back to be sealed again."""
        if lane in self._pipeline.broken:
            return
        self._pipeline.broken.add(lane)
        self._background.start(self._awaiting.retire(lane), "retire lane")
        self._attaching.retire(lane)
        for outgoing in self._publishers[is_urgent(lane.transport_class)].drop_lane(lane):
            self._pipeline.end(outgoing.segment.segment_id)
            if outgoing.sealed is not None:
                self._handed_back(outgoing.sealed)
            else:
                self._lost(outgoing.segment, outgoing.segment.slots, LANE_BROKE)
        for pending in self._sealing.drop_lane(lane):
            self._resealing.take(pending, LANE_BROKE)
        self._resealing.recover()

    def _handed_back(self, sealed: Sealed) -> None:
        for pending in sealed.pendings:
            self._resealing.take(pending, LANE_BROKE)

    async def _renew(self) -> None:
        self._sealing.begin_epoch(await self._pipeline.on_disk(self._outbox.begin_epoch))
        self._sealing.forget_keys()
        await self._refresh()

    def _fail(self, error: Exception) -> None:
        """End everything that waits: a stage ended, nothing can be sent any more."""
        if not isinstance(error, ComityError):
            error = ComityError(f"sending stopped: {type(error).__name__}", what_to_do="The log has the reason.")
        self._failure = self._failure or error
        for collector in self._collectors:
            for pending in collector.pendings:
                pending.refuse(self._failure)
