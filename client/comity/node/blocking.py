"""An event loop in a thread of its own, for programs without one: coroutines are run there and waited for (design 01, "SDK")."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any, TypeVar

T = TypeVar("T")


class Loop:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="comity", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the loop and wait for it; an interruption cancels it."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def call(self, work: Any, *arguments: Any, **named: Any) -> Any:
        """Run a function in the loop and wait for it."""

        async def called() -> Any:
            return work(*arguments, **named)

        return self.run(called())

    def each(self, items: AsyncIterator[T]) -> Iterator[T]:
        """Iterate over an asynchronous iterator of the loop; leaving early closes it."""

        async def following() -> tuple[T] | None:
            try:
                return (await anext(items),)
            except StopAsyncIteration:
                return None

        async def closed() -> None:
            await items.aclose()  # type: ignore[attr-defined]  # every iterator given here is an asynchronous generator

        try:
            while (item := self.run(following())) is not None:
                yield item[0]
        finally:
            self.run(closed())

    def close(self) -> None:
        """End the loop and its thread."""
        self.run(self._loop.shutdown_asyncgens())
        self.run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
