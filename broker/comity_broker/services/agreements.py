"""AgreementService: texts and steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc

from comity.errors import AccessError, ErrorCode
from comity.v1 import agreement_pb2, agreement_pb2_grpc
from comity_broker.access import Caller, caller
from comity_broker.agreements import Agreements
from comity_broker.clock import BrokerClock
from comity_broker.ledger import Ledger, Standing
from comity_broker.operations import log_caller
from comity_broker.services.statements import statement_of
from comity_broker.storage.protocol import Reader

Context = grpc.aio.ServicerContext[Any, Any]


def require_agreement(who: Caller, agreement_id: str) -> None:
    """Check that an officer's accreditation covers this agreement; raises AccessError."""
    if who.agreements and agreement_id not in who.agreements:
        raise AccessError(
            f"{who.identity} is not accredited for {agreement_id}",
            what_to_do=f"comity officer accredit {who.identity} --agreement {agreement_id}",
            code=ErrorCode.ROLE_NOT_ALLOWED,
        )


class AgreementService(agreement_pb2_grpc.AgreementServiceServicer):
    """Translates to `comity_broker.agreements` and the ledger."""

    def __init__(
        self,
        agreements: Agreements,
        ledger: Ledger,
        reader: Reader,
        clock: BrokerClock,
        request_id: Callable[[], bytes],
    ) -> None:
        self._agreements = agreements
        self._ledger = ledger
        self._reader = reader
        self._clock = clock
        self._request_id = request_id

    async def Propose(self, request: agreement_pb2.ProposeRequest, _: Context) -> agreement_pb2.ProposeResponse:
        who = caller()
        log_index = await self._agreements.propose(
            request.document, statement_of(request.step), who, log_caller(who, self._request_id())
        )
        return agreement_pb2.ProposeResponse(log_index=log_index)

    async def SubmitStep(
        self, request: agreement_pb2.SubmitStepRequest, _: Context
    ) -> agreement_pb2.SubmitStepResponse:
        who = caller()
        require_agreement(who, request.agreement_id)
        log_index = await self._agreements.submit(
            request.agreement_id, statement_of(request.step), who, log_caller(who, self._request_id())
        )
        return agreement_pb2.SubmitStepResponse(log_index=log_index)

    async def ListAgreements(
        self, _: agreement_pb2.ListAgreementsRequest, __: Context
    ) -> agreement_pb2.ListAgreementsResponse:
        who = caller()
        shown = [
            one for one in self._ledger.standings(who.party) if not who.agreements or one.agreement_id in who.agreements
        ]
        return agreement_pb2.ListAgreementsResponse(agreements=[await self._summary(one) for one in shown])

    async def GetAgreement(
        self, request: agreement_pb2.GetAgreementRequest, _: Context
    ) -> agreement_pb2.GetAgreementResponse:
        who = caller()
        require_agreement(who, request.agreement_id)
        standing = self._ledger.require(request.agreement_id, who.party)
        return agreement_pb2.GetAgreementResponse(document=standing.text, summary=await self._summary(standing))

    async def _summary(self, standing: Standing) -> agreement_pb2.AgreementSummary:
        head = await self._reader.head(standing.agreement_id)
        return agreement_pb2.AgreementSummary(
            agreement_id=standing.agreement_id,
            digest=standing.digest,
            log_origin=standing.origin,
            log_size=0 if head is None else head.leaf_next,
            phase=standing.state(self._clock.now_ms()).phase.value,
            title=standing.document.title,
            frozen_reason=standing.frozen_reason,
        )
