"""Certificates: what the rules refuse, and what a real handshake makes of them."""

from __future__ import annotations

import contextlib
from base64 import b64encode
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from builders_certificates import crafted_leaf, uri
from builders_identity import DAY, NOW, Seeded, fails, nation
from comity.errors import ComityError, ErrorCode, KeyFault, MalformedError
from comity.identity.certificates import (
    check_leaf,
    check_spki,
    key_usage,
    read_authority,
    read_leaf,
    require_time,
    spki_of,
    utc,
)
from comity.identity.names import Identity, IdentityKind
from comity.keys.tls import (
    TlsSecret,
    certificate_request,
    from_pem,
    issue_authority,
    issue_leaf,
    spki_of_request,
    to_pem,
)
from comity.suites import KeyRole, Suite, fingerprint

XAR = nation("XAR")
N1 = Identity("XAR", IdentityKind.NODE, "n1")
HUB = Identity("XAR", IdentityKind.BROKER, "hub")
KEY = TlsSecret.generate(Seeded("key"))


# --- authorities ----------------------------------------------------------------------------------------------------


def test_an_authority_is_constrained_to_its_trust_domain():
    authority = read_authority(XAR.authority_der())
    assert authority.trust_domain == "xar.example"
    assert authority.spki == XAR.authority_secret.spki
    assert (authority.not_before_ms, authority.not_after_ms) == (NOW - DAY, NOW + 89 * DAY + 1000)


def test_certificates_are_a_function_of_their_inputs():
    assert XAR.authority_der() == XAR.authority_der()
    assert XAR.leaf(N1, KEY.spki) == XAR.leaf(N1, KEY.spki)
    assert XAR.leaf(N1, KEY.spki, random_bytes=Seeded("other serial")) != XAR.leaf(N1, KEY.spki)


CONSTRAINT = [x509.UniformResourceIdentifier("xar.example"), x509.DNSName("xar.example")]


