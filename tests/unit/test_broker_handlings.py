"""What officers say of reading and acting, at a broker that runs: who may, of what, and what ends the time to read."""

from __future__ import annotations

import contextlib
import json

import pytest

from builders_acting import Officers, answering, refreshed, wall_ms
from builders_every_kind import clause_text
from builders_sdk import AGREEMENT, report, sharing
from comity.errors import AccessError, ComityError, ErrorCode, NotFoundError
from comity.node.duties import duties_of
from comity_broker import handlings
from comity_policy.acts import ActKind
from comity_policy.facts import Role
from comity_policy.obligations import DutyKind, DutyState

MINUTE = 60_000
HOUR = 60 * MINUTE
PRECEDENCE = clause_text(
    "28", "precedence", 'flash = ["node"]\nimmediate = ["node"]\nread_within = { ROUTINE = { minutes = 10 } }'
)
OVERDUE = ("DUTY_OVERDUE", "read", "XBO")


@contextlib.asynccontextmanager
async def handed(path, **more):
    """A report that XBO's node was handed and acknowledged; give the officers, its id and leaf."""
    async with sharing(path, into_force=False, **more) as shared:
        if "world" not in more:
            shared.treaty.text += PRECEDENCE.encode()
            await shared.treaty.into_force()
        officers = await Officers(shared).accredit()
        async with shared.node("XAR") as sender, shared.node("XBO") as reader:
            sent = await sender.send(report(), agreement=AGREEMENT)
            await answering(reader)
        yield officers, {"originator": "XAR", "reports": (sent.report_id.hex,), "leaves": (sent.leaf.hex(),)}


def readings(owed):
    return [one.state for one in owed if one.duty.kind is DutyKind.READ and one.duty.clause_id == "28"]


async def bodies(officers, log_index, *parts):
    reader = officers.shared.world.broker.logs._reader
    return {row.part: row.body for row in await reader.bodies(AGREEMENT, [log_index], parts)}


async def test_a_node_brings_what_its_officer_signed_and_originator_and_holder_alone_read_it(tmp_path):
    async with handed(tmp_path) as (officers, about):
        liaison = officers.held(officers.shared.world.xbo, "liaison1")
        node = officers.shared.nodes["XBO"]
        said = officers.signed(ActKind.READ, liaison, **about)
        log_index = await officers.submit(said, node)
        assert await officers.submit(said, node) == log_index, "the same statement again is the same entry"
        assert (await officers.kinds()).count("READ") == 1
        found = await bodies(officers, log_index, "shared", "XAR", "XBO")
        assert set(json.loads(found["shared"])) == {"time", "key_log_size"}
        assert found["XAR"] == found["XBO"]
        own = json.loads(found["XAR"])
        assert own["actor"] == {"party": "XBO", "node": "n1", "officer": ""}
        assert bytes.fromhex(own["statement"]["body"]) == said.body
        acted, log_index = await officers.take(ActKind.ACTION, liaison, **about, note="Two boats are under way.")
        assert (await officers.kinds())[log_index] == "ACTIONED"
        assert acted.fields["note"] == "Two boats are under way."


async def test_who_may_not_say_it_and_of_what_it_is_not_said(tmp_path):
    async with handed(tmp_path) as (officers, about):
        xar, xbo = officers.shared.world.xar, officers.shared.world.xbo
        theirs, ours = officers.held(xar, "liaison1"), officers.held(xbo, "liaison1")
        node = officers.shared.nodes["XBO"]
        for by, bringing, changes, error, code in (
            (theirs, node, {}, AccessError, ErrorCode.ACTING_FOR_ANOTHER),
            (ours, officers.shared.nodes["XAR"], {}, AccessError, ErrorCode.ACTING_FOR_ANOTHER),
            (ours, officers.held(xbo, "duty1"), {}, AccessError, ErrorCode.ACTING_FOR_ANOTHER),
            (ours, node, {"role": Role.DUTY_OFFICER}, AccessError, ErrorCode.ROLE_NOT_ALLOWED),
            (ours, node, {"reports": ("ab" * 16,)}, NotFoundError, ErrorCode.REPORT_UNKNOWN),
            (ours, node, {"leaves": ("ab" * 48,)}, NotFoundError, ErrorCode.REPORT_UNKNOWN),
            (ours, node, {"originator": "XBO"}, ComityError, ErrorCode.TRANSITION_NOT_ALLOWED),
            (ours, node, {"made_at": wall_ms() - 80 * HOUR}, ComityError, ErrorCode.TRANSITION_NOT_ALLOWED),
        ):
            with pytest.raises(error) as caught:
                await officers.submit(officers.signed(ActKind.READ, by, **{**about, **changes}), bringing)
            assert caught.value.code is code, changes
        declared = officers.signed(ActKind.DECLARE, officers.held(xbo, "duty1"))
        with pytest.raises(AccessError) as caught:
            await officers.submit(declared, node)
        assert caught.value.code is ErrorCode.ACTING_FOR_ANOTHER
        kinds = await officers.kinds()
        assert not {"READ", "EMERGENCY_DECLARED"} & set(kinds)


