"""03:00, a threat to life: from the duty officer's declaration to its review, with the commands and a broker in its own process."""

import pytest

from builders_every_kind import clause_text
from builders_world import ABOUT, AGREEMENT, parties, running
from comity.cli import desk

HOUR = 3_600_000
QUOTA = 'from = "XAR"\nto = "XBO"\nwindow = "week"\nreports = 1\nbytes = 1000000000'
DUAL = 'from = [{ party = "XAR", level = "SECRET" }]\nofficers = 2'
PERSONAL = (
    'purposes = ["counter-terrorism"]\nspecial_categories = "deny"\npersons_max = 5\nreview_every = { days = 90 }\n'
    "correct_within = { days = 5 }"
)
CLAUSES = (
    ("25", "quota", QUOTA),
    ("26", "dual-control", DUAL),
    ("30", "emergency", 'to = ["XBO"]\nonward = false\nreview_within = { hours = 24 }'),
    ("33", "breach", "notify = { hours = 24 }\ninitial_report = { hours = 72 }\nmeasures = { days = 30 }"),
    ("35", "security-measures", "attest_every = { days = 20 }"),
    ("37", "personal-data", PERSONAL),
    ("36", "authorities", 'contacts = [{ party = "XAR", role = "duty desk", name = "Desk", contact = "+000 1" }]'),
)


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    with running(parties(tmp_path_factory.mktemp("world"))) as world:
        both = (("XAR", world.arden), ("XBO", world.bohemund))
        for code, machine in both:
            for name, role in (("duty1", "duty-officer"), ("release1", "release-authority")):
                machine.done("officer", "create", f"{code}/{name}", *world.where)
                cleared = ("--clearance", "SECRET", "--cleared-by", f"{code}/security1")
                machine.done("officer", "accredit", f"{code}/{name}", "--role", role, *cleared)
        world.arden.done(
            *("agreement", "new", AGREEMENT, "--party", "XAR", "--party", "XBO", "--broker-name", "XAR/hub"),
            *("--broker-region", "xar", "--into", str(world.text)),
        )
        with world.text.open("a") as text:
            text.writelines(clause_text(*clause) for clause in CLAUSES)
        world.arden.done("agreement", "propose", str(world.text), "--as", "XAR/liaison1")
        for code, machine in both:
            machine.done("agreement", "review", AGREEMENT, "--yes", "--as", f"{code}/lawyer1")
        for code, machine in both:
            machine.done("agreement", "sign", AGREEMENT, "--yes", "--as", f"{code}/minister1")
        yield world


def owed(machine, officer, *more):
    """Give what the desk of an officer's party shows, by kind of duty."""
    return {one["kind"]: one for one in machine.done("desk", "--as", officer, "--json", *more).records}


def flash(world, code, *more):
    """Send a FLASH as XAR/n1 that only the duty officer approves."""
    return world.send(
        "Two boats are sinking.", "--precedence", "flash", "--approve-as", "XAR/duty1", "--yes", *more, code=code
    )


def test_from_the_declaration_to_its_review(night, tmp_path, monkeypatch):
    arden, bohemund = night.arden, night.bohemund
    path = tmp_path / "routine.txt"
    path.write_text("Nothing urgent.")
    routine = ("send", str(path), *ABOUT, "--marking", "RESTRICTED//REL TO XAR, XBO", "--as", "XAR/n1", "--json")
    arden.done(*routine)
    used_up = arden.run(*routine)
    assert [one["clause_id"] for one in used_up.error["clauses"]] == ["25"]
    alone = flash(night, used_up.code)
    assert [one["clause_id"] for one in alone.error["clauses"]] == ["26"]
    assert arden.run("emergency", "declare", AGREEMENT, "--reason", "boats", "--as", "XAR/liaison1").code != 0
    declare = ("emergency", "declare", AGREEMENT, "--reason", "two boats are sinking", "--as", "XAR/duty1", "--json")
    (declared,) = arden.done(*declare).records
    (sent,) = flash(night, 0, "--emergency", declared["digest"]).records
    got = [one["report_id"] for one in night.receive(tmp_path / "in") if "report_id" in one]
    assert sent["report_id"] in got

    due = owed(arden, "XAR/liaison1")["review-emergency"]
    assert (due["state"], due["owner"], due["clause_id"]) == ("OPEN", "XAR", "30")
    assert "review-emergency" not in owed(bohemund, "XBO/liaison1")
    real = desk.now_ms
    monkeypatch.setattr(desk, "now_ms", lambda: real() + 25 * HOUR)
    assert owed(arden, "XAR/liaison1")["review-emergency"]["state"] == "OVERDUE"
    monkeypatch.setattr(desk, "now_ms", real)
    (listed,) = bohemund.done("emergency", "list", AGREEMENT, "--as", "XBO/liaison1", "--json").records
    assert listed["stands"] == "valid"
    review = due["command"].replace("'...'", "'lives were saved'").removeprefix("comity ").replace("'", "")
    assert review.startswith(f"emergency review {AGREEMENT} ")
    words = [*review.split(" --reason ")[0].split(), "--reason", "lives were saved", "--as", "XAR/liaison1"]
    arden.done(*words)
    done = owed(arden, "XAR/liaison1", "--all")["review-emergency"]
    assert (done["state"], done["late"]) == ("DONE", False)
    (listed,) = bohemund.done("emergency", "list", AGREEMENT, "--as", "XBO/liaison1", "--json").records
    assert listed["stands"] == "justified"
    bundle = tmp_path / "bundle"
    arden.done("audit", "bundle", AGREEMENT, "--into", str(bundle), "--as", "XAR/auditor1")
    assert "PASS" in arden.done("audit", "verify", str(bundle)).out


