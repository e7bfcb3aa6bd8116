"""An officer who reads: the log says so before the report is acknowledged, and the sender sees it."""

from __future__ import annotations

import asyncio
import contextlib
import uuid

import pytest

from builders_acting import Officers, refreshed, wall_ms
from builders_every_kind import clause_text
from builders_readers import PURPOSE, USE, Readers, reading, reading_officer
from builders_sdk import AGREEMENT, sharing
from comity.errors import ConflictError, NotFoundError, UnreachableError
from comity.node import read_first
from comity.node.alarms import AlarmKind
from comity.node.handled import handled
from comity.node.holders import holders_of
from comity.node.officer_says import OfficerSays
from comity.node.register import Register
from comity.node.reports import ReportState
from comity_broker import handlings
from comity_policy.acts import ActKind
from comity_policy.facts import Role, Use

MINUTE = 60_000
PRECEDENCE = clause_text(
    "28", "precedence", 'flash = ["node"]\nimmediate = ["node"]\nread_within = { ROUTINE = { minutes = 16 } }'
)
CONTACTS = clause_text(
    "29",
    "authorities",
    'contacts = [{ party = "XBO", role = "duty desk", name = "Desk", contact = "+000 1" }, '
    '{ party = "XBO", role = "second desk", name = "Other", contact = "+000 2" }]',
)


async def kinds(world):
    reader = world.shared.world.broker.logs._reader
    entries = await reader.entries(AGREEMENT, 0, 4096)
    return [entry.kind for entry in entries if entry.kind in {"DELIVERED", "READ", "ACTIONED", "ACKNOWLEDGED"}]


async def seen(world, party, at=None):
    """Give where the reports of the agreement stand at each party, as one of them sees it."""
    async with world.shared.node(party) as node:
        mirror = await refreshed(node, world.shared.world.broker)
        rows = [row async for row in node.reports(AGREEMENT)]
        admissions = {row.report_id: row.log_index for row in rows}
        return handled(mirror, AGREEMENT, admissions, wall_ms() if at is None else at), rows


async def standing(world, report_id):
    """Give where the report stands at each holder, as its originator sees it."""
    async with world.shared.node("XAR") as node:
        mirror = await refreshed(node, world.shared.world.broker)
        return [one.standing for one in holders_of(mirror, report_id, AGREEMENT).holders]


async def test_what_an_officer_reads_is_said_before_it_is_acknowledged_and_the_sender_sees_it(tmp_path):
    async with reading(tmp_path, PRECEDENCE, CONTACTS) as world:
        analyst = await world.officer("analyst1")
        for number in range(3):
            await world.send(f"boat {number}")
        assert (await world.read(analyst)).texts == ["boat 0", "boat 1", "boat 2"]
        found = await kinds(world)
        assert set(found) == {"DELIVERED", "READ", "ACKNOWLEDGED"}
        assert found.index("READ") < found.index("ACKNOWLEDGED")
        for party in ("XAR", "XBO"):
            stand, rows = await seen(world, party)
            assert len(stand) == len(rows) == 3
            assert {(one.party, one.read.officer, one.read.role) for one in stand} == {
                ("XBO", "XBO/analyst1", "liaison")
            }
            assert not any(one.overdue or one.read_late or one.now_alerting for one in stand)
        assert await world.states() == [ReportState.DONE] * 3


async def test_a_machine_that_receives_says_nothing_of_reading_and_the_clock_goes_on(tmp_path):
    async with reading(tmp_path, PRECEDENCE, CONTACTS) as world:
        analyst = await world.officer("analyst1")
        await world.send("two boats")
        await world.read()
        assert "READ" not in await kinds(world)
        (one,), (row,) = await seen(world, "XAR")
        assert (one.read, one.due_ms, one.overdue) == (None, one.handed_ms + 16 * MINUTE, False)
        for waited, contact, overdue in ((0, "Desk", False), (8, "Other", False), (17, "Other", True)):
            (one,), _ = await seen(world, "XAR", one.handed_ms + waited * MINUTE)
            assert (one.now_alerting.name, one.overdue) == (contact, overdue)
        async with world.shared.node("XBO") as node:
            await node.action([row.report_id], agreement=AGREEMENT, reader=reading_officer(analyst), note="Under way.")
            with pytest.raises(NotFoundError):
                await node.action([uuid.UUID(int=7)], agreement=AGREEMENT, reader=reading_officer(analyst))
        (one,), _ = await seen(world, "XAR", one.handed_ms + 17 * MINUTE)
        assert [(said.officer, said.note) for said in one.actions] == [("XBO/analyst1", "Under way.")]
        assert (one.read.officer, one.now_alerting, one.overdue) == ("XBO/analyst1", None, False)


