"""`comity agreement test | check` with what stands beside a text: the umbrella and caveats a table names, invariants."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from builders_agreements import EXAMPLES
from builders_home import Machine

FLOWS = """
[defaults]
from = "{}"
to = "{}"
level = "{}"
releasable_to = ["{}", "{}"]
categories = ["{}"]
purpose = "{}"
[[row]]
name = "a report"
"""
ARRANGEMENT = FLOWS.format("XAR", "XBO", "CONFIDENTIAL", "XAR", "XBO", "terrorism", "counter-terrorism")
BORDERS = FLOWS.format("XBO", "XDE", "DUVERNE", "XBO", "XDE", "drug-trafficking", "border-control")
SOURCES = "xbo-xde-borders.xbo-sources.caveat.toml"


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    return Machine.made(tmp_path_factory.mktemp("arden"))


@pytest.fixture
def place(tmp_path):
    """The examples, without their tables."""
    for one in EXAMPLES.iterdir():
        if not one.name.endswith(".test.toml"):
            shutil.copy(str(one), tmp_path)
    return tmp_path


def answers(machine, place, name, table):
    """Run a table, which is too short to notice every change, and give the one row that it has."""
    (place / f"{name}.test.toml").write_text(table)
    ran = machine.run("agreement", "test", str(place / f"{name}.toml"), "--json")
    assert ran.code == 15, ran.err
    (row, _total) = ran.records
    return row["got"]


def test_a_table_is_answered_with_the_umbrella_it_names(machine, place):
    (place / "xar-xbo-ct-arrangement.test.toml").write_text(ARRANGEMENT + "permit = true\n")
    assert machine.run("agreement", "test", str(place / "xar-xbo-ct-arrangement.toml")).code == 2
    named = f'umbrella = "xar-xbo-gsa.toml"\n{ARRANGEMENT}'
    assert answers(machine, place, "xar-xbo-ct-arrangement", named + "permit = true\n") == []
    denied = named + 'offices = ["cert"]\ndeny = ["XAR-XBO-GSA-1/5.1"]\n'
    assert answers(machine, place, "xar-xbo-ct-arrangement", denied) == ["XAR-XBO-GSA-1/5.1"]


def test_a_table_is_answered_with_the_caveats_it_names(machine, place):
    assert answers(machine, place, "xbo-xde-borders", BORDERS + "permit = true\n") == []
    named = f'caveats = ["{SOURCES}"]\n{BORDERS}deny = ["caveat/XBO/SOURCES/1"]\n'
    assert answers(machine, place, "xbo-xde-borders", named) == ["caveat/XBO/SOURCES/1"]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ('umbrella = "elsewhere.toml"', 12),
        ('umbrella = "../xar-xbo-gsa.toml"', 14),
        ('umbrella = "xar-xbo-ct.toml"', 14),
        (f'caveats = ["{SOURCES}"]', 14),
    ],
)
def test_what_is_not_there_or_belongs_to_another_text_is_refused(machine, place, line, code):
    table = place / "xar-xbo-ct-arrangement.test.toml"
    table.write_text(f"{line}\n{ARRANGEMENT}permit = true\n")
    assert machine.run("agreement", "test", str(place / "xar-xbo-ct-arrangement.toml")).code == code


def test_a_caveat_on_an_earlier_text_is_refused(machine, place):
    text = place / "xbo-xde-borders.toml"
    text.write_text(text.read_text() + "# another text\n")
    (place / "xbo-xde-borders.test.toml").write_text(f'caveats = ["{SOURCES}"]\n{BORDERS}permit = true\n')
    ran = machine.run("agreement", "test", str(text), "--json")
    assert (ran.code, ran.error["code"]) == (14, "AGREEMENT_INVALID")
    assert "not on this text" in ran.error["message"]


def test_an_invariant_that_does_not_hold_must_not_be_signed(machine, place):
    text = place / "xar-xde-cert.toml"
    assert machine.done("agreement", "check", str(text), "--json").records
    text.write_text(text.read_text().replace("longest = { weeks = 2 }", "longest = { weeks = 3 }"))
    ran = machine.run("agreement", "check", str(text), "--json")
    assert ran.code == 14
    (found,) = [one for one in ran.records if one["severity"] == "error"]
    assert found["message"].startswith(
        "invariant two-weeks does not hold, this is permitted all the same: point egress"
    )


def test_an_invariant_is_told_with_the_proofs(machine, place):
    records = machine.done("agreement", "prove", str(place / "xar-xde-cert.toml"), "--json").records
    agreed = {one["clause_id"]: one["outcome"] for one in records if one["invariant"] == "agreed"}
    assert agreed == dict.fromkeys(("to-defend-systems-only", "two-weeks", "no-secrets-of-arland"), "PROVED")


def test_without_the_extra_the_check_says_that_nothing_was_proved(place):
    script = "import sys; sys.modules['z3'] = None; from comity.cli.main import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", script, "agreement", "check", str(place / "xar-xde-cert.toml"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    messages = [json.loads(line)["message"] for line in done.stdout.splitlines()]
    assert "its invariants are not proved here: pip install 'comity[analysis]'" in messages


def test_an_arrangements_invariants_are_proved_with_its_umbrella(machine, place):
    findings = machine.done("agreement", "check", str(place / "xar-xbo-ct-arrangement.toml"), "--json").records
    assert "its invariants are not proved here: comity agreement prove FILE --umbrella FILE" in [
        one["message"] for one in findings
    ]
