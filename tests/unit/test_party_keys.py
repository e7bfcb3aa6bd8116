"""A party's own machine: what it makes and issues is what a directory of keys takes."""

import pytest

from builders_home import NOW, PASSPHRASE, party
from comity.errors import ComityError, ConflictError, ErrorCode, KeyFault, MalformedError, NotFoundError, UsageError
from comity.identity.bodies import DAY_MS, Attestation
from comity.identity.certificates import read_authority
from comity.identity.connecting import connecting
from comity.identity.directory import KeyDirectory
from comity.identity.names import Identity, IdentityKind
from comity.node.home import Home, Profile
from comity.node.identities import create_node, create_officer, install, read_request
from comity.node.party import PartyKeys
from comity.node.requests import decode_issued, decode_request, encode_issued, encode_request
from comity.suites import KeyRole, Suite
from comity_policy.facts import Role

NODE = Identity("XAR", IdentityKind.NODE, "n1")
OFFICER = Identity("XAR", IdentityKind.OFFICER, "officer1")
SECRET = Attestation("SECRET", "XAR/security1", NOW + 30 * DAY_MS)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    made = Home(tmp_path_factory.mktemp("home"))
    party(made, "XAR")
    create_node(
        made,
        NODE,
        region="xar",
        profile=Profile(NODE),
        passphrase=PASSPHRASE,
        now_ms=NOW,
        offices=["ct-desk"],
        suites=(Suite.HYBRID, Suite.CNSA),
    )
    create_officer(made, OFFICER, profile=Profile(OFFICER), passphrase=PASSPHRASE, now_ms=NOW)
    return made


@pytest.fixture(scope="module")
def keys(home):
    return PartyKeys.open(home, "XAR", PASSPHRASE, now_ms=NOW)


@pytest.fixture
def directory(home):
    return home.trusted_card("XAR").to_directory()


def apply(directory: KeyDirectory, statement, at_ms=NOW):
    return directory.apply(statement, log_index=directory.size, at_ms=at_ms)


def test_everything_in_a_home_is_its_owners_alone(tmp_path):
    home = Home(tmp_path / "above" / "home")
    party(home, "XAR")
    create_officer(home, OFFICER, profile=Profile(OFFICER), passphrase=PASSPHRASE, now_ms=NOW)
    found = [home.path, home.path.parent, *home.path.rglob("*")]
    assert {path.stat().st_mode & 0o777 for path in found if path.is_dir()} == {0o700}
    assert {path.stat().st_mode & 0o777 for path in found if path.is_file()} == {0o600}


def test_a_party_is_made_once_and_trusts_itself(home):
    assert home.trusted_card("XAR") == home.party("XAR").card_file
    with pytest.raises(ConflictError):
        party(home, "XAR")


def test_its_authority_is_constrained_to_its_trust_domain(home):
    (statement,) = home.party("XAR").card_file.directory
    authority = read_authority(bytes.fromhex(statement.fields["issuing_certificate"]))
    assert authority.trust_domain == "xar.example"


def test_a_wrong_passphrase_opens_nothing(home):
    with pytest.raises(KeyFault) as refused:
        PartyKeys.open(home, "XAR", b"another", now_ms=NOW)
    assert refused.value.code is ErrorCode.PASSPHRASE_WRONG


def test_a_party_whose_keys_are_elsewhere_is_not_found(home):
    with pytest.raises(NotFoundError):
        PartyKeys.open(home, "XBO", PASSPHRASE, now_ms=NOW)


def test_a_directory_key_that_has_expired_issues_nothing(home):
    with pytest.raises(KeyFault) as refused:
        PartyKeys.open(home, "XAR", PASSPHRASE, now_ms=NOW + 90 * DAY_MS)
    assert refused.value.code is ErrorCode.KEY_EXPIRED
    assert "clock" in refused.value.what_to_do


def test_a_nodes_bundle_enters_a_directory_and_its_certificate_connects(home, keys, directory):
    issued = keys.issue_node(read_request(home.place(NODE)), now_ms=NOW, accreditation=SECRET)
    apply(directory, issued.statement)
    record = connecting(directory, issued.certificate, NOW)
    assert record.identity == NODE
    assert record.region == "xar"
    assert record.offices == {"ct-desk"}
    assert record.accreditation == SECRET
    assert {key.suite for key in record.keys_of(KeyRole.NODE_KEM)} == {Suite.HYBRID, Suite.CNSA}


def test_sequences_rise_and_nothing_outlives_the_directory_key(home, keys):
    first = keys.issue_node(read_request(home.place(NODE)), now_ms=NOW, days=1000).listing(NOW)
    second = keys.issue_node(read_request(home.place(NODE)), now_ms=NOW + 5, days=7).listing(NOW + 5)
    assert second.sequence == first.sequence + 1
    assert first.valid_until == keys.directory.valid_until
    assert second.valid_until == NOW + 5 + 7 * DAY_MS
    assert keys.newest(NODE).fields["sequence"] == second.sequence


def test_full_powers_are_signed_by_the_root_as_well_and_others_are_not(home, keys, directory):
    request = read_request(home.place(OFFICER))
    liaison = keys.accredit(request, [Role.LIAISON], now_ms=NOW, agreements=["XAR-XBO-1"])
    powers = keys.accredit(request, [Role.LIAISON, Role.PLENIPOTENTIARY], now_ms=NOW)
    root = home.trusted_card("XAR").card.root_fingerprint
    assert liaison.statement.signature_of(root) is None
    assert powers.statement.signature_of(root) is not None
    apply(directory, liaison.statement)
    assert directory.officer("XAR", "officer1").holds(Role.LIAISON, "XAR-XBO-1")
    apply(directory, powers.statement)
    assert directory.officer("XAR", "officer1").holds(Role.PLENIPOTENTIARY, "ANY")


