"""OperationsService: what an operator asks of a running broker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import grpc

from comity.v1 import operations_pb2, operations_pb2_grpc
from comity_broker.access import caller
from comity_broker.clock import BrokerClock
from comity_broker.dispatch.dispatcher import Dispatcher
from comity_broker.journal import Journal
from comity_broker.monitor import Monitor
from comity_broker.operations import OperationsLog
from comity_broker.storage.protocol import KEYS, Reader

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class Self:
    """What the broker says of itself."""

    identity: str
    tls_name: str
    incarnation: bytes
    started_at: int


class OperationsService(operations_pb2_grpc.OperationsServiceServicer):
    """Translates to the engine room. `drain` begins a drain; `draining` says whether one has begun."""

    def __init__(
        self,
        *,
        broker: Self,
        reader: Reader,
        journal: Journal,
        dispatcher: Dispatcher,
        operations: OperationsLog,
        monitor: Monitor,
        clock: BrokerClock,
        drain: Callable[[], None],
        draining: Callable[[], bool],
    ) -> None:
        self._broker = broker
        self._ledger = monitor.ledger
        self._reader = reader
        self._journal = journal
        self._dispatcher = dispatcher
        self._operations = operations
        self._monitor = monitor
        self._clock = clock
        self._drain = drain
        self._draining = draining

    async def GetStatus(self, _: operations_pb2.GetStatusRequest, __: Context) -> operations_pb2.GetStatusResponse:
        usage = await self._reader.usage()
        p50, p99 = self._journal.commit_percentiles_ms()
        keys = await self._reader.head(KEYS)
        answer = operations_pb2.GetStatusResponse(
            broker=self._broker.identity,
            tls_name=self._broker.tls_name,
            incarnation=self._broker.incarnation.hex(),
            started_at=self._broker.started_at,
            now=self._clock.now_ms(),
            state="DRAINING" if self._draining() else "SERVING",
            disk_free_bytes=usage.free_bytes,
            disk_total_bytes=usage.total_bytes,
            commit_p50_ms=p50,
            commit_p99_ms=p99,
            key_log_size=0 if keys is None else keys.leaf_next,
            version=version("comity"),
            operations_dropped=self._operations.dropped,
        )
        for alarm in self._monitor.alarms:
            answer.alarms.add(
                kind="MONITOR" if alarm.agreement_id else "CLOCK",
                agreement_id=alarm.agreement_id,
                since=alarm.since_ms,
                times=alarm.times,
                reason=alarm.reason,
                what_to_do=alarm.what_to_do,
            )
        for standing in self._ledger.standings():
            head = await self._reader.head(standing.agreement_id)
            answer.agreements.add(
                agreement_id=standing.agreement_id,
                phase=standing.state(self._clock.now_ms()).phase.value,
                log_size=0 if head is None else head.leaf_next,
                reports=0 if head is None else head.agreement_sequence_next - 1,
                frozen_reason=standing.frozen_reason,
            )
        for one in await self._dispatcher.status():
            answer.consumers.add(
                node=one.node,
                consumer=one.consumer,
                connected=one.connected,
                backlog=one.backlog,
                in_flight=one.in_flight,
                credits=one.credits,
                oldest_waiting_at=one.oldest_waiting_at,
                parked=one.parked,
                held=one.held,
            )
        return answer

    async def Drain(self, _: operations_pb2.DrainRequest, __: Context) -> operations_pb2.DrainResponse:
        self._operations.acted(caller(), "drain", self._broker.identity, "begun")
        self._drain()
        return operations_pb2.DrainResponse()
