"""Builders for identities: a nation with root, directory key, X.509 authority, nodes, officers and brokers.

Everything lies in memory, is cheap, and is the same in every run: keys come from the names. Two builds of one nation differ
in the bytes of ML-DSA signatures alone.

    xar, xbo = nation("XAR"), nation("XBO")
    n1 = xar.node("n1", region="xar", offices=("analysis",))       # n1.statement, n1.signer, n1.decapsulator, n1.record...
    officer = xar.officer("officer1", [Role.LIAISON])
    hub = xar.broker("hub")
    directory = directory_of(xar, xbo)                             # a KeyDirectory with all their statements folded
    n1.tls.pem(), n1.certificate_pem                               # for a handshake; xar.authority_pem is the root
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cheap_keys import LEAST
from comity.errors import ComityError, ErrorCode, KeyFault, MalformedError
from comity.identity import issue
from comity.identity.bodies import DAY_MS, Attestation, PartyCard
from comity.identity.capabilities import Abilities, node_capabilities
from comity.identity.cardfile import CardFile, read_party_card
from comity.identity.certificates import Authority, read_authority
from comity.identity.directory import KeyDirectory
from comity.identity.listed import LOG_ED25519, LOG_MLDSA44, ListedKey
from comity.identity.names import Identity, IdentityKind, broker_tls_name
from comity.keys.files import create_keys
from comity.keys.log_keys import LogSecret
from comity.keys.ring import HeldKey, KeyRing, Secret, listed_key
from comity.keys.signer import SoftDecapsulator, SoftSigner
from comity.keys.tls import TlsSecret, issue_authority, issue_leaf, to_pem
from comity.statement import Statement, sign_statement
from comity.suites import KemSecret, KeyRole, RandomBytes, SigningSecret, Suite, generate_kem, generate_signing
from comity_policy.abilities import OBLIGATIONS
from comity_policy.facts import Role

NOW = 1_800_000_000_000
HOUR = 3_600_000
DAY = DAY_MS
PASSPHRASE = b"correct horse"


class Seeded:
    """A random source that gives the same bytes in every run."""

    def __init__(self, seed: str) -> None:
        self._seed = seed.encode()
        self._count = 0

    def __call__(self, size: int) -> bytes:
        self._count += 1
        return hashlib.shake_256(self._seed + self._count.to_bytes(8, "big")).digest(size)


@dataclass(repr=False)
class Held:
    """One identity of a nation: its private keys, its newest statement and its certificate."""

    nation: Nation
    identity: Identity
    keys: list[tuple[KeyRole, Secret]]
    statement: Statement
    certificate: bytes
    sequence: int = 1
    facts: dict[str, object] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return str(self.identity)

    @property
    def listed(self) -> list[ListedKey]:
        return [listed_key(role, secret) for role, secret in self.keys]

    def secret(self, kind: type, suite: Suite | None = None):
        found = [one for _, one in self.keys if isinstance(one, kind)]
        return next(one for one in found if suite is None or one.suite == suite)

    @property
    def signer(self) -> SoftSigner:
        return SoftSigner(self.secret(SigningSecret), self.identity.kind.signing_role)

    @property
    def decapsulator(self) -> SoftDecapsulator:
        return SoftDecapsulator(self.secret(KemSecret))

    @property
    def tls(self) -> TlsSecret:
        return self.secret(TlsSecret)

    @property
    def tls_fingerprint(self) -> bytes:
        return self.tls.fingerprint(self.identity.kind.tls_role)

    @property
    def log_keys(self) -> list[LogSecret]:
        return [one for _, one in self.keys if isinstance(one, LogSecret)]

    @property
    def certificate_pem(self) -> bytes:
        return to_pem([self.certificate])

    @property
    def ring(self) -> KeyRing:
        return KeyRing(HeldKey(listed_key(role, secret), secret, NOW) for role, secret in self.keys)

    def save(self, directory: Path, passphrase: bytes = PASSPHRASE) -> None:
        """Write the key files, at a cost for tests."""
        files = create_keys(directory, passphrase, cost=LEAST)
        for role, secret in self.keys:
            files.save(role, secret, created_at=NOW)

    def reissued(self, **changes: object) -> Statement:
        """Give a further statement of this identity, with the next sequence and what is changed; remembered as newest."""
        self.sequence += 1
        self.statement = self.nation.listing(self, **changes)
        return self.statement

    def rotated(self, *, tls: bool = True) -> Statement:
        """Make new keys of every kind and give the bundle that lists them instead; the certificate is new as well.

        Without `tls` the TLS key stays, so that a connection with the old certificate may enrol the bundle.
        """
        source = Seeded(f"{self.name} rotated {self.sequence}")
        stays = () if tls else (TlsSecret,)
        self.keys = [
            (role, secret if isinstance(secret, stays) else _fresh(secret, source)) for role, secret in self.keys
        ]
        self.certificate = self.nation.leaf(self.identity, self.tls.spki)
        return self.reissued()


@dataclass(repr=False)
class Nation:
    """A party with its own machine. All its identities are kept in `held`, in the order they were made."""

    party: str
    trust_domain: str
    suites: tuple[Suite, ...]
    now: int = NOW
    held: list[Held] = field(default_factory=list)

    def __post_init__(self) -> None:
        source = Seeded(f"nation {self.party}")
        self.root = SoftSigner(generate_signing(self.suites[0], source), KeyRole.ROOT)
        self.directory_secret = generate_signing(self.suites[0], source)
        self.directory = SoftSigner(self.directory_secret, KeyRole.DIRECTORY)
        self.authority_secret = TlsSecret.generate(source)
        self.card_statement = issue.party_card(
            self.root,
            party=self.party,
            name=f"Republic of {self.party}",
            jurisdiction=self.party,
            trust_domain=self.trust_domain,
            issued_at=self.now - DAY,
        )
        self.card: PartyCard = read_party_card(self.card_statement)
        self.authority: Authority = read_authority(self.authority_der())
        self.directory_statement = self.directory_key()

    def authority_der(self, **changes: object) -> bytes:
        given = {
            "party": self.party,
            "trust_domain": self.trust_domain,
            "valid_from_ms": self.now - DAY,
            "valid_until_ms": self.now + 89 * DAY,
            "random_bytes": Seeded(f"authority {self.party}"),
        }
        return issue_authority(self.authority_secret, **{**given, **changes})

    def directory_key(self, *, root: SoftSigner | None = None, key: SoftSigner | None = None, **changes: object):
        """Give a directory-key statement; the nation's own without arguments."""
        signer = key or self.directory
        given = {
            "party": self.party,
            "issuing_certificate": self.authority.der,
            "valid_from": self.now - DAY,
            "valid_until": self.now + 89 * DAY,
            "sequence": 1,
        }
        listed = ListedKey(KeyRole.DIRECTORY, signer.suite, signer.public)
        return issue.directory_key(root or self.root, listed, **{**given, **changes})

    def leaf(self, identity: Identity, spki: bytes, **changes: object) -> bytes:
        given = {
            "identity": identity,
            "spki": spki,
            "valid_from_ms": self.now - HOUR,
            "valid_until_ms": self.now + 30 * DAY,
            "random_bytes": Seeded(f"leaf {identity}"),
        }
        return issue_leaf(self.authority_secret, self.authority, **{**given, **changes})

    def node(self, name: str, **facts: object) -> Held:
        """Make a node. Facts: region, offices, communities, accreditation, valid_from, valid_until."""
        source = Seeded(f"node {self.party}/{name}")
        keys: list[tuple[KeyRole, Secret]] = []
        for suite in self.suites:
            keys.append((KeyRole.NODE_SIGNING, generate_signing(suite, source)))
            keys.append((KeyRole.NODE_KEM, generate_kem(suite, source)))
        keys.append((KeyRole.NODE_TLS, TlsSecret.generate(source)))
        return self._hold(IdentityKind.NODE, name, keys, facts)

    def officer(self, name: str, roles: Iterable[Role] = (Role.LIAISON,), **facts: object) -> Held:
        """Make an officer; full powers are signed by the root as well. Facts: agreements, clearance, validity."""
        source = Seeded(f"officer {self.party}/{name}")
        keys: list[tuple[KeyRole, Secret]] = [
            (KeyRole.OFFICER_SIGNING, generate_signing(self.suites[0], source)),
            (KeyRole.OFFICER_TLS, TlsSecret.generate(source)),
        ]
        return self._hold(IdentityKind.OFFICER, name, keys, {"roles": tuple(roles), **facts})

    def broker(self, name: str = "hub", **facts: object) -> Held:
        """Make a broker with both log keys. Facts: region, validity."""
        source = Seeded(f"broker {self.party}/{name}")
        keys: list[tuple[KeyRole, Secret]] = [
            (KeyRole.BROKER_SIGNING, generate_signing(self.suites[0], source)),
            (KeyRole.BROKER_TLS, TlsSecret.generate(source)),
            (KeyRole.LOG, LogSecret.generate(LOG_ED25519, source)),
            (KeyRole.LOG, LogSecret.generate(LOG_MLDSA44, source)),
        ]
        return self._hold(IdentityKind.BROKER, name, keys, facts)

    def listing(self, held: Held, *, signers: tuple[SoftSigner, ...] | None = None, **changes: object) -> Statement:
        """Give the statement of an identity with the facts it has, `changes` put on top; `signers` overrides who signs."""
        held.facts = {**held.facts, **changes}
        validity = {"valid_from": self.now - HOUR, "valid_until": self.now + 60 * DAY, "sequence": held.sequence}
        common = {"party": self.party, "keys": held.listed, **validity, **held.facts}
        if held.identity.kind is IdentityKind.OFFICER:
            if signers is None:
                full = Role.PLENIPOTENTIARY in common["roles"]
                signers = (self.directory, self.root) if full else (self.directory,)
            return issue.officer_accreditation(*signers, officer=held.identity.name, **common)
        (signer,) = signers or (self.directory,)
        common.setdefault("region", self.party.lower())
        if held.identity.kind is IdentityKind.NODE:
            return issue.node_bundle(signer, node=held.identity.name, **common)
        return issue.broker_bundle(signer, broker=held.identity.name, **common)

    def capabilities(self, held: Held, *, signer: SoftSigner | None = None, **changes: object) -> Statement:
        """Give what a node says that it can, by its own key unless said otherwise; `changes` are of the abilities or the body."""
        given = {
            "software": "comity 0",
            "wire": (1,),
            "suites": tuple(sorted(map(int, self.suites))),
            "obligations": OBLIGATIONS,
        }
        able = Abilities(**{name: changes.pop(name, value) for name, value in given.items()})
        said = {"party": self.party, "node": held.identity.name, "valid_from": self.now, "sequence": 1, **changes}
        return node_capabilities(signer or held.signer, abilities=able, **said)

    def revocation(self, key: bytes, *, signer: SoftSigner | None = None, **changes: object) -> Statement:
        """Give a revocation of the key with this fingerprint, by the directory key unless said otherwise."""
        given = {"party": self.party, "key": key, "reason": "lost", "issued_at": self.now, "compromised_at": 0}
        return issue.revocation(signer or self.directory, **{**given, **changes})

    def attestation(self, level: str = "SECRET", until: int | None = None) -> Attestation:
        """Give an accreditation or clearance by the party's security authority."""
        return Attestation(level, f"{self.party}/security", self.now + 365 * DAY if until is None else until)

    @property
    def statements(self) -> list[Statement]:
        """Give what a key log would hold of this nation: the directory key, then each identity's newest statement."""
        return [self.directory_statement, *(held.statement for held in self.held)]

    @property
    def card_file(self) -> CardFile:
        return CardFile(self.card, (self.directory_statement,))

    @property
    def authority_pem(self) -> bytes:
        return to_pem([self.authority.der])

    def broker_tls_name(self, name: str = "hub") -> str:
        return broker_tls_name(name, self.trust_domain)

    def _hold(self, kind: IdentityKind, name: str, keys: list, facts: dict[str, object]) -> Held:
        identity = Identity(self.party, kind, name)
        (spki,) = (secret.spki for _, secret in keys if isinstance(secret, TlsSecret))
        held = Held(self, identity, keys, self.directory_statement, self.leaf(identity, spki), facts=dict(facts))
        held.statement = self.listing(held)
        self.held.append(held)
        return held


