"""What a broker asks of whatever keeps uploaded ciphertexts, beside the store that keeps their rows (design 04, "Attachments").

Rules in order:
1. A blob is named by `blob_name`: nothing of a peer's ever meets a path. It is *partial* until `finish`, then whole for good.
2. A row comes before its blob and goes after it: OPEN -> partial -> `finish` -> READY; LEAVING -> `remove` -> no row. So a crash
   leaves rows without blobs, which their next stream or sweep settles, and never a blob that no row names.
3. What was appended is durable after `sync`. Bytes that a power cut garbled are found by the digest, which is of everything that
   is there, whichever process wrote it.
4. A blob without a row is reported (`names`), never removed: only rows delete.

Everything here blocks, and is called from worker threads; one thread at a time has a partial or an open blob, but for `sync`, which may
run beside `append`: it covers what was appended before it began.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Protocol

from comity.pae import pae


class BlobPoint(StrEnum):
    """Where a test may stop, kill or fail a store of blobs."""

    APPENDED = "appended"
    BEFORE_SYNC = "before-sync"
    BEFORE_RENAME = "before-rename"
    AFTER_RENAME = "after-rename"
    AFTER_FINISH = "after-finish"
    BEFORE_REMOVE = "before-remove"
    AFTER_REMOVE = "after-remove"


Reach = Callable[[BlobPoint], None]


def no_fault(_: BlobPoint) -> None:
    """Do nothing at a fault point."""


class PartialBlob(Protocol):
    """A blob that is being written, and what of it is there already."""

    @property
    def length(self) -> int:
        """Give how many bytes are there."""

    @property
    def digest(self) -> bytes:
        """Give the SHA-384 of what is there, 48 bytes."""

    def append(self, pieces: Sequence[bytes]) -> None:
        """Add bytes, piece after piece; raises StorageError."""

    def sync(self) -> None:
        """Return when everything is on disk that was appended before the call; raises StorageError."""

    def restart(self) -> None:
        """Drop what is there; raises StorageError for a blob that is whole."""

    def finish(self) -> None:
        """Make it whole: synced, named, its name synced. Does nothing to one that is whole. Raises StorageError."""

    def close(self) -> None:
        """Let go of it; what was appended stays."""


class OpenBlob(Protocol):
    """A whole blob that is read."""

    def read(self, size: int, pieces: int) -> list[bytes]:
        """Give the next bytes as pieces of `size`, at most so many, shorter and fewer only at its end; raises StorageError."""

    def close(self) -> None:
        """Let go of it."""


class BlobStore(Protocol):
    """Where blobs lie."""

    def begin(self, name: str) -> PartialBlob:
        """Open a partial blob, or begin one; a whole one is given with `length` and `digest` of all of it. Raises StorageError."""

    def open(self, name: str, offset: int) -> OpenBlob:
        """Open a whole blob to be read from an offset; raises StorageError, also where it is not there."""

    def remove(self, name: str) -> None:
        """Remove a blob, whole or partial, durably; none is no error. Raises StorageError."""

    def names(self) -> frozenset[str]:
        """Give the name of every blob, whole or partial; what else lies there is given as it is called."""


def blob_name(agreement_id: str, node: str, digest: bytes) -> str:
    """Give the name of the blob of an upload: 96 hexadecimal digits."""
    return hashlib.sha384(pae("upload", agreement_id, node, digest)).hexdigest()
