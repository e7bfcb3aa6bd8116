"""Reading: what happens around the opening of a report, for one consumer: caveats are shown, the register is written (design 02).

Rules in order:
1. Where a clause asks who reads or for what use, or an officer is addressed, every opening is entered in the register before
   the report is shown, and its envelope kept (`register`).
2. A use caveat is shown, with its clause's text and meaning, before anything of the report; what is not acknowledged stays
   closed. A caveat that the same reader acknowledged for the same report under the same text is not shown again.
3. A report of which something waits for another opening is entered as waiting and then parked, never acknowledged: nothing is
   lost, and its lane goes on. It is asked for again when somebody opens who brings what was lacking (`to_ask_again`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from comity.envelope.exported import encode_exported
from comity.envelope.segment import WholeItem
from comity.identity.names import Identity
from comity.node.clock import NowMs
from comity.node.opened import OpenSegment, OpenSlot, Refusal
from comity.node.opening import NOTHING, Opening
from comity.node.permitting import Opened
from comity.node.reader import ProvedReader
from comity.node.register import AcknowledgedLine, KeptEnvelope, OpenedLine, Register, WaitingLine
from comity_policy.explanation import ClauseExplanation
from comity_policy.facts import Use
from comity_policy.readers import Lack, UseCaveat

_ALWAYS_BROUGHT: Final = frozenset({Lack.PURPOSE, Lack.USE})


@dataclass(frozen=True, slots=True)
class CaveatShown:
    """A use caveat before a report is opened, and which report it stands before; `origin` is PARTY/NODE."""

    caveat: UseCaveat
    agreement_id: str
    report_id: UUID
    origin: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """A report that stays closed, whole or in part, for want of what another opening would bring; `refused` says what."""

    agreement_id: str
    report_id: UUID
    origin: str
    lacks: frozenset[Lack]
    refused: tuple[ClauseExplanation, ...]
    whole: bool


# Shows a caveat to whoever reads; says whether it was acknowledged.
Acknowledge = Callable[[CaveatShown], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Terms:
    """Who opens at a consumer, what for, and whom to ask and to tell."""

    purpose: str | None = None
    use: Use = Use.READ
    reader: ProvedReader | None = None
    acknowledge: Acknowledge | None = None
    waiting: Callable[[Waiting], None] | None = None

    @property
    def brings(self) -> frozenset[Lack]:
        """Give what this opening may bring that another one lacked."""
        reader = {Lack.READER} if self.reader is not None else set[Lack]()
        caveats = {Lack.CAVEATS} if self.acknowledge is not None else set[Lack]()
        return _ALWAYS_BROUGHT | reader | caveats

    @property
    def signature(self) -> str:
        """Give words that change when somebody else opens, otherwise accredited, or for something else."""
        who = "" if self.reader is None else f"{self.reader.identity} {self.reader.sequence}"
        return f"{who}|{self.purpose or ''}|{self.use.value}"


class Reading:
    """Opens reports for one consumer by its terms; owns the register it is given until `close`."""

    def __init__(
        self, opening: Opening, register: Register, terms: Terms, *, identity: Identity, consumer: str, now_ms: NowMs
    ) -> None:
        self._opening = opening
        self._register = register
        self._terms = terms
        self.reader: Final = str(identity if terms.reader is None else terms.reader.identity)
        self.use: Final = terms.use
        self.now_ms: Final = now_ms
        self._consumer = consumer

    def close(self) -> None:
        """Close the register."""
        self._register.close()

    async def open(self, opened: OpenSegment, slot: int) -> OpenSlot | Refusal:
        """Open a slot by these rules; what comes out is in the register already."""
        item = opened.segment.items[slot]
        if not isinstance(item, WholeItem):
            return self._opening.open_slot(opened, slot)
        given = self.known(item) if opened.registered else NOTHING
        result = self._opening.open_slot(opened, slot, given)
        if isinstance(result, Refusal):
            return result
        if result.caveats and await self.ask(opened, item, result):
            result = self._opening.open_slot(opened, slot, self.known(item))
        if isinstance(result, OpenSlot):
            await self._enter(opened, slot, item, result)
        return result

    def to_ask_again(self) -> tuple[WaitingLine, ...]:
        """Give what waits and may open now: by somebody else than tried it, or with its caveats shown."""
        terms = self._terms
        return tuple(
            line
            for line in self._register.waiting(self._consumer)
            if line.lacks <= terms.brings and (line.lacks == {Lack.CAVEATS} or line.tried != terms.signature)
        )

    def wait_no_more(self, lines: Sequence[WaitingLine]) -> None:
        """Take note that these come again, or are gone."""
        self._register.wait_no_more(lines)

    def known(self, item: WholeItem) -> Opened:
        """Give what the register says of a report and its reader."""
        report_id, digest = item.core.report_id, item.core.profile.agreement_digest
        return Opened(
            acknowledged=self._register.acknowledged(report_id, self.reader, digest),
            held=self._register.was_opened(report_id, item.leaf),
        )

    async def ask(self, opened: OpenSegment, item: WholeItem, result: OpenSlot) -> bool:
        """Show a report's caveats one by one; says whether all were acknowledged, which is in the register then."""
        agreement_id, origin = opened.segment.agreement_id, _origin(opened)
        acknowledge = self._terms.acknowledge
        for caveat in result.caveats:
            shown = CaveatShown(caveat, agreement_id, UUID(bytes=result.report_id), origin)
            if acknowledge is None or await acknowledge(shown) is not True:
                return False
        line = AcknowledgedLine(
            report_id=result.report_id,
            clauses=frozenset(one.clause_id for one in result.caveats),
            reader=self.reader,
            agreement_id=agreement_id,
            digest=item.core.profile.agreement_digest,
            at=self.now_ms(),
        )
        await asyncio.to_thread(self._register.acknowledge, line)
        return True

    async def enter_opened(
        self, opened: OpenSegment, item: WholeItem, result: OpenSlot, kept: KeptEnvelope | None
    ) -> None:
        """Enter that a report is opened now."""
        purpose = item.core.profile.purpose if self._terms.purpose is None else self._terms.purpose
        line = OpenedLine(
            report_id=result.report_id,
            leaf=result.leaf,
            agreement_id=opened.segment.agreement_id,
            reader=self.reader,
            purpose=purpose,
            use=self.use,
            at=self.now_ms(),
        )
        await asyncio.to_thread(self._register.open_report, line, kept)

    async def _enter(self, opened: OpenSegment, slot: int, item: WholeItem, result: OpenSlot) -> None:
        agreement_id = opened.segment.agreement_id
        if opened.registered and result.report is not None:
            kept = KeptEnvelope(
                report_id=result.report_id,
                agreement_id=agreement_id,
                log_index=opened.log_index,
                admitted_at=opened.admitted_at,
                expires_at=result.expires_at,
                exported=encode_exported(opened.exported(slot)),
            )
            await self.enter_opened(opened, item, result, kept)
        if result.lacks:
            waits = WaitingLine(
                consumer=self._consumer,
                report_id=result.report_id,
                agreement_id=agreement_id,
                segment_id=opened.segment.segment_id,
                slot=slot,
                lacks=result.lacks,
                tried=self._terms.signature,
                at=self.now_ms(),
            )
            await asyncio.to_thread(self._register.wait, waits)
            if self._terms.waiting is not None:
                report_id, whole = UUID(bytes=result.report_id), result.report is None
                self._terms.waiting(
                    Waiting(agreement_id, report_id, _origin(opened), result.lacks, result.refused, whole)
                )


def _origin(opened: OpenSegment) -> str:
    signed_by = opened.verified.signed_by
    return f"{signed_by.party}/{signed_by.node}"
