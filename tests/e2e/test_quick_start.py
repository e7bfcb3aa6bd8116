"""The quick start by hand, command by command, and what each command answers when something is wrong."""

import json
import re
from uuid import UUID

import pytest

from builders_home import Machine
from builders_world import ABOUT, AGREEMENT, RELEASABLE, World, files, parties, running
from processes import until

TOO_HIGH = "TOP-SECRET//REL TO XAR, XBO"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with running(parties(tmp_path_factory.mktemp("world"))) as made:
        yield made


@pytest.fixture(scope="module")
def treaty(world) -> World:
    """The same world, its agreement in force; what comes before that is tested on the way."""
    propose_and_sign(world)
    return world


def propose_and_sign(world: World) -> None:
    ran = world.arden.run("agreement", "review", AGREEMENT, "--yes", "--as", "XAR/lawyer1", "--json")
    assert (ran.code, ran.error["code"]) == (12, "AGREEMENT_UNKNOWN")
    sign_in_order(world)


def sign_in_order(world: World) -> None:
    """Sign, trying each step too early or as the wrong person first: the log takes what its rules allow, nothing else."""
    arden, bohemund = world.arden, world.bohemund
    arden.done(
        *("agreement", "new", AGREEMENT, "--party", "XAR", "--party", "XBO", "--broker-name", "XAR/hub"),
        *("--broker-region", "xar", "--into", str(world.text)),
    )
    assert arden.run("agreement", "propose", str(world.text), "--as", "XAR/auditor1").code == 11
    (proposed,) = arden.done("agreement", "propose", str(world.text), "--as", "XAR/liaison1", "--json").records
    assert (proposed["phase"], proposed["steps"][0]["type"]) == ("PROPOSED", "agreement-propose")
    assert arden.run("agreement", "sign", AGREEMENT, "--yes", "--as", "XAR/minister1").code == 13
    assert arden.run("agreement", "review", AGREEMENT, "--yes", "--as", "XAR/liaison1").code == 11
    refuses_what_nobody_read(world, proposed["digest"])
    for machine, officer in ((arden, "XAR/lawyer1"), (bohemund, "XBO/lawyer1")):
        machine.done("agreement", "review", AGREEMENT, "--yes", "--as", officer)
    assert arden.run("agreement", "review", AGREEMENT, "--yes", "--as", "XAR/lawyer1").code == 13
    refused = arden.run("agreement", "sign", AGREEMENT, "--as", "XAR/minister1", terminal=True, stdin="\n")
    assert (refused.code, proposed["digest"] in refused.err) == (11, True)
    assert arden.run("agreement", "suspend", AGREEMENT, "--reason", "x", "--as", "XAR/liaison1").code == 13
    (first,) = arden.done("agreement", "sign", AGREEMENT, "--yes", "--as", "XAR/minister1", "--json").records
    assert [one["type"] for one in first["steps"]] == ["agreement-sign", "agreement-log-opened"]
    assert world.arden.run("send", "-", *ABOUT, "--marking", RELEASABLE, "--as", "XAR/n1", stdin="early").code == 10
    signing = ("agreement", "sign", AGREEMENT, "--as", "XBO/minister1", "--json")
    (last,) = bohemund.done(*signing, terminal=True, stdin="y\n").records
    assert last["phase"] == "IN_FORCE"


def refuses_what_nobody_read(world: World, digest: str) -> None:
    """Review without saying which text: nobody to ask, or somebody who is shown it and does not agree."""
    words = ("agreement", "review", AGREEMENT, "--as", "XAR/lawyer1")
    unasked = world.arden.run(*words, "--json")
    assert (unasked.code, unasked.error["code"]) == (2, "USAGE")
    assert "--digest" in unasked.error["what_to_do"]
    asked = world.arden.run(*words, terminal=True, stdin="n\n")
    assert (asked.code, digest in asked.err, "Agreement between" in asked.err) == (11, True, True)
    other = world.arden.run(*words, "--digest", "00" * 48, "--json")
    assert (other.code, other.error["code"]) == (13, "DIGEST_MISMATCH")
    (shown,) = world.arden.done("agreement", "show", AGREEMENT, "--as", "XAR/lawyer1", "--json").records
    assert (shown["phase"], shown.get("reviewed")) == ("PROPOSED", [])


