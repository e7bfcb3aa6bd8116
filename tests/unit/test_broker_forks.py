"""What a log says of views that contradict it: written into it with who signed them, bounded, and nothing after a freeze."""

import asyncio
import json
from dataclasses import replace

import pytest

from builders_sdk import AGREEMENT, report, sharing
from comity.envelope.core import LogSeen
from comity.errors import ComityError, ErrorCode, StorageError, VerificationError
from comity.node.mirror import Mirror
from comity.v1 import audit_pb2
from comity.verify.notes import Checkpoint
from comity_broker.auditlog.bodies import Caller
from comity_broker.auditlog.kinds import SHARED, LogKind, read_body
from comity_broker.forks import Forks
from comity_broker.logs import ForkSeenError
from comity_broker.storage.protocol import KEYS, OPERATIONS

LOG = audit_pb2.LogSelector(agreement_id=AGREEMENT)


async def entries(world, kind, shard=AGREEMENT):
    """Give the shared bodies of a log's entries of a kind, as they are read back."""
    reader = world.world.broker._storage.reader
    found = [one.log_index for one in await reader.entries(shard, 0, 4096) if one.kind == kind]
    log = LogKind.AGREEMENT if shard == AGREEMENT else LogKind(shard)
    bodies = {one.log_index: one.body for one in await reader.bodies(shard, found, [SHARED])}
    return [read_body(log, kind, SHARED, bodies[index]) for index in found]


@pytest.fixture
def lying(monkeypatch):
    """Have nodes state a tree of the agreement's log that never was."""
    honest = Mirror.agreement

    def agreement(self, agreement_id):
        view = honest(self, agreement_id)
        return replace(view, log_seen=replace(view.log_seen, root=bytes(32)))

    monkeypatch.setattr(Mirror, "agreement", agreement)


async def logged(world, kind, shard=AGREEMENT):
    """Wait for entries of a kind, which a task of the broker writes; give their shared bodies."""
    for _ in range(20_000):
        if found := await entries(world, kind, shard):
            return found
        await asyncio.sleep(0)
    raise AssertionError(f"no {kind} was ever logged")


async def test_a_core_that_names_another_tree_is_an_entry_of_the_log_with_who_signed_it(tmp_path, lying):
    async with sharing(tmp_path) as world, world.node("XAR") as sender:
        with pytest.raises(ComityError):
            await sender.send(report(), agreement=AGREEMENT)
        (fork,) = await logged(world, "FORK_SEEN")
        assert fork["actor"] == {"party": "XAR", "node": "n1", "officer": ""}
        assert fork["seen"]["root"] == bytes(32).hex()
        assert fork["own"]["root"] != fork["seen"]["root"]
        assert len(bytes.fromhex(fork["object"])) == 48
        assert any(fork["object"] == one["object"] for one in await logged(world, "REJECTED", OPERATIONS))
        assert not world.world.broker.ledger.standing(AGREEMENT).frozen_reason


async def test_the_entry_of_a_fork_is_one_that_the_other_party_reads_and_mirrors(tmp_path, lying):
    async with sharing(tmp_path) as world, world.node("XAR") as sender:
        with pytest.raises(ComityError):
            await sender.send(report(), agreement=AGREEMENT)
        await logged(world, "FORK_SEEN")
        async with world.node("XBO") as reader:
            await reader.mirror.refresh(reader.connection, [AGREEMENT])
            assert "FORK_SEEN" in [one.kind for one in reader.mirror.entries(AGREEMENT)]


def forks_of(world):
    broker = world.world.broker
    return Forks(broker.journal, broker.logs, world.world.clock, bytes)


BY = Caller("XAR", "n1")


async def test_ever_new_views_of_one_node_do_not_fill_the_log(tmp_path):
    async with sharing(tmp_path) as world:
        forks = forks_of(world)
        for size in range(100):
            for _ in range(2):
                forks.take(AGREEMENT, LogSeen(bytes(16), size, bytes(32)), BY, bytes(48))
        assert await forks.write() == 0
        assert len(await entries(world, "FORK_SEEN")) == 16


