"""In flight at a suspension, and what else changes a decision before a hand-over; in memory and over a real store."""

import pytest

from builders_dispatch import STORES, opened
from builders_dispatch_consumer import numbers, why
from builders_dispatch_segments import AGREEMENT, caller_of, cast
from builders_identity import NOW, fold
from comity.errors import AccessError, ComityError, ErrorCode
from comity_broker.auditlog.kinds import EventKind
from comity_broker.dispatch.answering import SlotName
from comity_broker.dispatch.frames import Delivered, Held, SkipReason
from comity_broker.dispatch.resolving import Resolving
from comity_broker.storage.protocol import ExceptionState, Rows

SCOPE = "3.1"


@pytest.fixture(params=STORES)
async def world(request, tmp_path):
    async with opened(request.param, tmp_path) as made:
        yield made


def name(made, slot: int = 0) -> SlotName:
    return SlotName(AGREEMENT, made.segment_id, slot)


def resolving(world) -> Resolving:
    return Resolving(world.dispatcher, lambda: bytes(16))


async def word(world, *names: SlotName, confirm: bool = True) -> int:
    return await resolving(world).held(caller_of(world.people.sender), names, confirm=confirm)


async def test_nothing_is_handed_over_while_an_agreement_is_suspended(world):
    consumer = await world.connect()
    await consumer.all()
    await world.suspend()
    await world.admit(2)
    frames = await consumer.all()
    assert [frame for frame in frames if isinstance(frame, Delivered)] == []
    assert frames[-1] == Held(AGREEMENT, 2)


async def test_a_recall_is_handed_over_while_an_agreement_is_suspended(world):
    await world.suspend()
    await world.admit(2)
    await world.admit(1, transport_class=0)
    consumer = await world.connect()
    (frame,) = await consumer.deliveries()
    assert frame.slots == ((0, 1),)
    await world.suspend(party="XBO")
    await world.admit(1, transport_class=0)
    assert len(await consumer.deliveries()) == 1, "nor does a suspension hold one that was in flight"


async def test_what_was_in_flight_at_a_suspension_waits_for_its_originators_word(world):
    before = await world.admit(2)
    await world.suspend()
    await world.resume()
    after = await world.admit(1)
    consumer = await world.connect()
    frames = await consumer.deliveries()
    assert numbers(*frames) == [3], "the lane goes on"
    assert why(frames[0]) == {1: SkipReason.HELD, 2: SkipReason.HELD}
    assert any(frame == Held(AGREEMENT, 2) for frame in consumer.frames)
    (entry,) = await world.entries(EventKind.HELD)
    assert entry["segments"] == [{"segment_id": before.segment_id.hex(), "slots": [[0, 1]], "attempt": 0}]
    await word(world, name(before, 1))
    (frame,) = await consumer.deliveries()
    assert numbers(frame) == [2]
    assert why(frame) == {1: SkipReason.HELD}
    (confirmed,) = await world.entries(EventKind.HELD_CONFIRMED)
    assert confirmed["recipient"] == {"party": "XBO", "node": "n1"}
    assert after.item == 2


async def test_what_was_held_is_logged_once_and_remembered(world):
    made = await world.admit(1)
    await world.suspend()
    await world.resume()
    consumer = await world.connect()
    await consumer.deliveries()
    await consumer.leave()
    consumer = await world.connect()
    await consumer.deliveries()
    assert len(await world.entries(EventKind.HELD)) == 1
    await word(world, name(made))
    assert numbers(*await consumer.deliveries()) == [1]


async def test_a_word_said_before_anybody_looked_is_enough(world):
    made = await world.admit(1)
    await world.suspend()
    await world.resume()
    await word(world, name(made))
    consumer = await world.connect()
    assert numbers(await consumer.delivery()) == [1]
    assert await world.entries(EventKind.HELD) == []


async def test_a_report_that_was_withdrawn_never_comes_and_lets_the_floor_pass(world):
    made = await world.admit(2)
    await world.suspend()
    log_index = await word(world, name(made, 0), confirm=False)
    await world.resume()
    await word(world, name(made, 1))
    consumer = await world.connect()
    frame = await consumer.delivery()
    assert numbers(frame) == [2]
    (absent,) = frame.absent
    assert (absent.reason.why, absent.reason.log_index) == (SkipReason.WITHDRAWN, log_index)
    await consumer.acknowledge(frame)
    (floor,) = await world.reader.floors(AGREEMENT, "XBO/n1", "default")
    assert floor.floor == 1


