"""`comity party`, `node` and `officer` without a broker: what is made, trusted and issued, and what is refused."""

import json

import pytest

from builders_home import Machine


@pytest.fixture(scope="module")
def arden(tmp_path_factory):
    machine = Machine.made(tmp_path_factory.mktemp("arden"))
    machine.done(
        *("party", "create", "XAR", "--name", "Republic of Arden"),
        *("--trust-domain", "xar.example", "--jurisdiction", "XAR"),
    )
    return machine


@pytest.fixture(scope="module")
def card(arden, tmp_path_factory):
    path = tmp_path_factory.mktemp("card") / "XAR.card"
    arden.done("party", "export", "XAR", "--into", str(path))
    return path


@pytest.fixture
def other(tmp_path):
    return Machine.made(tmp_path / "other")


def words(machine, code="XAR"):
    (facts,) = machine.done("party", "show", code, "--json").records
    return " ".join(facts["words"])


def test_a_party_is_shown_with_the_words_of_its_root(arden):
    shown = arden.done("party", "show", "XAR").out
    assert "Republic of Arden" in shown
    assert "sha384:" in shown
    assert " ".join(shown.split()).count(words(arden)) == 1


def test_a_card_is_trusted_with_the_words_that_were_read_aloud(arden, card, other):
    other.done("party", "trust", str(card), "--words", words(arden).upper())
    assert words(other) == words(arden)
    (listed,) = other.done("party", "list", "--json").records
    assert (listed["party"], listed["keys_here"]) == ("XAR", False)


def test_a_card_with_other_words_is_not_trusted(arden, card, other):
    first, second, *rest = words(arden).split()
    ran = other.run("party", "trust", str(card), "--words", " ".join([second, first, *rest]), "--json")
    assert (ran.code, ran.error["code"]) == (15, "VERIFICATION_FAILED")
    assert other.done("party", "list", "--json").records == []


def test_nobody_trusts_a_card_by_accident(card, other):
    ran = other.run("party", "trust", str(card))
    assert ran.code == 2
    assert "--words" in ran.err


def test_another_root_of_a_trusted_party_is_refused_whatever_is_said(card, other, tmp_path):
    forger = Machine.made(tmp_path / "forger")
    forger.done(
        *("party", "create", "XAR", "--name", "Republic of Arden"),
        *("--trust-domain", "xar.example", "--jurisdiction", "XAR"),
    )
    forged = tmp_path / "forged.card"
    forger.done("party", "export", "XAR", "--into", str(forged))
    other.done("party", "trust", str(card), "--yes")
    ran = other.run("party", "trust", str(forged), "--yes", "--json")
    assert (ran.code, ran.error["code"]) == (13, "FILE_EXISTS")


def test_a_card_goes_into_a_brokers_data_directory_with_data(card, other, tmp_path):
    other.done("party", "trust", str(card), "--yes", "--data", str(tmp_path / "data"))
    assert (tmp_path / "data" / "cards" / "XAR.card").read_bytes() == card.read_bytes()
    assert other.done("party", "list", "--json").records == []


def test_a_card_that_was_changed_is_refused(card, other, tmp_path):
    changed = tmp_path / "changed.card"
    data = bytearray(card.read_bytes())
    position = data.index(b'"signature":"') + 20
    data[position] = ord("0") if data[position] != ord("0") else ord("1")
    changed.write_bytes(data)
    assert other.run("party", "trust", str(changed), "--yes").code == 15


def test_a_party_that_nobody_knows_is_exit_code_twelve(arden):
    assert arden.run("party", "show", "XDE").code == 12


def authority(machine, folder, name="security1", *roles):
    """Accredit an officer on the party's machine, as files; gives its name."""
    officer = f"XAR/{name}"
    (asked,) = machine.done("officer", "create", officer, "--json").records
    words = [word for role in roles or ("security-authority",) for word in ("--role", role)]
    machine.done("officer", "accredit", officer, *words, "--request", asked["request"], "--into", str(folder / name))
    return officer


@pytest.fixture(scope="module")
def made(arden, tmp_path_factory):
    authority(arden, tmp_path_factory.mktemp("issued"))
    return arden.done(
        *("node", "create", "XAR/n1", "--region", "xar", "--office", "ct-desk", "--accreditation", "SECRET"),
        *("--accredited-by", "XAR/security1", "--accredited-until", "2026-12-31T00:00:00Z"),
        *("--broker", "127.0.0.1:7443", "--broker-name", "XAR/hub", "--json"),
    ).records[0]


def test_a_node_is_made_and_issued_at_once_where_the_partys_keys_are(arden, made):
    assert made["issued"] is True
    assert made["accreditation"] == {"level": "SECRET", "by": "XAR/security1", "until": "2026-12-31T00:00:00.000Z"}
    assert {key["role"] for key in made["keys"]} == {"node-signing", "node-kem", "node-tls"}
    (shown,) = arden.done("node", "show", "XAR/n1", "--json").records
    assert shown["key_set"] == made["key_set"]
    assert "XAR/n1" in arden.done("node", "list").out


