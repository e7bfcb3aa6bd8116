"""`comity agreement confirm-log`: a party's word that a restored broker may go on with an agreement's log."""

from __future__ import annotations

import asyncio
import sys

import click

from comity.cli.base import Group, Invocation
from comity.cli.identity import access_of
from comity.cli.output import safe
from comity.errors import AccessError, ErrorCode, UsageError
from comity.identity.names import IdentityKind
from comity.node.catching_up import catch_up
from comity.node.confirming import Confirming, Restored
from comity.node.connection import Connection
from comity.node.mirror import Mirror
from comity.node.officer_work import Taken
from comity.node.times import rfc3339

_CONFIRMING = Group()


def add_to(group: click.Group) -> None:
    """Add the command to `comity agreement`."""
    for name, one in _CONFIRMING.commands.items():
        group.add_command(one, name)


@_CONFIRMING.does(
    "confirm-log",
    example="""comity agreement confirm-log XAR-XBO-1 --as XAR/officer1
comity agreement confirm-log XAR-XBO-1 --yes --json --as XAR/officer1""",
)
@click.argument("agreement_id")
@click.option("--yes", is_flag=True, help="Without being asked at the terminal.")
def confirm_log(run: Invocation, *, agreement_id: str, yes: bool) -> None:
    """Confirm, after the broker was restored from a backup, that it goes on with this agreement's log. By a liaison officer.

    Shown first: up to where the log was restored, checked against the own mirror, and what was lost of it. Nothing is taken or handed
    over under the agreement before every party has confirmed. Revocations of the own party that were lost are brought again.
    """
    if not yes and not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask on", what_to_do="Say --yes, after reading what was lost.")
    place = run.acting(IdentityKind.OFFICER)
    access = access_of(run, place)

    async def look(mirror: Mirror) -> Restored:
        async with Connection(access.target) as connection:
            return await Confirming(access, connection, mirror).restored(agreement_id)

    async def confirm(mirror: Mirror) -> tuple[Taken, int, list[str]]:
        async with Connection(access.target) as connection:
            taken, again = await Confirming(access, connection, mirror).confirm(agreement_id)
            await catch_up(connection, mirror, (agreement_id,), at_least={agreement_id: taken.log_index + 1})
            view = mirror.agreement(agreement_id)
            signed = view.state.log_signed.get(view.log_origin, frozenset())
            missing = [] if view.log_origin in view.state.open_logs else sorted(set(view.parties) - signed)
            return taken, again, missing

    with Mirror.of_identity(run.home, place.identity) as mirror:
        restored = asyncio.run(look(mirror))
        for line in _told(agreement_id, restored):
            click.echo(safe(line), err=True)
        if not yes and not click.confirm("Confirm that the broker goes on from there?", default=False, err=True):
            raise AccessError(f"{place.identity} did not agree: nothing was done", code=ErrorCode.ROLE_NOT_ALLOWED)
        taken, again, missing = asyncio.run(confirm(mirror))
    run.output.record(
        agreement_id=agreement_id,
        officer=str(place.identity),
        log_index=taken.log_index,
        log_origin=restored.origin,
        before=restored.before,
        entries=restored.entries,
        lost=restored.lost,
        revocations_brought_again=again,
        to_confirm=missing,
    )
    waits = f"It waits for {', '.join(missing)}." if missing else "Every party has: reports go on."
    run.output.say(f"{place.identity} confirmed the log of {agreement_id}: entry {taken.log_index}. {waits}")


def _told(agreement_id: str, restored: Restored) -> list[str]:
    since = f"The broker was restored at {rfc3339(restored.taken_at)} and goes on with the log of {agreement_id}"
    lost = ", ".join(f"{count} {kind}" for kind, count in restored.lost.items())
    return [
        f"{since} from entry {restored.entries} on; what is before is what this mirror has.",
        f"Lost, and kept in this mirror as evidence: {lost or 'nothing that this mirror has seen'}.",
    ]
