"""What a consumer answers: acknowledgements, reports given back, replays; over a store in memory and over a real one."""

from dataclasses import replace

import pytest

from builders_dispatch import STORES, opened
from builders_dispatch_consumer import outcomes_of
from builders_dispatch_segments import AGREEMENT
from comity.envelope.evidence import AckOutcome, SignedAck
from comity.envelope.reasons import RejectReason
from comity.errors import ErrorCode, RejectedError, VerificationError
from comity_broker.auditlog.kinds import EventKind
from comity_broker.dispatch.answering import SlotName
from comity_broker.dispatch.claiming import DEFAULT_CONSUMER
from comity_broker.dispatch.frames import AckConfirmed, FrameRefused


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


# --- acknowledgements -----------------------------------------------------------------------------------------------


async def test_an_acknowledged_report_is_never_handed_out_again(world):
    await world.admit(3)
    consumer = await world.connect()
    await consumer.acknowledge(await consumer.delivery())
    await consumer.leave()
    assert await (await world.connect()).deliveries() == []
    (floor,) = await floors(world)
    assert (floor.floor, floor.handed, floor.above) == (1, 1, b"")
    assert await exceptions(world) == []


async def test_an_acknowledgement_is_evidence_in_both_parties_part_of_the_log(world):
    await world.admit(2)
    consumer = await world.connect()
    frame = await consumer.delivery()
    signed = consumer.ack(outcomes_of(frame))
    await consumer.session.answer(signed)
    confirmed = await consumer.until(AckConfirmed)
    (entry,) = await world.entries(EventKind.ACKNOWLEDGED)
    assert (entry["ack"], entry["signature"]) == (signed.record.hex(), signed.signature.hex())
    assert entry["log_index"] == confirmed.log_index
    assert await world.entries(EventKind.ACKNOWLEDGED, "XAR") == [entry]


async def test_a_known_acknowledgement_is_confirmed_again_and_logged_once(world):
    await world.admit(1)
    consumer = await world.connect()
    signed = consumer.ack(outcomes_of(await consumer.delivery()))
    await consumer.session.answer(signed)
    first = await consumer.until(AckConfirmed)
    await consumer.session.answer(signed)
    assert await consumer.until(AckConfirmed) == first
    again = await world.connect(take_over=True)
    await again.session.answer(signed)
    assert await again.until(AckConfirmed) == first
    assert len(await world.entries(EventKind.ACKNOWLEDGED)) == 1


async def test_an_acknowledgement_counts_from_any_session(world):
    await world.admit(2)
    consumer = await world.connect()
    signed = consumer.ack(outcomes_of(await consumer.delivery()))
    await consumer.leave()
    again = await world.connect(reports=0)
    await again.session.answer(signed)
    await again.until(AckConfirmed)
    again.session.credit(10, 1 << 20)
    assert await again.deliveries() == []
    assert (await floors(world))[0].floor == 1


async def test_one_signature_answers_many_segments(world):
    for _ in range(5):
        await world.admit(2)
    consumer = await world.connect()
    frames = await consumer.deliveries()
    await consumer.session.answer(consumer.ack(*(outcomes_of(frame) for frame in frames)))
    await consumer.until(AckConfirmed)
    assert (await floors(world))[0].floor == 5


async def test_answers_that_wait_together_are_one_commit(tmp_path):
    async with opened("memory", tmp_path) as world:
        for _ in range(5):
            await world.admit(1)
        consumer = await world.connect()
        frames = await consumer.deliveries()
        before = world.reader.commits
        for frame in frames:
            await consumer.session.answer(consumer.ack(outcomes_of(frame)))
        assert [type(frame) for frame in await consumer.all()] == [AckConfirmed] * 5
        assert world.reader.commits == before + 1


@pytest.mark.parametrize(
    "outcome", [AckOutcome.UNREADABLE, AckOutcome.INCOMPLETE, AckOutcome.REFUSED, AckOutcome.PRUNED]
)
async def test_every_outcome_but_a_park_settles(world, outcome):
    await world.admit(1)
    consumer = await world.connect()
    await consumer.acknowledge(await consumer.delivery(), outcome)
    assert (await floors(world))[0].floor == 1
    assert await exceptions(world) == []


async def test_a_slot_that_an_acknowledgement_does_not_speak_of_stays_out(world):
    await world.admit(3)
    consumer = await world.connect()
    frame = await consumer.delivery()
    await consumer.session.answer(consumer.ack(outcomes_of(frame, slots=[2])))
    await consumer.until(AckConfirmed)
    world.pass_seconds(60)
    consumer.session.pass_time()
    assert (await consumer.delivery()).slots == ((0, 2), (1, 2))


async def test_a_hand_over_that_was_answered_before_its_write_is_not_written(world):
    await world.admit(2)
    consumer = await world.connect()
    frame = await consumer.delivery()
    await consumer.give_back(frame, 0)
    await consumer.idle()
    assert len(await world.entries(EventKind.DELIVERED)) == 2, "the second hand-over is committed"
    await consumer.session.answer(consumer.ack(outcomes_of(frame)))
    await consumer.idle()
    assert await consumer.deliveries() == []
    assert (await floors(world))[0].floor == 1
    assert await exceptions(world) == []
    assert consumer.session.in_flight == 0
    assert consumer.session.credits.reports == 1000 - 2


