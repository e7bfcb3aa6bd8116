"""Waking people for FLASH reports at a node: the first at once, the next by the clock, nobody once it was read."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from uuid import UUID

from builders_acting import Officers, answering, refreshed, wall_ms
from builders_approvals import approver
from builders_every_kind import clause_text
from builders_sdk import AGREEMENT, report, sharing, until
from comity.node.alerting import LEFT_TO_THE_DESK_MS, Alerting
from comity_policy.acts import ActKind
from comity_policy.facts import Precedence

MINUTE = 60_000
FLASH = clause_text(
    "28", "precedence", 'flash = ["duty-officer"]\nimmediate = ["node"]\nread_within = { FLASH = { minutes = 8 } }'
)


@dataclass
class Noting:
    """A contact that notes what it is told."""

    name: str
    works: bool = True
    facts: list[dict] = field(default_factory=list)

    async def wake(self, facts):
        self.facts.append(dict(facts))
        return self.works


@dataclass
class Clock:
    now: int

    def __call__(self):
        return self.now


@dataclass
class Waked:
    """Two or more contacts, who of them was woken, and the clock."""

    alerting: Alerting
    contacts: list[Noting]
    told: list
    clock: Clock

    async def look(self, *counts):
        """Let whose turn it is be woken; check how often each was by then."""
        self.alerting._look()
        await until(lambda: not self.alerting._waking)
        assert tuple(len(one.facts) for one in self.contacts) == counts


@contextlib.asynccontextmanager
async def flash(path, *works, handed=True):
    """A FLASH report at XBO's node, and its contacts; give the node's alerts, the officers, the report's id and its reader."""
    async with sharing(path, into_force=False) as shared:
        shared.treaty.text += FLASH.encode()
        await shared.treaty.into_force()
        officers = await Officers(shared).accredit()
        awake = [approver(officers.held(shared.world.xar, "duty1"))]
        async with shared.node("XAR") as sender, shared.node("XBO") as node:
            sent = await sender.send(report(precedence="flash"), agreement=AGREEMENT, approved_by=awake)
            if handed:
                await answering(node)
            await refreshed(node, shared.world.broker)
            clock, told = Clock(wall_ms()), []
            contacts = [Noting(f"contact{number}", one) for number, one in enumerate(works)]
            alerting = Alerting(node.mirror, contacts, precedences={Precedence.FLASH}, told=told.append, now_ms=clock)
            try:
                yield Waked(alerting, contacts, told, clock), officers, sent, node
            finally:
                await alerting.close()


async def test_contacts_are_woken_one_after_the_other_by_the_clock(tmp_path):
    async with flash(tmp_path, True, True, True, handed=False) as (waked, _, sent, _node):
        waked.alerting.arrived(AGREEMENT, sent.report_id, "XAR/n1", 1)
        waked.alerting.arrived(AGREEMENT, sent.report_id, "XAR/n1", 1)
        await waked.look(1, 0, 0)
        begun = waked.clock.now
        for minutes, counts in ((3, (1, 0, 0)), (4, (1, 1, 0)), (5, (1, 1, 0)), (6, (1, 1, 1)), (60, (1, 1, 1))):
            waked.clock.now = begun + minutes * MINUTE
            await waked.look(*counts)
        assert not waked.alerting._watched
        (facts,) = waked.contacts[1].facts
        assert facts | {"reading_due": ""} == {
            "report_id": str(sent.report_id),
            "agreement_id": AGREEMENT,
            "originator": "XAR",
            "precedence": "FLASH",
            "exercise": "no",
            "reading_due": "",
            "contact": 2,
            "contacts": 3,
        }
        assert facts["reading_due"].endswith("Z")
        assert [(one.contact, one.woken) for one in waked.told] == [(1, True), (2, True), (3, True)]


async def test_for_an_exercise_the_first_alone_is_woken_and_told_that_it_is_one(tmp_path):
    async with flash(tmp_path, True, True, handed=False) as (waked, _, sent, _node):
        waked.alerting.arrived(AGREEMENT, sent.report_id, "XAR/n1", 6)
        await waked.look(1, 0)
        waked.clock.now += 60 * MINUTE
        await waked.look(1, 0)
        (facts,) = waked.contacts[0].facts
        assert (facts["precedence"], facts["exercise"]) == ("FLASH", "yes")


async def test_who_cannot_be_woken_hands_on_to_the_next_at_once(tmp_path):
    async with flash(tmp_path, False, False, True, handed=False) as (waked, _, sent, _node):
        waked.alerting.arrived(AGREEMENT, sent.report_id, "XAR/n1", 1)
        await waked.look(1, 1, 1)
        assert [(one.contact, one.woken) for one in waked.told] == [(1, False), (2, False), (3, True)]


async def test_nobody_is_woken_for_what_is_not_urgent_or_no_persons_to_read(tmp_path):
    async with flash(tmp_path, True, handed=False) as (waked, _, sent, _node):
        for transport_class in (0, 2, 3, 4, 5, 7):
            waked.alerting.arrived(AGREEMENT, UUID(int=transport_class), "XAR/n1", transport_class)
        await waked.look(0)
        waked.alerting.arrived(AGREEMENT, sent.report_id, "XAR/n1", 6)
        await waked.look(1)


async def test_once_it_was_read_nobody_more_is_woken(tmp_path):
    async with flash(tmp_path, True, True) as (waked, officers, sent, node):
        waked.alerting.arrived(AGREEMENT, sent.report_id, "XAR/n1", 1)
        await waked.look(1, 0)
        about = {"originator": "XAR", "reports": (sent.report_id.hex,), "leaves": (sent.leaf.hex(),)}
        await officers.take(ActKind.READ, officers.held(officers.shared.world.xbo, "liaison1"), **about)
        await refreshed(node, officers.shared.world.broker)
        waked.clock.now += 7 * MINUTE
        await waked.look(1, 0)
        assert not waked.alerting._watched


async def test_a_process_that_begins_anew_goes_on_where_the_clock_stands(tmp_path):
    async with flash(tmp_path, True, True, True) as (waked, _, _sent, _node):
        begun = waked.clock.now
        waked.clock.now = begun + 5 * MINUTE
        waked.alerting.begin()
        await waked.look(0, 1, 0)
        waked.clock.now = begun + 7 * MINUTE
        await waked.look(0, 1, 1)


async def test_what_is_overdue_for_long_is_left_to_the_desk(tmp_path):
    async with flash(tmp_path, True, True) as (waked, _, _sent, _node):
        waked.clock.now += 9 * MINUTE + LEFT_TO_THE_DESK_MS
        waked.alerting.begin()
        await waked.look(0, 0)
