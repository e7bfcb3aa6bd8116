"""Nodes and officers as their own machines make them: keys, a request to the party, and what the party issued put in place.

Rules in order:
1. An identity is made once; its private keys never leave its directory.
2. A node has one signing and one KEM key a suite, an officer one signing key; both have a TLS key.
3. The request is kept beside the keys, so that it can be issued again, here or on the party's machine.
4. What was issued is taken only if it lists keys that are here, its certificate is in order, and a card of the party that is
   trusted here signed it by the chain root, directory key.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from comity.errors import ConflictError, ErrorCode, KeyFault, UsageError
from comity.identity.bodies import Listing
from comity.identity.names import Identity, IdentityKind
from comity.keys.files import create_keys, listed_keys
from comity.keys.ring import Secret
from comity.keys.tls import TlsSecret, certificate_request
from comity.node.files import private_directory, read_file, write_file
from comity.node.home import Home, Place, Profile
from comity.node.requests import FILE_LIMIT, Issued, Request, decode_request, encode_request
from comity.suites import KeyRole, RandomBytes, Suite, generate_kem, generate_signing

REQUEST_FILE: Final = "request.json"


def create_node(
    home: Home,
    identity: Identity,
    *,
    region: str,
    profile: Profile,
    passphrase: bytes,
    now_ms: int,
    offices: Iterable[str] = (),
    communities: Iterable[str] = (),
    suites: Sequence[Suite] = (Suite.HYBRID,),
    random_bytes: RandomBytes = os.urandom,
) -> Request:
    """Make a node's keys and its request; raises ConflictError where it exists, NotFoundError without its party's card."""
    if not suites or Suite.X509 in suites:
        raise UsageError("a node has keys of at least one suite: hybrid, cnsa")
    secrets = node_secrets(suites, random_bytes)
    made = _create(home, identity, secrets, passphrase=passphrase, now_ms=now_ms, random_bytes=random_bytes)
    request = replace(made, region=region, offices=tuple(offices), communities=tuple(communities))
    return _kept(home, request, profile)


def node_secrets(suites: Iterable[Suite], random_bytes: RandomBytes) -> list[tuple[KeyRole, Secret]]:
    """Make the keys that a node has of each suite: one that signs, one that is sealed to."""
    secrets: list[tuple[KeyRole, Secret]] = []
    for suite in dict.fromkeys(suites):
        secrets.append((KeyRole.NODE_SIGNING, generate_signing(suite, random_bytes)))
        secrets.append((KeyRole.NODE_KEM, generate_kem(suite, random_bytes)))
    return secrets


def create_officer(
    home: Home,
    identity: Identity,
    *,
    profile: Profile,
    passphrase: bytes,
    now_ms: int,
    suite: Suite = Suite.HYBRID,
    random_bytes: RandomBytes = os.urandom,
) -> Request:
    """Make an officer's keys and request; raises ConflictError where it exists, NotFoundError without its party's card."""
    secrets: list[tuple[KeyRole, Secret]] = [(KeyRole.OFFICER_SIGNING, generate_signing(suite, random_bytes))]
    request = _create(home, identity, secrets, passphrase=passphrase, now_ms=now_ms, random_bytes=random_bytes)
    return _kept(home, request, profile)


def read_request(place: Place) -> Request:
    """Read the request an identity made on this machine; raises NotFoundError, MalformedError."""
    return decode_request(read_file(place.directory / REQUEST_FILE, FILE_LIMIT, f"{place.identity} is not made here"))


def install(home: Home, place: Place, issued: Issued, *, now_ms: int) -> Listing:
    """Check what a party issued by rule 4 and put it in place; raises KeyFault, MalformedError, UsageError."""
    listing = check_issued(home, place, issued, now_ms=now_ms)
    place.install(issued.statement, issued.certificate_pem)
    return listing


def check_issued(home: Home, place: Place, issued: Issued, *, now_ms: int) -> Listing:
    """Check what a party issued by rule 4 and give what it lists; raises KeyFault, MalformedError, UsageError."""
    listing = issued.listing(now_ms)
    if listing.identity != place.identity:
        raise UsageError(f"this was issued for {listing.identity}, not for {place.identity}")
    home.trusted_card(place.identity.party).to_directory().admissible(issued.statement, now_ms)
    here = {key.fingerprint for key, _ in listed_keys(place.keys)}
    if not {key.fingerprint for key in listing.keys} <= here:
        raise KeyFault(
            f"what was issued for {place.identity} lists keys that are not here",
            what_to_do="Have the newest request issued: it lies beside the keys.",
        )
    return listing


def _create(
    home: Home,
    identity: Identity,
    secrets: Sequence[tuple[KeyRole, Secret]],
    *,
    passphrase: bytes,
    now_ms: int,
    random_bytes: RandomBytes,
) -> Request:
    place = home.place(identity)
    other = Identity(identity.party, _OTHER[identity.kind], identity.name)
    for taken in (place, home.place(other)):
        if taken.exists:
            raise ConflictError(
                f"{taken.identity} exists here already, as a {taken.identity.kind.value}",
                what_to_do="Names are unique over a party's nodes, officers and brokers: take another.",
                code=ErrorCode.FILE_EXISTS,
            )
    trust_domain = home.trusted_card(identity.party).card.trust_domain
    tls = TlsSecret.generate(random_bytes)
    private_directory(place.directory)
    files = create_keys(place.keys, passphrase, random_bytes=random_bytes)
    listed = [files.save(role, secret, created_at=now_ms) for role, secret in secrets]
    listed.append(files.save(identity.kind.tls_role, tls, created_at=now_ms))
    return Request(identity, tuple(listed), certificate_request(tls, identity, trust_domain))


def _kept(home: Home, request: Request, profile: Profile) -> Request:
    place = home.place(request.identity)
    write_file(place.directory / REQUEST_FILE, encode_request(request))
    # The profile is written last: an identity exists when its profile does.
    place.write_profile(profile)
    return request


_OTHER: Final = {IdentityKind.NODE: IdentityKind.OFFICER, IdentityKind.OFFICER: IdentityKind.NODE}
