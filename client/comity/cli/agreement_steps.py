"""What every command of `comity agreement` that takes a step does: act, fold the log anew, say where the agreement stands."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import click

from comity.cli.agreement_facts import standing, view_facts
from comity.cli.base import Invocation
from comity.cli.identity import access_of
from comity.cli.output import safe
from comity.identity.names import IdentityKind
from comity.node.agreement_view import AgreementView
from comity.node.catching_up import catch_up
from comity.node.connection import Connection
from comity.node.mirror import Mirror
from comity.node.negotiation import Negotiator, Taken
from comity_policy.steps import StepKind

Take = Callable[[Negotiator], Awaitable[Taken | tuple[Taken, ...]]]

_DONE: Final = {
    StepKind.PROPOSE: "proposed",
    StepKind.COUNTER: "countered the text of",
    StepKind.INITIAL: "initialled",
    StepKind.REVIEW: "signed off the legal review of",
    StepKind.REVIEW_CLAUSES: "signed off clauses of",
    StepKind.OBJECT: "objected to clauses of",
    StepKind.SIGN: "signed",
    StepKind.LOG_SIGN: "signed the terms of the log of",
    StepKind.NOTIFY_COMPLETION: "notified the completion of internal procedures for",
    StepKind.RECEIVE: "received the notification of completion for",
    StepKind.ACCEDE: "acceded to",
    StepKind.AMEND: "proposed an amendment of",
    StepKind.NOTES: "sent a note on an annex of",
    StepKind.RENEW: "signed the renewal of",
    StepKind.OBJECT_RENEWAL: "objected to the renewal of",
    StepKind.NOTICE: "gave notice of termination of",
    StepKind.WITHDRAW: "withdrew from",
    StepKind.SUSPEND: "suspended",
    StepKind.RESUME: "resumed",
    StepKind.DISPUTE_OPEN: "opened a dispute under",
    StepKind.DISPUTE_CLOSE: "closed a dispute under",
    StepKind.CAVEAT_ADD: "added a national caveat on",
    StepKind.CAVEAT_WITHDRAW: "withdrew a national caveat on",
}

TEXT_MEANT = click.option(
    "--digest", default="", help="Only where this is the text on the table (comity agreement show prints it)."
)
REASON = click.option("--reason", required=True, help="Why; the other parties read it.")


def take_step(run: Invocation, agreement_id: str, take: Take) -> AgreementView:
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
    run.output.say(*(safe(line) for line in standing(view)))
    return view
