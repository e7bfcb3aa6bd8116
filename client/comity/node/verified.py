"""Signatures that were verified already: an officer's act is asked about at each opening, and its bytes never change.

Rules in order:
1. A signature is known by all that verifying it depends on: the statement's exact bytes, the signature's, the key's and its suite.
   Anything else, be it one bit, is verified anew.
2. What is remembered says nothing of the key: whether it counted, and whose it is, is asked of the directory each time.
3. It holds so many answers at most, and lets the oldest go.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

from comity.pae import pae
from comity.statement import Statement, verify_signature_of

KEPT: Final = 8192

Verify = Callable[[Statement, bytes, int, bytes], bool]


class VerifiedSignatures:
    """What verifying gave, for one mirror. For several threads at once."""

    def __init__(self, verify: Verify = verify_signature_of, kept: int = KEPT) -> None:
        self._verify = verify
        self._kept = kept
        self._known: dict[bytes, bool] = {}

    def __len__(self) -> int:
        return len(self._known)

    def holds(self, statement: Statement, key: bytes, suite: int, public: bytes) -> bool:
        """Say whether the key with this fingerprint, suite and public key signed the statement validly."""
        signature = statement.signature_of(key)
        if signature is None:
            return False
        parts = pae("verified", int(suite), key, public, statement.body, signature)
        name = hashlib.sha384(parts).digest()
        found = self._known.get(name)
        if found is None:
            found = self._verify(statement, key, suite, public)
            while len(self._known) >= self._kept:
                self._known.pop(next(iter(self._known)), None)
            self._known[name] = found
        return found
