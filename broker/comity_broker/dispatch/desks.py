"""The desks of one session: what its consumer has under each agreement, as one collection.

What the dispatcher tells of an agreement reaches the desk for it; an agreement that this session has no desk for is none of
its business, and is answered with None.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from comity_broker.dispatch.desk import AHEAD_LIMIT, Desk
from comity_broker.dispatch.lanes import LaneCursor
from comity_broker.dispatch.logged import Recipient
from comity_broker.dispatch.shared import Shared
from comity_broker.storage.protocol import InboxRow, LaneRow


class Desks(Mapping[str, Desk]):
    """The desks of one consumer by agreement. What gives classes gives those in which something may have come."""

    def __init__(self, shared: Shared, to: Recipient) -> None:
        self._shared = shared
        self._to = to
        self._desks: dict[str, Desk] = {}

    def __getitem__(self, agreement_id: str) -> Desk:
        return self._desks[agreement_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._desks)

    def __len__(self) -> int:
        return len(self._desks)

    @property
    def cursors(self) -> Iterator[LaneCursor]:
        """Give every lane of every agreement."""
        return (cursor for desk in self._desks.values() for cursor in desk.cursors.values())

    @property
    def in_flight(self) -> int:
        """Give how many reports are with the consumer or on their way."""
        return sum(desk.in_flight for desk in self._desks.values())

    async def take_in(self, agreement_id: str) -> bool:
        """Take an agreement in, as it stands for this consumer; says whether it was not here before."""
        if agreement_id in self._desks:
            return False
        desk = Desk(agreement_id, self._to.node, self._to.consumer)
        await desk.load(self._shared.reader, self._shared.shelf, self._shared.clock.monotonic())
        # Two may have read while neither was here; the first to come stays.
        return self._desks.setdefault(agreement_id, desk) is desk

    def brought(self, agreement_id: str, lane: LaneRow, inbox: InboxRow | None) -> set[int] | None:
        """Take that a segment was admitted into a lane, and what this node gets of it, if anything; gives classes."""
        desk = self._desks.get(agreement_id)
        if desk is None:
            return None
        transport_class = lane.key.transport_class
        room = sum(one.ahead(transport_class) for one in self._desks.values()) < AHEAD_LIMIT
        clock = self._shared.clock
        return desk.brought(lane, inbox, clock.monotonic(), clock.now_ms(), room=room)

    def admitted(self, agreement_id: str, lanes: Sequence[LaneRow]) -> set[int] | None:
        """Take an agreement's lanes as they are now; gives classes."""
        desk = self._desks.get(agreement_id)
        return None if desk is None else desk.grew(lanes)

    async def replayed(self, agreement_id: str, lane: int, item: int, slots: Collection[int]) -> bool:
        """Take up again what was parked; says whether there is such a lane here."""
        desk = self._desks.get(agreement_id)
        cursor = None if desk is None else desk.cursors.get(lane)
        if desk is None or cursor is None:
            return False
        now = self._shared.clock.monotonic()
        await desk.replay(self._shared.reader, cursor, item, dict.fromkeys(slots, 0), now)
        return True

    def dropped(self, agreement_id: str, item: int, slots: Collection[int]) -> None:
        """Forget what was parked."""
        desk = self._desks.get(agreement_id)
        for slot in slots if desk is not None else ():
            self._desks[agreement_id].unpark(item, slot)

    def look_again(self, agreement_id: str) -> bool:
        """Have what is held or waits under an agreement looked at again; says whether it is here."""
        desk = self._desks.get(agreement_id)
        if desk is not None:
            desk.look_again()
        return desk is not None
