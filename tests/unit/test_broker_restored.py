"""A broker that was restored and nodes that stay: nothing is lost, nothing is shown twice, and nothing goes on unconfirmed."""

import asyncio
import contextlib
import shutil

import pytest

from builders_broker import brokered
from builders_restored import confirm, restore, save
from builders_sdk import AGREEMENT, Shared, report, sharing, until
from comity.errors import ComityError, ErrorCode
from comity.node.alarms import AlarmKind
from comity.node.outbox import Outbox
from comity_broker.presented import Presented
from comity_broker.settings import Settings
from comity_policy.facts import Precedence
from comity_policy.steps import StepKind

PURPOSE = "counter-terrorism"


@contextlib.asynccontextmanager
async def again(shared: Shared):
    """Start the broker again over its data, on the port it had."""
    port = shared.world.broker.address.rpartition(":")[2]
    shared.world.settings = Settings(listen=f"127.0.0.1:{port}", drain=2.0)
    async with brokered(shared.world.data, world=shared.world):
        yield shared


async def read(node, got):
    async for delivery in node.receive(purpose=PURPOSE):
        async with delivery as one:
            got.append(one.text)


async def all_of(node):
    found = []
    async for delivery in node.receive(follow=False, purpose=PURPOSE):
        async with delivery as one:
            found.append(one.text)
    return found


async def shared_and_stopped(path):
    async with sharing(path) as shared:
        return shared


async def test_nodes_that_stay_go_on_after_a_restore_and_lose_nothing(tmp_path):
    shared = await shared_and_stopped(tmp_path)
    async with contextlib.AsyncExitStack() as stack:
        got = []
        async with again(shared):
            sender = await stack.enter_async_context(shared.node("XAR"))
            reader = await stack.enter_async_context(shared.node("XBO"))
            reading = asyncio.create_task(read(reader, got))
            await sender.send(report("saved"), agreement=AGREEMENT)
            await until(lambda: got == ["saved"])
            saved = save(shared, tmp_path / "saved")
            for text, precedence in (("lost", Precedence.ROUTINE), ("urgent and lost", Precedence.PRIORITY)):
                await sender.send(report(text, precedence=precedence), agreement=AGREEMENT)
            await until(lambda: len(got) == 3)
        await restore(shared, saved)
        late = asyncio.create_task(sender.send(report("after"), agreement=AGREEMENT))
        async with again(shared):
            await confirm(shared)
            receipt = await late
            assert receipt.origin_sequence == 3, "the lane went on behind what was lost"
            await until(lambda: len(got) == 4)
            assert sorted(got) == ["after", "lost", "saved", "urgent and lost"], "each once"
            await sender.refresh()
            await reader.refresh()
            kinds = {one.kind for node in (sender, reader) for one in node.alarms()}
            assert kinds == {AlarmKind.RESTORED}
            lanes = await shared.world.broker.logs._reader.lanes(AGREEMENT)
            assert {(one.key.transport_class, one.last_origin_sequence) for one in lanes} == {(4, 3), (3, 1)}
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


async def test_nothing_goes_on_before_both_parties_have_confirmed(tmp_path):
    async with sharing(tmp_path) as shared, shared.node("XAR") as sender:
        await sender.send(report("waits for its reader"), agreement=AGREEMENT)
        saved = save(shared, tmp_path / "saved")
    await restore(shared, saved)
    async with again(shared), shared.node("XAR", patience_seconds=0.0) as sender, shared.node("XBO") as reader:
        standing = shared.world.broker.ledger.require(AGREEMENT)
        assert "not been confirmed by XAR, XBO" in standing.stopped
        (alarm,) = (await shared.world.broker.survey.picture()).alarms
        assert (alarm.kind, alarm.what_to_do.endswith(f"confirm-log {AGREEMENT}")) == ("FROZEN", True)
        assert await all_of(reader) == []
        with pytest.raises(ComityError, match="confirm"):
            await sender.send(report("held back"), agreement=AGREEMENT)
        with pytest.raises(ComityError) as caught:
            await shared.treaty.take(StepKind.SUSPEND, shared.world.xar, clauses=(), reason="now")
        assert caught.value.code is ErrorCode.LOG_FROZEN
        await confirm(shared, "XAR")
        assert standing.stopped.endswith("confirmed by XBO")
        await confirm(shared, "XBO")
        assert standing.stopped == ""
        await sender.settle()
        assert await all_of(reader) == ["waits for its reader", "held back"]


