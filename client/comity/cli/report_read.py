"""`comity report read | action`: an officer says that it read reports, or what was done on them; their originator is told."""

from __future__ import annotations

from uuid import UUID

import click

from comity.cli.base import Group, Invocation
from comity.cli.officer_acts import act
from comity_policy.acts import ActKind


def add_to(group: Group) -> None:
    """Add the commands to `comity report`."""
    for one in (read, action):
        group.add_command(one)


_READ = Group("read")
_AGREEMENT = click.option("--agreement", "agreement_id", required=True, help="The agreement they came under.")
_REPORTS = click.argument("report_ids", metavar="REPORT_ID...", type=click.UUID, nargs=-1, required=True)


@_READ.does(
    "read",
    example="""comity report read 019a8f2e-6f3c-7d4e-9a10-2b7c5d8e9f01 --agreement XAR-XBO-1 --as XBO/officer1""",
)
@_REPORTS
@_AGREEMENT
def read(run: Invocation, *, report_ids: tuple[UUID, ...], agreement_id: str) -> None:
    """Say that the officer read reports of one originator that this party was handed. It ends the time to read them.

    'comity receive --reader' says so by itself; this is for what was read otherwise, in the files that a machine received. That a
    machine received them says nothing of reading.
    """
    ids = [one.hex for one in report_ids]
    act(run, f"read {_count(ids)}", lambda at_work: at_work.handled(agreement_id, ids, ActKind.READ))


@_READ.does(
    "action",
    example="""comity report action 019a8f2e-6f3c-7d4e-9a10-2b7c5d8e9f01 --agreement XAR-XBO-1 \\
    --note 'two boats are under way' --as XBO/officer1""",
)
@_REPORTS
@_AGREEMENT
@click.option(
    "--note",
    default="",
    help="What was done; the originator reads it, and it stands in the log: nothing of the report.",
)
def action(run: Invocation, *, report_ids: tuple[UUID, ...], agreement_id: str, note: str) -> None:
    """Say that the officer acted on reports of one originator that this party was handed. Whoever acts on a report has read it."""
    ids = [one.hex for one in report_ids]
    act(run, f"acted on {_count(ids)}", lambda at_work: at_work.handled(agreement_id, ids, ActKind.ACTION, note=note))


def _count(ids: list[str]) -> str:
    return "a report" if len(ids) == 1 else f"{len(ids)} reports"
