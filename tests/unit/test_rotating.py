"""Rotations and renewals on the machines where they are made: what is listed, what is kept, what is refused."""

from contextlib import suppress
from pathlib import Path

import pytest

from builders_home import NOW, PASSPHRASE, Machine, party
from comity import canonical
from comity.errors import AccessError, ConflictError, ErrorCode, KeyFault, MalformedError, NotFoundError, UsageError
from comity.identity.bodies import DAY_MS, Attestation, read_body
from comity.identity.cardfile import CardFile, decode_card_file, encode_card_file
from comity.identity.certificates import read_leaf
from comity.identity.connecting import connecting
from comity.identity.listed import ListedKey
from comity.identity.names import Identity, IdentityKind
from comity.keys.files import load_keys, unlock_keys
from comity.keys.tls import from_pem
from comity.node.files import write_file
from comity.node.home import Home, Profile
from comity.node.identities import create_node, create_officer, install, read_request
from comity.node.party import PartyKeys, renew_party
from comity.node.requests import STATEMENTS_COUNT, decode_statements, encode_request, encode_statements
from comity.node.rotating import (
    ROTATION_FILE,
    ROTATION_REQUEST,
    _done,
    begin_rotation,
    issued_before,
    take_rotation,
)
from comity.suites import KeyRole, Suite
from comity_policy.facts import Role

NODE = Identity("XAR", IdentityKind.NODE, "n1")
OFFICER = Identity("XAR", IdentityKind.OFFICER, "security1")
SECRET = Attestation("SECRET", "XAR/security1", NOW + 300 * DAY_MS)
LATER = NOW + 40 * DAY_MS


@pytest.fixture
def home(tmp_path):
    """A party with a node of two suites, issued and in place."""
    made = Home(tmp_path / "home")
    party(made, "XAR")
    suites = (Suite.HYBRID, Suite.CNSA)
    create_node(
        made, NODE, region="xar", profile=Profile(NODE), passphrase=PASSPHRASE, now_ms=NOW, suites=suites,
        offices=["ct-desk"],
    )  # fmt: skip
    place = made.place(NODE)
    issued = keys_of(made).issue_node(read_request(place), now_ms=NOW, accreditation=SECRET)
    install(made, place, issued, now_ms=NOW)
    return made


def keys_of(home: Home, now_ms: int = NOW) -> PartyKeys:
    return PartyKeys.open(home, "XAR", PASSPHRASE, now_ms=now_ms)


def begun(home: Home, now_ms: int = LATER, *, fresh: bool = False):
    return begin_rotation(home, home.place(NODE), passphrase=PASSPHRASE, now_ms=now_ms, fresh=fresh)


def roles(keys) -> list[str]:
    return sorted(f"{key.role.value} {int(key.suite)}" for key in keys)


# --- a node's keys --------------------------------------------------------------------------------------------------


def test_a_rotation_makes_new_keys_of_every_role_and_suite_and_carries_the_old_tls_key(home):
    place = home.place(NODE)
    before = set(read_request(place).keys)
    request = begun(home)
    new = set(request.keys) - before
    assert roles(new) == roles(before)
    (carried,) = set(request.keys) & before
    assert carried.role is KeyRole.NODE_TLS
    assert (request.region, request.offices) == ("xar", ("ct-desk",))
    # The old private keys stay: what was sealed to them still opens.
    assert before | new == set(load_keys(place.keys, PASSPHRASE).listed())


def test_a_rotation_that_was_interrupted_goes_on_with_the_same_keys(home):
    assert begun(home) == begun(home, LATER + 5)


def test_an_ended_certificate_carries_nothing_over(home):
    everything = begun(home)
    assert set(begun(home, NOW + 91 * DAY_MS).keys) < set(everything.keys)


def test_fresh_keys_are_made_anew_and_carry_nothing_over(home):
    place, before = home.place(NODE), begun(home)
    fresh = begun(home, fresh=True)
    assert roles(fresh.keys) == roles(read_request(place).keys)
    assert not set(fresh.keys) & {*before.keys, *read_request(place).keys}


def test_a_fresh_rotation_that_was_interrupted_goes_on_with_its_keys_however_it_is_run_again(home):
    fresh = begun(home, fresh=True)
    assert begun(home, LATER + 5, fresh=True) == fresh
    assert begun(home, LATER + 5) == fresh


@pytest.mark.parametrize("first", [False, True], ids=["begun as usual", "begun as fresh"])
@pytest.mark.parametrize("taken", [False, True], ids=["issued by the party", "taken by the node"])
def test_fresh_keys_are_none_that_were_issued_before(home, first, taken):
    """Whoever had the machine then may have them, or they are revoked by now."""
    place, before = home.place(NODE), begun(home, fresh=first)
    issued = keys_of(home, LATER).issue_node(before, now_ms=LATER)
    if taken:
        take_rotation(home, place, issued, now_ms=LATER)
    fresh = begun(home, LATER + 5, fresh=True)
    assert not set(fresh.keys) & set(before.keys)
    assert not issued_before(place, LATER + 5)
    with pytest.raises(KeyFault):
        take_rotation(home, place, issued, now_ms=LATER + 5)


