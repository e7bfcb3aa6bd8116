"""Keys change while everything runs: a node's, a party's directory key, a broker's certificate. Nothing on its way is lost."""

import asyncio
import ssl
from pathlib import Path

import pytest

import comity
from builders_world import AGREEMENT, RELEASABLE, World, parties, running, sign
from comity.errors import UnreachableError
from comity.identity.certificates import read_leaf
from comity.keys.files import listed_keys
from comity.keys.tls import from_pem
from processes import COMITY, Process, ending, environment, start, start_broker, until


@pytest.fixture(scope="module")
def treaty(tmp_path_factory):
    with running(parties(tmp_path_factory.mktemp("world"))) as world:
        sign(world)
        yield world


def fingerprints(record: dict, *roles: str) -> set[str]:
    return {key["fingerprint"] for key in record["keys"] if key["role"] in roles}


def shown(world: World, code: str) -> dict:
    machine = world.arden if code == "XAR" else world.bohemund
    (record,) = machine.done("node", "show", f"{code}/n1", "--json").records
    return record


def following(world: World, into) -> Process:
    """Receive as XBO/n1 in a process of its own, until it is stopped."""
    words = [
        COMITY,
        "receive",
        "--into",
        into,
        "--as",
        "XBO/n1",
        "--purpose",
        "counter-terrorism",
        "--follow",
        "--json",
    ]
    machine = world.bohemund
    return start(words, "following", into.parent, environment(machine.path, machine.passphrase_file))


def received(process: Process) -> set[str]:
    return {one["report_id"] for one in process.records if "report_id" in one}


# --- nodes ----------------------------------------------------------------------------------------------------------


def test_reports_go_on_over_a_rotation_of_either_side_and_what_waited_still_opens(treaty, tmp_path):
    before = {code: shown(treaty, code) for code in ("XAR", "XBO")}
    (waiting,) = treaty.send("Sealed to the old key.").records
    for machine, code in ((treaty.bohemund, "XBO"), (treaty.arden, "XAR")):
        (rotated,) = machine.done("node", "rotate", f"{code}/n1", "--json").records
        assert rotated["sequence"] == before[code]["sequence"] + 1
        changed = ("node-signing", "node-kem")
        assert not fingerprints(rotated, *changed) & fingerprints(before[code], *changed)
        assert rotated["accreditation"]["level"] == "SECRET"
    (later,) = treaty.send("Sealed to the new key.").records
    (row,) = treaty.arden.done("report", "show", later["report_id"], "--as", "XAR/n1", "--json").records
    assert row["report_id"] == later["report_id"]
    got = [one["report_id"] for one in treaty.receive(tmp_path / "in")]
    assert got == [waiting["report_id"], later["report_id"]]


def test_a_receiver_that_runs_opens_what_is_sealed_to_the_new_key(treaty, tmp_path):
    with ending(following(treaty, tmp_path / "in")) as (receiver,):
        (first,) = treaty.send("Before.").records
        receiver.wait_for(lambda: first["report_id"] in received(receiver), "the report before the rotation")
        treaty.bohemund.done("node", "rotate", "XBO/n1")
        (second,) = treaty.send("After.").records
        receiver.wait_for(lambda: second["report_id"] in received(receiver), "the report after the rotation")
        assert receiver.stop() == 0
    treaty.arden.done("agreement", "list", "--as", "XAR/n1")


async def sent_into_nothing(world: World) -> None:
    """Seal and store a report as XAR/n1 while the broker dies: it stays in the outbox, under the old key."""
    machine = world.arden
    async with comity.connect(
        identity="XAR/n1", home=machine.path, passphrase_file=machine.passphrase_file, patience_seconds=1.0
    ) as node:
        world.broker.kill()
        report = comity.Report.text(
            "Nobody took it yet.", marking=RELEASABLE, categories=["terrorism"], purpose="counter-terrorism"
        )
        with pytest.raises(UnreachableError):
            await node.send(report, agreement=AGREEMENT)


