"""An attachment before an officer who approves its report: read from the sealed ciphertext in the outbox (design 03, "Approval").

Rules in order:
1. The leaf that an officer signs names the ciphertext by its digest. It is hashed each time before anybody signs, with keys or
   without: what lies in the outbox and is another is never approved.
2. With the node's keys it is decrypted meanwhile: name, kind, size and digest of the content are out of it, not out of what
   somebody attached.
3. An officer may have it as a file, to look at it: the same rules as for one who receives it (`unsealing`).
Everything blocks.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from comity.attachment import SavedAttachment, Where
from comity.envelope.manifest import PortionDigest
from comity.envelope.open import UploadedPortion
from comity.envelope.segment import Absent, WholeItem
from comity.errors import ErrorCode, RejectedError, StorageError
from comity.hashing import RunningDigest
from comity.node.attached_files import AttachedFile
from comity.node.unsealing import Unsealing
from comity.portion import Portion, StoredContent
from comity_policy.facts import PortionMarking

_BLOCK_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Examined:
    """What the content of an attachment is: its header as a portion, and the SHA-384 of all of it."""

    portion: Portion
    digest: str


@dataclass(frozen=True, slots=True)
class SealedFile:
    """An attachment that waits with its report, which the node's keys open: the ciphertext lies at `path`."""

    path: Path
    portion: UploadedPortion
    marking: PortionMarking

    def examined(self) -> Examined:
        """Read all of it; raises StorageError where it is not what was sealed, RejectedError where it does not open."""
        found = _Content(self.portion)
        with _hashed(self.path, self.portion.digest, self.portion.length) as blocks:
            for block in blocks:
                found.feed(block)
        return found.finish(self.path, self.marking)

    def save(self, where: Where) -> SavedAttachment:
        """Write its content as a file; raises as `examined`, ConflictError where another file is there."""
        unsealing = Unsealing(self.portion, self.marking, where)
        try:
            unsealing.begin()
            with _hashed(self.path, self.portion.digest, self.portion.length) as blocks:
                for block in blocks:
                    unsealing.feed(block)
            return unsealing.finish(is_right=True)
        finally:
            unsealing.close()


class _Content:
    """Content that is looked at and not kept. What does not open is told at the end, once the ciphertext is known to be the sealed one."""

    def __init__(self, portion: UploadedPortion) -> None:
        self._opening = portion.opening()
        self._digest = hashlib.sha384()
        self._size = 0
        self._failed: RejectedError | None = None

    def feed(self, block: bytes) -> None:
        """Take the next ciphertext."""
        if self._failed is not None:
            return
        try:
            self._take(self._opening.feed(block))
        except RejectedError as error:
            self._failed = error

    def finish(self, path: Path, marking: PortionMarking) -> Examined:
        """Give what it is; raises RejectedError."""
        if self._failed is not None:
            raise self._failed
        self._take(self._opening.finish())
        portion = Portion.from_header(self._opening.header, StoredContent(path, self._size), marking)
        return Examined(portion, self._digest.hexdigest())

    def _take(self, content: bytes) -> None:
        self._digest.update(content)
        self._size += len(content)


def sealed_file(attached: Sequence[AttachedFile], portion: UploadedPortion, marking: PortionMarking) -> SealedFile:
    """Give what lies in the outbox of a portion that the node's keys open; raises StorageError where nothing does."""
    return SealedFile(_named(attached, portion.index).path, portion, marking)


def require_sealed(item: WholeItem, attached: Sequence[AttachedFile]) -> None:
    """Read what lies in the outbox for every attachment of a report; raises StorageError where it is not what the leaf names."""
    for index, named in _uploaded(item):
        with _hashed(_named(attached, index).path, named.digest, named.length) as blocks:
            for _ in blocks:
                pass


def require_named(item: WholeItem, attached: Sequence[AttachedFile]) -> None:
    """See that what would be uploaded for a report is what its leaf names; raises StorageError. Nothing is read."""
    for index, named in _uploaded(item):
        one = _named(attached, index)
        if (one.digest, one.length) != (named.digest, named.length):
            raise _another(index)


def has_uploads(item: WholeItem) -> bool:
    """Say whether anything of a report travels beside its segment."""
    return any(one is Absent.UPLOADED for one in item.ciphertexts)


def _uploaded(item: WholeItem) -> Iterator[tuple[int, PortionDigest]]:
    for index, one in enumerate(item.ciphertexts):
        if one is Absent.UPLOADED:
            yield index, item.manifest.portions[index]


def _named(attached: Sequence[AttachedFile], index: int) -> AttachedFile:
    for one in attached:
        if one.portion == index:
            return one
    raise _another(index)


@contextmanager
def _hashed(path: Path, digest: bytes, length: int) -> Iterator[Iterator[bytes]]:
    """Give the blocks of a ciphertext; raises StorageError at the end where they were not what the digest says."""
    running, read = RunningDigest(), 0

    def blocks() -> Iterator[bytes]:
        nonlocal read
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW), "rb", 0) as file:
            while block := file.read(_BLOCK_BYTES):
                running.update((block,))
                read += len(block)
                yield block

    try:
        yield blocks()
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}", code=ErrorCode.FILE_UNKNOWN) from error
    if (read, running.value) != (length, digest):
        raise _another()


def _another(index: int | None = None) -> StorageError:
    which = "an attachment" if index is None else f"attachment {index + 1}"
    return StorageError(
        f"{which} in the outbox is not the one that was sealed with this report",
        what_to_do="Nobody approves it and nothing of it is sent. Send the report anew: comity send.",
    )
