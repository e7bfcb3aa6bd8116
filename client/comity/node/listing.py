"""Lists of reports, and what becomes of those that are parked or held: unary calls, translated (design 04)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Final
from uuid import UUID

from comity.envelope import limits
from comity.errors import ErrorCode, NotFoundError, UsageError, VerificationError
from comity.identity.names import agreement_of
from comity.node.connection import Connection
from comity.node.reports import ConsumerState, HeldAction, ParkedAction, ReportRow, ReportState, SlotRef
from comity.v1 import exchange_pb2

PAGE: Final = 200


async def list_reports(
    connection: Connection,
    agreement_id: str,
    states: Sequence[ReportState],
    report_id: UUID | None,
    *,
    exercise: bool = False,
) -> AsyncIterator[ReportRow]:
    """Give the reports the caller's party sent or may receive, page by page, in the order of admission; those of exercises alone."""
    token = b""
    while True:
        request = exchange_pb2.ListReportsRequest(
            agreement_id=agreement_id,
            states=[exchange_pb2.ReportState.ValueType(state) for state in states],
            report_id=b"" if report_id is None else report_id.bytes,
            page_token=token,
            limit=PAGE,
            exercise=exercise,
        )
        reply = await connection.call(connection.exchange.ListReports, request)
        for row in reply.reports:
            yield _row(row)
        token = reply.page_token
        if not token:
            return


async def find_report(connection: Connection, agreement_id: str, report_id: UUID) -> AsyncIterator[ReportRow]:
    """Give where a report stands that the caller's party sent or may receive, be it real or of an exercise."""
    for exercise in (False, True):
        async for row in list_reports(connection, agreement_id, (), report_id, exercise=exercise):
            yield row


async def found_report(connection: Connection, agreement_id: str, report_id: UUID) -> ReportRow:
    """Give the same, the first there is; raises NotFoundError REPORT_UNKNOWN."""
    async for row in find_report(connection, agreement_id, report_id):
        return row
    raise NotFoundError(
        f"the broker lists no report {report_id} for this party",
        what_to_do="comity report list shows those there are, with --exercise those of exercises.",
        code=ErrorCode.REPORT_UNKNOWN,
    )


async def resolve_parked(connection: Connection, refs: Iterable[SlotRef], action: ParkedAction, consumer: str) -> int:
    """Replay or drop parked reports of one agreement; gives the log entry."""
    request = exchange_pb2.ResolveParkedRequest(
        consumer=agreement_of(consumer), slots=_refs(refs), action=exchange_pb2.ParkedAction.ValueType(action)
    )
    return (await connection.call(connection.exchange.ResolveParked, request)).log_index


async def resolve_held(connection: Connection, refs: Iterable[SlotRef], action: HeldAction) -> int:
    """Confirm or withdraw held reports of one agreement; gives the log entry."""
    request = exchange_pb2.ResolveHeldRequest(slots=_refs(refs), action=exchange_pb2.HeldAction.ValueType(action))
    return (await connection.call(connection.exchange.ResolveHeld, request)).log_index


def _refs(refs: Iterable[SlotRef]) -> list[exchange_pb2.SlotRef]:
    slots = [
        exchange_pb2.SlotRef(agreement_id=one.agreement_id, segment_id=one.segment_id, slot=one.slot) for one in refs
    ]
    if not slots:
        raise UsageError("no report is named")
    return slots


def _row(row: exchange_pb2.ReportRow) -> ReportRow:
    if len(row.report_id) != limits.UUID:
        raise VerificationError("the broker lists a report whose report id has not 16 bytes")
    return ReportRow(
        agreement_id=row.agreement_id,
        report_id=UUID(bytes=row.report_id),
        leaf=row.leaf,
        segment_id=row.segment_id,
        slot=row.slot,
        originator=row.originator,
        transport_class=row.transport_class,
        origin_sequence=row.origin_sequence,
        created_at=row.created_at,
        admitted_at=row.admitted_at,
        expires_at=row.expires_at,
        log_index=row.log_index,
        consumers=tuple(
            ConsumerState(one.node, one.consumer, _state(one.state), one.attempts, one.reason) for one in row.consumers
        ),
    )


def _state(state: int) -> ReportState:
    return ReportState(state) if state in set(ReportState) else ReportState.DUE
