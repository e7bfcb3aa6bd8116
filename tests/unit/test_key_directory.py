"""The fold of the key log: which keys count, from when, and for whom."""

from __future__ import annotations

import pytest

from builders_identity import DAY, HOUR, NOW, directory_of, fails, fold, nation
from comity import statement
from comity.errors import AccessError, ConflictError, ErrorCode, KeyFault, VerificationError
from comity.identity import issue
from comity.identity.cardfile import read_party_card
from comity.identity.connecting import connecting
from comity.identity.directory import KeyDirectory
from comity.identity.names import Identity, IdentityKind
from comity.suites import KeyRole, Suite
from comity_policy.facts import NodeFacts, Role


@pytest.fixture
def xar():
    return nation("XAR")


def signing(held) -> bytes:
    return held.signer.fingerprint


# --- look-ups -------------------------------------------------------------------------------------------------------


def test_what_is_logged_is_found_by_name_by_key_set_and_by_key(xar):
    n1, officer, hub = xar.node("n1", offices=("watch",)), xar.officer("officer1"), xar.broker("hub")
    directory = directory_of(xar)
    node = directory.node("XAR", "n1")
    assert (node.identity, node.offices, node.region, node.sequence) == (n1.identity, {"watch"}, "xar", 1)
    assert directory.signing_node(node.key_set, Suite.HYBRID, NOW)[0] == node
    assert directory.officer_by_key(signing(officer), NOW).identity == officer.identity
    assert len(directory.broker("XAR", "hub").keys_of(KeyRole.LOG)) == 2
    assert directory.owner(hub.tls_fingerprint).identity == hub.identity
    assert directory.find("XAR", "hub").identity == Identity("XAR", IdentityKind.BROKER, "hub")
    assert directory.officer("XAR", "n1") is None
    assert directory.node("XBO", "n1") is None


def test_a_partys_identities_are_listed_by_name(xar):
    for name in ("n2", "n1"):
        xar.node(name)
    xar.officer("officer1")
    xar.broker("hub")
    directory = directory_of(xar, nation("XBO"))
    assert [one.node for one in directory.nodes("XAR")] == ["n1", "n2"]
    assert [one.officer for one in directory.officers("XAR")] == ["officer1"]
    assert [one.broker for one in directory.brokers("XAR")] == ["hub"]
    assert directory.nodes("XBO") == ()


def test_a_directory_says_where_a_statement_is_logged(xar):
    n1 = xar.node("n1")
    directory = directory_of(xar)
    assert directory.logged_at(n1.statement.digest) == 2
    assert directory.logged_at(bytes(48)) is None
    assert directory.size == 3
    assert (directory.next_sequence("XAR", "n1"), directory.next_sequence("XAR", "n2")) == (2, 1)
    assert directory.next_sequence("XAR") == 2
    fails(lambda: fold(directory, n1.statement), ErrorCode.SEQUENCE_STALE, ConflictError)


def test_deciding_changes_nothing(xar):
    n1 = xar.node("n1")
    directory = fold(KeyDirectory({"XAR": xar.card}), xar.directory_statement)
    assert directory.admissible(n1.statement, NOW).identity == n1.identity
    assert directory.node("XAR", "n1") is None
    assert directory.size == 2
    assert directory.owner(signing(n1)) is None


def test_a_statement_that_is_refused_leaves_the_fold_as_it_was(xar):
    n1 = xar.node("n1")
    directory = KeyDirectory({"XAR": xar.card})
    with pytest.raises(KeyFault):
        fold(directory, n1.statement)
    fold(directory, xar.directory_statement, n1.statement)
    assert directory.node("XAR", "n1").log_index == 2


def test_entries_come_in_the_order_of_the_log(xar):
    n1 = xar.node("n1")
    directory = directory_of(xar)
    renewed = n1.reissued()
    fails(lambda: directory.apply(renewed, log_index=2, at_ms=NOW), ErrorCode.VERIFICATION_FAILED, VerificationError)
    directory.apply(renewed, log_index=7, at_ms=NOW)
    assert directory.node("XAR", "n1").log_index == 7


