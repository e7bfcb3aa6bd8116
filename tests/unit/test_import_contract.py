"""Who may import whom: the contracts of pyproject.toml hold, each can fail, and what loads at run time is as little as said."""

import json
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDERS = ("client", "broker", "policies")
LINTER = "from importlinter.cli import lint_imports_command; lint_imports_command()"
CONTRACTS = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
    "contracts"
]


def lint(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    script = f"import sys; sys.path[:0] = {[str(folder / name) for name in FOLDERS]!r}; {LINTER}"
    command = [sys.executable, "-c", script, "--no-cache", "--no-logo", *options, str(REPOSITORY / "pyproject.toml")]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_import_contracts_hold():
    done = lint(REPOSITORY)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("contract", "importer", "imported"),
    [
        ("layers", "client/comity/suites.py", "comity.envelope"),
        ("layers", "client/comity/verify/__init__.py", "comity.errors"),
        ("policy-alone", "policies/comity_policy/marking.py", "comity.errors"),
        ("verifier-alone", "client/comity/verify/__init__.py", "comity_policy"),
        ("nothing-imports-the-broker", "client/comity/node/__init__.py", "comity_broker"),
        ("generated-code-at-the-edges", "client/comity/suites.py", "comity.v1.errors_pb2"),
        ("no-commands-in-the-broker", "broker/comity_broker/services/__init__.py", "comity.cli"),
        ("proofs-are-optional", "policies/comity_policy/marking.py", "z3"),
        ("proofs-are-optional", "client/comity/cli/agreement_prove.py", "z3"),
        ("traces-are-optional", "broker/comity_broker/tracing.py", "opentelemetry.trace"),
        ("analysis-in-its-commands", "broker/comity_broker/services/__init__.py", "comity_policy.analysis.proofs"),
        ("analysis-in-its-commands", "policies/comity_policy/check.py", "comity_policy.analysis"),
        ("broker-layers", "broker/comity_broker/storage/__init__.py", "comity_broker.services"),
        (
            "storage-is-named-where-things-are-wired",
            "broker/comity_broker/services/__init__.py",
            "comity_broker.storage.sqlite",
        ),
    ],
)
def test_an_import_against_a_contract_breaks_it(tmp_path, contract, importer, imported):
    for name in FOLDERS:
        for path in (REPOSITORY / name).rglob("*.py"):
            copy = tmp_path / path.relative_to(REPOSITORY)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    with (tmp_path / importer).open("a", encoding="utf-8") as file:
        file.write(f"\nimport {imported}\n")
    done = lint(tmp_path, "--contract", contract)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "BROKEN" in done.stdout


def test_every_contract_is_shown_to_break():
    (marker,) = [mark for mark in test_an_import_against_a_contract_breaks_it.pytestmark if mark.name == "parametrize"]
    assert {row[0] for row in marker.args[1]} == {contract["id"] for contract in CONTRACTS}


def loaded(statement: str) -> set[str]:
    script = f"import sys; sys.path[:0] = {[str(REPOSITORY / name) for name in FOLDERS]!r}; {statement}; import json; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_importing_comity_loads_nothing_but_itself():
    modules = loaded("before = set(sys.modules); import comity")
    assert {name for name in modules if name.split(".")[0] == "comity"} == {"comity"}
    assert not modules & {"grpc", "cryptography", "nacl", "apsw", "google", "msgspec", "asyncio"}


def test_the_policy_engine_loads_no_solver_no_network_and_no_database():
    modules = {name.split(".")[0] for name in loaded("import comity_policy.engine")}
    assert not modules & {"z3", "cedarpy", "grpc", "cryptography", "google", "apsw", "comity", "comity_broker"}


def test_the_commands_on_agreements_load_no_solver_until_one_is_asked_for():
    modules = {name.split(".")[0] for name in loaded("import comity.cli.main, comity.cli.agreement, comity.node")}
    assert not modules & {"z3", "cedarpy"}


def test_the_verifier_runs_where_only_cryptography_and_pynacl_are_installed(tmp_path):
    """A new environment holds these two (and cffi, their own need) and the verifier's files, nothing else."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    (site,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    installed = Path(sysconfig.get_path("platlib"))
    for name in ("cryptography", "nacl", "cffi", "pycparser"):
        (site / name).symlink_to(installed / name)
    for binary in installed.glob("_cffi_backend*"):
        (site / binary.name).symlink_to(binary)
    (site / "comity").mkdir()
    for name in ("__init__.py", "verify"):
        (site / "comity" / name).symlink_to(REPOSITORY / "client/comity" / name)
    verifier = REPOSITORY / "client/comity/verify"
    parts = (path.relative_to(verifier).with_suffix("").parts for path in sorted(verifier.rglob("*.py")))
    modules = sorted(
        {".".join(("comity.verify", *(part for part in each if not part.startswith("__")))) for each in parts}
    )
    assert "comity.verify" in modules
    script = "".join(f"import {name}\n" for name in modules)
    done = subprocess.run(
        [tmp_path / "venv/bin/python", "-I", "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
