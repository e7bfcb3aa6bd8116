"""What a consumer was handed before, to be read only once more: no floor, no acknowledgement, and the log says it first."""

import asyncio
from contextlib import aclosing
from dataclasses import replace

import pytest

from builders_dispatch import STORES, opened
from builders_dispatch_consumer import happens, numbers
from builders_dispatch_recalls import STATES, take_back
from builders_dispatch_replays import (
    asking,
    delivery_state,
    logged,
    reasons,
    replayed,
    replaying,
    slots_of_frames,
)
from builders_dispatch_segments import AGREEMENT, caller_of
from builders_identity import NOW
from comity.envelope.evidence import AckOutcome
from comity.envelope.segment import parse_segment
from comity.errors import ComityError, ErrorCode
from comity_broker.auditlog.kinds import EventKind
from comity_broker.dispatch.answering import SlotName
from comity_broker.dispatch.frames import Delivered, SkipReason
from comity_broker.dispatch.logged import Recipient
from comity_broker.dispatch.replayed import Start, replay_unit
from comity_broker.dispatch.replaying import BEGUN_LIMIT, PER_NODE, Ended
from comity_broker.dispatch.resolving import Resolving
from comity_broker.operations import log_caller


@pytest.fixture(params=STORES)
async def world(request, tmp_path):
    async with opened(request.param, tmp_path) as made:
        yield made


async def acknowledged(world, count: int, **changes):
    """Admit a segment, and have it handed over and acknowledged."""
    made = await world.admit(count, **changes)
    consumer = await world.connect()
    await consumer.acknowledge(await consumer.delivery())
    await consumer.leave()
    return made


async def refused(world, asked=None, **how) -> ErrorCode:
    with pytest.raises(ComityError) as caught:
        await replayed(world, asked, **how)
    return caught.value.code


# --- what comes -----------------------------------------------------------------------------------------------------


async def test_what_was_acknowledged_comes_again_in_the_order_of_admission_and_nothing_moves(world):
    await acknowledged(world, 2)
    await acknowledged(world, 1, epoch=bytes(16))
    await acknowledged(world, 1)
    before = await delivery_state(world)
    frames, ended = await replayed(world)
    assert [parse_segment(one.segment).origin_epoch == bytes(16) for one in frames] == [False, True, False]
    assert numbers(*frames) == [1, 2, 1, 3]
    assert frames[0].slots == ((0, 0), (1, 0)), "no attempt is counted"
    assert (frames[0].resume_token, frames[0].skipped, frames[0].absent) == (b"", (), ())
    assert ended == Ended(complete=True, next_log_index=0)
    assert await delivery_state(world) == before


async def test_the_log_says_who_reads_again_what_and_from_where_before_anything_comes(world):
    made = await acknowledged(world, 2)
    async with aclosing(replaying(world).frames(caller_of(world.people.reader), asking())) as frames:
        first = await anext(frames)
        (entry,) = await world.entries(EventKind.REPLAYED)
    assert isinstance(first, Delivered)
    assert entry["recipient"] == {"party": "XBO", "node": "n1"}
    assert (entry["consumer"], entry["since"], entry["from_log_index"]) == ("default", 1, 0)
    assert entry["segments"] == [{"segment_id": made.segment_id.hex(), "slots": [[0, 1]], "attempt": 0}]
    assert entry["time"] == world.clock.now_ms()
    assert await world.entries(EventKind.REPLAYED, "XAR") == [entry], "its originator reads the same"
    others = await world.entries(EventKind.REPLAYED, "XDE")
    assert "recipient" not in others[0], "a third party reads nobody's name"
    assert len(await world.entries(EventKind.DELIVERED)) == 1, "it is no second hand-over"


async def test_a_replay_begins_at_a_time_or_at_an_entry(world):
    made = []
    for _ in range(6):
        made.append(await acknowledged(world, 1))
        world.pass_seconds(10)
    for at, expected in ((0, [1, 2, 3, 4, 5, 6]), (20_000, [3, 4, 5, 6]), (20_001, [4, 5, 6]), (50_001, [])):
        frames, ended = await replayed(world, asking(Start(since=max(1, NOW + at))))
        assert numbers(*frames) == expected
        assert ended.complete
    frames, _ = await replayed(world, asking(Start(log_index=made[3].log_index)))
    assert numbers(*frames) == [4, 5, 6]
    frames, _ = await replayed(world, asking(Start(log_index=made[3].log_index + 1)))
    assert numbers(*frames) == [5, 6]
    assert await replayed(world, asking(Start(log_index=10_000))) == ([], Ended(True, 0))


