"""The commands for work, the locks and the house rules that a program can check."""

import re
import subprocess
import tomllib
from itertools import chain
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES = ("client/comity", "broker/comity_broker", "policies/comity_policy")
LOCKS = ("base", "broker", "otel", "analysis", "fuzz", "dev", "audit")


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(lock: str) -> dict[str, str]:
    text = (REPOSITORY / f"requirements/{lock}.txt").read_text(encoding="utf-8")
    return {normal(name): version for name, version in re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE)}


def names(requirements: list[str]) -> set[str]:
    return {normal(re.match(r"[\w.-]+", line)[0]) for line in requirements}


def sources(*, tests: bool) -> list[Path]:
    folders = (*PACKAGES, "proto", "requirements", *(("tests",) if tests else ()))
    found = (path for folder in folders for path in (REPOSITORY / folder).rglob("*.py"))
    return sorted(path for path in found if REPOSITORY / "client/comity/v1" not in path.parents)


def test_make_lists_every_target_it_has_and_no_other():
    text = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)[1].split()
    listed = subprocess.run(["make"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    assert re.findall(r"^  make (\S+)", listed, re.MULTILINE) == phony
    assert set(re.findall(r"^([a-z][a-z-]*):", text, re.MULTILINE)) == set(phony)


@pytest.mark.parametrize("name", ["0.0.0-of-nobody/python3"])
def test_a_python_that_does_not_do_gets_one_clear_line(tmp_path, name):
    (tmp_path / "Makefile").write_text((REPOSITORY / "Makefile").read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "requirements").mkdir()
    for needed in ("requirements/dev.txt", "pyproject.toml"):
        (tmp_path / needed).touch()
    done = subprocess.run(["make", "lint", f"PYTHON={name}"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "Comity needs Python 3.11 or newer" in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_continuous_integration_runs_make_test_and_nothing_else():
    lines = (REPOSITORY / ".ci/run").read_text(encoding="utf-8").splitlines()
    commands = [line for line in lines if line and not line.startswith(("#", "set ", "cd ", "export COMITY_REQUIRE="))]
    assert commands == ["exec make test"]


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_package_has_hashes_and_no_lock_names_a_host(lock):
    text = (REPOSITORY / f"requirements/{lock}.txt").read_text(encoding="utf-8")
    entries = [entry for entry in re.split(r"^(?=[\w.-]+==)", text, flags=re.MULTILINE) if "==" in entry]
    assert entries
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", entry) for entry in entries)
    assert not re.search(r"https?://|file://|--(extra-)?index-url|--find-links|--trusted-host", text)


def test_the_locks_agree_and_each_holds_what_the_package_asks_for():
    base, broker, otel, analysis, fuzz, dev = (pins(lock) for lock in LOCKS[:-1])
    assert base.items() <= broker.items() <= otel.items() <= dev.items()
    assert base.items() <= analysis.items() <= dev.items()
    # It goes into the working environment, where it may change nothing.
    assert base.items() <= fuzz.items()
    assert fuzz.items() - dev.items() == {("atheris", fuzz["atheris"])}
    project = PYPROJECT["project"]
    assert names(project["dependencies"]) <= base.keys()
    assert names(project["optional-dependencies"]["broker"]) <= broker.keys()
    assert names(project["optional-dependencies"]["otel"]) <= otel.keys()
    assert names(project["optional-dependencies"]["analysis"]) <= analysis.keys()
    assert names(project["optional-dependencies"]["bench"]) <= dev.keys()
    assert names(project["optional-dependencies"]["dev"]) <= dev.keys()
    assert names(project["optional-dependencies"]["fuzz"]) <= fuzz.keys()


def test_the_build_backend_is_locked_too():
    assert names(PYPROJECT["build-system"]["requires"]) | {"editables"} <= pins("dev").keys()


def test_each_dependency_has_its_reason_in_the_documents():
    page = (REPOSITORY / "docs/dependencies.md").read_text(encoding="utf-8")
    explained = {normal(name) for name in re.findall(r"^\| `([\w.-]+)` \|", page, re.MULTILINE)}
    project = PYPROJECT["project"]
    declared = names([*project["dependencies"], *chain(*project["optional-dependencies"].values())])
    assert explained == declared


def test_no_module_is_longer_than_400_lines():
    lengths = {
        path.relative_to(REPOSITORY).as_posix(): len(path.read_text().splitlines()) for path in sources(tests=True)
    }
    assert {name: length for name, length in lengths.items() if length > 400} == {}


def test_a_silenced_tool_is_silenced_by_name_and_for_a_reason():
    marker = re.compile(r"#\s*(?:noqa|type:\s*ignore|pragma:\s*no cover)")
    reasoned = re.compile(r"#\s*(?:noqa:\s*[A-Z]+\d+(?:\s*,\s*[A-Z]+\d+)*|type:\s*ignore\[[\w,\s-]+\])\s+\W*\w.*\w")
    bare = [
        f"{path.relative_to(REPOSITORY)}:{number}"
        for path in sources(tests=True)
        if path != Path(__file__)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if (found := marker.search(line)) and not reasoned.match(line[found.start() :])
    ]
    assert bare == []


def test_test_files_have_names_of_their_own():
    seen: dict[str, list[str]] = {}
    for path in (REPOSITORY / "tests").rglob("*.py"):
        if path.name not in ("conftest.py", "__main__.py"):
            seen.setdefault(path.name, []).append(path.relative_to(REPOSITORY).as_posix())
    assert {name: where for name, where in seen.items() if len(where) > 1} == {}
