"""A segment that a broker has committed gets its receipt again, whatever the state is by then, and nobody else does."""

from __future__ import annotations

import pytest

from builders_sdk import AGREEMENT, report, sharing
from comity.envelope.receipts import decode_receipt, decode_signed_receipt
from comity.envelope.segment import SegmentHead, encode_segment, encode_whole_item, parse_segment
from comity.errors import AccessError, ComityError, ErrorCode, StorageError
from comity.v1 import exchange_pb2
from comity_broker.disk import DiskGuard
from comity_broker.services import publishing


@pytest.fixture
def frames(monkeypatch):
    """Every batch that came to a broker, as it came."""
    came: list[exchange_pb2.PublishBatch] = []
    honest = publishing._batch_frame

    def kept(batch):
        came.append(batch)
        return honest(batch)

    monkeypatch.setattr(publishing, "_batch_frame", kept)
    return came


async def sent_once(world, party: str = "XBO") -> None:
    async with world.node(party) as sender:
        await sender.send(report(marking="SECRET//REL TO XBO, XAR"), agreement=AGREEMENT)


async def published(world, batch, held) -> exchange_pb2.PublishOneResponse:
    async with world.world.connection(held) as connection:
        return await connection.call(connection.exchange.PublishOne, exchange_pb2.PublishOneRequest(batch=batch))


def record_of(response: exchange_pb2.PublishOneResponse) -> bytes:
    """Give the one receipt's record."""
    assert not response.refusals, response.refusals
    (receipt,) = response.receipts
    assert receipt.entry.entry
    assert {part.part for part in receipt.entry.parts} == {"shared", "XBO"}
    return decode_signed_receipt(receipt.signed_receipt).record


async def rotated(world) -> None:
    node = world.nodes["XBO"]
    node.rotated(tls=False)
    await world.world.enrolled(node)


async def ended(world) -> None:
    world.world.broker.publishing._admission._ledger = Ended()


class Ended:
    """A ledger in which no agreement is in force any more."""

    def require(self, agreement_id: str, party: str):
        raise AccessError(f"{agreement_id} has ended", code=ErrorCode.AGREEMENT_NOT_IN_FORCE)


async def frozen(world) -> None:
    await world.world.broker.agreements.freeze(AGREEMENT, "two histories")


async def full(world) -> None:
    class Full(DiskGuard):
        async def check(self, transport_class: int) -> None:
            raise StorageError("full", code=ErrorCode.STORAGE_FULL, retry_after_seconds=30.0)

    broker = world.world.broker
    broker.publishing._admission._disk = Full(broker.logs._reader, {})


async def limited(world) -> None:
    budget, who = world.world.broker.publishing._budget, str(world.nodes["XBO"].identity)
    budget.monotonic = lambda: 0.0
    budget.spend(who, budget.per_second)
    with pytest.raises(ComityError):
        budget.check(who)


@pytest.mark.parametrize("happened", [rotated, ended, frozen, full, limited])
async def test_a_committed_segment_gets_its_first_receipt_whatever_happened_since(tmp_path, frames, happened):
    async with sharing(tmp_path) as world:
        await sent_once(world)
        node = world.nodes["XBO"]
        first = record_of(await published(world, frames[0], node))
        await happened(world)
        assert record_of(await published(world, frames[0], node)) == first
        assert decode_receipt(first).count == 1


async def test_what_a_frame_calls_its_segments_finds_no_receipt(tmp_path, frames):
    async with sharing(tmp_path) as world:
        await sent_once(world)
        named = exchange_pb2.PublishBatch()
        named.CopyFrom(frames[0])
        whole = parse_segment(named.segments[0])
        head = SegmentHead(AGREEMENT, whole.origin_epoch, whole.transport_class, whole.first_origin_sequence + 1)
        items = [
            encode_whole_item(one.manifest_bytes, one.stanzas, one.ciphertexts, one.approvals) for _, one in whole.whole
        ]
        named.segments[0] = encode_segment(head, items)
        answer = await published(world, named, world.nodes["XBO"])
        assert not answer.receipts
        assert [one.refusal.code for one in answer.refusals] == [ErrorCode.REJECTED]


async def test_a_stranger_gets_no_receipt_for_what_another_node_published(tmp_path, frames):
    async with sharing(tmp_path) as world:
        await sent_once(world)
        neighbour = await world.enrol(world.world.xbo, "n2")
        for stranger in (world.nodes["XAR"], neighbour):
            answer = await published(world, frames[0], stranger)
            assert not answer.receipts
            assert [one.refusal.code for one in answer.refusals] == [ErrorCode.ACTING_FOR_ANOTHER]
