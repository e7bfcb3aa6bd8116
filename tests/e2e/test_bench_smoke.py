"""`make bench` in the small: its options, and the form of the file that others read. Nothing here judges a time."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
ROWS = {"end_to_end", "cpu_per_report", "sqlite_floor", "mtls_round_trip", "policy_decision", "policy_decision_cedar"}


def bench(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "tests/bench", *words]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    file = tmp_path_factory.mktemp("bench") / "bench.json"
    done = bench("--reports", "300", "--rounds", "1", "--seconds", "0.2", "--into", str(file))
    assert done.returncode == 0, done.stderr
    return json.loads(file.read_text()), done


def test_every_row_says_value_unit_target_met_and_context(measured):
    rows, _ = measured
    assert rows.keys() == ROWS
    for row in rows.values():
        assert row.keys() == {"value", "unit", "target", "met", "context"}
        assert row["value"] > 0
        assert (row["target"] is None) == (row["met"] is None)
    assert {name: row["unit"] for name, row in rows.items()} == {
        "end_to_end": "reports/s",
        "cpu_per_report": "us/report",
        "sqlite_floor": "reports/s",
        "mtls_round_trip": "us",
        "policy_decision": "us/decision",
        "policy_decision_cedar": "us/decision",
    }


def test_the_targets_are_those_of_the_design(measured):
    rows, _ = measured
    assert (rows["end_to_end"]["target"], rows["cpu_per_report"]["target"]) == (4_000, 500)
    assert rows["policy_decision"]["target"] == 3
    assert rows["policy_decision"]["context"]["clauses"] >= 13


def test_a_target_is_met_from_the_right_side(measured):
    for row in measured[0].values():
        if row["met"] is not None:
            better = row["value"] >= row["target"] if row["unit"] == "reports/s" else row["value"] <= row["target"]
            assert row["met"] is better


def test_the_cpu_is_split_by_process(measured):
    row = measured[0]["cpu_per_report"]
    split = row["context"]["split"]
    assert split.keys() == {"sender", "broker", "receiver"}
    assert abs(sum(split.values()) - row["value"]) < 1


def test_people_see_a_table_and_what_is_going_on(measured):
    _, done = measured
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["ROW", "VALUE", "UNIT", "TARGET", "MET"]
    assert {line.split()[0] for line in lines[1 : 1 + len(ROWS)]} == ROWS
    assert "[5/5] end_to_end, cpu_per_report" in done.stderr


def test_rows_can_be_chosen(tmp_path):
    file = tmp_path / "some.json"
    assert bench("--rows", "policy_decision", "--seconds", "0.1", "--into", str(file)).returncode == 0
    assert json.loads(file.read_text()).keys() == {"policy_decision"}
    done = bench("--rows", "no_such_row", "--into", str(file))
    assert done.returncode == 2
    assert "there is no row no_such_row" in done.stderr
