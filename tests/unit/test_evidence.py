"""Evidence shows a party no more than delivery does: what it sent, and what its nodes were handed; of all else the leaf."""

import asyncio
from datetime import UTC, datetime, timedelta

from builders_sdk import AGREEMENT, report, sharing
from builders_three import three_nations
from comity.envelope.segment import Absent, PrunedItem, WholeItem, parse_segment
from comity.node.reports import HeldAction, SlotRef
from comity.v1 import audit_pb2
from comity_broker.storage.protocol import ExceptionState
from comity_policy.steps import StepKind

FOR_BOTH = "SECRET//REL TO XAR, XBO, XDE"
NOT_FOR_XDE = "SECRET//REL TO XAR, XBO"


async def evidence(world, party):
    """Give the items that an auditor of a party is shown, in the order of the log, and the bytes of the answer."""
    auditor = world.treaty.officers[party, "auditor1"]
    async with world.world.connection(auditor) as connection:
        answer = await connection.call(
            connection.audit.GetEvidence, audit_pb2.GetEvidenceRequest(agreement_id=AGREEMENT, limit=64)
        )
    segments = [parse_segment(one.segment) for one in answer.segments]
    return [item for segment in segments for item in segment.items], answer.SerializeToString()


async def take(reader, count):
    """Take and acknowledge so many reports."""
    async for delivery in reader.receive(purpose="counter-terrorism"):
        async with delivery:
            count -= 1
        if not count:
            return


async def test_a_report_that_is_not_for_a_party_is_a_leaf_in_its_evidence(tmp_path):
    async with three_nations(tmp_path) as world:
        async with world.node("XAR") as sender, world.node("XBO") as reader, world.node("XDE") as other:
            secret = await sender.send(report(marking=NOT_FOR_XDE), agreement=AGREEMENT)
            await sender.send(report(marking=FOR_BOTH), agreement=AGREEMENT)
            await take(reader, 2)
            await take(other, 1)
        mine, _ = await evidence(world, "XAR")
        theirs, _ = await evidence(world, "XBO")
        others, answer = await evidence(world, "XDE")
        assert [type(item) for item in mine] == [type(item) for item in theirs] == [WholeItem, WholeItem]
        assert [type(item) for item in others] == [PrunedItem, WholeItem]
        assert [item.leaf for item in others] == [item.leaf for item in mine]
        hidden = mine[0]
        assert hidden.core.report_id == secret.report_id.bytes
        assert hidden.core.report_id not in answer
        assert hidden.manifest_bytes not in answer
        assert hidden.manifest.core not in answer


async def test_a_report_that_no_node_of_a_party_was_handed_yet_is_a_leaf_in_its_evidence(tmp_path):
    async with sharing(tmp_path) as world:
        async with world.node("XAR") as sender:
            await sender.send(report(), agreement=AGREEMENT)
        before, _ = await evidence(world, "XBO")
        async with world.node("XBO") as reader:
            await take(reader, 1)
        after, _ = await evidence(world, "XBO")
        assert [type(item) for item in before] == [PrunedItem]
        assert [type(item) for item in after] == [WholeItem]
        assert before[0].leaf == after[0].leaf


async def break_off(reader):
    """Take a report and leave without a word about it."""
    async for delivery in reader.receive(purpose="counter-terrorism"):
        assert delivery.is_open
        return


async def ended(world):
    """Give by node how its report ended, and how often it was handed over before."""
    rows = await world.world.broker._storage.reader.exceptions(AGREEMENT)
    return {one.node: (one.state, one.attempts) for one in rows}


async def ended_at(world, node):
    """Wait until a node's report has ended."""
    for _ in range(20_000):
        if node in await ended(world):
            return
        await asyncio.sleep(0)
    raise AssertionError(f"the report of {node} never ended")


async def test_a_report_that_expired_is_shown_to_whom_it_was_handed_and_to_nobody_else(tmp_path):
    async with three_nations(tmp_path) as world:
        clock = world.world.clock
        now = clock.now_ms()
        async with world.node("XAR") as sender:
            ends = datetime.fromtimestamp(now // 1000, UTC) + timedelta(hours=1)
            await sender.send(report(marking=FOR_BOTH, expires_at=ends), agreement=AGREEMENT)
        async with world.node("XBO") as reader:
            await break_off(reader)
        clock.wall = lambda: now + 2 * 3_600_000
        for name in ("XBO", "XDE"):
            async with world.node(name, now_ms=clock.now_ms) as reader:
                following = asyncio.ensure_future(anext(reader.receive(follow=True, purpose="counter-terrorism")))
                await ended_at(world, f"{name}/n1")
                following.cancel()
                await asyncio.wait([following])
        assert await ended(world) == {"XBO/n1": (ExceptionState.EXPIRED, 1), "XDE/n1": (ExceptionState.EXPIRED, 0)}
        theirs, _ = await evidence(world, "XBO")
        others, _ = await evidence(world, "XDE")
        assert [type(item) for item in theirs] == [WholeItem]
        assert [type(item) for item in others] == [PrunedItem]


async def test_evidence_holds_no_stanza_and_no_ciphertext_of_anybody(tmp_path):
    async with sharing(tmp_path) as world:
        async with world.node("XAR") as sender, world.node("XBO") as reader:
            await sender.send(report(), agreement=AGREEMENT)
            await take(reader, 1)
        for party in ("XAR", "XBO"):
            (item,), _ = await evidence(world, party)
            assert set(item.stanzas) == set(item.ciphertexts) == {Absent.WITHHELD}


async def test_a_report_that_was_withdrawn_before_anybody_had_it_stays_a_leaf(tmp_path):
    async with sharing(tmp_path) as world:
        async with world.node("XAR") as sender, world.node("XBO") as reader:
            sent = [await sender.send(report(text), agreement=AGREEMENT) for text in ("wrong", "right")]
            await world.treaty.take(StepKind.SUSPEND, world.world.xar, reason="consultations")
            wrong, right = (SlotRef(AGREEMENT, one.segment_id, one.slot) for one in sent)
            await sender.resolve_held([wrong], HeldAction.WITHDRAW)
            await world.treaty.take(StepKind.RESUME, world.world.xar)
            await sender.resolve_held([right], HeldAction.CONFIRM)
            await take(reader, 1)
        items, answer = await evidence(world, "XBO")
        assert [type(item) for item in items] == [PrunedItem, WholeItem]
        assert sent[0].report_id.bytes not in answer
