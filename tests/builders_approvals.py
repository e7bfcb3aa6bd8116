"""Two nations under dual control, with officers of XAR who approve, and what XBO has received of it.

async with approving(tmp_path) as world, world.node("XAR") as sender:
    await sender.send(report(), agreement=AGREEMENT, approved_by=world.approvers("duty1", "release1"))
"""

from __future__ import annotations

import contextlib

from builders_every_kind import clause_text
from builders_identity import DAY, Held, Nation
from builders_sdk import sharing
from comity.identity.bodies import Attestation
from comity.keys.signer import SoftSigner
from comity.node.approving import Approver, ToApprove
from comity.node.offline import OfflineNode
from comity.suites import KeyRole
from comity_policy.facts import Role

DUAL_CONTROL = 'from = [{ party = "XAR", level = "CONFIDENTIAL" }, { party = "XBO", level = "SECRET" }]\nofficers = 2'
TWO = ("duty1", "release1")


def approver(held: Held, shown: list[ToApprove] | None = None) -> Approver:
    def agreeing(one: ToApprove) -> bool:
        if shown is not None:
            shown.append(one)
        return True

    return Approver(held.identity, held.ring.signers(KeyRole.OFFICER_SIGNING), agreeing)


def signer_of(held: Held) -> SoftSigner:
    return held.ring.signers(KeyRole.OFFICER_SIGNING)[0]


class Approved:
    """Two nations under dual control, XAR with officers who approve."""

    def __init__(self, shared, officers: dict[str, Held]) -> None:
        self.shared = shared
        self.officers = officers

    def __getattr__(self, name: str) -> object:
        return getattr(self.shared, name)

    def approvers(self, *names: str) -> list[Approver]:
        return [approver(self.officers[name]) for name in names]

    async def officer(self, nation: Nation, name: str, *roles: Role, **facts: object) -> Held:
        """Enrol an officer, cleared for everything of its party unless the facts say otherwise."""
        facts = {"clearance": Attestation("TOP-SECRET", f"{nation.party}/sec1", nation.now + 30 * DAY), **facts}
        held = await self.shared.world.enrolled(nation.officer(name, roles, **facts))
        self.officers[name] = held
        return held

    @contextlib.contextmanager
    def offline(self, node, now_ms=None):
        """The node's files as an officer's command opens them, beside whatever process sends."""
        place = self.shared.access("XAR").place
        yield OfflineNode(node.mirror, node.identity, place.outbox, now_ms=now_ms or node._now_ms)


@contextlib.asynccontextmanager
async def approving(path, *, dual_control: bool = True):
    async with sharing(path, into_force=False) as shared:
        if dual_control:
            shared.treaty.text += clause_text("26", "dual-control", DUAL_CONTROL).encode()
        made = Approved(shared, {})
        await made.officer(shared.world.xar, "duty1", Role.DUTY_OFFICER)
        await made.officer(shared.world.xar, "release1", Role.RELEASE_AUTHORITY)
        await shared.treaty.into_force()
        yield made


async def received(world) -> list[tuple[str, frozenset[str]]]:
    """Give what XBO has received, and who approved it."""
    found = []
    async with (
        world.node("XBO") as reader,
        contextlib.aclosing(reader.receive(follow=False, purpose="counter-terrorism")) as deliveries,
    ):
        async for delivery in deliveries:
            async with delivery as one:
                found.append((one.text, delivery.approved_by))
    return found
