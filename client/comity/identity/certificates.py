"""Certificates: what a party's X.509 authority and its leaves must be, read strictly (design 03, "Keys and trust").

Rules in order:
1. All keys are ECDSA P-256 (grpcio refuses Ed25519 leaves), all signatures ECDSA with SHA-256.
2. An authority is self-signed, with exactly three critical extensions: basicConstraints CA with path length 0, keyUsage
   keyCertSign, and nameConstraints permitting one URI host and one DNS name, both the party's trust domain, excluding
   nothing. So no authority can certify another party's identity: the handshake itself refuses such a leaf.
3. A leaf names exactly one SPIFFE URI; a broker's names its TLS name besides, nobody else's names anything.
4. A leaf counts while its own validity lasts, and only if the authority's key signed it.

A certificate says who claims to call. Whether the caller's key counts, the directory says (`comity.identity.directory`).
Times are Unix milliseconds; certificates hold seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from comity.errors import ErrorCode, KeyFault, MalformedError
from comity.identity.names import IdentityKind, SpiffeId, broker_tls_name, check_trust_domain, parse_spiffe

# A reading of the bytes alone, asked for at every call of a connection.
_LEAVES_KEPT: Final = 256
CERTIFICATE_LIMIT: Final = 4096
CLOCK_HINT: Final = "Compare this machine's clock with another one (NTP), then try again."

E = TypeVar("E", bound=x509.ExtensionType)

_AUTHORITY_EXTENSIONS: Final = frozenset(
    {
        x509.BasicConstraints.oid,
        x509.KeyUsage.oid,
        x509.NameConstraints.oid,
        x509.SubjectKeyIdentifier.oid,
    }
)
_LEAF_EXTENSIONS: Final = frozenset(
    {
        x509.BasicConstraints.oid,
        x509.KeyUsage.oid,
        x509.ExtendedKeyUsage.oid,
        x509.SubjectAlternativeName.oid,
        x509.SubjectKeyIdentifier.oid,
        x509.AuthorityKeyIdentifier.oid,
    }
)


@dataclass(frozen=True, slots=True)
class Authority:
    """A party's X.509 authority: its certificate, its SPKI DER, its trust domain, and its validity in Unix ms."""

    der: bytes
    trust_domain: str
    spki: bytes
    not_before_ms: int
    not_after_ms: int


@dataclass(frozen=True, slots=True)
class Leaf:
    """A leaf certificate: whom it names, its SPKI DER, its validity in Unix ms, and its DNS name (brokers) or empty."""

    der: bytes
    spiffe: SpiffeId
    spki: bytes
    not_before_ms: int
    not_after_ms: int
    dns_name: str


@contextmanager
def decoding(what: str) -> Iterator[None]:
    """Turn whatever the X.509 library says of bytes that it cannot read into MalformedError.

    It parses in part when a field is first looked at, so everything that looks at fields stands inside.
    """
    try:
        yield
    except (
        ValueError,
        TypeError,
        InvalidSignature,
        UnsupportedAlgorithm,
        x509.InvalidVersion,
        x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
    ) as error:
        raise MalformedError(f"{what} does not decode") from error


def read_authority(der: bytes) -> Authority:
    """Read an issuing certificate; raises MalformedError for one that breaks rule 1 or 2. Whose it is, a card says."""
    with decoding("a certificate"):
        return _read_authority(der)


def _read_authority(der: bytes) -> Authority:
    certificate = _load(der)
    spki = spki_of(certificate.public_key())
    try:
        certificate.verify_directly_issued_by(certificate)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm) as error:
        raise MalformedError("an issuing certificate is signed by its own key") from error
    _only(certificate, _AUTHORITY_EXTENSIONS)
    basic = _critical(certificate, x509.BasicConstraints)
    usage = _critical(certificate, x509.KeyUsage)
    names = _critical(certificate, x509.NameConstraints)
    if not basic.ca or basic.path_length != 0:
        raise MalformedError("an issuing certificate is an authority with path length 0")
    if usage != key_usage(sign_certificates=True):
        raise MalformedError("an issuing certificate is for signing certificates only")
    permitted = names.permitted_subtrees or []
    hosts = [name.value for name in permitted if isinstance(name, x509.UniformResourceIdentifier)]
    domains = [name.value for name in permitted if isinstance(name, x509.DNSName)]
    if names.excluded_subtrees is not None or len(permitted) != 2 or len(hosts) != 1 or hosts != domains:
        raise MalformedError("an issuing certificate is constrained to one trust domain, as URI host and as DNS name")
    trust_domain = check_trust_domain(hosts[0])
    begin, end = _validity_ms(certificate)
    return Authority(der, trust_domain, spki, begin, end)


def read_leaf(der: bytes) -> Leaf:
    """Read a leaf certificate; raises MalformedError for one that breaks rule 1 or 3. Who signed it is not looked at."""
    with decoding("a certificate"):
        return _read_leaf(der)


