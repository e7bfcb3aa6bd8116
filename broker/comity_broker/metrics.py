"""A broker's metrics in the Prometheus text format, written from a picture (`survey`); nothing is read from the broker here.

Rules in order:
1. Labels are the party, the agreement, the class, and words of a fixed list (codes of refusals, kinds of alarms, names of logs).
   No node, consumer, officer, report or address is ever a label, and no text of anybody's.
2. A name never changes its meaning: dashboards and alerts of others stand on it (`deploy/`, checked by a test).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, TypeVar

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from comity_broker.counts import OCTAVES, PER_OCTAVE, Lane, bound_seconds, class_name
from comity_broker.dispatch.status import ConsumerStatus
from comity_broker.survey import Picture

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
ALARM_KINDS: Final = ("MONITOR", "CLOCK", "STALLED", "FROZEN", "DISK")

K = TypeVar("K", bound=tuple[str, ...])

_LANE: Final = ("agreement", "party", "class")
_SHARE: Final = ("agreement", "party")
_REFUSAL: Final = ("agreement", "party", "code")


def exposition(picture: Picture) -> str:
    """Give the text."""
    registry = CollectorRegistry()
    registry.register(_Written(families(picture)))
    return generate_latest(registry).decode()


class _Written(Collector):
    """Gives families that are made already."""

    def __init__(self, made: Iterable[Metric]) -> None:
        self._made = list(made)

    def collect(self) -> Iterable[Metric]:
        return self._made


def families(picture: Picture) -> Iterator[Metric]:
    """Give every metric with its values."""
    yield from _broker(picture)
    yield from _journal(picture)
    yield from _exchange(picture)
    yield from _consumers(picture)
    yield from _logs(picture)
    yield from _disk(picture)


# --- the broker -----------------------------------------------------------------------------------------------------


def _broker(picture: Picture) -> Iterator[Metric]:
    yield _gauge("comity_broker_info", "The version that runs, as a label.", {(picture.version,): 1}, ("version",))
    yield _gauge("comity_start_time_seconds", "When it began to serve, Unix time.", {(): picture.started_at / 1000})
    yield _gauge("comity_draining_broker", "1 while it drains and takes nothing more.", {(): int(picture.draining)})
    yield _counter("comity_cpu_seconds", "Processor time of all threads.", {(): picture.cpu_seconds})
    yield _gauge("comity_resident_memory_bytes", "Memory that is resident.", {(): picture.resident_bytes})
    alarms = {(kind,): sum(one.kind == kind for one in picture.alarms) for kind in ALARM_KINDS}
    yield _gauge("comity_alarms", "What stands still and needs a person, by kind.", alarms, ("kind",))
    failing = {(one.agreement_id,): 1 for one in picture.alarms if one.kind == "MONITOR"}
    yield _gauge("comity_stopped_duties", "1 for an agreement whose duties stand still.", failing, ("agreement",))
    yield _counter(
        "comity_denied_calls", "Calls refused before they were served.", _coded(picture.counts.denied_calls), ("code",)
    )
    yield _counter(
        "comity_dropped_operations_records",
        "Records that the operations log lacks since the start.",
        {(): picture.operations_dropped},
    )


def _coded(counted: Mapping[str, int]) -> dict[tuple[str, ...], float]:
    return {(code,): count for code, count in counted.items()}


# --- the journal ----------------------------------------------------------------------------------------------------


def _journal(picture: Picture) -> Iterator[Metric]:
    journal = picture.journal
    durations = journal.durations
    yield _counter("comity_commits", "Commits, each with its fsync.", {(): durations.number})
    yield _counter("comity_committed_units", "Units of work that these commits wrote or refused.", {(): journal.units})
    running, buckets = 0, []
    for number, count in enumerate(durations.counts):
        running += count
        if number % PER_OCTAVE == 0 and number <= OCTAVES * PER_OCTAVE:
            buckets.append((f"{bound_seconds(number):.6g}", float(running)))
    yield HistogramMetricFamily(
        "comity_commit_duration_seconds",
        "How long a commit took, its fsync with it.",
        buckets=[*buckets, ("+Inf", float(running))],
        sum_value=durations.seconds,
    )
    yield _gauge("comity_waiting_units", "Units that wait for a commit.", {(): journal.waiting})
    yield _gauge("comity_last_commit_age_seconds", "Since a commit last finished.", {(): picture.last_commit_age})
    yield _gauge(
        "comity_write_ahead_log_bytes", "What waits to be moved into the database.", {(): journal.backlog_bytes}
    )


# --- the exchange ---------------------------------------------------------------------------------------------------


def _exchange(picture: Picture) -> Iterator[Metric]:
    counts = picture.counts
    yield _counter(
        "comity_admitted_segments", "Segments committed, by sender.", _lanes(counts.admitted_segments), _LANE
    )
    yield _counter("comity_admitted_reports", "Reports admitted, by sender.", _lanes(counts.admitted_reports), _LANE)
    yield _counter("comity_admitted_bytes", "Bytes of these segments, sealed.", _lanes(counts.admitted_bytes), _LANE)
    yield _counter("comity_duplicate_segments", "Segments that came again.", _lanes(counts.duplicate_segments), _LANE)
    yield _counter("comity_refused_reports", "Reports refused, by sender and code.", counts.refused_reports, _REFUSAL)
    yield _counter(
        "comity_handed_over_reports", "Reports handed over, by reader.", _lanes(counts.handed_over_reports), _LANE
    )
    yield _counter(
        "comity_redelivered_reports",
        "Those of them that were not handed over for the first time.",
        _lanes(counts.redelivered_reports),
        _LANE,
    )
    yield _counter("comity_acknowledged_reports", "Reports that readers answered.", counts.acknowledged_reports, _SHARE)
    yield _counter("comity_refused_answers", "Readers' answers refused, by code.", counts.refused_answers, _REFUSAL)


def _lanes(counted: Mapping[Lane, int]) -> dict[tuple[str, ...], float]:
    return {(agreement, party, class_name(number)): count for (agreement, party, number), count in counted.items()}


# --- consumers ------------------------------------------------------------------------------------------------------


def _consumers(picture: Picture) -> Iterator[Metric]:
    backlog: dict[tuple[str, ...], float] = {}
    parked: dict[tuple[str, ...], float] = {}
    held: dict[tuple[str, ...], float] = {}
    ages: dict[tuple[str, ...], float] = {}
    for consumer in picture.consumers:
        for one in consumer.under:
            share = (one.agreement_id, consumer.party)
            for transport_class, count in one.backlog.items():
                _add(backlog, (*share, class_name(transport_class)), count)
            _add(parked, share, one.parked)
            _add(held, share, one.held)
            age = (picture.now_ms - one.oldest_waiting_at) / 1000 if one.oldest_waiting_at else 0.0
            ages[share] = max(ages.get(share, 0.0), age)
    yield _gauge("comity_backlog_reports", "Reports not answered, at least, by reader.", backlog, _LANE)
    yield _gauge("comity_parked_reports", "Parked reports.", parked, _SHARE)
    yield _gauge("comity_held_reports", "Held reports.", held, _SHARE)
    yield _gauge(
        "comity_oldest_unacknowledged_age_seconds", "Since the oldest of the backlog was admitted.", ages, _SHARE
    )
    for name, what, number in (
        ("comity_consumers", "Consumers there ever were.", lambda _: 1),
        ("comity_connected_consumers", "Consumers with a stream.", lambda one: int(one.connected)),
        ("comity_stalled_consumers", "Those with backlog and credit that get nothing.", _is_stalled),
        ("comity_in_flight_reports", "Reports handed over and not answered.", lambda one: one.in_flight),
        ("comity_credit_reports", "Credit that is not used.", lambda one: one.credits),
        ("comity_retried_reports", "Reports that are being handed over again.", lambda one: one.retried),
    ):
        by_party: dict[tuple[str, ...], float] = {}
        for consumer in picture.consumers:
            _add(by_party, (consumer.party,), number(consumer))
        yield _gauge(name, what, by_party, ("party",))


def _is_stalled(consumer: ConsumerStatus) -> int:
    return int(consumer.stalled_since > 0)


def _add(counted: dict[tuple[str, ...], float], key: tuple[str, ...], count: float) -> None:
    counted[key] = counted.get(key, 0) + count


# --- logs and disk --------------------------------------------------------------------------------------------------


def _logs(picture: Picture) -> Iterator[Metric]:
    sizes: dict[tuple[str, ...], float] = {
        ("keys", ""): picture.key_log_size,
        ("operations", ""): picture.operations_log_size,
        **{("agreement", one.agreement_id): one.log_size for one in picture.agreements},
    }
    yield _gauge("comity_log_entries", "Entries of a log.", sizes, ("log", "agreement"))
    frozen = {(one.agreement_id,): int(bool(one.frozen_reason)) for one in picture.agreements}
    yield _gauge("comity_frozen_logs", "1 for an agreement whose log is frozen.", frozen, ("agreement",))


def _disk(picture: Picture) -> Iterator[Metric]:
    disk = picture.disk
    yield _gauge("comity_disk_free_bytes", "Free bytes where the data is.", {(): disk.free_bytes})
    yield _gauge("comity_disk_total_bytes", "All bytes where the data is.", {(): disk.total_bytes})
    full = {(class_name(one),): full_at for one, full_at in disk.full_at.items()}
    yield _gauge("comity_disk_reserve_ratio", "From how full on a class is refused.", full, ("class",))
    refusing = {(class_name(one),): int(disk.refuses(one)) for one in disk.full_at}
    yield _gauge("comity_disk_refusing", "1 for a class that is refused.", refusing, ("class",))


# --- families -------------------------------------------------------------------------------------------------------


def _counter(name: str, what: str, values: Mapping[K, float], labels: Iterable[str] = ()) -> Metric:
    family = CounterMetricFamily(name, what, labels=list(labels))
    for key, value in sorted(values.items()):
        family.add_metric(list(key), value)
    return family


def _gauge(name: str, what: str, values: Mapping[K, float], labels: Iterable[str] = ()) -> Metric:
    family = GaugeMetricFamily(name, what, labels=list(labels))
    for key, value in sorted(values.items()):
        family.add_metric(list(key), value)
    return family
