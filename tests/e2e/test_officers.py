"""Real processes under an agreement with a quota and dual control: who must approve, what is refused by name, what waits."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import signal
import subprocess
import sys

import pytest

from builders_every_kind import clause_text
from processes import COMITY, PATIENCE_SECONDS, ending, environment
from world_files import CODES, HUB, PURPOSE, World, made_world

AGREEMENT = "XAR-XBO-2"
URGENT = ("--precedence", "flash", "--marking", "SECRET//REL TO XAR, XBO")
ABOUT = ("--agreement", AGREEMENT, "--category", "terrorism", "--purpose", PURPOSE, "--as", "XAR/n1", "--json")
CLEARED = ("--clearance", "SECRET", "--cleared-by", "XAR/security1")
BOTH = ("--approve-as", "XAR/duty1", "--approve-as", "XAR/release1", "--yes")
QUOTA = 'from = "XBO"\nto = "XAR"\nwindow = "week"\nreports = 2\nbytes = 1000000'
DUAL_CONTROL = 'from = [{ party = "XAR", level = "CONFIDENTIAL" }]\nofficers = 2'


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = made_world(tmp_path_factory.mktemp("officers") / "world")
    with ending(made.start_broker()):
        arden = made.machine("XAR")
        for name, role in (("duty1", "duty-officer"), ("release1", "release-authority")):
            arden.done("officer", "create", f"XAR/{name}", "--broker-name", HUB, "--broker", made.address)
            arden.done("officer", "accredit", f"XAR/{name}", "--role", role, *CLEARED)
        agree(made)
        (made.path / "warning.txt").write_text("A vessel left at dawn.")
        yield made


def agree(world: World) -> None:
    text = world.path / f"{AGREEMENT}.toml"
    parties = [word for code in CODES for word in ("--party", code)]
    first = world.machine("XAR")
    first.done(
        "agreement", "new", AGREEMENT, *parties, "--broker-name", HUB, "--broker-region", "xar", "--into", str(text)
    )
    with text.open("a") as file:
        file.write(clause_text("25", "quota", QUOTA) + clause_text("26", "dual-control", DUAL_CONTROL))
    first.done("agreement", "propose", str(text), "--as", "XAR/officer1")
    for step in ("review", "sign"):
        for code in CODES:
            world.machine(code).done("agreement", step, AGREEMENT, "--yes", "--as", f"{code}/officer1")


def send(world: World, *words: str, code: int = 0):
    """Send in a process of its own; give its JSON lines, or the error of one that must fail."""
    process = world.start("XAR", "send", world.path / "warning.txt", *ABOUT, *words)
    process.done(code)
    if code:
        return json.loads(process.log.read_text().splitlines()[-1])["error"]
    return process.records


def received(world: World) -> set[str]:
    """Give the ids of the reports that XBO receives now."""
    process = world.receive()
    process.done()
    return {one["report_id"] for one in process.records if "report_id" in one}


def test_a_quota_that_is_used_up_refuses_by_its_clause_and_says_when_the_window_ends(world):
    bohemund = world.machine("XBO")
    words = ("send", "-", *ABOUT[:-3], "--marking", "SECRET//REL TO XBO, XAR", "--as", "XBO/n1", "--json")
    for _ in range(2):
        bohemund.done(*words, stdin="counted")
    refused = bohemund.run(*words, stdin="one too many")
    assert (refused.code, refused.error["code"]) == (10, "POLICY_DENIED")
    (clause,) = refused.error["clauses"]
    assert (clause["clause_id"], clause["kind"], clause["text"]) == ("25", "quota", "As both parties agreed.")
    assert clause["nearest"].startswith("from 20")
    assert clause["remedy"]["action"] == "second-officer"


def test_flash_with_two_officers_goes_out_and_without_the_second_it_is_refused_with_the_remedy(world):
    error = send(world, *URGENT, "--approve-as", "XAR/duty1", "--yes", code=10)
    (clause,) = error["clauses"]
    assert (clause["clause_id"], clause["remedy"]["action"]) == ("26", "second-officer")
    assert clause["remedy"]["command"].count("--approve-as XAR/") == 2
    assert error["what_to_do"] == clause["remedy"]["command"]
    alone = send(world, *URGENT, code=10)
    assert {one["kind"] for one in alone["clauses"]} == {"precedence"}
    (sent,) = send(world, *URGENT, *BOTH)
    assert sent["report_id"] in received(world)


def test_an_officer_signs_nothing_without_having_seen_it(world):
    error = send(world, *URGENT, *BOTH[:-1], code=2)
    assert "has to see what is approved" in error["message"]


def test_a_preview_names_what_is_missing_and_passes_with_the_officers(world):
    arden = world.machine("XAR")
    words = ("preview", str(world.path / "warning.txt"), *ABOUT, *URGENT)
    assert arden.run(*words).code == 10
    (seen,) = arden.done(*words, *BOTH[:-1]).records
    assert (seen["permitted"], seen["approvals_required"]) == (True, 2)


def test_a_report_waits_for_its_officers_and_the_next_sending_takes_it_along(world):
    arden = world.machine("XAR")
    (held,) = send(world, *URGENT, "--await-approval")
    report_id = held["report_id"]
    assert (held["state"], held["approved_by"]) == ("WAITING", [])
    (listed,) = [
        one for one in arden.done("report", "list", "--as", "XAR/n1", "--json").records if one["report_id"] == report_id
    ]
    assert listed["leaf"] == held["leaf"]
    assert "XAR/duty1 (duty-officer)" in listed["may_approve"]
    assert "WAITING for approvals until" in arden.done("report", "list", "--as", "XAR/n1").out
    assert arden.run("report", "approve", report_id, "--as", "XAR/duty1").code == 2, "nobody has seen it"
    for officer, state in (("XAR/release1", "WAITING"), ("XAR/duty1", "APPROVED")):
        ran = arden.done("report", "approve", report_id, "--as", officer, "--yes", "--json")
        assert ran.records[0]["state"] == state
    assert arden.run("report", "approve", report_id, "--as", "XAR/duty1", "--yes").code == 13
    assert report_id not in received(world)
    records = send(world, "--marking", "RESTRICTED//REL TO XAR, XBO")
    assert [one["report_id"] for one in records if one.get("released")] == [report_id]
    assert report_id in received(world)
    assert arden.run("report", "approve", report_id, "--as", "XAR/release1", "--yes").code == 12


def test_an_exercise_that_waits_for_its_officers_is_listed_among_exercises_alone(world):
    arden = world.machine("XAR")
    (held,) = send(world, *URGENT, "--exercise", "--await-approval")
    for words, there in (("--exercise",), True), ((), False):
        listed = arden.done("report", "list", *words, "--as", "XAR/n1", "--json").records
        assert [one["exercise"] for one in listed if one["report_id"] == held["report_id"]] == [True] * there
        assert not [one for one in listed if one.get("state") == "WAITING" and one["exercise"] is not there]


@pytest.mark.parametrize(("answers", "code"), [(("y\n", "y\n"), 0), (("y\n", "n\n"), 11), (("y\n", None), 130)])
def test_an_officer_at_a_terminal_is_shown_each_report_and_asked(world, answers, code):
    """`None` is Ctrl-C at the question: nothing was sent, and nothing is left to wait."""
    shown = at_terminal(world, ("send", world.path / "warning.txt", *ABOUT[:-1], *URGENT, *BOTH[:-1]), answers, code)
    for told in ("[SECRET//REL TO XAR, XBO]", "precedence  FLASH", "addressees  XBO", "leaf        "):
        assert told in shown
    assert "    | A vessel left at dawn." in shown
    listed = world.machine("XAR").done("report", "list", "--as", "XAR/n1", "--json").records
    assert not [one for one in listed if one.get("state") == "WAITING"]


def test_an_officer_who_approves_later_is_shown_the_text_of_the_sealed_bytes(world):
    open_to_all = ("--precedence", "flash", "--marking", "UNCLASSIFIED//REL TO XAR, XBO")
    chart, looking = world.path / "chart.pdf", world.path / "look"
    chart.write_bytes(os.urandom(2_000_000))
    (held,) = send(world, *open_to_all, "--attach", str(chart), "--await-approval")
    words = ("report", "approve", held["report_id"], "--as", "XAR/duty1", "--save", looking)
    shown = at_terminal(world, words, ("y\n",), 0)
    assert "    | A vessel left at dawn." in shown
    digest = hashlib.sha384(chart.read_bytes()).hexdigest()
    assert f"attached file 'chart.pdf', application/pdf, 2000000 bytes, sha384:{digest}" in shown
    (saved,) = looking.iterdir()
    assert f"portion 2 is saved as {saved}" in shown
    assert (saved.name, saved.read_bytes()) == (f"{held['report_id']}-2.pdf", chart.read_bytes())
    assert world.machine("XAR").run(*map(str, words), "--yes").code == 2, "nobody is asked, so nobody looks"
    assert shown.count("[UNCLASSIFIED//REL TO XAR, XBO]") >= 3
    send(world, "--marking", "RESTRICTED//REL TO XAR, XBO")


def at_terminal(world: World, words: tuple[str, ...], answers: tuple[str | None, ...], code: int) -> str:
    """Have somebody at a terminal give these answers, `None` for Ctrl-C; give what was on the screen."""
    controller, terminal = pty.openpty()
    environ = environment(world.machine("XAR").path, world.passphrase_file)
    popen = subprocess.Popen(
        [COMITY, *map(str, words)], stdin=terminal, stdout=subprocess.DEVNULL, stderr=terminal, env=environ
    )
    os.close(terminal)
    shown = ""
    try:
        for number, answer in enumerate(answers, 1):
            while shown.count("Approve exactly this?") < number:
                shown += os.read(controller, 4096).decode()
            if answer is None:
                popen.send_signal(signal.SIGINT)
            else:
                os.write(controller, answer.encode())
        assert popen.wait(timeout=PATIENCE_SECONDS) == code
    finally:
        popen.kill()
        popen.wait()
        os.close(controller)
    return shown


def test_an_auditor_verifies_offline_that_officers_approved(world, tmp_path):
    send(world, *URGENT, *BOTH)
    auditor = world.machine("XAR")
    auditor.done("audit", "bundle", AGREEMENT, "--into", str(tmp_path / "bundle"), "--as", "XAR/officer1")
    done = subprocess.run(
        [sys.executable, "-m", "comity.verify", tmp_path / "bundle", "--party", "XAR"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "PASS"), done.stdout


def test_an_officer_who_may_not_see_it_approves_nothing_whoever_says_yes(world):
    error = send(world, *URGENT, "--approve-as", "XAR/officer1", "--yes", code=11)
    assert "may not read what would be approved" in error["message"]
    assert "--clearance SECRET" in error["what_to_do"]
    (held,) = send(world, *URGENT, "--await-approval")
    assert not [one for one in held["may_approve"] if "officer1" in one]
    late = world.machine("XAR").run("report", "approve", held["report_id"], "--as", "XAR/officer1", "--yes")
    assert late.code == 11
