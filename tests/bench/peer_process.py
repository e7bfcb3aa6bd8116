"""The sender or the receiver of a peer: reports sealed and signed one by one, verified, opened and acknowledged one by one.

    python peer_process.py send nats 127.0.0.1:4222 COUNT [COUNT ...]
    python peer_process.py receive nats 127.0.0.1:4222 COUNT [COUNT ...]

The folder with the keys comes from BENCH_KEYS. Both say when they are connected. The sender sends COUNT reports each time it gets SIGUSR1 and
says when it began, when the last confirmation had come, and the processor time between. The receiver says when COUNT further reports
were acknowledged, and its processor time so far.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path

from one_by_one import Opener, Sealer
from queues import Queue, opened


async def send(queue: Queue, sealer: Sealer, counts: list[int]) -> None:
    go = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, go.set)
    print(json.dumps({"ready": True}), flush=True)
    for count in counts:
        await go.wait()
        go.clear()
        began, cpu = time.monotonic(), time.process_time()
        for number in range(count):
            await queue.publish(sealer.seal(number))
        await queue.confirmed()
        facts = {"confirmed": count, "began": began, "ended": time.monotonic()}
        print(json.dumps({**facts, "cpu": time.process_time() - cpu}), flush=True)


async def receive(queue: Queue, opener: Opener, counts: list[int]) -> None:
    messages = queue.messages()
    print(json.dumps({"ready": True, "cpu": time.process_time()}), flush=True)
    for count in counts:
        numbers: set[int] = set()
        while len(numbers) < count:
            data, acknowledge = await anext(messages)
            numbers.add(opener.open(data))
            await acknowledge()
        await queue.flush()
        assert numbers == set(range(count)), "other reports came than were sent"
        print(json.dumps({"received": count, "at": time.monotonic(), "cpu": time.process_time()}), flush=True)
    await messages.aclose()


async def main(what: str, kind: str, address: str, counts: list[int]) -> None:
    keys = Path(os.environ["BENCH_KEYS"])
    async with opened(kind, address, reading=what == "receive") as queue:
        if what == "send":
            await send(queue, Sealer(keys), counts)
        else:
            await receive(queue, Opener(keys), counts)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4], [int(word) for word in sys.argv[4:]]))
