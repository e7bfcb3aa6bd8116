"""Ciphertext on its way in: a file that grows, hashed as it grows, and gone once what it holds is opened (design 04).

Rules in order:
1. The name says until when it is of use, and the signed digest: whoever comes next goes on with it, or removes it when its time is over.
2. Bytes that a power cut garbled are found by the digest over everything that is there.
3. Only ciphertext is written. Everything blocks; one thread at a time has a spool.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from comity.hashing import RunningDigest
from comity.node.files import private_directory, storage_error, write_pieces

BLOCK_BYTES: Final = 512 << 10
_NAME: Final = re.compile(r"(\d{1,16})-[0-9a-f]{96}")


class Spool:
    """The ciphertext of one attachment, as far as it came."""

    def __init__(self, folder: Path, digest: bytes, expires_at: int) -> None:
        private_directory(folder)
        self.path = folder / f"{expires_at}-{digest.hex()}"
        self._hash = RunningDigest()
        self.length = 0
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
            self._descriptor = os.open(self.path, flags, 0o600)
        except OSError as error:
            raise storage_error(self.path, error) from error
        for block in self._read(os.fstat(self._descriptor).st_size):
            self._hash.update((block,))
            self.length += len(block)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    @property
    def digest(self) -> bytes:
        """Give the SHA-384 of what is there."""
        return self._hash.value

    def append(self, pieces: Sequence[bytes]) -> None:
        """Add bytes, piece after piece; raises StorageError."""
        try:
            write_pieces(self._descriptor, pieces)
        except OSError as error:
            raise storage_error(self.path, error) from error
        self._hash.update(pieces)
        self.length += sum(map(len, pieces))

    def restart(self) -> None:
        """Drop what is there; raises StorageError."""
        try:
            os.ftruncate(self._descriptor, 0)
        except OSError as error:
            raise storage_error(self.path, error) from error
        self._hash, self.length = RunningDigest(), 0

    def blocks(self) -> Iterator[bytes]:
        """Give what was hashed, block by block: what another process adds meanwhile is no part of it. Raises StorageError."""
        return self._read(self.length)

    def _read(self, end: int) -> Iterator[bytes]:
        offset = 0
        try:
            while block := os.pread(self._descriptor, min(BLOCK_BYTES, end - offset), offset):
                offset += len(block)
                yield block
        except OSError as error:
            raise storage_error(self.path, error) from error

    def remove(self) -> None:
        """Remove the file: what it held is opened, or is nothing."""
        with suppress(FileNotFoundError):
            self.path.unlink()


def remove_expired(folder: Path, now_ms: int) -> None:
    """Remove spools whose reports have expired: nothing could open them any more."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        named = _NAME.fullmatch(path.name)
        if named is not None and int(named[1]) <= now_ms:
            with suppress(FileNotFoundError):
                path.unlink()
