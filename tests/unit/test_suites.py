"""Suites: known answers, wire forms, and one verdict on every hostile key and signature."""

from __future__ import annotations

import json
from pathlib import Path

import cryptography_vectors
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.bindings._rust import openssl
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from nacl.bindings import crypto_sign_open
from nacl.exceptions import BadSignatureError

import builders_ed25519 as ed
from comity import suites
from comity.errors import ErrorCode, MalformedError, RejectedError, UsageError
from comity.pae import pae
from comity.suites import KemSecret, KeyRole, SigningSecret, Suite

BOTH = [Suite.HYBRID, Suite.CNSA]
VECTORS = Path(__file__).parent.parent / "vectors" / "ed25519-refused.json"


def openssl_accepts(public: bytes, message: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def libsodium_accepts(public: bytes, message: bytes, signature: bytes) -> bool:
    try:
        crypto_sign_open(signature + message, public)
    except BadSignatureError:
        return False
    return True


def refused_encodings() -> list[bytes]:
    low = {0, 1, ed.P - 1, *(y for _, y in ed.torsion())}
    return [ed.encode_y(y, sign) for y in sorted(low | set(range(ed.P, 2**255))) for sign in (0, 1)]


# --- signatures -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", BOTH)
def test_a_signature_verifies_over_exactly_what_was_signed(suite: Suite) -> None:
    secret = suites.generate_signing(suite)
    signature = secret.sign("statement", int(suite), b"body")
    message = pae("statement", int(suite), b"body")
    row = suites.spec(suite)
    assert (len(secret.public), len(signature)) == (row.signing_public_size, row.signature_size)
    assert suites.verify_signature(suite, secret.public, "statement", message, signature)
    assert not suites.verify_signature(suite, secret.public, "statement", message + b"x", signature)
    assert not suites.verify_signature(suite, secret.public, "batch", message, signature)
    other = suites.generate_signing(suite)
    assert not suites.verify_signature(suite, other.public, "statement", message, signature)


@pytest.mark.parametrize("suite", BOTH)
@pytest.mark.parametrize("where", ["first", "middle", "last"])
def test_a_signature_with_one_bit_flipped_does_not_verify(suite: Suite, where: str) -> None:
    secret = suites.generate_signing(suite)
    signature = bytearray(secret.sign("batch", int(suite)))
    signature[{"first": 0, "middle": len(signature) // 2, "last": len(signature) - 1}[where]] ^= 1
    assert not suites.verify_signature(suite, secret.public, "batch", pae("batch", int(suite)), bytes(signature))


def test_neither_half_of_a_hybrid_signature_is_enough() -> None:
    secret, other = suites.generate_signing(Suite.HYBRID), suites.generate_signing(Suite.HYBRID)
    message = pae("batch", 1)
    ours, theirs = secret.sign("batch", 1), other.sign("batch", 1)
    for forged in (ours[:64] + theirs[64:], theirs[:64] + ours[64:], ours[:64], ours[64:], b""):
        assert not suites.verify_signature(Suite.HYBRID, secret.public, "batch", message, forged)


def test_a_hybrid_half_does_not_verify_as_a_suite_of_its_own() -> None:
    secret = suites.generate_signing(Suite.HYBRID)
    signature = secret.sign("batch", 1)
    for suite in (0, 2, 3, 0x647A):
        assert not suites.verify_signature(suite, secret.public, "batch", pae("batch", 1), signature)


@pytest.mark.parametrize("suite", BOTH)
def test_private_bytes_give_the_same_key_again(suite: Suite) -> None:
    signing, kem = suites.generate_signing(suite), suites.generate_kem(suite)
    assert SigningSecret.from_private_bytes(suite, signing.to_private_bytes()).public == signing.public
    assert KemSecret.from_private_bytes(suite, kem.to_private_bytes()).public == kem.public


@pytest.mark.parametrize("suite", BOTH)
def test_a_key_shows_nothing_of_itself_as_text(suite: Suite) -> None:
    for key in (suites.generate_signing(suite), suites.generate_kem(suite)):
        shown = f"{key} {key!r}"
        assert key.to_private_bytes().hex() not in shown
        assert repr(key.to_private_bytes()) not in shown


@pytest.mark.parametrize("suite", BOTH)
@pytest.mark.parametrize("make", [SigningSecret, KemSecret])
def test_private_bytes_of_a_wrong_length_are_refused(suite: Suite, make: type) -> None:
    with pytest.raises(MalformedError):
        make.from_private_bytes(suite, bytes(33))


@pytest.mark.parametrize("suite", [0, 3, 0x647A, 0xFFFF])
def test_an_unknown_suite_is_refused(suite: int) -> None:
    for use in (suites.generate_signing, suites.generate_kem):
        with pytest.raises(MalformedError) as caught:
            use(suite)
        assert caught.value.code is ErrorCode.SUITE_NOT_ALLOWED


def test_suites_have_words() -> None:
    assert [suites.by_word(word) for word in ("hybrid", "cnsa")] == BOTH
    with pytest.raises(UsageError):
        suites.by_word("classical")


# --- Ed25519 --------------------------------------------------------------------------------------------------------


def test_the_refused_encodings_are_those_of_the_vector_file() -> None:
    vectors = json.loads(VECTORS.read_text())
    assert [bytes.fromhex(item) for item in vectors["refused"]] == refused_encodings()
    assert all(suites.ed25519_point_is_refused(bytes.fromhex(item)) for item in vectors["refused"])


def test_points_of_small_order_have_exactly_the_refused_canonical_encodings() -> None:
    refused = {0, 1, ed.P - 1, suites._ORDER_8, ed.P - suites._ORDER_8}
    assert {y for _, y in ed.torsion()} == refused
    assert all(ed.times(8, point) == (0, 1) for point in ed.torsion())


def test_honest_points_are_not_refused() -> None:
    points = [ed.encode(ed.times(scalar, ed.BASE)) for scalar in range(1, 60)]
    assert not any(suites.ed25519_point_is_refused(point) for point in points)


@pytest.mark.parametrize("which", ["key", "R"])
def test_a_refused_encoding_never_verifies(which: str) -> None:
    message = b"message"
    for encoded in refused_encodings():
        for s in (bytes(32), (1).to_bytes(32, "little")):
            public = encoded if which == "key" else ed.encode(ed.BASE)
            r = encoded if which == "R" else ed.encode(ed.BASE)
            assert not suites.ed25519_verify(public, message, r + s)


def test_without_the_rule_the_two_libraries_disagree() -> None:
    # R = identity: s * B = k * A holds for s = k * a. OpenSSL takes it, libsodium does not; the rule settles it.
    secret, message = 12345, b"message"
    key = ed.times(secret, ed.BASE)
    forged = ed.signature(secret, key, 0, message, (0, 1))
    assert openssl_accepts(ed.encode(key), message, forged)
    assert not libsodium_accepts(ed.encode(key), message, forged)
    assert suites.ed25519_point_is_refused(forged[:32])


def test_hostile_signatures_get_one_verdict_from_both_libraries() -> None:
    verdicts = {True: 0, False: 0}
    for number, key_shift in enumerate(ed.torsion()):
        for nonce_shift in ed.torsion():
            secret, message = 1000 + number, b"message %d" % number
            key = ed.add(ed.times(secret, ed.BASE), key_shift)
            good = ed.signature(secret, key, 77 + number, message, nonce_shift)
            late = int.from_bytes(good[32:], "little") + ed.L
            for hostile in (good, good[:32] + late.to_bytes(32, "little"), good[:32] + bytes(32)):
                public = ed.encode(key)
                ours = suites.ed25519_verify(public, message, hostile)
                refused = any(map(suites.ed25519_point_is_refused, (public, hostile[:32])))
                assert ours == (openssl_accepts(public, message, hostile) and not refused)
                verdicts[ours] += 1
    assert verdicts[True] >= 8
    assert verdicts[False] >= 150


@pytest.mark.parametrize("sizes", [(31, 64), (33, 64), (32, 63), (32, 65), (0, 0)])
def test_wrong_sizes_never_reach_the_library(sizes: tuple[int, int]) -> None:
    assert not suites.ed25519_verify(bytes(sizes[0]), b"", b"\x02" * sizes[1])


def test_a_directory_lists_no_key_with_a_refused_half() -> None:
    secret = suites.generate_signing(Suite.HYBRID)
    suites.check_signing_public(Suite.HYBRID, secret.public)
    for encoded in refused_encodings():
        with pytest.raises(MalformedError):
            suites.check_signing_public(Suite.HYBRID, encoded + secret.public[32:])


# --- key encapsulation ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", BOTH)
def test_what_is_encapsulated_opens_under_the_same_info_only(suite: Suite) -> None:
    secret = suites.generate_kem(suite)
    suites.check_kem_public(suite, secret.public)
    packet = suites.encapsulate(suite, secret.public, bytes(range(32)), b"info")
    assert len(packet) == suites.spec(suite).packet_size
    assert secret.decapsulate(packet, b"info") == bytes(range(32))
    for wrong_packet, wrong_info in (
        (packet, b"other"),
        (packet[:-1], b"info"),
        (b"", b"info"),
        (packet[::-1], b"info"),
    ):
        with pytest.raises(RejectedError):
            secret.decapsulate(wrong_packet, wrong_info)
    with pytest.raises(RejectedError):
        suites.generate_kem(suite).decapsulate(packet, b"info")


@pytest.mark.parametrize("suite", BOTH)
def test_info_is_at_most_4_kib(suite: Suite) -> None:
    secret = suites.generate_kem(suite)
    packet = suites.encapsulate(suite, secret.public, b"x", bytes(4096))
    assert secret.decapsulate(packet, bytes(4096)) == b"x"
    with pytest.raises(MalformedError):
        suites.encapsulate(suite, secret.public, b"x", bytes(4097))
    with pytest.raises(RejectedError):
        secret.decapsulate(packet, bytes(4097))


@pytest.mark.parametrize("suite", BOTH)
def test_kem_keys_that_are_none_are_refused(suite: Suite) -> None:
    public = suites.generate_kem(suite).public
    for wrong in (b"", public[:-1], public + b"x", b"\xff" * len(public)):
        with pytest.raises(MalformedError):
            suites.check_kem_public(suite, wrong)


def test_an_x25519_half_of_small_order_is_refused() -> None:
    public = suites.generate_kem(Suite.HYBRID).public
    for u in (0, 1):
        with pytest.raises(MalformedError):
            suites.check_kem_public(Suite.HYBRID, public[:1184] + u.to_bytes(32, "little"))


# (KEM, KDF, AEAD) ids of RFC 9180 and draft-ietf-hpke-pq to the library's objects; the suite whose keys they test.
KNOWN = {
    (0x0042, 2, 2): (Suite.CNSA, hpke.KEM.MLKEM1024, hpke.KDF.HKDF_SHA384, hpke.AEAD.AES_256_GCM),
    (0x647A, 1, 3): (Suite.HYBRID, hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305),
    (0x647A, 17, 3): (Suite.HYBRID, hpke.KEM.MLKEM768_X25519, hpke.KDF.SHAKE256, hpke.AEAD.CHACHA20_POLY1305),
}


@pytest.mark.parametrize("ids", KNOWN, ids=str)
def test_known_answers_of_the_hpke_drafts_open(ids: tuple[int, int, int]) -> None:
    suite, kem, kdf, aead = KNOWN[ids]
    with cryptography_vectors.open_vector_file("HPKE/hpke-pq-test-vectors.json", "r") as file:
        vectors = [v for v in json.load(file) if (v["kem_id"], v["kdf_id"], v["aead_id"]) == ids]
    assert vectors
    for vector in vectors:
        secret = KemSecret.from_private_bytes(suite, bytes.fromhex(vector["skRm"]))
        assert secret.public.hex() == vector["pkRm"]
        first = vector["encryptions"][0]
        opened = openssl.hpke._decrypt_with_aad(
            hpke.Suite(kem, kdf, aead),
            bytes.fromhex(vector["enc"] + first["ct"]),
            secret._key,
            info=bytes.fromhex(vector["info"]),
            aad=bytes.fromhex(first["aad"]),
        )
        assert opened.hex() == first["pt"]


# --- fingerprints ---------------------------------------------------------------------------------------------------


def test_a_fingerprint_covers_role_suite_and_key() -> None:
    base = suites.fingerprint(KeyRole.NODE_KEM, Suite.HYBRID, b"key")
    assert len(base) == suites.FINGERPRINT_SIZE
    others = {
        suites.fingerprint("node-signing", Suite.HYBRID, b"key"),
        suites.fingerprint("node-kem", Suite.CNSA, b"key"),
        suites.fingerprint("node-kem", Suite.X509, b"key"),
        suites.fingerprint("node-kem", Suite.HYBRID, b"kez"),
    }
    assert len(others | {base}) == 5
    assert suites.fingerprint("node-kem", 1, b"key") == base


def test_roles_are_those_of_the_design() -> None:
    assert [role.value for role in KeyRole] == [
        "root",
        "directory",
        "x509-issuing",
        "node-signing",
        "node-kem",
        "node-tls",
        "officer-signing",
        "officer-tls",
        "broker-tls",
        "broker-signing",
        "log",
        "witness",
    ]
    with pytest.raises(ValueError, match="superuser"):
        suites.fingerprint("superuser", Suite.HYBRID, b"key")
