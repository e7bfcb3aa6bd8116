"""Acts of officers at a broker that runs: who signs what, and what the log has of it."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Any

from builders_acts import FIELDS
from builders_broker import AGREEMENT
from builders_identity import DAY, Held, Nation
from builders_sdk import Shared
from builders_treaty import OFFICERS
from comity.identity.bodies import Attestation
from comity.node.enrolment import statement_message
from comity.node.mirror import Mirror
from comity.node.node import Node
from comity.statement import Statement, cosign, sign_statement
from comity.v1 import agreement_pb2
from comity_broker.server import RunningBroker
from comity_policy.acts import Act, ActKind
from comity_policy.facts import Role
from comity_policy.obligations import DutyKind

HOUR = 3_600_000
CLAUSES: dict[str, tuple[str, str]] = {
    "30": ("emergency", 'to = ["XBO"]\nonward = false\nreview_within = { hours = 24 }'),
    "33": ("breach", "notify = { hours = 24 }\ninitial_report = { hours = 72 }\nmeasures = { days = 30 }"),
    "35": ("security-measures", "attest_every = { days = 365 }"),
}
DUTY_OFFICERS = {
    "duty1": Role.DUTY_OFFICER,
    "release1": Role.RELEASE_AUTHORITY,
    "security1": Role.SECURITY_AUTHORITY,
}
ROLES = {**OFFICERS, **DUTY_OFFICERS}


def wall_ms() -> int:
    """Give this machine's time."""
    return time.time_ns() // 1_000_000


@dataclass
class Officers:
    """The officers of a running agreement who act under it."""

    shared: Shared

    async def accredit(self) -> Officers:
        """Accredit a duty officer, a release authority and a security authority of both nations."""
        for nation in (self.shared.world.xar, self.shared.world.xbo):
            for name, role in DUTY_OFFICERS.items():
                cleared = Attestation("TOP-SECRET", f"{nation.party}/sec1", nation.now + 30 * DAY)
                held = await self.shared.world.enrolled(nation.officer(name, [role], clearance=cleared))
                self.shared.treaty.officers[nation.party, name] = held
        return self

    def held(self, nation: Nation, name: str) -> Held:
        """Give an officer."""
        return self.shared.treaty.officers[nation.party, name]

    def signed(
        self, kind: ActKind, by: Held, *witnesses: Held, also: tuple[Held, ...] = (), **changes: Any
    ) -> Statement:
        """Give an act that an officer signed, with witnesses; `also` sign it without being named."""
        party = by.name.partition("/")[0]
        now = wall_ms()
        given: dict[str, Any] = {
            "kind": kind,
            "agreement_id": AGREEMENT,
            "agreement_digest": self.shared.treaty.digest.hex(),
            "party": party,
            "officer": by.name,
            "role": min(kind.roles & {ROLES.get(by.identity.name)} or kind.roles),
            "made_at": now,
            **FIELDS[kind],
            **({"valid_until": now + HOUR} if kind is ActKind.DECLARE else {}),
            **({"discovered_at": now - HOUR} if kind is ActKind.BREACH_OPEN else {}),
            **({"witnesses": tuple(sorted(one.name for one in witnesses))} if witnesses else {}),
        }
        statement = sign_statement(Act(**{**given, **changes}).to_body(), by.signer)
        return cosign(statement, *(one.signer for one in (*witnesses, *also))) if witnesses or also else statement

    async def submit(self, statement: Statement, by: Held, agreement: str = AGREEMENT) -> int:
        """Bring an act over an officer's own connection; give its log index."""
        request = agreement_pb2.SubmitActRequest(agreement_id=agreement, act=statement_message(statement))
        async with self.shared.world.connection(by) as connection:
            answer = await connection.call(connection.agreements.SubmitAct, request)
            return answer.log_index

    async def take(self, kind: ActKind, by: Held, *witnesses: Held, **changes: Any) -> tuple[Statement, int]:
        """Sign and bring an act; give it with its log index."""
        statement = self.signed(kind, by, *witnesses, **changes)
        return statement, await self.submit(statement, by)

    async def kinds(self) -> list[str]:
        """Give the kinds of every entry of the agreement's log."""
        reader = self.shared.world.broker.logs._reader
        return [entry.kind for entry in await reader.entries(AGREEMENT, 0, 4096)]

    async def told(self, *of: DutyKind) -> list[tuple[str, str, str]]:
        """Give what the log was told of duties, of some kinds: kind of entry, kind of duty, owner."""
        reader = self.shared.world.broker.logs._reader
        entries = await reader.entries(AGREEMENT, 0, 4096)
        kinds = {entry.log_index: entry.kind for entry in entries if entry.kind.startswith("DUTY_")}
        found = []
        for row in await reader.bodies(AGREEMENT, sorted(kinds), ["XAR"]):
            body = json.loads(row.body) if row.body else {"duties": []}
            found += [(kinds[row.log_index], one["kind"], one["owner"]) for one in body["duties"]]
        return [one for one in found if not of or one[1] in of]


async def answering(reader: Node) -> None:
    """Let a node answer for everything it is handed."""
    async for delivery in reader.receive(follow=False, purpose="counter-terrorism"):
        async with delivery:
            pass


async def refreshed(node: Node, broker: RunningBroker) -> Mirror:
    """Refresh a node's mirror to what is logged; give it."""
    (head,) = [one for one in await broker.logs._reader.shards() if one.shard == AGREEMENT]
    while (pin := node.mirror.pin(AGREEMENT)) is None or pin.size < head.leaf_next:
        await node.refresh()
        await asyncio.sleep(0)
    return node.mirror
