"""Handing over: a round of one class becomes one committed unit, and only then memory and frames (design 04).

In order: the node's own bundle is current; the agreement whose turn it is, in force, its log signed by all and not frozen; what
`planning` puts together; the unit, under the epoch it was planned in; memory; the frames, in order. A unit refused because the
state changed is planned anew by whoever asked for the round.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from comity.envelope.answering import is_control
from comity.envelope.profile import ProfileMemo
from comity.identity.records import NodeRecord
from comity_broker.auditlog.kinds import EventKind
from comity_broker.dispatch.credits import Credits
from comity_broker.dispatch.desk import AHEAD_LIMIT, Desk
from comity_broker.dispatch.frames import Reason, Skip, SkipReason
from comity_broker.dispatch.handover import HandOver, ItemPlan, Logged
from comity_broker.dispatch.lanes import LaneCursor
from comity_broker.dispatch.logged import Recipient
from comity_broker.dispatch.planning import Draft, Round, breathe
from comity_broker.dispatch.references import Reference
from comity_broker.dispatch.shared import Shared
from comity_broker.dispatch.withheld import mask_of, slots_of
from comity_broker.outcomes import settled
from comity_broker.standing import Standing
from comity_broker.storage.protocol import ReportRow, SegmentRow
from comity_broker.tracing import About

# The epoch of a shard, and that of the one beside it which counts too.
Epoch = tuple[int, tuple[str, int] | None]


@dataclass(slots=True, eq=False)
class Outgoing:
    """A frame that was committed and is to be written.

    `attempts` has the numbers of hand-overs that are not the first, `size` the bytes of credit.
    """

    desk: Desk
    cursor: LaneCursor
    reference: Reference
    slots: int
    attempts: Mapping[int, int]
    size: int

    @property
    def transport_class(self) -> int:
        """Give the lane's class."""
        return self.cursor.row.key.transport_class

    @property
    def is_replay(self) -> bool:
        """Say whether it hands over reports that were parked."""
        return self.cursor.replays.get(self.reference.item) is self.reference


class HandingOver:
    """Plans and commits hand-overs of one session. Rounds of different classes may be under way together."""

    def __init__(self, shared: Shared, to: Recipient, desks: Mapping[str, Desk], credits_: Credits) -> None:
        self._shared = shared
        self._to = to
        self._desks = desks
        self._credits = credits_
        self._memo = ProfileMemo()
        self._turn = 0
        self._committed = self._commit if shared.tracer is None else self._traced

    def deliverable(self, desk: Desk, transport_class: int | None = None) -> Standing | None:
        """Give the agreement, where anything (of that class) may be handed over under it now; a recall may be out of force too."""
        standing = self._shared.ledger.standing(desk.agreement_id)
        now_ms = self._shared.clock.now_ms()
        if standing is None or standing.stopped or self._shared.held_until():
            return None
        binds = (transport_class is not None and is_control(transport_class)) or standing.in_force(now_ms)
        return standing if binds and standing.admits(now_ms) else None

    def _epoch(self, desk: Desk) -> Epoch:
        standing = self._shared.ledger.standing(desk.agreement_id)
        return (0, None) if standing is None else (standing.epoch, standing.beside)

    def node(self) -> NodeRecord | None:
        """Give the consumer's node, where its bundle is current."""
        record = self._shared.keys.node(self._to.party, self._to.name)
        now_ms = self._shared.clock.now_ms()
        return record if record is not None and self._shared.keys.is_current(record, now_ms) else None

    async def round(self, transport_class: int) -> list[Outgoing] | None:
        """Hand over once; give the frames in order, None where nothing was done. Raises ComityError where it is refused."""
        node = self.node()
        if node is None:
            return None
        desks = list(self._desks.values())
        self._turn += 1
        start = self._turn % len(desks) if desks else 0
        for desk in desks[start:] + desks[:start]:
            if desk.is_idle(transport_class):
                continue
            # Before anything is read: what changes meanwhile gives another epoch, and the unit is refused.
            epoch = self._epoch(desk)
            await self._read_ahead(desk, transport_class)
            standing = self.deliverable(desk, transport_class)
            if standing is None:
                continue
            planned = Round(self._shared, self._to, self._credits, self._memo, desk, standing, node, transport_class)
            try:
                await planned.plan()
                if planned.drafts:
                    return await self._committed(planned, epoch)
            except BaseException:
                planned.give_back()
                raise
        return None

    async def _read_ahead(self, desk: Desk, transport_class: int) -> None:
        await desk.read_holds(self._shared.reader)
        now, now_ms = self._shared.clock.monotonic(), self._shared.clock.now_ms()
        for cursor in desk.of_class(transport_class):
            waits = cursor.blocked or cursor.waits_until_ms > now_ms
            ahead = sum(one.ahead(transport_class) for one in self._desks.values())
            if waits and ahead >= AHEAD_LIMIT:
                cursor.let_go()
            room = 0 if waits else AHEAD_LIMIT - ahead + cursor.ahead
            await desk.read_ahead(self._shared.reader, cursor, room, now, now_ms)

    async def _traced(self, planned: Round, epoch: Epoch) -> list[Outgoing]:
        about = About(planned.desk.agreement_id, self._to.party, planned.transport_class)
        tracer = self._shared.tracer
        if tracer is None:
            return await self._commit(planned, epoch)
        with tracer.span("dispatch", about) as say:
            frames = await self._commit(planned, epoch)
            say(About(reports=sum(one.slots.bit_count() for one in frames)))
            return frames

    async def _commit(self, planned: Round, epoch: Epoch) -> list[Outgoing]:
        shared, agreement_id = self._shared, planned.desk.agreement_id
        plans = [draft.plan for draft in planned.drafts if draft.has_effect]
        logged = Logged(0, {})
        if plans:
            unit = HandOver(agreement_id, self._to, plans, shared.clock.now_ms()).unit(
                shared.logs.log(agreement_id),
                epoch=epoch[0],
                beside=epoch[1],
                urgency=planned.transport_class,
                random_bytes=shared.random_bytes,
            )
            logged = settled(await shared.journal.submit(unit)).result
            shared.clock.committed(logged.at_ms)
        frames: list[Outgoing] = []
        for draft in planned.drafts:
            frame = _take(planned.desk, draft, logged)
            if frame is not None:
                frames.append(frame)
            await breathe(planned.transport_class)
        if frames:
            self._count(planned, frames)
        return frames

    def _count(self, planned: Round, frames: Sequence[Outgoing]) -> None:
        reports = sum(one.slots.bit_count() for one in frames)
        again = sum(len(draft.plan.attempts) for draft in planned.drafts)
        lane = (planned.desk.agreement_id, self._to.party, planned.transport_class)
        self._shared.counts.handed_over(lane, reports, again)


