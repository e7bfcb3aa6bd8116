"""What the blocking face of the SDK gives in the place of what is awaited: attachments, and who is asked about caveats."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from comity import attachment as attachments
from comity.node.blocking import Loop
from comity.node.reading import Acknowledge, CaveatShown
from comity.portion import Marking
from comity.report import ReceivedReport


class Attachment:
    """An attachment of a received report (see `comity.attachment.Attachment`)."""

    def __init__(self, loop: Loop, attachment: attachments.Attachment) -> None:
        self._loop = loop
        self._attachment = attachment

    @property
    def index(self) -> int:
        """Give its place among the portions, from 0."""
        return self._attachment.index

    @property
    def marking(self) -> Marking:
        """Give its marking."""
        return self._attachment.marking

    @property
    def length(self) -> int:
        """Give the length of its ciphertext."""
        return self._attachment.length

    def save(
        self, path: attachments.Where, *, progress: attachments.Tell = attachments.untold
    ) -> attachments.SavedAttachment:
        """Fetch it, check it whole, and write it at `path`, durably."""

        async def saved() -> attachments.SavedAttachment:
            return await self._attachment.save(path, progress=progress)

        return self._loop.run(saved())


def blocking_report(loop: Loop, report: ReceivedReport) -> ReceivedReport:
    """Give a report with attachments that block."""
    blocking: Any = tuple(Attachment(loop, one) for one in report.attachments)
    return replace(report, attachments=blocking) if blocking else report


def asking(acknowledge: Callable[[CaveatShown], bool] | None) -> Acknowledge | None:
    """Give what asks in a thread of its own; None for nobody to ask."""
    if acknowledge is None:
        return None

    async def asked(shown: CaveatShown) -> bool:
        return await asyncio.to_thread(acknowledge, shown)

    return asked
