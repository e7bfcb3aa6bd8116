"""`comity broker maintenance` with real processes: it accepts, holds and says so, also after a restart."""

from datetime import UTC, datetime, timedelta

import pytest

from kill_brokers import numbered_directories
from processes import ending
from world_files import made_world

OPERATOR = ("--as", "XAR/officer1", "--json")
FEW = 3


@pytest.mark.timeout(180)
def test_a_broker_in_maintenance_accepts_and_holds_and_says_so(tmp_path):
    world = made_world(tmp_path)
    end = (datetime.now(UTC) + timedelta(hours=1)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    hub = world.machine("XAR")
    with ending(world.start_broker()) as (broker,):
        assert hub.done("broker", "maintenance", "status", *OPERATOR).records == [{"maintenance": False}]
        said = hub.done("broker", "maintenance", "on", "--until", end, *OPERATOR).records
        assert said == [{"maintenance": True, "until": end}]
        sending = world.send(next(numbered_directories(tmp_path / "reports", FEW)))
        sending.done()
        assert [one["accepted"] for one in sending.records if "accepted" in one] == [FEW]
        assert '"kind": "MAINTENANCE"' in sending.log.read_text()
        assert broker.stop() == 0
    with ending(world.start_broker(), world.receive("--follow")) as (_, receiving):
        status = hub.done("broker", "status", *OPERATOR).records[0]
        assert (status["maintenance_until"], status["alarms"]) == (end, [])
        receiving.wait_for(lambda: '"kind": "MAINTENANCE"' in receiving.log.read_text(), "it is told")
        assert receiving.lines == []
        assert hub.run("broker", "maintenance", "on", "--until", "2020-01-01", *OPERATOR).code == 14
        hub.done("broker", "maintenance", "off", *OPERATOR)
        receiving.wait_for(lambda: len(receiving.lines) == FEW, "what was held")
        tail = hub.done("audit", "tail", "--operations", "--first", "0", *OPERATOR).records
        acts = [one["bodies"]["shared"] for one in tail if one["kind"] == "ADMIN_ACTION"]
        assert [(one["action"], one["outcome"]) for one in acts] == [
            ("maintenance", f"until {end}"),
            ("maintenance", "ended"),
        ]
