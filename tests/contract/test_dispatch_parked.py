"""Reports that are given back, parked, replayed and dropped, and what a broker that lost state does (design of exchange)."""

import pytest

from builders_dispatch import STORES, opened
from builders_dispatch_consumer import numbers, outcomes_of
from builders_dispatch_segments import AGREEMENT, caller_of
from comity.envelope.evidence import AckOutcome
from comity.envelope.segment import parse_segment
from comity.errors import ComityError, ErrorCode
from comity_broker.auditlog.kinds import EventKind
from comity_broker.dispatch.answering import GivenBack, SlotName
from comity_broker.dispatch.claiming import DEFAULT_CONSUMER
from comity_broker.dispatch.frames import AckConfirmed, SkipReason
from comity_broker.dispatch.resolving import Resolving
from comity_broker.dispatch.tokens import ResumeToken, decode_token, encode_token


@pytest.fixture(params=STORES)
async def world(request, tmp_path):
    async with opened(request.param, tmp_path) as made:
        yield made


async def floors(world):
    return await world.reader.floors(AGREEMENT, "XBO/n1", DEFAULT_CONSUMER)


async def exceptions(world):
    return await world.reader.exceptions(AGREEMENT, "XBO/n1", DEFAULT_CONSUMER)


def name(made, slot: int = 0) -> SlotName:
    return SlotName(AGREEMENT, made.segment_id, slot)


# --- given back -----------------------------------------------------------------------------------------------------


async def test_a_report_given_back_comes_again_after_its_time_and_its_lane_waits(world):
    await world.admit(2)
    consumer = await world.connect()
    frame = await consumer.delivery()
    await consumer.give_back(frame, 30.0, slots=[1])
    assert await consumer.deliveries() == []
    await world.admit(1)
    await world.admit(1, epoch=bytes(16))
    assert [numbers(one) for one in await consumer.deliveries()] == [[1]], "the other lane goes on"
    (row,) = await exceptions(world)
    assert (row.slot, row.attempts, row.not_before) == (1, 1, world.clock.now_ms() + 30_000)
    world.pass_seconds(30)
    consumer.session.pass_time()
    again = await consumer.delivery()
    assert again.slots == ((1, 2),)
    await consumer.acknowledge(again)
    assert numbers(await consumer.delivery()) == [3]
    assert await exceptions(world) == []


async def test_after_five_attempts_a_report_is_parked_and_the_next_frame_says_so(world):
    made = await world.admit(1)
    consumer = await world.connect()
    frame = await consumer.delivery()
    for attempt in range(2, 6):
        await consumer.give_back(frame, 0)
        frame = await consumer.delivery()
        assert frame.slots == ((0, attempt),)
    await consumer.give_back(frame, 0)
    await world.admit(1)
    following = await consumer.delivery()
    (skip,) = following.skipped
    assert (skip.origin_sequence, skip.leaf, skip.reason.why) == (1, made.leaves[0], SkipReason.PARKED)
    (entry,) = await world.entries(EventKind.PARKED)
    assert skip.reason.log_index == entry["log_index"]
    assert (await floors(world))[0].floor == 0, "it may not have heard of it yet"
    await consumer.acknowledge(following)
    assert (await floors(world))[0].floor == 2


@pytest.mark.parametrize("how", ["nack", "outcome"])
async def test_a_parked_report_lets_the_lane_go_on(world, how):
    await world.admit(2)
    consumer = await world.connect()
    frame = await consumer.delivery()
    if how == "nack":
        segment_id = parse_segment(frame.segment).segment_id
        given_back = GivenBack([SlotName(AGREEMENT, segment_id, 0)], None, "no reader for it")
        await consumer.session.answer(given_back)
    else:
        await consumer.session.answer(consumer.ack(outcomes_of(frame, AckOutcome.PARKED, slots=[0])))
    await consumer.all()
    (row,) = await exceptions(world)
    assert (row.slot, row.reason) == (0, "no reader for it" if how == "nack" else "application")
    (entry,) = await world.entries(EventKind.PARKED)
    assert entry["actor"]["node"] == "n1"
    await world.admit(1)
    assert numbers(await consumer.delivery()) == [3]


async def test_a_recall_is_never_parked(world):
    made = await world.admit(1, transport_class=0)
    consumer = await world.connect()
    frame = await consumer.delivery()
    refused = await consumer.refused(GivenBack([name(made)], None, "never"))
    assert refused.error.code is ErrorCode.MALFORMED
    refused = await consumer.refused(consumer.ack(outcomes_of(frame, AckOutcome.PARKED)))
    assert refused.error.code is ErrorCode.MALFORMED
    for attempt in range(2, 9):
        await consumer.give_back(frame, 0)
        frame = await consumer.delivery()
        assert frame.slots == ((0, attempt),)


async def test_a_report_of_others_cannot_be_given_back(world):
    made = await world.admit(1)
    consumer = await world.connect(reports=0)
    for names in ([name(made)], [name(made, 9)], [SlotName(AGREEMENT, bytes(48), 0)]):
        assert (await consumer.refused(GivenBack(names, 0.0))).error.code is ErrorCode.ITEM_UNKNOWN


async def test_giving_back_what_was_answered_changes_nothing(world):
    made = await world.admit(1)
    consumer = await world.connect()
    await consumer.acknowledge(await consumer.delivery())
    await consumer.session.answer(GivenBack([name(made)], 0.0))
    await consumer.session.answer(GivenBack([name(made)], None))
    assert await consumer.deliveries() == []
    assert await exceptions(world) == []


