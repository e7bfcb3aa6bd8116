"""A valid node that means harm, and an operator's machine that dies at the worst moment, against a real broker."""

import asyncio

import pytest

from builders_broker import brokered
from builders_identity import DAY
from builders_sdk import AGREEMENT, report, sharing, until
from comity.envelope import packets
from comity.errors import ComityError, ErrorCode, StorageError
from comity.identity.bodies import Attestation
from comity.node.enrolment import statement_message
from comity.v1 import agreement_pb2, audit_pb2, exchange_pb2, identity_pb2
from comity_broker import access
from comity_broker.disk import DiskGuard
from comity_broker.storage.protocol import OPERATIONS, Refused

LOG = audit_pb2.LogSelector(agreement_id=AGREEMENT)
GARBAGE = exchange_pb2.PublishBatch(segments=[b"x"], indices=[0], segment_ids=[bytes(48)])


async def refused(calling) -> ErrorCode:
    """Expect that a call is refused; give the code."""
    with pytest.raises(ComityError) as caught:
        await calling
    return caught.value.code


async def grown(broker, size: int) -> int:
    """Wait until the operations log has more than `size` entries; give how many it has."""
    for _ in range(200_000):
        found = (await broker.logs._reader.head(OPERATIONS)).leaf_next
        if found > size:
            return found
        await asyncio.sleep(0)
    raise AssertionError("the operations log never grew")


@pytest.mark.parametrize(
    "path",
    [
        "tile/0/" + "x999/" * 10 + "000",
        "tile/entries/" + "x999/" * 10 + "000",
        "tile/entries/" + "x999/" * 2_000 + "000",
        "tile/99/000",
        "tile/0/" + "x999/" * 2_000 + "000",
    ],
)
async def test_a_tile_that_no_log_can_have_is_refused_by_name(tmp_path, path):
    async with sharing(tmp_path) as world, world.world.connection(world.nodes["XBO"]) as connection:
        asked = connection.call(connection.audit.GetTile, audit_pb2.GetTileRequest(log=LOG, path=path))
        assert await refused(asked) in {ErrorCode.RANGE_INVALID, ErrorCode.MALFORMED}


async def test_positions_beyond_what_a_store_can_count_are_no_fault_of_the_broker(tmp_path):
    far = (1 << 64) - 1
    async with sharing(tmp_path) as world, world.world.connection(world.nodes["XBO"]) as connection:
        audit, exchange = connection.audit, connection.exchange
        entries = await connection.call(audit.GetEntries, audit_pb2.GetEntriesRequest(log=LOG, first=far))
        assert not entries.entries
        evidence = await connection.call(
            audit.GetEvidence, audit_pb2.GetEvidenceRequest(agreement_id=AGREEMENT, first_log_index=far)
        )
        assert not evidence.segments
        token = len(AGREEMENT).to_bytes(4, "big") + AGREEMENT.encode() + far.to_bytes(8, "big") + bytes(4)
        listed = connection.call(exchange.ListReports, exchange_pb2.ListReportsRequest(page_token=token))
        assert await refused(listed) is ErrorCode.LIMIT_EXCEEDED
        for asked in (
            connection.call(audit.GetCheckpoint, audit_pb2.GetCheckpointRequest(log=LOG, known_size=far)),
            connection.call(
                audit.GetInclusionProof, audit_pb2.GetInclusionProofRequest(log=LOG, log_index=far, tree_size=far)
            ),
        ):
            assert await refused(asked) is ErrorCode.RANGE_INVALID


async def test_a_key_packet_of_another_size_than_its_suite_gives_is_refused(tmp_path, monkeypatch):
    """A padded packet would be stored, and would make every delivery that carries it too large to be written."""
    async with sharing(tmp_path) as world, world.node("XBO") as sender:
        honest = packets.seal_packet
        monkeypatch.setattr(packets, "seal_packet", lambda *given: honest(*given) + bytes(1 << 20))
        sent = report(marking="SECRET//REL TO XBO, XAR")
        with pytest.raises(ComityError, match="key packet"):
            await sender.send(sent, agreement=AGREEMENT)
        monkeypatch.undo()


async def test_what_a_node_calls_its_segment_does_not_fill_the_operations_log(tmp_path):
    async with sharing(tmp_path) as world, world.world.connection(world.nodes["XBO"]) as connection:
        batch = exchange_pb2.PublishBatch(segments=[b"x"], indices=[0], segment_ids=[bytes(1 << 20)])
        answer = await connection.call(connection.exchange.PublishOne, exchange_pb2.PublishOneRequest(batch=batch))
        assert len(answer.refusals) == 1
        broker = world.world.broker
        reader = broker.logs._reader
        size = await grown(broker, 1)
        bodies = await reader.bodies(OPERATIONS, range(size), ["shared"])
        assert max(len(one.body) for one in bodies) < 1 << 16


