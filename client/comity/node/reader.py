"""The officer who reads at a node: keys unlocked on this machine, proved against the directory, then facts for decisions.

Rules in order:
1. A reader is an officer of the node's own party whose signing key is on this machine and was unlocked. A name is nothing: the
   key signs a fresh nonce, and the signature verifies with the key that the directory lists (`comity.keys.possession`).
2. What is attested of a reader is what the directory's newest accreditation says at that moment: revoked, withdrawn, expired or
   not accredited for the agreement, nobody reads. An accreditation that lists a new key is proved anew.
3. The facts of now count for what was admitted before: an officer cleared today may read what came yesterday.

    officer = ReadingOfficer.unlock("XBO/analyst1", passphrase_file=path)
    async for delivery in node.receive(reader=officer): ...
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from comity.errors import AccessError, ErrorCode, KeyFault, UsageError
from comity.identity.directory import KeyDirectory
from comity.identity.names import Identity, IdentityKind
from comity.identity.records import RecordedKey
from comity.keys.files import unlock_keys
from comity.keys.passphrase import find_passphrase
from comity.keys.possession import NONCE_BYTES, prove_reader, reader_proof_verifies
from comity.keys.signer import Signer
from comity.node.home import Home
from comity.suites import KeyRole, RandomBytes
from comity_policy.facts import Reader

_ROLE: Final = KeyRole.OFFICER_SIGNING


@dataclass(frozen=True, slots=True)
class ReadingOfficer:
    """An officer of this machine whose signing keys were unlocked."""

    identity: Identity
    signers: tuple[Signer, ...] = field(repr=False)

    @classmethod
    def unlock(
        cls,
        identity: str | Identity,
        *,
        home: str | os.PathLike[str] | Home | None = None,
        passphrase_file: str | os.PathLike[str] | None = None,
        passphrase: bytes | None = None,
    ) -> ReadingOfficer:
        """Open an officer's key files; the passphrase is given, or found as `comity.connect` does.

        Raises NotFoundError for an officer who is not on this machine, UsageError for a node, KeyFault for a wrong passphrase.
        """
        where = home if isinstance(home, Home) else Home.at(home, os.environ)
        place = where.locate(identity)
        if place.identity.kind is not IdentityKind.OFFICER:
            raise UsageError(
                f"{place.identity} is a node: an officer reads", what_to_do="Name an officer of the party."
            )
        secret = passphrase
        if secret is None:
            file = None if passphrase_file is None else Path(passphrase_file)
            secret = find_passphrase(file=file, environ=os.environ, ask=None)
        return cls(place.identity, unlock_keys(place.keys, secret).load().signers(_ROLE))


class ProvedReader:
    """A reading officer at one node, by the directory that `directory` gives."""

    def __init__(
        self,
        officer: ReadingOfficer,
        node: Identity,
        directory: Callable[[], KeyDirectory],
        random_bytes: RandomBytes = os.urandom,
    ) -> None:
        if officer.identity.party != node.party:
            raise AccessError(
                f"{officer.identity} is no officer of {node.party}",
                what_to_do="Whoever reads is an officer of the node's own party.",
                code=ErrorCode.ACTING_FOR_ANOTHER,
            )
        self.identity = officer.identity
        self._signers = {one.fingerprint: one for one in officer.signers}
        self._node = node
        self._directory = directory
        self._random_bytes = random_bytes
        self._proved: set[bytes] = set()

    @property
    def sequence(self) -> int:
        """Give the number of the officer's newest accreditation; 0 without one."""
        record = self._directory().officer(self.identity.party, self.identity.name)
        return 0 if record is None else record.sequence

    def require(self, now_ms: int) -> None:
        """Check that the officer counts now and controls a listed key; raises KeyFault that says what is wrong."""
        self._counting(now_ms)

    def signer(self, now_ms: int) -> Signer:
        """Give what signs for the officer; raises KeyFault as `require`."""
        return self._signers[self._counting(now_ms).fingerprint]

    def _counting(self, now_ms: int) -> RecordedKey:
        key = self._key()
        if key is None:
            raise KeyFault(
                f"the keys here are not those that {self.identity.party} lists for {self.identity}",
                what_to_do=f"Have it accredited and enrolled: comity officer accredit {self.identity}",
            )
        self._directory().officer_by_key(key.fingerprint, now_ms)
        return key

    def facts(self, agreement_id: str, now_ms: int) -> Reader | None:
        """Give what is attested of the reader for an agreement now; None where nobody may be taken to read."""
        key = self._key()
        if key is None:
            return None
        try:
            found = self._directory().reader(key.fingerprint, agreement_id, now_ms)
        except KeyFault:
            # Why is said when receiving begins (`require`); from then on it only means that nobody reads.
            return None
        return found if found.officer == str(self.identity) else None

    def _key(self) -> RecordedKey | None:
        """Give a key that the newest accreditation lists and whose control was proved."""
        record = self._directory().officer(self.identity.party, self.identity.name)
        keys = () if record is None else record.keys_of(_ROLE)
        return next((key for key in keys if key.fingerprint in self._proved or self._prove(key)), None)

    def _prove(self, key: RecordedKey) -> bool:
        signer = self._signers.get(key.fingerprint)
        if signer is None:
            return False
        officer, node, nonce = str(self.identity), str(self._node), self._random_bytes(NONCE_BYTES)
        proof = prove_reader(signer, officer, node, nonce)
        if not reader_proof_verifies(key.suite, key.public, officer=officer, node=node, nonce=nonce, proof=proof):
            return False
        self._proved.add(key.fingerprint)
        return True