async def test_of_a_hand_over_that_was_answered_in_part_the_rest_is_written(world):
    await world.admit(2)
    consumer = await world.connect()
    frame = await consumer.delivery()
    await consumer.give_back(frame, 0)
    await consumer.idle()
    await consumer.session.answer(consumer.ack(outcomes_of(frame, slots=[0])))
    await consumer.idle()
    (again,) = await consumer.deliveries()
    assert again.slots == ((1, 2),)
    assert consumer.session.credits.reports == 1000 - 3


# --- acknowledgements that are refused ------------------------------------------------------------------------------


async def rejected(consumer, signed) -> RejectReason:
    frame = await consumer.refused(signed)
    assert frame.error.code is ErrorCode.REJECTED
    error = consumer.world.rejected_errors[-1]
    assert isinstance(error, RejectedError)
    return error.reason


async def test_an_acknowledgement_whose_bytes_were_changed_is_rejected(world):
    await world.admit(1)
    consumer = await world.connect()
    signed = consumer.ack(outcomes_of(await consumer.delivery()))
    forged = replace(signed, signature=bytes(len(signed.signature)))
    assert await rejected(consumer, forged) is RejectReason.ACK_SIGNATURE
    assert (await floors(world))[0].floor == 0


async def test_another_nodes_acknowledgement_is_rejected(world):
    await world.admit(1)
    consumer = await world.connect()
    other = world.people.other
    outcomes = outcomes_of(await consumer.delivery())
    signed = consumer.ack(outcomes, key_set=world.key_set(other))
    assert await rejected(consumer, signed) is RejectReason.ACK_KEY_SET
    assert await rejected(consumer, sign_ack_of(other, consumer, outcomes)) is RejectReason.ACK_SIGNATURE


def sign_ack_of(held, consumer, outcomes) -> SignedAck:
    """Sign as another node what names the consumer's own key set."""
    mine, consumer.held = consumer.held, held
    key_set = consumer.world.key_set(mine)
    signed = consumer.ack(outcomes, key_set=key_set)
    consumer.held = mine
    return signed


async def test_an_acknowledgement_of_another_consumer_is_rejected(world):
    await world.admit(1)
    consumer = await world.connect()
    signed = consumer.ack(outcomes_of(await consumer.delivery()), consumer="archive")
    assert await rejected(consumer, signed) is RejectReason.ACK_CONSUMER


async def test_a_segment_that_this_consumer_was_not_given_cannot_be_acknowledged(world):
    made = await world.admit(1)
    consumer = await world.connect(reports=0)
    assert await rejected(consumer, consumer.ack((made.segment_id, [1]))) is RejectReason.ACK_SEGMENT
    assert await rejected(consumer, consumer.ack((bytes(48), [1]))) is RejectReason.ACK_SEGMENT


async def test_there_is_one_outcome_a_slot(world):
    made = await world.admit(2)
    consumer = await world.connect()
    await consumer.delivery()
    assert await rejected(consumer, consumer.ack((made.segment_id, [1]))) is RejectReason.ACK_OUTCOMES


async def test_a_report_that_was_not_handed_over_cannot_be_acknowledged(world):
    made = await world.admit(3, due=[0, 1])
    consumer = await world.connect(reports=1)
    await consumer.delivery()
    assert await rejected(consumer, consumer.ack((made.segment_id, [0, 1, 0]))) is RejectReason.ACK_OUTCOMES
    assert await rejected(consumer, consumer.ack((made.segment_id, [0, 0, 1]))) is RejectReason.ACK_OUTCOMES
    await consumer.session.answer(consumer.ack((made.segment_id, [1, 0, 6])))
    await consumer.until(AckConfirmed)


async def test_one_acknowledgement_speaks_of_one_originators_party(world):
    await world.admit(1)
    await world.admit(1, node="XDE/n1")
    consumer = await world.connect()
    frames = await consumer.deliveries()
    assert [entry["recipient"]["party"] for entry in await world.entries(EventKind.DELIVERED)] == ["XBO", "XBO"]
    signed = consumer.ack(*(outcomes_of(frame) for frame in frames))
    assert await rejected(consumer, signed) is RejectReason.ACK_SEGMENT
    for frame in frames:
        await consumer.acknowledge(frame)


async def test_an_agreement_of_others_is_unknown(world):
    consumer = await world.connect()
    signed = consumer.ack((bytes(48), [1]), agreement_id="XAR-XDE-1")
    assert (await consumer.refused(signed)).error.code is ErrorCode.AGREEMENT_UNKNOWN


async def test_a_view_of_the_log_that_is_no_part_of_ours_is_a_fork(world):
    await world.admit(1)
    consumer = await world.connect()
    signed = consumer.ack(outcomes_of(await consumer.delivery()))
    world.fork = VerificationError("fork", code=ErrorCode.FORK)
    assert (await consumer.refused(signed)).error.code is ErrorCode.FORK
    assert (await floors(world))[0].floor == 0


async def test_a_rejected_acknowledgement_takes_no_other_with_it(world):
    await world.admit(1)
    await world.admit(1)
    consumer = await world.connect()
    first, second = await consumer.deliveries()
    good, bad = consumer.ack(outcomes_of(first)), consumer.ack(outcomes_of(second))
    await consumer.session.answer(replace(bad, signature=good.signature))
    await consumer.session.answer(good)
    kinds = {type(frame) for frame in await consumer.all()}
    assert kinds == {FrameRefused, AckConfirmed}
    assert (await floors(world))[0].floor == 1
