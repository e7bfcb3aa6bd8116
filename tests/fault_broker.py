"""The broker of the fault campaign: the tests' own launcher, since the shipped command has no switch for any of this.

    python tests/fault_broker.py --data DIR --listen HOST:PORT --port-file FILE --arm FILE --clock FILE

It is `comity broker run` with its named points, its disk and its clock in a test's hands. SIGUSR1 has it read the arm file again
(`fault_points.Triggers`), which may also name a point where everything of one kind waits until the next SIGUSR1 (`hold`). SIGUSR2 has it
write down what it has open (`--counts`): tasks, threads, descriptors, resident memory. `--sabotage` breaks a promise once, for the checker to notice.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from comity.keys.passphrase import find_passphrase
from comity.keys.process import seal_process
from comity.node.files import write_file
from comity_broker.clock import BrokerClock
from comity_broker.dispatch.frames import Delivered
from comity_broker.installation import open_installation
from comity_broker.journal import FaultPoint, Journal
from comity_broker.logging import log_to_stderr
from comity_broker.server import Parts, RunningBroker
from comity_broker.settings import read_settings
from comity_broker.storage.protocol import GoOn, Outcome, Rows, Storage, Unit, Writer, take_all
from comity_broker.storage.sqlite import open_storage
from fault_clock import SteppedClock
from fault_points import Point, Triggers, WatchedDisk, end_with_parent, say

DISK_POINTS = {
    ("-wal", "write"): Point.IN_COMMIT,
    ("-wal", "sync"): Point.BEFORE_SYNC,
    (".sqlite", "write"): Point.IN_CHECKPOINT,
}
SABOTAGES = ("drop", "duplicate", "reorder")
# A sabotage strikes once, when the exchange is under way.
_STRIKES_AT = 5

_BEFORE = {"admission": Point.RECEIVED, "hand-over": Point.HANDING_OVER, "answer": Point.ANSWERING}
_AFTER = {"admission": Point.AFTER_COMMIT, "hand-over": Point.HANDED_OVER, "answer": Point.ANSWERED}


def kind_of(unit: Unit[Any]) -> str:
    """Say what a unit is: one of those that carry reports on their way, or nothing."""
    if unit.reads.report_ids:
        return "admission"
    module = unit.build.__module__
    return {"handover": "hand-over", "answers": "answer"}.get(module.rpartition(".")[2], "")


class Holds:
    """Where everything of one kind waits until it is let go. `waiting` counts what waits there."""

    def __init__(self) -> None:
        self.waiting = 0
        self._point = ""
        self._go = asyncio.Event()

    def hold(self, point: str) -> None:
        """Hold what reaches a point from now on, and let go of everything else."""
        self._point = point
        self._go.set()
        self._go = asyncio.Event()

    async def at(self, point: Point) -> None:
        """Wait here if this is the point; suspends only then."""
        if point == self._point:
            say(f"held at {point}")
            self.waiting += 1
            await self._go.wait()
            self.waiting -= 1


class FaultyJournal(Journal):
    """A journal whose units pass the points of their kind."""

    triggers: Triggers
    holds: Holds

    async def submit(self, unit: Unit[Any]) -> Outcome[Any]:
        kind = kind_of(unit)
        if not kind:
            return await super().submit(unit)
        self.triggers.reach(_BEFORE[kind])
        await self.holds.at(_BEFORE[kind])
        outcome = await super().submit(unit)
        if kind != "admission":  # whose commit is a point in the writer's thread already
            self.triggers.reach(_AFTER[kind])
        await self.holds.at(_AFTER[kind])
        return outcome


class FaultyWriter:
    """A writer that knows which commits bring reports, and may break a promise of theirs."""

    def __init__(self, writer: Writer, sabotage: str) -> None:
        self._writer = writer
        self._sabotage = sabotage
        self._units = 0
        self.with_reports = False

    def commit(self, units: Sequence[Unit[object]], go_on: GoOn = take_all) -> list[Outcome[object]]:
        outcomes = self._writer.commit([self._sabotaged(unit) for unit in units], go_on)
        self.with_reports = any(unit.reads.report_ids for unit in units[: len(outcomes)])
        return outcomes

    @property
    def backlog_bytes(self) -> int:
        return self._writer.backlog_bytes

    def checkpoint(self) -> None:
        self._writer.checkpoint()

    def close(self) -> None:
        self._writer.close()

    def _sabotaged(self, unit: Unit[object]) -> Unit[object]:
        if self._sabotage == "drop" and kind_of(unit) == "admission":
            return self._once(unit, lambda rows: rows.inboxes.clear())
        if self._sabotage == "duplicate" and kind_of(unit) in {"hand-over", "answer"}:
            # The consumer's floors stay where they were for ever: what it acknowledged is due again at the next session.
            return _changing(unit, lambda rows: rows.floors.clear())
        return unit

    def _once(self, unit: Unit[object], change: Callable[[Rows[object]], None]) -> Unit[object]:
        self._units += 1
        if self._units != _STRIKES_AT:
            return unit
        say(f"sabotage: {self._sabotage}")
        return _changing(unit, change)


def _changing(unit: Unit[object], change: Callable[[Rows[object]], None]) -> Unit[object]:
    def build(head: Any, known: Any) -> Rows[object]:
        rows = unit.build(head, known)
        change(rows)
        return rows

    return replace(unit, build=build)


class JournalFaults:
    """The journal's own points; a commit without reports is none."""

    def __init__(self, triggers: Triggers, writer: FaultyWriter) -> None:
        self._triggers = triggers
        self._writer = writer

    def reach(self, point: FaultPoint) -> None:
        if point is not FaultPoint.AFTER_COMMIT or self._writer.with_reports:
            self._triggers.reach(Point(point.value))


