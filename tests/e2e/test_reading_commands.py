"""Who reads, by the commands: withheld without a cleared officer, caveats before anything else, copies by the register."""

import pytest

from builders_readers import CLEARED, COPIES, USE
from builders_world import ABOUT, AGREEMENT, RELEASABLE, files, parties, running, sign

READER = ("--reader", "XBO/analyst1", "--purpose", "counter-terrorism")
HEADING = "UNCLASSIFIED//REL TO XAR, XBO"


@pytest.fixture(scope="module")
def asking(tmp_path_factory):
    """A treaty that asks who reads SECRET, shows a caveat and registers copies; Bohemund has two analysts, one of them cleared."""
    with running(parties(tmp_path_factory.mktemp("reading"))) as world:
        sign(world, CLEARED + USE + COPIES)
        cleared = ("--clearance", "SECRET", "--cleared-by", "XBO/security1")
        for name, words in (("analyst1", cleared), ("analyst2", ())):
            world.bohemund.done("officer", "create", f"XBO/{name}", *world.where)
            world.bohemund.done("officer", "accredit", f"XBO/{name}", "--role", "liaison", *words)
        yield world


def sent(world, content, *more):
    """Send a report with a heading that everybody may read; give its id."""
    heading = world.folder / "heading.txt"
    heading.write_text("A heading.")
    (receipt,) = world.send(content, "--summary", str(heading), HEADING, *more).records
    return receipt["report_id"]


def state(world, report_id):
    (row,) = world.bohemund.done("report", "show", report_id, "--as", "XBO/n1", "--json").records
    return [one["state"] for one in row["consumers"]]


def test_without_a_reader_the_restricted_portion_is_withheld_and_the_cleared_reader_opens_it(asking, tmp_path):
    report_id = sent(asking, "The source.")
    into = tmp_path / "in"
    (first,) = asking.receive(into, "--accept-caveats")
    assert [one["portion"] for one in first["portions"]] == [1]
    assert first["withheld"] == [2]
    assert first["waits_for"] == ["reader"]
    assert [one["clause_id"] for one in first["clauses"]] == ["41"]
    assert first["clauses"][0]["remedy"]["command"] == "comity receive --reader XBO/OFFICER"
    assert b"The source." not in files(into).values()
    assert state(asking, report_id) == ["PARKED"]
    (second,) = asking.receive(into, "--accept-caveats", "--reader", "XBO/analyst2")
    assert second["withheld"] == [2]
    assert state(asking, report_id) == ["PARKED"]
    (third,) = asking.receive(into, "--accept-caveats", *READER)
    assert (third["withheld"], "waits_for" in third) == ([], False)
    assert b"The source." in files(into).values()
    assert state(asking, report_id) == ["DONE"]
    assert asking.receive(into, "--accept-caveats", *READER) == []


def test_a_caveat_that_is_not_acknowledged_shows_nothing(asking, tmp_path):
    report_id = sent(asking, "The source.")
    into = tmp_path / "in"
    into.mkdir()
    (waits,) = asking.receive(into, *READER)
    assert (waits["report_id"], waits["waits_for"]) == (report_id, ["caveats"])
    assert files(into) == {}
    assert state(asking, report_id) == ["PARKED"]
    told = asking.bohemund.done("receive", "--into", str(into), "--as", "XBO/n1", "--accept-caveats", *READER)
    assert "For intelligence only." in told.err
    assert b"The source." in files(into).values()


def test_an_officer_reads_a_kept_report_on_the_terminal_and_the_log_says_so(asking, tmp_path):
    report_id = sent(asking, "The source.")
    bohemund = asking.bohemund
    words = ("report", "show", report_id, "--as", "XBO/n1", "--accept-caveats", *READER)
    assert bohemund.run(*words).code == 12, "nothing was opened and kept yet"
    asking.receive(tmp_path / "in", "--accept-caveats")
    asking.receive(tmp_path / "in", "--accept-caveats", *READER)
    shown = bohemund.done(*words)
    assert all(word in shown.out for word in ("The source.", "A heading.", "portion 2 ["))
    (record,) = bohemund.done(*words, "--json").records
    assert [one["text"] for one in record["portions"]] == ["A heading.", "The source."]
    assert bohemund.run("report", "show", report_id, "--as", "XBO/n1", "--accept-caveats").code == 2
    entries = bohemund.done("audit", "tail", AGREEMENT, "--first", "0", "--json", "--as", "XBO/liaison1").out
    assert '"READ"' in entries


def test_a_copy_takes_a_number_of_the_register_and_another_use_is_refused(asking, tmp_path):
    report_id = sent(asking, "The source.")
    asking.receive(tmp_path / "in", "--accept-caveats", *READER)
    bohemund, out = asking.bohemund, tmp_path / "copy.txt"
    words = ("report", "export", report_id, "--portion", "2", "--into", str(out), "--as", "XBO/n1", "--json", *READER)
    # A file more would be a copy that no register knows.
    read = bohemund.run(*words, "--use", "read")
    assert (read.code, read.error["code"], out.exists()) == (2, "USAGE", False)
    refused = bohemund.run(*words, "--use", "copy")
    assert (refused.code, out.exists()) == (10, False)
    assert [one["clause_id"] for one in refused.error["clauses"]] == ["43"]
    assert refused.error["what_to_do"].startswith("comity report register")
    entering = ("report", "register", report_id, "--use", "copy", "--as", "XBO/n1", "--json", *READER)
    (entered,) = bohemund.done(*entering).records
    assert entered["number"] == 1
    assert bohemund.done(*words, "--use", "copy").code == 0
    assert out.read_text() == "The source."
    assert bohemund.run(*words, "--use", "copy").code == 13
    evidence = bohemund.run(*words[:6], str(tmp_path / "exhibit"), *words[7:], "--use", "evidence")
    assert (evidence.code, [one["clause_id"] for one in evidence.error["clauses"]]) == (10, ["42"])
    # The analyst's key is what counts, not the name.
    assert bohemund.run("receive", "--into", str(tmp_path), "--as", "XBO/n1", "--reader", "XBO/nobody1").code == 12
    assert bohemund.run("receive", "--into", str(tmp_path), "--as", "XBO/n1", "--reader", "XBO/n1").code == 2


def test_what_the_reader_is_asked_is_named_before_sending(asking, tmp_path):
    path = tmp_path / "report.txt"
    path.write_text("The source.")
    words = ("preview", str(path), *ABOUT, "--marking", RELEASABLE, "--as", "XAR/n1")
    shown = asking.arden.done(*words).out
    assert "an officer with a clearance of the level opens it (clause 41)" in shown
    assert "its caveat is shown and acknowledged before it is opened (clause 42)" in shown
    (record,) = asking.arden.done(*words, "--json").records
    assert {"41", "42", "43"} <= {one["clause_id"] for one in record["at_opening"]}
