"""kill -9 in the middle of it, five times each; `make faults` does the same fifty times (tests/faults/test_kills_at_length.py)."""

import ast
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

import broker_launcher
from comity_broker.cli.broker import broker
from comity_broker.settings import Settings
from kill_brokers import LEAST, kill_brokers
from kill_receivers import kill_receivers
from world_files import made_world

KILLS = 5


@pytest.mark.timeout(300)
def test_no_receipt_is_lost_when_the_broker_is_killed_while_reports_stream(tmp_path, capsys):
    summary = kill_brokers(made_world(tmp_path), KILLS)
    with capsys.disabled():
        print(f"\n{summary}")
    assert len(summary.kills) == KILLS
    assert all(one.in_flight >= LEAST for one in summary.kills)


@pytest.mark.timeout(300)
def test_a_receiver_that_is_killed_neither_repeats_nor_loses_a_file(tmp_path, capsys):
    summary = kill_receivers(made_world(tmp_path), KILLS)
    with capsys.disabled():
        print(f"\n{summary}")
    assert summary.kills == KILLS


def test_the_shipped_broker_has_no_switch_for_any_fault():
    words = {word for option in broker.commands["run"].params for word in (*option.opts, option.name)}
    assert words.isdisjoint({"--kill", "--in-flight", "--fault", "--faults", "kill", "in_flight", "fault", "faults"})
    assert {"--data", "--listen", "--port-file"} <= words


@pytest.mark.parametrize("words", [["--kill", "after-commit:1"], ["--in-flight", "1"], ["--fault", "before-commit"]])
def test_the_shipped_broker_refuses_the_switches_of_the_tests_launcher(words):
    result = CliRunner().invoke(broker, ["run", "--data", "/nowhere", *words])
    assert result.exit_code == 2
    assert "No such option" in result.output


def test_nothing_that_is_shipped_puts_anything_at_a_fault_point():
    root = Path(broker_launcher.__file__).parents[1]
    shipped = [path for folder in ("client/comity", "broker/comity_broker") for path in (root / folder).rglob("*.py")]
    calls = [node for path in shipped for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    makes = [node for node in calls if ast.unparse(node.func) in {"Journal", "Outbox.open", "Inbox.open"}]
    assert {ast.unparse(node.func) for node in makes} == {"Journal", "Outbox.open", "Inbox.open"}
    assert [ast.unparse(node) for node in makes if {one.arg for one in node.keywords} & {"fault", "faults"}] == []
    names = {field.name for field in msgspec.structs.fields(Settings)}
    assert [name for name in names if any(word in name for word in ("fault", "kill", "crash"))] == []
