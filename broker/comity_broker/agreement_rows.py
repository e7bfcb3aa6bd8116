"""What an agreement's shard gets: its opening, its steps, revocations, changes of its umbrella, its end by freezing.

Each function gives the build of a unit, which is pure. To a frozen log nothing is added; what else a unit changes, it changes
there too. A step is judged again at the time it is written at: of what a moment decides, that moment decides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from comity.envelope.core import LogSeen
from comity.errors import ErrorCode, StorageError
from comity.statement import Statement, encode
from comity_broker.auditlog.bodies import BROKER, Event
from comity_broker.auditlog.bodies import Caller as LogCaller
from comity_broker.auditlog.events import (
    agreement_log_opened,
    audit_failure,
    key_revoked_in_agreement,
    log_frozen,
    step_taken,
    umbrella_changed,
)
from comity_broker.auditlog.log import Log
from comity_broker.brought import Brought
from comity_broker.entries import Salts, add_events
from comity_broker.ledger import check_admissible
from comity_broker.standing import Standing
from comity_broker.storage.protocol import (
    Build,
    DocumentRow,
    Head,
    HoldRow,
    Known,
    Rows,
    StatementRow,
    UmbrellaRow,
)
from comity_policy.lifecycle import LogTerms, State, Step, StepKind

Place = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Taken:
    """A step that is about to be written: who brought it, when, and how many entries the key log had."""

    step: Step
    statement: Statement
    by: LogCaller
    now_ms: int
    key_log_size: int


def opening(standing: Standing, log: Log, salts: Salts, taken: Taken, terms: LogTerms) -> Build[Place]:
    """Write the terms of the log, the proposal, and for an arrangement its umbrella; gives the step's index, time, epoch."""
    umbrella = standing.umbrella

    def build(head: Head, _: Known) -> Rows[Place]:
        at, epoch = max(head.broker_time, taken.now_ms), head.state_epoch + 1
        rows = Rows(replace(head.raised(), broker_time=at), (1, at, epoch))
        common = {
            "time": at,
            "caller": taken.by,
            "key_log_size": taken.key_log_size,
            "state_epoch": epoch,
            "agreement_id": standing.agreement_id,
            "agreement_digest": standing.first_digest,
        }
        events = [
            agreement_log_opened(terms=terms, statements=(), **common),  # type: ignore[arg-type]  # the keys above
            step_taken(taken.step.kind, statement=taken.statement, **common),  # type: ignore[arg-type]  # the keys above
        ]
        if umbrella is not None:
            events.append(_umbrella_event(umbrella, at, epoch))
            rows.umbrellas.append(UmbrellaRow(len(events) - 1, umbrella.changed_at))
        add_events(rows, log, events, salts)
        rows.documents.append(DocumentRow(standing.first_digest, standing.text))
        rows.statements.append(StatementRow(1, at, taken.statement.body, encode(taken.statement)))
        return rows

    return build


def stepping(state: State, log: Log, salts: Salts, taken: Taken, brought: Brought) -> Build[Place]:
    """Write a step under the state it was checked in, with the texts it names; gives its index, time and epoch."""
    step = taken.step

    def event(at: int, epoch: int) -> Event:
        common = {
            "time": at,
            "caller": taken.by,
            "key_log_size": taken.key_log_size,
            "state_epoch": epoch,
            "agreement_id": step.agreement_id,
            "agreement_digest": state.at(at).digest,
        }
        if step.log is not None and step.kind is StepKind.LOG_SIGN:
            return agreement_log_opened(terms=step.log, statements=(taken.statement,), **common)  # type: ignore[arg-type]  # the keys above
        return step_taken(step.kind, statement=taken.statement, caveat=brought.caveat, **common)  # type: ignore[arg-type]  # the keys above

    def build(head: Head, _: Known) -> Rows[Place]:
        require_open(head.shard, head.frozen_reason)
        at, epoch = max(head.broker_time, taken.now_ms), head.state_epoch + 1
        check_admissible(state.at(at), step)
        rows = Rows(replace(head.raised(), broker_time=at), (head.leaf_next, at, epoch))
        add_events(rows, log, [event(at, epoch)], salts)
        rows.statements.append(StatementRow(head.leaf_next, at, taken.statement.body, encode(taken.statement)))
        rows.documents.extend(brought.rows)
        if step.kind is StepKind.SUSPEND:
            rows.holds.append(HoldRow(head.leaf_next, head.item_next, ",".join(step.clauses)))
        return rows

    return build


