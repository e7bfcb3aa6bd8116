"""The home directory: names before paths, files whole or not at all, trust given once."""

import shutil
import stat
from pathlib import Path

import pytest

from builders_home import NOW, PASSPHRASE, party
from comity.errors import ConflictError, ErrorCode, MalformedError, NotFoundError, StorageError, UsageError
from comity.identity.bodies import DAY_MS, DIRECTORY_DAYS
from comity.identity.cardfile import CardFile
from comity.identity.names import Identity, IdentityKind
from comity.node.files import read_file, write_file
from comity.node.home import Home, Profile, check_address, read_cards, trust_card
from comity.node.party import renew_party

NODE = Identity("XAR", IdentityKind.NODE, "n1")
OFFICER = Identity("XAR", IdentityKind.OFFICER, "officer1")
HUB = Identity("XAR", IdentityKind.BROKER, "hub")


def made(home: Home, identity: Identity) -> None:
    home.place(identity).write_profile(Profile(identity, "127.0.0.1:7443", HUB))


def test_the_home_is_what_is_said_then_the_environment_then_xdg_then_the_users(tmp_path):
    said = tmp_path / "said"
    assert Home.at(said, {"COMITY_HOME": "/b", "XDG_DATA_HOME": "/c"}).path == said
    assert Home.at(None, {"COMITY_HOME": "/b", "XDG_DATA_HOME": "/c"}).path == Path("/b")
    assert Home.at(None, {"XDG_DATA_HOME": "/c"}).path == Path("/c/comity")
    assert Home.at(None, {}).path == Path("~/.local/share/comity").expanduser()


def test_a_node_and_an_officer_are_found_by_their_name_alone(tmp_path):
    home = Home(tmp_path)
    made(home, NODE)
    made(home, OFFICER)
    assert home.locate("XAR/n1").identity == NODE
    assert home.locate("XAR/officer1").identity == OFFICER
    assert [place.identity for place in home.places()] == [NODE, OFFICER]
    assert [place.identity for place in home.places(IdentityKind.OFFICER)] == [OFFICER]


def test_an_identity_that_is_not_here_is_answered_with_those_that_are(tmp_path):
    home = Home(tmp_path)
    made(home, NODE)
    with pytest.raises(NotFoundError) as refused:
        home.locate("XAR/n2")
    assert "XAR/n1" in refused.value.what_to_do
    assert refused.value.exit_code == 12


@pytest.mark.parametrize(
    "name", ["XAR/../../etc", "XAR/", "../n1", "XAR/N1", "XAR/n1/../n2", "XAR", "xar/n1", "XAR/.n"]
)
def test_no_name_leaves_the_home(tmp_path, name):
    with pytest.raises(MalformedError):
        Home(tmp_path).locate(name)


def test_a_broker_has_no_place_in_a_home(tmp_path):
    with pytest.raises(UsageError):
        Home(tmp_path).place(HUB)


def test_directories_that_are_no_identities_are_not_listed(tmp_path):
    home = Home(tmp_path)
    made(home, NODE)
    for stray in ("nodes/XAR/.hidden", "nodes/lost+found/n1", "nodes/XAR/n2"):
        (tmp_path / stray).mkdir(parents=True)
    assert [place.identity for place in home.places()] == [NODE]


def test_a_profile_is_read_as_it_was_written(tmp_path):
    place = Home(tmp_path).place(NODE)
    for profile in (Profile(NODE, "[::1]:7443", HUB), Profile(NODE)):
        place.write_profile(profile)
        assert place.profile == profile


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('kind = "node"', 'kind = "officer"'),
        ('identity = "XAR/n1"', 'identity = "XBO/n1"'),
        ('address = "127.0.0.1:7443"', 'address = "127.0.0.1:7443"\nextra = 1'),
        ('address = "127.0.0.1:7443"', "address = 7443"),
        ("[broker]", "[brokers]"),
        ("[broker]", "[broker"),
        ('kind = "node"', "kind = " + "[" * 5_000),
    ],
)
def test_a_profile_that_says_something_else_is_refused(tmp_path, before, after):
    home = Home(tmp_path)
    made(home, NODE)
    path = home.place(NODE).directory / "profile.toml"
    path.write_text(path.read_text().replace(before, after))
    with pytest.raises(UsageError):
        _ = home.place(NODE).profile


@pytest.mark.parametrize("address", ["7443", "host:", "host:0", "host:70000", "a b:1", "host:7443/x", "::1:7443"])
def test_an_address_is_host_and_port(address):
    with pytest.raises(UsageError):
        check_address(address)


