"""Asking again for what waits: reports that were parked for want of what this opening brings come again, or are missed.

Rules in order:
1. What the broker has parked is replayed, many at once; where one of them is not parked, each alone.
2. What is not parked any more and comes by itself, was acknowledged here, withdrawn by its originator or has expired, is
   forgotten. What this node's people dropped was forgotten then (`forget`). Whatever else became of it is an alarm: it was
   here, nobody read it, and it does not come again.
3. Where the broker cannot be asked now, the lines stay, and the next who receives asks.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final
from uuid import UUID

from comity.errors import ConflictError, ErrorCode, NotFoundError, UnreachableError
from comity.identity.names import Identity
from comity.node.alarms import AlarmKind
from comity.node.clock import NowMs
from comity.node.connection import Connection
from comity.node.inbox import Inbox, Known
from comity.node.listing import list_reports, resolve_parked
from comity.node.mirror import Mirror
from comity.node.reading import Reading
from comity.node.register import Register, WaitingLine
from comity.node.reports import ParkedAction, ReportState, SlotRef

_AT_ONCE: Final = 1000
_COMES: Final = frozenset({ReportState.DUE, ReportState.SENT, ReportState.RETRY, ReportState.HELD})
_LOG: Final = logging.getLogger(__name__)


class AskingAgain:
    """Asks for one consumer of one node, before it receives."""

    def __init__(
        self,
        connection: Connection,
        mirror: Mirror,
        inbox: Inbox,
        *,
        identity: Identity,
        consumer: str,
        now_ms: NowMs,
    ) -> None:
        self._connection = connection
        self._mirror = mirror
        self._identity = identity
        self._consumer = consumer
        self._inbox = inbox
        self._now_ms = now_ms

    async def ask(self, reading: Reading) -> None:
        """Have what may open now handed over again."""
        lines = sorted(reading.to_ask_again(), key=lambda one: one.agreement_id)
        for _, found in groupby(lines, key=lambda one: one.agreement_id):
            group = list(found)
            for start in range(0, len(group), _AT_ONCE):
                some = group[start : start + _AT_ONCE]
                try:
                    reading.wait_no_more(await self._settled(some))
                except (UnreachableError, ConflictError) as error:
                    _LOG.warning("waiting_not_asked_for", extra={"reason": error.message})

    async def _settled(self, lines: Sequence[WaitingLine]) -> list[WaitingLine]:
        """Give those of the lines that need not wait here any more."""
        if await self._replayed(lines):
            return list(lines)
        return [line for line in lines if await self._replayed([line]) or await self._accounted(line)]

    async def _replayed(self, lines: Sequence[WaitingLine]) -> bool:
        refs = [SlotRef(line.agreement_id, line.segment_id, line.slot) for line in lines]
        try:
            await resolve_parked(self._connection, refs, ParkedAction.REPLAY, self._consumer)
        except NotFoundError as error:
            if error.code is not ErrorCode.ITEM_UNKNOWN:
                raise UnreachableError(f"{lines[0].agreement_id}: {error.message}", code=error.code) from error
            return False
        return True

    async def _accounted(self, line: WaitingLine) -> bool:
        """Say whether a line that is not parked may be forgotten, after an alarm where nothing says what became of it."""
        if line.expires_at <= self._now_ms():
            return True
        state = await self._state(line)
        if state is ReportState.PARKED:
            # It was parked anew since it was asked for.
            return False
        acknowledged = state is ReportState.DONE and self._inbox.knows(line.report_id, line.leaf) is Known.SETTLED
        if not acknowledged and state not in {*_COMES, ReportState.WITHDRAWN}:
            says = "knows nothing of it" if state is None else f"says that it is {state.name}"
            self._mirror.raise_alarm(
                AlarmKind.UNEXPLAINED,
                line.agreement_id,
                f"report {UUID(bytes=line.report_id)}",
                f"it waited for another opening at {self._consumer}, and the broker {says}: nobody here read it whole",
            )
        return True

    async def _state(self, line: WaitingLine) -> ReportState | None:
        wanted = (str(self._identity), self._consumer)
        rows = list_reports(self._connection, line.agreement_id, (), UUID(bytes=line.report_id))
        found = [one.state async for row in rows for one in row.consumers if (one.node, one.consumer) == wanted]
        return found[0] if found else None


def forget(register: Register, refs: Iterable[SlotRef], consumer: str) -> None:
    """Forget waiting reports that this node's people gave up."""
    named = set(refs)
    lines = register.waiting(consumer)
    register.wait_no_more([one for one in lines if SlotRef(one.agreement_id, one.segment_id, one.slot) in named])
