"""What the commands of acts share: an officer at work, and how an act is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from comity.cli.base import Invocation
from comity.cli.identity import access_of
from comity.cli.output import safe
from comity.errors import UsageError
from comity.identity.names import Identity, IdentityKind
from comity.node.acting import Actor, Witness
from comity.node.connection import Connection
from comity.node.mirror import Mirror
from comity_policy.acts import Act


def act(run: Invocation, what: str, take: Callable[[Actor], Awaitable[Act]]) -> Act:
    """Take an act with the acting officer's keys, and say which entry it is; `what` is what the officer did."""
    place = run.acting(IdentityKind.OFFICER)
    access = access_of(run, place)

    async def go(mirror: Mirror) -> Act:
        async with Connection(access.target) as connection:
            return await take(Actor(access, connection, mirror))

    with Mirror.of_identity(run.home, place.identity) as mirror:
        taken = asyncio.run(go(mirror))
    run.output.record(
        agreement_id=taken.agreement_id,
        type=taken.kind.value,
        officer=taken.officer,
        digest=taken.digest,
        log_index=taken.log_index,
    )
    run.output.say(
        f"{place.identity} {safe(what)}: entry {taken.log_index} of the log of {taken.agreement_id}, {taken.digest[:16]}."
    )
    return taken


def witnesses_of(run: Invocation, names: Sequence[str], passphrase_file: str = "") -> tuple[Witness, ...]:
    """Open the keys of officers of this machine who sign as witnesses; raises UsageError for one named twice."""
    if len(set(names)) != len(names):
        raise UsageError("a witness is named twice")
    found = []
    for name in names:
        place = run.home.locate(Identity.parse(name, IdentityKind.OFFICER))
        found.append(Witness(place.identity, run.ring(place, passphrase_file)))
    return tuple(found)
