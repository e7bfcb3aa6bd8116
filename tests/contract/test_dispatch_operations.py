"""What operators and lists see of delivery, and how a broker that stops lets go of its streams."""

import asyncio

import pytest

from builders_dispatch import STORES, opened
from builders_dispatch_consumer import numbers, outcomes_of
from builders_dispatch_segments import AGREEMENT
from builders_identity import NOW
from comity.envelope.evidence import AckOutcome
from comity.errors import ComityError, ErrorCode
from comity_broker.dispatch.answering import GivenBack, SlotName
from comity_broker.dispatch.frames import AckConfirmed, CaughtUp, Draining
from comity_broker.dispatch.listing import Filter, Listing, Position, ReportState


@pytest.fixture(params=STORES)
async def world(request, tmp_path):
    async with opened(request.param, tmp_path) as made:
        yield made


async def lines(world, party: str, *, after: Position | None = None, **wanted):
    listing = Listing(world.dispatcher.shared)
    return [
        (line, position)
        async for line, position in listing.lines(party, [world.standing], Filter(**wanted), after or Position())
    ]


async def states(world, party: str = "XAR") -> dict[int, list[str]]:
    """The states of every report, by its number, of every consumer."""
    return {
        line.origin_sequence: [f"{one.node} {one.consumer} {one.state.name}" for one in line.consumers]
        for line, _ in await lines(world, party)
    }


def only(made, *slots: int) -> list[SlotName]:
    return [SlotName(AGREEMENT, made.segment_id, slot) for slot in slots]


# --- lists ----------------------------------------------------------------------------------------------------------


async def test_a_list_says_where_every_report_stands(world):
    made = await world.admit(6, expires_at={5: NOW + 1000})
    consumer = await world.connect(reports=5)
    frame = await consumer.delivery()
    await consumer.session.answer(consumer.ack(outcomes_of(frame, slots=[0])))
    await consumer.session.answer(consumer.ack(outcomes_of(frame, AckOutcome.PARKED, slots=[1])))
    await consumer.session.answer(GivenBack(only(made, 2), 60.0))
    await consumer.all()
    await world.admit(1)
    world.pass_seconds(2)
    assert await states(world) == {
        1: ["XBO/n1 default DONE"],
        2: ["XBO/n1 default PARKED"],
        3: ["XBO/n1 default RETRY"],
        4: ["XBO/n1 default SENT"],
        5: ["XBO/n1 default DUE"] if len(frame.slots) == 4 else ["XBO/n1 default SENT"],
        6: ["XBO/n1 default EXPIRED"],
        7: ["XBO/n1 default DUE"],
    }


async def test_a_list_says_what_was_refused_to_the_sender_alone(world):
    made = await world.admit(2, refused=[0])
    await world.connect()
    sent = [line for line, _ in await lines(world, "XAR")]
    assert [(line.report_id == b"", line.leaf) for line in sent] == [(True, made.leaves[0]), (False, made.leaves[1])]
    assert [one.state for one in sent[0].consumers] == [ReportState.REFUSED]
    assert sent[0].consumers[0].reason == "POLICY"
    assert [line.leaf for line, _ in await lines(world, "XBO")] == [made.leaves[1]]


async def test_a_party_sees_nothing_that_none_of_its_nodes_has_due(world):
    await world.admit(2, due=[1])
    assert set(await states(world, "XBO")) == {2}
    assert set(await states(world, "XAR")) == {1, 2}
    assert await states(world, "XDE") == {}


async def test_held_and_withdrawn_reports_are_listed_as_such(world):
    await world.admit(1)
    await world.suspend()
    assert await states(world, "XBO") == {1: ["XBO/n1 default HELD"]}
    await world.resume()
    assert await states(world, "XBO") == {1: ["XBO/n1 default HELD"]}


async def test_a_list_goes_on_where_it_stopped(world):
    for _ in range(5):
        await world.admit(3)
    everything = await lines(world, "XAR")
    assert [line.origin_sequence for line, _ in everything] == list(range(1, 16))
    for number in range(15):
        rest = await lines(world, "XAR", after=everything[number][1])
        assert [line.origin_sequence for line, _ in rest] == list(range(number + 2, 16))


