"""A reader's node and recalls: entered before they are answered, in whatever order they and their reports come."""

import asyncio
import json
from dataclasses import replace

import pytest

from builders_delivery import AGREEMENT
from builders_envelope import report_id
from builders_receiving import receiving
from comity.envelope.core import Reference, Relation
from comity.envelope.segment import parse_segment
from comity.errors import ErrorCode, RefusedError
from comity.node.filed_back import file_back
from comity.node.reading import Reading, Terms
from comity.node.register import KeptEnvelope, Register
from comity.node.taken_back import FILE, How, TakenBack, TakenBackReports, held_by
from comity_policy.facts import Kind, Role
from comity_policy.state import Dispute
from comity_policy.steps import Step, StepKind

RECALL = report_id(900)


def taking_back(world, frame, *, kind=Kind.RECALL, relation=Relation.RECALLS, number=1):
    """A frame with the recall (or replacement) of the first report of another frame."""
    item = parse_segment(frame.segment).items[0]
    return world.hand.frame(
        1,
        first=number,
        fields={"kind": kind},
        report_id=RECALL,
        refers_to=(Reference(relation, item.core.report_id, item.leaf),),
    )


def leaf_of(frame) -> bytes:
    return parse_segment(frame.segment).items[0].leaf


async def test_a_report_whose_recall_came_first_is_refused_and_not_shown(tmp_path):
    async with receiving(tmp_path) as world:
        frame = world.hand.frame(2)
        world.hand_over(taking_back(world, frame))
        world.catch_up()
        assert await world.texts() == ["1 portion 0"]
        world.hand_over(frame)
        world.catch_up()
        assert await world.texts() == ["2 portion 0"]
        assert world.outcomes(frame) == [5, 1]
        assert world.alarms() == []


async def test_what_is_at_hand_is_not_shown_once_its_recall_is(tmp_path):
    async with receiving(tmp_path) as world:
        frame = world.hand.frame(2)
        recall = taking_back(world, frame)
        world.hand_over(recall, frame)
        world.catch_up()
        receiver = await world.receiver()
        shown = []
        async for delivery in receiver.deliveries(follow=False):
            async with delivery as report:
                shown.append((report.recalls is not None, report.text))
        assert shown == [(True, "1 portion 0"), (False, "2 portion 0")], "though both were there, the recall unanswered"


async def test_a_recall_is_on_disk_before_it_is_shown_and_comes_again_until_it_is_answered(tmp_path):
    async with receiving(tmp_path) as world:
        frame = world.hand.frame(1)
        recall = taking_back(world, frame)
        world.hand_over(recall)
        receiver = await world.receiver()
        deliveries = receiver.deliveries(follow=True)
        delivery = await anext(deliveries)
        on_disk = TakenBackReports(tmp_path / FILE)
        assert on_disk.find(report_id(1), leaf_of(frame), "XAR").how is How.RECALLED
        on_disk.close()
        delivery.retry(0.0)
        await deliveries.aclose()
        world.moving.cancel()
        assert world.acks == []
        world.hand_over(recall, frame)
        world.catch_up()
        assert await world.texts() == ["1 portion 0"], "the recall alone"
        assert world.outcomes(recall) == [1]
        assert world.outcomes(frame) == [5]


async def test_another_consumer_of_the_node_learns_it_from_the_disk(tmp_path):
    async with receiving(tmp_path) as world:
        frame = world.hand.frame(1)
        receiver = await world.receiver()
        deliveries = receiver.deliveries(follow=False)
        beginning = asyncio.ensure_future(anext(deliveries, None))
        await asyncio.sleep(0)
        other = Register(tmp_path / "register.sqlite")
        other.taken_back.add(_line(frame))
        other.close()
        world.hand_over(frame)
        world.catch_up()
        assert await beginning is None
        assert world.outcomes(frame) == [5]


async def test_what_superseded_a_report_is_shown_and_the_report_is_not(tmp_path):
    async with receiving(tmp_path) as world:
        frame = world.hand.frame(1)
        new = taking_back(world, frame, kind=Kind.SUPERSEDE, relation=Relation.SUPERSEDES, number=7)
        world.hand_over(new)
        world.catch_up()
        assert await world.texts() == ["7 portion 0"]
        world.hand_over(frame)
        world.catch_up()
        assert await world.texts() == []