def test_an_outbox_that_waits_is_sent_before_its_keys_change_and_a_try_without_a_broker_leaves_no_trace(
    treaty, tmp_path
):
    machine, before = treaty.arden, shown(treaty, "XAR")
    asyncio.run(sent_into_nothing(treaty))
    assert machine.run("node", "rotate", "XAR/n1", "--json").code == 17
    made = listed_keys(machine.home.locate("XAR/n1").keys)
    treaty.broker = start_broker(
        treaty.folder / "broker",
        folder=tmp_path,
        passphrase_file=machine.passphrase_file,
        listen=treaty.broker.address,
        name="broker-again",
    )
    machine.done("node", "rotate", "XAR/n1")
    after = shown(treaty, "XAR")
    assert after["sequence"] == before["sequence"] + 1
    # The second try took the keys that the first one made.
    assert listed_keys(machine.home.locate("XAR/n1").keys) == made
    (got,) = treaty.receive(tmp_path / "in")
    assert (tmp_path / "in" / got["portions"][0]["file"]).read_text() == "Nobody took it yet."


def test_keys_are_not_changed_under_a_process_that_sends(treaty):
    machine, before = treaty.arden, shown(treaty, "XAR")

    async def rotated_meanwhile() -> int:
        async with comity.connect(
            identity="XAR/n1", home=machine.path, passphrase_file=machine.passphrase_file
        ) as node:
            await node.settle()
            words = [COMITY, "node", "rotate", "XAR/n1", "--json"]
            environ = environment(machine.path, machine.passphrase_file)
            rotating = start(words, "rotating", treaty.folder, environ)
            return await asyncio.to_thread(rotating.done, 13)

    assert asyncio.run(rotated_meanwhile()) == 13
    assert shown(treaty, "XAR")["sequence"] == before["sequence"]
    machine.done("node", "rotate", "XAR/n1")
    assert shown(treaty, "XAR")["sequence"] == before["sequence"] + 1


def test_ages_are_told_by_list_and_show(treaty):
    assert "since" in treaty.arden.done("node", "show", "XAR/n1").out
    table = treaty.arden.done("node", "list").out
    assert "KEYS" in table
    assert "0 days" in table
    record = shown(treaty, "XAR")
    assert all(key["created_at"] for key in record["keys"])
    assert record["older_keys"] >= 2


def test_a_node_whose_key_was_revoked_comes_back_with_fresh_keys(treaty):
    arden = treaty.arden
    arden.done(*("node", "create", "XAR/n2", "--region", "xar", "--accreditation", "SECRET"),
               *("--accredited-by", "XAR/security1", *treaty.where))  # fmt: skip
    arden.done("node", "enrol", "XAR/n2")
    arden.done("node", "revoke", "XAR/n2", "--reason", "laptop lost", "--as", "XAR/liaison1")
    refused = arden.run("node", "rotate", "XAR/n2", "--json")
    assert refused.code == 16, refused.err
    assert "--fresh" in refused.error["what_to_do"]
    (back,) = arden.done("node", "rotate", "XAR/n2", "--fresh", "--json").records
    assert len(fingerprints(back, "node-tls")) == 1
    arden.done("agreement", "list", "--as", "XAR/n2")


def again(world: World, folder: Path, name: str) -> None:
    """Start the broker again where it was."""
    world.broker = start_broker(
        world.folder / "broker",
        folder=folder,
        passphrase_file=world.arden.passphrase_file,
        listen=world.broker.address,
        name=name,
    )


def enrolled(world: World, name: str) -> None:
    """Make and enrol a node of Arden's."""
    world.arden.done(*("node", "create", name, "--region", "xar", "--accreditation", "SECRET"),
                     *("--accredited-by", "XAR/security1", *world.where))  # fmt: skip
    world.arden.done("node", "enrol", name)


