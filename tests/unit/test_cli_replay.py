"""`comity audit replay`, and the replay inside `comity audit verify`: what people and programs read."""

import pytest

from builders_audit import good_audit
from builders_home import Machine
from comity.envelope.evidence import SlotCode


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    return Machine.made(tmp_path_factory.mktemp("arden"))


@pytest.fixture
def audit():
    return good_audit()


def facts(own):
    return own["attested"][own["decisions"][0]["recipients"][0]["facts"]]


def with_fact(audit, **fields):
    index = audit.find("SUBMIT_ACCEPTED")
    for party in ("XAR", "XBO"):
        own = audit.body(index, party)
        facts(own).update(fields)
        audit.change(index, party, **own)


def test_a_log_that_was_decided_as_it_says_is_replayed_and_exits_with_nothing(machine, audit, tmp_path):
    audit.write(tmp_path)
    assert "3 decisions identical." in machine.done("audit", "replay", str(tmp_path)).out
    entry, total = machine.done("audit", "replay", str(tmp_path), "--second", "every", "--json").records
    assert (entry["identical"], entry["different"], entry["not_replayed"]) == ([0, 1, 2], [], [])
    assert total["counts"]["decisions identical"] == 3


def test_a_fact_that_gives_another_answer_is_named_and_exit_code_fifteen(machine, audit, tmp_path):
    with_fact(audit, valid=False)
    audit.write(tmp_path)
    ran = machine.run("audit", "replay", str(tmp_path), "--json")
    assert (ran.code, ran.error["code"]) == (15, "VERIFICATION_FAILED")
    (first, *_) = ran.records[0]["different"]
    assert first["differences"][0]["what"] == "fact"
    assert "baseline/node is violated" in first["differences"][0]["message"]
    shown = machine.run("audit", "replay", str(tmp_path))
    assert "entry 8, slot 0, 1, 2: fact: XBO/m1, portion 1: clause baseline/node" in " ".join(shown.out.split())


def test_verify_replays_every_decision_and_fails_where_one_differs(machine, audit, tmp_path):
    audit.write(tmp_path / "good")
    ran = machine.done("audit", "verify", str(tmp_path / "good"))
    assert ran.out.splitlines()[-1] == "PASS"
    assert "3 decisions identical" in ran.out
    with_fact(audit, valid=False)
    audit.write(tmp_path / "bad")
    ran = machine.run("audit", "verify", str(tmp_path / "bad"), "--json")
    assert ran.code == 15
    (record,) = ran.records
    assert (record["verdict"], {one["code"] for one in record["findings"]}) == ("FAIL", {"REPLAY"})


def test_a_record_that_does_not_read_is_a_finding_of_verify_and_an_error_of_replay(machine, audit, tmp_path):
    index = audit.find("SUBMIT_ACCEPTED")
    for party in ("XAR", "XBO"):
        own = audit.body(index, party)
        own["decisions"][0]["moment"]["sender_roles"] = ["emperor"]
        audit.change(index, party, **own)
    audit.write(tmp_path)
    ran = machine.run("audit", "replay", str(tmp_path), "--json")
    assert (ran.code, ran.error["code"]) == (15, "VERIFICATION_FAILED")
    assert "entry 8: 'emperor' is no role" in ran.error["message"]
    ran = machine.run("audit", "verify", str(tmp_path), "--json")
    assert [one["code"] for one in ran.records[0]["findings"]] == ["REPLAY"]


def test_a_draft_says_what_it_would_have_changed_and_by_which_clause(machine, audit, tmp_path):
    audit.write(tmp_path)
    (text,) = (tmp_path / "agreements").glob("*.toml")
    draft = tmp_path / "draft.toml"
    draft.write_text(text.read_text().replace('level = "SECRET"', 'level = "CONFIDENTIAL"'))
    ran = machine.done("audit", "replay", str(tmp_path), "--with", str(draft))
    assert "entry 8, slot 0, portion 1 to XBO/m1: would be refused by 4" in ran.out
    assert ran.out.splitlines()[-1].strip() == "3 refused, now by 4"
    same = machine.done("audit", "replay", str(tmp_path), "--with", str(text), "--json").records[-1]
    assert (same["counts"]["portions that would be refused"], same["counts"]["portions that would be permitted"]) == (
        0,
        0,
    )


