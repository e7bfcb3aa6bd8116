"""What a node was handed before, read again through a real broker: shown once more, acknowledged no more, and in the log."""

from datetime import UTC, datetime, timedelta

import grpc
import pytest

from builders_sdk import AGREEMENT, report, sharing
from comity.errors import ErrorCode, NotFoundError, RefusedError, UnreachableError, UsageError, VerificationError
from comity.identity.names import exercise_of
from comity.node import reading_again
from comity.node.alarms import AlarmKind
from comity.portion import Portion
from comity.v1 import exchange_pb2
from comity_policy.steps import StepKind

PURPOSE = "counter-terrorism"
LONG_AGO = datetime.now(UTC) - timedelta(days=365)


async def received(node, **options):
    """Receive what is due and acknowledge it; give the texts."""
    found = []
    async for delivery in node.receive(follow=False, purpose=PURPOSE, **options):
        async with delivery as one:
            found.append(one.text)
    return found


async def again(node, **options):
    """Read again; give the texts, and why others did not come, by their number."""
    why = {}
    given = {"agreement": AGREEMENT, "purpose": PURPOSE, **options}
    if "from_entry" not in given:
        given.setdefault("since", LONG_AGO)
    texts = [
        one.report.text async for one in node.replay(**given, told=lambda one: why.update({one.origin_sequence: one}))
    ]
    return texts, why


async def test_what_was_acknowledged_is_read_again_and_nothing_of_the_consumer_moves(tmp_path):
    async with sharing(tmp_path) as world, world.node("XAR") as sender, world.node("XBO") as reader:
        receipts = [await sender.send(report(text), agreement=AGREEMENT) for text in ("first", "second", "third")]
        assert await again_unknown(reader)
        assert await received(reader) == ["first", "second", "third"]
        assert await again(reader) == (["first", "second", "third"], {})
        assert await again(reader, from_entry=receipts[1].log_index) == (["second", "third"], {})
        assert await again(reader, since=datetime.now(UTC) + timedelta(hours=1)) == ([], {})
        await sender.recall(receipts[0].report_id)
        texts, why = await again(reader)
        assert texts == ["second", "third"]
        assert (why[1].reason, why[1].leaf, why[1].origin) == ("recalled", receipts[0].leaf, "XAR/n1")
        assert len(await received(reader)) == 1, "the recall itself comes by the stream, and nothing else"
        await sender.send(report("fourth"), agreement=AGREEMENT)
        assert (await again(reader))[0][:2] == ["second", "third"]
        assert await received(reader) == ["fourth"], "nor does reading again bring what has not come"
        await reader.refresh()
        await sender.refresh()
        assert not (*sender.alarms(), *reader.alarms())
        entries = [one for one in sender.mirror.entries(AGREEMENT, 0) if one.kind == "REPLAYED"]
        assert len(entries) == 4
        assert entries[1].own("XAR")["from_log_index"] == receipts[1].log_index
        assert entries[0].own("XAR")["recipient"] == {"party": "XBO", "node": "n1"}


async def again_unknown(reader) -> bool:
    with pytest.raises(NotFoundError) as caught:
        await again(reader)
    return caught.value.code is ErrorCode.ITEM_UNKNOWN


async def test_it_works_beside_a_process_that_receives_and_is_decided_anew(tmp_path):
    async with sharing(tmp_path) as world, world.node("XAR") as sender, world.node("XBO") as reader:
        both = [Portion.of_text("for both", "SECRET//REL TO XAR, XBO"), Portion.of_text("for us", "SECRET//NOFORN")]
        await sender.send(report("", *both, marking="SECRET//NOFORN"), agreement=AGREEMENT)
        await sender.send(report("in hand"), agreement=AGREEMENT)
        deliveries = reader.receive(purpose=PURPOSE)
        async for delivery in deliveries:
            if delivery.report.text == "for both":
                delivery.acknowledge()
                continue
            assert await again(reader) == (["for both", "in hand"], {})
            assert await again(reader, purpose=()) == ([], await closed(reader))
            delivery.acknowledge()
            break
        await deliveries.aclose()
        await world.treaty.take(StepKind.SUSPEND, world.world.xar, reason="trouble")
        with pytest.raises(RefusedError) as caught:
            await again(reader)
        assert caught.value.code is ErrorCode.AGREEMENT_NOT_IN_FORCE


async def closed(reader):
    _, why = await again(reader, purpose=())
    assert {one.reason for one in why.values()} == {"waits for another opening: purpose"}
    return why


class Lying:
    """A broker's replays on their way to a node, changed by a test; `cut` breaks a call after so many frames, once each."""

    def __init__(self, node, change, *, cuts=()) -> None:
        self.exchange = node.connection.exchange
        self.honest, self.change, self.cuts = self.exchange.Replay, change, list(cuts)
        self.begun = []
        self.exchange.Replay = self

    def __call__(self, request):
        self.begun.append(request)
        return _Call(self, self.honest(request), self.cuts.pop(0) if self.cuts else None)


