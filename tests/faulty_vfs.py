"""A file system for SQLite that remembers every change, fails on request, and shows what a crash would leave behind.

`FaultyVfs` passes everything to the real files. It keeps the changes in order (`trace`), so a test can ask afterwards what the
directory looks like when the process had been killed after any of them (`killed`: whatever was written is there) or the power
had gone (`power_cut`: what was not synced is there, not there, or there in part). A disk writes sectors of 512 bytes whole.
"""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import apsw

SECTOR = 512
KINDS = ("write", "sync", "truncate", "delete")

_names = itertools.count()


class Change(NamedTuple):
    """One change of one file, by its name within the directory."""

    kind: str
    file: str
    offset: int = 0
    data: bytes = b""


@dataclass
class Fault:
    """Fails the changes that it matches, from number `after` on, `times` times; a short one writes half before it fails."""

    error: type[Exception]
    kinds: tuple[str, ...] = KINDS
    suffix: str = ""
    after: int = 0
    times: float = 1
    short: bool = False
    seen: int = field(default=0, init=False)

    def strikes(self, change: Change) -> bool:
        if change.kind not in self.kinds or not change.file.endswith(self.suffix):
            return False
        self.seen += 1
        return self.after < self.seen <= self.after + self.times


class FaultyVfs(apsw.VFS):
    """Registered under `name` as long as it is referred to; as `default` it is whose who names none."""

    def __init__(self, *, default: bool = False):
        self.name = f"faulty-{next(_names)}"
        self.trace: list[Change] = []
        self.fault: Fault | None = None
        # By its name: "" would mean the default one, which this may be.
        self.base = apsw.vfs_names()[0]
        super().__init__(self.name, self.base, default)

    def xOpen(self, name, flags):
        return _File(self, name, flags)

    def xDelete(self, filename, syncdir):
        self.meet(Change("delete", Path(filename).name), None)
        super().xDelete(filename, syncdir)

    def meet(self, change: Change, write_half: Callable[[], None] | None) -> None:
        """Remember a change that is about to happen, or fail it."""
        if self.fault is not None and self.fault.strikes(change):
            if self.fault.short and write_half is not None:
                write_half()
                self.trace.append(change._replace(data=change.data[: len(change.data) // 2]))
            raise self.fault.error("as the test asked for")
        self.trace.append(change)


class _File(apsw.VFSFile):
    def __init__(self, vfs: FaultyVfs, name, flags):
        super().__init__(vfs.base, name, flags)
        self._vfs = vfs
        self._name = Path(name.filename() if isinstance(name, apsw.URIFilename) else name or "").name

    def xWrite(self, data, offset):
        whole = bytes(data)

        def write_half():
            super(_File, self).xWrite(whole[: len(whole) // 2], offset)

        self._vfs.meet(Change("write", self._name, offset, whole), write_half)
        super().xWrite(data, offset)

    def xSync(self, flags):
        self._vfs.meet(Change("sync", self._name), None)
        super().xSync(flags)

    def xTruncate(self, newsize):
        self._vfs.meet(Change("truncate", self._name, newsize), None)
        super().xTruncate(newsize)


Files = dict[str, bytes]


def files_of(folder: Path) -> Files:
    """What a store's directory holds, without what a restart would not keep (shared memory) and the lock."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.endswith(("-shm", ".lock"))}


def lay_down(files: Files, folder: Path) -> Path:
    """Write files into a new directory, as private as a store's."""
    folder.mkdir()
    for name, data in files.items():
        path = folder / name
        path.touch(0o600)
        path.write_bytes(data)
    return folder


def killed(before: Files, trace: Iterable[Change]) -> Files:
    """What is there after these changes, when only the process died."""
    files = {name: bytearray(data) for name, data in before.items()}
    for change in trace:
        _apply(files, change)
    return {name: bytes(data) for name, data in files.items()}


def power_cut(before: Files, trace: list[Change], survives: Callable[[int, Change], Change | None]) -> Files:
    """What is there when the power goes after these changes: what was synced, and of the rest what `survives` gives."""
    synced = {change.file: number for number, change in enumerate(trace) if change.kind == "sync"}
    kept = [
        change if number < synced.get(change.file, -1) else survives(number, change)
        for number, change in enumerate(trace)
    ]
    return killed(before, [change for change in kept if change is not None])


def torn(change: Change) -> Change:
    """Half of a write, in whole sectors; what fits into one is written whole."""
    if change.kind != "write" or len(change.data) <= SECTOR:
        return change
    return change._replace(data=change.data[: len(change.data) // 2 // SECTOR * SECTOR])


def without_syncs(trace: Iterable[Change]) -> list[Change]:
    """The same changes on a disk that says yes to fsync and does nothing."""
    return [change for change in trace if change.kind != "sync"]


def _apply(files: dict[str, bytearray], change: Change) -> None:
    data = files.setdefault(change.file, bytearray())
    match change.kind:
        case "write":
            data.extend(bytes(max(0, change.offset - len(data))))
            data[change.offset : change.offset + len(change.data)] = change.data
        case "truncate":
            del data[change.offset :]
        case "delete":
            del files[change.file]
