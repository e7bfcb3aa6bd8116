"""What a hostile broker commits to in a log is shown as what it is: never obeyed by the terminal, never a crash."""

import json

import pytest

from builders_home import Machine
from comity.cli.audit import _show_entry, _statement, _told
from comity.cli.base import Invocation
from comity.errors import VerificationError
from comity.node.decided import recipients
from comity.node.entries import MirroredEntry, Part

ORIGIN = "hub.xar.example/keys/" + "0" * 32


def shown(kind: str, body: dict, capsys) -> str:
    part = Part(bytes(32), json.dumps(body, sort_keys=True, separators=(",", ":")).encode())
    _show_entry(Invocation(), MirroredEntry(ORIGIN, 7, kind, b"", {"shared": part}))
    return capsys.readouterr().out


def test_an_entry_is_one_line_with_time_kind_and_what_was_signed(capsys):
    body = {"type": "node-bundle", "party": "XAR", "node": "n1"}
    statement = {"body": json.dumps(body, sort_keys=True, separators=(",", ":")).encode().hex(), "signatures": []}
    assert _statement(statement) == "a statement that cannot be read"
    line = shown(
        "LOG_OPENED", {"time": 1_790_000_000_000, "origin": ORIGIN, "log_vkeys": [], "broker": "XAR/hub"}, capsys
    )
    assert line.split()[:3] == ["7", "2026-09-21T14:13:20.000Z", "LOG_OPENED"]


@pytest.mark.parametrize(
    "said",
    [
        {"actor": "XAR/n1", "recipient": 7, "statements": "x", "refusals": 3, "slots": None},
        {"actor": {"party": ["XAR"]}, "recipient": {}, "statement": None},
        {"statement": {"body": "zz", "signatures": []}, "reason": ["why"], "consumer": {}},
        {"statements": [1, None, {"body": 7}]},
    ],
)
def test_bodies_of_another_shape_are_shown_and_do_not_stop_the_reader(said):
    assert isinstance(_told(said), str)


def test_a_body_that_its_kind_does_not_declare_is_said_to_be_unreadable(capsys):
    assert "cannot be read" in shown("LOG_OPENED", {"time": 1}, capsys)


def test_a_reason_cannot_drive_the_terminal(capsys):
    line = shown("LOG_FROZEN", {"time": 1, "actor": {}, "certificate": "", "request": "", "reason": "\x1b[2J"}, capsys)
    assert "\x1b" not in line


def test_an_operators_act_says_what_was_done_and_what_came_of_it(capsys):
    actor = {"party": "XAR", "node": "", "officer": "XAR/operator1"}
    body = {"time": 1, "actor": actor, "certificate": "", "request": "", "action": "drain", "object": "XAR/hub"}
    part = Part(bytes(32), json.dumps({**body, "outcome": "begun"}, sort_keys=True, separators=(",", ":")).encode())
    origin = ORIGIN.replace("/keys/", "/operations/")
    _show_entry(Invocation(), MirroredEntry(origin, 7, "ADMIN_ACTION", b"", {"shared": part}))
    assert "XAR/operator1; drain; begun" in capsys.readouterr().out


def test_one_log_is_named(tmp_path):
    machine = Machine.made(tmp_path)
    assert machine.run("audit", "tail").code == 2
    assert machine.run("audit", "tail", "XAR-XBO-1", "--keys").code == 2
    assert machine.run("audit", "tail", "--operations", "--keys").code == 2


def test_a_bundle_that_is_not_there_and_a_root_that_is_none_are_said(tmp_path):
    machine = Machine.made(tmp_path)
    assert machine.run("audit", "verify", str(tmp_path / "missing")).code == 12
    (tmp_path / "empty").mkdir()
    assert machine.run("audit", "verify", str(tmp_path / "empty"), "--root", "XBO").code == 2
    ran = machine.run("audit", "verify", str(tmp_path / "empty"), "--json")
    assert (ran.code, ran.records[0]["verdict"]) == (15, "FAIL")


def decisions(value: object, *attested: object) -> MirroredEntry:
    own = json.dumps({"attested": attested, "decisions": value}, sort_keys=True, separators=(",", ":")).encode()
    origin = "hub.xar.example/agreement/XAR-XBO-1/" + "0" * 32
    return MirroredEntry(origin, 9, "SUBMIT_ACCEPTED", b"", {"XAR": Part(bytes(32), own)})


def test_a_decision_is_read_for_the_slots_it_covers():
    facts = {
        "region": "xbo",
        "offices": [],
        "communities": [],
        "accreditation_level": "SECRET",
        "accreditation_until": 1,
        "oldest_key_since": 1,
        "valid": True,
        "officers": None,
        "overdue": None,
        "capabilities": None,
    }
    moment = {
        "now": 1,
        "broker": "hub",
        "broker_region": "xar",
        "key_log_age": 1,
        "sender_roles": ["node"],
        "sender_key_since": 1,
        "sender_capabilities": None,
        "direct": True,
        "onward_grant": False,
        "size": None,
        "usage": [{"clause": "9", "reports": 1, "size": 10}],
        "approvals": [],
        "log_available": True,
        "emergency_declared": False,
        "hops": None,
        "disputed": None,
    }
    violation = {"clause": "4", "reason": "DENIED", "portions": [1]}
    recipient = {"party": "XBO", "node": "n1", "portions": [0], "violations": [violation], "facts": 0}
    decided = {"slots": [[0, 1], [4, 6]], "profile": "00" * 48, "content": "", "times": []}
    entry = decisions([decided | {"moment": moment, "recipients": [recipient]}], facts)
    for slot in (0, 1, 4, 6):
        (found,) = recipients(entry, "XAR", slot)
        assert (found.node, found.portions, found.violations) == ("XBO/n1", (0,), (("4", "DENIED", (1,)),))
        assert found.facts == facts
    for slot in (2, 3, 7):
        assert recipients(entry, "XAR", slot) == []


@pytest.mark.parametrize(
    "value", [7, [7], [{"slots": [[0]], "recipients": []}], [{"slots": [[0, 1]], "recipients": [{"party": "XBO"}]}]]
)
def test_decisions_of_another_shape_are_evidence_and_never_a_crash(value):
    with pytest.raises(VerificationError):
        recipients(decisions(value), "XAR", 0)