# --- cards ----------------------------------------------------------------------------------------------------------


def test_a_party_is_introduced_by_its_card_alone(xar):
    xbo = nation("XBO")
    directory = directory_of(xar)
    for given in (xbo.directory_statement, xbo.card_statement, xbo.node("n1").statement):
        fails(lambda: directory.admissible(given, NOW), ErrorCode.PARTY_UNTRUSTED)  # noqa: B023 - called at once
    fails(lambda: directory.card("XBO"), ErrorCode.PARTY_UNTRUSTED)
    fails(lambda: directory.authorities("XBO", NOW), ErrorCode.PARTY_UNTRUSTED)
    directory.trust(xbo.card)
    fold(directory, *xbo.statements)
    assert directory.cards.keys() == {"XAR", "XBO"}
    assert directory.node("XBO", "n1") is not None


def test_a_card_in_the_log_is_taken_only_if_it_is_the_trusted_one(xar):
    directory = fold(KeyDirectory({"XAR": xar.card}), xar.card_statement)
    assert directory.logged_at(xar.card_statement.digest) == 1
    again = fails(lambda: fold(directory, xar.card_statement), ErrorCode.SEQUENCE_STALE, ConflictError)
    assert "entry 1" in again.message
    other = nation("XAR", trust_domain="other.example")
    fails(lambda: directory.admissible(other.card_statement, NOW), ErrorCode.BUNDLE_REJECTED)


def test_a_card_in_the_log_without_its_roots_signature_is_refused(xar):
    directory = KeyDirectory({"XAR": xar.card})
    unsigned = statement.Statement(xar.card_statement.body, nation("XBO").card_statement.signatures)
    fails(lambda: directory.admissible(unsigned, NOW), ErrorCode.BUNDLE_REJECTED)


def test_one_party_one_card_and_one_trust_domain_one_party(xar):
    directory = directory_of(xar)
    directory.trust(xar.card)
    for other in (nation("XAR", trust_domain="other.example"), nation("XBO", trust_domain="xar.example")):
        with pytest.raises(ConflictError):
            directory.trust(other.card)
    assert directory.cards.keys() == {"XAR"}


def test_no_party_can_take_anothers_root_for_its_own(xar):
    given = {"party": "XBO", "name": "x", "jurisdiction": "x", "trust_domain": "xbo.example", "issued_at": NOW}
    card = read_party_card(issue.party_card(xar.root, **given))
    fails(lambda: directory_of(xar).trust(card), ErrorCode.BUNDLE_REJECTED)


# --- newest, oldest, at a place of the log --------------------------------------------------------------------------


def test_facts_are_those_of_the_newest_bundle_whatever_the_key_set(xar):
    n1 = xar.node("n1", region="xar", communities=("ct",))
    directory = directory_of(xar)
    old = directory.node("XAR", "n1")
    fold(directory, n1.reissued(region="abroad", communities=()))
    record, key = directory.signing_node(old.key_set, Suite.HYBRID, NOW)
    assert (record.region, record.communities) == ("abroad", frozenset())
    assert key.public == n1.signer.public


def test_a_key_absent_from_the_newest_bundle_is_refused(xar):
    n1 = xar.node("n1")
    directory = directory_of(xar)
    old = directory.node("XAR", "n1")
    fold(directory, n1.rotated())
    fails(lambda: directory.signing_node(old.key_set, Suite.HYBRID, NOW), ErrorCode.KEY_UNKNOWN)
    assert directory.signing_node(directory.node("XAR", "n1").key_set, Suite.HYBRID, NOW)
    _, key = directory.signing_node(old.key_set, Suite.HYBRID, NOW, directory.size - 1)
    assert not directory.counts(key.fingerprint)
    assert directory.counts(key.fingerprint, directory.size - 1)


