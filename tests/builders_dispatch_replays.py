"""Replays in the world of delivery: asked for, read to their end, and held against what the log and the store say."""

from __future__ import annotations

from contextlib import aclosing

from builders_dispatch import DispatchWorld
from builders_dispatch_segments import AGREEMENT, caller_of
from builders_identity import Held
from comity.envelope.segment import parse_segment
from comity_broker.auditlog.kinds import EventKind
from comity_broker.dispatch.frames import Delivered, SkipReason
from comity_broker.dispatch.replayed import Start
from comity_broker.dispatch.replaying import Asking, Ended, Replaying

FROM_THE_BEGINNING = Start(since=1)


def asking(
    start: Start = FROM_THE_BEGINNING, *, consumer: str = "", reports: int = 1000, size: int = 1 << 26
) -> Asking:
    return Asking(AGREEMENT, consumer, start, reports, size)


def replaying(world: DispatchWorld) -> Replaying:
    return Replaying(world.dispatcher, lambda: bytes(16))


async def replayed(
    world: DispatchWorld, asked: Asking | None = None, *, of: Replaying | None = None, held: Held | None = None
) -> tuple[list[Delivered], Ended]:
    """Read a replay to its end."""
    who = caller_of(held or world.people.reader)
    async with aclosing((of or replaying(world)).frames(who, asked or asking())) as frames:
        came = [frame async for frame in frames]
    *deliveries, ended = came
    assert isinstance(ended, Ended)
    assert all(isinstance(one, Delivered) for one in deliveries)
    return deliveries, ended


async def logged(world: DispatchWorld, kind: EventKind) -> list[tuple[str, int]]:
    """Give every (segment id, slot) that entries of a kind name, in the log's order."""
    return [
        (span["segment_id"], slot)
        for entry in await world.entries(kind)
        for span in entry["segments"]
        for first, last in span["slots"]
        for slot in range(first, last + 1)
    ]


def slots_of_frames(frames: list[Delivered]) -> list[tuple[str, int]]:
    """Give every (segment id, slot) that frames bring."""
    return [(parse_segment(one.segment).segment_id.hex(), slot) for one in frames for slot, _ in one.slots]


def reasons(frame: Delivered) -> dict[int, SkipReason]:
    """Give why numbers of a frame are not here."""
    return {one.origin_sequence: one.reason.why for one in frame.absent}


async def delivery_state(world: DispatchWorld, node: str = "XBO/n1", consumer: str = "default") -> tuple:
    """Give all that delivery keeps of a consumer, and its session."""
    reader = world.reader
    return (
        await reader.floors(AGREEMENT, node, consumer),
        await reader.exceptions(AGREEMENT, node, consumer),
        [row for row in await reader.consumers() if (row.node, row.consumer) == (node, consumer)],
    )