def nation(party: str = "XAR", *, trust_domain: str = "", suites: tuple[Suite, ...] = (Suite.HYBRID,), now: int = NOW):
    """Make a nation whose trust domain is ``xar.example`` unless said otherwise; several suites give nodes keys of each."""
    return Nation(party, trust_domain or f"{party.lower()}.example", suites, now)


def directory_of(*nations: Nation, at_ms: int | None = None) -> KeyDirectory:
    """Fold all statements of some nations into a directory that trusts their cards."""
    directory = KeyDirectory({one.party: one.card for one in nations})
    for one in nations:
        fold(directory, *one.statements, at_ms=one.now if at_ms is None else at_ms)
    return directory


def fold(directory: KeyDirectory, *statements: Statement, at_ms: int = NOW) -> KeyDirectory:
    """Fold further statements, each as the next entry of the key log (entry 0 is never a statement)."""
    for statement in statements:
        directory.apply(statement, log_index=max(directory.size, 1), at_ms=at_ms)
    return directory


def signed_again(sample: Statement, /, **changes: object) -> Statement:
    """Give a statement with some members changed (those named by `remove` taken away), signed by a key that is nobody's."""
    remove = changes.pop("remove", ())
    fields = {key: value for key, value in {**sample.fields, **changes}.items() if key not in remove}
    return sign_statement(fields, SoftSigner(generate_signing(Suite.HYBRID, Seeded("nobody")), KeyRole.ROOT))


def fails(use: Callable[[], object], code: ErrorCode, kind: type[ComityError] = KeyFault) -> ComityError:
    """Expect that `use` raises exactly this error, and give it."""
    with pytest.raises(kind) as caught:
        use()
    assert caught.value.code is code
    return caught.value


def malformed(use: Callable[[], object], code: ErrorCode = ErrorCode.MALFORMED) -> ComityError:
    """Expect that `use` refuses what it is given as malformed."""
    return fails(use, code, MalformedError)


def _fresh(secret: Secret, source: RandomBytes) -> Secret:
    if isinstance(secret, SigningSecret):
        return generate_signing(secret.suite, source)
    if isinstance(secret, KemSecret):
        return generate_kem(secret.suite, source)
    if isinstance(secret, LogSecret):
        return LogSecret.generate(secret.kind, source)
    return TlsSecret.generate(source)
