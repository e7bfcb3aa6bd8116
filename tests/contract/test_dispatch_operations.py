"""What operators and lists see of delivery, and how a broker that stops lets go of its streams."""

import asyncio

import pytest

from builders_dispatch import STORES, opened
from builders_dispatch_consumer import numbers, outcomes_of
from builders_dispatch_segments import AGREEMENT, caller_of
from builders_identity import NOW
from comity.envelope.evidence import AckOutcome
from comity.errors import ComityError, ErrorCode
from comity.v1 import exchange_pb2
from comity_broker import access
from comity_broker.dispatch.answering import GivenBack, SlotName
from comity_broker.dispatch.desk import AHEAD_LIMIT
from comity_broker.dispatch.floors import LaneState, Partial
from comity_broker.dispatch.frames import AckConfirmed, CaughtUp, Draining, Opened
from comity_broker.dispatch.listing import Filter, Listing, Place, Position, ReportState, report_state
from comity_broker.finishing import Finishing
from comity_broker.services.reports import SEGMENTS_LOOKED_AT, Reports
from comity_broker.settings import Settings
from comity_broker.storage.protocol import ExceptionRow, ExceptionState


@pytest.fixture(params=STORES)
async def world(request, tmp_path):
    async with opened(request.param, tmp_path) as made:
        yield made


async def lines(world, party: str, *, after: Position | None = None, **wanted):
    listing = Listing(world.dispatcher.shared)
    return [
        (line, position)
        async for line, position in listing.lines(party, [world.standing], Filter(**wanted), after or Position())
        if line is not None
    ]


async def states(world, party: str = "XAR") -> dict[int, list[str]]:
    """The states of every report, by its number, of every consumer."""
    return {
        line.origin_sequence: [f"{one.node} {one.consumer} {one.state.name}" for one in line.consumers]
        for line, _ in await lines(world, party)
    }


def only(made, *slots: int) -> list[SlotName]:
    return [SlotName(AGREEMENT, made.segment_id, slot) for slot in slots]


# --- lists ----------------------------------------------------------------------------------------------------------


async def test_a_list_says_where_every_report_stands(world):
    made = await world.admit(6, expires_at={5: NOW + 1000})
    consumer = await world.connect(reports=5)
    frame = await consumer.delivery()
    await consumer.session.answer(consumer.ack(outcomes_of(frame, slots=[0])))
    await consumer.session.answer(consumer.ack(outcomes_of(frame, AckOutcome.PARKED, slots=[1])))
    await consumer.session.answer(GivenBack(only(made, 2), 60.0))
    await consumer.all()
    await world.admit(1)
    world.pass_seconds(2)
    assert await states(world) == {
        1: ["XBO/n1 default DONE"],
        2: ["XBO/n1 default PARKED"],
        3: ["XBO/n1 default RETRY"],
        4: ["XBO/n1 default SENT"],
        5: ["XBO/n1 default SENT"],
        6: ["XBO/n1 default EXPIRED"],
        7: ["XBO/n1 default DUE"],
    }


async def test_a_list_says_what_was_refused_to_the_sender_alone(world):
    made = await world.admit(2, refused=[0])
    await world.connect()
    sent = [line for line, _ in await lines(world, "XAR")]
    assert [(line.report_id == b"", line.leaf) for line in sent] == [(True, made.leaves[0]), (False, made.leaves[1])]
    assert [one.state for one in sent[0].consumers] == [ReportState.REFUSED]
    assert sent[0].consumers[0].reason == "POLICY"
    assert [line.leaf for line, _ in await lines(world, "XBO")] == [made.leaves[1]]


async def test_a_party_sees_nothing_that_none_of_its_nodes_has_due(world):
    await world.admit(2, due=[1])
    assert set(await states(world, "XBO")) == {2}
    assert set(await states(world, "XAR")) == {1, 2}
    assert await states(world, "XDE") == {}


async def test_held_and_withdrawn_reports_are_listed_as_such(world):
    await world.admit(1)
    await world.suspend()
    assert await states(world, "XBO") == {1: ["XBO/n1 default HELD"]}
    await world.resume()
    assert await states(world, "XBO") == {1: ["XBO/n1 default HELD"]}


