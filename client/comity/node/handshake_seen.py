"""What the two ends of a connection agree on, read from the wire: gRPC does not say, and the broker's half of a handshake begins in the clear.

A relay of this process stands between the connection and the broker for one call, and keeps the first bytes that come back. What it
passes on is encrypted; the connection checks the broker as ever.

    seen = await handshake_with(target)
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any, Final

from comity.errors import ComityError, UnreachableError
from comity.node.access import Target
from comity.node.connection import Connection
from comity.v1 import audit_pb2

TIMEOUT_SECONDS: Final = 10.0
TLS13: Final = 0x0304
X25519MLKEM768: Final = 0x11EC
GROUPS: Final = {0x11EC: "X25519MLKEM768", 0x001D: "X25519", 0x0017: "secp256r1", 0x0018: "secp384r1"}
_KEPT: Final = 16_384
_PIECE: Final = 65_536
_HANDSHAKE, _SERVER_HELLO, _KEY_SHARE, _SUPPORTED_VERSIONS = 22, 2, 51, 43


@dataclass(frozen=True, slots=True)
class Handshake:
    """The version and key exchange that were agreed on; 0 where the broker's half did not say."""

    version: int
    group: int

    @property
    def version_name(self) -> str:
        """Give the version as people write it."""
        return "TLS 1.3" if self.version == TLS13 else f"TLS {self.version:#06x}" if self.version else "no TLS 1.3"

    @property
    def group_name(self) -> str:
        """Give the key exchange as people write it."""
        return GROUPS.get(self.group, f"group {self.group:#06x}" if self.group else "no key share")


async def handshake_with(target: Target) -> Handshake:
    """Connect once and read what is agreed on; raises UnreachableError, and what the call raises."""
    heard = bytearray()
    async with (
        asyncio.timeout(TIMEOUT_SECONDS),
        _relay(target.address, heard) as address,
        Connection(replace(target, address=address)) as connection,
    ):
        request = audit_pb2.GetCheckpointRequest(log=audit_pb2.LogSelector(keys=True))
        try:
            await connection.call(connection.audit.GetCheckpoint, request, timeout=TIMEOUT_SECONDS)
        except ComityError:
            # What is refused within the connection has been agreed on all the same.
            if not heard:
                raise
    return read_server_hello(bytes(heard))


def read_server_hello(heard: bytes) -> Handshake:
    """Give what a ServerHello (RFC 8446, section 4.1.3) says; raises UnreachableError for bytes that begin otherwise."""
    try:
        found = _extensions(heard)
    except IndexError:
        found = None
    if found is None:
        raise UnreachableError(
            "what answers at the broker's address begins no TLS handshake",
            what_to_do="Look which service listens there: comity broker status on its machine.",
        )
    return Handshake(
        int.from_bytes(found.get(_SUPPORTED_VERSIONS, b"")[:2], "big"),
        int.from_bytes(found.get(_KEY_SHARE, b"")[:2], "big"),
    )


def _extensions(heard: bytes) -> dict[int, bytes] | None:
    """Give the extensions of a ServerHello by their numbers; None for other bytes, IndexError for too few."""
    if heard[0] != _HANDSHAKE:
        return None
    body = heard[5 : 5 + int.from_bytes(heard[3:5], "big")]
    if body[0] != _SERVER_HELLO:
        return None
    at = 4 + 2 + 32
    at += 1 + body[at] + 2 + 1
    end = min(at + 2 + int.from_bytes(body[at : at + 2], "big"), len(body))
    at += 2
    found: dict[int, bytes] = {}
    while at + 4 <= end:
        number, length = (int.from_bytes(body[at + place : at + place + 2], "big") for place in (0, 2))
        found[number] = body[at + 4 : at + 4 + length]
        at += 4 + length
    return found


@dataclass(slots=True)
class _Relay:
    host: str
    port: int
    heard: bytearray
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, near_reader: asyncio.StreamReader, near_writer: asyncio.StreamWriter) -> None:
        """Pass one connection's bytes on, until an end of it is gone."""
        try:
            far_reader, far_writer = await asyncio.open_connection(self.host, self.port)
        except OSError:
            near_writer.transport.abort()
            return
        self._start(_passed(near_reader, far_writer, None))
        self._start(_passed(far_reader, near_writer, self.heard))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


async def _passed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, heard: bytearray | None) -> None:
    try:
        while data := await reader.read(_PIECE):
            if heard is not None and len(heard) < _KEPT:
                heard += data
            writer.write(data)
            await writer.drain()
    except OSError:
        # The other end has gone: so does this one.
        return
    finally:
        writer.transport.abort()


@contextlib.asynccontextmanager
async def _relay(address: str, heard: bytearray) -> AsyncIterator[str]:
    host, _, port = address.rpartition(":")
    relay = _Relay(host.strip("[]"), int(port), heard)
    server = await asyncio.start_server(relay.serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in list(relay.tasks):
            task.cancel()
        await asyncio.gather(*relay.tasks, return_exceptions=True)
