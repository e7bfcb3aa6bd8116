"""Backups of a data directory: what belongs to one, how it is written, and how it is checked (design 04, "Incarnation").

Rules in order:
1. What a data directory consists of is one list, `KINDS`; whatever else lies there is named and left out, so that nothing is believed
   to be saved that is not.
2. The store comes first, as one moment; then everything beside it, which may be newer: trees signed later than the store knows are
   what makes a log that is put back by hand a frozen one.
3. The manifest names every file with its length and SHA-384 and is written last, into a directory that gets its name after that: what
   has no manifest is half a backup, and no restore takes it.
4. Directories are 0700 and files 0600; the keys in it are encrypted as they were, under the same passphrase.
A manifest says what was written, not who wrote it: that a restored log is the one the parties know, their mirrors say.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from comity.errors import ConflictError, ErrorCode, MalformedError, NotFoundError, StorageError
from comity.node.files import private_directory, read_file, sync_directory, write_file

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
MANIFEST_LIMIT: Final = 16 << 20
STORE: Final = "store.sqlite"
_PIECE: Final = 1 << 20
_SETTING_ASIDE: Final = ("set-aside-", "restoring-")


@dataclass(frozen=True, slots=True)
class Kind:
    """A file or a directory of files in a data directory. `required`: without it there is no broker.

    `may_vanish`: a running broker removes its files when their rows go, so that one that was listed may be gone.
    """

    name: str
    is_directory: bool = False
    required: bool = True
    may_vanish: bool = False


# The store has its own way of being copied. A part of a broker that keeps files of its own adds its kind here.
KINDS: Final = (
    Kind("broker.toml"),
    Kind("bundle.json"),
    Kind("certificate.pem"),
    Kind("cards", is_directory=True),
    Kind("keys", is_directory=True),
    Kind("last-signed", is_directory=True),
    Kind("presented", is_directory=True, required=False),
    Kind("maintenance.json", required=False),
    Kind("attachments", is_directory=True, required=False, may_vanish=True),
)
_VANISHING: Final = frozenset(kind.name for kind in KINDS if kind.may_vanish)
# What a running broker has beside its data, and what nothing is lost with.
_PASSING: Final = frozenset({"broker.lock", f"{STORE}-wal", f"{STORE}-shm", "request.json", "lost+found"})


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a backup: its path in it, its length and its SHA-384 in hex."""

    path: str
    size: int
    sha384: str


class LogState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far a log had come: the shard, how many entries over all incarnations, the root of its tree in hex."""

    log: str
    entries: int
    root: str


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a backup says of itself; `taken_at` in Unix milliseconds, the incarnation in hex."""

    format: int
    broker: str
    incarnation: str
    taken_at: int
    version: str
    logs: list[LogState]
    files: list[File]
    left_out: list[str]


Copied = tuple[str, Sequence[LogState]]


