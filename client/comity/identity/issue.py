"""Making statements about keys: what a party's own machine signs. Pure: keys, times and sequences are arguments.

Every function gives a statement that `comity.identity.bodies` reads, or raises MalformedError; whether a directory takes
it (sequence, validity of the signing key) is decided where it is logged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from comity.identity.bodies import Attestation, read_body
from comity.identity.fields import ascending
from comity.identity.listed import ListedKey, key_order
from comity.statement import Statement, StatementSigner, sign_statement
from comity_policy.facts import Role


def party_card(
    root: StatementSigner,
    *,
    party: str,
    name: str,
    jurisdiction: str,
    trust_domain: str,
    issued_at: int,
) -> Statement:
    """Make a party's card, signed by its root key."""
    body = {
        "party": party,
        "name": name,
        "jurisdiction": jurisdiction,
        "trust_domain": trust_domain,
        "root": {"suite": int(root.suite), "public": root.public.hex()},
        "issued_at": issued_at,
    }
    return _signed("party-card", body, root)


def directory_key(
    root: StatementSigner,
    key: ListedKey,
    *,
    party: str,
    issuing_certificate: bytes,
    valid_from: int,
    valid_until: int,
    sequence: int,
) -> Statement:
    """Make the statement with which a root lists a directory key and an X.509 authority, at most 90 days."""
    body = {
        "party": party,
        "suite": int(key.suite),
        "public": key.public.hex(),
        "issuing_certificate": issuing_certificate.hex(),
        "valid_from": valid_from,
        "valid_until": valid_until,
        "sequence": sequence,
    }
    return _signed("directory-key", body, root)


def node_bundle(
    signer: StatementSigner,
    *,
    party: str,
    node: str,
    region: str,
    keys: Iterable[ListedKey],
    valid_from: int,
    valid_until: int,
    sequence: int,
    offices: Iterable[str] = (),
    communities: Iterable[str] = (),
    accreditation: Attestation | None = None,
) -> Statement:
    """Make a node's bundle, signed by a directory key."""
    body = {
        "party": party,
        "node": node,
        "region": region,
        "offices": ascending(offices),
        "communities": ascending(communities),
        "keys": _keys(keys),
        "accreditation": _attestation(accreditation),
        "valid_from": valid_from,
        "valid_until": valid_until,
        "sequence": sequence,
    }
    return _signed("node-bundle", body, signer)


def broker_bundle(
    signer: StatementSigner,
    *,
    party: str,
    broker: str,
    region: str,
    keys: Iterable[ListedKey],
    valid_from: int,
    valid_until: int,
    sequence: int,
) -> Statement:
    """Make a broker's bundle, signed by a directory key."""
    body = {
        "party": party,
        "broker": broker,
        "region": region,
        "keys": _keys(keys),
        "valid_from": valid_from,
        "valid_until": valid_until,
        "sequence": sequence,
    }
    return _signed("broker-bundle", body, signer)


def officer_accreditation(
    *signers: StatementSigner,
    party: str,
    officer: str,
    keys: Iterable[ListedKey],
    roles: Iterable[Role],
    valid_from: int,
    valid_until: int,
    sequence: int,
    agreements: Iterable[str] = (),
    offices: Iterable[str] = (),
    communities: Iterable[str] = (),
    clearance: Attestation | None = None,
) -> Statement:
    """Make an officer's accreditation, signed by a directory key, and by the root where it gives full powers.

    No roles withdraw it; no agreements mean all of the party's. Where the root lies elsewhere, `comity.statement.cosign`
    adds its signature.
    """
    body = {
        "party": party,
        "officer": officer,
        "keys": _keys(keys),
        "roles": ascending(role.word for role in roles),
        "agreements": ascending(agreements),
        "offices": ascending(offices),
        "communities": ascending(communities),
        "clearance": _attestation(clearance),
        "valid_from": valid_from,
        "valid_until": valid_until,
        "sequence": sequence,
    }
    return _signed("officer-accreditation", body, *signers)


def revocation(
    signer: StatementSigner, *, party: str, key: bytes, reason: str, issued_at: int, compromised_at: int = 0
) -> Statement:
    """Make a revocation of the key with this fingerprint; `compromised_at` 0 claims no time of compromise."""
    body = {
        "party": party,
        "key": key.hex(),
        "reason": reason,
        "compromised_at": compromised_at,
        "issued_at": issued_at,
    }
    return _signed("revocation", body, signer)


def _signed(kind: str, body: Mapping[str, object], *signers: StatementSigner) -> Statement:
    statement = sign_statement({"type": kind, **body}, *signers)
    read_body(statement)
    return statement


def _keys(keys: Iterable[ListedKey]) -> list[dict[str, object]]:
    return [
        {"role": key.role.value, "suite": int(key.suite), "public": key.public.hex()}
        for key in sorted(keys, key=key_order)
    ]


def _attestation(attestation: Attestation | None) -> dict[str, object] | None:
    if attestation is None:
        return None
    return {"level": attestation.level, "by": attestation.by, "until": attestation.until}