async def test_a_list_is_narrowed_to_states_and_to_one_report(world):
    await world.admit(3)
    consumer = await world.connect(reports=2)
    await consumer.delivery()
    sent = await lines(world, "XAR", states=frozenset({ReportState.SENT}))
    assert len(sent) == 1 + len(numbers(*[f for f in consumer.frames if hasattr(f, "slots")])) - 1
    wanted = sent[0][0]
    assert [line for line, _ in await lines(world, "XBO", report_id=wanted.report_id)] == [wanted]
    assert await lines(world, "XBO", report_id=bytes(16)) == []


# --- numbers --------------------------------------------------------------------------------------------------------


async def test_an_operator_sees_backlog_flight_credit_parked_and_age(world):
    await world.admit(4)
    consumer = await world.connect(reports=10)
    frame = await consumer.delivery()
    await consumer.session.answer(consumer.ack(outcomes_of(frame, AckOutcome.PARKED, slots=[0])))
    await consumer.until(AckConfirmed)
    world.pass_seconds(5)
    await world.admit(2)
    await consumer.all()
    (line,) = await world.dispatcher.status()
    assert (line.node, line.consumer, line.connected) == ("XBO/n1", "default", True)
    assert (line.backlog, line.in_flight, line.credits, line.parked, line.held) == (5, 5, 4, 1, 0)
    assert line.oldest_waiting_at == NOW
    await consumer.leave()
    (line,) = await world.dispatcher.status()
    assert (line.connected, line.backlog, line.in_flight, line.credits) == (False, 5, 0, 0)


async def test_a_consumer_with_backlog_and_credit_that_gets_nothing_is_an_alarm(world, caplog):
    await world.admit(1)
    consumer = await world.connect()
    frame = await consumer.delivery()
    await consumer.give_back(frame, 600.0)
    await world.admit(1)
    await consumer.all()
    world.pass_seconds(119)
    assert world.dispatcher.look_for_stalled() == []
    world.pass_seconds(1)
    assert world.dispatcher.look_for_stalled() == [("XBO/n1", "default")]
    assert world.dispatcher.look_for_stalled() == [("XBO/n1", "default")]
    assert [record.message for record in caplog.records].count("consumer_stalled") == 1


async def test_an_idle_consumer_is_no_alarm(world):
    consumer = await world.connect()
    await consumer.until(CaughtUp)
    world.pass_seconds(1000)
    assert world.dispatcher.look_for_stalled() == []


# --- waking and stopping --------------------------------------------------------------------------------------------


async def test_admission_wakes_whoever_waits(world):
    running = asyncio.create_task(world.dispatcher.run())
    try:
        consumer = await world.connect()
        await consumer.until(CaughtUp)
        world.look = do_nothing
        await world.admit(1)
        world.dispatcher.admitted(AGREEMENT)
        assert numbers(await consumer.delivery()) == [1]
    finally:
        running.cancel()


async def do_nothing() -> None:
    """Tell dispatch nothing."""


async def test_a_drain_lets_what_is_out_be_answered(world):
    await world.admit(1)
    consumer = await world.connect()
    frame = await consumer.delivery()
    draining = asyncio.create_task(world.dispatcher.drain(20.0))
    assert isinstance(await consumer.until(Draining), Draining)
    await world.admit(1)
    assert not draining.done()
    with pytest.raises(ComityError) as caught:
        await world.connect(consumer="archive")
    assert caught.value.code is ErrorCode.DRAINING
    await consumer.acknowledge(frame)
    assert await consumer.session.next_frame() is None
    world.dispatcher.release(consumer.session)
    await draining


async def test_a_drain_does_not_wait_for_ever(world):
    await world.admit(1)
    consumer = await world.connect()
    await consumer.delivery()
    await world.dispatcher.drain(0.0)
    with pytest.raises(ComityError) as caught:
        await consumer.all()
    assert caught.value.code is ErrorCode.DRAINING
