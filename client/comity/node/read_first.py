"""Saying that an officer has read a report, before the report is acknowledged (design 04).

Rules in order:
1. It is said where the agreement has it that originators are told: its governing version has a clause on precedence. Nothing is
   said of an instruction to nodes, nor by an officer without a role to say it in.
2. An acknowledgement goes on once the log has that the report was read: who is killed in between is handed the report again, and
   says it again. So no reading that counts for the clock is lost, without a file of its own.
3. What is read while something is being said is said together afterwards, at most `AT_ONCE` reports of one originator.
4. A broker that is away is waited for; who leaves waits at most `CLOSE_SECONDS`. What the broker refuses is an alarm, and the
   acknowledgement goes on: a word that it does not take is no reason to be handed the report again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from typing import Final

from comity.errors import ComityError, UnreachableError
from comity.node.alarms import AlarmKind
from comity.node.background import Background
from comity.node.delivery import CLASSES, Delivery, Desk, through
from comity.node.mirror import Mirror
from comity.node.officer_says import OfficerSays
from comity_policy.acts import ActKind

AT_ONCE: Final = 64
CLOSE_SECONDS: Final = 5.0
AGAIN_SECONDS: Final = 0.25
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Read:
    desk: Desk
    delivery: Delivery
    waiter: asyncio.Future[None] | None

    @property
    def about(self) -> tuple[str, str]:
        """Give under which agreement, and of which party's."""
        return self.delivery.agreement_id, self.delivery.origin.partition("/")[0]

    def goes_on(self) -> None:
        """Let the acknowledgement go on."""
        self.desk.acknowledged(self.delivery, self.waiter)


class ReadFirst:
    """Says what one officer read at one consumer; `close` it before the receiver."""

    def __init__(self, says: OfficerSays, mirror: Mirror) -> None:
        self._says = says
        self._mirror = mirror
        self._waiting: deque[_Read] = deque()
        self._came = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._failure: Exception | None = None
        self._background = Background(self._failed)
        self._told: dict[str, tuple[int, bool]] = {}

    def start(self) -> None:
        """Say what is read from now on."""
        self._background.start(self._run(), "say-read")

    def take(self, delivery: Delivery) -> Delivery:
        """Give a delivery whose acknowledgement is said first; raises what ended the saying."""
        if self._failure is not None:
            raise self._failure
        if delivery.exercise or not delivery.transport_class % CLASSES or not self._is_told(delivery.agreement_id):
            return delivery
        return through(delivery, lambda desk: _Before(self, desk))

    def read(self, desk: Desk, delivery: Delivery, waiter: asyncio.Future[None] | None) -> None:
        """Take that the officer has read a report."""
        self._waiting.append(_Read(desk, delivery, waiter))
        self._idle.clear()
        self._came.set()

    async def close(self) -> None:
        """Wait until what was read is said, at most so long; what could not be said is not acknowledged either."""
        try:
            if self._failure is None:
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._idle.wait()
        except TimeoutError:
            _LOG.warning("reading_not_said", extra={"count": len(self._waiting)})
        finally:
            await self._background.close()
            for one in self._waiting:
                if one.waiter is not None:
                    one.waiter.cancel()

    # --- saying -----------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            self._came.clear()
            while self._waiting:
                some = self._next()
                await self._say(some)
                for one in some:
                    self._waiting.remove(one)
                    one.goes_on()
            self._idle.set()
            await self._came.wait()

    def _next(self) -> list[_Read]:
        about = self._waiting[0].about
        return [one for one in self._waiting if one.about == about][:AT_ONCE]

    async def _say(self, some: list[_Read]) -> None:
        agreement_id, originator = some[0].about
        named = [(one.delivery.report_id.hex(), one.delivery.report.leaf.hex()) for one in some]
        while True:
            try:
                await self._says.say(ActKind.READ, agreement_id, originator, list(dict.fromkeys(named)))
            except UnreachableError as error:
                _LOG.info("reading_waits", extra={"reason": error.message})
                await asyncio.sleep(AGAIN_SECONDS)
            except ComityError as error:
                for report, _ in named:
                    self._mirror.raise_alarm(AlarmKind.READING_REFUSED, agreement_id, f"report {report}", error.message)
                return
            else:
                return

    def _is_told(self, agreement_id: str) -> bool:
        version, told = self._told.get(agreement_id, (-1, False))
        if version != self._mirror.version:
            told = self._says.tells(agreement_id)
            self._told[agreement_id] = self._mirror.version, told
        return told

    def _failed(self, error: Exception) -> None:
        self._failure = self._failure or error
        self._idle.set()


class _Before:
    """A desk before the receiver's own: of an acknowledgement it is said first that the report was read."""

    __slots__ = ("_desk", "_says")

    def __init__(self, says: ReadFirst, desk: Desk) -> None:
        self._says = says
        self._desk = desk

    def acknowledged(self, delivery: Delivery, waiter: asyncio.Future[None] | None) -> None:
        self._says.read(self._desk, delivery, waiter)

    def taken(self, delivery: Delivery, waiter: asyncio.Future[None] | None) -> None:
        self._desk.taken(delivery, waiter)

    def parked(self, delivery: Delivery, reason: str) -> None:
        self._desk.parked(delivery, reason)

    def given_back(self, delivery: Delivery, after_seconds: float) -> None:
        self._desk.given_back(delivery, after_seconds)
