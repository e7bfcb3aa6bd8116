"""One Subscribe stream that comes back: frames in, answers out, sessions one after the other (design 04).

Rules in order:
1. A stream begins with consumer, resume token and all of our credit. What was handed over on an earlier one and not answered
   comes again, so whoever listens forgets it (`began`).
2. Signed acknowledgements that were not confirmed go out first on a new stream: they hold whatever session they are from.
3. Given-back reports, credit and heartbeats belong to their session and die with it.
4. After a broken stream the consumer is taken over: our own session of before may still hold it. Whoever was superseded by
   another process stops.
5. Whoever leaves after giving a report back ends the stream in order: nothing confirms what was given back, and a stream that is
   cut may take it along.
6. What is urgent has a stream and a connection of its own from the first segment on that it might wait behind: who only listens
   needs none. The two are one session, and end together.
7. A heartbeat goes out each third of the deadline while reports are being worked on.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from comity.envelope.evidence import SignedAck
from comity.envelope.profile import is_urgent, stated_class
from comity.errors import ComityError, ConflictError, StorageError, UnreachableError
from comity.node.backoff import Backoff
from comity.node.connection import Connection
from comity.node.duplex import Duplex
from comity.node.refusals import error_of
from comity.v1 import exchange_pb2

CREDIT_REPORTS: Final = 4096
CREDIT_BYTES: Final = 16 << 20
CREDIT_STEP_REPORTS: Final = 512
CREDIT_STEP_BYTES: Final = 2 << 20
_HEARTBEATS_A_DEADLINE: Final = 3
# However short a deadline a broker names.
_LEAST_BEAT_SECONDS: Final = 0.05

_Stream = Duplex[exchange_pb2.SubscribeRequest, exchange_pb2.SubscribeResponse]


class Listener(Protocol):
    """Who listens to a subscription. Every method is called in the event loop, and none but `room` waits."""

    @property
    def busy(self) -> bool:
        """Say whether reports are being worked on."""

    def incarnation(self, incarnation: bytes) -> None:
        """Take which incarnation the broker is of, before the session begins."""

    def began(self) -> Sequence[SignedAck]:
        """Take that a new session began; give the acknowledgements to be sent again."""

    def delivered(self, frame: exchange_pb2.Delivery) -> None:
        """Take a segment."""

    async def room(self) -> None:
        """Wait while more was delivered than is to be held: nothing is read meanwhile, and so no more is sent."""

    def confirmed(self, record_digest: bytes) -> None:
        """Take that an acknowledgement is durable."""

    def refused(self, error: ComityError, record_digest: bytes) -> None:
        """Take that one of our frames was refused; raises what ends receiving."""

    def checkpoint(self, agreement_id: str, note: bytes) -> None:
        """Take a checkpoint; raises what ends receiving."""

    def caught_up(self, *, yes: bool) -> None:
        """Take whether everything that was due has been handed over."""

    def held(self, agreement_id: str, count: int) -> None:
        """Take that reports wait for the agreement."""


@dataclass(slots=True)
class _Session:
    """What is to be written on one stream, and dies with it."""

    opening: exchange_pb2.SubscribeOpen | None
    acks: deque[SignedAck] = field(default_factory=deque)
    nacks: deque[exchange_pb2.Nack] = field(default_factory=deque)
    credit_reports: int = 0
    credit_bytes: int = 0
    credit_due: bool = False
    heartbeat_due: bool = False
    stop_due: bool = False
    gave_back: bool = False
    number: int = 0
    urgent: asyncio.Task[None] | None = None
    beating: asyncio.TimerHandle | None = None


class Subscription:
    """Subscribes one consumer until it is cancelled, or something ends it for good."""

    def __init__(
        self,
        connections: tuple[Connection, Connection],
        consumer: str,
        listener: Listener,
        *,
        exercise: bool = False,
        resume_token: Callable[[], bytes],
        take_over: bool,
        backoff: Backoff,
    ) -> None:
        self._connection, self._urgent_connection = connections
        self._consumer = consumer
        self._exercise = exercise
        self._listener = listener
        self._resume_token = resume_token
        self._take_over = take_over
        self._backoff = backoff
        self._session: _Session | None = None
        self._changed = asyncio.Event()
        self._leaving = False
        self._left = asyncio.Event()

    # --- answers ----------------------------------------------------------------------------------------------------

    def acknowledge(self, signed: SignedAck) -> None:
        """Send an acknowledgement on the session that is open; without one it waits for `began`."""
        if self._session is not None:
            self._session.acks.append(signed)
            self._changed.set()

    def give_back(self, ref: exchange_pb2.SlotRef, *, after_seconds: float | None = None, park: str = "") -> None:
        """Give a report back, to be handed over again after a time, or parked for a reason."""
        if self._session is None:
            return
        nack = exchange_pb2.Nack(slots=[ref])
        if after_seconds is None:
            nack.park_reason = park
        else:
            nack.retry_after.FromMilliseconds(int(after_seconds * 1000))
        self._session.nacks.append(nack)
        self._session.gave_back = True
        self._changed.set()

    def credit(self, reports: int, size: int) -> None:
        """Allow so many more reports and bytes; told to the broker in steps, or when `flush` says so."""
        session = self._session
        if session is None:
            return
        session.credit_reports += reports
        session.credit_bytes += size
        if session.credit_reports >= CREDIT_STEP_REPORTS or session.credit_bytes >= CREDIT_STEP_BYTES:
            self.flush()

    def flush(self) -> None:
        """Tell the broker of all credit."""
        session = self._session
        if session is not None and (session.credit_reports or session.credit_bytes):
            session.credit_due = True
            self._changed.set()

    def stop(self) -> None:
        """Ask for no more deliveries."""
        if self._session is not None:
            self._session.stop_due = True
            self._changed.set()

    async def leave(self) -> None:
        """End the session in order where it gave reports back, after everything was written: no answer tells that it was taken.

        Returns when the broker has ended the stream. Nothing is begun anew then.
        """
        if self._session is not None and self._session.gave_back:
            self._leaving = True
            self._changed.set()
            await self._left.wait()

    # --- sessions ---------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Hold a session, and begin another one whenever it breaks. Raises what no waiting mends."""
        try:
            while not self._leaving:
                try:
                    await self._one_session()
                except (UnreachableError, StorageError) as error:
                    if not self._leaving:
                        await asyncio.sleep(self._backoff.next_seconds(error.retry_after_seconds))
                self._take_over = True
        finally:
            self._left.set()

    async def _one_session(self) -> None:
        self._session = session = _Session(self._opening())
        stream: _Stream = Duplex(self._connection, self._connection.exchange.Subscribe(), self._next_frame)
        try:
            async with stream:
                while (response := await stream.read()) is not None:
                    self._take(session, response)
                    if session.urgent is None and is_patient(response):
                        session.urgent = asyncio.create_task(self._join(session, stream))
                    await self._listener.room()
        finally:
            self._session = None
            if session.beating is not None:
                session.beating.cancel()
            await _ended(session.urgent)
        raise UnreachableError("the broker ended the stream")

    async def _join(self, session: _Session, stream: _Stream) -> None:
        """Hold the session's stream for what is urgent; the session does not outlive it."""
        opening = exchange_pb2.SubscribeOpen(consumer=self._consumer, exercise=self._exercise, joins=session.number)
        frames = iter([exchange_pb2.SubscribeRequest(open=opening)])

        async def next_frame() -> exchange_pb2.SubscribeRequest | None:
            frame = next(frames, None)
            if frame is None:
                await asyncio.get_running_loop().create_future()  # nothing more is said, and the stream stays open
            return frame

        urgent: _Stream = Duplex(self._urgent_connection, self._urgent_connection.exchange.Subscribe(), next_frame)
        try:
            async with urgent:
                while (response := await urgent.read()) is not None:
                    if response.WhichOneof("frame") == "delivery":
                        self._listener.delivered(response.delivery)
                        await self._listener.room()
        finally:
            stream.cancel()

    def _opening(self) -> exchange_pb2.SubscribeOpen:
        return exchange_pb2.SubscribeOpen(
            consumer=self._consumer,
            exercise=self._exercise,
            take_over=self._take_over,
            resume_token=self._resume_token(),
            credit=exchange_pb2.Credit(reports=CREDIT_REPORTS, bytes=CREDIT_BYTES),
        )

    def _take(self, session: _Session, response: exchange_pb2.SubscribeResponse) -> None:
        match response.WhichOneof("frame"):
            case "opened":
                self._backoff.succeeded()
                session.number = response.opened.session
                self._listener.incarnation(response.opened.incarnation)
                session.acks.extendleft(reversed(self._listener.began()))
                self._changed.set()
                self._beat(session, response.opened.deadline.ToMilliseconds() / 1000 / _HEARTBEATS_A_DEADLINE)
            case "delivery":
                self._listener.delivered(response.delivery)
            case "ack_confirmed":
                self._listener.confirmed(response.ack_confirmed.record_digest)
            case "refusal":
                self._listener.refused(error_of(response.refusal.refusal), response.refusal.record_digest)
            case "checkpoint":
                self._listener.checkpoint(response.checkpoint.agreement_id, response.checkpoint.checkpoint)
            case "caught_up":
                self._listener.caught_up(yes=True)
            case "fell_behind":
                self._listener.caught_up(yes=False)
            case "held":
                self._listener.held(response.held.agreement_id, response.held.count)
            case "maintenance":
                self._connection.held_until = response.maintenance.until
            case "draining":
                self._backoff.wait_at_least(response.draining.retry_after.ToMilliseconds() / 1000)
            case _:
                pass  # a frame of a later version

    def _beat(self, session: _Session, seconds: float) -> None:
        if self._session is not session or seconds <= 0:
            return
        seconds = max(seconds, _LEAST_BEAT_SECONDS)
        if self._listener.busy:
            session.heartbeat_due = True
            self._changed.set()
        session.beating = asyncio.get_running_loop().call_later(seconds, self._beat, session, seconds)

    async def _next_frame(self) -> exchange_pb2.SubscribeRequest | None:
        while (frame := self._frame()) is None:
            if self._leaving:
                return None
            self._changed.clear()
            await self._changed.wait()
        return frame

    def _frame(self) -> exchange_pb2.SubscribeRequest | None:
        session = self._session
        if session is None:
            return None
        if session.opening is not None:
            opening, session.opening = session.opening, None
            return exchange_pb2.SubscribeRequest(open=opening)
        if session.acks:
            signed = session.acks.popleft()
            return exchange_pb2.SubscribeRequest(
                ack=exchange_pb2.SignedAckFrame(record=signed.record, signature=signed.signature)
            )
        if session.nacks:
            return exchange_pb2.SubscribeRequest(nack=session.nacks.popleft())
        if session.credit_due:
            credit = exchange_pb2.Credit(reports=session.credit_reports, bytes=session.credit_bytes)
            session.credit_reports, session.credit_bytes, session.credit_due = 0, 0, False
            return exchange_pb2.SubscribeRequest(credit=credit)
        if session.heartbeat_due:
            session.heartbeat_due = False
            return exchange_pb2.SubscribeRequest(heartbeat=exchange_pb2.Heartbeat())
        if session.stop_due:
            session.stop_due = False
            return exchange_pb2.SubscribeRequest(stop=exchange_pb2.StopDelivery())
        return None


def is_patient(response: exchange_pb2.SubscribeResponse) -> bool:
    """Say whether a frame brings a segment that what is urgent might have to wait behind."""
    return response.WhichOneof("frame") == "delivery" and not is_urgent(stated_class(response.delivery.segment))


async def _ended(task: asyncio.Task[None] | None) -> None:
    """End a task; raises what it ended with, but that its stream broke or was left."""
    if task is None:
        return
    task.cancel()
    (ended,) = await asyncio.gather(task, return_exceptions=True)
    if isinstance(ended, Exception) and not isinstance(ended, UnreachableError | StorageError | ConflictError):
        raise ended
