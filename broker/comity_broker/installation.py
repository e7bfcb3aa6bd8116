"""A broker's data directory, apart from its store: who it is, its keys, the cards it was given (design 01, "Files").

    broker.toml   identity, region, incarnation        keys/          encrypted key files
    bundle.json   what its party issued                cards/XXX.card trusted party cards
    certificate.pem                                    last-signed/   one file a log (`auditlog.checkpoint`)

Rules: `prepare` makes keys and a request; `install` puts in place what the operating party issued, after it is checked
against that party's trusted card; `open_installation` reads everything, and says in one line what is missing; `renewal` asks
for a new bundle and certificate of the same keys, which `install` puts in place under a running broker too (`handshake`).
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from comity.errors import ConflictError, ErrorCode, KeyFault, NotFoundError, StorageError
from comity.identity.bodies import BrokerBundle, PartyCard, read_body
from comity.identity.cardfile import CardFile
from comity.identity.certificates import Authority, read_leaf, require_time
from comity.identity.listed import LOG_ED25519, LOG_MLDSA44
from comity.identity.names import Identity, IdentityKind
from comity.keys.files import create_keys, load_keys
from comity.keys.log_keys import LogSecret
from comity.keys.ring import KeyRing, Secret
from comity.keys.signer import SoftSigner
from comity.keys.tls import TlsSecret, certificate_request, from_pem, to_pem
from comity.node.files import read_file, write_file
from comity.node.home import read_cards, trust_card
from comity.node.requests import Issued, Request
from comity.statement import FILE_LIMIT, Statement, decode, encode
from comity.suites import KeyRole, RandomBytes, Suite, generate_signing
from comity_broker.auditlog.checkpoint import LogKeys
from comity_policy.strict_toml import tables_of

CERTIFICATE_LIMIT: Final = 64 << 10


class _About(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    identity: str
    region: str


@dataclass(frozen=True, slots=True)
class Installation:
    """Everything a start needs, checked."""

    data: Path
    identity: Identity
    region: str
    cards: dict[str, CardFile]
    bundle: Statement
    certificate_pem: bytes
    key_pem: bytes
    signer: SoftSigner
    log_keys: LogKeys
    tls_name: str

    @property
    def roots(self) -> dict[str, PartyCard]:
        """Give every trusted card by party."""
        return {party: one.card for party, one in self.cards.items()}

    @property
    def last_signed(self) -> Path:
        """Give where the files of trees signed last lie."""
        return self.data / "last-signed"

    def __repr__(self) -> str:
        return f"Installation({self.identity})"


def prepare(
    data: Path,
    identity: Identity,
    region: str,
    cards: dict[str, CardFile],
    *,
    passphrase: bytes,
    now_ms: int,
    random_bytes: RandomBytes = os.urandom,
) -> Request:
    """Make the directory, the broker's keys and its request; raises ConflictError where it is made already."""
    about = data / "broker.toml"
    if about.exists():
        raise ConflictError(
            f"{data} holds a broker already",
            what_to_do="Run it, renew what it was issued with --renew, or name another directory.",
            code=ErrorCode.FILE_EXISTS,
        )
    card = cards.get(identity.party)
    if card is None:
        raise NotFoundError(
            f"the card of {identity.party}, whose broker this is to be, is not among the trusted ones",
            what_to_do=f"Give it: --trust {identity.party}.card",
        )
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        (data / "last-signed").mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{data} cannot be made: {error.strerror}") from error
    for one in cards.values():
        trust_card(data / "cards", one)
    tls = TlsSecret.generate(random_bytes)
    secrets: list[tuple[KeyRole, Secret]] = [
        (KeyRole.BROKER_SIGNING, generate_signing(Suite.HYBRID, random_bytes)),
        (KeyRole.BROKER_TLS, tls),
        (KeyRole.LOG, LogSecret.generate(LOG_ED25519, random_bytes)),
        (KeyRole.LOG, LogSecret.generate(LOG_MLDSA44, random_bytes)),
    ]
    files = create_keys(data / "keys", passphrase, random_bytes=random_bytes)
    listed = tuple(files.save(role, secret, created_at=now_ms) for role, secret in secrets)
    request = certificate_request(tls, identity, card.card.trust_domain)
    lines = (f"identity = {json.dumps(str(identity))}", f"region = {json.dumps(region)}")
    # Written last: a broker exists when this file does.
    write_file(about, ("\n".join(lines) + "\n").encode())
    return Request(identity, listed, request, region)


