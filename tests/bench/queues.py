"""How the peers' queues are spoken to: each publishes with so many confirmations outstanding, is pushed messages, and acknowledges one by one.

What a client can choose is chosen in the peer's favour: no TLS, confirmations awaited together, many messages on their way at once,
and pushed rather than fetched, since a fetch waits until it is full.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Protocol

WINDOW = 256
UNACKNOWLEDGED = 1_024
_NAME = "reports"

Acknowledge = Callable[[], Awaitable[None]]


class Queue(Protocol):
    """One connection to a queue."""

    async def publish(self, data: bytes) -> None:
        """Send, and wait while `WINDOW` are not confirmed."""

    async def confirmed(self) -> None:
        """Wait until everything that was sent is confirmed; raises what one was refused for."""

    def messages(self) -> AsyncIterator[tuple[bytes, Acknowledge]]:
        """Give messages as they come, each with what acknowledges it."""

    async def flush(self) -> None:
        """Wait until the server has every acknowledgement."""


@asynccontextmanager
async def opened(kind: str, address: str, *, reading: bool) -> AsyncIterator[Queue]:
    """Connect to a queue of a kind (`nats`, `rabbitmq`) at HOST:PORT, to read or to write; it is made where it is not there."""
    async with {"nats": _nats, "rabbitmq": _rabbitmq}[kind](address, reading=reading) as queue:
        yield queue


class _Nats:
    def __init__(self, connection, stream, subscribed) -> None:
        self._connection, self._stream, self._subscribed = connection, stream, subscribed
        self._sent: list[asyncio.Future] = []

    async def publish(self, data: bytes) -> None:
        # The client's own semaphore is the window.
        self._sent.append(await self._stream.publish_async(_NAME, data, wait_stall=60.0))
        if len(self._sent) >= 2 * WINDOW:
            await asyncio.gather(*self._sent[:WINDOW])
            del self._sent[:WINDOW]

    async def confirmed(self) -> None:
        sent, self._sent = self._sent, []
        await asyncio.gather(*sent)

    async def messages(self) -> AsyncIterator[tuple[bytes, Acknowledge]]:
        async for message in self._subscribed.messages:
            yield message.data, message.ack

    async def flush(self) -> None:
        await self._connection.flush()


@asynccontextmanager
async def _nats(address: str, *, reading: bool) -> AsyncIterator[Queue]:
    import nats
    from nats.js.api import ConsumerConfig, RetentionPolicy, StorageType, StreamConfig

    connection = await nats.connect(f"nats://{address}")
    try:
        stream = connection.jetstream(publish_async_max_pending=WINDOW, timeout=60.0)
        config = StreamConfig(
            name=_NAME, subjects=[_NAME], storage=StorageType.FILE, retention=RetentionPolicy.LIMITS, num_replicas=1
        )
        await stream.add_stream(config)
        subscribed = None
        if reading:
            limits = ConsumerConfig(max_ack_pending=UNACKNOWLEDGED, ack_wait=600.0)
            subscribed = await stream.subscribe(_NAME, durable="reader", manual_ack=True, config=limits)
        yield _Nats(connection, stream, subscribed)
    finally:
        await connection.close()


class _Rabbitmq:
    def __init__(self, channel, queue) -> None:
        self._channel, self._queue = channel, queue
        self._sent: set[asyncio.Task] = set()
        self._room = asyncio.Semaphore(WINDOW)
        self._failed: list[BaseException] = []

    async def publish(self, data: bytes) -> None:
        import aio_pika

        await self._room.acquire()
        message = aio_pika.Message(data, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        task = asyncio.create_task(self._channel.default_exchange.publish(message, _NAME, mandatory=True))
        self._sent.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task) -> None:
        self._sent.discard(task)
        self._room.release()
        if (error := task.exception()) is not None:
            self._failed.append(error)

    async def confirmed(self) -> None:
        if self._sent:
            await asyncio.wait(self._sent)
        if self._failed:
            raise self._failed[0]

    async def messages(self) -> AsyncIterator[tuple[bytes, Acknowledge]]:
        async with self._queue.iterator() as messages:
            async for message in messages:
                yield message.body, message.ack

    async def flush(self) -> None:
        # A call that is answered on the same channel: what was sent before it has been taken.
        await self._channel.declare_queue(_NAME, passive=True)


@asynccontextmanager
async def _rabbitmq(address: str, *, reading: bool) -> AsyncIterator[Queue]:
    import aio_pika

    async with await aio_pika.connect(f"amqp://guest:guest@{address}/") as connection:
        channel = await connection.channel(publisher_confirms=True)
        if reading:
            await channel.set_qos(prefetch_count=UNACKNOWLEDGED)
        queue = await channel.declare_queue(_NAME, durable=True, arguments={"x-queue-type": "quorum"})
        yield _Rabbitmq(channel, queue)
