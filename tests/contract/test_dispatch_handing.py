"""Handing over, as a subscriber sees it: over a store in memory and over a real one with its journal."""

import asyncio

import pytest

from builders_dispatch import STORES, opened
from builders_dispatch_consumer import happens, numbers, outcomes_of, why
from builders_dispatch_segments import EPOCH
from builders_identity import HOUR, NOW
from comity.envelope.segment import Absent, PrunedItem, parse_segment
from comity.errors import ComityError, ErrorCode
from comity_broker.auditlog.kinds import EventKind
from comity_broker.dispatch.frames import (
    AckConfirmed,
    CaughtUp,
    Opened,
    SkipReason,
)
from comity_broker.settings import Settings
from comity_broker.storage.protocol import Rows


@pytest.fixture(params=STORES)
async def world(request, tmp_path):
    async with opened(request.param, tmp_path) as made:
        yield made


async def test_a_subscriber_gets_what_was_admitted_byte_for_byte(world):
    made = await world.admit(3)
    consumer = await world.connect()
    opened_frame = await consumer.frame()
    assert isinstance(opened_frame, Opened)
    assert (opened_frame.session, opened_frame.incarnation) == (1, world.incarnation)
    frame = await consumer.delivery()
    assert frame.segment == made.data
    assert frame.slots == ((0, 1), (1, 1), (2, 1))
    assert (frame.absent, frame.skipped) == ((), ())
    assert (frame.log_index, frame.admitted_at) == (made.log_index, NOW)
    assert frame.key_packets == (b"packet one",)


async def test_the_log_says_delivered_before_a_byte_goes_out(world):
    made = await world.admit(3)
    consumer = await world.connect()
    await consumer.delivery()
    (entry,) = await world.entries(EventKind.DELIVERED)
    assert entry["segments"] == [{"segment_id": made.segment_id.hex(), "slots": [[0, 2]], "attempt": 1}]
    assert entry["recipient"] == {"party": "XBO", "node": "n1"}
    assert entry["session"] == (1).to_bytes(16, "big").hex()
    assert await world.entries(EventKind.DELIVERED, "XAR") == [entry]


async def test_what_is_admitted_while_a_subscriber_waits_comes_at_once(world):
    consumer = await world.connect()
    await consumer.until(CaughtUp)
    await world.admit(2)
    assert numbers(await consumer.delivery()) == [1, 2]


async def test_a_lane_comes_in_its_order_over_many_segments(world):
    for _ in range(40):
        await world.admit(2)
    consumer = await world.connect()
    assert numbers(*await consumer.deliveries()) == list(range(1, 81))


async def test_what_a_node_may_not_have_comes_as_leaves_with_the_reason(world):
    made = await world.admit(4, due=[0, 2], refused=[2])
    consumer = await world.connect()
    frame = await consumer.delivery()
    assert numbers(frame) == [1]
    assert why(frame) == {
        2: SkipReason.NOT_ADDRESSED,
        3: SkipReason.REFUSED,
        4: SkipReason.NOT_ADDRESSED,
    }
    segment = parse_segment(frame.segment)
    assert segment.segment_id == made.segment_id
    assert [isinstance(item, PrunedItem) for item in segment.items] == [False, True, True, True]
    assert {one.leaf for one in frame.absent} == set(made.leaves[1:])


async def test_a_node_without_any_of_a_segment_is_told_so_and_the_log_says_nothing_of_a_delivery(world):
    await world.admit(2, due=[])
    consumer = await world.connect()
    frame = await consumer.delivery()
    assert frame.slots == ()
    assert set(why(frame).values()) == {SkipReason.NOT_ADDRESSED}
    assert await world.entries(EventKind.DELIVERED) == []


async def test_a_portion_that_a_node_may_not_have_is_withheld(world):
    await world.admit(2, portions=2, withheld={1: [0]})
    consumer = await world.connect()
    first, second = parse_segment((await consumer.delivery()).segment).items
    assert Absent.WITHHELD not in first.ciphertexts
    assert second.ciphertexts[0] is Absent.WITHHELD
    assert second.ciphertexts[1] == b"ciphertext 1 of 2"


