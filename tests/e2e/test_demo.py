"""`comity demo`, run as a user runs it: every record says what really happened, and the directory holds it."""

import json
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from documents import REPOSITORY, conversation, shows

SAMPLES = Path(__file__).resolve().parents[2] / "broker/comity_broker/cli/samples"
STIX = sorted(path.name for path in (SAMPLES / "stix").iterdir())
SECRET = "The source works at the counter"

pytestmark = pytest.mark.timeout(300)


def demo(directory: Path, *more: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "comity.cli", "demo", "--keep", str(directory), *more],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("demo") / "demo-run"


@pytest.fixture(scope="module")
def ran(directory):
    reports = directory.parent / "reports"
    shutil.copytree(SAMPLES / "stix", reports)
    (reports / "two-boats.txt").write_text("Two boats left the harbour at dawn.")
    done = demo(directory, "--reports", str(reports))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    return done


@pytest.fixture(scope="module")
def steps(ran, directory):
    found = defaultdict(list)
    for line in (directory / "steps.jsonl").read_text().splitlines():
        record = json.loads(line)
        assert set(record) == {"step", "command", "exit", "facts"}
        found[record["step"]].append(record)
    return found


def test_each_nation_makes_a_root_of_its_own_and_trusts_the_others_by_its_words(steps):
    roots = {code: steps[f"{code}-creates-its-keys"][0]["facts"]["root"] for code in ("XAR", "XBO")}
    assert roots["XAR"] != roots["XBO"]
    for code, other in (("XAR", "XBO"), ("XBO", "XAR")):
        trusted = steps[f"{code}-trusts-{other}"][0]
        assert trusted["facts"]["root"] == roots[other]
        assert " ".join(steps[f"{other}-reads-its-words"][-1]["facts"]["words"]) in trusted["command"]


def test_both_nodes_are_enrolled_in_one_key_log_with_entries_of_their_own(steps):
    entries = [steps[f"{code}-enrols-n1"][0]["facts"]["log_index"] for code in ("XAR", "XBO")]
    assert len(set(entries)) == 2
    assert max(entries) < steps["broker-status"][0]["facts"]["key_log_size"]


def test_the_broker_and_the_nodes_are_processes_of_their_own(steps):
    assert steps["broker-run"][0]["facts"]["pid"]
    assert steps["broker-run"][0]["facts"]["address"].startswith("127.0.0.1:")
    assert steps["broker-drains"][0]["exit"] == 0


def test_the_agreement_is_checked_and_in_force_over_the_same_bytes_on_both_sides(steps, directory):
    assert all(one["severity"] != "error" for one in steps["agreement-check"][0]["facts"]["findings"])
    views = steps["agreement-in-force"][0]["facts"]["views"]
    assert {one["phase"] for one in views} == {"IN_FORCE"}
    assert len({one["digest"] for one in views}) == 1
    for one in views:
        assert one["signed"] == one["reviewed"] == one["log_signed"] == ["XAR", "XBO"]
    assert (directory / "XAR-XBO-1.toml").is_file()


def test_every_stix_bundle_arrives_with_its_bytes_under_its_marking(steps, directory):
    received = steps["XBO-receives"][0]["facts"]["received"]
    by_name = {portion["file_name"]: (one, portion) for one in received for portion in one["portions"]}
    for name in STIX:
        report, portion = by_name[name]
        assert (directory / "XBO/inbox" / portion["file"]).read_bytes() == (SAMPLES / "stix" / name).read_bytes()
        assert report["banner"] == "//XAR SECRET//REL TO XAR, XBO"
        assert portion["media_type"].startswith("application/stix+json")


def test_the_summary_is_opened_and_the_source_stays_at_home(steps, directory):
    sent = steps["send-summary-and-source"][0]["facts"]
    assert sent["banner"] == "SECRET//NOFORN"
    assert sent["recipients"] == [{"node": "XBO/n1", "portions": [1]}]
    (report,) = [one for one in steps["XBO-receives"][0]["facts"]["received"] if one["report_id"] == sent["report_id"]]
    assert report["withheld"] == [2]
    assert "Three transfers" in (directory / "XBO/inbox" / report["portions"][0]["file"]).read_text()


