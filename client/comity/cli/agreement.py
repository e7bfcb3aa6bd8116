"""`comity agreement`: the group, and the steps that officers sign. The other `agreement_...` modules have the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import click

from comity.cli import agreement_export, agreement_prove, agreement_show, agreement_text
from comity.cli.agreement_show import view_facts
from comity.cli.base import Group, Invocation
from comity.cli.identity import access_of
from comity.identity.names import IdentityKind
from comity.node.agreements import AgreementView, document_digest
from comity.node.catching_up import catch_up
from comity.node.connection import Connection
from comity.node.files import read_file
from comity.node.mirror import Mirror
from comity.node.negotiation import Negotiator, Taken, load_document
from comity_policy.document import SIZE_LIMIT as TEXT_LIMIT
from comity_policy.steps import StepKind

T = TypeVar("T")
_DONE = {
    StepKind.PROPOSE: "proposed",
    StepKind.REVIEW: "signed off the legal review of",
    StepKind.SIGN: "signed",
    StepKind.LOG_SIGN: "signed the terms of the log of",
    StepKind.SUSPEND: "suspended",
    StepKind.RESUME: "resumed",
}


@click.group(cls=Group)
def agreement() -> None:
    """Agreements: write, check, review, sign, suspend."""


agreement_text.add_to(agreement)
agreement_prove.add_to(agreement)
agreement_export.add_to(agreement)


@agreement.does("propose", example="comity agreement propose XAR-XBO-1.toml --as XAR/officer1")
@click.argument("file", type=click.Path())
def propose(run: Invocation, *, file: str) -> None:
    """Propose a text to the other party: the first step of its life, by a liaison officer. It opens the agreement's log."""
    text = read_file(Path(file), TEXT_LIMIT)
    document = load_document(text)
    run.output.say(f"{document.id}: digest sha384:{document_digest(text).hex()}")
    _step(run, document.id, lambda at_work: at_work.propose(text))


@agreement.does("review", example="comity agreement review XAR-XBO-1 --as XAR/lawyer1")
@click.argument("agreement_id")
def review(run: Invocation, *, agreement_id: str) -> None:
    """Sign off the legal review: every clause's meaning expresses its text (comity agreement show). By a legal reviewer."""
    _step(run, agreement_id, lambda at_work: at_work.review(agreement_id))


@agreement.does("sign", example="comity agreement sign XAR-XBO-1 --as XAR/minister1")
@click.argument("agreement_id")
def sign(run: Invocation, *, agreement_id: str) -> None:
    """Sign the agreement, and the terms of its log at this broker. By a plenipotentiary, after the review.

    Checked first: the roots the text pins are those trusted here, it names this broker, and the log was opened for this text
    with keys of this broker.
    """
    _step(run, agreement_id, lambda at_work: at_work.sign(agreement_id))


@agreement.does(
    "suspend",
    example="""comity agreement suspend XAR-XBO-1 --clause 3.1 --reason 'leak under investigation' --as XAR/officer1
comity agreement suspend XAR-XBO-1 --reason 'treaty consultations' --as XAR/officer1""",
)
@click.argument("agreement_id")
@click.option("--clause", "clauses", multiple=True, help="A clause; may be repeated. Without one: the whole agreement.")
@click.option("--reason", required=True, help="Why; the other party reads it.")
def suspend(run: Invocation, *, agreement_id: str, clauses: tuple[str, ...], reason: str) -> None:
    """Suspend an agreement or single clauses, at once and alone. What is under way and not handed over is held, not lost."""
    _step(run, agreement_id, lambda at_work: at_work.suspend(agreement_id, clauses, reason))


@agreement.does(
    "resume",
    example="comity agreement resume XAR-XBO-1 --clause 3.1 --reason 'investigation closed' --as XAR/officer1",
)
@click.argument("agreement_id")
@click.option("--clause", "clauses", multiple=True, help="A clause that the own party suspended; may be repeated.")
@click.option("--reason", default="", help="Why; the other party reads it.")
def resume(run: Invocation, *, agreement_id: str, clauses: tuple[str, ...], reason: str) -> None:
    """Resume what the own party suspended. What was held waits for its originator: comity report confirm | withdraw."""
    _step(run, agreement_id, lambda at_work: at_work.resume(agreement_id, clauses, reason))


agreement_show.add_to(agreement)


def _step(
    run: Invocation, agreement_id: str, take: Callable[[Negotiator], Awaitable[Taken | tuple[Taken, ...]]]
) -> None:
    """Take a step with the acting officer's keys, then fold the log anew and say where the agreement stands."""
    place = run.acting(IdentityKind.OFFICER)
    access = access_of(run, place)

    async def go(mirror: Mirror) -> tuple[tuple[Taken, ...], AgreementView]:
        async with Connection(access.target) as connection:
            answer = await take(Negotiator(access, connection, mirror))
            taken = answer if isinstance(answer, tuple) else (answer,)
            newest = max(one.log_index for one in taken)
            await catch_up(connection, mirror, (agreement_id,), at_least={agreement_id: newest + 1})
            return taken, mirror.agreement(agreement_id)

    with Mirror.of_identity(run.home, place.identity) as mirror:
        steps, view = asyncio.run(go(mirror))
    run.output.record(
        **view_facts(view),
        officer=str(place.identity),
        steps=[{"type": one.kind.value, "log_index": one.log_index} for one in steps],
    )
    for one in steps:
        run.output.say(f"{place.identity} {_DONE[one.kind]} {agreement_id}: entry {one.log_index} of its log.")
    run.output.say(f"{agreement_id} is {view.state.phase.value.replace('_', ' ')}.")
