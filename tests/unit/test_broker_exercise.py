"""Exercise traffic at a real broker: a log, counters and consumers of its own, under the very state of its agreement."""

from __future__ import annotations

import asyncio
import contextlib
import json
from types import SimpleNamespace

import pytest

from builders_dispatch_segments import caller_of
from builders_every_kind import clause_text
from builders_life import Living, LivingWorld, living
from builders_restored import restore, save
from comity.envelope.receipts import decode_receipt, decode_signed_receipt
from comity.errors import ComityError, ErrorCode, UnreachableError
from comity.identity.names import exercise_of
from comity.node import operations
from comity_broker.counts import class_name
from comity_broker.dispatch.dispatcher import Opening
from comity_broker.dispatch.frames import CaughtUp, Delivered
from comity_broker.exercising import Exercises
from comity_broker.metrics import exposition
from comity_policy.facts import Precedence
from comity_policy.steps import StepKind

REAL, EXERCISE = "XAR-XBO-1", "XAR-XBO-1/exercise"


@contextlib.asynccontextmanager
async def at_play(path, *, quota: str = "", before: LivingWorld | None = None):
    """Two nations under an agreement in force; gives the world and the agreement."""
    async with living(path, before=before) as world:
        if before is not None:
            yield world, None
            return
        yield world, await world.in_force(world.text() + quota.encode())


def reader_of(world: LivingWorld):
    return world.base.broker._storage.reader


async def kinds(world: LivingWorld, name: str) -> list[str]:
    return [one.kind for one in await reader_of(world).entries(name, 0, 1024)]


async def said(world: LivingWorld, kind: str, name: str = EXERCISE) -> list[dict]:
    """Give what the entries of a kind of a log say."""
    found = [one.log_index for one in await reader_of(world).entries(name, 0, 1024) if one.kind == kind]
    return [json.loads(one.body) for one in await reader_of(world).bodies(name, found, ["shared"])]


async def refused(waiting) -> ComityError:
    with pytest.raises(ComityError) as caught:
        await waiting
    return caught.value


async def delivered(world: LivingWorld, party: str, *, exercise: bool) -> list[int]:
    """Give the classes of what one consumer is handed until it has caught up."""
    dispatcher = world.base.broker.dispatcher
    session = await dispatcher.open(caller_of(world.nodes[party]), Opening(exercise=exercise, reports=64, size=1 << 20))
    classes: list[int] = []
    try:
        while not isinstance(frame := await session.next_frame(), CaughtUp):
            session.written()
            if isinstance(frame, Delivered):
                classes.append(frame.segment[4 + 2 + len(REAL) + 16])
                if len(classes) == 2:
                    return classes
        return classes
    finally:
        dispatcher.release(session)


async def test_an_exercise_has_a_log_of_its_own_and_leaves_nothing_in_the_real_one(tmp_path):
    async with at_play(tmp_path) as (world, treaty):
        before = await reader_of(world).head(REAL)
        answer = await world.publish("XAR", treaty, exercise=True)
        assert not answer.refusals
        receipt = decode_receipt(decode_signed_receipt(answer.signed_receipt).record)
        assert receipt.origin == world.base.broker.logs.origin(REAL) + "/exercise"
        assert (receipt.agreement_id, receipt.log_index, receipt.first_agreement_sequence) == (REAL, 2, 1)
        assert await reader_of(world).head(REAL) == before
        assert await kinds(world, EXERCISE) == ["LOG_OPENED", "EXERCISE_FOLLOWS", "SUBMIT_ACCEPTED"]
        (opened,) = await said(world, "LOG_OPENED")
        assert (opened["origin"], opened["agreement"]) == (receipt.origin, REAL)
        assert opened["log_vkeys"] == list(world.base.broker.logs.vkeys(EXERCISE))
        (followed,) = await said(world, "EXERCISE_FOLLOWS")
        assert followed["agreement_log_index"] == treaty.standing.steps[-1].log_index
        assert followed["agreement_origin"] == treaty.standing.origin
        assert not (await world.publish("XAR", treaty)).refusals
        assert (await kinds(world, EXERCISE))[2:] == ["SUBMIT_ACCEPTED"], "nor the reverse"
        note, size = await world.base.broker.logs.checkpoint(EXERCISE, 3)
        assert (note.decode().splitlines()[0], size) == (receipt.origin, 3)


