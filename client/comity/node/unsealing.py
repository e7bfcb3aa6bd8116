"""The content of an attachment on its way out of its ciphertext: into a hidden file, which gets its name when all is checked (design 03).

Rules in order:
1. The hidden file lies in the folder where the content is to be, is this process's alone, and empty at the start. Nobody is shown
   anything of it, not even what it is called, before whoever hashes the ciphertext says that it is what was signed.
2. Then it gets its name, never in the place of another file: one with the same content counts as written.
3. It goes at the end, whatever happened; one that a killed process left is taken up and written anew.
4. What does not open is not given up before the digest is known: that says whose fault it is.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from comity.attachment import Into, SavedAttachment, Where
from comity.envelope.open import UploadedPortion
from comity.envelope.reasons import RejectReason
from comity.errors import ConflictError, ErrorCode, RejectedError, StorageError, UsageError
from comity.node.files import private_directory, storage_error, sync_directory, write_pieces
from comity.node.flushing import Flushing
from comity.portion import Portion, StoredContent
from comity_policy.facts import PortionMarking

_BLOCK_BYTES: Final = 1 << 20


class Unsealing:
    """One attachment's content on its way to `where`: `begin` first, `close` at the end. These block; one thread at a time has it."""

    def __init__(self, portion: UploadedPortion, marking: PortionMarking, where: Where) -> None:
        self._portion = portion
        self._marking = marking
        self._where = where
        self._hidden: Hidden | None = None
        self._opening = portion.opening()
        self._failed: RejectedError | None = None

    def begin(self) -> None:
        """Make the hidden file; raises ConflictError where another process saves the same, StorageError."""
        self._hidden = Hidden(self._where, self._portion.digest)
        self.restart()

    def restart(self) -> None:
        """Drop what was fed; raises StorageError."""
        self._own().empty()
        self._opening, self._failed = self._portion.opening(), None

    def feed(self, piece: bytes) -> None:
        """Take the next ciphertext; raises StorageError."""
        if self._failed is not None:
            return
        try:
            content = self._opening.feed(piece)
        except RejectedError as error:
            self._failed = error
            self._own().empty()
        else:
            self._own().write(content)

    def finish(self, *, is_right: bool) -> SavedAttachment:
        """Give the file its name, where all of it was fed and is what was signed.

        Raises RejectedError where it is not or did not open, ConflictError, UsageError for a name that is none, StorageError.
        """
        if not is_right:
            raise RejectedError(RejectReason.UPLOAD_DIGEST)
        if self._failed is not None:
            raise self._failed
        self._own().write(self._opening.finish())
        path = self._path()
        new = self._own().give_name(path)
        return SavedAttachment(self._as_portion(path), path, new)

    def close(self) -> None:
        """Let go of the hidden file, and remove it."""
        hidden, self._hidden = self._hidden, None
        if hidden is not None:
            hidden.close()

    def _own(self) -> Hidden:
        if self._hidden is None:
            raise StorageError("this attachment is not being saved")
        return self._hidden

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
