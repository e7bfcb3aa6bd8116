"""Beginning the exercises of agreements, and having their logs follow what changes an agreement (`exercises` says by which rules)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from comity.identity.directory import KeyDirectory
from comity.identity.names import exercise_of
from comity.suites import RandomBytes
from comity_broker.clock import BrokerClock
from comity_broker.entries import Salts
from comity_broker.exercises import ExerciseStanding, beginning, following_agreement
from comity_broker.finishing import Finishing
from comity_broker.journal import Journal
from comity_broker.ledger import Ledger
from comity_broker.logs import Logs
from comity_broker.outcomes import settled
from comity_broker.standing import Standing
from comity_broker.storage.protocol import Reader, Unit
from comity_policy.lifecycle import LogTerms

_ANCHOR_KEY: Final = 32


@dataclass(slots=True)
class Exercises:
    """Every exercise of this broker. `insist` commits a unit that has no caller to come again."""

    ledger: Ledger
    keys: KeyDirectory
    journal: Journal
    logs: Logs
    reader: Reader
    clock: BrokerClock
    random_bytes: RandomBytes
    insist: Callable[[Unit[tuple[int, int]]], Awaitable[tuple[int, int]]]
    _turns: dict[str, asyncio.Lock] = field(default_factory=dict)
    _beginning: Finishing = field(default_factory=Finishing)

    async def get(self, real: Standing) -> ExerciseStanding:
        """Give an agreement's exercise; its log begins where it has none. Raises StorageError, ConflictError STATE_CHANGED."""
        async with self._turn(real.agreement_id):
            known = self.ledger.exercise(real.agreement_id)
        if known is not None:
            return known
        # A sender may go away between the commit and the ledger, which would then never know of the log.
        return await self._beginning.whole(real.agreement_id, lambda: self._begun_once(real))

    async def _begun_once(self, real: Standing) -> ExerciseStanding:
        async with self._turn(real.agreement_id):
            known = self.ledger.exercise(real.agreement_id)
            return known or await self._begun(real)

    async def _begun(self, real: Standing) -> ExerciseStanding:
        name = exercise_of(real.agreement_id)
        exercise = ExerciseStanding.of(real, self.logs.origin(name))
        slot = 1 + len(self.ledger.books())
        terms = LogTerms(exercise.origin, self.logs.vkeys(name), slot, self.random_bytes(_ANCHOR_KEY).hex())
        log = self.logs.open(name, real.parties, create=True)
        salts, changed_at = Salts.draw(log, 2, self.random_bytes), real.changed_at
        build = beginning(exercise, log, salts, terms, now=self.clock.now_ms(), key_log_size=self.keys.size)
        unit = Unit(name, build, urgency=0, create=True, expected_epoch=0, beside=exercise.beside)
        exercise.epoch = settled(await self.journal.submit(unit)).result
        exercise.followed = changed_at
        self.ledger.add(exercise)
        return exercise

    async def follow(self, agreement_id: str) -> None:
        """Have an exercise's log say as of which entry of its agreement's log it is decided, where that is another one now."""
        async with self._turn(agreement_id):
            exercise = self.ledger.exercise(agreement_id)
            while exercise is not None and exercise.lags:
                changed_at, log = exercise.real.changed_at, self.logs.log(exercise.agreement_id)
                holds = await self.reader.holds(agreement_id)
                since = [one.clauses for one in holds if exercise.followed < one.log_index <= changed_at]
                salts = Salts.draw(log, 1, self.random_bytes)
                build = following_agreement(exercise, log, salts, self.clock.now_ms(), since)
                at, epoch = await self.insist(Unit(exercise.agreement_id, build, urgency=0))
                self.clock.committed(at)
                exercise.followed = changed_at
                exercise.epoch = max(exercise.epoch, epoch)
                self.ledger.changed(exercise.agreement_id)

    def _turn(self, agreement_id: str) -> asyncio.Lock:
        return self._turns.setdefault(agreement_id, asyncio.Lock())
