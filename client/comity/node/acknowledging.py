"""Acknowledgements of one consumer: outcomes gathered, made durable in the inbox, signed once for many, then sent (design 03).

Rules in order:
1. What was settled is on disk before the acknowledgement that says so is signed.
2. One record covers up to 64 segments of one agreement and one originator's party, one outcome a slot; slots it does not speak
   of are 0. One signature in flight, in a worker thread; what comes meanwhile goes under the next.
3. Outcomes go when nobody has anything to do, after 50 ms, or when 1,024 wait.
4. A signed record is kept until the broker confirms it, and is sent again on the next stream: it is evidence, from any session.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from comity.envelope import limits
from comity.envelope.evidence import Ack, AckOutcome, SignedAck, sign_ack
from comity.errors import ComityError
from comity.keys.signer import Signer
from comity.node.background import to_its_end
from comity.node.claims import Claim
from comity.node.clock import NowMs
from comity.node.inbox import Inbox, InboxLane, Settlement
from comity.node.mirror import Mirror
from comity.node.sealing import KeySet

GATHER_SECONDS: Final = 0.05
GATHER_REPORTS: Final = 1024


@dataclass(slots=True, eq=False)
class Outcomes:
    """What is to be said of one segment: a byte a slot, and who waits until it is on disk."""

    lane: InboxLane
    segment_id: bytes
    slots: bytearray


@dataclass(slots=True)
class _Gathered:
    segments: dict[bytes, Outcomes] = field(default_factory=dict)
    settlements: list[Settlement] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    waiters: list[asyncio.Future[None]] = field(default_factory=list)
    count: int = 0


class Acknowledging:
    """Gathers and signs for one consumer. `send` hands a signed record to the stream, if there is one."""

    def __init__(
        self,
        inbox: Inbox,
        mirror: Mirror,
        consumer: str,
        *,
        signing: Callable[[], tuple[KeySet, Signer]],
        send: Callable[[SignedAck], None],
        now_ms: NowMs,
    ) -> None:
        self._inbox = inbox
        self._mirror = mirror
        self._consumer = consumer
        self._signing = signing
        self._send = send
        self._now_ms = now_ms
        self._gathered = _Gathered()
        self._wake = asyncio.Event()
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._timer: asyncio.TimerHandle | None = None
        self._worker = ThreadPoolExecutor(1, "comity-inbox")
        self.resume_token = b""
        self.unconfirmed: dict[bytes, SignedAck] = {}

    # --- gathering --------------------------------------------------------------------------------------------------

    def add(
        self,
        settlement: Settlement,
        segment_id: bytes,
        slot: int,
        slots: int,
        waiter: asyncio.Future[None] | None = None,
    ) -> None:
        """Take one slot's outcome; `waiter` is told when it is on disk."""
        gathered = self._gathered
        outcomes = gathered.segments.get(segment_id)
        if outcomes is None:
            outcomes = gathered.segments[segment_id] = Outcomes(settlement.lane, segment_id, bytearray(slots))
        outcomes.slots[slot] = settlement.outcome
        gathered.settlements.append(settlement)
        self._inbox.settle((settlement,))
        if waiter is not None:
            gathered.waiters.append(waiter)
        gathered.count += 1
        self._added()

    def tell(self, lane: InboxLane, segment_id: bytes, slots: int, absent: Sequence[int]) -> None:
        """Say of slots that came pruned that they did; of a frame with nothing else in it that it came at all."""
        outcomes = self._gathered.segments.setdefault(segment_id, Outcomes(lane, segment_id, bytearray(slots)))
        for slot in absent:
            outcomes.slots[slot] = AckOutcome.PRUNED
        self._gathered.count += 1
        self._added()

    def claim(self, claims: Sequence[Claim]) -> None:
        """Keep what the broker said, to be compared with its log."""
        self._gathered.claims.extend(claims)

    def _added(self) -> None:
        self._quiet.clear()
        if self._gathered.count >= GATHER_REPORTS:
            self._wake.set()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GATHER_SECONDS, self._wake.set)

    def flush(self) -> None:
        """Let go of what is gathered: nobody has anything else to do."""
        if self._gathered.count or self._gathered.claims:
            self._wake.set()

    async def quiet(self) -> None:
        """Wait until everything that was gathered is on disk, signed and handed to the stream."""
        self.flush()
        await self._quiet.wait()

    def confirmed(self, digest: bytes) -> None:
        """Take note that a record is durable at the broker."""
        self.unconfirmed.pop(digest, None)

    # --- writing ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Write and sign what is gathered, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await to_its_end(self._flush_once())

    async def close(self) -> None:
        """Write what is left, and let go of the thread; `run` has ended."""
        if self._timer is not None:
            self._timer.cancel()
        try:
            await self._flush_once()
        finally:
            self._worker.shutdown(wait=True)

    async def in_worker(self, work: Callable[..., object], *arguments: object) -> None:
        """Run something with the inbox in the thread that writes it."""
        await asyncio.get_running_loop().run_in_executor(self._worker, work, *arguments)

    async def _flush_once(self) -> None:
        gathered, self._gathered = self._gathered, _Gathered()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if gathered.count or gathered.claims:
            prepared = self._inbox.prepare(gathered.settlements, gathered.claims, self.resume_token)
            await self.in_worker(self._inbox.write, prepared)
            self._inbox.written(prepared)
        for waiter in gathered.waiters:
            if not waiter.done():
                waiter.set_result(None)
        for ack, signer in self._records(gathered):
            signed = await asyncio.get_running_loop().run_in_executor(self._worker, sign_ack, signer, ack)
            self.unconfirmed[hashlib.sha384(signed.record).digest()] = signed
            self._send(signed)
        if not self._gathered.count and not self._gathered.claims:
            self._quiet.set()

    def _records(self, gathered: _Gathered) -> list[tuple[Ack, Signer]]:
        """Give the records that say it: segments of one agreement and originator's party together, at most 64."""
        groups: dict[tuple[str, str], list[Outcomes]] = {}
        for one in gathered.segments.values():
            groups.setdefault((one.lane.agreement_id, one.lane.originator.partition("/")[0]), []).append(one)
        if not groups:
            return []
        (key_set, suite), signer = self._signing()
        records: list[tuple[Ack, Signer]] = []
        for (agreement_id, _), segments in groups.items():
            pin = self._mirror.pin(agreement_id)
            if pin is None:
                raise ComityError(f"the log of {agreement_id} is not mirrored, yet its reports were opened")
            for start in range(0, len(segments), limits.ACK_SEGMENTS):
                some = segments[start : start + limits.ACK_SEGMENTS]
                records.append(
                    (
                        Ack(
                            suite=suite,
                            agreement_id=agreement_id,
                            key_set=key_set,
                            consumer=self._consumer,
                            time=self._now_ms(),
                            agreement_log_seen=pin.seen,
                            segments=tuple((one.segment_id, bytes(one.slots)) for one in some),
                        ),
                        signer,
                    )
                )
        return records
