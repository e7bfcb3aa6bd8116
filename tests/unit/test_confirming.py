"""A liaison confirms what a restored broker goes on with: what was lost is told, and lost revocations come back first."""

import pytest

from builders_broker import brokered
from builders_officers import at_work
from builders_restored import restore, save
from builders_sdk import AGREEMENT, sharing, until
from comity.errors import AccessError, ConflictError
from comity.node.catching_up import catch_up
from comity.node.confirming import Confirming
from comity.node.enrolment import publish_statement
from comity_policy.steps import StepKind


def confirming(work) -> Confirming:
    return Confirming(work.access, work.connection, work.mirror)


async def test_what_was_lost_is_told_and_lost_revocations_come_back_first(tmp_path):
    async with sharing(tmp_path) as shared:
        world, liaison = shared.world, shared.treaty.officer(shared.world.xar, "liaison1")
        auditor = shared.treaty.officer(world.xar, "auditor1")
        saved = save(shared, tmp_path / "saved")
        key = auditor.signer.fingerprint
        async with at_work(world, liaison, tmp_path) as work:
            with pytest.raises(ConflictError, match="nothing to confirm"):
                await confirming(work).restored(AGREEMENT)
            suspended = await shared.treaty.take(StepKind.SUSPEND, world.xar, clauses=(), reason="a leak")
            await publish_statement(work.connection, world.xar.revocation(key, issued_at=world.clock.now_ms()))
            await until(lambda: world.broker.ledger.require(AGREEMENT).changed_at > suspended)
            await catch_up(work.connection, work.mirror, (AGREEMENT,))
    await restore(shared, saved)
    async with brokered(world.data, world=world):
        assert world.broker.keys.revocation(key) is None, "the restored key log has lost it"
        async with at_work(world, liaison, tmp_path) as work:
            said = await confirming(work).restored(AGREEMENT)
            assert said.lost == {"AGREEMENT_SUSPENDED": 1, "KEY_REVOKED": 1}
            taken, again = await confirming(work).confirm(AGREEMENT)
            assert (taken.kind, again) == (StepKind.LOG_CONFIRM, 1)
        assert world.broker.keys.revocation(key) is not None
        async with at_work(world, liaison, tmp_path) as work:
            with pytest.raises(ConflictError, match="already"):
                await confirming(work).confirm(AGREEMENT)


async def test_only_who_speaks_for_a_party_confirms(tmp_path):
    async with sharing(tmp_path) as shared:
        world, lawyer = shared.world, shared.treaty.officer(shared.world.xbo, "legal1")
        saved = save(shared, tmp_path / "saved")
    await restore(shared, saved)
    async with brokered(world.data, world=world), at_work(world, lawyer, tmp_path) as work:
        with pytest.raises(AccessError, match="liaison or plenipotentiary"):
            await confirming(work).confirm(AGREEMENT)
