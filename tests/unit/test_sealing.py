"""Runs, numbers and order: what shares a segment, what is urgent, and that a number is used once or not at all."""

import asyncio
import threading

import pytest

from builders_egress import AGREEMENT, EPOCH, clearing, report
from builders_sdk import until
from comity.envelope.segment import parse_segment
from comity.errors import ErrorCode, MalformedError
from comity.node.background import Background
from comity.node.outbox import Lane, Outbox, StoredReceipt, StoredSegment
from comity.node.pipeline import Pipeline
from comity.node.portion_inputs import CONTENT_BYTES
from comity.node.sealing import ReportIds
from comity.report import Portion

ROUTINE = Lane(AGREEMENT, EPOCH, 4)


def numbers(sealed):
    """Give the lane class and the numbers of what was sealed."""
    found = []
    for one in sealed:
        first = one.stored.first_origin_sequence
        found.append((one.stored.lane.transport_class, [*range(first, first + one.stored.slots)]))
    return found


async def test_reports_of_one_lane_share_a_segment_and_have_dense_numbers(tmp_path):
    async with clearing(tmp_path) as world:
        pendings = [world.add(report(f"report {number}")) for number in range(3)]
        assert world.sealing.waiting == 3
        world.sealing.seal_all()
        (sealed,) = world.sealing.sealed
        assert sealed.pendings == tuple(pendings)
        cores = [item.core for _, item in parse_segment(sealed.stored.data).whole]
        assert [one.origin_sequence for one in cores] == [1, 2, 3]
        assert tuple(one.report_id for one in cores) == sealed.report_ids
        assert len(set(sealed.report_ids)) == 3


async def test_a_run_is_sealed_when_it_is_full(tmp_path):
    async with clearing(tmp_path) as world:
        for _ in range(257):
            world.add(report())
        assert numbers(world.sealing.sealed) == [(4, [*range(1, 257)])]
        assert world.sealing.waiting == 1


