"""Reading again: what a consumer was handed before comes once more, to be read only (design 04, docs/adr/0029).

Rules in order:
1. Nothing of what the consumer has is touched: neither inbox nor resume token, and nothing is acknowledged. So it works beside a process
   that receives for the same consumer, and shows what was acknowledged, since that was asked for.
2. A segment is verified, opened and decided anew by the rules of every opening (`opening`, `reading`): who reads and what for, caveats,
   the register before anything is shown. What its originator took back, as far as this node knows, is not shown, whatever the broker says,
   nor what an officer of the own party certified to be destroyed or returned.
3. What the broker says of entries is compared with its log before anything is shown: all of it is old, so a log that does not have it
   within `PROVE_SECONDS` is no proof.
4. An officer's reading is said to the originator before the report is shown, as for every reading (`officer_says`).
5. A call that breaks is begun anew after the last whole segment; `TRIES` in a row without one end it.
6. Of each report that does not come, and once did, the application is told why.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import grpc

from comity.envelope.evidence import AckOutcome
from comity.envelope.profile import is_exercise_class
from comity.envelope.segment import Segment, WholeItem
from comity.errors import ComityError, RejectedError, StorageError, UnreachableError, VerificationError
from comity.identity.names import Identity
from comity.node.accounting import account
from comity.node.acts import acts_of
from comity.node.alarms import AlarmKind
from comity.node.backoff import Backoff
from comity.node.claims import Claim
from comity.node.comparing import Comparing
from comity.node.connection import Connection
from comity.node.delivery import CLASSES
from comity.node.logs import RefreshNeeded
from comity.node.mirror import Mirror
from comity.node.officer_says import Named, OfficerSays
from comity.node.opened import OpenSegment, OpenSlot, Refusal
from comity.node.opening import Opening
from comity.node.read_first import AT_ONCE
from comity.node.reading import Reading
from comity.report import ReceivedReport
from comity.v1 import exchange_pb2
from comity_policy.acts import ActKind

CREDIT_REPORTS: Final = 4096
CREDIT_BYTES: Final = 16 << 20
PROVE_SECONDS: Final = 5.0
TRIES: Final = 5
_LOOK_SECONDS: Final = 0.25
# Why a slot does not come, where that says that it was this consumer's once.
_SAID: Final = {
    exchange_pb2.SKIP_REASON_EXPIRED: "expired",
    exchange_pb2.SKIP_REASON_WITHDRAWN: "withdrawn",
    exchange_pb2.SKIP_REASON_HELD: "held",
    exchange_pb2.SKIP_REASON_RECALLED: "recalled",
    exchange_pb2.SKIP_REASON_SUPERSEDED: "superseded",
}


@dataclass(frozen=True, slots=True)
class From:
    """From where to read again: what was admitted from a time on (Unix ms), or from an entry of the agreement's log on; the other is 0."""

    since_ms: int = 0
    log_index: int = 0


@dataclass(frozen=True, slots=True)
class Replayed:
    """A report that was handed over before, to be read; times in Unix ms, `origin` is PARTY/NODE.

    `waits` says that something of it stays closed for want of what another opening would bring.
    """

    report: ReceivedReport
    agreement_id: str
    origin: str
    transport_class: int
    origin_sequence: int
    admitted_at: int
    log_index: int
    approved_by: frozenset[str]
    waits: bool


@dataclass(frozen=True, slots=True)
class NotReplayed:
    """A report that does not come again. `report_id` is None where not even its envelope came; `log_index` 0 where no entry says why."""

    agreement_id: str
    origin: str
    origin_sequence: int
    leaf: bytes
    reason: str
    log_index: int = 0
    report_id: UUID | None = None


