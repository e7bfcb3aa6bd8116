"""From received reports to files: neither repeated nor lost, whatever kills the process (design 04, promise 2).

Rules in order:
1. A file's name follows from the report's id and the portion's place alone: ``<report id>-<portion><ending>``, and
   ``<report id>.json`` for what is to be known of the report, its banner first. What a sender calls a file is inside only.
2. A file is written under another name, flushed and linked into place, then the directory is flushed; ``<report id>.json`` comes
   last, so a report is whole when it is there. Only then is the report acknowledged.
3. A file that is there with the same content counts as written: after a crash the same report comes again and changes nothing.
   One with another content is never touched: the report is not acknowledged, and says so. Only a description gives way, to one of
   the same report that withholds less: it waited for a reader, and was opened by one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast
from uuid import UUID

from comity.attachment import SavedAttachment
from comity.errors import ConflictError, ErrorCode, MalformedError
from comity.node.files import read_file, write_file
from comity.node.times import rfc3339
from comity.portion import Portion, StoredContent
from comity.report import ReceivedReport
from comity_policy.banner import ILL_FORMED, banner

_DESCRIPTION_BYTES: Final = 1 << 20
_NO_ATTACHMENTS: Final[Mapping[int, SavedAttachment]] = {}
_ENDING: Final = re.compile(r"\.[A-Za-z0-9]{1,10}")
_BY_MEDIA_TYPE: Final = {
    "application/stix+json": ".json",
    "application/json": ".json",
    "text/plain": ".txt",
    "text/markdown": ".md",
    "text/csv": ".csv",
    "application/xml": ".xml",
    "application/pdf": ".pdf",
    "image/png": ".png",
    "image/jpeg": ".jpg",
}


@dataclass(frozen=True, slots=True)
class Filed:
    """A report on disk. `new` says whether anything of it had to be written."""

    description: Mapping[str, object]
    files: tuple[Path, ...]
    new: bool


def name_of(report_id: UUID, index: int, portion: Portion) -> str:
    """Give how the file of a portion of a report is called."""
    return f"{report_id}-{index + 1}{_ending(portion)}"


def file_report(
    directory: Path,
    report: ReceivedReport,
    *,
    agreement_id: str,
    originator: str,
    admitted_at: int,
    log_index: int,
    attachments: Mapping[int, SavedAttachment] = _NO_ATTACHMENTS,
) -> Filed:
    """Write a report's portions and its description, durably; raises ConflictError by rule 3, StorageError.

    `attachments` are those that were saved before, by index: they are described with the others.
    """
    written = [one.new for one in attachments.values()]
    portions = []
    shown = {**dict(report.opened), **{index: one.portion for index, one in attachments.items()}}
    for index, portion in sorted(shown.items()):
        path = directory / name_of(report.report_id, index, portion)
        if index not in attachments:
            written.append(_put(path, content_of(portion)))
        portions.append(
            {
                "portion": index + 1,
                "marking": _marking(portion, report.viewer),
                "media_type": portion.media_type,
                "title": portion.title,
                "file_name": portion.file_name,
                "file": path.name,
                "bytes": portion.length,
                **portion.assessment,
            }
        )
    profile, times = report.profile, report.times
    description: dict[str, object] = {
        "banner": report.banner,
        "report_id": str(report.report_id),
        "agreement_id": agreement_id,
        "originator": originator,
        "title": report.title,
        "kind": profile.kind.word,
        "precedence": profile.precedence.name,
        "categories": list(profile.categories),
        "purpose": profile.purpose,
        "created_at": rfc3339(times.created_at),
        "expires_at": rfc3339(times.expires_at),
        "admitted_at": rfc3339(admitted_at),
        "log_index": log_index,
        "leaf": report.leaf.hex(),
        "portions": portions,
        "withheld": [index + 1 for index in report.withheld],
    }
    path = directory / f"{report.report_id}.json"
    description, replace = _with_earlier(path, description)
    written.append(_put(path, json.dumps(description, ensure_ascii=False, indent=2).encode() + b"\n", replace=replace))
    files = (*(directory / str(one["file"]) for one in portions), path)
    return Filed(description, files, any(written))


def _with_earlier(path: Path, description: dict[str, object]) -> tuple[dict[str, object], bool]:
    """Give the description with what an earlier opening of the same report showed, and whether it takes the place of that one."""
    if path.is_symlink() or not path.is_file():
        return description, False
    try:
        before = json.loads(read_file(path, _DESCRIPTION_BYTES))
        same = all(before[name] == description[name] for name in ("report_id", "leaf", "agreement_id"))
        if not same or before["withheld"] == description["withheld"]:
            return description, False
        shown = {one["portion"]: one for one in (*before["portions"], *cast("list[Any]", description["portions"]))}
        withheld = set(before["withheld"]) & set(cast("list[int]", description["withheld"]))
        portions = [shown[number] for number in sorted(shown)]
    except (ValueError, TypeError, KeyError, RecursionError, MalformedError):
        return description, False  # it is something else, and stays
    return {**description, "portions": portions, "withheld": sorted(withheld)}, True


def _put(path: Path, content: bytes, *, replace: bool = False) -> bool:
    """Write a file, or find it there with the same content; gives whether it was written."""
    try:
        write_file(path, content, replace=replace)
    except FileExistsError as error:
        same = path.is_file() and not path.is_symlink() and path.stat().st_size == len(content)
        if same and read_file(path, len(content)) == content:
            return False
        raise ConflictError(
            f"{path} is there with another content: the report was not acknowledged",
            what_to_do="Move that file away; the report comes again.",
            code=ErrorCode.FILE_EXISTS,
        ) from error
    return True


def content_of(portion: Portion) -> bytes:
    """Give a portion's content, wherever it lies."""
    if isinstance(portion.content, StoredContent):
        return read_file(portion.content.path, portion.content.length)
    return portion.content


def _ending(portion: Portion) -> str:
    ending = Path(portion.file_name).suffix
    if _ENDING.fullmatch(ending):
        return ending.lower()
    return _BY_MEDIA_TYPE.get(portion.media_type.split(";")[0].strip().lower(), ".bin")


def _marking(portion: Portion, viewer: str) -> str:
    label = portion.marking.label
    return ILL_FORMED if label is None else banner(label, viewer=viewer)
