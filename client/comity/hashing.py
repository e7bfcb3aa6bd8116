"""SHA-384 of bytes that come by and by, worked out beside whoever brings them: of a long stream it is what takes the longest.

    digest = RunningDigest()
    digest.update([piece, another])     # returns while they are hashed
    digest.value                        # waits for the last of them

hashlib lets go of the interpreter's lock for pieces of more than 2 KiB. No more than the bytes of two calls are held.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

# Shared by every stream of a process: more threads than cores hash no faster.
_HASHERS: Final = ThreadPoolExecutor(os.cpu_count() or 1, "comity-hash")


class RunningDigest:
    """One digest. One thread at a time uses it; pieces are not changed before the next call returned."""

    __slots__ = ("_hash", "_hashing")

    def __init__(self) -> None:
        self._hash = hashlib.sha384()
        self._hashing: Future[None] | None = None

    def update(self, pieces: Sequence[bytes]) -> None:
        """Add bytes, piece after piece; waits for those of the call before."""
        self._wait()
        self._hashing = _HASHERS.submit(self._add, pieces)

    @property
    def value(self) -> bytes:
        """Give the digest of everything so far, 48 bytes."""
        self._wait()
        return self._hash.digest()

    def _wait(self) -> None:
        hashing, self._hashing = self._hashing, None
        if hashing is not None:
            hashing.result()

    def _add(self, pieces: Sequence[bytes]) -> None:
        for piece in pieces:
            self._hash.update(piece)
