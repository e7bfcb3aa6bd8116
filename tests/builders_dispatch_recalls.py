"""Reports taken back in the world of delivery: what admission commits with a recall, and how dispatch hears of it."""

from __future__ import annotations

from dataclasses import replace

from builders_dispatch import DispatchWorld
from builders_dispatch_segments import AGREEMENT, Made
from comity_broker.auditlog.bodies import Caller, SegmentSlots
from comity_broker.auditlog.events import taken_back
from comity_broker.auditlog.kinds import EventKind
from comity_broker.entries import Salts, add_events
from comity_broker.storage.protocol import HoldingRow, HoldingState, Rows

NODES = (("XBO", "n1"), ("XBO", "n2"))
STATES = {EventKind.RECALLED: HoldingState.RECALLED, EventKind.SUPERSEDED: HoldingState.SUPERSEDED}


async def take_back(
    world: DispatchWorld, made: Made, *slots: int, kind: EventKind = EventKind.RECALLED, told: bool = True
) -> int:
    """Commit what admission commits with a recall; gives its first entry. Not `told`: dispatch has not heard of it yet."""
    salts = Salts.draw(world.log, len(NODES), world.random)
    caller = Caller("XAR", "n1", certificate=bytes(48), request=bytes(16))

    def build(head, _):
        rows = Rows(replace(head.raised(), broker_time=world.clock.now_ms()), head.leaf_next)
        rows.holdings.extend(HoldingRow(made.item, slot, STATES[kind], head.leaf_next) for slot in slots)
        events = [
            taken_back(
                kind,
                time=world.clock.now_ms(),
                caller=caller,
                recipient=node,
                segments=[SegmentSlots(made.segment_id, slots)],
                report_id=bytes(16),
                leaf=bytes(48),
            )
            for node in NODES
        ]
        add_events(rows, world.log, events, salts)
        return rows

    log_index = await world.commit(build)
    if told:
        hear(world)
    return log_index


def hear(world: DispatchWorld) -> None:
    """Have dispatch hear of a recall that was committed."""
    world.standing.epoch += 1
    world.ledger.changed(AGREEMENT)
