"""Rotating a node's keys: new ones for every role, signed by the party, enrolled by whoever holds the old ones (design 03).

Rules in order:
1. The new keys lie beside the old ones before anybody hears of them; no old key is removed, so what was sealed to one opens.
2. The request, then what was issued for it, are kept until the broker has the new bundle: a rotation that was interrupted
   goes on where it stopped, with the same keys.
3. The old keys vouch for the new ones: the bundle is enrolled over a connection with the old certificate, whose TLS key it
   lists beside the new one until the next rotation, so that processes that run with it go on.
4. Before that, what this node has stored and nobody answered is sent: signed with the old key, it would be refused after it.
5. *Fresh* keys are a newcomer's: where an old key was revoked or the old certificate has expired, it vouches for nobody. The
   bundle lists new keys only, and is enrolled with the new certificate, which takes the old one's place after that. They
   are made for it: keys of a rotation that was not begun as fresh, or that were issued, may be in the hands of a thief.
6. What is stored can be sent by keys that count only. Where none does, nobody loses it without saying so.

    begin_rotation(home, place, passphrase=..., now_ms=...)      -> the request, for the party
    take_rotation(home, place, issued, now_ms=...)               <- what the party issued for it
    await complete_rotation(home, place, passphrase, now_ms=...)
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

from comity import canonical
from comity.errors import (
    AccessError,
    ErrorCode,
    KeyFault,
    MalformedError,
    NotFoundError,
    UnreachableError,
    UsageError,
)
from comity.identity.bodies import Listing, NodeBundle, read_body
from comity.identity.certificates import read_leaf
from comity.identity.listed import ListedKey
from comity.keys.files import KeyFiles, unlock_keys
from comity.keys.tls import TlsSecret, certificate_request, from_pem
from comity.node.access import Access
from comity.node.clock import wall_ms
from comity.node.connecting import connected
from comity.node.connection import Connection
from comity.node.enrolment import enrol
from comity.node.files import read_file, sync_directory, write_file
from comity.node.home import Home, Place
from comity.node.identities import REQUEST_FILE, check_issued, node_secrets
from comity.node.node import Node
from comity.node.outbox import Outbox
from comity.node.party import issued_for
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
    """A rotation that is done: the new bundle, its entry in the key log, and how many stored reports no key can send now."""

    bundle: NodeBundle
    log_index: int
    lost: int = 0


@dataclass(frozen=True, slots=True)
class _Begun:
    """What the rotation's file holds: the new keys' request, and whether the old keys were to vouch for nothing."""

    request: Request
    fresh: bool


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

    `fresh` leaves the old TLS key out, as an expired certificate does, and goes on by rule 5 only with keys that were made for
    it. Raises NotFoundError for a node that has no bundle yet.
    """
    bundle = _bundle(place)
    begun = _read_begun(place)
    if begun is not None and _listed_by(bundle, begun):
        # It was put in place, and ended before it was put away.
        begun = None
    if fresh and (begun is None or not begun.fresh or _issued(home, place, begun)):
        _discard(place)
        begun = None
    if begun is None:
        trust_domain = home.trusted_card(place.identity.party).card.trust_domain
        files = unlock_keys(place.keys, passphrase, random_bytes=random_bytes)
        made = _new_keys(bundle, trust_domain, files, now_ms, random_bytes)
        # As it is read the next time: a rotation that goes on asks for the same.
        begun = _Begun(decode_request(encode_request(made)), fresh)
        _write_begun(place, begun)
    carried = _carried(place, bundle, now_ms, fresh=begun.fresh)
    return replace(begun.request, keys=(*begun.request.keys, *carried))


