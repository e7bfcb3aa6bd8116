"""Units, fault points and clocks for tests of the journal."""

import asyncio
import contextlib
import threading
import time
from collections import Counter
from dataclasses import replace

from builders_storage import AGREEMENT, OTHER, opening, with_entry
from comity_broker.journal import DEFAULT_LIMITS, NO_FAULTS, FaultPoint, Journal
from comity_broker.storage.protocol import Rows, Unit
from comity_broker.storage.sqlite import open_storage
from faulty_vfs import FaultyVfs

FLASH, ROUTINE = 1, 4


def event(name: str, urgency: int = ROUTINE, shard: str = AGREEMENT, before=lambda: None) -> Unit:
    """A unit that only writes its name into the log; `before` runs while it is built."""

    def build(head, _known):
        before()
        rows = Rows(head, head.leaf_next)
        with_entry(head, rows, name)
        return rows

    return Unit(shard, build, urgency=urgency)


class Gate:
    """Fault points that count, and stop the writer at one of them until it is let through."""

    def __init__(self, point=None):
        self.passed = Counter()
        self.stops_at = point
        self.reached, self.opened = threading.Event(), threading.Event()

    def reach(self, point):
        self.passed[point] += 1
        if point is self.stops_at:
            self.reached.set()
            self.opened.wait()

    async def until_reached(self):
        await asyncio.to_thread(self.reached.wait)

    def open(self):
        self.stops_at = None
        self.opened.set()


class Turnstile:
    """Lets one commit begin for each `let_one`."""

    def __init__(self):
        self._tokens, self._arrivals = threading.Semaphore(0), threading.Semaphore(0)

    def reach(self, point):
        if point is FaultPoint.BEFORE_COMMIT:
            self._arrivals.release()
            self._tokens.acquire()

    async def arrival(self):
        await asyncio.to_thread(self._arrivals.acquire)

    def let_one(self):
        self._tokens.release()


class Broken:
    """A fault point that is the writer's death."""

    def reach(self, point):
        if point is FaultPoint.AFTER_COMMIT:
            raise MemoryError


class Fatal:
    """What a broker would end for."""

    def __init__(self):
        self.errors = []
        self._happened = threading.Event()

    def __call__(self, error):
        self.errors.append(error)
        self._happened.set()

    async def error(self) -> BaseException:
        """Wait for it, take it out and give it."""
        await asyncio.to_thread(self._happened.wait)
        return self.errors.pop()


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


async def names(storage, shard=AGREEMENT) -> list[str]:
    return [row.kind for row in await storage.reader.entries(shard, 1, 10_000)]


async def submitted(journal, *units) -> list[asyncio.Task]:
    """Submit units one after the other, without waiting for their outcomes."""
    tasks = []
    for unit in units:
        tasks.append(asyncio.ensure_future(journal.submit(unit)))
        await asyncio.sleep(0)
    return tasks


@contextlib.contextmanager
def journals(folder):
    """Give a store over a `FaultyVfs`, and a function that starts journals over it; each is stopped at the end.

    What is fatal is in `journal.fatal`; the test takes out what it expects.
    """
    vfs, started = FaultyVfs(), []
    with open_storage(folder, create=True, vfs=vfs.name) as storage:
        storage.writer.commit([opening(), opening(OTHER)])

        def start(faults=NO_FAULTS, monotonic=time.monotonic, **limits):
            journal = Journal(
                storage.writer,
                on_fatal=Fatal(),
                monotonic=monotonic,
                faults=faults,
                limits=replace(DEFAULT_LIMITS, **limits),
            )
            journal.fatal = journal._on_fatal
            journal.start()
            started.append(journal)
            return journal

        yield vfs, storage, start
        for journal in started:
            journal.stop()
            assert journal.fatal.errors == []
