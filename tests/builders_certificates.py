"""Builders for certificates that break a rule: what a party's own authority could sign, and must not."""

from __future__ import annotations

from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from builders_identity import DAY, HOUR, NOW, Nation, Seeded
from comity.identity.certificates import key_usage
from comity.keys.tls import TlsSecret

SPKI = TlsSecret.generate(Seeded("key")).spki


def crafted_leaf(of: Nation, names: list[x509.GeneralName], *, spki: bytes = SPKI, at_ms: int = NOW, **changes):
    """Give a leaf that a party's own authority signed although its rules forbid it."""
    issuer = x509.load_der_x509_certificate(of.authority.der)
    server = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "node crafted")]))
        .issuer_name(issuer.subject)
        .public_key(changes.get("key") or serialization.load_der_public_key(spki))
        .serial_number(7)
        .not_valid_before(datetime.fromtimestamp((at_ms - HOUR) // 1000, UTC))
        .not_valid_after(datetime.fromtimestamp((at_ms + DAY) // 1000, UTC))
        .add_extension(x509.BasicConstraints(ca=changes.get("ca", False), path_length=None), critical=True)
        .add_extension(key_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(changes.get("usages", server)), critical=False)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    for extension in changes.get("more", ()):
        builder = builder.add_extension(extension, critical=False)
    return of.authority_secret.sign_certificate(builder)


def uri(text: str) -> x509.UniformResourceIdentifier:
    return x509.UniformResourceIdentifier(text)
