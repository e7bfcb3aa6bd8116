"""ListReports, ResolveParked and ResolveHeld of ExchangeService."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from typing import Any, Final

import grpc

from comity.envelope import limits
from comity.envelope.records import Reader, text, u32, u64
from comity.errors import MalformedError
from comity.identity.names import agreement_of, is_exercise
from comity.v1 import exchange_pb2
from comity_broker.access import Caller, caller
from comity_broker.dispatch.dispatcher import Dispatcher
from comity_broker.dispatch.listing import Filter, Listing, Position, ReportLine, ReportState
from comity_broker.dispatch.resolving import SLOTS_LIMIT, Resolving
from comity_broker.finishing import Finishing
from comity_broker.services.agreements import require_agreement
from comity_broker.services.subscribing import slot_names
from comity_broker.standing import Standing

Context = grpc.aio.ServicerContext[Any, Any]

PAGE_LIMIT: Final = 500
SEGMENTS_LOOKED_AT: Final = 64


class Reports:
    """Translates to `comity_broker.dispatch.listing` and `resolving`."""

    def __init__(self, dispatcher: Dispatcher, request_id: Callable[[], bytes], finishing: Finishing) -> None:
        self._shared = dispatcher.shared
        self._listing = Listing(dispatcher.shared)
        self._resolving = Resolving(dispatcher, request_id)
        self._finishing = finishing

    async def ListReports(
        self, request: exchange_pb2.ListReportsRequest, _: Context
    ) -> exchange_pb2.ListReportsResponse:
        who = caller()
        limit = min(request.limit or PAGE_LIMIT, PAGE_LIMIT)
        answer = exchange_pb2.ListReportsResponse()
        wanted = Filter(frozenset(_state(one) for one in request.states), _report_id(request.report_id))
        lines = self._listing.lines(who.party, self._standings(who, request), wanted, _position(request.page_token))
        looked = 0
        async with aclosing(lines) as found:
            async for line, position in found:
                if line is None:
                    looked += 1
                else:
                    answer.reports.append(_row(line))
                if len(answer.reports) == limit or looked == SEGMENTS_LOOKED_AT:
                    answer.page_token = _token(position)
                    break
        return answer

    async def ResolveParked(
        self, request: exchange_pb2.ResolveParkedRequest, _: Context
    ) -> exchange_pb2.ResolveParkedResponse:
        actions = {
            exchange_pb2.PARKED_ACTION_REPLAY: True,
            exchange_pb2.PARKED_ACTION_DROP: False,
        }
        if request.action not in actions:
            raise MalformedError("say whether to replay or to drop")
        names = slot_names(request.slots, SLOTS_LIMIT)
        who, replay = caller(), actions[request.action]
        log_index = await self._finishing.whole(
            who.party, lambda: self._resolving.parked(who, request.consumer, names, replay=replay)
        )
        return exchange_pb2.ResolveParkedResponse(log_index=log_index)

    async def ResolveHeld(
        self, request: exchange_pb2.ResolveHeldRequest, _: Context
    ) -> exchange_pb2.ResolveHeldResponse:
        actions = {exchange_pb2.HELD_ACTION_CONFIRM: True, exchange_pb2.HELD_ACTION_WITHDRAW: False}
        if request.action not in actions:
            raise MalformedError("say whether to confirm or to withdraw")
        names = slot_names(request.slots, SLOTS_LIMIT)
        who, confirm = caller(), actions[request.action]
        log_index = await self._finishing.whole(who.party, lambda: self._resolving.held(who, names, confirm=confirm))
        return exchange_pb2.ResolveHeldResponse(log_index=log_index)

    def _standings(self, who: Caller, request: exchange_pb2.ListReportsRequest) -> list[Standing]:
        ledger = self._shared.ledger
        if request.agreement_id:
            agreement_id = agreement_of(request.agreement_id)
            require_agreement(who, agreement_id)
            real = ledger.require(agreement_id, who.party)
            if not request.exercise and not is_exercise(request.agreement_id):
                return [real]
            exercise = ledger.exercise(agreement_id)
            return [] if exercise is None else [exercise]
        standings = ledger.traffic(who.party, exercise=request.exercise)
        return [one for one in standings if not who.agreements or one.first.id in who.agreements]


def _state(value: exchange_pb2.ReportState.ValueType) -> ReportState:
    try:
        return ReportState(value)
    except ValueError:
        raise MalformedError(f"{value} is no state of a report") from None


def _report_id(value: bytes) -> bytes:
    if value and len(value) != limits.UUID:
        raise MalformedError("a report id has 16 bytes")
    return value


def _token(position: Position) -> bytes:
    return text(position.agreement_id) + u64(position.log_index) + u32(position.slot)


def _position(token: bytes) -> Position:
    if not token:
        return Position()
    reader = Reader(token, "page token")
    position = Position(reader.text(), reader.u64(), reader.u32())
    reader.end()
    return position


def _row(line: ReportLine) -> exchange_pb2.ReportRow:
    return exchange_pb2.ReportRow(
        agreement_id=line.agreement_id,
        report_id=line.report_id,
        leaf=line.leaf,
        segment_id=line.segment_id,
        slot=line.slot,
        originator=line.originator,
        transport_class=line.transport_class,
        origin_sequence=line.origin_sequence,
        created_at=line.created_at,
        admitted_at=line.admitted_at,
        expires_at=line.expires_at,
        log_index=line.log_index,
        consumers=[
            exchange_pb2.ConsumerState(
                node=one.node,
                consumer=one.consumer,
                state=exchange_pb2.ReportState.ValueType(one.state),
                attempts=one.attempts,
                reason=one.reason,
            )
            for one in line.consumers
        ],
    )
