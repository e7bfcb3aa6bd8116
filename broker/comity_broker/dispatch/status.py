"""Numbers of one consumer for operators, counted from the store and the session; of a long backlog at least so many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from comity_broker.dispatch.floors import LaneState
from comity_broker.dispatch.session import Session
from comity_broker.dispatch.shared import Shared
from comity_broker.dispatch.withheld import decode_due
from comity_broker.storage.protocol import ConsumerRow, ExceptionState, FloorRow, LaneRow

_COUNTED: Final = 4096
_PAGE: Final = 512


@dataclass(frozen=True, slots=True)
class ConsumerStatus:
    """One consumer's line. `oldest_waiting_at` is when its oldest open report was admitted, Unix ms; 0 where none is."""

    node: str
    consumer: str
    connected: bool
    backlog: int
    in_flight: int
    credits: int
    oldest_waiting_at: int
    parked: int
    held: int


async def consumer_status(shared: Shared, row: ConsumerRow, session: Session | None) -> ConsumerStatus:
    """Count one consumer."""
    backlog = parked = held = oldest = 0
    for standing in shared.ledger.standings(row.node.partition("/")[0]):
        agreement_id = standing.agreement_id
        exceptions = await shared.reader.exceptions(agreement_id, row.node, row.consumer)
        parked += sum(one.state == ExceptionState.PARKED for one in exceptions)
        floors = {one.lane: one for one in await shared.reader.floors(agreement_id, row.node, row.consumer)}
        for lane in await shared.reader.lanes(agreement_id):
            count, first = await _open(shared, agreement_id, row.node, lane, floors.get(lane.lane))
            backlog += count
            held += _held(floors.get(lane.lane))
            if first:
                admitted_at = (await shared.shelf.segment(agreement_id, first)).admitted_at
                oldest = min(oldest or admitted_at, admitted_at)
    return ConsumerStatus(
        node=row.node,
        consumer=row.consumer,
        connected=session is not None,
        backlog=backlog,
        in_flight=0 if session is None else session.in_flight,
        credits=0 if session is None else max(0, session.credits.reports),
        oldest_waiting_at=oldest,
        parked=parked,
        held=held if session is None else session.held,
    )


async def _open(shared: Shared, agreement_id: str, node: str, lane: LaneRow, floor: FloorRow | None) -> tuple[int, int]:
    """Give how many reports of a lane are open, and the first item that has one, 0 where none has."""
    state = LaneState.decode(floor)
    count = first = 0
    after = state.floor
    while count < _COUNTED:
        rows = await shared.reader.inbox(agreement_id, node, lane.lane, after, _PAGE)
        for row in rows:
            due = decode_due(row.due)
            unsettled = due & ~state.settled(row.item, due)
            count += unsettled.bit_count()
            first = first or (row.item if unsettled else 0)
        if len(rows) < _PAGE:
            break
        after = rows[-1].item
    return count, first


def _held(floor: FloorRow | None) -> int:
    return sum(one.held.bit_count() for one in LaneState.decode(floor).partial.values())
