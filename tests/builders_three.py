"""Three nations under one agreement on one broker, a node each: what one of them may not see must not reach it by any way.

async with three_nations(tmp_path) as world:
    async with world.node("XAR") as sender, world.node("XBO") as reader, world.node("XDE") as stranger: ...
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

from builders_broker import AGREEMENT, World, brokered
from builders_identity import Nation, nation
from builders_sdk import Shared
from builders_treaty import OFFICERS, Treaty
from comity.node.connecting import connected
from comity.node.node import Node
from comity_broker.installation import Installation
from comity_broker.settings import Settings
from comity_policy.steps import StepKind

_LEVELS = ("UNCLASSIFIED", "RESTRICTED", "CONFIDENTIAL", "SECRET", "TOP-SECRET")
_PAIRS = (("XAR", "XDE"), ("XDE", "XAR"), ("XBO", "XDE"), ("XDE", "XBO"))


@dataclass
class ThreeNations(World):
    """The world of two, and XDE."""

    xde: Nation = None  # type: ignore[assignment]  # given by name, after fields with defaults

    @property
    def nations(self) -> tuple[Nation, ...]:
        return (self.xar, self.xbo, self.xde)

    @property
    def installation(self) -> Installation:
        cards = {one.party: one.card_file for one in self.nations}
        return replace(super().installation, cards=cards)

    def agreement(self, **changes: object) -> str:
        """Give the template's text with a third party that gets what its markings release to it, from both others."""
        text = super().agreement(**changes)
        root = "sha384:" + self.xde.card.root_fingerprint.hex()
        party = (
            f'[parties.XDE]\nname = "{self.xde.card.name}"\nroot = "{root}"\n'
            f'trust_domain = "{self.xde.trust_domain}"\njurisdiction = "{self.xde.card.jurisdiction}"\n\n'
        )
        rows = "\n".join(f'    ["{level}", "{level}"],' for level in _LEVELS)
        more = "".join(
            f'\n[[equivalence]]\nfrom = "{one}"\nto = "{other}"\nvalid_from = 2026-01-01\nrows = [\n{rows}\n]\n'
            for one, other in _PAIRS
        )
        more += "".join(
            f'\n[[clause]]\nid = "3.{number}"\nkind = "scope"\nfrom = "{one}"\nto = "{other}"\n'
            f'categories = ["terrorism"]\nkinds = ["report"]\ntext.en = "{one} may provide reports to {other}."\n'
            for number, (one, other) in enumerate(_PAIRS, 3)
        )
        limits = "".join(f'    {{ from = "{one}", to = "{other}", level = "SECRET" }},\n' for one, other in _PAIRS)
        text = text.replace("[brokers.hub]", party + "[brokers.hub]", 1).replace(
            "limits = [\n", "limits = [\n" + limits
        )
        text = text.replace('["xar", "xbo"]', '["xar", "xbo", "xde"]')
        text = text.replace(
            ' }\ntext.en = """Information provided',
            ', XDE = ["xar", "xbo", "xde"] }\ntext.en = """Information provided',
        )
        return text + more


@dataclass
class SharedByThree(Shared):
    """A broker, the agreement of three in force on it, and their nodes, enrolled."""

    def node(self, name: str, **options: object) -> contextlib.AbstractAsyncContextManager[Node]:
        """Connect a node."""
        cards = {one.party: one.card for one in self.world.nations}
        return connected(self.access(name), cards, **options)


@contextlib.asynccontextmanager
async def three_nations(path: Path, more: str = "") -> AsyncIterator[SharedByThree]:
    """Start a broker, bring an agreement of three parties (with `more` at its end) into force, enrol n1 of each."""
    now = time.time_ns() // 1_000_000
    xar, xbo, xde = (nation(code, now=now) for code in ("XAR", "XBO", "XDE"))
    settings = Settings(listen="127.0.0.1:0", drain=2.0)
    world = ThreeNations(path / "broker", xar, xbo, xar.broker(), settings, xde=xde)
    async with brokered(path / "broker", world=world):
        made = SharedByThree(world, await _agreed(world, more), path / "home")
        for one in world.nations:
            await made.enrol(one, "n1")
        yield made


async def _agreed(world: ThreeNations, more: str) -> Treaty:
    officers = {
        (one.party, name): await world.enrolled(one.officer(name, [role]))
        for one in world.nations
        for name, role in OFFICERS.items()
    }
    agreed = Treaty(world, (world.agreement() + more).encode(), officers)
    await agreed.take(StepKind.PROPOSE, world.xar)
    for one in world.nations:
        await agreed.take(StepKind.REVIEW, one)
    terms = await world.broker.agreements.terms(AGREEMENT)
    for one in world.nations:
        await agreed.take(StepKind.SIGN, one)
        await agreed.take(StepKind.LOG_SIGN, one, log=terms)
    return agreed
