"""What a command tells on standard error of what its node noticed and cannot mend, and what it says when it is to be quiet."""

import json

import pytest

from comity.node.alarms import AlarmKind
from comity.node.offline import OfflineNode
from processes import ending
from world_files import AGREEMENT, PURPOSE, WISHES, made_world

DETAIL = "another tree of 4 entries was signed"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = made_world(tmp_path_factory.mktemp("world"))
    with ending(made.start_broker()):
        yield made


@pytest.fixture(scope="module")
def alarmed(world):
    """The world, where the node of XBO has raised an alarm."""
    with OfflineNode.open(world.machine("XBO").home, "XBO/n1") as node:
        node.mirror.raise_alarm(AlarmKind.FORK, AGREEMENT, "the agreement's log", f"{DETAIL}\x1b[2J")
    return world


def received(world, into, *words):
    fixed = ("receive", "--into", str(into), "--as", "XBO/n1", "--purpose", PURPOSE)
    return world.machine("XBO").done(*fixed, *words)


def test_quiet_commands_say_nothing_that_was_not_asked_for(world, tmp_path):
    report = tmp_path / "report.txt"
    report.write_text("two boats")
    sent = world.machine("XAR").done(
        "send", str(report), "--as", "XAR/n1", "--agreement", AGREEMENT, "--quiet", *WISHES
    )
    came = received(world, tmp_path / "in", "--quiet")
    assert [path.read_text() for path in (tmp_path / "in").glob("*.txt")] == ["two boats"]
    assert (sent.out, sent.err, came.out, came.err) == ("", "", "", "")


def test_a_node_without_alarms_tells_none(world):
    ran = world.machine("XAR").done("report", "list", "--as", "XAR/n1")
    assert ran.err == ""


@pytest.mark.parametrize("words", [("report", "list", "--as", "XBO/n1"), ("receive", "--into", "in", "--as", "XBO/n1")])
def test_an_alarm_is_told_once_by_every_command_that_asks_the_broker(alarmed, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    ran = alarmed.machine("XBO").done(*words, "--quiet")
    assert ran.err.count("ALARM FORK") == 1
    assert f"{AGREEMENT}, the agreement's log: {DETAIL}" in ran.err
    assert "\x1b" not in ran.err
    assert "ALARM" not in ran.out


def test_programs_get_an_alarm_as_an_object_beside_what_they_asked_for(alarmed, tmp_path):
    ran = received(alarmed, tmp_path / "in", "--json")
    (line,) = ran.err.splitlines()
    alarm = json.loads(line)["alarm"]
    assert (alarm["kind"], alarm["agreement_id"]) == ("FORK", AGREEMENT)
    assert alarm["detail"].startswith(DETAIL)
    assert alarm["at"].endswith("Z")
    assert all("alarm" not in record for record in ran.records)
