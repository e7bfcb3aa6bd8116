"""docs/faults.md names a test for each fault, and each test, launcher's point and file of tests it should."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from fault_points import Point

TESTS = Path(__file__).parents[1]
TEXT = (TESTS.parent / "docs" / "faults.md").read_text()
ROWS = [line.strip("|").split(" | ") for line in TEXT.splitlines() if line.startswith("| ") and "::" in line]
NAMED = re.compile(r"`([a-z0-9_]+/test_[a-z0-9_]+\.py)::(test_[a-z0-9_]+)`")
# The judge and the launchers themselves, which do nothing to an exchange.
OF_THE_TESTS = {"test_checker.py", "test_launchers.py"}


@cache
def names_in(file: str) -> frozenset[str]:
    nodes = ast.parse((TESTS / file).read_text()).body
    return frozenset(node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_the_table_is_read():
    assert len(ROWS) > 20
    assert all(len(row) == 3 for row in ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].strip()[:40])
def test_every_fault_has_tests_and_they_are_there(row):
    named = NAMED.findall(row[2])
    assert named
    assert len(named) == row[2].count("::")
    assert [f"{file}::{name}" for file, name in named if name not in names_in(file)] == []


def test_every_file_of_fault_tests_is_named():
    files = {file.name for file in (TESTS / "faults").glob("test_*.py")}
    assert files - OF_THE_TESTS <= {Path(file).name for file, _ in NAMED.findall(TEXT)}


def test_every_point_that_a_kill_falls_at_is_named():
    assert {point.value for point in Point} <= set(re.findall(r"`([a-z-]+)`", TEXT))
