"""Rotating a node's keys: new ones for every role, signed by the party, enrolled by whoever holds the old ones (design 03).

Rules in order:
1. The new keys lie beside the old ones before anybody hears of them; no old key is removed, so what was sealed to one opens.
2. The request, then what was issued for it, are kept until the broker has the new bundle: a rotation that was interrupted
   goes on where it stopped, with the same keys.
3. The old keys vouch for the new ones: the bundle is enrolled over a connection with the old certificate, whose TLS key it
   lists beside the new one until the next rotation, so that processes that run with it go on.
4. Before that, what this node has stored and nobody answered is sent: signed with the old key, it would be refused after it.
5. *Fresh* keys are a newcomer's: where an old key was revoked or the old certificate has expired, it vouches for nobody. The
   bundle lists new keys only, and is enrolled with the new certificate.

    begin_rotation(home, place, passphrase=..., now_ms=...)      -> the request, for the party
    take_rotation(home, place, issued, now_ms=...)               <- what the party issued for it
    await complete_rotation(home, place, passphrase, now_ms=...)
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from comity.errors import ErrorCode, KeyFault, MalformedError, NotFoundError, UnreachableError, UsageError
from comity.identity.bodies import NodeBundle, read_body
from comity.identity.certificates import read_leaf
from comity.identity.listed import ListedKey
from comity.keys.files import KeyFiles, unlock_keys
from comity.keys.tls import TlsSecret, certificate_request, from_pem
from comity.node.access import Access
from comity.node.clock import wall_ms
from comity.node.connection import Connection
from comity.node.enrolment import enrol
from comity.node.files import read_file, write_file
from comity.node.home import Home, Place
from comity.node.identities import REQUEST_FILE, check_issued, node_secrets
from comity.node.node import connected
from comity.node.requests import (
    FILE_LIMIT,
    Issued,
    Request,
    decode_issued,
    decode_request,
    encode_issued,
    encode_request,
)
from comity.suites import KeyRole, RandomBytes, Suite

ROTATION_FILE: Final = "rotation.json"
ROTATION_REQUEST: Final = "rotation.request.json"
ISSUED_FILE: Final = "rotation.issued.json"
SETTLE_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Rotated:
    """A rotation that is done: the new bundle, and its entry in the key log."""

    bundle: NodeBundle
    log_index: int


def begin_rotation(
    home: Home,
    place: Place,
    *,
    passphrase: bytes,
    now_ms: int,
    fresh: bool = False,
    random_bytes: RandomBytes = os.urandom,
) -> Request:
    """Make new keys and their request, or give the request of a rotation that was begun and is not done.

    `fresh` leaves the old TLS key out, as an expired certificate does. Raises NotFoundError for a node that has no bundle yet.
    """
    bundle = _bundle(place)
    path = place.directory / ROTATION_FILE
    if not path.exists():
        trust_domain = home.trusted_card(place.identity.party).card.trust_domain
        files = unlock_keys(place.keys, passphrase, random_bytes=random_bytes)
        write_file(path, encode_request(_new_keys(bundle, trust_domain, files, now_ms, random_bytes)))
    request = decode_request(read_file(path, FILE_LIMIT))
    return replace(request, keys=(*request.keys, *_carried(place, bundle, now_ms, fresh=fresh)))


def take_rotation(home: Home, place: Place, issued: Issued, *, now_ms: int) -> NodeBundle:
    """Keep what the party issued for the new keys; nothing counts before `complete_rotation`.

    Raises UsageError where no rotation was begun, and KeyFault or MalformedError for what does not fit it.
    """
    path = place.directory / ROTATION_FILE
    asked = decode_request(read_file(path, FILE_LIMIT, f"no rotation of {place.identity} was begun here", _BEGIN))
    listing = check_issued(home, place, issued, now_ms=now_ms)
    if not isinstance(listing, NodeBundle):
        raise MalformedError("what was issued is no node's bundle")
    if not {key.fingerprint for key in asked.keys} <= {key.fingerprint for key in listing.keys}:
        raise KeyFault(
            f"what was issued for {place.identity} does not list the keys of its rotation",
            what_to_do=f"Have the newest request issued: {path}",
            code=ErrorCode.BUNDLE_REJECTED,
        )
    write_file(place.directory / ISSUED_FILE, encode_issued(issued))
    return listing


def issued_before(place: Place, now_ms: int) -> bool:
    """Say whether a rotation waits for nothing but the broker; one that was issued and has expired is forgotten."""
    path = place.directory / ISSUED_FILE
    if not path.exists():
        return False
    try:
        decode_issued(read_file(path, FILE_LIMIT)).listing(now_ms)
    except KeyFault as error:
        if error.code is not ErrorCode.CERTIFICATE_EXPIRED:
            raise
        path.unlink()
        return False
    return True


async def complete_rotation(
    home: Home,
    place: Place,
    passphrase: bytes,
    *,
    now_ms: int,
    address: str | None = None,
    settle_seconds: float = SETTLE_SECONDS,
) -> Rotated:
    """Enrol the new keys with the old ones' word and put them in place; gives the bundle and its entry in the key log.

    Raises ConflictError LOCKED while another process sends with the node, UnreachableError where the broker does not take
    what the outbox holds, and what enrolling raises: the rotation stays as far as it came, and can be called again.
    """
    data = read_file(place.directory / ISSUED_FILE, FILE_LIMIT, f"nothing was issued for {place.identity}", _BEGIN)
    issued = decode_issued(data)
    bundle = issued.listing(now_ms)
    if not isinstance(bundle, NodeBundle):
        raise MalformedError("what was issued is no node's bundle")
    if _vouches(place, issued, bundle, now_ms):
        access = await asyncio.to_thread(Access.load, home, place.identity, passphrase, now_ms=now_ms, address=address)
        try:
            log_index = await _enrolled_by_the_old(home, access, issued, settle_seconds)
        except KeyFault as fault:
            if fault.code is not ErrorCode.CERTIFICATE_REVOKED:
                raise
            hint = f"A revoked key vouches for nothing: comity node rotate {place.identity} --fresh"
            raise KeyFault(fault.message, what_to_do=hint, code=fault.code) from fault
        place.install(issued.statement, issued.certificate_pem)
    else:
        # The new certificate is the only one that anybody would take.
        place.install(issued.statement, issued.certificate_pem)
        access = await asyncio.to_thread(Access.load, home, place.identity, passphrase, now_ms=now_ms, address=address)
        async with Connection(access.target) as connection:
            log_index = await enrol(connection, issued.statement, access.ring)
    _done(place)
    return Rotated(bundle, log_index)


async def _enrolled_by_the_old(home: Home, access: Access, issued: Issued, settle_seconds: float) -> int:
    async with connected(access, home.trusted_roots(), now_ms=wall_ms, patience_seconds=settle_seconds) as node:
        try:
            async with asyncio.timeout(settle_seconds):
                await node.settle()
        except TimeoutError as error:
            raise UnreachableError(
                f"the broker does not take what the outbox of {access.place.identity} holds: its keys were not rotated",
                what_to_do=f"comity node rotate {access.place.identity} again when reports can be sent.",
            ) from error
        return await enrol(node.connection, issued.statement, access.ring)


def _new_keys(
    bundle: NodeBundle, trust_domain: str, files: KeyFiles, now_ms: int, random_bytes: RandomBytes
) -> Request:
    suites = sorted({Suite(key.suite) for key in bundle.keys if key.role is KeyRole.NODE_SIGNING})
    tls = TlsSecret.generate(random_bytes)
    secrets = [*node_secrets(suites, random_bytes), (KeyRole.NODE_TLS, tls)]
    listed = tuple(files.save(role, secret, created_at=now_ms) for role, secret in secrets)
    return Request(
        identity=bundle.identity,
        keys=listed,
        certificate_request=certificate_request(tls, bundle.identity, trust_domain),
        region=bundle.region,
        offices=tuple(sorted(bundle.offices)),
        communities=tuple(sorted(bundle.communities)),
    )


def _bundle(place: Place) -> NodeBundle:
    body = read_body(place.statement)
    if not isinstance(body, NodeBundle):
        raise UsageError(f"{place.identity} is no node: only nodes rotate their keys")
    return body


def _old_tls(place: Place) -> tuple[bytes, int]:
    """Give the SPKI of the certificate in place and its end, Unix ms; nothing and 0 where there is none."""
    try:
        leaf = read_leaf(from_pem(place.certificate_pem))
    except NotFoundError:
        return b"", 0
    return leaf.spki, leaf.not_after_ms


def _carried(place: Place, bundle: NodeBundle, now_ms: int, *, fresh: bool) -> tuple[ListedKey, ...]:
    spki, ends = _old_tls(place)
    if fresh or now_ms >= min(ends, bundle.valid_until):
        return ()
    return tuple(key for key in bundle.keys if key.role is KeyRole.NODE_TLS and key.public == spki)


def _vouches(place: Place, issued: Issued, bundle: NodeBundle, now_ms: int) -> bool:
    """Say whether the certificate in place is an old one that counts still, and whose key the new bundle lists."""
    spki, ends = _old_tls(place)
    listed = any(key.role is KeyRole.NODE_TLS and key.public == spki for key in bundle.keys)
    return now_ms < ends and listed and spki != read_leaf(issued.certificate).spki


def _done(place: Place) -> None:
    write_file(place.directory / REQUEST_FILE, read_file(place.directory / ROTATION_FILE, FILE_LIMIT))
    for name in (ISSUED_FILE, ROTATION_REQUEST, ROTATION_FILE):
        with suppress(FileNotFoundError):
            (place.directory / name).unlink()


_BEGIN: Final = "Begin with: comity node rotate PARTY/NAME"
