"""Attacks on the key log: each starts from statements that would be taken, and changes one thing."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from builders_identity import DAY, HOUR, NOW, Held, Nation, Seeded, directory_of, fails, fold, nation
from comity import statement
from comity.errors import ConflictError, ErrorCode, KeyFault
from comity.identity import issue
from comity.identity.connecting import connecting
from comity.identity.directory import KeyDirectory
from comity.identity.state import CLOCK_SKEW_MS
from comity.keys.signer import SoftSigner
from comity.keys.tls import TlsSecret
from comity.statement import Statement, StatementSignature
from comity.suites import KeyRole, generate_signing
from comity_policy.facts import Role


@dataclass
class World:
    """Two nations, of which one has a node that is not logged yet."""

    xar: Nation
    xbo: Nation
    n1: Held
    directory: KeyDirectory

    def refuses(self, given: Statement, code: ErrorCode, kind: type = KeyFault, at_ms: int = NOW):
        """Expect that the directory refuses a statement, when asked and when told, and stays as it was."""
        size = self.directory.size
        fails(lambda: self.directory.admissible(given, at_ms), code, kind)
        error = fails(lambda: self.directory.apply(given, log_index=size, at_ms=at_ms), code, kind)
        assert self.directory.size == size
        return error


@pytest.fixture
def world() -> World:
    xar, xbo = nation("XAR"), nation("XBO")
    directory = directory_of(xar, xbo)
    return World(xar, xbo, xar.node("n1"), directory)


def another(word: str, role: KeyRole = KeyRole.DIRECTORY) -> SoftSigner:
    return SoftSigner(generate_signing(1, Seeded(word)), role)


def test_the_statements_are_taken_before_anything_is_changed(world):
    fold(world.directory, world.n1.statement, world.xar.broker().statement, world.xar.officer("o1").statement)


# --- who signs ------------------------------------------------------------------------------------------------------


def test_a_bundle_signed_by_another_partys_directory_key(world):
    world.refuses(world.xar.listing(world.n1, signers=(world.xbo.directory,)), ErrorCode.BUNDLE_REJECTED)


def test_a_bundle_signed_by_a_key_nobody_listed(world):
    world.refuses(world.xar.listing(world.n1, signers=(another("stranger"),)), ErrorCode.BUNDLE_REJECTED)


def test_a_bundle_signed_by_the_root_instead_of_a_directory_key(world):
    world.refuses(world.xar.listing(world.n1, signers=(world.xar.root,)), ErrorCode.BUNDLE_REJECTED)


def test_a_bundle_signed_by_the_node_itself(world):
    fold(world.directory, world.n1.statement)
    world.n1.sequence = 2
    world.refuses(world.xar.listing(world.n1, signers=(world.n1.signer,)), ErrorCode.BUNDLE_REJECTED)


def test_a_bundle_signed_by_the_directory_key_and_somebody_else(world):
    world.refuses(statement.cosign(world.n1.statement, another("stranger")), ErrorCode.BUNDLE_REJECTED)
    world.refuses(statement.cosign(world.n1.statement, world.xar.root), ErrorCode.BUNDLE_REJECTED)


def test_a_signature_of_the_directory_key_over_another_bundle(world):
    n2 = world.xar.node("n2")
    world.refuses(Statement(world.n1.statement.body, n2.statement.signatures), ErrorCode.BUNDLE_REJECTED)


def test_half_of_a_hybrid_signature(world):
    (whole,) = world.n1.statement.signatures
    for half in (whole.signature[:64], whole.signature[64:], bytes(64) + whole.signature[64:]):
        forged = Statement(world.n1.statement.body, (StatementSignature(whole.key, half),))
        world.refuses(forged, ErrorCode.BUNDLE_REJECTED)


def test_the_directory_key_of_one_party_lists_for_the_other_party(world):
    fields = {**world.n1.statement.fields, "party": "XBO"}
    world.refuses(statement.sign_statement(fields, world.xar.directory), ErrorCode.BUNDLE_REJECTED)


def test_an_expired_directory_key(world):
    later = NOW + 89 * DAY
    fresh = world.xar.listing(world.n1, valid_from=later, valid_until=later + DAY)
    world.refuses(fresh, ErrorCode.KEY_EXPIRED, at_ms=later)


def test_a_directory_key_that_is_not_in_force_yet(world):
    key = another("next")
    begin = NOW + CLOCK_SKEW_MS + 1
    fold(world.directory, world.xar.directory_key(key=key, sequence=2, valid_from=begin))
    early = world.xar.listing(world.n1, signers=(key,), valid_until=NOW + 2 * DAY)
    world.refuses(early, ErrorCode.BUNDLE_REJECTED)
    fold(world.directory, early, at_ms=begin)


def test_a_revoked_directory_key_signs_and_vouches_no_more(world):
    fold(world.directory, world.n1.statement)
    record = world.directory.node("XAR", "n1")
    size = world.directory.size
    fold(world.directory, world.xar.revocation(world.xar.directory.fingerprint, signer=world.xar.root))
    world.refuses(world.xar.node("n2").statement, ErrorCode.KEY_REVOKED)
    fails(lambda: world.directory.signing_node(record.key_set, 1, NOW), ErrorCode.KEY_REVOKED)
    fails(lambda: connecting(world.directory, world.n1.certificate, NOW), ErrorCode.CERTIFICATE_REVOKED)
    assert not world.directory.counts(world.n1.signer.fingerprint)
    assert world.directory.counts(world.n1.signer.fingerprint, size)
    assert world.directory.authorities("XAR", NOW) == ()


def test_after_a_revoked_directory_key_a_new_one_vouches_again(world):
    fold(world.directory, world.n1.statement)
    fold(world.directory, world.xar.revocation(world.xar.directory.fingerprint, signer=world.xar.root))
    world.xar.directory = another("next")
    world.xar.authority_secret = TlsSecret.generate(Seeded("next authority"))
    fold(world.directory, world.xar.directory_key(sequence=2, issuing_certificate=world.xar.authority_der()))
    fold(world.directory, world.n1.reissued())
    assert world.directory.counts(world.n1.signer.fingerprint)
    assert len(world.directory.authorities("XAR", NOW)) == 1


def test_a_revoked_root_ends_everything_of_its_party(world):
    fold(world.directory, world.n1.statement)
    fold(world.directory, world.xar.revocation(world.xar.root.fingerprint, signer=world.xar.root))
    for given in (world.xar.node("n2").statement, world.xar.directory_key(key=another("next"), sequence=2)):
        world.refuses(given, ErrorCode.KEY_REVOKED)
    for key in (world.xar.root, world.xar.directory, world.n1.signer):
        assert not world.directory.counts(key.fingerprint)
    assert world.directory.counts(world.xbo.directory.fingerprint)
    assert not world.directory.is_current(world.directory.node("XAR", "n1"), NOW)


def test_a_directory_key_that_the_root_did_not_list(world):
    for signer in (another("stranger", KeyRole.ROOT), world.xbo.root, world.xar.directory):
        world.refuses(world.xar.directory_key(root=signer, key=another("next"), sequence=2), ErrorCode.BUNDLE_REJECTED)


def test_a_directory_key_with_an_authority_over_another_trust_domain(world):
    stolen = world.xar.authority_der(trust_domain="xbo.example")
    given = world.xar.directory_key(key=another("next"), sequence=2, issuing_certificate=stolen)
    world.refuses(given, ErrorCode.BUNDLE_REJECTED)


def test_an_expired_directory_key_is_not_listed(world):
    begin, end = NOW - 80 * DAY, NOW - 1
    authority = world.xar.authority_der(valid_from_ms=begin, valid_until_ms=end)
    given = world.xar.directory_key(
        key=another("next"), sequence=2, issuing_certificate=authority, valid_from=begin, valid_until=end
    )
    world.refuses(given, ErrorCode.KEY_EXPIRED)


def test_full_powers_without_the_roots_signature(world):
    xar = world.xar
    envoy = xar.officer("envoy", [Role.PLENIPOTENTIARY, Role.LIAISON])
    world.refuses(xar.listing(envoy, signers=(xar.directory,)), ErrorCode.BUNDLE_REJECTED)
    world.refuses(xar.listing(envoy, signers=(xar.root,)), ErrorCode.BUNDLE_REJECTED)
    world.refuses(xar.listing(envoy, signers=(xar.directory, world.xbo.root)), ErrorCode.BUNDLE_REJECTED)
    later = statement.cosign(xar.listing(envoy, signers=(xar.directory,)), xar.root)
    fold(world.directory, later)
    assert Role.PLENIPOTENTIARY in world.directory.officer("XAR", "envoy").roles


def test_full_powers_given_to_a_liaison_by_the_directory_key_alone(world):
    officer = world.xar.officer("officer1", [Role.LIAISON])
    fold(world.directory, officer.statement)
    officer.sequence = 2
    widened = world.xar.listing(officer, signers=(world.xar.directory,), roles=(Role.PLENIPOTENTIARY,))
    world.refuses(widened, ErrorCode.BUNDLE_REJECTED)


# --- time and sequence ----------------------------------------------------------------------------------------------


def test_an_old_bundle_after_a_newer(world):
    first, second = world.n1.statement, world.n1.reissued()
    fold(world.directory, second)
    world.refuses(first, ErrorCode.SEQUENCE_STALE, ConflictError)


def test_the_same_bundle_again(world):
    fold(world.directory, world.n1.statement)
    world.refuses(world.n1.statement, ErrorCode.SEQUENCE_STALE, ConflictError)


def test_the_same_sequence_with_another_body(world):
    fold(world.directory, world.n1.statement)
    other = world.xar.listing(world.n1, region="abroad")
    error = world.refuses(other, ErrorCode.SEQUENCE_STALE, ConflictError)
    assert "another statement" in error.message
    assert "sequence 2" in error.what_to_do


def test_an_old_directory_key_after_a_newer(world):
    key = another("next")
    fold(world.directory, world.xar.directory_key(key=key, sequence=3))
    for sequence in (2, 3):
        given = world.xar.directory_key(key=another("late"), sequence=sequence)
        world.refuses(given, ErrorCode.SEQUENCE_STALE, ConflictError)


def test_a_bundle_that_outlives_the_key_that_signed_it(world):
    end = NOW + 89 * DAY
    world.refuses(world.xar.listing(world.n1, valid_until=end + 1), ErrorCode.BUNDLE_REJECTED)
    fold(world.directory, world.xar.listing(world.n1, valid_until=end))


def test_a_bundle_that_has_expired(world):
    world.refuses(world.xar.listing(world.n1, valid_until=NOW), ErrorCode.KEY_EXPIRED)


def test_a_bundle_that_would_put_a_node_out_until_it_begins(world):
    late = world.xar.listing(world.n1, valid_from=NOW + CLOCK_SKEW_MS + 1)
    world.refuses(late, ErrorCode.CLOCK_WINDOW)
    fold(world.directory, world.xar.listing(world.n1, valid_from=NOW + CLOCK_SKEW_MS))


# --- names and keys -------------------------------------------------------------------------------------------------


def test_one_name_for_a_node_and_an_officer(world):
    fold(world.directory, world.n1.statement)
    for other in (world.xar.officer("n1"), world.xar.broker("n1")):
        other.sequence = 2
        world.refuses(world.xar.listing(other), ErrorCode.BUNDLE_REJECTED)


@pytest.mark.parametrize("which", ["node-signing", "node-kem", "node-tls"])
@pytest.mark.parametrize("party", ["xar", "xbo"])
def test_a_key_listed_twice_under_two_nodes(world, which, party):
    fold(world.directory, world.n1.statement)
    thief = getattr(world, party).node("thief")
    stolen = [pair for pair in world.n1.keys if pair[0].value == which]
    thief.keys = [pair for pair in thief.keys if pair[0].value != which] + stolen
    world.refuses(thief.nation.listing(thief), ErrorCode.BUNDLE_REJECTED)


def test_a_key_that_was_rotated_away_is_not_free_for_others(world):
    fold(world.directory, world.n1.statement)
    old = world.n1.keys
    fold(world.directory, world.n1.rotated())
    thief = world.xar.node("thief")
    thief.keys = old
    world.refuses(world.xar.listing(thief), ErrorCode.BUNDLE_REJECTED)


def test_one_key_in_two_roles(world):
    """The same key as a node's and an officer's, and a directory key as a node's: one key, one role."""
    officer = world.xar.officer("officer1")
    fold(world.directory, officer.statement)
    world.n1.keys[0] = (KeyRole.NODE_SIGNING, officer.keys[0][1])
    world.refuses(world.xar.listing(world.n1), ErrorCode.BUNDLE_REJECTED)
    world.n1.keys[0] = (KeyRole.NODE_SIGNING, world.xar.directory_secret)
    world.refuses(world.xar.listing(world.n1), ErrorCode.BUNDLE_REJECTED)


