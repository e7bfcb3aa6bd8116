"""From files to reports: plain, STIX, structured and in a directory; nothing is guessed, nothing read from elsewhere."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from comity.errors import ComityError, MalformedError, NotFoundError, UsageError
from comity.node.report_files import Wishes, of_content, read_report, report_names, with_attachments
from comity.portion import StoredContent
from comity.report import STIX, Report
from comity_policy.facts import Kind, PersonalData, Precedence
from comity_policy.marking import Tlp

RELEASABLE = "SECRET//REL TO XAR, XBO"
WISHES = Wishes(marking=RELEASABLE, categories=("terrorism",), purpose="counter-terrorism")
STRUCTURED = """
marking = "SECRET//NOFORN"
categories = ["terrorist-financing"]
purpose = "counter-terrorism"
precedence = "priority"
kind = "assessment"
to = ["XBO"]
expires_at = 2027-01-31T12:00:00Z

[[portion]]
title = "Summary"
marking = "SECRET//REL TO XAR, XBO"
text = "Two transfers were announced."

[[portion]]
marking = "SECRET//NOFORN"
file = "source.txt"
personal_data = "ordinary"
persons = 2
warn = true
"""


def structured(tmp_path: Path, text: str = STRUCTURED) -> Path:
    (tmp_path / "source.txt").write_text("The source works at the bank.")
    path = tmp_path / "transfers.report.toml"
    path.write_text(text)
    return path


def test_a_plain_file_is_a_report_of_one_portion_with_its_name(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("Two boats.")
    report = read_report(path, WISHES)
    (portion,) = report.portions
    assert (portion.text, portion.file_name, report.banner) == ("Two boats.", "notes.txt", RELEASABLE)
    assert (report.categories, report.purpose) == (("terrorism",), "counter-terrorism")


def test_a_stix_bundle_is_known_by_its_content_and_sent_as_it_is(tmp_path):
    content = b'{"type": "bundle", "id": "bundle--1", "objects": []}'
    (tmp_path / "bundle.json").write_bytes(content)
    (tmp_path / "other.json").write_bytes(b'{"a": 1}')
    assert read_report(tmp_path / "bundle.json", WISHES).portions[0].media_type == STIX
    assert read_report(tmp_path / "bundle.json", WISHES).portions[0].content == content
    assert read_report(tmp_path / "other.json", WISHES).portions[0].media_type == "application/json"


def test_the_samples_of_the_demo_are_reports():
    samples = Path(__file__).resolve().parents[2] / "broker/comity_broker/cli/samples"
    bundles = [read_report(samples / "stix" / name, WISHES) for name in report_names(samples / "stix")]
    assert {one.portions[0].media_type for one in bundles} == {STIX}
    assert len(read_report(samples / "transfers.report.toml", Wishes()).portions) == 2


def test_a_summary_stands_before_the_file_and_further_portions_after_it(tmp_path):
    for name in ("summary.txt", "source.txt", "annex.txt"):
        (tmp_path / name).write_text(name)
    wishes = Wishes(
        marking="SECRET//NOFORN",
        summaries=((tmp_path / "summary.txt", RELEASABLE),),
        portions=((tmp_path / "annex.txt", RELEASABLE),),
    )
    report = read_report(tmp_path / "source.txt", wishes)
    assert [portion.text for portion in report.portions] == ["summary.txt", "source.txt", "annex.txt"]
    assert [portion.marking.banner for portion in report.portions] == [RELEASABLE, "SECRET//NOFORN", RELEASABLE]
    assert report.portions[0].title == "Summary"


def test_standard_input_is_text_and_nothing_else():
    assert of_content("", "Zwei Boote über Nacht".encode(), WISHES).portions[0].text == "Zwei Boote über Nacht"
    with pytest.raises(MalformedError):
        of_content("", b"\xff\xfe", WISHES)


def test_a_file_without_a_marking_is_not_sent(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(UsageError) as refused:
        read_report(tmp_path / "notes.txt", Wishes())
    assert "--marking" in refused.value.what_to_do


def test_a_structured_report_says_everything_itself(tmp_path):
    report = read_report(structured(tmp_path), Wishes())
    summary, source = report.portions
    assert (report.precedence, report.kind) == (Precedence.PRIORITY, Kind.ASSESSMENT)
    assert report.addressees[0].party == "XBO"
    assert report.expires_at == datetime(2027, 1, 31, 12, tzinfo=UTC)
    assert (summary.title, summary.text) == ("Summary", "Two transfers were announced.")
    assert (source.text, source.file_name) == ("The source works at the bank.", "source.txt")
    assert (source.personal_data, source.persons, source.warn) == (PersonalData.ORDINARY, 2, True)


def test_options_fill_what_a_structured_report_leaves_open_and_change_nothing_it_says(tmp_path):
    wishes = Wishes(marking="RESTRICTED", purpose="threat-to-life", title="Other", precedence="flash")
    report = read_report(structured(tmp_path), wishes)
    assert (report.banner, report.purpose) == ("SECRET//NOFORN", "counter-terrorism")
    assert report.precedence is Precedence.PRIORITY
    left_open = STRUCTURED.replace('purpose = "counter-terrorism"\n', "")
    assert read_report(structured(tmp_path, left_open), wishes).purpose == "threat-to-life"


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ('kind = "assessment"', 'kind = "gossip"', "gossip"),
        ('precedence = "priority"', 'precedence = "soon"', "soon"),
        ("persons = 2", "people = 2", "people"),
        ("persons = 2", 'persons = "2"', "persons"),
        ("persons = 2", "persons = 0", "persons"),
        ('personal_data = "ordinary"', 'personal_data = "plenty"', "personal_data"),
        ('file = "source.txt"', 'file = "source.txt"\ntext = "both"', "portion 2"),
        ('file = "source.txt"\n', "", "portion 2"),
        ('file = "source.txt"', 'file = "missing.txt"', "missing.txt"),
        ("[[portion]]", "[portion]", "report.toml"),
        ("[[portion]]", "[[part]]", "part"),
        ('kind = "assessment"', 'title = "of the whole"', "title"),
        ('\nmarking = "SECRET//NOFORN"\ncategories', "\ncategories", "marking"),
        ("expires_at = 2027-01-31T12:00:00Z", "expires_at = 2027-01-31T12:00:00", "expires_at"),
        ("Two transfers", "Two \x00 transfers", "report.toml"),
        ("purpose = ", "purpose = " + "[" * 5_000, "nested too deep"),
    ],
)
def test_a_structured_report_that_is_wrong_is_refused_with_what_is_wrong(tmp_path, before, after, named):
    assert before in STRUCTURED
    with pytest.raises(ComityError) as refused:
        read_report(structured(tmp_path, STRUCTURED.replace(before, after, 1)), Wishes())
    assert named in refused.value.message
    assert refused.value.exit_code in {2, 12, 14}


@pytest.mark.parametrize("name", ["../secret.txt", "/etc/passwd", "below/../../secret.txt", "link.txt"])
def test_a_structured_report_takes_no_file_from_elsewhere(tmp_path, name):
    (tmp_path / "secret.txt").write_text("a key")
    here = tmp_path / "here"
    here.mkdir()
    (here / "link.txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(MalformedError) as refused:
        read_report(structured(here, STRUCTURED.replace('"source.txt"', f'"{name}"')), Wishes())
    assert "beside" in refused.value.message


def test_a_file_larger_than_a_segment_is_not_read_whole(tmp_path):
    path = tmp_path / "large.bin"
    with path.open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(MalformedError):
        read_report(path, WISHES)


def test_a_directory_is_its_files_by_name_without_hidden_ones_and_folders(tmp_path):
    for name in ("b.txt", "a.txt", ".hidden"):
        (tmp_path / name).touch()
    (tmp_path / "folder").mkdir()
    assert report_names(tmp_path) == ["a.txt", "b.txt"]
    with pytest.raises(NotFoundError):
        report_names(tmp_path / "missing")


GRADED = """
marking = "SECRET//NOFORN"

