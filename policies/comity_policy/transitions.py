"""Why a step may not be taken: the reasons that the rules of an agreement's life give."""

from __future__ import annotations

from enum import StrEnum


class TransitionFault(StrEnum):
    """What kind of reason stands against a step, for callers who answer each in their own way."""

    CONFLICT = "conflict"
    DIGEST = "digest"
    NOT_A_PARTY = "not-a-party"
    ROLE = "role"
    STATE = "state"


class TransitionError(ValueError):
    """A step that the state does not allow; the message says why not."""

    def __init__(self, fault: TransitionFault, message: str) -> None:
        self.fault = fault
        super().__init__(message)


def require(holds: bool, otherwise: str, fault: TransitionFault = TransitionFault.STATE) -> None:
    """Raise TransitionError with that message where something does not hold."""
    if not holds:
        raise TransitionError(fault, otherwise)
