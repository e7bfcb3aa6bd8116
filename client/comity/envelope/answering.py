"""What an answer ends, and which precedence a lane's class is: what a log says of a report's way, for the duties that follow.

A recipient owes an answer, not an opinion: whatever outcome can be given for a report but parking ends its waiting. A recall has a
class of its own, which is as urgent as FLASH.
"""

from __future__ import annotations

from typing import Final

from comity.envelope.evidence import AckOutcome
from comity_policy.facts import Precedence

_URGENCIES: Final = 5
ANSWERS: Final = frozenset(AckOutcome) - {AckOutcome.NOT_IN_THIS_ACK, AckOutcome.PARKED}


def precedence_of(transport_class: int) -> Precedence:
    """Give the precedence of the reports of a class, 0 to 9 (the exercise's are 5 to 9)."""
    return Precedence(max(transport_class % _URGENCIES, Precedence.FLASH))


def is_control(transport_class: int) -> bool:
    """Say whether the reports of a class are instructions to nodes."""
    return transport_class % _URGENCIES == 0


def answered(outcomes: bytes) -> tuple[int, ...]:
    """Give the slots of a segment for which an acknowledgement's outcomes end the waiting."""
    if all(outcome in ANSWERS for outcome in set(outcomes)):
        return tuple(range(len(outcomes)))
    return tuple(slot for slot, outcome in enumerate(outcomes) if outcome in ANSWERS)
