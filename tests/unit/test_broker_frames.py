"""What the segments of a frame have in common costs once, however many they are and however often they are tried."""

from __future__ import annotations

import pytest

from builders_sdk import AGREEMENT, report, sharing
from comity.envelope import limits
from comity.errors import MalformedError
from comity.suites import SUITES
from comity.v1 import exchange_pb2
from comity_broker import frames
from comity_broker.frames import BatchFrame, PreparedFrame, Publisher
from comity_broker.services import publishing

PACKET = next(iter(SUITES.values())).packet_size
WHO = None  # a frame is prepared without looking at who brings it


@pytest.fixture
def worked(monkeypatch):
    """How often each piece of work on a frame was done."""
    counts = {"decode_batch_signature": 0, "packet_id": 0, "tree": 0}

    def counted(name, honest):
        def call(*given):
            counts[name] += 1
            return honest(*given)

        return call

    class Tree:
        levels = staticmethod(counted("tree", frames.tree.levels))

    monkeypatch.setattr(frames, "tree", Tree)
    monkeypatch.setattr(frames, "packet_id", counted("packet_id", frames.packet_id))
    monkeypatch.setattr(
        frames, "decode_batch_signature", counted("decode_batch_signature", frames.decode_batch_signature)
    )
    return counts


@pytest.fixture
def signature(monkeypatch) -> bytes:
    """The bytes of a batch signature that decodes; whether it is right is not asked here."""
    monkeypatch.setattr(frames, "decode_batch_signature", lambda encoded: encoded)
    return b"signature"


def names(count: int) -> list[bytes]:
    return [number.to_bytes(limits.DIGEST, "big") for number in range(count)]


def test_list_and_packets_of_a_frame_are_worked_out_once(worked, signature):
    packets = [bytes([number]) * PACKET for number in range(20)]
    frame = PreparedFrame(BatchFrame(signature, names(4096), [], [], packets), Publisher(WHO))
    for _ in range(64 * 8):
        assert frame.signed_list().segment_ids == names(4096)
        assert len(frame.packets()) == 20
    assert (worked["tree"], worked["packet_id"]) == (1, 20)


def test_a_list_that_comes_again_with_another_frame_of_its_batch_is_not_hashed_again(worked, signature):
    publisher = Publisher(WHO)
    roots = {
        PreparedFrame(BatchFrame(signature, names(4096), [], [], []), publisher).signed_list().root for _ in range(64)
    }
    assert (len(roots), worked["tree"]) == (1, 1)


def test_another_list_or_signature_is_not_taken_for_the_one_before(worked, signature):
    publisher = Publisher(WHO)
    first = PreparedFrame(BatchFrame(signature, names(3), [], [], []), publisher).signed_list()
    longer = PreparedFrame(BatchFrame(signature, names(4), [], [], []), publisher).signed_list()
    other = PreparedFrame(BatchFrame(b"other", names(4), [], [], []), publisher).signed_list()
    assert first.root != longer.root == other.root
    assert longer.signature != other.signature
    assert worked["tree"] == 3


def test_what_is_wrong_with_a_frame_is_found_once_and_said_of_every_segment(worked):
    frame = PreparedFrame(BatchFrame(b"no signature", names(4096), [], [], []), Publisher(WHO))
    for _ in range(64):
        with pytest.raises(MalformedError):
            frame.signed_list()
    assert worked["decode_batch_signature"] == 1


@pytest.mark.parametrize("ids", [names(4097), [*names(4), bytes(47)], [bytes(1 << 20)]])
def test_a_list_beyond_the_formats_bounds_is_refused_before_it_is_hashed(worked, signature, ids):
    with pytest.raises(MalformedError):
        PreparedFrame(BatchFrame(signature, ids, [], [], []), Publisher(WHO)).signed_list()
    assert worked["tree"] == 0


def test_a_stream_remembers_no_more_packets_than_a_frame_may_bring(signature):
    publisher = Publisher(WHO)
    for first in range(0, 6000, 1000):
        came = [number.to_bytes(2, "big") * (PACKET // 2) for number in range(first, first + 1000)]
        assert len(PreparedFrame(BatchFrame(signature, [], [], [], came), publisher).packets()) == 1000
    assert len(publisher.packets) == limits.KEY_PACKETS


async def test_a_broker_decodes_the_signature_of_a_frame_of_many_segments_once(tmp_path, monkeypatch, worked):
    came: list[exchange_pb2.PublishBatch] = []
    honest = publishing._batch_frame
    monkeypatch.setattr(publishing, "_batch_frame", lambda batch: came.append(batch) or honest(batch))
    async with sharing(tmp_path) as world:
        async with world.node("XBO") as sender:
            await sender.send(report(marking="SECRET//REL TO XBO, XAR"), agreement=AGREEMENT)
        many, before = exchange_pb2.PublishBatch(), dict(worked)
        many.CopyFrom(came[0])
        many.segments.extend(many.segments[0] for _ in range(63))
        many.indices.extend(many.indices[0] for _ in range(63))
        async with world.world.connection(world.nodes["XAR"]) as connection:
            ask = exchange_pb2.PublishOneRequest(batch=many)
            answer = await connection.call(connection.exchange.PublishOne, ask)
        assert len(answer.refusals) == 64
        assert worked["decode_batch_signature"] - before["decode_batch_signature"] == 1
        assert worked["tree"] - before["tree"] == 1