def test_a_key_set_names_nobody_before_it_is_logged_also_where_its_keys_are_older(xar):
    n1 = xar.node("n1")
    directory = directory_of(xar)
    size = directory.size
    fold(directory, n1.reissued(region="abroad"))
    key_set = directory.node("XAR", "n1").key_set
    fails(lambda: directory.signing_node(key_set, Suite.HYBRID, NOW, size), ErrorCode.KEY_UNKNOWN)


def test_a_key_that_nobody_listed_counts_nowhere(xar):
    assert not directory_of(xar).counts(bytes(48))


def test_a_key_set_or_suite_that_nobody_has_is_refused(xar):
    xar.node("n1")
    directory = directory_of(xar)
    fails(lambda: directory.signing_node(bytes(48), Suite.HYBRID, NOW), ErrorCode.KEY_UNKNOWN)
    key_set = directory.node("XAR", "n1").key_set
    fails(lambda: directory.signing_node(key_set, Suite.CNSA, NOW), ErrorCode.KEY_UNKNOWN)


def test_the_answer_at_a_place_of_the_log_stays_what_it_was(xar):
    n1 = xar.node("n1", region="xar")
    directory = directory_of(xar)
    size, old = directory.size, directory.node("XAR", "n1")
    key = signing(n1)
    fold(directory, n1.reissued(region="abroad"), xar.revocation(key))
    assert directory.node("XAR", "n1", size) == old
    assert directory.node("XAR", "n1", old.log_index) is None
    assert directory.signing_node(old.key_set, Suite.HYBRID, NOW, size)[0].region == "xar"
    assert directory.counts(key, size)
    assert not directory.counts(key)
    assert not directory.counts(key, old.log_index)
    fails(lambda: directory.signing_node(old.key_set, Suite.HYBRID, NOW), ErrorCode.KEY_REVOKED)
    fails(lambda: directory.signing_node(old.key_set, Suite.HYBRID, NOW, old.log_index), ErrorCode.KEY_UNKNOWN)


def test_a_key_carried_over_keeps_its_age_and_a_new_one_is_young(xar):
    n1 = xar.node("n1", valid_from=NOW - 20 * DAY)
    directory = directory_of(xar)

    def since() -> int | None:
        return directory.node_facts(directory.node("XAR", "n1"), NOW, Suite.HYBRID).oldest_key_since

    assert since() == NOW - 20 * DAY
    fold(directory, n1.reissued(valid_from=NOW - HOUR))
    assert since() == NOW - 20 * DAY
    n1.facts["valid_from"] = NOW - HOUR
    fold(directory, n1.rotated())
    assert since() == NOW - HOUR


def test_a_later_listing_cannot_make_a_key_younger_and_an_earlier_claim_makes_it_older(xar):
    n1 = xar.node("n1", valid_from=NOW - HOUR)
    directory = directory_of(xar)
    fold(directory, n1.reissued(valid_from=NOW - 5 * DAY), n1.reissued(valid_from=NOW))
    record = directory.node("XAR", "n1")
    assert directory.node_facts(record, NOW, Suite.HYBRID).oldest_key_since == NOW - 5 * DAY


def test_a_nodes_facts_are_what_policy_may_know(xar):
    n1 = xar.node("n1", offices=("watch",), communities=("ct",), accreditation=xar.attestation("SECRET", NOW + DAY))
    directory = directory_of(xar)
    record = directory.node("XAR", "n1")
    assert directory.node_facts(record, NOW, Suite.HYBRID) == NodeFacts(
        party="XAR",
        node="n1",
        region="xar",
        offices=frozenset({"watch"}),
        communities=frozenset({"ct"}),
        accreditation_level="SECRET",
        accreditation_until=NOW + DAY,
        oldest_key_since=NOW - HOUR,
        valid=True,
    )
    assert directory.node_facts(record, NOW, Suite.CNSA).oldest_key_since is None
    assert not directory.node_facts(record, record.valid_until, Suite.HYBRID).valid
    fold(directory, xar.revocation(n1.decapsulator.fingerprint))
    assert not directory.node_facts(record, NOW, Suite.HYBRID).valid
    assert directory.node_facts(record, NOW, Suite.HYBRID, directory.size - 1).valid