# --- the agreement --------------------------------------------------------------------------------------------------


def test_both_sides_fold_the_agreement_to_the_same_bytes_in_force(treaty):
    views = [
        machine.done("agreement", "list", "--as", identity, "--json").records[0]
        for machine, identity in ((treaty.arden, "XAR/n1"), (treaty.bohemund, "XBO/liaison1"))
    ]
    assert {one["phase"] for one in views} == {"IN_FORCE"}
    assert len({one["digest"] for one in views}) == 1
    assert views[0]["log_signed"] == ["XAR", "XBO"]


def test_the_treaty_is_shown_clause_by_clause_with_text_meaning_and_status(treaty):
    shown = treaty.bohemund.done("agreement", "show", AGREEMENT, "--as", "XBO/lawyer1").out
    for words in (
        "state       IN FORCE",
        "Article 4 (ceiling): enforced at",
        "it means:",
        "recorded",
        "History",
        "minister1",
    ):
        assert words in shown
    (record,) = treaty.bohemund.done("agreement", "show", AGREEMENT, "--as", "XBO/lawyer1", "--json").records
    assert all(clause["gloss"] and clause["text"]["en"] and clause["status"] for clause in record["clauses"])
    text = treaty.bohemund.done("agreement", "show", AGREEMENT, "--text", "--as", "XBO/lawyer1").out
    assert text == treaty.text.read_text()


def test_an_agreement_that_nobody_knows_is_exit_code_twelve(treaty):
    ran = treaty.arden.run("agreement", "show", "XAR-XBO-9", "--as", "XAR/n1", "--json")
    assert (ran.code, ran.error["code"]) == (12, "AGREEMENT_UNKNOWN")


def test_an_operator_sees_the_broker_and_nobody_else_does(treaty):
    (status,) = treaty.arden.done("broker", "status", "--as", "XAR/operator1", "--json").records
    assert (status["broker"], status["state"]) == ("XAR/hub", "SERVING")
    for machine, identity in ((treaty.arden, "XAR/liaison1"), (treaty.bohemund, "XBO/operator1")):
        assert machine.run("broker", "status", "--as", identity).code == 11


# --- reports --------------------------------------------------------------------------------------------------------


def test_a_report_arrives_as_a_file_and_is_acknowledged_and_never_comes_again(treaty, tmp_path):
    (sent,) = treaty.send("Two boats.").records
    assert sent["recipients"] == [{"node": "XBO/n1", "portions": [1]}]
    received = [one for one in treaty.receive(tmp_path / "in") if one["report_id"] == sent["report_id"]]
    assert [one["attempt"] for one in received] == [1]
    assert (tmp_path / "in" / received[0]["portions"][0]["file"]).read_text() == "Two boats."
    assert received[0]["banner"] == "//XAR SECRET//REL TO XAR, XBO"
    assert treaty.receive(tmp_path / "in") == []
    (row,) = treaty.arden.done("report", "show", sent["report_id"], "--as", "XAR/n1", "--json").records
    assert [(one["node"], one["state"]) for one in row["consumers"]] == [("XBO/n1", "DONE")]


def test_text_from_standard_input_with_a_summary_and_a_source_is_split_by_portion(treaty, tmp_path):
    summary = tmp_path / "summary.txt"
    summary.write_text("A summary.")
    ran = treaty.arden.done(
        *("send", "-", *ABOUT, "--marking", "SECRET//NOFORN", "--summary", str(summary), RELEASABLE),
        *("--as", "XAR/n1", "--json"),
        stdin="The source.",
    )
    (sent,) = ran.records
    assert (sent["banner"], sent["recipients"]) == ("SECRET//NOFORN", [{"node": "XBO/n1", "portions": [1]}])
    treaty.receive(tmp_path / "in")
    content = b"".join(files(tmp_path / "in").values())
    assert b"A summary." in content
    assert b"The source." not in content


