"""Attachments of a received report: content too large to travel inside it, fetched when its reader asks (design 03, tag 2).

What an attachment is called and what kind of content it has is sealed with the content: it is known once it was saved. Nothing of it
is shown before all of it came, has the signed digest and opened to its end.

    for attachment in report.attachments:
        saved = await attachment.save(Path("inbox") / f"{report.report_id}-{attachment.index + 1}")
        print(saved.path, saved.portion.file_name, saved.portion.length)
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from comity.portion import Marking, Portion

PROGRESS_BYTES: Final = 1 << 20


class Stage(StrEnum):
    """What is being done with an attachment."""

    SEALING = "sealing"
    UPLOADING = "uploading"
    DOWNLOADING = "downloading"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one stage has come with one portion (its index): bytes of `total`."""

    stage: Stage
    portion: int
    done: int
    total: int


Tell = Callable[[Progress], None]


def untold(_: Progress) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class SavedAttachment:
    """An attachment that was written: where, and what it is. `new` is False for a file that was there with the same content."""

    portion: Portion
    path: Path
    new: bool


@dataclass(frozen=True, slots=True)
class Into:
    """A file in `folder`, whose name is given by the attachment's portion once all of that is checked."""

    folder: Path
    name: Callable[[Portion], str]


Where = Path | Into
Save = Callable[[Where, Tell], Awaitable[SavedAttachment]]


@dataclass(frozen=True, slots=True)
class Attachment:
    """One portion of a received report that is fetched apart. `index` counts from 0, `length` is that of its ciphertext."""

    index: int
    marking: Marking
    length: int
    _save: Save = field(repr=False, compare=False)

    async def save(self, path: Where, *, progress: Tell = untold) -> SavedAttachment:
        """Fetch it, check it whole, and write it at `path`, durably; a cut download goes on where it ended.

        Until then its content lies in a hidden file of the same folder. With `Into` the file is called by what the portion says,
        which is known only then: file name and media type are the sender's words. Raises ConflictError FILE_EXISTS for a file
        with another content and LOCKED where another process saves it, UsageError for a name that is none, RefusedError where the agreement does not permit it now, RejectedError for a
        ciphertext that is not what was signed, StorageError, and UnreachableError while the broker cannot be reached.
        """
        return await self._save(path, progress)
