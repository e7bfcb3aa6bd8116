"""Quotas where they are reserved: in the transaction that admits, at a real broker, and at the edge of every window."""

from __future__ import annotations

import asyncio
import contextlib
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders_broker import brokered
from builders_every_kind import clause_text
from builders_sdk import AGREEMENT, report, sharing
from comity.envelope.segment import carried_size, encode_whole_item, parse_segment
from comity.errors import ComityError, ErrorCode, RefusedError
from comity_broker import admitting
from comity_broker.quotas import QuotaRule, Tally
from comity_broker.services import publishing
from comity_broker.storage.protocol import QuotaRow
from comity_policy.clauses.handling import Window
from comity_policy.explanation import RemedyAction

FROM_XBO = 'from = "XBO"\nto = "XAR"\nwindow = "{window}"\nreports = {reports}\nbytes = {size}'
MARKING = "SECRET//REL TO XBO, XAR"
PLENTY = 1 << 30


@contextlib.asynccontextmanager
async def counted(path, *, reports: int = 1_000, size: int = PLENTY, window: str = "week"):
    """Two nations under an agreement with a quota from XBO to XAR."""
    async with sharing(path, into_force=False) as made:
        fields = FROM_XBO.format(reports=reports, size=size, window=window)
        made.treaty.text += clause_text("25", "quota", fields).encode()
        await made.treaty.into_force()
        yield made


async def sent(node, count: int) -> list[object]:
    """Send so many reports at once; give a receipt or an error of each."""
    one = report(marking=MARKING)
    return await asyncio.gather(*(node.send(one, agreement=AGREEMENT) for _ in range(count)), return_exceptions=True)


async def windows(world) -> list[QuotaRow]:
    return await world.world.broker.logs._reader.quotas(AGREEMENT)


async def test_what_a_window_has_no_room_for_is_refused_with_the_clause_and_when_the_window_ends(tmp_path):
    async with counted(tmp_path, reports=3) as world, world.node("XBO") as sender:
        answers = await sent(sender, 5)
        refused = [one for one in answers if isinstance(one, RefusedError)]
        assert [isinstance(one, RefusedError) for one in answers] == [False] * 3 + [True] * 2
        (clause,) = refused[0].clauses
        assert (clause.clause_id, clause.kind, clause.reason) == ("25", "quota", "DENIED")
        assert clause.text
        assert clause.got.startswith("3 reports and ")
        assert clause.remedy.action is RemedyAction.SECOND_OFFICER
        ((row,),) = [await windows(world)]
        _, ends_at = Window.WEEK.around(row.starts_at)
        assert datetime.fromtimestamp(ends_at / 1000, UTC).isoformat().replace("+00:00", "Z") in clause.nearest
        assert refused[0].retry_after_seconds is None, "its number has ended: the next try is a new envelope"
        assert row.reports == 3


async def test_reports_that_are_admitted_together_are_logged_as_one_decision_and_each_knows_the_others(tmp_path):
    async with counted(tmp_path, reports=40) as world, world.node("XBO") as sender:
        one = report(marking=MARKING)
        became = [each async for each in sender.send_many([one] * 40, agreement=AGREEMENT)]
        assert all(each.receipt is not None for each in became)
        reader = world.world.broker.logs._reader
        head = await reader.head(AGREEMENT)
        bodies = await reader.bodies(AGREEMENT, range(head.leaf_next), ["XBO"])
        decisions = [json.loads(each.body)["decisions"] for each in bodies if b"decisions" in each.body]
        assert sum(len(each["slots"]) for some in decisions for each in some) < 10
        ((row,),) = [await windows(world)]
        assert row.reports == 40


async def test_one_that_has_no_room_takes_none_from_those_behind_it(tmp_path):
    async with counted(tmp_path, size=40_000) as world, world.node("XBO") as sender:
        reports = [report("x" * length, marking=MARKING) for length in (10, 90_000, 10, 20_000, 10)]
        became = [each async for each in sender.send_many(reports, agreement=AGREEMENT)]
        assert [each.receipt is not None for each in became] == [True, False, True, True, True]
        ((row,),) = [await windows(world)]
        assert row.reports == 4
        assert row.size <= 40_000