async def test_a_key_packet_is_brought_once_a_stream(world):
    await world.admit()
    await world.admit()
    await world.admit(packet=b"packet two")
    consumer = await world.connect()
    assert [frame.key_packets for frame in await consumer.deliveries()] == [(b"packet one",), (), (b"packet two",)]
    again = await world.connect(take_over=True)
    assert [frame.key_packets for frame in await again.deliveries()] == [(b"packet one",), (), (b"packet two",)]


async def test_a_packet_that_only_left_out_reports_name_is_not_brought(world):
    await world.admit(1, due=[], packet=b"packet two")
    consumer = await world.connect()
    assert (await consumer.delivery()).key_packets == ()


# --- lanes ----------------------------------------------------------------------------------------------------------


async def test_other_lanes_do_not_wait_for_one_that_waits(world):
    later = NOW + HOUR
    await world.admit(2, not_before={1: later})
    await world.admit(1)
    await world.admit(1, epoch=bytes(16))
    consumer = await world.connect()
    frames = await consumer.deliveries()
    assert sorted((parse_segment(frame.segment).origin_epoch, numbers(frame)) for frame in frames) == [
        (bytes(16), [1]),
        (EPOCH, [1]),
    ]
    world.pass_seconds(3600)
    consumer.session.heartbeat()
    consumer.session.pass_time()
    assert [numbers(frame) for frame in await consumer.deliveries()] == [[2], [3]]


async def test_an_embargo_does_not_keep_a_subscriber_from_being_caught_up(world):
    await world.admit(1, not_before={0: NOW + HOUR})
    consumer = await world.connect()
    assert any(isinstance(frame, CaughtUp) for frame in await consumer.all())


async def test_a_lane_that_waits_takes_no_room_from_others(world):
    await world.admit(1, not_before={0: NOW + HOUR})
    for _ in range(260):
        await world.admit(1)
    await world.admit(1, epoch=bytes(16))
    consumer = await world.connect()
    assert [numbers(frame) for frame in await consumer.deliveries()] == [[1]]


async def test_what_expired_is_logged_explained_and_never_handed_over(world):
    made = await world.admit(3, expires_at={1: NOW + 1000})
    world.pass_seconds(2)
    consumer = await world.connect()
    frame = await consumer.delivery()
    assert numbers(frame) == [1, 3]
    (entry,) = await world.entries(EventKind.EXPIRED)
    assert entry["segments"] == [{"segment_id": made.segment_id.hex(), "slots": [[1, 1]], "attempt": 0}]
    (absent,) = frame.absent
    assert (absent.origin_sequence, absent.reason.why) == (2, SkipReason.EXPIRED)
    assert absent.reason.log_index == entry["log_index"]
    await consumer.acknowledge(frame)
    again = await world.connect(take_over=True)
    assert await again.deliveries() == []


async def test_what_expires_while_it_waits_for_credit_is_told_before_the_floor_passes_it(world):
    await world.admit(2, expires_at={1: NOW + 1000})
    consumer = await world.connect(reports=1)
    await consumer.acknowledge(await consumer.delivery())
    world.pass_seconds(2)
    consumer.session.credit(10, 1 << 20)
    assert await consumer.deliveries() == []
    (floor,) = await world.reader.floors("XAR-XBO-1", "XBO/n1", "default")
    assert floor.floor == 0
    await world.admit(1)
    frame = await consumer.delivery()
    assert [(one.origin_sequence, one.reason.why) for one in frame.skipped] == [(2, SkipReason.EXPIRED)]
    await consumer.acknowledge(frame)
    (floor,) = await world.reader.floors("XAR-XBO-1", "XBO/n1", "default")
    assert floor.floor == 2


# --- sessions -------------------------------------------------------------------------------------------------------


async def test_a_second_stream_is_busy_unless_it_takes_over(world):
    first = await world.connect()
    with pytest.raises(ComityError) as caught:
        await world.connect()
    assert caught.value.code is ErrorCode.CONSUMER_BUSY
    second = await world.connect(take_over=True)
    with pytest.raises(ComityError) as caught:
        await first.all()
    assert caught.value.code is ErrorCode.SUPERSEDED
    assert second.session.to.session == 2