# --- parked reports -------------------------------------------------------------------------------------------------


async def parked_one(world, consumer):
    made = await world.admit(1)
    frame = await consumer.delivery()
    await consumer.acknowledge(frame, AckOutcome.PARKED)
    return made


def resolving(world) -> Resolving:
    return Resolving(world.dispatcher, lambda: bytes(16))


@pytest.mark.parametrize("connected", [True, False])
async def test_a_parked_report_can_be_replayed_from_its_first_attempt(world, connected):
    consumer = await world.connect()
    made = await parked_one(world, consumer)
    await world.admit(1)
    await consumer.acknowledge(await consumer.delivery())
    before = await floors(world)
    if not connected:
        await consumer.leave()
    await resolving(world).parked(caller_of(world.people.reader), "", [name(made)], replay=True)
    consumer = consumer if connected else await world.connect()
    frame = await consumer.delivery()
    assert (numbers(frame), frame.slots) == ([1], ((0, 1),))
    await consumer.acknowledge(frame)
    assert await floors(world) == before
    assert await exceptions(world) == []
    assert len(await world.entries(EventKind.PARKED_REPLAYED)) == 1
    assert await consumer.deliveries() == []


async def test_a_replay_that_fails_again_is_parked_again(world):
    consumer = await world.connect()
    made = await parked_one(world, consumer)
    await resolving(world).parked(caller_of(world.people.reader), "", [name(made)], replay=True)
    for attempt in range(1, 6):
        frame = await consumer.delivery()
        assert frame.slots == ((0, attempt),)
        await consumer.give_back(frame, 0)
    assert await consumer.deliveries() == []
    (row,) = await exceptions(world)
    assert (row.state, row.reason, row.attempts) == (2, "attempts", 5)


async def test_a_dropped_report_is_gone_for_good(world):
    consumer = await world.connect()
    made = await parked_one(world, consumer)
    mine = caller_of(world.people.reader)
    await resolving(world).parked(mine, "", [name(made)], replay=False)
    for replay in (True, False):
        with pytest.raises(ComityError) as caught:
            await resolving(world).parked(mine, "", [name(made)], replay=replay)
        assert caught.value.code is ErrorCode.ITEM_UNKNOWN
    await consumer.leave()
    (explained,) = await (await world.connect()).deliveries()
    assert explained.slots == ()
    assert explained.absent[0].reason.why is SkipReason.PARKED


async def test_a_late_acknowledgement_lifts_a_park(world):
    consumer = await world.connect()
    made = await parked_one(world, consumer)
    await consumer.session.answer(consumer.ack((made.segment_id, [AckOutcome.ACKNOWLEDGED])))
    await consumer.until(AckConfirmed)
    assert await exceptions(world) == []


async def test_what_is_not_parked_is_not_replayed(world):
    made = await world.admit(1)
    await world.connect()
    mine = caller_of(world.people.reader)
    for names in ([name(made)], [name(made, 7)], [SlotName(AGREEMENT, bytes(48), 0)]):
        with pytest.raises(ComityError) as caught:
            await resolving(world).parked(mine, "", names, replay=True)
        assert caught.value.code is ErrorCode.ITEM_UNKNOWN


# --- what a broker lost ---------------------------------------------------------------------------------------------


async def token_of(world) -> bytes:
    await world.admit(1)
    await world.admit(1)
    consumer = await world.connect()
    first, _ = await consumer.deliveries()
    await consumer.acknowledge(first)
    await world.admit(1)
    token = (await consumer.delivery()).resume_token
    await consumer.leave()
    return token


async def test_a_token_that_the_broker_can_follow_changes_nothing(world):
    token = await token_of(world)
    assert decode_token(token).floors == {(AGREEMENT, 1): 1}
    consumer = await world.connect(resume_token=token)
    assert numbers(*await consumer.deliveries()) == [2, 3]
    assert world.frozen == []


@pytest.mark.parametrize("ahead", ["floor", "lane", "session"])
async def test_a_token_ahead_of_the_broker_freezes_the_agreement(world, ahead):
    token = decode_token(await token_of(world))
    floor = {"floor": {(AGREEMENT, 1): 2}, "lane": {(AGREEMENT, 9): 1}, "session": dict(token.floors)}[ahead]
    session = 99 if ahead == "session" else token.session
    with pytest.raises(ComityError) as caught:
        await world.connect(resume_token=encode_token(ResumeToken(token.incarnation, session, floor)))
    assert caught.value.code is ErrorCode.FLOOR_AHEAD
    assert world.frozen == [AGREEMENT]
    consumer = await world.connect()
    assert await consumer.deliveries() == []


async def test_a_token_of_an_earlier_incarnation_says_nothing(world):
    consumer = await world.connect(
        resume_token=encode_token(ResumeToken(b"another life....", 99, {(AGREEMENT, 1): 99}))
    )
    assert world.frozen == []
    assert await consumer.deliveries() == []


async def test_damaged_tokens_are_refused(world):
    with pytest.raises(ComityError) as caught:
        await world.connect(resume_token=b"CRT1 and so on")
    assert caught.value.code is ErrorCode.MALFORMED


async def test_under_a_frozen_log_nothing_is_taken_and_it_says_when_to_come_again(world):
    await world.admit(1)
    consumer = await world.connect()
    signed = consumer.ack(outcomes_of(await consumer.delivery()))
    await world.freeze(AGREEMENT, "a fork")
    refused = await consumer.refused(signed)
    assert refused.error.code is ErrorCode.LOG_FROZEN
    assert refused.error.retry_after_seconds is not None
