"""Officers at work on agreements at a test broker, each with a mirror of its own."""

import contextlib
from pathlib import Path

from builders_broker import World
from comity.node.access import Access, Target
from comity.node.home import Home
from comity.node.mirror import Mirror
from comity.node.negotiation import Negotiator


@contextlib.asynccontextmanager
async def at_work(world: World, held, folder: Path, *, cards=None):
    """Give an officer at work: connection, mirror and keys."""
    place = Home(folder).place(held.identity)
    place.directory.mkdir(parents=True, exist_ok=True)
    target = Target(world.broker.address, "hub.xar.example", b"", b"", b"")
    access = Access(place, held.ring, world.hub.identity, target)
    trusted = {one.party: one.card for one in (world.xar, world.xbo)} if cards is None else cards
    with Mirror.open(
        place.mirror,
        party=held.identity.party,
        broker=world.hub.identity,
        broker_tls_name="hub.xar.example",
        cards=trusted,
    ) as mirror:
        async with world.connection(held) as connection:
            yield Negotiator(access, connection, mirror)