def following(umbrella: Standing, log: Log, salts: Salts, now: int, suspended: str | None) -> Build[Place]:
    """Raise an arrangement's epoch for a change of its umbrella, with UMBRELLA_CHANGED; gives its index (else 0), time, epoch.

    `suspended` is what the umbrella's parties suspended meanwhile (`HoldRow`), None for nothing.
    """
    changed_at = umbrella.changed_at

    def build(head: Head, _: Known) -> Rows[Place]:
        at, epoch = max(head.broker_time, now), head.state_epoch + 1
        rows = Rows(replace(head.raised(), broker_time=at), (0, at, epoch))
        if head.frozen_reason:
            return rows
        rows.result = (head.leaf_next, at, epoch)
        add_events(rows, log, [_umbrella_event(umbrella, at, epoch, changed_at)], salts)
        rows.umbrellas.append(UmbrellaRow(head.leaf_next, changed_at))
        if suspended is not None:
            rows.holds.append(HoldRow(head.leaf_next, head.item_next, suspended))
        return rows

    return build


def revoking(log: Log, salts: Salts, now: int, key_log_index: int, statement: Statement) -> Build[Place]:
    """Raise the epoch, and write KEY_REVOKED where the log is open; gives its index (else 0), the time and the epoch."""

    def build(head: Head, _: Known) -> Rows[Place]:
        at, epoch = max(head.broker_time, now), head.state_epoch + 1
        rows = Rows(replace(head.raised(), broker_time=at), (0, at, epoch))
        if head.frozen_reason:
            return rows
        rows.result = (head.leaf_next, at, epoch)
        event = key_revoked_in_agreement(
            time=at, caller=BROKER, state_epoch=epoch, key_log_index=key_log_index, statement=statement
        )
        add_events(rows, log, [event], salts)
        rows.statements.append(StatementRow(head.leaf_next, at, statement.body, encode(statement)))
        return rows

    return build


def freezing(
    log: Log, salts: Salts, now: int, reason: str, shown: Callable[[int, LogSeen], Event] | None
) -> Build[int]:
    """Write LOG_FROZEN, with what `shown` gives before it, unless the log is frozen; gives the epoch."""

    def build(head: Head, _: Known) -> Rows[int]:
        if head.frozen_reason:
            return Rows(head, head.state_epoch)
        at = max(head.broker_time, now)
        rows = Rows(replace(head.raised(), broker_time=at, frozen_reason=reason), head.state_epoch + 1)
        own = LogSeen(head.incarnation, head.tree_size, head.root)
        before = [] if shown is None else [shown(at, own)]
        add_events(rows, log, [*before, log_frozen(time=at, caller=BROKER, reason=reason)], salts)
        return rows

    return build


def failed_before(log: Log, salts: Salts, now: int, times: int) -> Build[None]:
    """Write AUDIT_FAILURE: that for want of room the log could not be written at so many tries."""

    def build(head: Head, _: Known) -> Rows[None]:
        at = max(head.broker_time, now)
        rows = Rows(replace(head, broker_time=at), None)
        if not head.frozen_reason:
            reason = f"for want of room this log could not be written; tries: {times}"
            add_events(rows, log, [audit_failure(time=at, reason=reason)], salts)
        return rows

    return build


def raising(head: Head, _: Known) -> Rows[int]:
    """Raise the epoch; gives it."""
    return Rows(head.raised(), head.state_epoch + 1)


def require_open(agreement_id: str, frozen_reason: str) -> None:
    """Check that a log is not frozen; raises StorageError."""
    if frozen_reason:
        raise StorageError(
            f"the log of {agreement_id} is frozen: {frozen_reason}",
            what_to_do="No step is taken under it. Compare both parties' mirrors of the log; reading and verification go on.",
            code=ErrorCode.LOG_FROZEN,
        )


def require_confirmed(agreement_id: str, unconfirmed: str) -> None:
    """Check that the parties confirmed the log that a restored broker goes on with; raises StorageError."""
    if unconfirmed:
        raise StorageError(
            f"the log of {agreement_id} is frozen: {unconfirmed}",
            what_to_do=f"A liaison of each party confirms it first: comity agreement confirm-log {agreement_id}",
            code=ErrorCode.LOG_FROZEN,
        )


def _umbrella_event(umbrella: Standing, at: int, epoch: int, changed_at: int | None = None) -> Event:
    return umbrella_changed(
        time=at,
        caller=BROKER,
        state_epoch=epoch,
        umbrella=umbrella.agreement_id,
        umbrella_origin=umbrella.origin,
        umbrella_log_index=umbrella.changed_at if changed_at is None else changed_at,
    )
