"""The subscribe side of ExchangeService: one stream is one session of dispatch, translated frame by frame.

The generator is the stream's one writer: it asks for a frame, writes it, and says when the write was over. Another task reads what
the consumer sends until there is no more; it is never cancelled, since a read that is cancelled leaks in grpc.aio. When the call
ends, so does the read.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from functools import lru_cache
from typing import Any, Final

import grpc

from comity.envelope import limits
from comity.envelope.evidence import SIGNATURE_BYTES, SignedAck
from comity.errors import ComityError, ErrorCode, MalformedError
from comity.v1 import exchange_pb2
from comity_broker.access import caller
from comity_broker.dispatch.answering import GivenBack, SlotName
from comity_broker.dispatch.dispatcher import Dispatcher, Opening
from comity_broker.dispatch.frames import (
    AckConfirmed,
    CaughtUp,
    Delivered,
    Draining,
    FellBehind,
    Frame,
    FrameRefused,
    Held,
    InMaintenance,
    NewCheckpoint,
    Opened,
    Skip,
)
from comity_broker.dispatch.session import Session
from comity_broker.services.refusals import refusal_of

NACK_SLOTS: Final = 4096
REASON_CHARACTERS: Final = 1000
RETRY_SECONDS: Final = 86_400.0
ACK_BYTES: Final = 64 << 10
_SLOTS_KEPT: Final = 64

Context = grpc.aio.ServicerContext[Any, Any]
Requests = AsyncIterator[exchange_pb2.SubscribeRequest]


class Subscribing:
    """Serves the streams."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._reading: set[asyncio.Task[None]] = set()

    async def Subscribe(self, request_iterator: Requests, _: Context) -> AsyncIterator[exchange_pb2.SubscribeResponse]:
        requests = aiter(request_iterator)
        first = await anext(requests, None)
        if first is None or first.WhichOneof("frame") != "open":
            raise MalformedError("a subscribe stream begins with open")
        if first.open.joins:
            async with contextlib.aclosing(self._urgent(first.open)) as responses:
                async for response in responses:
                    yield response
            return
        session = await self._dispatcher.open(caller(), _opening(first.open))
        try:
            self._start_reading(session, requests)
            while (frame := await session.next_frame()) is not None:
                yield message_of(frame)
                session.written()
        finally:
            self._dispatcher.release(session)

    async def _urgent(
        self, opening: exchange_pb2.SubscribeOpen
    ) -> AsyncGenerator[exchange_pb2.SubscribeResponse, None]:
        session = self._dispatcher.joined(caller(), opening.consumer, opening.joins, exercise=opening.exercise)
        writing = session.join()
        try:
            while (frame := await session.next_urgent(writing)) is not None:
                yield message_of(frame)
                session.written(writing)
        finally:
            session.left()

    def _start_reading(self, session: Session, requests: Requests) -> None:
        task = asyncio.get_running_loop().create_task(_read(session, requests))
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)


async def _read(session: Session, requests: Requests) -> None:
    # What ends the call ends the read with an error of grpc's own; the call itself says what it was.
    with contextlib.suppress(asyncio.CancelledError, grpc.aio.AbortError, grpc.aio.UsageError, grpc.RpcError):
        try:
            async for request in requests:
                await _take(session, request)
        except ComityError as error:
            session.end(error)
        finally:
            session.half_close()


async def _take(session: Session, request: exchange_pb2.SubscribeRequest) -> None:
    match request.WhichOneof("frame"):
        case "credit":
            session.credit(request.credit.reports, request.credit.bytes)
        case "ack":
            await session.answer(_signed(request.ack))
        case "nack":
            await session.answer(_given_back(request.nack))
        case "heartbeat":
            session.heartbeat()
        case "stop":
            session.stop()
        case "open":
            raise MalformedError("a subscribe stream is opened once")
        case _:
            raise MalformedError("a frame of a subscribe stream says nothing")


def _opening(message: exchange_pb2.SubscribeOpen) -> Opening:
    return Opening(
        consumer=message.consumer,
        exercise=message.exercise,
        take_over=message.take_over,
        resume_token=message.resume_token,
        reports=message.credit.reports,
        size=message.credit.bytes,
    )


def _signed(ack: exchange_pb2.SignedAckFrame) -> SignedAck:
    # Looked at before it waits for its turn: what waits is bounded in number, so each must be bounded in size.
    if len(ack.record) > ACK_BYTES or len(ack.signature) > SIGNATURE_BYTES:
        raise MalformedError(
            f"an acknowledgement has at most {ACK_BYTES} bytes, its signature {SIGNATURE_BYTES}",
            code=ErrorCode.LIMIT_EXCEEDED,
        )
    return SignedAck(ack.record, ack.signature)


