"""The same reports over what partners would build instead: NATS JetStream and RabbitMQ, with cryptography on top in Python.

Each is run for real: its server, a sender and a receiver as processes of their own. What is carried, `one_by_one` says; how, `queues` says;
how durable, `peer_servers` says, and so does each row. Comity's receipt follows its fsync, so it is compared with those whose
acknowledgement does too, and with no other.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from exchanging import HERE, PATIENCE_SECONDS
from one_by_one import REPORT_BYTES, make_keys
from peer_servers import NotHereError, Server, find_nats, find_rabbitmq, nats, rabbitmq
from queues import WINDOW
from results import A_SECOND, TIMES_AS_FAST, Row, not_measured, ratio
from running import Run

from processes import ending, environment, start_anew

TIMES_NATS = 5.0
WARM = 256


def nats_signed_sealed(run: Run) -> dict[str, Row]:
    """Measure NATS with an fsync before its acknowledgement."""
    return {"nats_signed_sealed": _measured(run, "nats", lambda: _nats(run, fsync=True))}


def nats_default_signed_sealed(run: Run) -> dict[str, Row]:
    """Measure NATS as it comes, which acknowledges before the fsync."""
    return {"nats_default_signed_sealed": _measured(run, "nats", lambda: _nats(run, fsync=False))}


def rabbitmq_signed_sealed(run: Run) -> dict[str, Row]:
    """Measure RabbitMQ."""
    return {"rabbitmq_signed_sealed": _measured(run, "rabbitmq", lambda: _rabbitmq(run))}


def times_nats(run: Run) -> dict[str, Row]:
    """Compare the whole path with NATS of the same durability."""
    peer, ours = run.rows["nats_signed_sealed"], run.value("end_to_end")
    if peer.value is None:
        return {"times_nats": not_measured(TIMES_AS_FAST, str(peer.context["why_not"]), TIMES_NATS)}
    context: dict[str, object] = {"end_to_end": round(ours, 1), "nats_signed_sealed": round(peer.value, 1)}
    context["both"] = "fsync before acknowledgement"
    return {"times_nats": Row(ours / peer.value, TIMES_AS_FAST, TIMES_NATS, context)}


def _nats(run: Run, *, fsync: bool) -> AbstractContextManager[Server]:
    return nats(run.folder / "server", find_nats(run.asked.nats_server), fsync=fsync)


def _rabbitmq(run: Run) -> AbstractContextManager[Server]:
    return rabbitmq(run.folder / "server", find_rabbitmq(run.asked.rabbitmq_server))


@dataclass(frozen=True)
class _Round:
    seconds: float
    seconds_to_confirmation: float
    cpu: dict[str, float]


def _measured(run: Run, kind: str, started: Callable[[], AbstractContextManager[Server]]) -> Row:
    try:
        with started() as server:
            rounds = _rounds(run, kind, server)
    except NotHereError as error:
        return not_measured(A_SECOND, str(error))
    reports = run.asked.peer_reports
    rate = median(reports / one.seconds for one in rounds)
    split = {name: round(median(one.cpu[name] for one in rounds) / reports * 1e6, 1) for name in rounds[0].cpu}
    context: dict[str, object] = {
        "server": server.version,
        "fsync_before_acknowledgement": server.fsync_before_acknowledgement,
        "durable_by": server.by,
        "reports": reports,
        "rounds": len(rounds),
        "report_bytes": REPORT_BYTES,
        "unconfirmed_at_once": WINDOW,
        "by_round": [round(reports / one.seconds, 1) for one in rounds],
        "to_confirmation": round(median(reports / one.seconds_to_confirmation for one in rounds), 1),
        "cpu_us": split,
        "cpu_us_in_all": round(sum(split.values()), 1),
    }
    if not server.fsync_before_acknowledgement:
        context["no_ratio"] = "Comity acknowledges after its fsync: another durability class"
    elif "end_to_end" in run.rows:
        context |= ratio(rate, "end_to_end", run.value("end_to_end"))
    return Row(rate, A_SECOND, None, context)


def _rounds(run: Run, kind: str, server: Server) -> list[_Round]:
    make_keys(run.folder)
    environ = environment(run.folder, run.folder / "none", BENCH_KEYS=str(run.folder))
    counts = [min(WARM, run.asked.peer_reports), *[run.asked.peer_reports] * run.asked.rounds]
    words = [kind, server.address, *map(str, counts)]
    sending, receiving = (
        start_anew([sys.executable, HERE / "peer_process.py", what, *words], what, run.folder, environ)
        for what in ("send", "receive")
    )
    with ending(sending, receiving):
        for one in (sending, receiving):
            one.wait_for(lambda one=one: one.records, "it is connected")
        found: list[_Round] = []
        for number in range(1, len(counts) + 1):
            server_cpu = tree_cpu_seconds(server.process.pid)
            sending.signal(signal.SIGUSR1)
            receiving.wait_for(lambda n=number: len(receiving.records) > n, "every report", seconds=PATIENCE_SECONDS)
            sending.wait_for(lambda n=number: len(sending.records) > n, "every confirmation", seconds=PATIENCE_SECONDS)
            told, got = sending.records[number], receiving.records[number]
            cpu = {
                "sender": told["cpu"],
                "server": tree_cpu_seconds(server.process.pid) - server_cpu,
                "receiver": got["cpu"] - receiving.records[number - 1]["cpu"],
            }
            found.append(_Round(got["at"] - told["began"], told["ended"] - told["began"], cpu))
        for one in (sending, receiving):
            one.done(seconds=PATIENCE_SECONDS)
    return found[1:]


def tree_cpu_seconds(pid: int) -> float:
    """Give the processor time of a process and all below it, user and system, those that have ended and were reaped as well."""
    children: dict[int, list[int]] = {}
    ticks: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
        one = int(path.parent.name)
        children.setdefault(int(fields[1]), []).append(one)
        ticks[one] = sum(int(field) for field in fields[11:15])
    total, waiting = 0, [pid]
    while waiting:
        one = waiting.pop()
        total += ticks.get(one, 0)
        waiting += children.get(one, [])
    return total / os.sysconf("SC_CLK_TCK")
