"""Files that only their owner may see: checked on the open file, written whole or not at all.

Rules in order:
1. A directory is opened once, never through a symbolic link as its last part, and everything in it relative to that.
   It belongs to this user or to root, and nobody else can write to it.
2. A file is opened without following a symbolic link; then the open file, not its name, is checked: regular, of this user
   or root, mode 0600 or less, not over its limit.
3. A new file is written beside its name, synced, and linked to its name, which fails if the name exists; then the
   directory is synced. A replacement is renamed over the old file instead. A crash leaves the old state or the new one,
   and perhaps a `.tmp` file that nothing reads.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from comity.errors import ErrorCode, KeyFault, NotFoundError, StorageError, UsageError
from comity.suites import RandomBytes

_OTHERS: Final = 0o077
_OTHERS_WRITE: Final = 0o022
_READ: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


class PrivateDirectory:
    """An open directory of private files; made by `open_private` only."""

    __slots__ = ("_fd", "_path", "_random_bytes")

    def __init__(self, path: Path, fd: int, random_bytes: RandomBytes) -> None:
        self._path = path
        self._fd = fd
        self._random_bytes = random_bytes

    def names(self) -> tuple[str, ...]:
        """Give the names in the directory, sorted."""
        with _faults(self._path):
            return tuple(sorted(os.listdir(self._fd)))  # noqa: PTH208 - pathlib cannot list an open directory

    def read(self, name: str, limit: int) -> bytes:
        """Give a file's bytes; raises NotFoundError, or KeyFault KEY_FILE_UNSAFE for a file that breaks rule 2."""
        path = self._path / name
        with _faults(path):
            try:
                fd = os.open(name, _READ, dir_fd=self._fd)
            except OSError as error:
                if error.errno in {errno.ELOOP, errno.EMLINK}:
                    raise unsafe(path, "is a symbolic link", "Put the file itself there.") from error
                raise
            try:
                _check_file(path, os.fstat(fd))
                return _read_all(fd, path, limit)
            finally:
                os.close(fd)

    def create(self, name: str, data: bytes) -> None:
        """Write a new file; raises UsageError FILE_EXISTS when there is one of that name, StorageError when it fails."""
        path = self._path / name
        with _faults(path):
            temporary = self._write(name, data)
            try:
                os.link(temporary, name, src_dir_fd=self._fd, dst_dir_fd=self._fd, follow_symlinks=False)
            except FileExistsError as error:
                raise UsageError(f"{path} exists already", code=ErrorCode.FILE_EXISTS) from error
            finally:
                os.unlink(temporary, dir_fd=self._fd)
            os.fsync(self._fd)

    def replace(self, name: str, data: bytes) -> None:
        """Write a file in place of one that may exist; raises StorageError when it fails."""
        with _faults(self._path / name):
            temporary = self._write(name, data)
            os.rename(temporary, name, src_dir_fd=self._fd, dst_dir_fd=self._fd)
            os.fsync(self._fd)

    def remove(self, name: str) -> None:
        """Remove a file; raises NotFoundError."""
        with _faults(self._path / name):
            os.unlink(name, dir_fd=self._fd)
            os.fsync(self._fd)

    def _write(self, name: str, data: bytes) -> str:
        temporary = f".{name}.{self._random_bytes(8).hex()}.tmp"
        fd = os.open(temporary, _CREATE, 0o600, dir_fd=self._fd)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            os.fsync(fd)
        except OSError:
            os.unlink(temporary, dir_fd=self._fd)
            raise
        finally:
            os.close(fd)
        return temporary


@contextmanager
def open_private(
    path: Path, *, random_bytes: RandomBytes = os.urandom, create: bool = False
) -> Iterator[PrivateDirectory]:
    """Open a directory of private files, made 0700 with `create`; raises NotFoundError, KeyFault KEY_FILE_UNSAFE."""
    with _faults(path):
        if create:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            if error.errno in {errno.ELOOP, errno.ENOTDIR}:
                raise unsafe(path, "is not a directory", "Give the directory itself, not a link to it.") from error
            raise
    try:
        status = os.fstat(fd)
        if status.st_uid not in {os.geteuid(), 0}:
            raise unsafe(path, "belongs to another user", "Keys lie in a directory of the user who uses them.")
        if status.st_mode & _OTHERS_WRITE:
            raise unsafe(path, "can be written by others", f"chmod 700 {path}")
        yield PrivateDirectory(path, fd, random_bytes)
    finally:
        os.close(fd)


def unsafe(path: Path, problem: str, what_to_do: str) -> KeyFault:
    """Build the error for a file that cannot be trusted or is not what it should be."""
    return KeyFault(f"{path} {problem}", what_to_do=what_to_do, code=ErrorCode.KEY_FILE_UNSAFE)


def _check_file(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise unsafe(path, "is not a regular file", "Put the file itself there.")
    if status.st_uid not in {os.geteuid(), 0}:
        raise unsafe(path, "belongs to another user", f"chown it to the user who uses it: {path}")
    if status.st_mode & _OTHERS:
        raise unsafe(path, "can be read or written by others", f"chmod 600 {path}")


def _read_all(fd: int, path: Path, limit: int) -> bytes:
    data = bytearray()
    while chunk := os.read(fd, limit + 1 - len(data)):
        data += chunk
        if len(data) > limit:
            raise unsafe(path, f"has more than {limit} bytes", "Restore it from a backup.")
    return bytes(data)


@contextmanager
def _faults(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise NotFoundError(f"{path} does not exist") from error
    except PermissionError as error:
        raise unsafe(path, "cannot be opened by this user", "Use the user whose keys they are.") from error
    except OSError as error:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        code = ErrorCode.STORAGE_FULL if full else ErrorCode.STORAGE_FAILED
        raise StorageError(f"{path}: {os.strerror(error.errno or 0)}", code=code) from error