async def test_each_recipient_is_shown_its_own_entry_of_a_withdrawal(world):
    made = await world.admit(1, also_due=[0])
    await world.suspend()
    await word(world, name(made), confirm=False)
    await world.resume()
    entries = {
        entry["recipient"]["node"]: entry["log_index"] for entry in await world.entries(EventKind.HELD_WITHDRAWN)
    }
    assert len(set(entries.values())) == 2
    for held in (world.people.reader, world.people.other):
        (frame,) = await (await world.connect(held=held)).deliveries()
        assert frame.absent[0].reason.log_index == entries[held.identity.name]


async def test_a_second_suspension_needs_a_second_word(world):
    made = await world.admit(1)
    await world.suspend()
    await world.resume()
    await word(world, name(made))
    await world.suspend()
    await world.resume()
    consumer = await world.connect()
    assert numbers(*await consumer.deliveries()) == []
    await word(world, name(made))
    assert numbers(*await consumer.deliveries()) == [1]


async def test_what_was_handed_over_before_a_suspension_comes_again_without_a_word(world):
    await world.admit(1)
    consumer = await world.connect()
    await consumer.delivery()
    await consumer.leave()
    await world.suspend()
    consumer = await world.connect()
    assert await consumer.deliveries() == []
    await world.resume()
    assert (await consumer.delivery()).slots == ((0, 2),)


async def test_a_suspended_clause_holds_only_what_it_denies(world):
    made = await world.admit(1)
    await world.suspend(SCOPE)
    consumer = await world.connect()
    frames = await consumer.deliveries()
    assert [why(frame) for frame in frames] == [{1: SkipReason.HELD}]
    await world.resume(SCOPE)
    assert numbers(*await consumer.deliveries()) == [], "it was in flight: it waits for a word"
    await word(world, name(made))
    assert numbers(*await consumer.deliveries()) == [1]


async def test_a_suspended_clause_that_permits_it_holds_nothing(world):
    await world.suspend("3.2")
    await world.admit(1)
    consumer = await world.connect()
    assert numbers(*await consumer.deliveries()) == [1]


async def test_only_the_originators_node_says_a_word(world):
    made = await world.admit(1)
    await world.suspend()
    for held in (world.people.reader, world.people.other):
        with pytest.raises(AccessError):
            await resolving(world).held(caller_of(held), [name(made)], confirm=False)


async def test_nothing_is_confirmed_while_the_suspension_lasts(world):
    made = await world.admit(1)
    await world.suspend()
    with pytest.raises(ComityError) as caught:
        await word(world, name(made))
    assert caught.value.code is ErrorCode.REPORT_HELD


async def test_a_confirmation_counts_for_the_state_it_was_checked_in_alone(world):
    first, second = await world.admit(1), await world.admit(1)
    await world.suspend()
    await world.resume()
    await world.commit(lambda head, _: Rows(head.raised(), None))  # the ledger has not followed yet
    with pytest.raises(ComityError) as caught:
        await word(world, name(first))
    assert caught.value.code is ErrorCode.STATE_CHANGED
    await word(world, name(second), confirm=False)


async def test_what_came_after_every_suspension_is_not_held(world):
    await world.suspend()
    await world.resume()
    made = await world.admit(1)
    for confirm in (True, False):
        with pytest.raises(ComityError) as caught:
            await word(world, name(made), confirm=confirm)
        assert caught.value.code is ErrorCode.TRANSITION_NOT_ALLOWED


async def test_what_was_withdrawn_cannot_be_confirmed(world):
    made = await world.admit(1)
    await world.suspend()
    await word(world, name(made), confirm=False)
    await world.resume()
    with pytest.raises(ComityError) as caught:
        await word(world, name(made))
    assert caught.value.code is ErrorCode.TRANSITION_NOT_ALLOWED


async def test_words_name_reports_of_one_agreement_that_are_here(world):
    made = await world.admit(1)
    await world.suspend()
    for names, code in (
        ([], ErrorCode.MALFORMED),
        ([name(made), SlotName("XAR-XDE-1", made.segment_id, 0)], ErrorCode.MALFORMED),
        ([SlotName("XAR-XDE-1", made.segment_id, 0)], ErrorCode.AGREEMENT_UNKNOWN),
        ([SlotName(AGREEMENT, bytes(48), 0)], ErrorCode.ITEM_UNKNOWN),
        ([name(made, 5)], ErrorCode.ITEM_UNKNOWN),
    ):
        with pytest.raises(ComityError) as caught:
            await word(world, *names, confirm=False)
        assert caught.value.code is code