@lru_cache(_LEAVES_KEPT)
def _read_leaf(der: bytes) -> Leaf:
    certificate = _load(der)
    spki = spki_of(certificate.public_key())
    _only(certificate, _LEAF_EXTENSIONS)
    if _critical(certificate, x509.BasicConstraints).ca:
        raise MalformedError("a leaf certificate is no authority")
    names = list(_extension(certificate, x509.SubjectAlternativeName).value)
    uris = [name.value for name in names if isinstance(name, x509.UniformResourceIdentifier)]
    dns = [name.value for name in names if isinstance(name, x509.DNSName)]
    if len(uris) != 1 or len(uris) + len(dns) != len(names):
        raise MalformedError("a leaf certificate names exactly one SPIFFE URI")
    spiffe = parse_spiffe(uris[0])
    wanted = [broker_tls_name(spiffe.name, spiffe.trust_domain)] if spiffe.kind is IdentityKind.BROKER else []
    if dns != wanted:
        raise MalformedError("a leaf certificate has a DNS name if it is a broker's, and then the broker's TLS name")
    begin, end = _validity_ms(certificate)
    return Leaf(der, spiffe, spki, begin, end, dns[0] if dns else "")


def check_leaf(der: bytes, authority: Authority, now_ms: int) -> Leaf:
    """Read a leaf and check rule 4 and its trust domain; raises MalformedError, or KeyFault that says what to do."""
    leaf = read_leaf(der)
    try:
        _load(der).verify_directly_issued_by(_load(authority.der))
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm) as error:
        raise KeyFault(
            f"the certificate of {leaf.spiffe} was not issued by its party's authority",
            what_to_do="Ask the party for a certificate of its present issuing key.",
            code=ErrorCode.UNAUTHENTICATED,
        ) from error
    if leaf.spiffe.trust_domain != authority.trust_domain:
        raise KeyFault("the certificate names another trust domain than its issuer's", code=ErrorCode.UNAUTHENTICATED)
    require_time(str(leaf.spiffe), leaf.not_before_ms, leaf.not_after_ms, now_ms)
    return leaf


def require_time(whose: str, not_before_ms: int, not_after_ms: int, now_ms: int) -> None:
    """Check a certificate's validity; raises KeyFault CERTIFICATE_EXPIRED, or CLOCK_WINDOW where it is yet to begin."""
    if now_ms < not_before_ms:
        behind = (not_before_ms - now_ms + 999) // 1000
        raise KeyFault(
            f"the certificate of {whose} begins to be valid in {behind} s: is this clock behind?",
            what_to_do=CLOCK_HINT,
            code=ErrorCode.CLOCK_WINDOW,
        )
    if now_ms >= not_after_ms:
        raise KeyFault(
            f"the certificate of {whose} expired at {utc(not_after_ms)}",
            what_to_do=f"Rotate its keys. If the date looks wrong: {CLOCK_HINT}",
            code=ErrorCode.CERTIFICATE_EXPIRED,
        )


def p256(key: object) -> ec.EllipticCurvePublicKey:
    """Give an ECDSA P-256 public key back; raises MalformedError for any other key."""
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise MalformedError("keys of certificates are ECDSA P-256")
    return key


def spki_of(key: object) -> bytes:
    """Give the SPKI DER of an ECDSA P-256 public key; raises MalformedError for any other key."""
    return p256(key).public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def check_spki(spki: bytes) -> None:
    """Check that bytes are exactly the SPKI DER of an ECDSA P-256 key; raises MalformedError."""
    try:
        key = serialization.load_der_public_key(spki)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise MalformedError("a TLS key does not decode") from error
    if spki_of(key) != spki:
        raise MalformedError("a TLS key is the SPKI DER of a P-256 key, uncompressed")


def utc(at_ms: int) -> str:
    """Give a Unix millisecond as people and JSON write it, RFC 3339 with Z; one beyond the calendar as a number."""
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return f"{at_ms} ms"


def _load(der: bytes) -> x509.Certificate:
    if len(der) > CERTIFICATE_LIMIT:
        raise MalformedError(f"a certificate has at most {CERTIFICATE_LIMIT} bytes", code=ErrorCode.LIMIT_EXCEEDED)
    try:
        certificate = x509.load_der_x509_certificate(der)
        algorithm = certificate.signature_hash_algorithm
        _ = certificate.extensions
    except (ValueError, TypeError, x509.InvalidVersion, x509.DuplicateExtension, UnsupportedAlgorithm) as error:
        raise MalformedError("a certificate does not decode") from error
    if not isinstance(algorithm, hashes.SHA256):
        raise MalformedError("a certificate is signed with ECDSA and SHA-256")
    return certificate


def _validity_ms(certificate: x509.Certificate) -> tuple[int, int]:
    begin = int(certificate.not_valid_before_utc.timestamp()) * 1000
    # notAfter is the last second that still counts (RFC 5280, 4.1.2.5).
    return begin, (int(certificate.not_valid_after_utc.timestamp()) + 1) * 1000


def _only(certificate: x509.Certificate, known: frozenset[x509.ObjectIdentifier]) -> None:
    if any(one.oid not in known for one in certificate.extensions):
        raise MalformedError("a certificate has an extension that has no place in it")


def _extension(certificate: x509.Certificate, kind: type[E]) -> x509.Extension[E]:
    try:
        return certificate.extensions.get_extension_for_class(kind)
    except x509.ExtensionNotFound as error:
        raise MalformedError(f"a certificate has no {kind.oid.dotted_string} extension") from error


def _critical(certificate: x509.Certificate, kind: type[E]) -> E:
    extension = _extension(certificate, kind)
    if not extension.critical:
        raise MalformedError(f"a certificate's extension {kind.oid.dotted_string} is not critical")
    return extension.value


def key_usage(*, sign_certificates: bool) -> x509.KeyUsage:
    """Give the key usage of an authority (signs certificates only) or of a leaf (signs handshakes only)."""
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
