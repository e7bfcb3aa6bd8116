"""A wire between two processes that a test cuts, slows, garbles and mends: TCP, so what it does to TLS bytes is what a network does.

    with Wire(broker_address) as wire:      # a thread of its own
        node connects to wire.address
        wire.cut()                          # every connection is reset, a new one too, until mend()
        wire.partition()                    # nothing arrives any more in either direction, and nobody is told
        wire.half_open("up")                # nothing arrives at the broker, what it says goes through
        wire.delay(0.2); wire.flip(); wire.mend()

Duplicates and another order cannot be made here: TLS 1.3 numbers its records, so a repeated or moved record is a wrong one (`flip` is
as much), and the connection ends. A report that is sent twice or in another order is made above TLS, where frames are.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Self

_PIECE = 64 << 10
WAYS = ("up", "down")
# The first bytes that went up are kept, for whoever wants to send them again.
_KEPT = 64 << 10


class Wire:
    """Listens on a port of its own and passes everything on to `target` (HOST:PORT)."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wire", daemon=True)
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._refusing = False
        self._blocked: set[str] = set()
        self._flowing = asyncio.Event()
        self._delay_seconds = 0.0
        self._flips = 0
        self.address = ""
        self.accepted = 0
        self.garbled = 0
        self.kept = bytearray()

    def __enter__(self) -> Self:
        self._thread.start()
        self.address = self._do(self._listen)
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._end)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # --- what a test asks for ---------------------------------------------------------------------------------------

    def drop(self) -> None:
        """Reset every connection there is; new ones go through."""
        self._now(self._reset)

    def cut(self) -> None:
        """Reset every connection, and each new one, until `mend`."""

        def cut() -> None:
            self._refusing = True
            self._reset()

        self._now(cut)

    def partition(self) -> None:
        """Let nothing through in either direction; connections stay open, and nobody is told."""
        self._now(lambda: self._block(*WAYS))

    def half_open(self, way: str) -> None:
        """Let nothing through in one direction: "up" to the broker, "down" from it."""
        self._now(lambda: self._block(way))

    def delay(self, seconds: float) -> None:
        """Pass everything on so much later."""
        self._now(lambda: setattr(self, "_delay_seconds", seconds))

    def flip(self) -> None:
        """Flip a bit of the next piece that goes through."""
        self._now(lambda: setattr(self, "_flips", self._flips + 1))

    def mend(self) -> None:
        """Be a wire again. What was held back arrives."""

        def mend() -> None:
            self._refusing, self._delay_seconds, self._flips = False, 0.0, 0
            self._block()

        self._now(mend)

    # --- in the thread ----------------------------------------------------------------------------------------------

    def _do(self, work: Callable[[], object]) -> str:
        return asyncio.run_coroutine_threadsafe(work(), self._loop).result(30)

    def _now(self, work: Callable[[], None]) -> None:
        done: Future[None] = Future()

        def run() -> None:
            work()
            done.set_result(None)

        self._loop.call_soon_threadsafe(run)
        done.result(30)

    async def _listen(self) -> str:
        self._flowing.set()
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        return f"{host}:{port}"

    async def _end(self) -> None:
        self._server.close()
        self._reset()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _block(self, *ways: str) -> None:
        self._blocked = set(ways)
        self._flowing.set()
        self._flowing = asyncio.Event()
        if not ways:
            self._flowing.set()

    def _reset(self) -> None:
        for writer in self._open:
            writer.transport.abort()
        self._open.clear()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self._refusing:
            writer.transport.abort()
            return
        try:
            there, answer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        self._open |= {writer, answer}
        for one, way, source, sink in ((0, "up", reader, answer), (1, "down", there, writer)):
            task = self._loop.create_task(self._pass_on(way, source, sink), name=f"{way} {one}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass_on(self, way: str, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while piece := await source.read(_PIECE):
                if way == "up":
                    self.kept += piece
                    del self.kept[_KEPT:]
                while way in self._blocked:
                    await self._flowing.wait()
                if self._delay_seconds:
                    await asyncio.sleep(self._delay_seconds)
                if self._flips:
                    self._flips -= 1
                    self.garbled += 1
                    piece = piece[:-1] + bytes([piece[-1] ^ 1])
                sink.write(piece)
                await sink.drain()
        sink.transport.abort()
        self._open.discard(sink)
