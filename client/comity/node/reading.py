"""Reading: what happens around the opening of a report, for one consumer: caveats are shown, the register is written (design 02).

Rules in order:
1. Where a clause asks who reads or for what use, or an officer is addressed, every opening is entered in the register before
   the report is shown, and its envelope kept (`register`).
2. A use caveat is shown, with its clause's text and meaning, before anything of the report; what is not acknowledged stays
   closed. A caveat that the same reader acknowledged for the same report in the same words is not shown again.
3. A report of which something waits for another opening is entered as waiting and then parked: nothing is lost, and its lane
   goes on. It is asked for again when somebody opens who brings what some portion lacked (`to_ask_again`), once by each terms.
4. What takes a report back is entered before it is shown, and the envelope of the report dropped unless an open dispute holds it;
   from then on the report is opened no more.
5. A report is acknowledged once every portion that somebody may open was opened, in one opening or in several: what an
   application has taken is entered when it is done with it, and waits for nobody any more at that consumer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from comity.envelope.exported import encode_exported
from comity.envelope.segment import WholeItem
from comity.errors import ErrorCode, RefusedError
from comity.identity.names import Identity
from comity.node.clock import NowMs
from comity.node.opened import OpenSegment, OpenSlot, Refusal
from comity.node.opening import NOTHING, Opening
from comity.node.permitting import Opened
from comity.node.reader import ProvedReader
from comity.node.register import AcknowledgedLine, KeptEnvelope, OpenedLine, Register, WaitingLine
from comity.node.reports import SlotRef
from comity.node.taken_back import How, TakenBack, held_by
from comity.report import ReceivedReport
from comity_policy.explanation import ClauseExplanation
from comity_policy.facts import Use
from comity_policy.readers import Lack, UseCaveat

_CAVEATS: Final = frozenset({Lack.CAVEATS})


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
    transport_class: int


# Shows a caveat to whoever reads; says whether it was acknowledged.
Acknowledge = Callable[[CaveatShown], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Terms:
    """Who opens at a consumer, what for, and whom to ask and to tell."""

    purposes: tuple[str, ...] = ()
    use: Use = Use.READ
    reader: ProvedReader | None = None
    acknowledge: Acknowledge | None = None
    waiting: Callable[[Waiting], None] | None = None

    @property
    def brings(self) -> frozenset[Lack]:
        """Give what this opening may bring that another one lacked."""
        given = {
            Lack.READER: self.reader,
            Lack.CAVEATS: self.acknowledge,
            Lack.PURPOSE: self.purposes or None,
            Lack.USE: self.use,
        }
        return frozenset(lack for lack, brought in given.items() if brought is not None)

    @property
    def signature(self) -> str:
        """Give words that change when somebody else opens, otherwise accredited, for something else, or may be asked now."""
        who = "" if self.reader is None else f"{self.reader.identity} {self.reader.sequence}"
        asked = "" if self.acknowledge is None else "asked"
        return "|".join((who, ",".join(sorted(self.purposes)), self.use.value, asked))


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
        result = await self.read(opened, slot)
        return await self._waits(opened, slot, result) if isinstance(result, OpenSlot) else result

    async def read(self, opened: OpenSegment, slot: int) -> OpenSlot | Refusal:
        """Open a slot by these rules but for what waits, which is entered for nobody: of what is read again nothing is parked."""
        item = opened.segment.items[slot]
        if not isinstance(item, WholeItem):
            return self._opening.open_slot(opened, slot)
        registered = self._opening.is_registered(opened, item)
        given = self.known(item) if registered else NOTHING
        result = self._opening.open_slot(opened, slot, given)
        if isinstance(result, Refusal):
            return result
        if result.caveats and await self.ask(opened, item, result):
            result = self._opening.open_slot(opened, slot, self.known(item))
        if isinstance(result, OpenSlot) and result.report is not None:
            if result.report.refers_to:
                self._take_back(opened, result.report, result.expires_at)
            if registered:
                await self.enter_opened(opened, item, result, _kept(opened, slot, result))
        return result

    def look(self) -> None:
        """See what other consumers of this node learned to be taken back."""
        self._register.taken_back.look()

    def taken_back(self, item: WholeItem) -> TakenBack | None:
        """Give how its originator took a report back; None where it did not."""
        core = item.core
        return self._register.taken_back.find(core.report_id, item.leaf, core.profile.originator.party)

    def refuse_taken_back(self, report_id: bytes) -> None:
        """Raise RefusedError REPORT_RECALLED for a report that its originator took back."""
        self.look()
        line = self._register.taken_back.of_report(report_id)
        if line is not None:
            raise RefusedError(
                f"{line.words}: it is not opened any more",
                what_to_do="What is left of it is to be destroyed: comity report destroy certifies that.",
                code=ErrorCode.REPORT_RECALLED,
            )

    def _take_back(self, opened: OpenSegment, report: ReceivedReport, expires_at: int) -> None:
        how, named = How.RECALLED, report.recalls
        if named is None:
            how, named = How.SUPERSEDED, report.supersedes
        if named is None:
            return
        leaf = next(leaf for _, report_id, leaf in report.refers_to if report_id == named)
        self._register.taken_back.add(
            TakenBack(
                report_id=named.bytes,
                leaf=leaf,
                party=report.profile.originator.party,
                how=how,
                by=report.report_id.bytes,
                agreement_id=opened.segment.agreement_id,
                at=self.now_ms(),
                expires_at=expires_at,
            )
        )
        if not held_by(opened.fold.state(self.now_ms()), named.bytes, leaf):
            self._register.drop_report(named.bytes, leaf)

    def to_ask_again(self) -> tuple[WaitingLine, ...]:
        """Give what waits and may open now: to others than tried it, or with its caveats shown."""
        brings, signature = self._terms.brings, self._terms.signature
        found: list[WaitingLine] = []
        for line in self._register.waiting(self._consumer):
            brought = [lacks for lacks in line.lacks if lacks <= brings]
            if _CAVEATS in brought or (brought and signature not in self._register.tried(self._consumer, line.leaf)):
                found.append(line)
        return tuple(found)

    def wait_no_more(self, lines: Sequence[WaitingLine]) -> None:
        """Take note that these come again, or are gone."""
        self._register.wait_no_more(lines)

    def known(self, item: WholeItem) -> Opened:
        """Give what the register says of a report and its reader."""
        report_id = item.core.report_id
        return Opened(
            acknowledged=self._register.acknowledged(report_id, self.reader),
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
            clauses={one.digest: one.clause_id for one in result.caveats},
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
        purpose = Opened(purposes=self._terms.purposes).purpose_of(item.core.profile.purpose)
        portions = () if result.report is None else result.report.shown
        line = OpenedLine(
            report_id=result.report_id,
            leaf=result.leaf,
            agreement_id=opened.segment.agreement_id,
            reader=self.reader,
            purpose=purpose or "",
            use=self.use,
            portions=frozenset(portions),
            at=self.now_ms(),
        )
        await asyncio.to_thread(self._register.open_report, line, kept)

    async def _waits(self, opened: OpenSegment, slot: int, result: OpenSlot) -> OpenSlot:
        """Give a slot without what was taken of it before; one that waits whole is entered now, others once they were taken."""
        if not result.waits:
            return result
        before = self._taken(result.leaf)
        left = {index: lacks for index, lacks in result.waits.items() if index not in before}
        result = replace(result, waits=left)
        if not left:
            return result
        report_id, agreement_id = result.report_id, opened.segment.agreement_id
        if result.report is None:
            place = SlotRef(opened.segment.log_name, opened.segment.segment_id, slot)
            await self.wait(place, report_id, result.leaf, result.waits.values(), result.expires_at)
        if self._terms.waiting is not None:
            whole = result.report is None
            self._terms.waiting(
                Waiting(
                    agreement_id,
                    UUID(bytes=report_id),
                    _origin(opened),
                    result.lacks,
                    result.refused,
                    whole,
                    opened.segment.transport_class,
                )
            )
        return result

    def _taken(self, leaf: bytes) -> frozenset[int]:
        """Give the portions of a report that were taken at this consumer, by whomever."""
        return frozenset[int]().union(*self._register.tried(self._consumer, leaf).values())

    async def wait(  # noqa: PLR0917 - what a line says
        self,
        place: SlotRef,
        report_id: bytes,
        leaf: bytes,
        lacks: Iterable[frozenset[Lack]],
        expires_at: int,
        taken: Iterable[int] = (),
    ) -> None:
        """Enter that a report waits, and which portions an application took of this opening: on disk before it is parked."""
        line = WaitingLine(
            consumer=self._consumer,
            report_id=report_id,
            leaf=leaf,
            agreement_id=place.agreement_id,
            segment_id=place.segment_id,
            slot=place.slot,
            lacks=frozenset(lacks),
            at=self.now_ms(),
            expires_at=expires_at,
        )
        await asyncio.to_thread(self._register.wait, line, self._terms.signature, tuple(taken))


def _kept(opened: OpenSegment, slot: int, result: OpenSlot) -> KeptEnvelope:
    return KeptEnvelope(
        report_id=result.report_id,
        agreement_id=opened.segment.agreement_id,
        log_index=opened.log_index,
        admitted_at=opened.admitted_at,
        expires_at=result.expires_at,
        exported=encode_exported(opened.exported(slot)),
    )


def _origin(opened: OpenSegment) -> str:
    signed_by = opened.verified.signed_by
    return f"{signed_by.party}/{signed_by.node}"
