"""From our errors to the one error message of every service, and to the status of a failed call.

A Refusal stands alone in streams; on a failed call it is the one detail of the status. What goes out is what the error says
for a peer: a RejectedError says nothing but that, and a bug of ours says nothing at all.
"""

from __future__ import annotations

import logging
from typing import Final, NoReturn

import grpc
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from comity.errors import ComityError, ErrorCode
from comity.v1 import errors_pb2
from comity_policy.explanation import ClauseExplanation

_LOG: Final = logging.getLogger(__name__)
_DENIED: Final = frozenset(
    {
        ErrorCode.TLS_TOO_OLD,
        ErrorCode.NOT_ENROLLED,
        ErrorCode.CERTIFICATE_EXPIRED,
        ErrorCode.CERTIFICATE_REVOKED,
        ErrorCode.ROLE_NOT_ALLOWED,
        ErrorCode.NOT_A_PARTY,
        ErrorCode.ACTING_FOR_ANOTHER,
    }
)
_BY_EXIT: Final = {
    1: grpc.StatusCode.INTERNAL,
    2: grpc.StatusCode.INVALID_ARGUMENT,
    10: grpc.StatusCode.FAILED_PRECONDITION,
    11: grpc.StatusCode.PERMISSION_DENIED,
    12: grpc.StatusCode.NOT_FOUND,
    13: grpc.StatusCode.ABORTED,
    14: grpc.StatusCode.INVALID_ARGUMENT,
    15: grpc.StatusCode.FAILED_PRECONDITION,
    16: grpc.StatusCode.UNAUTHENTICATED,
    17: grpc.StatusCode.UNAVAILABLE,
    18: grpc.StatusCode.RESOURCE_EXHAUSTED,
    69: grpc.StatusCode.UNIMPLEMENTED,
}


def refusal_of(error: ComityError, *, agreement_id: str = "", agreement_digest: bytes = b"") -> errors_pb2.Refusal:
    """Give the message that tells a peer of an error."""
    refusal = errors_pb2.Refusal(
        code=errors_pb2.ErrorCode.ValueType(error.code),
        message=error.message,
        what_to_do=error.what_to_do,
    )
    if error.retry_after_seconds is not None:
        refusal.retry_after.FromMilliseconds(int(error.retry_after_seconds * 1000))
    clauses = [one for one in error.clauses if isinstance(one, ClauseExplanation)]
    if clauses:
        refusal.policy.agreement_id = agreement_id
        refusal.policy.agreement_digest = agreement_digest
        refusal.policy.clauses.extend(_clause(one) for one in clauses)
    return refusal


async def abort(context: grpc.aio.ServicerContext[object, object], error: ComityError) -> NoReturn:
    """End a call with the error's status and its Refusal as the one detail."""
    code = grpc.StatusCode.PERMISSION_DENIED if error.code in _DENIED else _BY_EXIT[error.exit_code]
    status = Status(code=code.value[0], message=error.message)
    status.details.add().Pack(refusal_of(error))
    await context.abort_with_status(rpc_status.to_status(status))
    raise AssertionError("abort does not return")


def _clause(one: ClauseExplanation) -> errors_pb2.ClauseDetail:
    return errors_pb2.ClauseDetail(
        clause_id=one.clause_id,
        kind=one.kind,
        gloss=one.gloss,
        text=one.text,
        fact=one.fact,
        got=one.got,
        wanted=one.wanted,
        nearest=one.nearest,
        remedy=errors_pb2.Remedy(action=one.remedy.action.value, command=one.remedy.command, who=one.remedy.who),
        portions=one.portions,
        recipient_party=one.recipient_party,
        reason=one.reason.value,
    )


def internal(method: str, error: Exception) -> ComityError:
    """Give what a caller is told of a bug of ours; the trace goes to the local log."""
    _LOG.error("call_failed", extra={"method": method}, exc_info=error)
    return ComityError(
        f"{method} failed inside the broker",
        what_to_do="Tell the broker's operator; its log has the reason.",
        code=ErrorCode.INTERNAL,
    )


class Refusals:
    """How calls end with an error, as `comity_broker.access` wants it."""

    abort = staticmethod(abort)
    internal = staticmethod(internal)
