"""`comity agreement propose | counter | initial | review | object | sign | notify-completion | accede`: into force."""

from __future__ import annotations

from pathlib import Path

import click

from comity.cli.agreement_rounds import show_newest_change
from comity.cli.agreement_steps import REASON, Meant, take_step, text_meant
from comity.cli.base import Group, Invocation
from comity.errors import UsageError
from comity.node.files import read_file
from comity.node.negotiation import load_document
from comity.texts import TEXT_LIMIT, agreement_digest

_NEGOTIATING = Group("negotiating")


def add_to(group: Group) -> None:
    """Add the commands to `comity agreement`."""
    for one in _NEGOTIATING.commands.values():
        group.add_command(one)


def read_text(run: Invocation, file: str) -> tuple[bytes, str]:
    """Read a text from a file and say its digest; gives it with the id of its agreement."""
    text = read_file(Path(file), TEXT_LIMIT)
    document = load_document(text)
    run.output.say(f"{document.id}: digest sha384:{agreement_digest(text).hex()}")
    return text, document.id


@_NEGOTIATING.does("propose", example="comity agreement propose XAR-XBO-1.toml --as XAR/officer1")
@click.argument("file", type=click.Path())
def propose(run: Invocation, *, file: str) -> None:
    """Propose a text to the other party: the first step of its life, by a liaison officer. It opens the agreement's log."""
    text, agreement_id = read_text(run, file)
    take_step(run, agreement_id, lambda at_work: at_work.propose(text))


@_NEGOTIATING.does("counter", example="comity agreement counter XAR-XBO-1.toml --as XBO/officer1")
@click.argument("file", type=click.Path())
def counter(run: Invocation, *, file: str) -> None:
    """Answer the text on the table with another one: the next round, by a liaison officer.

    A new round begins with nothing: what was reviewed, objected to, initialled or signed was so of the text before. To begin
    with the text on the table: comity agreement show ID --text.
    """
    text, agreement_id = read_text(run, file)
    view = take_step(run, agreement_id, lambda at_work: at_work.counter(text))
    show_newest_change(run.output, view)


@_NEGOTIATING.does(
    "initial",
    example="""comity agreement initial XAR-XBO-1 --as XAR/officer1
comity agreement initial XAR-XBO-1 --digest sha384:5f3c... --as XAR/officer1""",
)
@click.argument("agreement_id")
@text_meant
def initial(run: Invocation, *, agreement_id: str, digest: str, yes: bool) -> None:
    """Put initials to the text on the table: once every party has, it is frozen, and only an objection opens it. By a liaison officer.

    Without --digest its title and digest are shown, and confirmed at the terminal.
    """
    meant = Meant("initial", digest, yes)
    take_step(run, agreement_id, lambda at_work: at_work.initial(agreement_id, meant.digest), meant)


@_NEGOTIATING.does(
    "review",
    example="""comity agreement review XAR-XBO-1 --as XAR/lawyer1
comity agreement review XAR-XBO-1 --clause 3.1 --clause 3.2 --as XAR/lawyer1""",
)
@click.argument("agreement_id")
@click.option("--clause", "clauses", multiple=True, help="A clause; may be repeated. Without one: every clause.")
@text_meant
def review(run: Invocation, *, agreement_id: str, clauses: tuple[str, ...], digest: str, yes: bool) -> None:
    """Sign off the legal review: the clause's meaning expresses its text (comity agreement show). By a legal reviewer.

    Without --digest the title and digest of the text on the table are shown, with the clauses named, and confirmed at the
    terminal.
    """
    meant = Meant("sign off the review of", digest, yes, clauses=clauses)
    take_step(run, agreement_id, lambda at_work: at_work.review(agreement_id, clauses, meant.digest), meant)


