"""Recalls of what is no more as it was sent: expired, by a node whose keys were rotated since."""

from datetime import UTC, datetime, timedelta

import pytest

from builders_sdk import AGREEMENT, report, sharing
from comity.node.clock import wall_ms
from comity.node.enrolment import enrol
from fault_clock import HOUR_MS

REASON = "the source was wrong"


async def received(node) -> list[tuple]:
    """Receive everything that is due, acknowledge it, and give (what it recalls, its text)."""
    found = []
    async for delivery in node.receive(follow=False, purpose="counter-terrorism"):
        async with delivery as one:
            found.append((one.recalls, one.text))
    return found


@pytest.mark.parametrize("seen", ["read", "expired when its turn came", "never asked for"])
async def test_an_expired_report_is_recalled_and_nobody_is_alarmed(tmp_path, seen):
    """Its lane has told of it before, or tells of it and of its recall at once; the instruction comes in any case."""
    ahead = [0]

    def now_ms() -> int:
        return wall_ms() + ahead[0]

    async with (
        sharing(tmp_path) as world,
        world.node("XAR", now_ms=now_ms) as sender,
        world.node("XBO", now_ms=now_ms) as reader,
    ):
        world.world.clock.wall = now_ms
        soon = datetime.now(UTC) + timedelta(minutes=30)
        sent = await sender.send(report("two boats", expires_at=soon), agreement=AGREEMENT)
        kept = await sender.send(report("three boats"), agreement=AGREEMENT)
        if seen == "read":
            assert await received(reader) == [(None, "two boats"), (None, "three boats")]
        ahead[0] = HOUR_MS
        if seen == "expired when its turn came":
            assert await received(reader) == [(None, "three boats")]
        await sender.recall(sent.report_id, reason=REASON)
        still = [(None, "three boats")] if seen == "never asked for" else []
        assert await received(reader) == [(sent.report_id, REASON), *still]
        await sender.refresh()
        await reader.refresh()
        assert not (*sender.alarms(), *reader.alarms())
        (holder,) = sender.holders(sent.report_id).holders
        assert holder.outstanding == (seen == "read")
        assert holder.acknowledged is not None
        (other,) = sender.holders(kept.report_id).holders
        assert other.standing == "delivered"


@pytest.mark.parametrize("whose", ["XAR", "XBO"], ids=["the originator's", "the recipient's"])
@pytest.mark.parametrize("read", [True, False], ids=["read", "not read"])
async def test_a_report_is_recalled_after_keys_were_rotated(tmp_path, whose, read):
    async with sharing(tmp_path) as world:
        async with world.node("XAR") as sender, world.node("XBO") as reader:
            sent = await sender.send(report("two boats"), agreement=AGREEMENT)
            if read:
                assert await received(reader) == [(None, "two boats")]
        held = world.nodes[whose]
        async with world.world.connection(held) as connection:
            await enrol(connection, held.rotated(tls=False), held.ring)
        async with world.node("XAR") as sender, world.node("XBO") as reader:
            await sender.recall(sent.report_id, reason=REASON)
            assert await received(reader) == [(sent.report_id, REASON)]
            await sender.refresh()
            assert not (*sender.alarms(), *reader.alarms())
            (holder,) = sender.holders(sent.report_id).holders
            assert (holder.standing, holder.outstanding) == (
                ("recall acknowledged", True) if read else ("never sent", False)
            )
