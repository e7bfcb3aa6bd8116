"""The words on single reports: a consumer's node on what was parked, an originator's node on what was held (design 04).

Parked: each report is parked for that consumer now; it is replayed from attempt 1, which moves no floor, or dropped for good; one
entry for each originator's party. Held: each report is of a lane of the calling node and below a suspension; it is confirmed, which
needs the agreement in force, or withdrawn, which never widens anything; one entry for each recipient node that has it due. A word
counts for the suspensions before it; of two words the newest counts, but what was withdrawn stays withdrawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from comity.errors import AccessError, ConflictError, ErrorCode, MalformedError, NotFoundError
from comity.identity.names import is_exercise
from comity_broker.access import Caller
from comity_broker.auditlog.bodies import SegmentSlots
from comity_broker.auditlog.events import held
from comity_broker.auditlog.kinds import EventKind
from comity_broker.dispatch.answering import SlotName
from comity_broker.dispatch.claiming import consumer_name
from comity_broker.dispatch.dispatcher import Dispatcher
from comity_broker.dispatch.logged import Recipient, places, require_open, said
from comity_broker.dispatch.shared import Shared
from comity_broker.dispatch.withheld import decode_due, mask_of, slots_of
from comity_broker.entries import Salts, add_events
from comity_broker.operations import log_caller
from comity_broker.outcomes import settled
from comity_broker.standing import Standing
from comity_broker.storage.protocol import (
    ExceptionRow,
    ExceptionState,
    Head,
    HoldingRow,
    HoldingState,
    Known,
    LaneRow,
    Reads,
    Rows,
    SegmentRow,
    Unit,
)

SLOTS_LIMIT: Final = 4096
REPLAY_REASON: Final = "replay"
DROP_REASON: Final = "dropped"
_URGENCY: Final = 2


@dataclass(frozen=True, slots=True)
class _Named:
    """One segment that is named, with its lane and the slots that are."""

    row: SegmentRow
    lane: LaneRow
    slots: tuple[int, ...]

    @property
    def party(self) -> str:
        return self.lane.key.node.partition("/")[0]

    @property
    def span(self) -> SegmentSlots:
        return SegmentSlots(self.row.segment_id, self.slots)


class Resolving:
    """Takes these words; `request_id` draws 16 bytes that name a request in the log."""

    def __init__(self, dispatcher: Dispatcher, request_id: Callable[[], bytes]) -> None:
        self._dispatcher = dispatcher
        self._shared = dispatcher.shared
        self._request_id = request_id

    async def parked(self, caller: Caller, consumer: str, names: Sequence[SlotName], *, replay: bool) -> int:
        """Replay or drop parked reports of the calling node's consumer; give the first entry. Raises ComityError."""
        shared = self._shared
        standing, named = await self._named(caller, names)
        name = consumer_name(consumer, exercise=is_exercise(standing.agreement_id))
        to = Recipient(caller.party, caller.identity.name, name, 0, log_caller(caller, self._request_id()))
        kind, reason, state = (
            (EventKind.PARKED_REPLAYED, REPLAY_REASON, ExceptionState.RETRY)
            if replay
            else (EventKind.PARKED_DROPPED, DROP_REASON, ExceptionState.DROPPED)
        )
        events = said(kind, ((one.party, one.span) for one in named), reason=reason, caller=to.caller)
        log = shared.logs.log(standing.agreement_id)
        salts, now = Salts.draw(log, len(events), shared.random_bytes), shared.clock.now_ms()
        keys = [(to.node, name, one.row.item, slot) for one in named for slot in one.slots]

        def build(head: Head, known: Known) -> Rows[int]:
            require_open(head)
            at, where = max(head.broker_time, now), places(head.leaf_next, events)
            rows = Rows(replace(head, broker_time=at), head.leaf_next)
            for one in named:
                for slot in one.slots:
                    before = known.exceptions.get((to.node, name, one.row.item, slot))
                    if before is None or before.state != ExceptionState.PARKED:
                        raise NotFoundError("a report that is named is not parked", code=ErrorCode.ITEM_UNKNOWN)
                    attempts = 0 if replay else before.attempts
                    rows.exceptions.append(
                        ExceptionRow(
                            *(to.node, name, one.row.item, slot, state, attempts, 0, reason), where[kind, one.party]
                        )
                    )
            add_events(rows, log, [one.event(to, at) for one in events], salts)
            return rows

        unit = Unit(standing.agreement_id, build, Reads(exceptions=keys), urgency=_URGENCY)
        log_index = settled(await shared.journal.submit(unit)).result
        for one in named:
            key, place = (to.node, name), (standing.agreement_id, one.row.lane, one.row.item)
            if replay:
                await self._dispatcher.replayed(key, *place, one.slots)
            else:
                self._dispatcher.dropped(key, standing.agreement_id, one.row.item, one.slots)
        return log_index

    async def held(self, caller: Caller, names: Sequence[SlotName], *, confirm: bool) -> int:
        """Confirm or withdraw held reports of the calling node; give the first entry. Raises ComityError."""
        shared = self._shared
        standing, named = await self._named(caller, names)
        await self._check_held(caller, standing, named, confirm=confirm)
        recipients = await self._recipients(standing, caller, named)
        by = log_caller(caller, self._request_id())
        kind, state, reason = (
            (EventKind.HELD_CONFIRMED, HoldingState.CONFIRMED, "confirmed by its originator")
            if confirm
            else (EventKind.HELD_WITHDRAWN, HoldingState.WITHDRAWN, "withdrawn by its originator")
        )
        log = shared.logs.log(standing.agreement_id)
        salts, now = Salts.draw(log, len(recipients), shared.random_bytes), shared.clock.now_ms()
        keys = [(one.row.item, slot) for one in named for slot in one.slots]

        def build(head: Head, known: Known) -> Rows[int]:
            require_open(head)
            at = max(head.broker_time, now)
            rows = Rows(replace(head, broker_time=at), head.leaf_next)
            for key in keys:
                before = known.holdings.get(key)
                if before is not None and before.state != HoldingState.CONFIRMED:
                    raise ConflictError(
                        "a report that is named was withdrawn or recalled", code=ErrorCode.TRANSITION_NOT_ALLOWED
                    )
                rows.holdings.append(HoldingRow(*key, state, head.leaf_next))
            events = [
                held(
                    kind,
                    time=at,
                    caller=by,
                    originator=caller.party,
                    recipient=recipient,
                    segments=spans,
                    reason=reason,
                )
                for recipient, spans in recipients
            ]
            add_events(rows, log, events, salts)
            return rows

        # Whether it may be confirmed depends on the agreement's state; a withdrawal depends on nothing.
        epoch, beside = (standing.epoch, standing.beside) if confirm else (None, None)
        unit = Unit(
            standing.agreement_id, build, Reads(holdings=keys), urgency=_URGENCY, expected_epoch=epoch, beside=beside
        )
        log_index = settled(await shared.journal.submit(unit)).result
        self._dispatcher.changed(standing.agreement_id)
        return log_index

    # --- what is named ----------------------------------------------------------------------------------------------

    async def _named(self, caller: Caller, names: Sequence[SlotName]) -> tuple[Standing, list[_Named]]:
        agreements = {one.agreement_id for one in names}
        if len(agreements) != 1 or len(names) > SLOTS_LIMIT:
            raise MalformedError(f"1 to {SLOTS_LIMIT} reports of one agreement are named at once")
        standing = self._shared.ledger.require_book(agreements.pop(), caller.party)
        by_segment: dict[bytes, set[int]] = {}
        for name in names:
            by_segment.setdefault(name.segment_id, set()).add(name.slot)
        lanes = {row.lane: row for row in await self._shared.reader.lanes(standing.agreement_id)}
        named: list[_Named] = []
        for segment_id, slots in by_segment.items():
            found = await self._shared.reader.known(standing.agreement_id, Reads(segment_ids=[segment_id]))
            row = found.segments.get(segment_id)
            if row is None or any(not 0 <= slot < row.slots for slot in slots):
                raise NotFoundError("no such report is here", code=ErrorCode.ITEM_UNKNOWN)
            named.append(_Named(row._replace(data=b""), lanes[row.lane], tuple(sorted(slots))))
        return standing, named

    async def _check_held(self, caller: Caller, standing: Standing, named: Sequence[_Named], *, confirm: bool) -> None:
        if any(one.lane.key.node != str(caller.identity) for one in named):
            raise AccessError("only the node that sent a report says a word on it", code=ErrorCode.ACTING_FOR_ANOTHER)
        now_ms = self._shared.clock.now_ms()
        holds = await self._shared.reader.holds(standing.agreement_id)
        below = max((one.item_next for one in holds), default=0)
        if any(one.row.item >= below for one in named):
            raise ConflictError(
                "a report that is named came after every suspension: it is not held",
                code=ErrorCode.TRANSITION_NOT_ALLOWED,
            )
        if confirm and not standing.in_force(now_ms):
            raise ConflictError(
                f"{standing.agreement_id} is not in force: nothing can be confirmed now",
                what_to_do="Wait for the resume; what must not be shared any more can be withdrawn now.",
                code=ErrorCode.REPORT_HELD,
            )

    async def _recipients(
        self, standing: Standing, caller: Caller, named: Sequence[_Named]
    ) -> list[tuple[tuple[str, str], tuple[SegmentSlots, ...]]]:
        found: list[tuple[tuple[str, str], tuple[SegmentSlots, ...]]] = []
        for party in standing.parties:
            for record in self._shared.keys.nodes(party) if party != caller.party else ():
                node = f"{record.party}/{record.node}"
                spans = [await _due_of(self._shared, standing.agreement_id, node, one) for one in named]
                kept = tuple(span for span in spans if span.slots)
                if kept:
                    found.append(((record.party, record.node), kept))
        if not found:
            raise NotFoundError("no node has these reports due", code=ErrorCode.ITEM_UNKNOWN)
        return found


async def _due_of(shared: Shared, agreement_id: str, node: str, one: _Named) -> SegmentSlots:
    rows = await shared.reader.inbox(agreement_id, node, one.row.lane, one.row.item - 1, 1)
    due = decode_due(rows[0].due) if rows and rows[0].item == one.row.item else 0
    return SegmentSlots(one.row.segment_id, list(slots_of(due & mask_of(one.slots))))