async def test_a_suspension_of_the_agreement_stops_its_exercise_and_a_resume_lets_it_go_on(tmp_path):
    async with at_play(tmp_path) as (world, treaty):
        await world.publish("XAR", treaty, exercise=True)
        at = await treaty.take(StepKind.SUSPEND, "XBO", reason="Consultations.")
        answer = await world.publish("XAR", treaty, exercise=True)
        assert "baseline/in-force" in str(answer.refusals)
        assert (await said(world, "EXERCISE_FOLLOWS"))[-1]["agreement_log_index"] == at
        (hold,) = await reader_of(world).holds(EXERCISE)
        assert (hold.clauses, hold.item_next) == ("", 2), "what was not handed over waits for a word"
        await treaty.take(StepKind.RESUME, "XBO")
        assert not (await world.publish("XAR", treaty, exercise=True)).refusals


async def test_what_suspends_clauses_is_held_against_in_the_exercise_too(tmp_path):
    async with at_play(tmp_path) as (world, treaty):
        await world.publish("XAR", treaty, exercise=True)
        await treaty.take(StepKind.SUSPEND, "XBO", clauses=("4",), reason="Under review.")
        assert [one.clauses for one in await reader_of(world).holds(EXERCISE)] == ["4"]
        assert "4" in str((await world.publish("XAR", treaty, exercise=True)).refusals)


async def test_nothing_is_admitted_while_the_exercises_log_does_not_follow_yet(tmp_path, monkeypatch):
    """Between a step's commit and the entry that follows it nothing of the exercise is decided: its log could not say by what."""
    async with at_play(tmp_path) as (world, treaty):
        await world.publish("XAR", treaty, exercise=True)
        agreements = world.base.broker.agreements

        async def late(_: Exercises, __: str) -> None:
            return

        with monkeypatch.context() as patched:
            patched.setattr(Exercises, "follow", late)
            await treaty.take(StepKind.SUSPEND, "XBO", reason="Consultations.")
            error = await refused(world.publish("XAR", treaty, exercise=True))
            assert (type(error), error.code) == (UnreachableError, ErrorCode.STATEMENTS_BEHIND)
            assert error.retry_after_seconds
        await agreements._exercises.follow(REAL)
        assert "baseline/in-force" in str((await world.publish("XAR", treaty, exercise=True)).refusals)


async def test_a_commit_that_was_decided_before_the_agreement_changed_is_decided_again(tmp_path, monkeypatch):
    """The agreement's own epoch is compared in the very commit: no exercise slips through behind a suspension."""
    async with at_play(tmp_path) as (world, treaty):
        await world.publish("XAR", treaty, exercise=True)
        broker, submitted = world.base.broker, world.base.broker.publishing._journal.submit
        units = []

        async def between(unit):
            units.append(unit)
            if len(units) == 1:
                monkeypatch.setattr(Exercises, "follow", lambda *_: _nothing())
                await treaty.take(StepKind.SUSPEND, "XBO", reason="Consultations.")
            return await submitted(unit)

        monkeypatch.setattr(broker.publishing, "_journal", SimpleNamespace(submit=between))
        assert (await refused(world.publish("XAR", treaty, exercise=True))).code is ErrorCode.STATEMENTS_BEHIND
        assert [one.beside[0] for one in units] == [REAL]
        assert (await kinds(world, EXERCISE)).count("SUBMIT_ACCEPTED") == 1


async def _nothing() -> None:
    return


