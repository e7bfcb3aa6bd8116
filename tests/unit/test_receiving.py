"""Receiving from a broker that repeats, forgets and lies: nothing acknowledged is shown again, nothing false is shown at all."""

import asyncio
import threading

from builders_delivery import cut
from builders_envelope import report_id
from builders_receiving import receiving
from builders_sdk import until
from comity.envelope.forwarding import prune
from comity.envelope.segment import parse_segment
from comity.node.reading import Terms
from comity.v1 import exchange_pb2
from comity_policy.facts import Precedence


async def test_what_is_handed_over_is_shown_and_acknowledged_with_a_signature(tmp_path):
    async with receiving(tmp_path) as world:
        frame = world.hand.frame(3)
        world.hand_over(frame)
        world.catch_up()
        assert await world.texts() == [f"{number} portion 0" for number in (1, 2, 3)]
        assert world.outcomes(frame) == [1, 1, 1]
        assert world.alarms() == []


async def test_what_was_acknowledged_is_never_shown_again_and_acknowledged_again(tmp_path):
    async with receiving(tmp_path) as world:
        frame = world.hand.frame(3)
        world.hand_over(frame, frame)
        world.catch_up()
        assert len(await world.texts()) == 3
        world.acks.clear()
        world.hand_over(frame, frame)
        world.catch_up()
        assert await world.texts() == []
        assert world.outcomes(frame) == [1, 1, 1]
        assert world.alarms() == []


async def test_an_answer_that_nobody_confirmed_is_sent_again_in_the_next_session(tmp_path):
    async with receiving(tmp_path) as world:
        world.confirms = False
        frame = world.hand.frame(1)
        world.hand_over(frame)
        receiver = await world.receiver()
        deliveries = receiver.deliveries(follow=True)
        async with await anext(deliveries):
            pass
        waiting = asyncio.create_task(anext(deliveries))
        await until(lambda: len(world.acks) == 1)
        world.confirms = True
        world.drop()
        await until(lambda: len(world.acks) == 2)
        assert world.acks[0] == world.acks[1]
        waiting.cancel()
        await until(waiting.done)
        await deliveries.aclose()
        await receiver.close()


async def test_an_acknowledgement_is_written_though_receiving_is_broken_off_before_that_began(tmp_path):
    async with receiving(tmp_path) as world:
        frame = world.hand.frame(1)
        world.hand_over(frame)
        receiver = await world.receiver()
        busy = threading.Event()
        acknowledging = receiver._acks
        deliveries = receiver.deliveries(follow=True)
        delivery = await anext(deliveries)
        other = asyncio.create_task(acknowledging.in_worker(busy.wait))
        await asyncio.sleep(0.01)
        delivery.acknowledge()
        acknowledging.flush()
        await asyncio.sleep(0.01)
        ending = asyncio.create_task(receiver.close())
        await asyncio.sleep(0.01)
        # The loop itself may wait for that thread at the end.
        threading.Timer(0.1, busy.set).start()
        ending.cancel()
        await asyncio.wait([ending])
        await other
        await deliveries.aclose()
        world.drop()
        world.hand_over(frame)
        world.catch_up()
        assert await world.texts() == []


async def test_a_report_in_the_applications_hands_is_not_shown_a_second_time_by_a_new_session(tmp_path):
    async with receiving(tmp_path) as world:
        frame = world.hand.frame(2)
        world.hand_over(frame)
        receiver = await world.receiver()
        deliveries = receiver.deliveries(follow=False)
        first = await anext(deliveries)
        world.drop()
        world.hand_over(frame)
        world.catch_up()
        await until(lambda: world.service.begun == 2)
        second = await anext(deliveries)
        assert [first.slot, second.slot] == [0, 1]
        first.acknowledge()
        second.acknowledge()
        assert [one async for one in deliveries] == []
        assert world.outcomes(frame) == [1, 1]