def test_a_directory_goes_in_one_go_and_what_is_refused_takes_nothing_with_it(treaty, tmp_path):
    reports = tmp_path / "reports"
    reports.mkdir()
    for number in range(40):
        (reports / f"{number:02}.txt").write_text(f"report {number}")
    (reports / "20.report.toml").write_text(
        f'marking = "{TOO_HIGH}"\n[[portion]]\nmarking = "{TOO_HIGH}"\ntext = "x"\n'
    )
    (reports / "30.report.toml").write_text("marking = 1\n")
    ran = treaty.arden.run("send", str(reports), *ABOUT, "--marking", RELEASABLE, "--as", "XAR/n1", "--json")
    total = ran.records[-1]
    assert (ran.code, total["accepted"], total["refused"], total["unreadable"]) == (10, 40, 1, 1)
    assert total["reports_per_second"] > 0
    refused = {one["file"]: one["error"] for one in ran.records if "error" in one}
    assert refused["20.report.toml"]["clauses"][0]["clause_id"] == "4"
    assert refused["30.report.toml"]["code"] == "MALFORMED"
    received = [one["portions"][0]["file_name"] for one in treaty.receive(tmp_path / "in")]
    assert received == [f"{number:02}.txt" for number in range(40)]


def test_a_preview_says_who_would_get_what_and_nothing_is_sent(treaty, tmp_path):
    path = tmp_path / "report.txt"
    path.write_text("x")
    before = len(treaty.arden.done("report", "list", "--as", "XAR/n1", "--limit", "1000", "--json").records)
    words = ("preview", str(path), *ABOUT, "--as", "XAR/n1", "--json")
    (allowed,) = treaty.arden.done(*words, "--marking", RELEASABLE).records
    assert (allowed["permitted"], allowed["nodes"][0]["portions"]) == (True, [1])
    refused = treaty.arden.run(*words, "--marking", TOO_HIGH)
    assert refused.code == 10
    assert refused.records[0]["refused_parties"] == ["XBO"]
    assert {one["clause_id"] for one in refused.records[0]["clauses"]} >= {"4"}
    offline = treaty.arden.run(*words, "--marking", TOO_HIGH, "--offline", "--broker", "127.0.0.1:1")
    assert [one["clause_id"] for one in offline.records[0]["clauses"]] == [
        one["clause_id"] for one in refused.records[0]["clauses"]
    ]
    assert before == len(treaty.arden.done("report", "list", "--as", "XAR/n1", "--limit", "1000", "--json").records)


def test_a_report_is_explained_from_the_log_by_both_sides(treaty):
    (sent,) = treaty.send("Explained.").records
    for machine, identity in ((treaty.arden, "XAR/liaison1"), (treaty.bohemund, "XBO/n1")):
        (why,) = machine.done("explain", sent["report_id"], "--as", identity, "--json").records
        assert (why["outcome"], why["log_index"]) == ("ADMITTED", sent["log_index"])
        assert why["recipients"][0]["portions"] == [1]
    shown = treaty.arden.done("explain", sent["report_id"], "--as", "XAR/n1").out
    assert "ADMITTED" in shown
    assert "accreditation level SECRET" in shown


def test_a_file_is_explained_with_every_clause_that_refuses_it(treaty, tmp_path):
    path = tmp_path / "report.txt"
    path.write_text("x")
    shown = treaty.arden.done("explain", str(path), *ABOUT, "--marking", "SECRET//NOFORN", "--as", "XAR/n1").out
    for words in ("Why not:", "it means:", "it says:", "remedy:"):
        assert words in shown


def test_a_report_that_nobody_knows_is_exit_code_twelve(treaty):
    unknown = str(UUID(int=7, version=4))
    for command in ("show", "replay", "confirm"):
        assert treaty.arden.run("report", command, unknown, "--as", "XAR/n1").code == 12
    assert treaty.arden.run("explain", unknown, "--as", "XAR/n1").code == 12


