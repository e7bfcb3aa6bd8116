"""The sending node of the bench: sends reports of 1 KiB, a round each time it gets SIGUSR1, and says what it found after each.

    python sender_process.py XAR/n1 XAR-XBO-1 ROUND [ROUND ...]

    12000           one stream of so many reports, as fast as receipts allow
    4000@5000       one stream whose reports fall due at 5,000 a second and carry when they did (an open loop)
    4000/16x1       groups of 16 reports, one after the other, each waited for until its last receipt
    4000/16x8       the same by 8 callers at once
    4000/16@5000    groups of 16 that fall due at 5,000 reports a second, whatever became of those before (an open loop)

Home and passphrase come from the environment. Says when it is ready, and after each round when it began, when the last receipt had come,
the processor time between, and for groups how long they took until their last receipt, from when they were due.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass

from percentiles import Latencies
from receiver_process import PURPOSE, stamped

import comity
from comity.keys.passphrase import find_passphrase

REPORT_BYTES = 1024
MARKING = "SECRET//REL TO XAR, XBO"
_ROUND = re.compile(r"(\d+)(?:/(\d+))?(?:x(\d+))?(?:@(\d+))?")
# Nearer than this nothing is waited for: the event loop's own clock is no finer.
_SOON_SECONDS = 0.001


@dataclass(frozen=True)
class Round:
    """What one round sends: `group` 0 for one stream, else by so many `callers`; `rate` in reports a second, 0 without."""

    count: int
    group: int
    callers: int
    rate: int

    @classmethod
    def of(cls, word: str) -> Round:
        found = _ROUND.fullmatch(word)
        if found is None:
            raise ValueError(f"{word} is no round")
        count, *rest = (int(part or 0) for part in found.groups())
        return cls(count, *rest)


def reports(count: int) -> Iterator[comity.Report]:
    """Make reports as an application does: each of its own words, at the least cost, since it is not what is measured."""
    words = os.urandom(REPORT_BYTES // 2).hex()
    for number in range(count):
        yield report(f"{number:016}{words[16:]}")


async def reports_due(count: int, rate: float) -> AsyncIterator[comity.Report]:
    """Make reports as they fall due, whatever became of those before."""
    words = os.urandom(REPORT_BYTES // 2).hex()
    began = time.monotonic_ns()
    for number in range(count):
        due = began + round(number / rate * 1e9)
        if (left := (due - time.monotonic_ns()) / 1e9) > _SOON_SECONDS:
            await asyncio.sleep(left)
        head = stamped(due, time.monotonic_ns())
        yield report(head + words[len(head) :])


def report(text: str, **fields: str) -> comity.Report:
    """Make a report that the agreement permits."""
    return comity.Report.text(text, marking=MARKING, categories=["terrorism"], purpose=PURPOSE, **fields)


async def send(
    node: comity.Node, agreement: str, stream: Iterator[comity.Report] | AsyncIterator[comity.Report]
) -> int:
    """Send one stream, wait for its receipts and give how many; raises what one was refused for."""
    accepted = 0
    async for sent in node.send_many(stream, agreement=agreement):
        if sent.refusal is not None:
            raise sent.refusal
        accepted += 1
    return accepted


async def send_round(node: comity.Node, agreement: str, asked: Round, took: Latencies) -> int:
    """Send a round; give how many were accepted."""
    if not asked.group:
        stream = reports_due(asked.count, asked.rate) if asked.rate else reports(asked.count)
        return await send(node, agreement, stream)
    groups = [min(asked.group, asked.count - first) for first in range(0, asked.count, asked.group)]
    loop = asyncio.get_running_loop()

    async def one(size: int, due: float) -> int:
        accepted = await send(node, agreement, reports(size))
        took.add(loop.time() - due)
        return accepted

    if asked.rate:
        return await _open_loop(one, groups, asked)
    waiting = iter(groups)

    async def caller() -> int:
        return sum([await one(size, loop.time()) for size in waiting])

    return sum(await asyncio.gather(*(caller() for _ in range(asked.callers))))


async def _open_loop(one: Callable[[int, float], Awaitable[int]], groups: list[int], asked: Round) -> int:
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.TaskGroup() as tasks:
        started = []
        for number, size in enumerate(groups):
            due = began + number * asked.group / asked.rate
            await asyncio.sleep(due - loop.time())
            started.append(tasks.create_task(one(size, due)))
    return sum(task.result() for task in started)


async def main(identity: str, agreement: str, rounds: list[Round]) -> None:
    go = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, go.set)
    passphrase = find_passphrase(file=None, environ=os.environ, ask=None)
    async with comity.connect(identity=identity, passphrase=passphrase) as node:
        print(json.dumps({"ready": True}), flush=True)
        for asked in rounds:
            await go.wait()
            go.clear()
            took = Latencies()
            began, cpu = time.monotonic(), time.process_time()
            accepted = await send_round(node, agreement, asked, took)
            facts = {"accepted": accepted, "began": began, "ended": time.monotonic()}
            facts |= {"cpu": time.process_time() - cpu, "groups_us": took.summary_us}
            print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], [Round.of(word) for word in sys.argv[3:]]))
