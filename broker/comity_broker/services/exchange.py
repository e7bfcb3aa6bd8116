"""ExchangeService: publishing, subscribing, replays and lists of reports, each in a file of its own, under the protocol's one name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc

from comity.v1 import exchange_pb2, exchange_pb2_grpc
from comity_broker.services.publishing import Publishing
from comity_broker.services.replaying import Replays
from comity_broker.services.reports import Reports
from comity_broker.services.subscribing import Subscribing

Context = grpc.aio.ServicerContext[Any, Any]


class ExchangeService(exchange_pb2_grpc.ExchangeServiceServicer):
    """Hands every method to the part that serves it."""

    def __init__(self, publishing: Publishing, subscribing: Subscribing, replays: Replays, reports: Reports) -> None:
        self._publishing = publishing
        self._subscribing = subscribing
        self._replays = replays
        self._reports = reports

    def Publish(
        self, request_iterator: AsyncIterator[exchange_pb2.PublishRequest], context: Context
    ) -> AsyncIterator[exchange_pb2.PublishResponse]:
        return self._publishing.Publish(request_iterator, context)

    async def PublishOne(
        self, request: exchange_pb2.PublishOneRequest, context: Context
    ) -> exchange_pb2.PublishOneResponse:
        return await self._publishing.PublishOne(request, context)

    def Subscribe(
        self, request_iterator: AsyncIterator[exchange_pb2.SubscribeRequest], context: Context
    ) -> AsyncIterator[exchange_pb2.SubscribeResponse]:
        return self._subscribing.Subscribe(request_iterator, context)

    def Replay(
        self, request: exchange_pb2.ReplayRequest, context: Context
    ) -> AsyncIterator[exchange_pb2.ReplayResponse]:
        return self._replays.Replay(request, context)

    async def ListReports(
        self, request: exchange_pb2.ListReportsRequest, context: Context
    ) -> exchange_pb2.ListReportsResponse:
        return await self._reports.ListReports(request, context)

    async def ResolveParked(
        self, request: exchange_pb2.ResolveParkedRequest, context: Context
    ) -> exchange_pb2.ResolveParkedResponse:
        return await self._reports.ResolveParked(request, context)

    async def ResolveHeld(
        self, request: exchange_pb2.ResolveHeldRequest, context: Context
    ) -> exchange_pb2.ResolveHeldResponse:
        return await self._reports.ResolveHeld(request, context)
