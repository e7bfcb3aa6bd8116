"""Two nodes whose clocks differ, and one whose clock is set back: what has a receipt is still shown (design 04, "clock steps")."""

import asyncio
import contextlib

import pytest

from builders_sdk import AGREEMENT, report, sharing
from comity.node.clock import wall_ms
from comity.node.reading import Reading


async def texts(node) -> list[str]:
    """Receive everything that is due, acknowledge it, and give the texts."""
    found = []
    async for delivery in node.receive(follow=False, purpose="counter-terrorism"):
        async with delivery as received:
            found.append(received.text)
    return found


@pytest.mark.parametrize("behind_ms", [50, 2_000, 3_600_000], ids=["50 ms", "2 s", "an hour"])
async def test_a_receiver_whose_clock_is_behind_is_shown_what_the_log_has_admitted(tmp_path, behind_ms):
    async with (
        sharing(tmp_path) as world,
        world.node("XAR") as sender,
        world.node("XBO", now_ms=lambda: wall_ms() - behind_ms) as reader,
    ):
        await sender.send(report("two boats"), agreement=AGREEMENT)
        assert await texts(reader) == ["two boats"]


@pytest.mark.parametrize("ahead_ms", [50, 2_000, 100_000], ids=["50 ms", "2 s", "100 s"])
async def test_what_a_sender_whose_clock_is_ahead_sends_waits_for_no_clock(tmp_path, ahead_ms):
    """As far ahead as admission lets it be: it was made before it was admitted, whatever its sender says."""
    async with (
        sharing(tmp_path) as world,
        world.node("XAR", now_ms=lambda: wall_ms() + ahead_ms) as sender,
        world.node("XBO") as reader,
    ):
        await sender.send(report("two boats"), agreement=AGREEMENT)
        assert await texts(reader) == ["two boats"]


async def test_a_node_whose_clock_is_set_back_by_an_hour_goes_on_sending_and_receiving(tmp_path):
    back = [0]

    def now_ms() -> int:
        return wall_ms() - back[0]

    async with (
        # Older than the step: before the agreement was in force nobody may do anything.
        sharing(tmp_path) as world,
        world.node("XAR") as sender,
        world.node("XBO", now_ms=now_ms) as reader,
    ):
        await reader.refresh()
        back[0] = 3_600_000
        assert reader.mirror.key_log_age_ms == 0
        await sender.send(report("two boats"), agreement=AGREEMENT)
        assert await texts(reader) == ["two boats"]


async def test_a_receiver_whose_clock_is_set_forward_looks_at_the_key_log_before_it_refuses_for_its_age(tmp_path):
    ahead = [0]
    async with (
        sharing(tmp_path) as world,
        world.node("XAR") as sender,
        world.node("XBO", now_ms=lambda: wall_ms() + ahead[0]) as reader,
    ):
        deliveries = reader.receive(purpose="counter-terrorism")
        async with contextlib.aclosing(deliveries):
            for text in ("one", "two", "three"):
                await sender.send(report(text), agreement=AGREEMENT)
                async with await asyncio.wait_for(anext(deliveries), 30) as received:
                    assert received.text == text
                ahead[0] += 3_700_000


async def test_a_sender_whose_clock_is_set_forward_looks_at_the_key_log_before_it_refuses_for_its_age(tmp_path):
    ahead = [0]
    async with (
        sharing(tmp_path) as world,
        world.node("XAR", now_ms=lambda: wall_ms() + ahead[0]) as sender,
        world.node("XBO") as reader,
    ):
        for text in ("one", "two"):
            ahead[0] += 3_700_000
            world.world.clock.wall = lambda: wall_ms() + ahead[0]
            await sender.send(report(text), agreement=AGREEMENT)
        ahead[0] += 3_700_000
        (sent,) = [one async for one in sender.send_many([report("three")], agreement=AGREEMENT)]
        assert sent.refusal is None
        assert await texts(reader) == ["one", "two", "three"]


async def test_a_clock_that_is_set_forward_while_a_report_is_judged_has_none_refused(tmp_path, monkeypatch):
    """The view of the key log was young when it was looked at last, and is old by the time that decides."""
    ahead, judged = [0], Reading.open

    async def set_forward(self, *words):
        ahead[0] = 3_700_000
        return await judged(self, *words)

    async with (
        sharing(tmp_path) as world,
        world.node("XAR") as sender,
        world.node("XBO", now_ms=lambda: wall_ms() + ahead[0]) as reader,
    ):
        await sender.send(report("two boats"), agreement=AGREEMENT)
        monkeypatch.setattr(Reading, "open", set_forward)
        assert await texts(reader) == ["two boats"]
