"""XAR/n1 before it sends: its mirror of an agreement in force, what it may send, and what it seals.

async with clearing(tmp_path) as world:
    cleared = world.egress.clear(report(), AGREEMENT)
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from builders_audit import fresh_audit
from builders_audit_log import AGREEMENT, Audit
from builders_envelope import Stream
from builders_hostile import mirrored
from builders_sdk import report
from comity.errors import ComityError
from comity.identity.names import Identity, IdentityKind
from comity.node.collecting import Collector, Pending
from comity.node.egress import Egress
from comity.node.mirror import Mirror
from comity.node.outbox import Lane
from comity.node.sealing import Sealing
from comity.report import Report
from comity_policy.facts import Precedence

SENDER = Identity("XAR", IdentityKind.NODE, "n1")
EPOCH = bytes(16)


@dataclass
class Clearing:
    """The sender's side, up to what is sealed. `now` is its clock."""

    audit: Audit
    mirror: Mirror
    now: int
    egress: Egress = field(init=False)
    sealing: Sealing = field(init=False)
    collector: Collector = field(default_factory=Collector)

    def __post_init__(self) -> None:
        self.egress = Egress(self.mirror, SENDER, lambda: self.now)
        self.sealing = self.fresh_sealing({})

    def fresh_sealing(self, numbers: dict[Lane, int]) -> Sealing:
        return Sealing(
            SENDER,
            lambda key_set, suite: self.audit.node("XAR/n1").recipient,
            EPOCH,
            numbers,
            now_ms=lambda: self.now,
            random_bytes=Stream(b"sealing"),
        )

    def add(self, one: Report, *, urgent: bool = False) -> Pending:
        """Give a report to the lane's run, as the pipeline does. `urgent` as an agreement that lets nodes send it would."""
        cleared = self.egress.clear(one, AGREEMENT)
        if urgent:
            cleared = replace(cleared, profile=replace(cleared.profile, precedence=Precedence.IMMEDIATE))
        pending = Pending(
            len(self.collector.pendings), one, AGREEMENT, self.collector, asyncio.get_running_loop().time()
        )
        self.collector.add(pending)
        self.sealing.add(pending, cleared, cleared.view.log_seen, cleared.view.key_log_seen)
        return pending

    def refusal(self, one: Report) -> ComityError:
        """Give the error of a report that may not go."""
        try:
            self.egress.clear(one, AGREEMENT)
        except ComityError as error:
            return error
        raise AssertionError("the report may go")


@contextlib.asynccontextmanager
async def clearing(path: Path, audit: Audit | None = None, *, accredited: bool = True) -> AsyncIterator[Clearing]:
    """Serve an agreement in force whose reading node is accredited, and open XAR's mirror of it."""
    audit = audit or fresh_audit()
    if accredited:
        for name, nation in (("XBO/m1", audit.xbo), ("XAR/n1", audit.xar)):
            audit.enrol(audit.nodes[name].reissued(accreditation=nation.attestation("TOP-SECRET")))
    audit.tick()
    async with mirrored(audit, path, reader="XAR", now_ms=lambda: audit.time) as (_, mirror, refresh):
        await refresh()
        yield Clearing(audit, mirror, audit.time)


__all__ = ["AGREEMENT", "EPOCH", "SENDER", "Clearing", "clearing", "report"]
