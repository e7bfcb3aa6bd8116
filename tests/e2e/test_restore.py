"""Restore of an old backup, with real processes (design 04): the freeze, the next incarnation, the outboxes' second publish."""

import json
import shutil

import pytest

from processes import ending
from restored_world import FEW, RestoredWorld
from world_files import AGREEMENT, CODES, made_world

FROZEN = 18


@pytest.mark.timeout(300)
def test_no_report_is_lost_or_shown_twice_when_an_old_backup_is_restored(tmp_path):
    story = RestoredWorld(made_world(tmp_path))
    story.before()
    assert story.backup["running"]
    staying = story.lost()
    story.restore()
    assert story.restored["to_confirm"] == [AGREEMENT]
    world = story.world
    with ending(world.start_broker(), staying):
        early = story.send(FEW)
        first, second = story.confirm()
        assert (first["to_confirm"], second["to_confirm"]) == (["XBO"], [])
        assert first["lost"]["ACKNOWLEDGED"] > 0
        assert first["entries"] == story.restored["logs"][AGREEMENT]
        story.sent(early, story.send(FEW))
        story.came(staying, len(story.texts))
        story.left(staying)
        story.received(len(story.texts))
        story.check()
        for code in CODES:
            alarms = _alarms(world, code)
            assert {one["kind"] for one in alarms} == {"RESTORED"}, alarms
        machine = world.machine("XAR")
        bundle = str(tmp_path / "bundle")
        machine.done("audit", "bundle", AGREEMENT, "--into", bundle, "--as", "XAR/officer1")
        checked = machine.run("audit", "verify", bundle, "--json")
        assert checked.code == 0, checked.out + checked.err
        (said,) = checked.records
        assert (said["verdict"], said["findings"]) == ("PASS_WITH_GAPS", []), (
            "only what is the partner's own is not there"
        )


@pytest.mark.timeout(300)
def test_a_copy_that_is_put_back_by_hand_freezes_and_a_restore_names_what_the_nodes_held(tmp_path):
    story = RestoredWorld(made_world(tmp_path))
    world = story.world
    with ending(world.start_broker()) as (broker,):
        story.sent(story.send(FEW))
        story.received(FEW)
        assert broker.stop() == 0
    shutil.copytree(world.data, tmp_path / "copy")
    with ending(world.start_broker()) as (broker,):
        story.sent(story.send(FEW))
        world.machine("XBO").done("agreement", "list", "--as", "XBO/officer1")
        broker.kill()
    shutil.rmtree(world.data)
    shutil.copytree(tmp_path / "copy", world.data)
    with ending(world.start_broker()):
        # Its mirror has more of the log than the broker: it shows what it holds, and the broker freezes.
        world.machine("XBO").run("agreement", "show", AGREEMENT, "--as", "XBO/officer1")
        listed = world.machine("XAR").run("broker", "status", "--as", "XAR/officer1", "--json").records[0]
        assert [one["kind"] for one in listed["alarms"]] == ["FROZEN"]
    assert [path.name for path in (world.data / "presented").iterdir()] == [f"{AGREEMENT}.note"]
    story.command("backup", story.saved)
    story.restore()
    with ending(world.start_broker()):
        told = story.confirm()
        # XBO's officer held a longer tree: what that lost says stands in the log, under the broker's own signatures.
        assert told[1]["lost"]["SUBMIT_ACCEPTED"] > 0
        entries = (
            world.machine("XAR")
            .done("audit", "tail", AGREEMENT, "--json", "--as", "XAR/officer1", "--first", "0")
            .records
        )
        (continues,) = [one for one in entries if one["kind"] == "CONTINUES"]
        statement = json.loads(bytes.fromhex(continues["bodies"]["shared"]["statement"]["body"]))
        assert len(statement["presented"]) == 1
        story.sent(story.send(FEW))
        story.received(len(story.texts))
    story.check()


@pytest.mark.timeout(120)
def test_what_a_restore_does_not_take(tmp_path):
    story = RestoredWorld(made_world(tmp_path))
    world = story.world
    story.command("backup", story.saved)
    again = world.start("XAR", "broker", "backup", story.saved, "--data", world.data, "--json", name="again")
    again.done(13)
    occupied = world.start("XAR", "broker", "restore", story.saved, "--data", world.data, "--json", name="occupied")
    occupied.done(13)
    with ending(world.start_broker()):
        beside = ("broker", "restore", story.saved, "--data", world.data, "--replace")
        world.start("XAR", *beside, name="beside").done(13)
    store = story.saved / "store.sqlite"
    store.write_bytes(store.read_bytes()[:-1])
    damaged = ("broker", "restore", story.saved, "--data", tmp_path / "elsewhere")
    world.start("XAR", *damaged, name="damaged").done(FROZEN)
    (story.saved / "manifest.json").unlink()
    world.start("XAR", *damaged, name="half").done(12)
    assert not (tmp_path / "elsewhere").exists()
    modes = {path.stat().st_mode & 0o777 for path in story.saved.rglob("*") if path.is_file()}
    assert (modes, story.saved.stat().st_mode & 0o777) == ({0o600}, 0o700)


def _alarms(world, code):
    ran = world.machine(code).run("report", "list", "--as", f"{code}/n1", "--json")
    return [json.loads(line)["alarm"] for line in ran.err.splitlines() if line.startswith('{"alarm"')]