class KilledError(Exception):
    """Where the process would have ended."""


@pytest.mark.parametrize("removed", range(4))
def test_a_rotation_that_is_killed_while_it_is_put_away_is_put_away_by_the_next_run(home, monkeypatch, removed):
    place, left = home.place(NODE), iter(range(removed))
    issued = keys_of(home, LATER).issue_node(begun(home), now_ms=LATER)
    bundle = take_rotation(home, place, issued, now_ms=LATER)
    write_file(place.directory / ROTATION_REQUEST, encode_request(begun(home)))
    place.install(issued.statement, issued.certificate_pem)
    unlink = Path.unlink

    def until_killed(path: Path) -> None:
        if path.name.startswith("rotation.") and next(left, None) is None:
            raise KilledError
        unlink(path)

    with monkeypatch.context() as patched, suppress(KilledError):
        patched.setattr(Path, "unlink", until_killed)
        _done(place)
    # Either all is put away, or the next run finds what was issued, and ends as this one would have.
    assert issued_before(place, LATER) is (removed < 3)
    _done(place)
    assert not list(place.directory.glob("rotation*"))
    assert set(read_request(place).keys) <= set(bundle.keys)
    assert not (set(begun(home, LATER + 5).keys) - {carried_tls(place)}) & set(bundle.keys)


def carried_tls(place):
    spki = read_leaf(from_pem(place.certificate_pem)).spki
    return ListedKey(KeyRole.NODE_TLS, Suite.X509, spki)


def test_a_rotation_whose_keys_are_in_place_is_over_whatever_lies_about_it(home):
    place = home.place(NODE)
    request = begun(home)
    issued = keys_of(home, LATER).issue_node(request, now_ms=LATER)
    place.install(issued.statement, issued.certificate_pem)
    again = begun(home, LATER + 5)
    assert set(again.keys) & set(request.keys) == {carried_tls(place)}


def test_a_file_that_is_no_rotation_is_told(home):
    path = home.place(NODE).directory / ROTATION_FILE
    begun(home)
    for data in (b"{}", path.read_bytes().replace(b'"fresh":false', b'"fresh":0')):
        write_file(path, data)
        with pytest.raises(MalformedError):
            begun(home)


def test_what_is_issued_for_a_rotation_is_put_in_place_by_nobody_but_the_broker(home):
    place, before = home.place(NODE), home.place(NODE).statement
    keys = keys_of(home, LATER)
    issued = keys.issue_node(begun(home), now_ms=LATER, accreditation=keys.accreditation(NODE, LATER))
    assert not issued_before(place, LATER)
    bundle = take_rotation(home, place, issued, now_ms=LATER)
    assert (bundle.sequence, bundle.accreditation) == (2, SECRET)
    assert place.statement == before
    assert issued_before(place, LATER)
    assert not issued_before(place, LATER + 91 * DAY_MS)


def test_an_answer_to_another_request_is_not_taken_for_a_rotation(home):
    place, keys = home.place(NODE), keys_of(home, LATER)
    old = keys.issue_node(read_request(place), now_ms=LATER)
    with pytest.raises(NotFoundError):
        take_rotation(home, place, old, now_ms=LATER)
    begun(home)
    with pytest.raises(KeyFault) as refused:
        take_rotation(home, place, old, now_ms=LATER)
    assert refused.value.code is ErrorCode.BUNDLE_REJECTED


def test_a_node_that_was_never_issued_has_nothing_to_rotate(tmp_path):
    home = Home(tmp_path)
    party(home, "XAR")
    create_node(home, NODE, region="xar", profile=Profile(NODE), passphrase=PASSPHRASE, now_ms=NOW)
    with pytest.raises(NotFoundError):
        begun(home)


def test_a_ring_is_loaded_again_only_where_key_files_came(home):
    files = unlock_keys(home.place(NODE).keys, PASSPHRASE)
    ring = files.load()
    assert files.newer(ring) is ring
    begun(home)
    newer = files.newer(ring)
    assert set(ring.listed()) < set(newer.listed())
    assert files.newer(newer) is newer


