"""The error tree. One root, one stable code an error (the proto enum), one exit code each.

    ComityError                     code, message, what_to_do, retry_after_seconds, clauses
     +-- AccessError                not allowed, not enrolled, acting for another
     +-- KeyFault                   certificate or key: wrong passphrase, expired, revoked, clock
     +-- MalformedError             bytes that do not follow the format, or over a limit
     +-- RejectedError              a cryptographic check failed; public detail: none
     +-- RefusedError               an agreement's clauses refuse
     +-- ConflictError              somebody else was first, or the state does not allow it
     +-- NotFoundError              no such thing, or none the caller may see
     +-- UnreachableError           try again
     +-- StorageError               full, damaged, unknown outcome
     +-- VerificationError          evidence that does not verify
     +-- UsageError                 the command or call was used wrongly

Messages say what happened and what to do next, and never carry a secret. `REJECTED` has one public text whatever
failed; the precise reason goes to the local operations log.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class ErrorCode(IntEnum):
    """What was refused; the numbers are those of ``comity.v1.ErrorCode``, which a test compares."""

    UNAUTHENTICATED = 100
    TLS_TOO_OLD = 101
    NOT_ENROLLED = 102
    CERTIFICATE_EXPIRED = 103
    CERTIFICATE_REVOKED = 104
    ROLE_NOT_ALLOWED = 105
    NOT_A_PARTY = 106
    ACTING_FOR_ANOTHER = 107
    MALFORMED = 150
    LIMIT_EXCEEDED = 151
    RATE_LIMITED = 152
    DRAINING = 153
    STORAGE_FULL = 154
    STORAGE_FAILED = 155
    LOG_FROZEN = 156
    CLOCK_STEPPED = 157
    UNREACHABLE = 158
    INTERNAL = 159
    BUNDLE_REJECTED = 200
    POSSESSION_FAILED = 201
    SEQUENCE_STALE = 202
    IDENTITY_UNKNOWN = 203
    KEY_UNKNOWN = 204
    KEY_REVOKED = 205
    KEY_EXPIRED = 206
    PARTY_UNTRUSTED = 207
    KEY_LOG_STALE = 208
    PASSPHRASE_WRONG = 209
    KEY_FILE_UNSAFE = 210
    AGREEMENT_UNKNOWN = 300
    AGREEMENT_NOT_IN_FORCE = 301
    AGREEMENT_INVALID = 302
    STATEMENT_REJECTED = 303
    STATEMENT_CONFLICT = 304
    TRANSITION_NOT_ALLOWED = 305
    DIGEST_MISMATCH = 306
    STATEMENTS_BEHIND = 307
    BROKER_NOT_NAMED = 308
    REJECTED = 400
    POLICY_DENIED = 401
    ID_REUSED = 402
    REPLAYED = 403
    SEQUENCE_GAP = 404
    CLOCK_WINDOW = 405
    SUITE_NOT_ALLOWED = 406
    FORK = 407
    PRUNED = 408
    STATE_CHANGED = 409
    REFERENCE_REFUSED = 410
    CONSUMER_BUSY = 450
    SUPERSEDED = 451
    FLOOR_AHEAD = 452
    ITEM_UNKNOWN = 453
    REPORT_UNKNOWN = 454
    REPORT_HELD = 455
    REPORT_EXPIRED = 456
    REPORT_RECALLED = 457
    UPLOAD_MISSING = 480
    UPLOAD_MISMATCH = 481
    LOG_UNKNOWN = 500
    RANGE_INVALID = 501
    VERIFICATION_FAILED = 502
    USAGE = 550
    NOT_INSTALLED = 551
    LOCKED = 552
    FILE_UNKNOWN = 553
    FILE_EXISTS = 554


_EXIT_CODES: Final[dict[int, frozenset[ErrorCode]]] = {
    1: frozenset(
        {
            ErrorCode.INTERNAL,
        }
    ),
    2: frozenset(
        {
            ErrorCode.USAGE,
        }
    ),
    10: frozenset(
        {
            ErrorCode.AGREEMENT_NOT_IN_FORCE,
            ErrorCode.BROKER_NOT_NAMED,
            ErrorCode.POLICY_DENIED,
            ErrorCode.SUITE_NOT_ALLOWED,
            ErrorCode.REPORT_HELD,
            ErrorCode.REPORT_EXPIRED,
        }
    ),
    11: frozenset(
        {
            ErrorCode.NOT_ENROLLED,
            ErrorCode.ROLE_NOT_ALLOWED,
            ErrorCode.NOT_A_PARTY,
            ErrorCode.ACTING_FOR_ANOTHER,
        }
    ),
    12: frozenset(
        {
            ErrorCode.IDENTITY_UNKNOWN,
            ErrorCode.KEY_UNKNOWN,
            ErrorCode.AGREEMENT_UNKNOWN,
            ErrorCode.ITEM_UNKNOWN,
            ErrorCode.REPORT_UNKNOWN,
            ErrorCode.LOG_UNKNOWN,
            ErrorCode.RANGE_INVALID,
            ErrorCode.FILE_UNKNOWN,
        }
    ),
    13: frozenset(
        {
            ErrorCode.SEQUENCE_STALE,
            ErrorCode.STATEMENT_CONFLICT,
            ErrorCode.TRANSITION_NOT_ALLOWED,
            ErrorCode.DIGEST_MISMATCH,
            ErrorCode.ID_REUSED,
            ErrorCode.REPORT_RECALLED,
            ErrorCode.REPLAYED,
            ErrorCode.SEQUENCE_GAP,
            ErrorCode.STATE_CHANGED,
            ErrorCode.CONSUMER_BUSY,
            ErrorCode.SUPERSEDED,
            ErrorCode.LOCKED,
            ErrorCode.FILE_EXISTS,
            ErrorCode.UPLOAD_MISSING,
            ErrorCode.UPLOAD_MISMATCH,
        }
    ),
    14: frozenset(
        {
            ErrorCode.MALFORMED,
            ErrorCode.REFERENCE_REFUSED,
            ErrorCode.LIMIT_EXCEEDED,
            ErrorCode.AGREEMENT_INVALID,
            ErrorCode.PRUNED,
        }
    ),
    15: frozenset(
        {
            ErrorCode.LOG_FROZEN,
            ErrorCode.BUNDLE_REJECTED,
            ErrorCode.STATEMENT_REJECTED,
            ErrorCode.REJECTED,
            ErrorCode.FORK,
            ErrorCode.FLOOR_AHEAD,
            ErrorCode.VERIFICATION_FAILED,
        }
    ),
    16: frozenset(
        {
            ErrorCode.UNAUTHENTICATED,
            ErrorCode.TLS_TOO_OLD,
            ErrorCode.CERTIFICATE_EXPIRED,
            ErrorCode.CERTIFICATE_REVOKED,
            ErrorCode.POSSESSION_FAILED,
            ErrorCode.KEY_REVOKED,
            ErrorCode.KEY_EXPIRED,
            ErrorCode.PARTY_UNTRUSTED,
            ErrorCode.KEY_LOG_STALE,
            ErrorCode.PASSPHRASE_WRONG,
            ErrorCode.KEY_FILE_UNSAFE,
            ErrorCode.CLOCK_WINDOW,
        }
    ),
    17: frozenset(
        {
            ErrorCode.RATE_LIMITED,
            ErrorCode.DRAINING,
            ErrorCode.CLOCK_STEPPED,
            ErrorCode.UNREACHABLE,
            ErrorCode.STATEMENTS_BEHIND,
        }
    ),
    18: frozenset(
        {
            ErrorCode.STORAGE_FULL,
            ErrorCode.STORAGE_FAILED,
        }
    ),
    69: frozenset(
        {
            ErrorCode.NOT_INSTALLED,
        }
    ),
}
_EXIT_CODE_OF: Final = {code: exit_code for exit_code, codes in _EXIT_CODES.items() for code in codes}


class ComityError(Exception):
    """The root of the tree; `clauses` holds explanations (``comity_policy.explanation``) when an agreement refused."""

    default_code: ErrorCode = ErrorCode.INTERNAL

    def __init__(
        self,
        message: str,
        *,
        what_to_do: str = "",
        code: ErrorCode | None = None,
        retry_after_seconds: float | None = None,
        clauses: tuple[object, ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.what_to_do = what_to_do
        self.code = self.default_code if code is None else code
        self.retry_after_seconds = retry_after_seconds
        self.clauses = clauses

    @property
    def exit_code(self) -> int:
        """Give the process exit code of design 01 for this error."""
        return _EXIT_CODE_OF[self.code]


class AccessError(ComityError):
    """The caller may not do this."""

    default_code = ErrorCode.ROLE_NOT_ALLOWED


class KeyFault(ComityError):  # noqa: N818  (KeyError is Python's)
    """A key or certificate is missing, wrong, expired, revoked, or the clock is off."""

    default_code = ErrorCode.KEY_UNKNOWN


class MalformedError(ComityError):
    """Bytes that do not follow the format, or are over a limit."""

    default_code = ErrorCode.MALFORMED


class RejectedError(ComityError):
    """A cryptographic check failed. `reason` is for the local operations log only and never part of the message."""

    default_code = ErrorCode.REJECTED

    def __init__(self, reason: str) -> None:
        super().__init__("rejected", what_to_do="The local operations log has the reason.")
        self.reason = reason


class RefusedError(ComityError):
    """An agreement's clauses refuse."""

    default_code = ErrorCode.POLICY_DENIED


class ConflictError(ComityError):
    """Somebody else was first, or the state does not allow the step."""

    default_code = ErrorCode.STATEMENT_CONFLICT


class NotFoundError(ComityError):
    """No such thing, or none the caller may see."""

    default_code = ErrorCode.FILE_UNKNOWN


class UnreachableError(ComityError):
    """The peer cannot be reached now; trying again may help."""

    default_code = ErrorCode.UNREACHABLE


class StorageError(ComityError):
    """The store is full, damaged, or the outcome of a commit is unknown."""

    default_code = ErrorCode.STORAGE_FAILED


class VerificationError(ComityError):
    """Evidence does not verify."""

    default_code = ErrorCode.VERIFICATION_FAILED


class UsageError(ComityError):
    """The command or call was used wrongly."""

    default_code = ErrorCode.USAGE
