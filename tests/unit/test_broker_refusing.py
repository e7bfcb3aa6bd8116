"""What a refusal costs its sender: as many as slots were refused, and one where the broker was in no state to take it."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

import pytest

from builders_sdk import AGREEMENT, report, sharing
from comity.envelope.evidence import SlotCode
from comity.envelope.segment import parse_segment
from comity.errors import ErrorCode, RefusedError
from comity.v1 import exchange_pb2
from comity_broker.services import publishing
from comity_broker.slots import SlotRefused

REPORTS = 20


@pytest.fixture
def frames(monkeypatch):
    """Every batch that came to a broker, as it came."""
    came: list[exchange_pb2.PublishBatch] = []
    honest = publishing._batch_frame
    monkeypatch.setattr(publishing, "_batch_frame", lambda batch: came.append(batch) or honest(batch))
    return came


@contextlib.asynccontextmanager
async def timeless(tmp_path):
    """Two nations at a broker at which no refusal is ever given back."""
    async with sharing(tmp_path) as world:
        budget = world.world.broker.publishing._budget
        budget.monotonic = lambda: 0.0
        budget._buckets.clear()
        yield world


def left(world, held) -> float:
    """Give how many refusals a node may cause before it waits."""
    return world.world.broker.publishing._budget._filled(str(held.identity)).left


async def sent(world) -> list[object]:
    """Send reports at once, so that they share a segment; give what became of each."""
    async with world.node("XBO") as sender:
        one = report(marking="SECRET//REL TO XBO, XAR")
        sending = [sender.send(one, agreement=AGREEMENT) for _ in range(REPORTS)]
        return await asyncio.gather(*sending, return_exceptions=True)


def slots_of(frames) -> list[int]:
    return [len(parse_segment(data).items) for batch in frames for data in batch.segments]


def largest(frames) -> exchange_pb2.PublishBatch:
    return max(frames, key=lambda one: sum(slots_of([one])))


async def test_each_refused_slot_of_a_segment_counts(tmp_path, frames):
    async with timeless(tmp_path) as world:
        admission = world.world.broker.publishing._admission
        honest = admission._slot

        def refusing(*given):
            return replace(honest(*given), refused=SlotRefused(SlotCode.POLICY, RefusedError("not this one")))

        admission._slot = refusing
        before = left(world, world.nodes["XBO"])
        became = await sent(world)
        assert all(isinstance(one, RefusedError) for one in became)
        assert max(slots_of(frames)) > 1
        assert before - left(world, world.nodes["XBO"]) == sum(slots_of(frames)) == REPORTS


async def published(world, batch, held) -> set[ErrorCode]:
    """Bring a batch again; give why its segments are refused."""
    async with world.world.connection(held) as connection:
        ask = exchange_pb2.PublishOneRequest(batch=batch)
        answer = await connection.call(connection.exchange.PublishOne, ask)
    return {one.refusal.code for one in answer.refusals}


async def test_a_segment_that_is_refused_whole_counts_for_all_its_slots(tmp_path, frames):
    async with timeless(tmp_path) as world:
        await sent(world)
        stranger, shared = world.nodes["XAR"], largest(frames)
        before = left(world, stranger)
        assert await published(world, shared, stranger) == {ErrorCode.ACTING_FOR_ANOTHER}
        assert before - left(world, stranger) == sum(slots_of([shared])) > 1


async def test_a_segment_that_comes_while_the_log_is_frozen_counts_once(tmp_path, frames):
    async with timeless(tmp_path) as world:
        await sent(world)
        broker, node, shared = world.world.broker, world.nodes["XBO"], largest(frames)

        async def new(*_):
            return None

        broker.publishing._admission.stored = new
        await broker.agreements.freeze(AGREEMENT, "two histories")
        before = left(world, node)
        assert await published(world, shared, node) == {ErrorCode.LOG_FROZEN}
        assert before - left(world, node) == len(shared.segments) < sum(slots_of([shared]))
