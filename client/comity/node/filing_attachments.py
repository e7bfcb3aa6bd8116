"""The attachments of a received report as files, beside its other portions (`filing` has the rules for names)."""

from __future__ import annotations

from pathlib import Path

from comity.attachment import Into, SavedAttachment, Tell
from comity.node.filing import name_of
from comity.portion import Portion
from comity.report import ReceivedReport


async def save_attachments(directory: Path, report: ReceivedReport, tell: Tell) -> dict[int, SavedAttachment]:
    """Save all of them, one after the other, and give them by index; raises as `Attachment.save`."""
    saved: dict[int, SavedAttachment] = {}
    for attachment in report.attachments:

        def name(portion: Portion, index: int = attachment.index) -> str:
            return name_of(report.report_id, index, portion)

        saved[attachment.index] = await attachment.save(Into(directory, name), progress=tell)
    return saved
