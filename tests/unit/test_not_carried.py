"""An acknowledgement that says a report did not come, of what the log says was delivered: the originator's alarm, and nobody's else."""

import contextlib

import pytest

from builders_audit import good_audit
from builders_audit_cases_taken_back import recall, take_back
from builders_hostile import mirrored
from comity.envelope.evidence import AckOutcome
from comity.node import not_carried
from comity.node.not_carried import NotCarried
from comity_broker.auditlog import events
from comity_broker.auditlog.bodies import BROKER, SegmentSlots
from comity_broker.auditlog.kinds import EventKind

ONE, PRUNED, INCOMPLETE = AckOutcome.ACKNOWLEDGED, AckOutcome.PRUNED, AckOutcome.INCOMPLETE


@contextlib.asynccontextmanager
async def looking(audit, path, party="XAR"):
    """Serve an audit's log, and look at it as a node of that party."""
    async with mirrored(audit, path, reader=party) as (broker, mirror, refresh):

        async def look() -> list[str]:
            broker.publish()
            await refresh()
            with contextlib.closing(NotCarried(path / "handed.sqlite", mirror, party)) as carried:
                await carried.look(audit.agreement)
            return [f"{one.subject[:18]}: {one.detail.rpartition(': ')[2]}" for one in mirror.alarms()]

        yield look


@pytest.mark.parametrize("outcome", [INCOMPLETE, PRUNED])
async def test_what_was_delivered_and_did_not_come_is_an_alarm_once(tmp_path, outcome):
    audit = good_audit()
    audit.deliver(audit.sent[0], [0, 1], consumer="archive")
    async with looking(audit, tmp_path) as look:
        assert await look() == []
        audit.acknowledge(audit.sent[0], [ONE, outcome, 0], consumer="archive")
        found = [f"XBO/m1 (archive), : slot 1 {outcome.name}"]
        assert await look() == found
        audit.acknowledge(audit.sent[0], [0, outcome, 0], consumer="archive")
        assert len(await look()) == 2, "another entry that says so is another word"
        assert await look() == await look()


async def test_a_long_log_is_followed_in_several_looks_and_each_entry_once(tmp_path, monkeypatch):
    monkeypatch.setattr(not_carried, "PAGE", 1)
    monkeypatch.setattr(not_carried, "PAGES_AT_ONCE", 2)
    audit = good_audit()
    audit.deliver(audit.sent[0], [0, 1], consumer="archive")
    audit.acknowledge(audit.sent[0], [ONE, PRUNED, 0], consumer="archive")
    async with looking(audit, tmp_path) as look:
        looks = 0
        while not await look():
            looks += 1
        assert looks == (len(audit.events) - 1) // 2
        assert len(await look()) == 1


async def test_the_receivers_own_party_has_its_own_alarms(tmp_path):
    audit = good_audit()
    audit.deliver(audit.sent[0], [0, 1], consumer="archive")
    audit.acknowledge(audit.sent[0], [ONE, PRUNED, 0], consumer="archive")
    async with looking(audit, tmp_path, "XBO") as look:
        assert await look() == []


def ended(audit, how: str) -> None:
    """Have slot 1 end after it was delivered."""
    sent, between = audit.sent[0], {"originator": "XAR", "recipient": ("XBO", "m1")}
    span = [SegmentSlots(sent.admission.segment_id, [1])]
    match how:
        case "recalled":
            take_back(audit, sent, [1], recall(audit))
        case "expired":
            audit.events.append(events.expired(time=audit.tick(), segments=span, **between))
        case "parked":
            parked = events.parked(
                *(EventKind.PARKED,),
                time=audit.tick(),
                caller=BROKER,
                consumer="archive",
                reason="x",
                segments=span,
                **between,
            )
            audit.events.append(parked)
        case "acknowledged":
            audit.acknowledge(sent, [0, ONE, 0], consumer="archive")


@pytest.mark.parametrize("how", ["recalled", "expired", "parked", "acknowledged"])
async def test_what_ended_since_comes_pruned_by_right(tmp_path, how):
    audit = good_audit()
    audit.deliver(audit.sent[0], [0, 1], consumer="archive")
    ended(audit, how)
    audit.acknowledge(audit.sent[0], [ONE, PRUNED, PRUNED], consumer="archive")
    async with looking(audit, tmp_path) as look:
        assert await look() == []


async def test_what_was_delivered_to_another_consumer_accuses_nobody(tmp_path):
    audit = good_audit()
    audit.deliver(audit.sent[0], [0, 1], consumer="archive")
    audit.acknowledge(audit.sent[0], [0, PRUNED, 0], consumer="second")
    async with looking(audit, tmp_path) as look:
        assert await look() == []
