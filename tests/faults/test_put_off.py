"""Reports that are put off (`not_before`), under clocks that step, run slow or differ: handed over neither early nor never."""

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta

import pytest

from builders_broker import World
from builders_dispatch import NOW, DispatchWorld, opened
from builders_dispatch_consumer import numbers
from builders_sdk import AGREEMENT, report, sharing, until
from comity.identity.names import exercise_of
from comity.node.clock import wall_ms
from comity_broker.storage.protocol import ExceptionState
from fault_clock import HOUR_MS

PURPOSE = "counter-terrorism"


class Set:
    """A clock that a test sets: so many milliseconds ahead of the true one."""

    ahead_ms = 0

    def now_ms(self) -> int:
        return wall_ms() + self.ahead_ms


def put_off(text: str, milliseconds: int) -> object:
    """Give a report that nobody may have before so many milliseconds from now have passed."""
    return report(text, not_before=datetime.now(UTC) + timedelta(milliseconds=milliseconds))


@contextlib.asynccontextmanager
async def exchanging(path, broker: Set, reader: Set):
    """A broker and a receiver by these clocks, and a sender by the true one; gives the world, the sender, and what comes."""
    async with (
        sharing(path) as world,
        world.node("XAR") as sender,
        world.node("XBO", now_ms=reader.now_ms) as node,
    ):
        world.world.clock.wall = broker.now_ms
        async with contextlib.aclosing(node.receive(purpose=PURPOSE)) as deliveries:
            yield world.world, sender, deliveries


async def shown(deliveries) -> str:
    """Wait for the next report, acknowledge it, and give its text."""
    async with await asyncio.wait_for(anext(deliveries), 20) as received:
        return received.text


async def overtaken(sender, deliveries) -> None:
    """Have something urgent overtake: what is put off and may not go yet comes behind it."""
    await sender.send(report("urgent", precedence="priority"), agreement=AGREEMENT)
    assert await shown(deliveries) == "urgent"


def ask(world: World) -> None:
    """Have the broker look at its clock, as everything that it does has it do."""
    world.broker.monitor.clock.now_ms()


@pytest.mark.parametrize("readers_ms", [0, -HOUR_MS, HOUR_MS], ids=["right", "an hour behind", "an hour ahead"])
async def test_it_is_handed_over_when_its_time_comes_whatever_clock_the_receiver_has(tmp_path, readers_ms):
    reader = Set()
    async with exchanging(tmp_path, Set(), reader) as (_, sender, deliveries):
        reader.ahead_ms = readers_ms
        await sender.send(put_off("later", 700), agreement=AGREEMENT)
        await overtaken(sender, deliveries)
        assert await shown(deliveries) == "later"


