"""One bidirectional stream of a connection: its owner reads, one task writes, and it ends in one way (design 04, "Asyncio").

Rules in order:
1. One writer: frames come out of `next_frame` one at a time, and each write is awaited.
2. A read ends with a response, with the stream, or with `cancel` of the call; it is never cancelled by a deadline.
3. Leaving cancels the call, then ends the writer. What the writer raised besides the stream's end is raised again: a bug
   does not hide behind a broken connection.
4. A cancellation of the owner passes through; a cancelled call is not one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Generic, Self, TypeVar, cast

import grpc

from comity.errors import UnreachableError
from comity.node.connection import Connection

Request = TypeVar("Request")
Response = TypeVar("Response")


class Duplex(Generic[Request, Response]):
    """A stream, opened by ``async with``. `next_frame` gives what to write next, None for no more."""

    def __init__(
        self,
        connection: Connection,
        call: grpc.aio.StreamStreamCall[Request, Response],
        next_frame: Callable[[], Awaitable[Request | None]],
    ) -> None:
        self._connection = connection
        self._call = call
        self._next_frame = next_frame
        self._writer: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._writer = asyncio.create_task(self._write())
        # A writer that failed must not leave the reader waiting for an answer to what was never asked.
        self._writer.add_done_callback(self._writer_ended)
        return self

    async def read(self) -> Response | None:
        """Give the next response, None at an orderly end; raises the error the stream ended with."""
        try:
            response = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise self._connection.error_of(error) from error
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise UnreachableError("the stream was left") from None
        # The stubs give `object` where the end is meant; what is not the end is a response.
        return None if response is grpc.aio.EOF else cast("Response", response)

    def cancel(self) -> None:
        """End the stream: whoever reads is told."""
        self._call.cancel()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._call.cancel()
        writer, self._writer = self._writer, None
        if writer is None:
            return
        writer.cancel()
        (ended,) = await asyncio.gather(writer, return_exceptions=True)
        of_stream = (asyncio.CancelledError, asyncio.InvalidStateError, grpc.aio.AioRpcError, type(None))
        if isinstance(ended, BaseException) and not isinstance(ended, of_stream):
            raise ended

    async def _write(self) -> None:
        while (frame := await self._next_frame()) is not None:
            await self._call.write(frame)
        await self._call.done_writing()

    def _writer_ended(self, writer: asyncio.Task[None]) -> None:
        if not writer.cancelled() and writer.exception() is not None:
            self._call.cancel()
