"""What an agreement's log gets beside its steps: revocations, and that it could not be written for a while.

Each function gives the build of a unit. To a frozen log nothing is added; what else a unit changes, it changes there too.
"""

from __future__ import annotations

from dataclasses import replace

from comity.statement import Statement, encode
from comity_broker.auditlog.bodies import BROKER
from comity_broker.auditlog.events import audit_failure, key_revoked_in_agreement
from comity_broker.auditlog.log import Log
from comity_broker.entries import Salts, add_events
from comity_broker.storage.protocol import Build, Head, Known, Rows, StatementRow


def revoking(log: Log, salts: Salts, now: int, key_log_index: int, statement: Statement) -> Build[tuple[int, int]]:
    """Raise the epoch, and write KEY_REVOKED where the log is open; gives the time and the epoch."""

    def build(head: Head, _: Known) -> Rows[tuple[int, int]]:
        at, epoch = max(head.broker_time, now), head.state_epoch + 1
        rows = Rows(replace(head.raised(), broker_time=at), (at, epoch))
        if head.frozen_reason:
            return rows
        event = key_revoked_in_agreement(
            time=at, caller=BROKER, state_epoch=epoch, key_log_index=key_log_index, statement=statement
        )
        add_events(rows, log, [event], salts)
        rows.statements.append(StatementRow(head.leaf_next, at, statement.body, encode(statement)))
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
