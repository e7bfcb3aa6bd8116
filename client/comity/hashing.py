"""SHA-384 of bytes that come by and by, worked out beside whoever brings them: of a long stream it is what takes the longest.

    digest = RunningDigest()
    digest.update([piece, another])     # returns while they are hashed
    digest.value                        # waits for the last of them

hashlib lets go of the interpreter's lock for pieces of more than 2 KiB. Whoever brings them waits only while much is to be hashed yet:
where cores are scarce, to wait for another thread at every piece would take longer than the hashing.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

AHEAD_BYTES: Final = 2 << 20
# Shared by every stream of a process: more threads than cores hash no faster.
_HASHERS: Final = ThreadPoolExecutor(os.cpu_count() or 1, "comity-hash")


class RunningDigest:
    """One digest. One thread at a time uses it; pieces are not changed after they were given."""

    __slots__ = ("_changed", "_hash", "_is_hashing", "_left", "_pieces")

    def __init__(self) -> None:
        self._hash = hashlib.sha384()
        self._changed = threading.Condition()
        self._pieces: deque[bytes] = deque()
        self._left = 0
        self._is_hashing = False

    def update(self, pieces: Sequence[bytes]) -> None:
        """Add bytes, piece after piece; waits while more than `AHEAD_BYTES` are to be hashed yet."""
        with self._changed:
            self._changed.wait_for(lambda: self._left <= AHEAD_BYTES)
            self._pieces.extend(pieces)
            self._left += sum(map(len, pieces))
            if not self._is_hashing and self._pieces:
                self._is_hashing = True
                _HASHERS.submit(self._hash_all)

    @property
    def value(self) -> bytes:
        """Give the digest of everything so far, 48 bytes."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_hashing)
            return self._hash.digest()

    def _hash_all(self) -> None:
        """Hash what is there until nothing is: in one thread at a time, so in its order."""
        while True:
            with self._changed:
                if not self._pieces:
                    self._is_hashing = False
                    self._changed.notify_all()
                    return
                piece = self._pieces.popleft()
            self._hash.update(piece)
            with self._changed:
                self._left -= len(piece)
                self._changed.notify_all()
