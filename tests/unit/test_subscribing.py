"""A Subscribe stream that comes back: what each session begins with, and what dies with it."""

import asyncio
import contextlib

import pytest

from builders_exchange import AGREEMENT, exchanging
from builders_sdk import until
from comity.envelope.evidence import SignedAck
from comity.envelope.segment import SegmentHead, encode_pruned_item, encode_segment
from comity.errors import ConflictError, ErrorCode
from comity.node.backoff import Backoff
from comity.node.subscribing import CREDIT_BYTES, CREDIT_REPORTS, CREDIT_STEP_REPORTS, Subscription
from comity.v1 import errors_pb2, exchange_pb2


class Listening:
    """A listener that keeps what it was told."""

    def __init__(self):
        self.told, self.unconfirmed, self.works, self.asked = [], [], False, 0

    @property
    def busy(self):
        self.asked += 1
        return self.works

    def incarnation(self, incarnation):
        self.of = incarnation

    def began(self):
        self.told.append("began")
        return self.unconfirmed

    def delivered(self, frame):
        self.told.append(frame.log_index)

    async def room(self):
        return

    def confirmed(self, record_digest):
        self.told.append(record_digest)

    def refused(self, error, record_digest):
        self.told.append(error.code)
        raise error

    def checkpoint(self, agreement_id, note):
        self.told.append((agreement_id, note))

    def caught_up(self, *, yes):
        self.told.append(yes)

    def held(self, agreement_id, count):
        self.told.append((agreement_id, count))


def opened(session=1, deadline_ms=60_000):
    frame = exchange_pb2.SubscribeResponse(opened=exchange_pb2.SubscribeOpened(session=session, incarnation=bytes(16)))
    frame.opened.deadline.FromMilliseconds(deadline_ms)
    return frame


async def listening(service, requests, context):
    """Open, and take what comes."""
    await service.next(requests)
    yield opened()
    while True:
        await service.next(requests)


@contextlib.asynccontextmanager
async def subscribed(handler, *, take_over=False, urgent=None):
    async with exchanging(subscribe=handler, urgent=urgent) as (connection, service):
        listener = Listening()
        subscription = Subscription(
            (connection, connection),
            "archive",
            listener,
            resume_token=lambda: b"token",
            take_over=take_over,
            backoff=Backoff(bytes),
        )
        running = asyncio.create_task(subscription.run())
        try:
            yield subscription, listener, service, running
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


def kinds(service):
    return [frame.WhichOneof("frame") for frame in service.frames]


async def test_a_session_begins_with_consumer_token_and_all_credit():
    async with subscribed(listening) as (_, listener, service, _):
        await until(lambda: listener.told)
        opening = service.frames[0].open
        assert (opening.consumer, opening.resume_token, opening.take_over) == ("archive", b"token", False)
        assert (opening.credit.reports, opening.credit.bytes) == (CREDIT_REPORTS, CREDIT_BYTES)


async def test_after_a_broken_stream_the_consumer_is_taken_over_and_old_answers_are_sent_again():
    async def breaking(service, requests, context):
        await service.next(requests)
        yield opened(service.begun)
        if service.begun == 1:
            await service.next(requests)
            return
        while True:
            await service.next(requests)

    async with subscribed(breaking) as (subscription, listener, service, _):
        await until(lambda: listener.told == ["began"])
        listener.unconfirmed = [SignedAck(b"first", b"s"), SignedAck(b"second", b"s")]
        subscription.acknowledge(listener.unconfirmed[1])
        await until(lambda: len(service.frames) >= 5)
        assert kinds(service) == ["open", "ack", "open", "ack", "ack"]
        assert [frame.ack.record for frame in service.frames[3:]] == [b"first", b"second"]
        assert service.frames[2].open.take_over


async def test_what_is_given_back_dies_with_its_session():
    async def breaking(service, requests, context):
        await service.next(requests)
        yield opened(service.begun)
        if service.begun == 1:
            return
        while True:
            await service.next(requests)

    async with subscribed(breaking) as (subscription, listener, service, _):
        await until(lambda: listener.told == ["began", "began"])
        ref = exchange_pb2.SlotRef(agreement_id=AGREEMENT, segment_id=bytes(48), slot=3)
        subscription.give_back(ref, after_seconds=1.5)
        subscription.give_back(ref, park="no reader")
        await until(lambda: len(service.frames) == 4)
        first, second = (frame.nack for frame in service.frames[2:])
        assert first.retry_after.ToMilliseconds() == 1500
        assert second.park_reason == "no reader"


