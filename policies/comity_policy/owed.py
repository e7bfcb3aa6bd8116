"""Duties as values: what is owed, where it stands, and the facts it follows from. What follows is `obligations.py`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from comity_policy.facts import Precedence
from comity_policy.holds import Holds
from comity_policy.state import State


class DutyKind(StrEnum):
    """What is owed."""

    ACKNOWLEDGE = "acknowledge"
    READ = "read"
    END_KEEPING = "end-keeping"
    REVIEW_EMERGENCY = "review-emergency"
    REVIEW_PERSONAL = "review-personal-data"
    CORRECT = "correct-personal-data"
    NOTIFY_BREACH = "notify-breach"
    REPORT_BREACH = "report-breach"
    ANSWER_BREACH = "answer-breach"
    CONSULT = "consult"
    ESCALATE = "escalate"
    ATTEST = "attest-measures"

    @property
    def about_reports(self) -> bool:
        """Say whether it is about one report: then only its originator's party and its owner may know of it."""
        return self in {DutyKind.ACKNOWLEDGE, DutyKind.READ, DutyKind.END_KEEPING, DutyKind.CORRECT}


class DutyState(StrEnum):
    """Where a duty stands at a moment."""

    OPEN = "OPEN"
    DONE = "DONE"
    OVERDUE = "OVERDUE"
    MISSED = "MISSED"
    FROZEN = "FROZEN"


@dataclass(frozen=True, slots=True, order=True)
class Duty:
    """One duty, owed by a party from `since_ms` until `due_ms`. `subject` is a report id, a digest, or the moment it counts from.

    Of a report `originator`, `leaf` and `entry` (the admission's) are known too.
    """

    due_ms: int
    id: str
    kind: DutyKind
    clause_id: str
    owner: str
    subject: str
    since_ms: int
    originator: str = ""
    leaf: str = ""
    entry: int = 0


@dataclass(frozen=True, slots=True)
class Tracked:
    """A duty as it stands at a moment; `done_at` is None while it is not done."""

    duty: Duty
    state: DutyState
    done_at: int | None = None

    @property
    def late(self) -> bool:
        """Say whether it was done, and after its time."""
        return self.done_at is not None and self.done_at > self.duty.due_ms


@dataclass(frozen=True, slots=True)
class Handover:
    """A report was handed to a node of a party: its id (32 hex digits), leaf, admission, and when.

    `control` says that it is an instruction to nodes, such as a recall, which no person has to read.
    """

    report: str
    leaf: str
    entry: int
    admitted_at: int
    originator: str
    recipient: str
    precedence: Precedence
    at_ms: int
    control: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What ended a party's waiting for a report: its node's answer, or with `given` false an expiry or that it was given up.

    `taken_back`: its originator recalled or superseded it, so that it needs no reading either.
    """

    report: str
    party: str
    at_ms: int
    given: bool = True
    taken_back: bool = False


def tracked(
    duty: Duty, done_at: int | None, state: State, *, missed: bool = False, holds: Holds | None = None
) -> Tracked:
    """Give a duty as it stands at the state's moment; `missed` says that by then nothing could be done about it any more.

    `holds` are what the disputes hold that are open then, where entries that they name were looked up.
    """
    if done_at is not None and done_at <= state.now_ms:
        return Tracked(duty, DutyState.DONE, done_at)
    if missed:
        return Tracked(duty, DutyState.MISSED)
    if duty.kind is DutyKind.END_KEEPING:
        holds = state.holds() if holds is None else holds
        if holds.on(duty.subject, duty.leaf, duty.entry):
            return Tracked(duty, DutyState.FROZEN)
    return Tracked(duty, DutyState.OVERDUE if state.now_ms > duty.due_ms else DutyState.OPEN)


def duty_id(kind: DutyKind, clause_id: str, owner: str, subject: str) -> str:
    """Give the id of a duty, which says all of it."""
    return f"{kind.value}/{clause_id}/{owner}/{subject}"
