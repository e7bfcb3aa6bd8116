"""`comity receive --replay-from`: files once more, reasons for what does not come, and nothing that belongs to a receiver."""

import pytest

from builders_world import AGREEMENT, parties, running, sign
from processes import until


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with running(parties(tmp_path_factory.mktemp("again"))) as made:
        sign(made)
        yield made


def files(folder):
    return sorted(one.name for one in folder.iterdir())


def test_files_are_written_again_and_what_was_recalled_is_not(world, tmp_path):
    first, second = (world.send(text).records[0] for text in ("Two boats.", "Three boats."))
    world.receive(tmp_path / "in")
    command = ("receive", "--as", "XBO/n1", "--purpose", "counter-terrorism", "--json")
    again = (*command, "--replay-from", "2026-01-01", "--into", str(tmp_path / "again"))
    came = world.bohemund.done(*again).records
    assert [(one["report_id"], one["replayed"], one["new"]) for one in came] == [
        (first["report_id"], True, True),
        (second["report_id"], True, True),
    ]
    assert files(tmp_path / "again") == files(tmp_path / "in")
    assert [one["new"] for one in world.bohemund.done(*again).records] == [False, False]

    world.arden.done("report", "recall", first["report_id"], "--reason", "wrong source", "--as", "XAR/n1")
    entry = ("--replay-from", str(came[0]["log_index"]), "--agreement", AGREEMENT, "--into", str(tmp_path / "later"))
    gone, kept = world.bohemund.done(*command, *entry).records
    assert (gone["replayed"], gone["reason"], gone["origin_sequence"]) == (False, "recalled", 1)
    assert gone["leaf"] == came[0]["leaf"]
    assert (kept["report_id"], kept["replayed"]) == (second["report_id"], True)
    assert not [one for one in files(tmp_path / "later") if one.startswith(first["report_id"])]


def test_what_an_officer_certified_to_be_gone_is_not_fetched_again(world, tmp_path):
    (sent,) = world.send("Four boats.").records
    world.receive(tmp_path / "in")
    certify = ("report", "destroy", sent["report_id"], "--agreement", AGREEMENT, "--means", "shredded")
    world.bohemund.done(*certify, "--as", "XBO/security1")
    command = (
        "receive",
        "--as",
        "XBO/n1",
        "--purpose",
        "counter-terrorism",
        "--json",
        "--into",
        str(tmp_path / "again"),
    )

    def gone():
        came = world.bohemund.done(*command, "--replay-from", "2026-01-01").records
        (one,) = [record for record in came if record.get("report_id") == sent["report_id"]]
        return None if one["replayed"] else one

    told = until(gone, "the certificate in the node's mirror")
    assert told["reason"] == "certified gone"
    assert told["log_index"]


def test_a_consumer_that_never_received_has_nothing_to_read_again(world, tmp_path):
    words = ("--replay-from", "2026-01-01", "--consumer", "other")
    ran = world.bohemund.run("receive", "--into", str(tmp_path / "in"), "--as", "XBO/n1", *words)
    assert ran.code == 12
    assert "no consumer 'other'" in ran.err