@pytest.mark.parametrize(
    ("more", "code", "error"),
    [
        (("--marking", "SECRET//REL TO XBO"), 14, "MALFORMED"),
        (("--marking", "SEKRET//REL TO XAR, XBO"), 14, "MALFORMED"),
        (("--marking", RELEASABLE, "--precedence", "soon"), 14, "MALFORMED"),
        (("--marking", RELEASABLE, "--purpose", "curiosity"), 10, "POLICY_DENIED"),
        (("--marking", RELEASABLE, "--category", "drug-trafficking"), 10, "POLICY_DENIED"),
        (("--marking", RELEASABLE, "--precedence", "flash"), 10, "POLICY_DENIED"),
        (("--marking", RELEASABLE, "--expires-at", "2020-01-01"), 14, "MALFORMED"),
        (("--marking", RELEASABLE, "--expires-at", "soon"), 2, "USAGE"),
        (("--marking", RELEASABLE, "--agreement", "XAR-XBO-9"), 12, "AGREEMENT_UNKNOWN"),
        (("--marking", RELEASABLE, "--broker", "127.0.0.1:1"), 17, "UNREACHABLE"),
    ],
)
def test_a_report_that_cannot_go_is_one_clear_line_and_the_exit_code_of_the_design(treaty, tmp_path, more, code, error):
    path = tmp_path / "report.txt"
    path.write_text("x")
    ran = treaty.arden.run("send", str(path), *ABOUT, "--as", "XAR/n1", "--json", *more)
    assert (ran.code, ran.error["code"]) == (code, error)
    assert ran.error["message"]
    people = treaty.arden.run("send", str(path), *ABOUT, "--as", "XAR/n1", *more)
    assert people.err.startswith("comity: ")
    assert "Traceback" not in people.err


def test_a_file_in_the_way_stops_the_receiver_and_loses_nothing(treaty, tmp_path):
    (sent,) = treaty.send("In the way.").records
    inbox = tmp_path / "in"
    inbox.mkdir()
    (inbox / f"{sent['report_id']}-1.txt").write_text("mine")
    words = ("receive", "--into", str(inbox), "--as", "XBO/n1", "--purpose", "counter-terrorism", "--json")
    ran = treaty.bohemund.run(*words)
    assert (ran.code, ran.error["code"]) == (13, "FILE_EXISTS")
    assert (inbox / f"{sent['report_id']}-1.txt").read_text() == "mine"
    (inbox / f"{sent['report_id']}-1.txt").unlink()
    found = until(
        lambda: [one for one in treaty.receive(inbox) if one["report_id"] == sent["report_id"]], "it comes again"
    )
    assert [one["attempt"] for one in found] == [2]
    assert (inbox / f"{sent['report_id']}-1.txt").read_text() == "In the way."


# --- suspension -----------------------------------------------------------------------------------------------------


def test_what_a_suspension_held_is_confirmed_or_withdrawn_by_its_originator(treaty, tmp_path):
    treaty.receive(tmp_path / "before")
    sent = [treaty.send(text).records[0]["report_id"] for text in ("go", "stay")]
    treaty.arden.done("agreement", "suspend", AGREEMENT, "--reason", "consultations", "--as", "XAR/liaison1")
    assert treaty.receive(tmp_path / "during") == []
    treaty.send("refused", code=10)
    held = treaty.arden.done("report", "list", "--state", "held", "--as", "XAR/n1", "--json").records
    assert {one["report_id"] for one in held} == set(sent)
    (resumed,) = treaty.arden.done("agreement", "resume", AGREEMENT, "--as", "XAR/liaison1", "--json").records
    assert resumed["phase"] == "IN_FORCE"
    assert treaty.bohemund.run("report", "confirm", sent[0], "--as", "XBO/n1").code in {11, 12, 13}
    treaty.arden.done("report", "confirm", sent[0], "--as", "XAR/n1")
    treaty.arden.done("report", "withdraw", sent[1], "--as", "XAR/n1")
    assert {one["report_id"] for one in treaty.receive(tmp_path / "after")} == {sent[0]}
    (row,) = treaty.arden.done("report", "show", sent[1], "--as", "XAR/n1", "--json").records
    assert [one["state"] for one in row["consumers"]] == ["WITHDRAWN"]