def test_a_bundle_that_is_not_whole_is_to_be_verified_first(machine, audit, tmp_path):
    audit.write(tmp_path)
    next(tmp_path.glob("logs/**/agreement/**/checkpoint")).write_bytes(b"nothing")
    ran = machine.run("audit", "replay", str(tmp_path), "--json")
    assert (ran.code, ran.error["what_to_do"]) == (15, f"comity audit verify {tmp_path}")


def test_a_manifest_that_is_another_than_its_record_names_is_refused(machine, audit, tmp_path):
    index = audit.find("SUBMIT_ACCEPTED")
    other = good_audit()
    other.submit(1)
    audit.change(index, segment_id=other.body(len(other.events) - 1)["segment_id"])
    audit.envelopes = other.envelopes
    audit.write(tmp_path)
    ran = machine.run("audit", "replay", str(tmp_path), "--json")
    assert ran.code == 15
    assert "the manifest of slot 0 is not the one its record names" in ran.error["message"]


def test_reports_without_their_manifests_are_gaps_of_a_verification(machine, audit, tmp_path):
    sent = audit.submit(2)
    audit.envelopes = [one for one in audit.envelopes if one not in sent.envelopes]
    audit.write(tmp_path)
    ran = machine.done("audit", "verify", str(tmp_path), "--json")
    assert ran.records[0]["verdict"] == "PASS_WITH_GAPS"
    assert ran.records[0]["counts"]["decisions not replayed"] == 2
    (gap,) = ran.records[0]["findings"]
    assert (gap["code"], gap["log_index"]) == ("REPLAY_GAP", len(audit.events) - 1)
    assert gap["message"] == "manifest: its signed manifest was not presented (2 reports)"


def test_a_replay_of_what_was_not_all_presented_says_what_is_missing_and_exits_with_twelve(machine, audit, tmp_path):
    sent = audit.submit(2)
    audit.envelopes = [one for one in audit.envelopes if one not in sent.envelopes]
    audit.write(tmp_path)
    ran = machine.run("audit", "replay", str(tmp_path), "--json")
    assert (ran.code, ran.error["code"]) == (12, "FILE_UNKNOWN")
    assert ran.records[0]["gaps"] == []
    assert ran.records[1]["gaps"] == [f"entry {len(audit.events) - 1}, slot 0, 1: manifest: its signed manifest"]
    counts = {what: count for what, count in ran.records[2]["counts"].items() if count}
    assert counts == {"decisions identical": 3, "decisions not replayed": 2}
    shown = machine.run("audit", "replay", str(tmp_path))
    assert "not presented: entry" in shown.out


def test_a_report_that_became_of_something_else_than_its_decision_says_is_named(machine, audit, tmp_path):
    audit.submit(2, refused={1: SlotCode.POLICY})
    audit.write(tmp_path)
    ran = machine.run("audit", "replay", str(tmp_path), "--json")
    assert ran.code == 15
    (one,) = ran.records[1]["different"]
    assert one["slot"] == 1
    assert one["differences"][0]["what"] == "outcome"
    assert "refused by policy, and its decision permits something" in one["differences"][0]["message"]


def test_one_log_is_named(machine, tmp_path):
    assert machine.run("audit", "replay").code == 2
    assert machine.run("audit", "replay", str(tmp_path), "--agreement", "XAR-XBO-1").code == 2
    assert machine.run("audit", "replay", str(tmp_path), "--exercise").code == 2
    assert machine.run("audit", "replay", str(tmp_path / "none")).code == 12
