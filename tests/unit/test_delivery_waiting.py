"""Leaving a report of which something waits: it is parked, a recall is given back; never acknowledged."""

import pytest

from comity.node.delivery import Delivery
from comity.node.inbox import InboxLane
from comity_policy.readers import Lack

PARKED = "parked: waits for another opening: caveats, reader"


class Desk:
    """Notes what became of a delivery."""

    def __init__(self):
        self.ends = []

    def acknowledged(self, delivery, waiter):
        self.ends.append("acknowledged")

    def parked(self, delivery, reason):
        self.ends.append(f"parked: {reason}")

    def given_back(self, delivery, after_seconds):
        self.ends.append(f"given back for {after_seconds:g} s")


def delivery(desk, transport_class=4, waits_for=frozenset({Lack.READER, Lack.CAVEATS})):
    return Delivery(
        desk,
        None,
        lane=InboxLane("XAR-XBO-1", "XAR/n1", bytes(16), transport_class),
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
        waits_for=waits_for,
    )


@pytest.mark.parametrize(
    ("transport_class", "end"), [(4, PARKED), (1, PARKED), (0, "given back for 60 s"), (5, "given back for 60 s")]
)
async def test_it_is_never_acknowledged(transport_class, end):
    desk = Desk()
    one = delivery(desk, transport_class)
    async with one:
        pass
    one.acknowledge()
    await one.settled()
    assert desk.ends == [end]


async def test_one_of_which_nothing_waits_is():
    desk = Desk()
    async with delivery(desk, waits_for=frozenset()):
        pass
    assert desk.ends == ["acknowledged"]
