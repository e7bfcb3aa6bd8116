"""A report in the application's hands is ended once, by leaving the block or by name."""

import asyncio

import pytest

from comity.errors import UsageError
from comity.node.delivery import REASON_LIMIT, Delivery
from comity.node.inbox import InboxLane


class Desk:
    """Notes what it is told."""

    def __init__(self):
        self.said = []

    def acknowledged(self, delivery, waiter):
        self.said.append("acknowledged")
        if waiter is not None:
            asyncio.get_running_loop().call_soon(waiter.set_result, None)

    def parked(self, delivery, reason):
        self.said.append(f"parked {reason}")

    def given_back(self, delivery, after_seconds):
        self.said.append(f"given back {after_seconds:g}")


def handed(attempt=1):
    desk = Desk()
    return desk, Delivery(
        desk,
        "the report",
        lane=InboxLane("XAR-XBO-1", "XAR/n1", bytes(16), 4),
        origin_sequence=7,
        attempt=attempt,
        admitted_at=1,
        log_index=2,
        approved_by=frozenset(),
        segment_id=bytes(48),
        slot=0,
        segment_slots=1,
        report_id=bytes(16),
        expires_at=3,
    )


async def test_leaving_the_block_acknowledges():
    desk, delivery = handed()
    async with delivery as report:
        assert report == "the report"
        assert delivery.is_open
    assert desk.said == ["acknowledged"]
    assert not delivery.is_open


async def test_an_error_in_the_block_gives_the_report_back_and_goes_on_to_the_caller():
    desk, delivery = handed()
    with pytest.raises(ZeroDivisionError):
        async with delivery:
            raise ZeroDivisionError
    assert desk.said == ["given back 1"]


async def test_a_cancellation_in_the_block_says_nothing_about_the_report():
    desk, delivery = handed()
    with pytest.raises(asyncio.CancelledError):
        async with delivery:
            raise asyncio.CancelledError
    assert desk.said == []


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 1), (2, 2), (4, 8), (7, 60), (1000, 60)])
async def test_a_report_given_back_waits_longer_each_time(attempt, seconds):
    desk, delivery = handed(attempt)
    delivery.retry()
    assert desk.said == [f"given back {seconds}"]


async def test_parking_inside_the_block_is_what_counts():
    desk, delivery = handed()
    async with delivery:
        delivery.park("the schema is unknown")
    assert desk.said == ["parked the schema is unknown"]


async def test_acknowledging_twice_is_once_and_settled_waits_for_the_disk():
    desk, delivery = handed()
    delivery.acknowledge()
    delivery.acknowledge()
    assert desk.said == ["acknowledged"]
    desk, delivery = handed()
    await delivery.settled()
    assert desk.said == ["acknowledged"]
    with pytest.raises(UsageError, match="acknowledged before"):
        await delivery.settled()


@pytest.mark.parametrize("first", [lambda one: one.park("no"), lambda one: one.retry(5)])
@pytest.mark.parametrize("then", [lambda one: one.acknowledge(), lambda one: one.park("no"), lambda one: one.retry()])
async def test_a_report_has_one_end(first, then):
    desk, delivery = handed()
    first(delivery)
    with pytest.raises(UsageError):
        then(delivery)
    assert len(desk.said) == 1


@pytest.mark.parametrize("reason", ["", "a" * (REASON_LIMIT + 1)])
async def test_a_reason_has_a_length(reason):
    _, delivery = handed()
    with pytest.raises(UsageError):
        delivery.park(reason)
    assert delivery.is_open


async def test_a_delivery_says_where_it_stands():
    _, delivery = handed()
    assert repr(delivery) == "Delivery(XAR/n1 XAR-XBO-1 class 4 number 7)"
    assert (delivery.agreement_id, delivery.origin, delivery.transport_class) == ("XAR-XBO-1", "XAR/n1", 4)
