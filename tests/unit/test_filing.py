"""Received reports as files: neither repeated nor lost, and never over another file."""

import json
import os
from dataclasses import replace
from uuid import UUID

import pytest

from comity.errors import ConflictError, StorageError
from comity.node import files
from comity.node.filing import file_report
from comity.portion import Marking, Portion
from comity.report import ReceivedReport
from comity_policy.banner import parse_banner
from comity_policy.facts import Addressee, Kind, Originator, PortionMarking, Precedence, Profile, Times

LEVELS = ("UNCLASSIFIED", "RESTRICTED", "SECRET")
LABEL = parse_banner("SECRET//REL TO XAR, XBO", "XAR", LEVELS)
ID = UUID("019a8f2e-6f3c-7d4e-9a10-2b7c5d8e9f01")


def received(*portions: Portion, withheld: int = 0) -> ReceivedReport:
    count = len(portions) + withheld
    profile = Profile(
        suite=1,
        originator=Originator("XAR", "n1"),
        key_set=bytes(48),
        agreement_id="XAR-XBO-1",
        agreement_digest=bytes(48),
        statements_seen=6,
        precedence=Precedence.ROUTINE,
        exercise=False,
        kind=Kind.REPORT,
        categories=("terrorism",),
        purpose="counter-terrorism",
        emergency=b"",
        addressees=(Addressee("XBO"),),
        approvals_required=0,
        portions=tuple(PortionMarking(LABEL) for _ in range(count)),
    )
    opened = tuple(enumerate(portions))
    return ReceivedReport(ID, bytes(48), profile, Times(1_000, 1_000, 2_000), opened, LEVELS, "XBO")


def text(content: str, **more) -> Portion:
    return replace(Portion.of_text(content, Marking(label=LABEL)), **more)


def filed(directory, report):
    return file_report(directory, report, agreement_id="XAR-XBO-1", originator="XAR/n1", admitted_at=1_500, log_index=7)


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def test_each_portion_is_a_file_and_the_report_is_described_beside_them(tmp_path):
    report = received(
        text("Summary."), Portion(b"{}", Marking(label=LABEL), "application/stix+json;version=2.1"), withheld=1
    )
    done = filed(tmp_path, report)
    assert names(tmp_path) == [f"{ID}-1.txt", f"{ID}-2.json", f"{ID}.json"]
    assert (tmp_path / f"{ID}-1.txt").read_text() == "Summary."
    described = json.loads((tmp_path / f"{ID}.json").read_text())
    assert next(iter(described)) == "banner"
    assert described["banner"] == "//XAR SECRET//REL TO XAR, XBO"
    assert described["withheld"] == [3]
    assert described["portions"][0]["file"] == f"{ID}-1.txt"
    assert done.new


def test_the_description_says_how_a_portion_is_graded_and_nothing_that_is_off_its_scale(tmp_path):
    graded = text("Summary.").assessed(grading="4x4 B2 H1", confidence="icd-203: high", estimative="phia: likely")
    hostile = text("Other.", extra={"grading": {"scale": "9x9"}, "confidence": "very", "estimative": None})
    first, second = filed(tmp_path, received(graded, hostile)).description["portions"]
    assert (first["grading"], first["confidence"], first["estimative"]) == (
        "4x4 B2 H1",
        "icd-203: high",
        "phia: likely",
    )
    assert {"grading", "confidence", "estimative"}.isdisjoint(second)


def test_a_report_that_comes_again_changes_nothing_on_disk(tmp_path):
    report = received(text("Summary."))
    filed(tmp_path, report)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert not filed(tmp_path, report).new
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_what_a_crash_left_out_is_written_the_next_time(tmp_path):
    report = received(text("One."), text("Two."))
    filed(tmp_path, report)
    whole = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for name in whole:
        (tmp_path / name).unlink()
        assert filed(tmp_path, report).new
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == whole


def test_a_file_with_another_content_is_never_touched_and_the_report_not_acknowledged(tmp_path):
    path = tmp_path / f"{ID}-1.txt"
    for other in ("Mine.", "Summary?", "Summary. And more."):
        path.write_text(other)
        with pytest.raises(ConflictError) as refused:
            filed(tmp_path, received(text("Summary.")))
        assert "not acknowledged" in refused.value.message
        assert path.read_text() == other
        assert names(tmp_path) == [path.name]


def test_a_link_in_the_place_of_a_file_is_not_followed(tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("Summary.")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / f"{ID}-1.txt").symlink_to(outside)
    with pytest.raises(ConflictError):
        filed(tmp_path / "in", received(text("Summary.")))
    assert outside.read_text() == "Summary."


@pytest.mark.parametrize(
    ("file_name", "ending"),
    [
        ("a.TXT", ".txt"),
        ("a.tar.gz", ".gz"),
        ("a.p/h", ".txt"),
        ("a. b", ".txt"),
        ("a.averylongending", ".txt"),
        ("a", ".txt"),
    ],
)
def test_what_a_sender_calls_a_file_never_names_one_here(tmp_path, file_name, ending):
    portion = Portion.from_header({"media_type": "text/plain", "file_name": file_name}, b"x", PortionMarking(LABEL))
    filed(tmp_path, received(portion))
    assert names(tmp_path) == [f"{ID}-1{ending}", f"{ID}.json"]


def test_a_portion_of_an_unknown_kind_is_plain_bytes(tmp_path):
    filed(tmp_path, received(Portion(b"\x00", Marking(label=LABEL), "x-unknown/y")))
    assert names(tmp_path) == [f"{ID}-1.bin", f"{ID}.json"]


def test_the_description_comes_last_and_a_full_disk_leaves_nothing_half_written(tmp_path, monkeypatch):
    written = []
    genuine = os.fsync

    def full(descriptor):
        written.append(descriptor)
        if len(written) > 1:
            raise OSError(28, "No space left on device")
        genuine(descriptor)

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(StorageError) as refused:
        filed(tmp_path, received(text("One."), text("Two.")))
    assert refused.value.exit_code == 18
    assert f"{ID}.json" not in names(tmp_path)
    assert not [name for name in names(tmp_path) if name.startswith(".")]


def test_two_openings_that_each_show_another_portion_are_described_together(tmp_path):
    whole = (text("For analyst1."), text("For analyst2."))
    first, second = (replace(received(*whole), opened=((index, whole[index]),)) for index in (0, 1))
    filed(tmp_path, first)
    assert filed(tmp_path, second).description["withheld"] == []
    description = json.loads((tmp_path / f"{ID}.json").read_text())
    assert [one["portion"] for one in description["portions"]] == [1, 2]
    assert filed(tmp_path, first).description["withheld"] == []