def test_a_party_resumes_only_what_it_suspended(treaty):
    treaty.bohemund.done(
        *("agreement", "suspend", AGREEMENT, "--clause", "3.2", "--reason", "a leak", "--as", "XBO/liaison1")
    )
    ran = treaty.arden.run("agreement", "resume", AGREEMENT, "--clause", "3.2", "--as", "XAR/liaison1", "--json")
    assert (ran.code, ran.error["code"]) == (13, "TRANSITION_NOT_ALLOWED")
    assert "suspended: 3.2" in treaty.arden.done("agreement", "show", AGREEMENT, "--as", "XAR/n1").out
    treaty.bohemund.done("agreement", "resume", AGREEMENT, "--clause", "3.2", "--as", "XBO/liaison1")


# --- audit ----------------------------------------------------------------------------------------------------------


def test_the_log_is_followed_entry_by_entry(treaty):
    entries = treaty.arden.done("audit", "tail", AGREEMENT, "--first", "0", "--as", "XAR/auditor1", "--json").records
    assert [one["log_index"] for one in entries] == list(range(len(entries)))
    kinds = {one["kind"] for one in entries}
    assert {"LOG_OPENED", "AGREEMENT_PROPOSED", "AGREEMENT_SIGNED", "SUBMIT_ACCEPTED", "ACKNOWLEDGED"} <= kinds
    shown = treaty.arden.done("audit", "tail", AGREEMENT, "--as", "XAR/auditor1").out
    assert re.search(r"^ +\d+ \d{4}-\d\d-\d\dT[\d:.]+Z ", shown, re.MULTILINE)
    keys = treaty.arden.done("audit", "tail", "--keys", "--as", "XAR/auditor1", "--json").records
    assert any("node-bundle of XBO/n1" in line for line in treaty.arden.done("audit", "tail", "--keys", "--first", "0", "--as", "XAR/auditor1").out.splitlines())  # fmt: skip
    assert {one["kind"] for one in keys} >= {"KEY_ENROLLED"}


def test_each_sides_auditor_verifies_the_log_from_a_folder(treaty, tmp_path):
    treaty.send("Audited.")
    treaty.receive(tmp_path / "in")
    for code, machine in (("XAR", treaty.arden), ("XBO", treaty.bohemund)):
        bundle = tmp_path / code
        machine.done("audit", "bundle", AGREEMENT, "--into", str(bundle), "--as", f"{code}/auditor1")
        ran = machine.run("audit", "verify", str(bundle), "--party", code, "--json")
        assert ran.code == 0, ran.records
        assert (ran.records[0]["verdict"], ran.records[0]["findings"]) == ("PASS", []), ran.records
        replayed = machine.done("audit", "replay", str(bundle), "--json").records[-1]["counts"]
        assert replayed["decisions identical"] > 0
        assert (replayed["decisions different"], replayed["decisions not replayed"]) == (0, 0)
        of_mirror = machine.done("audit", "replay", "--agreement", AGREEMENT, "--as", f"{code}/auditor1", "--json")
        assert of_mirror.records[-1]["counts"] == replayed
        assert machine.run("audit", "bundle", AGREEMENT, "--into", str(bundle), "--as", f"{code}/auditor1").code == 13
        assert not [path for path in bundle.rglob("*") if path.is_file() and b"Audited." in path.read_bytes()]


def test_a_bundle_of_other_roots_or_a_shrunk_log_does_not_verify(treaty, tmp_path):
    bundle = tmp_path / "bundle"
    treaty.arden.done("audit", "bundle", AGREEMENT, "--into", str(bundle), "--as", "XAR/auditor1")
    other = f"XBO=sha384:{'0' * 96}"
    ran = treaty.arden.run("audit", "verify", str(bundle), "--party", "XAR", "--root", other, "--json")
    assert (ran.code, ran.error["code"]) == (15, "VERIFICATION_FAILED")
    assert "ROOTS" in {one["code"].upper() for one in ran.records[0]["findings"]}
    newer = next(bundle.glob("logs/*/agreement/*/*/checkpoint"))
    treaty.send("Later.")
    later = tmp_path / "later"
    treaty.arden.done("audit", "bundle", AGREEMENT, "--into", str(later), "--as", "XAR/auditor1")
    treaty.arden.done("audit", "verify", str(later), "--party", "XAR", "--since", str(newer))
    newest = next(later.glob("logs/*/agreement/*/*/checkpoint"))
    shrunk = treaty.arden.run("audit", "verify", str(bundle), "--party", "XAR", "--since", str(newest), "--json")
    assert shrunk.code == 15


