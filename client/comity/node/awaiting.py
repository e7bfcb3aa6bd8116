"""Sealing what officers approve, and releasing it once they have: the one way from a waiting report to the wire.

Rules in order:
1. What is approved is sealed first, alone, since an approval names the leaf; it is on disk before anybody signs.
2. It is released when the agreement, decided anew, asks for nothing more: the approvals count that verify now, and no other
   goes along. Released means signed, in the outbox, and then forgotten here.
3. An officer who does not agree ends the report where its sender waits for it. One that waits is given up when it has waited
   too long, with an alarm: nobody may wait to be told.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from comity.envelope.checks import verified_approvals
from comity.envelope.evidence import Approval
from comity.envelope.profile import transport_class
from comity.envelope.segment import WholeItem, parse_segment, with_approvals
from comity.errors import (
    ComityError,
    ConflictError,
    ErrorCode,
    MalformedError,
    NotFoundError,
    RefusedError,
    RejectedError,
    StorageError,
)
from comity.node.alarms import AlarmKind
from comity.node.approved_text import FindOpener, shown_portions
from comity.node.approving import Approver, SealedReport, ToApprove, acting_approved, require_cleared, resolved
from comity.node.clock import NowMs
from comity.node.collecting import Collector, Pending
from comity.node.directory import officer_lookup
from comity.node.egress import Egress
from comity.node.mirror import Mirror
from comity.node.outbox import Lane, Outbox, SegmentState
from comity.node.pipeline import Pipeline
from comity.node.sealing import Sealed, Sealing
from comity.node.times import rfc3339
from comity.node.waiting import Waiting, WaitingReports
from comity.report import Report, banner_of
from comity.suites import RandomBytes
from comity_policy.explanation import ClauseExplanation
from comity_policy.facts import Addressee

_LOOK_SECONDS: Final = 1.0
# The clauses that an officer's approval may satisfy.
_BY_OFFICERS: Final = frozenset({"precedence", "dual-control"})
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WaitingReport:
    """Where a waiting report stands, for people. `refusal` says what keeps it; None where it goes with the next sending.

    `approved_by` are the officers whose approvals verify, among whom `acts` says that the one is whom it names as acting;
    `may_approve` those who could, with their roles. `until_ms` is when it has waited too long.
    """

    report: SealedReport
    approvals_required: int
    approved_by: tuple[str, ...]
    acts: bool
    may_approve: tuple[str, ...]
    refusal: ComityError | None
    until_ms: int
    expired: bool

    @property
    def complete(self) -> bool:
        """Say whether no approval is lacking; whatever else keeps it is in `refusal`."""
        clauses = self.refusal.clauses if self.refusal is not None else ()
        lacking = any(isinstance(one, ClauseExplanation) and one.kind in _BY_OFFICERS for one in clauses)
        return not lacking and self.acts and len(self.approved_by) >= self.approvals_required


def sealed_report(one: Waiting, mirror: Mirror) -> SealedReport:
    """Give what is shown of a report: read from the sealed bytes, so that it is what an officer would sign."""
    item = one.item
    profile = item.core.profile
    party = profile.originator.party
    levels = mirror.agreement(profile.agreement_id).document.levels_of(party)
    return SealedReport(
        report_id=UUID(bytes=item.core.report_id),
        agreement_id=profile.agreement_id,
        banner=banner_of(profile, range(len(profile.portions)), levels, party),
        kind=profile.kind.word,
        precedence=profile.precedence,
        purpose=profile.purpose,
        categories=profile.categories,
        emergency=bool(profile.emergency),
        addressees=tuple(_addressee(each) for each in profile.addressees),
        portions=tuple(banner_of(profile, [index], levels, party) for index in range(len(profile.portions))),
        keys_for=sum(row.party != party for row in item.manifest.rows),
        refers_to=tuple(
            f"{each.relation.name.lower().replace('_', '-')} {UUID(bytes=each.report_id)}"
            for each in item.core.refers_to
        ),
        expires_at=item.core.expires_at,
        leaf=item.leaf,
    )


def sound(item: WholeItem, mirror: Mirror, now_ms: int) -> WholeItem:
    """Give an item with those of its approvals that verify now: an officer may have lost key or role since."""
    lookup = officer_lookup(mirror.directory, item.core.profile.agreement_id, now_ms)

    def verifies(one: Approval) -> bool:
        try:
            return bool(verified_approvals(replace(item, approvals=(one,)), lookup))
        except RejectedError:
            return False

    return replace(item, approvals=tuple(one for one in item.approvals if verifies(one)))


def described(one: Waiting, mirror: Mirror, egress: Egress, now_ms: int) -> WaitingReport:
    """Say where a waiting report stands."""
    item = sound(one.item, mirror, now_ms)
    profile = item.core.profile
    refusal: ComityError | None = None
    try:
        egress.check_approved(item)
    except (RefusedError, MalformedError, NotFoundError) as error:
        refusal = error
    lookup = officer_lookup(mirror.directory, profile.agreement_id, now_ms)
    return WaitingReport(
        report=sealed_report(one, mirror),
        approvals_required=profile.approvals_required,
        approved_by=tuple(sorted(verified_approvals(item, lookup))),
        acts=acting_approved(item),
        may_approve=egress.may_approve(profile),
        refusal=refusal,
        until_ms=one.until_ms,
        expired=now_ms >= one.until_ms,
    )


def signed(one: Waiting, approver: Approver, mirror: Mirror, now_ms: int, opener: FindOpener | None = None) -> Approval:
    """Show a waiting report to an officer and sign it; raises AccessError, KeyFault, and ConflictError when it came too late.

    `opener` gives the node's own keys, with which its text is opened; without it no text is shown, and that is said.
    """
    profile = one.item.core.profile
    if now_ms >= one.until_ms:
        raise expired(one)
    view = mirror.agreement(profile.agreement_id)
    party = profile.originator.party
    approving = resolved(mirror.directory, view, party, [approver.identity], profile.precedence, now_ms)
    (officer,) = approving.officers
    require_cleared(mirror.directory, view, approving.officers, profile, now_ms)
    record = mirror.directory.officer(party, approver.identity.name)
    levels, packets = view.document.levels_of(party), dict(one.packets)
    portions = shown_portions(one.item, packets, record, levels, now_ms, opener)
    shown = ToApprove(sealed_report(one, mirror), officer.identity, officer.role, portions)
    return approver.approve(shown, officer, now_ms)


def expired(one: Waiting) -> ConflictError:
    """Give the error that says a report waited too long."""
    return ConflictError(
        f"report {one.report_id} waited for approvals until {rfc3339(one.until_ms)} and is not sent any more",
        what_to_do="Send it again: a broker takes nothing that was made too long ago.",
        code=ErrorCode.CLOCK_WINDOW,
    )


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
        self._now_ms = now_ms
        self._random_bytes = random_bytes
        self._reports: WaitingReports | None = None
        # Whose sender waits for it here, and releases it itself.
        self._in_hand: set[UUID] = set()
        # A lane is free until a report is stored in it: of two reports that come at once, the second looks then.
        self._choosing = asyncio.Lock()
        self._opening = asyncio.Lock()

    async def close(self) -> None:
        """Close the file."""
        if self._reports is not None:
            await self._pipeline.on_disk(self._reports.close)

    # --- a report whose sender is here ------------------------------------------------------------------------------

    async def send(
        self, report: Report, agreement_id: str, collector: Collector, approved_by: Sequence[Approver]
    ) -> None:
        """Seal a report, have it approved and release it; `collector` is told the rest. Raises what keeps it."""
        pending = _pending(report, agreement_id, collector)
        collector.add(pending)
        waiting, sealed = await self._sealed(pending, approved_by, awaited=False)
        self._in_hand.add(waiting.report_id)
        try:
            await self._approve(waiting, approved_by)
            await self._release(await self._pipeline.on_disk((await self._open()).find, waiting.report_id), sealed)
        except BaseException:
            # Whoever asked is told, or was interrupted: nobody would look for it among those that wait.
            await self._pipeline.on_disk((await self._open()).remove, waiting.report_id)
            raise
        finally:
            self._in_hand.discard(waiting.report_id)

    async def hold(self, report: Report, agreement_id: str, approved_by: Sequence[Approver]) -> WaitingReport:
        """Seal a report and let it wait; these officers are asked at once. One who does not agree leaves it waiting."""
        pending = _pending(report, agreement_id, Collector())
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
            number = await self._pipeline.on_disk(self._outbox.next_number, lane)
            sealed = self._sealing.alone(pending, cleared, lane, number)
            waiting = Waiting.of(sealed)
            await self._pipeline.on_disk(reports.add, waiting)
        return waiting, sealed

    async def _free_lane(self, agreement_id: str, transport: int) -> Lane:
        """Give a lane in which everything that went before was taken by the broker; those that are dead are used no more."""
        reports, where = await self._open(), (agreement_id, transport)
        await self.leave_dead_lanes()
        on_its_way = await self._pipeline.on_disk(self._outbox.lanes_in, SegmentState.UNANSWERED)
        return await self._pipeline.on_disk(reports.free_lane, *where, on_its_way | self._pipeline.broken)

    async def leave_dead_lanes(self) -> None:
        """Retire the lanes that broke, also with an earlier process: before what says so is let go."""
        if self._reports is None and not WaitingReports.any_in(self._outbox.directory):
            return
        reports = await self._open()
        for lane in await self._pipeline.on_disk(self._outbox.lanes_in, SegmentState.ENDED):
            await self._pipeline.on_disk(reports.retire, lane)

    async def _approve(self, waiting: Waiting, approved_by: Sequence[Approver]) -> None:
        reports = await self._open()
        for approver in approved_by:
            approval = await asyncio.to_thread(signed, waiting, approver, self._mirror, self._now_ms(), self._opener)
            await self._pipeline.on_disk(reports.approve, waiting.report_id, approval)

    # --- reports that wait ------------------------------------------------------------------------------------------

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
            await self._pipeline.send_alone(sealed, None if reported is None else replace(reported, stored=segment))
        await self._pipeline.on_disk(reports.remove, one.report_id)

    async def _give_up(self, one: Waiting) -> None:
        error = expired(one)
        agreement_id = one.segment.lane.agreement_id
        self._mirror.raise_alarm(AlarmKind.NOT_TAKEN, agreement_id, one.segment.segment_id.hex(), error.message)
        await self._pipeline.on_disk((await self._open()).remove, one.report_id)

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


def _pending(report: Report, agreement_id: str, collector: Collector) -> Pending:
    """Give a report that is sealed once: approvals are of those bytes, so it is never sealed again by itself."""
    return Pending(0, report, agreement_id, collector, asyncio.get_running_loop().time(), resealed=True)


def _addressee(one: Addressee) -> str:
    narrowed = ", ".join(word for word in (one.office, one.community, one.officer) if word)
    return f"{one.party} ({narrowed})" if narrowed else one.party
