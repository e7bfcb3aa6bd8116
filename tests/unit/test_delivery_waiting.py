"""Leaving a report of which something waits: what opened is taken, the rest waits; it is never acknowledged."""

import pytest

from comity.node.delivery import Delivery
from comity.node.inbox import InboxLane
from comity_policy.readers import Lack


class Desk:
    """Notes what became of a delivery."""

    def __init__(self):
        self.ends = []

    def acknowledged(self, delivery, waiter):
        self.ends.append("acknowledged")

    def taken(self, delivery, waiter):
        self.ends.append(f"taken, waits for {', '.join(sorted(delivery.waits_for))}")
        if waiter is not None:
            waiter.set_result(None)

    def parked(self, delivery, reason):
        self.ends.append(f"parked: {reason}")

    def given_back(self, delivery, after_seconds):
        self.ends.append(f"given back for {after_seconds:g} s")


def delivery(desk, waits=(frozenset({Lack.READER}), frozenset({Lack.CAVEATS}))):
    return Delivery(
        desk,
        None,
        lane=InboxLane("XAR-XBO-1", "XAR/n1", bytes(16), 4),
        origin_sequence=1,
        attempt=1,
        admitted_at=0,
        log_index=0,
        approved_by=frozenset(),
        segment_id=bytes(48),
        slot=0,
        segment_slots=1,
        report_id=bytes(16),
        expires_at=0,
        waits=waits,
    )


async def test_it_is_never_acknowledged():
    desk = Desk()
    one = delivery(desk)
    async with one:
        pass
    one.acknowledge()
    await one.settled()
    assert desk.ends == ["taken, waits for caveats, reader"]


async def test_whoever_waits_for_the_disk_waits_for_what_was_taken():
    desk = Desk()
    one = delivery(desk)
    await one.settled()
    assert (desk.ends, one.is_open) == (["taken, waits for caveats, reader"], False)


async def test_what_its_application_gives_back_was_not_taken():
    desk = Desk()
    with pytest.raises(RuntimeError):
        async with delivery(desk):
            raise RuntimeError
    assert desk.ends == ["given back for 1 s"]


async def test_one_of_which_nothing_waits_is():
    desk = Desk()
    async with delivery(desk, waits=()):
        pass
    assert desk.ends == ["acknowledged"]
