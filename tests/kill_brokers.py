"""Killing the broker in the middle of a stream, again and again, and holding what is left against what anybody was told.

    summary = kill_brokers(made_world(tmp_path), kills=50)
    print(summary)

One receiver and one observer stay through all of it; a sender streams all the time. Each kill falls at one of three places, by
turns: before a commit, after a commit and before its receipt (both by the tests' own launcher, at the journal's fault points), and on
the sight of a receipt at the sender (kill -9 from outside, on the broker as it is shipped). Every one has at least `LEAST` reports in
flight: the launcher counts what is with the journal, from outside it is what the sender has sent and has no answer for.
"""

from __future__ import annotations

import re
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import count
from pathlib import Path
from uuid import UUID

from kill_oracle import InFlight, Stored, Witnessed, read_store, unanswered
from processes import Broker, Process, ending, until
from world_files import AGREEMENT, CODES, World

LEAST = 64
# Segments on their way without an answer: enough to have several in every commit, and few enough that a kill is soon.
WINDOW = 4
REPORTS_A_DIRECTORY = 1_500
# `comity send` ends with this where a report waits longer than it has patience: it is in the outbox, and goes with the next one.
LATE = 17

_LAUNCHER = Path(__file__).with_name("broker_launcher.py")
_WATCHER = Path(__file__).with_name("checkpoint_watcher.py")
_KILLED = re.compile(r"killed at (\S+) with (\d+) reports in flight")


class Moment(StrEnum):
    """Where a kill falls, as the summary says it."""

    BEFORE_COMMIT = "before commit"
    BEFORE_RECEIPT = "between commit and receipt"
    AFTER_RECEIPT = "after receipt"


_POINTS = {Moment.BEFORE_COMMIT: "before-commit", Moment.BEFORE_RECEIPT: "after-commit"}


@dataclass
class Kill:
    """One kill: where it fell, how many reports were in flight, and what of them was in the store afterwards."""

    moment: Moment
    in_flight: int
    stored: int


@dataclass
class Summary:
    """What happened."""

    kills: list[Kill] = field(default_factory=list)
    sent: int = 0
    late: int = 0
    checkpoints: int = 0

    def of(self, moment: Moment) -> int:
        return sum(one.moment is moment for one in self.kills)

    def __str__(self) -> str:
        places = ", ".join(f"{self.of(moment)} {moment.value}" for moment in Moment)
        least = min(one.in_flight for one in self.kills)
        most = max(one.in_flight for one in self.kills)
        return (
            f"{len(self.kills)} kills of the broker: {places}; {least} to {most} reports in flight at each. "
            f"{self.sent} reports have a receipt, {self.late} went from the outbox later; each acknowledged once, none lost; "
            f"the log continues all {self.checkpoints} checkpoints that somebody saw."
        )


def kill_brokers(world: World, kills: int) -> Summary:
    """Kill a world's broker so many times during a stream of sends, and check everything; gives what happened."""
    return _Rounds(world).run(kills)