async def test_what_was_not_handed_over_does_not_come_this_way(world):
    await world.admit(3)
    consumer = await world.connect(reports=2)
    frame = await consumer.delivery()
    await world.admit(1)
    assert numbers(frame) == [1, 2]
    frames, ended = await replayed(world)
    assert numbers(*frames) == [1, 2]
    assert reasons(frames[0]) == {3: SkipReason.OTHER_FRAME}
    assert ended.complete
    assert await logged(world, EventKind.REPLAYED) == slots_of_frames(frames)


async def test_what_is_in_a_consumers_hands_comes_again_and_its_answer_counts_as_before(world):
    made = await world.admit(1)
    consumer = await world.connect()
    frame = await consumer.delivery()
    frames, _ = await replayed(world)
    assert numbers(*frames) == [1]
    await consumer.acknowledge(frame)
    (floor,), _, _ = await delivery_state(world)
    assert floor.floor == made.item
    assert await consumer.deliveries() == []


async def test_of_each_slot_comes_the_report_or_why_not(world):
    await acknowledged(world, 4, due=[0, 1], refused=[2])
    frames, _ = await replayed(world)
    assert numbers(*frames) == [1, 2]
    assert reasons(frames[0]) == {3: SkipReason.REFUSED, 4: SkipReason.NOT_ADDRESSED}
    assert all(one.reason.log_index == frames[0].log_index for one in frames[0].absent)


async def test_withheld_portions_stay_withheld_and_each_packet_comes_once(world):
    await acknowledged(world, 1, portions=2, withheld={0: [1]})
    await acknowledged(world, 1)
    frames, _ = await replayed(world)
    whole = [body for body in parse_segment(frames[0].segment).items[0].ciphertexts if isinstance(body, bytes)]
    assert len(whole) == 1
    assert [len(one.key_packets) for one in frames] == [1, 0]
    again, _ = await replayed(world)
    assert [one.key_packets for one in again] == [one.key_packets for one in frames], "another call brings them again"


async def test_parked_reports_come_and_stay_parked(world):
    made = await world.admit(2)
    consumer = await world.connect()
    await consumer.acknowledge(await consumer.delivery(), AckOutcome.PARKED)
    before = await delivery_state(world)
    frames, _ = await replayed(world)
    assert numbers(*frames) == [1, 2]
    assert await delivery_state(world) == before
    await Resolving(world.dispatcher, lambda: bytes(16)).parked(
        caller_of(world.people.reader), "", [SlotName(AGREEMENT, made.segment_id, 0)], replay=True
    )
    frames, _ = await replayed(world)
    assert numbers(*frames) == [1, 2], "nor is one forgotten that comes again from its first attempt"


async def test_after_a_start_of_the_broker_a_replay_is_the_same(world):
    await acknowledged(world, 2)
    before, _ = await replayed(world)
    world.started()
    after, _ = await replayed(world)
    assert after == before


# --- what does not come any more ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", STATES)
async def test_what_was_taken_back_gets_the_entry_that_says_so(world, kind):
    made = await acknowledged(world, 2)
    log_index = await take_back(world, made, 0, kind=kind)
    frames, _ = await replayed(world)
    assert numbers(*frames) == [2]
    (absent,) = frames[0].absent
    assert (absent.reason.why, absent.reason.log_index) == (SkipReason[kind.name], log_index)
    assert await logged(world, EventKind.REPLAYED) == [(made.segment_id.hex(), 1)]


async def test_what_was_taken_back_whole_gets_reasons_and_no_entry(world):
    made = await acknowledged(world, 2)
    await take_back(world, made, 0, 1)
    frames, ended = await replayed(world)
    assert reasons(frames[0]) == {1: SkipReason.RECALLED, 2: SkipReason.RECALLED}
    assert frames[0].slots == ()
    assert ended.complete
    assert await world.entries(EventKind.REPLAYED) == []