def test_a_tls_key_that_is_the_issuing_key(world):
    world.n1.keys[-1] = (KeyRole.NODE_TLS, world.xar.authority_secret)
    world.refuses(world.xar.listing(world.n1), ErrorCode.BUNDLE_REJECTED)


def test_a_directory_key_that_is_another_partys_or_a_nodes(world):
    fold(world.directory, world.n1.statement)
    for signer in (world.xbo.directory, world.n1.signer):
        world.refuses(world.xar.directory_key(key=signer, sequence=2), ErrorCode.BUNDLE_REJECTED)


def test_a_revoked_key_is_not_listed_again(world):
    fold(world.directory, world.n1.statement, world.xar.revocation(world.n1.signer.fingerprint))
    world.refuses(world.n1.reissued(), ErrorCode.KEY_REVOKED)
    fold(world.directory, world.n1.rotated())


# --- revocations ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["root", "directory", "itself"])
def test_a_key_is_revoked_by_root_directory_key_or_itself(world, by):
    signer = {"root": world.xar.root, "directory": world.xar.directory, "itself": world.n1.signer}[by]
    key = world.n1.signer.fingerprint
    fold(world.directory, world.n1.statement, world.xar.revocation(key, signer=signer, compromised_at=NOW - DAY))
    revocation = world.directory.revocation(key)
    assert (revocation.log_index, revocation.at_ms, revocation.compromised_at) == (4, NOW, NOW - DAY)
    assert world.directory.revocation(key, 4) is None
    assert not world.directory.counts(key)