async def test_a_report_given_back_holds_its_lane_until_it_comes_again_and_no_other(tmp_path):
    async with receiving(tmp_path) as world:
        frame, behind = world.hand.frame(2), world.hand.frame(1)
        other = world.hand.frame(1, first=1, report_id=report_id(77), fields={"precedence": Precedence.PRIORITY})
        world.hand_over(frame, behind)
        receiver = await world.receiver()
        deliveries = receiver.deliveries(follow=True)
        (await anext(deliveries)).retry(0.0)
        again = asyncio.create_task(anext(deliveries))
        await until(lambda: world.nacks)
        assert not again.done()
        world.hand_over(other)
        shown = [await again]
        shown[0].acknowledge()
        world.hand_over(cut(frame, slots=[exchange_pb2.DeliveredSlot(slot=0, attempt=2)]))
        for _ in range(3):
            shown.append(await anext(deliveries))
            shown[-1].acknowledge()
        assert [(one.transport_class, one.origin_sequence, one.attempt) for one in shown] == [
            (3, 1, 1),
            (4, 1, 2),
            (4, 2, 1),
            (4, 3, 1),
        ]
        await deliveries.aclose()


async def test_a_report_given_back_for_the_last_time_lets_its_lane_go_on(tmp_path):
    async with receiving(tmp_path) as world:
        frame = world.hand.frame(2)
        slots = [exchange_pb2.DeliveredSlot(slot=0, attempt=5), exchange_pb2.DeliveredSlot(slot=1, attempt=1)]
        world.hand_over(cut(frame, slots=slots))
        world.catch_up()
        receiver = await world.receiver()
        seen = []
        async for delivery in receiver.deliveries(follow=False):
            seen.append(delivery.slot)
            if delivery.slot == 0:
                delivery.retry(0.0)
            else:
                delivery.acknowledge()
        assert seen == [0, 1]


# --- lies -----------------------------------------------------------------------------------------------------------


async def test_a_segment_that_is_not_signed_is_never_acknowledged_and_an_alarm(tmp_path):
    async with receiving(tmp_path) as world:
        good, bad = world.hand.frame(1), world.hand.frame(1)
        world.hand_over(cut(bad, batch_path=[bytes(48)]), good)
        world.catch_up()
        assert await world.texts() == ["1 portion 0"]
        assert world.outcomes(bad) == [0]
        assert world.alarms() == ["SEGMENT_REJECTED"]


async def test_one_report_id_for_two_reports_is_quarantined(tmp_path):
    async with receiving(tmp_path) as world:
        first = world.hand.frame(1)
        second = world.hand.frame(1, report_id=report_id(1))
        world.hand_over(first, second)
        world.catch_up()
        assert await world.texts() == ["1 portion 0"]
        assert world.outcomes(second) == [5]
        assert world.alarms() == ["ID_REUSED"]


async def test_one_number_for_two_reports_is_quarantined(tmp_path):
    async with receiving(tmp_path) as world:
        first = world.hand.frame(1)
        second = world.hand.frame(1, first=1, report_id=report_id(77))
        world.hand_over(first, second)
        world.catch_up()
        assert len(await world.texts()) == 1
        assert world.outcomes(second) == [5]
        assert "ID_REUSED" in world.alarms()


async def test_a_number_that_is_neither_a_report_nor_a_reason_is_an_alarm(tmp_path):
    async with receiving(tmp_path) as world:
        first, third = world.hand.frame(1), world.hand.frame(1, first=3)
        world.hand_over(first, third)
        world.catch_up()
        assert len(await world.texts()) == 2
        assert world.alarms() == ["SEQUENCE_GAP"]


async def test_a_pruned_report_without_a_reason_is_an_alarm_and_with_one_is_not(tmp_path):
    async with receiving(tmp_path) as world:
        whole = world.hand.frame(2)
        pruned = cut(whole, segment=prune(whole.segment, [1]), slots=[whole.slots[0]])
        world.hand_over(pruned)
        world.catch_up()
        assert await world.texts() == ["1 portion 0"]
        assert world.outcomes(pruned) == [1, 0]
        assert world.alarms() == ["UNEXPLAINED"]
        other = world.hand.frame(2)
        leaf = parse_segment(other.segment).leaves[1]
        reason = exchange_pb2.Skipped(origin_sequence=4, leaf=leaf, reason=2, log_index=10_000)
        explained = cut(other, segment=prune(other.segment, [1]), slots=[other.slots[0]], absent=[reason])
        world.hand_over(explained)
        world.catch_up()
        assert await world.texts() == ["3 portion 0"]
        assert world.outcomes(explained) == [1, 6]
        assert world.alarms() == ["UNEXPLAINED"]


