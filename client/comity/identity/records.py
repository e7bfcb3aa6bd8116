"""What a directory knows of one identity as one entry of the key log said it, and of one key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from comity.identity.bodies import Attestation
from comity.identity.names import Identity, IdentityKind
from comity.suites import KeyRole
from comity_policy.facts import Role


@dataclass(frozen=True, slots=True)
class RecordedKey:
    """A listed key. `since` is the valid_from (Unix ms) of the first bundle that listed it: carried over, it keeps its age."""

    role: KeyRole
    suite: int
    public: bytes
    fingerprint: bytes
    since: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Record:
    keys: tuple[RecordedKey, ...]
    valid_from: int
    valid_until: int
    sequence: int
    log_index: int
    at_ms: int
    signed_by: bytes

    def key(self, role: KeyRole, suite: int) -> RecordedKey | None:
        """Give the key of this role and suite; None where there is none. For TLS and log keys see `keys_of`."""
        return next((key for key in self.keys if key.role is role and key.suite == suite), None)

    def keys_of(self, role: KeyRole) -> tuple[RecordedKey, ...]:
        """Give all keys of a role."""
        return tuple(key for key in self.keys if key.role is role)

    def lists(self, fingerprint: bytes) -> bool:
        """Say whether it lists the key with this fingerprint."""
        return any(key.fingerprint == fingerprint for key in self.keys)

    @property
    def fingerprints(self) -> frozenset[bytes]:
        """Give the fingerprints of all its keys."""
        return frozenset(key.fingerprint for key in self.keys)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRecord(_Record):
    """A node as one logged bundle says. `signed_by` is the directory key's fingerprint, `at_ms` the log entry's time."""

    party: str
    node: str
    region: str
    offices: frozenset[str]
    communities: frozenset[str]
    key_set: bytes
    accreditation: Attestation | None

    @property
    def identity(self) -> Identity:
        """Give whose record it is."""
        return Identity(self.party, IdentityKind.NODE, self.node)


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerRecord(_Record):
    """A broker as one logged bundle says."""

    party: str
    broker: str
    region: str

    @property
    def identity(self) -> Identity:
        """Give whose record it is."""
        return Identity(self.party, IdentityKind.BROKER, self.broker)


@dataclass(frozen=True, slots=True, kw_only=True)
class OfficerRecord(_Record):
    """An officer as one logged accreditation says. No roles: withdrawn. No agreements: all of the party's."""

    party: str
    officer: str
    roles: frozenset[Role]
    agreements: frozenset[str]
    offices: frozenset[str]
    communities: frozenset[str]
    clearance: Attestation | None

    @property
    def identity(self) -> Identity:
        """Give whose record it is."""
        return Identity(self.party, IdentityKind.OFFICER, self.officer)

    def holds(self, role: Role, agreement_id: str) -> bool:
        """Say whether the accreditation gives this role for this agreement. That it is current is not looked at."""
        return role in self.roles and self.acts_under(agreement_id)

    def acts_under(self, agreement_id: str) -> bool:
        """Say whether the accreditation is for this agreement, whatever its roles. That it is current is not looked at."""
        return not self.agreements or agreement_id in self.agreements


Record = NodeRecord | BrokerRecord | OfficerRecord


@dataclass(frozen=True, slots=True)
class KeyOwner:
    """Whose key it is: of a party's identity, or (identity None) of the party itself: root, directory, issuing."""

    party: str
    identity: Identity | None
    key: RecordedKey


@dataclass(frozen=True, slots=True)
class RevocationRecord:
    """A revoked key. `log_index` and `at_ms` are those of the first revocation: from there on it counts no longer."""

    party: str
    key: bytes
    reason: str
    compromised_at: int
    log_index: int
    at_ms: int


def newest(records: Sequence[Record], log_size: int | None) -> Record | None:
    """Give the last record among the first `log_size` entries of the key log; None means all of it."""
    for record in reversed(records):
        if log_size is None or record.log_index < log_size:
            return record
    return None