# --- keys -----------------------------------------------------------------------------------------------------------


def test_a_revoked_node_and_a_withdrawn_officer_are_out_at_once(treaty):
    arden = treaty.arden
    arden.done("node", "create", "XAR/n2", "--region", "xar", "--accreditation", "SECRET", "--accredited-by", "XAR/security1", *treaty.where)  # fmt: skip
    arden.done("node", "enrol", "XAR/n2")
    arden.done("agreement", "list", "--as", "XAR/n2")
    revoked = arden.done("node", "revoke", "XAR/n2", "--reason", "lost", "--as", "XAR/liaison1", "--json").records
    assert {one["role"] for one in revoked} == {"node-signing", "node-kem", "node-tls"}
    ran = arden.run("send", "-", *ABOUT, "--marking", RELEASABLE, "--as", "XAR/n2", "--json", stdin="x")
    assert (ran.code, ran.error["code"]) == (16, "CERTIFICATE_REVOKED")
    arden.done("officer", "create", "XAR/liaison2", *treaty.where)
    arden.done("officer", "accredit", "XAR/liaison2", "--role", "liaison", "--agreement", AGREEMENT)
    arden.done("agreement", "list", "--as", "XAR/liaison2")
    arden.done("officer", "withdraw", "XAR/liaison2", "--as", "XAR/liaison1")
    assert arden.run("agreement", "list", "--as", "XAR/liaison2").code in {11, 16}


def test_a_node_that_is_not_enrolled_may_do_nothing_but_enrol(treaty):
    treaty.arden.done("node", "create", "XAR/n3", "--region", "xar", *treaty.where)
    ran = treaty.arden.run("agreement", "list", "--as", "XAR/n3", "--json")
    assert (ran.code, ran.error["code"]) == (11, "NOT_ENROLLED")
    assert "enrol" in ran.error["what_to_do"]


def test_another_brokers_name_or_another_root_at_the_address_is_refused_in_the_handshake(treaty, tmp_path):
    stranger = Machine.made(tmp_path / "stranger")
    stranger.done(
        *("party", "create", "XDE", "--name", "Free State of Delor"),
        *("--trust-domain", "xde.example", "--jurisdiction", "XDE"),
    )
    card = treaty.folder / "XAR.card"
    stranger.done("party", "trust", str(card), "--yes")
    stranger.done("officer", "create", "XDE/liaison1", *treaty.where)
    ran = stranger.run("officer", "accredit", "XDE/liaison1", "--role", "liaison", "--json")
    assert ran.code in {16, 17}
    assert ran.error["what_to_do"]
    stranger.done("officer", "create", "XDE/liaison2", "--broker", treaty.broker.address, "--broker-name", "XAR/other")
    wrong = stranger.run("officer", "accredit", "XDE/liaison2", "--role", "liaison", "--json")
    assert (wrong.code, wrong.error["code"]) == (16, "UNAUTHENTICATED")


def test_json_lines_are_json_and_nothing_else(treaty):
    for words in (
        ("agreement", "list", "--as", "XAR/n1"),
        ("report", "list", "--as", "XAR/n1"),
        ("audit", "tail", AGREEMENT, "--as", "XAR/auditor1"),
        ("node", "list"),
        ("officer", "list"),
        ("party", "list"),
    ):
        ran = treaty.arden.done(*words, "--json")
        assert all(isinstance(json.loads(line), dict) for line in ran.out.splitlines())
        assert ran.err == ""
