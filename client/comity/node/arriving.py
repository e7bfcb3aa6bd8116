"""An attachment as it arrives: kept as ciphertext, hashed, and decrypted into a hidden file, all in one pass (designs 03, 04).

Rules in order:
1. The ciphertext goes into a spool, which the next process goes on from. What is there already is taken first.
2. Its content goes into a hidden file beside where it is to be, this process's alone, empty at the start. Nobody is shown anything of
   it, not even what it is called, before all of the ciphertext is here, has the signed digest and opened to its end.
3. Then it gets its name, never in the place of another file: one with the same content counts as written.
4. The hidden file goes at the end, whatever happened; one that a killed process left is taken up and written anew.
5. What does not open is not given up before its digest is known: that says whose fault it is.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from comity.attachment import Into, SavedAttachment, Where
from comity.envelope.open import UploadedPortion
from comity.envelope.reasons import RejectReason
from comity.errors import ConflictError, ErrorCode, RejectedError, StorageError, UsageError
from comity.node.files import private_directory, storage_error, sync_directory, write_pieces
from comity.node.flushing import Flushing
from comity.node.spool import Spool
from comity.portion import Portion, StoredContent
from comity_policy.facts import PortionMarking

_BLOCK_BYTES: Final = 1 << 20


class Arriving:
    """One attachment on its way to `where`: `begin` first, `close` at the end. These block; one thread at a time has it."""

    def __init__(self, portion: UploadedPortion, marking: PortionMarking, spool: Spool, where: Where) -> None:
        self._portion = portion
        self._marking = marking
        self._spool = spool
        self._where = where
        self._hidden: Hidden | None = None
        self._opening = portion.opening()
        self._failed: RejectedError | None = None

    def begin(self) -> None:
        """Take what the spool has already; raises ConflictError where another process saves the same, StorageError."""
        self._hidden = Hidden(self._where, self._portion.digest)
        self._open_anew()
        for block in self._spool.blocks():
            self._open(block)

    def _open_anew(self) -> None:
        self._own().empty()
        self._opening, self._failed = self._portion.opening(), None

    @property
    def length(self) -> int:
        """Give how much of the ciphertext is here."""
        return self._spool.length

    def take(self, pieces: Sequence[bytes]) -> None:
        """Take what comes next; raises StorageError."""
        self._spool.append(pieces)
        for piece in pieces:
            self._open(piece)

    def restart(self) -> None:
        """Drop what is here; raises StorageError."""
        self._spool.restart()
        self._open_anew()

    def is_right(self) -> bool:
        """Say whether what is here is what was signed."""
        return self._spool.length == self._portion.length and self._spool.digest == self._portion.digest

    def finish(self) -> SavedAttachment:
        """Give the file its name; raises RejectedError where it is not what was signed or did not open, ConflictError, StorageError.

        The spool stays where it was the name or the disk.
        """
        try:
            self._finish_opening()
        except RejectedError:
            self._spool.remove()
            raise
        path = self._path()
        new = self._own().give_name(path)
        self._spool.remove()
        return SavedAttachment(self._as_portion(path), path, new)

    def close(self) -> None:
        """Let go of the hidden file, and remove it."""
        hidden, self._hidden = self._hidden, None
        if hidden is not None:
            hidden.close()

    def _finish_opening(self) -> None:
        if not self.is_right():
            raise RejectedError(RejectReason.UPLOAD_DIGEST)
        if self._failed is not None:
            raise self._failed
        self._own().write(self._opening.finish())

    def _own(self) -> Hidden:
        if self._hidden is None:
            raise StorageError("this attachment is not being saved")
        return self._hidden

    def _open(self, piece: bytes) -> None:
        if self._failed is not None:
            return
        try:
            content = self._opening.feed(piece)
        except RejectedError as error:
            self._failed = error
            self._own().empty()
        else:
            self._own().write(content)

    def _path(self) -> Path:
        if isinstance(self._where, Path):
            return self._where
        name = self._where.name(self._as_portion(Path()))
        if name in {"", ".", ".."} or "/" in name or "\x00" in name:
            raise UsageError("an attachment cannot be saved under what is no name of a file", what_to_do="Give it one.")
        return self._where.folder / name

    def _as_portion(self, path: Path) -> Portion:
        return Portion.from_header(self._opening.header, StoredContent(path, self._own().length), self._marking)


class Hidden:
    """A file without its name yet, in the folder where it is to be. Raises ConflictError where another process writes it."""

    def __init__(self, where: Where, digest: bytes) -> None:
        named = where.name if isinstance(where, Path) else digest.hex()[:32]
        self._folder = where.folder if isinstance(where, Into) else where.parent
        self._path = self._folder / f".{named}.partial"
        private_directory(self._folder)
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
            self._descriptor = os.open(self._path, flags, 0o600)
        except OSError as error:
            raise storage_error(self._path, error) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise ConflictError(
                f"another process writes {named} now", what_to_do="Let it end.", code=ErrorCode.LOCKED
            ) from None
        self._flushing = Flushing(self._descriptor)
        self.length = 0

    def empty(self) -> None:
        """Drop what is in it; raises StorageError."""
        try:
            os.ftruncate(self._descriptor, 0)
        except OSError as error:
            raise storage_error(self._path, error) from error
        self.length = 0

    def write(self, content: bytes) -> None:
        """Add to it; raises StorageError."""
        try:
            write_pieces(self._descriptor, (content,))
            self._flushing.wrote(len(content))
        except OSError as error:
            raise storage_error(self._path, error) from error
        self.length += len(content)

    def give_name(self, path: Path) -> bool:
        """Have it on disk under a name; False for one that is there with the same content. Raises ConflictError, StorageError."""
        try:
            self._flushing.finish()
            new = self._linked(path)
            sync_directory(path.parent)
        except OSError as error:
            raise storage_error(path, error) from error
        return new

    def close(self) -> None:
        """Remove it and let go of it."""
        self._flushing.stop()
        # Still locked: nobody else takes it up between its last byte and its name.
        with suppress(FileNotFoundError):
            self._path.unlink()
        os.close(self._descriptor)

    def _linked(self, path: Path) -> bool:
        try:
            path.hardlink_to(self._path)
        except FileExistsError:
            if path.is_symlink() or not path.is_file() or not _same(self._path, path):
                raise ConflictError(
                    f"{path} is there with another content: the attachment was not written",
                    what_to_do="Move that file away, then save it again.",
                    code=ErrorCode.FILE_EXISTS,
                ) from None
            return False
        return True


def _same(one: Path, other: Path) -> bool:
    if one.stat().st_size != other.stat().st_size:
        return False
    with one.open("rb") as first, other.open("rb") as second:
        while block := first.read(_BLOCK_BYTES):
            if second.read(_BLOCK_BYTES) != block:
                return False
    return True