@pytest.mark.parametrize("by", ["node", "officer", "party", "nobody"])
def test_a_revocation_by_a_stranger(world, by):
    n2, officer = world.xar.node("n2"), world.xar.officer("officer1", [Role.SECURITY_AUTHORITY])
    fold(world.directory, world.n1.statement, n2.statement, officer.statement)
    signers = {"node": n2.signer, "officer": officer.signer, "party": world.xbo.directory, "nobody": another("x")}
    given = world.xar.revocation(world.n1.signer.fingerprint, signer=signers[by])
    world.refuses(given, ErrorCode.BUNDLE_REJECTED)
    assert world.directory.counts(world.n1.signer.fingerprint)


def test_a_party_revokes_its_own_keys_only(world):
    fold(world.directory, world.n1.statement)
    given = world.xbo.revocation(world.n1.signer.fingerprint)
    world.refuses(given, ErrorCode.BUNDLE_REJECTED)


def test_a_key_that_was_never_listed_cannot_be_revoked(world):
    world.refuses(world.xar.revocation(world.n1.signer.fingerprint), ErrorCode.KEY_UNKNOWN)


@pytest.mark.parametrize("target", ["root", "directory"])
def test_a_stolen_directory_key_cannot_revoke_the_root_or_its_successor(world, target):
    key = another("next")
    fold(world.directory, world.xar.directory_key(key=key, sequence=2))
    targets = {"root": world.xar.root.fingerprint, "directory": key.fingerprint}
    world.refuses(world.xar.revocation(targets[target]), ErrorCode.BUNDLE_REJECTED)
    fold(world.directory, world.xar.revocation(world.xar.directory.fingerprint))
    assert world.directory.counts(key.fingerprint)


