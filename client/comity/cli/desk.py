"""`comity desk`: what waits for the acting identity's party and what comes, by its clock, from the own verified mirror."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final
from uuid import UUID

import click

from comity.cli.agreement_show import mirror_of
from comity.cli.base import Invocation, command, now_ms
from comity.cli.output import safe
from comity.node.duties import duties_of
from comity.node.times import rfc3339
from comity_policy.obligations import Duty, DutyKind, DutyState, Tracked
from comity_policy.reminders import AHEAD_MS, Reminder, ReminderKind, coming, reminders_of
from comity_policy.state import State

# What to do about a duty: the words before what it is about, and the command to paste.
_COMMANDS: Final[Mapping[DutyKind, Callable[[str, Duty], str]]] = {
    DutyKind.ACKNOWLEDGE: lambda *_: "comity receive --into DIR --purpose WORD",
    DutyKind.READ: lambda agreement, duty: f"comity report read {_uuid(duty.subject)} --agreement {agreement}",
    DutyKind.END_KEEPING: lambda agreement, duty: (
        f"comity report destroy {_uuid(duty.subject)} --agreement {agreement} --means '...'"
    ),
    DutyKind.REVIEW_EMERGENCY: lambda agreement, duty: (
        f"comity emergency review {agreement} {duty.subject[:16]} --finding justified --reason '...'"
    ),
    DutyKind.REVIEW_PERSONAL: lambda agreement, _: f"comity duty review-personal-data {agreement} --reason '...'",
    DutyKind.CORRECT: lambda agreement, duty: (
        f"comity report corrected {_uuid(duty.subject)} --agreement {agreement} --reason '...'"
    ),
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
_REMEDIES: Final[Mapping[ReminderKind, Callable[[str, Reminder], str]]] = {
    ReminderKind.RENEW: lambda agreement, _: f"comity agreement renew {agreement}",
    ReminderKind.RENEWS: lambda agreement, _: f"comity agreement renew {agreement} --object --reason '...'",
    **dict.fromkeys(
        (ReminderKind.LAPSES, ReminderKind.LEAVES, ReminderKind.ENDS, ReminderKind.BEGINS, ReminderKind.PROVISIONAL),
        lambda agreement, _: f"comity agreement show {agreement}",
    ),
    ReminderKind.DISPUTE: lambda agreement, one: f"comity agreement dispute close {agreement} {one.names[:16]}",
}


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
    """Show what the own party owes under its agreements and what comes, the most urgent first, each with the command to paste.

    It is folded from the own verified mirror: what was handed over and answered, and every act that officers signed. FROZEN is what
    an open dispute holds: nothing of it is destroyed. MISSED is what expired or was given up unanswered. Below stands what comes: terms
    that end or are renewed, from the first day on that the agreement reminds of it, parties that leave, versions that enter into
    force, disputes that lapse.
    """
    now = now_ms()
    with mirror_of(run, offline=offline, agreements=None if agreement_id is None else (agreement_id,)) as mirror:
        names = [agreement_id] if agreement_id else [view.agreement_id for view in mirror.agreements()]
        known = [(name, duties_of(mirror, name, now)) for name in names]
        party = mirror.party
    owed = [(name, one) for name, found in known for one in found.of(party)]
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
    _show_coming(run, _coming(((name, found.state) for name, found in known), party, everything=everything))
    late = sum(1 for _, one in shown if one.state is DutyState.OVERDUE)
    if late:
        run.output.say(f"{late} overdue.")


def _coming(states: Iterable[tuple[str, State]], party: str, *, everything: bool) -> list[tuple[str, Reminder]]:
    asked = coming if everything else reminders_of
    found = [(name, one) for name, state in states for one in asked(state, party)]
    return sorted(found, key=lambda row: (row[1], row[0]))


def _show_coming(run: Invocation, found: Sequence[tuple[str, Reminder]]) -> None:
    for name, one in found:
        command = _REMEDIES[one.kind](name, one)
        run.output.record(
            agreement_id=name, kind=one.kind.value, at=rfc3339(one.at_ms), reminder=one.words, command=command
        )
    if found:
        run.output.table(
            ("COMES", "AGREEMENT", "WHAT", "DO"),
            [(rfc3339(one.at_ms), name, safe(one.words), safe(_REMEDIES[one.kind](name, one))) for name, one in found],
            "",
        )


def _waits(one: Tracked, now: int) -> bool:
    if one.state is DutyState.OPEN:
        return one.duty.due_ms <= now + AHEAD_MS
    if one.state is DutyState.MISSED:
        return one.duty.due_ms >= now - AHEAD_MS
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
