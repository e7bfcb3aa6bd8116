"""`comity agreement diff`, and the options --umbrella and --caveat: what people and programs read."""

import shutil
import sys
from pathlib import Path

import pytest

from builders_examples import umbrella_and_arrangement
from builders_home import Machine
from comity.texts import agreement_digest

EXAMPLES = Path(__file__).resolve().parents[2] / "policies/comity_policy/examples"


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    return Machine.made(tmp_path_factory.mktemp("arden"))


@pytest.fixture
def texts(tmp_path):
    """The example, and a version that raises its ceiling, keeps shorter and rewords an article."""
    before = tmp_path / "xar-xbo-ct.toml"
    shutil.copy(EXAMPLES / before.name, before)
    text = before.read_text()
    for old, new in (
        ('to = "XBO", level = "SECRET"', 'to = "XBO", level = "TOP-SECRET"'),
        ("longest = { days = 30 }", "longest = { days = 20 }"),
        ("version = 1", "version = 2"),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    after = tmp_path / "later.toml"
    after.write_text(text)
    return str(before), str(after)


def caveat_on(path, party="XAR", extra="", categories='"terrorism"'):
    digest = agreement_digest(path.read_bytes()).hex()
    agreement = "XAR-XDE-CERT-1" if "cert" in path.name else "XAR-XBO-CT-1"
    made = path.with_name("caveat.toml")
    made.write_text(
        f'[caveat]\nparty = "{party}"\nid = "NO-CT"\nagreement = "{agreement}"\ndigest = "sha384:{digest}"\n'
        f'partner_text = "A national limitation applies."\n{extra}\n'
        f'[[clause]]\nid = "1"\nkind = "exclude"\ntext = {{ {languages(path)} }}\ncategories = [{categories}]\n'
    )
    return made


def languages(path):
    line = next(one for one in path.read_text().splitlines() if one.startswith("authentic"))
    return ", ".join(f'{word} = "Nothing of this."' for word in line.split('"')[1::2])


def test_each_change_is_told_in_words_with_a_case_of_what_is_newly_permitted(machine, texts):
    ran = machine.done("agreement", "diff", *texts)
    words = " ".join(ran.out.split())
    assert "Art. 4 relaxed: from XAR to XBO up to TOP-SECRET, was SECRET; newly permitted, for example: point" in words
    assert "Art. 8 tightened: longest 20 days, was 30 days; newly refused, for example: point" in words
    assert "gloss was: " in words
    assert "text (en) is: " in words
    assert words.endswith("1 relaxed, 1 tightened, 1 changed.")


def test_programs_get_one_record_a_clause_after_the_head(machine, texts):
    head, *changes = machine.done("agreement", "diff", *texts, "--json").records
    assert (head["directions_proved"], head["before"]["version"], head["after"]["version"]) == (True, 1, 2)
    by_article = {one["article"]: one for one in changes}
    relaxed = by_article["Art. 4"]
    assert (relaxed["status"], relaxed["direction"], relaxed["newly_permitted"]["level"]) == (
        "changed", "relaxed", "TOP-SECRET",
    )  # fmt: skip
    assert relaxed["gloss"]["before"] != relaxed["gloss"]["after"]
    assert "newly_permitted" not in by_article["Art. 8"]
    assert by_article["Art. 6"]["direction"] == "unchanged"


def test_a_review_gets_a_summary_in_markdown(machine, texts):
    lines = machine.done("agreement", "diff", *texts, "--markdown").out.splitlines()
    assert lines[0] == "# XAR-XBO-CT-1 version 1 -> XAR-XBO-CT-1 version 2"
    assert "| Art. 4 | ceiling | relaxed |" in lines
    assert "## Art. 4 relaxed" in lines
    assert any(line.startswith("| gloss | From XAR") for line in lines)


def test_without_the_solver_gloss_and_text_are_compared_and_directions_are_not_claimed(machine, texts, monkeypatch):
    for name in [one for one in sys.modules if one == "z3" or one.startswith("comity_policy.analysis")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "z3", None)
    ran = machine.done("agreement", "diff", *texts)
    words = " ".join(ran.out.split())
    assert "is not proved here: that needs comity[analysis]" in words
    assert "Art. 4 changed: from XAR to XBO up to TOP-SECRET, was SECRET" in words
    assert "relaxed" not in words
    head, *changes = machine.done("agreement", "diff", *texts, "--json").records
    assert head["directions_proved"] is False
    assert not any("direction" in one for one in changes)


def test_a_text_that_does_not_load_is_exit_code_fourteen(machine, texts):
    before, after = texts
    Path(after).write_text(Path(after).read_text().replace('kind = "ceiling"', 'kind = "ceilling"'))
    assert machine.run("agreement", "diff", before, after).code == 14


def test_a_caveat_is_proved_to_only_subtract(machine, texts):
    before = Path(texts[0])
    records = machine.done("agreement", "prove", str(before), "--caveat", str(caveat_on(before)), "--json").records
    (one,) = [one for one in records if one["invariant"] == "caveat"]
    assert one["outcome"] == "PROVED"


def test_check_says_what_a_caveat_is_on_and_that_one_which_subtracts_nothing_is_an_error(machine, texts):
    before = Path(texts[0])
    ran = machine.done("agreement", "check", str(before), "--caveat", str(caveat_on(before)))
    assert "caveat NO-CT of XAR: 1 requirement on what XAR sends; it only subtracts" in ran.out
    idle = caveat_on(before, categories='"sanctions"')
    ran = machine.run("agreement", "check", str(before), "--caveat", str(idle))
    assert ran.code == 14
    assert "caveat/XAR/NO-CT/1: subtracts nothing: nothing about sanctions is granted there" in " ".join(
        ran.out.split()
    )


def test_a_caveat_on_another_text_is_refused(machine, texts):
    before, after = map(Path, texts)
    made = caveat_on(after)
    before.with_suffix(".test.toml").write_bytes((EXAMPLES / "xar-xbo-ct.test.toml").read_bytes())
    for command in ("check", "prove", "test"):
        ran = machine.run("agreement", command, str(before), "--caveat", str(made), "--json")
        assert (ran.code, ran.error["code"]) == (14, "AGREEMENT_INVALID")


def test_a_caveat_goes_to_the_text_that_it_names_and_its_lapse_is_a_relaxation(machine, texts):
    before, after = texts
    made = caveat_on(Path(before))
    records = machine.done("agreement", "diff", before, after, "--caveat", str(made), "--json").records
    (one,) = [one for one in records if one.get("part") == "caveat"]
    assert (one["status"], one["direction"]) == ("removed", "relaxed")
    Path(before).write_text(Path(before).read_text() + "\n# one byte more\n")
    ran = machine.run("agreement", "diff", before, after, "--caveat", str(made), "--json")
    assert (ran.code, ran.error["code"]) == (14, "AGREEMENT_INVALID")
    assert "is on neither text" in ran.error["message"]


def test_a_table_is_run_with_a_caveat_on_the_agreement(machine, texts):
    before = Path(texts[0])
    table = before.with_suffix(".test.toml")
    shutil.copy(EXAMPLES / table.name, table)
    assert machine.run("agreement", "test", str(before)).code == 0
    ran = machine.run("agreement", "test", str(before), "--caveat", str(caveat_on(before)))
    assert ran.code == 15
    assert "got deny by caveat/XAR/NO-CT/1" in ran.out


def test_an_arrangement_that_allows_more_than_its_umbrella_is_an_error(machine, tmp_path):
    example = tmp_path / "xar-xde-cert.toml"
    shutil.copy(EXAMPLES / example.name, example)
    umbrella, arrangement = umbrella_and_arrangement(example)
    assert machine.run("agreement", "check", str(arrangement), "--umbrella", str(umbrella)).code == 0
    ran = machine.done("agreement", "check", str(arrangement))
    assert "the umbrella was not given" in ran.out
    longer = arrangement.read_text().replace("longest = { weeks = ", "longest = { weeks = 9")
    assert longer != arrangement.read_text()
    arrangement.write_text(longer)
    ran = machine.run("agreement", "check", str(arrangement), "--umbrella", str(umbrella))
    assert ran.code == 14
    assert "the longer keeping is dead" in " ".join(ran.out.split())


def test_an_arrangement_is_compared_with_another_version_under_its_umbrella(machine, tmp_path):
    example = tmp_path / "xar-xde-cert.toml"
    shutil.copy(EXAMPLES / example.name, example)
    umbrella, arrangement = umbrella_and_arrangement(example)
    later = tmp_path / "later.toml"
    later.write_text(arrangement.read_text().replace("longest = { weeks = ", "longest = { weeks = 9"))
    ran = machine.run("agreement", "diff", str(arrangement), str(later), "--json")
    assert (ran.code, ran.error["code"]) == (2, "USAGE")
    records = machine.done(
        "agreement", "diff", str(arrangement), str(later), "--umbrella", str(umbrella), "--json"
    ).records
    (one,) = [one for one in records if one.get("kind") == "retention"]
    assert (one["status"], one["direction"]) == ("changed", "unchanged"), (
        "the umbrella holds what the arrangement relaxes"
    )
