"""The operations log as its readers mirror it: verified like every log, for the operating party's auditors and operators alone."""

import contextlib

import pytest

from builders_sdk import AGREEMENT, sharing
from comity.errors import AccessError, ErrorCode, NotFoundError
from comity.node.catching_up import catch_up
from comity.node.logs import OPERATIONS
from comity.node.mirror import Mirror
from comity_policy.facts import Role


@contextlib.contextmanager
def mirror_of(world, nation, path):
    """Open a mirror of a party of the world."""
    cards = {one.party: one.card for one in (world.world.xar, world.world.xbo)}
    opened = Mirror.open(
        path,
        party=nation.party,
        broker=world.world.hub.identity,
        broker_tls_name=world.world.xar.broker_tls_name(),
        cards=cards,
    )
    with opened as mirror:
        yield mirror


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.AUDITOR])
async def test_the_operating_partys_reader_has_the_log_verified_and_it_is_no_agreement(tmp_path, role):
    async with sharing(tmp_path) as world:
        world.world.broker.operations.stepped(1, 2)
        await world.world.broker.operations.flush()
        reader = await world.world.enrolled(world.world.xar.officer("reader1", [role]))
        with mirror_of(world, world.world.xar, tmp_path / "mirror") as mirror:
            async with world.world.connection(reader) as connection:
                for _ in range(2):
                    await catch_up(connection, mirror, (OPERATIONS,))
            kinds = [one.kind for one in mirror.entries(OPERATIONS)]
            assert kinds[0] == "LOG_OPENED"
            assert mirror.pin(OPERATIONS).size == len(kinds)
            assert mirror.agreements() == ()
        with mirror_of(world, world.world.xar, tmp_path / "mirror") as again:
            assert [one.kind for one in again.entries(OPERATIONS)] == kinds
            assert not again.faults


async def test_another_partys_auditor_is_not_let_in(tmp_path):
    async with sharing(tmp_path) as world:
        auditor = world.treaty.officers["XBO", "auditor1"]
        with mirror_of(world, world.world.xbo, tmp_path / "mirror") as mirror:
            async with world.world.connection(auditor) as connection:
                with pytest.raises(NotFoundError, match="auditors and operators"):
                    await catch_up(connection, mirror, (OPERATIONS,))


async def test_an_auditor_of_named_agreements_does_not_read_what_happens_under_all_of_them(tmp_path):
    async with sharing(tmp_path) as world:
        auditor = await world.world.enrolled(
            world.world.xar.officer("auditor2", [Role.AUDITOR], agreements=(AGREEMENT,))
        )
        with mirror_of(world, world.world.xar, tmp_path / "mirror") as mirror:
            async with world.world.connection(auditor) as connection:
                with pytest.raises(AccessError) as caught:
                    await catch_up(connection, mirror, (OPERATIONS,))
        assert caught.value.code is ErrorCode.ROLE_NOT_ALLOWED