def take_rotation(home: Home, place: Place, issued: Issued, *, now_ms: int) -> NodeBundle:
    """Keep what the party issued for the new keys; nothing counts before `complete_rotation`.

    Raises NotFoundError where no rotation was begun, and KeyFault or MalformedError for what does not fit it.
    """
    begun = _read_begun(place)
    if begun is None:
        raise NotFoundError(f"no rotation of {place.identity} was begun here", what_to_do=_BEGIN)
    listing = check_issued(home, place, issued, now_ms=now_ms)
    if not isinstance(listing, NodeBundle):
        raise MalformedError("what was issued is no node's bundle")
    if not _listed_by(listing, begun):
        raise KeyFault(
            f"what was issued for {place.identity} does not list the keys of its rotation",
            what_to_do=f"Have its newest request issued: comity node rotate {place.identity} writes it.",
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
    lose_outbox: bool = False,
) -> Rotated:
    """Enrol the new keys with the old ones' word and put them in place; gives the bundle and its entry in the key log.

    Raises ConflictError LOCKED while another process sends with the node, UnreachableError where the broker does not take
    what the outbox holds, UsageError where nothing can send it any more and `lose_outbox` is not said, and what enrolling
    raises: the rotation stays as far as it came, and can be called again. Only one that the broker refuses as a newcomer's,
    while the present keys count, is given up (AccessError NOT_ENROLLED).
    """
    data = read_file(place.directory / ISSUED_FILE, FILE_LIMIT, f"nothing was issued for {place.identity}", _BEGIN)
    issued = decode_issued(data)
    bundle = issued.listing(now_ms)
    if not isinstance(bundle, NodeBundle):
        raise MalformedError("what was issued is no node's bundle")
    lost = 0
    if _vouches(place, issued, bundle, now_ms):
        access = await asyncio.to_thread(Access.load, home, place.identity, passphrase, now_ms=now_ms, address=address)
        try:
            log_index = await _enrolled_by_the_old(home, access, issued, settle_seconds)
        except KeyFault as fault:
            if fault.code is not ErrorCode.CERTIFICATE_REVOKED:
                raise
            hint = f"A revoked key vouches for nothing: comity node rotate {place.identity} --fresh"
            raise KeyFault(fault.message, what_to_do=hint, code=fault.code) from fault
    else:
        # The new certificate is the only one that anybody would take.
        access = await asyncio.to_thread(
            Access.load,
            home,
            place.identity,
            passphrase,
            now_ms=now_ms,
            address=address,
            certificate_pem=issued.certificate_pem,
        )
        if _old_tls(place)[0] != read_leaf(issued.certificate).spki:
            old = _Old(home, place, passphrase, now_ms, address, settle_seconds)
            lost = await _sent_or_lost(old, lose_outbox=lose_outbox)
        log_index = await _enrolled_as_newcomer(access, issued)
    place.install(issued.statement, issued.certificate_pem)
    _done(place)
    return Rotated(bundle, log_index, lost)


async def _enrolled_by_the_old(home: Home, access: Access, issued: Issued, settle_seconds: float) -> int:
    async with connected(access, home.trusted_roots(), now_ms=wall_ms, patience_seconds=settle_seconds) as node:
        await _settled(node, settle_seconds)
        return await enrol(node.connection, issued.statement, access.ring)


async def _settled(node: Node, settle_seconds: float) -> None:
    try:
        async with asyncio.timeout(settle_seconds):
            await node.settle()
    except TimeoutError as error:
        raise UnreachableError(
            f"the broker does not take what the outbox of {node.identity} holds: its keys were not rotated",
            what_to_do=f"comity node rotate {node.identity} again when reports can be sent.",
        ) from error


async def _enrolled_as_newcomer(access: Access, issued: Issued) -> int:
    async with Connection(access.target) as connection:
        try:
            return await enrol(connection, issued.statement, access.ring)
        except AccessError as refused:
            if refused.code is not ErrorCode.NOT_ENROLLED:
                raise
            # Its present keys count: they can vouch for a rotation of the usual kind, which this one would be in the way of.
            _discard(access.place)
            me = access.place.identity
            raise AccessError(
                refused.message,
                what_to_do=f"Nothing was changed. Where its keys are here: comity node rotate {me}. Where they are lost or in other "
                f"hands: comity node revoke {me}, then comity node rotate {me} --fresh",
                code=refused.code,
            ) from refused