async def test_a_segment_whose_decisions_do_not_fit_in_the_log_is_refused_whole_and_the_lane_goes_on(
    tmp_path, monkeypatch
):
    async with counted(tmp_path) as world, world.node("XBO") as sender:
        unlike = [report("x" * length, marking=MARKING) for length in range(1_000, 9_000, 1_000)]
        with monkeypatch.context() as narrow:
            narrow.setattr(admitting, "BODY_LIMIT", 4_096)
            became = [each async for each in sender.send_many(unlike, agreement=AGREEMENT)]
            assert {each.refusal.code for each in became if each.refusal is not None} == {ErrorCode.LIMIT_EXCEEDED}
            refused = [each for each in became if each.receipt is None]
            assert len(refused) > 1
            assert "fewer reports" in refused[0].refusal.what_to_do
        counted_before = sum(row.reports for row in await windows(world))
        assert counted_before == len(unlike) - len(refused)
        assert all([await sender.send(each, agreement=AGREEMENT) for each in unlike])
        assert sum(row.reports for row in await windows(world)) == counted_before + len(unlike)


async def test_two_publishers_at_once_never_exceed_a_quota(tmp_path):
    async with counted(tmp_path, reports=25) as world:
        await world.enrol(world.world.xbo, "n2")
        async with world.node("XBO") as first, world.node("XBO/n2") as second:
            both = await asyncio.gather(sent(first, 30), sent(second, 30))
        admitted = [one for one in (*both[0], *both[1]) if not isinstance(one, ComityError)]
        assert len(admitted) == 25
        ((row,),) = [await windows(world)]
        assert row.reports == 25


async def test_bytes_are_counted_as_they_are_carried(tmp_path, monkeypatch):
    carried: list[int] = []
    honest = publishing.parse_in_slices

    async def parsed(data, memo):
        segment = await honest(data, memo)
        carried.extend(carried_size(item) for _, item in segment.whole)
        for _, item in segment.whole:
            encoded = encode_whole_item(item.manifest_bytes, item.stanzas, item.ciphertexts, item.approvals)
            assert carried_size(item) == len(encoded)
        return segment

    monkeypatch.setattr(publishing, "parse_in_slices", parsed)
    async with counted(tmp_path, size=10_000) as world, world.node("XBO") as sender:
        answers = await sent(sender, 8)
        admitted = [one for one in answers if not isinstance(one, ComityError)]
        assert len(admitted) == 10_000 // carried[0]
        ((row,),) = [await windows(world)]
        assert row.size == carried[0] * len(admitted) <= 10_000


async def test_a_refused_slot_and_another_direction_reserve_nothing(tmp_path):
    async with counted(tmp_path, reports=2) as world, world.node("XBO") as sender, world.node("XAR") as other:
        await other.send(report(), agreement=AGREEMENT)
        assert await windows(world) == []
        await sent(sender, 3)
        ((row,),) = [await windows(world)]
        assert row.reports == 2


async def test_the_same_bytes_again_reserve_nothing(tmp_path, monkeypatch):
    came: list[object] = []
    honest = publishing._batch_frame
    monkeypatch.setattr(publishing, "_batch_frame", lambda batch: came.append(batch) or honest(batch))
    async with counted(tmp_path, reports=5) as world:
        async with world.node("XBO") as sender:
            await sent(sender, 2)
        before = await windows(world)
        async with world.world.connection(world.nodes["XBO"]) as connection:
            for batch in came.copy():
                request = publishing.exchange_pb2.PublishOneRequest(batch=batch)
                await connection.call(connection.exchange.PublishOne, request)
        assert await windows(world) == before
        assert parse_segment(came[0].segments[0]).items


async def test_the_last_millisecond_of_a_window_is_full_and_the_next_one_has_room_again(tmp_path):
    async with counted(tmp_path, reports=1, window="hour") as world:
        clock = world.world.clock
        _, ends_at = Window.HOUR.around(clock.now_ms())
        now = ends_at - 1
        clock.wall = lambda: now
        async with world.node("XBO", now_ms=lambda: now) as sender:
            assert [isinstance(one, RefusedError) for one in await sent(sender, 2)] == [False, True]
            now = ends_at
            await sender.refresh()
            assert [isinstance(one, RefusedError) for one in await sent(sender, 2)] == [False, True]
        first, second = await windows(world)
        assert (first.starts_at, first.reports) == (ends_at - 3_600_000, 1)
        assert (second.starts_at, second.reports) == (ends_at, 1)