async def test_a_reason_that_the_log_denies_is_an_alarm(tmp_path):
    async with receiving(tmp_path) as world:
        whole = world.hand.frame(2)
        leaf, entry = parse_segment(whole.segment).leaves[1], world.hand.audit.find("AGREEMENT_SIGNED")
        recalled = exchange_pb2.Skipped(
            origin_sequence=2, leaf=leaf, reason=exchange_pb2.SKIP_REASON_RECALLED, log_index=entry
        )
        told = cut(whole, segment=prune(whole.segment, [1]), slots=[whole.slots[0]], absent=[recalled])
        world.hand_over(told)
        world.catch_up()
        assert await world.texts() == ["1 portion 0"], "what else came with it is shown"
        assert world.alarms() == ["FALSE_REASON"]


async def test_a_delivery_that_the_log_denies_is_not_shown(tmp_path):
    async with receiving(tmp_path) as world:
        sent = world.hand.audit.submit(1)
        await world.hand.fetch()
        frame = world.hand.frame(1, log_index=world.hand.audit.find("SUBMIT_ACCEPTED", -1))
        assert sent
        world.hand_over(frame)
        world.catch_up()
        assert await world.texts() == []
        assert world.outcomes(frame) == [0]
        assert world.alarms() == ["NOT_ADMITTED"]


async def test_a_delivery_whose_entry_comes_later_is_compared_when_it_is_there(tmp_path):
    async with receiving(tmp_path) as world:
        frame = world.hand.frame(1)
        world.hand_over(frame)
        receiver = await world.receiver()
        deliveries = receiver.deliveries(follow=True)
        await (await anext(deliveries)).settled()
        await receiver.prove("XAR-XBO-1")
        assert world.alarms() == []
        world.hand.audit.submit(1)
        await world.hand.fetch()
        await receiver.prove("XAR-XBO-1")
        assert world.alarms() == ["NOT_ADMITTED"]
        await receiver.prove("XAR-XBO-1")
        assert len(world.alarms()) == 1
        await deliveries.aclose()


async def test_a_fork_in_one_report_is_refused_and_its_neighbour_is_read(tmp_path):
    async with receiving(tmp_path) as world:
        seen = world.hand.seen()["agreement_log_seen"]
        forked = world.hand.frame(1, agreement_log_seen=type(seen)(seen.incarnation, seen.size, bytes(32)))
        good = world.hand.frame(1)
        world.hand_over(forked, good)
        world.catch_up()
        assert await world.texts() == ["2 portion 0"]
        assert world.outcomes(forked) == [5]
        assert world.alarms() == ["FORK"]


async def test_a_withheld_packet_makes_its_report_incomplete_and_an_alarm(tmp_path):
    async with receiving(tmp_path) as world:
        frame = world.hand.frame(1)
        world.hand_over(cut(frame, key_packets=[]))
        world.catch_up()
        assert await world.texts() == []
        assert world.outcomes(frame) == [4]
        assert world.alarms() == ["INCOMPLETE"]


async def test_whoever_leaves_has_told_the_broker_what_is_parked(tmp_path):
    async with receiving(tmp_path) as world:
        world.hand_over(world.hand.frame())
        world.catch_up()
        receiver = await world.receiver(Terms())
        assert [delivery async for delivery in receiver.deliveries(follow=False)] == []
        # A stream that is cut may take with it what was written last.
        assert world.left
        (nack,) = world.nacks
        assert nack.park_reason == "waits for another opening: purpose"


async def test_an_urgent_report_opens_with_a_packet_that_came_with_what_it_overtakes(tmp_path):
    async with receiving(tmp_path) as world:
        first, second = world.hand.frame(1), world.hand.frame(1)
        flash = world.hand.frame(1, first=1, report_id=report_id(77), fields={"precedence": Precedence.FLASH})
        # As the broker composes: a packet goes once a stream, with the first frame that names it.
        second = cut(second, key_packets=sorted([*second.key_packets, *flash.key_packets]))
        receiver = await world.receiver()
        deliveries = receiver.deliveries(follow=True)
        world.hand_over(first)
        shown = [await anext(deliveries)]
        world.hand_over(second, cut(flash, key_packets=[]))
        await until(lambda: sum(map(len, receiver._frames)) == 2)
        shown[0].acknowledge()
        for _ in range(2):
            shown.append(await anext(deliveries))
            shown[-1].acknowledge()
        assert [one.transport_class for one in shown] == [4, 1, 4]
        assert world.alarms() == []
        await deliveries.aclose()