def test_a_revoked_key_of_another_suite_does_not_spoil_a_nodes_facts():
    xar = nation("XAR", suites=(Suite.HYBRID, Suite.CNSA))
    n1 = xar.node("n1")
    directory = directory_of(xar)
    (cnsa,) = (key for key in n1.listed if (key.role, key.suite) == (KeyRole.NODE_KEM, Suite.CNSA))
    fold(directory, xar.revocation(cnsa.fingerprint))
    record = directory.node("XAR", "n1")
    assert directory.node_facts(record, NOW, Suite.HYBRID).valid
    assert not directory.node_facts(record, NOW, Suite.CNSA).valid


def test_a_record_expires(xar):
    xar.node("n1")
    directory = directory_of(xar)
    record = directory.node("XAR", "n1")
    assert directory.is_current(record, record.valid_until - 1)
    assert not directory.is_current(record, record.valid_until)
    fails(lambda: directory.signing_node(record.key_set, 1, record.valid_until), ErrorCode.KEY_EXPIRED)


def test_a_record_counts_from_its_entry_on_also_where_a_clock_is_a_little_behind(xar):
    xar.node("n1", valid_from=NOW + 1000)
    directory = directory_of(xar)
    assert directory.is_current(directory.node("XAR", "n1"), NOW)


# --- officers -------------------------------------------------------------------------------------------------------


def test_an_officer_holds_roles_for_agreements(xar):
    xar.officer("officer1", [Role.LIAISON], agreements=["XAR-XBO-1"])
    xar.officer("officer2", [Role.LIAISON])
    directory = directory_of(xar)
    one, everywhere = directory.officer("XAR", "officer1"), directory.officer("XAR", "officer2")
    assert one.holds(Role.LIAISON, "XAR-XBO-1")
    assert not one.holds(Role.LIAISON, "XAR-XDE-1")
    assert not one.holds(Role.PLENIPOTENTIARY, "XAR-XBO-1")
    assert everywhere.holds(Role.LIAISON, "XAR-XDE-1")


def test_a_withdrawn_officer_signs_and_connects_no_more(xar):
    officer = xar.officer("officer1")
    directory = directory_of(xar)
    size = directory.size
    fold(directory, officer.reissued(roles=()))
    fails(lambda: directory.officer_by_key(signing(officer), NOW), ErrorCode.KEY_REVOKED)
    fails(lambda: connecting(directory, officer.certificate, NOW), ErrorCode.CERTIFICATE_REVOKED)
    assert directory.officer_by_key(signing(officer), NOW, size).roles == {Role.LIAISON}
    fails(lambda: directory.officer_by_key(signing(officer), NOW, size - 1), ErrorCode.KEY_UNKNOWN)


def test_only_an_officers_signing_key_is_an_officer(xar):
    n1, officer = xar.node("n1"), xar.officer("officer1")
    directory = directory_of(xar)
    for key in (signing(n1), officer.tls_fingerprint, xar.root.fingerprint, bytes(48)):
        fails(lambda: directory.officer_by_key(key, NOW), ErrorCode.KEY_UNKNOWN)  # noqa: B023 - called at once


# --- connections ----------------------------------------------------------------------------------------------------


def test_a_connection_is_whom_its_certificate_names_if_the_key_is_listed(xar):
    held = [xar.node("n1"), xar.officer("officer1"), xar.broker("hub")]
    directory = directory_of(xar)
    for one in held:
        assert connecting(directory, one.certificate, NOW).identity == one.identity


