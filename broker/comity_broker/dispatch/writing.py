"""What one stream writes of a session: the deliveries of its classes, the most urgent first, one at a time (design 04).

A session has one stream, or two: what is urgent then has a stream and a connection of its own, where no byte of anything else
stands before it. Each brings the key packets that it has not brought yet, since no order holds between two connections.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Collection, Mapping

from comity_broker.dispatch.composing import Composer
from comity_broker.dispatch.frames import Delivered
from comity_broker.dispatch.handing import Outgoing


class Writing:
    """One writer's side. `changed` is set when there may be something to write."""

    def __init__(self, composer: Composer, outgoing: Mapping[int, deque[Outgoing]], classes: Collection[int]) -> None:
        self.classes = classes
        self.changed = asyncio.Event()
        self._composer = composer
        self._outgoing = outgoing
        self._brought: OrderedDict[bytes, None] = OrderedDict()
        self._under_way: Outgoing | None = None

    @property
    def is_under_way(self) -> bool:
        """Say whether a frame was given and is not written yet."""
        return self._under_way is not None

    async def delivery(self, taken: asyncio.Event) -> Delivered | None:
        """Make the next frame; None where there is none. `taken` is set whenever something left a queue."""
        for transport_class in self.classes:
            queue = self._outgoing[transport_class]
            while queue:
                outgoing = queue.popleft()
                taken.set()
                frame = await self._composer.compose(outgoing, self._brought)
                if frame is not None:
                    self._under_way = outgoing
                    return frame
        return None

    def written(self) -> Outgoing | None:
        """Take that the frame given last was written, and give what it handed over."""
        outgoing, self._under_way = self._under_way, None
        return outgoing
