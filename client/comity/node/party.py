"""A party's own machine: its root, directory and issuing keys, and what it issues with them (design 03, "Keys and trust").

These are local acts: nothing here talks to a broker. Rules in order:
1. `create_party` makes three keys under one passphrase: the root (directory keys, full powers), a directory key for 90 days,
   and the X.509 authority, constrained to the trust domain. Its own card is trusted in the same home. `renew_party` has the
   root list the next directory key and authority; the card stays the same, so nobody compares its words again.
2. Everything issued is kept in ``issued/``, one file a statement; sequences go on from the highest there.
3. Nothing ends later than the directory key that signs it. A node's or officer's certificate ends with its statement.
4. The root signs where the design demands it: cards, directory keys, full powers (the role plenipotentiary).
5. A level is attested by a security authority that this machine has accredited, and whose accreditation has not ended.

Times are Unix milliseconds; clocks and randomness are arguments.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from comity.errors import AccessError, ConflictError, ErrorCode, KeyFault, NotFoundError, UsageError
from comity.identity import issue
from comity.identity.bodies import (
    DAY_MS,
    DIRECTORY_DAYS,
    Attestation,
    DirectoryKey,
    NodeBundle,
    OfficerAccreditation,
    read_body,
)
from comity.identity.cardfile import DIRECTORY_LIMIT, CardFile, read_directory_key, read_party_card
from comity.identity.certificates import utc
from comity.identity.listed import ListedKey
from comity.identity.names import Identity, IdentityKind, check_party
from comity.keys.files import KeyFiles, create_keys, load_keys, unlock_keys
from comity.keys.ring import KeyRing
from comity.keys.signer import SoftSigner
from comity.keys.tls import TlsSecret, issue_authority, issue_leaf, to_pem
from comity.node.files import private_directory, read_file, write_file
from comity.node.home import Home, PartyPlace
from comity.node.requests import Issued, Request
from comity.statement import FILE_LIMIT, Statement, decode, encode
from comity.suites import KeyRole, RandomBytes, Suite, generate_signing
from comity_policy.facts import Role

STATEMENT_DAYS: Final = 90


def create_party(
    home: Home,
    code: str,
    *,
    name: str,
    trust_domain: str,
    jurisdiction: str,
    passphrase: bytes,
    now_ms: int,
    random_bytes: RandomBytes = os.urandom,
    suite: Suite = Suite.HYBRID,
) -> CardFile:
    """Make a party's keys and card on this machine; raises ConflictError where they are here already."""
    place = home.party(check_party(code))
    if place.exists:
        raise ConflictError(f"the keys of {code} are on this machine already", code=ErrorCode.FILE_EXISTS)
    root = generate_signing(suite, random_bytes)
    root_signer = SoftSigner(root, KeyRole.ROOT)
    card = issue.party_card(
        root_signer, party=code, name=name, jurisdiction=jurisdiction, trust_domain=trust_domain, issued_at=now_ms
    )
    private_directory(place.directory)
    files = create_keys(place.keys, passphrase, random_bytes=random_bytes)
    files.save(KeyRole.ROOT, root, created_at=now_ms)
    empty = CardFile(read_party_card(card), ())
    # The card is written last: a party exists when its card does.
    return _with_directory_key(home, place, empty, files, root_signer, now_ms=now_ms, random_bytes=random_bytes)


def renew_party(
    home: Home, code: str, passphrase: bytes, *, now_ms: int, random_bytes: RandomBytes = os.urandom
) -> CardFile:
    """Have a party's root list a new directory key and X.509 authority for 90 days; gives the renewed card file.

    The card and its words stay, and so does what the old directory key signed, until its own end. Works after that end too.
    Raises NotFoundError, KeyFault for a wrong passphrase, UsageError where a card file has no room beside the keys in force.
    """
    place = home.party(code)
    card_file = place.card_file
    files = unlock_keys(place.keys, passphrase, random_bytes=random_bytes)
    root = files.load().signer(KeyRole.ROOT, among=(card_file.card.root_fingerprint,))
    return _with_directory_key(home, place, card_file, files, root, now_ms=now_ms, random_bytes=random_bytes)