class ReadingAgain:
    """Reads again for one consumer of one node, by the terms that `reading` was made with."""

    def __init__(
        self,
        connection: Connection,
        mirror: Mirror,
        opening: Opening,
        reading: Reading,
        says: OfficerSays | None,
        *,
        identity: Identity,
        consumer: str,
        refresh: Callable[[], Awaitable[None]],
        backoff: Backoff,
        told: Callable[[NotReplayed], None],
    ) -> None:
        self._connection = connection
        self._mirror = mirror
        self._opening = opening
        self._reading = reading
        self._says = says
        self._comparing = Comparing(mirror, identity)
        self._consumer = consumer
        self._refresh = refresh
        self._backoff = backoff
        self._told = told
        self._party = identity.party
        self._gone: tuple[tuple[int, str], Mapping[str, int]] = ((-1, ""), {})

    async def reports(self, agreement_id: str, start: From) -> AsyncGenerator[Replayed]:
        """Give what was handed over under an agreement, from there on, in the order of admission. Raises ComityError."""
        if self._mirror.is_stale:
            await self._refresh()
        self._reading.look()
        async with aclosing(self._frames(agreement_id, start)) as frames:
            async for frame in frames:
                for one in await self._of_segment(agreement_id, frame):
                    yield one

    # --- from the broker --------------------------------------------------------------------------------------------

    async def _frames(self, agreement_id: str, start: From) -> AsyncGenerator[exchange_pb2.Delivery]:
        at, failed = start, 0
        while True:
            try:
                async for response in self._call(agreement_id, at):
                    failed = 0
                    if response.WhichOneof("frame") == "delivery":
                        at = From(log_index=response.delivery.log_index + 1)
                        yield response.delivery
                    elif response.ended.complete:
                        return
                    else:
                        at = _onward(at, response.ended.next_log_index)
            except (UnreachableError, StorageError) as error:
                failed += 1
                if failed == TRIES:
                    raise
                await asyncio.sleep(self._backoff.next_seconds(error.retry_after_seconds))

    async def _call(self, agreement_id: str, at: From) -> AsyncGenerator[exchange_pb2.ReplayResponse]:
        """Give the frames of one call up to its end; raises UnreachableError for one that just stops."""
        request = exchange_pb2.ReplayRequest(
            agreement_id=agreement_id,
            consumer=self._consumer,
            credit=exchange_pb2.Credit(reports=CREDIT_REPORTS, bytes=CREDIT_BYTES),
        )
        if at.log_index:
            request.log_index = at.log_index
        else:
            request.admitted_at = at.since_ms
        call = self._connection.exchange.Replay(request)
        try:
            while isinstance(response := await call.read(), exchange_pb2.ReplayResponse):
                yield response
                if response.WhichOneof("frame") == "ended":
                    self._backoff.succeeded()
                    return
        except grpc.aio.AioRpcError as error:
            raise self._connection.error_of(error) from error
        finally:
            call.cancel()
        raise UnreachableError("the broker ended a replay before it was whole", what_to_do="Try again.")

    # --- a segment --------------------------------------------------------------------------------------------------

    async def _of_segment(self, agreement_id: str, frame: exchange_pb2.Delivery) -> list[Replayed]:
        opened = await self._opened(agreement_id, frame)
        if opened is None:
            return []
        segment, origin = opened.segment, _origin(opened)
        accounted = account(frame, segment, None)
        for slot in accounted.unexplained:
            number = segment.first_origin_sequence + slot
            self._mirror.raise_alarm(
                AlarmKind.UNEXPLAINED, agreement_id, f"{origin} {number}", "it was not replayed, without a reason"
            )
        if not await self._proved(agreement_id, accounted.claims):
            return []
        self._tell_absent(opened, frame)
        shown = [await self._slot(opened, one.slot) for one in frame.slots if one.slot < len(segment.items)]
        reports = [one for one in shown if one is not None]
        await self._say_read(agreement_id, origin, reports)
        return reports

    async def _opened(self, agreement_id: str, frame: exchange_pb2.Delivery) -> OpenSegment | None:
        """Verify a segment; None for one that is an alarm."""
        self._opening.remember_packets(frame.key_packets)
        try:
            try:
                opened = self._opening.open_segment(frame, refreshed=False)
            except RefreshNeeded:
                await self._refresh()
                opened = self._opening.open_segment(frame, refreshed=True)
            segment = opened.segment
            if segment.agreement_id != agreement_id or is_exercise_class(segment.transport_class):
                raise VerificationError(f"a segment of {segment.log_name} came in a replay of {agreement_id}")
        except ComityError as error:
            if isinstance(error, StorageError | UnreachableError):
                raise
            reason = error.reason if isinstance(error, RejectedError) else error.message
            self._mirror.raise_alarm(AlarmKind.SEGMENT_REJECTED, agreement_id, f"entry {frame.log_index}", reason)
            return None
        return opened

    async def _proved(self, agreement_id: str, claims: Sequence[Claim]) -> bool:
        """Say whether the log bears out what was said; waits for a log that is behind, and raises VerificationError where it stays so."""
        deadline = asyncio.get_running_loop().time() + PROVE_SECONDS
        while True:
            later, false = self._comparing.compared(claims)
            if false or not later:
                return not false
            if asyncio.get_running_loop().time() >= deadline:
                raise VerificationError(
                    f"the broker replays what its log of {agreement_id} does not have: entry {later[0].log_index}",
                    what_to_do="Nothing of it is shown. Look at the node's alarms, and ask the broker's operator.",
                )
            await asyncio.sleep(_LOOK_SECONDS)
            await self._refresh()

    # --- a report ---------------------------------------------------------------------------------------------------

    async def _slot(self, opened: OpenSegment, slot: int) -> Replayed | None:
        segment, origin = opened.segment, _origin(opened)
        item, number = segment.items[slot], segment.first_origin_sequence + slot
        if isinstance(item, WholeItem) and (gone := self._reading.taken_back(item)) is not None:
            self._not(opened, slot, gone.how.value)
            return None
        certified = self._certified(segment.agreement_id).get(item.leaf.hex())
        if certified is not None:
            self._not(opened, slot, "certified gone", certified)
            return None
        result = await self._reading.read(opened, slot)
        if isinstance(result, Refusal):
            if result.fork or result.outcome is AckOutcome.INCOMPLETE:
                kind = AlarmKind.FORK if result.fork else AlarmKind.INCOMPLETE
                self._mirror.raise_alarm(kind, segment.agreement_id, f"{origin} {number}", result.reason)
            self._not(opened, slot, f"not opened: {result.reason}")
            return None
        if result.report is None:
            self._not(opened, slot, f"waits for another opening: {', '.join(sorted(result.lacks))}")
            return None
        return _replayed(opened, slot, result, result.report)

    def _certified(self, agreement_id: str) -> Mapping[str, int]:
        """Give by leaf, in hex, the entry where an officer of the own party certified that a report is gone here."""
        if self._gone[0] != (self._mirror.version, agreement_id):
            acts = (one for one in acts_of(self._mirror, agreement_id) if one.kind is ActKind.CERTIFY)
            found = {leaf: act.log_index for act in acts if act.party == self._party for leaf in act.leaves}
            self._gone = (self._mirror.version, agreement_id), found
        return self._gone[1]

    async def _say_read(self, agreement_id: str, origin: str, reports: Sequence[Replayed]) -> None:
        """Have the log say what the officer reads now, where the agreement has it; what the broker refuses is an alarm."""
        if self._says is None or not self._says.tells(agreement_id):
            return
        read = [one for one in reports if not one.waits and one.transport_class % CLASSES]
        named: list[Named] = [(one.report.report_id.hex, one.report.leaf.hex()) for one in read]
        for first in range(0, len(named), AT_ONCE):
            some = named[first : first + AT_ONCE]
            try:
                await self._says.say(ActKind.READ, agreement_id, origin.partition("/")[0], some)
            except UnreachableError:
                raise
            except ComityError as error:
                for report, _ in some:
                    self._mirror.raise_alarm(AlarmKind.READING_REFUSED, agreement_id, f"report {report}", error.message)

    # --- what does not come -----------------------------------------------------------------------------------------

    def _tell_absent(self, opened: OpenSegment, frame: exchange_pb2.Delivery) -> None:
        for one in frame.absent:
            slot = one.origin_sequence - opened.segment.first_origin_sequence
            if one.reason in _SAID and _is_leaf_of(opened.segment, slot, one.leaf):
                self._not(opened, slot, _SAID[one.reason], one.log_index)

    def _not(self, opened: OpenSegment, slot: int, reason: str, log_index: int = 0) -> None:
        segment = opened.segment
        item = segment.items[slot]
        self._told(
            NotReplayed(
                agreement_id=segment.agreement_id,
                origin=_origin(opened),
                origin_sequence=segment.first_origin_sequence + slot,
                leaf=item.leaf,
                reason=reason,
                log_index=log_index,
                report_id=UUID(bytes=item.core.report_id) if isinstance(item, WholeItem) else None,
            )
        )


def _onward(at: From, next_log_index: int) -> From:
    """Give where to go on after credit was used up; raises VerificationError for a broker that does not go on."""
    if next_log_index <= at.log_index - 1 or not next_log_index:
        raise VerificationError("the broker's replay does not go on", what_to_do="Ask the broker's operator.")
    return From(log_index=next_log_index)


def _is_leaf_of(segment: Segment, slot: int, leaf: bytes) -> bool:
    return 0 <= slot < len(segment.items) and segment.items[slot].leaf == leaf


def _origin(opened: OpenSegment) -> str:
    signed_by = opened.verified.signed_by
    return f"{signed_by.party}/{signed_by.node}"


def _replayed(opened: OpenSegment, slot: int, result: OpenSlot, report: ReceivedReport) -> Replayed:
    segment = opened.segment
    return Replayed(
        report=report,
        agreement_id=segment.agreement_id,
        origin=_origin(opened),
        transport_class=segment.transport_class,
        origin_sequence=segment.first_origin_sequence + slot,
        admitted_at=opened.admitted_at,
        log_index=opened.log_index,
        approved_by=result.approved_by,
        waits=bool(result.waits),
    )