def renewal(data: Path, passphrase: bytes) -> Request:
    """Give the request for a new bundle and certificate of the same keys; raises NotFoundError, KeyFault.

    Log and signing keys stay with the logs and receipts they signed.
    """
    about = _about(data)
    identity = Identity.parse(about.identity, IdentityKind.BROKER)
    body = read_body(decode(read_file(data / "bundle.json", FILE_LIMIT, f"{identity} has no key bundle yet", _ISSUE)))
    if not isinstance(body, BrokerBundle):
        raise KeyFault("the broker's bundle is none", code=ErrorCode.BUNDLE_REJECTED)
    trust_domain = own_card(data, identity).card.trust_domain
    tls = load_keys(data / "keys", passphrase).tls(KeyRole.BROKER_TLS, among={key.fingerprint for key in body.keys})
    return Request(identity, body.keys, certificate_request(tls, identity, trust_domain), about.region)


def named_in(data: Path) -> str:
    """Give the identity of the broker in a data directory; raises NotFoundError, StorageError."""
    return _about(data).identity


def own_card(data: Path, identity: Identity) -> CardFile:
    """Give the card of the party that operates the broker; raises NotFoundError."""
    card = read_cards(data / "cards").get(identity.party)
    if card is None:
        raise NotFoundError(f"the card of {identity.party} is missing in {data / 'cards'}")
    return card


def install(data: Path, issued: Issued, now_ms: int) -> BrokerBundle:
    """Put what the operating party issued in place; raises KeyFault or MalformedError where it does not fit."""
    about = _about(data)
    listing = issued.listing(now_ms)
    if not isinstance(listing, BrokerBundle) or str(listing.identity) != about.identity:
        raise KeyFault(f"this was not issued for {about.identity}", code=ErrorCode.BUNDLE_REJECTED)
    read_cards(data / "cards")[listing.party].to_directory().admissible(issued.statement, now_ms)
    write_file(data / "certificate.pem", issued.certificate_pem)
    write_file(data / "bundle.json", encode(issued.statement))
    return listing


def open_installation(data: Path, passphrase: bytes, now_ms: int) -> Installation:
    """Read and check everything a start needs; raises NotFoundError, KeyFault or MalformedError saying what is wrong."""
    about = _about(data)
    identity = Identity.parse(about.identity, IdentityKind.BROKER)
    card, cards = own_card(data, identity), read_cards(data / "cards")
    bundle = decode(read_file(data / "bundle.json", FILE_LIMIT, f"{identity} has no key bundle yet", _ISSUE))
    certificate = read_file(data / "certificate.pem", CERTIFICATE_LIMIT, f"{identity} has no certificate yet", _ISSUE)
    leaf = read_leaf(from_pem(certificate))
    require_time(str(identity), leaf.not_before_ms, leaf.not_after_ms, now_ms)
    ring = load_keys(data / "keys", passphrase)
    directory = card.to_directory()
    body = directory.admissible(bundle, now_ms)
    if not isinstance(body, BrokerBundle):
        raise KeyFault("the broker's bundle is none", code=ErrorCode.BUNDLE_REJECTED)
    listed = {key.fingerprint for key in body.keys}
    tls = ring.tls(KeyRole.BROKER_TLS, among=listed)
    if tls.spki != leaf.spki:
        raise KeyFault("the broker's certificate is of another key than its bundle lists")
    tls_name = identity.tls_name(card.card.trust_domain)
    if tls_name is None:
        raise KeyFault(f"{identity} has no name a client could ask for")
    return Installation(
        data=data,
        identity=identity,
        region=about.region,
        cards=cards,
        bundle=bundle,
        certificate_pem=certificate,
        key_pem=tls.pem(),
        signer=ring.signer(KeyRole.BROKER_SIGNING, among=listed),
        log_keys=_log_keys(ring),
        tls_name=tls_name,
    )


def authorities_pem(authorities: list[Authority]) -> bytes:
    """Give the authorities whose certificates are let into the handshake."""
    return to_pem(one.der for one in authorities)


_ISSUE: Final = (
    "On the machine of its party: comity broker init --issue REQUEST; then comity broker init --install FILE."
)


def _log_keys(ring: KeyRing) -> LogKeys:
    by_kind = {key.kind: key for key in ring.log_keys()}
    if set(by_kind) != {LOG_ED25519, LOG_MLDSA44}:
        raise KeyFault("a broker has exactly one Ed25519 and one ML-DSA-44 log key")
    return LogKeys(by_kind[LOG_ED25519], by_kind[LOG_MLDSA44])


def _about(data: Path) -> _About:
    what = "Make one: comity broker init PARTY/NAME --region REGION --trust PARTY.card"
    raw = read_file(data / "broker.toml", CERTIFICATE_LIMIT, f"there is no broker in {data}", what)
    try:
        return msgspec.convert(tables_of(raw), _About, strict=True)
    except (ValueError, msgspec.ValidationError) as error:
        raise StorageError(f"{data / 'broker.toml'} is damaged: {error}") from error