def _with_directory_key(
    home: Home,
    place: PartyPlace,
    card_file: CardFile,
    files: KeyFiles,
    root: SoftSigner,
    *,
    now_ms: int,
    random_bytes: RandomBytes,
) -> CardFile:
    card, before = card_file.card, _with_room(card_file, now_ms)
    directory, issuing = generate_signing(root.suite, random_bytes), TlsSecret.generate(random_bytes)
    valid_until = now_ms + DIRECTORY_DAYS * DAY_MS
    sequence = card_file.newest_sequence + 1
    authority = issue_authority(
        issuing,
        party=card.party,
        trust_domain=card.trust_domain,
        valid_from_ms=now_ms,
        valid_until_ms=valid_until,
        random_bytes=random_bytes,
    )
    listed = issue.directory_key(
        root,
        ListedKey(KeyRole.DIRECTORY, root.suite, directory.public),
        party=card.party,
        issuing_certificate=authority,
        valid_from=now_ms,
        valid_until=valid_until,
        sequence=sequence,
    )
    renewed = CardFile(card, (*before, listed))
    files.save(KeyRole.DIRECTORY, directory, created_at=now_ms)
    files.save(KeyRole.X509_ISSUING, issuing, created_at=now_ms)
    write_file(place.issued / f"directory-key-{sequence}.json", encode(listed))
    write_file(place.authority_path, to_pem((authority,)))
    place.write_card_file(renewed)
    home.trust(renewed)
    return renewed


def _with_room(card_file: CardFile, now_ms: int) -> tuple[Statement, ...]:
    """Give a card file's directory keys with room for one more: where it is full, without the one that ended first."""
    if len(card_file.directory) < DIRECTORY_LIMIT:
        return card_file.directory
    first = min(card_file.directory, key=lambda one: read_directory_key(one).valid_until)
    ends = read_directory_key(first).valid_until
    if now_ms < ends:
        raise UsageError(
            f"{DIRECTORY_LIMIT} directory keys of {card_file.card.party} are in force: its card has no room for another",
            what_to_do=f"Go on with the newest one; the first of them ends at {utc(ends)}.",
        )
    return tuple(one for one in card_file.directory if one is not first)


