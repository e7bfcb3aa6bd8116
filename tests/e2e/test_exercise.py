"""Exercise traffic between two nations' nodes over a real broker: sent, received and proved apart from what is real."""

from __future__ import annotations

import asyncio
import random

import pytest

from builders_broker import brokered
from builders_restored import confirm, restore, save
from builders_sdk import AGREEMENT, report, sharing, until
from comity import attached
from comity.errors import ComityError, ErrorCode, RefusedError, UsageError
from comity.identity.names import exercise_of, is_exercise
from comity.node.alarms import AlarmKind
from comity.node.bundle import write_bundle
from comity.node.catching_up import catch_up
from comity.node.logged_texts import Texts
from comity.node.replay_sources import mirror_entries, mirror_played, replay_bundle
from comity.node.replaying import LogReplay
from comity.node.reports import HeldAction, ParkedAction, ReportState
from comity.verify.checks import Verification
from comity_broker.dispatch.logged import Recipient
from comity_broker.ledger import Ledger
from comity_policy.facts import Precedence
from comity_policy.steps import StepKind

PURPOSE = "counter-terrorism"
EXERCISE = exercise_of(AGREEMENT)


async def received(node, *, exercise: bool, consumer: str = "default") -> list[str]:
    """Give what a consumer is handed until it has caught up."""
    found = []
    async for delivery in node.receive(follow=False, purpose=PURPOSE, exercise=exercise, consumer=consumer):
        assert delivery.exercise is exercise
        assert delivery.agreement_id == AGREEMENT
        async with delivery as one:
            assert one.banner.startswith("EXERCISE EXERCISE EXERCISE ") is exercise
            found.append(one.text)
    return found


async def test_what_is_sent_as_an_exercise_comes_to_whoever_asks_for_exercises_and_to_nobody_else(tmp_path):
    async with sharing(tmp_path) as world, world.node("XAR") as sender, world.node("XBO") as reader:
        first = await sender.send(report("play", exercise=True), agreement=AGREEMENT)
        await sender.send(report("meant"), agreement=AGREEMENT)
        second = await sender.send(
            report("play on", exercise=True, precedence=Precedence.PRIORITY), agreement=AGREEMENT
        )
        real = sender.mirror.pin(AGREEMENT).origin
        assert (first.log_origin, first.transport_class) == (f"{real}/exercise", 9)
        assert (second.transport_class, second.agreement_sequence) == (8, 2)
        assert await received(reader, exercise=False) == ["meant"]
        assert sorted(await received(reader, exercise=True)) == ["play", "play on"]
        assert await received(reader, exercise=True) == await received(reader, exercise=False) == []
        # Each side's mirror has the exercise's log, and receipts and claims were compared with it.
        for node in (sender, reader):
            await node.refresh()
            kinds = [one.kind for one in node.mirror.entries(EXERCISE)]
            assert kinds[:2] == ["LOG_OPENED", "EXERCISE_FOLLOWS"]
            assert {"SUBMIT_ACCEPTED", "DELIVERED", "ACKNOWLEDGED"} <= set(kinds)
            assert node.mirror.pin(EXERCISE).origin == f"{real}/exercise"
            assert node.alarms() == ()
            admitted = [one.kind for one in node.mirror.entries(AGREEMENT)].count("SUBMIT_ACCEPTED")
            assert admitted == 1, "nothing of the exercise stands in the real log"


