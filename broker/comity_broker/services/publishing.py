"""The publish side of ExchangeService: frames in, receipts and refusals out, in any order, bounded.

A segment is examined, committed and answered by a task of its own, so that a commit carries the segments of many frames; the
stream reads on until `window` segments wait for an answer, then it stops reading and the sender's flow control does the rest.
Segments of one lane are committed in their order, since the next one is examined only when the one before was handed to the
journal.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, Final

import grpc

from comity.envelope.profile import ProfileMemo
from comity.envelope.segment import Parsing, Segment
from comity.errors import ComityError, ErrorCode, MalformedError, RejectedError, UnreachableError
from comity.suites import RandomBytes
from comity.v1 import audit_pb2, exchange_pb2
from comity_broker.access import Caller, caller
from comity_broker.admission import Admissible, Admission
from comity_broker.admitting import Admitted, Draws, unit_of
from comity_broker.auditlog.kinds import SHARED
from comity_broker.budget import RefusalBudget
from comity_broker.clock import BrokerClock
from comity_broker.counts import Counts
from comity_broker.frames import BatchFrame, PreparedFrame, Publisher
from comity_broker.logs import ForkSeenError, Logs
from comity_broker.operations import OperationsLog, log_caller
from comity_broker.outcomes import settled
from comity_broker.receipts import ReceiptSigner
from comity_broker.services.audit import part_of
from comity_broker.services.refusals import refusal_of
from comity_broker.services.taking import Taking
from comity_broker.settings import Settings
from comity_broker.storage.protocol import Committed, Outcome, Reader, SegmentRow
from comity_broker.tracing import Submitting

_AGAIN: Final = 8
_FRAME_SEGMENTS: Final = 64
_STEP: Final = 32

Context = grpc.aio.ServicerContext[Any, Any]
Answer = exchange_pb2.SegmentReceipt | exchange_pb2.SegmentRefusal


class Publishing:
    """Admits what nodes publish. `admitted` is told of each commit of a segment: under which log, the batch signature, what was made."""

    def __init__(
        self,
        *,
        admission: Admission,
        journal: Submitting,
        logs: Logs,
        receipts: ReceiptSigner,
        operations: OperationsLog,
        reader: Reader,
        clock: BrokerClock,
        settings: Settings,
        random_bytes: RandomBytes,
        incarnation: bytes,
        admitted: Callable[[str, bytes, Admitted], None],
        counts: Counts,
        held_until: Callable[[], int] = lambda: 0,
    ) -> None:
        self._admission = admission
        self._journal = journal
        self._logs = logs
        self._receipts = receipts
        self._operations = operations
        self._reader = reader
        self._clock = clock
        self._settings = settings
        self._random_bytes = random_bytes
        self._incarnation = incarnation
        self._admitted = admitted
        self._counts = counts
        self._held_until = held_until
        self._draining = asyncio.Event()
        self._budget = RefusalBudget(settings.refusals_per_second, clock.monotonic)

    # --- the two methods --------------------------------------------------------------------------------------------

    async def Publish(
        self, request_iterator: AsyncIterator[exchange_pb2.PublishRequest], _: Context
    ) -> AsyncIterator[exchange_pb2.PublishResponse]:
        with contextlib.closing(Taking(request_iterator, self._draining)) as taking:
            first = await taking.next()
            self._refuse_when_draining()
            if first is None or first.WhichOneof("frame") != "open":
                raise MalformedError("a publish stream begins with open")
            window = min(max(1, first.open.window or 1), self._settings.window_segments)
            yield exchange_pb2.PublishResponse(
                opened=exchange_pb2.PublishOpened(
                    incarnation=self._incarnation, window=window, maintenance_until=self._held_until()
                )
            )
            answering = self._answers(Publisher(caller()), taking, asyncio.Semaphore(window))
            async with contextlib.aclosing(answering) as responses:
                async for response in responses:
                    yield response

    async def _answers(
        self, publisher: Publisher, taking: Taking[exchange_pb2.PublishRequest], room: asyncio.Semaphore
    ) -> AsyncGenerator[exchange_pb2.PublishResponse, None]:
        answers: asyncio.Queue[Answer | None] = asyncio.Queue()
        reading = asyncio.create_task(self._read(publisher, taking, room, answers))
        answered = told = 0
        try:
            while (answer := await answers.get()) is not None:
                answered += 1
                if isinstance(answer, exchange_pb2.SegmentReceipt):
                    yield exchange_pb2.PublishResponse(receipt=answer)
                else:
                    yield exchange_pb2.PublishResponse(refusal=answer)
                # Only what was written leaves the window: whoever does not read its answers is not read either.
                room.release()
                if answers.empty():
                    told = answered
                    yield exchange_pb2.PublishResponse(flow_ack=exchange_pb2.FlowAck(segments=answered))
            if told != answered:
                yield exchange_pb2.PublishResponse(flow_ack=exchange_pb2.FlowAck(segments=answered))
            await reading
            if self._draining.is_set():
                yield exchange_pb2.PublishResponse(draining=draining())
        finally:
            reading.cancel()

    async def PublishOne(self, request: exchange_pb2.PublishOneRequest, _: Context) -> exchange_pb2.PublishOneResponse:
        publisher = Publisher(caller())
        self._refuse_when_draining()
        response = exchange_pb2.PublishOneResponse()
        frame = PreparedFrame(_batch_frame(request.batch), publisher)
        for number in range(len(frame.frame.segments)):
            answer = await self._answer(frame, number, number, Turn())
            if isinstance(answer, exchange_pb2.SegmentReceipt):
                response.receipts.append(answer)
            else:
                response.refusals.append(answer)
        return response

    def drain(self) -> None:
        """Take nothing more, and say so on every stream; what was taken is answered first."""
        self._draining.set()

    # --- a stream ---------------------------------------------------------------------------------------------------

    async def _read(
        self,
        publisher: Publisher,
        taking: Taking[exchange_pb2.PublishRequest],
        room: asyncio.Semaphore,
        answers: asyncio.Queue[Answer | None],
    ) -> None:
        failure: ComityError | None = None
        ordinal = 0
        turn = Turn()
        turn.pass_on()  # nothing is before the first segment

        async def answer(frame: PreparedFrame, number: int, place: int, mine: Turn) -> None:
            try:
                answers.put_nowait(await self._answer(frame, number, place, mine))
            finally:
                mine.pass_on()

        try:
            # Whatever is under way when the stream ends is still answered: it may be durable.
            async with asyncio.TaskGroup() as tasks:
                try:
                    while (request := await taking.next()) is not None:
                        frame = PreparedFrame(_frame(request), publisher)
                        for number in range(len(frame.frame.segments)):
                            if not await taking.room(room):
                                break
                            turn = turn.next()
                            tasks.create_task(answer(frame, number, ordinal, turn))
                            ordinal += 1
                except ComityError as error:
                    failure = error
        finally:
            answers.put_nowait(None)
        if failure is not None:
            raise failure

    # --- a segment --------------------------------------------------------------------------------------------------

    async def _answer(self, frame: PreparedFrame, number: int, ordinal: int, turn: Turn) -> Answer:
        received_at = self._clock.now_ms()
        await turn.mine()
        publisher = frame.publisher
        segment: Segment | None = None
        try:
            segment = await parse_in_slices(frame.frame.segments[number], publisher.memo)
            return await self._settled(frame, number, segment, received_at, turn)
        except ComityError as error:
            frame.keep_packets()
            named = frame.frame.named(number)
            told = self._refused(publisher.caller, named, error, 1 if segment is None else len(segment.items))
            return exchange_pb2.SegmentRefusal(ordinal=ordinal, segment_id=named, refusal=refusal_of(told))

    async def _settled(
        self, frame: PreparedFrame, number: int, segment: Segment, received_at: int, turn: Turn
    ) -> exchange_pb2.SegmentReceipt:
        """Give a segment's receipt, the stored one if it has one; raises the ComityError that refuses it whole."""
        who = frame.publisher.caller
        for _ in range(_AGAIN):
            before = await self._admission.stored(who, segment)
            if before is not None:
                # They do not come a second time, and what follows may stand in another log: an exercise's.
                frame.keep_packets()
                turn.pass_on()
                self._counts.duplicate((segment.log_name, who.party, segment.transport_class))
                return await self._receipt(who, segment.log_name, before)
            self._budget.check(str(who.identity))
            try:
                # Its exercise may begin here, which the agreement's change meanwhile refuses as it does the segment's own commit.
                admissible = await self._examined(frame, number, segment, received_at)
                admitted = await self._committed(who, admissible, turn)
            except ComityError as error:
                if error.code is ErrorCode.STATE_CHANGED:
                    continue
                raise
            if not admitted.known:
                lane = (segment.log_name, who.party, segment.transport_class)
                self._counts.admitted(lane, admitted.admitted, len(admitted.row.data))
            receipt = await self._receipt(who, segment.log_name, admitted.row, admitted)
            self._explain(receipt, who, admissible, admitted)
            return receipt
        raise UnreachableError(
            "the agreement changed again and again while this was decided",
            code=ErrorCode.STATE_CHANGED,
            retry_after_seconds=1.0,
        )

    async def _examined(self, frame: PreparedFrame, number: int, segment: Segment, received_at: int) -> Admissible:
        return await self._admission.examine(frame, number, segment, received_at, self._clock.now_ms())

    async def _committed(self, who: Caller, admissible: Admissible, turn: Turn) -> Admitted:
        log = self._logs.log(admissible.segment.log_name)
        draws = Draws.draw(admissible, log, self._random_bytes)
        as_logged = log_caller(who, self._random_bytes(16))
        unit = unit_of(admissible, log, as_logged, draws, lanes_per_node=self._settings.lanes_per_node)
        waiting = asyncio.ensure_future(self._journal.submit(unit))
        waiting.add_done_callback(self._wake(admissible))
        await asyncio.sleep(0)
        turn.pass_on()
        # A sender that goes away must not take its commit with it.
        return settled(await asyncio.shield(waiting)).result

    def _refused(self, who: Caller, segment_id: bytes, error: ComityError, slots: int) -> ComityError:
        """Count a segment that is refused whole; give what its sender is told: nothing more once it has no refusal left.

        What is refused for now is no fault of its sender, which comes again with the same bytes: that counts once.
        """
        node = str(who.identity)
        try:
            self._budget.check(node)
        except UnreachableError as limited:
            self._counts.refused(("", who.party, limited.code.name), slots)
            return limited
        self._counts.refused(("", who.party, error.code.name), slots)
        self._budget.spend(node, slots if error.retry_after_seconds is None else 1)
        self._operations.rejected(who, "", segment_id, error)
        return error

    async def _receipt(
        self, who: Caller, log_name: str, row: SegmentRow, admitted: Admitted | None = None
    ) -> exchange_pb2.SegmentReceipt:
        """Sign a stored receipt, with its entry: out of the store where this commit did not make it."""
        self._clock.committed(row.admitted_at)
        signed = await self._signed(log_name, row)
        if admitted is not None and admitted.entry is not None:
            entry, bodies = admitted.entry, list(admitted.bodies)
        else:
            entry = (await self._reader.entries(log_name, row.log_index, 1))[0]
            bodies = await self._reader.bodies(log_name, [row.log_index], [SHARED, who.party])
        return exchange_pb2.SegmentReceipt(
            signed_receipt=signed,
            broker_key=self._receipts.signer.fingerprint,
            entry=audit_pb2.LogEntry(
                log_index=row.log_index, entry=entry.entry, parts=[part_of(body) for body in bodies]
            ),
        )

    async def _signed(self, log_name: str, row: SegmentRow) -> bytes:  # noqa: ARG002 - a span says the agreement
        return await self._receipts.sign(row.receipt)

    def _explain(
        self, receipt: exchange_pb2.SegmentReceipt, who: Caller, admissible: Admissible, admitted: Admitted
    ) -> None:
        """Say of each refused slot why, as its sender may know it."""
        agreement_id = admissible.segment.agreement_id
        self._budget.spend(str(who.identity), len(admitted.refused))
        for slot, refused in sorted(admitted.refused.items()):
            self._counts.refused((admissible.segment.log_name, who.party, refused.error.code.name), 1)
            refusal = refusal_of(refused.error, agreement_id=agreement_id, agreement_digest=admissible.agreement_digest)
            receipt.refusals.append(exchange_pb2.SlotRefusal(slot=slot, refusal=refusal))
            if isinstance(refused.error, RejectedError | ForkSeenError):
                leaf = admissible.slots[slot].item.leaf
                self._operations.rejected(who, agreement_id, leaf, refused.error, (slot,))

    def _wake(self, admissible: Admissible) -> Callable[[asyncio.Future[Outcome[Admitted]]], None]:
        def committed(done: asyncio.Future[Outcome[Admitted]]) -> None:
            if done.cancelled() or done.exception() is not None:
                return
            outcome = done.result()
            if isinstance(outcome, Committed):
                if outcome.result.took_back:
                    self._admission.took_back(admissible.standing, outcome.head.state_epoch)
                made = outcome.result
                if made.lane is not None:
                    lane = made.lane
                    self._admission.committed(admissible.segment.log_name, lane.key, lane.last_origin_sequence)
                if not made.known:
                    self._admitted(admissible.segment.log_name, admissible.batch, made)

        return committed

    def _refuse_when_draining(self) -> None:
        if self._draining.is_set():
            raise UnreachableError(
                "the broker is about to stop",
                what_to_do="Try again in a few seconds.",
                code=ErrorCode.DRAINING,
                retry_after_seconds=5.0,
            )