@dataclass(frozen=True, slots=True)
class _Old:
    """What it takes to connect with the certificate in place."""

    home: Home
    place: Place
    passphrase: bytes = field(repr=False)
    now_ms: int
    address: str | None
    settle_seconds: float

    async def settle(self) -> None:
        access = await asyncio.to_thread(
            Access.load, self.home, self.place.identity, self.passphrase, now_ms=self.now_ms, address=self.address
        )
        roots = self.home.trusted_roots()
        async with connected(access, roots, now_ms=wall_ms, patience_seconds=self.settle_seconds) as node:
            await _settled(node, self.settle_seconds)


async def _sent_or_lost(old: _Old, *, lose_outbox: bool) -> int:
    """Send what is stored while the certificate in place counts; gives how many reports cannot be sent, by rule 6."""
    if not await _waiting(old.place):
        return 0
    try:
        await old.settle()
    except (KeyFault, AccessError, UnreachableError) as fault:
        lost = await _waiting(old.place)
        if lost and not lose_outbox:
            if isinstance(fault, UnreachableError):
                raise
            raise UsageError(
                f"the old keys of {old.place.identity} count no more ({fault.message}): {lost} of the reports in its outbox would be lost",
                what_to_do=f"Keep what they said, to send it anew; then: comity node rotate {old.place.identity} --lose-outbox",
            ) from fault
        return lost
    return 0


async def _waiting(place: Place) -> int:
    outbox = await Outbox.open(place.outbox, wait=False)
    try:
        return await asyncio.to_thread(outbox.waiting)
    finally:
        outbox.close()


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


def _read_begun(place: Place) -> _Begun | None:
    path = place.directory / ROTATION_FILE
    if not path.exists():
        return None
    value = canonical.load_object(read_file(path, 2 * FILE_LIMIT), limit=2 * FILE_LIMIT)
    fresh = value.get("fresh")
    if set(value) != {"fresh", "request"} or not isinstance(fresh, bool):
        raise MalformedError(f"{path} is not the file of a rotation")
    return _Begun(decode_request(canonical.dumps(value["request"])), fresh)


def _write_begun(place: Place, begun: _Begun) -> None:
    request = canonical.load_object(encode_request(begun.request), limit=FILE_LIMIT)
    write_file(place.directory / ROTATION_FILE, canonical.dumps({"fresh": begun.fresh, "request": request}))


def _listed_by(listing: Listing, begun: _Begun) -> bool:
    return {key.fingerprint for key in begun.request.keys} <= {key.fingerprint for key in listing.keys}


def _issued(home: Home, place: Place, begun: _Begun) -> bool:
    """Say whether the party has issued for these keys, as far as this machine knows."""
    if (place.directory / ISSUED_FILE).exists():
        return True
    bodies = [read_body(one) for one in issued_for(home.party(place.identity.party), place.identity)]
    return any(isinstance(body, Listing) and _listed_by(body, begun) for body in bodies)


def _discard(place: Place) -> None:
    # What was issued first: without it nobody goes on with keys that were given up.
    _unlink(place, ISSUED_FILE, ROTATION_REQUEST, ROTATION_FILE)


def _done(place: Place) -> None:
    begun = _read_begun(place)
    if begun is not None:
        write_file(place.directory / REQUEST_FILE, encode_request(begun.request))
    # What was issued last: while it is there, this is done again, and nothing else is begun.
    _unlink(place, ROTATION_FILE, ROTATION_REQUEST, ISSUED_FILE)


def _unlink(place: Place, *names: str) -> None:
    for name in names:
        with suppress(FileNotFoundError):
            (place.directory / name).unlink()
        sync_directory(place.directory)


_BEGIN: Final = "Begin with: comity node rotate PARTY/NAME"
