"""Subscribe streams over a real connection: how they end, what is refused, and that nothing of them is left behind."""

import asyncio
import contextlib

import grpc
import pytest
from grpc_status import rpc_status

from builders_broker import brokered
from comity.v1 import errors_pb2, exchange_pb2
from comity_broker.dispatch.frames import SkipReason
from comity_broker.dispatch.listing import ReportState
from comity_broker.services.subscribing import REASON_CHARACTERS

OPEN = exchange_pb2.SubscribeRequest(
    open=exchange_pb2.SubscribeOpen(credit=exchange_pb2.Credit(reports=10, bytes=1 << 20))
)
TAKE_OVER = exchange_pb2.SubscribeRequest(open=exchange_pb2.SubscribeOpen(take_over=True))


NAME = exchange_pb2.SlotRef(agreement_id="A", segment_id=bytes(48))


@pytest.fixture
async def world(tmp_path):
    async with brokered(tmp_path) as made:
        made.node = await made.enrolled(made.xbo.node("n1", region="xbo"))
        yield made


class Stream:
    """One stream, whose requests a test writes."""

    def __init__(self, connection, *requests) -> None:
        self.call = connection.exchange.Subscribe()
        self.first = requests

    async def __aenter__(self):
        for request in self.first:
            await self.call.write(request)
        return self

    async def __aexit__(self, *_):
        self.call.cancel()
        with contextlib.suppress(grpc.RpcError, asyncio.CancelledError):
            await self.call.wait_for_connection()

    async def frames(self) -> list[str]:
        """Read until the stream ends."""
        found = []
        while (frame := await self.call.read()) is not grpc.aio.EOF:
            found.append(frame.WhichOneof("frame"))
        return found

    async def refused(self) -> errors_pb2.Refusal:
        """Read until the stream is refused; give why."""
        with pytest.raises(grpc.RpcError) as caught:
            await self.frames()
        refusal = errors_pb2.Refusal()
        (detail,) = rpc_status.from_call(caught.value).details
        assert detail.Unpack(refusal)
        return refusal


async def left(world) -> bool:
    """Wait until the broker holds no session any more."""
    for _ in range(2000):
        if not world.broker.dispatcher._sessions and not world.broker.dispatcher._closing:
            return True
        await asyncio.sleep(0.005)
    return False


async def test_a_stream_that_is_cut_leaves_nothing_behind(world):
    async with world.connection(world.node) as connection:
        async with Stream(connection, OPEN) as stream:
            assert (await stream.call.read()).opened.session == 1
        assert await left(world)
        async with Stream(connection, OPEN) as stream:
            assert (await stream.call.read()).opened.session == 2


async def test_a_consumer_that_says_no_more_gets_a_clean_end(world):
    async with world.connection(world.node) as connection, Stream(connection, OPEN) as stream:
        assert (await stream.call.read()).WhichOneof("frame") == "opened"
        await stream.call.done_writing()
        assert set(await stream.frames()) <= {"caught_up"}
        assert await stream.call.code() is grpc.StatusCode.OK
        assert await left(world)


async def test_the_older_stream_learns_that_it_was_superseded(world):
    async with world.connection(world.node) as connection, Stream(connection, OPEN) as older:
        await older.call.read()
        async with Stream(connection, OPEN) as busy:
            assert (await busy.refused()).code == errors_pb2.ERROR_CODE_CONSUMER_BUSY
        async with Stream(connection, TAKE_OVER) as newer:
            assert (await newer.call.read()).opened.session == 2
            assert (await older.refused()).code == errors_pb2.ERROR_CODE_SUPERSEDED
    assert await left(world)