async def parse_in_slices(data: bytes, memo: ProfileMemo) -> Segment:
    """Parse a segment, so that what is urgent passes between its reports; raises MalformedError."""
    parsing = Parsing(data, memo)
    for _ in parsing.steps(_STEP):
        await asyncio.sleep(0)
    return parsing.segment()


class Turn:
    """A place in a stream's order: segments reach the journal one after the other."""

    def __init__(self, before: asyncio.Event | None = None) -> None:
        self._before = before
        self._passed = asyncio.Event()

    def next(self) -> Turn:
        """Give the place after this one."""
        return Turn(self._passed)

    async def mine(self) -> None:
        """Wait until everything before has reached the journal."""
        if self._before is not None:
            await self._before.wait()

    def pass_on(self) -> None:
        """Let the next one go."""
        self._passed.set()


def draining() -> exchange_pb2.Draining:
    """Give the frame that says the broker is about to stop."""
    message = exchange_pb2.Draining()
    message.retry_after.FromSeconds(5)
    return message


def _frame(request: exchange_pb2.PublishRequest) -> BatchFrame:
    if request.WhichOneof("frame") != "batch":
        raise MalformedError("after open, every frame of a publish stream is a batch")
    return _batch_frame(request.batch)


def _batch_frame(batch: exchange_pb2.PublishBatch) -> BatchFrame:
    if not 1 <= len(batch.segments) <= _FRAME_SEGMENTS or len(batch.segments) != len(batch.indices):
        raise MalformedError(f"a frame brings 1 to {_FRAME_SEGMENTS} segments, and an index for each")
    return BatchFrame(
        batch.batch_signature,
        list(batch.segment_ids),
        list(batch.segments),
        list(batch.indices),
        list(batch.key_packets),
    )