class Full:
    """A journal that takes nothing: the disk is full."""

    async def submit(self, unit):
        raise StorageError("the disk is full", code=ErrorCode.STORAGE_FULL)


async def test_a_view_that_could_not_be_written_is_written_when_it_is_shown_again(tmp_path):
    async with sharing(tmp_path) as world:
        forks, seen = forks_of(world), LogSeen(bytes(16), 1, bytes(32))
        journal, forks.journal = forks.journal, Full()
        forks.take(AGREEMENT, seen, BY, bytes(48))
        assert await forks.write() == 1
        forks.journal = journal
        for _ in range(2):
            forks.take(AGREEMENT, seen, BY, bytes(48))
        assert await forks.write() == 0
        assert len(await entries(world, "FORK_SEEN")) == 1


async def test_a_size_that_no_body_can_state_is_not_written(tmp_path):
    async with sharing(tmp_path) as world:
        forks = forks_of(world)
        forks.take(AGREEMENT, LogSeen(bytes(16), (1 << 64) - 1, bytes(32)), BY, bytes(48))
        assert await forks.write() == 0
        assert await entries(world, "FORK_SEEN") == []


async def test_the_key_log_which_others_read_too_does_not_name_the_envelope(tmp_path):
    async with sharing(tmp_path) as world:
        forks = forks_of(world)
        forks.take(KEYS, LogSeen(bytes(16), 1, bytes(32)), BY, bytes(range(48)))
        assert await forks.write() == 0
        (fork,) = await entries(world, "FORK_SEEN", KEYS)
        assert fork["object"] == ""


async def test_a_frozen_log_takes_no_fork_and_the_operations_log_has_it(tmp_path):
    async with sharing(tmp_path) as world:
        broker = world.world.broker
        await broker.agreements.freeze(AGREEMENT, "two histories")
        before = await broker.logs.seen(AGREEMENT)
        node = world.nodes["XAR"]
        caller = broker.directory.caller(f"spiffe://xar.example/node/{node.identity.name}", node.certificate_pem)
        error = ForkSeenError(AGREEMENT, LogSeen(bytes(16), 1, bytes(32)), "has an incarnation that nothing here names")
        broker.operations.rejected(caller, AGREEMENT, bytes(48), error)
        assert any("FORK" in one["reason"] for one in await logged(world, "REJECTED", OPERATIONS))
        assert await broker.logs.seen(AGREEMENT) == before


async def test_a_signed_checkpoint_that_the_log_cannot_extend_is_an_entry_before_the_freeze(tmp_path):
    async with sharing(tmp_path) as world:
        broker, node = world.world.broker, world.nodes["XBO"]
        own = await broker.logs.seen(AGREEMENT)
        origin = broker.logs.origin(AGREEMENT)
        note = broker.logs._keys.sign(Checkpoint(origin, own.size, bytes(32)))
        async with world.world.connection(node) as connection:
            with pytest.raises(VerificationError) as caught:
                await connection.call(
                    connection.audit.PresentCheckpoint, audit_pb2.PresentCheckpointRequest(log=LOG, checkpoint=note)
                )
        assert caught.value.code is ErrorCode.FORK
        kinds = [one.kind for one in await broker._storage.reader.entries(AGREEMENT, 0, 4096)]
        assert kinds[-2:] == ["FORK_SEEN", "LOG_FROZEN"]
        (fork,) = await entries(world, "FORK_SEEN")
        assert (fork["seen"]["size"], fork["seen"]["root"]) == (own.size, bytes(32).hex())
        assert (fork["own"]["size"], fork["own"]["root"]) == (own.size, own.root.hex())
        assert fork["actor"]["party"] == "XBO"
        assert json.dumps(fork["own"]) != json.dumps(fork["seen"])
