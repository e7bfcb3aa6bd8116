"""Idle subscribers: so many consumers of each node, each with a connection and a stream of its own, and nothing to receive.

    python idle_process.py CONSUMERS IDENTITY [IDENTITY ...]

Home and passphrase come from the environment. Says how many are subscribed when the broker has told each of them that it has everything; then
holds the streams until SIGTERM. A stream that ends before is an error.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from contextlib import AsyncExitStack

from comity.keys.passphrase import find_passphrase
from comity.node.access import Access, Target
from comity.node.connection import Connection
from comity.node.duplex import Duplex
from comity.node.home import Home
from comity.v1 import exchange_pb2

# So that the broker's queue of connections to be taken is never full.
AT_ONCE = 16
_CREDIT = exchange_pb2.Credit(reports=4096, bytes=16 << 20)


class Subscriber:
    """One consumer of one node."""

    def __init__(self, target: Target, consumer: str) -> None:
        self._connection = Connection(target)
        self._frames = [
            exchange_pb2.SubscribeRequest(open=exchange_pb2.SubscribeOpen(consumer=consumer, credit=_CREDIT))
        ]
        self.subscribed = asyncio.Event()

    async def run(self) -> None:
        """Subscribe and read until cancelled."""
        async with self._connection:
            call = self._connection.exchange.Subscribe()
            async with Duplex(self._connection, call, self._next_frame) as stream:
                while (response := await stream.read()) is not None:
                    if response.WhichOneof("frame") == "caught_up":
                        self.subscribed.set()
        raise AssertionError("the broker ended the stream of an idle subscriber")

    async def _next_frame(self) -> exchange_pb2.SubscribeRequest:
        if not self._frames:
            await asyncio.Event().wait()
        return self._frames.pop()


async def main(consumers: int, identities: list[str]) -> None:
    home, passphrase = Home.at(None, os.environ), find_passphrase(file=None, environ=os.environ, ask=None)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    now_ms = time.time_ns() // 1_000_000
    targets = [Access.load(home, identity, passphrase, now_ms=now_ms).target for identity in identities]
    room = asyncio.Semaphore(AT_ONCE)
    async with AsyncExitStack() as stack:
        tasks = await stack.enter_async_context(asyncio.TaskGroup())

        async def subscribe(subscriber: Subscriber) -> asyncio.Task[None]:
            async with room:
                running = tasks.create_task(subscriber.run())
                await subscriber.subscribed.wait()
                return running

        subscribers = [Subscriber(target, f"idle{number}") for target in targets for number in range(consumers)]
        running = [tasks.create_task(subscribe(one)) for one in subscribers]
        streams = [await one for one in running]
        print(json.dumps({"subscribed": len(streams)}), flush=True)
        await ended.wait()
        for one in streams:
            one.cancel()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2:]))
