"""Delivery against its model while reports are recalled, whatever is under way: by the log nothing is handed over after its recall."""

from __future__ import annotations

import asyncio

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from builders_dispatch_machine import Delivery
from builders_dispatch_recalls import hear, take_back
from builders_dispatch_segments import EPOCH
from comity_broker.auditlog.kinds import EventKind

# A recall has all that waits decided anew, and what is more urgent than these needs an officer to be permitted.
LANES = [(4, EPOCH), (4, bytes(16)), (3, EPOCH), (0, EPOCH)]


class Recalls(Delivery):
    """The consumer of `Delivery`, and an originator that takes reports back."""

    @initialize()
    def begin(self) -> None:
        super().begin()
        self.admitted: list = []
        self.seen = {lane: [] for lane in LANES}

    @rule(lane=st.sampled_from(LANES), due=st.lists(st.booleans(), min_size=1, max_size=4))
    def admit(self, lane, due) -> None:
        slots = [slot for slot, one in enumerate(due) if one]
        made = self.run(self.world.admit(len(due), transport_class=lane[0], epoch=lane[1], due=slots))
        self.due.update({(lane, made.number(slot)): one for slot, one in enumerate(due)})
        self.admitted += [(made, slot) for slot in slots if lane[0]]

    @rule(data=st.data(), told=st.booleans())
    @precondition(lambda self: self.admitted)
    def recall(self, data, told) -> None:
        """Take a report back; before dispatch is `told`, what it plans is refused."""
        made, slot = data.draw(st.sampled_from(self.admitted))

        async def recalled() -> None:
            await take_back(self.world, made, slot, told=told)
            if not told:
                for _ in range(20):
                    await asyncio.sleep(0)
                hear(self.world)

        self.run(recalled())

    def readable_again(self) -> set[tuple[str, int]]:
        """Give what was handed over and is not recalled; only the readers of the consumer's node are told of a recall."""
        entries = [one for one in self.run(self.world.entries(EventKind.RECALLED)) if one["recipient"]["node"] == "n1"]
        return super().readable_again() - {slot for one in entries for slot in named_by(one)}

    def check_nothing_is_lost(self) -> None:
        super().check_nothing_is_lost()
        gone: set[tuple] = set()
        logged = [
            (one["log_index"], kind, one)
            for kind in (EventKind.RECALLED, EventKind.DELIVERED)
            for one in self.run(self.world.entries(kind))
        ]
        for _, kind, entry in sorted(logged, key=lambda one: one[0]):
            named = named_by(entry)
            if kind is EventKind.DELIVERED:
                assert not gone & named, "a report was handed over after its recall"
            elif entry["recipient"]["node"] == "n1":
                gone |= named


def named_by(entry: dict) -> set[tuple[str, int]]:
    """Give the segment ids and slots that an entry names."""
    return {
        (one["segment_id"], slot)
        for one in entry["segments"]
        for first, last in one["slots"]
        for slot in range(first, last + 1)
    }


Recalls.TestCase.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestRecalls = Recalls.TestCase