def test_a_rotated_bundle_enters_a_directory_and_both_certificates_connect(home):
    place, keys = home.place(NODE), keys_of(home, LATER)
    directory = home.trusted_card("XAR").to_directory()
    directory.apply(place.statement, log_index=directory.size, at_ms=NOW)
    issued = keys.issue_node(begun(home), now_ms=LATER)
    directory.apply(issued.statement, log_index=directory.size, at_ms=LATER)
    old = keys.issue_node(read_request(place), now_ms=NOW).certificate
    assert connecting(directory, issued.certificate, LATER).sequence == 2
    assert connecting(directory, old, LATER).sequence == 2


# --- what a machine of the party does for a node --------------------------------------------------------------------


@pytest.fixture
def machine(home, tmp_path):
    """The machine of `home`, for commands."""
    file = tmp_path / "passphrase"
    file.write_bytes(PASSPHRASE)
    file.chmod(0o600)
    return Machine(home.path, file)


def test_every_key_that_was_ever_issued_is_revoked_the_newest_first(home, machine, monkeypatch, tmp_path):
    monkeypatch.setattr("comity.cli.node_revoke.now_ms", lambda: LATER)
    monkeypatch.setattr("comity.cli.identity.now_ms", lambda: LATER)
    old, request = read_request(home.place(NODE)).keys, begun(home)
    keys_of(home, LATER).issue_node(request, now_ms=LATER)

    def revoked(*words: str) -> list[bytes]:
        file = tmp_path / "revoked.json"
        machine.done("node", "revoke", "XAR/n1", "--reason", "stolen", "--into", str(file), *words)
        return [read_body(one).key for one in decode_statements(file.read_bytes(), NODE)]

    found = revoked()
    assert set(found) == {key.fingerprint for key in (*old, *request.keys)}
    assert len(found) == len(set(found))
    assert set(found[: len(request.keys)]) == {key.fingerprint for key in request.keys}
    for key in old:
        assert revoked("--key", key.fingerprint.hex()) == [key.fingerprint]


def test_a_party_is_warned_of_a_request_that_no_key_of_the_newest_bundle_vouches_for(
    home, machine, monkeypatch, tmp_path
):
    for module in ("node", "identity"):
        monkeypatch.setattr(f"comity.cli.{module}.now_ms", lambda: LATER)
    asked, issued = tmp_path / "asked.json", tmp_path / "issued.json"

    def issue(request, *words: str):
        asked.write_bytes(encode_request(request))
        return machine.done("node", "rotate", "XAR/n1", "--request", str(asked), "--into", str(issued), *words)

    assert not issue(begun(home)).err
    assert "no TLS key of the newest bundle of XAR/n1" in issue(begun(home, fresh=True)).err
    (told,) = issue(begun(home, LATER + 5, fresh=True), "--json").records
    assert told["vouched"] is False


# --- a party's directory key ----------------------------------------------------------------------------------------


def test_a_renewed_party_issues_for_ninety_days_more_under_the_same_card_and_words(home):
    before = home.trusted_card("XAR")
    renewed = renew_party(home, "XAR", PASSPHRASE, now_ms=LATER)
    assert (renewed.card, renewed.words) == (before.card, before.words)
    assert home.trusted_card("XAR") == home.party("XAR").card_file == renewed
    assert decode_card_file(encode_card_file(renewed)) == renewed
    keys = keys_of(home, LATER)
    assert keys.directory.sequence == 2
    assert keys.directory.valid_until == LATER + 90 * DAY_MS
    issued = keys.issue_node(begun(home), now_ms=LATER)
    directory = renewed.to_directory()
    directory.apply(issued.statement, log_index=directory.size, at_ms=LATER)
    assert connecting(directory, issued.certificate, LATER + 89 * DAY_MS).identity == NODE


def test_what_the_old_directory_key_signed_counts_beside_the_new_one_until_its_own_end(home):
    renewed = renew_party(home, "XAR", PASSPHRASE, now_ms=LATER)
    directory = renewed.to_directory()
    assert len(directory.authorities("XAR", LATER)) == 2
    assert len(directory.authorities("XAR", NOW + 91 * DAY_MS)) == 1
    directory.apply(home.place(NODE).statement, log_index=directory.size, at_ms=LATER)
    assert directory.node("XAR", "n1").sequence == 1


def test_a_party_is_renewed_after_its_directory_key_has_ended_too(home):
    late = NOW + 200 * DAY_MS
    with pytest.raises(KeyFault) as ended:
        keys_of(home, late)
    assert "comity party renew XAR" in ended.value.what_to_do
    renew_party(home, "XAR", PASSPHRASE, now_ms=late)
    assert keys_of(home, late).issue_node(begun(home, late), now_ms=late).listing(late).identity == NODE


def test_a_party_is_not_renewed_with_a_wrong_passphrase(home):
    before = home.party("XAR").card_file
    with pytest.raises(KeyFault) as refused:
        renew_party(home, "XAR", b"another", now_ms=LATER)
    assert refused.value.code is ErrorCode.PASSPHRASE_WRONG
    assert home.party("XAR").card_file == before


