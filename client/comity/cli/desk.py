"""`comity desk`: what waits for the acting identity's party, by its clock, from the own verified mirror."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final
from uuid import UUID

import click

from comity.cli.agreement_show import mirror_of
from comity.cli.base import Invocation, command, now_ms
from comity.cli.output import safe
from comity.node.duties import duties_of
from comity.node.times import rfc3339
from comity_policy.obligations import Duty, DutyKind, DutyState, Tracked

# What to do about a duty: the words before what it is about, and the command to paste.
_COMMANDS: Final[Mapping[DutyKind, Callable[[str, Duty], str]]] = {
    DutyKind.ACKNOWLEDGE: lambda *_: "comity receive --into DIR",
    DutyKind.READ: lambda *_: "comity receive --into DIR",
    DutyKind.END_KEEPING: lambda agreement, duty: (
        f"comity report destroy {_uuid(duty.subject)} --agreement {agreement} --means '...'"
    ),
    DutyKind.REVIEW_EMERGENCY: lambda agreement, duty: (
        f"comity emergency review {agreement} {duty.subject[:16]} --finding justified --reason '...'"
    ),
    DutyKind.REVIEW_PERSONAL: lambda agreement, _: f"comity duty review-personal-data {agreement} --reason '...'",
    DutyKind.NOTIFY_BREACH: lambda agreement, _: f"comity breach list {agreement}",
    DutyKind.REPORT_BREACH: lambda agreement, duty: (
        f"comity breach update {agreement} {duty.subject[:16]} --stage initial-report --reason '...'"
    ),
    DutyKind.ANSWER_BREACH: lambda agreement, duty: (
        f"comity breach update {agreement} {duty.subject[:16]} --stage measures --reason '...'"
    ),
    DutyKind.CONSULT: lambda agreement, _: f"comity agreement show {agreement}",
    DutyKind.ESCALATE: lambda agreement, _: f"comity agreement show {agreement}",
    DutyKind.ATTEST: lambda agreement, _: f"comity duty attest {agreement} --reason '...'",
}
_AHEAD_MS: Final = 30 * 86_400_000


@command(
    "desk",
    example="""comity desk --as XAR/officer1
comity desk --as XAR/officer1 --all""",
)
@click.option("--agreement", "agreement_id", help="Of one agreement only.")
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Also what is due in more than 30 days, what is done, and what was missed long ago.",
)
@click.option("--offline", is_flag=True, help="From the mirror alone, without asking the broker.")
def desk(run: Invocation, *, agreement_id: str | None, everything: bool, offline: bool) -> None:
    """Show what the own party owes under its agreements, the most urgent first, each with the command to paste.

    It is folded from the own verified mirror: what was handed over and answered, and every act that officers signed. FROZEN is what
    an open dispute holds: nothing of it is destroyed. MISSED is what expired or was given up unanswered.
    """
    now = now_ms()
    with mirror_of(run, offline=offline, agreements=None if agreement_id is None else (agreement_id,)) as mirror:
        names = [agreement_id] if agreement_id else [view.agreement_id for view in mirror.agreements()]
        owed = [(name, one) for name in names for one in duties_of(mirror, name, now).of(mirror.party)]
    shown = sorted(
        ((name, one) for name, one in owed if everything or _waits(one, now)), key=lambda row: (row[1].duty, row[0])
    )
    for name, one in shown:
        run.output.record(**_facts(name, one))
    run.output.table(
        ("DUE", "STANDS", "AGREEMENT", "CLAUSE", "DUTY", "DO"),
        [
            (
                rfc3339(one.duty.due_ms),
                f"{one.state.value}{' LATE' if one.late else ''}",
                name,
                one.duty.clause_id,
                f"{one.duty.kind.value.replace('-', ' ')} {_subject(one.duty)}".rstrip(),
                _do(name, one),
            )
            for name, one in shown
        ],
        "Nothing waits.",
    )
    late = sum(1 for _, one in shown if one.state is DutyState.OVERDUE)
    if late:
        run.output.say(f"{late} overdue.")


def _waits(one: Tracked, now: int) -> bool:
    if one.state is DutyState.OPEN:
        return one.duty.due_ms <= now + _AHEAD_MS
    if one.state is DutyState.MISSED:
        return one.duty.due_ms >= now - _AHEAD_MS
    return one.state in {DutyState.OVERDUE, DutyState.FROZEN}


def _do(agreement_id: str, one: Tracked) -> str:
    waits = one.state in {DutyState.OPEN, DutyState.OVERDUE}
    return safe(_COMMANDS[one.duty.kind](agreement_id, one.duty)) if waits else "-"


def _subject(duty: Duty) -> str:
    if duty.kind.about_reports:
        return _uuid(duty.subject)
    return "" if duty.subject.isdecimal() else duty.subject[:16]


def _uuid(report: str) -> str:
    return str(UUID(hex=report))


def _facts(agreement_id: str, one: Tracked) -> dict[str, object]:
    duty = one.duty
    return {
        "agreement_id": agreement_id,
        "duty": duty.id,
        "kind": duty.kind.value,
        "clause_id": duty.clause_id,
        "owner": duty.owner,
        "subject": _uuid(duty.subject) if duty.kind.about_reports else duty.subject,
        "since": rfc3339(duty.since_ms),
        "due": rfc3339(duty.due_ms),
        "state": one.state.value,
        "done_at": None if one.done_at is None else rfc3339(one.done_at),
        "late": one.late,
        "command": _do(agreement_id, one) if one.state in {DutyState.OPEN, DutyState.OVERDUE} else None,
    }