def test_a_node_made_elsewhere_is_issued_for_its_request_alone(arden, card, other, tmp_path):
    other.done("party", "trust", str(card), "--yes")
    (wanted,) = other.done("node", "create", "XAR/n7", "--region", "xar", "--json").records
    assert wanted["issued"] is False
    issued = tmp_path / "issued.json"
    arden.done("node", "create", "XAR/n7", "--request", wanted["request"], "--into", str(issued))
    assert arden.run("node", "create", "XAR/n8", "--request", wanted["request"]).code == 2
    # Nobody listens: the answer is installed, then the broker is not reached.
    ran = other.run(
        *("node", "enrol", "XAR/n7", "--issued", str(issued), "--json"),
        *("--broker", "127.0.0.1:1", "--broker-name", "XAR/hub"),
    )
    assert (ran.code, ran.error["code"]) == (17, "UNREACHABLE")
    assert other.done("node", "show", "XAR/n7", "--json").records[0]["issued"] is True


def test_an_officer_without_a_broker_in_reach_is_said_to_be_unreachable(arden):
    arden.done("officer", "create", "XAR/officer1", "--broker", "127.0.0.1:1", "--broker-name", "XAR/hub")
    ran = arden.run("officer", "accredit", "XAR/officer1", "--role", "liaison", "--json")
    assert (ran.code, ran.error["code"]) == (17, "UNREACHABLE")
    (listed,) = [one for one in arden.done("officer", "list", "--json").records if one["identity"] == "XAR/officer1"]
    assert listed["roles"] == ["liaison"]


def test_a_level_that_nobody_attests_is_refused_and_nothing_is_made(arden):
    ran = arden.run("node", "create", "XAR/n9", "--region", "xar", "--accreditation", "SECRET")
    assert ran.code == 2
    assert "attest" in ran.err
    assert arden.run("node", "show", "XAR/n9").code == 12


@pytest.mark.parametrize(
    ("by", "code", "named"),
    [
        ("XAR/nobody1", 12, "IDENTITY_UNKNOWN"),
        ("XBO/security1", 12, "IDENTITY_UNKNOWN"),
        ("XAR/liaison9", 11, "ROLE_NOT_ALLOWED"),
    ],
)
def test_a_level_is_attested_by_a_security_authority_of_the_own_party_or_nothing_is_made(
    arden, tmp_path, by, code, named
):
    if by == "XAR/liaison9":
        authority(arden, tmp_path, "liaison9", "liaison", "auditor")
    words = ("node", "create", "XAR/n9", "--region", "xar", "--accreditation", "SECRET", "--accredited-by", by)
    ran = arden.run(*words, "--json")
    assert (ran.code, ran.error["code"]) == (code, named)
    assert "--role security-authority" in ran.error["what_to_do"]
    assert arden.run("node", "show", "XAR/n9").code == 12


def test_a_clearance_is_attested_by_a_security_authority_too(arden, made, tmp_path):
    (asked,) = arden.done("officer", "create", "XAR/cleared1", "--json").records
    words = ("officer", "accredit", "XAR/cleared1", "--role", "duty-officer", "--request", asked["request"])
    words += ("--into", str(tmp_path / "issued"), "--clearance", "SECRET", "--json")
    words += ("--office", "watch", "--community", "ct", "--clearance-until", "2031-01-01T00:00:00Z")
    assert arden.run(*words, "--cleared-by", "XAR/cleared1").code == 12
    (issued,) = arden.done(*words, "--cleared-by", "XAR/security1").records
    assert issued["clearance"] == {"level": "SECRET", "by": "XAR/security1", "until": "2031-01-01T00:00:00.000Z"}
    assert (issued["offices"], issued["communities"]) == (["watch"], ["ct"])


def test_an_accreditation_is_said_where_the_partys_keys_are(card, other):
    other.done("party", "trust", str(card), "--yes")
    words = ("node", "create", "XAR/n9", "--region", "xar")
    ran = other.run(*words, "--accreditation", "SECRET", "--accredited-by", "XAR/security1")
    assert ran.code == 2
    assert "--request" in ran.err


def test_a_card_written_to_standard_output_is_the_card(arden, card, other, tmp_path):
    assert arden.done("party", "export", "XAR").out == card.read_text()
    (tmp_path / "piped.card").write_text(arden.done("party", "export", "XAR").out)
    other.done("party", "trust", str(tmp_path / "piped.card"), "--yes")


def test_a_wrong_passphrase_is_exit_code_sixteen(arden, made, tmp_path):
    wrong = tmp_path / "wrong"
    wrong.write_text("another one")
    wrong.chmod(0o600)
    ran = Machine(arden.path, wrong).run("node", "enrol", "XAR/n1", "--json")
    assert (ran.code, ran.error["code"]) == (16, "PASSPHRASE_WRONG")


def test_a_passphrase_file_that_others_can_read_is_refused(arden, made, tmp_path):
    shown = tmp_path / "shown"
    shown.write_text("a passphrase of tests")
    shown.chmod(0o644)
    ran = Machine(arden.path, shown).run("node", "enrol", "XAR/n1", "--json")
    assert (ran.code, ran.error["code"]) == (16, "KEY_FILE_UNSAFE")


def test_who_acts_is_never_guessed_among_several(arden, made):
    ran = arden.run("node", "revoke", "XAR/n1", "--reason", "lost", "--json")
    assert ran.code == 2
    assert "XAR/officer1" in ran.error["what_to_do"]
    assert "XAR/n1" in ran.error["what_to_do"]


def test_no_secret_is_in_what_a_command_prints(arden, made, tmp_path):
    printed = json.dumps(made) + arden.done("party", "show", "XAR").out + arden.done("node", "show", "XAR/n1").out
    assert "a passphrase of tests" not in printed