def test_a_key_that_cannot_sign_statements_does_not_revoke_itself(world):
    fold(world.directory, world.n1.statement)
    given = world.xar.revocation(world.n1.decapsulator.fingerprint, signer=world.n1.signer)
    world.refuses(given, ErrorCode.BUNDLE_REJECTED)


def test_a_thief_cannot_fix_the_time_of_compromise_or_undo_a_revocation(world):
    fold(world.directory, world.n1.statement)
    key = world.n1.signer.fingerprint
    fold(world.directory, world.xar.revocation(key, signer=world.n1.signer))
    world.refuses(world.xar.revocation(key, signer=world.n1.signer, reason="again"), ErrorCode.KEY_REVOKED)
    fold(world.directory, world.xar.revocation(key, compromised_at=NOW - 9 * DAY), at_ms=NOW + HOUR)
    revocation = world.directory.revocation(key)
    assert (revocation.compromised_at, revocation.log_index, revocation.at_ms) == (NOW - 9 * DAY, 4, NOW)
    assert world.directory.revocation(key, 5).compromised_at == 0
    world.refuses(world.xar.revocation(key, compromised_at=1), ErrorCode.KEY_REVOKED)
    fold(world.directory, world.xar.revocation(key, signer=world.xar.root, compromised_at=NOW - 2 * DAY))
    assert world.directory.revocation(key).compromised_at == NOW - 2 * DAY


def test_a_revocation_with_two_signatures(world):
    fold(world.directory, world.n1.statement)
    given = statement.cosign(world.xar.revocation(world.n1.signer.fingerprint), world.xar.root)
    world.refuses(given, ErrorCode.BUNDLE_REJECTED)


@pytest.mark.parametrize("when", ["issued_at", "compromised_at"])
def test_a_revocation_of_a_later_time_than_now(world, when):
    fold(world.directory, world.n1.statement)
    given = world.xar.revocation(world.n1.signer.fingerprint, **{when: NOW + CLOCK_SKEW_MS + 1})
    world.refuses(given, ErrorCode.CLOCK_WINDOW)


def test_a_revocation_whose_signature_is_of_another_revocation(world):
    n2 = world.xar.node("n2")
    fold(world.directory, world.n1.statement, n2.statement)
    body = world.xar.revocation(world.n1.signer.fingerprint).body
    forged = Statement(body, world.xar.revocation(n2.signer.fingerprint).signatures)
    world.refuses(forged, ErrorCode.BUNDLE_REJECTED)


def test_a_revocation_of_the_issuing_key_by_the_directory_key_is_taken(world):
    key = world.xar.authority_secret.fingerprint(KeyRole.X509_ISSUING)
    given = issue.revocation(world.xar.directory, party="XAR", key=key, reason="lost", issued_at=NOW)
    fold(world.directory, given)
    assert not world.directory.counts(key)