async def test_a_bundle_is_asked_for_an_exercise_and_proves_it_by_its_own_origin(tmp_path):
    async with sharing(tmp_path) as world, world.node("XAR") as sender, world.node("XBO") as reader:
        cards = {one.party: one.card_file for one in (world.world.xar, world.world.xbo)}
        for kind in (None, StepKind.SUSPEND, StepKind.RESUME):
            if kind is not None:
                await world.treaty.take(kind, world.world.xbo, reason="Consultations." * (kind is StepKind.SUSPEND))
            if kind is not StepKind.SUSPEND:
                await sender.refresh()
                await sender.send(report("meant"), agreement=AGREEMENT)
                await sender.send(report("play", exercise=True), agreement=AGREEMENT)
                assert await received(reader, exercise=True) == ["play"]
        for node in (sender, reader):
            await catch_up(node.connection, node.mirror, (AGREEMENT,))
            outboxes = [world.access(node.identity.party).place.outbox]
            counts = []
            for exercise in (False, True):
                folder = tmp_path / f"{node.identity.party}-{exercise}"
                written = await write_bundle(
                    node.connection, node.mirror, AGREEMENT, cards, folder, outboxes=outboxes, exercise=exercise
                )
                counts.append((written.envelopes, written.receipts))
                done = Verification(folder, views=[node.identity.party])
                assert done.findings == []
                assert done.verdict == "PASS"
                assert any(is_exercise(one.origin) for one in done.logs) is exercise
                replayed = replay_bundle(folder, done.logs)
                assert replayed.findings == replayed.gaps == []
                assert replayed.counts["decisions different"] == 0
                assert replayed.counts["decisions identical"] == (4 if exercise else 2) - 2 * (node is reader)
            sent = node is sender
            assert counts == [(2 * sent, 2 * sent), (2 * sent + 2, 4 * sent)], "nothing real was handed over"
        playing = mirror_played(Texts(reader.agreement(AGREEMENT).texts.values()), reader.mirror, EXERCISE)
        replaying = LogReplay(Texts(reader.agreement(AGREEMENT).texts.values()), played=playing)
        entries = [one async for one in mirror_entries(reader.connection, reader.mirror, EXERCISE)]
        done = [one for one in map(replaying.take, entries) if one is not None]
        assert [one.verdict.name for each in done for one in each.told] == ["IDENTICAL"] * 2


def mixing(monkeypatch) -> None:
    """Make a broker that hands exercises to those who asked for real traffic, and the reverse."""
    honest = Ledger.traffic
    monkeypatch.setattr(Ledger, "traffic", lambda self, party, *, exercise: honest(self, party, exercise=not exercise))
    monkeypatch.setattr(Recipient, "exercise", property(lambda self: not is_exercise(self.consumer)))


@pytest.mark.parametrize("exercise", [True, False], ids=["exercise on a real stream", "real on an exercise's stream"])
async def test_a_broker_that_mixes_exercise_and_real_traffic_is_an_alarm_and_nothing_of_it_is_shown(
    tmp_path, monkeypatch, exercise
):
    async with sharing(tmp_path) as world, world.node("XAR") as sender, world.node("XBO") as reader:
        await sender.send(report("mixed up", exercise=exercise), agreement=AGREEMENT)
        with monkeypatch.context() as hostile:
            mixing(hostile)
            taking = asyncio.create_task(received(reader, exercise=not exercise))
            await until(lambda: reader.alarms() or taking.done())
            taking.cancel()
            assert await asyncio.gather(taking, return_exceptions=True) != [["mixed up"]]
        (alarm,) = reader.alarms()
        assert alarm.kind is AlarmKind.SEGMENT_REJECTED
        assert "came to a consumer of" in alarm.detail
        assert await received(reader, exercise=exercise) == ["mixed up"], "it was not acknowledged"


async def test_a_suspension_stops_an_exercise_at_its_sender_and_what_waits_is_held(tmp_path):
    async with sharing(tmp_path) as world, world.node("XAR") as sender, world.node("XBO") as reader:
        await sender.send(report("before", exercise=True), agreement=AGREEMENT)
        await world.treaty.take(StepKind.SUSPEND, world.world.xbo, reason="Consultations.")
        assert await received(reader, exercise=True) == []
        await sender.refresh()
        with pytest.raises(RefusedError, match="baseline/in-force"):
            await sender.send(report("after", exercise=True), agreement=AGREEMENT)
        await world.treaty.take(StepKind.RESUME, world.world.xbo)
        assert await received(reader, exercise=True) == [], "it waits for its originator's word"
        rows = [one async for one in sender.reports(EXERCISE)]
        assert [one.consumers[0].state for one in rows] == [ReportState.HELD]
        await sender.resolve_held([rows[0].ref], HeldAction.CONFIRM)
        assert await received(reader, exercise=True) == ["before"]
        assert reader.alarms() == sender.alarms() == ()


async def test_a_report_of_an_exercise_is_parked_and_replayed_apart(tmp_path):
    async with sharing(tmp_path) as world, world.node("XAR") as sender, world.node("XBO") as reader:
        await sender.send(report("parked", exercise=True), agreement=AGREEMENT)
        async for delivery in reader.receive(follow=False, purpose=PURPOSE, exercise=True):
            delivery.park("look at it")
        (row,) = [one async for one in reader.reports(EXERCISE, states=[ReportState.PARKED])]
        assert [(one.consumer, one.reason) for one in row.consumers] == [("default/exercise", "look at it")]
        assert [one async for one in reader.reports()] == [], "the list of real reports has none of it"
        await reader.resolve_parked([row.ref], ParkedAction.REPLAY)
        assert await received(reader, exercise=True) == ["parked"]


