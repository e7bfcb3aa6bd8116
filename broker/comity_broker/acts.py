"""Taking officers' acts into agreements' logs: declarations, reviews, certificates, cases, attestations, contacts.

In order, for an act: its officer is the caller, or signed what a node of its party brings of reading and acting, and holds its role for
this agreement; everybody it names as a signer, and nobody
else, signed it with a key that counts and is accredited for this agreement; the rules admit it (`comity_policy.act_rules`); what it says of reports is so: they were
admitted from that originator and handed to that holder. Then it is one entry and one statement in one transaction, at the time that
the rules were asked about or later. An act raises no epoch: what a declaration allows is a fact of each decision.

The acts of each agreement are kept in memory, by the log's order; `read_back` reads them at a start. Of what officers said of reading
and acting only what `handlings` keeps is: there may be as many as reports.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from comity.errors import AccessError, ComityError, ErrorCode, KeyFault, MalformedError, NotFoundError, StorageError
from comity.identity.names import IdentityKind
from comity.identity.offices import in_office
from comity.statement import Statement, decode, encode, verify_signature_of
from comity.suites import KeyRole, RandomBytes
from comity_broker.access import Caller
from comity_broker.auditlog.acts import act_taken
from comity_broker.auditlog.bodies import Caller as LogCaller
from comity_broker.clock import BrokerClock
from comity_broker.directory import Directory
from comity_broker.entries import Salts, add_events
from comity_broker.evidence import EvidenceView
from comity_broker.handlings import Handlings
from comity_broker.journal import Journal
from comity_broker.ledger import Ledger, transition_error
from comity_broker.log_facts import LogFacts
from comity_broker.logs import Logs
from comity_broker.outcomes import settled
from comity_broker.pace import check_pace
from comity_broker.standing import Standing
from comity_broker.storage.protocol import Head, Known, Reader, Reads, Rows, StatementRow, Unit
from comity_policy.act_rules import admissible
from comity_policy.acts import Act, ActError, ActKind, act_kind
from comity_policy.transitions import TransitionError

_TRIES: Final = 3


def read_act(statement: Statement, *, log_index: int = 0, at_ms: int = 0) -> Act:
    """Give the act a statement says; raises MalformedError."""
    try:
        return Act.from_body(statement.fields, digest=statement.digest.hex(), log_index=log_index, at_ms=at_ms)
    except ActError as error:
        raise MalformedError(f"the act does not read: {error}", code=ErrorCode.STATEMENT_REJECTED) from error


@dataclass(slots=True)
class Acts:
    """The writer of acts, and what was taken. Listeners get each act with its place, after it is durable."""

    ledger: Ledger
    directory: Directory
    journal: Journal
    logs: Logs
    reader: Reader
    clock: BrokerClock
    random_bytes: RandomBytes
    _taken: dict[str, list[Act]] = field(default_factory=dict)
    _writing: dict[str, asyncio.Lock] = field(default_factory=dict)
    _listeners: list[Callable[[Act], None]] = field(default_factory=list)
    _declared_with: dict[str, bytes] = field(default_factory=dict)
    _handlings: Handlings = field(default_factory=Handlings)

    def of(self, agreement_id: str) -> Sequence[Act]:
        """Give the acts under an agreement, in the log's order, without those of reading and acting."""
        return self._taken.get(agreement_id, ())

    def on_act(self, listener: Callable[[Act], None]) -> None:
        """Call `listener` with each act that the log took."""
        self._listeners.append(listener)

    async def read_back(self) -> None:
        """Read the acts of every agreement at a start, after the agreements."""
        for standing in self.ledger.standings():
            rows = await self.reader.statements(standing.agreement_id)
            for row in rows:
                statement = decode(row.signatures)
                if act_kind(statement.type) is not None:
                    self._take(read_act(statement, log_index=row.log_index, at_ms=row.at_ms), statement)

    async def submit(self, agreement_id: str, statement: Statement, caller: Caller, by: LogCaller) -> int:
        """Take an act; give its log index. One that is there already is answered with its entry."""
        standing = self.ledger.require(agreement_id, caller.party)
        act = read_act(statement)
        async with self._writing.setdefault(agreement_id, asyncio.Lock()):
            before = self._entry_of(act)
            if before is not None:
                return before
            self._check_pace(act, caller)
            placed = await self._checked_and_committed(standing, statement, act, caller, by)
            self._take(placed, statement)
        # What was read is followed with the next beat: as many say so as reports come.
        for listener in () if act.kind.of_handling else self._listeners:
            listener(placed)
        return placed.log_index

    def _entry_of(self, act: Act) -> int | None:
        if act.kind.of_handling:
            return self._handlings.entry(act)
        return next((one.log_index for one in self.of(act.agreement_id) if one.digest == act.digest), None)

    def _check_pace(self, act: Act, caller: Caller) -> None:
        now = self.clock.now_ms()
        if act.kind.of_handling:
            self._handlings.check_pace(act, now)
        else:
            check_pace(act.agreement_id, caller.party, self.of(act.agreement_id), now)

    async def _checked_and_committed(
        self, standing: Standing, statement: Statement, act: Act, caller: Caller, by: LogCaller
    ) -> Act:
        """Check an act and commit it; where the agreement's state changed meanwhile, check it again."""
        for again in reversed(range(_TRIES)):
            now, epoch = self.clock.now_ms(), standing.epoch
            self._check_signers(statement, act, caller, now)
            self._check_admissible(standing, act, now)
            await self._check_reports(standing, act, now)
            try:
                return await self._commit(standing, statement, act, by, epoch)
            except ComityError as error:
                if error.code is not ErrorCode.STATE_CHANGED or not again:
                    raise
        raise AssertionError("the last try returns or raises")

    def counts(self, declaration: Act, now_ms: int) -> bool:
        """Say whether who declared is a duty officer for the agreement still, and the key that signed it counts now."""
        key = self._declared_with[declaration.digest]
        office = (declaration.officer, key, declaration.role, declaration.agreement_id)
        return in_office(self.directory.keys, *office, now_ms=now_ms)

    def _take(self, act: Act, statement: Statement) -> None:
        if act.kind.of_handling:
            self._handlings.take(act, self.clock.now_ms())
            return
        self._taken.setdefault(act.agreement_id, []).append(act)
        if act.kind is ActKind.DECLARE:
            self._declared_with[act.digest] = statement.signatures[0].key

    # --- checks -----------------------------------------------------------------------------------------------------

    def _check_signers(self, statement: Statement, act: Act, caller: Caller, now_ms: int) -> None:
        brings = act.officer == str(caller.identity) or (
            act.kind.of_handling and caller.identity.kind is IdentityKind.NODE
        )
        if not brings or act.party != caller.party:
            raise AccessError(
                f"{caller.identity} brings an act of {act.officer}",
                what_to_do="Each officer submits what it signed itself.",
                code=ErrorCode.ACTING_FOR_ANOTHER,
            )
        if len(statement.signatures) != len(act.signers):
            raise _not_signed(f"{act.kind.value} is signed by those it names, once each, and nobody else")
        for name in sorted(act.signers):
            self._check_signer(statement, act, name, now_ms)

    def _check_signer(self, statement: Statement, act: Act, name: str, now_ms: int) -> None:
        keys, party, officer = self.directory.keys, *name.split("/")
        record = keys.officer(party, officer)
        if record is None or party != act.party:
            raise KeyFault(f"{name} is no accredited officer of {act.party}", code=ErrorCode.IDENTITY_UNKNOWN)
        keys.require_current(record, now_ms)
        signing = [key for key in record.keys_of(KeyRole.OFFICER_SIGNING) if keys.counts(key.fingerprint)]
        if not any(verify_signature_of(statement, key.fingerprint, key.suite, key.public) for key in signing):
            raise _not_signed(f"no current key of {name} signed this act")
        if not record.acts_under(act.agreement_id):
            raise AccessError(
                f"{name} is not accredited for {act.agreement_id}, and so is no witness under it",
                what_to_do=f"comity officer accredit {name} --role {act.role.word} --agreement {act.agreement_id}",
            )
        if name == act.officer and not record.holds(act.role, act.agreement_id):
            raise AccessError(
                f"{name} is not accredited as {act.role.word} for {act.agreement_id}",
                what_to_do=f"comity officer accredit {name} --role {act.role.word}",
            )

    def _check_admissible(self, standing: Standing, act: Act, now_ms: int) -> None:
        try:
            above = standing.umbrella_state(now_ms)
            admissible(act, standing.state(now_ms), self.of(act.agreement_id), now_ms, above)
        except TransitionError as error:
            raise transition_error(error) from error

    async def _check_reports(self, standing: Standing, act: Act, now_ms: int) -> None:
        """Check that each report was admitted under this agreement from that originator, and handed to that holder."""
        if not act.kind.between:
            return
        certified = act.kind is ActKind.CERTIFY
        holder, originator = (act.party, act.originator) if act.kind.by_holder else (act.holder, act.party)
        ids = [bytes.fromhex(report) for report in act.reports]
        known = (await self.reader.known(act.agreement_id, Reads(report_ids=ids))).reports
        segments = await self.reader.segments(act.agreement_id, sorted({row.item for row in known.values()}))
        view = await EvidenceView.of(self.reader, act.agreement_id, holder)
        state = standing.state(now_ms)
        holds = state.holds()
        if certified and holds.entries:
            facts = LogFacts(self.reader, act.agreement_id, standing.parties)
            holds = state.holds(await facts.speaking(holds.entries))
        for report, leaf in zip(act.reports, act.leaves, strict=True):
            row = known.get(bytes.fromhex(report))
            segment = None if row is None else segments.get(row.item)
            there = row is not None and segment is not None and row.leaf.hex() == leaf
            if row is None or segment is None or not there or view.originator(segment) != originator:
                raise _not_held(report, holder, originator)
            if row.slot not in await view.handed(segment):
                raise _not_held(report, holder, originator)
            if certified and holds.on(report, leaf, row.log_index):
                raise AccessError(
                    f"an open dispute holds an entry or decision about report {report}: nothing of it is destroyed",
                    what_to_do="Wait until both parties have closed it: comity agreement show.",
                    code=ErrorCode.TRANSITION_NOT_ALLOWED,
                )

    # --- writing ----------------------------------------------------------------------------------------------------

    async def _commit(self, standing: Standing, statement: Statement, act: Act, by: LogCaller, epoch: int) -> Act:
        log = self.logs.log(standing.agreement_id)
        salts = Salts.draw(log, 1, self.random_bytes)
        now, key_log_size = self.clock.now_ms(), self.directory.keys.size
        digest = bytes.fromhex(act.agreement_digest)

        def build(head: Head, _: Known) -> Rows[tuple[int, int]]:
            if head.frozen_reason:
                raise StorageError(
                    f"the log of {head.shard} is frozen: {head.frozen_reason}",
                    what_to_do="No act is taken under it. Compare both parties' mirrors of the log.",
                    code=ErrorCode.LOG_FROZEN,
                )
            at = max(head.broker_time, now)
            rows = Rows(replace(head, broker_time=at), (head.leaf_next, at))
            event = act_taken(
                act,
                time=at,
                caller=by,
                key_log_size=key_log_size,
                state_epoch=head.state_epoch,
                agreement_digest=digest,
                statement=statement,
            )
            add_events(rows, log, [event], salts)
            rows.statements.append(StatementRow(head.leaf_next, at, statement.body, encode(statement)))
            return rows

        # Urgent as a step is: what an emergency needs does not wait behind what is routine. What was read is not.
        unit = Unit(standing.agreement_id, build, urgency=3 if act.kind.of_handling else 0, expected_epoch=epoch)
        log_index, at = settled(await self.journal.submit(unit)).result
        self.clock.committed(at)
        return replace(act, log_index=log_index, at_ms=at)


def _not_signed(problem: str) -> KeyFault:
    return KeyFault(
        problem,
        what_to_do="Sign it with the officers' keys that are accredited now.",
        code=ErrorCode.STATEMENT_REJECTED,
    )


def _not_held(report: str, holder: str, originator: str) -> NotFoundError:
    return NotFoundError(
        f"{holder} was handed no report {report} of {originator} with that leaf under this agreement",
        what_to_do="comity report list shows those there are; an act names each with the leaf shown there.",
        code=ErrorCode.REPORT_UNKNOWN,
    )
