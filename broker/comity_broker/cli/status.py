"""`comity broker status`: one picture of a running broker, or one after the other (design 04, "Promises", 6).

What stands still comes first, each alarm with what to do. Watching draws on the terminal's other screen, so that what was there before is
there again afterwards, and goes on when the broker is away for a while.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Final

from comity.cli.output import Output, safe
from comity.errors import ComityError, UnreachableError
from comity.node.connection import Connection
from comity.node.operations import BrokerAlarm, BrokerStatus, ConsumerStatus, broker_metrics, broker_status
from comity.node.times import rfc3339

_SECOND_MS: Final = 1000
_OTHER_SCREEN: Final = "\x1b[?1049h\x1b[?25l"
_FIRST_SCREEN: Final = "\x1b[?25h\x1b[?1049l"
_HOME: Final = "\x1b[H"
_REST_OF_LINE: Final = "\x1b[K"
_REST_OF_SCREEN: Final = "\x1b[J"


async def show_once(output: Output, connection: Connection) -> None:
    """Ask and show."""
    async with connection:
        show_status(output, await broker_status(connection))


async def metrics_once(connection: Connection) -> str:
    """Ask for the metrics."""
    async with connection:
        return await broker_metrics(connection)


async def watch(output: Output, connection: Connection, every_seconds: float) -> None:
    """Ask and show again and again, until cancelled; a broker that is away for a while is said to be.

    Raises ComityError for what trying again does not mend, for the first time of asking, and for programs.
    """
    async with connection:
        answer, away = await broker_status(connection), None
        with _other_screen(output):
            while True:
                draw(output, answer, away)
                await asyncio.sleep(every_seconds)
                try:
                    answer, away = await broker_status(connection), None
                except UnreachableError as error:
                    if output.json:
                        raise
                    away = error


def show_status(output: Output, answer: BrokerStatus) -> None:
    """Show one picture."""
    output.record(**record_of(answer))
    output.show(*lines_of(answer))


def record_of(answer: BrokerStatus) -> dict[str, object]:
    """Give it for programs: times in RFC 3339, what is not known left out."""
    record = asdict(answer)
    for name in ("started_at", "now"):
        record[name] = rfc3339(record[name])
    record["maintenance_until"] = _time(answer.maintenance_until)
    for one in record["alarms"]:
        one["since"] = _time(one["since"])
    for one, consumer in zip(record["consumers"], answer.consumers, strict=True):
        one["oldest_waiting_at"] = _time(one["oldest_waiting_at"])
        one["stalled"] = consumer.stalled
        one["stalled_since"] = _time(one["stalled_since"])
    return record


def lines_of(answer: BrokerStatus) -> list[str]:
    """Give it for people, alarms first."""
    used = 1 - answer.disk_free_bytes / max(1, answer.disk_total_bytes)
    rates = answer.rates
    reserves = ", ".join(
        f"{one.precedence.upper()} {'REFUSED' if one.refusing else f'until {one.full_at:.0%}'}"
        for one in answer.disk_reserves
        if one.precedence != "control"
    )
    lines = [
        f"{answer.broker} ({answer.tls_name}), {answer.state} since {rfc3339(answer.started_at)}, version {answer.version}"
    ]
    if answer.maintenance_until:
        until = rfc3339(answer.maintenance_until)
        lines.append(f"In maintenance until {until}: reports are accepted, and handed over afterwards.")
    for alarm in answer.alarms:
        lines += _alarm(alarm, answer.broker)
    lines += [
        (
            f"now {rates.admitted_per_second:.1f} reports/s in, {rates.handed_over_per_second:.1f}/s out, "
            f"{rates.acknowledged_per_second:.1f}/s acknowledged; {rates.refusals_per_minute:.0f} refusals/min"
        ),
        (
            f"commits {rates.commits_per_second:.1f}/s; in the last minute {answer.commit_p50_ms:.1f} ms, "
            f"99 of 100 within {answer.commit_p99_ms:.1f} ms"
        ),
        f"disk {used:.0%} used; {reserves}",
        (
            f"key log {answer.key_log_size} entries; operations log {answer.operations_log_size}, "
            f"{answer.operations_dropped} records dropped; write-ahead log {answer.write_ahead_bytes / (1 << 20):.1f} MiB"
        ),
    ]
    lines += columns(
        ("AGREEMENT", "PHASE", "REPORTS", "LOG", "FROZEN"),
        [
            (one.agreement_id, one.phase, str(one.reports), str(one.log_size), one.frozen_reason or "-")
            for one in answer.agreements
        ],
        "No agreement yet.",
    )
    lines += columns(
        ("NODE", "CONSUMER", "STATE", "BACKLOG", "OLDEST", "IN FLIGHT", "CREDIT", "AGAIN", "PARKED", "HELD"),
        [_consumer(one, answer.now) for one in answer.consumers],
        "No consumer yet.",
    )
    return lines


def _consumer(one: ConsumerStatus, now_ms: int) -> tuple[str, ...]:
    by_class = " ".join(f"{name} {count}" for name, count in one.backlog_by_class.items())
    return (
        one.node,
        one.consumer,
        "STALLED" if one.stalled else "connected" if one.connected else "away",
        by_class or "0",
        _age(now_ms - one.oldest_waiting_at) if one.oldest_waiting_at else "-",
        str(one.in_flight),
        str(one.credits) if one.connected else "-",
        f"{one.retried} (attempt {one.attempts})" if one.retried else "0",
        str(one.parked),
        str(one.held),
    )


def _alarm(alarm: BrokerAlarm, broker: str) -> list[str]:
    what = " ".join(one for one in (alarm.agreement_id, alarm.node, alarm.consumer) if one) or broker
    since = f", since {rfc3339(alarm.since)}" if alarm.since else ""
    times = f", {alarm.times} times" if alarm.times else ""
    return [f"ALARM {alarm.kind} {what}{since}{times}: {safe(alarm.reason)}", f"  {safe(alarm.what_to_do)}"]


def columns(headings: Sequence[str], rows: Sequence[Sequence[str]], empty: str) -> list[str]:
    """Give rows in columns, or `empty` where there is none."""
    if not rows:
        return [empty]
    listed = [headings, *([safe(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in listed) for column in range(len(headings))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in listed]


def _age(milliseconds: int) -> str:
    seconds = max(0, milliseconds) // _SECOND_MS
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _time(at_ms: int) -> str | None:
    return rfc3339(at_ms) if at_ms else None


# --- drawing --------------------------------------------------------------------------------------------------------


def draw(output: Output, answer: BrokerStatus, away: ComityError | None) -> None:
    """Show a picture, and what keeps from a newer one."""
    if output.json:
        output.record(**record_of(answer))
        return
    lines = lines_of(answer)
    if away is not None:
        lines.insert(0, f"NOT REACHED: {safe(away.message)}; below is what was at {rfc3339(answer.now)}")
    sys.stdout.write(screen(lines, *shutil.get_terminal_size()))
    sys.stdout.flush()


def screen(lines: Sequence[str], width: int, height: int) -> str:
    """Give what draws lines over what a terminal shows: cut where it ends, with the number of lines that found no room."""
    shown = list(lines[:height])
    if len(lines) > height:
        shown[-1] = f"... {len(lines) - height + 1} more lines"
    return _HOME + "\n".join(line[:width] + _REST_OF_LINE for line in shown) + _REST_OF_SCREEN


@contextmanager
def _other_screen(output: Output) -> Iterator[None]:
    if output.json:
        yield
        return
    sys.stdout.write(_OTHER_SCREEN)
    try:
        yield
    finally:
        sys.stdout.write(_FIRST_SCREEN)
        sys.stdout.flush()
