"""`comity agreement amend | notes | suspend | resume`: what changes an agreement that is signed."""

from __future__ import annotations

import click

from comity.cli.agreement_negotiate import read_text
from comity.cli.agreement_rounds import show_newest_change
from comity.cli.agreement_steps import REASON, take_step
from comity.cli.base import Group, Invocation

_CHANGES = Group("changes")


def add_to(group: Group) -> None:
    """Add the commands to `comity agreement`."""
    for one in _CHANGES.commands.values():
        group.add_command(one)


@_CHANGES.does("amend", example="comity agreement amend XAR-XBO-1-v2.toml --as XAR/officer1")
@click.argument("file", type=click.Path())
def amend(run: Invocation, *, file: str) -> None:
    """Propose the text of the next version, which names the one in force in [amends]. By a liaison officer.

    It goes the way of any text: counter, review, sign. Until it is in force the old version binds, and it goes on governing
    what was shared under it.
    """
    text, agreement_id = read_text(run, file)
    view = take_step(run, agreement_id, lambda at_work: at_work.amend(text))
    show_newest_change(run.output, view)


@_CHANGES.does("notes", example="comity agreement notes XAR-XBO-1-v2.toml --annex D --as XAR/security1")
@click.argument("file", type=click.Path())
@click.option("--annex", required=True, help="The annex that changes; nothing else of the text may.")
def notes(run: Invocation, *, file: str, annex: str) -> None:
    """Send a note that changes one annex, or answer one with the same text. By an officer of the role the annex names.

    The other party's text: comity agreement show ID --version N --text. The last party's note brings it into force.
    """
    text, agreement_id = read_text(run, file)
    take_step(run, agreement_id, lambda at_work: at_work.notes(text, annex))


@_CHANGES.does(
    "suspend",
    example="""comity agreement suspend XAR-XBO-1 --clause 3.1 --reason 'leak under investigation' --as XAR/officer1
comity agreement suspend XAR-XBO-1 --reason 'treaty consultations' --as XAR/officer1""",
)
@click.argument("agreement_id")
@click.option("--clause", "clauses", multiple=True, help="A clause; may be repeated. Without one: the whole agreement.")
@REASON
def suspend(run: Invocation, *, agreement_id: str, clauses: tuple[str, ...], reason: str) -> None:
    """Suspend an agreement or single clauses, at once and alone. What is under way and not handed over is held, not lost."""
    take_step(run, agreement_id, lambda at_work: at_work.suspend(agreement_id, clauses, reason))


@_CHANGES.does(
    "resume",
    example="comity agreement resume XAR-XBO-1 --clause 3.1 --reason 'investigation closed' --as XAR/officer1",
)
@click.argument("agreement_id")
@click.option("--clause", "clauses", multiple=True, help="A clause that the own party suspended; may be repeated.")
@click.option("--reason", default="", help="Why; the other party reads it.")
def resume(run: Invocation, *, agreement_id: str, clauses: tuple[str, ...], reason: str) -> None:
    """Resume what the own party suspended. What was held waits for its originator: comity report confirm | withdraw."""
    take_step(run, agreement_id, lambda at_work: at_work.resume(agreement_id, clauses, reason))
