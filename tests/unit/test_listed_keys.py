"""Keys in statements: how many of what role, and no key that a library would take and ours must not."""

from __future__ import annotations

import pytest

import builders_ed25519
from builders_identity import DAY, NOW, Seeded, malformed, nation, signed_again
from comity.errors import ErrorCode
from comity.identity import issue
from comity.identity.bodies import read_body
from comity.identity.listed import ListedKey
from comity.keys.tls import TlsSecret
from comity.statement import Statement
from comity.suites import KeyRole, Suite, generate_kem, generate_signing

XAR = nation("XAR")
N1, OFFICER, HUB = XAR.node("n1"), XAR.officer("officer1"), XAR.broker("hub")


def bundle(*keys: ListedKey):
    validity = {"valid_from": NOW, "valid_until": NOW + DAY, "sequence": 1}
    return issue.node_bundle(XAR.directory, party="XAR", node="n1", region="xar", keys=keys, **validity)


SIGNING, KEM, TLS = (
    next(key for key in N1.listed if key.role.value == f"node-{word}") for word in ("signing", "kem", "tls")
)
SECOND = {
    "signing": ListedKey(KeyRole.NODE_SIGNING, 1, generate_signing(1, Seeded("2")).public),
    "kem": ListedKey(KeyRole.NODE_KEM, 1, generate_kem(1, Seeded("2")).public),
    "tls": ListedKey(KeyRole.NODE_TLS, 0, TlsSecret.generate(Seeded("2")).spki),
    "third tls": ListedKey(KeyRole.NODE_TLS, 0, TlsSecret.generate(Seeded("3")).spki),
    "cnsa signing": ListedKey(KeyRole.NODE_SIGNING, 2, generate_signing(2, Seeded("2")).public),
    "cnsa kem": ListedKey(KeyRole.NODE_KEM, 2, generate_kem(2, Seeded("2")).public),
}


@pytest.mark.parametrize("more", [(), ("tls",), ("cnsa signing", "cnsa kem")])
def test_a_node_lists_a_signing_and_a_kem_key_of_each_suite_and_up_to_two_tls_keys(more):
    body = read_body(bundle(SIGNING, KEM, TLS, *(SECOND[name] for name in more)))
    assert len(body.keys) == 3 + len(more)


@pytest.mark.parametrize(
    "keys",
    [
        (),
        (TLS,),
        (KEM, TLS),
        (SIGNING, TLS),
        (SIGNING, KEM),
        (SIGNING, KEM, TLS, SECOND["signing"]),
        (SIGNING, KEM, TLS, SECOND["kem"]),
        (SIGNING, KEM, TLS, SECOND["cnsa signing"]),
        (SIGNING, KEM, TLS, SECOND["cnsa kem"]),
        (SIGNING, SECOND["cnsa kem"], TLS),
        (SIGNING, KEM, TLS, SECOND["tls"], SECOND["third tls"]),
        (SIGNING, KEM, TLS, TLS),
        (SIGNING, KEM, TLS, OFFICER.listed[0]),
        (SIGNING, KEM, TLS, ListedKey(KeyRole.ROOT, 1, XAR.root.public)),
    ],
)
def test_a_node_with_other_keys_is_refused(keys):
    malformed(lambda: bundle(*keys))


def listing_of(role: str, suite: int, public: bytes) -> Statement:
    keys = [
        {"role": key.role.value, "suite": int(key.suite), "public": key.public.hex()}
        for key in (KEM, SIGNING, TLS)
        if key.role.value != role
    ]
    keys.append({"role": role, "suite": suite, "public": public.hex()})
    return signed_again(N1.statement, keys=sorted(keys, key=lambda key: (key["role"], key["suite"], key["public"])))


def test_the_rewritten_listing_is_one_before_anything_is_changed():
    assert read_body(listing_of("node-kem", 1, KEM.public))
    assert read_body(listing_of("node-signing", 1, SIGNING.public))
    assert read_body(listing_of("node-tls", 0, TLS.public))


SMALL_ORDER_X25519 = [bytes(32), b"\x01" + bytes(31), bytes.fromhex("ecffffff" + "ff" * 27 + "7f")]


@pytest.mark.parametrize("point", SMALL_ORDER_X25519)
def test_a_kem_key_of_small_order_is_never_listed(point):
    malformed(lambda: read_body(listing_of("node-kem", 1, KEM.public[:-32] + point)))


@pytest.mark.parametrize("y", [0, 1, builders_ed25519.P - 1, builders_ed25519.P, builders_ed25519.P + 1])
def test_a_signing_key_whose_ed25519_half_is_of_small_order_is_never_listed(y):
    malformed(lambda: read_body(listing_of("node-signing", 1, builders_ed25519.encode_y(y, 0) + SIGNING.public[32:])))


@pytest.mark.parametrize(
    ("role", "suite", "public", "code"),
    [
        ("node-signing", 1, SIGNING.public[:-1], ErrorCode.MALFORMED),
        ("node-signing", 1, SIGNING.public[:32], ErrorCode.MALFORMED),
        ("node-signing", 2, SIGNING.public, ErrorCode.MALFORMED),
        ("node-signing", 0, SIGNING.public, ErrorCode.SUITE_NOT_ALLOWED),
        ("node-signing", 9, SIGNING.public, ErrorCode.SUITE_NOT_ALLOWED),
        ("node-kem", 1, KEM.public[:-1], ErrorCode.MALFORMED),
        ("node-kem", 1, b"\xff" * 1216, ErrorCode.MALFORMED),
        ("node-kem", 2, KEM.public, ErrorCode.MALFORMED),
        ("node-tls", 1, TLS.public, ErrorCode.MALFORMED),
        ("node-tls", 0, TLS.public[:-1], ErrorCode.MALFORMED),
        ("node-tls", 0, SIGNING.public, ErrorCode.MALFORMED),
    ],
)
def test_a_key_of_another_size_suite_or_form_is_never_listed(role, suite, public, code):
    malformed(lambda: read_body(listing_of(role, suite, public)), code)


@pytest.mark.parametrize(
    "public",
    [
        b"",
        b"\x02" + bytes(32),
        b"\x01" + SIGNING.public[:31],
        b"\x06" + SIGNING.public[:32],
        b"\x01" + bytes(32),
        b"\x01\x01" + bytes(31),
    ],
)
def test_a_log_key_is_a_c2sp_key_of_its_size(public):
    malformed(lambda: ListedKey(KeyRole.LOG, Suite.X509, public))
    malformed(lambda: ListedKey(KeyRole.LOG, Suite.HYBRID, HUB.log_keys[0].public))


def test_keys_are_listed_in_one_order():
    keys = N1.statement.fields["keys"]
    malformed(lambda: read_body(signed_again(N1.statement, keys=keys[::-1])))


def test_a_broker_needs_signing_and_tls_keys_and_an_officer_a_signing_key():
    for role in ("broker-signing", "broker-tls"):
        keys = [key for key in HUB.statement.fields["keys"] if key["role"] != role]
        malformed(lambda: read_body(signed_again(HUB.statement, keys=keys)))  # noqa: B023 - called at once
    keys = [key for key in OFFICER.statement.fields["keys"] if key["role"] != "officer-signing"]
    malformed(lambda: read_body(signed_again(OFFICER.statement, keys=keys)))
    withdrawn = read_body(signed_again(OFFICER.statement, keys=[], roles=[]))
    assert withdrawn.roles == frozenset()