async def test_a_take_over_waits_for_what_the_older_stream_gave_to_the_journal(tmp_path):
    async with opened("memory", tmp_path) as world:
        await world.admit(1)
        gate = world.reader.gate = asyncio.Event()
        await world.connect()
        taking_over = asyncio.create_task(world.connect(take_over=True))
        for _ in range(100):
            await asyncio.sleep(0)
        assert not taking_over.done()
        gate.set()
        second = await taking_over
        assert (await second.delivery()).slots == ((0, 2),)
        assert [entry["segments"][0]["attempt"] for entry in await world.entries(EventKind.DELIVERED)] == [1, 2]


async def test_consumers_are_independent_copies(world):
    await world.admit(2)
    one, two = await world.connect(), await world.connect(consumer="archive")
    frame = await one.delivery()
    await one.acknowledge(frame)
    assert numbers(await two.delivery()) == [1, 2]


async def test_what_a_lost_stream_did_not_answer_comes_again_with_the_next_attempt(world):
    await world.admit(3)
    consumer = await world.connect()
    frame = await consumer.delivery()
    await consumer.session.answer(consumer.ack(outcomes_of(frame, slots=[1])))
    await consumer.until(AckConfirmed)
    await consumer.leave()
    again = await (await world.connect()).delivery()
    assert again.slots == ((0, 2), (2, 2))
    assert why(again) == {2: SkipReason.SETTLED}


async def test_a_report_that_kills_its_reader_is_parked_and_takes_no_neighbour_with_it(world):
    await world.admit(3)
    attempts: list[tuple] = []
    for _ in range(5):
        consumer = await world.connect()
        frames = await consumer.deliveries()
        attempts.append(tuple(slot for frame in frames for slot in frame.slots))
        await consumer.leave()
    assert attempts == [
        ((0, 1), (1, 1), (2, 1)),
        ((0, 2), (1, 2), (2, 2)),
        ((0, 3),),
        ((0, 4),),
        ((0, 5),),
    ]
    consumer = await world.connect()
    assert numbers(*await consumer.deliveries()) == [2]
    (entry,) = await world.entries(EventKind.PARKED)
    assert entry["reason"] == "attempts"
    assert entry["segments"][0]["slots"] == [[0, 0]]


async def test_an_explanation_that_may_not_have_arrived_is_given_again(world):
    await world.admit(2, due=[])
    first = await world.connect()
    await first.delivery()
    await first.leave()
    second = await world.connect()
    frame = await second.delivery()
    assert frame.slots == ()
    await second.session.answer(second.ack(outcomes_of(frame)))
    await second.until(AckConfirmed)
    await second.leave()
    third = await world.connect()
    assert await third.deliveries() == []


async def test_a_node_has_only_so_many_consumers(tmp_path):
    async with opened("memory", tmp_path, settings=Settings(consumers_per_node=1)) as world:
        await world.connect()
        with pytest.raises(ComityError) as caught:
            await world.connect(consumer="archive")
        assert caught.value.code is ErrorCode.LIMIT_EXCEEDED


@pytest.mark.parametrize("name", ["Default", "-x", "a" * 64, "a b", "../x"])
async def test_a_consumer_has_a_plain_name(world, name):
    with pytest.raises(ComityError) as caught:
        await world.connect(consumer=name)
    assert caught.value.code is ErrorCode.MALFORMED


async def test_a_hand_over_planned_in_another_state_is_not_committed_but_planned_anew(tmp_path):
    async with opened("memory", tmp_path) as world:
        consumer = await world.connect()
        await consumer.until(CaughtUp)
        await world.commit(lambda head, _: Rows(head.raised(), None))  # the ledger has not followed yet
        reading = asyncio.create_task(consumer.delivery())
        await world.admit(1)
        await happens(lambda: world.reader.refusals > 0)
        assert await world.entries(EventKind.DELIVERED) == []
        assert not reading.done()
        world.standing.epoch += 1
        assert numbers(await reading) == [1]


async def test_under_a_frozen_log_nothing_is_even_tried(world, caplog):
    consumer = await world.connect()
    await world.admit(1)
    await consumer.deliveries()
    await world.freeze("XAR-XBO-1", "a fork")
    await world.admit(1)
    assert await consumer.deliveries() == []
    assert [record for record in caplog.records if record.message == "hand_over_waits"] == []