class Reordering:
    """A dispatcher whose sessions write one delivery after the one behind it."""

    def __init__(self, dispatcher: Any) -> None:
        self._dispatcher = dispatcher

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dispatcher, name)

    async def open(self, *words: Any) -> Any:
        return ReorderingSession(await self._dispatcher.open(*words))

    def release(self, session: ReorderingSession) -> None:
        self._dispatcher.release(session.session)


class ReorderingSession:
    """A session that keeps the fifth delivery back until the next one was written."""

    def __init__(self, session: Any) -> None:
        self.session = session
        self._deliveries = 0
        self._kept: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.session, name)

    async def next_frame(self) -> Any:
        if self._kept is not None and self._deliveries > _STRIKES_AT:
            kept, self._kept = self._kept, None
            return kept
        frame = await self.session.next_frame()
        if isinstance(frame, Delivered):
            self._deliveries += 1
            if self._deliveries == _STRIKES_AT:
                say("sabotage: reorder")
                self._kept = frame
                self.session.written()
                return await self.next_frame()
        return frame


class PointedSigner:
    """A signer of receipts that passes a point when the signature is made: the receipt is ready, and nobody has it."""

    def __init__(self, signer: Any, triggers: Triggers) -> None:
        self._signer = signer
        self._triggers = triggers

    def __getattr__(self, name: str) -> Any:
        return getattr(self._signer, name)

    def sign(self, *words: Any) -> bytes:
        signature = self._signer.sign(*words)
        self._triggers.reach(Point.BEFORE_RECEIPT)
        return signature


def counts() -> dict[str, int]:
    """Give what this process has open: only it may look, once it is sealed."""
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024
    return {
        "tasks": len(asyncio.all_tasks()),
        "threads": threading.active_count(),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "resident_kib": resident,
    }


def journal_of(
    triggers: Triggers, holds: Holds, sabotage: str
) -> Callable[[Storage, Callable[[BaseException], None]], Journal]:
    """Give what makes the broker's journal."""

    def make(storage: Storage, fatal: Callable[[BaseException], None]) -> Journal:
        writer = FaultyWriter(storage.writer, sabotage)
        journal = FaultyJournal(writer, on_fatal=fatal, faults=JournalFaults(triggers, writer))
        journal.triggers, journal.holds = triggers, holds
        return journal

    return make


async def serve(asked: argparse.Namespace) -> None:
    disk = WatchedDisk(DISK_POINTS, keep=asked.keep_trace)
    triggers, holds = Triggers(asked.arm, disk), Holds()

    def arm() -> None:
        holds.hold(json.loads(asked.arm.read_text()).get("hold", ""))
        triggers.arm()

    if asked.arm.exists():
        triggers.arm()
    settings = read_settings(None, os.environ, {"listen": asked.listen})
    passphrase = find_passphrase(file=None, environ=os.environ, ask=None)
    clock = SteppedClock.at(asked.clock)
    installation = open_installation(asked.data, passphrase, clock.now_ms())
    log_to_stderr()
    with open_storage(asked.data, vfs=disk.name) as storage:
        parts = Parts(
            BrokerClock(wall=clock.now_ms, step_ms=int(settings.clock_step * 1000)),
            journal=journal_of(triggers, holds, asked.sabotage),
        )
        made = RunningBroker(installation, storage, settings, parts)
        made.receipts.signer = PointedSigner(installation.signer, triggers)
        if asked.sabotage == "reorder":
            made.dispatcher = Reordering(made.dispatcher)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, arm)
        loop.add_signal_handler(signal.SIGUSR2, lambda: write_file(asked.counts, json.dumps(counts()).encode()))
        async with made.running() as broker:
            loop.add_signal_handler(signal.SIGTERM, broker.drain)
            say("may be armed")
            write_file(asked.port_file, f"{broker.address}\n".encode())
            await broker.drained()


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("--data", type=Path, required=True)
    made.add_argument("--listen", required=True)
    made.add_argument("--port-file", type=Path, required=True)
    made.add_argument("--arm", type=Path, required=True)
    made.add_argument("--clock", type=Path, required=True)
    made.add_argument("--counts", type=Path)
    made.add_argument("--keep-trace", action="store_true")
    made.add_argument("--sabotage", choices=SABOTAGES, default="")
    return made


def main() -> None:
    asked = parser().parse_args()
    end_with_parent()
    seal_process()
    # As a served broker runs: the shipped entry point chooses this loop too.
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(asked))


if __name__ == "__main__":
    main()