async def test_what_was_sent_as_an_exercise_is_taken_back_as_one(tmp_path):
    async with sharing(tmp_path) as world, world.node("XAR") as sender, world.node("XBO") as reader:
        sent = await sender.send(report("wrong", exercise=True), agreement=AGREEMENT)
        assert await received(reader, exercise=True) == ["wrong"]
        recall = await sender.recall(sent.report_id, reason="practised")
        assert recall.transport_class == 5, "the control class of exercises"
        assert recall.log_origin == sent.log_origin
        assert await received(reader, exercise=True) == ["practised"]
        await sender.refresh()
        holding = sender.holders(sent.report_id)
        assert (holding.agreement_id, holding.by) == (EXERCISE, (recall.report_id,))
        assert [one.standing for one in holding.holders] == ["recall acknowledged"]
        other = await sender.send(report("old", exercise=True), agreement=AGREEMENT)
        new = await sender.supersede(other.report_id, report("new"))
        assert new.transport_class == 9
        assert await received(reader, exercise=True) == ["new"]
        assert [one.kind for one in sender.mirror.entries(AGREEMENT)].count("RECALLED") == 0
        assert sender.alarms() == reader.alarms() == ()


async def test_a_real_report_is_taken_back_by_no_exercise(tmp_path):
    """Whoever seals a recall of a real report as one of an exercise takes nothing back: the exercise's log has no such report."""
    async with sharing(tmp_path) as world, world.node("XAR") as sender, world.node("XBO") as reader:
        sent = await sender.send(report("meant"), agreement=AGREEMENT)
        named = [("supersedes", sent.report_id, sent.leaf)]
        with pytest.raises(ComityError) as caught:
            await sender.send(report("play", kind="supersede", refers_to=named, exercise=True), agreement=AGREEMENT)
        assert caught.value.code is ErrorCode.REFERENCE_REFUSED
        assert await received(reader, exercise=False) == ["meant"]


async def test_what_is_real_goes_before_a_backlog_of_an_exercise(tmp_path):
    """Of what waits at a sender nothing of an exercise is sent before a real report, whatever its precedence."""
    async with sharing(tmp_path) as world, world.node("XAR", patience_seconds=0.1) as sender:
        await sender.send(report("first"), agreement=AGREEMENT)
        publishers = sender._sender._publishers
        for one in publishers.values():
            one._on.draining = True
        sending = [
            asyncio.create_task(sender.send(one, agreement=AGREEMENT))
            for one in (
                report("play 1", exercise=True),
                report("play 2", exercise=True, precedence=Precedence.PRIORITY),
                report("meant"),
            )
        ]
        await until(lambda: publishers[False].unanswered == 3)
        order = [one.segment.lane.transport_class for one in publishers[False]._queue]
        assert order == [4, 9, 8]
        assert publishers[True].unanswered == 0
        for one in publishers.values():
            one._on.draining = False
            one._changed.set()
        receipts = await asyncio.gather(*sending)
        assert [one.transport_class for one in receipts] == [9, 8, 4]
        assert receipts[2].admitted_at <= min(one.admitted_at for one in receipts[:2])


async def test_an_exercise_has_no_attachments_and_goes_under_no_emergency(tmp_path):
    async with sharing(tmp_path) as world, world.node("XAR") as sender:
        with pytest.raises(UsageError, match="real act"):
            await sender.send(report(exercise=True, emergency=bytes(48)), agreement=AGREEMENT)
        (tmp_path / "map.bin").write_bytes(b"x")
        attachment = attached(tmp_path / "map.bin", "SECRET//REL TO XAR, XBO")
        with pytest.raises(UsageError, match="attachments"):
            await sender.send(report("", attachment, exercise=True), agreement=AGREEMENT)


