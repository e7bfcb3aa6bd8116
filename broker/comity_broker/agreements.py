"""Taking texts and steps into agreements' logs (design of agreements, "Lifecycle"; design of audit, "Which logs").

A proposal opens the agreement's shard: text, entry 0 LOG_OPENED with the terms of the log, entry 1 the proposal. Every further
step is one entry and one statement in one transaction, with the text it brings, under the epoch it was checked against; it
raises the epoch, since any step can change a decision. A suspension also notes how far the items had come: what lies below and
was not handed over is held. A party's signature of the log's terms is one more LOG_OPENED entry with the same terms.

A change of an umbrella raises the epoch of every arrangement under it, by an entry UMBRELLA_CHANGED in the arrangement's own
log, before the step is answered: the next decision knows it. Whatever a crash left out is written at the next start.

To a frozen log nothing is added: a step is refused with LOG_FROZEN. A revocation stands in the key log and counts from there, so
it raises the epoch of a frozen agreement as of any other, and has no KEY_REVOKED there: LOG_FROZEN is the last entry.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Final

from comity.canonical import Json
from comity.envelope.core import LogSeen
from comity.errors import AccessError, ConflictError, ErrorCode, MalformedError, StorageError
from comity.identity.bodies import Body, Revocation
from comity.identity.capabilities import NodeCapabilities
from comity.identity.names import agreement_of, is_exercise
from comity.statement import Statement, decode
from comity.suites import RandomBytes
from comity.texts import TEXT_LIMIT, agreement_digest
from comity_broker.access import Caller
from comity_broker.agreement_rows import (
    Taken,
    failed_before,
    following,
    freezing,
    opening,
    raising,
    require_confirmed,
    require_open,
    revoking,
    stepping,
)
from comity_broker.auditlog.bodies import Caller as LogCaller
from comity_broker.auditlog.bodies import Event
from comity_broker.auditlog.kinds import SHARED, EventKind, LogKind, read_body
from comity_broker.brought import Brought, check_sizes, read_brought
from comity_broker.clock import BrokerClock
from comity_broker.continuing import continued_terms
from comity_broker.directory import Directory
from comity_broker.entries import Salts
from comity_broker.exercises import ExerciseStanding
from comity_broker.exercising import Exercises
from comity_broker.journal import Journal
from comity_broker.ledger import (
    Ledger,
    check_admissible,
    check_author,
    check_text,
    load_text,
    placed,
    read_step,
)
from comity_broker.logs import Logs
from comity_broker.outcomes import settled
from comity_broker.pace import check_pace
from comity_broker.reading_back import read_exercise, read_standing
from comity_broker.standing import Standing
from comity_broker.storage.protocol import KEYS, OPERATIONS, SESSIONS, R, Reader, Unit
from comity_policy.document import Document
from comity_policy.lifecycle import LogTerms, State, Step, StepKind

_LOG: Final = logging.getLogger(__name__)

_OWN_SHARDS: Final = frozenset({KEYS, OPERATIONS, SESSIONS})
_ANCHOR_KEY: Final = 32


class Agreements:
    """The writer of agreements' lives."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        directory: Directory,
        journal: Journal,
        logs: Logs,
        reader: Reader,
        clock: BrokerClock,
        random_bytes: RandomBytes,
        broker: str,
        operator: str,
        region: str,
    ) -> None:
        self._ledger = ledger
        self._directory = directory
        self._journal = journal
        self._logs = logs
        self._reader = reader
        self._clock = clock
        self._random_bytes = random_bytes
        self._place = (broker, operator, region)
        self._writing: dict[str, asyncio.Lock] = {}
        self._following: dict[str, asyncio.Lock] = {}
        self._exercises = Exercises(ledger, directory.keys, journal, logs, reader, clock, random_bytes, self._insist)

    # --- reading back -----------------------------------------------------------------------------------------------

    async def read_back(self) -> None:
        """Read every agreement at a start, compare its log with what was signed last, and write what a crash left out."""
        found = [
            await read_standing(head, self._reader, self._logs)
            for head in await self._reader.shards()
            if head.shard not in _OWN_SHARDS and not is_exercise(head.shard)
        ]
        # An arrangement finds its umbrella in the ledger.
        for standing in sorted(found, key=lambda one: one.first.under is not None):
            under = standing.first.under
            standing.umbrella = None if under is None else self._ledger.require(under.agreement)
            self._ledger.add(standing)
            await self._logs.check_continuity(standing.agreement_id)
        for head in await self._reader.shards():
            if is_exercise(head.shard):
                real = self._ledger.require(agreement_of(head.shard))
                self._ledger.add(await read_exercise(head, real, self._reader, self._logs))
                await self._logs.check_continuity(head.shard)
        for row in await self._reader.statements(KEYS):
            statement = decode(row.signatures)
            if statement.type == "revocation":
                await self.revoked(str(statement.fields["party"]), row.log_index, statement)
        for standing in found:
            await self._follow(standing)
            await self._exercises.follow(standing.agreement_id)

    # --- texts and steps --------------------------------------------------------------------------------------------

    async def propose(self, text: bytes, statement: Statement, caller: Caller, by: LogCaller) -> int:
        """Take a text with its first step; give the step's log index."""
        if len(text) > TEXT_LIMIT:
            raise MalformedError(f"a text has at most {TEXT_LIMIT} bytes", code=ErrorCode.LIMIT_EXCEEDED)
        document = load_text(text)
        step = read_step(statement)
        if step.kind is not StepKind.PROPOSE:
            raise MalformedError(f"a text comes with agreement-propose, not {step.kind.value}")
        if caller.party not in document.parties:
            raise AccessError(f"{caller.party} is no party of {document.id}", code=ErrorCode.NOT_A_PARTY)
        check_text(document, self._directory.keys, *self._place)
        above = self._ledger.umbrella(document, caller.party)
        async with contextlib.AsyncExitStack() as locks:
            # In one order, so that no two wait for each other; the umbrella does not change before it is named.
            for name in sorted({document.id, *(() if above is None else (above.agreement_id,))}):
                await locks.enter_async_context(self._lock(name))
            digest = agreement_digest(text)
            existing = self._ledger.standing(document.id)
            if existing is not None:
                return self._proposed_before(existing, digest, step)
            standing = Standing(text, document, digest, self._logs.origin(document.id), umbrella=above)
            now = self._clock.now_ms()
            check_author(self._directory.keys, statement, step, caller, now)
            check_admissible(standing.state(now), step)
            return await self._open(standing, Taken(step, statement, by, now, self._directory.keys.size))

    async def submit(
        self,
        agreement_id: str,
        statement: Statement,
        caller: Caller,
        by: LogCaller,
        *,
        text: bytes = b"",
        salt: bytes = b"",
    ) -> int:
        """Take a further step with what it brings; give its log index. A step that is there already is answered with its entry."""
        standing = self._ledger.require(agreement_id, caller.party)
        step = read_step(statement)
        check_sizes(step, text, salt)
        async with self._lock(agreement_id):
            for before in standing.steps:
                if before.digest == step.digest:
                    # Whoever comes again may do so because the first call ended between the two commits.
                    await self._let_follow(agreement_id)
                    return before.log_index
            require_open(agreement_id, standing.frozen_reason)
            if step.log is None:
                require_confirmed(agreement_id, standing.unconfirmed)
            now = self._clock.now_ms()
            check_pace(agreement_id, caller.party, standing.steps, now)
            check_author(self._directory.keys, statement, step, caller, now)
            brought = read_brought(standing.state(now), step, text, salt)
            state = standing.state_with(brought.texts, now)
            check_admissible(state, step)
            for document in brought.texts.values():
                self._check_carried(document, caller.party)
            if step.log is not None and step.log != await self._terms(standing):
                raise ConflictError(
                    f"these are not the terms of the log of {agreement_id} at this broker",
                    what_to_do="Fetch the agreement's log and sign the terms of its first entry.",
                )
            taken = Taken(step, statement, by, now, self._directory.keys.size)
            log_index = await self._commit(standing, state, taken, brought)
            await self._let_follow(agreement_id)
            return log_index

    def _check_carried(self, document: Document, party: str) -> None:
        check_text(document, self._directory.keys, *self._place)
        self._ledger.umbrella(document, party)

    def _proposed_before(self, existing: Standing, digest: bytes, step: Step) -> int:
        if existing.first_digest == digest:
            for before in existing.steps:
                if before.digest == step.digest:
                    return before.log_index
        raise ConflictError(
            f"{existing.agreement_id} has been proposed here already",
            what_to_do="Look at it: comity agreement show. Another text takes another id.",
        )

    async def _open(self, standing: Standing, taken: Taken) -> int:
        agreement_id = standing.agreement_id
        slot = 1 + len(self._ledger.books())
        terms = LogTerms(standing.origin, self._logs.vkeys(agreement_id), slot, self._random_bytes(_ANCHOR_KEY).hex())
        # The file that names what was signed last comes first: a log without one signs nothing.
        log = self._logs.open(agreement_id, standing.parties, create=True)
        salts = Salts.draw(log, 2 if standing.umbrella is None else 3, self._random_bytes)
        standing.umbrella_at = 0 if standing.umbrella is None else standing.umbrella.changed_at
        unit = Unit(agreement_id, opening(standing, log, salts, taken, terms), urgency=0, create=True)
        log_index, at, epoch = settled(await self._journal.submit(unit)).result
        self._clock.committed(at)
        standing.with_step(placed(taken.step, log_index, at), epoch)
        self._ledger.add(standing)
        return log_index

    async def _commit(self, standing: Standing, state: State, taken: Taken, brought: Brought) -> int:
        log = self._logs.log(standing.agreement_id)
        salts = Salts.draw(log, 1, self._random_bytes)
        build = stepping(state, log, salts, taken, brought)
        unit = Unit(standing.agreement_id, build, urgency=0, expected_epoch=standing.epoch)
        log_index, at, epoch = settled(await self._journal.submit(unit)).result
        self._clock.committed(at)
        step = placed(taken.step, log_index, at)
        standing.texts.update(brought.texts)
        if brought.caveat is not None:
            standing.caveats[step.caveat_digest] = brought.caveat.text
        standing.with_step(step, epoch)
        self._ledger.changed(standing.agreement_id)
        return log_index

    async def terms(self, agreement_id: str) -> LogTerms:
        """Give the terms of an agreement's log, as its first entry says them."""
        return await self._terms(self._ledger.require(agreement_id))

    async def _terms(self, standing: Standing) -> LogTerms:
        first = self._logs.first(standing.agreement_id)
        bodies = await self._reader.bodies(standing.agreement_id, [first], ["shared"])
        if standing.continued:
            return continued_terms(bodies[0].body)
        body = read_body(LogKind.AGREEMENT, EventKind.LOG_OPENED.value, SHARED, bodies[0].body)
        return LogTerms(
            str(body["origin"]),
            tuple(str(one) for one in _listed(body["log_vkeys"])),
            _number(body["anchor_slot"]),
            str(body["anchor_key"]),
        )

    # --- what changes from elsewhere --------------------------------------------------------------------------------

    async def keys_changed(self, body: Body, key_log_index: int, statement: Statement) -> None:
        """Raise the epoch of every agreement of a party whose keys changed; a revocation gets its entry there.

        What a node says that it can concerns only those that ask it.
        """
        if isinstance(body, Revocation):
            await self.revoked(body.party, key_log_index, statement)
            return
        for standing in self._ledger.books(body.party):
            if isinstance(body, NodeCapabilities) and not standing.may_set_floor:
                continue
            self._raised(standing, await self._insist(Unit(standing.agreement_id, raising, urgency=0)))

    async def revoked(self, party: str, key_log_index: int, statement: Statement) -> None:
        """Raise the epoch of every agreement of a party whose log lacks a revocation, and write KEY_REVOKED where it is open."""
        for standing in self._ledger.standings(party):
            written = await self._reader.statements(standing.agreement_id)
            if any(one.body == statement.body for one in written):
                continue
            log = self._logs.log(standing.agreement_id)
            salts = Salts.draw(log, 1, self._random_bytes)
            build = revoking(log, salts, self._clock.now_ms(), key_log_index, statement)
            log_index, at, epoch = await self._insist(Unit(standing.agreement_id, build, urgency=0))
            self._clock.committed(at)
            standing.changed_at = max(standing.changed_at, log_index)
            self._raised(standing, epoch)
            await self._let_follow(standing.agreement_id)

    async def _let_follow(self, agreement_id: str) -> None:
        """Let an agreement's exercise follow it, and an umbrella's arrangements with theirs."""
        await self._exercises.follow(agreement_id)
        for below in self._ledger.arrangements(agreement_id):
            await self._follow(below)
            await self._exercises.follow(below.agreement_id)

    async def exercise(self, real: Standing) -> ExerciseStanding:
        """Give an agreement's exercise; its log begins where it has none. Raises StorageError, ConflictError STATE_CHANGED."""
        return await self._exercises.get(real)

    async def _follow(self, standing: Standing) -> None:
        """Let an arrangement follow its umbrella, where that has changed since its log said so last."""
        umbrella = standing.umbrella
        if umbrella is None:
            return
        async with self._following.setdefault(standing.agreement_id, asyncio.Lock()):
            while standing.umbrella_at < umbrella.changed_at:
                changed_at, log = umbrella.changed_at, self._logs.log(standing.agreement_id)
                salts = Salts.draw(log, 1, self._random_bytes)
                suspended = umbrella.suspended_since(standing.umbrella_at)
                build = following(umbrella, log, salts, self._clock.now_ms(), suspended)
                log_index, at, epoch = await self._insist(Unit(standing.agreement_id, build, urgency=0))
                self._clock.committed(at)
                standing.umbrella_at = changed_at
                standing.changed_at = max(standing.changed_at, log_index)
                self._raised(standing, epoch)

    def _raised(self, standing: Standing, epoch: int) -> None:
        standing.epoch = max(standing.epoch, epoch)
        self._ledger.changed(standing.agreement_id)

    async def _insist(self, unit: Unit[R]) -> R:
        """Commit a unit that has no caller to come again, however long the disk is full; raises what waiting does not mend."""
        waited = 0
        while True:
            try:
                result = settled(await self._journal.submit(unit)).result
            except StorageError as error:
                if error.code is not ErrorCode.STORAGE_FULL:
                    raise
                waited += 1
                _LOG.error("agreement_waits_for_room", extra={"log": unit.shard})
                await asyncio.sleep(error.retry_after_seconds or 0)
            else:
                if waited:
                    await self._failed_before(unit.shard, waited)
                return result

    async def _failed_before(self, shard: str, times: int) -> None:
        """Write to a log that it could not be written for a while."""
        log = self._logs.log(shard)
        build = failed_before(log, Salts.draw(log, 1, self._random_bytes), self._clock.now_ms(), times)
        try:
            settled(await self._journal.submit(Unit(shard, build, urgency=0)))
        except StorageError as error:
            # What had to wait is written: that it waited must not undo it.
            _LOG.error("audit_failure_not_logged", extra={"log": shard, "code": error.code.name})

    async def freeze(self, shard: str, reason: str, shown: Callable[[int, LogSeen], Event] | None = None) -> None:
        """Freeze a log: nothing is accepted or handed over under it from here on. The reason stays with its head.

        `shown` makes the event that stands before LOG_FROZEN, of its time and of what this log is then.
        """
        standing = self._ledger.standing(shard)
        if standing is not None:
            standing.frozen_reason = standing.frozen_reason or reason
        log = self._logs.log(shard)
        salts = Salts.draw(log, 1 if shown is None else 2, self._random_bytes)
        unit = Unit(shard, freezing(log, salts, self._clock.now_ms(), reason, shown), urgency=0)
        epoch = settled(await self._journal.submit(unit)).result
        if standing is not None:
            self._raised(standing, epoch)

    def _lock(self, agreement_id: str) -> asyncio.Lock:
        return self._writing.setdefault(agreement_id, asyncio.Lock())


def _listed(value: Json) -> list[Json]:
    if not isinstance(value, list):
        raise MalformedError("a logged body has another shape than its kind")
    return value


def _number(value: Json) -> int:
    if not isinstance(value, int):
        raise MalformedError("a logged body has another shape than its kind")
    return value