async def test_a_list_goes_on_where_it_stopped(world):
    for _ in range(5):
        await world.admit(3)
    everything = await lines(world, "XAR")
    assert [line.origin_sequence for line, _ in everything] == list(range(1, 16))
    for number in range(15):
        rest = await lines(world, "XAR", after=everything[number][1])
        assert [line.origin_sequence for line, _ in rest] == list(range(number + 2, 16))


async def test_a_list_is_narrowed_to_states_and_to_one_report(world):
    await world.admit(3)
    consumer = await world.connect(reports=2)
    await consumer.delivery()
    sent = await lines(world, "XAR", states=frozenset({ReportState.SENT}))
    assert [line.origin_sequence for line, _ in sent] == [1, 2]
    wanted = sent[0][0]
    assert [line for line, _ in await lines(world, "XBO", report_id=wanted.report_id)] == [wanted]
    assert await lines(world, "XBO", report_id=bytes(16)) == []


# --- numbers --------------------------------------------------------------------------------------------------------


async def test_an_operator_sees_backlog_flight_credit_parked_and_age(world):
    await world.admit(4)
    consumer = await world.connect(reports=10)
    frame = await consumer.delivery()
    await consumer.session.answer(consumer.ack(outcomes_of(frame, AckOutcome.PARKED, slots=[0])))
    await consumer.until(AckConfirmed)
    world.pass_seconds(5)
    await world.admit(2)
    await consumer.all()
    (line,) = await world.dispatcher.status()
    assert (line.node, line.consumer, line.connected) == ("XBO/n1", "default", True)
    assert (line.backlog, line.in_flight, line.credits, line.parked, line.held) == (5, 5, 4, 1, 0)
    assert line.oldest_waiting_at == NOW
    await consumer.leave()
    (line,) = await world.dispatcher.status()
    assert (line.connected, line.backlog, line.in_flight, line.credits) == (False, 5, 0, 0)


async def test_a_consumer_with_backlog_and_credit_that_gets_nothing_is_an_alarm(world, caplog):
    await world.admit(1)
    consumer = await world.connect()
    frame = await consumer.delivery()
    await consumer.give_back(frame, 600.0)
    await world.admit(1)
    await consumer.all()
    world.pass_seconds(119)
    assert world.dispatcher.look_for_stalled() == []
    world.pass_seconds(1)
    assert world.dispatcher.look_for_stalled() == [("XBO/n1", "default")]
    assert world.dispatcher.look_for_stalled() == [("XBO/n1", "default")]
    assert [record.message for record in caplog.records].count("consumer_stalled") == 1


async def test_a_consumer_that_takes_nothing_off_its_stream_is_an_alarm_with_nothing_else_waiting(world):
    await world.admit(1)
    consumer = await world.connect(reports=1)
    await consumer.until(Opened)
    assert await consumer.session.next_frame() is not None  # given to the stream, which never takes it
    world.pass_seconds(119)
    assert world.dispatcher.look_for_stalled() == []
    since = world.clock.now_ms() - 119_000
    world.pass_seconds(1)
    assert world.dispatcher.look_for_stalled() == [("XBO/n1", "default")]
    (line,) = await world.dispatcher.status()
    assert (line.stalled_since, line.in_flight) == (since, 1)
    consumer.session.written()
    assert world.dispatcher.look_for_stalled() == []


async def test_who_was_idle_for_long_is_no_alarm_when_something_comes_but_when_it_is_not_taken(world):
    consumer = await world.connect()
    await consumer.until(CaughtUp)
    await consumer.all()
    world.pass_seconds(1000)
    await world.admit(1)
    assert world.dispatcher.look_for_stalled() == []
    await consumer.idle()
    assert world.dispatcher.look_for_stalled() == []
    world.pass_seconds(60)
    await world.admit(1)
    world.pass_seconds(60)
    assert world.dispatcher.look_for_stalled() == [("XBO/n1", "default")]


async def test_how_long_is_too_long_is_a_setting(tmp_path):
    async with opened("memory", tmp_path, settings=Settings(stalled_after=7.0)) as world:
        await world.admit(1)
        consumer = await world.connect()
        await consumer.give_back(await consumer.delivery(), 600.0)
        await world.admit(1)
        await consumer.all()
        world.pass_seconds(6)
        assert world.dispatcher.look_for_stalled() == []
        world.pass_seconds(1)
        assert world.dispatcher.look_for_stalled() == [("XBO/n1", "default")]


