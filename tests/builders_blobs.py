"""Every store of blobs that the contract tests run on, and what a killed process leaves of one."""

import os
from pathlib import Path

from comity_broker.storage.blob_directory import BlobDirectory
from comity_broker.storage.blobs import BlobPoint


class Killed(BaseException):
    """What a test raises where a process is killed; nothing of ours catches it."""


def dies_at(wanted: BlobPoint, *, turn: int = 1):
    """Give what kills at that point, the `turn`-th time it is reached."""
    reached = []

    def reach(point: BlobPoint) -> None:
        if point is wanted:
            reached.append(point)
            if len(reached) == turn:
                raise Killed(point.value)

    return reach


BLOB_STORES = {"directory": BlobDirectory}


def flushes(monkeypatch, events: list[str]) -> None:
    """Have every flush say in `events` which file or directory it is of."""
    flush = os.fsync

    def flushed(descriptor: int) -> None:
        events.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", flushed)
