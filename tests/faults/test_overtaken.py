"""Recalls and revocations that overtake a report at a named point (suspensions: test_processes.py): the log's order is what counts."""

import asyncio
import contextlib

import pytest

from builders_sdk import AGREEMENT, report, sharing
from comity.errors import ComityError
from comity.node.enrolment import publish_statement
from fault_broker import Holds, journal_of
from fault_points import Point, Triggers

PURPOSE = "counter-terrorism"
REASON = "the source was wrong"
DISPATCH = (Point.HANDING_OVER, Point.HANDED_OVER, Point.ANSWERING, Point.ANSWERED)


# What the log says of the report, and of the key, where the revocation overtook it at a point.
LOGGED = {
    Point.RECEIVED: ["KEY_REVOKED", "SUBMIT_REJECTED"],
    Point.AFTER_COMMIT: ["SUBMIT_ACCEPTED", "KEY_REVOKED"],
    Point.HANDING_OVER: ["SUBMIT_ACCEPTED", "KEY_REVOKED"],
    Point.HANDED_OVER: ["SUBMIT_ACCEPTED", "DELIVERED", "KEY_REVOKED"],
    # A signed acknowledgement is evidence, whenever it comes.
    Point.ANSWERING: ["SUBMIT_ACCEPTED", "DELIVERED", "KEY_REVOKED", "ACKNOWLEDGED"],
    Point.ANSWERED: ["SUBMIT_ACCEPTED", "DELIVERED", "ACKNOWLEDGED", "KEY_REVOKED"],
}


async def until(condition) -> None:
    """Let everything go on until a condition holds; fails when it never does."""
    for _ in range(12_000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("the condition never came to hold")


@contextlib.asynccontextmanager
async def held_up(path):
    """A broker whose units a test holds at a point; gives the holds and the world, with a second node of XAR."""
    holds = Holds()
    async with sharing(path, journal=journal_of(Triggers(path / "arm"), holds, "")) as world:
        await world.enrol(world.world.xar, "n2")
        yield holds, world


async def follow(node, seen: list[tuple]) -> None:
    """Receive, acknowledge, and take down (what it recalls, its text) of everything that comes."""
    async for delivery in node.receive(purpose=PURPOSE):
        seen.append((delivery.report.recalls, delivery.report.text))
        async with delivery:
            pass


async def warmed_up(world, sender, seen: list[tuple]) -> None:
    """Have one report go all the way, so that what is held next is of the next one."""
    await sender.send(report("one"), agreement=AGREEMENT)
    await until(lambda: seen)
    sessions = world.world.broker.dispatcher._sessions
    await until(lambda: not any(session.in_flight for session in sessions.values()))


@pytest.mark.parametrize("point", DISPATCH)
async def test_a_recall_that_overtakes_a_report_at_a_point_is_the_last_that_anybody_sees_of_it(tmp_path, point):
    seen: list[tuple] = []
    async with (
        held_up(tmp_path) as (holds, world),
        world.node("XAR") as sender,
        world.node("XAR/n2") as other,
        world.node("XBO") as reader,
    ):
        following = asyncio.create_task(follow(reader, seen))
        await warmed_up(world, sender, seen)
        holds.hold(point)
        sent = await sender.send(report("two"), agreement=AGREEMENT)
        await until(lambda: holds.waiting)
        await other.recall(sent.report_id, reason=REASON)
        holds.hold("")
        await until(lambda: (sent.report_id, REASON) in seen)
        await sender.send(report("three"), agreement=AGREEMENT)
        await until(lambda: (None, "three") in seen)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        assert [one for one in seen if one != (None, "two")] == [
            (None, "one"), (sent.report_id, REASON), (None, "three")
        ]  # fmt: skip
        assert (None, "two") not in seen[seen.index((sent.report_id, REASON)) :]
        assert seen.count((None, "two")) <= (point is not Point.HANDING_OVER)
        await sender.refresh()
        await reader.refresh()
        assert not (*sender.alarms(), *reader.alarms())
        (holder,) = sender.holders(sent.report_id).holders
        assert (holder.standing == "never sent") == (point is Point.HANDING_OVER)


@pytest.mark.parametrize("point", LOGGED)
async def test_a_node_that_is_revoked_while_a_report_is_at_a_point_is_handed_nothing_after_it(tmp_path, point):
    seen: list[tuple] = []
    async with (
        held_up(tmp_path) as (holds, world),
        world.node("XAR") as sender,
        world.node("XBO") as reader,
    ):
        following = asyncio.create_task(follow(reader, seen))
        await warmed_up(world, sender, seen)
        holds.hold(point)
        sending = asyncio.create_task(sender.send(report("two"), agreement=AGREEMENT))
        await until(lambda: holds.waiting)
        held = world.nodes["XBO"]
        async with world.world.connection(held) as connection:
            await publish_statement(connection, world.world.xbo.revocation(held.signer.fingerprint))
        holds.hold("")
        (ended,) = await asyncio.gather(following, return_exceptions=True)
        assert isinstance(ended, ComityError)
        await asyncio.gather(sending, return_exceptions=True)
        await sender.refresh()
        kinds = [one.kind for one in sender.mirror.entries(AGREEMENT)]
        assert kinds[kinds.index("ACKNOWLEDGED") + 1 :] == LOGGED[point]
        assert not sender.alarms()
