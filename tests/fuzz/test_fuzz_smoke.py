"""Every fuzz target on mutants of its seeds, the same in every run, and on what was once a finding. `make fuzz` goes further."""

import importlib.util
import sys
from pathlib import Path
from random import Random

import pytest

from fuzz.all_targets import every_target
from fuzz.mutate import mutants
from fuzz.target import attempt

REGRESSIONS = Path(__file__).parent / "regressions"
TARGETS = every_target()
BY_NAME = {one.name: one for one in TARGETS}


@pytest.fixture(autouse=True)
def stopped():
    """Stop what targets began."""
    yield
    for target in TARGETS:
        if target.stop is not None:
            target.stop()


@pytest.mark.parametrize("target", TARGETS, ids=lambda one: one.name)
def test_a_reader_takes_its_seeds_and_refuses_mutants_with_a_documented_error(target):
    seeds = [bytes(one) for one in target.seeds()]
    accepted = [attempt(target, one) for one in seeds]
    assert any(accepted), "no seed is accepted: the target tests nothing"
    for data in mutants(seeds, Random(target.name), target.inputs, target.longest):
        try:
            attempt(target, data)
        except Exception as finding:
            finding.add_note(f"target {target.name}, input {data.hex()}")
            raise


@pytest.mark.parametrize("path", sorted(REGRESSIONS.glob("*/*")), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_was_once_a_finding_is_none_any_more(path):
    attempt(BY_NAME[path.parent.name], path.read_bytes())


def test_targets_have_names_of_their_own():
    assert len(BY_NAME) == len(TARGETS)
    assert {path.name for path in REGRESSIONS.iterdir() if path.is_dir()} <= BY_NAME.keys()


@pytest.fixture
def command(monkeypatch):
    """Give the module that `make fuzz` runs."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    spec = importlib.util.spec_from_file_location("fuzz_command", Path(__file__).with_name("__main__.py"))
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def test_without_atheris_the_command_says_so_and_fuzzes_nothing(command, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert command.main(["token"]) == command.NOT_INSTALLED
    assert "Nothing was fuzzed" in capsys.readouterr().err


def test_a_finding_shows_in_the_table_and_in_the_exit_code(command):
    clean = command.Result("answer", 1200, 34, ())
    found = command.Result("token", 1200, 34, (Path("crash-0"),))
    assert command.exit_code([clean]) == 0
    assert command.exit_code([clean, found]) == 1
    rows = {line.split()[0]: line.split()[1:] for line in command.table([clean, found]).splitlines()[1:]}
    assert rows == {"answer": ["1,200", "34", "0"], "token": ["1,200", "34", "1"], "all": ["2,400", "1"]}
