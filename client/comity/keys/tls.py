"""TLS keys and certificates: a party's X.509 authority, and the leaves it issues (design 03, "Keys and trust").

Rules in order:
1. Keys are ECDSA P-256, signatures deterministic (RFC 6979): a certificate is a function of its inputs.
2. An authority is constrained to its party's trust domain (`comity.identity.certificates` has the form of both).
3. A leaf begins and ends within its authority's validity. Brokers may serve and call, nodes and officers only call.
4. A certificate's times are whole seconds: the beginning is rounded down, the end up for an authority and down for a leaf.
5. A request names an identity and proves its key; a party issues for the identity it decided on, never for the one a
   request names.

Randomness is an argument; times are Unix milliseconds.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from comity.errors import ErrorCode, KeyFault, MalformedError
from comity.identity.certificates import Authority, decoding, key_usage, p256, read_authority, read_leaf, spki_of, utc
from comity.identity.names import Identity, IdentityKind, check_party, check_trust_domain
from comity.suites import KeyRole, RandomBytes, Suite, fingerprint

LEAF_DAYS: Final = 30
REQUEST_LIMIT: Final = 4096

_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


class TlsSecret:
    """A private P-256 key, of an authority or a leaf. Its text form shows nothing of it."""

    __slots__ = ("_key", "spki")

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key
        self.spki = spki_of(key.public_key())

    @classmethod
    def generate(cls, random_bytes: RandomBytes = os.urandom) -> TlsSecret:
        """Make a fresh key."""
        # 64 bits more than the order has, so that the remainder is as good as uniform (FIPS 186-5, A.2.1).
        scalar = int.from_bytes(random_bytes(40), "big") % (_ORDER - 1) + 1
        return cls(ec.derive_private_key(scalar, ec.SECP256R1()))

    @classmethod
    def from_private_bytes(cls, data: bytes) -> TlsSecret:
        """Rebuild a key from `to_private_bytes`; raises MalformedError."""
        try:
            key = serialization.load_der_private_key(data, None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise MalformedError("a private TLS key does not decode") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise MalformedError("a private TLS key is ECDSA P-256")
        return cls(key)

    def to_private_bytes(self) -> bytes:
        """Give the key as PKCS#8 DER, for an encrypted key file."""
        return self._encoded(serialization.Encoding.DER)

    def pem(self) -> bytes:
        """Give the key as unencrypted PKCS#8 PEM, for the TLS library in this process: never write it anywhere."""
        return self._encoded(serialization.Encoding.PEM)

    def fingerprint(self, role: KeyRole) -> bytes:
        """Give the 48-byte fingerprint of the key in that role."""
        return fingerprint(role, Suite.X509, self.spki)

    def sign_certificate(self, builder: x509.CertificateBuilder) -> bytes:
        """Sign a certificate and give its DER."""
        signed = builder.sign(self._key, hashes.SHA256(), ecdsa_deterministic=True)
        return signed.public_bytes(serialization.Encoding.DER)

    def sign_request(self, builder: x509.CertificateSigningRequestBuilder) -> bytes:
        """Sign a certificate request and give its DER."""
        signed = builder.sign(self._key, hashes.SHA256(), ecdsa_deterministic=True)
        return signed.public_bytes(serialization.Encoding.DER)

    def _encoded(self, encoding: serialization.Encoding) -> bytes:
        return self._key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())

    def __repr__(self) -> str:
        return "TlsSecret()"


def issue_authority(
    secret: TlsSecret,
    *,
    party: str,
    trust_domain: str,
    valid_from_ms: int,
    valid_until_ms: int,
    random_bytes: RandomBytes = os.urandom,
) -> bytes:
    """Make a party's self-signed issuing certificate, valid at least from and until the given times; gives DER."""
    name = _name(check_party(party), f"{party} issuing")
    domain = check_trust_domain(trust_domain)
    permitted = [x509.UniformResourceIdentifier(domain), x509.DNSName(domain)]
    builder = (
        _builder(secret.spki, name, name, random_bytes)
        .not_valid_before(_second(valid_from_ms))
        .not_valid_after(_second(valid_until_ms + 999))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(key_usage(sign_certificates=True), critical=True)
        .add_extension(x509.NameConstraints(permitted_subtrees=permitted, excluded_subtrees=None), critical=True)
    )
    der = secret.sign_certificate(builder)
    read_authority(der)
    return der


