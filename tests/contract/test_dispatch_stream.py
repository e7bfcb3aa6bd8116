"""What else a subscriber's stream brings, and how it ends: over a store in memory and over a real one with its journal."""

import pytest

from builders_dispatch import STORES, opened
from builders_dispatch_consumer import outcomes_of
from comity.envelope.evidence import AckOutcome
from comity_broker.dispatch.frames import AckConfirmed, CaughtUp, Delivered, FellBehind, NewCheckpoint, Opened


@pytest.fixture(params=STORES)
async def world(request, tmp_path):
    async with opened(request.param, tmp_path) as made:
        yield made


async def test_a_checkpoint_comes_at_most_once_a_second(world):
    consumer = await world.connect()
    await consumer.until(CaughtUp)
    for note in (b"one", b"two", b"three"):
        world.dispatcher.checkpoint("XAR-XBO-1", note)
    world.dispatcher.checkpoint("XAR-XDE-1", b"of others")
    assert await consumer.all() == [NewCheckpoint("XAR-XBO-1", b"three")]
    world.dispatcher.checkpoint("XAR-XBO-1", b"four")
    assert await consumer.all() == []
    world.pass_seconds(1)
    consumer.session.pass_time()
    assert await consumer.all() == [NewCheckpoint("XAR-XBO-1", b"four")]


async def test_stop_ends_the_stream_when_everything_is_answered(world):
    await world.admit(1)
    consumer = await world.connect()
    frame = await consumer.delivery()
    consumer.session.stop()
    await world.admit(1)
    await consumer.session.answer(consumer.ack(outcomes_of(frame, AckOutcome.ACKNOWLEDGED)))
    assert isinstance((await consumer.all())[-1], AckConfirmed)
    assert await consumer.session.next_frame() is None


async def test_a_subscriber_is_told_when_it_has_caught_up_and_when_it_fell_behind(world):
    await world.admit(1)
    consumer = await world.connect(reports=1)
    kinds = [type(frame) for frame in await consumer.all()]
    assert kinds == [Opened, Delivered, CaughtUp]
    await world.admit(3)
    (behind,) = await consumer.all()
    assert behind == FellBehind(3)
    consumer.session.credit(10, 0)
    assert [type(frame) for frame in await consumer.all()] == [Delivered, CaughtUp]


async def test_a_deadline_hands_the_report_over_again_and_ends_nothing(world):
    await world.admit(2)
    consumer = await world.connect()
    frame = await consumer.delivery()
    await consumer.session.answer(consumer.ack(outcomes_of(frame, slots=[0])))
    await consumer.until(AckConfirmed)
    world.pass_seconds(59)
    consumer.session.pass_time()
    assert await consumer.deliveries() == []
    world.pass_seconds(1)
    consumer.session.pass_time()
    again = await consumer.delivery()
    assert again.slots == ((1, 2),)


async def test_a_heartbeat_extends_what_is_held(world):
    await world.admit(1)
    consumer = await world.connect()
    await consumer.delivery()
    world.pass_seconds(59)
    consumer.session.heartbeat()
    world.pass_seconds(59)
    consumer.session.pass_time()
    assert await consumer.deliveries() == []
    world.pass_seconds(1)
    consumer.session.pass_time()
    assert (await consumer.delivery()).slots == ((0, 2),)
