"""Files of a home: read bounded, written whole.

A file is written under another name, flushed to disk and renamed, then its directory is flushed: after a crash a reader
sees the old file or the new one, never a part. Directories that are missing are made 0700, files 0600.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from comity.errors import ErrorCode, MalformedError, NotFoundError, StorageError

# Linux takes 1,024 at once.
_PIECES_AT_ONCE: Final = 64
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def read_file(path: Path, limit: int, missing: str = "", what_to_do: str = "") -> bytes:
    """Read a whole file of at most `limit` bytes.

    Raises NotFoundError (saying `missing`), MalformedError for a longer one, StorageError for one that cannot be read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFoundError(missing or f"there is no file {path}", what_to_do=what_to_do) from error
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > limit:
        raise MalformedError(f"{path} has more than {limit} bytes", code=ErrorCode.LIMIT_EXCEEDED)
    return data


def write_file(path: Path, data: bytes, *, replace: bool = True) -> None:
    """Write a whole file, durably; raises StorageError, with `replace` False FileExistsError where there is one."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        _make_directory(path.parent)
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            taken = not _put(temporary, path, replace=replace)
        finally:
            with suppress(FileNotFoundError):
                temporary.unlink()
        sync_directory(path.parent)
    except OSError as error:
        raise storage_error(path, error) from error
    if taken:
        raise FileExistsError(errno.EEXIST, "exists already", str(path))


def _put(temporary: Path, path: Path, *, replace: bool) -> bool:
    """Give a written file its name; False where another has it and must not be replaced."""
    if replace:
        temporary.rename(path)
        return True
    try:
        # A hard link never takes the place of another file, as a rename would.
        path.hardlink_to(temporary)
    except FileExistsError:
        return False
    return True


def write_pieces(descriptor: int, pieces: Sequence[bytes]) -> None:
    """Write pieces one after the other, without joining them; raises OSError."""
    left = deque(memoryview(one) for one in pieces if one)
    while left:
        written = os.writev(descriptor, list(left)[:_PIECES_AT_ONCE])
        while left and written >= len(left[0]):
            written -= len(left.popleft())
        if written:
            left[0] = left[0][written:]


def private_directory(directory: Path) -> None:
    """Make a directory and what is missing above it, all of them 0700; raises StorageError."""
    try:
        _make_directory(directory)
    except OSError as error:
        raise storage_error(directory, error) from error


def _make_directory(directory: Path) -> None:
    if directory.is_dir():
        return
    _make_directory(directory.parent)
    directory.mkdir(mode=0o700, exist_ok=True)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def storage_error(path: Path, error: OSError) -> StorageError:
    """Give the error that says a file could not be written, and what to do."""
    full = error.errno in _FULL
    return StorageError(
        f"{path} cannot be written: {error.strerror}",
        what_to_do="Make room on the disk." if full else "Look at the directory's owner and rights.",
        code=ErrorCode.STORAGE_FULL if full else ErrorCode.STORAGE_FAILED,
    )
