"""What is at hand is decided by what is known when it is shown, whichever process of the node learned of it."""

from __future__ import annotations

import contextlib

from builders_sdk import AGREEMENT, report, sharing
from comity_policy.lifecycle import Phase
from comity_policy.steps import StepKind


async def test_a_suspension_that_another_process_fetched_stops_what_is_at_hand(tmp_path):
    async with sharing(tmp_path) as world, world.node("XAR") as sender, world.node("XBO") as reader:
        both = [report("one"), report("two")]
        sent = [one.receipt async for one in sender.send_many(both, agreement=AGREEMENT)]
        assert sent[0].segment_id == sent[1].segment_id
        seen = []
        async with contextlib.aclosing(reader.receive(follow=False, purpose="counter-terrorism")) as deliveries:
            async for delivery in deliveries:
                async with delivery as one:
                    seen.append(one.text)
                await world.treaty.take(StepKind.SUSPEND, world.world.xar, reason="consultations")
                async with world.node("XBO") as other:
                    await other.refresh()
                await reader.refresh()
                now = world.world.clock.now_ms()
                assert reader.mirror.fold(AGREEMENT).state(now).phase is Phase.SUSPENDED
        assert seen == ["one"]
