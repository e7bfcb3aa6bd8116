"""The ledger of duties at a broker that runs: what is late stops what is not urgent, and is told once each way."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise

import pytest

from builders_acting import Officers, answering, refreshed, wall_ms
from builders_approvals import approver
from builders_every_kind import clause_text
from builders_sdk import AGREEMENT, report, sharing
from builders_three import three_nations
from comity import canonical
from comity.errors import RefusedError
from comity.node.duties import Facts, duties_of
from comity.node.reports import ParkedAction, ReportState
from comity_broker import duties as ledger
from comity_policy.acts import ActKind
from comity_policy.obligations import DutyKind, DutyState

MINUTE = 60_000
DAY = 24 * 60 * MINUTE
ACKNOWLEDGE = clause_text("27", "acknowledge", "within = { ROUTINE = { minutes = 10 } }\nstop_after = { minutes = 5 }")
LATE = [("DUTY_OVERDUE", "acknowledge", "XBO")]


async def handed(reader):
    """Let XBO be handed a report and not answer for it."""
    async for _ in reader.receive(purpose="counter-terrorism"):
        return


async def test_a_late_answer_stops_what_is_not_urgent_until_it_is_given(tmp_path):
    async with sharing(tmp_path, into_force=False) as shared:
        shared.treaty.text += ACKNOWLEDGE.encode()
        await shared.treaty.into_force()
        officers = await Officers(shared).accredit()
        awake = [approver(officers.held(shared.world.xar, "duty1"))]
        broker, clock = shared.world.broker, shared.world.clock
        asked = broker.monitor.duties.overdue
        async with shared.node("XAR") as sender, shared.node("XBO") as reader:
            await sender.send(report(), agreement=AGREEMENT)
            await handed(reader)
            await broker.monitor.look()
            assert asked(AGREEMENT, "XBO", wall_ms()) == frozenset()
            later = wall_ms() + 16 * MINUTE
            assert asked(AGREEMENT, "XBO", later) == {"27"}
            assert asked(AGREEMENT, "XAR", later) == frozenset()
            clock.committed(later)
            with pytest.raises(RefusedError) as caught:
                await sender.send(report("three boats"), agreement=AGREEMENT)
            assert {one.clause_id for one in caught.value.clauses} == {"27"}
            await sender.send(report("four boats", precedence="flash"), agreement=AGREEMENT, approved_by=awake)
            await broker.monitor.look()
            await broker.monitor.look()
            assert await officers.told(DutyKind.ACKNOWLEDGE) == LATE
            await answering(reader)
            await broker.monitor.look()
            assert asked(AGREEMENT, "XBO", later) == frozenset()
            await sender.send(report("three boats"), agreement=AGREEMENT)
            await broker.monitor.look()
            told = await officers.told(DutyKind.ACKNOWLEDGE)
            assert told == [*LATE, ("DUTY_DONE", "acknowledge", "XBO")]


async def test_only_who_is_late_is_refused(tmp_path):
    for_both = {"marking": "SECRET//REL TO XAR, XBO, XDE"}
    async with three_nations(tmp_path, ACKNOWLEDGE) as shared:
        broker, clock = shared.world.broker, shared.world.clock
        async with shared.node("XAR") as sender, shared.node("XBO") as late, shared.node("XDE") as prompt:
            await sender.send(report(**for_both), agreement=AGREEMENT)
            await handed(late)
            await answering(prompt)
            await broker.monitor.look()
            clock.committed(wall_ms() + 16 * MINUTE)
            with pytest.raises(RefusedError) as caught:
                await sender.send(report("two boats"), agreement=AGREEMENT)
            assert [one.recipient_party for one in caught.value.clauses if one.clause_id == "27"] == ["XBO"]
            receipt = await sender.send(report("three boats", **for_both), agreement=AGREEMENT)
            assert [name for name, _ in receipt.recipients] == ["XDE/n1"]
            assert receipt.refused_parties == ("XBO",)
            assert await texts_of(prompt) == ["three boats"]


async def test_what_a_reader_gave_up_is_missed_and_never_done(tmp_path):
    async with sharing(tmp_path, into_force=False) as shared:
        shared.treaty.text += ACKNOWLEDGE.encode()
        await shared.treaty.into_force()
        officers, broker, clock = Officers(shared), shared.world.broker, shared.world.clock
        missed = [*LATE, ("DUTY_MISSED", "acknowledge", "XBO")]
        async with shared.node("XAR") as sender, shared.node("XBO") as reader:
            await sender.send(report(), agreement=AGREEMENT)
            async for delivery in reader.receive(follow=False, purpose="counter-terrorism"):
                delivery.park("nobody here reads this")
            await broker.monitor.look()
            clock.committed(wall_ms() + 16 * MINUTE)
            await broker.monitor.look()
            (row,) = [one async for one in reader.reports(AGREEMENT, states=(ReportState.PARKED,))]
            await reader.resolve_parked([row.ref], ParkedAction.DROP)
            for _ in range(2):
                await broker.monitor.look()
            assert await officers.told(DutyKind.ACKNOWLEDGE) == missed
            assert broker.monitor.duties.overdue(AGREEMENT, "XBO", clock.now_ms()) == frozenset()
            owed = duties_of(await refreshed(sender, broker), AGREEMENT, clock.now_ms()).of("XBO")
            assert [one.state for one in owed if one.duty.kind is DutyKind.ACKNOWLEDGE] == [DutyState.MISSED]
        world = shared.world
    async with sharing(tmp_path, into_force=False, world=world) as again:
        await again.world.broker.monitor.look()
        assert await Officers(again).told(DutyKind.ACKNOWLEDGE) == missed


async def texts_of(reader):
    """Let a node answer for everything it is handed; give the texts."""
    found = []
    async for delivery in reader.receive(follow=False, purpose="counter-terrorism"):
        async with delivery:
            found.append(delivery.report.portions[0].content.decode())
    return found


async def test_what_is_owed_is_known_before_anything_is_admitted_after_a_start(tmp_path):
    async with sharing(tmp_path, into_force=False) as shared:
        shared.treaty.text += ACKNOWLEDGE.encode()
        await shared.treaty.into_force()
        async with shared.node("XAR") as sender, shared.node("XBO") as reader:
            await sender.send(report(), agreement=AGREEMENT)
            await handed(reader)
        world = shared.world
    async with sharing(tmp_path, into_force=False, world=world) as again:
        assert again.world.broker.monitor.duties.overdue(AGREEMENT, "XBO", wall_ms() + DAY) == {"27"}


async def test_an_ended_keeping_is_told_of_once_and_done_by_its_certificate(tmp_path):
    async with sharing(tmp_path, into_force=False) as shared:
        shared.treaty.text = re.sub(rb"longest = {[^}]*}", b"longest = { days = 3 }", shared.treaty.text)
        await shared.treaty.into_force()
        officers = await Officers(shared).accredit()
        broker, clock = shared.world.broker, shared.world.clock
        async with shared.node("XAR") as sender, shared.node("XBO") as reader:
            sent = await sender.send(report(), agreement=AGREEMENT)
            await answering(reader)
            await broker.monitor.look()
            kept = next(
                one
                for one in duties_of(await refreshed(reader, broker), AGREEMENT, wall_ms()).of("XBO")
                if one.duty.kind is DutyKind.END_KEEPING
            )
            assert (kept.state, kept.duty.due_ms) == (DutyState.OPEN, kept.duty.since_ms + 3 * DAY)
            clock.committed(kept.duty.due_ms)
            await broker.monitor.look()
            assert await officers.told(DutyKind.END_KEEPING) == []
            clock.committed(kept.duty.due_ms + 1)
            for _ in range(3):
                await broker.monitor.look()
            over = ("DUTY_OVERDUE", "end-keeping", "XBO")
            assert await officers.told(DutyKind.END_KEEPING) == [over]
            security = officers.held(shared.world.xbo, "security1")
            about = {"originator": "XAR", "reports": (sent.report_id.hex,), "leaves": (sent.leaf.hex(),)}
            await officers.take(ActKind.CERTIFY, security, **about, made_at=clock.now_ms())
            for _ in range(2):
                await broker.monitor.look()
            assert await officers.told(DutyKind.END_KEEPING) == [over, ("DUTY_DONE", "end-keeping", "XBO")]


async def test_a_look_reads_no_more_than_so_many_ended_keepings_and_the_next_goes_on(tmp_path, monkeypatch):
    assert ledger._KEEPINGS_A_LOOK == 256
    monkeypatch.setattr(ledger, "_KEEPINGS_A_LOOK", 2)
    async with sharing(tmp_path, into_force=False) as shared:
        shared.treaty.text = re.sub(rb"longest = {[^}]*}", b"longest = { days = 3 }", shared.treaty.text)
        await shared.treaty.into_force()
        officers, broker, clock = Officers(shared), shared.world.broker, shared.world.clock
        async with shared.node("XAR") as sender, shared.node("XBO") as reader:
            for _ in range(5):
                await sender.send(report(), agreement=AGREEMENT)
                await answering(reader)
        assert (await officers.kinds()).count("DELIVERED") == 5
        await broker.monitor.look()
        clock.committed(clock.now_ms() + 4 * DAY)
        told = [0]
        while told[-1] < 5 and len(told) < 9:
            await broker.monitor.look()
            told.append(len(await officers.told(DutyKind.END_KEEPING)))
        assert told[-1] == 5
        assert all(0 <= after - before <= 2 for before, after in pairwise(told)), told


async def test_an_acknowledgement_that_the_recipients_node_did_not_sign_ends_no_duty(tmp_path):
    async with sharing(tmp_path, into_force=False) as shared:
        shared.treaty.text += ACKNOWLEDGE.encode()
        await shared.treaty.into_force()
        async with shared.node("XAR") as sender, shared.node("XBO") as reader:
            await sender.send(report(), agreement=AGREEMENT)
            await answering(reader)
            mirror = await refreshed(sender, shared.world.broker)
            owed = duties_of(mirror, AGREEMENT, wall_ms()).of("XBO")
            assert [one.state for one in owed if one.duty.kind is DutyKind.ACKNOWLEDGE] == [DutyState.DONE]
            honest, forged = Facts(mirror.directory, AGREEMENT), Facts(mirror.directory, AGREEMENT)
            for entry in mirror.entries_of(AGREEMENT, frozenset({"SUBMIT_ACCEPTED", "ACKNOWLEDGED"})):
                honest.take(entry, "XAR")
                forged.take(signed_by_nobody(entry) if entry.kind == "ACKNOWLEDGED" else entry, "XAR")
    assert len(honest.answers) == 1
    assert forged.answers == []


def signed_by_nobody(entry):
    own = entry.own("XAR")
    flipped = f"{int(own['signature'][:2], 16) ^ 1:02x}{own['signature'][2:]}"
    body = canonical.dumps({**own, "signature": flipped})
    return replace(entry, parts={**entry.parts, "XAR": replace(entry.parts["XAR"], body=body)})