async def test_what_has_expired_does_not_come_whether_it_was_handed_over_or_not(world):
    await acknowledged(world, 2, expires_at={0: NOW + 30_000})
    await world.admit(2, expires_at={0: NOW + 30_000})
    world.pass_seconds(31)
    consumer = await world.connect()
    await consumer.acknowledge(await consumer.delivery())
    frames, _ = await replayed(world)
    assert numbers(*frames) == [2, 4]
    assert [reasons(one) for one in frames] == [{1: SkipReason.EXPIRED}, {3: SkipReason.EXPIRED}]
    (entry,) = await world.entries(EventKind.EXPIRED)
    assert [one.absent[0].reason.log_index for one in frames] == [0, entry["log_index"]]


async def test_what_is_not_permitted_any_more_is_held(world):
    await acknowledged(world, 1)
    await world.suspend("3.1")
    frames, _ = await replayed(world)
    assert (frames[0].slots, reasons(frames[0])) == ((), {1: SkipReason.HELD})
    assert await world.entries(EventKind.REPLAYED) == []
    await world.resume("3.1")
    frames, _ = await replayed(world)
    assert numbers(*frames) == [1]


async def test_what_its_originator_withdrew_does_not_come(world):
    made = await acknowledged(world, 2)
    await world.suspend()
    await world.resume()
    word = Resolving(world.dispatcher, lambda: bytes(16))
    await word.held(caller_of(world.people.sender), [SlotName(AGREEMENT, made.segment_id, 0)], confirm=False)
    frames, _ = await replayed(world)
    assert (numbers(*frames), reasons(frames[0])) == ([2], {1: SkipReason.WITHDRAWN})


async def test_nothing_is_replayed_while_the_agreement_is_suspended_or_frozen(world):
    await acknowledged(world, 1)
    await world.suspend()
    assert await refused(world) is ErrorCode.AGREEMENT_NOT_IN_FORCE
    await world.resume()
    assert numbers(*(await replayed(world))[0]) == [1]
    await world.freeze(AGREEMENT, "a test")
    assert await refused(world) is ErrorCode.LOG_FROZEN


async def test_a_log_that_froze_meanwhile_is_not_written_to(tmp_path):
    async with opened("memory", tmp_path) as world:
        await acknowledged(world, 1)
        reader = caller_of(world.people.reader)
        to = Recipient(reader.party, reader.identity.name, "default", 0, log_caller(reader))
        how = {"now_ms": NOW, "epoch": 0, "urgency": 4, "random_bytes": world.random}
        unit = replay_unit(AGREEMENT, to, Start(since=1), [], [], world.log, **how)
        head = await world.reader.head(AGREEMENT)
        assert unit.build(head, await world.reader.known(AGREEMENT, unit.reads)).head.leaf_next == head.leaf_next
        with pytest.raises(ComityError) as caught:
            unit.build(replace(head, frozen_reason="a test"), await world.reader.known(AGREEMENT, unit.reads))
        assert caught.value.code is ErrorCode.LOG_FROZEN


@pytest.mark.parametrize("what", ["suspended", "recalled", "withdrawn"])
async def test_what_changes_while_the_log_is_about_to_say_it_counts(tmp_path, what):
    async with opened("memory", tmp_path) as world:
        made = await acknowledged(world, 1)
        if what == "withdrawn":
            await world.suspend()
            await world.resume()
        world.reader.gate = gate = asyncio.Event()
        under_way = asyncio.ensure_future(replayed(world))
        await happens(lambda: world.reader.gated)
        world.reader.gate = None
        if what == "suspended":
            await world.suspend()
        elif what == "recalled":
            await take_back(world, made, 0)
        else:
            word = Resolving(world.dispatcher, lambda: bytes(16))
            name = SlotName(AGREEMENT, made.segment_id, 0)
            await word.held(caller_of(world.people.sender), [name], confirm=False)
        gate.set()
        if what == "suspended":
            with pytest.raises(ComityError) as caught:
                await under_way
            assert caught.value.code is ErrorCode.AGREEMENT_NOT_IN_FORCE
        else:
            frames, _ = await under_way
            assert reasons(frames[0]) == {1: SkipReason[what.upper()]}
        assert await world.entries(EventKind.REPLAYED) == []


# --- what a node may ask for ----------------------------------------------------------------------------------------


