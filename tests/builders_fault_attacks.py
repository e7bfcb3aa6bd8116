"""What an enrolled node that means harm does to a broker, again and again until it is told to stop; each counts how often.

attack = SlowLoris(world); task = create_task(attack.run()); ...; attack.done > 0
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress

import grpc

from builders_identity import Held
from builders_sdk import AGREEMENT, Shared
from comity.errors import ComityError
from comity.node.connection import Connection
from comity.v1 import exchange_pb2

_GIANT = 64 << 20
_TOGETHER = 50


class Attack:
    """One way to do harm. `done` counts what was done, `refused` by name what the broker said to it, where it gets to say anything."""

    is_answered = True

    def __init__(self, world: Shared, held: Held) -> None:
        self.world = world
        self.held = held
        self.done = 0
        self.refused: Counter[str] = Counter()

    async def run(self) -> None:
        """Do harm until cancelled."""
        while True:
            await self.once()
            self.done += 1

    async def once(self) -> None:
        raise NotImplementedError

    def connection(self) -> Connection:
        return self.world.world.connection(self.held)

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.world.world.broker.address.rpartition(":")
        return host, int(port)

    def said(self, error: Exception) -> None:
        """Count what the broker refused with: its own code, or that of the library where it did not get so far."""
        name = error.code.name if isinstance(error, ComityError) else getattr(error, "code", lambda: type(error))()
        self.refused[getattr(name, "name", str(name))] += 1

    async def stream(self, call: object) -> None:
        """Read a stream to its end."""
        try:
            async for response in call:
                if response.WhichOneof("frame") == "refusal":
                    self.refused["FRAME_REFUSED"] += 1
        except (ComityError, grpc.RpcError) as error:
            self.said(error)


class SlowLoris(Attack):
    """Opens connections that begin a handshake and never end it."""

    is_answered = False

    async def once(self) -> None:
        opened = [await asyncio.open_connection(*self.address) for _ in range(_TOGETHER)]
        for _, writer in opened:
            writer.write(b"\x16\x03\x01")
        await asyncio.gather(*(writer.drain() for _, writer in opened))
        for _, writer in opened:
            writer.transport.abort()


class GiantFrames(Attack):
    """Sends messages that are larger than any may be."""

    async def once(self) -> None:
        async with self.connection() as connection:
            request = exchange_pb2.PublishOneRequest(batch=exchange_pb2.PublishBatch(segments=[bytes(_GIANT)]))
            try:
                await connection.exchange.PublishOne(request)
            except (ComityError, grpc.RpcError) as error:
                self.said(error)


class CreditAbuse(Attack):
    """Grants itself all the credit there is, many times over: it gets as much as a consumer may have, and no word about the rest."""

    is_answered = False

    async def once(self) -> None:
        most = (1 << 32) - 1

        async def requests() -> AsyncIterator[exchange_pb2.SubscribeRequest]:
            credit = exchange_pb2.Credit(reports=most, bytes=(1 << 63) - 1)
            yield exchange_pb2.SubscribeRequest(open=exchange_pb2.SubscribeOpen(credit=credit))
            for _ in range(100):
                yield exchange_pb2.SubscribeRequest(credit=credit)

        async with self.connection() as connection:
            await self.stream(connection.exchange.Subscribe(requests()))


class ManyStreams(Attack):
    """Opens far more streams than a node has, all at once."""

    async def once(self) -> None:
        never = asyncio.Event()

        async def requests() -> AsyncIterator[exchange_pb2.PublishRequest]:
            yield exchange_pb2.PublishRequest(open=exchange_pb2.PublishOpen())
            await never.wait()

        async with self.connection() as connection:
            tasks = [
                asyncio.create_task(self.stream(connection.exchange.Publish(requests()))) for _ in range(_TOGETHER * 4)
            ]
            # Those that are too many end by themselves; the few that a node may have are let go.
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


class ReplayedHandshakes(Attack):
    """Sends again, byte for byte, what an honest client sent on its way up (`recorded`)."""

    recorded: bytes = b""

    async def once(self) -> None:
        reader, writer = await asyncio.open_connection(*self.address)
        with suppress(OSError):
            writer.write(self.recorded)
            await writer.drain()
            while await reader.read(1 << 16):
                pass
        self.refused["ENDED"] += 1
        writer.transport.abort()


class MalformedSegments(Attack):
    """Publishes bytes that are no segments, on streams and alone."""

    async def once(self) -> None:
        batch = exchange_pb2.PublishBatch(segments=[os.urandom(300)], indices=[0], segment_ids=[os.urandom(48)])

        async def requests() -> AsyncIterator[exchange_pb2.PublishRequest]:
            yield exchange_pb2.PublishRequest(open=exchange_pb2.PublishOpen())
            for _ in range(_TOGETHER):
                yield exchange_pb2.PublishRequest(batch=batch)

        async with self.connection() as connection:
            await self.stream(connection.exchange.Publish(requests()))


class RefusalFlood(Attack):
    """Asks, as fast as it can, for what is refused."""

    async def once(self) -> None:
        async with self.connection() as connection:
            asked = exchange_pb2.PublishOneRequest(
                batch=exchange_pb2.PublishBatch(segments=[b"x"], indices=[0], segment_ids=[bytes(48)])
            )
            for _ in range(_TOGETHER):
                try:
                    answer = await connection.call(connection.exchange.PublishOne, asked)
                    self.refused["SEGMENT_REFUSED"] += len(answer.refusals)
                except ComityError as error:
                    self.said(error)


ATTACKS = (SlowLoris, GiantFrames, CreditAbuse, ManyStreams, ReplayedHandshakes, MalformedSegments, RefusalFlood)
__all__ = ["AGREEMENT", "ATTACKS", "Attack", "ReplayedHandshakes"]
