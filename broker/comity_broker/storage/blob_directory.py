"""Blobs as files of one directory, `attachments/` of a broker's data: NAME.part until whole, then NAME (`blobs` has the rules).

A partial file is renamed after its bytes are synced, and its directory is synced after that: under the final name there is
either nothing or all of it. Files are 0600, the directory 0700; links are not followed.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from comity.errors import StorageError
from comity.hashing import RunningDigest
from comity.node.files import private_directory, storage_error, sync_directory, write_pieces
from comity_broker.storage.blobs import BlobPoint, Reach, no_fault

FOLDER: Final = "attachments"
_PARTIAL: Final = ".part"
_READ_BYTES: Final = 1 << 20


class BlobDirectory:
    """`BlobStore` over a directory, which is made where it is missing."""

    def __init__(self, data: Path, *, reach: Reach = no_fault) -> None:
        self._directory = data / FOLDER
        self._reach = reach
        private_directory(self._directory)

    def begin(self, name: str) -> BlobFile:
        """Open or begin a partial blob, or give a whole one."""
        return BlobFile(self._directory, name, self._reach)

    def open(self, name: str, offset: int) -> ReadFile:
        """Open a whole blob to be read from an offset."""
        return ReadFile(self._directory / name, offset)

    def remove(self, name: str) -> None:
        """Remove a blob, durably."""
        self._reach(BlobPoint.BEFORE_REMOVE)
        with _storing(self._directory / name):
            for one in (f"{name}{_PARTIAL}", name):
                with suppress(FileNotFoundError):
                    (self._directory / one).unlink()
            sync_directory(self._directory)
        self._reach(BlobPoint.AFTER_REMOVE)

    def names(self) -> frozenset[str]:
        """Give the name of every blob, whole or partial."""
        with _storing(self._directory), os.scandir(self._directory) as found:
            return frozenset(one.name.removesuffix(_PARTIAL) for one in found)


class BlobFile:
    """`PartialBlob` over a file. What is there is hashed when it is opened, so that the digest is always of all of it."""

    def __init__(self, directory: Path, name: str, reach: Reach) -> None:
        self._directory = directory
        self._whole = directory / name
        self._partial = directory / f"{name}{_PARTIAL}"
        self._reach = reach
        self._hash = RunningDigest()
        self._length = 0
        # A descriptor is not closed under a flush: its number may be another file's by then.
        self._flushing = threading.Lock()
        self._is_whole = self._whole.exists()
        path = self._whole if self._is_whole else self._partial
        flags = os.O_RDONLY if self._is_whole else os.O_RDWR | os.O_CREAT | os.O_APPEND
        with _storing(path):
            self._descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            with _storing(path):
                self._hash_what_is_there()
        except BaseException:
            self.close()
            raise

    @property
    def length(self) -> int:
        """Give how many bytes are there."""
        return self._length

    @property
    def digest(self) -> bytes:
        """Give the SHA-384 of what is there."""
        return self._hash.value

    def append(self, pieces: Sequence[bytes]) -> None:
        """Add bytes, piece after piece."""
        with _storing(self._partial):
            write_pieces(self._descriptor, pieces)
        self._hash.update(pieces)
        self._length += sum(map(len, pieces))
        self._reach(BlobPoint.APPENDED)

    def sync(self) -> None:
        """Return when everything appended is on disk."""
        self._reach(BlobPoint.BEFORE_SYNC)
        with _storing(self._partial), self._flushing:
            os.fsync(self._descriptor)

    def restart(self) -> None:
        """Drop what is there."""
        if self._is_whole:
            raise StorageError(
                f"{self._whole.name} is whole and has not its digest",
                what_to_do="Its disk changed it. Copy the data directory, then run comity broker check.",
            )
        with _storing(self._partial):
            os.ftruncate(self._descriptor, 0)
            os.fsync(self._descriptor)
        self._hash, self._length = RunningDigest(), 0

    def finish(self) -> None:
        """Sync it, give it its name, and sync the directory."""
        if not self._is_whole:
            self.sync()
            self._reach(BlobPoint.BEFORE_RENAME)
            with _storing(self._whole):
                self._partial.rename(self._whole)
            self._is_whole = True
            self._reach(BlobPoint.AFTER_RENAME)
        # Also for one that was renamed before: its process may have died before the name was on disk.
        with _storing(self._whole):
            sync_directory(self._directory)
        self._reach(BlobPoint.AFTER_FINISH)

    def close(self) -> None:
        """Let go of it."""
        with self._flushing:
            descriptor, self._descriptor = self._descriptor, -1
            if descriptor >= 0:
                os.close(descriptor)

    def _hash_what_is_there(self) -> None:
        while data := os.pread(self._descriptor, _READ_BYTES, self._length):
            self._hash.update((data,))
            self._length += len(data)


class ReadFile:
    """`OpenBlob` over a file."""

    def __init__(self, path: Path, offset: int) -> None:
        self._path = path
        self._offset = offset
        with _storing(path):
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)

    def read(self, size: int, pieces: int) -> list[bytes]:
        """Give the next bytes as pieces."""
        found: list[bytes] = []
        with _storing(self._path):
            while len(found) < pieces and (piece := os.pread(self._descriptor, size, self._offset)):
                self._offset += len(piece)
                found.append(piece)
        return found

    def close(self) -> None:
        """Let go of it."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


@contextmanager
def _storing(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise StorageError(
            f"{path.name} is named by a row and is not there",
            what_to_do="Stop, copy the data directory, and run comity broker check.",
        ) from error
    except OSError as error:
        raise storage_error(path, error) from error