async def test_it_goes_at_once_when_the_clocks_are_set_beyond_its_time_and_not_before(tmp_path):
    broker, reader = Set(), Set()
    async with exchanging(tmp_path, broker, reader) as (world, sender, deliveries):
        await sender.send(put_off("later", HOUR_MS // 2), agreement=AGREEMENT)
        await overtaken(sender, deliveries)
        broker.ahead_ms = reader.ahead_ms = HOUR_MS
        ask(world)
        assert await shown(deliveries) == "later"


async def test_a_broker_whose_clock_was_set_forward_has_it_shown_no_earlier_and_it_is_not_refused(tmp_path, caplog):
    broker, reader = Set(), Set()
    async with exchanging(tmp_path, broker, reader) as (world, sender, deliveries):
        await sender.send(put_off("later", HOUR_MS // 2), agreement=AGREEMENT)
        await overtaken(sender, deliveries)
        broker.ahead_ms = HOUR_MS
        ask(world)
        coming = asyncio.ensure_future(shown(deliveries))
        await until(lambda: "report_early" in caplog.messages)
        await sender.send(report("urgent", precedence="priority"), agreement=AGREEMENT)
        assert await coming == "urgent"
    assert "report_not_opened" not in caplog.messages
    async with sharing(tmp_path, into_force=False, world=world) as again:
        world.clock.wall = broker.now_ms
        broker.ahead_ms, reader.ahead_ms = 2 * HOUR_MS, HOUR_MS
        async with (
            again.node("XBO", now_ms=reader.now_ms) as node,
            contextlib.aclosing(node.receive(purpose=PURPOSE)) as deliveries,
        ):
            assert await shown(deliveries) == "later"


async def test_of_an_exercise_too_it_is_given_back_until_its_time_has_come(tmp_path, caplog):
    broker, exercise = Set(), exercise_of(AGREEMENT)
    async with sharing(tmp_path) as world, world.node("XAR") as sender, world.node("XBO") as node:
        later = report("later", not_before=datetime.now(UTC) + timedelta(minutes=30), exercise=True)
        await sender.send(later, agreement=AGREEMENT)
        world.world.clock.wall = broker.now_ms
        broker.ahead_ms = HOUR_MS
        ask(world.world)
        async with contextlib.aclosing(node.receive(purpose=PURPOSE, exercise=True)) as deliveries:
            coming = asyncio.ensure_future(shown(deliveries))
            await until(lambda: "report_early" in caplog.messages)
            await sender.send(report("urgent", precedence="priority", exercise=True), agreement=AGREEMENT)
            assert await coming == "urgent"
        rows = await world.world.broker._storage.reader.exceptions(exercise, "XBO/n1", exercise_of("default"))
        assert [(one.state, one.not_before > broker.now_ms()) for one in rows] == [(ExceptionState.RETRY, True)]


async def test_it_is_not_lost_to_a_broker_whose_clock_was_slow_and_is_set_right(tmp_path):
    """What nobody put off waits for no clock: by such a broker's clock it was made a minute from now."""
    broker = Set()
    async with exchanging(tmp_path, broker, Set()) as (world, sender, deliveries):
        # A broker's time never goes back: it stands still, as that of a slow one nearly does.
        broker.ahead_ms = -60_000
        ask(world)
        await sender.send(put_off("later", 1_000), agreement=AGREEMENT)
        await overtaken(sender, deliveries)
        broker.ahead_ms = 0
        ask(world)
        assert await shown(deliveries) == "later"


async def test_it_is_not_lost_to_a_broker_that_is_started_again_before_its_time(tmp_path):
    async with sharing(tmp_path) as before, before.node("XAR") as sender:
        await sender.send(put_off("later", 1_000), agreement=AGREEMENT)
    async with (
        sharing(tmp_path, into_force=False, world=before.world) as again,
        again.node("XBO") as node,
        contextlib.aclosing(node.receive(purpose=PURPOSE)) as deliveries,
    ):
        assert await shown(deliveries) == "later"


class Looks:
    """Clocks that go on by a millisecond with each look at the wall clock, and at nothing else."""

    def __init__(self, world: DispatchWorld) -> None:
        self.count = 0
        world.clock.wall, world.clock.monotonic = self.wall, lambda: 1000.0 + self.count / 1000

    def wall(self) -> int:
        self.count += 1
        return NOW + self.count


@pytest.mark.parametrize("look", range(1, 25))
async def test_its_time_may_come_between_any_two_looks_at_the_clock(tmp_path, look):
    """The look that finds it too early and the one that sets the timer are two, and its time may lie between them."""
    async with opened("memory", tmp_path) as world:
        consumer = await world.connect()
        await consumer.all()
        looks = Looks(world)
        await world.admit(1, not_before={0: NOW + look})
        assert numbers(await consumer.delivery()) == [1]
        assert looks.count >= look


@pytest.mark.parametrize("look", range(1, 25))
async def test_the_time_to_try_again_may_come_between_any_two_looks_at_the_clock(tmp_path, look):
    async with opened("memory", tmp_path) as world:
        consumer = await world.connect()
        await world.admit(1)
        frame = await consumer.delivery()
        await consumer.idle()
        Looks(world)
        await consumer.give_back(frame, retry_after=look / 1000)
        assert numbers(await consumer.delivery()) == [1]