@pytest.mark.parametrize(
    "request_",
    [
        exchange_pb2.SubscribeRequest(),
        OPEN,
        exchange_pb2.SubscribeRequest(nack=exchange_pb2.Nack()),
        exchange_pb2.SubscribeRequest(
            nack=exchange_pb2.Nack(slots=[exchange_pb2.SlotRef(agreement_id="A")], park_reason="x")
        ),
        exchange_pb2.SubscribeRequest(ack=exchange_pb2.SignedAckFrame(record=bytes((64 << 10) + 1))),
        exchange_pb2.SubscribeRequest(ack=exchange_pb2.SignedAckFrame(record=b"x", signature=bytes(1 << 16))),
        exchange_pb2.SubscribeRequest(nack=exchange_pb2.Nack(slots=[NAME])),
        exchange_pb2.SubscribeRequest(nack=exchange_pb2.Nack(slots=[NAME], park_reason="x" * (REASON_CHARACTERS + 1))),
        exchange_pb2.SubscribeRequest(nack=exchange_pb2.Nack(slots=[NAME], retry_after={"seconds": -1})),
    ],
)
async def test_a_frame_that_says_nothing_or_too_much_ends_the_stream(world, request_):
    async with world.connection(world.node) as connection, Stream(connection, OPEN, request_) as stream:
        refusal = await stream.refused()
        assert refusal.code in {errors_pb2.ERROR_CODE_MALFORMED, errors_pb2.ERROR_CODE_LIMIT_EXCEEDED}
    assert await left(world)


async def test_a_stream_begins_with_open(world):
    heartbeat = exchange_pb2.SubscribeRequest(heartbeat=exchange_pb2.Heartbeat())
    async with world.connection(world.node) as connection, Stream(connection, heartbeat) as stream:
        assert (await stream.refused()).code == errors_pb2.ERROR_CODE_MALFORMED


async def test_an_acknowledgement_that_does_not_read_is_refused_and_the_stream_goes_on(world):
    garbage = exchange_pb2.SubscribeRequest(ack=exchange_pb2.SignedAckFrame(record=b"x", signature=b"y"))
    async with world.connection(world.node) as connection, Stream(connection, OPEN, garbage) as stream:
        kinds = []
        while "refusal" not in kinds:
            kinds.append((await stream.call.read()).WhichOneof("frame"))
        await stream.call.done_writing()
        await stream.frames()
        assert await stream.call.code() is grpc.StatusCode.OK


CREDIT = exchange_pb2.Credit(reports=1, bytes=1)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, errors_pb2.ERROR_CODE_MALFORMED),
        ({"log_index": 0, "credit": CREDIT}, errors_pb2.ERROR_CODE_MALFORMED),
        ({"admitted_at": 1 << 63, "credit": CREDIT}, errors_pb2.ERROR_CODE_MALFORMED),
        ({"agreement_id": "", "log_index": 1, "credit": CREDIT}, errors_pb2.ERROR_CODE_MALFORMED),
        ({"agreement_id": "X" * 2000, "log_index": 1, "credit": CREDIT}, errors_pb2.ERROR_CODE_MALFORMED),
        ({"log_index": 1}, errors_pb2.ERROR_CODE_LIMIT_EXCEEDED),
        ({"log_index": 1, "credit": CREDIT, "consumer": "No name"}, errors_pb2.ERROR_CODE_MALFORMED),
        ({"log_index": 1, "credit": CREDIT}, errors_pb2.ERROR_CODE_AGREEMENT_UNKNOWN),
    ],
)
async def test_a_replay_that_asks_for_nothing_too_much_or_another_partys_is_refused(world, fields, code):
    async with world.connection(world.node) as connection:
        call = connection.exchange.Replay(exchange_pb2.ReplayRequest(**{"agreement_id": "XAR-XDE-1", **fields}))
        with pytest.raises(grpc.RpcError) as caught:
            await call.read()
    refusal = errors_pb2.Refusal()
    (detail,) = rpc_status.from_call(caught.value).details
    assert detail.Unpack(refusal)
    assert refusal.code == code


@pytest.mark.parametrize(
    ("ours", "theirs", "prefix"),
    [
        (SkipReason, exchange_pb2.SkipReason, "SKIP_REASON_"),
        (ReportState, exchange_pb2.ReportState, "REPORT_STATE_"),
    ],
)
def test_our_enums_have_the_numbers_of_the_protocol(ours, theirs, prefix):
    assert {one.name: one.value for one in ours} | {"UNSPECIFIED": 0} == {
        name.removeprefix(prefix): number for name, number in theirs.items()
    }