async def test_what_does_not_fit_a_run_closes_it_and_goes_on_with_the_next_number(tmp_path):
    async with clearing(tmp_path) as world:
        big = "a" * (CONTENT_BYTES * 2 // 3)
        world.add(report(big))
        world.add(report(big))
        world.sealing.seal_all()
        assert numbers(world.sealing.sealed) == [(4, [1]), (4, [2])]


async def test_precedences_are_lanes_of_their_own(tmp_path):
    async with clearing(tmp_path) as world:
        world.add(report())
        world.add(report(), urgent=True)
        world.add(report())
        world.sealing.seal_all(urgent_only=True)
        assert numbers(world.sealing.sealed) == [(2, [1])]
        world.sealing.seal_all()
        assert numbers(world.sealing.sealed) == [(2, [1]), (4, [1, 2])]


async def test_numbers_go_on_where_the_outbox_says(tmp_path):
    async with clearing(tmp_path) as world:
        world.sealing = world.fresh_sealing({ROUTINE: 41})
        world.add(report())
        world.sealing.seal_all()
        assert numbers(world.sealing.sealed) == [(4, [41])]


async def test_another_epoch_begins_every_lane_anew(tmp_path):
    async with clearing(tmp_path) as world:
        world.add(report())
        world.sealing.begin_epoch(bytes([1]) * 16)
        world.add(report())
        world.sealing.seal_all()
        assert [
            (one.stored.lane.origin_epoch[0], one.stored.first_origin_sequence) for one in world.sealing.sealed
        ] == [
            (0, 1),
            (1, 1),
        ]


async def test_a_report_too_large_for_a_segment_uses_no_number(tmp_path):
    async with clearing(tmp_path) as world:
        parts = [Portion.of_text("a" * CONTENT_BYTES, "SECRET//REL TO XAR, XBO") for _ in range(2)]
        with pytest.raises(MalformedError) as caught:
            world.add(report("", *parts))
        assert caught.value.code is ErrorCode.LIMIT_EXCEEDED
        world.add(report())
        world.sealing.seal_all()
        assert numbers(world.sealing.sealed) == [(4, [1])]


async def test_a_run_that_cannot_be_sealed_is_refused_and_its_numbers_are_free(tmp_path):
    async with clearing(tmp_path) as world:
        failed = [world.add(report()), world.add(report())]
        for sealer in world.sealing._sealers.values():
            sealer.close = _failing
        world.sealing.seal_all()
        assert not world.sealing.sealed
        assert all(isinstance(one.sent.refusal, MalformedError) for one in failed)
        world.sealing.forget_keys()
        world.add(report())
        world.sealing.seal_all()
        assert numbers(world.sealing.sealed) == [(4, [1])]


async def test_keys_that_were_forgotten_serve_for_no_further_report(tmp_path):
    async with clearing(tmp_path) as world:
        world.add(report())
        world.sealing.seal_all()
        world.sealing.forget_keys()
        world.add(report())
        world.sealing.seal_all()
        before, after = (set(one.stored.packet_ids) for one in world.sealing.sealed)
        assert before.isdisjoint(after)


async def test_a_lane_that_broke_gives_its_reports_back_and_no_others(tmp_path):
    async with clearing(tmp_path) as world:
        closed = world.add(report())
        world.sealing.seal_all()
        left_open, other = world.add(report()), world.add(report(), urgent=True)
        assert world.sealing.drop_lane(ROUTINE) == [left_open, closed]
        world.sealing.seal_all()
        assert [one.pendings for one in world.sealing.sealed] == [(other,)]


def test_report_ids_are_uuids_of_version_7_with_the_time_in_front():
    ids = ReportIds(lambda count: b"\xff" * count)
    drawn = ids.draw(0x0123456789AB)
    assert drawn.hex() == "0123456789ab7fffbfffffffffffffff"


def _failing(inputs):
    raise MalformedError("no")


# --- the pipeline ---------------------------------------------------------------------------------------------------


class Published:
    """Takes what would be sent."""

    def __init__(self):
        self.outgoing = []

    def put(self, outgoing):
        self.outgoing.append(outgoing)


class Signing:
    """A signer whose signatures a test lets through one by one."""

    def __init__(self, signer):
        self._signer = signer
        self.asked = 0
        self.gate = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def __getattr__(self, name):
        return getattr(self._signer, name)

    def sign(self, *parts, **options):
        self.asked += 1
        asyncio.run_coroutine_threadsafe(self.gate.wait(), self._loop).result(20)
        return self._signer.sign(*parts, **options)


class Piping:
    """A pipeline with a real outbox."""

    def __init__(self, world, outbox):
        self.world = world
        self.published = Published()
        self.signing = Signing(world.audit.node("XAR/n1").signer)
        self.handed_back = []
        world.sealing = self.sealing = world.fresh_sealing({})
        self.pipeline = Pipeline(
            world.sealing,
            outbox,
            signer=lambda key_set: self.signing,
            publisher=lambda urgent: self.published,
            handed_back=self.handed_back.append,
        )

    def add(self, one, *, urgent=False, flush=False):
        self.world.add(one, urgent=urgent)
        self.pipeline.added(urgent=urgent, flush=flush)

    @property
    def classes(self):
        return [one.segment.lane.transport_class for one in self.published.outgoing]


@pytest.fixture
async def piping(tmp_path):
    async with clearing(tmp_path) as world:
        outbox = await Outbox.open(tmp_path / "outbox", wait=False)
        piping = Piping(world, outbox)
        background = Background(lambda error: pytest.fail(str(error)))
        piping.pipeline.start(background)
        yield piping
        piping.signing.gate.set()
        await background.close()
        await piping.pipeline.close()
        outbox.close()


async def test_what_is_flushed_is_signed_at_once(piping):
    piping.signing.gate.set()
    piping.add(report(), flush=True)
    await until(lambda: piping.classes == [4])


async def test_what_comes_alone_waits_a_moment_for_company(piping):
    piping.signing.gate.set()
    started = asyncio.get_running_loop().time()
    for _ in range(3):
        piping.add(report())
    await until(lambda: piping.published.outgoing)
    assert asyncio.get_running_loop().time() - started >= 0.015
    assert [one.segment.slots for one in piping.published.outgoing] == [3]


async def test_an_urgent_report_waits_for_nobody_and_goes_ahead_of_what_waits_for_a_signature(piping):
    piping.add(report(), flush=True)
    await until(lambda: piping.signing.asked == 1)
    piping.add(report(), flush=True)
    piping.add(report(), urgent=True)
    piping.signing.gate.set()
    await until(lambda: len(piping.classes) == 3)
    assert piping.classes == [4, 2, 4]
    assert piping.signing.asked == 3


async def test_everything_sealed_while_a_signature_is_made_shares_the_next_one(piping):
    piping.add(report(), flush=True)
    await until(lambda: piping.signing.asked == 1)
    for _ in range(600):
        piping.add(report())
    piping.pipeline.flush()
    piping.signing.gate.set()
    await until(lambda: len(piping.published.outgoing) == 4)
    assert piping.signing.asked == 2
    assert [one.segment.slots for one in piping.published.outgoing] == [1, 256, 256, 88]
    assert [one.segment.position for one in piping.published.outgoing] == [0, 0, 1, 2]


async def test_what_is_signed_for_a_lane_that_broke_meanwhile_is_handed_back(piping):
    piping.add(report(), flush=True)
    await until(lambda: piping.signing.asked == 1)
    piping.pipeline.broken.add(ROUTINE)
    piping.signing.gate.set()
    await until(lambda: piping.handed_back)
    assert piping.published.outgoing == []


async def test_an_answer_whose_writing_has_not_begun_at_the_end_is_written_all_the_same(tmp_path):
    async with clearing(tmp_path) as world:
        outbox = await Outbox.open(tmp_path / "outbox", wait=False)
        piping = Piping(world, outbox)
        piping.signing.gate.set()
        background = Background(lambda error: pytest.fail(str(error)))
        piping.pipeline.start(background)
        piping.add(report(), flush=True)
        await until(lambda: piping.published.outgoing)
        sent = piping.published.outgoing[0].segment
        busy = threading.Event()
        other = asyncio.create_task(piping.pipeline.on_disk(busy.wait))
        await asyncio.sleep(0.01)
        piping.pipeline.accept(receipt_of(sent))
        await asyncio.sleep(0.01)
        ending = asyncio.create_task(background.close())
        await asyncio.sleep(0.01)
        busy.set()
        await ending
        await other
        await piping.pipeline.on_disk(lambda: None)
        await piping.pipeline.close()
        assert not outbox.waits()
        assert outbox.receipt(sent.segment_id) == receipt_of(sent)
        outbox.close()


def receipt_of(segment: StoredSegment) -> StoredReceipt:
    return StoredReceipt(segment.segment_id, segment.lane.agreement_id, 7, b"l" * 32, b"signed", b"k" * 48, b"entry")
