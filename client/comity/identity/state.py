"""What the fold of a key log holds, and how one admitted statement changes it. Decides nothing (see `admission`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from comity.identity.bodies import (
    BrokerBundle,
    DirectoryKey,
    Listing,
    NodeBundle,
    PartyCard,
    Revocation,
)
from comity.identity.capabilities import CapabilitiesRecord, NodeCapabilities
from comity.identity.listed import ListedKey
from comity.identity.names import Identity
from comity.identity.records import (
    BrokerRecord,
    KeyOwner,
    NodeRecord,
    OfficerRecord,
    Record,
    RecordedKey,
    RevocationRecord,
)

# How far two honest clocks may lie apart, in milliseconds.
CLOCK_SKEW_MS: Final = 300_000


@dataclass(frozen=True, slots=True)
class DirectoryRecord:
    """A directory key and the entry that logged it."""

    body: DirectoryKey
    log_index: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class _Revoking:
    body: Revocation
    rank: int
    log_index: int
    at_ms: int


@dataclass(slots=True)
class State:
    """The maps. Lists are in log order."""

    cards: dict[str, PartyCard] = field(default_factory=dict)
    domains: dict[str, str] = field(default_factory=dict)
    directory: dict[str, list[DirectoryRecord]] = field(default_factory=dict)
    listings: dict[str, dict[str, list[Record]]] = field(default_factory=dict)
    key_sets: dict[bytes, NodeRecord] = field(default_factory=dict)
    owners: dict[bytes, KeyOwner] = field(default_factory=dict)
    publics: dict[tuple[int, bytes], bytes] = field(default_factory=dict)
    revocations: dict[bytes, list[_Revoking]] = field(default_factory=dict)
    capabilities: dict[tuple[str, str], list[CapabilitiesRecord]] = field(default_factory=dict)
    logged: dict[bytes, int] = field(default_factory=dict)
    size: int = 0

    # --- asking -----------------------------------------------------------------------------------------------------

    def listed(self, party: str, name: str) -> Sequence[Record]:
        """Give all records of PARTY/NAME."""
        return self.listings.get(party, {}).get(name, ())

    def revocation(self, key: bytes, log_size: int | None = None) -> RevocationRecord | None:
        """Give a key's revocation among the first `log_size` entries, with the newest claimed time of compromise."""
        revoking = self.revocations.get(key)
        if revoking is None:
            return None
        entries = [one for one in revoking if log_size is None or one.log_index < log_size]
        if not entries:
            return None
        first, last = entries[0], entries[-1].body
        return RevocationRecord(last.party, key, last.reason, last.compromised_at, first.log_index, first.at_ms)

    def able(self, party: str, node: str, log_size: int | None = None) -> CapabilitiesRecord | None:
        """Give the newest capability statement of a node among the first `log_size` entries; None where none counts.

        One whose key is revoked counts no longer, and none before it does again.
        """
        known = self.capabilities.get((party, node), ())
        newest = next((one for one in reversed(known) if log_size is None or one.log_index < log_size), None)
        return None if newest is None or self.revocation(newest.signed_by, log_size) is not None else newest

    def revocation_rank(self, key: bytes) -> int:
        """Give the rank of the highest signer who revoked a key, 0 where nobody did."""
        return max((one.rank for one in self.revocations.get(key, ())), default=0)

    def revoked_chain(self, key: bytes, party: str, log_size: int | None = None) -> RevocationRecord | None:
        """Give the revocation of a key or of its party's root; None where both count."""
        root = self.cards[party].root_fingerprint
        return self.revocation(key, log_size) or self.revocation(root, log_size)

    def directory_logged(self, party: str, key: bytes, log_size: int | None) -> bool:
        """Say whether a directory or issuing key is logged among the first `log_size` entries."""
        records = self.directory.get(party, ())
        return any(
            key in {one.fingerprint for one in record.body.keys}
            for record in records
            if log_size is None or record.log_index < log_size
        )

    def directory_keys(self, party: str, at_ms: int) -> tuple[DirectoryKey, ...]:
        """Give a party's directory keys in force at that time, the newest first."""
        records = reversed(self.directory.get(party, ()))
        return tuple(
            record.body
            for record in records
            if record.body.valid_from <= at_ms + CLOCK_SKEW_MS
            and at_ms < record.body.valid_until
            and self.revoked_chain(record.body.key.fingerprint, party) is None
        )

    # --- changing ---------------------------------------------------------------------------------------------------

    def own(self, party: str, identity: Identity | None, keys: tuple[ListedKey, ...], since: int) -> None:
        """Record whose keys these are; a key that was listed before keeps its age."""
        for key in keys:
            before = self.owners.get(key.fingerprint)
            first = since if before is None else min(since, before.key.since)
            recorded = RecordedKey(key.role, int(key.suite), key.public, key.fingerprint, first)
            self.owners[key.fingerprint] = KeyOwner(party, identity, recorded)
            self.publics[int(key.suite), key.public] = key.fingerprint

    def add_directory_key(self, body: DirectoryKey, log_index: int, at_ms: int) -> None:
        """Record a directory key."""
        self.own(body.party, None, body.keys, body.valid_from)
        self.directory.setdefault(body.party, []).append(DirectoryRecord(body, log_index, at_ms))

    def add_revocation(self, body: Revocation, rank: int, log_index: int, at_ms: int) -> None:
        """Record a revocation by a signer of that rank."""
        self.revocations.setdefault(body.key, []).append(_Revoking(body, rank, log_index, at_ms))

    def add_capabilities(self, body: NodeCapabilities, signed_by: bytes, log_index: int, at_ms: int) -> None:
        """Record the newest capability statement of a node."""
        record = CapabilitiesRecord(body, signed_by, log_index, at_ms)
        self.capabilities.setdefault((body.party, body.node), []).append(record)

    def add_listing(self, body: Listing, signed_by: bytes, log_index: int, at_ms: int) -> None:
        """Record the newest statement of an identity."""
        self.own(body.party, body.identity, body.keys, body.valid_from)
        record = self._record(body, signed_by, log_index, at_ms)
        self.listings.setdefault(body.party, {}).setdefault(body.identity.name, []).append(record)
        if isinstance(record, NodeRecord):
            self.key_sets[record.key_set] = record

    def _record(self, body: Listing, signed_by: bytes, log_index: int, at_ms: int) -> Record:
        keys = tuple(self.owners[key.fingerprint].key for key in body.keys)
        if isinstance(body, NodeBundle):
            return NodeRecord(
                party=body.party,
                node=body.node,
                region=body.region,
                offices=body.offices,
                communities=body.communities,
                key_set=body.key_set,
                accreditation=body.accreditation,
                keys=keys,
                valid_from=body.valid_from,
                valid_until=body.valid_until,
                sequence=body.sequence,
                log_index=log_index,
                at_ms=at_ms,
                signed_by=signed_by,
            )
        if isinstance(body, BrokerBundle):
            return BrokerRecord(
                party=body.party,
                broker=body.broker,
                region=body.region,
                keys=keys,
                valid_from=body.valid_from,
                valid_until=body.valid_until,
                sequence=body.sequence,
                log_index=log_index,
                at_ms=at_ms,
                signed_by=signed_by,
            )
        return OfficerRecord(
            party=body.party,
            officer=body.officer,
            roles=body.roles,
            agreements=body.agreements,
            offices=body.offices,
            communities=body.communities,
            clearance=body.clearance,
            keys=keys,
            valid_from=body.valid_from,
            valid_until=body.valid_until,
            sequence=body.sequence,
            log_index=log_index,
            at_ms=at_ms,
            signed_by=signed_by,
        )
