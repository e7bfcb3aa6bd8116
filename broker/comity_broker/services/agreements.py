"""AgreementService: texts and steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc

from comity.errors import AccessError, ErrorCode, NotFoundError
from comity.v1 import agreement_pb2, agreement_pb2_grpc
from comity_broker.access import Caller, caller
from comity_broker.acts import Acts
from comity_broker.agreements import Agreements
from comity_broker.clock import BrokerClock
from comity_broker.finishing import Finishing
from comity_broker.ledger import Ledger
from comity_broker.operations import log_caller
from comity_broker.services.statements import statement_of
from comity_broker.standing import Standing
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
    """Translates to `comity_broker.agreements`, `comity_broker.acts` and the ledger."""

    def __init__(
        self,
        *,
        agreements: Agreements,
        acts: Acts,
        ledger: Ledger,
        reader: Reader,
        clock: BrokerClock,
        request_id: Callable[[], bytes],
        finishing: Finishing,
    ) -> None:
        self._agreements = agreements
        self._acts = acts
        self._ledger = ledger
        self._reader = reader
        self._clock = clock
        self._request_id = request_id
        self._finishing = finishing

    async def Propose(self, request: agreement_pb2.ProposeRequest, _: Context) -> agreement_pb2.ProposeResponse:
        who = caller()
        by, step = log_caller(who, self._request_id()), statement_of(request.step)
        log_index = await self._finishing.whole(
            who.party, lambda: self._agreements.propose(request.document, step, who, by)
        )
        return agreement_pb2.ProposeResponse(log_index=log_index)

    async def SubmitStep(
        self, request: agreement_pb2.SubmitStepRequest, _: Context
    ) -> agreement_pb2.SubmitStepResponse:
        who = caller()
        require_agreement(who, request.agreement_id)
        by, step = log_caller(who, self._request_id()), statement_of(request.step)
        log_index = await self._finishing.whole(
            who.party,
            lambda: self._agreements.submit(request.agreement_id, step, who, by, text=request.text, salt=request.salt),
        )
        return agreement_pb2.SubmitStepResponse(log_index=log_index)

    async def SubmitAct(self, request: agreement_pb2.SubmitActRequest, _: Context) -> agreement_pb2.SubmitActResponse:
        who = caller()
        require_agreement(who, request.agreement_id)
        by, act = log_caller(who, self._request_id()), statement_of(request.act)
        log_index = await self._finishing.whole(
            who.party, lambda: self._acts.submit(request.agreement_id, act, who, by)
        )
        return agreement_pb2.SubmitActResponse(log_index=log_index)

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
        text = await self._text(standing, request.digest) if request.digest else standing.text
        return agreement_pb2.GetAgreementResponse(document=text, summary=await self._summary(standing))

    async def _text(self, standing: Standing, digest: bytes) -> bytes:
        for row in await self._reader.documents(standing.agreement_id):
            if row.digest == digest:
                return row.document
        raise NotFoundError(
            f"no step of {standing.agreement_id} brought a text with this digest",
            what_to_do="The steps in the agreement's log name those there are.",
            code=ErrorCode.AGREEMENT_UNKNOWN,
        )

    async def _summary(self, standing: Standing) -> agreement_pb2.AgreementSummary:
        head = await self._reader.head(standing.agreement_id)
        state = standing.state(self._clock.now_ms())
        return agreement_pb2.AgreementSummary(
            agreement_id=standing.agreement_id,
            digest=state.digest,
            log_origin=standing.origin,
            log_size=0 if head is None else head.leaf_next,
            phase=state.phase.value,
            title=state.document.title,
            frozen_reason=standing.frozen_reason,
        )
