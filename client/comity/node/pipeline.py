"""From open runs to the wire: sealed segments are signed together, stored with one fsync, and handed to the streams.

Rules in order:
1. One signature in flight, in a worker thread; the next one covers all that was sealed meanwhile under one agreement and key set.
2. Reports wait at most 20 ms for company, or until four segments are full. What is urgent, and what somebody asked to flush,
   waits for nobody, and urgent segments are signed ahead and apart.
3. A batch is on disk before any of its segments is handed on. One thread owns the outbox.
4. Receipts and ended segments are written together, as many as came while the last write was made.
5. What belongs to a broken lane is handed back instead of signed, stored or sent.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final, TypeVar

from comity.envelope import limits
from comity.envelope.evidence import encode_batch_signature, sign_batch
from comity.envelope.profile import is_exercise_class, is_urgent
from comity.keys.signer import Signer
from comity.node.background import Background, to_its_end
from comity.node.outbox import Lane, Outbox, StoredBatch, StoredReceipt
from comity.node.publishing import Outgoing, Publisher
from comity.node.sealing import KeySet, Sealed, Sealing

GATHER_SECONDS: Final = 0.02
GATHER_SEGMENTS: Final = 4

T = TypeVar("T")


class Pipeline:
    """The stages between `Sealing` and the streams. `publisher` gives the stream for what is urgent or not."""

    def __init__(
        self,
        sealing: Sealing,
        outbox: Outbox,
        *,
        signer: Callable[[KeySet], Signer],
        publisher: Callable[[bool], Publisher],
        handed_back: Callable[[Sealed], None],
    ) -> None:
        self._sealing = sealing
        self._outbox = outbox
        self._signer = signer
        self._publisher = publisher
        self._handed_back = handed_back
        self._signing = ThreadPoolExecutor(1, "comity-sign")
        self._disk = ThreadPoolExecutor(1, "comity-outbox")
        self._wake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._due = False
        self._urgent = False
        self._signed: deque[tuple[StoredBatch, list[Sealed]]] = deque()
        self._signed_event = asyncio.Event()
        self._receipts: list[StoredReceipt] = []
        self._ended: list[bytes] = []
        self._settle = asyncio.Event()
        self.broken: set[Lane] = set()

    def start(self, background: Background) -> None:
        """Start the stages."""
        background.start(self._sign(), "sign")
        background.start(self._store(), "store")
        background.start(self._write_answers(), "settle")

    async def close(self) -> None:
        """Write what was answered and let go of the threads; the stages have ended before."""
        if self._timer is not None:
            self._timer.cancel()
        await self.on_disk(self._outbox.settle, *self._answers())
        self._signing.shutdown(wait=True)
        self._disk.shutdown(wait=True)

    async def on_disk(self, work: Callable[..., T], *arguments: object) -> T:
        """Run something with the outbox in the thread that owns it."""
        return await asyncio.get_running_loop().run_in_executor(self._disk, work, *arguments)

    # --- waking -----------------------------------------------------------------------------------------------------

    def added(self, *, urgent: bool, flush: bool) -> None:
        """Take note of a report in an open run."""
        self._urgent = self._urgent or urgent
        if urgent or flush or len(self._sealing.sealed) >= GATHER_SEGMENTS:
            self._due = self._due or flush
            self._wake.set()
        elif self._timer is None and not self._due:
            self._timer = asyncio.get_running_loop().call_later(GATHER_SECONDS, self.flush)

    def flush(self) -> None:
        """Let everything go that is open."""
        self._due = True
        self._wake.set()

    # --- signing ----------------------------------------------------------------------------------------------------

    async def _sign(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._wake.wait()
            self._wake.clear()
            while group := self._next_group():
                first = group[0]
                ids = [one.stored.segment_id for one in group]
                signed = await loop.run_in_executor(
                    self._signing,
                    sign_batch,
                    self._signer(first.key_set),
                    first.stored.lane.agreement_id,
                    first.key_set[0],
                    ids,
                )
                placed = [replace(one, stored=replace(one.stored, position=number)) for number, one in enumerate(group)]
                batch = StoredBatch(
                    signature=encode_batch_signature(signed.signature),
                    segment_ids=signed.segment_ids,
                    segments=tuple(one.stored for one in placed),
                    packets=tuple({name: data for one in placed for name, data in one.packets}.items()),
                )
                self._signed.append((batch, placed))
                self._signed_event.set()

    def _next_group(self) -> list[Sealed]:
        """Give what the next signature covers: all sealed segments of one agreement and key set, the urgent ones first."""
        sealing = self._sealing
        if self._urgent:
            sealing.seal_all(urgent_only=True)
            self._urgent = False
        urgent = any(one.urgent for one in sealing.sealed)
        if not urgent and (self._due or len(sealing.sealed) >= GATHER_SEGMENTS):
            sealing.seal_all()
            self._due = False
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        elif not urgent:
            return []
        group: list[Sealed] = []
        left: deque[Sealed] = deque()
        # Recalls stand first under a signature that is urgent, exercises last under another; within a lane the order stays.
        for one in sorted(sealing.sealed, key=_turn):
            if one.stored.lane in self.broken:
                self._handed_back(one)
            elif (
                len(group) < limits.BATCH_SEGMENTS and one.urgent is urgent and (not group or _together(group[0], one))
            ):
                group.append(one)
            else:
                left.append(one)
        sealing.sealed = left
        self._due = self._due or bool(left)
        return group

    # --- storing ----------------------------------------------------------------------------------------------------

    async def _store(self) -> None:
        while True:
            await self._signed_event.wait()
            self._signed_event.clear()
            while self._signed:
                batches = list(self._signed)
                self._signed.clear()
                await self.on_disk(self._outbox.append, [batch for batch, _ in batches])
                for batch, group in batches:
                    self._hand_on(batch, group)

    def _hand_on(self, batch: StoredBatch, group: Sequence[Sealed]) -> None:
        packets = dict(batch.packets)
        for one in group:
            if one.stored.lane in self.broken:
                self.end(one.stored.segment_id)
                self._handed_back(one)
                continue
            self._publisher(one.urgent).put(Outgoing(one.stored, batch, packets, one))

    async def send_alone(self, sealed: Sealed, reported: Sealed | None, hand_on: Callable[[Outgoing], None]) -> None:
        """Sign, store and hand on a segment that was sealed alone; `reported` says whose report it is, None for nobody's."""

        async def stored_and_handed_on() -> None:
            hand_on(await self.stored_alone(sealed, reported))

        # Were it stored and not handed on, nobody would send it before the next start.
        await to_its_end(stored_and_handed_on())

    def hand_on(self, outgoing: Outgoing) -> None:
        """Give a stored segment to its stream."""
        self._publisher(is_urgent(outgoing.segment.lane.transport_class)).put(outgoing)

    async def stored_alone(self, sealed: Sealed, reported: Sealed | None) -> Outgoing:
        """Sign and store a segment that was sealed alone; give what is to be handed on."""
        segment = sealed.stored
        signed = await asyncio.get_running_loop().run_in_executor(
            self._signing,
            sign_batch,
            self._signer(sealed.key_set),
            segment.lane.agreement_id,
            sealed.key_set[0],
            [segment.segment_id],
        )
        signature = encode_batch_signature(signed.signature)
        batch = StoredBatch(signature, signed.segment_ids, (segment,), sealed.packets)
        await self.on_disk(self._outbox.append, [batch])
        return Outgoing(segment, batch, dict(sealed.packets), reported)

    def send_again(self, batches: Sequence[StoredBatch]) -> None:
        """Hand on what an earlier process stored and nobody answered."""
        for outgoing in _outgoing(batches):
            self._publisher(is_urgent(outgoing.segment.lane.transport_class)).put(outgoing)

    def send_first(self, batches: Sequence[StoredBatch]) -> None:
        """Hand on what a restored broker has lost, before everything that waits."""
        found = _outgoing(batches)
        for urgent in (False, True):
            mine = [one for one in found if is_urgent(one.segment.lane.transport_class) is urgent]
            self._publisher(urgent).put_first(mine)

    # --- answers ----------------------------------------------------------------------------------------------------

    def accept(self, receipt: StoredReceipt) -> None:
        """Write a verified receipt when its turn comes."""
        self._receipts.append(receipt)
        self._settle.set()

    def end(self, segment_id: bytes) -> None:
        """Write that a refusal ended a segment, when its turn comes."""
        self._ended.append(segment_id)
        self._settle.set()

    async def _write_answers(self) -> None:
        while True:
            await self._settle.wait()
            self._settle.clear()
            await to_its_end(self.on_disk(self._outbox.settle, *self._answers()))

    def _answers(self) -> tuple[list[StoredReceipt], list[bytes]]:
        receipts, self._receipts = self._receipts, []
        ended, self._ended = self._ended, []
        return receipts, ended


def _outgoing(batches: Sequence[StoredBatch]) -> list[Outgoing]:
    return [
        Outgoing(segment, batch, packets)
        for batch in batches
        for packets in (dict(batch.packets),)
        for segment in batch.segments
    ]


def _turn(one: Sealed) -> int:
    """Give the place of a segment among those to be signed: recalls, all else that is real, what is of an exercise."""
    lane = one.stored.lane.transport_class
    return 2 if is_exercise_class(lane) else int(lane > 0)


def _together(first: Sealed, other: Sealed) -> bool:
    return (first.key_set, first.stored.lane.agreement_id) == (other.key_set, other.stored.lane.agreement_id)