def test_a_holder_certifies_with_the_command_its_desk_shows(night, tmp_path, monkeypatch):
    arden, bohemund = night.arden, night.bohemund
    (declared,) = arden.done(
        "emergency", "declare", AGREEMENT, "--reason", "again", "--as", "XAR/duty1", "--json"
    ).records
    (sent,) = flash(night, 0, "--emergency", declared["digest"]).records
    night.receive(tmp_path / "in")
    mine = [
        one
        for one in bohemund.done("desk", "--as", "XBO/security1", "--all", "--json").records
        if one["kind"] == "end-keeping" and one["subject"] == sent["report_id"]
    ]
    (keeping,) = mine
    assert keeping["command"].startswith(f"comity report destroy {sent['report_id']} --agreement {AGREEMENT} --means ")
    destroy = ("report", "destroy", sent["report_id"], "--agreement", AGREEMENT, "--means", "shredded")
    assert arden.run(*destroy, "--as", "XAR/security1").code != 0
    (certified,) = bohemund.done(*destroy, "--witness", "XBO/liaison1", "--as", "XBO/security1", "--json").records
    assert certified["type"] == "destruction-certificate"
    for machine, auditor in ((bohemund, "XBO/auditor1"), (arden, "XAR/auditor1")):
        assert "SHREDDED" in machine.done("audit", "tail", AGREEMENT, "--as", auditor, "--json").out
    (ended,) = (
        one
        for one in bohemund.done("desk", "--as", "XBO/security1", "--all", "--json").records
        if one["kind"] == "end-keeping" and one["subject"] == sent["report_id"]
    )
    assert ended["state"] == "DONE"
    asked = ("report", "ask-correction", sent["report_id"], "--agreement", AGREEMENT, "--holder", "XBO")
    arden.done(*asked, "--reason", "it is another person", "--as", "XAR/release1")
    to_do = owed(bohemund, "XBO/lawyer1")["correct-personal-data"]
    command = f"comity report corrected {sent['report_id']} --agreement {AGREEMENT} --reason '...'"
    assert (to_do["state"], to_do["command"]) == ("OPEN", command)
    bohemund.done(*command.split()[1:-1], "the name is struck", "--as", "XBO/lawyer1")
    done = owed(bohemund, "XBO/lawyer1", "--all")["correct-personal-data"]
    assert (done["state"], done["late"]) == ("DONE", False)


def test_a_breach_and_what_is_attested_are_followed_by_their_clocks(night):
    arden, bohemund = night.arden, night.bohemund
    (opened,) = arden.done(
        "breach", "open", AGREEMENT, "--entry", "9", "--reason", "a laptop is lost", "--as", "XAR/liaison1", "--json"
    ).records
    assert owed(arden, "XAR/liaison1")["report-breach"]["state"] == "OPEN"
    case = (AGREEMENT, opened["digest"][:16])
    for stage in ("initial-report", "measures"):
        arden.done("breach", "update", *case, "--stage", stage, "--reason", stage, "--as", "XAR/liaison1")
    arden.done("breach", "close", *case, "--reason", "mended", "--as", "XAR/liaison1")
    (listed,) = bohemund.done("breach", "list", AGREEMENT, "--as", "XBO/liaison1", "--json").records
    assert (listed["stage"], listed["party"]) == ("CLOSED", "XAR")
    before = owed(arden, "XAR/security1")["attest-measures"]
    arden.done("duty", "attest", AGREEMENT, "--reason", "inspected", "--as", "XAR/security1")
    assert owed(arden, "XAR/security1")["attest-measures"]["due"] > before["due"]
    contact = ("duty", "contact", AGREEMENT, "--as", "XAR/liaison1")
    arden.done(*contact, "--role", "duty desk", "--name", "The desk", "--contact", "+000 2")
    (told,) = bohemund.done("duty", "contact", AGREEMENT, "--as", "XBO/liaison1", "--json").records
    assert told["contact"] == "+000 2"