@dataclass(frozen=True, slots=True)
class PartyKeys:
    """A party's opened keys, and the directory key in force."""

    place: PartyPlace
    card_file: CardFile
    ring: KeyRing
    directory: DirectoryKey

    @classmethod
    def open(cls, home: Home, code: str, passphrase: bytes, *, now_ms: int) -> PartyKeys:
        """Open a party's keys; raises NotFoundError, KeyFault for a passphrase that is wrong or keys that have expired."""
        place = home.party(code)
        card_file = place.card_file
        return cls(place, card_file, load_keys(place.keys, passphrase), _in_force(card_file, now_ms))

    @property
    def party(self) -> str:
        """Give whose keys they are."""
        return self.card_file.card.party

    def issue_node(
        self, request: Request, *, now_ms: int, accreditation: Attestation | None = None, days: int = STATEMENT_DAYS
    ) -> Issued:
        """Issue a node's bundle and certificate, for at most so many days; raises UsageError, KeyFault."""
        self._require_mine(request, IdentityKind.NODE)
        if not request.region:
            raise UsageError(f"the request of {request.identity} names no region")
        valid_until = self._until(now_ms, days)
        statement = issue.node_bundle(
            self._signer(KeyRole.DIRECTORY),
            party=self.party,
            node=request.identity.name,
            region=request.region,
            keys=request.keys,
            offices=request.offices,
            communities=request.communities,
            accreditation=accreditation,
            valid_from=now_ms,
            valid_until=valid_until,
            sequence=self._next_sequence(request.identity),
        )
        return self._issued(request, statement, now_ms, valid_until)

    def issue_broker(self, request: Request, *, now_ms: int, days: int = STATEMENT_DAYS) -> Issued:
        """Issue a broker's bundle and certificate; raises UsageError, KeyFault."""
        self._require_mine(request, IdentityKind.BROKER)
        valid_until = self._until(now_ms, days)
        statement = issue.broker_bundle(
            self._signer(KeyRole.DIRECTORY),
            party=self.party,
            broker=request.identity.name,
            region=request.region,
            keys=request.keys,
            valid_from=now_ms,
            valid_until=valid_until,
            sequence=self._next_sequence(request.identity),
        )
        return self._issued(request, statement, now_ms, valid_until)

    def accredit(
        self,
        request: Request,
        roles: Iterable[Role],
        *,
        now_ms: int,
        agreements: Iterable[str] = (),
        offices: Iterable[str] = (),
        communities: Iterable[str] = (),
        clearance: Attestation | None = None,
        days: int = STATEMENT_DAYS,
    ) -> Issued:
        """Accredit an officer and issue its certificate; full powers are signed by the root as well."""
        self._require_mine(request, IdentityKind.OFFICER)
        held = frozenset(roles)
        if not held:
            raise UsageError("an accreditation gives at least one role")
        signers = [self._signer(KeyRole.DIRECTORY)]
        if Role.PLENIPOTENTIARY in held:
            signers.append(self._signer(KeyRole.ROOT))
        valid_until = self._until(now_ms, days)
        statement = issue.officer_accreditation(
            *signers,
            party=self.party,
            officer=request.identity.name,
            keys=request.keys,
            roles=held,
            agreements=agreements,
            offices=offices,
            communities=communities,
            clearance=clearance,
            valid_from=now_ms,
            valid_until=valid_until,
            sequence=self._next_sequence(request.identity),
        )
        return self._issued(request, statement, now_ms, valid_until)

    def withdraw(self, identity: Identity, *, now_ms: int, keys: Iterable[ListedKey] = ()) -> Statement:
        """Make the accreditation without roles that takes an officer's away; it has to be published to have an effect."""
        statement = issue.officer_accreditation(
            self._signer(KeyRole.DIRECTORY),
            party=self.party,
            officer=identity.name,
            keys=keys,
            roles=(),
            valid_from=now_ms,
            valid_until=self._until(now_ms, STATEMENT_DAYS),
            sequence=self._next_sequence(identity),
        )
        self._keep(identity, statement)
        return statement

    def revoke(self, key: bytes, *, reason: str, now_ms: int, compromised_at: int = 0) -> Statement:
        """Make the revocation of a key (by its fingerprint); it has to be published to have an effect."""
        statement = issue.revocation(
            self._signer(KeyRole.DIRECTORY),
            party=self.party,
            key=key,
            reason=reason,
            issued_at=now_ms,
            compromised_at=compromised_at,
        )
        write_file(self.place.issued / f"revocation-{key.hex()[:16]}-{now_ms}.json", encode(statement))
        return statement

    def newest(self, identity: Identity) -> Statement | None:
        """Give the newest statement issued for an identity; None where nothing was."""
        sequence = self._next_sequence(identity) - 1
        return None if sequence == 0 else decode(read_file(self._file(identity, sequence), FILE_LIMIT))

    def require_security_authority(self, by: Identity, now_ms: int) -> None:
        """Check that an officer may attest levels now, by what this party issued; raises NotFoundError, AccessError, KeyFault."""
        newest = self.newest(by) if by.party == self.party else None
        body = None if newest is None else read_body(newest)
        make = f"comity officer accredit {by} --role {Role.SECURITY_AUTHORITY.word}"
        if not isinstance(body, OfficerAccreditation):
            raise NotFoundError(
                f"{self.party} has accredited no officer {by} here: nobody attests the level",
                what_to_do=f"Name a security authority of {self.party}, or make one: comity officer create {by}, then {make}",
                code=ErrorCode.IDENTITY_UNKNOWN,
            )
        if Role.SECURITY_AUTHORITY not in body.roles:
            held = ", ".join(sorted(role.word for role in body.roles)) or "none, it was withdrawn"
            raise AccessError(
                f"{by} is no security authority of {self.party} (its roles: {held})",
                what_to_do=f"Name one that is, or give it the role: {make}",
            )
        if now_ms >= body.valid_until:
            raise KeyFault(
                f"the accreditation of {by} has ended", what_to_do=f"Renew it: {make}", code=ErrorCode.KEY_EXPIRED
            )

    def accreditation(self, identity: Identity, now_ms: int) -> Attestation | None:
        """Give the accreditation of a node's newest bundle, to be carried over; None where it has none, or it has ended."""
        newest = self.newest(identity)
        body = None if newest is None else read_body(newest)
        attested = body.accreditation if isinstance(body, NodeBundle) else None
        return attested if attested is not None and now_ms < attested.until else None

    # --- inside -----------------------------------------------------------------------------------------------------

    def _require_mine(self, request: Request, kind: IdentityKind) -> None:
        identity = request.identity
        if identity.kind is not kind:
            raise UsageError(f"the request is of a {identity.kind.value}, {identity}, not of a {kind.value}")
        if identity.party != self.party:
            raise UsageError(f"{self.party} cannot issue anything for {identity}")
        others = (one for one in IdentityKind if one is not kind)
        taken = [one for one in others if self._next_sequence(Identity(self.party, one, identity.name)) > 1]
        if taken:
            raise ConflictError(
                f"{identity} is the name of a {taken[0].value} already",
                what_to_do="Names are unique over a party's nodes, officers and brokers: take another.",
                code=ErrorCode.FILE_EXISTS,
            )

    def _signer(self, role: KeyRole) -> SoftSigner:
        fingerprint = self.directory.key.fingerprint if role is KeyRole.DIRECTORY else None
        return self.ring.signer(role, among=None if fingerprint is None else (fingerprint,))

    def _until(self, now_ms: int, days: int) -> int:
        if days < 1:
            raise UsageError("a validity has at least one day")
        return min(now_ms + days * DAY_MS, self.directory.valid_until)

    def _issued(self, request: Request, statement: Statement, now_ms: int, valid_until: int) -> Issued:
        secret = self.ring.tls(KeyRole.X509_ISSUING, among=(self.directory.keys[1].fingerprint,))
        leaf = issue_leaf(
            secret,
            self.directory.authority,
            identity=request.identity,
            spki=request.spki,
            valid_from_ms=now_ms,
            valid_until_ms=valid_until,
        )
        self._keep(request.identity, statement)
        return Issued(statement, leaf, self.directory.authority.der)

    def _keep(self, identity: Identity, statement: Statement) -> None:
        # Never over another: a sequence names one statement.
        path = self._file(identity, self._next_sequence(identity))
        try:
            write_file(path, encode(statement), replace=False)
        except FileExistsError as error:
            raise ConflictError(
                f"something else was issued for {identity} at the same time",
                what_to_do="Try again.",
                code=ErrorCode.SEQUENCE_STALE,
            ) from error

    def _next_sequence(self, identity: Identity) -> int:
        prefix = f"{identity.kind.value}-{identity.name}-"
        found = (path.stem.removeprefix(prefix) for path in self.place.issued.glob(f"{prefix}*.json"))
        return max((int(one) for one in found if one.isdecimal()), default=0) + 1

    def _file(self, identity: Identity, sequence: int) -> Path:
        return self.place.issued / f"{identity.kind.value}-{identity.name}-{sequence}.json"


def issued_for(place: PartyPlace, identity: Identity) -> tuple[Statement, ...]:
    """Give every statement that a party issued for an identity on this machine, the newest first."""
    prefix = f"{identity.kind.value}-{identity.name}-"
    found = {path.stem.removeprefix(prefix): path for path in place.issued.glob(f"{prefix}*.json")}
    sequences = sorted((int(one) for one in found if one.isdecimal()), reverse=True)
    return tuple(decode(read_file(found[str(one)], FILE_LIMIT)) for one in sequences)


def _in_force(card_file: CardFile, now_ms: int) -> DirectoryKey:
    bodies = [read_body(statement) for statement in card_file.directory]
    found = [one for one in bodies if isinstance(one, DirectoryKey) and one.valid_from <= now_ms < one.valid_until]
    if not found:
        raise KeyFault(
            f"no directory key of {card_file.card.party} is in force now",
            what_to_do=f"Its root has to list a new one: comity party renew {card_file.card.party}. If this looks wrong, "
            "compare this machine's clock (NTP).",
            code=ErrorCode.KEY_EXPIRED,
        )
    return max(found, key=lambda one: one.sequence)
