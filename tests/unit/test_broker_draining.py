"""A broker that is about to stop: publishers are told at once, and whatever was taken from them is answered first."""

from __future__ import annotations

import asyncio
import contextlib

from builders_broker import brokered
from builders_sdk import AGREEMENT, report, sharing, until
from comity.v1 import exchange_pb2
from comity_broker import access
from comity_broker.settings import Settings

OPEN = exchange_pb2.PublishRequest(open=exchange_pb2.PublishOpen(window=4))
GARBAGE = exchange_pb2.PublishRequest(
    batch=exchange_pb2.PublishBatch(segments=[b"x"], indices=[0], segment_ids=[bytes(48)])
)


async def test_a_publisher_that_sends_nothing_is_told_of_a_drain_at_once(tmp_path):
    async with sharing(tmp_path) as world, world.world.connection(world.nodes["XBO"]) as connection:
        stream = connection.exchange.Publish()
        await stream.write(OPEN)
        assert (await stream.read()).WhichOneof("frame") == "opened"
        world.world.broker.publishing.drain()
        reading = asyncio.ensure_future(stream.read())
        await until(reading.done)
        assert reading.result().WhichOneof("frame") == "draining"
        ended = asyncio.ensure_future(stream.code())
        await until(ended.done)
        assert ended.result().name == "OK"


async def test_a_broker_that_stops_does_not_wait_out_its_drain_for_a_publisher_that_sends_nothing(tmp_path):
    settings = Settings(listen="127.0.0.1:0", drain=86_400.0)

    async def life():
        async with contextlib.AsyncExitStack() as connections:
            async with brokered(tmp_path, settings) as world:
                node = await world.enrolled(world.xbo.node("n1"))
                connection = await connections.enter_async_context(world.connection(node))
                stream = connection.exchange.Publish()
                await stream.write(OPEN)
                assert (await stream.read()).WhichOneof("frame") == "opened"
            return (await stream.read()).WhichOneof("frame")

    living = asyncio.create_task(life())
    try:
        await until(living.done, turns=1_000_000)
        assert living.result() == "draining"
    finally:
        living.cancel()


async def test_a_publisher_that_has_not_even_opened_does_not_hold_a_drain(tmp_path):
    async with sharing(tmp_path) as world, world.world.connection(world.nodes["XBO"]) as connection:
        stream = connection.exchange.Publish()
        await stream.wait_for_connection()
        world.world.broker.publishing.drain()
        ended = asyncio.ensure_future(stream.code())
        await until(ended.done)
        assert ended.result().name == "UNAVAILABLE"


async def test_a_report_under_way_gets_its_receipt_although_the_broker_drains(tmp_path):
    async with sharing(tmp_path) as world, world.node("XBO") as sender:
        broker, gate = world.world.broker, asyncio.Event()
        honest, handed = broker.journal.submit, []

        async def slow(unit):
            handed.append(unit)
            await gate.wait()
            return await honest(unit)

        broker.publishing._journal = type("Slow", (), {"submit": staticmethod(slow)})()
        sent = report(marking="SECRET//REL TO XBO, XAR")
        sending = asyncio.ensure_future(sender.send(sent, agreement=AGREEMENT))
        await until(lambda: handed)
        broker.publishing.drain()
        gate.set()
        # Streams that come later are refused, so the receipt came on the one that was drained.
        await until(sending.done)
        assert sending.result().report_id
        assert len(handed) == 1


async def test_a_segment_that_waits_for_room_is_not_taken_any_more(tmp_path):
    async with sharing(tmp_path) as world:
        broker, node = world.world.broker, world.nodes["XBO"]
        who = broker.directory.caller(f"spiffe://xbo.example/node/{node.identity.name}", node.certificate_pem)
        taken, never = 0, asyncio.Event()

        async def requests():
            nonlocal taken
            yield OPEN
            while taken < 50:
                taken += 1
                yield GARBAGE
            await never.wait()

        access._CALLER.set(who)
        stream = broker.publishing.Publish(requests(), None)
        assert (await anext(stream)).WhichOneof("frame") == "opened"
        first = await anext(stream)
        for _ in range(2_000):
            await asyncio.sleep(0)
        broker.publishing.drain()

        async def rest():
            return [first, *[frame async for frame in stream]]

        reading = asyncio.ensure_future(rest())
        await until(reading.done)
        kinds = [frame.WhichOneof("frame") for frame in reading.result()]
        assert kinds[-1] == "draining"
        assert 4 <= kinds.count("refusal") <= taken < 50
