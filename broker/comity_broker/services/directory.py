"""DirectoryService: enrolment and statements for the key log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc

from comity.errors import ErrorCode, MalformedError
from comity.v1 import identity_pb2, identity_pb2_grpc
from comity_broker.access import caller
from comity_broker.directory import Directory
from comity_broker.finishing import Finishing
from comity_broker.operations import log_caller
from comity_broker.services.statements import statement_of

_PROOFS = 64

Context = grpc.aio.ServicerContext[Any, Any]


class DirectoryService(identity_pb2_grpc.DirectoryServiceServicer):
    """Translates to `comity_broker.directory`."""

    def __init__(
        self, directory: Directory, tls_name: str, request_id: Callable[[], bytes], finishing: Finishing
    ) -> None:
        self._directory = directory
        self._tls_name = tls_name
        self._request_id = request_id
        self._finishing = finishing

    async def BeginEnrolment(
        self, request: identity_pb2.BeginEnrolmentRequest, _: Context
    ) -> identity_pb2.BeginEnrolmentResponse:
        begun = self._directory.begin(statement_of(request.statement), caller())
        return identity_pb2.BeginEnrolmentResponse(
            nonce=begun.nonce,
            verifier=self._tls_name,
            challenges=[identity_pb2.PossessionChallenge(key=one.key, sealed=one.sealed) for one in begun.challenges],
        )

    async def CompleteEnrolment(
        self, request: identity_pb2.CompleteEnrolmentRequest, _: Context
    ) -> identity_pb2.CompleteEnrolmentResponse:
        if len(request.proofs) > _PROOFS:
            raise MalformedError(f"an enrolment brings at most {_PROOFS} proofs", code=ErrorCode.LIMIT_EXCEEDED)
        who = caller()
        by, statement = log_caller(who, self._request_id()), statement_of(request.statement)
        answers = {one.key: one.answer for one in request.proofs}
        log_index = await self._finishing.whole(
            who.party, lambda: self._directory.complete(request.nonce, statement, answers, who, by)
        )
        return identity_pb2.CompleteEnrolmentResponse(log_index=log_index)

    async def PublishStatement(
        self, request: identity_pb2.PublishStatementRequest, _: Context
    ) -> identity_pb2.PublishStatementResponse:
        who = caller()
        by, statement = log_caller(who, self._request_id()), statement_of(request.statement)
        log_index = await self._finishing.whole(who.party, lambda: self._directory.publish(statement, who, by))
        return identity_pb2.PublishStatementResponse(log_index=log_index)
