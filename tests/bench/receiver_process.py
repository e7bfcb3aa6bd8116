"""The receiving node of the whole path: takes reports, reads their text, acknowledges each; says when so many have come.

    python receiver_process.py XBO/n1 COUNT [COUNT ...]

Home and passphrase come from the environment. After every COUNT further reports it says when that was, and its processor time so far.
Ends after the last, when everything is acknowledged.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time

import comity
from comity.keys.passphrase import find_passphrase


async def main(identity: str, counts: list[int]) -> None:
    passphrase = find_passphrase(file=None, environ=os.environ, ask=None)
    async with comity.connect(identity=identity, passphrase=passphrase) as node:
        print(json.dumps({"ready": True}), flush=True)
        deliveries = node.receive(purpose="counter-terrorism")
        for count in counts:
            read = 0
            for _ in range(count):
                async with await anext(deliveries) as report:
                    read += len(report.text)
            facts = {"received": count, "characters": read, "at": time.monotonic(), "cpu": time.process_time()}
            print(json.dumps(facts), flush=True)
        await deliveries.aclose()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], [int(word) for word in sys.argv[2:]]))
