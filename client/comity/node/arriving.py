"""An attachment as it arrives: kept as ciphertext, hashed, and decrypted into a hidden file, all in one pass (designs 03, 04).

Rules in order:
1. The ciphertext goes into a spool, which the next process goes on from. What is there already is taken first.
2. Its content comes out as `unsealing` says: with its name once all of the ciphertext is here and has the signed digest, or not at all.
3. The spool goes with that, or when what it holds is not what was signed; it stays where it was the name or the disk.
"""

from __future__ import annotations

from collections.abc import Sequence

from comity.attachment import SavedAttachment, Where
from comity.envelope.open import UploadedPortion
from comity.errors import RejectedError
from comity.node.spool import Spool
from comity.node.unsealing import Unsealing
from comity_policy.facts import PortionMarking


class Arriving:
    """One attachment on its way to `where`: `begin` first, `close` at the end. These block; one thread at a time has it."""

    def __init__(self, portion: UploadedPortion, marking: PortionMarking, spool: Spool, where: Where) -> None:
        self._portion = portion
        self._spool = spool
        self._unsealing = Unsealing(portion, marking, where)

    def begin(self) -> None:
        """Take what the spool has already; raises ConflictError where another process saves the same, StorageError."""
        self._unsealing.begin()
        for block in self._spool.blocks():
            self._unsealing.feed(block)

    @property
    def length(self) -> int:
        """Give how much of the ciphertext is here."""
        return self._spool.length

    def take(self, pieces: Sequence[bytes]) -> None:
        """Take what comes next; raises StorageError."""
        self._spool.append(pieces)
        for piece in pieces:
            self._unsealing.feed(piece)

    def restart(self) -> None:
        """Drop what is here; raises StorageError."""
        self._spool.restart()
        self._unsealing.restart()

    def is_right(self) -> bool:
        """Say whether what is here is what was signed."""
        return self._spool.length == self._portion.length and self._spool.digest == self._portion.digest

    def finish(self) -> SavedAttachment:
        """Give the file its name; raises as `Unsealing.finish`."""
        try:
            saved = self._unsealing.finish(is_right=self.is_right())
        except RejectedError:
            self._spool.remove()
            raise
        self._spool.remove()
        return saved

    def close(self) -> None:
        """Let go of the hidden file, and remove it."""
        self._unsealing.close()