def test_a_request_slipped_in_at_the_party_takes_over_no_healthy_node(treaty, tmp_path):
    arden, thief, issued = treaty.arden, treaty.arden.made(tmp_path / "thief"), tmp_path / "issued.json"
    enrolled(treaty, "XAR/n5")
    thief.done("party", "trust", str(treaty.folder / "XAR.card"), "--yes")
    (made,) = thief.done("node", "create", "XAR/n5", "--region", "xar", *treaty.where, "--json").records
    told = arden.done("node", "rotate", "XAR/n5", "--request", made["request"], "--into", str(issued))
    assert "no TLS key of the newest bundle" in told.err
    refused = thief.run("node", "enrol", "XAR/n5", "--issued", str(issued), "--json")
    assert (refused.code, refused.error["code"]) == (11, "NOT_ENROLLED")
    arden.done("agreement", "list", "--as", "XAR/n5")
    arden.done("node", "rotate", "XAR/n5")


def test_fresh_keys_of_a_healthy_node_are_refused_and_it_stays_as_it_was(treaty):
    arden = treaty.arden
    enrolled(treaty, "XAR/n6")
    refused = arden.run("node", "rotate", "XAR/n6", "--fresh", "--json")
    assert (refused.code, refused.error["code"]) == (11, "NOT_ENROLLED")
    assert "node revoke" in refused.error["what_to_do"]
    arden.done("agreement", "list", "--as", "XAR/n6")
    (rotated,) = arden.done("node", "rotate", "XAR/n6", "--json").records
    assert len(fingerprints(rotated, "node-tls")) == 2


def test_a_node_is_out_though_its_newest_keys_never_got_to_the_broker(treaty, tmp_path):
    arden = treaty.arden
    enrolled(treaty, "XAR/n7")
    treaty.broker.kill()
    assert arden.run("node", "rotate", "XAR/n7").code == 17
    again(treaty, tmp_path, "broker-revoking")
    told = arden.done("node", "revoke", "XAR/n7", "--reason", "lost", "--as", "XAR/liaison1", "--json").records
    assert {one["role"] for one in told if "log_index" in one} == {"node-kem", "node-signing", "node-tls"}
    assert {one["code"] for one in told if "log_index" not in one} == {"KEY_UNKNOWN"}
    assert arden.run("agreement", "list", "--as", "XAR/n7").code == 16
    twice = arden.run("node", "revoke", "XAR/n7", "--reason", "lost", "--as", "XAR/liaison1", "--json")
    assert twice.error["code"] in {"KEY_UNKNOWN", "KEY_REVOKED"}
    assert all("log_index" not in one for one in twice.records)


def test_a_fresh_start_sends_what_can_be_sent_and_loses_the_rest_only_when_told_to(treaty, tmp_path):
    arden = treaty.arden
    asyncio.run(sent_into_nothing(treaty))
    again(treaty, tmp_path, "broker-fresh")
    # The keys count: what is stored is sent, whatever becomes of the rotation.
    assert arden.run("node", "rotate", "XAR/n1", "--fresh").code == 11
    (got,) = treaty.receive(tmp_path / "in")
    assert (tmp_path / "in" / got["portions"][0]["file"]).read_text() == "Nobody took it yet."

    asyncio.run(sent_into_nothing(treaty))
    again(treaty, tmp_path, "broker-lost")
    arden.done("node", "revoke", "XAR/n1", "--reason", "stolen", "--as", "XAR/liaison1")
    refused = arden.run("node", "rotate", "XAR/n1", "--fresh", "--json")
    assert refused.code == 2, refused.err
    assert "1 of the reports" in refused.error["message"]
    assert "--lose-outbox" in refused.error["what_to_do"]
    (back,) = arden.done("node", "rotate", "XAR/n1", "--lose-outbox", "--json").records
    assert back["lost"] == 1

    (sent,) = treaty.send("After the loss.").records
    assert [one["report_id"] for one in treaty.receive(tmp_path / "later")] == [sent["report_id"]]
    told = arden.done("report", "list", "--as", "XAR/n1", "--json").err
    assert "NOT_TAKEN" in told


