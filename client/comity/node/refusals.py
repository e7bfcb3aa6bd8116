"""From what a broker answers to the errors of our tree: Refusal messages, and calls that failed (design 06, "Protos").

Rules in order:
1. A failed call that carries a Refusal as its one detail becomes the error its code names, with message, what to do, retry
   time and clauses. A code this version does not know becomes INTERNAL, with the broker's words.
2. A call that failed without one never reached a service of ours: UnreachableError where trying again may help, KeyFault
   where a certificate, a name or a clock is wrong, each with what to do.
3. What a broker says is text for people and evidence for nothing: no decision is taken from a message's words.
"""

from __future__ import annotations

from typing import Final

import grpc
from grpc_status import rpc_status

from comity.errors import (
    AccessError,
    ComityError,
    ConflictError,
    ErrorCode,
    KeyFault,
    MalformedError,
    NotFoundError,
    RefusedError,
    RejectedError,
    StorageError,
    UnreachableError,
    UsageError,
    VerificationError,
)
from comity.identity.certificates import CLOCK_HINT
from comity.v1 import errors_pb2
from comity_policy.clauses import Status
from comity_policy.decision import Reason
from comity_policy.explanation import ClauseExplanation, Remedy, RemedyAction

_TEXT: Final = 2000
_BY_EXIT: Final[dict[int, type[ComityError]]] = {
    2: UsageError,
    10: RefusedError,
    11: AccessError,
    12: NotFoundError,
    13: ConflictError,
    14: MalformedError,
    15: VerificationError,
    16: KeyFault,
    17: UnreachableError,
    18: StorageError,
    69: UsageError,
}
# What gRPC itself says of a call whose connection broke; the last is a write of its own that came too late.
_BROKEN: Final = ("RST_STREAM", "GOAWAY", "Connection reset", "Stream removed", "Internal error from Core")
_UNTRUSTED: Final = "CERTIFICATE_VERIFY_FAILED"
_AGAIN: Final = "Check the address, that the broker runs, and the network between; then try again."


def error_of(refusal: errors_pb2.Refusal) -> ComityError:
    """Give the error a Refusal says; never raises."""
    retry_after = refusal.retry_after.ToMilliseconds() / 1000 if refusal.HasField("retry_after") else None
    try:
        code = ErrorCode(refusal.code)
    except ValueError:
        code = ErrorCode.INTERNAL
    message = refusal.message[:_TEXT] or code.name
    if code is ErrorCode.REJECTED:
        rejected = RejectedError(f"the broker says: {message}")
        rejected.retry_after_seconds = retry_after
        return rejected
    probe = ComityError("", code=code)
    kind = _BY_EXIT.get(probe.exit_code, ComityError)
    return kind(
        message,
        what_to_do=refusal.what_to_do[:_TEXT],
        code=code,
        retry_after_seconds=retry_after,
        clauses=tuple(_explanation(one) for one in refusal.policy.clauses),
    )


def error_of_call(error: grpc.aio.AioRpcError, *, address: str, tls_name: str) -> ComityError:
    """Give the error a failed call means, for a broker at `address` that must be `tls_name`; never raises."""
    refusal = _refusal(error)
    if refusal is not None:
        return error_of(refusal)
    details = (error.details() or "")[:_TEXT]
    where = f"the broker {tls_name} at {address}"
    match error.code():
        case grpc.StatusCode.UNAVAILABLE:
            return _unavailable(details, where, address, tls_name)
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return UnreachableError(f"{where} did not answer in time", what_to_do=_AGAIN)
        case grpc.StatusCode.CANCELLED:
            return UnreachableError(f"{where} ended the call", what_to_do=_AGAIN)
        case grpc.StatusCode.RESOURCE_EXHAUSTED:
            return MalformedError(f"a message was too large: {details}", code=ErrorCode.LIMIT_EXCEEDED)
        case grpc.StatusCode.UNIMPLEMENTED:
            return UsageError(
                f"{where} does not know this call", what_to_do="It runs an older version: ask its operator."
            )
        case grpc.StatusCode.INTERNAL | grpc.StatusCode.UNKNOWN if _is_transport(details):
            return UnreachableError(f"the connection to {where} broke", what_to_do=_AGAIN)
        case code:
            return ComityError(
                f"{where} failed ({code.name}): {details}",
                what_to_do="Tell the broker's operator; its log has the reason.",
            )


