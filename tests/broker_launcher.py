"""A broker that kills itself at a named fault point: the tests' own launcher, since the shipped command has no switch for any.

    python tests/broker_launcher.py --data DIR --listen HOST:PORT --port-file FILE --kill after-commit:2

It is `comity broker run` in everything else. It dies (SIGKILL, as kill -9) when the point is reached for the n-th time while at least
`--in-flight` reports are with the journal: handed to it, and nobody told yet. `after-commit` counts only where the commit that has
just been made brought reports. A point of the store of attachments (`BlobPoint`) counts each time. What it says last stands on standard error: ``killed at POINT with N reports in flight``.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from comity.keys.passphrase import find_passphrase
from comity.keys.process import seal_process
from comity.node.files import write_file
from comity_broker.clock import BrokerClock
from comity_broker.installation import open_installation
from comity_broker.journal import FaultPoint, Journal
from comity_broker.logging import log_to_stderr
from comity_broker.parts import Parts
from comity_broker.server import RunningBroker
from comity_broker.settings import read_settings
from comity_broker.storage.blob_directory import BlobDirectory
from comity_broker.storage.blobs import BlobPoint
from comity_broker.storage.protocol import GoOn, Outcome, Storage, Unit, Writer, take_all
from comity_broker.storage.sqlite import open_storage


class WatchedWriter:
    """A writer that says how many reports the commit in hand brings."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self.reports = 0

    def commit(self, units: Sequence[Unit[object]], go_on: GoOn = take_all) -> list[Outcome[object]]:
        outcomes = self._writer.commit(units, go_on)
        self.reports = sum(len(unit.reads.report_ids) for unit in units[: len(outcomes)])
        return outcomes

    @property
    def backlog_bytes(self) -> int:
        return self._writer.backlog_bytes

    def checkpoint(self) -> None:
        self._writer.checkpoint()

    def close(self) -> None:
        self._writer.close()


class Deadly:
    """Kills the process when its point is reached often enough with enough reports in flight."""

    def __init__(self, point: FaultPoint, times: int, least: int, writer: WatchedWriter) -> None:
        self._point = point
        self._left = times
        self._least = least
        self._writer = writer
        self.in_flight: Callable[[], int] = lambda: 0

    def reach(self, point: FaultPoint) -> None:
        if point is not self._point or self.in_flight() < self._least:
            return
        if point is FaultPoint.AFTER_COMMIT and not self._writer.reports:
            return
        self._left -= 1
        if self._left > 0:
            return
        os.write(sys.stderr.fileno(), f"killed at {point} with {self.in_flight()} reports in flight\n".encode())
        os.kill(os.getpid(), signal.SIGKILL)


def deadly_blobs(point: BlobPoint, times: int) -> Callable[[Path], BlobDirectory]:
    """Give what makes a store of attachments that dies at `point`."""
    left = [times]

    def reach(reached: BlobPoint) -> None:
        if reached is point:
            left[0] -= 1
            if left[0] == 0:
                os.write(sys.stderr.fileno(), f"killed at {point}\n".encode())
                os.kill(os.getpid(), signal.SIGKILL)

    return lambda data: BlobDirectory(data, reach=reach)


def deadly_parts(kill: str, least: int) -> Parts:
    """Give a broker's parts, of which one dies."""
    point, _, times = kill.partition(":")
    if point in set(BlobPoint):
        return Parts(BrokerClock(), blobs=deadly_blobs(BlobPoint(point), int(times)))
    return Parts(BrokerClock(), journal=deadly_journal(FaultPoint(point), int(times), least))


class CountingJournal(Journal):
    """A journal that knows how many reports wait for their outcome."""

    in_flight = 0

    async def submit(self, unit: Unit[Any]) -> Outcome[Any]:
        reports = len(unit.reads.report_ids)
        self.in_flight += reports
        try:
            return await super().submit(unit)
        finally:
            self.in_flight -= reports


def deadly_journal(
    point: FaultPoint, times: int, least: int
) -> Callable[[Storage, Callable[[BaseException], None]], Journal]:
    """Give what makes a journal that dies at `point`."""

    def make(storage: Storage, fatal: Callable[[BaseException], None]) -> Journal:
        writer = WatchedWriter(storage.writer)
        faults = Deadly(point, times, least, writer)
        journal = CountingJournal(writer, on_fatal=fatal, faults=faults)
        faults.in_flight = lambda: journal.in_flight
        return journal

    return make


async def serve(arguments: argparse.Namespace) -> None:
    settings = read_settings(None, os.environ, {"listen": arguments.listen})
    passphrase = find_passphrase(file=None, environ=os.environ, ask=None)
    installation = open_installation(arguments.data, passphrase, time.time_ns() // 1_000_000)
    log_to_stderr()
    with open_storage(arguments.data) as storage:
        parts = deadly_parts(arguments.kill, arguments.in_flight)
        async with RunningBroker(installation, storage, settings, parts).running() as broker:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, broker.drain)
            write_file(arguments.port_file, f"{broker.address}\n".encode())
            await broker.drained()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--listen", required=True)
    parser.add_argument("--port-file", type=Path, required=True)
    parser.add_argument("--kill", required=True, metavar="POINT:N")
    parser.add_argument("--in-flight", type=int, default=64)
    arguments = parser.parse_args()
    seal_process()
    # As a served broker runs: the shipped entry point chooses this loop too.
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(arguments))


if __name__ == "__main__":
    main()