async def test_what_was_not_handed_over_is_not_read(tmp_path):
    async with handed(tmp_path) as (officers, about):
        async with officers.shared.node("XAR") as sender:
            sent = await sender.send(report("three boats"), agreement=AGREEMENT)
        waits = {**about, "reports": (sent.report_id.hex,), "leaves": (sent.leaf.hex(),)}
        with pytest.raises(NotFoundError):
            await officers.take(ActKind.READ, officers.held(officers.shared.world.xbo, "liaison1"), **waits)


async def test_the_time_to_read_runs_to_the_officers_word_and_not_to_the_nodes_answer(tmp_path):
    async with handed(tmp_path) as (officers, about):
        broker, clock = officers.shared.world.broker, officers.shared.world.clock
        await broker.monitor.look()
        clock.committed(wall_ms() + 11 * MINUTE)
        for _ in range(3):
            await broker.monitor.look()
        assert await officers.told(DutyKind.READ) == [OVERDUE]
        async with officers.shared.node("XAR") as sender:
            owed = duties_of(await refreshed(sender, broker), AGREEMENT, clock.now_ms()).of("XBO")
            assert readings(owed) == [DutyState.OVERDUE]
        world, text = officers.shared.world, officers.shared.treaty.text
    # After a restart the log is followed from its beginning: nothing is told twice, and the reading is told once.
    async with sharing(tmp_path, into_force=False, world=world) as shared:
        shared.treaty.text = text
        officers = Officers(shared)
        reader1 = await shared.world.enrolled(world.xbo.officer("reader1", [Role.LIAISON]))
        broker, clock = shared.world.broker, shared.world.clock
        for _ in range(2):
            await broker.monitor.look()
        assert await officers.told(DutyKind.READ) == [OVERDUE]
        await officers.take(ActKind.READ, reader1, **about, made_at=clock.now_ms(), role=Role.LIAISON)
        for _ in range(2):
            await broker.monitor.look()
        assert await officers.told(DutyKind.READ) == [OVERDUE, ("DUTY_DONE", "read", "XBO")]


async def test_what_was_read_in_time_is_told_of_no_more(tmp_path):
    async with handed(tmp_path) as (officers, about):
        broker, clock = officers.shared.world.broker, officers.shared.world.clock
        await officers.take(ActKind.READ, officers.held(officers.shared.world.xbo, "liaison1"), **about)
        clock.committed(wall_ms() + 11 * MINUTE)
        for _ in range(2):
            await broker.monitor.look()
        assert await officers.told(DutyKind.READ) == []
        (book,) = broker.monitor.duties._books.values()
        assert (book.unread, book.owed) == ([], {})
        async with officers.shared.node("XAR") as sender:
            owed = duties_of(await refreshed(sender, broker), AGREEMENT, clock.now_ms()).of("XBO")
        assert readings(owed) == [DutyState.DONE]


async def test_nobody_fills_the_log_with_what_was_read(tmp_path, monkeypatch):
    assert handlings.LIMIT == 16_384
    monkeypatch.setattr(handlings, "LIMIT", 2)
    async with handed(tmp_path) as (officers, about):
        liaison = officers.held(officers.shared.world.xbo, "liaison1")
        for _ in range(2):
            await officers.take(ActKind.READ, liaison, **about)
        with pytest.raises(ComityError) as caught:
            await officers.take(ActKind.ACTION, liaison, **about)
        assert caught.value.code is ErrorCode.LIMIT_EXCEEDED
        assert caught.value.retry_after_seconds