def is_of_another_authority(error: grpc.aio.AioRpcError) -> bool:
    """Say whether a call failed because no authority that is trusted issued the broker's certificate."""
    return error.code() is grpc.StatusCode.UNAVAILABLE and _UNTRUSTED in (error.details() or "")


def _refusal(error: grpc.aio.AioRpcError) -> errors_pb2.Refusal | None:
    try:
        status = rpc_status.from_call(error)
    except ValueError:  # a status whose detail contradicts it says nothing
        return None
    refusal = errors_pb2.Refusal()
    if status is None or len(status.details) != 1 or not status.details[0].Unpack(refusal):
        return None
    return refusal


def _is_transport(details: str) -> bool:
    return any(word in details for word in _BROKEN)


def _unavailable(details: str, where: str, address: str, tls_name: str) -> ComityError:
    """Read the transport's words, which gRPC gives in no other form."""
    if "Hostname Verification Check failed" in details:
        return KeyFault(
            f"what answers at {address} is not {tls_name}",
            what_to_do="Check the address and the broker's name in the profile; do not go on before they agree.",
            code=ErrorCode.UNAUTHENTICATED,
        )
    if "certificate has expired" in details or "certificate is not yet valid" in details:
        when = "has expired" if "expired" in details else "is not valid yet"
        return KeyFault(
            f"the certificate of {where} {when} by this machine's clock",
            what_to_do=f"{CLOCK_HINT} If the clock is right, tell the broker's operator.",
            code=ErrorCode.CERTIFICATE_EXPIRED,
        )
    if _UNTRUSTED in details:
        return KeyFault(
            f"the certificate of {where} was not issued by its operator's authority, as the trusted card names it",
            what_to_do="Get the operator's newest card (comity party trust FILE); if that changes nothing, somebody else "
            "answers at this address: do not go on.",
            code=ErrorCode.UNAUTHENTICATED,
        )
    if "WRONG_VERSION_NUMBER" in details or "handshake failed" in details:
        return UnreachableError(f"what answers at {address} does not speak TLS 1.3", what_to_do="Check the address.")
    if "Socket closed" in details or "Handshake read failed" in details:
        return UnreachableError(
            f"{where} closed the connection",
            what_to_do="It may be stopping: try again. If it does so at once each time, it refuses this certificate: have its "
            "operator trust your party's newest card, and compare both machines' clocks.",
        )
    return UnreachableError(f"{where} cannot be reached: {_last_words(details)}", what_to_do=_AGAIN)


def _last_words(details: str) -> str:
    """Give what the transport said last, without the list of what it tried."""
    return details.rpartition("last error: ")[2] or "no connection"


def _explanation(one: errors_pb2.ClauseDetail) -> ClauseExplanation:
    return ClauseExplanation(
        clause_id=one.clause_id,
        kind=one.kind,
        gloss=one.gloss,
        text=one.text,
        status=(Status.ENFORCED,),
        reason=Reason(one.reason) if one.reason in set(Reason) else Reason.DENIED,
        fact=one.fact,
        got=one.got,
        wanted=one.wanted,
        nearest=one.nearest,
        remedy=Remedy(_action(one.remedy.action), one.remedy.command, one.remedy.who),
        portions=tuple(one.portions),
        recipient_party=one.recipient_party,
    )


def _action(word: str) -> RemedyAction:
    return RemedyAction(word) if word in set(RemedyAction) else RemedyAction.NONE
