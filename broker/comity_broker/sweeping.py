"""The end of uploads: their rows say that they go, their files go, then their rows (design 04, rule 5: only rows delete files).

Rules in order:
1. What goes: an upload that nothing names, 72 hours after a stream of it last began or ended whole; an upload whose last report
   has expired. One that a stream brings now stays.
2. After a step of the wall clock nothing goes by the time alone until the broker was started again (design 04, "Clocks").
3. The row says LEAVING first, in a commit of its own that finds it unchanged: from then on no envelope that names it is admitted.
   Then the file goes, durably, then the row. What a killed process left on the way is found by its row and goes on.
4. A frozen agreement's uploads stay: they are evidence.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from comity.errors import ComityError
from comity_broker.attachments import Attachments
from comity_broker.outcomes import settled
from comity_broker.storage.blobs import blob_name
from comity_broker.storage.protocol import Head, Known, Reads, Rows, Unit, UploadRow, UploadState

ABANDONED_MS: Final = 72 * 3_600_000
EVERY_SECONDS: Final = 60.0
_URGENCY: Final = 9
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sweeping:
    """The task that sweeps. `run` must be running, in a task group of the server's; `sweep` looks at everything once."""

    attachments: Attachments
    time_counts: Callable[[], bool]
    every_seconds: float = EVERY_SECONDS

    async def run(self) -> None:
        """Sweep, until cancelled."""
        while True:
            await self.sweep()
            await asyncio.sleep(self.every_seconds)

    async def sweep(self) -> int:
        """Remove what is to go; give how many uploads went."""
        of, gone = self.attachments, 0
        for standing in of.ledger.standings():
            if standing.frozen_reason:
                continue
            try:
                for row in await of.reader.uploads(standing.agreement_id):
                    gone += await self._swept(standing.agreement_id, row)
            except ComityError as error:
                fields = {"log": standing.agreement_id, "code": error.code.name, "reason": error.message}
                _LOG.error("sweep_failed", extra=fields)
        return gone

    async def _swept(self, agreement_id: str, row: UploadRow) -> bool:
        if row.state != UploadState.LEAVING:
            if not self._goes(agreement_id, row):
                return False
            leaving = row._replace(state=UploadState.LEAVING)
            if not await self._replaced(agreement_id, row, leaving):
                return False
            row = leaving
        await asyncio.to_thread(self.attachments.blobs.remove, blob_name(agreement_id, row.node, row.digest))
        return await self._replaced(agreement_id, row, row._replace(state=0))

    def _goes(self, agreement_id: str, row: UploadRow) -> bool:
        # Whoever asks for the time sees whether it was set: whether it counts is known only then.
        now = self.attachments.clock.now_ms()
        if not self.time_counts() or self.attachments.is_streaming(agreement_id, row):
            return False
        return (row.expires_at or row.touched_at + ABANDONED_MS) <= now

    async def _replaced(self, agreement_id: str, before: UploadRow, after: UploadRow) -> bool:
        """Write a row in the place of one that is still as it was; say whether it was."""

        def build(head: Head, known: Known) -> Rows[bool]:
            if known.uploads.get((before.node, before.digest)) != before:
                return Rows(head, result=False)
            return Rows(head, result=True, uploads=[after])

        unit = Unit(agreement_id, build, Reads(uploads=[(before.node, before.digest)]), urgency=_URGENCY)
        done = settled(await self.attachments.journal.submit(unit)).result
        if done:
            self.attachments.remember(agreement_id, after)
        return done
