"""The attachments of a received report as files, beside its other portions (`filing` has the rules for names)."""

from __future__ import annotations

from pathlib import Path

from comity.attachment import SavedAttachment, Tell
from comity.node.filing import path_of
from comity.portion import Portion
from comity.report import ReceivedReport


async def save_attachments(directory: Path, report: ReceivedReport, tell: Tell) -> dict[int, SavedAttachment]:
    """Save all of them, one after the other, and give them by index; raises as `Attachment.save`."""
    saved: dict[int, SavedAttachment] = {}
    for attachment in report.attachments:

        def where(portion: Portion, index: int = attachment.index) -> Path:
            return path_of(directory, report, index, portion)

        saved[attachment.index] = await attachment.save(where, progress=tell)
    return saved
