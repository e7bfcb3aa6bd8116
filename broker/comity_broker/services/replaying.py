"""Replay of ExchangeService: translates to `comity_broker.dispatch.replaying`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc

from comity.envelope import limits
from comity.errors import MalformedError
from comity.v1 import exchange_pb2
from comity_broker.access import caller
from comity_broker.dispatch.frames import Delivered
from comity_broker.dispatch.replayed import Start
from comity_broker.dispatch.replaying import Asking, Replaying
from comity_broker.services.subscribing import delivery_of

Context = grpc.aio.ServicerContext[Any, Any]


class Replays:
    """Serves the streams."""

    def __init__(self, replaying: Replaying) -> None:
        self._replaying = replaying

    async def Replay(
        self, request: exchange_pb2.ReplayRequest, _: Context
    ) -> AsyncIterator[exchange_pb2.ReplayResponse]:
        async with aclosing(self._replaying.frames(caller(), _asking(request))) as frames:
            async for frame in frames:
                if isinstance(frame, Delivered):
                    yield exchange_pb2.ReplayResponse(delivery=delivery_of(frame))
                else:
                    ended = exchange_pb2.ReplayEnded(complete=frame.complete, next_log_index=frame.next_log_index)
                    yield exchange_pb2.ReplayResponse(ended=ended)


def _asking(request: exchange_pb2.ReplayRequest) -> Asking:
    match request.WhichOneof("start"):
        case "admitted_at":
            start = Start(since=request.admitted_at)
        case "log_index":
            start = Start(log_index=request.log_index)
        case _:
            raise MalformedError("a replay says from where: a time (admitted_at) or an entry (log_index)")
    if not 1 <= max(start.since, start.log_index) < limits.INTEGER:
        raise MalformedError("a replay begins at a time or an entry from 1 on that a log can have")
    if not request.agreement_id or len(request.agreement_id.encode()) > limits.TEXT_BYTES:
        raise MalformedError("a replay names the agreement")
    return Asking(request.agreement_id, request.consumer, start, request.credit.reports, request.credit.bytes)
