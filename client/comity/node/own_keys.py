"""A node's own keys as the directory lists them: which private key belongs to which of our listings.

A key that is not here yet is looked for again among the key files: a rotation makes and enrols keys while this process runs.
"""

from __future__ import annotations

from collections.abc import Callable

from comity.envelope.open import Opener
from comity.envelope.seal import Recipient
from comity.errors import ErrorCode, KeyFault
from comity.identity.names import Identity
from comity.identity.records import NodeRecord
from comity.keys.ring import KeyRing
from comity.keys.signer import Decapsulator, Signer
from comity.node.access import as_it_is
from comity.node.directory import recipient_of
from comity.node.mirror import Mirror
from comity.node.sealing import KeySet
from comity.suites import KeyRole, Suite


class OwnKeys:
    """The keys of one node. What counts is what the mirror's newest listing holds, never what lies on this machine."""

    def __init__(
        self, identity: Identity, ring: KeyRing, mirror: Mirror, newer: Callable[[KeyRing], KeyRing] = as_it_is
    ) -> None:
        self._identity = identity
        self._ring = ring
        self._newer = newer
        self._mirror = mirror
        self._signers: dict[KeySet, Signer] = {}

    @property
    def record(self) -> NodeRecord:
        """Give the node's newest listing; raises KeyFault NOT_ENROLLED."""
        record = self._mirror.directory.node(self._identity.party, self._identity.name)
        if record is None:
            raise KeyFault(
                f"{self._identity} is not enrolled at {self._mirror.broker}",
                what_to_do=f"comity node enrol {self._identity}",
                code=ErrorCode.NOT_ENROLLED,
            )
        return record

    def recipient(self, key_set: bytes, suite: Suite) -> Recipient:
        """Give our KEM key of a key set, for our own stanzas; raises KeyFault."""
        record = self._mirror.directory.key_set(key_set)
        recipient = None if record is None else recipient_of(record, suite)
        if recipient is None:
            raise KeyFault(f"{self._identity} has no KEM key of suite {suite.name} in that key set")
        return recipient

    def signer(self, key_set: KeySet) -> Signer:
        """Give our signing key of a key set and suite; raises KeyFault where its private half is not here."""
        found = self._signers.get(key_set)
        if found is None:
            record = self._mirror.directory.key_set(key_set[0])
            among = frozenset() if record is None else record.fingerprints
            if not any(one.fingerprint in among for one in self._ring.signers(KeyRole.NODE_SIGNING)):
                self._ring = self._newer(self._ring)
            found = self._ring.signer(KeyRole.NODE_SIGNING, Suite(key_set[1]), among=among)
            self._signers[key_set] = found
        return found

    def newest_signer(self) -> tuple[KeySet, Signer]:
        """Give our newest key set with a signer of its first suite, for acknowledgements; raises KeyFault."""
        record = self.record
        key_set = (record.key_set, min(key.suite for key in record.keys_of(KeyRole.NODE_SIGNING)))
        return key_set, self.signer(key_set)

    def opener(self) -> Opener:
        """Give what opens with every KEM key on this machine: those rotated away still open what was sealed to them."""
        return Opener(self._identity.party, self._ring.decapsulators(), newer=self._newer_decapsulators)

    def _newer_decapsulators(self) -> dict[bytes, Decapsulator]:
        self._ring = self._newer(self._ring)
        return dict(self._ring.decapsulators())