async def test_a_backlog_is_told_by_class_and_what_comes_again_by_its_attempts(world):
    await world.admit(3)
    await world.admit(2, transport_class=1)
    consumer = await world.connect(reports=10)
    frames = [await consumer.delivery(), await consumer.delivery()]
    (urgent,) = [one for one in frames if len(one.slots) == 2]
    await consumer.give_back(urgent, 0.0, slots=[1])
    again = await consumer.delivery()
    assert again.slots == ((1, 2),)
    (line,) = await world.dispatcher.status()
    assert list(line.by_class.items()) == [(1, 2), (4, 3)]
    assert (line.backlog, line.retried, line.attempts, line.stalled_since) == (5, 1, 2, 0)
    (under,) = line.under
    assert (under.agreement_id, under.backlog, under.oldest_waiting_at) == (AGREEMENT, {1: 2, 4: 3}, NOW)
    counts = world.dispatcher.shared.counts
    assert counts.handed_over_reports == {(AGREEMENT, "XBO", 1): 3, (AGREEMENT, "XBO", 4): 3}
    assert counts.redelivered_reports == {(AGREEMENT, "XBO", 1): 1}
    await consumer.acknowledge(again)
    assert counts.acknowledged_reports == {(AGREEMENT, "XBO"): 1}
    (line,) = await world.dispatcher.status()
    assert (line.backlog, line.retried, line.attempts) == (4, 0, 0)


async def test_a_refused_answer_is_counted_and_acknowledges_nothing(world):
    await world.admit(1)
    consumer = await world.connect()
    frame = await consumer.delivery()
    await consumer.refused(consumer.ack(outcomes_of(frame), consumer="another"))
    counts = world.dispatcher.shared.counts
    assert (counts.refused_answers, counts.acknowledged_reports) == ({("", "XBO", "REJECTED"): 1}, {})


async def test_an_idle_consumer_is_no_alarm(world):
    consumer = await world.connect()
    await consumer.until(CaughtUp)
    world.pass_seconds(1000)
    assert world.dispatcher.look_for_stalled() == []


# --- waking and stopping --------------------------------------------------------------------------------------------


async def test_admission_wakes_whoever_waits(world):
    consumer = await world.connect()
    await consumer.until(CaughtUp)
    tell, world.tell = world.tell, told_nothing
    made = await world.admit(1)
    assert await consumer.deliveries() == []
    tell(made)
    assert numbers(await consumer.delivery()) == [1]


async def test_what_was_read_between_its_commit_and_the_word_of_it_comes_once(world):
    tell, world.tell = world.tell, told_nothing
    made = [await world.admit(1) for _ in range(2)]
    consumer = await world.connect()
    assert numbers(*await consumer.deliveries()) == [1, 2]
    for one in made:
        tell(one)
    assert await consumer.deliveries() == []
    tell(await world.admit(1))
    assert numbers(*await consumer.deliveries()) == [3]


async def test_what_comes_while_more_waits_than_is_read_ahead_comes_in_its_turn(world):
    for _ in range(AHEAD_LIMIT):
        await world.admit(1)
    consumer = await world.connect(reports=0)
    await consumer.all()
    for _ in range(3):
        await world.admit(1)
    (desk,) = consumer.session.desks.values()
    assert desk.ahead(4) == AHEAD_LIMIT
    consumer.session.credit(1000, 1 << 26)
    assert numbers(*await consumer.deliveries()) == list(range(1, AHEAD_LIMIT + 4))


def told_nothing(_: object) -> None:
    """Tell dispatch nothing."""


async def test_a_drain_lets_what_is_out_be_answered(world):
    await world.admit(1)
    consumer = await world.connect()
    frame = await consumer.delivery()
    draining = asyncio.create_task(world.dispatcher.drain(20.0))
    assert isinstance(await consumer.until(Draining), Draining)
    await world.admit(1)
    assert not draining.done()
    with pytest.raises(ComityError) as caught:
        await world.connect(consumer="archive")
    assert caught.value.code is ErrorCode.DRAINING
    await consumer.acknowledge(frame)
    assert await consumer.session.next_frame() is None
    world.dispatcher.release(consumer.session)
    await draining


