"""Reports as users build and read them."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from uuid import UUID

import pytest

from comity.errors import MalformedError
from comity.report import Marking, Portion, ReceivedReport, Report, StoredContent, milliseconds
from comity_policy.facts import Addressee, Kind, Originator, PersonalData, PortionMarking, Precedence, Times
from comity_policy.marking import Label

LEVELS = ("UNCLASSIFIED", "RESTRICTED", "CONFIDENTIAL", "SECRET", "TOP SECRET")
BANNER = "SECRET//REL TO XAR, XBO"
RELEASABLE = Label("XAR", "SECRET", releasable_to=frozenset({"XAR", "XBO"}))
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
BUNDLE = {"type": "bundle", "id": "bundle--1", "objects": [{"type": "indicator", "name": "größe"}]}


def profile_of(report: Report):
    return report.profile(
        suite=1,
        originator=Originator("XAR", "n1"),
        key_set=bytes(48),
        agreement_id="XAR-XBO-1",
        agreement_digest=bytes(48),
        statements_seen=2,
        parties=["XBO", "XAR", "XDE"],
        levels=LEVELS,
    )


def test_a_text_report_is_one_line() -> None:
    report = Report.text("two boats", marking=BANNER, categories=["terrorism"], purpose="counter-terrorism")
    assert report.banner == BANNER
    assert report.portions[0].text == "two boats"
    assert report.portions[0].header == {"media_type": "text/plain;charset=utf-8"}
    profile = profile_of(report)
    assert profile.portions == (PortionMarking(RELEASABLE),)
    assert profile.addressees == (Addressee("XBO"), Addressee("XDE"))
    assert (profile.precedence, profile.kind) == (Precedence.ROUTINE, Kind.REPORT)


def test_words_are_taken_for_enums_and_parties() -> None:
    report = Report.text("x", marking=BANNER, precedence="flash", kind="rfi-answer", addressees=["XBO"])
    assert (report.precedence, report.kind) == (Precedence.FLASH, Kind.RFI_ANSWER)
    assert report.addressees == (Addressee("XBO"),)
    for wrong in ({"precedence": "fast"}, {"kind": "gossip"}):
        with pytest.raises(MalformedError, match="is not one of"):
            Report.text("x", marking=BANNER, **wrong)


def test_a_stix_bundle_keeps_its_exact_bytes() -> None:
    exact = json.dumps(BUNDLE, indent=2).encode()
    assert Report.stix(exact, marking=BANNER).portions[0].content == exact
    built = Report.stix(BUNDLE, marking=BANNER).portions[0]
    assert json.loads(built.text) == BUNDLE
    assert built.media_type == "application/stix+json;version=2.1"


@pytest.mark.parametrize("wrong", ["{", "[]", '{"type": "report"}', '{"type": "bundle"}', "[" * 100_000, b"\xff"])
def test_what_is_no_stix_bundle_is_refused(wrong: str | bytes) -> None:
    with pytest.raises(MalformedError):
        Report.stix(wrong, marking=BANNER)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.txt", b"x", "text/plain;charset=utf-8"),
        ("a.JSON", b"{}", "application/json"),
        ("a.json", json.dumps(BUNDLE).encode(), "application/stix+json;version=2.1"),
        ("a.pdf", b"%PDF", "application/pdf"),
        ("a", b"x", "application/octet-stream"),
        ("big.json", StoredContent(Path("/x"), 10), "application/json"),
    ],
)
def test_a_file_name_gives_the_media_type(name: str, content: bytes | StoredContent, expected: str) -> None:
    (portion,) = Report.of_file(name, content, marking=BANNER).portions
    assert (portion.media_type, portion.file_name) == (expected, name)
    assert portion.length == (1 if content == b"x" else portion.length)


@pytest.mark.parametrize("name", ["a/b", "..", ".", "/etc/passwd", "a\\b", "a\nb", "a\x00"])
def test_a_file_name_has_no_folders_and_nothing_that_does_not_print(name: str) -> None:
    with pytest.raises(MalformedError):
        Portion(b"", Marking(BANNER), file_name=name)


@pytest.mark.parametrize(
    ("sent", "kept"), [("../../etc/passwd", "passwd"), ("C:\\x\\y.txt", "y.txt"), ("..", ""), ("a\nb", ""), (7, "")]
)
def test_a_received_file_name_loses_its_folders(sent: object, kept: str) -> None:
    header = {"file_name": sent, "media_type": 7, "title": ["x"], "grading": "B2"}
    portion = Portion.from_header(header, b"x", PortionMarking(RELEASABLE))
    assert (portion.file_name, portion.media_type, portion.title) == (kept, "application/octet-stream", "")
    assert portion.extra == {"grading": "B2"}


@pytest.mark.parametrize(("kind", "persons"), [(PersonalData.NONE, 9), (PersonalData.SPECIAL, 0)])
def test_a_received_portion_never_fails_over_a_contradiction_in_its_profile(kind: PersonalData, persons: int) -> None:
    Portion.from_header({}, b"", PortionMarking(RELEASABLE, kind, persons))


def test_personal_data_and_persons_go_together() -> None:
    Portion(b"", Marking(BANNER), personal_data=PersonalData.ORDINARY, persons=2)
    for kind, persons in ((PersonalData.NONE, 1), (PersonalData.ORDINARY, 0), (PersonalData.SPECIAL, 2**32)):
        with pytest.raises(MalformedError):
            Portion(b"", Marking(BANNER), personal_data=kind, persons=persons)


def test_header_members_with_fields_of_their_own_are_not_extra() -> None:
    with pytest.raises(MalformedError):
        Portion(b"", Marking(BANNER), extra={"title": "x"})


def test_an_assessment_is_sealed_with_the_content_and_read_back() -> None:
    said = {"grading": "B2", "confidence": "icd-203: moderate", "estimative": "icd-203: likely"}
    portion = Portion.of_text("x", BANNER).assessed(**said)
    assert portion.assessment == said
    received = Portion.from_header(portion.header, b"x", PortionMarking(RELEASABLE))
    assert received.assessment == said
    assert Portion.of_text("x", BANNER).assessment == {}


@pytest.mark.parametrize(
    "said",
    [{"grading": "good"}, {"confidence": "high"}, {"estimative": "75 %"}, {"estimative": "icd-203: high"}],
    ids=str,
)
def test_an_assessment_off_its_scale_is_refused(said: dict[str, str]) -> None:
    with pytest.raises(MalformedError):
        Portion.of_text("x", BANNER).assessed(**said)


def test_handling_code_h2_needs_originator_control_in_the_marking() -> None:
    with pytest.raises(MalformedError, match="H2") as refused:
        Portion.of_text("x", BANNER).assessed(grading="4x4 A1 H2")
    assert "ORCON" in refused.value.what_to_do
    controlled = replace(RELEASABLE, dissemination=frozenset({"ORCON"}))
    for marking in ("SECRET//ORCON/REL TO XAR, XBO", "SECRET//ORCON", controlled):
        assert Portion.of_text("x", marking).assessed(grading="4x4 A1 H2").assessment == {"grading": "4x4 A1 H2"}


def test_a_marking_is_a_text_or_a_label() -> None:
    assert Marking.of(RELEASABLE).banner == BANNER
    assert Marking.of(BANNER).to_label("XAR", LEVELS) == RELEASABLE
    assert Marking.of(Marking(BANNER)) == Marking(BANNER)
    for wrong in ({"text": "", "label": None}, {"text": BANNER, "label": RELEASABLE}):
        with pytest.raises(MalformedError):
            Marking(**wrong)


def test_a_marking_that_does_not_parse_says_so_with_what_to_do() -> None:
    with pytest.raises(MalformedError, match="SECERT") as caught:
        profile_of(Report.text("x", marking="SECERT//REL TO XAR, XBO"))
    assert caught.value.what_to_do


def test_a_report_is_not_marked_below_its_portions() -> None:
    parts = [Portion.of_text("a", BANNER), Portion.of_text("b", "RESTRICTED//REL TO XAR, XBO")]
    profile_of(Report.of(parts, marking="TOP SECRET//REL TO XAR, XBO"))
    with pytest.raises(MalformedError, match="RESTRICTED"):
        profile_of(Report.of(parts, marking="RESTRICTED//REL TO XAR, XBO"))


def test_an_exercise_says_so_before_anything_else() -> None:
    assert Report.text("x", marking=BANNER, exercise=True).banner == f"EXERCISE EXERCISE EXERCISE {BANNER}"


@pytest.mark.parametrize(
    "fields",
    [
        {"not_before": NOON.replace(tzinfo=None)},
        {"expires_at": NOON.replace(tzinfo=None)},
        {"not_before": NOON, "expires_at": NOON},
        {"categories": ["a", "a"]},
        {"addressees": ["XBO", "XBO"]},
    ],
)
def test_times_are_aware_and_in_order_and_nothing_stands_twice(fields: dict) -> None:
    with pytest.raises(MalformedError):
        Report.text("x", marking=BANNER, **fields)


@pytest.mark.parametrize("count", [0, 65])
def test_a_report_has_1_to_64_portions(count: int) -> None:
    with pytest.raises(MalformedError):
        Report.of([Portion.of_text("x", BANNER)] * count, marking=BANNER)


def test_times_become_milliseconds_whatever_their_zone() -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert milliseconds(NOON) == milliseconds(elsewhere) == 1_795_521_600_000
    assert milliseconds(NOON + timedelta(microseconds=1999)) == 1_795_521_600_001


def received(**changes: object) -> ReceivedReport:
    report = Report.of(
        [
            Portion.of_text("for you", BANNER, title="Harbour"),
            Portion.of_text("source", "TOP SECRET//NOFORN"),
        ],
        marking="TOP SECRET//NOFORN",
    )
    base = ReceivedReport(
        report_id=UUID(int=1),
        leaf=bytes(48),
        profile=profile_of(report),
        times=Times(1, 1, 2),
        opened=((0, report.portions[0]),),
        levels=LEVELS,
        viewer="XBO",
    )
    return replace(base, **changes)


def test_a_received_report_shows_the_banner_of_what_it_shows() -> None:
    report = received()
    assert report.banner == "//XAR SECRET//REL TO XAR, XBO"
    assert (report.text, report.title, report.withheld) == ("for you", "Harbour", (1,))


def test_a_hostile_label_never_reaches_a_screen_as_a_marking() -> None:
    profile = received().profile
    hostile = replace(RELEASABLE, classification="HARMLESS")
    report = received(profile=replace(profile, portions=(PortionMarking(hostile), profile.portions[1])))
    assert report.banner.startswith("ILL-FORMED")
