"""The publish side of ExchangeService: frames in, receipts and refusals out, in any order, bounded.

A segment is examined, committed and answered by a task of its own, so that a commit carries the segments of many frames; the
stream reads on until `window` segments wait for an answer, then it stops reading and the sender's flow control does the rest.
Segments of one lane are committed in their order, since the next one is examined only when the one before was handed to the
journal.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import grpc

from comity.envelope import limits
from comity.errors import ComityError, ErrorCode, MalformedError, RejectedError, UnreachableError
from comity.suites import RandomBytes
from comity.v1 import audit_pb2, exchange_pb2
from comity_broker.access import Caller, caller
from comity_broker.admission import Admissible, Admission, BatchFrame, Publisher
from comity_broker.admitting import Admitted, Draws, unit_of
from comity_broker.auditlog.kinds import SHARED
from comity_broker.budget import RefusalBudget
from comity_broker.clock import BrokerClock
from comity_broker.journal import Journal
from comity_broker.logs import ForkSeenError, Logs
from comity_broker.operations import OperationsLog, log_caller
from comity_broker.outcomes import settled
from comity_broker.receipts import ReceiptSigner
from comity_broker.services.audit import part_of
from comity_broker.services.refusals import refusal_of
from comity_broker.settings import Settings
from comity_broker.storage.protocol import Committed, Outcome, Reader

_AGAIN: Final = 8
_FRAME_SEGMENTS: Final = 64

Context = grpc.aio.ServicerContext[Any, Any]
Answer = exchange_pb2.SegmentReceipt | exchange_pb2.SegmentRefusal


class Publishing:
    """Admits what nodes publish. `admitted(agreement_id)` is told after each commit that let reports in."""

    def __init__(
        self,
        *,
        admission: Admission,
        journal: Journal,
        logs: Logs,
        receipts: ReceiptSigner,
        operations: OperationsLog,
        reader: Reader,
        clock: BrokerClock,
        settings: Settings,
        random_bytes: RandomBytes,
        incarnation: bytes,
        admitted: Callable[[str], None],
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
        self._draining = asyncio.Event()
        self._budget = RefusalBudget(settings.refusals_per_second, clock.monotonic)

    # --- the two methods --------------------------------------------------------------------------------------------

    async def Publish(
        self, request_iterator: AsyncIterator[exchange_pb2.PublishRequest], _: Context
    ) -> AsyncIterator[exchange_pb2.PublishResponse]:
        publisher = Publisher(caller())
        first = await anext(aiter(request_iterator), None)
        if first is None or first.WhichOneof("frame") != "open":
            raise MalformedError("a publish stream begins with open")
        window = min(max(1, first.open.window or 1), self._settings.window_segments)
        yield exchange_pb2.PublishResponse(
            opened=exchange_pb2.PublishOpened(incarnation=self._incarnation, window=window)
        )
        answers: asyncio.Queue[Answer | None] = asyncio.Queue()
        room = asyncio.Semaphore(window)
        reading = asyncio.create_task(self._read(publisher, request_iterator, room, answers))
        answered = 0
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
        frame = _batch_frame(request.batch)
        for number in range(len(frame.segments)):
            answer = await self._answer(publisher, frame, number, number, _Turn())
            if isinstance(answer, exchange_pb2.SegmentReceipt):
                response.receipts.append(answer)
            else:
                response.refusals.append(answer)
        return response

    def drain(self) -> None:
        """Read nothing more; what was read is answered."""
        self._draining.set()

    # --- a stream ---------------------------------------------------------------------------------------------------

    async def _read(
        self,
        publisher: Publisher,
        requests: AsyncIterator[exchange_pb2.PublishRequest],
        room: asyncio.Semaphore,
        answers: asyncio.Queue[Answer | None],
    ) -> None:
        failure: ComityError | None = None
        ordinal = 0
        turn = _Turn()
        turn.pass_on()  # nothing is before the first segment

        async def answer(frame: BatchFrame, number: int, place: int, mine: _Turn) -> None:
            try:
                answers.put_nowait(await self._answer(publisher, frame, number, place, mine))
            finally:
                mine.pass_on()

        try:
            # Whatever is under way when the stream ends is still answered: it may be durable.
            async with asyncio.TaskGroup() as tasks:
                try:
                    async for request in requests:
                        if self._draining.is_set():
                            break
                        frame = _frame(request)
                        for number in range(len(frame.segments)):
                            await room.acquire()
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

    async def _answer(self, publisher: Publisher, frame: BatchFrame, number: int, ordinal: int, turn: _Turn) -> Answer:
        received_at = self._clock.now_ms()
        await turn.mine()
        segment_id = _segment_id(frame, number)
        node = str(publisher.caller.identity)
        try:
            self._budget.check(node)
            for _ in range(_AGAIN):
                admissible = await self._admission.examine(publisher, frame, number, received_at, self._clock.now_ms())
                log = self._logs.log(admissible.segment.agreement_id)
                who = log_caller(publisher.caller, self._random_bytes(16))
                unit = unit_of(admissible, log, who, Draws.draw(admissible, log, self._random_bytes))
                waiting = asyncio.ensure_future(self._journal.submit(unit))
                waiting.add_done_callback(self._wake(admissible.segment.agreement_id))
                await asyncio.sleep(0)
                turn.pass_on()
                try:
                    # A sender that goes away must not take its commit with it.
                    admitted = settled(await asyncio.shield(waiting)).result
                except ComityError as error:
                    if error.code is ErrorCode.STATE_CHANGED:
                        continue
                    raise
                return await self._receipt(publisher.caller, admissible, admitted)
            raise UnreachableError(
                "the agreement changed again and again while this was decided",
                code=ErrorCode.STATE_CHANGED,
                retry_after_seconds=1.0,
            )
        except ComityError as error:
            if error.code is not ErrorCode.RATE_LIMITED:
                self._budget.spend(node)
                self._operations.rejected(publisher.caller, "", segment_id, error)
            return exchange_pb2.SegmentRefusal(ordinal=ordinal, segment_id=segment_id, refusal=refusal_of(error))

    async def _receipt(self, who: Caller, admissible: Admissible, admitted: Admitted) -> exchange_pb2.SegmentReceipt:
        row, agreement_id = admitted.row, admissible.segment.agreement_id
        self._clock.committed(row.admitted_at)
        signed = await self._receipts.sign(row.receipt)
        entry, bodies = admitted.entry, list(admitted.bodies)
        if entry is None:
            entry = (await self._reader.entries(agreement_id, row.log_index, 1))[0]
            bodies = await self._reader.bodies(agreement_id, [row.log_index], [SHARED, who.party])
        receipt = exchange_pb2.SegmentReceipt(
            signed_receipt=signed,
            broker_key=self._receipts.signer.fingerprint,
            entry=audit_pb2.LogEntry(
                log_index=row.log_index, entry=entry.entry, parts=[part_of(body) for body in bodies]
            ),
        )
        standing = admissible.standing
        if admitted.refused:
            self._budget.spend(str(who.identity))
        for slot, refused in sorted(admitted.refused.items()):
            refusal = refusal_of(refused.error, agreement_id=agreement_id, agreement_digest=standing.digest)
            receipt.refusals.append(exchange_pb2.SlotRefusal(slot=slot, refusal=refusal))
            if isinstance(refused.error, RejectedError | ForkSeenError):
                leaf = admissible.slots[slot].item.leaf
                self._operations.rejected(who, agreement_id, leaf, refused.error, (slot,))
        return receipt

    def _wake(self, agreement_id: str) -> Callable[[asyncio.Future[Outcome[Admitted]]], None]:
        def committed(done: asyncio.Future[Outcome[Admitted]]) -> None:
            if not done.cancelled() and done.exception() is None and isinstance(done.result(), Committed):
                self._admitted(agreement_id)

        return committed

    def _refuse_when_draining(self) -> None:
        if self._draining.is_set():
            raise UnreachableError(
                "the broker is about to stop",
                what_to_do="Try again in a few seconds.",
                code=ErrorCode.DRAINING,
                retry_after_seconds=5.0,
            )


class _Turn:
    """A place in a stream's order: segments reach the journal one after the other."""

    def __init__(self, before: asyncio.Event | None = None) -> None:
        self._before = before
        self._passed = asyncio.Event()

    def next(self) -> _Turn:
        """Give the place after this one."""
        return _Turn(self._passed)

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


def _segment_id(frame: BatchFrame, number: int) -> bytes:
    index = frame.indices[number]
    named = frame.segment_ids[index] if index < len(frame.segment_ids) else b""
    # It is logged and sent back before anything was checked, so only what can be an id is taken for one.
    return named if len(named) == limits.DIGEST else b""
