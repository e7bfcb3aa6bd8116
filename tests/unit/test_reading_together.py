"""Reports that several openings open between them, and what begins to ask later: read by all who may, then acknowledged, once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders_every_kind import clause_text
from builders_readers import CLEARED, NEED, PURPOSE, USE, reading
from comity.node.alarms import AlarmKind
from comity.node.listing import resolve_parked
from comity.node.register import Register
from comity.node.reports import ParkedAction, ReportRow, ReportState
from comity.portion import Portion
from comity_policy.facts import Use
from comity_policy.readers import Lack

COPIES = clause_text(
    "46",
    "reproduction",
    'rows = [{ party = "XAR", level = "UNCLASSIFIED", copies = "consent" }, '
    '{ party = "XAR", level = "SECRET", copies = "free" }]',
)
HEADING = Portion.of_text("a heading", "UNCLASSIFIED//REL TO XAR, XBO")
SOURCE = Portion.of_text("the source", "SECRET//REL TO XAR, XBO")


# --- several openings -----------------------------------------------------------------------------------------------


async def test_a_report_that_two_openings_opened_between_them_is_acknowledged(tmp_path):
    async with reading(tmp_path, CLEARED, COPIES) as world:
        analyst = await world.officer("analyst1")
        await world.send("", HEADING, SOURCE)
        assert (await world.read()).texts == ["a heading"]
        assert await world.states() == [ReportState.PARKED]
        copied = await world.read(analyst, use=Use.COPY)
        assert (copied.texts, copied.waiting) == (["the source"], [])
        assert await world.states() == [ReportState.DONE]
        assert (await world.read(analyst)).texts == []


async def test_what_one_opening_had_and_gave_back_was_not_read(tmp_path):
    async with reading(tmp_path, CLEARED, COPIES) as world:
        analyst = await world.officer("analyst1")
        await world.send("", HEADING, SOURCE)
        async with world.shared.node("XBO") as node:
            async for delivery in node.receive(follow=False, purpose=PURPOSE):
                delivery.park("nobody has looked at it")
        assert await world.states() == [ReportState.PARKED]
        copied = await world.read(analyst, use=Use.COPY)
        assert copied.texts == ["the source"]
        assert await world.states() == [ReportState.PARKED]
        # To whoever parked it it does not come by itself; whoever may opens the rest.
        assert (await world.read()).texts == []
        assert (await world.read(analyst)).texts == ["a heading\n\nthe source"]
        assert await world.states() == [ReportState.DONE]


async def test_readers_who_take_turns_are_each_asked_once(tmp_path):
    async with reading(tmp_path, NEED, CLEARED) as world:
        first, second = [await world.officer(name, clearance=None) for name in ("clerk1", "clerk2")]
        await world.send("", HEADING, SOURCE)
        given = [await world.read(who) for who in (first, second, first, second)]
        assert [len(one.waiting) for one in given] == [1, 1, 0, 0]


async def test_a_consumer_of_its_own_reads_all_of_it_itself(tmp_path):
    async with reading(tmp_path, CLEARED, COPIES) as world:
        analyst = await world.officer("analyst1")
        await world.send("", HEADING, SOURCE)
        assert (await world.read()).texts == ["a heading"]
        archived = await world.read(analyst, use=Use.COPY, consumer="archive")
        assert (archived.texts, [one.lacks for one in archived.waiting]) == (["the source"], [{Lack.USE}])


async def test_the_register_says_which_portions_were_opened_by_whom(tmp_path):
    async with reading(tmp_path, CLEARED, COPIES) as world:
        analyst = await world.officer("analyst1")
        await world.send("", HEADING, SOURCE)
        (waits,) = (await world.read()).waiting
        await world.read(analyst, use=Use.COPY)
        register = Register(world.shared.access("XBO").place.register)
        try:
            openings = register.openings(waits.report_id.bytes)
        finally:
            register.close()
        assert [(one.reader, one.use, one.portions) for one in openings] == [
            ("XBO/n1", Use.READ, {0}),
            ("XBO/analyst1", Use.COPY, {1}),
        ]


# --- a caveat that could not be shown -------------------------------------------------------------------------------


async def test_the_same_reader_is_asked_again_for_a_caveat_once_there_is_somebody_to_ask(tmp_path):
    async with reading(tmp_path, CLEARED, USE) as world:
        await world.send("", HEADING, SOURCE)
        (waits,) = (await world.read()).waiting
        assert waits.lacks == {Lack.READER, Lack.CAVEATS}
        asked = await world.read(answer=True)
        assert (len(asked.shown), asked.texts) == (1, ["a heading"])
        assert await world.states() == [ReportState.PARKED]


async def test_whoever_tried_in_between_does_not_keep_the_reader_from_being_asked(tmp_path):
    async with reading(tmp_path, CLEARED, USE) as world:
        analyst = await world.officer("analyst1")
        await world.send("two boats")
        assert [one.lacks for one in (await world.read(analyst)).waiting] == [{Lack.CAVEATS}]
        assert [one.lacks for one in (await world.read(answer=True)).waiting] == [{Lack.READER, Lack.CAVEATS}]
        assert (await world.read(analyst, answer=True)).texts == ["two boats"]


# --- a report that is gone ------------------------------------------------------------------------------------------


async def alarms(world) -> list[tuple[str, str]]:
    async with world.shared.node("XBO") as node:
        return [(one.kind.value, one.detail) for one in node.alarms()]


async def waiting_report(world) -> ReportRow:
    """Have a report wait for a reader; give it as the broker lists it."""
    await world.send("two boats")
    await world.read()
    async with world.shared.node("XBO") as node:
        (row,) = [row async for row in node.reports()]
    return row


@pytest.mark.parametrize("action", ParkedAction)
async def test_what_this_nodes_people_made_of_a_waiting_report_is_no_alarm(tmp_path, action):
    async with reading(tmp_path, CLEARED) as world:
        analyst = await world.officer("analyst1")
        row = await waiting_report(world)
        async with world.shared.node("XBO") as node:
            await node.resolve_parked([row.ref], action)
        assert (await world.read(analyst)).texts == ([] if action is ParkedAction.DROP else ["two boats"])
        assert await alarms(world) == []


async def test_a_waiting_report_that_the_broker_dropped_by_itself_is_an_alarm(tmp_path):
    async with reading(tmp_path, CLEARED) as world:
        analyst = await world.officer("analyst1")
        row = await waiting_report(world)
        async with world.shared.node("XBO") as node:
            await resolve_parked(node.connection, [row.ref], ParkedAction.DROP, "default")
        assert (await world.read(analyst)).texts == []
        ((kind, detail),) = await alarms(world)
        assert kind == AlarmKind.UNEXPLAINED
        assert "DROPPED" in detail


async def test_a_waiting_report_that_the_broker_does_not_know_is_an_alarm_until_it_expires(tmp_path):
    async with reading(tmp_path, CLEARED) as world:
        analyst = await world.officer("analyst1")
        row = await waiting_report(world)
        register = Register(world.shared.access("XBO").place.register)
        try:
            (line,) = register.waiting("default")
            lost = replace(line, report_id=b"x" * 16, leaf=b"l" * 48, segment_id=b"s" * 48)
            register.wait(lost, "", ())
            register.wait(replace(lost, report_id=b"y" * 16, leaf=b"m" * 48, expires_at=1), "", ())
        finally:
            register.close()
        assert (await world.read(analyst)).texts == ["two boats"]
        assert row.report_id.bytes != lost.report_id
        ((kind, detail),) = await alarms(world)
        assert (kind, "knows nothing of it" in detail) == (AlarmKind.UNEXPLAINED, True)
        assert (await world.read(analyst)).waiting == []
        assert len(await alarms(world)) == 1


# --- what asks later ------------------------------------------------------------------------------------------------


def openings(world, report_id: bytes) -> list[tuple[str, frozenset[int]]]:
    register = Register(world.shared.access("XBO").place.register)
    try:
        return [(one.reader, one.portions) for one in register.openings(report_id)]
    finally:
        register.close()


async def sent(world) -> bytes:
    """Send a report; give its id."""
    await world.send("two boats")
    async with world.shared.node("XBO") as node:
        (row,) = [row async for row in node.reports()]
    return row.report_id.bytes


@pytest.mark.parametrize("later", ["caveat", "version"])
async def test_a_clause_that_begins_to_ask_after_the_admission_begins_the_register(tmp_path, later):
    async with reading(tmp_path) as world:
        analyst = await world.officer("analyst1")
        report_id = await sent(world)
        if later == "caveat":
            await world.caveat(NEED)
        else:
            await world.amend(world.shared.treaty.text + NEED.encode())
        assert (await world.read()).texts == []
        assert openings(world, report_id) == []
        assert (await world.read(analyst)).texts == ["two boats"]
        assert openings(world, report_id) == [("XBO/analyst1", {0})]


async def test_other_words_under_the_same_clause_are_acknowledged_anew(tmp_path):
    async with reading(tmp_path, CLEARED, USE) as world:
        clerk, analyst = await world.officer("clerk1", clearance=None), await world.officer("analyst1")
        await world.send("", HEADING, SOURCE)
        first = await world.read(clerk, answer=True)
        assert [one.caveat.caveat for one in first.shown] == ["For intelligence only."]
        text = world.shared.treaty.text.replace(b"For intelligence only.", b"For nobody's eyes.")
        await world.amend(text)
        # The clerk acknowledged the words of before, the analyst neither.
        again = await world.read(clerk, answer=True, use=Use.ACTION)
        assert ([one.caveat.caveat for one in again.shown], again.texts) == (["For nobody's eyes."], ["a heading"])
        opened = await world.read(analyst, answer=True)
        assert {one.caveat.caveat for one in opened.shown} == {"For intelligence only.", "For nobody's eyes."}
        assert opened.texts == ["a heading\n\nthe source"]


# --- purposes -------------------------------------------------------------------------------------------------------


async def test_the_senders_purpose_is_not_the_readers(tmp_path):
    async with reading(tmp_path) as world:
        await world.send("two boats")
        given = await world.read(purpose=())
        assert (given.texts, [one.lacks for one in given.waiting]) == ([], [{Lack.PURPOSE}])
        assert [(one.kind, one.remedy.command) for one in given.waiting[0].refused] == [
            ("purpose", f"comity receive --purpose {PURPOSE}")
        ]
        assert await world.states() == [ReportState.PARKED]
        # Without a purpose it is not asked for again, with another one in vain, with it among several it comes.
        assert (await world.read(purpose=())).waiting == []
        assert (await world.read(purpose="threat-to-life")).texts == []
        assert (await world.read(purpose=("threat-to-life", PURPOSE))).texts == ["two boats"]
        assert await world.states() == [ReportState.DONE]
