"""An enrolled node that means harm: whatever it does, the others go on at their work, and each attack is refused by name or cut off.

Progress is counted, not timed: while the attack goes on, an honest pair exchanges as many reports as are asked for, and the attack
has gone around at least once meanwhile.
"""

import asyncio
import contextlib
import os

import pytest

from builders_fault_attacks import ATTACKS, ReplayedHandshakes
from builders_sdk import AGREEMENT, report, sharing, until
from comity.node.connection import Connection
from comity.v1 import audit_pb2
from comity_broker.settings import Settings
from fault_proxy import Wire

REPORTS = 10

pytestmark = [
    pytest.mark.skipif("COMITY_KILLS" not in os.environ, reason="the long version: make faults"),
    pytest.mark.timeout(400),
]


async def exchange(sender, deliveries, count: int) -> None:
    """Send so many reports, one after the other, each received and acknowledged before the next."""
    for number in range(count):
        await sender.send(report(f"report {number}"), agreement=AGREEMENT)
        async with await anext(deliveries) as received:
            assert received.text == f"report {number}"


async def recorded_handshake(world) -> bytes:
    """Give what an honest client sends on a connection of its own, all of it."""
    target = world.access("XAR").target
    with Wire(target.address) as wire:
        connection = Connection.open(
            wire.address,
            broker_tls_name=target.tls_name,
            roots_pem=target.roots_pem,
            key_pem=target.key_pem,
            certificate_pem=target.certificate_pem,
        )
        async with connection:
            asked = audit_pb2.GetCheckpointRequest(log=audit_pb2.LogSelector(agreement_id=AGREEMENT))
            await connection.call(connection.audit.GetCheckpoint, asked)
        return bytes(wire.kept)


async def test_no_attack_of_a_node_keeps_others_from_their_work(tmp_path):
    settings = Settings(listen="127.0.0.1:0", drain=2.0, refusals_per_second=20)
    async with sharing(tmp_path, settings=settings) as world:
        evil = await world.enrol(world.world.xbo, "evil")
        async with world.node("XAR") as sender, world.node("XBO") as reader:
            deliveries = reader.receive(purpose="counter-terrorism")
            async with contextlib.aclosing(deliveries):
                for kind in ATTACKS:
                    attack = kind(world, evil)
                    if isinstance(attack, ReplayedHandshakes):
                        attack.recorded = await recorded_handshake(world)
                    task = asyncio.create_task(attack.run())
                    await exchange(sender, deliveries, REPORTS)
                    await asyncio.wait_for(until(lambda one=attack: one.done, turns=10_000_000), 120)
                    assert not task.done(), f"{kind.__name__} ended: {task}"
                    task.cancel()
                    await asyncio.gather(task, return_exceptions=True)
                    print(f"{kind.__name__}: {attack.done} times around, {dict(attack.refused)}", flush=True)
                    assert attack.refused or not attack.is_answered, f"{kind.__name__} was never refused"
            assert not (*sender.alarms(), *reader.alarms())
