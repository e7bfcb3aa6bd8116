"""`comity agreement prove | export`: proofs and the Cedar twin of a text; where the extra is missing, what to install."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import cedarpy
import pytest

from builders_examples import umbrella_and_arrangement
from builders_home import Machine
from comity_policy.decision import Baseline
from sabotage_tools import skipped_row

EXAMPLES = Path(__file__).resolve().parents[2] / "policies/comity_policy/examples"


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    return Machine.made(tmp_path_factory.mktemp("arden"))


@pytest.fixture
def example(tmp_path):
    shutil.copy(EXAMPLES / "xar-xde-cert.toml", tmp_path)
    return tmp_path / "xar-xde-cert.toml"


def test_an_example_is_proved_line_by_line(machine, example):
    records = machine.done("agreement", "prove", str(example), "--json").records
    assert {one["outcome"] for one in records} == {"PROVED"}
    invariants = ["national-only", "unmarked", "ceiling", "originator-control", "grant", *3 * ["agreed"]]
    assert [one["invariant"] for one in records if one["invariant"] != "suspension"] == invariants
    assert "2.1" in [one.get("clause_id") for one in records]


def test_a_clause_is_taken_as_suspended_where_that_is_said(machine, example):
    ran = machine.done("agreement", "prove", str(example), "--suspend", "2.1", "--suspend", "3")
    assert "PROVED: suspending clause 2.2 permits nothing" in ran.out
    assert "suspending clause 2.1" not in ran.out
    assert ran.out.splitlines()[-1].endswith(" proved.")


@pytest.mark.parametrize(("clause", "said"), [("77", "no clause 77"), ("7", "cannot be suspended")])
def test_a_clause_that_is_none_or_cannot_be_suspended_is_a_usage_error(machine, example, clause, said):
    ran = machine.run("agreement", "prove", str(example), "--suspend", clause, "--json")
    assert (ran.code, ran.error["code"]) == (2, "USAGE")
    assert said in ran.error["message"]
    assert ran.out == ""


def test_what_is_refuted_is_shown_with_its_case_and_is_exit_code_fifteen(machine, example, monkeypatch):
    skipped_row(Baseline.GRANT)(monkeypatch)
    ran = machine.run("agreement", "prove", str(example), "--json")
    assert (ran.code, ran.error["code"]) == (15, "VERIFICATION_FAILED")
    (refuted,) = [one for one in ran.records if one["outcome"] == "REFUTED"]
    assert refuted["invariant"] == "grant"
    assert {"point", "from", "to", "level", "kind", "categories", "created"} <= refuted["counterexample"].keys()


def test_a_text_that_does_not_load_is_exit_code_fourteen(machine, example):
    example.write_text(example.read_text().replace('kind = "ceiling"', 'kind = "ceilling"'))
    for words in (("prove", str(example)), ("export", str(example), "--cedar", str(example.parent / "cedar"))):
        assert machine.run("agreement", *words).code == 14
    assert not (example.parent / "cedar").exists()


def test_the_twin_is_written_with_its_schema_and_validates(machine, example):
    into = example.parent / "cedar"
    (record,) = machine.done("agreement", "export", str(example), "--cedar", str(into), "--json").records
    policies, schema = (Path(record[name]).read_text() for name in ("policies", "schema"))
    assert {one.name for one in into.iterdir()} == {"XAR-XDE-CERT-1.cedar", "XAR-XDE-CERT-1.cedarschema"}
    assert cedarpy.validate_policies(policies, schema).validation_passed
    assert f"sha384:{record['digest']}" in policies.splitlines()[0]
    annotated = [
        one.get("annotations", {})
        for one in json.loads(cedarpy.policies_to_json_str(policies))["staticPolicies"].values()
    ]
    assert {"2.1", "3", "baseline/grant"} <= {one["clause"] for one in annotated}
    assert len({one["id"] for one in annotated}) == len(annotated)


def test_a_twin_is_never_written_over_another(machine, example):
    into = example.parent / "cedar"
    into.mkdir()
    (into / "XAR-XDE-CERT-1.cedarschema").write_text("mine")
    ran = machine.run("agreement", "export", str(example), "--cedar", str(into), "--json")
    assert (ran.code, ran.error["code"]) == (13, "FILE_EXISTS")
    assert [one.read_text() for one in into.iterdir()] == ["mine"]


def test_an_arrangement_is_proved_and_written_with_its_umbrella(machine, example):
    umbrella, arrangement = umbrella_and_arrangement(example)
    *_, last = machine.done("agreement", "prove", str(arrangement), "--umbrella", str(umbrella), "--json").records
    assert (last["invariant"], last["outcome"]) == ("umbrella", "PROVED")
    into = str(example.parent / "cedar")
    ran = machine.done("agreement", "export", str(arrangement), "--umbrella", str(umbrella), "--cedar", into, "--json")
    assert '@clause("XAR-XDE-U/4.1")' in Path(ran.records[0]["policies"]).read_text()


def test_an_arrangement_without_its_umbrella_or_with_another_is_refused(machine, example):
    umbrella, arrangement = umbrella_and_arrangement(example)
    assert machine.run("agreement", "prove", str(arrangement), "--json").error["what_to_do"] == "--umbrella FILE"
    umbrella.write_text(umbrella.read_text() + "# another text\n")
    ran = machine.run("agreement", "prove", str(arrangement), "--umbrella", str(umbrella), "--json")
    assert (ran.code, ran.error["code"]) == (14, "AGREEMENT_INVALID")


def test_an_export_without_a_language_is_a_usage_error(machine, example):
    assert machine.run("agreement", "export", str(example), "--json").error["what_to_do"] == "--cedar [DIR]"


@pytest.mark.parametrize(("words", "missing"), [(("prove",), "z3"), (("export", "--cedar", "unmade"), "cedarpy")])
def test_without_the_extra_it_says_what_to_install(example, tmp_path, words, missing):
    script = (
        f"import sys; sys.modules[{missing!r}] = None; from comity.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", script, "agreement", words[0], str(example), *words[1:], "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    error = json.loads(done.stderr)["error"]
    assert (done.returncode, error["code"]) == (69, "NOT_INSTALLED")
    assert missing in error["message"]
    assert error["what_to_do"] == "pip install 'comity[analysis]'"
    assert not (tmp_path / "unmade").exists()