class _Rounds:
    def __init__(self, world: World) -> None:
        self.world = world
        self.told = Witnessed()
        self.summary = Summary()
        self.sending: Process | None = None
        self.senders: list[Process] = []
        self.directories = numbered_directories(world.path / "reports")

    def run(self, kills: int) -> Summary:
        world = self.world
        receiving = observing = None
        with ending(world.start_broker()):
            receiving = world.receive("--follow")
            observing = world.start_python("XAR", _WATCHER, "XAR/officer1", AGREEMENT)
            self.senders.append(world.send(next(numbered_directories(world.path / "first", reports=1))))
            # Both have been connected when the first kill comes: a command that finds no broker when it starts says so and ends.
            receiving.wait_for(lambda: receiving.lines, "the first report")
            observing.wait_for(lambda: observing.lines, "the first checkpoint")
            self.senders[0].done()
        with ending(receiving, observing):
            try:
                for number in range(kills):
                    self._round(number)
                self._settle(receiving, observing)
            finally:
                for one in self.senders:
                    one.kill()
        return self.summary

    # --- one kill ---------------------------------------------------------------------------------------------------

    def _round(self, number: int) -> None:
        moment = list(Moment)[number % len(Moment)]
        before = len(self._receipts())
        broker = self._start(number)
        with ending(broker):
            self._keep_sending()
            if moment is Moment.AFTER_RECEIPT:
                in_flight, reports = self._kill_on_receipt(broker, before)
            else:
                in_flight, reports = self._dead_by_itself(broker)
        stored = read_store(self.world.data, AGREEMENT)
        landed = sum(slots for name, slots in in_flight.segments if name in stored.segments)
        self._check_moment(moment, reports, landed, before)
        self.summary.kills.append(Kill(moment, reports, landed))
        self._check(stored)

    def _start(self, number: int) -> Broker:
        moment = list(Moment)[number % len(Moment)]
        settings = {"COMITY_BROKER_WINDOW_SEGMENTS": str(WINDOW), "COMITY_BROKER_CHECKPOINT_EVERY": "0.05"}
        if moment is Moment.AFTER_RECEIPT:
            return self.world.start_broker(**settings)
        times = 1 + number // len(Moment) % 4
        kill = f"{_POINTS[moment]}:{times}"
        program = (sys.executable, _LAUNCHER, "--kill", kill, "--in-flight", str(LEAST))
        return self.world.start_broker(*program, **settings)

    def _keep_sending(self) -> None:
        if self.sending is None or self.sending.exit_code is not None:
            if self.sending is not None:
                self.sending.done(0, LATE)
            self.sending = self.world.send(next(self.directories))
            self.senders.append(self.sending)

    def _dead_by_itself(self, broker: Broker) -> tuple[InFlight, int]:
        until(lambda: self._stream_goes_on() and broker.exit_code is not None, "the broker to die at its fault point")
        assert broker.exit_code == -signal.SIGKILL, broker.tail
        said = _KILLED.search(broker.log.read_text())
        assert said, broker.tail
        return until(self._unanswered, "the outbox"), int(said[2])

    def _kill_on_receipt(self, broker: Broker, before: int) -> tuple[InFlight, int]:
        """Kill on the sight of a new receipt, with the sender stopped so that what it has sent can be counted."""

        def enough_in_flight() -> InFlight | None:
            if not self._stream_goes_on() or len(self._receipts()) == before:
                return None
            self.sending.signal(signal.SIGSTOP)
            found = self._unanswered()
            if found is None or found.reports < LEAST:
                self.sending.signal(signal.SIGCONT)
                return None
            return found

        found = until(enough_in_flight, "a receipt, and enough reports in flight")
        broker.kill()
        self.sending.signal(signal.SIGCONT)
        return found, found.reports

    def _stream_goes_on(self) -> bool:
        """Say yes; a sender that has sent everything is followed by another."""
        self._keep_sending()
        return True

    def _unanswered(self) -> InFlight | None:
        return unanswered(self.world.node_directory("XAR") / "outbox" / "outbox.sqlite", WINDOW)

    def _check_moment(self, moment: Moment, in_flight: int, landed: int, before: int) -> None:
        assert in_flight >= LEAST
        if moment is Moment.BEFORE_RECEIPT:
            assert landed > 0, "what was committed before the kill is not in the store"
        if moment is Moment.AFTER_RECEIPT:
            assert len(self._receipts()) > before

    # --- what is true afterwards ------------------------------------------------------------------------------------

    def _receipts(self) -> dict[UUID, dict]:
        for one in self.senders:
            self.told.saw_receipts(one.new_records())
        return self.told.receipts

    def _check(self, stored: Stored) -> None:
        self._receipts()
        self.told.saw_last_signed(self.world.data, AGREEMENT)
        for code in CODES:
            self.told.saw_mirror(self.world.node_directory(code) / "mirror.sqlite", AGREEMENT)
        self.told.check(stored)

    def _settle(self, receiving: Process, observing: Process) -> None:
        """Let everything come to its end with a broker nobody kills, then check all of it."""
        broker = self.world.start_broker()
        with ending(broker):
            for one in self.senders:
                one.done(0, LATE, seconds=300)
            # Whatever an impatient sender left in its outbox goes ahead of this one, which has the lane's next number.
            self.senders.append(self.world.send(next(numbered_directories(self.world.path / "last", reports=1))))
            self.senders[-1].done()
            receipts = self._receipts()
            late = [record for one in self.senders for record in one.records if "error" in record]
            assert {record["error"]["code"] for record in late} <= {"UNREACHABLE"}
            sent = 2 + (len(self.senders) - 2) * REPORTS_A_DIRECTORY
            assert len(receipts) + len(late) == sent
            receiving.wait_for(lambda: len(receiving.lines) >= sent, "every report", seconds=600)
            assert receiving.stop() in {0, 130}, receiving.tail
            assert observing.exit_code is None, observing.tail
            assert broker.stop() == 0, broker.tail
        self.told.saw_checkpoints(observing.records)
        self.told.acknowledged.update(UUID(record["report_id"]) for record in receiving.records)
        stored = read_store(self.world.data, AGREEMENT)
        self._check(stored)
        assert self.told.acknowledged == Counter(stored.reports.keys()), "a report was acknowledged twice, or never"
        assert len(stored.reports) == sent
        self.summary.sent, self.summary.late = len(receipts), len(late)
        self.summary.checkpoints = len(self.told.checkpoints)


def numbered_directories(parent: Path, reports: int = REPORTS_A_DIRECTORY, size: int = 1024) -> Iterator[Path]:
    """Give directories full of text reports, each of its own words, without end."""
    for number in count(1):
        directory = parent / f"{number:03}"
        directory.mkdir(parents=True)
        for report in range(reports):
            (directory / f"{report:05}.txt").write_text(report_text(f"{number}/{report}", size))
        yield directory


def report_text(name: str, size: int) -> str:
    """Give the text of a report, as long as said, that no other report has."""
    line = f"Report {name}: two boats left at dawn. "
    return (line * (size // len(line) + 1))[:size]