async def test_who_reads_later_what_a_machine_took_says_so(tmp_path):
    async with reading(tmp_path, PRECEDENCE, USE) as world:
        analyst = await world.officer("analyst1")
        await world.send("two boats")
        assert (await world.read(answer=True)).texts == ["two boats"]
        (one,), (row,) = await seen(world, "XAR")
        assert one.read is None

        async def acknowledge(_):
            return True

        async with world.shared.node("XBO") as node:
            given = {"use": Use.READ, "purpose": PURPOSE, "acknowledge": acknowledge, "whole": True}
            assert (await node.reopen(row.report_id, **given)).text == "two boats"
            assert "READ" not in await kinds(world), "nobody in particular read it"
            found = await node.reopen(row.report_id, reader=reading_officer(analyst), **given)
            assert found.text == "two boats"
        (one,), _ = await seen(world, "XAR")
        assert one.read.officer == "XBO/analyst1"


async def test_a_report_of_an_exercise_opens_again_and_nothing_is_said_of_it(tmp_path):
    """What officers say is of real reports: the broker would refuse the word, and the report would not open for it."""
    async with reading(tmp_path, PRECEDENCE, USE) as world:
        analyst = await world.officer("analyst1")
        await world.send("play", exercise=True)
        assert (await world.read(analyst, answer=True, exercise=True)).texts == ["play"]

        async def acknowledge(_):
            return True

        async with world.shared.node("XBO") as node:
            (report_id,) = [row.report_id async for row in node.reports(AGREEMENT, exercise=True)]
            given = {"use": Use.READ, "purpose": PURPOSE, "acknowledge": acknowledge, "whole": True}
            assert (await node.reopen(report_id, reader=reading_officer(analyst), **given)).text == "play"
            assert node.alarms() == ()
        assert await kinds(world) == []


async def test_what_an_officer_reads_again_is_a_reading(tmp_path):
    async with reading(tmp_path, PRECEDENCE, USE) as world:
        analyst = await world.officer("analyst1")
        await world.send("two boats")
        assert (await world.read(answer=True)).texts == ["two boats"]
        asked, why = [], []

        async def acknowledge(shown):
            assert "READ" not in await kinds(world), "nothing is read before its caveat is acknowledged"
            asked.append(shown.caveat.caveat)
            return True

        async with world.shared.node("XBO") as node:
            given = {"agreement": AGREEMENT, "from_entry": 1, "purpose": PURPOSE, "reader": reading_officer(analyst)}
            assert [one async for one in node.replay(**given, told=why.append)] == []
            assert [one.reason for one in why] == ["waits for another opening: caveats"]
            (again,) = [one async for one in node.replay(**given, acknowledge=acknowledge)]
            assert (again.report.text, asked) == ("two boats", ["For intelligence only."])
            assert await kinds(world) == ["DELIVERED", "ACKNOWLEDGED", "READ"]
            with contextlib.closing(Register(node._access.place.register)) as register:
                assert [one.reader for one in register.openings(again.report.report_id.bytes)] == [
                    "XBO/n1",
                    "XBO/analyst1",
                ]
                assert register.waiting("default") == (), "nothing was parked, so nothing waits to be asked for"
        (one,), _ = await seen(world, "XAR")
        assert one.read.officer == "XBO/analyst1"
        assert await world.states() == [ReportState.DONE]


async def test_what_the_broker_refuses_is_an_alarm_and_the_report_is_acknowledged(tmp_path, monkeypatch):
    monkeypatch.setattr(handlings, "LIMIT", 0)
    async with reading(tmp_path, PRECEDENCE) as world:
        analyst = await world.officer("analyst1")
        await world.send("two boats")
        assert (await world.read(analyst)).texts == ["two boats"]
        assert await world.states() == [ReportState.DONE]
        async with world.shared.node("XBO") as node:
            assert [one.kind for one in node.alarms()] == [AlarmKind.READING_REFUSED]