async def test_a_report_that_only_claims_to_recall_takes_nothing_back(tmp_path):
    async with receiving(tmp_path) as world:
        frame = world.hand.frame(1)
        claim = taking_back(world, frame, kind=Kind.REPORT, number=5)
        world.hand_over(claim, frame)
        world.catch_up()
        assert await world.texts() == ["5 portion 0", "1 portion 0"]


async def test_the_kept_envelope_of_what_is_recalled_is_dropped_and_not_reopened(tmp_path):
    async with receiving(tmp_path) as world:
        frame = world.hand.frame(1)
        register = Register(tmp_path / "register.sqlite")
        kept = KeptEnvelope(report_id(1), AGREEMENT, 1, world.hand.now, world.hand.now + 1000, b"envelope")
        register._db.execute("INSERT INTO envelope VALUES (?, ?, ?, ?, ?, ?)", _values(kept))
        world.hand_over(taking_back(world, frame))
        world.catch_up()
        await world.texts()
        assert register._db.execute("SELECT count(*) FROM envelope").fetchone() == (0,)
        reading = Reading(None, register, Terms(), identity="XBO/m1", consumer="", now_ms=lambda: 0)
        with pytest.raises(RefusedError) as caught:
            reading.refuse_taken_back(report_id(1))
        assert caught.value.code is ErrorCode.REPORT_RECALLED
        reading.close()


@pytest.mark.parametrize(
    ("subject", "subject_id", "held"),
    [
        ("report", report_id(1).hex(), True),
        ("report", "AA" * 48, True),
        ("report", report_id(2).hex(), False),
        # Which reports an entry speaks of this node does not look up: it keeps rather too much.
        ("entry", "17", True),
    ],
)
async def test_an_open_dispute_keeps_what_is_recalled_and_is_named(tmp_path, subject, subject_id, held):
    async with receiving(tmp_path) as world:
        state = world.hand.mirror.agreement(AGREEMENT).state
        opened = Step(
            kind=StepKind.DISPUTE_OPEN,
            agreement_id=AGREEMENT,
            agreement_digest=state.digest.hex(),
            party="XBO",
            officer="XBO/lia",
            role=Role.LIAISON,
            subject=subject,
            subject_id=subject_id,
            digest="d" * 96,
        )
        dispute = Dispute(opened=opened, between=frozenset({"XAR", "XBO"}), until_ms=state.now_ms + 1)
        disputed = replace(state, disputes=(dispute,))
        assert held_by(disputed, report_id(1), b"\xaa" * 48) == (("d" * 96,) if held else ())
        assert held_by(state, report_id(1), b"\xaa" * 48) == ()


async def test_files_of_a_disputed_report_stay_whatever_is_wished(tmp_path):
    async with receiving(tmp_path) as world:
        frame = world.hand.frame(1)
        world.hand_over(taking_back(world, frame))
        world.catch_up()
        receiver = await world.receiver()
        async for delivery in receiver.deliveries(follow=False):
            async with delivery as taking:
                pass
        name = str(taking.recalls)
        (tmp_path / "in").mkdir()
        for other in (f"{name}-1.txt", f"{name}.json", f"{name}-1.txt.bak", f"{name[:-1]}0-1.txt"):
            (tmp_path / "in" / other).write_text("x")
        given = {"agreement_id": AGREEMENT, "received_at": 0}
        back = file_back(tmp_path / "in", taking, remove=True, held_by=("d" * 96,), **given)
        assert ([one.name for one in back.left], back.removed) == ([f"{name}-1.txt", f"{name}.json"], ())
        assert json.loads(back.flag.read_bytes())["held_by_disputes"] == ["d" * 96]
        back = file_back(tmp_path / "in", taking, remove=True, held_by=(), **given)
        assert ([one.name for one in back.removed], back.left) == ([f"{name}-1.txt", f"{name}.json"], ())
        assert len(list((tmp_path / "in").iterdir())) == 3


def _line(frame):
    return TakenBack(report_id(1), leaf_of(frame), "XAR", How.RECALLED, RECALL, AGREEMENT, 1, 1 << 52)


def _values(kept: KeptEnvelope) -> tuple:
    return kept.report_id, kept.agreement_id, kept.log_index, kept.admitted_at, kept.expires_at, kept.exported
