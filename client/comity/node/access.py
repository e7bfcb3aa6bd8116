"""What an identity needs to act: its place on this machine, its private keys, and the broker it goes to.

Loading opens the key files once (argon2id is slow on purpose); connections and the node share what comes out. Nothing here
is shown or logged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from comity.errors import ErrorCode, KeyFault, NotFoundError, UsageError
from comity.identity.cardfile import CardFile
from comity.identity.certificates import CLOCK_HINT, read_leaf, require_time
from comity.identity.names import Identity, broker_tls_name
from comity.keys.files import unlock_keys
from comity.keys.ring import KeyRing
from comity.keys.tls import from_pem, to_pem
from comity.node.home import Home, Place, check_address
from comity.suites import Suite, fingerprint


@dataclass(frozen=True, slots=True)
class Target:
    """A broker and who calls it. `roots_pem` are the operator's authorities, nothing else; the key is PKCS#8 PEM.

    `newer_roots` reads them again, for a time in Unix milliseconds; None where they lie in no file.
    """

    address: str
    tls_name: str
    roots_pem: bytes = field(repr=False)
    key_pem: bytes = field(repr=False)
    certificate_pem: bytes = field(repr=False)
    newer_roots: Callable[[int], bytes] | None = field(default=None, repr=False)


def as_it_is(ring: KeyRing) -> KeyRing:
    """Give the same ring: keys that lie in no files are never more than they were."""
    return ring


@dataclass(frozen=True, slots=True)
class Access:
    """One identity with its keys, and its broker. `newer` gives its keys again, with what a rotation has added since."""

    place: Place
    ring: KeyRing
    broker: Identity
    target: Target
    newer: Callable[[KeyRing], KeyRing] = field(default=as_it_is, repr=False)

    @classmethod
    def load(
        cls,
        home: Home,
        identity: str | Identity,
        passphrase: bytes,
        *,
        now_ms: int,
        address: str | None = None,
        certificate_pem: bytes | None = None,
    ) -> Access:
        """Open an identity of this machine; `address` overrides the profile's, `certificate_pem` the certificate in place.

        Raises NotFoundError for an identity, certificate or card that is not here, UsageError where no broker is named,
        KeyFault for a wrong passphrase, an expired certificate or an operator whose card lists no authority in force.
        """
        place = home.locate(identity)
        profile = place.profile
        broker, where = profile.broker, address or profile.broker_address
        if broker is None or not where:
            raise UsageError(
                f"{place.identity} does not know its broker",
                what_to_do="Name it in the profile: [broker] address = HOST:PORT, identity = PARTY/NAME.",
            )
        card = home.trusted_card(broker.party)
        pem = place.certificate_pem if certificate_pem is None else certificate_pem
        leaf = read_leaf(from_pem(pem))
        require_time(str(place.identity), leaf.not_before_ms, leaf.not_after_ms, now_ms)
        roots = _roots_of(card, now_ms)
        files = unlock_keys(place.keys, passphrase)
        ring = files.load()
        role = place.identity.kind.tls_role
        key = ring.tls(role, among={fingerprint(role, Suite.X509, leaf.spki)})
        target = Target(
            address=check_address(where),
            tls_name=broker_tls_name(broker.name, card.card.trust_domain),
            roots_pem=roots,
            key_pem=key.pem(),
            certificate_pem=pem,
            newer_roots=lambda at_ms: _roots_of(home.trusted_card(broker.party), at_ms),
        )
        return cls(place, ring, broker, target, files.newer)


def _roots_of(card: CardFile, now_ms: int) -> bytes:
    party = card.card.party
    authorities = card.to_directory().authorities(party, now_ms)
    if not authorities:
        raise KeyFault(
            f"the trusted card of {party} lists no authority in force",
            what_to_do=f"Get its newest card: comity party trust FILE. {CLOCK_HINT}",
            code=ErrorCode.KEY_EXPIRED,
        )
    return to_pem(one.der for one in authorities)


def broker_of(home: Home, identity: str | Identity) -> tuple[Place, Identity, str]:
    """Give an identity's place, its broker, and the broker's TLS name; raises as `Access.load`, opening no keys."""
    place = home.locate(identity)
    broker = place.profile.broker
    if broker is None:
        raise NotFoundError(f"{place.identity} does not know its broker", code=ErrorCode.FILE_UNKNOWN)
    return place, broker, broker_tls_name(broker.name, home.trusted_card(broker.party).card.trust_domain)
