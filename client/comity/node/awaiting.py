"""Sealing what officers approve, and releasing it once they have: the one way from a waiting report to the wire.

Rules in order:
1. What is approved is sealed first, alone, since an approval names the leaf; it is on disk before anybody signs.
2. It is released when the agreement, decided anew, asks for nothing more: the approvals count that verify now, and no other
   goes along. Released means signed, in the outbox, and then forgotten here.
3. An officer who does not agree ends the report where its sender waits for it. One that waits is given up when it has waited
   too long, with an alarm: nobody may wait to be told.
4. Its attachments are encrypted before, lie in the outbox as long as it waits, and are uploaded once it is released. The leaf names
   them: what lies there is held against it before anybody signs, and again before it is released.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Final
from uuid import UUID

from comity.attachment import Tell
from comity.envelope.forwarding import with_approvals
from comity.envelope.profile import transport_class
from comity.envelope.segment import WholeItem, parse_segment
from comity.errors import (
    ComityError,
    StorageError,
)
from comity.node.alarms import AlarmKind
from comity.node.approved_files import has_uploads, require_named
from comity.node.approved_text import FindOpener
from comity.node.approving import Approver
from comity.node.attached_files import AttachedFile
from comity.node.attaching import Attaching
from comity.node.awaited import WaitingReport, described, expired, signed, sound
from comity.node.cleared import Cleared
from comity.node.clock import NowMs
from comity.node.collecting import Collector, Pending
from comity.node.egress import Egress
from comity.node.mirror import Mirror
from comity.node.outbox import Lane, Outbox, SegmentState
from comity.node.pipeline import Pipeline
from comity.node.sealing import Sealed, Sealing
from comity.node.waiting import Waiting, WaitingReports
from comity.report import Report
from comity.suites import RandomBytes

_LOOK_SECONDS: Final = 1.0
_LOG: Final = logging.getLogger(__name__)


class Awaiting:
    """The waiting reports of one sender, which owns the outbox. The file is made with the first report that waits."""

    def __init__(
        self,
        outbox: Outbox,
        *,
        mirror: Mirror,
        egress: Egress,
        sealing: Sealing,
        pipeline: Pipeline,
        attaching: Attaching,
        opener: FindOpener,
        now_ms: NowMs,
        random_bytes: RandomBytes,
    ) -> None:
        self._outbox = outbox
        self._opener = opener
        self._mirror = mirror
        self._egress = egress
        self._sealing = sealing
        self._pipeline = pipeline
        self._attaching = attaching
        self._now_ms = now_ms
        self._random_bytes = random_bytes
        self._reports: WaitingReports | None = None
        # Whose sender waits for it here, and releases it itself.
        self._in_hand: set[UUID] = set()
        # A lane is free until a report is stored in it: of two reports that come at once, the second looks then. Those in which one is
        # sealed now are kept apart, since its attachments may take long.
        self._choosing = asyncio.Lock()
        self._sealing_in: set[Lane] = set()
        self._opening = asyncio.Lock()

    async def close(self) -> None:
        """Close the file."""
        if self._reports is not None:
            await self._pipeline.on_disk(self._reports.close)

    # --- a report whose sender is here ------------------------------------------------------------------------------

    async def send(
        self, report: Report, agreement_id: str, collector: Collector, approved_by: Sequence[Approver], tell: Tell
    ) -> None:
        """Seal a report, have it approved and release it; `collector` is told the rest. Raises what keeps it."""
        pending = _pending(report, agreement_id, collector, tell)
        collector.add(pending)
        waiting, sealed = await self._sealed(pending, approved_by, awaited=False)
        self._in_hand.add(waiting.report_id)
        try:
            await self._approve(waiting, approved_by)
            await self._release(await self._pipeline.on_disk((await self._open()).find, waiting.report_id), sealed)
        except BaseException:
            # Whoever asked is told, or was interrupted: nobody would look for it among those that wait.
            await self._forget(waiting)
            raise
        finally:
            self._in_hand.discard(waiting.report_id)

    async def hold(
        self, report: Report, agreement_id: str, approved_by: Sequence[Approver], tell: Tell
    ) -> WaitingReport:
        """Seal a report and let it wait; these officers are asked at once. One who does not agree leaves it waiting."""
        pending = _pending(report, agreement_id, Collector(), tell)
        waiting, _ = await self._sealed(pending, approved_by, awaited=True)
        self._in_hand.add(waiting.report_id)
        try:
            await self._approve(waiting, approved_by)
        finally:
            self._in_hand.discard(waiting.report_id)
        return described(
            await self._pipeline.on_disk((await self._open()).find, waiting.report_id),
            self._mirror,
            self._egress,
            self._now_ms(),
        )

    async def _sealed(
        self, pending: Pending, approved_by: Sequence[Approver], *, awaited: bool
    ) -> tuple[Waiting, Sealed]:
        officers = [one.identity for one in approved_by]
        cleared = self._egress.clear(pending.report, pending.agreement_id, officers, awaited=awaited)
        async with self._choosing:
            reports = await self._open()
            lane = await self._free_lane(pending.agreement_id, transport_class(cleared.profile))
            self._sealing_in.add(lane)
        try:
            number = await self._pipeline.on_disk(self._outbox.next_number, lane)
            sealed = await self._sealed_in(pending, cleared, lane, number)
            waiting = Waiting.of(sealed)
            try:
                await self._pipeline.on_disk(reports.add, waiting)
            except ComityError:
                await self._attaching.drop(waiting.segment.segment_id)
                raise
        finally:
            self._sealing_in.discard(lane)
        return waiting, sealed

    async def _sealed_in(self, pending: Pending, cleared: Cleared, lane: Lane, number: int) -> Sealed:
        if cleared.has_attachments:
            return await self._attaching.sealed(pending, cleared, lane, number)
        return self._sealing.alone(pending, cleared, lane, number)

    async def _free_lane(self, agreement_id: str, transport: int) -> Lane:
        """Give a lane in which everything that went before was taken by the broker; those that are dead are used no more."""
        reports, where = await self._open(), (agreement_id, transport)
        await self.leave_dead_lanes()
        on_its_way = await self._pipeline.on_disk(self._outbox.lanes_in, SegmentState.UNANSWERED)
        taken = on_its_way | self._pipeline.broken | self._sealing_in
        return await self._pipeline.on_disk(reports.free_lane, *where, taken)

    async def leave_dead_lanes(self) -> None:
        """Retire the lanes that broke, also with an earlier process: before what says so is let go."""
        if self._reports is None and not WaitingReports.any_in(self._outbox.directory):
            return
        reports = await self._open()
        for lane in await self._pipeline.on_disk(self._outbox.lanes_in, SegmentState.ENDED):
            await self._pipeline.on_disk(reports.retire, lane)

    async def _approve(self, waiting: Waiting, approved_by: Sequence[Approver]) -> None:
        reports = await self._open()
        attached = await self._attached(waiting) if approved_by else ()
        for approver in approved_by:
            approval = await asyncio.to_thread(
                signed, waiting, approver, self._mirror, self._now_ms(), self._opener, attached
            )
            await self._pipeline.on_disk(reports.approve, waiting.report_id, approval)

    async def _attached(self, one: Waiting) -> tuple[AttachedFile, ...]:
        return await self._attaching.files_of(one.segment.segment_id) if has_uploads(one.item) else ()

    async def _forget(self, one: Waiting) -> None:
        """Let go of a report that waits no more, and of its attachments unless the outbox has them to send."""
        await self._pipeline.on_disk((await self._open()).remove, one.report_id)
        if has_uploads(one.item):
            await self._attaching.drop(one.segment.segment_id)

    # --- reports that wait ------------------------------------------------------------------------------------------

    async def segment_ids(self) -> frozenset[bytes]:
        """Give the segments of what waits: their attachments stay."""
        if self._reports is None and not WaitingReports.any_in(self._outbox.directory):
            return frozenset()
        reports = await self._pipeline.on_disk((await self._open()).all)
        return frozenset(one.segment.segment_id for one in reports)

    async def keep_releasing(self) -> None:
        """Release what was approved meanwhile, by whatever process, until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            await self.release_ready()

    async def release_ready(self) -> tuple[UUID, ...]:
        """Release every waiting report that nothing keeps any more, and give up those that waited too long."""
        if self._reports is None and not WaitingReports.any_in(self._outbox.directory):
            return ()
        reports = await self._open()
        released = []
        for one in await self._pipeline.on_disk(reports.all):
            if one.report_id in self._in_hand:
                continue
            if self._now_ms() >= one.until_ms:
                await self._give_up(one)
                continue
            try:
                await self._release(one, None)
            except ComityError as error:
                _LOG.debug("report_waits", extra={"report": str(one.report_id), "reason": error.message})
            else:
                released.append(one.report_id)
        return tuple(released)

    async def _release(self, one: Waiting, reported: Sealed | None) -> None:
        reports = await self._open()
        number = await self._pipeline.on_disk(self._outbox.next_number, one.segment.lane)
        if number < one.segment.first_origin_sequence:
            raise StorageError(
                f"report {one.report_id} waits as number {one.segment.first_origin_sequence} of its lane, which has come to {number}",
                what_to_do="The outbox is not the one it was sealed beside. Send the report anew: comity send.",
            )
        if number == one.segment.first_origin_sequence:
            item = sound(_as_named(one), self._mirror, self._now_ms())
            self._egress.check_approved(item)
            segment = replace(one.segment, data=with_approvals(one.segment.data, {0: item.approvals}))
            sealed = Sealed(segment, one.key_set, one.packets, (), (), (item.leaf,), (one.report_id.bytes,))
            uploads = has_uploads(item)
            if uploads:
                require_named(item, await self._attached(one))
            await self._pipeline.send_alone(
                sealed,
                None if reported is None else replace(reported, stored=segment),
                self._attaching.deliver if uploads else self._pipeline.hand_on,
            )
        await self._pipeline.on_disk(reports.remove, one.report_id)

    async def _give_up(self, one: Waiting) -> None:
        error = expired(one)
        agreement_id = one.segment.lane.agreement_id
        self._mirror.raise_alarm(AlarmKind.NOT_TAKEN, agreement_id, one.segment.segment_id.hex(), error.message)
        await self._forget(one)

    async def retire(self, lane: Lane) -> None:
        """Use a lane no more that the broker takes nothing of."""
        if self._reports is not None:
            await self._pipeline.on_disk(self._reports.retire, lane)

    async def _open(self) -> WaitingReports:
        async with self._opening:
            if self._reports is None:
                self._reports = await self._pipeline.on_disk(WaitingReports, self._outbox.directory, self._random_bytes)
        return self._reports


def _as_named(one: Waiting) -> WholeItem:
    """Give the sealed report where its bytes are what the line beside them says: that line is what is signed next."""
    segment = parse_segment(one.segment.data)
    lane = one.segment.lane
    said = (one.segment.segment_id, lane.agreement_id, lane.origin_epoch, lane.transport_class)
    same = said == (segment.segment_id, segment.agreement_id, segment.origin_epoch, segment.transport_class)
    if not same or segment.first_origin_sequence != one.segment.first_origin_sequence:
        raise StorageError(f"the sealed bytes of report {one.report_id} are not those that wait under its name")
    return one.item


def _pending(report: Report, agreement_id: str, collector: Collector, tell: Tell) -> Pending:
    """Give a report that is sealed once: approvals are of those bytes, so it is never sealed again by itself."""
    return Pending(0, report, agreement_id, collector, asyncio.get_running_loop().time(), resealed=True, tell=tell)
