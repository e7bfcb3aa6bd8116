"""Credit, as a subscriber sees it: no more comes than was granted, whole where it may, and what is urgent first."""

import pytest

from builders_dispatch import STORES, opened
from builders_dispatch_consumer import numbers, why
from comity.envelope.segment import parse_segment
from comity_broker.dispatch.frames import SkipReason


@pytest.fixture(params=STORES)
async def world(request, tmp_path):
    async with opened(request.param, tmp_path) as made:
        yield made


async def test_no_more_reports_come_than_credit_allows(world):
    await world.admit(5)
    consumer = await world.connect(reports=2)
    first = await consumer.delivery()
    assert numbers(first) == [1, 2]
    assert why(first) == dict.fromkeys((3, 4, 5), SkipReason.OTHER_FRAME)
    assert await consumer.deliveries() == []
    consumer.session.credit(2, 0)
    second = await consumer.delivery()
    assert numbers(second) == [3, 4]
    assert why(second) == dict.fromkeys((1, 2, 5), SkipReason.OTHER_FRAME)


async def test_an_item_waits_a_moment_for_credit_to_go_whole_where_more_is_out(world):
    for _ in range(3):
        await world.admit(4)
    consumer = await world.connect(reports=11)
    assert numbers(*await consumer.deliveries()) == list(range(1, 9))
    consumer.session.credit(1, 0)
    assert await consumer.deliveries() == []
    consumer.session.credit(1, 0)
    (frame,) = await consumer.deliveries()
    assert (numbers(frame), frame.absent) == ([9, 10, 11, 12], ())


async def test_an_item_goes_in_part_where_credit_for_all_of_it_does_not_come(world):
    for _ in range(3):
        await world.admit(4)
    consumer = await world.connect(reports=11)
    assert len(await consumer.deliveries()) == 2
    world.pass_seconds(0.2)
    consumer.session.pass_time()
    assert await consumer.deliveries() == []
    world.pass_seconds(0.1)
    consumer.session.pass_time()
    (frame,) = await consumer.deliveries()
    assert numbers(frame) == [9, 10]
    consumer.session.credit(2, 0)
    (rest,) = await consumer.deliveries()
    assert numbers(rest) == [11, 12]


async def test_what_is_held_keeps_nothing_waiting_for_credit_that_it_does_not_use(world):
    await world.admit(150)
    consumer = await world.connect(reports=250)
    assert len(numbers(*await consumer.deliveries())) == 150
    await world.admit(100)
    await world.suspend()
    await world.resume()
    world.pass_seconds(0.3)
    consumer.session.pass_time()
    assert numbers(*await consumer.deliveries()) == []
    for number in range(251, 255):
        await world.admit(1)
        await world.epoch_raised()
        assert numbers(*await consumer.deliveries()) == [number]


async def test_what_is_urgent_goes_in_part_at_once(world):
    for _ in range(3):
        await world.admit(4, transport_class=1)
    consumer = await world.connect(reports=10)
    assert numbers(*await consumer.deliveries()) == list(range(1, 11))


async def test_nothing_comes_without_credit_but_a_recall(world):
    await world.admit(1, transport_class=1)
    await world.admit(1, transport_class=0)
    consumer = await world.connect(reports=0, size=0)
    (frame,) = await consumer.deliveries()
    assert parse_segment(frame.segment).transport_class == 0


async def test_the_credit_in_bytes_is_what_was_written(world):
    made = await world.admit(4, due=[0])
    consumer = await world.connect(reports=10, size=100_000)
    frame = await consumer.delivery()
    assert len(frame.segment) < len(made.data)
    assert consumer.session.credits.size == 100_000 - len(frame.segment)
    assert consumer.session.credits.reports == 9


async def test_routine_leaves_credit_for_what_is_more_urgent(world):
    await world.admit(16)
    consumer = await world.connect(reports=16)
    assert numbers(await consumer.delivery()) == list(range(1, 15))
    await world.admit(1, transport_class=1)
    assert parse_segment((await consumer.delivery()).segment).transport_class == 1


async def test_flash_passes_a_backlog_of_routine(world):
    for _ in range(30):
        await world.admit(2)
    consumer = await world.connect()
    await consumer.delivery()
    await world.admit(1, transport_class=1)
    classes = [parse_segment(frame.segment).transport_class for frame in await consumer.deliveries()]
    # What was committed before may go first: one unit of 16 segments, of which one was read.
    assert classes.index(1) <= 16
    assert classes.count(4) == 29


async def test_a_backlog_costs_no_memory_but_references(world):
    for _ in range(300):
        await world.admit(1)
    consumer = await world.connect(reports=0)
    await consumer.all()
    (cursor,) = consumer.session.desks["XAR-XBO-1"].cursors.values()
    assert cursor.ahead == 256
    consumer.session.credit(1000, 1 << 26)
    assert numbers(*await consumer.deliveries()) == list(range(1, 301))
