"""`comity agreement new | check | test`: an agreement's text before anybody signs it, without a broker."""

import shutil
from pathlib import Path

import pytest

from builders_home import NAMES, Machine

EXAMPLES = Path(__file__).resolve().parents[2] / "policies/comity_policy/examples"


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    made = Machine.made(tmp_path_factory.mktemp("arden"))
    for code in ("XAR", "XBO"):
        made.done(
            *("party", "create", code, "--name", NAMES[code]),
            *("--trust-domain", f"{code.lower()}.example", "--jurisdiction", code),
        )
    return made


def new(machine, path, *more):
    return machine.run(
        *("agreement", "new", "XAR-XBO-1", "--party", "XAR", "--party", "XBO", "--broker-name", "XAR/hub"),
        *("--broker-region", "xar", "--into", str(path), "--json", *more),
    )


@pytest.fixture
def text(machine, tmp_path):
    path = tmp_path / "XAR-XBO-1.toml"
    assert new(machine, path).code == 0
    return path


def test_a_new_agreement_pins_the_trusted_roots_and_checks_without_errors(machine, text):
    for code in ("XAR", "XBO"):
        (facts,) = machine.done("party", "show", code, "--json").records
        assert facts["root"] in text.read_text()
    findings = machine.done("agreement", "check", str(text), "--json").records
    assert {one["severity"] for one in findings} <= {"note", "warning"}
    assert "Digest sha384:" in machine.done("agreement", "check", str(text)).out


def test_levels_categories_and_purposes_are_what_was_said(machine, tmp_path):
    path = tmp_path / "own.toml"
    ran = new(
        *(machine, path, "--category", "cyber", "--purpose", "cyber-defence"),
        *("--levels", "XBO=A1,B1,C1,D1,E1", "--title", "On ships"),
    )
    assert ran.code == 0
    assert '["TOP-SECRET", "E1"]' in path.read_text()
    assert '"On ships"' in path.read_text()
    machine.done("agreement", "check", str(path))


@pytest.mark.parametrize(
    ("more", "code"),
    [
        (("--category", "gossip"), 14),
        (("--purpose", "curiosity"), 14),
        (("--levels", "XBO=ONLY,TWO"), 2),
        (("--levels", "XBO"), 2),
        (("--party", "XDE"), 2),
    ],
)
def test_what_cannot_stand_in_an_agreement_is_refused(machine, tmp_path, more, code):
    assert new(machine, tmp_path / "x.toml", *more).code == code
    assert not (tmp_path / "x.toml").exists()


def test_a_party_whose_card_is_not_trusted_cannot_be_a_party(machine, tmp_path):
    ran = machine.run(
        *("agreement", "new", "XAR-XDE-1", "--party", "XAR", "--party", "XDE", "--broker-name", "XAR/hub"),
        *("--broker-region", "xar", "--into", str(tmp_path / "x.toml"), "--json"),
    )
    assert (ran.code, ran.error["code"]) == (12, "FILE_UNKNOWN")


def test_a_text_is_never_written_over_another(machine, text):
    before = text.read_bytes()
    assert new(machine, text).error["code"] == "FILE_EXISTS"
    assert text.read_bytes() == before


def test_a_text_that_does_not_load_is_refused_with_path_and_line(machine, text):
    text.write_text(text.read_text().replace('kind = "ceiling"', 'kind = "ceilling"'))
    ran = machine.run("agreement", "check", str(text), "--json")
    assert (ran.code, ran.error["code"]) == (14, "AGREEMENT_INVALID")
    assert "line" in ran.error["message"]
    assert "ceilling" in ran.error["message"]


def test_a_text_that_pins_another_root_is_an_error_before_anybody_signs(machine, text):
    (facts,) = machine.done("party", "show", "XBO", "--json").records
    text.write_text(text.read_text().replace(facts["root"], "sha384:" + 96 * "0"))
    ran = machine.run("agreement", "check", str(text), "--json")
    assert (ran.code, ran.error["code"]) == (14, "AGREEMENT_INVALID")
    assert any(one["severity"] == "error" and "XBO" in one["message"] for one in ran.records)


def test_a_text_with_errors_is_shown_with_all_of_them_and_refused(machine, text):
    written = text.read_text()
    scope = written[written.index('id = "3.1"') :]
    scope = scope[: scope.index("[[clause]]")]
    text.write_text(written + "\n[[clause]]\n" + scope.replace('id = "3.1"', 'id = "3.9"'))
    ran = machine.run("agreement", "check", str(text))
    assert ran.code == 14
    assert "ERROR" in ran.out
    assert "3.9" in ran.out


@pytest.fixture
def example(tmp_path):
    for name in ("xar-xde-cert.toml", "xar-xde-cert.test.toml"):
        shutil.copy(EXAMPLES / name, tmp_path)
    return tmp_path / "xar-xde-cert.toml"


def test_the_table_of_an_example_holds_and_kills_every_mutant(machine, example):
    (*rows, total) = machine.done("agreement", "test", str(example), "--json").records
    assert total["passed"] is True
    assert total["cases"] == len(rows)
    assert total["survivors"] == []


def test_a_table_that_says_something_else_is_exit_code_fifteen(machine, example):
    table = example.with_suffix(".test.toml")
    first = table.read_text().index("permit = true")
    table.write_text(table.read_text()[:first] + 'deny = ["7"]' + table.read_text()[first + len("permit = true") :])
    ran = machine.run("agreement", "test", str(example))
    assert ran.code == 15
    assert "expected" in ran.out


def test_a_table_that_cannot_be_read_is_exit_code_fourteen(machine, example):
    example.with_suffix(".test.toml").write_text("[[rows]]\n")
    assert machine.run("agreement", "test", str(example)).code == 14
    example.with_suffix(".test.toml").unlink()
    assert machine.run("agreement", "test", str(example)).code == 12