def test_a_party_machine_without_a_network_issues_a_rotation_as_files(treaty, tmp_path):
    keys, field = treaty.bohemund, treaty.arden.made(tmp_path / "field")
    field.done("party", "trust", str(treaty.folder / "XBO.card"), "--yes")
    field.done("party", "trust", str(treaty.folder / "XAR.card"), "--yes")
    asked, issued = tmp_path / "asked.json", tmp_path / "issued.json"
    (made,) = field.done("node", "create", "XBO/n3", "--region", "xbo", *treaty.where, "--json").records
    keys.done(*("node", "create", "XBO/n3", "--request", made["request"], "--into", str(issued)),
              *("--accreditation", "SECRET", "--accredited-by", "XBO/security1"))  # fmt: skip
    field.done("node", "enrol", "XBO/n3", "--issued", str(issued))
    (begun,) = field.done("node", "rotate", "XBO/n3", "--json").records
    asked.write_bytes(Path(begun["request"]).read_bytes())
    keys.done("node", "rotate", "XBO/n3", "--request", str(asked), "--into", str(issued))
    (done,) = field.done("node", "rotate", "XBO/n3", "--issued", str(issued), "--json").records
    assert (done["sequence"], done["accreditation"]["level"]) == (2, "SECRET")
    field.done("agreement", "list", "--as", "XBO/n3")


def test_a_party_machine_without_a_network_revokes_and_withdraws_as_files(treaty, tmp_path):
    keys, desk = treaty.arden, treaty.arden
    revoked, withdrawn = tmp_path / "revoked.json", tmp_path / "withdrawn.json"
    keys.done("node", "create", "XAR/n4", "--region", "xar", *treaty.where)
    keys.done("node", "enrol", "XAR/n4")
    keys.done("officer", "create", "XAR/leaving1", *treaty.where)
    keys.done("officer", "accredit", "XAR/leaving1", "--role", "liaison")

    (signed,) = keys.done("node", "revoke", "XAR/n4", "--reason", "lost", "--into", str(revoked), "--json").records
    keys.done("officer", "withdraw", "XAR/leaving1", "--into", str(withdrawn))
    assert signed["statements"] == 3
    # Signed is not published.
    desk.done("agreement", "list", "--as", "XAR/n4")
    desk.done("agreement", "list", "--as", "XAR/leaving1")

    entries = desk.done("node", "revoke", "XAR/n4", "--issued", str(revoked), "--as", "XAR/liaison1", "--json").records
    assert len({one["log_index"] for one in entries}) == 3
    desk.done("officer", "withdraw", "XAR/leaving1", "--issued", str(withdrawn), "--as", "XAR/liaison1")
    assert desk.run("agreement", "list", "--as", "XAR/n4").code == 16
    assert desk.run("agreement", "list", "--as", "XAR/leaving1").code in {11, 16}
    again = desk.done("node", "revoke", "XAR/n4", "--issued", str(revoked), "--as", "XAR/liaison1", "--json").records
    assert [one["log_index"] for one in again] == [one["log_index"] for one in entries]
    assert desk.run("node", "revoke", "XAR/n4", "--issued", str(withdrawn), "--as", "XAR/liaison1").code in {2, 14}


# --- the party and its broker ---------------------------------------------------------------------------------------


def shown_certificate(world: World) -> bytes:
    """Give the certificate that the broker shows in a handshake now, DER; nobody is asked to trust it."""
    host, _, port = world.broker.address.rpartition(":")
    return ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate((host, int(port))))