def test_every_report_that_was_sent_is_acknowledged(steps):
    sent = {steps["send-summary-and-source"][0]["facts"]["report_id"]}
    sent |= {one["report_id"] for one in steps["send-stix"][0]["facts"]["records"] if "report_id" in one}
    assert len(sent) == 1 + len(STIX) + 1
    done = {
        row["report_id"]
        for row in steps["acknowledged"][-1]["facts"]["records"]
        if any(one["state"] == "DONE" and one["node"] == "XBO/n1" for one in row["consumers"])
    }
    assert sent <= done


def test_a_report_above_the_ceiling_is_refused_by_the_sdk_and_by_the_broker_with_the_same_clauses(steps):
    here, there = (steps[step][0] for step in ("send-above-the-ceiling", "force-above-the-ceiling"))
    assert here["exit"] == there["exit"] == 10
    clauses = [one["facts"]["error"]["clauses"] for one in (here, there)]
    assert [one["clause_id"] for one in clauses[0]] == [one["clause_id"] for one in clauses[1]]
    for found in clauses:
        (ceiling,) = [one for one in found if one["clause_id"] == "4"]
        assert ceiling["text"].startswith("Information of a higher level")
        assert ceiling["remedy"]["action"]
        assert "TOP-SECRET" in ceiling["got"]


def test_a_suspended_grant_refuses_the_next_report(steps):
    suspension, refusal = steps["suspend"][0], steps["send-after-the-suspension"][0]
    assert suspension["facts"]["suspended_clauses"] == {"3.1": ["XAR"]}
    assert refusal["exit"] == 10
    assert refusal["facts"]["error"]["clauses"]


def test_the_log_verifies_without_the_broker_and_a_changed_byte_is_found(steps):
    order = list(steps)
    assert order.index("broker-drains") < order.index("audit-verify")
    whole, changed = steps["audit-verify"][0], steps["audit-verify-changed"][0]
    assert (whole["exit"], whole["facts"]["verdict"], whole["facts"]["findings"]) == (0, "PASS", [])
    assert (changed["exit"], changed["facts"]["verdict"]) == (15, "FAIL")
    assert "COMMITMENT" in {one["code"].upper() for one in changed["facts"]["findings"]}


def test_the_source_is_nowhere_but_on_its_own_nations_machine(ran, directory):
    found = [
        path.relative_to(directory)
        for path in directory.rglob("*")
        if path.is_file() and SECRET.encode() in path.read_bytes()
    ]
    assert found == []
    assert SECRET not in ran.stdout


def test_no_passphrase_is_in_what_the_broker_has_or_what_was_printed(ran, directory):
    passphrases = [(directory / code / "passphrase").read_bytes() for code in ("XAR", "XBO")]
    kept = [path for path in (directory / "broker").rglob("*") if path.is_file()]
    kept += [directory / "broker-log.out", directory / "broker-log.err"]
    for passphrase in passphrases:
        assert passphrase.decode() not in ran.stdout
        assert not [path for path in kept if passphrase in path.read_bytes()]


def test_a_directory_that_no_demo_made_is_never_removed(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("mine")
    done = demo(tmp_path / "mine", "--json")
    assert done.returncode == 13
    assert (tmp_path / "mine" / "letter.txt").read_text() == "mine"


def test_it_tells_in_plain_words_with_banners_what_happened(ran):
    for words in (
        "[//XAR SECRET//REL TO XAR, XBO]",
        "two-boats.txt",
        "portion 2 stays at home",
        "clause 4 (ceiling)",
        "remedy:",
        "PASS",
        "COMMITMENT",
        "steps, each checked",
    ):
        assert words.casefold() in ran.stdout.casefold()


def test_it_prints_what_the_readme_shows_of_it(ran):
    (step,) = [one for one in conversation(REPOSITORY / "README.md") if one.words == "make demo"]
    # The samples' line is there whatever else is sent; what number an entry has is not of this run.
    shown = [re.sub(r"entry \d+", "entry ...", line) for line in step.shown]
    assert shows([*shown, "..."], ran.stdout, {}) is not None
