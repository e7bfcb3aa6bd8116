"""What a broker makes of numbers and ids that it knows: design 04, "Idempotency", as a sender and the parties' logs see it."""

import asyncio
import shutil

import pytest

from builders_sdk import AGREEMENT, report, sharing, until
from comity.envelope.evidence import SlotCode
from comity.envelope.receipts import decode_receipt, decode_signed_receipt
from comity.envelope.segment import parse_segment
from comity.errors import ConflictError, ErrorCode, UnreachableError
from comity.node.sealing import ReportIds
from comity.v1 import exchange_pb2
from comity_broker.exercising import Exercises
from comity_broker.services import publishing
from comity_policy.facts import Precedence


@pytest.fixture
def frames(monkeypatch):
    """Every batch that came to a broker, as it came."""
    came: list[exchange_pb2.PublishBatch] = []
    honest = publishing._batch_frame
    monkeypatch.setattr(publishing, "_batch_frame", lambda batch: came.append(batch) or honest(batch))
    return came


async def kinds(world) -> list[str]:
    rows = await world.world.broker.logs._reader.entries(AGREEMENT, 0, 1000)
    return [row.kind for row in rows if row.kind.startswith(("SUBMIT", "ID_"))]


async def test_a_number_at_or_below_the_highest_is_replayed_and_an_old_outbox_begins_anew(tmp_path):
    async with sharing(tmp_path) as world:
        outbox, old = world.access("XAR").place.outbox, tmp_path / "old"
        async with world.node("XAR") as sender:
            await sender.send(report("first"), agreement=AGREEMENT)
        shutil.copytree(outbox, old)
        async with world.node("XAR") as sender:
            assert (await sender.send(report("second"), agreement=AGREEMENT)).origin_sequence == 2
        shutil.rmtree(outbox)
        shutil.copytree(old, outbox)
        async with world.node("XAR") as sender, world.node("XBO") as reader:
            third = await sender.send(report("third, by an outbox of yesterday"), agreement=AGREEMENT)
            assert third.origin_sequence == 1, "in a lane of another epoch: nothing of it is lost"
            assert await kinds(world) == ["SUBMIT_ACCEPTED", "SUBMIT_ACCEPTED", "SUBMIT_REJECTED", "SUBMIT_ACCEPTED"]
            await sender.refresh()
            (entry,) = [one for one in sender.mirror.entries(AGREEMENT, 0) if one.kind == "SUBMIT_REJECTED"]
            assert entry.shared()["refusals"] == [[0, SlotCode.REPLAYED]]
            found = []
            async for delivery in reader.receive(follow=False, purpose="counter-terrorism"):
                async with delivery as one:
                    found.append(one.text)
            assert found == ["first", "second", "third, by an outbox of yesterday"]


async def test_an_id_that_stood_for_another_report_is_refused_logged_and_ends_its_number(tmp_path, monkeypatch):
    async with sharing(tmp_path) as world, world.node("XAR") as sender:
        first = await sender.send(report("first"), agreement=AGREEMENT)
        with monkeypatch.context() as patched:
            patched.setattr(ReportIds, "draw", lambda *_: first.report_id.bytes)
            with pytest.raises(ConflictError) as caught:
                await sender.send(report("second"), agreement=AGREEMENT)
        assert caught.value.code is ErrorCode.ID_REUSED
        assert (await sender.send(report("third"), agreement=AGREEMENT)).origin_sequence == 3
        assert await kinds(world) == ["SUBMIT_ACCEPTED", "SUBMIT_REJECTED", "ID_REUSED", "SUBMIT_ACCEPTED"]
        await sender.refresh()
        (entry,) = [one for one in sender.mirror.entries(AGREEMENT, 0) if one.kind == "ID_REUSED"]
        said = entry.own("XAR")
        assert (said["report_id"], said["known_leaf"]) == (first.report_id.hex, first.leaf.hex())
        assert said["known_log_index"] == first.log_index
        assert said["leaf"] != said["known_leaf"]


async def test_packets_that_came_with_a_known_segment_are_there_for_what_follows_on_its_stream(
    tmp_path, frames, monkeypatch
):
    """A sender brings each once a stream, also what it sends again; an exercise has the keys of real reports in another log."""

    asked = []

    async def later(*_):
        asked.append(True)
        raise UnreachableError("not now", retry_after_seconds=3600.0)

    async with sharing(tmp_path) as world:
        async with world.node("XAR") as sender:
            await sender.send(report("meant"), agreement=AGREEMENT)
            with monkeypatch.context() as patched:
                patched.setattr(Exercises, "get", later)
                sending = asyncio.create_task(sender.send(report("play", exercise=True), agreement=AGREEMENT))
                await until(lambda: asked)
                sending.cancel()
        assert [len(one.key_packets) for one in frames] == [2, 0]
        async with world.world.connection(world.nodes["XAR"]) as connection:
            call = connection.exchange.Publish()
            await call.write(exchange_pb2.PublishRequest(open=exchange_pb2.PublishOpen(window=4)))
            for batch in frames[:2]:
                await call.write(exchange_pb2.PublishRequest(batch=batch))
            await call.done_writing()
            said = []
            while isinstance(response := await call.read(), exchange_pb2.PublishResponse):
                said.append(response)
        answers = [one.WhichOneof("frame") for one in said]
        assert (answers.count("receipt"), answers.count("refusal")) == (2, 0)


async def test_answers_are_counted_and_each_receipt_is_a_range(tmp_path, frames):
    """flow_ack is cumulative; a receipt covers all of a segment's reports, those known before named as duplicates."""
    async with sharing(tmp_path) as world:
        held, said = world.nodes["XAR"], []
        async with world.node("XAR") as sender:
            reports = (report(str(number)) for number in range(40))
            sent = [one async for one in sender.send_many(reports, agreement=AGREEMENT)]
            await sender.send(report("urgent", precedence=Precedence.PRIORITY), agreement=AGREEMENT)
        batches = list(frames)
        async with world.world.connection(held) as connection:
            call = connection.exchange.Publish()
            await call.write(exchange_pb2.PublishRequest(open=exchange_pb2.PublishOpen(window=4)))
            assert (await call.read()).opened.window == 4
            for batch in batches:
                await call.write(exchange_pb2.PublishRequest(batch=batch))
            await call.done_writing()
            while isinstance(response := await call.read(), exchange_pb2.PublishResponse):
                said.append(response)
        segments = [parse_segment(data) for batch in batches for data in batch.segments]
        acks = [one.flow_ack.segments for one in said if one.WhichOneof("frame") == "flow_ack"]
        assert acks == sorted(acks)
        assert acks[-1] == len(segments)
        receipts = [
            decode_receipt(decode_signed_receipt(one.receipt.signed_receipt).record)
            for one in said
            if one.WhichOneof("frame") == "receipt"
        ]
        by_id = {one.segment_id: one for one in receipts}
        covered = [
            number
            for one in segments
            for number in range(
                by_id[one.segment_id].first_agreement_sequence,
                by_id[one.segment_id].first_agreement_sequence + by_id[one.segment_id].count,
            )
        ]
        assert sorted(covered) == list(range(1, 42)), "each report once, by the receipts that were given first"
        assert all(one.accepted for one in sent)