def test_a_party_and_its_broker_are_renewed_while_everything_runs(treaty, tmp_path):
    arden, bohemund, data = treaty.arden, treaty.bohemund, treaty.folder / "broker"
    before = shown_certificate(treaty)
    (facts,) = arden.done("party", "show", "XAR", "--json").records
    (renewed,) = arden.done("party", "renew", "XAR", "--json").records
    assert renewed["words"] == facts["words"]
    assert renewed["directory_sequence"] == facts["directory_sequence"] + 1
    card = tmp_path / "XAR.card"
    arden.done("party", "export", "XAR", "--into", str(card))

    # Nobody compares words again: the root is the one that was compared. The certificate that is shown has a new issuer.
    bohemund.done("party", "trust", str(card))
    arden.done("party", "trust", str(card), "--data", str(data))
    (broker,) = arden.done("broker", "init", "--renew", "--data", str(data), "--json").records
    after = until(lambda: (now := shown_certificate(treaty)) != before and now, "the new certificate")
    assert read_leaf(after).spki == read_leaf(before).spki
    assert after == from_pem((data / "certificate.pem").read_bytes())
    assert broker["identity"] == "XAR/hub"

    # The log names the new directory key, and takes what it signed.
    treaty.broker.wait_for(lambda: b"statement_taken" in treaty.broker.log.read_bytes(), "the new directory key")
    arden.done("node", "rotate", "XAR/n1")
    (sent,) = treaty.send("Under the new authority.").records
    assert sent["report_id"] in {one["report_id"] for one in treaty.receive(tmp_path / "in")}
    arden.done("officer", "accredit", "XAR/liaison1", "--role", "liaison")
    assert treaty.broker.exit_code is None


def test_a_receiver_that_runs_goes_on_under_a_renewed_authority(treaty, tmp_path):
    arden, data, card = treaty.arden, treaty.folder / "broker", tmp_path / "XAR.card"
    with ending(following(treaty, tmp_path / "in")) as (receiver,):
        (first,) = treaty.send("Before.").records
        receiver.wait_for(lambda: first["report_id"] in received(receiver), "the report before the renewal")
        arden.done("party", "renew", "XAR")
        arden.done("party", "export", "XAR", "--into", str(card))
        treaty.bohemund.done("party", "trust", str(card))
        arden.done("party", "trust", str(card), "--data", str(data))
        arden.done("broker", "init", "--renew", "--data", str(data))
        # As at the age of a connection: the next one is shown the new certificate.
        treaty.broker.stop()
        again(treaty, tmp_path, "broker-renewed")
        (second,) = treaty.send("After.").records
        receiver.wait_for(lambda: second["report_id"] in received(receiver), "the report after the renewal")
        assert receiver.stop() == 0


def test_an_older_card_takes_no_newer_ones_place(treaty):
    old = treaty.folder / "XAR.card"
    ran = treaty.bohemund.run("party", "trust", str(old), "--json")
    assert (ran.code, ran.error["code"]) == (13, "SEQUENCE_STALE")


def test_a_broker_whose_party_keys_are_elsewhere_is_renewed_by_files(treaty, tmp_path):
    hub, keys, data = treaty.arden.made(tmp_path / "hub"), treaty.arden, treaty.folder / "broker"
    before, asked, issued = shown_certificate(treaty), tmp_path / "asked.json", tmp_path / "issued.json"
    hub.done("broker", "init", "--renew", "--data", str(data), "--into", str(asked))
    keys.done("broker", "init", "--issue", str(asked), "--into", str(issued))
    hub.done("broker", "init", "--install", str(issued), "--data", str(data))
    until(lambda: shown_certificate(treaty) != before, "the new certificate")
    treaty.arden.done("agreement", "list", "--as", "XAR/n1")


def test_a_certificate_of_another_key_is_not_shown_and_the_old_one_stays(treaty):
    before, path = shown_certificate(treaty), treaty.folder / "broker" / "certificate.pem"
    kept = path.read_bytes()
    path.write_bytes(treaty.arden.home.locate("XAR/n1").certificate_pem)
    assert shown_certificate(treaty) == before
    assert b"certificate_not_taken" in treaty.broker.log.read_bytes()
    path.write_bytes(kept)
    assert shown_certificate(treaty) == before