def test_an_identity_or_key_that_is_not_listed_is_not_enrolled(xar):
    n1, n2 = xar.node("n1"), xar.node("n2")
    directory = fold(KeyDirectory({"XAR": xar.card}), xar.directory_statement, n1.statement)
    for certificate in (
        n2.certificate,
        xar.leaf(n1.identity, n2.tls.spki),
        xar.leaf(Identity("XAR", IdentityKind.OFFICER, "n1"), n1.tls.spki),
    ):
        fails(lambda: connecting(directory, certificate, NOW), ErrorCode.NOT_ENROLLED, AccessError)  # noqa: B023 - at once
    xbo = nation("XBO").node("n1")
    fails(lambda: connecting(directory, xbo.certificate, NOW), ErrorCode.PARTY_UNTRUSTED)


def test_a_rotated_key_connects_no_more_and_the_new_one_does(xar):
    n1 = xar.node("n1")
    directory = directory_of(xar)
    before = n1.certificate
    fold(directory, n1.rotated())
    fails(lambda: connecting(directory, before, NOW), ErrorCode.NOT_ENROLLED, AccessError)
    assert connecting(directory, n1.certificate, NOW).sequence == 2


@pytest.mark.parametrize("which", ["node-signing", "node-kem", "node-tls"])
def test_a_node_is_out_when_any_of_its_keys_is_revoked_until_it_has_new_ones(xar, which):
    n1 = xar.node("n1")
    directory = directory_of(xar)
    (key,) = (one for one in n1.listed if one.role.value == which)
    before = n1.certificate
    fold(directory, xar.revocation(key.fingerprint))
    fails(lambda: connecting(directory, before, NOW), ErrorCode.CERTIFICATE_REVOKED)
    fold(directory, n1.rotated())
    assert connecting(directory, n1.certificate, NOW).identity == n1.identity
    with pytest.raises((KeyFault, AccessError)):
        connecting(directory, before, NOW)


def test_a_revoked_node_comes_back_as_a_newcomer_with_a_key_that_was_never_listed(xar):
    n1 = xar.node("n1")
    directory = directory_of(xar)
    before, key = n1.certificate, n1.tls_fingerprint
    fold(directory, xar.revocation(key))
    bundle = n1.rotated()
    # Not enrolled is not refused: it may enrol, and nothing else.
    fails(lambda: connecting(directory, n1.certificate, NOW), ErrorCode.NOT_ENROLLED, AccessError)
    fails(lambda: connecting(directory, before, NOW), ErrorCode.CERTIFICATE_REVOKED)
    fold(directory, bundle)
    assert connecting(directory, n1.certificate, NOW).sequence == 2


def test_a_revoked_key_that_is_listed_no_more_is_named_as_revoked(xar):
    n1 = xar.node("n1")
    directory = directory_of(xar)
    before, key = n1.certificate, n1.tls_fingerprint
    fold(directory, n1.rotated(), xar.revocation(key))
    fails(lambda: connecting(directory, before, NOW), ErrorCode.CERTIFICATE_REVOKED)
    assert connecting(directory, n1.certificate, NOW)


def test_a_connection_ends_with_its_certificate_and_with_its_bundle(xar):
    n1 = xar.node("n1", valid_until=NOW + DAY)
    directory = directory_of(xar)
    fails(lambda: connecting(directory, n1.certificate, NOW + 31 * DAY), ErrorCode.CERTIFICATE_EXPIRED)
    fails(lambda: connecting(directory, n1.certificate, NOW + DAY), ErrorCode.CERTIFICATE_EXPIRED)
    fails(lambda: connecting(directory, n1.certificate, NOW - 2 * HOUR), ErrorCode.CLOCK_WINDOW)


# --- authorities ----------------------------------------------------------------------------------------------------


def test_authorities_are_those_of_the_directory_keys_in_force(xar):
    directory = directory_of(xar)
    assert directory.authorities("XAR", NOW) == (xar.authority,)
    assert directory.authorities("XAR", NOW + 89 * DAY) == ()
    assert directory.authorities("XAR", NOW - 2 * DAY) == ()


def test_a_revoked_issuing_key_is_no_authority(xar):
    directory = directory_of(xar)
    fold(directory, xar.revocation(xar.authority_secret.fingerprint(KeyRole.X509_ISSUING)))
    assert directory.authorities("XAR", NOW) == ()
