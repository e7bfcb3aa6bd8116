"""Legal holds: however an open dispute names a report, an entry or a decision, what it names is held."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from builders_acting import Officers, answering, refreshed, wall_ms
from builders_acts import DAY, living
from builders_sdk import AGREEMENT, report, sharing
from comity.errors import ComityError
from comity.node.duties import duties_of
from comity_broker.storage.protocol import Reader
from comity_policy.acts import ActKind
from comity_policy.holds import Holds, named, names_something
from comity_policy.obligations import DutyKind, DutyState, duties
from comity_policy.steps import StepKind

REPORT = "01a214c78436712d813da715b3292242"
DASHED = "01A214C7-8436-712D-813D-A715B3292242"
LEAF = "ab" * 48


@pytest.mark.parametrize(
    ("subject", "subject_id", "what"),
    [
        ("report", REPORT, REPORT),
        ("report", DASHED, REPORT),
        ("report", LEAF.upper(), LEAF),
        ("report", f"sha384:{LEAF}", LEAF),
        ("entry", "17", 17),
        ("entry", "0017", 17),
        ("decision", "17", 17),
        ("decision", "17/3", 17),
        ("decision", "17:3", 17),
        ("decision", DASHED, REPORT),
    ],
)
def test_a_name_is_read_in_one_way(subject, subject_id, what):
    assert named(subject, subject_id) == what
    assert names_something(subject, subject_id)
    holds = Holds.of([(subject, subject_id)])
    assert holds.on(REPORT, LEAF, 17)
    assert not holds.on("00" * 16, "00" * 48, 18)


@pytest.mark.parametrize(
    ("subject", "subject_id"),
    [
        ("report", "r-1"),
        ("report", "17"),
        ("entry", REPORT),
        ("entry", "-1"),
        ("decision", "the first"),
        ("entry", "17/3"),
    ],
)
def test_what_names_nothing_holds_nothing(subject, subject_id):
    assert not names_something(subject, subject_id)
    assert not Holds.of([(subject, subject_id)]).on(REPORT, LEAF, 17)


@pytest.mark.parametrize("written", [REPORT, DASHED, DASHED.lower()])
def test_a_dispute_is_asked_about_in_whatever_way_it_is_written(written):
    case = living()
    case.life.take(StepKind.DISPUTE_OPEN, "XAR", subject_id=written)
    assert case.life.state().disputed("report", REPORT)
    assert case.life.state().disputed("report", DASHED)
    assert not case.life.state().disputed("entry", REPORT)


@pytest.mark.parametrize(("subject", "subject_id"), [("entry", "140"), ("decision", "140"), ("decision", "140/0")])
def test_an_entry_holds_the_reports_it_speaks_of(subject, subject_id):
    case = living()
    handed = case.hand()
    case.life.take(StepKind.DISPUTE_OPEN, "XAR", subject=subject, subject_id=subject_id)
    late = handed.admitted_at + 31 * DAY

    def states(speaking):
        found = duties(case.life.state(late), (), case.handovers, (), late, speaking=speaking)
        return [one.state for one in found if one.duty.kind is DutyKind.END_KEEPING]

    assert states({}) == [DutyState.OVERDUE]
    assert states({140: {handed.report}}) == [DutyState.FROZEN]
    assert states({140: {handed.leaf}}) == [DutyState.FROZEN]
    assert states({141: {handed.report}}) == [DutyState.OVERDUE]


@dataclass
class Interrupted:
    """A store that lets something happen while it is first asked for an inbox: the last thing a certificate's checks ask."""

    reader: Reader
    happens: Callable[[], Awaitable[object]] | None

    def __getattr__(self, name):
        return getattr(self.reader, name)

    async def inbox(self, *asked):
        found, happens, self.happens = await self.reader.inbox(*asked), self.happens, None
        if happens is not None:
            await happens()
        return found


async def test_a_dispute_that_opens_while_a_certificate_is_checked_holds_it_too(tmp_path):
    async with sharing(tmp_path) as shared:
        officers, acts = await Officers(shared).accredit(), shared.world.broker.monitor.duties.acts
        async with shared.node("XAR") as sender, shared.node("XBO") as reader:
            sent = await sender.send(report(), agreement=AGREEMENT)
            await answering(reader)
        about = {"subject": "report", "subject_id": sent.report_id.hex, "deadline": in_thirty_days(), "reason": "why"}
        store = acts.reader = Interrupted(
            acts.reader, lambda: shared.treaty.take(StepKind.DISPUTE_OPEN, shared.world.xar, **about)
        )
        security = officers.held(shared.world.xbo, "security1")
        named_reports = {"originator": "XAR", "reports": (sent.report_id.hex,), "leaves": (sent.leaf.hex(),)}
        with pytest.raises(ComityError, match="an open dispute holds"):
            await officers.take(ActKind.CERTIFY, security, **named_reports)
        assert store.happens is None
        kinds = await officers.kinds()
        assert ("DISPUTE_OPENED" in kinds, "SHREDDED" in kinds) == (True, False)


def in_thirty_days():
    return str((datetime.fromtimestamp(wall_ms() / 1000, UTC) + timedelta(days=30)).date())


@pytest.mark.parametrize("entry", ["SUBMIT_ACCEPTED", "DELIVERED", "ACKNOWLEDGED"])
@pytest.mark.parametrize("subject", ["entry", "decision"])
async def test_what_an_open_dispute_names_by_an_entry_is_certified_by_nobody(tmp_path, subject, entry):
    async with sharing(tmp_path) as shared:
        officers, broker = await Officers(shared).accredit(), shared.world.broker
        async with shared.node("XAR") as sender, shared.node("XBO") as reader:
            sent = await sender.send(report(), agreement=AGREEMENT)
            await answering(reader)
            index = (await officers.kinds()).index(entry)
            about = {"subject": subject, "subject_id": str(index), "deadline": in_thirty_days(), "reason": "why"}
            await shared.treaty.take(StepKind.DISPUTE_OPEN, shared.world.xar, **about)
            security = officers.held(shared.world.xbo, "security1")
            named_reports = {"originator": "XAR", "reports": (sent.report_id.hex,), "leaves": (sent.leaf.hex(),)}
            with pytest.raises(ComityError, match="an open dispute holds"):
                await officers.take(ActKind.CERTIFY, security, **named_reports)
            owed = duties_of(await refreshed(reader, broker), AGREEMENT, wall_ms()).of("XBO")
            assert [one.state for one in owed if one.duty.kind is DutyKind.END_KEEPING] == [DutyState.FROZEN]
