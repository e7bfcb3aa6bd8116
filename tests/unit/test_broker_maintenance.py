"""Maintenance: the broker accepts and holds, says so, outlives a restart, and comes to its end by itself."""

import asyncio
import contextlib

import pytest

from builders_broker import brokered
from builders_sdk import AGREEMENT, report, sharing, until
from comity.errors import MalformedError, StorageError
from comity_broker.clock import BrokerClock
from comity_broker.maintenance import FILE, LONGEST_MS, Maintenance

HOUR = 3_600_000


class Told:
    """What a maintenance told."""

    def __init__(self):
        self.changes = self.ends = 0

    def changed(self):
        self.changes += 1

    def went_on(self, action, target, outcome):
        assert (action, target, outcome) == ("maintenance", "XAR/hub", "came to its end")
        self.ends += 1


def maintenance(path, now, told=None):
    told = told or Told()
    one = Maintenance.of(path, BrokerClock(wall=lambda: now["at"]), told, "XAR/hub")
    one.changed = told.changed
    return one


def test_it_has_an_end_to_come_and_not_too_far(tmp_path):
    one = maintenance(tmp_path, {"at": 1_000})
    for end in (0, 1_000, 1_001 + LONGEST_MS):
        with pytest.raises(MalformedError, match="at most 7 days"):
            one.begin(end)
    one.begin(1_000 + LONGEST_MS)
    assert one.until() == 1_000 + LONGEST_MS


def test_it_outlives_the_process_and_no_longer_than_its_end(tmp_path):
    now = {"at": 1_000}
    maintenance(tmp_path, now).begin(1_000 + HOUR)
    assert maintenance(tmp_path, now).until() == 1_000 + HOUR
    now["at"] += HOUR
    assert maintenance(tmp_path, now).until() == 0


def test_a_file_that_does_not_read_stops_the_start(tmp_path):
    (tmp_path / FILE).write_text("{")
    with pytest.raises(StorageError, match="damaged"):
        maintenance(tmp_path, {"at": 0})


async def test_it_comes_to_its_end_by_itself_and_says_so(tmp_path):
    now, told = {"at": 1_000}, Told()
    one = maintenance(tmp_path, now, told)
    running = asyncio.create_task(one.run())
    one.begin(1_010)
    now["at"] = 1_011
    await until(lambda: told.ends == 1)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert told.changes == 2
    assert not (tmp_path / FILE).exists()
    assert not one.end(), "it is over"


async def test_reports_are_accepted_and_wait_until_it_is_over(tmp_path):
    async with sharing(tmp_path) as shared, shared.node("XAR") as sender, shared.node("XBO") as reader:
        broker = shared.world.broker
        end = broker.maintenance.clock.now_ms() + HOUR
        broker.maintenance.begin(end)
        got = []

        async def read():
            async for delivery in reader.receive(purpose="counter-terrorism"):
                async with delivery as one:
                    got.append(one.text)

        reading = asyncio.create_task(read())
        receipt = await sender.send(report("held"), agreement=AGREEMENT)
        assert receipt.agreement_sequence == 1
        await until(lambda: reader.connection.held_until == end)
        assert sender.connection.held_until == end
        assert got == []
        broker.maintenance.end()
        await until(lambda: got == ["held"])
        await until(lambda: reader.connection.held_until == 0)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def test_a_broker_that_starts_again_still_holds(tmp_path):
    async with sharing(tmp_path) as shared:
        shared.world.broker.maintenance.begin(shared.world.broker.maintenance.clock.now_ms() + HOUR)
    async with brokered(shared.world.data, world=shared.world), contextlib.AsyncExitStack() as stack:
        sender = await stack.enter_async_context(shared.node("XAR"))
        await sender.send(report("held"), agreement=AGREEMENT)
        assert sender.connection.held_until > 0
        assert [one async for one in (await stack.enter_async_context(shared.node("XBO"))).receive(follow=False)] == []
