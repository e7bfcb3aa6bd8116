"""Recalls between two nations over a real broker: what was not handed over never is, what was is shown no more, and the log says so."""

from uuid import uuid4

import pytest

from builders_sdk import AGREEMENT, report, sharing
from comity.errors import ConflictError, ErrorCode, MalformedError, NotFoundError
from comity.node.reports import ReportState
from comity.portion import Portion


async def received(node, **options):
    """Receive everything that is due, acknowledge it, and give (what it recalls, its text)."""
    found = []
    async for delivery in node.receive(follow=False, purpose="counter-terrorism", **options):
        async with delivery as one:
            found.append((one.recalls, one.text))
    return found


async def test_a_report_that_was_recalled_before_it_was_handed_over_is_never_seen(tmp_path):
    async with sharing(tmp_path) as world, world.node("XAR") as sender, world.node("XBO") as reader:
        sent = await sender.send(report("two boats"), agreement=AGREEMENT)
        kept = await sender.send(report("three boats"), agreement=AGREEMENT)
        await sender.recall(sent.report_id, reason="the source was wrong")
        assert await received(reader) == [(sent.report_id, "the source was wrong"), (None, "three boats")]
        await reader.refresh()
        await sender.refresh()
        assert not (*sender.alarms(), *reader.alarms())
        (holder,) = sender.holders(sent.report_id).holders
        assert (holder.standing, holder.outstanding, holder.sent) == ("never sent", False, None)
        assert holder.acknowledged is not None
        (other,) = sender.holders(kept.report_id).holders
        assert (other.standing, other.taken_back) == ("delivered", None)
        rows = [row async for row in sender.reports(AGREEMENT, states=[ReportState.RECALLED])]
        assert [row.report_id for row in rows] == [sent.report_id]


async def test_a_report_that_was_handed_over_is_outstanding_until_it_is_certified_gone(tmp_path):
    async with sharing(tmp_path) as world, world.node("XAR") as sender, world.node("XBO") as reader:
        sent = await sender.send(report("two boats"), agreement=AGREEMENT)
        assert await received(reader) == [(None, "two boats")]
        recall = await sender.recall(sent.report_id)
        await sender.refresh()
        (holder,) = sender.holders(sent.report_id).holders
        assert (holder.standing, holder.told) == ("outstanding", None)
        assert await received(reader) == [(sent.report_id, "Recalled by its originator.")]
        await sender.refresh()
        (holder,) = sender.holders(sent.report_id).outstanding
        assert holder.standing == "recall acknowledged"
        assert sent.log_index < holder.sent.log_index < holder.delivered.log_index < recall.log_index
        assert recall.log_index < holder.taken_back.log_index < holder.told.log_index < holder.acknowledged.log_index
        assert not (*sender.alarms(), *reader.alarms())


async def test_a_report_that_comes_after_its_recall_is_not_shown(tmp_path):
    async with sharing(tmp_path) as world, world.node("XAR") as sender, world.node("XBO") as reader:
        sent = await sender.send(report("two boats"), agreement=AGREEMENT)
        async for delivery in reader.receive(purpose="counter-terrorism"):
            if delivery.report.recalls is None:
                # Not answered, so that it comes again: after its recall, to whoever restarts.
                await sender.recall(sent.report_id)
                continue
            async with delivery:
                pass
            break
        assert await received(reader) == []
        assert await received(reader, consumer="second") == [(sent.report_id, "Recalled by its originator.")]


async def test_what_may_not_be_recalled_is_refused_by_name(tmp_path):
    async with sharing(tmp_path) as world, world.node("XAR") as sender, world.node("XBO") as reader:
        sent = await sender.send(report("two boats"), agreement=AGREEMENT)
        recall = await sender.recall(sent.report_id)
        for node, named, kind, code in (
            (sender, sent.report_id, ConflictError, ErrorCode.REPORT_RECALLED),
            (sender, recall.report_id, MalformedError, ErrorCode.REFERENCE_REFUSED),
            (sender, uuid4(), NotFoundError, ErrorCode.REPORT_UNKNOWN),
            (reader, sent.report_id, NotFoundError, ErrorCode.REPORT_UNKNOWN),
        ):
            with pytest.raises(kind) as caught:
                await node.recall(named)
            assert caught.value.code is code


