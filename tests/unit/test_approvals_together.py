"""Reports that wait at the same time, officers who do not agree, and callers who give up: what was not approved does not go."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

import pytest

from builders_acting import CLAUSES, HOUR, Officers, wall_ms
from builders_approvals import TWO, approver, approving, received
from builders_every_kind import clause_text
from builders_sdk import AGREEMENT, report, sharing
from comity.cli.approvals import standing, waiting_words
from comity.errors import AccessError, MalformedError, RefusedError
from comity.node.offline import OfflineNode
from comity.node.outbox import Outbox
from comity_policy.acts import ActKind


async def test_several_are_sealed_at_once_each_in_a_lane_of_its_own(tmp_path):
    async with approving(tmp_path) as world, world.node("XAR") as sender:
        held = await asyncio.gather(
            *(sender.await_approval(report(f"held {number}"), agreement=AGREEMENT) for number in range(3))
        )
        sent = await asyncio.gather(
            *(
                sender.send(report(f"sent {number}"), agreement=AGREEMENT, approved_by=world.approvers(*TWO))
                for number in range(3)
            )
        )
        lanes = [one.segment.lane for one in (await sender._sender._awaiting._open()).all()]
        assert len(set(lanes)) == len(held) == 3
        assert [one.origin_sequence for one in sent] == [1, 1, 1]
        assert sorted(text for text, _ in await received(world)) == ["sent 0", "sent 1", "sent 2"]


async def test_what_the_named_officer_declines_stays_though_no_clause_asks_for_an_approval(tmp_path):
    async with approving(tmp_path, dual_control=False) as world, world.node("XAR") as sender:
        refusing = replace(world.approvers("duty1")[0], agrees=lambda _: False)
        with pytest.raises(AccessError, match="did not approve"):
            await sender.await_approval(report("declined"), agreement=AGREEMENT, approved_by=[refusing])
        assert await sender._sender._awaiting.release_ready() == ()
        with world.offline(sender) as offline:
            (one,) = offline.waiting()
            assert (one.approvals_required, one.approved_by, one.complete) == (1, (), False)
            # Another officer's approval makes the number, and not the officer's who is said to act.
            other = offline.approve(one.report.report_id, approver(world.officers["release1"]))
        assert isinstance(other.refusal, RefusedError)
        assert "which officer acts" in other.refusal.message
        assert (len(other.approved_by), other.complete, standing(other)) == (1, False, "WAITING")
        assert await sender._sender._awaiting.release_ready() == ()
        assert await received(world) == []


async def test_a_report_that_is_to_wait_waits_for_somebody(tmp_path):
    async with approving(tmp_path, dual_control=False) as world, world.node("XAR") as sender:
        held = await sender.await_approval(report("held"), agreement=AGREEMENT)
        assert held.approvals_required == 1
        assert await sender._sender._awaiting.release_ready() == ()
        with world.offline(sender) as offline:
            offline.approve(held.report.report_id, approver(world.officers["release1"]))
        assert await sender._sender._awaiting.release_ready() == (held.report.report_id,)
        await sender.settle()
        assert [text for text, _ in await received(world)] == ["held"]


async def test_a_caller_who_gives_up_while_it_is_stored_leaves_nothing_that_nobody_sends(tmp_path, monkeypatch):
    async with approving(tmp_path) as world, world.node("XAR") as sender:
        loop, given_up, append = asyncio.get_running_loop(), threading.Event(), Outbox.append

        def give_up() -> None:
            sending.cancel()
            given_up.set()

        def stored_then_given_up(outbox, batches):
            append(outbox, batches)
            loop.call_soon_threadsafe(give_up)
            assert given_up.wait(10)

        monkeypatch.setattr(Outbox, "append", stored_then_given_up)
        sending = asyncio.create_task(
            sender.send(report("given up"), agreement=AGREEMENT, approved_by=world.approvers(*TWO))
        )
        with pytest.raises(asyncio.CancelledError):
            await sending
        await asyncio.wait_for(sender.settle(), 10)
        assert [text for text, _ in await received(world)] == ["given up"]


async def test_a_declaration_that_has_ended_lets_nothing_go_that_waited_under_it(tmp_path):
    async with sharing(tmp_path, into_force=False) as shared:
        shared.treaty.text += "".join(clause_text(one, *fields) for one, fields in CLAUSES.items()).encode()
        officers, clock = await Officers(shared).accredit(), shared.world.clock
        await shared.treaty.into_force()
        duty1 = officers.held(shared.world.xar, "duty1")
        async with shared.node("XAR", now_ms=clock.now_ms) as sender:
            declared, log_index = await officers.take(ActKind.DECLARE, duty1, valid_until=wall_ms() + HOUR)
            while (pin := sender.mirror.pin(AGREEMENT)) is None or pin.size <= log_index:
                await sender.refresh()
            flash = report("two boats", precedence="flash", emergency=declared.digest)
            held = await sender.await_approval(flash, agreement=AGREEMENT)
            clock.committed(wall_ms() + HOUR)
            place = shared.access("XAR").place
            offline = OfflineNode(sender.mirror, sender.identity, place.outbox, now_ms=clock.now_ms)
            late = offline.approve(held.report.report_id, approver(duty1))
            assert isinstance(late.refusal, MalformedError)
            assert "is not valid for XAR now" in waiting_words(late)
            assert await sender._sender._awaiting.release_ready() == ()