[[portion]]
marking = "SECRET//REL TO XAR, XBO//PAP:GREEN"
text = "Two transfers were announced."
tlp = "AMBER+STRICT"
grading = "B2"
confidence = "icd-203: moderate"
estimative = "icd-203: likely"

[[portion]]
marking = "SECRET//NOFORN"
text = "The source works at the bank."
"""


def markings(report: Report) -> list[str]:
    return [report.banner, *(portion.marking.banner for portion in report.portions)]


def test_a_portion_has_a_tlp_a_grading_a_confidence_and_an_estimate(tmp_path):
    report = read_report(structured(tmp_path, GRADED), Wishes())
    assert markings(report) == [
        "SECRET//NOFORN//TLP:AMBER+STRICT",
        "SECRET//REL TO XAR, XBO//TLP:AMBER+STRICT//PAP:GREEN",
        "SECRET//NOFORN",
    ]
    first, second = report.portions
    assert first.assessment == {"grading": "B2", "confidence": "icd-203: moderate", "estimative": "icd-203: likely"}
    assert second.assessment == {}
    first_label, second_label = report.labels("XAR", ("OPEN", "SECRET"))
    assert (first_label.tlp, second_label.tlp) == (Tlp.AMBER_STRICT, None)


def test_the_tlp_of_the_whole_stands_in_where_a_portion_says_none(tmp_path):
    report = read_report(structured(tmp_path, 'tlp = "RED"\n' + GRADED), Wishes())
    assert markings(report) == [
        "SECRET//NOFORN//TLP:RED",
        "SECRET//REL TO XAR, XBO//TLP:AMBER+STRICT//PAP:GREEN",
        "SECRET//NOFORN//TLP:RED",
    ]


def test_white_is_taken_for_clear(tmp_path):
    text = GRADED.replace('tlp = "AMBER+STRICT"', 'tlp = "WHITE"')
    assert markings(read_report(structured(tmp_path, text), Wishes()))[0] == "SECRET//NOFORN//TLP:CLEAR"


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ('tlp = "AMBER+STRICT"', 'tlp = "amber"', "unknown TLP 'amber'"),
        ('tlp = "AMBER+STRICT"', "tlp = 4", "tlp"),
        ("//PAP:GREEN", "//TLP:GREEN", "says TLP:GREEN, not TLP:AMBER+STRICT"),
        (
            '"SECRET//NOFORN"',
            '"SECRET//NOFORN//TLP:GREEN"',
            "the whole is marked TLP:GREEN, a portion TLP:AMBER+STRICT",
        ),
        ('grading = "B2"', 'grading = "good"', "portion 1: 'good' is no grading"),
        ('grading = "B2"', 'grading = "4x4 B2 H2"', "portion 1: handling code H2"),
        ("icd-203: moderate", "moderate", "portion 1: confidence 'moderate' names no scale"),
        ("icd-203: likely", "icd-203: 75 %", "portion 1: '75 %' is no estimate"),
    ],
)
def test_a_tlp_or_an_assessment_that_is_wrong_is_refused_with_what_is_wrong(tmp_path, before, after, named):
    assert before in GRADED
    with pytest.raises(MalformedError) as refused:
        read_report(structured(tmp_path, GRADED.replace(before, after, 1)), Wishes())
    assert named in refused.value.message
    assert refused.value.what_to_do


def test_a_group_in_a_structured_report_stays_as_written_until_it_is_created(tmp_path):
    text = GRADED.replace("REL TO XAR, XBO", "REL TO XAR, XSEA")
    report = read_report(structured(tmp_path, text), Wishes())
    assert report.portions[0].marking.text.startswith("SECRET//REL TO XAR, XSEA//")
    members = {"XSEA": frozenset({"XAR", "XBO", "XDE"})}
    assert report.labels("XAR", ("OPEN", "SECRET"), members)[0].releasable_to == {"XAR", "XBO", "XDE"}


# --- attachments ----------------------------------------------------------------------------------------------------


def test_a_portion_of_a_structured_report_may_stay_in_its_file(tmp_path):
    (tmp_path / "video.mp4").write_bytes(bytes(5_000_000))
    (tmp_path / "report.toml").write_text(
        'marking = "SECRET//NOFORN"\n[[portion]]\nmarking = "SECRET//NOFORN"\ntext = "Two boats."\n'
        '[[portion]]\nmarking = "RESTRICTED//NOFORN"\nattach = "video.mp4"\ntitle = "Boats"\n'
    )
    text, attached = read_report(tmp_path / "report.toml", Wishes()).portions
    assert text.text == "Two boats."
    assert attached.content == StoredContent(tmp_path / "video.mp4", 5_000_000)
    assert (attached.file_name, attached.title, attached.marking.text) == ("video.mp4", "Boats", "RESTRICTED//NOFORN")


@pytest.mark.parametrize("more", ['text = "x"', 'file = "video.mp4"'])
def test_a_portion_has_one_content(tmp_path, more):
    (tmp_path / "video.mp4").write_bytes(b"x")
    (tmp_path / "report.toml").write_text(
        f'marking = "SECRET"\n[[portion]]\nmarking = "SECRET"\nattach = "video.mp4"\n{more}\n'
    )
    with pytest.raises(MalformedError, match="one of 'text', 'file' and 'attach'"):
        read_report(tmp_path / "report.toml", Wishes())


def test_what_is_attached_lies_beside_its_report(tmp_path):
    (tmp_path / "report.toml").write_text(
        'marking = "SECRET"\n[[portion]]\nmarking = "SECRET"\nattach = "../video.mp4"\n'
    )
    with pytest.raises(MalformedError, match="does not lie beside"):
        read_report(tmp_path / "report.toml", Wishes())


def test_further_files_are_marked_like_the_whole_or_in_their_own_right(tmp_path):
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_bytes(b"video")
    report = of_content("", b"Two boats.", Wishes(marking="SECRET//NOFORN"))
    more = with_attachments(report, [(tmp_path / "a.mp4", ""), (tmp_path / "b.mp4", "RESTRICTED//NOFORN")])
    assert [one.marking.text for one in more.portions] == ["SECRET//NOFORN", "SECRET//NOFORN", "RESTRICTED//NOFORN"]
    assert [one.length for one in more.portions] == [10, 5, 5]


def test_a_file_too_large_for_a_report_says_how_it_travels(tmp_path):
    (tmp_path / "video.mp4").write_bytes(bytes((1 << 20) + 1))
    with pytest.raises(MalformedError) as caught:
        read_report(tmp_path / "video.mp4", Wishes(marking="SECRET"))
    assert "--attach" in caught.value.what_to_do