async def test_a_recall_that_is_not_formed_as_one_is_refused_by_the_broker(tmp_path):
    async with sharing(tmp_path) as world, world.node("XAR") as sender, world.node("XBO") as reader:
        lowest = reader.agreement(AGREEMENT).document.levels_of("XBO")[0]
        sent = await sender.send(report("two boats"), agreement=AGREEMENT)
        other = await sender.send(report("three boats"), agreement=AGREEMENT)
        recalls = ("recalls", sent.report_id, sent.leaf)
        two = [Portion.of_text(text, "SECRET//REL TO XAR, XBO") for text in ("one", "two")]
        hostile = (
            (sender, report("names nothing", kind="recall")),
            (sender, report("no recall", refers_to=[recalls])),
            (sender, report("another relation", kind="recall", refers_to=[("supersedes", *recalls[1:])])),
            (sender, report("two", kind="recall", refers_to=[recalls, ("recalls", other.report_id, other.leaf)])),
            (sender, report("more", kind="recall", refers_to=[recalls, ("in-reply-to", *recalls[1:])])),
            (sender, report("another leaf", kind="recall", refers_to=[("recalls", sent.report_id, other.leaf)])),
            (sender, report("unknown", kind="recall", refers_to=[("recalls", uuid4(), sent.leaf)])),
            (sender, report("x" * 2000, kind="recall", refers_to=[recalls])),
            (sender, report("", *two, kind="recall", refers_to=[recalls])),
            (sender, report("replaces nothing", kind="supersede")),
            (
                reader,
                report("not yours", marking=f"{lowest}//REL TO XBO, XAR", kind="recall", refers_to=[recalls]),
            ),
        )
        for node, one in hostile:
            with pytest.raises(MalformedError) as caught:
                await node.send(one, agreement=AGREEMENT)
            assert caught.value.code is ErrorCode.REFERENCE_REFUSED
        assert await received(reader) == [(None, "two boats"), (None, "three boats")]


async def test_another_node_of_the_party_recalls_what_one_sent(tmp_path):
    async with sharing(tmp_path) as world:
        async with world.node("XAR") as sender:
            sent = await sender.send(report("two boats"), agreement=AGREEMENT)
        await world.enrol(world.world.xar, "n2")
        async with world.node("XAR/n2") as other, world.node("XBO") as reader:
            await other.recall(sent.report_id)
            assert await received(reader) == [(sent.report_id, "Recalled by its originator.")]
            await reader.refresh()
            await other.refresh()
            assert not (*other.alarms(), *reader.alarms())


async def test_both_consumers_of_a_node_obey_and_a_second_recall_of_what_was_superseded_counts(tmp_path):
    async with sharing(tmp_path) as world, world.node("XAR") as sender, world.node("XBO") as reader:
        sent = await sender.send(report("two boats"), agreement=AGREEMENT)
        assert await received(reader) == [(None, "two boats")]
        new = await sender.supersede(sent.report_id, report("three boats"))
        assert await received(reader) == [(None, "three boats")]
        assert await received(reader, consumer="second") == [(None, "three boats")]
        await sender.recall(sent.report_id)
        with pytest.raises(ConflictError):
            await sender.supersede(sent.report_id, report("four boats"))
        await sender.recall(new.report_id, agreement=AGREEMENT)
        both = [(one.report_id, "Recalled by its originator.") for one in (sent, new)]
        assert await received(reader) == both
        assert await received(reader, consumer="second") == both
        await reader.refresh()
        await sender.refresh()
        assert not (*sender.alarms(), *reader.alarms())
