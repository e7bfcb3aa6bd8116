"""The port for metrics: HTTP on loopback, one page, read-only, off unless `metrics_listen` says where (docs/adr/0015).

Nobody is asked who they are, so it tells nothing that a partner or a neighbour on the machine may not see (`metrics`), takes
nothing, and holds nothing up: a request has at most `REQUEST_BYTES` bytes and `REQUEST_SECONDS` seconds, at most `REQUESTS` are
answered at once and `CONNECTIONS` are open. A browser that was led here by another name than a loopback address's is sent away.
The text is written in the event loop, from a picture that was taken there; no thread reads the broker.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from comity.errors import ComityError, UnreachableError
from comity_broker.metrics import CONTENT_TYPE

_LOG: Final = logging.getLogger(__name__)
REQUEST_BYTES: Final = 8 << 10
REQUEST_SECONDS: Final = 10.0
REQUESTS: Final = 8
CONNECTIONS: Final = 64
PAGE: Final = "/metrics"


@dataclass(slots=True)
class Scraping:
    """Serves the page that `text` gives."""

    text: Callable[[], Coroutine[Any, Any, str]]
    _answering: set[asyncio.Task[None]] = field(default_factory=set)

    @asynccontextmanager
    async def serving(self, address: tuple[str, int] | None) -> AsyncIterator[None]:
        """Serve within the block; not at all where there is no address. Raises UnreachableError where it is taken."""
        if address is None:
            yield
            return
        host, port = address
        try:
            server = await asyncio.start_server(self._connected, host, port, limit=REQUEST_BYTES)
        except OSError as error:
            raise UnreachableError(
                f"metrics_listen: {host}:{port} cannot be listened on: {error.strerror}",
                what_to_do="Is another process there? Choose another port.",
            ) from error
        bound = server.sockets[0].getsockname()[1]
        _LOG.info("metrics", extra={"address": f"[{host}]:{bound}" if ":" in host else f"{host}:{bound}"})
        try:
            yield
        finally:
            server.close()
            for task in self._answering:
                task.cancel()
            if self._answering:
                await asyncio.wait(self._answering)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._answering) >= CONNECTIONS:
            writer.close()
            return
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._answering.add(task)
        task.add_done_callback(self._answered)

    def _answered(self, task: asyncio.Task[None]) -> None:
        self._answering.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _LOG.error("metrics_failed", exc_info=error)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            # Whoever stops reading or goes away takes nothing with it.
            with suppress(TimeoutError, ConnectionError):
                async with asyncio.timeout(REQUEST_SECONDS):
                    writer.write(await self._answer(reader))
                    await writer.drain()
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> bytes:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii")
        except (asyncio.LimitOverrunError, asyncio.IncompleteReadError, UnicodeDecodeError):
            return _response(HTTPStatus.BAD_REQUEST, "This is not a request for metrics.\n")
        if len(self._answering) > REQUESTS:
            return _response(HTTPStatus.SERVICE_UNAVAILABLE, "Too many at once.\n")
        refused = refusal(head)
        if refused is not None:
            return _response(*refused)
        try:
            return _response(HTTPStatus.OK, await self.text(), CONTENT_TYPE)
        except ComityError as error:
            _LOG.error("metrics_failed", extra={"code": error.code.name, "reason": error.message})
            return _response(HTTPStatus.SERVICE_UNAVAILABLE, f"{error.code.name}\n")


def refusal(head: str) -> tuple[HTTPStatus, str] | None:
    """Give why a request is not answered, None where it is: a request line and headers, each ended by CR LF."""
    request, *headers = head.split("\r\n")
    words = request.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        return HTTPStatus.BAD_REQUEST, "This is not HTTP/1.1.\n"
    method, target, _ = words
    hosts = [value.strip() for name, _, value in (one.partition(":") for one in headers) if name.lower() == "host"]
    if len(hosts) != 1 or not is_loopback(hosts[0]):
        return HTTPStatus.MISDIRECTED_REQUEST, "Ask for it by a loopback address.\n"
    if target.partition("?")[0] != PAGE:
        return HTTPStatus.NOT_FOUND, f"There is {PAGE} here, and nothing else.\n"
    if method != "GET":
        return HTTPStatus.METHOD_NOT_ALLOWED, "Only GET.\n"
    return None


def is_loopback(host: str) -> bool:
    """Say whether a Host header names a loopback address, or localhost, with a port or without."""
    name = host.rpartition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0]
    try:
        return name.lower() == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _response(status: HTTPStatus, text: str, content_type: str = "text/plain; charset=utf-8") -> bytes:
    body = text.encode()
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
        "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
