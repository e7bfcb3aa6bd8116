"""`comity agreement renew | terminate | withdraw | dispute`: how an agreement goes on, ends, and what is in dispute under it."""

from __future__ import annotations

import click

from comity.cli.agreement_steps import REASON, take_step
from comity.cli.base import Group, Invocation
from comity.errors import UsageError

_END = Group("end")


def add_to(group: Group) -> None:
    """Add the commands to `comity agreement`."""
    for one in (*_END.commands.values(), dispute):
        group.add_command(one)


@_END.does(
    "renew",
    example="""comity agreement renew XAR-XBO-1 --as XAR/minister1
comity agreement renew XAR-XBO-1 --object --reason 'the need has gone' --as XAR/minister1""",
)
@click.argument("agreement_id")
@click.option(
    "--object", "objects", is_flag=True, help="Object to a tacit renewal instead: the term that runs is the last."
)
@click.option("--reason", default="", help="Why the own party objects; the other parties read it.")
def renew(run: Invocation, *, agreement_id: str, objects: bool, reason: str) -> None:
    """Sign the renewal for one more term, where the text asks for that; or object to a tacit one. By a plenipotentiary."""
    if objects != bool(reason.strip()):
        raise UsageError("--object and --reason go together", what_to_do="A renewal that is signed needs no reason.")
    if objects:
        take_step(run, agreement_id, lambda at_work: at_work.object_renewal(agreement_id, reason))
    else:
        take_step(run, agreement_id, lambda at_work: at_work.renew(agreement_id))


@_END.does(
    "terminate", example="comity agreement terminate XAR-XBO-1 --reason 'it has served its end' --as XAR/minister1"
)
@click.argument("agreement_id")
@REASON
def terminate(run: Invocation, *, agreement_id: str, reason: str) -> None:
    """Give notice of termination of an agreement between two parties. By a plenipotentiary; nothing takes it back.

    It binds until the period of notice is over, from the moment the log took the notice. What survives, binds on.
    """
    take_step(run, agreement_id, lambda at_work: at_work.notice(agreement_id, reason))


@_END.does(
    "withdraw", example="comity agreement withdraw XAR-XBO-XDE-1 --reason 'a change of policy' --as XDE/minister1"
)
@click.argument("agreement_id")
@REASON
def withdraw(run: Invocation, *, agreement_id: str, reason: str) -> None:
    """Withdraw from an agreement that more than two are bound by; the others stay bound. By a plenipotentiary."""
    take_step(run, agreement_id, lambda at_work: at_work.withdraw(agreement_id, reason))


@click.group(cls=Group)
def dispute() -> None:
    """Disputes: they freeze onward release and hold the evidence of what they name, on all sides."""


@dispute.does(
    "open",
    example="""comity agreement dispute open XAR-XBO-1 --report 01a214c7-8436-712d-813d-a715b3292242 \\
    --until 2027-06-30 --reason 'it was passed on' --as XAR/officer1""",
)
@click.argument("agreement_id")
@click.option("--report", metavar="ID", help="The report it is about.")
@click.option("--decision", metavar="ID", help="The decision it is about.")
@click.option("--entry", metavar="INDEX", help="The entry of the agreement's log it is about.")
@click.option(
    "--until", required=True, metavar="YYYY-MM-DD", help="When it ends at the latest, at most three years ahead."
)
@REASON
def open_(
    run: Invocation,
    *,
    agreement_id: str,
    report: str | None,
    decision: str | None,
    entry: str | None,
    until: str,
    reason: str,
) -> None:
    """Open a dispute about a report, a decision or an entry of the log. By a liaison officer or plenipotentiary."""
    named = {"report": report, "decision": decision, "entry": entry}
    given = [(subject, one) for subject, one in named.items() if one]
    if len(given) != 1:
        raise UsageError("a dispute is about one thing", what_to_do="Say one of --report, --decision, --entry.")
    ((subject, subject_id),) = given
    take_step(run, agreement_id, lambda at_work: at_work.dispute_open(agreement_id, subject, subject_id, until, reason))


@dispute.does("close", example="comity agreement dispute close XAR-XBO-1 4f2a90c1d7e35b68 --as XAR/officer1")
@click.argument("agreement_id")
@click.argument("dispute_id", metavar="DISPUTE")
def close(run: Invocation, *, agreement_id: str, dispute_id: str) -> None:
    """Close a dispute for the own party; it is over when all it is between have. comity agreement show lists the open ones."""
    take_step(run, agreement_id, lambda at_work: at_work.dispute_close(agreement_id, dispute_id))