async def test_what_could_not_be_said_is_not_acknowledged_and_comes_again(tmp_path, monkeypatch):
    monkeypatch.setattr(read_first, "CLOSE_SECONDS", 0.2)
    tried = asyncio.Event()

    async def away(*_args, **_more):
        tried.set()
        raise UnreachableError("the broker is away")

    async with reading(tmp_path, PRECEDENCE) as world:
        analyst = await world.officer("analyst1")
        await world.send("two boats")
        async with world.shared.node("XBO") as node:
            with monkeypatch.context() as patch:
                patch.setattr(OfficerSays, "say", away)
                async for delivery in node.receive(reader=reading_officer(analyst), purpose=PURPOSE):
                    settling = asyncio.ensure_future(delivery.settled())
                    await tried.wait()
                    break
                with pytest.raises(asyncio.CancelledError):
                    await settling
        assert "ACKNOWLEDGED" not in await kinds(world)
        assert (await world.read(analyst)).texts == ["two boats"]
        assert {"READ", "ACKNOWLEDGED"} <= set(await kinds(world))


async def test_a_word_signed_under_an_earlier_version_is_said_anew(tmp_path):
    async with reading(tmp_path, PRECEDENCE) as world:
        analyst = await world.officer("analyst1")
        await world.send("two boats")
        async with world.shared.node("XBO") as node:
            async for delivery in node.receive(reader=reading_officer(analyst), purpose=PURPOSE):
                await world.amend(world.shared.treaty.text.replace(b"minutes = 16", b"minutes = 17"))
                await delivery.settled()
                break
        assert {"READ", "ACKNOWLEDGED"} <= set(await kinds(world))


async def test_a_word_that_the_broker_should_not_have_taken_reads_nothing(tmp_path, monkeypatch):
    async with reading(tmp_path, PRECEDENCE) as world:
        await world.send("two boats")
        await world.read()
        (one,), (row,) = await seen(world, "XAR")
        officers = await Officers(world.shared).accredit()
        theirs, ours = (officers.held(nation, "liaison1") for nation in (world.shared.world.xar, world.xbo))
        about = {"originator": "XAR", "reports": (row.report_id.hex,), "leaves": (row.leaf.hex(),)}
        acts = type(world.shared.world.broker.monitor.duties.acts)
        with monkeypatch.context() as patch:
            patch.setattr(acts, "_check_signers", lambda *_: None)
            patch.setattr(acts, "_check_admissible", lambda *_: None)
            for forged in (
                officers.signed(ActKind.READ, theirs, **about, party="XBO", officer=ours.name),
                officers.signed(ActKind.READ, ours, **about, role=Role.DUTY_OFFICER),
                officers.signed(ActKind.READ, ours, **about, agreement_digest="00" * 48),
                officers.signed(ActKind.READ, ours, **about, made_at=wall_ms() - 80 * 60 * MINUTE),
                officers.signed(ActKind.READ, ours, also=(theirs,), **about),
            ):
                await officers.submit(forged, ours)
        (one,), _ = await seen(world, "XAR", one.handed_ms + 17 * MINUTE)
        assert (one.read, one.overdue) == (None, True)
        assert await standing(world, row.report_id) == ["delivered"]
        await officers.take(ActKind.READ, ours, **about)
        (one,), _ = await seen(world, "XAR")
        assert one.read.officer == "XBO/liaison1"
        assert await standing(world, row.report_id) == ["read"]


async def test_nothing_is_said_where_the_agreement_does_not_have_it(tmp_path):
    async with sharing(tmp_path, into_force=False) as shared:
        shared.treaty.text = without_precedence(shared.treaty.text)
        await shared.treaty.into_force()
        world = Readers(shared)
        analyst = await world.officer("analyst1")
        await world.send("two boats")
        assert (await world.read(analyst)).texts == ["two boats"]
        assert set(await kinds(world)) == {"DELIVERED", "ACKNOWLEDGED"}
        (one,), (row,) = await seen(world, "XAR")
        assert (one.read, one.due_ms, one.now_alerting) == (None, None, None)
        async with world.shared.node("XBO") as node:
            with pytest.raises(ConflictError):
                await node.action([row.report_id], agreement=AGREEMENT, reader=reading_officer(analyst))


def without_precedence(text: bytes) -> bytes:
    first, *clauses = text.split(b"[[clause]]")
    return b"[[clause]]".join([first, *(one for one in clauses if b'kind = "precedence"' not in one)])
