"""The sending node of the FLASH rows: single FLASH reports that fall due one after the other, alone and then beside saturation.

    python flash_sender_process.py XAR/n1 XAR-XBO-2 COUNT RATE

Each FLASH carries when it was due and when `send` was called. They fall due at RATE a second with some jitter, whatever became of those
before. A round begins with SIGUSR1: the first on an idle node, the second while the same node sends ROUTINE reports as fast as receipts
allow. Home and passphrase come from the environment.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import random
import signal
import sys
import time

from percentiles import Latencies
from receiver_process import stamped
from sender_process import REPORT_BYTES, report

import comity
from comity.keys.passphrase import find_passphrase

WARM_FLASHES = 5
# ROUTINE reports with receipts before a FLASH may be called one beside saturation.
SATURATED_AFTER = 1_024


class Routine:
    """ROUTINE reports without end."""

    def __init__(self, node: comity.Node, agreement: str) -> None:
        self._node, self._agreement = node, agreement
        self._filler = os.urandom(REPORT_BYTES // 2).hex()[16:]
        self.accepted = 0
        self.saturated = asyncio.Event()

    async def run(self) -> None:
        reports = (report(f"{number:016}{self._filler}") for number in itertools.count())
        async for sent in self._node.send_many(reports, agreement=self._agreement):
            if sent.refusal is not None:
                raise sent.refusal
            self.accepted += 1
            if self.accepted >= SATURATED_AFTER:
                self.saturated.set()


class Flashes:
    """FLASH reports that fall due one after the other."""

    def __init__(self, node: comity.Node, agreement: str) -> None:
        self._node, self._agreement = node, agreement
        self._filler = os.urandom(REPORT_BYTES // 2).hex()

    async def send(self, count: int, rate: float) -> Latencies:
        """Send so many; give how long each took until its receipt, from when it was due."""
        loop, took = asyncio.get_running_loop(), Latencies()
        jitter = random.Random(count)  # so that they do not keep step with anything periodic, the same in every run
        began, began_ns = loop.time(), time.monotonic_ns()
        async with asyncio.TaskGroup() as tasks:
            for number in range(count):
                after = (number + jitter.random()) / rate
                await asyncio.sleep(began + after - loop.time())
                tasks.create_task(self._one(began_ns + round(after * 1e9), took))
        return took

    async def _one(self, due_ns: int, took: Latencies) -> None:
        head = stamped(due_ns, time.monotonic_ns())
        flash = report(head + self._filler[len(head) :], precedence="flash")
        await self._node.send(flash, agreement=self._agreement)
        took.add((time.monotonic_ns() - due_ns) / 1e9)


async def main(identity: str, agreement: str, count: int, rate: float) -> None:
    go = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, go.set)
    passphrase = find_passphrase(file=None, environ=os.environ, ask=None)
    async with comity.connect(identity=identity, passphrase=passphrase) as node:
        print(json.dumps({"ready": True}), flush=True)
        flashes, routine = Flashes(node, agreement), Routine(node, agreement)
        await go.wait()
        go.clear()
        await flashes.send(WARM_FLASHES, rate)
        cpu = time.process_time()
        took = await flashes.send(count, rate)
        facts = {"flashes": count, "to_receipt_us": took.summary_us, "cpu": time.process_time() - cpu}
        print(json.dumps(facts), flush=True)
        await go.wait()
        saturating = asyncio.create_task(routine.run())
        saturated = asyncio.create_task(routine.saturated.wait())
        await asyncio.wait((saturating, saturated), return_when=asyncio.FIRST_COMPLETED)
        if saturating.done():
            saturating.result()
        before, began, cpu = routine.accepted, time.monotonic(), time.process_time()
        took = await flashes.send(count, rate)
        beside = (routine.accepted - before) / (time.monotonic() - began)
        cpu = time.process_time() - cpu
        saturating.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await saturating
        facts = {"flashes": count, "to_receipt_us": took.summary_us, "routine_a_second": round(beside, 1)}
        print(json.dumps({**facts, "cpu": cpu}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
