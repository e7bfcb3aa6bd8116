"""Taking texts and steps into agreements' logs (design of agreements, "Lifecycle"; design of audit, "Which logs").

A proposal opens the agreement's shard: text, entry 0 LOG_OPENED with the terms of the log, entry 1 the proposal. Every further
step is one entry and one statement in one transaction, under the epoch it was checked against; it raises the epoch, since any
step can change a decision. A suspension also notes how far the items had come: what lies below and was not handed over is held.
A party's signature of the log's terms is one more LOG_OPENED entry with the same terms.

To a frozen log nothing is added: a step is refused with LOG_FROZEN. A revocation stands in the key log and counts from there, so
it raises the epoch of a frozen agreement as of any other, and has no KEY_REVOKED there: LOG_FROZEN is the last entry.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from comity.canonical import Json
from comity.envelope.core import LogSeen
from comity.errors import AccessError, ConflictError, ErrorCode, MalformedError, StorageError
from comity.identity.bodies import Body, Revocation
from comity.statement import Statement, decode, encode
from comity.suites import RandomBytes
from comity_broker.access import Caller
from comity_broker.agreement_rows import failed_before, revoking
from comity_broker.auditlog.bodies import BROKER, Event
from comity_broker.auditlog.bodies import Caller as LogCaller
from comity_broker.auditlog.events import (
    agreement_log_opened,
    log_frozen,
    step_taken,
)
from comity_broker.auditlog.kinds import SHARED, EventKind, LogKind, read_body
from comity_broker.clock import BrokerClock
from comity_broker.directory import Directory
from comity_broker.entries import Salts, add_events
from comity_broker.journal import Journal
from comity_broker.ledger import (
    Ledger,
    Standing,
    check_admissible,
    check_author,
    check_text,
    document_digest,
    load_text,
    placed,
    read_step,
    steps_of,
)
from comity_broker.logs import Logs
from comity_broker.outcomes import settled
from comity_broker.storage.protocol import (
    KEYS,
    OPERATIONS,
    SESSIONS,
    DocumentRow,
    Head,
    HoldRow,
    Known,
    R,
    Reader,
    Rows,
    StatementRow,
    Unit,
)
from comity_policy.lifecycle import LogTerms, Step, StepKind

_LOG: Final = logging.getLogger(__name__)

TEXT_LIMIT: Final = 1 << 20
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

    # --- reading back -----------------------------------------------------------------------------------------------

    async def read_back(self) -> None:
        """Read every agreement at a start, compare its log with what was signed last, and write what a crash left out."""
        for head in await self._reader.shards():
            if head.shard in _OWN_SHARDS:
                continue
            row = await self._reader.document(head.shard)
            if row is None:
                raise StorageError(f"the text of {head.shard} is missing")
            document = load_text(row.document)
            self._logs.open(head.shard, sorted(document.parties))
            statements = [
                (decode(one.signatures), one.log_index, one.at_ms)
                for one in await self._reader.statements(head.shard)
                if decode(one.signatures).type != "revocation"
            ]
            standing = Standing(row.document, document, row.digest, self._logs.origin(head.shard))
            standing.steps = steps_of(statements)
            standing.epoch = head.state_epoch
            standing.frozen_reason = head.frozen_reason
            self._ledger.add(standing)
            await self._logs.check_continuity(head.shard)
        await self._catch_up_revocations()

    async def _catch_up_revocations(self) -> None:
        for row in await self._reader.statements(KEYS):
            statement = decode(row.signatures)
            if statement.type == "revocation":
                await self.revoked(str(statement.fields["party"]), row.log_index, statement)

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
        async with self._lock(document.id):
            digest = document_digest(text)
            existing = self._ledger.standing(document.id)
            if existing is not None:
                return self._proposed_before(existing, digest, step)
            standing = Standing(text, document, digest, self._logs.origin(document.id))
            check_author(self._directory.keys, statement, step, caller, self._clock.now_ms())
            check_admissible(standing.state(self._clock.now_ms()), step)
            return await self._open(standing, statement, step, by)

    async def submit(self, agreement_id: str, statement: Statement, caller: Caller, by: LogCaller) -> int:
        """Take a further step; give its log index. A step that is there already is answered with its entry."""
        standing = self._ledger.require(agreement_id, caller.party)
        step = read_step(statement)
        async with self._lock(agreement_id):
            for before in standing.steps:
                if before.digest == step.digest:
                    return before.log_index
            _require_open(agreement_id, standing.frozen_reason)
            now = self._clock.now_ms()
            check_author(self._directory.keys, statement, step, caller, now)
            check_admissible(standing.state(now), step)
            if step.log is not None and step.log != await self._terms(standing):
                raise ConflictError(
                    f"these are not the terms of the log of {agreement_id} at this broker",
                    what_to_do="Fetch the agreement's log and sign the terms of its entry 0.",
                )
            return await self._commit(standing, statement, step, by)

    def _proposed_before(self, existing: Standing, digest: bytes, step: Step) -> int:
        if existing.digest == digest:
            for before in existing.steps:
                if before.digest == step.digest:
                    return before.log_index
        raise ConflictError(
            f"{existing.agreement_id} has been proposed here already",
            what_to_do="Look at it: comity agreement show. Another text takes another id.",
        )

    async def _open(self, standing: Standing, statement: Statement, step: Step, by: LogCaller) -> int:
        agreement_id = standing.agreement_id
        slot = 1 + sum(1 for _ in self._ledger.standings())
        terms = LogTerms(standing.origin, self._logs.vkeys(agreement_id), slot, self._random_bytes(_ANCHOR_KEY).hex())
        # The file that names what was signed last comes first: a log without one signs nothing.
        log = self._logs.open(agreement_id, standing.parties, create=True)
        salts = Salts.draw(log, 2, self._random_bytes)
        now, key_log_size = self._clock.now_ms(), self._directory.keys.size

        def build(head: Head, _: Known) -> Rows[tuple[int, int, int]]:
            at = max(head.broker_time, now)
            rows = Rows(replace(head.raised(), broker_time=at), (1, at, head.state_epoch + 1))
            common = {
                "time": at,
                "caller": by,
                "key_log_size": key_log_size,
                "state_epoch": head.state_epoch + 1,
                "agreement_id": agreement_id,
                "agreement_digest": standing.digest,
            }
            opened = agreement_log_opened(terms=terms, statements=(), **common)  # type: ignore[arg-type]  # the keys above
            proposed = step_taken(step.kind, statement=statement, **common)  # type: ignore[arg-type]  # the keys above
            add_events(rows, log, [opened, proposed], salts)
            rows.documents.append(DocumentRow(standing.digest, standing.text))
            rows.statements.append(StatementRow(1, at, statement.body, encode(statement)))
            return rows

        unit = Unit(agreement_id, build, urgency=0, create=True)
        log_index, at, epoch = settled(await self._journal.submit(unit)).result
        self._clock.committed(at)
        standing.with_step(placed(step, log_index, at), epoch)
        self._ledger.add(standing)
        return log_index

    async def _commit(self, standing: Standing, statement: Statement, step: Step, by: LogCaller) -> int:
        log = self._logs.log(standing.agreement_id)
        salts = Salts.draw(log, 1, self._random_bytes)
        now, key_log_size = self._clock.now_ms(), self._directory.keys.size

        def event(at: int, epoch: int) -> Event:
            common = {
                "time": at,
                "caller": by,
                "key_log_size": key_log_size,
                "state_epoch": epoch,
                "agreement_id": standing.agreement_id,
                "agreement_digest": standing.digest,
            }
            if step.log is not None:
                return agreement_log_opened(terms=step.log, statements=(statement,), **common)  # type: ignore[arg-type]  # the keys above
            return step_taken(step.kind, statement=statement, **common)  # type: ignore[arg-type]  # the keys above

        def build(head: Head, _: Known) -> Rows[tuple[int, int, int]]:
            _require_open(head.shard, head.frozen_reason)
            at, epoch = max(head.broker_time, now), head.state_epoch + 1
            rows = Rows(replace(head.raised(), broker_time=at), (head.leaf_next, at, epoch))
            add_events(rows, log, [event(at, epoch)], salts)
            rows.statements.append(StatementRow(head.leaf_next, at, statement.body, encode(statement)))
            if step.kind is StepKind.SUSPEND:
                rows.holds.append(HoldRow(head.leaf_next, head.item_next, ",".join(step.clauses)))
            return rows

        unit = Unit(standing.agreement_id, build, urgency=0, expected_epoch=standing.epoch)
        log_index, at, epoch = settled(await self._journal.submit(unit)).result
        self._clock.committed(at)
        standing.with_step(placed(step, log_index, at), epoch)
        self._ledger.changed(standing.agreement_id)
        return log_index

    async def terms(self, agreement_id: str) -> LogTerms:
        """Give the terms of an agreement's log, as its entry 0 says them."""
        return await self._terms(self._ledger.require(agreement_id))

    async def _terms(self, standing: Standing) -> LogTerms:
        bodies = await self._reader.bodies(standing.agreement_id, [0], ["shared"])
        body = read_body(LogKind.AGREEMENT, EventKind.LOG_OPENED.value, SHARED, bodies[0].body)
        return LogTerms(
            str(body["origin"]),
            tuple(str(one) for one in _listed(body["log_vkeys"])),
            _number(body["anchor_slot"]),
            str(body["anchor_key"]),
        )

    # --- what changes from elsewhere --------------------------------------------------------------------------------

    async def keys_changed(self, body: Body, key_log_index: int, statement: Statement) -> None:
        """Raise the epoch of every agreement of a party whose keys changed; a revocation gets its entry there."""
        if isinstance(body, Revocation):
            await self.revoked(body.party, key_log_index, statement)
            return
        for standing in self._ledger.standings(body.party):

            def build(head: Head, _: Known) -> Rows[int]:
                return Rows(head.raised(), head.state_epoch + 1)

            epoch = await self._insist(Unit(standing.agreement_id, build, urgency=0))
            standing.epoch = max(standing.epoch, epoch)
            self._ledger.changed(standing.agreement_id)

    async def revoked(self, party: str, key_log_index: int, statement: Statement) -> None:
        """Raise the epoch of every agreement of a party whose log lacks a revocation, and write KEY_REVOKED where it is open."""
        for standing in self._ledger.standings(party):
            written = await self._reader.statements(standing.agreement_id)
            if any(one.body == statement.body for one in written):
                continue
            log = self._logs.log(standing.agreement_id)
            salts = Salts.draw(log, 1, self._random_bytes)
            now = self._clock.now_ms()
            unit = Unit(standing.agreement_id, revoking(log, salts, now, key_log_index, statement), urgency=0)
            at, epoch = await self._insist(unit)
            self._clock.committed(at)
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
        now = self._clock.now_ms()

        def build(head: Head, _: Known) -> Rows[int]:
            if head.frozen_reason:
                return Rows(head, head.state_epoch)
            at = max(head.broker_time, now)
            rows = Rows(replace(head.raised(), broker_time=at, frozen_reason=reason), head.state_epoch + 1)
            own = LogSeen(head.incarnation, head.leaf_next, head.root)
            before = [] if shown is None else [shown(at, own)]
            add_events(rows, log, [*before, log_frozen(time=at, caller=BROKER, reason=reason)], salts)
            return rows

        epoch = settled(await self._journal.submit(Unit(shard, build, urgency=0))).result
        if standing is not None:
            standing.epoch = max(standing.epoch, epoch)
            self._ledger.changed(shard)

    def _lock(self, agreement_id: str) -> asyncio.Lock:
        return self._writing.setdefault(agreement_id, asyncio.Lock())


def _require_open(agreement_id: str, frozen_reason: str) -> None:
    if frozen_reason:
        raise StorageError(
            f"the log of {agreement_id} is frozen: {frozen_reason}",
            what_to_do="No step is taken under it. Compare both parties' mirrors of the log; reading and verification go on.",
            code=ErrorCode.LOG_FROZEN,
        )


def _listed(value: Json) -> list[Json]:
    if not isinstance(value, list):
        raise MalformedError("a logged body has another shape than its kind")
    return value


def _number(value: Json) -> int:
    if not isinstance(value, int):
        raise MalformedError("a logged body has another shape than its kind")
    return value
