"""Recall, supersede and holders by the commands, with a broker and both nations' machines as processes of their own."""

import json

import pytest

from builders_readers import COPIES
from builders_world import ABOUT, AGREEMENT, RELEASABLE, files, parties, running, sign

USES = ("--purpose", "counter-terrorism")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A treaty that registers copies, so that the reader's node keeps envelopes."""
    with running(parties(tmp_path_factory.mktemp("recall"))) as made:
        sign(made, COPIES)
        yield made


def holders(world, report_id, *more):
    return world.arden.done("report", "holders", report_id, "--as", "XAR/n1", "--json", *more).records


def test_a_recalled_report_is_flagged_no_more_opened_and_at_last_certified_gone(world, tmp_path):
    (sent,) = world.send("Two boats.").records
    report_id, into = sent["report_id"], tmp_path / "in"
    world.receive(into)
    kept = files(into)
    assert b"Two boats." in kept.values()
    told = world.arden.done("report", "recall", report_id, "--reason", "the source was wrong", "--as", "XAR/n1")
    assert f"Report {report_id} is recalled by report" in told.out
    (holder,) = holders(world, report_id)
    assert (holder["node"], holder["standing"], holder["outstanding"]) == ("XBO/n1", "outstanding", True)
    (flagged,) = world.receive(into)
    assert (flagged["report_id"], flagged["reason"]) == (report_id, "the source was wrong")
    assert (sorted(flagged["files_left"]), flagged["files_removed"]) == (sorted(kept), [])
    flag = json.loads((into / f"{report_id}.recalled.json").read_text())
    assert (flag["by"], flag["reason"], flag["held_by_disputes"]) == ("XAR", "the source was wrong", [])
    export = ("report", "export", report_id, "--use", "copy", "--into", str(tmp_path / "copy"), "--as", "XBO/n1")
    refused = world.bohemund.run(*export, *USES, "--json")
    assert (refused.code, refused.error["code"]) == (13, "REPORT_RECALLED")
    (holder,) = holders(world, report_id)
    assert (holder["standing"], holder["outstanding"]) == ("recall acknowledged", True)
    world.bohemund.done(
        *("report", "destroy", report_id, "--agreement", AGREEMENT, "--means", "shredded", "--as", "XBO/security1")
    )
    (holder,) = holders(world, report_id, "--agreement", AGREEMENT)
    assert (holder["standing"], holder["outstanding"]) == ("destroyed", False)
    proofs = [
        holder[one]["log_index"] for one in ("sent", "delivered", "taken_back", "told", "acknowledged", "destroyed")
    ]
    assert proofs == sorted(proofs)
    again = world.arden.run("report", "recall", report_id, "--as", "XAR/n1", "--json")
    assert (again.code, again.error["code"]) == (13, "REPORT_RECALLED")
    shown = world.arden.done("report", "holders", report_id, "--as", "XAR/n1")
    assert "destroyed" in shown.out
    assert "0 of 1 node outstanding." in shown.err


def test_files_of_what_is_recalled_are_removed_on_wish(world, tmp_path):
    (sent,) = world.send("Three boats.", name="three.txt").records
    report_id, into = sent["report_id"], tmp_path / "in"
    world.receive(into)
    (into / f"{report_id}-notes.txt").write_text("what an analyst wrote")
    world.arden.done("report", "recall", report_id, "--as", "XAR/n1")
    (told,) = world.receive(into, "--remove-recalled")
    assert len(told["files_removed"]) == 2
    assert sorted(files(into)) == sorted((f"{report_id}-notes.txt", f"{report_id}.recalled.json"))


def test_a_report_that_is_recalled_before_anybody_fetched_it_is_never_written(world, tmp_path):
    (sent,) = world.send("Four boats.").records
    world.arden.done("report", "recall", sent["report_id"], "--as", "XAR/n1")
    (told,) = world.receive(tmp_path / "in")
    assert (told["report_id"], told["files_left"]) == (sent["report_id"], [])
    assert list(files(tmp_path / "in")) == [f"{sent['report_id']}.recalled.json"]
    (holder,) = holders(world, sent["report_id"])
    assert (holder["standing"], holder["outstanding"], "sent" in holder) == ("never sent", False, False)
    (row,) = world.arden.done("report", "list", "--state", "recalled", "--as", "XAR/n1", "--json").records
    assert row["report_id"] == sent["report_id"]


def test_a_recall_passes_while_the_agreement_is_suspended(world, tmp_path):
    (sent,) = world.send("Five boats.").records
    world.receive(tmp_path / "in")
    world.bohemund.done("agreement", "suspend", AGREEMENT, "--reason", "an election", "--as", "XBO/minister1")
    try:
        world.send("Refused.", code=10)
        world.arden.done("report", "recall", sent["report_id"], "--as", "XAR/n1")
        (told,) = world.receive(tmp_path / "in")
        assert told["report_id"] == sent["report_id"]
        (holder,) = holders(world, sent["report_id"])
        assert holder["standing"] == "recall acknowledged"
    finally:
        world.bohemund.done("agreement", "resume", AGREEMENT, "--as", "XBO/minister1")


def test_a_report_takes_the_place_of_another(world, tmp_path):
    (sent,) = world.send("Six boats.").records
    report_id, into = sent["report_id"], tmp_path / "in"
    world.receive(into)
    new = tmp_path / "new.txt"
    new.write_text("Seven boats.")
    words = ("report", "supersede", report_id, str(new), *ABOUT, "--marking", RELEASABLE, "--as", "XAR/n1", "--json")
    (receipt,) = world.arden.done(*words).records
    assert receipt["superseded"] == report_id
    flagged, written = world.receive(into)
    assert (flagged["report_id"], flagged["superseded"]) == (report_id, receipt["report_id"])
    assert (written["report_id"], written["kind"]) == (receipt["report_id"], "supersede")
    assert b"Seven boats." in files(into).values()
    again = world.arden.run(*words)
    assert (again.code, again.error["code"]) == (13, "REPORT_RECALLED")
    (holder,) = holders(world, report_id)
    assert (holder["taken_back_how"], holder["outstanding"]) == ("superseded", True)
    world.arden.done("report", "recall", report_id, "--as", "XAR/n1")
    (told,) = world.receive(into)
    assert told["recalled"]


def test_the_log_with_recalls_in_it_verifies_and_replays(world, tmp_path):
    (sent,) = world.send("Eight boats.").records
    world.receive(tmp_path / "in")
    world.arden.done("report", "recall", sent["report_id"], "--as", "XAR/n1")
    world.receive(tmp_path / "in")
    for code, machine in (("XAR", world.arden), ("XBO", world.bohemund)):
        bundle, auditor = tmp_path / code, f"{code}/auditor1"
        machine.done("audit", "bundle", AGREEMENT, "--into", str(bundle), "--as", auditor)
        (verified, *_) = machine.done("audit", "verify", str(bundle), "--party", code, "--json").records
        assert (verified["verdict"], verified["findings"]) == ("PASS", [])
        replayed = machine.done("audit", "replay", str(bundle), "--json").records[-1]["counts"]
        assert replayed["decisions identical"] > 1
        assert (replayed["decisions different"], replayed["decisions not replayed"]) == (0, 0)