def issue_leaf(
    secret: TlsSecret,
    authority: Authority,
    *,
    identity: Identity,
    spki: bytes,
    valid_from_ms: int,
    valid_until_ms: int,
    random_bytes: RandomBytes = os.urandom,
) -> bytes:
    """Issue a leaf for an identity's TLS key (SPKI DER), by the authority whose private key `secret` is; gives DER.

    A validity that reaches beyond the authority's is cut to it. Raises KeyFault when nothing is left, when `secret` is not
    the authority's key, or the authority has expired; MalformedError for an SPKI that is none.
    """
    if secret.spki != authority.spki:
        raise KeyFault("the private key is not that of the issuing certificate")
    begin, end = max(valid_from_ms, authority.not_before_ms), min(valid_until_ms, authority.not_after_ms)
    if end // 1000 - begin // 1000 < 1:
        raise KeyFault(
            f"the issuing certificate ends at {utc(authority.not_after_ms)}: no certificate can be issued with it",
            what_to_do="Have the party's root list a new directory key, with a new issuing certificate.",
            code=ErrorCode.CERTIFICATE_EXPIRED,
        )
    trust_domain = authority.trust_domain
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(identity.spiffe_uri(trust_domain))]
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
    tls_name = identity.tls_name(trust_domain)
    if identity.kind is IdentityKind.BROKER and tls_name is not None:
        names.append(x509.DNSName(tls_name))
        usages.append(ExtendedKeyUsageOID.SERVER_AUTH)
    issuer = x509.load_der_x509_certificate(authority.der)
    issuer_key = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = (
        _builder(spki, issuer.subject, _name(identity.party, f"{identity.kind.value} {identity}"), random_bytes)
        .not_valid_before(_second(begin))
        # The last second that still counts (RFC 5280, 4.1.2.5).
        .not_valid_after(_second(end - 1000))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_key), critical=False)
    )
    der = secret.sign_certificate(builder)
    read_leaf(der)
    return der


def certificate_request(secret: TlsSecret, identity: Identity, trust_domain: str) -> bytes:
    """Make a PKCS#10 request for an identity's TLS key; gives DER."""
    names = [x509.UniformResourceIdentifier(identity.spiffe_uri(trust_domain))]
    builder = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(_name(identity.party, f"{identity.kind.value} {identity}"))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
    )
    return secret.sign_request(builder)


def spki_of_request(der: bytes) -> bytes:
    """Give the SPKI DER of a request whose key signed it; raises MalformedError. What it asks for is not looked at."""
    if len(der) > REQUEST_LIMIT:
        raise MalformedError(f"a certificate request has at most {REQUEST_LIMIT} bytes", code=ErrorCode.LIMIT_EXCEEDED)
    with decoding("a certificate request"):
        request = x509.load_der_x509_csr(der)
        spki = spki_of(request.public_key())
        valid = request.is_signature_valid
    if not valid:
        raise MalformedError("a certificate request is not signed by its key")
    return spki


def to_pem(certificates: Iterable[bytes]) -> bytes:
    """Give certificates as PEM, one after the other, for the TLS library."""
    loaded = (x509.load_der_x509_certificate(der) for der in certificates)
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in loaded)


def from_pem(pem: bytes) -> bytes:
    """Give the DER of one PEM certificate, as a connection's authentication context holds it; raises MalformedError."""
    with decoding("what should be one PEM certificate"):
        (certificate,) = x509.load_pem_x509_certificates(pem)
        return certificate.public_bytes(serialization.Encoding.DER)


def _builder(spki: bytes, issuer: x509.Name, subject: x509.Name, random_bytes: RandomBytes) -> x509.CertificateBuilder:
    key = p256(serialization.load_der_public_key(spki))
    # Positive, 120 random bits, at most 20 octets (RFC 5280, 4.1.2.2).
    serial = int.from_bytes(b"\x01" + random_bytes(15), "big")
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(serial)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _name(party: str, common: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, party), x509.NameAttribute(NameOID.COMMON_NAME, common[:64])]
    )


def _second(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms // 1000, UTC)
