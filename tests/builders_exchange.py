"""An exchange service that a test writes itself, over real gRPC with mTLS: what the broker says is the test's.

    async with exchanging(publish=handler) as (connection, service): ...

A handler is an asynchronous generator of (requests, context), as in a servicer.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import grpc

from builders_envelope import Stream
from builders_identity import nation
from comity.envelope.receipts import Receipt, SignedReceipt, encode_receipt, encode_signed_receipt
from comity.node.connection import Connection
from comity.node.outbox import Lane, StoredBatch, StoredSegment
from comity.node.publishing import Outgoing
from comity.v1 import errors_pb2, exchange_pb2, exchange_pb2_grpc

AGREEMENT = "XAR-XBO-1"
EPOCH = bytes(range(16))


@dataclass
class Service(exchange_pb2_grpc.ExchangeServiceServicer):
    """Both streams, and how often each was begun. `urgent` serves streams that join a session; without it they say nothing."""

    publish: Callable | None = None
    subscribe: Callable | None = None
    urgent: Callable | None = None
    begun: int = 0
    frames: list[object] = field(default_factory=list)

    async def Publish(self, request_iterator, context):
        self.begun += 1
        async for response in self.publish(self, request_iterator, context):
            yield response

    async def Subscribe(self, request_iterator, context):
        first = await anext(aiter(request_iterator), None)
        if first is None:
            return
        if first.open.joins:
            if self.urgent is None:
                await asyncio.Event().wait()
            async for response in self.urgent(self, first, context):
                yield response
            return
        self.begun += 1
        async for response in self.subscribe(self, _from(first, request_iterator), context):
            yield response

    async def _not_here(self, request, context):
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "not here")

    PublishOne = ListReports = ResolveParked = ResolveHeld = _not_here

    async def next(self, requests):
        """Give the next frame of the client's, and keep it."""
        frame = await anext(aiter(requests))
        self.frames.append(frame)
        return frame


async def _from(first, rest):
    yield first
    async for one in rest:
        yield one


@contextlib.asynccontextmanager
async def exchanging(**handlers: Callable) -> AsyncIterator[tuple[Connection, Service]]:
    """Serve on loopback and connect."""
    xar = nation("XAR", now=time.time_ns() // 1_000_000)
    hub, node = xar.broker("hub"), xar.node("n1")
    service = Service(**handlers)
    server = grpc.aio.server()
    exchange_pb2_grpc.add_ExchangeServiceServicer_to_server(service, server)
    pair = (hub.tls.pem(), hub.certificate_pem)
    credentials = grpc.ssl_server_credentials([pair], xar.authority_pem, require_client_auth=True)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    connection = Connection.open(
        f"127.0.0.1:{port}",
        broker_tls_name=xar.broker_tls_name(),
        roots_pem=xar.authority_pem,
        key_pem=node.tls.pem(),
        certificate_pem=node.certificate_pem,
    )
    try:
        async with connection:
            yield connection, service
    finally:
        await server.stop(None)


# --- publishing -----------------------------------------------------------------------------------------------------


def outgoing(first: int, *, transport_class: int = 4, packets: tuple[bytes, ...] = (b"p",), batch: int = 0) -> Outgoing:
    """Give a stored segment of one report with that number."""
    lane = Lane(AGREEMENT, EPOCH, transport_class)
    name = b"%d/%d" % (transport_class, first)
    ids = tuple(packet.ljust(48, b".") for packet in packets)
    segment = StoredSegment(name.ljust(48, b"."), lane, first, 1, b"bytes of " + name, 0, ids, 1)
    stored = StoredBatch(b"batch %d" % batch + name, (segment.segment_id,), (segment,), ())
    return Outgoing(segment, stored, {identifier: b"packet " + identifier for identifier in ids})


def receipted(segment: bytes) -> exchange_pb2.PublishResponse:
    """Give the frame that says a segment (by the bytes of `outgoing`) is durable; nobody signed it."""
    receipt = Receipt("o", AGREEMENT, segment_id_of(segment), 1, 1, 1, bytes(32), 1, 1)
    signed = SignedReceipt(encode_receipt(receipt), 0, (bytes(48),) * 6, b"s")
    return exchange_pb2.PublishResponse(
        receipt=exchange_pb2.SegmentReceipt(signed_receipt=encode_signed_receipt(signed), broker_key=bytes(48))
    )


def refusing(segment: bytes, code: int, retry_after_ms: int | None = None) -> exchange_pb2.PublishResponse:
    """Give the frame that refuses a segment."""
    refusal = errors_pb2.Refusal(code=code, message="no")
    if retry_after_ms is not None:
        refusal.retry_after.FromMilliseconds(retry_after_ms)
    return exchange_pb2.PublishResponse(
        refusal=exchange_pb2.SegmentRefusal(segment_id=segment_id_of(segment), refusal=refusal)
    )


def segment_id_of(segment: bytes) -> bytes:
    return segment.removeprefix(b"bytes of ").ljust(48, b".")


def opened(window: int = 16) -> exchange_pb2.PublishResponse:
    return exchange_pb2.PublishResponse(opened=exchange_pb2.PublishOpened(incarnation=bytes(16), window=window))


ZEROS = Stream(b"backoff")