async def test_a_restored_broker_goes_on_with_both_logs_and_nothing_of_either_is_lost(tmp_path):
    async with sharing(tmp_path) as world, world.node("XAR") as sender, world.node("XBO") as reader:
        await sender.send(report("kept", exercise=True), agreement=AGREEMENT)
        assert await received(reader, exercise=True) == ["kept"]
        saved = save(world, tmp_path / "saved")
        await sender.send(report("lost", exercise=True), agreement=AGREEMENT)
        await sender.send(report("lost too"), agreement=AGREEMENT)
        for node in (sender, reader):
            await node.refresh()
    await restore(world, saved)
    async with brokered(world.world.data, world=world.world):
        await confirm(world)
        async with world.node("XAR") as sender, world.node("XBO") as reader:
            await sender.settle()
            assert await received(reader, exercise=True) == ["lost"]
            assert await received(reader, exercise=False) == ["lost too"]
            await sender.send(report("new", exercise=True), agreement=AGREEMENT)
            assert await received(reader, exercise=True) == ["new"]
            kinds = {one.kind for one in reader.alarms()}
            assert kinds == {AlarmKind.RESTORED}
            assert {one.agreement_id for one in reader.alarms()} >= {AGREEMENT, EXERCISE}


async def test_an_exercise_that_began_after_the_backup_begins_anew_and_is_sent_again(tmp_path):
    async with sharing(tmp_path) as world, world.node("XAR") as sender, world.node("XBO") as reader:
        await sender.send(report("kept"), agreement=AGREEMENT)
        saved = save(world, tmp_path / "saved")
        await sender.send(report("lost whole", exercise=True), agreement=AGREEMENT)
        assert await received(reader, exercise=True) == ["lost whole"]
        for node in (sender, reader):
            await node.refresh()
    await restore(world, saved)
    async with brokered(world.world.data, world=world.world):
        async with world.node("XBO") as reader:
            lost = reader.mirror.lost.kinds(EXERCISE)
            assert lost["SUBMIT_ACCEPTED"] == 1
            assert reader.mirror.exercise_seen(AGREEMENT).size == 0
            assert reader.mirror.faults == {}
        await confirm(world)
        async with world.node("XAR") as sender, world.node("XBO") as reader:
            await sender.send(report("meant"), agreement=AGREEMENT)
            await sender.settle()
            await sender.send(report("new", exercise=True), agreement=AGREEMENT)
            assert await received(reader, exercise=True) == ["new"], "what it acknowledged is not shown again"
            assert await received(reader, exercise=False) == ["kept", "meant"]
            for node in (sender, reader):
                await node.refresh()
                kinds = [one.kind for one in node.mirror.entries(EXERCISE)]
                assert kinds[:2] == ["LOG_OPENED", "EXERCISE_FOLLOWS"]
                assert kinds.count("SUBMIT_ACCEPTED") == 2, "the lost one was sent again"
                assert {one.kind for one in node.alarms()} == {AlarmKind.RESTORED}


async def test_however_the_two_come_one_after_the_other_each_consumer_has_what_it_would_have_had_alone(tmp_path):
    choose = random.Random(28)
    async with sharing(tmp_path) as world, world.node("XAR") as sender, world.node("XBO") as reader:
        sent, got = {False: [], True: []}, {False: [], True: []}
        for number in range(24):
            exercise = choose.random() < 0.5
            if choose.random() < 0.7:
                precedence = choose.choice([Precedence.ROUTINE, Precedence.PRIORITY])
                receipt = await sender.send(
                    report(str(number), exercise=exercise, precedence=precedence), agreement=AGREEMENT
                )
                sent[exercise].append((str(number), receipt))
            else:
                got[exercise] += await received(reader, exercise=exercise)
        for exercise in (False, True):
            got[exercise] += await received(reader, exercise=exercise)
            receipts = [receipt for _, receipt in sent[exercise]]
            # Numbers are dense in each, and of each lane every report came once, in its order.
            assert [one.agreement_sequence for one in receipts] == list(range(1, len(receipts) + 1))
            assert sorted(got[exercise]) == sorted(text for text, _ in sent[exercise])
            for lane in {one.transport_class for one in receipts}:
                of_lane = [text for text, one in sent[exercise] if one.transport_class == lane]
                numbers = [one.origin_sequence for one in receipts if one.transport_class == lane]
                assert numbers == list(range(1, len(numbers) + 1))
                assert [text for text in got[exercise] if text in of_lane] == of_lane
            await sender.refresh()
            logged = [
                entry.shared()["segment_id"]
                for entry in sender.mirror.entries(EXERCISE if exercise else AGREEMENT)
                if entry.kind == "SUBMIT_ACCEPTED"
            ]
            assert logged == [one.segment_id.hex() for one in receipts]
        assert sender.alarms() == reader.alarms() == ()