def take_backup(
    data: Path,
    into: Path,
    *,
    broker: str,
    version: str,
    now_ms: int,
    copy_store: Callable[[Path], Copied],
) -> Manifest:
    """Write a backup into a directory that is not there yet; `copy_store` copies the store into the directory it is given.

    Raises ConflictError, NotFoundError, StorageError; what was begun then stays under its own name, `*.part`.
    """
    part = into.with_name(into.name + ".part")
    if into.exists() or part.exists():
        raise ConflictError(
            f"{into if into.exists() else part} is there already",
            what_to_do="Each backup has a directory of its own; a `.part` is one that did not end, and is of no use.",
            code=ErrorCode.FILE_EXISTS,
        )
    try:
        private_directory(part)
        incarnation, logs = copy_store(part)
        copy_files(data, part, files_of(data))
        files = [_described(part, name) for name in (Path(STORE), *files_of(part))]
        manifest = Manifest(FORMAT, broker, incarnation, now_ms, version, list(logs), files, strangers(data))
        write_file(part / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n")
        part.rename(into)
        sync_directory(into.parent)
    except OSError as error:
        raise StorageError(
            f"the backup cannot be written: {error.strerror}", what_to_do=f"{part} is of no use."
        ) from error
    return manifest


def read_backup(folder: Path) -> Manifest:
    """Check a backup against its manifest; raises NotFoundError for half a backup, StorageError for one that is not what it says."""
    raw = read_file(
        folder / MANIFEST,
        MANIFEST_LIMIT,
        f"{folder} is no backup, or half of one: it has no manifest",
        "Take the newest one that has.",
    )
    try:
        manifest = msgspec.json.decode(raw, type=Manifest)
    except msgspec.MsgspecError as error:
        raise MalformedError(f"the manifest of {folder} does not read: {error}") from error
    if manifest.format != FORMAT:
        raise StorageError(f"{folder} is a backup of form {manifest.format}, this release takes {FORMAT}")
    named = {one.path for one in manifest.files}
    there = {STORE, *(str(one) for one in files_of(folder))}
    if named != there or len(named) != len(manifest.files):
        odd = ", ".join(sorted(named ^ there)[:5])
        raise StorageError(f"{folder} has other files than its manifest names: {odd}", what_to_do=_ANOTHER)
    for one in manifest.files:
        if _described(folder, Path(one.path)) != one:
            raise StorageError(f"{one.path} of {folder} is not what its manifest says", what_to_do=_ANOTHER)
    return manifest


def files_of(data: Path) -> list[Path]:
    """Give every file of a data directory that belongs to a backup but the store, relative to it; raises NotFoundError."""
    found: list[Path] = []
    for kind in KINDS:
        path = data / kind.name
        if not path.exists():
            if kind.required:
                raise NotFoundError(f"{path} is missing", code=ErrorCode.FILE_UNKNOWN)
        elif kind.is_directory:
            found += sorted(one.relative_to(data) for one in path.rglob("*") if _is_kept(one))
        else:
            found.append(Path(kind.name))
    return found


def strangers(data: Path) -> list[str]:
    """Give what lies in a data directory and belongs to no kind."""
    known = {STORE, MANIFEST, *_PASSING, *(kind.name for kind in KINDS)}
    return sorted(
        one.name for one in data.iterdir() if one.name not in known and not one.name.startswith(_SETTING_ASIDE)
    )


def holdings(data: Path) -> list[str]:
    """Give what a data directory holds that a restore would have to set aside."""
    kept = {"broker.lock", "lost+found"}
    return sorted(
        one.name for one in data.iterdir() if one.name not in kept and not one.name.startswith(_SETTING_ASIDE)
    )


def copy_files(data: Path, into: Path, names: Iterable[Path]) -> None:
    """Copy files of a data directory; one that may vanish and has is left out. Raises OSError."""
    for name in names:
        with suppress(FileNotFoundError) if name.parts[0] in _VANISHING else nullcontext():
            copy_file(data / name, into / name)


def copy_file(source: Path, target: Path) -> None:
    """Copy a file that is not there yet, private and on the disk."""
    private_directory(target.parent)
    with source.open("rb") as reading:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as writing:
            for piece in _pieces(reading.read):
                writing.write(piece)
            writing.flush()
            os.fsync(writing.fileno())
    sync_directory(target.parent)


def _is_kept(path: Path) -> bool:
    # A file on its way to its place (`.name.…`, `name.new`, `name.part`) is nobody's yet.
    on_its_way = path.name.startswith(".") or path.suffix in {".new", ".part", ".lock"}
    return path.is_file() and not path.is_symlink() and not on_its_way


def _described(folder: Path, name: Path) -> File:
    digest, size = hashlib.sha384(), 0
    try:
        with (folder / name).open("rb") as file:
            for piece in _pieces(file.read):
                digest.update(piece)
                size += len(piece)
    except OSError as error:
        raise StorageError(f"{folder / name} cannot be read: {error.strerror}", what_to_do=_ANOTHER) from error
    return File(str(name), size, digest.hexdigest())


def _pieces(read: Callable[[int], bytes]) -> Iterator[bytes]:
    while piece := read(_PIECE):
        yield piece


_ANOTHER: Final = "Take another backup: nothing of this one was used."