async def test_a_broker_that_starts_again_still_knows_what_was_used(tmp_path):
    async with counted(tmp_path, reports=2) as world, world.node("XBO") as sender:
        await sent(sender, 2)
        before = await windows(world)
    async with brokered(tmp_path / "broker", world=world.world), world.node("XBO") as sender:
        assert await windows(world) == before
        (answer,) = await sent(sender, 1)
        assert isinstance(answer, RefusedError)
        assert [one.clause_id for one in answer.clauses] == ["25"]


@pytest.mark.parametrize("days", [0, 4])
async def test_what_waited_is_handed_over_though_the_quota_is_used_up_by_then(tmp_path, days):
    """A broker that starts decides anew before it hands over: what admission alone decides was settled there."""
    async with counted(tmp_path, reports=1) as world, world.node("XBO") as sender:
        await sent(sender, 1)
    now = world.world.clock.now_ms() + days * 86_400_000
    world.world.clock.wall = lambda: now
    async with (
        brokered(tmp_path / "broker", world=world.world),
        world.node("XAR", now_ms=lambda: now) as reader,
        contextlib.aclosing(reader.receive(follow=False, purpose="counter-terrorism")) as deliveries,
    ):
        texts = []
        async for delivery in deliveries:
            async with delivery as one:
                texts.append(one.text)
        assert texts == ["two boats"]


# --- windows --------------------------------------------------------------------------------------------------------

RULE = QuotaRule("25", "XBO", "XAR", Window.DAY)
TIMES = st.integers(0, 4_102_444_800_000)


@given(TIMES, st.sampled_from(list(Window)))
def test_windows_touch_and_never_overlap_to_the_millisecond(at_ms, window):
    starts_at, ends_at = window.around(at_ms)
    assert starts_at <= at_ms < ends_at
    assert window.around(ends_at - 1) == (starts_at, ends_at)
    assert window.around(ends_at)[0] == ends_at
    assert window.around(starts_at) == (starts_at, ends_at)
    assert window.around(starts_at - 1)[1] == starts_at


@given(TIMES)
def test_windows_begin_at_the_full_hour_at_midnight_and_on_monday_at_midnight(at_ms):
    hour, day, week = (
        datetime.fromtimestamp(window.around(at_ms)[0] / 1000, UTC) for window in (Window.HOUR, Window.DAY, Window.WEEK)
    )
    assert (hour.minute, hour.second, hour.microsecond) == (0, 0, 0)
    assert (day.hour, day.minute, day.second, day.microsecond) == (0, 0, 0, 0)
    assert (week.weekday(), week.hour, week.minute, week.second, week.microsecond) == (0, 0, 0, 0, 0)


def test_a_window_that_ended_between_decision_and_commit_is_decided_again():
    _, ends_at = Window.DAY.around(1_800_000_000_000)
    read = [RULE.key(ends_at - 1)]
    assert Tally([RULE], read, {}, ends_at - 1).usage["25"].reports == 0
    with pytest.raises(ComityError) as refused:
        Tally([RULE], read, {}, ends_at)
    assert refused.value.code is ErrorCode.STATE_CHANGED


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 5_000)), max_size=40),
    st.integers(1, 20),
    st.integers(1, 40_000),
)
def test_whatever_publishers_commit_in_whatever_order_no_window_holds_more_than_its_limit(tries, most, most_bytes):
    """Each try is a segment of one slot by one of four publishers, whose read and reservation are one unit."""
    now, stored = 1_800_000_000_000, {}
    for _, size in tries:
        tally = Tally([RULE], [RULE.key(now)], dict(stored), now)
        used = tally.usage["25"]
        if used.reports + 1 <= most and used.size + size <= most_bytes:
            tally.reserve({"XAR"}, size)
        tally.reserve({"XDE"}, size)
        stored.update((row[:5], row) for row in tally.reserved)
    for row in stored.values():
        assert row.reports <= most
        assert row.size <= most_bytes
