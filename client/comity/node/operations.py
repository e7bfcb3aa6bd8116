"""What an operator asks of a running broker, over a connection of its own."""

from __future__ import annotations

from dataclasses import dataclass

from comity.node.connection import Connection
from comity.v1 import operations_pb2


@dataclass(frozen=True, slots=True)
class AgreementStatus:
    """One agreement's line; `frozen_reason` is empty while its log is not frozen."""

    agreement_id: str
    phase: str
    log_size: int
    reports: int
    frozen_reason: str


@dataclass(frozen=True, slots=True)
class ConsumerStatus:
    """One consumer's line; `oldest_waiting_at` is 0 when nothing waits."""

    node: str
    consumer: str
    connected: bool
    backlog: int
    in_flight: int
    credits: int
    oldest_waiting_at: int
    parked: int
    held: int


@dataclass(frozen=True, slots=True)
class BrokerAlarm:
    """What stands still at a broker and needs somebody, until it works again; it came `times` times since `since`.

    `kind` is MONITOR (the duties of an agreement) or CLOCK (the wall clock was set; `agreement_id` is empty).
    """

    kind: str
    agreement_id: str
    since: int
    times: int
    reason: str
    what_to_do: str


@dataclass(frozen=True, slots=True)
class BrokerStatus:
    """How a broker is. Times are Unix milliseconds, `state` is SERVING or DRAINING.

    `operations_dropped` counts the records that the operations log lacks since the start.
    """

    broker: str
    tls_name: str
    incarnation: str
    started_at: int
    now: int
    state: str
    version: str
    key_log_size: int
    disk_free_bytes: int
    disk_total_bytes: int
    commit_p50_ms: float
    commit_p99_ms: float
    operations_dropped: int
    alarms: tuple[BrokerAlarm, ...]
    agreements: tuple[AgreementStatus, ...]
    consumers: tuple[ConsumerStatus, ...]


async def broker_status(connection: Connection) -> BrokerStatus:
    """Ask a broker how it is; raises AccessError for whoever is not an operator of its party."""
    answer = await connection.call(connection.operations.GetStatus, operations_pb2.GetStatusRequest())
    return BrokerStatus(
        broker=answer.broker,
        tls_name=answer.tls_name,
        incarnation=answer.incarnation,
        started_at=answer.started_at,
        now=answer.now,
        state=answer.state,
        version=answer.version,
        key_log_size=answer.key_log_size,
        disk_free_bytes=answer.disk_free_bytes,
        disk_total_bytes=answer.disk_total_bytes,
        commit_p50_ms=answer.commit_p50_ms,
        commit_p99_ms=answer.commit_p99_ms,
        operations_dropped=answer.operations_dropped,
        alarms=tuple(
            BrokerAlarm(one.kind, one.agreement_id, one.since, one.times, one.reason, one.what_to_do)
            for one in answer.alarms
        ),
        agreements=tuple(
            AgreementStatus(one.agreement_id, one.phase, one.log_size, one.reports, one.frozen_reason)
            for one in answer.agreements
        ),
        consumers=tuple(
            ConsumerStatus(
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
            for one in answer.consumers
        ),
    )


async def drain_broker(connection: Connection) -> None:
    """Have a broker finish what is open and stop."""
    await connection.call(connection.operations.Drain, operations_pb2.DrainRequest())