async def test_an_exercise_that_begins_while_its_agreement_changes_is_begun_again(tmp_path, monkeypatch):
    """What changed is looked at anew, as for any segment: a sender would give up a lane that is refused without a time to come again."""
    async with at_play(tmp_path) as (world, treaty):
        exercises = world.base.broker.agreements._exercises
        submitted, units = exercises.journal.submit, []

        async def between(unit):
            units.append(unit)
            if len(units) == 1:
                monkeypatch.setattr(Exercises, "follow", lambda *_: _nothing())
                await treaty.take(StepKind.SUSPEND, "XBO", reason="Consultations.")
                await treaty.take(StepKind.RESUME, "XBO")
            return await submitted(unit)

        exercises.journal = SimpleNamespace(submit=between)
        answer = await world.publish("XAR", treaty, exercise=True)
        assert (len(units), list(answer.refusals)) == (2, [])
        assert await kinds(world, EXERCISE) == ["LOG_OPENED", "EXERCISE_FOLLOWS", "SUBMIT_ACCEPTED"]
        (followed,) = await said(world, "EXERCISE_FOLLOWS")
        assert followed["agreement_log_index"] == treaty.standing.steps[-1].log_index


async def test_an_exercise_is_begun_to_its_end_whoever_goes_away_meanwhile(tmp_path):
    """A log that was made and that nobody here knows of would refuse every report of the exercise until the next start."""
    async with at_play(tmp_path) as (world, treaty):
        agreements = world.base.broker.agreements
        submitted, asked = agreements._exercises.journal.submit, asyncio.Event()

        async def slow(unit):
            asked.set()
            await asyncio.sleep(0)
            return await submitted(unit)

        agreements._exercises.journal = SimpleNamespace(submit=slow)
        gone = asyncio.ensure_future(agreements.exercise(treaty.standing))
        await asked.wait()
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.wait([gone])
        assert gone.cancelled()
        assert not (await world.publish("XAR", treaty, exercise=True)).refusals
        assert await kinds(world, EXERCISE) == ["LOG_OPENED", "EXERCISE_FOLLOWS", "SUBMIT_ACCEPTED"]


async def test_a_quota_is_counted_apart(tmp_path):
    fields = 'from = "XAR"\nto = "XBO"\nwindow = "week"\nreports = 1\nbytes = 1000000'
    async with at_play(tmp_path, quota=clause_text("25", "quota", fields)) as (world, treaty):
        assert not (await world.publish("XAR", treaty, exercise=True)).refusals
        assert "25" in str((await world.publish("XAR", treaty, exercise=True)).refusals), "the exercise's is used up"
        assert not (await world.publish("XAR", treaty)).refusals, "an exercise never uses up the real one"
        assert "25" in str((await world.publish("XAR", treaty)).refusals)


async def test_a_consumer_is_handed_one_or_the_other_and_never_both(tmp_path):
    async with at_play(tmp_path) as (world, treaty):
        await world.publish("XAR", treaty, exercise=True, precedence=Precedence.PRIORITY)
        await world.publish("XAR", treaty, precedence=Precedence.PRIORITY)
        assert await delivered(world, "XBO", exercise=False) == [Precedence.PRIORITY]
        assert await delivered(world, "XBO", exercise=True) == [5 + Precedence.PRIORITY]
        rows = {one.consumer for one in await reader_of(world).consumers()}
        assert rows == {"default", "default/exercise"}
        assert (await kinds(world, EXERCISE))[-1] == "DELIVERED"
        floors = {name: len(await reader_of(world).floors(name)) for name in (REAL, EXERCISE)}
        assert floors == {REAL: 1, EXERCISE: 1}


