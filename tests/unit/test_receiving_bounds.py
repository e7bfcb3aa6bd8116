"""A broker that hands over more than it was allowed fills no memory: nothing is read from it until there is room again."""

from __future__ import annotations

import asyncio
import contextlib

from builders_receiving import receiving
from builders_sdk import until
from comity.node import receiving as receiver_module


async def test_a_broker_that_does_not_keep_to_its_credit_is_read_no_further(tmp_path, monkeypatch):
    async with receiving(tmp_path) as world:
        frame = world.hand.frame(1)
        size = frame.ByteSize()
        monkeypatch.setattr(receiver_module, "HELD_BYTES", 3 * size)
        receiver = await world.receiver()
        async with contextlib.aclosing(receiver.deliveries(follow=False)) as deliveries:
            world.hand_over(frame)
            first = await anext(deliveries)
            # The report is in the application's hands, and the same segment comes again and again.
            world.hand_over(*[frame] * 50)
            world.catch_up()
            await until(lambda: receiver._held_bytes > 3 * size)
            await until(world.waiting.empty)
            for _ in range(1000):
                await asyncio.sleep(0)
            assert sum(map(len, receiver._frames)) == 4
            assert not receiver._caught_up
            first.acknowledge()
            assert [delivery.report.text async for delivery in deliveries] == []
            assert receiver._caught_up
        assert world.outcomes(frame) == [1]
        assert world.alarms() == []


async def test_whoever_leaves_is_not_kept_by_what_was_not_read(tmp_path, monkeypatch):
    async with receiving(tmp_path) as world:
        frame = world.hand.frame(1)
        monkeypatch.setattr(receiver_module, "HELD_BYTES", frame.ByteSize())
        receiver = await world.receiver()
        async with contextlib.aclosing(receiver.deliveries(follow=True)) as deliveries:
            world.hand_over(frame)
            first = await anext(deliveries)
            world.hand_over(*[frame] * 20)
            await until(lambda: receiver._held_bytes > frame.ByteSize())
            first.acknowledge()
        assert world.outcomes(frame) == [1]
        assert sum(map(len, receiver._frames)) == 2
