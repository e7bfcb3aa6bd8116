"""The sending node of the whole path: sends so many reports of 1 KiB each time it gets SIGUSR1, as fast as receipts allow.

    python sender_process.py XAR/n1 XAR-XBO-1 COUNT [COUNT ...]

Home and passphrase come from the environment. Says when it is ready, and after each round when it began, when the last receipt
had come, and the processor time between.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Iterator

import comity
from comity.keys.passphrase import find_passphrase

REPORT_BYTES = 1024
MARKING = "SECRET//REL TO XAR, XBO"


def reports(count: int) -> Iterator[comity.Report]:
    """Make reports as an application does: each of its own words, at the least cost, since it is not what is measured."""
    words = os.urandom(REPORT_BYTES // 2).hex()
    for number in range(count):
        yield comity.Report.text(
            f"{number:016}{words[16:]}",
            marking=MARKING,
            categories=["terrorism"],
            purpose="counter-terrorism",
        )


async def main(identity: str, agreement: str, counts: list[int]) -> None:
    go = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, go.set)
    passphrase = find_passphrase(file=None, environ=os.environ, ask=None)
    async with comity.connect(identity=identity, passphrase=passphrase) as node:
        print(json.dumps({"ready": True}), flush=True)
        for count in counts:
            await go.wait()
            go.clear()
            began, cpu = time.monotonic(), time.process_time()
            accepted = 0
            async for sent in node.send_many(reports(count), agreement=agreement):
                if sent.refusal is not None:
                    raise sent.refusal
                accepted += 1
            facts = {"accepted": accepted, "began": began, "ended": time.monotonic()}
            print(json.dumps({**facts, "cpu": time.process_time() - cpu}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], [int(word) for word in sys.argv[3:]]))