async def test_an_operator_sees_an_exercise_apart_in_status_and_metrics(tmp_path):
    async with at_play(tmp_path) as (world, treaty):
        await world.publish("XAR", treaty, exercise=True, precedence=Precedence.PRIORITY)
        await world.publish("XAR", treaty)
        assert await delivered(world, "XBO", exercise=True) == [8]
        picture = await world.base.broker.survey.picture()
        assert {one.agreement_id: one.reports for one in picture.agreements} == {REAL: 1, EXERCISE: 1}
        (consumer,) = picture.consumers
        assert (consumer.consumer, consumer.by_class) == ("default/exercise", {8: 1})
        counted = [one for one in exposition(picture).splitlines() if one.startswith("comity_admitted_reports_total{")]
        assert len(counted) == 2
        for name, kind in ((EXERCISE, "exercise-priority"), (REAL, "routine")):
            (line,) = (one for one in counted if f'agreement="{name}"' in one)
            assert f'class="{kind}"' in line
            assert line.endswith(" 1.0")
        assert [class_name(one) for one in (0, 4, 5, 9, 10)] == [
            "control",
            "routine",
            "exercise-control",
            "exercise-routine",
            "10",
        ]
        assert [operations.class_name(one) for one in range(11)] == [class_name(one) for one in range(11)]


async def test_a_report_of_an_exercise_names_no_step_may_be_taken_under_its_log(tmp_path):
    async with at_play(tmp_path) as (world, treaty):
        await world.publish("XAR", treaty, exercise=True)
        under = Living(world, EXERCISE, treaty.text, treaty.head, treaty.heads)
        step = under.statement(StepKind.SUSPEND, "XBO", reason="Not this one.", agreement_id=REAL)
        assert (await refused(under.submit(step))).code is ErrorCode.AGREEMENT_UNKNOWN
        assert await kinds(world, EXERCISE) == ["LOG_OPENED", "EXERCISE_FOLLOWS", "SUBMIT_ACCEPTED"]


async def test_a_broker_that_starts_again_or_was_restored_goes_on_with_both_logs(tmp_path):
    async with at_play(tmp_path) as (world, treaty):
        await world.publish("XAR", treaty, exercise=True)
        size = len(await kinds(world, EXERCISE))
    async with at_play(tmp_path, before=world) as (world, _):
        treaty.world = world
        await world.publish("XAR", treaty, exercise=True)
        assert (await kinds(world, EXERCISE))[size:] == ["SUBMIT_ACCEPTED"]
        shared = SimpleNamespace(world=world.base)
        saved = save(shared, tmp_path / "saved")
    said_ = {one.shard: one.said for one in await restore(shared, saved)}
    assert said_[EXERCISE].origin.endswith("/exercise")
    async with at_play(tmp_path, before=world) as (world, _):
        treaty.world = world
        assert (await refused(world.publish("XAR", treaty, exercise=True))).code is ErrorCode.LOG_FROZEN
        for party in world.codes:
            await treaty.take(StepKind.LOG_CONFIRM, party, log=await world.base.broker.agreements.terms(REAL))
        assert not (await world.publish("XAR", treaty, exercise=True)).refusals, "confirmed for both"
        (followed,) = (await said(world, "EXERCISE_FOLLOWS"))[-1:]
        assert followed["agreement_origin"] == world.base.broker.logs.origin(REAL)
        assert await delivered(world, "XBO", exercise=True) == [9, 9]


async def test_a_frozen_exercise_stops_alone_and_a_frozen_agreement_stops_both(tmp_path):
    async with at_play(tmp_path) as (world, treaty):
        await world.publish("XAR", treaty, exercise=True)
        await world.base.broker.agreements.freeze(exercise_of(REAL), "compared")
        assert (await refused(world.publish("XAR", treaty, exercise=True))).code is ErrorCode.LOG_FROZEN
        assert not (await world.publish("XAR", treaty)).refusals
    async with at_play(tmp_path / "other") as (world, treaty):
        await world.publish("XAR", treaty, exercise=True)
        await world.base.broker.agreements.freeze(REAL, "compared")
        assert (await refused(world.publish("XAR", treaty, exercise=True))).code is ErrorCode.LOG_FROZEN
