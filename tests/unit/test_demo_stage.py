"""The stage of the demo: it tells only what happened, ends at the first step that did not do what it says, and cleans up."""

import json
import sys

import pytest

from comity.cli.output import Output
from comity.errors import ConflictError, VerificationError
from comity_broker.cli.demo_checks import check_clause, done
from comity_broker.cli.demo_stage import Ran, Stage


@pytest.fixture
def stage(tmp_path):
    with Stage.set_up(tmp_path / "demo-run", Output(json=True)) as made:
        yield made


def python(script: str) -> tuple[str, ...]:
    return sys.executable, "-c", script


def test_it_removes_what_an_earlier_demo_left_and_nothing_else(tmp_path):
    with Stage.set_up(tmp_path / "run", Output()) as stage:
        stage.nation("XAR", "Arden")
    with Stage.set_up(tmp_path / "run", Output()) as stage:
        assert not (stage.directory / "XAR").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter").touch()
    with pytest.raises(ConflictError):
        Stage.set_up(tmp_path / "mine", Output())
    assert (tmp_path / "mine" / "letter").exists()


def test_each_nation_has_a_home_and_a_passphrase_of_its_own_that_nobody_else_reads(stage):
    nations = [stage.nation(code, code) for code in ("XAR", "XBO")]
    assert len({one.passphrase_file.read_text() for one in nations}) == 2
    assert {one.passphrase_file.stat().st_mode & 0o777 for one in nations} == {0o600}
    assert nations[0].environ["COMITY_HOME"] != nations[1].environ["COMITY_HOME"]


def test_a_step_is_one_record_printed_and_kept(stage, capsys):
    nation = stage.nation("XAR", "Arden")
    ran = stage.do("step", nation, "word", program=python("print('{\"a\": 1}')"))
    assert ran.record == {"a": 1}
    expected = {"step": "step", "command": "comity word", "exit": 0, "facts": {"a": 1}}
    assert json.loads(capsys.readouterr().out) == expected
    assert json.loads((stage.directory / "steps.jsonl").read_text()) == expected


def test_a_step_with_another_exit_code_than_it_must_have_ends_the_demo(stage):
    nation = stage.nation("XAR", "Arden")
    said = 'import sys; print(\'{"error": {"message": "no such clause"}}\', file=sys.stderr); sys.exit(10)'
    assert stage.do("refused", nation, expect=10, program=python(said)).error["message"] == "no such clause"
    with pytest.raises(VerificationError) as ended:
        stage.do("refused", nation, program=python(said))
    assert "no such clause" in ended.value.message


def test_what_never_becomes_true_ends_the_demo_when_its_process_is_gone(stage):
    nation = stage.nation("XAR", "Arden")
    child = stage.start(nation, "completion", "no-such-shell", name="child")
    with pytest.raises(VerificationError) as ended:
        stage.wait("waiting", child, "something", lambda: False)
    assert "no-such-shell" in ended.value.message


def test_no_process_outlives_the_demo(tmp_path):
    with Stage.set_up(tmp_path / "run", Output()) as stage:
        nation = stage.nation("XAR", "Arden")
        child = stage.start(nation, "party", "trust", "/dev/zero", name="child")
    assert child.process.returncode is not None


def test_a_refusal_without_text_or_remedy_does_not_count(stage):
    clause = {"clause_id": "4", "text": "x", "gloss": "y", "remedy": {"action": "mark"}}
    check_clause(stage, "step", Ran(10, (), {"clauses": [clause]}), "4")
    for missing in ("text", "gloss", "remedy"):
        with pytest.raises(VerificationError):
            check_clause(stage, "step", Ran(10, (), {"clauses": [clause | {missing: None}]}), "4")
    with pytest.raises(VerificationError):
        check_clause(stage, "step", Ran(10, (), {"clauses": [clause]}), "5.1")


def test_a_report_is_acknowledged_only_where_a_consumer_is_done_with_it():
    rows = [
        {"report_id": "a", "consumers": [{"state": "DONE"}]},
        {"report_id": "b", "consumers": [{"state": "SENT"}]},
        {"report_id": "c", "consumers": []},
    ]
    assert done(rows, ["a"])
    assert not done(rows, ["a", "b"])
    assert not done(rows, ["a", "c"])