async def test_credit_is_given_back_in_steps_or_when_nothing_else_is_to_do():
    async with subscribed(listening) as (subscription, listener, service, _):
        await until(lambda: listener.told)
        for _ in range(CREDIT_STEP_REPORTS - 1):
            subscription.credit(1, 10)
        for _ in range(100):
            await asyncio.sleep(0)
        assert kinds(service) == ["open"]
        subscription.credit(1, 10)
        await until(lambda: len(service.frames) == 2)
        assert service.frames[1].credit.reports == CREDIT_STEP_REPORTS
        subscription.credit(3, 30)
        subscription.flush()
        await until(lambda: len(service.frames) == 3)
        assert (service.frames[2].credit.reports, service.frames[2].credit.bytes) == (3, 30)
        subscription.flush()
        subscription.stop()
        await until(lambda: len(service.frames) == 4)
        assert kinds(service)[3] == "stop"


async def test_a_heartbeat_goes_out_while_reports_are_worked_on_and_only_then():
    async def beating(service, requests, context):
        await service.next(requests)
        yield opened(deadline_ms=30)
        while True:
            await service.next(requests)

    async with subscribed(beating) as (_, listener, service, _):
        await until(lambda: listener.asked >= 3)
        assert kinds(service) == ["open"]
        listener.works = True
        await until(lambda: kinds(service).count("heartbeat") == 2)


async def test_every_frame_reaches_the_listener():
    async def talking(service, requests, context):
        response = exchange_pb2.SubscribeResponse
        await service.next(requests)
        yield opened()
        yield response(delivery=exchange_pb2.Delivery(log_index=7))
        yield response(ack_confirmed=exchange_pb2.AckConfirmed(record_digest=b"d"))
        yield response(checkpoint=exchange_pb2.NewCheckpoint(agreement_id=AGREEMENT, checkpoint=b"note"))
        yield response(caught_up=exchange_pb2.CaughtUp())
        yield response(fell_behind=exchange_pb2.FellBehind(waiting=2))
        yield response(held=exchange_pb2.Held(agreement_id=AGREEMENT, count=3))
        yield response()
        while True:
            await service.next(requests)

    async with subscribed(talking) as (_, listener, _, _):
        wanted = ["began", 7, b"d", (AGREEMENT, b"note"), True, False, (AGREEMENT, 3)]
        await until(lambda: len(listener.told) == len(wanted))
        assert listener.told == wanted


@pytest.mark.parametrize("code", [ErrorCode.SUPERSEDED, ErrorCode.CONSUMER_BUSY])
async def test_whoever_is_superseded_stops(code):
    async def superseded(service, requests, context):
        await service.next(requests)
        yield opened()
        refusal = errors_pb2.Refusal(code=int(code), message="another one")
        yield exchange_pb2.SubscribeResponse(refusal=exchange_pb2.FrameRefusal(refusal=refusal))
        while True:
            await service.next(requests)

    async with subscribed(superseded) as (_, _, _, running):
        with pytest.raises(ConflictError):
            await running


# --- what is urgent -------------------------------------------------------------------------------------------------


def segment_of(transport_class):
    return encode_segment(SegmentHead(AGREEMENT, bytes(16), transport_class, 1), [encode_pruned_item(bytes(48))])


def handing(*classes):
    async def handed(service, requests, context):
        await service.next(requests)
        yield opened(service.begun)
        for one in classes:
            yield exchange_pb2.SubscribeResponse(delivery=exchange_pb2.Delivery(segment=segment_of(one)))
        while True:
            await service.next(requests)

    return handed


async def test_who_gets_nothing_patient_needs_no_second_stream():
    joined = []

    async def urgent(service, first, context):
        joined.append(first.open.joins)
        yield exchange_pb2.SubscribeResponse()

    async with subscribed(handing(1, 2), urgent=urgent) as (_, listener, _, _):
        await until(lambda: listener.told == ["began", 0, 0])
        assert joined == []


async def test_with_the_first_patient_segment_a_stream_for_what_is_urgent_joins_the_session():
    joined = []

    async def urgent(service, first, context):
        joined.append((first.open.consumer, first.open.joins))
        yield exchange_pb2.SubscribeResponse(delivery=exchange_pb2.Delivery(segment=segment_of(1)))
        await asyncio.Event().wait()

    async with subscribed(handing(4, 4), urgent=urgent) as (_, listener, service, _):
        await until(lambda: listener.told == ["began", 0, 0, 0])
        assert joined == [("archive", 1)]
        assert service.begun == 1


async def test_a_session_ends_with_its_stream_for_what_is_urgent():
    async def urgent(service, first, context):
        if service.begun > 1:
            await asyncio.Event().wait()
        yield exchange_pb2.SubscribeResponse()

    async with subscribed(handing(4), urgent=urgent) as (_, listener, service, running):
        await until(lambda: listener.told == ["began", 0, "began", 0])
        assert service.frames[1].open.take_over
        assert not running.done()
