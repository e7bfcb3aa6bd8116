"""A real broker inside the test's event loop, on a port of its own, and connections of whoever the test is about.

    async with brokered(tmp_path) as world:
        officer = await world.enrolled(world.xar.officer("liaison1"))
        async with world.connection(officer) as connection: ...

Everything is as in a process of its own (real gRPC with mTLS, a real SQLite file), but for the process: what needs one
(signals, kill -9) is tested end to end.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from builders_identity import Held, Nation, nation
from comity.node.connection import Connection
from comity.node.enrolment import enrol
from comity_broker.auditlog.checkpoint import LogKeys
from comity_broker.clock import BrokerClock
from comity_broker.installation import Installation
from comity_broker.parts import Parts
from comity_broker.server import RunningBroker
from comity_broker.settings import Settings
from comity_broker.storage.sqlite import open_storage
from comity_policy.templates import BrokerInfo, PartyInfo, render_template

AGREEMENT = "XAR-XBO-1"


@dataclass
class World:
    """Two nations, the hub that XAR operates, and its data directory."""

    data: Path
    xar: Nation
    xbo: Nation
    hub: Held
    settings: Settings
    clock: BrokerClock = field(default_factory=BrokerClock)
    broker: RunningBroker = field(init=False)

    @property
    def installation(self) -> Installation:
        return Installation(
            data=self.data,
            identity=self.hub.identity,
            region="xar",
            cards={one.party: one.card_file for one in (self.xar, self.xbo)},
            bundle=self.hub.statement,
            certificate_pem=self.hub.certificate_pem,
            key_pem=self.hub.tls.pem(),
            signer=self.hub.signer,
            log_keys=LogKeys(*self.hub.log_keys),
            tls_name=self.xar.broker_tls_name(),
        )

    def connection(self, held: Held) -> Connection:
        """Describe a connection of an identity to the hub."""
        return Connection.open(
            self.broker.address,
            broker_tls_name=self.xar.broker_tls_name(),
            roots_pem=self.xar.authority_pem,
            key_pem=held.tls.pem(),
            certificate_pem=held.certificate_pem,
        )

    async def enrolled(self, held: Held) -> Held:
        """Enrol an identity over a connection of its own."""
        async with self.connection(held) as connection:
            await enrol(connection, held.statement, held.ring)
        return held

    def agreement(self, **changes: object) -> str:
        """Give the text of an agreement between the two nations that names the hub."""
        parties = {
            one.party: PartyInfo(
                one.card.name, "sha384:" + one.card.root_fingerprint.hex(), one.trust_domain, one.card.jurisdiction
            )
            for one in (self.xar, self.xbo)
        }
        return render_template(AGREEMENT, parties, BrokerInfo("hub", "XAR", "xar"), **changes)


@contextlib.asynccontextmanager
async def brokered(
    data: Path, settings: Settings | None = None, world: World | None = None, **parts: object
) -> AsyncIterator[World]:
    """Start a broker over `data`, which may hold one already (`world` is the earlier one then); drain it at the end.

    `parts` replace those of `Parts`.
    """
    if world is None:
        now = time.time_ns() // 1_000_000
        xar, xbo = nation("XAR", now=now), nation("XBO", now=now)
        world = World(data, xar, xbo, xar.broker(), settings or Settings(listen="127.0.0.1:0", drain=2.0))
    (data / "last-signed").mkdir(parents=True, exist_ok=True)
    create = not (data / "store.sqlite").exists()
    with open_storage(data, create=create) as storage:
        running = RunningBroker(world.installation, storage, world.settings, Parts(world.clock, **parts))
        async with running.running() as broker:
            world.broker = broker
            yield world