def test_an_older_card_and_another_roots_card_take_no_trusted_cards_place(home, tmp_path):
    old = home.trusted_card("XAR")
    renewed = renew_party(home, "XAR", PASSPHRASE, now_ms=LATER)
    elsewhere, forger = Home(tmp_path / "elsewhere"), Home(tmp_path / "forger")
    elsewhere.trust(old)
    elsewhere.trust(renewed)
    for card in (old, CardFile(old.card, ())):
        with pytest.raises(ConflictError) as refused:
            elsewhere.trust(card)
        assert refused.value.code is ErrorCode.SEQUENCE_STALE
    party(forger, "XAR")
    renew_party(forger, "XAR", PASSPHRASE, now_ms=LATER)
    with pytest.raises(ConflictError) as another:
        elsewhere.trust(renew_party(forger, "XAR", PASSPHRASE, now_ms=LATER + 1))
    assert another.value.code is ErrorCode.FILE_EXISTS
    assert elsewhere.trusted_card("XAR") == renewed


def test_a_card_file_never_holds_more_directory_keys_than_it_may(home, monkeypatch):
    monkeypatch.setattr("comity.node.party.DIRECTORY_LIMIT", 2)
    # The limit never takes a key in force: each renewal here comes when the oldest has ended.
    for now_ms in (LATER, NOW + 90 * DAY_MS, LATER + 90 * DAY_MS):
        renewed = renew_party(home, "XAR", PASSPHRASE, now_ms=now_ms)
    assert [one.fields["sequence"] for one in renewed.directory] == [3, 4]
    assert decode_card_file(encode_card_file(renewed)).newest_sequence == 4


def test_what_a_new_directory_key_signed_is_refused_with_the_way_out_where_only_the_old_card_is(home, tmp_path):
    old = home.trusted_card("XAR")
    renew_party(home, "XAR", PASSPHRASE, now_ms=LATER)
    issued = keys_of(home, LATER).issue_node(begun(home), now_ms=LATER)
    with pytest.raises(KeyFault) as refused:
        old.to_directory().admissible(issued.statement, LATER)
    assert "comity party trust" in refused.value.what_to_do


# --- who attests, and what travels alone ----------------------------------------------------------------------------


def test_only_a_security_authority_that_was_accredited_here_and_counts_still_attests(home):
    keys = keys_of(home)
    with pytest.raises(NotFoundError):
        keys.require_security_authority(OFFICER, NOW)
    create_officer(home, OFFICER, profile=Profile(OFFICER), passphrase=PASSPHRASE, now_ms=NOW)
    request = read_request(home.place(OFFICER))
    keys.accredit(request, [Role.LIAISON], now_ms=NOW)
    with pytest.raises(AccessError):
        keys.require_security_authority(OFFICER, NOW)
    keys.accredit(request, [Role.SECURITY_AUTHORITY], now_ms=NOW, days=10)
    keys.require_security_authority(OFFICER, NOW)
    with pytest.raises(KeyFault):
        keys.require_security_authority(OFFICER, NOW + 10 * DAY_MS)
    keys.withdraw(OFFICER, now_ms=NOW)
    with pytest.raises(AccessError):
        keys.require_security_authority(OFFICER, NOW)


def test_statements_travel_alone_only_where_they_take_something_away(home):
    keys = keys_of(home)
    (key, *_) = read_request(home.place(NODE)).keys
    revocation = keys.revoke(key.fingerprint, reason="lost", now_ms=NOW)
    withdrawal = keys.withdraw(OFFICER, now_ms=NOW)
    assert decode_statements(encode_statements([revocation]), NODE) == (revocation,)
    assert decode_statements(encode_statements([withdrawal]), OFFICER) == (withdrawal,)
    for statements, identity in (
        ([home.place(NODE).statement], NODE),
        ([withdrawal], Identity("XAR", IdentityKind.OFFICER, "another")),
        ([], NODE),
    ):
        with pytest.raises(MalformedError):
            decode_statements(encode_statements(statements), identity)
    # As many as a node ever had keys, which is more than a listing holds.
    assert decode_statements(encode_statements([revocation] * 17), NODE) == (revocation,) * 17
    with pytest.raises(UsageError):
        encode_statements([revocation] * (STATEMENTS_COUNT + 1))
    with pytest.raises(MalformedError):
        decode_statements(canonical.dumps({"statements": [1] * (STATEMENTS_COUNT + 1)}), NODE)
    with pytest.raises(UsageError):
        decode_statements(encode_statements([revocation]), Identity("XBO", IdentityKind.NODE, "n1"))
    for data in (b'{"statements":1}', b'{"statements":[],"more":1}', b"[]"):
        with pytest.raises(MalformedError):
            decode_statements(data, NODE)
