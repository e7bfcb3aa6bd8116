"""Where a passphrase comes from (design 01): a file, or the terminal. Never an argument, never an environment's value.

In order: the file that `--passphrase-file` names; `comity-passphrase` in $CREDENTIALS_DIRECTORY, where systemd puts
credentials; the file that $COMITY_PASSPHRASE_FILE names; the terminal. The first that is there decides.

A file is a regular one or a pipe, of this user or root, and nobody else can read or write it; one line end at its end is
not part of the passphrase. systemd gives credentials to a service's user by an access list, which shows as the group's
right to read: in $CREDENTIALS_DIRECTORY that is accepted on files of root.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from comity.errors import NotFoundError, UsageError
from comity.keys.files import PASSPHRASE_LIMIT
from comity.keys.private_files import unsafe

CREDENTIAL: Final = "comity-passphrase"
FILE_VARIABLE: Final = "COMITY_PASSPHRASE_FILE"
DIRECTORY_VARIABLE: Final = "CREDENTIALS_DIRECTORY"

Ask = Callable[[], str]

_OTHERS: Final = 0o077
_OTHERS_BUT_GROUP_READ: Final = 0o037


def find_passphrase(*, file: Path | None, environ: Mapping[str, str], ask: Ask | None) -> bytes:
    """Give the passphrase from the first source there is; `ask` asks at the terminal, None where there is none.

    Raises UsageError without a source or with an empty passphrase, NotFoundError for a file that is named and missing,
    KeyFault KEY_FILE_UNSAFE for one that others can read.
    """
    found = _from_files(file, environ)
    if found is not None:
        return found
    return _asked(ask)


def new_passphrase(*, file: Path | None, environ: Mapping[str, str], ask: Ask | None) -> bytes:
    """Give the passphrase for new keys: as `find_passphrase`, but the terminal asks twice."""
    found = _from_files(file, environ)
    if found is not None:
        return found
    first = _asked(ask)
    if _asked(ask) != first:
        raise UsageError("the two passphrases differ")
    return first


def _from_files(file: Path | None, environ: Mapping[str, str]) -> bytes | None:
    if file is not None:
        return _read(file, _OTHERS)
    directory = environ.get(DIRECTORY_VARIABLE, "")
    if directory:
        # A service may have other credentials and no passphrase among them.
        with suppress(NotFoundError):
            return _read(Path(directory) / CREDENTIAL, _OTHERS_BUT_GROUP_READ)
    named = environ.get(FILE_VARIABLE, "")
    return _read(Path(named), _OTHERS) if named else None


def _asked(ask: Ask | None) -> bytes:
    if ask is None:
        raise UsageError(
            "there is no passphrase and no terminal to ask for one",
            what_to_do=f"--passphrase-file FILE, or set {FILE_VARIABLE} to a file of mode 0600.",
        )
    return _checked(ask().encode())


def _read(path: Path, others: int) -> bytes:
    # Links are followed: mounted secrets are links. What counts is the file that was opened.
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise NotFoundError(f"{path} does not exist") from error
    except OSError as error:
        raise unsafe(path, "cannot be opened", "Use the user whose file it is.") from error
    try:
        status = os.fstat(fd)
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISFIFO(status.st_mode)):
            raise unsafe(path, "is neither a file nor a pipe", "Name a file that holds the passphrase.")
        if status.st_uid not in {os.geteuid(), 0}:
            raise unsafe(path, "belongs to another user", "A passphrase lies in a file of the user who uses it.")
        allowed = others if status.st_uid == 0 else _OTHERS
        if status.st_mode & allowed:
            raise unsafe(path, "can be read or written by others", f"chmod 600 {path}")
        data = bytearray()
        while len(data) <= PASSPHRASE_LIMIT + 2 and (chunk := os.read(fd, PASSPHRASE_LIMIT + 3 - len(data))):
            data += chunk
    finally:
        os.close(fd)
    return _checked(bytes(data).removesuffix(b"\n").removesuffix(b"\r"))


def _checked(passphrase: bytes) -> bytes:
    if not 0 < len(passphrase) <= PASSPHRASE_LIMIT:
        raise UsageError(f"a passphrase has 1 to {PASSPHRASE_LIMIT} bytes")
    return passphrase
