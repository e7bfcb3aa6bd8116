"""Files of a report that its originator took back: flagged, and removed where that is wished (`comity receive`).

Rules in order:
1. Only files that `filing` writes for that report are meant, by their names: ``<report id>-<portion><ending>``, ``<report id>.json``.
   What somebody made of them is out of reach, and the flag says so to people.
2. ``<report id>.recalled.json`` or ``<report id>.superseded.json`` is on disk before the recall is acknowledged: it says who took the
   report back, by which report, why, and what is left of it here.
3. Files are removed only on wish, and never of a report that an open dispute holds. What was removed is written down.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

from comity.node.database import storing
from comity.node.files import write_file
from comity.node.times import rfc3339
from comity.report import ReceivedReport

_PORTION: Final = re.compile(r"-[0-9]{1,2}(\.[A-Za-z0-9]{1,10})?")


@dataclass(frozen=True, slots=True)
class FiledBack:
    """What became of the files of a report that was taken back: those left, those removed, and the flag beside them."""

    report_id: UUID
    how: str
    flag: Path
    left: tuple[Path, ...]
    removed: tuple[Path, ...]
    held_by: tuple[str, ...]


def file_back(
    directory: Path,
    taking: ReceivedReport,
    *,
    agreement_id: str,
    received_at: int,
    remove: bool,
    held_by: tuple[str, ...],
) -> FiledBack:
    """Flag the files of what `taking` recalls or supersedes, and remove them by rule 3. Raises StorageError."""
    how, report_id = ("recalled", taking.recalls) if taking.recalls else ("superseded", taking.supersedes)
    if report_id is None:
        raise ValueError("a report that takes nothing back")
    flag = directory / f"{report_id}.{how}.json"
    files = sorted(_files_of(directory, report_id))
    gone = files if remove and not held_by else []
    left = [one for one in files if one not in gone]
    said = {
        "report_id": str(report_id),
        "agreement_id": agreement_id,
        how: str(taking.report_id),
        "by": taking.profile.originator.party,
        "reason": taking.text if how == "recalled" else "",
        "received_at": rfc3339(received_at),
        "held_by_disputes": list(held_by),
        "files_left": [one.name for one in left],
        "files_removed": [one.name for one in gone],
    }
    write_file(flag, json.dumps(said, ensure_ascii=False, indent=2).encode() + b"\n")
    with storing(directory):
        for one in gone:
            one.unlink(missing_ok=True)
        if gone:
            _flush(directory)
    return FiledBack(report_id, how, flag, tuple(left), tuple(gone), held_by)


def _files_of(directory: Path, report_id: UUID) -> Iterator[Path]:
    name = str(report_id)
    if not directory.is_dir():
        return
    with storing(directory), os.scandir(directory) as found:
        for one in found:
            rest = one.name.removeprefix(name)
            mine = one.name.startswith(name) and (rest == ".json" or _PORTION.fullmatch(rest))
            if mine and one.is_file(follow_symlinks=False):
                yield directory / one.name


def _flush(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