async def test_a_lane_goes_on_over_numbers_that_no_outbox_has_any_more(tmp_path):
    async with sharing(tmp_path) as shared, shared.node("XAR") as sender:
        await sender.send(report("saved"), agreement=AGREEMENT)
        saved = save(shared, tmp_path / "saved")
        await sender.send(report("lost, and expired meanwhile"), agreement=AGREEMENT)
        await sender.send(report("lost"), agreement=AGREEMENT)
    outbox = await Outbox.open(shared.access("XAR").place.outbox)
    with contextlib.closing(outbox):
        outbox._db.execute("DELETE FROM segment WHERE first = 2")
    await restore(shared, saved)
    async with again(shared), shared.node("XAR") as sender, shared.node("XBO") as reader:
        await confirm(shared)
        await sender.refresh()
        await sender.settle()
        assert await all_of(reader) == ["saved", "lost"]
        receipt = await sender.send(report("after"), agreement=AGREEMENT)
        assert receipt.origin_sequence == 4
        (lane,) = await shared.world.broker.logs._reader.lanes(AGREEMENT)
        assert (lane.last_origin_sequence, lane.restored) == (4, 0), "the next gap is one again"


async def test_a_broker_is_restored_twice(tmp_path):
    async with sharing(tmp_path) as shared, shared.node("XAR") as sender:
        await sender.send(report("one"), agreement=AGREEMENT)
        saved = save(shared, tmp_path / "saved")
        await sender.send(report("two"), agreement=AGREEMENT)
    for number in (1, 2):
        await restore(shared, saved)
        async with again(shared), shared.node("XAR") as sender:
            await confirm(shared)
            await sender.refresh()
            await sender.settle()
            saved = save(shared, tmp_path / f"saved-{number}")
            await sender.send(report(f"after {number}"), agreement=AGREEMENT)
    async with again(shared), shared.node("XBO") as reader:
        assert await all_of(reader) == ["one", "two", "after 1", "after 2"]
        assert not reader.alarms(), "its mirror was begun after both"


async def test_a_broker_that_froze_by_itself_keeps_what_its_nodes_show_for_the_restore(tmp_path):
    async with sharing(tmp_path) as shared, shared.node("XAR") as sender, shared.node("XBO") as reader:
        await sender.send(report("one"), agreement=AGREEMENT)
        saved = save(shared, tmp_path / "saved")
        await sender.send(report("two"), agreement=AGREEMENT)
        await reader.refresh()
        held = reader.mirror.pin(AGREEMENT)
    for path in shared.world.data.glob("store.sqlite*"):
        path.unlink()
    shutil.copy(saved / "store.sqlite", shared.world.data / "store.sqlite")
    async with again(shared), shared.node("XBO"):
        assert "do not continue" in shared.world.broker.ledger.require(AGREEMENT).frozen_reason
    assert (shared.world.data / "presented" / f"{AGREEMENT}.note").read_bytes() == held.note
    shown = Presented.of([shared.world.data]).notes()
    logs = {one.shard: one.said for one in await restore(shared, save(shared, tmp_path / "frozen"), shown)}
    assert logs[AGREEMENT].presented == (held.note,)
    async with again(shared), shared.node("XAR") as sender, shared.node("XBO") as reader:
        await confirm(shared)
        await sender.refresh()
        await sender.settle()
        assert await all_of(reader) == ["one", "two"]
