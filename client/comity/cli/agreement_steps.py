"""What every command of `comity agreement` that takes a step does: act, fold the log anew, say where the agreement stands."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import click

from comity.cli.agreement_facts import standing, view_facts
from comity.cli.base import Invocation
from comity.cli.identity import access_of
from comity.cli.output import safe
from comity.errors import AccessError, ErrorCode, NotFoundError, UsageError
from comity.identity.names import IdentityKind
from comity.node.agreement_view import AgreementView
from comity.node.catching_up import catch_up
from comity.node.connection import Connection
from comity.node.mirror import Mirror
from comity.node.negotiation import Negotiator, Taken
from comity_policy.document import Document
from comity_policy.gloss import gloss
from comity_policy.negotiation import Version
from comity_policy.steps import StepKind

F = TypeVar("F", bound=Callable[..., object])
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
    StepKind.LOG_CONFIRM: "confirmed the log of",
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

_TEXT_MEANT: Final = click.option(
    "--digest", default="", help="Only where this is the text on the table (comity agreement show prints it)."
)
_WITHOUT_ASKING = click.option("--yes", is_flag=True, help="Whatever text is on the table, without being asked.")
REASON = click.option("--reason", required=True, help="Why; the other parties read it.")


def text_meant(function: F) -> F:
    """Add the options that say which text a step is about: its digest, or that the officer need not be asked."""
    return _TEXT_MEANT(_WITHOUT_ASKING(function))


@dataclass
class Meant:
    """The text a step is about: the one whose digest was said, else the one on the table once the officer has agreed to it.

    `doing` is the step in words; `governing`: the text is the one that governs, not one that is negotiated. `clauses` are those
    it is about, where it is not about all of them, `reason` what others will read.
    """

    doing: str
    digest: str
    yes: bool
    governing: bool = False
    clauses: tuple[str, ...] = ()
    reason: str = ""

    def require(self) -> None:
        """Check that the officer said which text, or can be asked; raises UsageError."""
        if not self.digest and not self.yes and not sys.stdin.isatty():
            raise UsageError(
                f"which text to {self.doing} is not said, and there is no terminal to ask on",
                what_to_do="Say --digest, as comity agreement show prints it, or --yes for whatever is on the table.",
            )

    def settle(self, run: Invocation, officer: str, version: Version) -> None:
        """Take the version for the one that is meant, after it was shown and, without --yes, agreed to.

        Shown are its title and digest, and of single clauses what they say and mean; raises NotFoundError for one that it has not.
        """
        document = version.document
        lines = (
            f"{officer} is about to {self.doing} {document.id}, version {document.version}:",
            f"  {document.title}",
            f"  sha384:{version.digest}",
            *(line for clause_id in self.clauses for line in _clause_lines(document, clause_id)),
            *((f"  reason: {self.reason}",) if self.reason else ()),
        )
        for line in lines:
            if self.yes:
                run.output.note(safe(line))
            else:
                click.echo(safe(line), err=True)
        if not self.yes and not click.confirm(f"To {self.doing} exactly this text?", default=False, err=True):
            raise AccessError(f"{officer} did not agree: nothing was done", code=ErrorCode.ROLE_NOT_ALLOWED)
        self.digest = version.digest


def _clause_lines(document: Document, clause_id: str) -> list[str]:
    clause = next((one for one in document.clauses if one.id == clause_id), None)
    if clause is None:
        raise NotFoundError(
            f"version {document.version} of {document.id} has no clause {clause_id}",
            what_to_do=f"comity agreement show {document.id} prints those it has.",
        )
    said = (f"    {language}: {words}" for language, words in clause.text.items())
    return [f"  clause {clause.id}:", *said, f"    it means: {gloss(clause, document)}"]


def take_step(run: Invocation, agreement_id: str, take: Take, meant: Meant | None = None) -> AgreementView:
    """Take a step with the acting officer's keys, then fold the log anew and say where the agreement stands.

    `take` reads the digest of `meant`, which is settled before; raises UsageError and AccessError as that does.
    """
    if meant is not None:
        meant.require()
    place = run.acting(IdentityKind.OFFICER)
    access = access_of(run, place)

    async def look(mirror: Mirror) -> Version:
        async with Connection(access.target) as connection:
            at_work = Negotiator(access, connection, mirror)
            state = (await at_work.view(agreement_id)).state
            return state.current if meant is not None and meant.governing else at_work.on_the_table(state)

    async def go(mirror: Mirror) -> tuple[tuple[Taken, ...], AgreementView]:
        async with Connection(access.target) as connection:
            answer = await take(Negotiator(access, connection, mirror))
            taken = answer if isinstance(answer, tuple) else (answer,)
            newest = max(one.log_index for one in taken)
            await catch_up(connection, mirror, (agreement_id,), at_least={agreement_id: newest + 1})
            return taken, mirror.agreement(agreement_id)

    with Mirror.of_identity(run.home, place.identity) as mirror:
        if meant is not None and not meant.digest:
            meant.settle(run, str(place.identity), asyncio.run(look(mirror)))
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
