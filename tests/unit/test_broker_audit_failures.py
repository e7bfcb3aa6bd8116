"""What a log lacks, and that it could not be read, is an entry: AUDIT_FAILURE, as soon as it can be written."""

import asyncio

import pytest

from builders_identity import DAY
from builders_sdk import AGREEMENT, sharing
from comity.cli.base import Invocation
from comity.errors import ErrorCode, StorageError
from comity.identity.bodies import Attestation
from comity.node.operations import broker_status
from comity.v1 import audit_pb2
from comity_broker.auditlog.kinds import SHARED, LogKind, read_body
from comity_broker.cli.status import show_status
from comity_broker.storage.protocol import OPERATIONS, Refused
from comity_policy.facts import Role


class FullOnce:
    """A journal whose disk is full for the first unit of one shard."""

    def __init__(self, journal, shard) -> None:
        self._journal = journal
        self._shard = shard

    async def submit(self, unit):
        if unit.shard == self._shard:
            self._shard = ""
            return Refused(StorageError("full", code=ErrorCode.STORAGE_FULL, retry_after_seconds=0.0))
        return await self._journal.submit(unit)


async def failures(world, shard):
    """Wait for AUDIT_FAILURE in a log; give the reasons."""
    reader = world.world.broker._storage.reader
    kind = LogKind.OPERATIONS if shard == OPERATIONS else LogKind.AGREEMENT
    for _ in range(20_000):
        found = [one.log_index for one in await reader.entries(shard, 0, 4096) if one.kind == "AUDIT_FAILURE"]
        if found:
            bodies = await reader.bodies(shard, found, [SHARED])
            return [read_body(kind, "AUDIT_FAILURE", SHARED, one.body)["reason"] for one in bodies]
        await asyncio.sleep(0)
    raise AssertionError("no AUDIT_FAILURE was ever logged")


async def test_records_of_the_operations_log_that_were_lost_are_counted_in_it(tmp_path):
    async with sharing(tmp_path) as world:
        operations = world.world.broker.operations
        operations.journal = FullOnce(operations.journal, OPERATIONS)
        for step in range(3):
            operations.stepped(step, step + 1)
        await operations.flush()
        assert operations.dropped == 3
        operations.stepped(7, 8)
        assert (await failures(world, OPERATIONS))[0].startswith("3 records")
        assert operations.dropped == 3


async def test_an_operator_is_shown_how_many_records_were_dropped(tmp_path, capsys):
    async with sharing(tmp_path) as world:
        world.world.broker.operations.dropped = 7
        operator = await world.world.enrolled(world.world.xar.officer("operator1", [Role.OPERATOR]))
        async with world.world.connection(operator) as connection:
            status = await broker_status(connection)
        assert status.operations_dropped == 7
        show_status(Invocation().output, status)
        assert "7 records dropped" in capsys.readouterr().out


async def test_an_agreement_whose_log_had_to_wait_for_room_says_so(tmp_path):
    async with sharing(tmp_path) as world:
        agreements = world.world.broker.agreements
        agreements._journal = FullOnce(agreements._journal, AGREEMENT)
        until_ms = world.world.xbo.now + 30 * DAY
        world.nodes["XBO"].reissued(accreditation=Attestation("SECRET", "XBO/sec1", until_ms))
        await world.world.enrolled(world.nodes["XBO"])
        (reason,) = await failures(world, AGREEMENT)
        assert reason.endswith("tries: 1")


async def test_a_log_that_cannot_be_signed_is_written_down_once(tmp_path):
    async with sharing(tmp_path) as world:
        (world.world.data / "last-signed" / f"{AGREEMENT}.signed").write_bytes(b"damaged")
        world.world.broker.logs._served[AGREEMENT].size = -1
        async with world.world.connection(world.nodes["XBO"]) as connection:
            asked = audit_pb2.GetCheckpointRequest(log=audit_pb2.LogSelector(agreement_id=AGREEMENT))
            for _ in range(3):
                with pytest.raises(StorageError, match="damaged"):
                    await connection.call(connection.audit.GetCheckpoint, asked)
        (reason,) = await failures(world, OPERATIONS)
        assert AGREEMENT in reason
        assert "damaged" in reason