def test_an_officer_is_withdrawn_and_a_node_revoked(home, keys, directory):
    apply(directory, keys.accredit(read_request(home.place(OFFICER)), [Role.LIAISON], now_ms=NOW).statement)
    apply(directory, keys.withdraw(OFFICER, now_ms=NOW + 1), NOW + 1)
    assert directory.officer("XAR", "officer1").roles == frozenset()
    issued = keys.issue_node(read_request(home.place(NODE)), now_ms=NOW + 2)
    apply(directory, issued.statement, NOW + 2)
    tls = next(key for key in issued.listing(NOW + 2).keys if key.role is KeyRole.NODE_TLS)
    apply(directory, keys.revoke(tls.fingerprint, reason="lost", now_ms=NOW + 3), NOW + 3)
    with pytest.raises(KeyFault) as refused:
        connecting(directory, issued.certificate, NOW + 4)
    assert refused.value.code is ErrorCode.CERTIFICATE_REVOKED


def test_an_accreditation_without_a_role_is_not_issued(home, keys):
    with pytest.raises(UsageError):
        keys.accredit(read_request(home.place(OFFICER)), [], now_ms=NOW)


def test_a_request_of_another_kind_or_party_is_not_answered(home, keys, tmp_path):
    with pytest.raises(UsageError):
        keys.issue_node(read_request(home.place(OFFICER)), now_ms=NOW)
    other = Home(tmp_path)
    party(other, "XBO")
    stranger = Identity("XBO", IdentityKind.NODE, "n1")
    request = create_node(other, stranger, region="xbo", profile=Profile(stranger), passphrase=PASSPHRASE, now_ms=NOW)
    with pytest.raises(UsageError):
        keys.issue_node(request, now_ms=NOW)


def test_a_name_is_unique_over_nodes_and_officers(home, keys, tmp_path):
    clash = Identity("XAR", IdentityKind.OFFICER, "n1")
    with pytest.raises(ConflictError):
        create_officer(home, clash, profile=Profile(clash), passphrase=PASSPHRASE, now_ms=NOW)
    elsewhere = Home(tmp_path)
    elsewhere.trust(home.trusted_card("XAR"))
    request = create_officer(elsewhere, clash, profile=Profile(clash), passphrase=PASSPHRASE, now_ms=NOW)
    keys.issue_node(read_request(home.place(NODE)), now_ms=NOW)
    with pytest.raises(ConflictError):
        keys.accredit(request, [Role.LIAISON], now_ms=NOW)


def test_what_was_issued_is_installed_only_where_its_keys_are(home, keys, tmp_path):
    place = home.place(NODE)
    issued = keys.issue_node(read_request(place), now_ms=NOW)
    install(home, place, issued, now_ms=NOW)
    assert place.statement == issued.statement
    elsewhere = Home(tmp_path)
    elsewhere.trust(home.trusted_card("XAR"))
    create_node(elsewhere, NODE, region="xar", profile=Profile(NODE), passphrase=PASSPHRASE, now_ms=NOW)
    with pytest.raises(KeyFault):
        install(elsewhere, elsewhere.place(NODE), issued, now_ms=NOW)


def test_what_another_root_issued_is_not_installed(home, keys, tmp_path):
    forger = Home(tmp_path)
    party(forger, "XAR")
    forged = PartyKeys.open(forger, "XAR", PASSPHRASE, now_ms=NOW).issue_node(
        read_request(home.place(NODE)), now_ms=NOW
    )
    with pytest.raises(KeyFault):
        install(home, home.place(NODE), forged, now_ms=NOW)


def test_requests_and_what_was_issued_survive_their_files(home, keys):
    request = read_request(home.place(NODE))
    assert decode_request(encode_request(request)) == request
    issued = keys.issue_node(request, now_ms=NOW)
    assert decode_issued(encode_issued(issued)) == issued


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'"kind":"node"', b'"kind":"officer"'),
        (b'"kind":"node"', b'"kind":"nobody"'),
        (b'"region":"xar"', b'"region":"xar","extra":1'),
        (b'"offices":["ct-desk"]', b'"offices":["b","a"]'),
        (b'"role":"node-tls"', b'"role":"broker-tls"'),
        (b'"identity":"XAR/n1"', b'"identity":"XAR/../n1"'),
    ],
)
def test_a_request_that_was_changed_is_refused(home, before, after):
    data = encode_request(read_request(home.place(NODE)))
    assert before in data
    with pytest.raises(MalformedError):
        decode_request(data.replace(before, after))


def test_a_certificate_of_another_identity_is_not_taken_with_a_bundle(home, keys):
    node = keys.issue_node(read_request(home.place(NODE)), now_ms=NOW)
    officer = keys.accredit(read_request(home.place(OFFICER)), [Role.AUDITOR], now_ms=NOW)
    mixed = decode_issued(
        encode_issued(node).replace(node.certificate.hex().encode(), officer.certificate.hex().encode())
    )
    with pytest.raises(ComityError):
        mixed.listing(NOW)
