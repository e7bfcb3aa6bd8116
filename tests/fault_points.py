"""Named points of a running broker or node, and what a test has happen there (house style: injected by the tests' own launchers).

    triggers = Triggers(arm_file)
    triggers.arm()              # takes what the file says now: {"point": "after-commit", "times": 3, "action": "kill"}
    triggers.reach(Point.AFTER_COMMIT)

A kill is SIGKILL from within, as kill -9 from outside; the last words are on standard error: ``killed at POINT``. A pause is SIGSTOP:
whoever asked for it lets the process go on. Where a disk is watched (`WatchedDisk`), what it had not synced is written down before
the kill, so that a test can take it away as a power cut would.
"""

from __future__ import annotations

import ctypes
import json
import os
import pickle
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

import apsw

from faulty_vfs import Change, Fault, FaultyVfs


class Point(StrEnum):
    """Where a fault may fall."""

    # The journal, with reports in hand.
    RECEIVED = "received"
    BEFORE_COMMIT = "before-commit"
    IN_COMMIT = "in-commit"
    BEFORE_SYNC = "before-sync"
    AFTER_COMMIT = "after-commit"
    BEFORE_RECEIPT = "before-receipt"
    # Dispatch.
    HANDING_OVER = "handing-over"
    HANDED_OVER = "handed-over"
    ANSWERING = "answering"
    ANSWERED = "answered"
    # The write-ahead log on its way into the database.
    BEFORE_CHECKPOINT = "before-checkpoint"
    IN_CHECKPOINT = "in-checkpoint"
    AFTER_CHECKPOINT = "after-checkpoint"
    # The receiving node, between a report in hand and its acknowledgement.
    SHOWN = "shown"
    SETTLING = "settling"
    SETTLED = "settled"
    # The sending node.
    STORING = "storing"
    RECEIPTED = "receipted"


BROKER_POINTS = tuple(Point)[: tuple(Point).index(Point.SHOWN)]
RECEIVER_POINTS = (Point.SHOWN, Point.SETTLING, Point.SETTLED)
SENDER_POINTS = (Point.STORING, Point.RECEIPTED)

_PR_SET_PDEATHSIG = 1

ERRORS = {"io": apsw.IOError, "full": apsw.FullError}


class Triggers:
    """Counts what is reached and does what was armed. Any thread may reach a point."""

    def __init__(self, arm_file: Path, disk: WatchedDisk | None = None) -> None:
        self._arm_file = arm_file
        self._lock = threading.Lock()
        self._point: str = ""
        self._left = 0
        self._action = ""
        self.passed: Counter[str] = Counter()
        self._disk = disk
        if disk is not None:
            disk.triggers = self

    def arm(self) -> None:
        """Take what the file says; says so on standard error."""
        wanted = json.loads(self._arm_file.read_text())
        with self._lock:
            self._point, self._left = wanted.get("point", ""), wanted.get("times", 1)
            self._action = wanted.get("action", "kill")
        if self._disk is not None:
            self._disk.fault = _fault_of(wanted.get("disk"))
        say(f"armed {wanted['number']}")

    def reach(self, point: Point) -> None:
        """Do what was armed for here, if anything."""
        with self._lock:
            self.passed[point] += 1
            if point != self._point:
                return
            self._left -= 1
            if self._left:
                return
            self._point = ""
        if self._action == "pause":
            say(f"paused at {point}")
            os.kill(os.getpid(), signal.SIGSTOP)
            return
        if self._disk is not None:
            self._disk.write_down(self._arm_file.with_suffix(".trace"))
        say(f"killed at {point}")
        os.kill(os.getpid(), signal.SIGKILL)


class WatchedDisk(FaultyVfs):
    """A file system whose writes are points: each file that `points` knows by the end of its name, and by the kind of change."""

    def __init__(self, points: dict[tuple[str, str], Point], *, default: bool = False, keep: bool = False) -> None:
        super().__init__(default=default)
        self.triggers: Triggers | None = None
        self._points = points
        self._keep = keep

    def meet(self, change: Change, write_half: Callable[[], None] | None) -> None:
        for (suffix, kind), point in self._points.items():
            if self.triggers is not None and change.kind == kind and change.file.endswith(suffix):
                self.triggers.reach(point)
        try:
            super().meet(change, write_half)
        except apsw.Error:
            say(f"the disk failed a {change.kind} of {change.file}")
            raise
        if not self._keep:
            self.trace.clear()

    def write_down(self, path: Path) -> None:
        """Write what was changed so far, for whoever wants to know what a power cut would leave."""
        if self._keep:
            path.write_bytes(pickle.dumps([tuple(change) for change in self.trace]))


def read_trace(arm_file: Path) -> list[Change]:
    """Give what a process had changed when it killed itself."""
    return [Change(*fields) for fields in pickle.loads(arm_file.with_suffix(".trace").read_bytes())]


def _fault_of(wanted: dict | None) -> Fault | None:
    if wanted is None:
        return None
    return Fault(
        ERRORS[wanted["error"]],
        tuple(wanted["kinds"]),
        wanted.get("suffix", ""),
        after=wanted.get("after", 0),
        times=wanted.get("times") or float("inf"),
        short=wanted.get("short", False),
    )


def say(line: str) -> None:
    """Write a line to standard error at once, also from a process that dies right afterwards."""
    os.write(sys.stderr.fileno(), f"{line}\n".encode())


def end_with_parent() -> None:
    """Have the kernel kill this process when the one that started it is gone: a campaign that is cut off leaves nothing behind."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