async def test_a_drain_does_not_wait_for_ever(world):
    await world.admit(1)
    consumer = await world.connect()
    await consumer.delivery()
    await world.dispatcher.drain(0.0)
    with pytest.raises(ComityError) as caught:
        await consumer.all()
    assert caught.value.code is ErrorCode.DRAINING


# --- the calls ------------------------------------------------------------------------------------------------------


def called_by(held) -> None:
    access._CALLER.set(caller_of(held))


async def test_a_list_that_finds_nothing_for_long_gives_a_page_without_reports(tmp_path):
    async with opened("memory", tmp_path) as world:
        for _ in range(SEGMENTS_LOOKED_AT + 6):
            await world.admit(1)
        reports = Reports(world.dispatcher, lambda: bytes(16), Finishing())
        called_by(world.people.sender)
        request = exchange_pb2.ListReportsRequest(states=[exchange_pb2.REPORT_STATE_PARKED])
        first = await reports.ListReports(request, None)
        assert (len(first.reports), first.page_token != b"") == (0, True)
        request.page_token = first.page_token
        assert await reports.ListReports(request, None) == exchange_pb2.ListReportsResponse()


async def test_pages_of_a_list_hold_every_report_once(world):
    for _ in range(4):
        await world.admit(3)
    reports = Reports(world.dispatcher, lambda: bytes(16), Finishing())
    called_by(world.people.reader)
    request, found = exchange_pb2.ListReportsRequest(limit=5), []
    for _ in range(10):
        page = await reports.ListReports(request, None)
        found += [row.origin_sequence for row in page.reports]
        request.page_token = page.page_token
        if not page.page_token:
            break
    assert found == list(range(1, 13))


@pytest.mark.parametrize(
    "request_",
    [
        exchange_pb2.ListReportsRequest(page_token=b"\x00\x00\x00\x01A"),
        exchange_pb2.ListReportsRequest(report_id=b"short"),
        exchange_pb2.ListReportsRequest(states=[0]),
    ],
)
async def test_a_list_that_is_asked_for_wrongly_is_refused(world, request_):
    called_by(world.people.sender)
    with pytest.raises(ComityError) as caught:
        await Reports(world.dispatcher, lambda: bytes(16), Finishing()).ListReports(request_, None)
    assert caught.value.code is ErrorCode.MALFORMED


async def test_a_list_of_an_agreement_of_others_is_refused(world):
    called_by(world.people.sender)
    request = exchange_pb2.ListReportsRequest(agreement_id="XAR-XDE-1")
    with pytest.raises(ComityError) as caught:
        await Reports(world.dispatcher, lambda: bytes(16), Finishing()).ListReports(request, None)
    assert caught.value.code is ErrorCode.AGREEMENT_UNKNOWN


async def test_words_on_reports_say_what_is_to_be_done(world):
    made = await world.admit(1)
    called_by(world.people.reader)
    named = [exchange_pb2.SlotRef(agreement_id=AGREEMENT, segment_id=made.segment_id, slot=0)]
    reports = Reports(world.dispatcher, lambda: bytes(16), Finishing())
    for call, request in (
        (reports.ResolveParked, exchange_pb2.ResolveParkedRequest(slots=named)),
        (reports.ResolveHeld, exchange_pb2.ResolveHeldRequest(slots=named)),
        (reports.ResolveParked, exchange_pb2.ResolveParkedRequest(action=exchange_pb2.PARKED_ACTION_DROP)),
        (reports.ResolveHeld, exchange_pb2.ResolveHeldRequest(action=exchange_pb2.HELD_ACTION_CONFIRM)),
    ):
        with pytest.raises(ComityError) as caught:
            await call(request, None)
        assert caught.value.code in {ErrorCode.MALFORMED, ErrorCode.LIMIT_EXCEEDED}


def test_a_report_that_is_held_after_it_was_handed_over_is_listed_as_held():
    row = ExceptionRow("XBO/n1", "default", 3, 0, ExceptionState.RETRY, 1, 0, "", 7)
    for partial, expected in (
        ({3: Partial(waiting=1, held=1)}, ReportState.HELD),
        ({}, ReportState.SENT),
    ):
        place = Place(LaneState(0, 3, partial=partial), {(3, 0): row})
        line = report_state(place, 3, 0, expires_at=NOW + 1, now_ms=NOW, held=False, word=None)
        assert (line.state, line.attempts) == (expected, 1)
