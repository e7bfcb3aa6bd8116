"""What a consumer is told of its place: caught up, behind, how much is held, that the broker is in maintenance."""

from __future__ import annotations

from collections.abc import Mapping

from comity_broker.dispatch.credits import ROUTINE_CLASS, Credits
from comity_broker.dispatch.desk import Desk
from comity_broker.dispatch.frames import CaughtUp, FellBehind, Frame, Held, InMaintenance
from comity_broker.dispatch.handing import HandingOver
from comity_broker.dispatch.shared import Shared


class Telling:
    """Says each thing once, when it becomes true. `nothing_waits` is as it was when news was asked for last."""

    def __init__(self, shared: Shared, desks: Mapping[str, Desk], handing: HandingOver, credits_: Credits) -> None:
        self._shared = shared
        self._desks = desks
        self._handing = handing
        self._credits = credits_
        self.nothing_waits = False
        self._caught_up = False
        self._held: dict[str, int] = {}
        self._held_until = 0

    def news(self, *, elsewhere: bool) -> list[Frame]:
        """Give what is to be told now; asked only while nothing is on its way on this stream.

        What is `elsewhere`, on the stream for what is urgent, may come after this one: nobody is caught up before it is answered.
        """
        frames: list[Frame] = []
        held_until = self._shared.held_until()
        if held_until != self._held_until:
            self._held_until = held_until
            frames.append(InMaintenance(held_until))
        waiting = self.waiting
        self.nothing_waits = not waiting
        if not waiting and not elsewhere and not self._caught_up:
            self._caught_up = True
            frames.append(CaughtUp())
        elif waiting and self._caught_up and not self._credits.free(ROUTINE_CLASS):
            self._caught_up = False
            frames.append(FellBehind(waiting))
        for desk in self._desks.values():
            held = self.held(desk)
            if held != self._held.get(desk.agreement_id, 0):
                self._held[desk.agreement_id] = held
                frames.append(Held(desk.agreement_id, held))
        return frames

    def held(self, desk: Desk) -> int:
        """Give how many reports of an agreement that were read ahead are held."""
        if self._handing.deliverable(desk) is not None:
            return desk.held
        return desk.held + sum(slots.bit_count() for _, _, slots in desk.unhanded())

    @property
    def waiting(self) -> int:
        """Give how many reports at least are due and not handed over."""
        return sum(self._due(desk) for desk in self._desks.values() if self._handing.deliverable(desk) is not None)

    def _due(self, desk: Desk) -> int:
        now, now_ms = self._shared.clock.monotonic(), self._shared.clock.now_ms()
        count = 0
        for cursor in desk.cursors.values():
            if cursor.waits_until_ms <= now_ms:
                count += cursor.owed(now) + sum(not one.slots for one in cursor.again(now))
                count += int(cursor.more or (cursor.blocked and cursor.ahead > 0))
        return count + sum(
            slots.bit_count() or 1
            for cursor, _, slots in desk.unhanded()
            if cursor.waits_until_ms <= now_ms and not cursor.blocked
        )
