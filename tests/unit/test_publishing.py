"""A Publish stream that comes back: order, window, packets, and what a refusal does to its lane."""

import asyncio
import contextlib

import grpc
import pytest
from google.rpc import status_pb2
from grpc_status import rpc_status

from builders_exchange import exchanging, opened, outgoing, receipted, refusing
from builders_sdk import until
from comity.errors import ErrorCode, KeyFault
from comity.node.backoff import Backoff
from comity.node.publishing import GAPS, Publisher
from comity.v1 import errors_pb2, exchange_pb2


class Sender:
    """A publisher with everything it was told."""

    def __init__(self, connection):
        self.answered, self.ended, self.troubled = [], [], []
        self.publisher = Publisher(
            connection,
            answered=lambda one, _: self.answered.append(one.segment.data),
            ended=lambda one, error: self.ended.append((one.segment.data, error.code)),
            troubled=lambda error, _: self.troubled.append(error.code),
            backoff=Backoff(bytes),
        )

    def put(self, *several):
        for one in several:
            self.publisher.put(one)


@contextlib.asynccontextmanager
async def sending(handler):
    async with exchanging(publish=handler) as (connection, service):
        sender = Sender(connection)
        running = asyncio.create_task(sender.publisher.run())
        try:
            yield sender, service
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def taking(service, requests, context):
    """Answer everything with a receipt."""
    await service.next(requests)
    yield opened()
    while True:
        frame = await service.next(requests)
        for segment in frame.batch.segments:
            yield receipted(segment)


def batches(service):
    return [frame.batch for frame in service.frames if frame.WhichOneof("frame") == "batch"]


def segments(service):
    return [bytes(one) for batch in batches(service) for one in batch.segments]


async def test_segments_go_out_in_their_order_and_each_packet_once():
    async with sending(taking) as (sender, service):
        sent = [outgoing(1), outgoing(2, packets=(b"q", b"p")), outgoing(3)]
        sender.put(*sent)
        await until(lambda: len(sender.answered) == 3)
        assert segments(service) == [one.segment.data for one in sent]
        packets = [list(batch.key_packets) for batch in batches(service)]
        assert [len(one) for one in packets] == [1, 1, 0]
        assert service.frames[0].open.window


async def test_no_more_segments_are_out_than_the_window_allows():
    gate = asyncio.Event()

    async def slow(service, requests, context):
        await service.next(requests)
        yield opened(window=2)
        for _ in range(2):
            await service.next(requests)
        await gate.wait()
        for segment in segments(service):
            yield receipted(segment)
        async for response in _more(service, requests):
            yield response

    async with sending(slow) as (sender, service):
        sender.put(*(outgoing(number) for number in range(1, 6)))
        await until(lambda: len(segments(service)) == 2)
        for _ in range(200):
            await asyncio.sleep(0)
        assert len(segments(service)) == 2
        gate.set()
        await until(lambda: len(sender.answered) == 5)


async def _more(service, requests):
    while True:
        frame = await service.next(requests)
        for segment in frame.batch.segments:
            yield receipted(segment)


async def test_a_broken_stream_sends_what_was_not_answered_again_with_its_packets():
    async def breaking(service, requests, context):
        await service.next(requests)
        yield opened()
        if service.begun == 1:
            for _ in range(3):
                frame = await service.next(requests)
            yield receipted(bytes(service.frames[1].batch.segments[0]))
            assert frame
            return
        async for response in _more(service, requests):
            yield response

    async with sending(breaking) as (sender, service):
        sent = [outgoing(number).segment.data for number in (1, 2, 3)]
        sender.put(*(outgoing(number) for number in (1, 2, 3)))
        await until(lambda: len(sender.answered) == 3)
        assert sender.answered == sent
        assert segments(service) == [*sent, *sent[1:]]
        assert len(batches(service)[3].key_packets) == 1
        assert sender.troubled == [ErrorCode.UNREACHABLE]


async def test_a_refusal_with_a_time_makes_its_lane_wait_and_no_other():
    async def once(service, requests, context):
        await service.next(requests)
        yield opened()
        refused = False
        while True:
            frame = await service.next(requests)
            for segment in frame.batch.segments:
                routine = bytes(segment).startswith(b"bytes of 4/")
                if routine and not refused:
                    refused = True
                    yield refusing(segment, errors_pb2.ERROR_CODE_STORAGE_FULL, 30)
                elif routine and segments(service).count(b"bytes of 4/1") == 1:
                    yield refusing(segment, errors_pb2.ERROR_CODE_SEQUENCE_GAP, 10)
                else:
                    yield receipted(segment)

    async with sending(once) as (sender, _):
        sender.put(outgoing(1), outgoing(2), outgoing(1, transport_class=1), outgoing(3))
        await until(lambda: len(sender.answered) == 4)
        assert sender.answered[0] == b"bytes of 1/1"
        assert sender.answered[1:] == [b"bytes of 4/1", b"bytes of 4/2", b"bytes of 4/3"]
        assert not sender.ended


