"""What one round hands over: the lanes of one class under one agreement, as far as credit and the size of a unit go.

In order, for each lane, another one first each time: what was handed over too often is parked; what is to be handed over again;
replays; what is new, until a report waits for its `not_before` or credit ends (an item that would be cut waits a moment to go whole). Nothing is changed here but credit, which the
caller gives back where the unit is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from comity.envelope.answering import is_control, precedence_of
from comity.envelope.profile import ProfileMemo
from comity.envelope.segment import Segment, parse_segment
from comity.identity.records import NodeRecord
from comity_broker.dispatch.checking import Suspension, Verdicts, all_may_go, judge
from comity_broker.dispatch.credits import Credits
from comity_broker.dispatch.desk import Desk
from comity_broker.dispatch.floors import Change
from comity_broker.dispatch.handover import ItemPlan
from comity_broker.dispatch.lanes import CREDIT_PATIENCE_SECONDS, LaneCursor
from comity_broker.dispatch.logged import Recipient
from comity_broker.dispatch.references import Pending, Reference
from comity_broker.dispatch.shared import Shared
from comity_broker.dispatch.withheld import lowest, mask_of, slots_of
from comity_broker.dispatch.words import taking_back_of, withdrawal_of
from comity_broker.standing import Standing
from comity_broker.storage.protocol import ExceptionState, HoldingState, Reads, ReportRow, SegmentRow

BATCH_SEGMENTS: Final = 16
BATCH_BYTES: Final = 2 << 20
_REPLAY_AGAIN_SECONDS: Final = 60.0
_PATIENT_CLASS: Final = 3


@dataclass(slots=True, eq=False)
class Draft:
    """One item of a round. `first` says that its turn comes for the first time, `explained` that its reasons are told again."""

    cursor: LaneCursor
    reference: Reference
    row: SegmentRow
    reports: Mapping[int, ReportRow]
    plan: ItemPlan
    holds: Mapping[int, int] = field(default_factory=dict)
    first: bool = False
    explained: bool = False
    size: int = 0

    @property
    def has_frame(self) -> bool:
        """Say whether a frame of the item follows."""
        return bool(self.plan.slots) or self.first or self.explained

    @property
    def has_effect(self) -> bool:
        """Say whether the store changes by it."""
        plan = self.plan
        told = plan.change is not None and plan.change.told
        return (
            bool(plan.slots or plan.expired or plan.hold or plan.withdrawn or plan.parked or plan.taken_back)
            or self.first
            or told
        )


@dataclass(slots=True)
class Round:
    """One round in the making."""

    shared: Shared
    to: Recipient
    credits: Credits
    memo: ProfileMemo
    desk: Desk
    standing: Standing
    node: NodeRecord
    transport_class: int
    drafts: list[Draft] = field(default_factory=list)
    size: int = 0

    @property
    def is_full(self) -> bool:
        """Say whether no more goes into one unit."""
        return len(self.drafts) >= BATCH_SEGMENTS or self.size >= BATCH_BYTES

    async def plan(self) -> None:
        """Fill the round."""
        for cursor in self.desk.of_class(self.transport_class):
            if self.is_full:
                return
            spent = cursor.exhausted(self.shared.settings.attempts)
            for pending in spent:
                await self._park(cursor, pending)
            for reference in cursor.overdue():
                await self._told(cursor, reference)
            if not spent:
                await self._plan_again(cursor)
                await self._plan_fresh(cursor)

    def give_back(self) -> None:
        """Undo what planning took: the unit was refused."""
        for draft in self.drafts:
            self.credits.use(self.transport_class, -draft.plan.slots.bit_count(), -draft.size)
            if draft.plan.change is not None and draft.plan.change.told:
                draft.reference.told = False

    # --- what goes in -----------------------------------------------------------------------------------------------

    async def _plan_again(self, cursor: LaneCursor) -> None:
        now = self.shared.clock.monotonic()
        for pending in (*cursor.again(now), *cursor.replayable(now)):
            await breathe(self.transport_class)
            free = self.credits.free(self.transport_class)
            if self.is_full or not free:
                return
            await self._draft_again(cursor, pending, free)

    async def _plan_fresh(self, cursor: LaneCursor) -> None:
        if cursor.waits_until_ms > self.shared.clock.now_ms():
            return
        cursor.waits_until_ms, changes = 0, cursor.changes
        for pending in cursor.fresh():
            await breathe(self.transport_class)
            free = self.credits.free(self.transport_class)
            if self.is_full or not free or self._waits_for_credit(cursor, pending, free):
                return
            cursor.waits_until_ms, whole = await self._draft_fresh(cursor, pending, free)
            if cursor.waits_until_ms or not whole:
                return
        cursor.looked = changes

    def _waits_for_credit(self, cursor: LaneCursor, pending: Pending, free: int) -> bool:
        """Say whether an item waits a moment until there is credit for all of it, where what is out gives as much back.

        Cut in two it would be parsed and put together again for each part, and worked twice by its consumer.
        """
        if pending.reference.item in cursor.held:
            # It may well be held still, and then keeps nobody waiting.
            return False
        wanted, patient = pending.slots.bit_count(), precedence_of(self.transport_class) >= _PATIENT_CLASS
        if wanted <= free or not patient or 2 * wanted > self.credits.window(self.transport_class):
            cursor.short_since = None
            return False
        now = self.shared.clock.monotonic()
        if cursor.short_since is None:
            cursor.short_since = now
        return now < cursor.short_since + CREDIT_PATIENCE_SECONDS

    def _take_in(self, draft: Draft) -> None:
        if not (draft.has_effect or draft.has_frame):
            return
        draft.size = len(draft.row.data) if draft.has_frame else 0
        self.drafts.append(draft)
        self.size += draft.size
        self.credits.use(self.transport_class, draft.plan.slots.bit_count(), draft.size)

    async def _draft_fresh(self, cursor: LaneCursor, pending: Pending, free: int) -> tuple[int, bool]:
        """Take in an item that was not handed over; give until when it waits, and whether all of it that may go does."""
        reference = pending.reference
        row = await self._row(reference)
        verdicts, reports = await self._judge(row, pending.slots, first_time=True)
        hand = lowest(verdicts.hand, free)
        withdrawn, taken_back = await self._withdrawn(row, verdicts), await self._taken_back(row, verdicts)
        settle = verdicts.expired | mask_of(withdrawn) | mask_of(taken_back)
        hold = mask_of(verdicts.hold) & ~cursor.state.held(reference.item)
        first = reference.item > cursor.state.handed and bool(hand | settle | hold or not reference.due)
        plan = self._item(
            cursor,
            row,
            reference.change(hand=hand, settle=settle, hold=hold, owes=bool(settle)),
            hand=hand,
            attempts={slot: before + 1 for slot, before in reference.attempts.items() if hand >> slot & 1},
            before=reference.attempts,
            expired=verdicts.expired,
            hold=hold,
            withdrawn=withdrawn,
            taken_back=taken_back,
        )
        self._take_in(Draft(cursor, reference, row, reports, plan, verdicts.hold, first=first))
        return verdicts.until_ms, hand == verdicts.hand

    async def _draft_again(self, cursor: LaneCursor, pending: Pending, free: int) -> None:
        reference = pending.reference
        is_replay = cursor.replays.get(reference.item) is reference
        row = await self._row(reference)
        verdicts, reports = await self._judge(row, pending.slots, first_time=False)
        again = lowest(verdicts.hand, free)
        taken_back = await self._taken_back(row, verdicts)
        settle = verdicts.expired | mask_of(taken_back)
        hold = 0 if is_replay else mask_of(verdicts.hold)
        if is_replay:
            for slot in verdicts.hold:
                reference.retry[slot] = self.shared.clock.monotonic() + _REPLAY_AGAIN_SECONDS
        plan = self._item(
            cursor,
            row,
            None if is_replay else reference.change(settle=settle, hold=hold, owes=bool(settle)),
            again=again,
            attempts={slot: reference.attempts.get(slot, 1) + 1 for slot in slots_of(again)},
            # A replay counts anew from 0, but what was parked had been handed over.
            before={slot: max(1, reference.attempt(slot)) for slot in slots_of(pending.slots)},
            expired=verdicts.expired,
            hold=hold,
            taken_back=taken_back,
        )
        # Where all of it ended and this stream has not brought the item, a frame of its own tells why, before what follows it.
        unheard = bool(settle) and not again and not is_replay and not reference.sent
        explained = unheard or not pending.slots
        self._take_in(Draft(cursor, reference, row, reports, plan, verdicts.hold, explained=explained))

    async def _park(self, cursor: LaneCursor, pending: Pending) -> None:
        reference = pending.reference
        is_replay = cursor.replays.get(reference.item) is reference
        row = await self._row(reference)
        reports = await self._reports(row)
        change = None if is_replay else reference.change(settle=pending.slots, owes=True)
        parked = {slot: reference.attempts.get(slot, 1) for slot in slots_of(pending.slots)}
        self._take_in(Draft(cursor, reference, row, reports, self._item(cursor, row, change, parked=parked)))

    async def _told(self, cursor: LaneCursor, reference: Reference) -> None:
        row = await self._row(reference)
        self._take_in(Draft(cursor, reference, row, {}, self._item(cursor, row, reference.change())))

    def _item(
        self,
        cursor: LaneCursor,
        row: SegmentRow,
        change: Change | None,
        *,
        hand: int = 0,
        again: int = 0,
        attempts: Mapping[int, int] | None = None,
        before: Mapping[int, int] | None = None,
        expired: int = 0,
        hold: int = 0,
        withdrawn: Mapping[int, int] | None = None,
        parked: Mapping[int, int] | None = None,
        taken_back: Mapping[int, tuple[ExceptionState, int]] | None = None,
    ) -> ItemPlan:
        return ItemPlan(
            lane=cursor.row.lane,
            originator=cursor.party,
            item=row.item,
            segment_id=row.segment_id,
            change=change,
            hand=hand,
            again=again,
            attempts=attempts or {},
            before=before or {},
            expired=expired,
            hold=hold,
            withdrawn=withdrawn or {},
            parked=parked or {},
            taken_back=taken_back or {},
        )

    async def _withdrawn(self, row: SegmentRow, verdicts: Verdicts) -> dict[int, int]:
        reader, agreement_id = self.shared.reader, self.desk.agreement_id
        entries = {
            first: await withdrawal_of(reader, agreement_id, self.to, row.segment_id, first)
            for first in set(verdicts.withdrawn.values())
        }
        return {slot: entries[first] for slot, first in verdicts.withdrawn.items()}

    async def _taken_back(self, row: SegmentRow, verdicts: Verdicts) -> dict[int, tuple[ExceptionState, int]]:
        found: dict[int, tuple[ExceptionState, int]] = {}
        for slot, word in verdicts.taken_back.items():
            state, segment_id = ExceptionState[HoldingState(word.state).name], row.segment_id
            reader, agreement_id = self.shared.reader, self.desk.agreement_id
            found[slot] = state, await taking_back_of(reader, agreement_id, self.to, segment_id, word.log_index, state)
        return found

    async def _breathe(self) -> None:
        await breathe(self.transport_class)

    # --- what is looked at ------------------------------------------------------------------------------------------

    async def _row(self, reference: Reference) -> SegmentRow:
        row = await self.shared.shelf.segment(self.desk.agreement_id, reference.item)
        reference.segment_id = row.segment_id
        return row

    async def _reports(self, row: SegmentRow) -> dict[int, ReportRow]:
        found = await self.shared.reader.reports_of(self.desk.agreement_id, [row.item])
        return {one.slot: one for one in found.get(row.item, ())}

    async def _judge(
        self, row: SegmentRow, slots: int, *, first_time: bool
    ) -> tuple[Verdicts, Mapping[int, ReportRow]]:
        """Say what may be done with slots; give their reports too where it is not the same for all."""
        now_ms, rechecker = self.shared.clock.now_ms(), self.shared.rechecker
        segment: Segment | None = None
        denied = 0
        if slots and rechecker.may_have_changed(row, self.standing, self.node, now_ms):
            segment = parse_segment(row.data, self.memo)
            under = self.standing.compiled_before(now_ms)
            denied = await rechecker.denied(under, segment, slots, self.node, now_ms, breathe=self._breathe)
        taken_back = self.desk.taken_back.get(row.item, {})
        # What takes back is itself held by nothing.
        may_hold = first_time and slots and not is_control(self.transport_class)
        holds = [one for one in self.desk.holds if row.item < one.item_next] if may_hold else []
        if not (holds or denied or taken_back) and all_may_go(row, now_ms):
            return Verdicts(slots), {}
        reports = await self._reports(row) if slots else {}
        if not holds:
            return judge(slots, reports, now_ms, denied=denied, words=taken_back), reports
        keys = [(row.item, slot) for slot in slots_of(slots)]
        words = (await self.shared.reader.known(self.desk.agreement_id, Reads(holdings=keys))).holdings
        suspensions: list[Suspension] = []
        for hold in holds:
            held = slots
            if hold.clauses:
                segment = segment or parse_segment(row.data, self.memo)
                suspended = self.standing.while_suspended(hold.clauses, now_ms)
                held = await rechecker.denied(suspended, segment, slots, self.node, now_ms, breathe=self._breathe)
            suspensions.append(Suspension(hold.log_index, held))
        by_slot = {slot: word for (_, slot), word in words.items()} | taken_back
        return judge(slots, reports, now_ms, denied=denied, suspensions=suspensions, words=by_slot), reports


async def breathe(transport_class: int) -> None:
    """Let what is more urgent pass, where the work at hand is not urgent itself."""
    if transport_class >= _PATIENT_CLASS:
        await asyncio.sleep(0)