async def test_a_node_that_is_denied_without_end_does_not_fill_the_operations_log(tmp_path):
    async with sharing(tmp_path) as world, world.world.connection(world.nodes["XBO"]) as connection:
        broker = world.world.broker
        propose = agreement_pb2.ProposeRequest()
        codes = [await refused(connection.call(connection.agreements.Propose, propose)) for _ in range(300)]
        assert set(codes) == {ErrorCode.ROLE_NOT_ALLOWED}
        assert 0 < broker.operations.dropped < 300
        assert await grown(broker, 1) < 300


async def test_a_log_that_is_frozen_while_a_report_is_examined_takes_it_no_more(tmp_path):
    async with sharing(tmp_path) as world, world.node("XAR") as sender:
        broker = world.world.broker

        class Freezing(DiskGuard):
            """The moment between the first look at the agreement and its decision."""

            async def check(self, transport_class: int) -> None:
                await broker.agreements.freeze(AGREEMENT, "two histories")

        broker.publishing._admission._disk = Freezing(broker.logs._reader, {})
        before = (await broker.logs._reader.head(AGREEMENT)).agreement_sequence_next
        sending = asyncio.ensure_future(sender.send(report(), agreement=AGREEMENT))
        await until(lambda: sending.done() or broker.ledger.standing(AGREEMENT).frozen_reason)
        for _ in range(2_000):
            await asyncio.sleep(0)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        assert (await broker.logs._reader.head(AGREEMENT)).agreement_sequence_next == before


async def test_one_identity_cannot_hold_every_place_for_enrolments(tmp_path):
    async with brokered(tmp_path) as world:
        hostile, honest = world.xbo.node("n9"), world.xar.node("n1")
        async with world.connection(hostile) as connection:
            begin = identity_pb2.BeginEnrolmentRequest(statement=statement_message(hostile.statement))
            for _ in range(300):
                await connection.call(connection.directory.BeginEnrolment, begin)
        await world.enrolled(honest)
        await world.enrolled(hostile)


async def test_a_stream_whose_answers_nobody_reads_is_read_no_further_than_its_window(tmp_path):
    async with sharing(tmp_path) as world:
        broker, node = world.world.broker, world.nodes["XBO"]
        who = broker.directory.caller(f"spiffe://xbo.example/node/{node.identity.name}", node.certificate_pem)
        taken = 0

        async def requests():
            nonlocal taken
            yield exchange_pb2.PublishRequest(open=exchange_pb2.PublishOpen(window=4))
            for _ in range(500):
                taken += 1
                yield exchange_pb2.PublishRequest(batch=GARBAGE)

        access._CALLER.set(who)
        stream = broker.publishing.Publish(requests(), None)
        assert (await anext(stream)).WhichOneof("frame") == "opened"
        assert (await anext(stream)).WhichOneof("frame") == "refusal"
        for _ in range(20_000):
            await asyncio.sleep(0)
        assert taken <= 6
        answers = 1
        async for frame in stream:
            answers += frame.WhichOneof("frame") == "refusal"
        assert answers == taken == 500


async def test_a_kill_between_the_key_log_and_the_agreements_keeps_no_old_decision_alive(tmp_path):
    async with sharing(tmp_path) as world:
        async with world.node("XAR") as sender:
            await sender.send(report(), agreement=AGREEMENT)
        node, running = world.nodes["XBO"], world.world
        # The statement is durable, and the process died before any agreement had heard of it.
        running.broker.directory._listeners.clear()
        node.reissued(accreditation=Attestation("UNCLASSIFIED", "XBO/sec1", running.xbo.now + 30 * DAY))
        await running.enrolled(node)
    async with brokered(tmp_path / "broker", world=running), running.connection(node) as connection:
        opening = exchange_pb2.SubscribeOpen(credit=exchange_pb2.Credit(reports=10, bytes=1 << 20))
        stream = connection.exchange.Subscribe()
        await stream.write(exchange_pb2.SubscribeRequest(open=opening))
        kinds = []
        while not kinds or kinds[-1] != "caught_up":
            frame = await stream.read()
            kinds.append(frame.WhichOneof("frame"))
            assert not (kinds[-1] == "delivery" and frame.delivery.slots)
        stream.cancel()


async def test_a_disk_that_is_full_when_keys_change_delays_what_agreements_hear_and_loses_nothing(tmp_path):
    async with sharing(tmp_path) as world:
        broker, heard = world.world.broker, broker_epoch(world)
        full = FullOnce(broker.journal)
        broker.agreements._journal = full
        world.nodes["XBO"].reissued(accreditation=Attestation("SECRET", "XBO/sec1", world.world.xbo.now + 30 * DAY))
        await world.world.enrolled(world.nodes["XBO"])
        await until(lambda: full.refused and broker_epoch(world) > heard)


def broker_epoch(world) -> int:
    return world.world.broker.ledger.standing(AGREEMENT).epoch


class FullOnce:
    """A journal whose disk is full for the first unit."""

    def __init__(self, journal) -> None:
        self._journal = journal
        self.refused = False

    async def submit(self, unit):
        if not self.refused:
            self.refused = True
            return Refused(StorageError("full", code=ErrorCode.STORAGE_FULL, retry_after_seconds=0.0))
        return await self._journal.submit(unit)