def test_trust_in_a_root_is_given_once(tmp_path):
    ours, theirs, forged = Home(tmp_path / "a"), Home(tmp_path / "b"), Home(tmp_path / "c")
    card = party(theirs, "XBO")
    ours.trust(card)
    ours.trust(card)
    assert ours.trusted_card("XBO") == card
    with pytest.raises(ConflictError) as refused:
        ours.trust(party(forged, "XBO"))
    assert refused.value.code is ErrorCode.FILE_EXISTS
    assert ours.trusted_card("XBO") == card
    assert set(ours.trusted_roots()) == {"XBO"}


def test_a_newer_card_that_lists_fewer_directory_keys_takes_none_away(tmp_path):
    mine, other = Home(tmp_path / "mine"), Home(tmp_path / "other")
    first = party(mine, "XBO")
    renewed = renew_party(mine, "XBO", PASSPHRASE, now_ms=NOW + 1)
    other.trust(first)
    for card in (
        renewed,
        CardFile(renewed.card, renewed.directory[-1:]),
        CardFile(renewed.card, renewed.directory[-1:]),
    ):
        other.trust(card)
        assert other.trusted_card("XBO").directory == renewed.directory


def test_two_directory_keys_with_one_number_are_a_conflict_and_the_card_stays(tmp_path):
    mine, copy, other = Home(tmp_path / "mine"), Home(tmp_path / "copy"), Home(tmp_path / "other")
    party(mine, "XBO")
    shutil.copytree(mine.path, copy.path)
    renewed = renew_party(mine, "XBO", PASSPHRASE, now_ms=NOW + 1)
    other.trust(renewed)
    with pytest.raises(ConflictError) as caught:
        other.trust(renew_party(copy, "XBO", PASSPHRASE, now_ms=NOW + 2))
    assert caught.value.code is ErrorCode.STATEMENT_CONFLICT
    assert other.trusted_card("XBO") == renewed


@pytest.fixture
def room(monkeypatch):
    """Have card files hold three directory keys: to make one takes its time."""
    for module in ("comity.identity.cardfile", "comity.node.party"):
        monkeypatch.setattr(f"{module}.DIRECTORY_LIMIT", 3)
    return 3


def test_a_trusted_card_that_is_full_loses_the_directory_key_that_ended_first(tmp_path, room):
    mine, other = Home(tmp_path / "mine"), Home(tmp_path / "other")
    other.trust(party(mine, "XBO"))
    for number in range(1, room + 1):
        renewed = renew_party(mine, "XBO", PASSPHRASE, now_ms=NOW + number * 90 * DAY_MS)
        other.trust(CardFile(renewed.card, renewed.directory[-1:]))
    assert len(renewed.directory) == room
    assert other.trusted_card("XBO").directory == renewed.directory


def test_a_renewal_drops_no_directory_key_in_force(tmp_path, room):
    home = Home(tmp_path / "home")
    party(home, "XBO")
    for number in range(1, room):
        full = renew_party(home, "XBO", PASSPHRASE, now_ms=NOW + number)
    with pytest.raises(UsageError, match="in force"):
        renew_party(home, "XBO", PASSPHRASE, now_ms=NOW + room)
    assert home.party("XBO").card_file == full
    after = renew_party(home, "XBO", PASSPHRASE, now_ms=NOW + DIRECTORY_DAYS * DAY_MS)
    assert after.directory[:-1] == full.directory[1:]


def test_a_card_under_another_partys_name_is_refused(tmp_path):
    home = Home(tmp_path)
    path = trust_card(tmp_path / "cards", party(home, "XBO"))
    path.rename(path.with_name("XDE.card"))
    with pytest.raises(MalformedError):
        read_cards(tmp_path / "cards")


def test_a_card_that_nobody_trusts_is_not_found(tmp_path):
    with pytest.raises(NotFoundError) as refused:
        Home(tmp_path).trusted_card("XBO")
    assert "comity party trust" in refused.value.what_to_do


def test_files_and_directories_are_their_owners_alone(tmp_path):
    path = tmp_path / "new" / "below" / "file"
    write_file(path, b"content")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {stat.S_IMODE(one.stat().st_mode) for one in (path.parent, path.parent.parent)} == {0o700}
    assert [one.name for one in path.parent.iterdir()] == ["file"]


def test_a_file_that_must_be_new_is_never_written_over(tmp_path):
    write_file(tmp_path / "file", b"first", replace=False)
    with pytest.raises(FileExistsError):
        write_file(tmp_path / "file", b"second", replace=False)
    assert (tmp_path / "file").read_bytes() == b"first"
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_a_directory_that_cannot_be_written_is_said_and_nothing_is_left(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError) as refused:
        write_file(tmp_path / "file" / "below", b"content")
    assert refused.value.exit_code == 18


def test_a_file_over_its_limit_is_not_read(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    assert read_file(tmp_path / "file", 5) == b"12345"
    with pytest.raises(MalformedError):
        read_file(tmp_path / "file", 4)
    with pytest.raises(NotFoundError):
        read_file(tmp_path / "other", 4)
