"""The monitor of a broker that runs: what keeps it from looking at one agreement is shown until it works again."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from builders_acting import wall_ms
from builders_sdk import AGREEMENT, sharing
from comity.cli.output import Output
from comity.errors import StorageError
from comity.node.operations import broker_status
from comity_broker.cli.status import show_status
from comity_broker.storage.protocol import Reader
from comity_policy.facts import Role


@dataclass
class Unreadable:
    """A store one of whose shards cannot be read, while `fault` is there."""

    reader: Reader
    shard: str
    fault: Exception | None = None

    def __getattr__(self, name):
        return getattr(self.reader, name)

    async def entries(self, shard, first, limit):
        if self.fault is not None and shard == self.shard:
            raise self.fault
        return await self.reader.entries(shard, first, limit)


async def shown(world, *, as_json=False):
    """Give the status as an operator's connection gives it."""
    operator = world.treaty.officers.get(("XAR", "operator1"))
    if operator is None:
        operator = await world.world.enrolled(world.world.xar.officer("operator1", [Role.OPERATOR]))
        world.treaty.officers["XAR", "operator1"] = operator
    async with world.world.connection(operator) as connection:
        return await broker_status(connection)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (StorageError("the disk does not answer", what_to_do="Look at the disk."), "the disk does not answer"),
        (KeyError("nobody thought of it"), "an error of the program: KeyError"),
    ],
)
async def test_an_agreement_whose_duties_stand_still_is_shown_until_it_works_again(tmp_path, capsys, fault, reason):
    async with sharing(tmp_path) as world:
        monitor = world.world.broker.monitor
        assert (await shown(world)).alarms == ()
        store = monitor.duties.reader = Unreadable(monitor.duties.reader, AGREEMENT)
        store.fault, since = fault, wall_ms()
        for _ in range(3):
            await monitor.look()
        (alarm,) = (await shown(world)).alarms
        assert (alarm.kind, alarm.agreement_id) == ("MONITOR", AGREEMENT)
        assert alarm.times >= 3
        assert alarm.since >= since
        assert reason in alarm.reason
        assert alarm.what_to_do
        show_status(Output(), await shown(world))
        told = capsys.readouterr().out
        assert f"ALARM MONITOR {AGREEMENT}, since " in told
        assert "its duties stand still: " in told
        assert alarm.what_to_do in told
        show_status(Output(json=True), await shown(world))
        (said,) = json.loads(capsys.readouterr().out)["alarms"]
        assert (said["agreement_id"], said["times"] >= 3) == (AGREEMENT, True)
        store.fault = None
        await monitor.look()
        assert (await shown(world)).alarms == ()


async def test_what_fails_for_one_agreement_stops_no_other(tmp_path):
    async with sharing(tmp_path) as world:
        monitor = world.world.broker.monitor
        monitor.duties.reader = Unreadable(monitor.duties.reader, "XAR-XBO-9", KeyError("x"))
        await monitor.look()
        assert monitor.alarms == ()


async def test_a_step_of_the_clock_is_shown_until_a_restart_confirms_it(tmp_path, capsys):
    async with sharing(tmp_path) as world:
        monitor = world.world.broker.monitor
        for _ in range(2):
            monitor.clock_stepped()
        await monitor.look()
        (alarm,) = (await shown(world)).alarms
        assert (alarm.kind, alarm.agreement_id, alarm.times) == ("CLOCK", "", 2)
        show_status(Output(), await shown(world))
        told = capsys.readouterr().out
        assert "ALARM CLOCK XAR/hub, since " in told
        assert "restart the broker: that is the confirmation" in told
        before = world
    async with sharing(tmp_path, into_force=False, world=before.world) as again:
        assert again.world.broker.monitor.alarms == ()
