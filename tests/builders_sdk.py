"""Two nations with a node each, a real broker and an agreement in force: the SDK as a program uses it.

async with sharing(tmp_path) as world:
    async with world.node("XAR") as sender, world.node("XBO") as reader:
        await sender.send(report("two boats"), agreement=AGREEMENT)
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

from builders_broker import AGREEMENT, World, brokered
from builders_identity import DAY, Held
from builders_treaty import Treaty, treaty
from comity.identity.bodies import Attestation
from comity.node.access import Access, Target
from comity.node.connecting import connected
from comity.node.home import Place
from comity.node.node import Node
from comity.report import Portion, Report

__all__ = ["AGREEMENT", "Shared", "report", "sharing", "until"]


@dataclass
class Shared:
    """A broker, the agreement in force on it, and both nations' nodes, enrolled."""

    world: World
    treaty: Treaty
    home: Path
    nodes: dict[str, Held] = field(default_factory=dict)

    def access(self, name: str) -> Access:
        """Give what a node needs to act; `name` is PARTY for its n1, or PARTY/NAME."""
        held = self.nodes[name]
        world = self.world
        target = Target(
            address=world.broker.address,
            tls_name=world.xar.broker_tls_name(),
            roots_pem=world.xar.authority_pem,
            key_pem=held.tls.pem(),
            certificate_pem=held.certificate_pem,
        )
        place = Place(held.identity, self.home / held.identity.party / held.identity.name)
        return Access(place, held.ring, world.hub.identity, target)

    def node(self, name: str, **options: object) -> contextlib.AbstractAsyncContextManager[Node]:
        """Connect a node."""
        cards = {one.party: one.card for one in (self.world.xar, self.world.xbo)}
        return connected(self.access(name), cards, **options)

    async def enrol(self, nation: object, name: str) -> Held:
        """Enrol a further node of a nation."""
        until = nation.now + 30 * DAY
        held = nation.node(name, accreditation=Attestation("TOP-SECRET", f"{nation.party}/sec1", until))
        await self.world.enrolled(held)
        self.nodes[nation.party if name == "n1" else f"{nation.party}/{name}"] = held
        return held


@contextlib.asynccontextmanager
async def sharing(
    path: Path, *, into_force: bool = True, world: World | None = None, **options: object
) -> AsyncIterator[Shared]:
    """Start a broker, bring the agreement into force, enrol XAR/n1 and XBO/n1; `options` are those of `brokered`."""
    async with brokered(path / "broker", world=world, **options) as running:
        made = Shared(running, await treaty(running), path / "home")
        for nation in (running.xar, running.xbo):
            await made.enrol(nation, "n1")
        if into_force:
            await made.treaty.into_force()
        yield made


async def until(condition: Callable[[], object], *, turns: int = 200_000) -> None:
    """Let the event loop run until a condition holds; fails when it never does."""
    for _ in range(turns):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("the condition never came to hold")


def report(text: str = "two boats", *portions: Portion, **fields: object) -> Report:
    """Give a report that the agreement permits from XAR to XBO."""
    given = {
        "marking": "SECRET//REL TO XAR, XBO",
        "categories": ["terrorism"],
        "purpose": "counter-terrorism",
        **fields,
    }
    if portions:
        return Report.of(portions, **given)
    return Report.text(text, **given)
