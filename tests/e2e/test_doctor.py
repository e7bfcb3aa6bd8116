"""`comity doctor`: a well installation, the way to a partner, and what it says and returns where something is wrong."""

import pytest

from builders_home import Machine
from builders_world import AGREEMENT, parties, running, sign
from processes import until


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with running(parties(tmp_path_factory.mktemp("doctor"))) as made:
        sign(made)
        yield made


def examined(machine: Machine, *words: str, code: int = 0, name: str = "XAR/n1"):
    """Examine; give the findings by check."""
    ran = machine.run("doctor", "--as", name, "--json", *words)
    assert ran.code == code, ran.out + ran.err
    return {one["check"]: one for one in ran.records}


def standings(found):
    return {check: one["standing"] for check, one in found.items()}


def test_a_well_installation_is_well_for_nodes_and_officers(world):
    for name in ("XAR/n1", "XAR/liaison1"):
        found = examined(world.arden, name=name)
        assert list(found) == [
            *("files", "disk", "keys", "certificate", "tls", "broker", "clock", "mirror", "listed", "alarms")
        ]
        assert set(standings(found).values()) == {"ok"}, found
        assert found["tls"]["found"] == "TLS 1.3, X25519MLKEM768"
    shown = world.arden.done("doctor", "--as", "XAR/n1").out
    assert "ok   tls          TLS 1.3, X25519MLKEM768" in shown


def test_the_way_to_a_partner_is_examined_end_to_end(world, tmp_path):
    fresh = examined(world.arden, "--peer", "XBO")
    never = {check for check, one in fresh.items() if one["standing"] == "warn"}
    assert never == {"delivered", "acknowledged"}
    assert "would go to XBO/n1" in fresh["preview"]["found"]
    assert "XBO/n1 in xbo, accredited to SECRET" in fresh["nodes"]["found"]
    assert f"{AGREEMENT} sets no floor: XAR/n1 comity " in fresh["capabilities"]["found"]
    assert "XBO/n1 comity " in fresh["capabilities"]["found"]
    world.send("Two boats.")
    world.receive(tmp_path / "in")

    def seen():
        found = examined(world.arden, "--peer", "XBO", "--agreement", AGREEMENT)
        return found["acknowledged"]["standing"] == "ok" and found

    found = until(seen, "the acknowledgement in Arden's mirror")
    assert set(standings(found).values()) == {"ok"}, found
    assert "last a report was acknowledged by XBO/n1" in found["acknowledged"]["found"]


def test_what_nodes_state_that_they_can_is_shown_from_the_own_mirror(world):
    examined(world.arden)
    shown = {one["node"]: one for one in world.arden.done("node", "capabilities", "--as", "XAR/n1", "--json").records}
    assert {"XAR/n1", "XBO/n1"} <= set(shown)
    partners = shown["XBO/n1"]
    assert (partners["stated"], partners["wire"], partners["suites"], partners["number"]) == (True, [1], [1], 1)
    assert {"destruction-certificate", "use", "read"} <= set(partners["obligations"])
    assert [*(one["node"] for one in _of(world, "XBO"))] == ["XBO/n1"]
    assert _of(world, "XDE") == []
    assert world.arden.run("node", "capabilities", "xbo", "--as", "XAR/n1").code == 14


def _of(world, party):
    return world.arden.done("node", "capabilities", party, "--as", "XAR/n1", "--json").records


def test_an_unknown_partner_or_agreement_is_not_found(world):
    found = examined(world.arden, "--peer", "XDE", code=16)
    assert standings(found)["card"] == standings(found)["agreement"] == "fail"
    found = examined(world.arden, "--peer", "XBO", "--agreement", "XAR-XBO-9", code=12)
    assert found["agreement"]["code"] == "AGREEMENT_UNKNOWN"
    assert world.arden.run("doctor", "--as", "XAR/n1", "--agreement", AGREEMENT).code == 2
    assert world.arden.run("doctor", "--as", "XAR/liaison1", "--peer", "XBO").code == 2


def test_key_files_that_others_may_read_are_found_before_anything_is_opened(world):
    keys = world.arden.home.locate("XAR/n1").keys
    (file, *_) = sorted(keys.glob("*.key"))
    file.chmod(0o644)
    try:
        found = examined(world.arden, code=16)
        assert (found["files"]["standing"], found["files"]["code"]) == ("fail", "KEY_FILE_UNSAFE")
        assert "what_to_do" in found["files"]
        assert "keys" not in found
    finally:
        file.chmod(0o600)


def test_a_suspended_agreement_and_a_broker_that_is_away_have_their_exit_codes(world):
    world.bohemund.done("agreement", "suspend", AGREEMENT, "--reason", "a test", "--as", "XBO/minister1")
    found = until(lambda: _suspended(world), "the suspension in Arden's mirror")
    assert found["agreement"]["code"] == "AGREEMENT_NOT_IN_FORCE"
    assert found["preview"]["standing"] == "fail"
    away = examined(world.arden, "--peer", "XBO", "--broker", "127.0.0.1:1", code=17)
    assert standings(away) == {"files": "ok", "disk": "ok", "keys": "ok", "certificate": "ok", "broker": "fail"}


def _suspended(world):
    ran = world.arden.run("doctor", "--as", "XAR/n1", "--json", "--peer", "XBO")
    return ran.code == 10 and {one["check"]: one for one in ran.records}
