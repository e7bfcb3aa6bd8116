"""Before the entry into force and at the end of a term, at a real broker and in both parties' nodes: what flows, and until when."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

import pytest

from builders_identity import Nation
from builders_life import Living, LivingWorld, living, write_bundle
from builders_sdk import AGREEMENT, report, sharing
from comity.errors import ComityError, ErrorCode, RefusedError
from comity.node.node import Node
from comity.verify.checks import Verification
from comity_policy.lifecycle import Phase, StepKind

ADMITTED, REFUSED = [], [0]
HOUR = 3_600_000
DAY = 24 * HOUR
DONE = {"instrument": "Law 17", "authority": "Parliament", "date": "2026-01-04"}


def on_receipt(text: bytes) -> bytes:
    return text.replace(b'rule = "on-signature"', b'rule = "after-later-receipt"')


def provisionally(text: bytes, until_ms: int) -> bytes:
    """Give a text that is in force after the later receipt, what XAR sends applied before."""
    until = datetime.fromtimestamp(until_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    section = f'[provisional]\nclauses = ["3.1"]\nuntil = {until}\n\n[[clause]]'
    return on_receipt(text).replace(b"[[clause]]", section.encode(), 1)


def for_a_month(text: bytes, renewal: str) -> bytes:
    """Give a text that binds for a month, renewed in a way."""
    section = f'[duration]\nkind = "term"\nmonths = 1\nrenewal = "{renewal}"\nremind_days = [7]'.encode()
    assert b'[duration]\nkind = "indefinite"' in text
    return text.replace(b'[duration]\nkind = "indefinite"', section)


async def sent(world: LivingWorld, treaty: Living, *parties: str) -> list[list[int]]:
    """Have each of these send a report; gives the slots that were refused."""
    answers = [await world.publish(party, treaty) for party in parties]
    return [[one.slot for one in answer.refusals] for answer in answers]


async def complete(treaty: Living) -> None:
    for party, other in (("XAR", "XBO"), ("XBO", "XAR")):
        await treaty.take(StepKind.NOTIFY_COMPLETION, party, **DONE)
        await treaty.take(StepKind.RECEIVE, other, names=treaty.heads[party])


# --- provisional application ----------------------------------------------------------------------------------------


async def test_what_is_applied_provisionally_flows_until_its_day_and_all_of_it_from_the_entry_into_force(tmp_path):
    async with living(tmp_path / "broker") as world:
        until = world.base.clock.now_ms() + DAY
        treaty = await world.in_force(provisionally(world.text(), until))
        assert treaty.state().phase is Phase.PROVISIONAL
        assert await sent(world, treaty, "XAR", "XBO") == [ADMITTED, REFUSED]
    async with living(tmp_path / "broker", before=world) as again:
        treaty = again.treaty(treaty.text)
        assert await sent(again, treaty, "XAR", "XBO") == [ADMITTED, REFUSED]
        again.base.clock.committed(until - until % 1000)
        assert treaty.state().phase is Phase.SIGNED
        assert await sent(again, treaty, "XAR", "XBO") == [REFUSED, REFUSED]
        await complete(treaty)
        assert treaty.state().phase is Phase.IN_FORCE
        assert await sent(again, treaty, "XAR", "XBO") == [ADMITTED, ADMITTED]
        await write_bundle(again, tmp_path / "bundle", treaty)
    checked = Verification(tmp_path / "bundle")
    assert (checked.verdict, checked.findings) == ("PASS", [])


async def texts_of(node: Node) -> list[str]:
    found = []
    async with contextlib.aclosing(node.receive(follow=False, purpose="counter-terrorism")) as deliveries:
        async for delivery in deliveries:
            async with delivery as one:
                found.append(one.text)
    return found


async def test_both_nodes_send_and_open_what_is_applied_provisionally_and_nothing_when_that_has_ended(tmp_path):
    async with sharing(tmp_path, into_force=False) as shared:
        clock = shared.world.clock
        until = clock.now_ms() + HOUR
        shared.treaty.text = provisionally(shared.treaty.text, until)
        await shared.treaty.into_force()
        now = clock.now_ms
        async with shared.node("XAR", now_ms=now) as sender, shared.node("XBO", now_ms=now) as reader:
            assert sender.mirror.fold(AGREEMENT).state(now()).phase is Phase.PROVISIONAL
            await sender.send(report("provisional"), agreement=AGREEMENT)
            back = report("back", marking="SECRET//REL TO XBO, XAR")
            with pytest.raises(RefusedError):
                await reader.send(back, agreement=AGREEMENT)
            assert await texts_of(reader) == ["provisional"]
            await sender.send(report("not fetched in time"), agreement=AGREEMENT)
            clock.committed(until)
            with pytest.raises(RefusedError) as caught:
                await sender.send(report("too late"), agreement=AGREEMENT)
            assert {one.clause_id for one in caught.value.clauses} == {"baseline/in-force"}
            assert await texts_of(reader) == []


# --- the end of a term ----------------------------------------------------------------------------------------------


@pytest.fixture
def lasting(monkeypatch):
    """Have certificates that last longer than a term."""
    leaf = Nation.leaf

    def longer(of: Nation, *about: object, **changes: object) -> bytes:
        return leaf(of, *about, **{"valid_until_ms": of.now + 59 * DAY, **changes})

    monkeypatch.setattr(Nation, "leaf", longer)


async def ended(world: LivingWorld, treaty: Living) -> int:
    """Let the term of an agreement end; gives when it did."""
    ends = treaty.state().term_ends_at
    world.base.clock.committed(ends - 1)
    assert await sent(world, treaty, "XAR") == [ADMITTED], "to the last millisecond"
    world.base.clock.committed(ends)
    return ends


@pytest.mark.usefixtures("lasting")
@pytest.mark.parametrize("objects", [False, True])
async def test_a_term_is_renewed_tacitly_unless_a_party_objects(tmp_path, objects):
    async with living(tmp_path) as world:
        treaty = await world.in_force(for_a_month(world.text(), "tacit"))
        if objects:
            await treaty.take(StepKind.OBJECT_RENEWAL, "XBO")
        ends = await ended(world, treaty)
        assert bool(treaty.state().ended) is objects
        assert await sent(world, treaty, "XAR") == [REFUSED if objects else ADMITTED]
    async with living(tmp_path, before=world) as again:
        treaty = again.treaty(treaty.text)
        assert await sent(again, treaty, "XAR") == [REFUSED if objects else ADMITTED]
        assert objects or treaty.state().term_ends_at > ends


@pytest.mark.usefixtures("lasting")
@pytest.mark.parametrize("signed", [(), ("XAR",), ("XAR", "XBO")])
async def test_an_express_renewal_needs_everybody_before_the_term_ends(tmp_path, signed):
    async with living(tmp_path) as world:
        treaty = await world.in_force(for_a_month(world.text(), "express"))
        for party in signed:
            await treaty.take(StepKind.RENEW, party)
        first = treaty.standing.state(0).versions[0].in_force_at
        assert first is not None
        ends = first + 31 * DAY
        world.base.clock.committed(ends)
        renewed = len(signed) == 2
        assert bool(treaty.state().ended) is not renewed
        assert await sent(world, treaty, "XAR") == [ADMITTED if renewed else REFUSED]
        if not renewed:
            with pytest.raises(ComityError) as caught:
                await treaty.take(StepKind.RENEW, "XBO")
            assert caught.value.code is ErrorCode.TRANSITION_NOT_ALLOWED
