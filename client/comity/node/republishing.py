"""Sending again what a restored broker has lost (design 04, "Incarnation"; docs/adr/0023).

Rules in order:
1. Nothing goes out to a broker of another incarnation before the mirror has verified what its logs go on with.
2. A receipt whose entry is not in the log any more (a later place than was restored, under the old log's name) is lost: it stays as
   evidence, and its segment is unanswered once more.
3. What is lost goes before everything else of its lane, since the restored broker takes a lane's numbers in their order.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from comity.errors import UnreachableError
from comity.node import losing
from comity.node.mirror import Mirror
from comity.node.outbox import Outbox, StoredBatch
from comity.node.pipeline import Pipeline
from comity.node.receipting import origin_of

_LOG: Final = logging.getLogger(__name__)


@dataclass(slots=True)
class Republishing:
    """What one sender does when its broker was restored. `sent_again` is told what goes again, in the order of the outbox."""

    mirror: Mirror
    outbox: Outbox
    pipeline: Pipeline
    refresh: Callable[[], Awaitable[None]]
    sent_again: Callable[[tuple[StoredBatch, ...]], None]
    _looked_at: bytes = b""
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def knows(self, incarnation: bytes) -> bool:
        """Say whether receipts were looked at since the broker is of this incarnation."""
        return incarnation == self._looked_at

    async def look(self) -> None:
        """Put lost receipts aside, by the mirror as it is; what they were of is unanswered from then on."""
        names = await self.pipeline.on_disk(self.outbox.within, losing.agreements)
        for agreement_id in names:
            log = self.mirror.pin(agreement_id)
            if log is not None and log.before:
                await self.pipeline.on_disk(self._lose, agreement_id, log.first, log.origin)
        keys = self.mirror.pin(None)
        if keys is not None and not self._behind(names, keys.incarnation):
            self._looked_at = keys.incarnation

    async def restored(self, incarnation: bytes) -> None:
        """Go on with a broker that shows another incarnation; raises what stops the mirror, UnreachableError to try again."""
        async with self._turn:
            if self.knows(incarnation):
                return
            await self.refresh()
            names = await self.pipeline.on_disk(self.outbox.within, losing.agreements)
            behind = self._behind(("", *names), incarnation)
            if behind:
                raise UnreachableError(
                    f"the broker was restored, and what its log of {behind[0] or 'keys'} goes on with is not verified yet",
                    what_to_do="Nothing is sent meanwhile. comity agreement list tells what stops it.",
                )
            await self.look()
            # What was in the queues before is there still; what is lost goes before it.
            self.sent_again(await self.pipeline.on_disk(self.outbox.unanswered))

    def _behind(self, names: Iterable[str], incarnation: bytes) -> list[str]:
        """Give those whose logs the mirror does not follow in this incarnation."""
        pins = {name: self.mirror.pin(name) for name in names}
        return [name for name, pin in pins.items() if pin is None or pin.incarnation != incarnation]

    def _lose(self, agreement_id: str, first: int, origin: str) -> None:
        there = self.outbox.within(lambda db: losing.receipts_from(db, agreement_id, first))
        lost = [one.segment_id for one in there if origin_of(one) != origin]
        if lost:
            again = self.outbox.within(lambda db: losing.lose(db, lost))
            _LOG.warning("receipts_lost", extra={"agreement": agreement_id, "segments": len(lost), "sent_again": again})
