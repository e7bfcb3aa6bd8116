"""An application that holds several reports at once, and one that was killed often: what ends, and when it is said to be all."""

import asyncio

from builders_sdk import AGREEMENT, report, sharing, until
from comity.errors import UnreachableError
from comity.node.reports import ReportState


async def test_receiving_does_not_end_before_reports_in_hand_are_acknowledged(tmp_path):
    async with sharing(tmp_path) as world, world.node("XAR") as sender, world.node("XBO") as reader:
        for text in ("one", "two", "three"):
            await sender.send(report(text), agreement=AGREEMENT)
        let_go = asyncio.Event()
        held = []

        async def hold(delivery):
            async with delivery as received:
                await let_go.wait()
                held.append(received.text)

        async with asyncio.TaskGroup() as tasks:
            deliveries = reader.receive(follow=False, purpose="counter-terrorism")
            for _ in range(3):
                tasks.create_task(hold(await anext(deliveries)))
            the_end = tasks.create_task(anext(deliveries, None))
            receiver = reader._consuming._receivers["default"]
            await until(lambda: receiver._caught_up and not any(receiver._frames))
            for _ in range(20):
                await asyncio.sleep(0)
            assert not the_end.done(), "the three are still in hand"
            let_go.set()
            assert await the_end is None
        assert held == ["one", "two", "three"]
        states = [one async for one in reader.reports(agreement=AGREEMENT)]
        assert {each.state for one in states for each in one.consumers} == {ReportState.DONE}


async def test_a_consumer_is_not_told_that_it_is_all_while_reports_wait_for_one_that_comes_alone(tmp_path):
    async with sharing(tmp_path) as world, world.node("XAR") as sender:
        texts = [f"report {number}" for number in range(4)]
        async for sent in sender.send_many([report(text) for text in texts], agreement=AGREEMENT):
            assert sent.accepted
        for _ in range(3):
            async with world.node("XBO") as reader:
                deliveries = reader.receive(purpose="counter-terrorism")
                await anext(deliveries)
                # The program ends with reports in hand, as a killed one does.
                await deliveries.aclose()
        async with world.node("XBO") as reader:
            found = []
            async for delivery in reader.receive(follow=False, purpose="counter-terrorism"):
                async with delivery as received:
                    found.append(received.text)
        assert found == texts


async def test_receiving_outlives_a_broker_that_is_away_just_when_the_mirror_must_be_refreshed(tmp_path):
    async with sharing(tmp_path) as world, world.node("XAR") as sender, world.node("XBO") as reader:
        refreshes = []
        fetch = reader.refresh

        async def away_at_first(*agreements):
            refreshes.append(agreements)
            if len(refreshes) < 3:
                raise UnreachableError("the broker is away")
            await fetch(*agreements)

        reader._consuming._refresh = away_at_first
        await sender.send(report("one"), agreement=AGREEMENT)
        await sender.refresh()
        # The second was sealed by somebody who has seen more of the log than the reader has.
        await sender.send(report("two"), agreement=AGREEMENT)
        found = []
        async for delivery in reader.receive(purpose="counter-terrorism"):
            async with delivery as received:
                found.append(received.text)
            if len(found) == 2:
                break
        assert found == ["one", "two"]
        assert len(refreshes) >= 3
        assert not reader.alarms()
