"""OperationsService: what an operator asks of a running broker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc

from comity.node.times import rfc3339
from comity.v1 import operations_pb2, operations_pb2_grpc
from comity_broker.access import caller
from comity_broker.dispatch.status import ConsumerStatus
from comity_broker.maintenance import Maintenance
from comity_broker.metrics import exposition
from comity_broker.operations import OperationsLog
from comity_broker.survey import Picture, Survey

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class Self:
    """What the broker says of itself."""

    identity: str
    tls_name: str
    incarnation: bytes


class OperationsService(operations_pb2_grpc.OperationsServiceServicer):
    """Translates to the engine room. `drain` begins a drain."""

    def __init__(
        self,
        *,
        broker: Self,
        survey: Survey,
        operations: OperationsLog,
        maintenance: Maintenance,
        drain: Callable[[], None],
    ) -> None:
        self._broker = broker
        self._maintenance = maintenance
        self._survey = survey
        self._operations = operations
        self._drain = drain

    async def GetStatus(self, _: operations_pb2.GetStatusRequest, __: Context) -> operations_pb2.GetStatusResponse:
        answer = status_of(self._broker, await self._survey.picture())
        answer.maintenance_until = self._maintenance.until()
        return answer

    async def GetMetrics(self, _: operations_pb2.GetMetricsRequest, __: Context) -> operations_pb2.GetMetricsResponse:
        return operations_pb2.GetMetricsResponse(text=exposition(await self._survey.picture()))

    async def SetMaintenance(
        self, request: operations_pb2.SetMaintenanceRequest, _: Context
    ) -> operations_pb2.SetMaintenanceResponse:
        if request.until:
            self._maintenance.begin(request.until)
            self._operations.acted(
                caller(), "maintenance", self._broker.identity, f"until {rfc3339(self._maintenance.until())}"
            )
        elif self._maintenance.end():
            self._operations.acted(caller(), "maintenance", self._broker.identity, "ended")
        return operations_pb2.SetMaintenanceResponse(until=self._maintenance.until())

    async def Drain(self, _: operations_pb2.DrainRequest, __: Context) -> operations_pb2.DrainResponse:
        self._operations.acted(caller(), "drain", self._broker.identity, "begun")
        self._drain()
        return operations_pb2.DrainResponse()


def status_of(broker: Self, picture: Picture) -> operations_pb2.GetStatusResponse:
    """Give the message of a picture."""
    rates = picture.rates
    return operations_pb2.GetStatusResponse(
        broker=broker.identity,
        tls_name=broker.tls_name,
        incarnation=broker.incarnation.hex(),
        started_at=picture.started_at,
        now=picture.now_ms,
        state="DRAINING" if picture.draining else "SERVING",
        disk_free_bytes=picture.disk.free_bytes,
        disk_total_bytes=picture.disk.total_bytes,
        commit_p50_ms=rates.commit_p50_ms,
        commit_p99_ms=rates.commit_p99_ms,
        key_log_size=picture.key_log_size,
        version=picture.version,
        operations_dropped=picture.operations_dropped,
        operations_log_size=picture.operations_log_size,
        write_ahead_bytes=picture.journal.backlog_bytes,
        rates=operations_pb2.BrokerRates(
            commits_per_second=rates.commits_per_second,
            admitted_per_second=rates.admitted_per_second,
            handed_over_per_second=rates.handed_over_per_second,
            acknowledged_per_second=rates.acknowledged_per_second,
            refusals_per_minute=rates.refusals_per_minute,
        ),
        disk_reserves=[
            operations_pb2.DiskReserve(transport_class=one, full_at=full_at, refusing=picture.disk.refuses(one))
            for one, full_at in sorted(picture.disk.full_at.items())
        ],
        alarms=[
            operations_pb2.BrokerAlarm(
                kind=one.kind,
                agreement_id=one.agreement_id,
                since=one.since_ms,
                times=one.times,
                reason=one.reason,
                what_to_do=one.what_to_do,
                node=one.node,
                consumer=one.consumer,
            )
            for one in picture.alarms
        ],
        agreements=[
            operations_pb2.AgreementStatus(
                agreement_id=one.agreement_id,
                phase=one.phase,
                log_size=one.log_size,
                reports=one.reports,
                frozen_reason=one.frozen_reason,
            )
            for one in picture.agreements
        ],
        consumers=[_consumer(one) for one in picture.consumers],
    )


def _consumer(one: ConsumerStatus) -> operations_pb2.ConsumerStatus:
    return operations_pb2.ConsumerStatus(
        node=one.node,
        consumer=one.consumer,
        connected=one.connected,
        backlog=one.backlog,
        in_flight=one.in_flight,
        credits=one.credits,
        oldest_waiting_at=one.oldest_waiting_at,
        parked=one.parked,
        held=one.held,
        backlog_by_class=[
            operations_pb2.ClassBacklog(transport_class=number, reports=count) for number, count in one.by_class.items()
        ],
        retried=one.retried,
        attempts=one.attempts,
        stalled_since=one.stalled_since,
    )