async def test_nobody_replays_what_another_node_or_consumer_was_handed(world):
    await acknowledged(world, 2, also_due=[1])
    assert await refused(world, held=world.people.other) is ErrorCode.ITEM_UNKNOWN, "it never received"
    other = await world.connect(held=world.people.other)
    await other.acknowledge(await other.delivery())
    frames, _ = await replayed(world, held=world.people.other)
    assert numbers(*frames) == [2]
    assert await refused(world, asking(consumer="archive")) is ErrorCode.ITEM_UNKNOWN
    assert await refused(world, asking(consumer="Not A Name")) is ErrorCode.MALFORMED
    idle = await world.connect(consumer="archive", reports=0)
    await idle.all()
    frames, ended = await replayed(world, asking(consumer="archive"))
    assert (frames, ended.complete) == ([], True), "a consumer that was handed nothing has nothing to read again"


async def test_the_originator_replays_nothing_of_its_own(world):
    await acknowledged(world, 1)
    sender = await world.connect(held=world.people.sender)
    await sender.all()
    assert (await replayed(world, held=world.people.sender))[0] == []


async def test_a_node_of_no_party_hears_of_no_agreement(world):
    await acknowledged(world, 1)
    stranger = world.people.hub
    assert (
        await refused(world, replace(asking(), agreement_id="XAR-XDE-1"), held=stranger) is ErrorCode.AGREEMENT_UNKNOWN
    )


async def test_credit_ends_a_replay_that_goes_on_where_it_ended(world):
    for _ in range(4):
        await acknowledged(world, 2)
    came, start = [], Start(since=1)
    for left in (3, 2, 1):
        frames, ended = await replayed(world, asking(start, reports=1))
        came += frames
        assert not ended.complete
        start = Start(log_index=ended.next_log_index)
        assert len(frames) == 1, f"a segment in hand is finished, and no more: {left} are left"
    frames, ended = await replayed(world, asking(start, size=1))
    assert numbers(*came, *frames) == [1, 2, 3, 4, 5, 6, 7, 8]
    frames, ended = await replayed(world, asking(Start(log_index=ended.next_log_index)))
    assert (frames, ended) == ([], Ended(True, 0))
    assert len(await world.entries(EventKind.REPLAYED)) == 4


@pytest.mark.parametrize("credit", [{"reports": 0}, {"size": 0}, {"reports": 1 << 17}, {"size": 1 << 40}])
async def test_a_replay_without_credit_or_with_too_much_is_refused(world, credit):
    assert await refused(world, asking(**credit)) is ErrorCode.LIMIT_EXCEEDED


async def test_a_node_has_few_replays_under_way_and_its_places_come_back(world):
    await acknowledged(world, 1)
    of, who = replaying(world), caller_of(world.people.reader)
    open_ones = [of.frames(who, asking()) for _ in range(PER_NODE)]
    for one in open_ones:
        await anext(one)
    assert await refused(world, of=of) is ErrorCode.RATE_LIMITED
    other = await world.connect(held=world.people.other)
    await other.all()
    await replayed(world, of=of, held=world.people.other)
    await open_ones[0].aclose()
    await replayed(world, of=of)
    await open_ones[1].aclose()


async def test_a_node_begins_few_replays_a_second(world):
    await acknowledged(world, 1)
    of = replaying(world)
    for _ in range(BEGUN_LIMIT):
        await replayed(world, of=of)
    with pytest.raises(ComityError) as caught:
        await replayed(world, of=of)
    assert caught.value.code is ErrorCode.RATE_LIMITED
    assert caught.value.retry_after_seconds == 1.0
    world.pass_seconds(1)
    await replayed(world, of=of)


async def test_a_broker_that_stops_begins_and_goes_on_with_no_replay(world):
    for _ in range(20):
        await acknowledged(world, 1)
    came = []
    async with aclosing(replaying(world).frames(caller_of(world.people.reader), asking())) as frames:
        came.append(await anext(frames))
        await world.dispatcher.drain(0)
        for _ in range(15):
            came.append(await anext(frames))  # noqa: PERF401 - what came before it ended
        with pytest.raises(ComityError) as caught:
            await anext(frames)
    assert caught.value.code is ErrorCode.DRAINING
    assert numbers(*came) == list(range(1, 17)), "the round that the log spoke of is finished"
    assert await refused(world) is ErrorCode.DRAINING
