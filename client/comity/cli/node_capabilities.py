"""`comity node capabilities`: what nodes say that they can, as far as the own mirror verifies."""

from __future__ import annotations

from collections.abc import Iterable

import click

from comity.cli.base import Group, Invocation
from comity.identity.directory import KeyDirectory
from comity.identity.names import check_party
from comity.identity.records import NodeRecord
from comity.node.mirror import Mirror
from comity.node.times import rfc3339

_SHOWS = Group("shows")


def add_to(group: Group) -> None:
    """Add the command to `comity node`."""
    group.add_command(capabilities)


@_SHOWS.does(
    "capabilities",
    example="""comity node capabilities --as XAR/n1
comity node capabilities XBO --as XAR/n1 --json""",
)
@click.argument("party", metavar="[PARTY]", required=False)
def capabilities(run: Invocation, *, party: str | None) -> None:
    """Show what the own party's nodes and its partners' say that they can, or those of one party.

    A node states it with its signing key, at enrolment and whenever its software can something else: the version of the software,
    the versions of the wire protocol, the envelope suites, the obligations it enforces. The statement is in the key log that this
    identity's mirror verified last; nothing is fetched.
    """
    place = run.acting()
    with Mirror.of_identity(run.home, place.identity) as mirror:
        parties = [check_party(party)] if party else sorted(mirror.directory.cards)
        nodes = [node for one in parties for node in mirror.directory.nodes(one)]
        for node in nodes:
            _show(run, mirror.directory, node)
        if not nodes:
            run.output.say("No node is enrolled, as far as this mirror verifies.")


def _show(run: Invocation, directory: KeyDirectory, node: NodeRecord) -> None:
    stated = directory.capabilities(node.party, node.node)
    if stated is None:
        run.output.record(node=str(node.identity), stated=False)
        run.output.show(f"{node.identity}  has stated nothing, or its key was revoked since")
        return
    able = stated.body.abilities
    run.output.record(
        node=str(node.identity),
        stated=True,
        software=able.software,
        wire=list(able.wire),
        suites=list(able.suites),
        obligations=sorted(able.obligations),
        number=stated.body.sequence,
        valid_from=rfc3339(stated.body.valid_from),
        log_index=stated.log_index,
    )
    run.output.show(
        f"{node.identity}  {able.software}; wire protocol {_listed(able.wire)}; suites {_listed(able.suites)}",
        f"  statement {stated.body.sequence} of {rfc3339(stated.body.valid_from)}, entry {stated.log_index} of the key log",
        f"  enforces {_listed(sorted(able.obligations)) or 'nothing'}",
    )


def _listed(words: Iterable[object]) -> str:
    return ", ".join(map(str, words))