def _take(desk: Desk, draft: Draft, logged: Logged) -> Outgoing | None:
    plan, cursor, reference = draft.plan, draft.cursor, draft.reference
    reasons = _reasons(plan, logged)
    for slot, log_index in draft.holds.items():
        reference.held_by[slot] = log_index or logged.places.get((EventKind.HELD, plan.originator), 0)
    for slot, attempts in plan.parked.items():
        desk.parked.setdefault(plan.item, {})[slot] = attempts
    if plan.change is None:
        again = {slot: plan.attempt(slot) for slot in slots_of(plan.again)}
        cursor.take_replay(reference, again, plan.expired | mask_of(plan.parked) | mask_of(plan.taken_back))
    else:
        cursor.take(reference, plan.change, again=plan.attempts, reasons=reasons, handed=draft.has_frame)
    if not draft.has_frame:
        cursor.skips.extend(skips(reference, draft.row, draft.reports, reasons))
        desk.forget_done(cursor, reference)
        return None
    desk.handed(cursor, reference, draft.row.slots)
    return Outgoing(desk, cursor, reference, plan.slots, plan.attempts, draft.size)


def skips(
    reference: Reference, row: SegmentRow, reports: Mapping[int, ReportRow], reasons: Mapping[int, Reason]
) -> list[tuple[Reference, Skip]]:
    """Give what a lane's next frame says of slots that are skipped."""
    return [
        (reference, Skip(row.first_origin_sequence + slot, reports[slot].leaf, reason))
        for slot, reason in sorted(reasons.items())
        if slot in reports
    ]


def _reasons(plan: ItemPlan, logged: Logged) -> dict[int, Reason]:
    found = {slot: Reason(SkipReason.WITHDRAWN, log_index) for slot, log_index in plan.withdrawn.items()}
    for slot, (state, log_index) in plan.taken_back.items():
        found[slot] = Reason(SkipReason[state.name], log_index)
    for slot in slots_of(plan.expired):
        found[slot] = Reason(SkipReason.EXPIRED, logged.places[EventKind.EXPIRED, plan.originator])
    for slot in plan.parked:
        found[slot] = Reason(SkipReason.PARKED, logged.places[EventKind.PARKED, plan.originator])
    return found
