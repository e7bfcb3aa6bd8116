"""A session of two streams: what is urgent comes on its own, and the two are one session."""

from __future__ import annotations

import asyncio

import pytest

from builders_dispatch import STORES, opened
from builders_dispatch_consumer import outcomes_of
from builders_dispatch_segments import caller_of
from comity.envelope.segment import parse_segment
from comity.errors import ConflictError, ErrorCode, UnreachableError
from comity_broker.dispatch.frames import CaughtUp, Delivered


@pytest.fixture(params=STORES)
async def world(request, tmp_path):
    async with opened(request.param, tmp_path) as made:
        yield made


async def urgent_frames(session, writing, count):
    """Read so many frames of the stream that joined."""
    frames = []
    async with asyncio.timeout(20):
        while len(frames) < count:
            frames.append(await session.next_urgent(writing))
            session.written(writing)
    return frames


def classes(frames):
    return [parse_segment(frame.segment).transport_class for frame in frames]


async def test_what_is_urgent_comes_on_the_stream_that_joined_and_nothing_else_does(world):
    consumer = await world.connect()
    writing = consumer.session.join()
    for transport_class in (4, 1, 3, 2):
        await world.admit(1, transport_class=transport_class)
    assert classes(await urgent_frames(consumer.session, writing, 2)) == [1, 2]
    assert sorted(classes(await consumer.deliveries())) == [3, 4]


async def test_what_came_on_the_one_stream_is_acknowledged_on_the_other(world):
    consumer = await world.connect()
    writing = consumer.session.join()
    await world.admit(1, transport_class=1)
    (frame,) = await urgent_frames(consumer.session, writing, 1)
    await consumer.acknowledge(frame)
    assert consumer.session.in_flight == 0


async def test_each_stream_brings_the_key_packets_it_has_not_brought(world):
    consumer = await world.connect()
    await world.admit(1)
    first = await consumer.delivery()
    writing = consumer.session.join()
    await world.admit(1, transport_class=1)
    await world.admit(1)
    (urgent,) = await urgent_frames(consumer.session, writing, 1)
    second = await consumer.delivery()
    assert urgent.key_packets == first.key_packets != ()
    assert second.key_packets == ()


async def test_one_stream_joins_and_only_a_session_that_is_there(world):
    consumer = await world.connect()
    consumer.session.join()
    with pytest.raises(ConflictError) as twice:
        consumer.session.join()
    assert twice.value.code is ErrorCode.CONSUMER_BUSY
    caller, number = caller_of(consumer.held), consumer.session.to.session
    assert world.dispatcher.joined(caller, consumer.session.to.consumer, number) is consumer.session
    with pytest.raises(ConflictError) as gone:
        world.dispatcher.joined(caller, consumer.session.to.consumer, number + 1)
    assert gone.value.code is ErrorCode.SUPERSEDED


async def test_a_session_whose_urgent_stream_is_gone_ends_and_hands_over_again(world):
    consumer = await world.connect()
    writing = consumer.session.join()
    await world.admit(1, transport_class=1)
    await urgent_frames(consumer.session, writing, 1)
    consumer.session.left()
    with pytest.raises(UnreachableError):
        await consumer.session.next_frame()
    await consumer.leave()
    again = await (await world.connect()).delivery()
    assert isinstance(again, Delivered)
    assert [attempt for _, attempt in again.slots] == [2]


async def test_a_session_that_is_closed_ends_both_streams(world):
    consumer = await world.connect()
    writing = consumer.session.join()
    reading = asyncio.ensure_future(consumer.session.next_urgent(writing))
    await asyncio.sleep(0)
    await consumer.leave()
    assert await reading is None
    consumer.session.left()


async def test_nobody_is_caught_up_while_something_urgent_is_not_answered(world):
    consumer = await world.connect()
    writing = consumer.session.join()
    await world.admit(1)
    await world.admit(1, transport_class=1)
    (urgent,) = await urgent_frames(consumer.session, writing, 1)
    assert not [frame for frame in await consumer.all() if isinstance(frame, CaughtUp)]
    await consumer.session.answer(consumer.ack(outcomes_of(urgent)))
    await consumer.until(CaughtUp)
