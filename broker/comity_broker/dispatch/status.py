"""Numbers of one consumer for operators, counted from the store and the session; of a long backlog at least so many.

Counting gives way between any two pages that it reads, and reads no segment twice for its age, so that whoever asks often holds
nobody up.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from comity.identity.names import is_exercise
from comity_broker.dispatch.floors import LaneState
from comity_broker.dispatch.session import Session
from comity_broker.dispatch.shared import Shared
from comity_broker.dispatch.shelf import missing
from comity_broker.dispatch.withheld import decode_due
from comity_broker.storage.protocol import ConsumerRow, ExceptionRow, ExceptionState, FloorRow, LaneRow

_COUNTED: Final = 4096
_PAGE: Final = 512
_AGES: Final = 4096


@dataclass(frozen=True, slots=True)
class AgreementBacklog:
    """What of one agreement a consumer has open: by class, the admission of the oldest (0 where none is), parked and held."""

    agreement_id: str
    backlog: dict[int, int]
    oldest_waiting_at: int
    parked: int
    held: int


@dataclass(frozen=True, slots=True)
class ConsumerStatus:
    """One consumer's line. `oldest_waiting_at` is when its oldest open report was admitted, Unix ms; 0 where none is.

    `retried` reports are being handed over again, `attempts` times the one that was so most often. `stalled_since` is
    since when a stalled one gets nothing, Unix ms; 0 where it is not stalled.
    """

    node: str
    consumer: str
    connected: bool
    under: tuple[AgreementBacklog, ...]
    in_flight: int
    credits: int
    retried: int
    attempts: int
    stalled_since: int

    @property
    def party(self) -> str:
        """Give the party."""
        return self.node.partition("/")[0]

    @property
    def by_class(self) -> dict[int, int]:
        """Give the backlog of each class that has one, the most urgent first."""
        found: dict[int, int] = {}
        for one in self.under:
            for transport_class, count in one.backlog.items():
                found[transport_class] = found.get(transport_class, 0) + count
        return dict(sorted(found.items()))

    @property
    def backlog(self) -> int:
        """Give how many reports are open."""
        return sum(self.by_class.values())

    @property
    def oldest_waiting_at(self) -> int:
        """Give when the oldest open report was admitted, Unix ms; 0 where none is."""
        return min((one.oldest_waiting_at for one in self.under if one.oldest_waiting_at), default=0)

    @property
    def parked(self) -> int:
        """Give how many reports are parked."""
        return sum(one.parked for one in self.under)

    @property
    def held(self) -> int:
        """Give how many reports are held."""
        return sum(one.held for one in self.under)


@dataclass(slots=True)
class Ages:
    """When segments were admitted, of the newest that were asked for; a segment is read for it past the shelf of deliveries."""

    _known: OrderedDict[tuple[str, int], int] = field(default_factory=OrderedDict)

    async def admitted_at(self, shared: Shared, agreement_id: str, item: int) -> int:
        """Give when a segment was admitted, Unix ms; raises StorageError where the store lacks one that an inbox names."""
        key = (agreement_id, item)
        if key not in self._known:
            row = (await shared.reader.segments(agreement_id, [item])).get(item)
            if row is None:
                raise missing("a segment that an inbox names")
            self._known[key] = row.admitted_at
            while len(self._known) > _AGES:
                self._known.popitem(last=False)
        return self._known[key]


async def consumer_status(
    shared: Shared, ages: Ages, row: ConsumerRow, session: Session | None, stalled_since: int
) -> ConsumerStatus:
    """Count one consumer."""
    under: list[AgreementBacklog] = []
    retried: list[int] = []
    for standing in shared.ledger.traffic(row.node.partition("/")[0], exercise=is_exercise(row.consumer)):
        exceptions = await shared.reader.exceptions(standing.agreement_id, row.node, row.consumer)
        retried += [one.attempts for one in exceptions if one.state == ExceptionState.RETRY]
        under.append(await _under(shared, ages, row, standing.agreement_id, exceptions, session))
    return ConsumerStatus(
        node=row.node,
        consumer=row.consumer,
        connected=session is not None,
        under=tuple(under),
        in_flight=0 if session is None else session.in_flight,
        credits=0 if session is None else max(0, session.credits.reports),
        retried=len(retried),
        attempts=max(retried, default=0),
        stalled_since=stalled_since,
    )


async def _under(  # noqa: PLR0917 - what one line is counted from
    shared: Shared,
    ages: Ages,
    row: ConsumerRow,
    agreement_id: str,
    exceptions: Sequence[ExceptionRow],
    session: Session | None,
) -> AgreementBacklog:
    backlog: dict[int, int] = {}
    held = oldest = 0
    floors = {one.lane: one for one in await shared.reader.floors(agreement_id, row.node, row.consumer)}
    for lane in await shared.reader.lanes(agreement_id):
        count, first = await _open(shared, agreement_id, row.node, lane, floors.get(lane.lane))
        if count:
            transport_class = lane.key.transport_class
            backlog[transport_class] = backlog.get(transport_class, 0) + count
        held += _held(floors.get(lane.lane))
        if first:
            admitted_at = await ages.admitted_at(shared, agreement_id, first)
            oldest = min(oldest or admitted_at, admitted_at)
    parked = sum(one.state == ExceptionState.PARKED for one in exceptions)
    counted = None if session is None else session.held_under(agreement_id)
    return AgreementBacklog(agreement_id, backlog, oldest, parked, held if counted is None else counted)


async def _open(shared: Shared, agreement_id: str, node: str, lane: LaneRow, floor: FloorRow | None) -> tuple[int, int]:
    """Give how many reports of a lane are open, and the first item that has one, 0 where none has."""
    state = LaneState.decode(floor)
    count = first = 0
    after = state.floor
    while count < _COUNTED:
        await asyncio.sleep(0)
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
