"""Be read, not only delivered: a FLASH that wakes the duty desk, until the sender sees who read it and what was done."""

import shlex
import stat

import pytest

from builders_every_kind import clause_text
from builders_world import AGREEMENT, parties, running, sign
from processes import until

CONTACTS = clause_text(
    "36",
    "authorities",
    'contacts = [{ party = "XBO", role = "duty desk", name = "The desk", contact = "+000 1" }]',
)
READER = ("--reader", "XBO/liaison1")


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    with running(parties(tmp_path_factory.mktemp("night"))) as world:
        world.arden.done("officer", "create", "XAR/duty1", *world.where)
        cleared = ("--clearance", "SECRET", "--cleared-by", "XAR/security1")
        world.arden.done("officer", "accredit", "XAR/duty1", "--role", "duty-officer", *cleared)
        sign(world, CONTACTS)
        yield world


def pager(folder):
    """Make a program that notes what it is told."""
    program, told = folder / "page", folder / "told"
    program.write_text(f'#!/bin/sh\necho "$1 $COMITY_ALERT_PRECEDENCE $COMITY_ALERT_REPORT_ID" >> {told}\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return f"{shlex.quote(str(program))} duty-desk", told


def stands(world, report_id):
    """Give where a report stands at Bohemund, as Arden's node sees it: once its mirror has come so far."""
    (row,) = world.arden.done("report", "show", report_id, "--as", "XAR/n1", "--json").records
    return row["handling"][0] if row["handling"] else None


def test_a_flash_wakes_the_desk_and_its_sender_sees_who_read_it(night, tmp_path):
    (sent,) = night.send("Two boats.", "--precedence", "flash", "--approve-as", "XAR/duty1", "--yes").records
    report_id = sent["report_id"]
    command, told = pager(tmp_path)
    night.receive(tmp_path / "in", "--on-flash", command)
    assert told.read_text() == f"duty-desk FLASH {report_id}\n"
    waits = until(lambda: stands(night, report_id), "the hand-over in Arden's mirror")
    assert ("read" in waits, waits["overdue"], waits["alerting"]["name"]) == (False, False, "The desk")
    shown = night.arden.done("report", "show", report_id, "--as", "XAR/n1").out
    assert "nobody has read it; reading is due" in shown
    assert "now alerting the contact: duty desk, The desk, +000 1" in shown
    assert "unread, due" in night.arden.done("report", "list", "--as", "XAR/n1").out
    owed = night.bohemund.done("desk", "--as", "XBO/liaison1", "--json").records
    (duty,) = [one for one in owed if one.get("kind") == "read"]
    assert duty["command"] == f"comity report read {report_id} --agreement {AGREEMENT}"

    done = ("report", "action", report_id, "--agreement", AGREEMENT, "--as", "XBO/liaison1")
    night.bohemund.done(*done, "--note", "two boats are under way")
    read = until(lambda: "read" in (one := stands(night, report_id)) and one, "the word in Arden's mirror")
    assert (read["read"]["officer"], "alerting" in read) == ("XBO/liaison1", False)
    assert [one["note"] for one in read["actions"]] == ["two boats are under way"]
    assert (
        "by XBO/liaison1 (liaison): two boats are under way"
        in night.arden.done("report", "show", report_id, "--as", "XAR/n1").out
    )
    owed = night.bohemund.done("desk", "--as", "XBO/liaison1", "--json").records
    assert not [one for one in owed if one.get("kind") == "read"]


def test_an_officer_who_receives_says_so_by_itself(night, tmp_path):
    (sent,) = night.send("Three boats.").records
    night.receive(tmp_path / "in", *READER)
    read = until(
        lambda: (one := stands(night, sent["report_id"])) and "read" in one and one, "the word in Arden's mirror"
    )
    assert (read["read"]["officer"], read["read_late"]) == ("XBO/liaison1", False)


def test_what_wakes_nobody_is_refused_before_anything_is_received(night, tmp_path):
    for words in (("--on-flash", "no-such-program"), ("--webhook", "http://desk.xbo.example/"), ("--on-immediate",)):
        night.receive(tmp_path / "in", *words, code=2)
