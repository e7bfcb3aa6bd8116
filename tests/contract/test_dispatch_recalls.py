"""What its originator took back, at the hand-over: in flight, handed over, parked, held, and while a unit is under way."""

import asyncio

import pytest

from builders_dispatch import STORES, opened
from builders_dispatch_consumer import numbers, why
from builders_dispatch_recalls import STATES, hear, take_back
from builders_dispatch_segments import AGREEMENT, caller_of
from comity.envelope.evidence import AckOutcome
from comity.errors import ComityError, ErrorCode
from comity_broker.auditlog.kinds import EventKind
from comity_broker.dispatch.answering import SlotName
from comity_broker.dispatch.frames import SkipReason
from comity_broker.dispatch.listing import Filter, Listing, Position, ReportState
from comity_broker.dispatch.resolving import Resolving
from comity_broker.storage.protocol import ExceptionState


@pytest.fixture(params=STORES)
async def world(request, tmp_path):
    async with opened(request.param, tmp_path) as made:
        yield made


async def states(world, who) -> list[ReportState]:
    party = who.identity.party
    found = Listing(world.dispatcher.shared).lines(party, [world.standing], Filter(), Position())
    return [one.state async for line, _ in found if line is not None for one in line.consumers]


@pytest.mark.parametrize("kind", STATES)
async def test_what_was_taken_back_before_its_turn_never_comes_and_lets_the_floor_pass(world, kind):
    made = await world.admit(2)
    log_index = await take_back(world, made, 0, kind=kind)
    consumer = await world.connect()
    frame = await consumer.delivery()
    assert numbers(frame) == [2]
    (absent,) = frame.absent
    assert (absent.reason.why, absent.reason.log_index) == (SkipReason[kind.name], log_index)
    await consumer.acknowledge(frame)
    (floor,) = await world.reader.floors(AGREEMENT, "XBO/n1", "default")
    assert floor.floor == made.item
    (row,) = await world.reader.exceptions(AGREEMENT, "XBO/n1", "default")
    assert (row.state, row.attempts) == (ExceptionState[kind.name], 0), "evidence does not show it to this party"


async def test_a_new_session_and_a_new_consumer_are_told_the_same(world):
    made = await world.admit(2)
    await take_back(world, made, 0)
    consumer = await world.connect()
    await consumer.delivery()
    await consumer.leave()
    for again in (await world.connect(), await world.connect(consumer="second")):
        assert why(await again.delivery()) == {1: SkipReason.RECALLED}
    world.started()
    assert why(await (await world.connect()).delivery()) == {1: SkipReason.RECALLED}


async def test_each_recipient_is_shown_its_own_entry(world):
    made = await world.admit(1, also_due=[0])
    first = await take_back(world, made, 0)
    for number, held in enumerate((world.people.reader, world.people.other)):
        (frame,) = await (await world.connect(held=held)).deliveries()
        assert frame.absent[0].reason.log_index == first + number


async def test_what_was_handed_over_is_not_handed_over_again_and_frees_its_lane(world):
    made = await world.admit(1)
    after = await world.admit(1)
    consumer = await world.connect(reports=1)
    frame = await consumer.delivery()
    await take_back(world, made, 0)
    await consumer.give_back(frame, retry_after=0.0)
    consumer.session.credit(5, 1 << 20)
    assert numbers(*await consumer.deliveries()) == [2]
    assert [row.state for row in await world.reader.exceptions(AGREEMENT, "XBO/n1", "default")] == [
        ExceptionState.RECALLED
    ]
    assert after.item == 2


async def test_what_ended_after_its_hand_over_is_told_with_its_neighbours_before_what_follows(world):
    made = await world.admit(2, due=[1])
    consumer = await world.connect()
    await consumer.delivery()
    await consumer.leave()
    await take_back(world, made, 1)
    await world.admit(1)
    told, after = await (await world.connect()).deliveries()
    assert (numbers(told), why(told)) == ([], {1: SkipReason.NOT_ADDRESSED, 2: SkipReason.RECALLED})
    assert (numbers(after), after.skipped) == ([3], ())


async def test_an_answer_to_what_was_recalled_meanwhile_is_taken(world):
    made = await world.admit(1)
    consumer = await world.connect()
    frame = await consumer.delivery()
    await take_back(world, made, 0)
    await consumer.acknowledge(frame, AckOutcome.REFUSED)
    (floor,) = await world.reader.floors(AGREEMENT, "XBO/n1", "default")
    assert floor.floor == made.item


async def test_what_is_handed_over_while_a_recall_is_committed_is_not(world):
    made = await world.admit(1)
    consumer = await world.connect(reports=0)
    await take_back(world, made, 0, told=False)
    consumer.session.credit(5, 1 << 20)
    for _ in range(100):
        # Its epoch is another than what is planned under: the unit is refused, however often it is planned.
        await asyncio.sleep(0)
    hear(world)
    assert why(*await consumer.deliveries()) == {1: SkipReason.RECALLED}
    assert await world.entries(EventKind.DELIVERED) == []


async def test_what_is_held_and_recalled_cannot_be_confirmed(world):
    made = await world.admit(1)
    await world.suspend()
    await take_back(world, made, 0)
    await world.resume()
    with pytest.raises(ComityError) as caught:
        await Resolving(world.dispatcher, lambda: bytes(16)).held(
            caller_of(world.people.sender), [SlotName(AGREEMENT, made.segment_id, 0)], confirm=True
        )
    assert caught.value.code is ErrorCode.TRANSITION_NOT_ALLOWED


async def test_lists_say_that_it_was_recalled(world):
    made = await world.admit(2)
    await take_back(world, made, 0)
    assert await states(world, world.people.sender) == [ReportState.RECALLED, ReportState.DUE]
    await (await world.connect()).delivery()
    assert await states(world, world.people.sender) == [ReportState.RECALLED, ReportState.SENT]
