"""What happened to an agreement, in words: one line per step, and one for each thing that time alone brought about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from comity_policy.steps import Step, StepKind


@dataclass(frozen=True, slots=True)
class Event:
    """One line of an agreement's history; `step` is None for what time alone brought about."""

    at_ms: int
    what: str
    step: Step | None = None


def told(step: Step) -> Event:
    """Give the line that tells of a step."""
    words = _WORDS[step.kind](step)
    reason = f": {step.reason}" if step.reason else ""
    return Event(step.at_ms, f"{step.officer} ({step.role.word}) {words}{reason}", step)


def _clauses(step: Step) -> str:
    return f"clause {', '.join(step.clauses)}" if step.clauses else "the whole agreement"


_WORDS: Final[Mapping[StepKind, Callable[[Step], str]]] = {
    StepKind.PROPOSE: lambda _: "proposed the agreement",
    StepKind.COUNTER: lambda _: "countered with another text",
    StepKind.INITIAL: lambda _: "initialled the text",
    StepKind.REVIEW: lambda _: "signed off the legal review",
    StepKind.REVIEW_CLAUSES: lambda step: f"signed off the legal review of {_clauses(step)}",
    StepKind.OBJECT: lambda step: f"objected to {_clauses(step)}",
    StepKind.SIGN: lambda _: "signed the agreement",
    StepKind.LOG_SIGN: lambda _: "signed the terms of the log",
    StepKind.LOG_CONFIRM: lambda _: "confirmed the log that the restored broker goes on with",
    StepKind.NOTIFY_COMPLETION: lambda step: (
        f"notified the completion of internal procedures ({step.instrument} of {step.date}, {step.authority})"
    ),
    StepKind.RECEIVE: lambda _: "received a notification of completion",
    StepKind.ACCEDE: lambda _: "acceded to the agreement",
    StepKind.AMEND: lambda _: "proposed an amendment",
    StepKind.NOTES: lambda step: f"sent a note on annex {step.annex}",
    StepKind.RENEW: lambda _: "signed the renewal",
    StepKind.OBJECT_RENEWAL: lambda _: "objected to the renewal",
    StepKind.NOTICE: lambda _: "gave notice of termination",
    StepKind.WITHDRAW: lambda _: "withdrew from the agreement",
    StepKind.SUSPEND: lambda step: f"suspended {_clauses(step)}",
    StepKind.RESUME: lambda step: f"resumed {_clauses(step)}",
    StepKind.DISPUTE_OPEN: lambda step: f"opened a dispute about {step.subject} {step.subject_id}",
    StepKind.DISPUTE_CLOSE: lambda step: f"closed the dispute {step.names[:16]}",
    StepKind.CAVEAT_ADD: lambda step: f"added the national caveat {step.caveat} ({step.partner_text})",
    StepKind.CAVEAT_WITHDRAW: lambda step: f"withdrew the national caveat {step.caveat}",
}
