"""What changed between sealing, approving, releasing and opening: a waiting report goes as it was sealed, or not at all."""

from __future__ import annotations

import apsw
import pytest

from builders_approvals import TWO, approving, received
from builders_identity import DAY
from builders_sdk import AGREEMENT, report, until
from comity.errors import MalformedError, RefusedError, StorageError
from comity.identity.bodies import Attestation
from comity.node.waiting import FILE, WaitingReports
from comity_broker.services import publishing
from comity_policy.facts import Role

OUTBOX_FILE = "outbox.sqlite"


async def approved(world, sender, text: str):
    """Have a report wait, with every approval it needs."""
    return await sender.await_approval(report(text), agreement=AGREEMENT, approved_by=world.approvers(*TWO))


async def waits(sender) -> list[bytes]:
    reports = await sender._sender._awaiting._open()
    return [one.report_id.bytes for one in reports.all()]


# --- whom it was sealed for -----------------------------------------------------------------------------------------


async def test_a_node_that_may_have_less_by_now_keeps_the_whole_report_from_going(tmp_path):
    async with approving(tmp_path) as world:
        nation = world.shared.world.xbo
        await world.shared.enrol(nation, "n2")
        async with world.node("XAR") as sender:
            held = await approved(world, sender, "for both nodes")
            assert held.report.keys_for == 2
            lower = world.shared.nodes["XBO/n2"]
            lower.reissued(accreditation=Attestation("RESTRICTED", "XBO/sec1", nation.now + 30 * DAY))
            await world.shared.world.enrolled(lower)
            await sender.refresh()
            # To the other node the report may go, and it would be permitted if it were sealed now.
            officers = [world.officers[name].identity for name in TWO]
            now = sender.preview(report(), agreement=AGREEMENT, approved_by=officers)
            assert [(one.node, one.portions) for one in now.nodes] == [("XBO/n1", (0,)), ("XBO/n2", ())]
            with world.offline(sender) as offline:
                (one,) = offline.waiting()
            assert isinstance(one.refusal, RefusedError)
            assert "may have less of this report now" in one.refusal.message
            assert await sender._sender._awaiting.release_ready() == ()
        assert await received(world) == []


# --- the files beside it --------------------------------------------------------------------------------------------


async def test_sealed_bytes_that_wait_under_another_name_are_not_released(tmp_path):
    async with approving(tmp_path) as world, world.node("XAR") as sender:
        first, second = await approved(world, sender, "first"), await approved(world, sender, "second")
        database = apsw.Connection(str(world.access("XAR").place.outbox / FILE))
        named = "SELECT data FROM report WHERE report_id = ?"
        bytes_of = {
            one: database.execute(named, (one.report.report_id.bytes,)).fetchone()[0] for one in (first, second)
        }
        for one, other in ((first, second), (second, first)):
            row = (bytes_of[other], one.report.report_id.bytes)
            database.execute("UPDATE report SET data = ? WHERE report_id = ?", row)
        database.close()
        awaiting = sender._sender._awaiting
        (kept, _) = (await awaiting._open()).all()
        with pytest.raises(StorageError, match="not those that wait under its name"):
            await awaiting._release(kept, None)
        assert await awaiting.release_ready() == ()
        assert len(await waits(sender)) == 2
        assert await received(world) == []


@pytest.mark.parametrize("column", ["segment_id", "first", "class"])
async def test_a_place_that_is_not_that_of_the_sealed_bytes_is_not_used(tmp_path, column):
    async with approving(tmp_path) as world, world.node("XAR") as sender:
        await approved(world, sender, "first")
        changed = {"segment_id": bytes(48), "first": 1, "class": 3}
        # One number of the lane went: what is changed continues the lane, and is not what was sealed.
        database = apsw.Connection(str(world.access("XAR").place.outbox / FILE))
        if column == "first":
            await sender._sender._awaiting.release_ready()
            await sender.settle()
            await approved(world, sender, "second")
            lane = database.execute("SELECT origin_epoch FROM report").fetchone()[0]
            outbox = apsw.Connection(str(world.access("XAR").place.outbox / OUTBOX_FILE))
            outbox.execute("UPDATE lane SET next = 1 WHERE origin_epoch = ?", (lane,))
            outbox.close()
        database.execute(f"UPDATE report SET {column} = ?", (changed[column],))
        database.close()
        awaiting = sender._sender._awaiting
        (kept,) = (await awaiting._open()).all()
        with pytest.raises(StorageError, match="not those that wait under its name"):
            await awaiting._release(kept, None)
        assert len(await waits(sender)) == 1


async def test_beside_an_outbox_that_was_lost_a_report_stays_and_says_so(tmp_path):
    async with approving(tmp_path) as world:
        async with world.node("XAR") as sender:
            first = await approved(world, sender, "first")
            assert await sender._sender._awaiting.release_ready() == (first.report.report_id,)
            await sender.settle()
            second = await approved(world, sender, "second")
        # It waits as number 2 of its lane, and the outbox that had number 1 is gone.
        outbox = world.access("XAR").place.outbox
        for path in outbox.glob(f"{OUTBOX_FILE}*"):
            path.unlink()
        async with world.node("XAR") as sender:
            await sender.settle()
            assert sender.released == ()
            assert await waits(sender) == [second.report.report_id.bytes]
            (kept,) = (await sender._sender._awaiting._open()).all()
            kept_number = kept.segment.first_origin_sequence
            assert kept_number == 2
        assert [text for text, _ in await received(world)] == ["first"]


# --- at the recipient -----------------------------------------------------------------------------------------------


async def test_approvals_are_judged_by_the_key_log_as_it_was_when_the_report_was_admitted(tmp_path):
    """An officer who lost the role since, or the key, takes back no approval that counted."""
    async with approving(tmp_path) as world:
        async with world.node("XAR") as sender:
            receipt = await sender.send(report("two boats"), agreement=AGREEMENT, approved_by=world.approvers(*TWO))
        clock = world.shared.world.clock
        await until(lambda: clock.now_ms() > receipt.admitted_at)
        duty = world.officers["duty1"]
        duty.reissued(roles=[Role.AUDITOR])
        await world.shared.world.enrolled(duty)
        both = frozenset({"XAR/duty1", "XAR/release1"})
        assert await received(world) == [("two boats", both)]


# --- a process that died --------------------------------------------------------------------------------------------


async def test_a_lane_that_died_with_its_process_takes_no_approved_report_any_more(tmp_path, monkeypatch):
    """Refused for good, and the process dies before it retires the lane; what says so expires before the next one starts."""
    async with approving(tmp_path) as world:

        async def parsed(data, memo):
            raise MalformedError("a broker of another mind")

        async with world.node("XAR") as sender:
            monkeypatch.setattr(publishing, "parse_in_slices", parsed)
            monkeypatch.setattr(WaitingReports, "retire", lambda *_: None)
            with pytest.raises(MalformedError):
                await sender.send(report("first"), agreement=AGREEMENT, approved_by=world.approvers(*TWO))
            monkeypatch.undo()
        outbox = apsw.Connection(str(world.access("XAR").place.outbox / OUTBOX_FILE))
        outbox.execute("UPDATE segment SET expires_at = 1")
        outbox.close()
        async with world.node("XAR") as sender:
            await sender.send(report("second"), agreement=AGREEMENT, approved_by=world.approvers(*TWO))
        assert [text for text, _ in await received(world)] == ["second"]
