"""Dispatch for all consumers: opens and ends sessions, wakes them, watches them, drains them (design 04).

A consumer has one session. A second stream on it is CONSUMER_BUSY unless it takes over; then the older one ends with SUPERSEDED,
what it had given to the journal is awaited, and only then the next session is claimed and reads where the consumer stands. So
memory never says more than the store.

    dispatcher = Dispatcher(Shared(...))
    session = await dispatcher.open(caller, Opening("default", credit=(256, 16 << 20)))
    dispatcher.brought("XAR-XBO-1", batch_signature, admitted)
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from comity.errors import ComityError, ConflictError, ErrorCode, UnreachableError
from comity.identity.names import is_exercise
from comity_broker.access import Caller
from comity_broker.dispatch import claiming
from comity_broker.dispatch.answering import Confirmed
from comity_broker.dispatch.logged import Recipient
from comity_broker.dispatch.session import Session
from comity_broker.dispatch.shared import Shared
from comity_broker.dispatch.status import Ages, ConsumerStatus, consumer_status
from comity_broker.operations import log_caller
from comity_broker.storage.protocol import InboxRow, LaneRow, SegmentRow
from comity_broker.tracing import TracedJournal, Tracer

_LOG: Final = logging.getLogger(__name__)
_WATCH_SECONDS: Final = 15.0
_BUSY_RETRY_SECONDS: Final = 1.0
_DRAIN_RETRY_SECONDS: Final = 5.0
_REQUEST: Final = 16

Key = tuple[str, str]


class Placed(Protocol):
    """A segment that was committed, the lane it ended in as that is now, and what each node gets of it."""

    @property
    def row(self) -> SegmentRow: ...

    @property
    def lane(self) -> LaneRow | None: ...

    @property
    def inboxes(self) -> Sequence[InboxRow]: ...


@dataclass(frozen=True, slots=True)
class Opening:
    """What a stream asks for: consumer ("" for the default), exercise or real, credit in reports and bytes, the newest resume token."""

    consumer: str = ""
    exercise: bool = False
    take_over: bool = False
    resume_token: bytes = b""
    reports: int = 0
    size: int = 0


class Dispatcher:
    """Every consumer that is connected. `run` must be running, in a task group of the server's."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared if shared.tracer is None else _traced(shared, shared.tracer)
        self._sessions: dict[Key, Session] = {}
        self._opening: set[Key] = set()
        self._closing: dict[Key, asyncio.Task[None]] = {}
        self._confirmed = Confirmed()
        self._joining: set[str] = set()
        self._wake = asyncio.Event()
        self._left = asyncio.Event()
        self._draining = False
        self._stalled: set[Key] = set()
        self._ages = Ages()
        shared.ledger.on_change(self.changed)

    # --- sessions ---------------------------------------------------------------------------------------------------

    async def open(self, caller: Caller, opening: Opening) -> Session:
        """Begin a session; raises ComityError: CONSUMER_BUSY, FLOOR_AHEAD, LIMIT_EXCEEDED, DRAINING, MALFORMED."""
        self.require_serving()
        shared, node = self.shared, str(caller.identity)
        key = (node, claiming.consumer_name(opening.consumer, exercise=opening.exercise))
        if key in self._opening:
            raise _busy(key)
        self._opening.add(key)
        try:
            await self._make_room(key, take_over=opening.take_over)
            row = await claiming.check_room(shared, *key)
            await claiming.check_token(shared, row, *key, opening.resume_token)
            number = await claiming.claim(shared, *key)
            self.require_serving()
            session = self._sessions[key] = Session(
                shared, self._recipient(caller, key, number), caller, self._confirmed
            )
        finally:
            self._opening.discard(key)
        try:
            for standing in shared.ledger.traffic(caller.party, exercise=opening.exercise):
                await session.add_desk(standing.agreement_id)
        except BaseException:
            self.release(session)
            raise
        session.credit(opening.reports, opening.size)
        return session

    def joined(self, caller: Caller, consumer: str, number: int, *, exercise: bool = False) -> Session:
        """Give the session of the caller's consumer that a second stream joins; raises ConflictError SUPERSEDED for none."""
        key = (str(caller.identity), claiming.consumer_name(consumer, exercise=exercise))
        session = self._sessions.get(key)
        if session is None or session.to.session != number:
            raise ConflictError(
                f"session {number} of consumer {key[1]!r} has ended",
                what_to_do="Begin a session, then join it.",
                code=ErrorCode.SUPERSEDED,
            )
        return session

    def _recipient(self, caller: Caller, key: Key, number: int) -> Recipient:
        return Recipient(
            party=caller.party,
            name=caller.identity.name,
            consumer=key[1],
            session=number,
            caller=log_caller(caller, self.shared.random_bytes(_REQUEST)),
        )

    def release(self, session: Session) -> None:
        """End a session whose stream is gone; what it gave to the journal is awaited behind the caller's back."""
        key = (session.to.node, session.to.consumer)
        if self._sessions.get(key) is session:
            del self._sessions[key]
            self._stalled.discard(key)
        before = self._closing.get(key)

        async def close() -> None:
            await session.close()
            if before is not None:
                await before

        task = self._closing[key] = asyncio.get_running_loop().create_task(close())
        task.add_done_callback(lambda done: self._closed(key, done))
        self._left.set()

    async def _make_room(self, key: Key, *, take_over: bool) -> None:
        held = self._sessions.get(key)
        if held is not None:
            if not take_over:
                raise _busy(key)
            held.end(
                ConflictError(
                    f"a newer stream took consumer {key[1]!r} of {key[0]} over",
                    what_to_do="Only one of the two should run.",
                    code=ErrorCode.SUPERSEDED,
                )
            )
            self.release(held)
        while (closing := self._closing.get(key)) is not None:
            await asyncio.wait((closing,))

    def _closed(self, key: Key, done: asyncio.Task[None]) -> None:
        if self._closing.get(key) is done:
            del self._closing[key]

    def require_serving(self) -> None:
        """Raise UnreachableError DRAINING where the broker is about to stop."""
        if self._draining:
            raise UnreachableError(
                "the broker is about to stop",
                what_to_do="Try again in a few seconds.",
                code=ErrorCode.DRAINING,
                retry_after_seconds=_DRAIN_RETRY_SECONDS,
            )

    # --- what happens elsewhere -------------------------------------------------------------------------------------

    def brought(self, agreement_id: str, batch: bytes, made: Placed) -> None:
        """Take that a segment was admitted with that batch signature: it is at hand for whoever is about to get it."""
        self.shared.shelf.put(agreement_id, made.row, batch)
        inboxes = {one.node: one for one in made.inboxes}
        for session in self._sessions.values():
            if made.lane is not None:
                session.brought(agreement_id, made.lane, inboxes.get(session.to.node))

    def changed(self, agreement_id: str) -> None:
        """Take that an agreement's state changed, or that there is a new one."""
        for session in self._sessions.values():
            session.changed(agreement_id)
        self._joining.add(agreement_id)
        self._wake.set()

    def look_again(self) -> None:
        """Take that something changed for every agreement."""
        for standing in self.shared.ledger.books():
            self.changed(standing.agreement_id)

    def checkpoint(self, agreement_id: str, note: bytes) -> None:
        """Take a new checkpoint of an agreement's log; of the key log where the id is empty."""
        for session in self._sessions.values():
            session.checkpoint(agreement_id, note)

    async def replayed(self, key: Key, agreement_id: str, lane: int, item: int, slots: Collection[int]) -> None:
        """Have a connected consumer get again what was parked."""
        session = self._sessions.get(key)
        if session is not None:
            await session.replayed(agreement_id, lane, item, slots)

    def dropped(self, key: Key, agreement_id: str, item: int, slots: Collection[int]) -> None:
        """Tell a connected consumer's session that what was parked is given up."""
        session = self._sessions.get(key)
        if session is not None:
            session.dropped(agreement_id, item, slots)

    async def run(self) -> None:
        """Wake sessions and watch them, until cancelled."""
        watching = asyncio.get_running_loop().create_task(self._watch())
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                try:
                    await self._join()
                except ComityError as error:
                    _LOG.error("dispatch_failed", extra={"code": error.code.name, "reason": error.message})
        finally:
            watching.cancel()

    async def _join(self) -> None:
        while self._joining:
            agreement_id = self._joining.pop()
            standing = self.shared.ledger.standing(agreement_id)
            for session in list(self._sessions.values()):
                asked = session.to.exercise == is_exercise(agreement_id)
                if standing is not None and asked and session.to.party in standing.first.parties:
                    await session.add_desk(agreement_id)

    # --- watching and ending ----------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(min(_WATCH_SECONDS, self.shared.settings.stalled_after))
            self.look_for_stalled()

    def look_for_stalled(self) -> list[Key]:
        """Give, and log once each, consumers that got nothing for a long time though they have backlog and credit.

        So it is where what was handed over is not taken off the stream either.
        """
        before = self.shared.clock.monotonic() - self.shared.settings.stalled_after
        stalled = [
            key
            for key, session in self._sessions.items()
            if session.delivered_at <= before and (session.unwritten or (session.has_credit and session.waiting))
        ]
        for node, consumer in stalled:
            if (node, consumer) not in self._stalled:
                _LOG.error("consumer_stalled", extra={"node": node, "consumer": consumer})
        self._stalled = set(stalled)
        return stalled

    async def drain(self, seconds: float) -> None:
        """Hand over nothing more, wait at most so long for what is out to be answered, then end every stream."""
        self._draining = True
        until = self.shared.clock.monotonic() + seconds
        for session in self._sessions.values():
            session.drain()
        while self._sessions and (left := until - self.shared.clock.monotonic()) > 0:
            self._left.clear()
            waiting = asyncio.get_running_loop().create_task(self._left.wait())
            await asyncio.wait((waiting,), timeout=left)
            waiting.cancel()
        for session in list(self._sessions.values()):
            session.end(
                UnreachableError(
                    "the broker stops; what was not answered is handed over again",
                    what_to_do="Connect again in a few seconds.",
                    code=ErrorCode.DRAINING,
                    retry_after_seconds=_DRAIN_RETRY_SECONDS,
                )
            )
        while self._closing:
            await asyncio.wait(list(self._closing.values()))

    async def status(self) -> list[ConsumerStatus]:
        """Give a line for every consumer there ever was."""
        stalled = self.look_for_stalled()
        lines: list[ConsumerStatus] = []
        for row in await self.shared.reader.consumers():
            key = (row.node, row.consumer)
            session = self._sessions.get(key)
            since = self._delivered_ms(session) if session is not None and key in stalled else 0
            lines.append(await consumer_status(self.shared, self._ages, row, session, since))
        return lines

    def _delivered_ms(self, session: Session) -> int:
        clock = self.shared.clock
        return clock.now_ms() - int((clock.monotonic() - session.delivered_at) * 1000)


def _traced(shared: Shared, tracer: Tracer) -> Shared:
    return replace(shared, journal=TracedJournal(shared.journal, tracer))


def _busy(key: Key) -> ConflictError:
    return ConflictError(
        f"another stream holds consumer {key[1]!r} of {key[0]}",
        what_to_do="End it, take the consumer over (take_over), or use a consumer of another name.",
        code=ErrorCode.CONSUMER_BUSY,
        retry_after_seconds=_BUSY_RETRY_SECONDS,
    )
