"""What an operator asks of a running broker, over a connection of its own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from comity.node.connection import Connection
from comity.v1 import operations_pb2

CLASS_NAMES: Final = ("control", "flash", "immediate", "priority", "routine")


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
    """One consumer's line; `oldest_waiting_at` is 0 when nothing waits, `stalled_since` while deliveries go on.

    `backlog_by_class` goes from the most urgent class to the least, by name; `attempts` is how often the report was handed over
    that was so most often, of the `retried` ones.
    """

    node: str
    consumer: str
    connected: bool
    backlog: int
    in_flight: int
    credits: int
    oldest_waiting_at: int
    parked: int
    held: int
    backlog_by_class: dict[str, int]
    retried: int
    attempts: int
    stalled_since: int

    @property
    def stalled(self) -> bool:
        """Say whether it has backlog and credit and gets nothing."""
        return self.stalled_since > 0


@dataclass(frozen=True, slots=True)
class DiskReserve:
    """From how full a disk on (0 to 1) a class is refused, and whether it is now."""

    precedence: str
    full_at: float
    refusing: bool


@dataclass(frozen=True, slots=True)
class BrokerRates:
    """What happens a second, over the last ten, and a minute, over the last one."""

    commits_per_second: float
    admitted_per_second: float
    handed_over_per_second: float
    acknowledged_per_second: float
    refusals_per_minute: float


@dataclass(frozen=True, slots=True)
class BrokerAlarm:
    """What stands still at a broker and needs somebody, until it works again; it came `times` times since `since`.

    `since` is 0 where that is not known, `times` where nothing is counted; `agreement_id` is empty where it is about none.
    """

    kind: str
    agreement_id: str
    since: int
    times: int
    reason: str
    what_to_do: str
    node: str = ""
    consumer: str = ""


@dataclass(frozen=True, slots=True)
class BrokerStatus:
    """How a broker is. Times are Unix milliseconds, `state` is SERVING or DRAINING.

    `maintenance_until` says until when it accepts and hands nothing over, 0 where it hands over. `operations_dropped` counts the records that the operations log lacks since the start.
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
    operations_log_size: int
    write_ahead_bytes: int
    maintenance_until: int
    rates: BrokerRates
    disk_reserves: tuple[DiskReserve, ...]
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
        operations_log_size=answer.operations_log_size,
        write_ahead_bytes=answer.write_ahead_bytes,
        maintenance_until=answer.maintenance_until,
        rates=BrokerRates(
            commits_per_second=answer.rates.commits_per_second,
            admitted_per_second=answer.rates.admitted_per_second,
            handed_over_per_second=answer.rates.handed_over_per_second,
            acknowledged_per_second=answer.rates.acknowledged_per_second,
            refusals_per_minute=answer.rates.refusals_per_minute,
        ),
        disk_reserves=tuple(
            DiskReserve(class_name(one.transport_class), one.full_at, one.refusing) for one in answer.disk_reserves
        ),
        alarms=tuple(
            BrokerAlarm(
                one.kind, one.agreement_id, one.since, one.times, one.reason, one.what_to_do, one.node, one.consumer
            )
            for one in answer.alarms
        ),
        agreements=tuple(
            AgreementStatus(one.agreement_id, one.phase, one.log_size, one.reports, one.frozen_reason)
            for one in answer.agreements
        ),
        consumers=_consumers(answer.consumers),
    )


async def broker_metrics(connection: Connection) -> str:
    """Give a broker's metrics in the Prometheus text format; raises as `broker_status`."""
    answer = await connection.call(connection.operations.GetMetrics, operations_pb2.GetMetricsRequest())
    return answer.text


async def set_maintenance(connection: Connection, until_ms: int) -> int:
    """Have a broker accept and hold until then, Unix ms (0: hand over again); gives until when it does. Raises as `broker_status`."""
    request = operations_pb2.SetMaintenanceRequest(until=until_ms)
    return (await connection.call(connection.operations.SetMaintenance, request)).until


async def drain_broker(connection: Connection) -> None:
    """Have a broker finish what is open and stop."""
    await connection.call(connection.operations.Drain, operations_pb2.DrainRequest())


def class_name(transport_class: int) -> str:
    """Give the word for a class, 0 to 9: those of exercise traffic begin with ``exercise-``; another one by its number."""
    exercise, urgency = divmod(transport_class, len(CLASS_NAMES))
    return f"{'exercise-' * exercise}{CLASS_NAMES[urgency]}" if exercise <= 1 else str(transport_class)


def _consumers(messages: Iterable[operations_pb2.ConsumerStatus]) -> tuple[ConsumerStatus, ...]:
    return tuple(
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
            backlog_by_class={class_name(each.transport_class): each.reports for each in one.backlog_by_class},
            retried=one.retried,
            attempts=one.attempts,
            stalled_since=one.stalled_since,
        )
        for one in messages
    )
