"""Who may bring an identity's next keys into the key log: whoever its newest listing lists, while that counts."""

import asyncio
from dataclasses import replace

import pytest

from builders_broker import brokered
from builders_identity import DAY, HOUR, Held
from builders_sdk import until
from comity.errors import AccessError, ErrorCode
from comity.node.enrolment import enrol, publish_statement
from comity_broker.clock import BrokerClock


def slipped_in(held: Held, sequence: int = 1) -> Held:
    """Give other keys for an identity, signed by its party: a request that somebody else put among the party's."""
    other = replace(held, sequence=sequence)
    other.rotated()
    return other


async def refused(world, held: Held) -> AccessError:
    with pytest.raises(AccessError) as caught:
        await world.enrolled(held)
    assert caught.value.code is ErrorCode.NOT_ENROLLED
    return caught.value


async def entered(world, held: Held) -> Held:
    """Enrol an identity, and see that its certificate counts."""
    await world.enrolled(held)
    assert world.broker.directory.keys.find(held.identity.party, held.identity.name).lists(held.tls_fingerprint)
    return held


async def test_a_key_that_a_healthy_nodes_bundle_does_not_list_takes_no_nodes_place(tmp_path):
    async with brokered(tmp_path) as world:
        node = await entered(world, world.xar.node("n1"))
        size = world.broker.directory.keys.size
        error = await refused(world, slipped_in(node))
        assert "comity node revoke XAR/n1" in error.what_to_do
        assert world.broker.directory.keys.size == size
        # The node itself goes on, and rotates.
        node.rotated(tls=False)
        await entered(world, node)


async def test_a_key_that_was_rotated_away_brings_no_new_ones(tmp_path):
    async with brokered(tmp_path) as world:
        node = await entered(world, world.xar.node("n1"))
        old = replace(node)
        keys = [*node.keys]
        # A rotation lists the old TLS key beside the new one once; the next bundle drops it.
        node.rotated()
        node.keys = [*node.keys, keys[-1]]
        node.reissued()
        async with world.connection(old) as connection:
            await enrol(connection, node.statement, node.ring)
        node.keys = node.keys[:-1]
        node.reissued()
        await entered(world, node)
        old.sequence = node.sequence + 1
        old.reissued()
        await refused(world, old)


async def test_a_node_whose_keys_were_revoked_comes_back_with_others(tmp_path):
    async with brokered(tmp_path) as world:
        officer = await entered(world, world.xar.officer("liaison1"))
        node = await entered(world, world.xar.node("n1"))
        async with world.connection(officer) as connection:
            await publish_statement(connection, world.xar.revocation(node.tls_fingerprint))
        await entered(world, slipped_in(node))


async def test_a_node_whose_bundle_has_ended_comes_back_with_others(tmp_path):
    ahead = [0]
    async with brokered(tmp_path) as world:
        real = world.clock
        node = await entered(world, world.xar.node("n1", valid_until=world.xar.now + HOUR))
        world.broker.directory._clock = BrokerClock(wall=lambda: real.now_ms() + ahead[0])
        back = slipped_in(node)
        back.facts = {**back.facts, "valid_until": world.xar.now + 60 * DAY}
        back.reissued()
        await refused(world, back)
        ahead[0] = 2 * HOUR
        await entered(world, back)


async def test_a_withdrawn_officer_comes_back_with_other_keys_and_one_in_office_is_not_replaced(tmp_path):
    async with brokered(tmp_path) as world:
        chief = await entered(world, world.xar.officer("liaison1"))
        officer = await entered(world, world.xar.officer("liaison2"))
        error = await refused(world, slipped_in(officer))
        assert "comity officer withdraw XAR/liaison2" in error.what_to_do
        withdrawn = replace(officer)
        async with world.connection(chief) as connection:
            await publish_statement(connection, withdrawn.reissued(roles=()))
        await entered(world, slipped_in(officer, sequence=2))


async def test_of_two_newcomers_at_once_the_second_does_not_take_the_firsts_place(tmp_path):
    async with brokered(tmp_path) as world:
        officer = await entered(world, world.xar.officer("liaison1"))
        node = await entered(world, world.xar.node("n1"))
        async with world.connection(officer) as connection:
            await publish_statement(connection, world.xar.revocation(node.tls_fingerprint))
        writing = world.broker.directory._writing
        first, second = slipped_in(node), slipped_in(node, sequence=2)
        coming = []
        async with writing:
            for number, one in enumerate((first, second), start=1):
                coming.append(asyncio.create_task(world.enrolled(one)))
                await until(lambda number=number: len(writing._waiters or ()) == number)
        await coming[0]
        with pytest.raises(AccessError) as late:
            await coming[1]
        assert late.value.code is ErrorCode.NOT_ENROLLED
        assert world.broker.directory.keys.node("XAR", "n1").lists(first.tls_fingerprint)