# --- what else changes a decision -----------------------------------------------------------------------------------


async def test_a_change_that_changes_no_decision_holds_nothing(world):
    await world.admit(2)
    await world.epoch_raised()
    consumer = await world.connect()
    assert numbers(await consumer.delivery()) == [1, 2]
    assert await world.entries(EventKind.HELD) == []


async def test_a_node_that_lost_its_accreditation_gets_nothing_until_it_has_one(world):
    await world.admit(1)
    reader, xbo = world.people.reader, world.people.xbo
    try:
        fold(world.keys, reader.reissued(accreditation=None))
        await world.epoch_raised()
        consumer = await world.connect()
        (frame,) = await consumer.deliveries()
        assert why(frame) == {1: SkipReason.HELD}
        fold(world.keys, reader.reissued(accreditation=xbo.attestation("SECRET")))
        await world.epoch_raised()
        assert numbers(*await consumer.deliveries()) == [1]
    finally:
        cast.cache_clear()


async def test_what_is_held_after_it_was_handed_over_is_remembered_as_handed_over(world):
    await world.admit(1)
    reader, xbo = world.people.reader, world.people.xbo
    try:
        consumer = await world.connect()
        assert numbers(await consumer.delivery()) == [1]
        await consumer.leave()
        fold(world.keys, reader.reissued(accreditation=None))
        await world.epoch_raised()
        for _ in range(2):
            consumer = await world.connect()
            (frame,) = await consumer.deliveries()
            assert why(frame) == {1: SkipReason.HELD}
            (row,) = await world.reader.exceptions(AGREEMENT, "XBO/n1", "default")
            assert (row.state, row.attempts) == (ExceptionState.RETRY, 1)
            await consumer.leave()
        fold(world.keys, reader.reissued(accreditation=xbo.attestation("SECRET")))
        await world.epoch_raised()
        consumer = await world.connect()
        frames = await consumer.deliveries()
        assert [one.slots for one in frames if one.slots] == [((0, 2),)]
        frame = frames[-1]
        await consumer.acknowledge(frame)
        assert await world.reader.exceptions(AGREEMENT, "XBO/n1", "default") == []
    finally:
        cast.cache_clear()


async def test_what_is_held_after_it_was_handed_over_and_then_expires_counts_as_handed_over(world):
    await world.admit(1, expires_at={0: NOW + 1000})
    try:
        consumer = await world.connect()
        assert numbers(await consumer.delivery()) == [1]
        await consumer.leave()
        fold(world.keys, world.people.reader.reissued(accreditation=None))
        await world.epoch_raised()
        await (await world.connect()).deliveries()
        world.pass_seconds(2)
        await (await world.connect(take_over=True)).deliveries()
        (row,) = await world.reader.exceptions(AGREEMENT, "XBO/n1", "default")
        assert (row.state, row.attempts) == (ExceptionState.EXPIRED, 1)
    finally:
        cast.cache_clear()


async def test_an_accreditation_that_ends_by_time_alone_is_noticed(world):
    reader, xbo = world.people.reader, world.people.xbo
    try:
        fold(world.keys, reader.reissued(accreditation=xbo.attestation("SECRET", until=NOW + 1000)))
        await world.admit(1)
        world.pass_seconds(2)
        consumer = await world.connect()
        (frame,) = await consumer.deliveries()
        assert why(frame) == {1: SkipReason.HELD}
    finally:
        cast.cache_clear()


async def test_a_revoked_sender_holds_and_a_rotated_one_does_not(world):
    sender, xar = world.people.sender, world.people.xar
    try:
        await world.admit(1)
        revoked = xar.revocation(sender.signer.fingerprint)
        fold(world.keys, sender.rotated())
        await world.epoch_raised()
        consumer = await world.connect()
        assert numbers(*await consumer.deliveries()) == [1]
        await consumer.leave()
        await world.admit(1)
        fold(world.keys, revoked)
        await world.epoch_raised()
        archive = await world.connect(consumer="archive")
        held = [reason for frame in await archive.deliveries() for reason in why(frame).values()]
        assert held == [SkipReason.HELD, SkipReason.HELD]
    finally:
        cast.cache_clear()


async def test_a_node_whose_bundle_ended_gets_nothing(world):
    await world.admit(1)
    world.pass_seconds(61 * 24 * 3600)
    consumer = await world.connect()
    assert await consumer.deliveries() == []