def _given_back(nack: exchange_pb2.Nack) -> GivenBack:
    slots = slot_names(nack.slots, NACK_SLOTS)
    match nack.WhichOneof("action"):
        case "retry_after":
            seconds = nack.retry_after.seconds + nack.retry_after.nanos / 1e9
            if not 0 <= seconds <= RETRY_SECONDS:
                raise MalformedError(f"retry_after is 0 to {RETRY_SECONDS:.0f} seconds")
            return GivenBack(slots, seconds)
        case "park_reason":
            if len(nack.park_reason) > REASON_CHARACTERS:
                raise MalformedError(
                    f"a reason has at most {REASON_CHARACTERS} characters", code=ErrorCode.LIMIT_EXCEEDED
                )
            return GivenBack(slots, None, nack.park_reason)
        case _:
            raise MalformedError("a nack says retry_after or park_reason")


def slot_names(slots: Iterable[exchange_pb2.SlotRef], limit: int) -> list[SlotName]:
    """Give the reports a message names; raises MalformedError for none, for more than the limit, for what names none."""
    names = [SlotName(one.agreement_id, one.segment_id, one.slot) for one in slots]
    if any(len(one.segment_id) != limits.DIGEST or len(one.agreement_id) > limits.TEXT_BYTES for one in names):
        raise MalformedError(f"a report is named by an agreement and a segment id of {limits.DIGEST} bytes")
    if not 1 <= len(names) <= limit:
        raise MalformedError(f"1 to {limit} reports are named at once", code=ErrorCode.LIMIT_EXCEEDED)
    return names


# --- frames ---------------------------------------------------------------------------------------------------------


def message_of(frame: Frame) -> exchange_pb2.SubscribeResponse:
    """Give the message of a frame."""
    match frame:
        case Delivered():
            return exchange_pb2.SubscribeResponse(delivery=delivery_of(frame))
        case AckConfirmed():
            confirmed = exchange_pb2.AckConfirmed(
                record_digest=frame.record_digest, log_index=frame.log_index, agreement_id=frame.agreement_id
            )
            return exchange_pb2.SubscribeResponse(ack_confirmed=confirmed)
        case Opened():
            opened = exchange_pb2.SubscribeOpened(session=frame.session, incarnation=frame.incarnation)
            opened.deadline.FromMilliseconds(int(frame.deadline * 1000))
            return exchange_pb2.SubscribeResponse(opened=opened)
        case FrameRefused():
            refusal = exchange_pb2.FrameRefusal(
                refusal=refusal_of(frame.error, agreement_id=frame.agreement_id), record_digest=frame.record_digest
            )
            return exchange_pb2.SubscribeResponse(refusal=refusal)
        case NewCheckpoint():
            checkpoint = exchange_pb2.NewCheckpoint(agreement_id=frame.agreement_id, checkpoint=frame.note)
            return exchange_pb2.SubscribeResponse(checkpoint=checkpoint)
        case CaughtUp():
            return exchange_pb2.SubscribeResponse(caught_up=exchange_pb2.CaughtUp())
        case FellBehind():
            return exchange_pb2.SubscribeResponse(fell_behind=exchange_pb2.FellBehind(waiting=frame.waiting))
        case Held():
            held = exchange_pb2.Held(agreement_id=frame.agreement_id, count=frame.count)
            return exchange_pb2.SubscribeResponse(held=held)
        case InMaintenance():
            return exchange_pb2.SubscribeResponse(maintenance=exchange_pb2.Maintenance(until=frame.until))
        case Draining():
            draining = exchange_pb2.Draining()
            draining.retry_after.FromMilliseconds(int(frame.retry_after * 1000))
            return exchange_pb2.SubscribeResponse(draining=draining)


def delivery_of(frame: Delivered) -> exchange_pb2.Delivery:
    """Give the message of a segment that is handed over."""
    return exchange_pb2.Delivery(
        segment=frame.segment,
        batch_signature=frame.batch_signature,
        batch_index=frame.batch_index,
        batch_path=frame.batch_path,
        key_packets=frame.key_packets,
        log_index=frame.log_index,
        admitted_at=frame.admitted_at,
        slots=_delivered(frame.slots),
        skipped=[_skipped(one) for one in frame.skipped],
        absent=[_skipped(one) for one in frame.absent],
        resume_token=frame.resume_token,
    )


@lru_cache(_SLOTS_KEPT)
def _delivered(slots: tuple[tuple[int, int], ...]) -> list[exchange_pb2.DeliveredSlot]:
    # The message that takes these copies them.
    return [exchange_pb2.DeliveredSlot(slot=slot, attempt=attempt) for slot, attempt in slots]


def _skipped(skip: Skip) -> exchange_pb2.Skipped:
    return exchange_pb2.Skipped(
        origin_sequence=skip.origin_sequence,
        leaf=skip.leaf,
        reason=exchange_pb2.SkipReason.ValueType(skip.reason.why),
        log_index=skip.reason.log_index,
    )