async def test_a_gap_behind_a_segment_that_is_tried_again_ends_nothing():
    async def full_for_long(service, requests, context):
        await service.next(requests)
        yield opened()
        tries = 0
        while True:
            frame = await service.next(requests)
            for segment in frame.batch.segments:
                if bytes(segment) == b"bytes of 4/1":
                    tries += 1
                    if tries <= 3 * GAPS:
                        yield refusing(segment, errors_pb2.ERROR_CODE_STORAGE_FULL, 1)
                        continue
                elif tries <= 3 * GAPS:
                    yield refusing(segment, errors_pb2.ERROR_CODE_SEQUENCE_GAP, 1)
                    continue
                yield receipted(segment)

    async with sending(full_for_long) as (sender, _):
        sender.put(outgoing(1), outgoing(2))
        await until(lambda: len(sender.answered) == 2)
        assert not sender.ended


async def test_a_refusal_without_a_time_ends_its_segment():
    async def never(service, requests, context):
        await service.next(requests)
        yield opened()
        while True:
            frame = await service.next(requests)
            for segment in frame.batch.segments:
                yield refusing(segment, errors_pb2.ERROR_CODE_MALFORMED)

    async with sending(never) as (sender, _):
        sender.put(outgoing(1))
        await until(lambda: sender.ended)
        assert sender.ended == [(b"bytes of 4/1", ErrorCode.MALFORMED)]
        assert sender.publisher.unanswered == 0


async def test_a_gap_that_nothing_fills_ends_its_segment_at_last():
    async def gapped(service, requests, context):
        await service.next(requests)
        yield opened()
        while True:
            frame = await service.next(requests)
            for segment in frame.batch.segments:
                yield refusing(segment, errors_pb2.ERROR_CODE_SEQUENCE_GAP, 1)

    async with sending(gapped) as (sender, service):
        sender.put(outgoing(7))
        await until(lambda: sender.ended)
        assert len(segments(service)) == GAPS + 1


async def test_a_lane_that_broke_gives_back_everything_unanswered():
    async def silent(service, requests, context):
        await service.next(requests)
        yield opened()
        while True:
            await service.next(requests)

    async with sending(silent) as (sender, service):
        sender.put(outgoing(1), outgoing(2), outgoing(1, transport_class=1))
        await until(lambda: len(segments(service)) == 3)
        dropped = sender.publisher.drop_lane(outgoing(1).segment.lane)
        assert [one.segment.data for one in dropped] == [b"bytes of 4/1", b"bytes of 4/2"]
        assert sender.publisher.unanswered == 1


async def test_a_draining_broker_gets_nothing_more_and_the_rest_goes_to_the_next_stream():
    async def draining(service, requests, context):
        await service.next(requests)
        yield opened(window=1)
        frame = await service.next(requests)
        if service.begun == 1:
            yield exchange_pb2.PublishResponse(draining=exchange_pb2.Draining())
            yield receipted(bytes(frame.batch.segments[0]))
            return
        for segment in frame.batch.segments:
            yield receipted(segment)
        async for response in _more(service, requests):
            yield response

    async with sending(draining) as (sender, service):
        sender.put(outgoing(1), outgoing(2))
        await until(lambda: len(sender.answered) == 2)
        assert segments(service) == [b"bytes of 4/1", b"bytes of 4/2"]
        assert service.begun == 2


async def test_what_no_waiting_mends_is_raised():
    async def revoked(service, requests, context):
        await context.abort_with_status(_status())
        yield

    async with exchanging(publish=revoked) as (connection, _):
        sender = Sender(connection)
        sender.put(outgoing(1))
        with pytest.raises(KeyFault):
            await sender.publisher.run()


def _status():
    status = status_pb2.Status(code=grpc.StatusCode.UNAUTHENTICATED.value[0], message="revoked")
    status.details.add().Pack(errors_pb2.Refusal(code=errors_pb2.ERROR_CODE_CERTIFICATE_REVOKED, message="revoked"))
    return rpc_status.to_status(status)