class _Call:
    def __init__(self, of, call, left) -> None:
        self.of, self.call, self.left = of, call, left

    async def read(self):
        if self.left == 0:
            return grpc.aio.EOF
        self.left = None if self.left is None else self.left - 1
        response = await self.call.read()
        if isinstance(response, exchange_pb2.ReplayResponse):
            self.of.change(response)
        return response

    def cancel(self):
        self.call.cancel()


def nothing(_) -> None:
    """Change nothing."""


async def test_what_a_broker_makes_up_is_not_shown(tmp_path, monkeypatch):
    def another_packet(response):
        (one,) = set(response.delivery.key_packets)
        response.delivery.key_packets[0] = bytes((one[0] ^ 1,)) + one[1:]

    def another_signature(response):
        record = response.delivery.batch_signature
        response.delivery.batch_signature = record[:-1] + bytes((record[-1] ^ 1,))

    def another_time(response):
        response.delivery.admitted_at += 1

    def without_reasons(response):
        del response.delivery.absent[:]

    def one_slot_less(response):
        del response.delivery.slots[1:]

    def only_deliveries(change):
        return lambda response: change(response) if response.WhichOneof("frame") == "delivery" else None

    monkeypatch.setattr(reading_again, "PROVE_SECONDS", 0.0)
    monkeypatch.setattr(reading_again, "_LOOK_SECONDS", 0.0)
    async with sharing(tmp_path) as world, world.node("XAR") as sender, world.node("XBO") as reader:
        sent = [one async for one in sender.send_many([report("first"), report("second")], agreement=AGREEMENT)]
        assert await received(reader) == ["first", "second"]
        await reader.refresh()
        for change, kind in (
            (another_packet, AlarmKind.INCOMPLETE),
            (another_signature, AlarmKind.SEGMENT_REJECTED),
            (another_time, AlarmKind.NOT_ADMITTED),
            (one_slot_less, AlarmKind.UNEXPLAINED),
        ):
            before = len(reader.alarms())
            lying = Lying(reader, only_deliveries(change))
            texts, _ = await again(reader)
            reader.connection.exchange.Replay = lying.honest
            assert len(texts) <= 1, "of a slot that came whole and is not said to come nothing is shown"
            assert {one.kind for one in reader.alarms()[before:]} == {kind}
        await sender.recall(sent[0].receipt.report_id)
        before = len(reader.alarms())
        lying = Lying(reader, only_deliveries(without_reasons))
        assert (await again(reader))[1] == {}
        assert {one.kind for one in reader.alarms()[before:]} == {AlarmKind.UNEXPLAINED}
        lying.change = only_deliveries(lambda response: setattr(response.delivery, "log_index", 1 << 40))
        with pytest.raises(VerificationError, match="does not have"):
            await again(reader)


async def test_an_exercise_is_never_read_again_as_real(tmp_path):
    async with sharing(tmp_path) as world, world.node("XAR") as sender, world.node("XBO") as reader:
        await sender.send(report("a drill", exercise=True), agreement=AGREEMENT)
        assert await received(reader, exercise=True) == ["a drill"]
        assert await received(reader) == []
        assert await again(reader) == ([], {})
        with pytest.raises(UsageError, match="exercise"):
            await again(reader, agreement=exercise_of(AGREEMENT))
        assert reader.alarms() == (), "who asks for it is at fault, and not the broker"
        lying = Lying(reader, nothing)
        honest = lying.honest

        def of_the_exercise(request):
            request.agreement_id = exercise_of(request.agreement_id)
            return honest(request)

        lying.honest = of_the_exercise
        assert await again(reader) == ([], {})
        assert {one.kind for one in reader.alarms()} == {AlarmKind.SEGMENT_REJECTED}


async def test_a_call_that_breaks_goes_on_after_the_last_segment_and_one_that_stands_still_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(reading_again, "TRIES", 3)
    async with sharing(tmp_path) as world, world.node("XAR") as sender, world.node("XBO") as reader:
        for text in ("first", "second", "third"):
            await sender.send(report(text), agreement=AGREEMENT)
        assert await received(reader) == ["first", "second", "third"]
        lying = Lying(reader, nothing, cuts=[1, 0, 1])
        assert await again(reader) == (["first", "second", "third"], {})
        assert [one.WhichOneof("start") for one in lying.begun] == ["admitted_at", *["log_index"] * 3]
        lying.cuts = [0, 0, 0]
        with pytest.raises(UnreachableError):
            await again(reader)

        def stand_still(response):
            response.ended.complete, response.ended.next_log_index = False, 1

        lying.change = lambda response: stand_still(response) if response.WhichOneof("frame") == "ended" else None
        with pytest.raises(VerificationError, match="does not go on"):
            await again(reader)


async def test_a_replay_says_from_where(tmp_path):
    async with sharing(tmp_path) as world, world.node("XBO") as reader:
        for wrong in ({"since": LONG_AGO, "from_entry": 1}, {"since": None}, {"since": datetime(2027, 1, 1)}):  # noqa: DTZ001 - naive on purpose
            with pytest.raises(UsageError):
                await again(reader, **wrong)
