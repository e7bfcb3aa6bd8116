"""Whether the bearer of a certificate may connect now, by the directory of keys (design 03, "Keys and trust"; docs/adr/0003)."""

from __future__ import annotations

from comity.errors import AccessError, ErrorCode, KeyFault
from comity.identity.certificates import read_leaf, require_time
from comity.identity.directory import KeyDirectory
from comity.identity.records import Record
from comity.suites import Suite, fingerprint


def connecting(keys: KeyDirectory, leaf_der: bytes, now_ms: int) -> Record:
    """Give the record of whoever presents this certificate, if its key is listed and counts now.

    Raises MalformedError; KeyFault PARTY_UNTRUSTED, CERTIFICATE_REVOKED, CERTIFICATE_EXPIRED, CLOCK_WINDOW; AccessError
    NOT_ENROLLED for an identity or key that the directory does not list.
    """
    leaf = read_leaf(leaf_der)
    identity = keys.identity_of(leaf)
    require_time(str(identity), leaf.not_before_ms, leaf.not_after_ms, now_ms)
    key = fingerprint(identity.kind.tls_role, Suite.X509, leaf.spki)
    record = keys.find(identity.party, identity.name)
    # Whoever holds one stolen key may hold them all: an identity is out until a listing without the revoked key. A key
    # that was never listed is a newcomer's, who may enrol what the party signed for it and nothing else.
    listed = record is not None and record.identity == identity and keys.owner(key) is not None
    shown = {key, *record.fingerprints} if record is not None and listed else {key}
    if any(keys.revocation(one) is not None for one in shown):
        raise KeyFault(
            f"a key of {identity} was revoked",
            what_to_do="Make new keys for it and have its party list them.",
            code=ErrorCode.CERTIFICATE_REVOKED,
        )
    if record is None or record.identity != identity or not record.lists(key):
        raise AccessError(
            f"{identity} is not enrolled here with this key",
            what_to_do=f"comity {identity.kind.value} enrol {identity}",
            code=ErrorCode.NOT_ENROLLED,
        )
    try:
        keys.require_current(record, now_ms)
    except KeyFault as error:
        expired = error.code is ErrorCode.KEY_EXPIRED
        code = ErrorCode.CERTIFICATE_EXPIRED if expired else ErrorCode.CERTIFICATE_REVOKED
        raise KeyFault(error.message, what_to_do=error.what_to_do, code=code) from error
    return record
