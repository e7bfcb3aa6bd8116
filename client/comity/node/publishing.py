"""One Publish stream that comes back: stored segments go out in order, each until it is answered (design 04).

Rules in order:
1. A segment leaves in the order it was put; lanes keep theirs through every interruption. At most `window` are unanswered.
2. A key packet goes once on a stream, with the first segment that names it; a new stream begins with none.
3. What is unanswered when a stream ends goes out again on the next one, the same bytes.
4. A refusal with a time to try again makes its lane wait, with everything behind it; one without ends the segment, and so
   does a gap that stays though nothing before it is unanswered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from comity.envelope.profile import is_exercise_class
from comity.envelope.receipts import decode_receipt, decode_signed_receipt
from comity.errors import ComityError, ErrorCode, StorageError, UnreachableError
from comity.node.backoff import Backoff
from comity.node.connection import Connection
from comity.node.duplex import Duplex
from comity.node.outbox import Lane, StoredBatch, StoredSegment
from comity.node.refusals import error_of
from comity.node.sealing import Sealed
from comity.node.turns import Turns
from comity.v1 import exchange_pb2

WINDOW: Final = 16
FRAME_BYTES: Final = 2 << 20
GAPS: Final = 5

_Stream = Duplex[exchange_pb2.PublishRequest, exchange_pb2.PublishResponse]


@dataclass(slots=True)
class Outgoing:
    """A stored segment on its way. `sealed` says whose reports are in it; None for what an earlier process stored."""

    segment: StoredSegment
    batch: StoredBatch
    packets: dict[bytes, bytes]
    sealed: Sealed | None = None
    gaps: int = 0
    ordinal: int = -1


@dataclass(slots=True)
class _OnStream:
    """What belongs to one stream and ends with it."""

    opened: bool = False
    window: int = 0
    written: int = 0
    replied: int = 0
    acknowledged: int = 0
    draining: bool = False
    another: bytes = b""
    by_ordinal: dict[int, Outgoing] = field(default_factory=dict)
    packets: set[bytes] = field(default_factory=set)

    @property
    def free(self) -> int:
        """Give how many segments the window still takes."""
        return 0 if self.draining else self.window - self.written + max(self.replied, self.acknowledged)


class Restoring(Protocol):
    """What is asked when a broker shows another incarnation (`republishing`)."""

    def knows(self, incarnation: bytes) -> bool:
        """Say whether all was seen to since the broker is of this incarnation."""

    async def restored(self, incarnation: bytes) -> None:
        """See to it; raises UnreachableError to try again."""


class Publisher:
    """Sends over one connection. `answered` takes receipts, `ended` refusals for good, `troubled` whatever delays."""

    def __init__(
        self,
        connection: Connection,
        *,
        answered: Callable[[Outgoing, exchange_pb2.SegmentReceipt], None],
        ended: Callable[[Outgoing, ComityError], None],
        troubled: Callable[[ComityError, list[Outgoing]], None],
        backoff: Backoff,
        restoring: Callable[[], Restoring | None] = lambda: None,
    ) -> None:
        self._connection = connection
        self._answered = answered
        self._ended = ended
        self._troubled = troubled
        self._backoff = backoff
        self._restoring = restoring
        self._queue: Turns[Outgoing] = Turns(lambda one: is_exercise_class(one.segment.lane.transport_class))
        self._flying: dict[bytes, Outgoing] = {}
        self._waiting: dict[Lane, list[Outgoing]] = {}
        self._due: dict[Lane, float] = {}
        self._changed = asyncio.Event()
        self._on = _OnStream()

    @property
    def unanswered(self) -> int:
        """Give how many segments are on their way or wait to be."""
        return len(self._queue) + len(self._flying) + sum(map(len, self._waiting.values()))

    def put(self, outgoing: Outgoing) -> None:
        """Send a segment when its turn comes."""
        self._queue.append(outgoing)
        self._changed.set()

    def put_first(self, again: list[Outgoing]) -> None:
        """Send segments before everything that waits; of one that waits already nothing is sent twice."""
        there = {one.segment.segment_id for one in self._all()}
        self._queue.put_back(one for one in again if one.segment.segment_id not in there)
        self._changed.set()

    def drop_lane(self, lane: Lane) -> list[Outgoing]:
        """Give back every unanswered segment of a lane: it broke, none of them will be taken."""
        dropped = [one for one in self._all() if one.segment.lane == lane]
        self._queue.drop(lambda one: one.segment.lane == lane)
        self._flying = {name: one for name, one in self._flying.items() if one.segment.lane != lane}
        self._waiting.pop(lane, None)
        return dropped

    async def run(self) -> None:
        """Send what is put, until cancelled. Raises what no waiting mends: AccessError, KeyFault and the like."""
        while True:
            await self._something_to_send()
            try:
                await self._stream()
                restoring = self._restoring()
                if self._on.another and restoring is not None:
                    await restoring.restored(self._on.another)
            except ComityError as error:
                if not isinstance(error, UnreachableError | StorageError):
                    raise
                self._troubled(error, self._all())
                await asyncio.sleep(self._backoff.next_seconds(error.retry_after_seconds))
            finally:
                self._queue.put_back(self._flying.values())
                self._flying = {}

    def _all(self) -> list[Outgoing]:
        return [*self._flying.values(), *self._queue, *(one for lane in self._waiting.values() for one in lane)]

    async def _something_to_send(self) -> None:
        while not self._queue:
            self._changed.clear()
            await self._changed.wait()

    # --- one stream -------------------------------------------------------------------------------------------------

    async def _stream(self) -> None:
        self._on = _OnStream()
        stream: _Stream = Duplex(self._connection, self._connection.exchange.Publish(), self._next_frame)
        async with stream:
            while (response := await stream.read()) is not None:
                self._take(response)
                if self._on.another:
                    return
        raise UnreachableError("the broker ended the stream")

    async def _next_frame(self) -> exchange_pb2.PublishRequest:
        if not self._on.opened:
            self._on.opened = True
            return exchange_pb2.PublishRequest(open=exchange_pb2.PublishOpen(window=WINDOW))
        while True:
            self._changed.clear()
            frame = self._frame() if self._on.free > 0 else None
            if frame is not None:
                return exchange_pb2.PublishRequest(batch=frame)
            await self._changed.wait()

    def _frame(self) -> exchange_pb2.PublishBatch | None:
        """Take segments of one batch from the queue, as many as window and frame hold; None when nothing may go now."""
        taken: list[Outgoing] = []
        size = 0
        while self._queue and len(taken) < self._on.free and size < FRAME_BYTES:
            outgoing = self._queue.next
            if outgoing.segment.lane in self._waiting:
                self._waiting[outgoing.segment.lane].append(self._queue.take())
                continue
            if taken and outgoing.batch is not taken[0].batch:
                break
            taken.append(self._queue.take())
            size += len(outgoing.segment.data)
        if not taken:
            return None
        named = {packet_id for one in taken for packet_id in one.segment.packet_ids} - self._on.packets
        packets = [taken_packet(taken, packet_id) for packet_id in sorted(named)]
        self._on.packets |= named
        for one in taken:
            one.ordinal = self._on.written
            self._on.by_ordinal[one.ordinal] = one
            self._on.written += 1
            self._flying[one.segment.segment_id] = one
        return exchange_pb2.PublishBatch(
            batch_signature=taken[0].batch.signature,
            segment_ids=taken[0].batch.segment_ids,
            segments=[one.segment.data for one in taken],
            indices=[one.segment.position for one in taken],
            key_packets=packets,
        )

    # --- answers ----------------------------------------------------------------------------------------------------

    def _take(self, response: exchange_pb2.PublishResponse) -> None:
        match response.WhichOneof("frame"):
            case "opened" if self._is_another(response.opened.incarnation):
                # Before anything of it is verified nothing goes out.
                self._on.another = response.opened.incarnation
            case "opened":
                self._connection.held_until = response.opened.maintenance_until
                self._on.window = max(1, min(WINDOW, response.opened.window))
                self._backoff.succeeded()
            case "flow_ack":
                self._on.acknowledged = max(self._on.acknowledged, min(response.flow_ack.segments, self._on.written))
            case "receipt":
                self._take_receipt(response.receipt)
            case "refusal":
                self._take_refusal(response.refusal)
            case "draining":
                self._on.draining = True
                self._backoff.wait_at_least(response.draining.retry_after.ToMilliseconds() / 1000)
            case _:
                pass  # a frame of a later version
        self._changed.set()

    def _is_another(self, incarnation: bytes) -> bool:
        restoring = self._restoring()
        return restoring is not None and not restoring.knows(incarnation)

    def _take_receipt(self, receipt: exchange_pb2.SegmentReceipt) -> None:
        # Only to find whose it is; who is told of it verifies it first.
        segment_id = decode_receipt(decode_signed_receipt(receipt.signed_receipt).record).segment_id
        outgoing = self._landed(segment_id)
        if outgoing is not None:
            self._answered(outgoing, receipt)

    def _take_refusal(self, refusal: exchange_pb2.SegmentRefusal) -> None:
        named = self._on.by_ordinal.get(refusal.ordinal)
        outgoing = self._landed(refusal.segment_id or (b"" if named is None else named.segment.segment_id))
        if outgoing is None:
            return
        error = error_of(refusal.refusal)
        if error.code is ErrorCode.SEQUENCE_GAP and not self._waits_for_another(outgoing):
            outgoing.gaps += 1
        if error.retry_after_seconds is None or outgoing.gaps > GAPS:
            self._ended(outgoing, error)
        else:
            self._wait(outgoing, error.retry_after_seconds)
            self._troubled(error, [outgoing])

    def _waits_for_another(self, outgoing: Outgoing) -> bool:
        """Say whether an earlier segment of the lane is unanswered: then a gap is no wonder."""
        segment = outgoing.segment
        return any(
            one.segment.lane == segment.lane and one.segment.first_origin_sequence < segment.first_origin_sequence
            for one in self._all()
        )

    def _landed(self, segment_id: bytes) -> Outgoing | None:
        outgoing = self._flying.pop(segment_id, None)
        if outgoing is not None and self._on.by_ordinal.pop(outgoing.ordinal, None) is not None:
            self._on.replied += 1
        return outgoing

    def _wait(self, outgoing: Outgoing, seconds: float) -> None:
        lane = outgoing.segment.lane
        self._waiting.setdefault(lane, []).append(outgoing)
        loop = asyncio.get_running_loop()
        self._due[lane] = max(self._due.get(lane, 0.0), loop.time() + seconds)
        loop.call_at(self._due[lane], self._resume, lane)

    def _resume(self, lane: Lane) -> None:
        """Let a lane go on, in the order of its numbers, once nothing of it is out whose answer may still be a gap."""
        loop = asyncio.get_running_loop()
        if lane not in self._waiting or loop.time() < self._due[lane]:
            return
        if any(one.segment.lane == lane for one in self._flying.values()):
            loop.call_later(0.05, self._resume, lane)
            return
        waiting = self._waiting.pop(lane)
        del self._due[lane]
        waiting.sort(key=lambda one: one.segment.first_origin_sequence)
        self._queue.put_back(waiting)
        self._changed.set()


def taken_packet(taken: list[Outgoing], packet_id: bytes) -> bytes:
    """Give the bytes of a key packet that one of these segments names."""
    return next(one.packets[packet_id] for one in taken if packet_id in one.packets)
