"""The receiving node of the bench: takes reports, reads their text, acknowledges each; says when so many have come.

    python receiver_process.py XBO/n1 COUNT [COUNT ...]
    python receiver_process.py XBO/n1 --timed COUNT [COUNT ...]

Home and passphrase come from the environment. Says when it is connected; after every COUNT further reports it says when that was, and its
processor time so far, and how long reports that carry their times (`stamped`) took until the application had them in hand. Ends after the
last, when everything is acknowledged. With --timed only those are counted. An alarm ends it: what could not be opened would be waited
for in vain.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time

from percentiles import Latencies

import comity
from comity.keys.passphrase import find_passphrase

PURPOSE = "counter-terrorism"
_STAMP = "T"
_DIGITS = 19
_LOOK_SECONDS = 1.0


def stamped(due_ns: int, called_ns: int) -> str:
    """Give the beginning of a text that says when its report was due and when `send` was called (monotonic clock)."""
    return f"{_STAMP}{due_ns:0{_DIGITS}}{called_ns:0{_DIGITS}}"


class Times:
    """How long stamped reports took until they were in hand: from when they were due, and from the call."""

    def __init__(self) -> None:
        self._due, self._called = Latencies(), Latencies()

    def take(self, text: str) -> bool:
        """Take a report in; say whether it was stamped."""
        if not text.startswith(_STAMP):
            return False
        now = time.monotonic_ns()
        self._due.add((now - int(text[1 : 1 + _DIGITS])) / 1e9)
        self._called.add((now - int(text[1 + _DIGITS : 1 + 2 * _DIGITS])) / 1e9)
        return True

    @property
    def facts(self) -> dict[str, object]:
        return {"from_due_us": self._due.summary_us, "from_call_us": self._called.summary_us}


async def receive(node: comity.Node, asked: argparse.Namespace) -> None:
    deliveries = node.receive(purpose=PURPOSE)
    for count in asked.counts:
        times, read, left = Times(), 0, count
        while left:
            async with await anext(deliveries) as report:
                timed = times.take(report.text)
                read += len(report.text)
            left -= 1 if timed or not asked.timed else 0
        facts = {"received": count, "characters": read, "at": time.monotonic(), "cpu": time.process_time()}
        print(json.dumps(facts | times.facts), flush=True)
    await deliveries.aclose()


async def look_for_alarms(node: comity.Node) -> None:
    while True:
        if alarms := node.alarms():
            raise AssertionError(f"{len(alarms)} alarms, the first: {alarms[0]}")
        await asyncio.sleep(_LOOK_SECONDS)


async def main(asked: argparse.Namespace) -> None:
    passphrase = find_passphrase(file=None, environ=os.environ, ask=None)
    async with comity.connect(identity=asked.identity, passphrase=passphrase) as node:
        print(json.dumps({"ready": True, "at": time.monotonic(), "cpu": time.process_time()}), flush=True)
        async with asyncio.TaskGroup() as tasks:
            looking = tasks.create_task(look_for_alarms(node))
            await receive(node, asked)
            looking.cancel()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("identity")
    parser.add_argument("counts", type=int, nargs="+")
    parser.add_argument("--timed", action="store_true")
    asyncio.run(main(parser.parse_args()))