@_NEGOTIATING.does(
    "object",
    example="""comity agreement object XAR-XBO-1 --clause 4 --reason 'the gloss says more than the text' --as XBO/lawyer1
comity agreement object XAR-XBO-1 --clause 4 --reason 'too wide' --digest sha384:5f3c... --as XBO/lawyer1""",
)
@click.argument("agreement_id")
@click.option("--clause", "clauses", multiple=True, required=True, help="A clause; may be repeated.")
@REASON
@text_meant
def object_(
    run: Invocation, *, agreement_id: str, clauses: tuple[str, ...], reason: str, digest: str, yes: bool
) -> None:
    """Object to clauses: nobody signs before the own party signs them off or a new text takes their place. By a legal reviewer.

    Without --digest the text on the table, the clauses and the reason are shown, and confirmed at the terminal.
    """
    meant = Meant("object to", digest, yes, clauses=clauses, reason=reason)
    take_step(run, agreement_id, lambda at_work: at_work.object(agreement_id, clauses, reason, meant.digest), meant)


@_NEGOTIATING.does(
    "sign",
    example="""comity agreement sign XAR-XBO-1 --as XAR/minister1
comity agreement sign XAR-XBO-1 --digest sha384:5f3c... --as XAR/minister1""",
)
@click.argument("agreement_id")
@text_meant
def sign(run: Invocation, *, agreement_id: str, digest: str, yes: bool) -> None:
    """Sign the text on the table, and once the terms of its log at this broker. By a plenipotentiary, after the review.

    Without --digest its title and digest are shown, and confirmed at the terminal.
    Checked first: the roots the text pins are those trusted here, it names this broker, and the log was opened for this
    agreement with keys of this broker.
    """
    meant = Meant("sign", digest, yes)
    take_step(run, agreement_id, lambda at_work: at_work.sign(agreement_id, meant.digest), meant)


@_NEGOTIATING.does(
    "notify-completion",
    example="""comity agreement notify-completion XAR-XBO-1 --instrument 'Law 17/2027' --authority Parliament \\
    --date 2027-01-04 --as XAR/officer1
comity agreement notify-completion XAR-XBO-1 --receive XBO --as XAR/officer1""",
)
@click.argument("agreement_id")
@click.option("--instrument", help="The act that completed the internal procedures.")
@click.option("--authority", help="Who adopted it.")
@click.option("--date", metavar="YYYY-MM-DD", help="The date it bears.")
@click.option("--receive", metavar="PARTY", help="Receive the notification of that party instead.")
def notify_completion(
    run: Invocation,
    *,
    agreement_id: str,
    instrument: str | None,
    authority: str | None,
    date: str | None,
    receive: str | None,
) -> None:
    """Notify that internal procedures are complete, or receive the other party's notification. By a liaison officer.

    Under after-later-receipt the first receipt by another party fixes the date that counts: the log's time of the receipt.
    """
    if receive is not None:
        if instrument or authority or date:
            raise UsageError(
                "--receive stands alone", what_to_do="What was notified is in the log: comity agreement show."
            )
        take_step(run, agreement_id, lambda at_work: at_work.receive(agreement_id, receive))
        return
    if not (instrument and authority and date):
        raise UsageError("a notification names its instrument", what_to_do="--instrument, --authority and --date")
    take_step(run, agreement_id, lambda at_work: at_work.notify_completion(agreement_id, instrument, authority, date))


@_NEGOTIATING.does("accede", example="comity agreement accede XAR-XBO-XDE-1 --as XDE/minister1")
@click.argument("agreement_id")
@text_meant
def accede(run: Invocation, *, agreement_id: str, digest: str, yes: bool) -> None:
    """Accede to an agreement in force that names the own party, and sign its log's terms. By a plenipotentiary, after the review.

    Without --digest the title and digest of the text in force are shown, and confirmed at the terminal.
    """
    meant = Meant("accede to", digest, yes, governing=True)
    take_step(run, agreement_id, lambda at_work: at_work.accede(agreement_id, meant.digest), meant)