def crafted_authority(
    *,
    ca: bool = True,
    path_length: int | None = 0,
    usage: x509.KeyUsage | None = None,
    permitted: list[x509.GeneralName] | None = None,
    excluded: list[x509.GeneralName] | None = None,
    critical: bool = True,
    more: x509.ExtensionType | None = None,
    key=None,
    signer=None,
    algorithm=None,
) -> bytes:
    """Give an issuing certificate with one thing changed."""
    key = key or ec.derive_private_key(7, ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "crafted")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(datetime.fromtimestamp(NOW // 1000, UTC))
        .not_valid_after(datetime.fromtimestamp((NOW + DAY) // 1000, UTC))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=path_length), critical=True)
        .add_extension(usage or key_usage(sign_certificates=True), critical=True)
        .add_extension(
            x509.NameConstraints(CONSTRAINT if permitted is None else permitted, excluded), critical=critical
        )
    )
    if more is not None:
        builder = builder.add_extension(more, critical=False)
    signed = builder.sign(signer or key, algorithm or hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.DER)


def test_the_crafted_authority_is_one_before_anything_is_changed():
    assert read_authority(crafted_authority()).trust_domain == "xar.example"


@pytest.mark.parametrize(
    "changes",
    [
        {"ca": False, "path_length": None},
        {"path_length": None},
        {"path_length": 1},
        {"usage": key_usage(sign_certificates=False)},
        {"permitted": CONSTRAINT[:1]},
        {"permitted": CONSTRAINT[1:]},
        {"permitted": [*CONSTRAINT, x509.DNSName("xbo.example")]},
        {"permitted": [CONSTRAINT[0], x509.DNSName("xbo.example")]},
        {"permitted": [x509.UniformResourceIdentifier(".example"), x509.DNSName(".example")]},
        {"permitted": [x509.UniformResourceIdentifier("XAR.example"), x509.DNSName("XAR.example")]},
        {"permitted": [*CONSTRAINT, x509.RFC822Name("xar.example")]},
        {"permitted": [x509.RFC822Name("xar.example"), x509.RFC822Name("xbo.example")]},
        {"excluded": [x509.DNSName("xbo.example")]},
        {"critical": False},
        {"more": x509.OCSPNoCheck()},
        {"signer": ec.derive_private_key(8, ec.SECP256R1())},
        {"key": ec.derive_private_key(7, ec.SECP384R1())},
        {"algorithm": hashes.SHA384()},
        {"key": rsa.generate_private_key(65537, 2048)},
    ],
)
def test_an_authority_that_could_do_more_than_it_should_is_refused(changes):
    with pytest.raises(MalformedError):
        read_authority(crafted_authority(**changes))


@pytest.mark.parametrize("der", [b"", b"\x30\x00", crafted_authority() + b"\x00", bytes(5000)])
def test_bytes_that_are_no_certificate_are_refused(der):
    with pytest.raises(MalformedError):
        read_authority(der)
    with pytest.raises(MalformedError):
        read_leaf(der)


@pytest.mark.parametrize(
    "domain", ["", "XAR.example", "xar..example", "-xar.example", "xar.example.", "10.0.0.1", "x" * 65]
)
def test_a_trust_domain_that_is_no_dns_name_gets_no_authority(domain):
    with pytest.raises(MalformedError):
        XAR.authority_der(trust_domain=domain)


def test_what_is_over_its_limit_is_not_decoded():
    for use in (read_authority, read_leaf, spki_of_request):
        fails(lambda: use(bytes(4097)), ErrorCode.LIMIT_EXCEEDED, MalformedError)  # noqa: B023 - called at once


# --- leaves ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("identity", "uri", "dns"),
    [
        (N1, "spiffe://xar.example/node/n1", ""),
        (Identity("XAR", IdentityKind.OFFICER, "officer1"), "spiffe://xar.example/officer/officer1", ""),
        (HUB, "spiffe://xar.example/broker/hub", "hub.xar.example"),
    ],
)
def test_a_leaf_names_its_identity_and_only_a_broker_has_a_dns_name(identity, uri, dns):
    leaf = check_leaf(XAR.leaf(identity, KEY.spki), XAR.authority, NOW)
    assert (str(leaf.spiffe), leaf.dns_name, leaf.spki) == (uri, dns, KEY.spki)


def usages(identity: Identity) -> set[x509.ObjectIdentifier]:
    certificate = x509.load_der_x509_certificate(XAR.leaf(identity, KEY.spki))
    return set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


def test_nodes_call_and_brokers_also_serve():
    assert usages(N1) == {ExtendedKeyUsageOID.CLIENT_AUTH}
    assert usages(HUB) == {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH}


def test_a_leaf_lives_no_longer_than_its_authority():
    leaf = read_leaf(XAR.leaf(N1, KEY.spki, valid_from_ms=NOW - 10 * DAY, valid_until_ms=NOW + 900 * DAY))
    assert leaf.not_before_ms == XAR.authority.not_before_ms
    assert leaf.not_after_ms == XAR.authority.not_after_ms
    late = {"valid_from_ms": NOW + 100 * DAY, "valid_until_ms": NOW + 101 * DAY}
    fails(lambda: XAR.leaf(N1, KEY.spki, **late), ErrorCode.CERTIFICATE_EXPIRED)


def test_only_the_authoritys_own_key_issues():
    use = {"identity": N1, "spki": KEY.spki, "valid_from_ms": NOW, "valid_until_ms": NOW + DAY}
    fails(lambda: issue_leaf(KEY, XAR.authority, **use), ErrorCode.KEY_UNKNOWN)


def test_an_expired_leaf_and_a_clock_behind_say_what_they_are():
    der = XAR.leaf(N1, KEY.spki)
    leaf = read_leaf(der)
    assert check_leaf(der, XAR.authority, leaf.not_before_ms)
    assert check_leaf(der, XAR.authority, leaf.not_after_ms - 1)
    fails(lambda: check_leaf(der, XAR.authority, leaf.not_after_ms), ErrorCode.CERTIFICATE_EXPIRED)
    behind = fails(lambda: check_leaf(der, XAR.authority, leaf.not_before_ms - 90_000), ErrorCode.CLOCK_WINDOW)
    assert "90 s" in behind.message
    assert "clock" in behind.what_to_do
    assert behind.exit_code == 16


def test_a_leaf_of_another_authority_is_not_taken():
    other = nation("XBO").leaf(Identity("XBO", IdentityKind.NODE, "n1"), KEY.spki)
    fails(lambda: check_leaf(other, XAR.authority, NOW), ErrorCode.UNAUTHENTICATED)


NODE_URI, BROKER_URI = uri("spiffe://xar.example/node/n1"), uri("spiffe://xar.example/broker/hub")


def test_the_crafted_leaf_is_one_before_anything_is_changed():
    assert check_leaf(crafted_leaf(XAR, [NODE_URI]), XAR.authority, NOW).spiffe.name == "n1"
    assert check_leaf(crafted_leaf(XAR, [BROKER_URI, x509.DNSName("hub.xar.example")]), XAR.authority, NOW)


@pytest.mark.parametrize(
    "names",
    [
        [],
        [x509.DNSName("hub.xar.example")],
        [NODE_URI, BROKER_URI],
        [NODE_URI, x509.DNSName("n1.xar.example")],
        [NODE_URI, x509.RFC822Name("n1@xar.example")],
        [BROKER_URI],
        [BROKER_URI, x509.DNSName("hub2.xar.example")],
        [BROKER_URI, x509.DNSName("hub.xar.example"), x509.DNSName("n1.xar.example")],
        [uri("spiffe://xar.example/king/n1")],
        [uri("spiffe://xar.example/node/n1/x")],
        [uri("spiffe://xar.example/node/-n1")],
        [uri("spiffe://xar.example/node/N1")],
        [uri("spiffe://xar.example/node/n1?x=1")],
        [uri("spiffe://xar.example:443/node/n1")],
        [uri("spiffe://u@xar.example/node/n1")],
        [uri("https://xar.example/node/n1")],
    ],
)
def test_a_leaf_with_other_names_than_it_may_have_is_refused(names):
    with pytest.raises(MalformedError):
        read_leaf(crafted_leaf(XAR, names))


@pytest.mark.parametrize(
    "changes",
    [
        {"ca": True},
        {"more": [x509.OCSPNoCheck()]},
        {"key": ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()},
        {"key": ec.derive_private_key(7, ec.SECP384R1()).public_key()},
    ],
)
def test_a_leaf_with_another_key_or_extension_is_refused(changes):
    with pytest.raises(MalformedError):
        read_leaf(crafted_leaf(XAR, [NODE_URI], **changes))


def test_a_leaf_of_another_trust_domain_is_refused_also_where_no_handshake_checks_it():
    der = crafted_leaf(XAR, [uri("spiffe://xbo.example/node/n1")])
    fails(lambda: check_leaf(der, XAR.authority, NOW), ErrorCode.UNAUTHENTICATED)


# --- keys and requests ----------------------------------------------------------------------------------------------


def test_a_request_proves_its_key_and_decides_nothing():
    assert spki_of_request(certificate_request(KEY, N1, "xar.example")) == KEY.spki


def test_a_request_that_its_key_did_not_sign_is_refused():
    der = bytearray(certificate_request(KEY, N1, "xar.example"))
    der[-1] ^= 1
    for wrong in (bytes(der), b"", bytes(5000)):
        with pytest.raises(MalformedError):
            spki_of_request(wrong)


def compressed(secret: TlsSecret) -> bytes:
    key = serialization.load_der_public_key(secret.spki)
    point = key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint)
    return b"\x30\x39" + secret.spki[2:23] + b"\x03\x22\x00" + point


@pytest.mark.parametrize(
    "spki",
    [b"", KEY.spki[:-1], KEY.spki + b"\x00", KEY.spki[:27] + bytes(64), compressed(KEY)],
)
def test_an_spki_has_one_encoding(spki):
    assert serialization.load_der_public_key(compressed(KEY)) == serialization.load_der_public_key(KEY.spki)
    with pytest.raises(MalformedError):
        check_spki(spki)


def test_a_tls_key_comes_back_and_no_other_key_does():
    assert TlsSecret.from_private_bytes(KEY.to_private_bytes()).spki == KEY.spki
    other = rsa.generate_private_key(65537, 2048)
    wrong = other.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    p384 = ec.derive_private_key(7, ec.SECP384R1()).private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for data in (b"", wrong, p384):
        with pytest.raises(MalformedError):
            TlsSecret.from_private_bytes(data)
    with pytest.raises(MalformedError):
        spki_of(other.public_key())


def test_a_fingerprint_is_of_the_spki_in_its_role():
    assert KEY.fingerprint(KeyRole.NODE_TLS) == fingerprint(KeyRole.NODE_TLS, Suite.X509, KEY.spki)
    assert KEY.fingerprint(KeyRole.NODE_TLS) != KEY.fingerprint(KeyRole.OFFICER_TLS)


def test_pem_holds_one_certificate_when_a_connection_shows_it():
    der = XAR.leaf(N1, KEY.spki)
    assert from_pem(to_pem([der])) == der
    unknown_version = der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x6a", 1)
    as_pem = b"-----BEGIN CERTIFICATE-----\n" + b64encode(unknown_version) + b"\n-----END CERTIFICATE-----\n"
    for wrong in (b"", b"x", to_pem([der, XAR.authority.der]), as_pem):
        with pytest.raises(MalformedError):
            from_pem(wrong)


def test_times_are_shown_also_where_the_calendar_ends():
    assert utc(0) == "1970-01-01T00:00:00Z"
    assert utc(2**52).endswith("ms")
    with pytest.raises(KeyFault):
        require_time("XAR/n1", 0, 1, 2**52)


def test_an_authority_begins_and_ends_with_whole_seconds_around_what_is_asked():
    der = issue_authority(
        KEY, party="XAR", trust_domain="xar.example", valid_from_ms=NOW + 999, valid_until_ms=NOW + DAY + 1
    )
    authority = read_authority(der)
    assert authority.not_before_ms <= NOW + 999
    assert authority.not_after_ms >= NOW + DAY + 1


@pytest.mark.parametrize("change", [1, 2, 0x30, 0xFF])
def test_no_changed_byte_of_a_request_or_certificate_gets_anything_but_a_typed_refusal(change):
    """A changed algorithm, for one, is something that the library names in a way of its own."""
    leaf = XAR.leaf(N1, KEY.spki)
    readers = [
        (certificate_request(KEY, N1, "xar.example"), spki_of_request),
        (leaf, lambda der: check_leaf(der, XAR.authority, XAR.now)),
        (XAR.authority.der, read_authority),
        (KEY.spki, check_spki),
    ]
    for der, read in readers:
        for place in range(len(der)):
            wrong = bytearray(der)
            wrong[place] ^= change
            with contextlib.suppress(ComityError):
                read(bytes(wrong))
