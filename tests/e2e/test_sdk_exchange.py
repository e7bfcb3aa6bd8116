"""The SDK against a real broker: what a program sends arrives, once acknowledged never again, and what is refused is explained."""

import asyncio

import pytest

from builders_sdk import AGREEMENT, report, sharing
from comity.errors import ConflictError, ErrorCode, RefusedError
from comity.node.alarms import AlarmKind
from comity.node.opening import Opening
from comity.node.reports import ParkedAction, ReportState
from comity.node.subscribing import CREDIT_REPORTS
from comity.portion import Portion
from comity_policy.groups import bundled, day_of
from comity_policy.steps import StepKind


async def texts(node, **options):
    """Receive everything that is due, acknowledge it, and give the texts."""
    found = []
    async for delivery in node.receive(follow=False, purpose="counter-terrorism", **options):
        async with delivery as received:
            found.append(received.text)
    return found


async def test_a_report_arrives_whole_and_its_receipt_says_who_may_read_it(tmp_path):
    async with sharing(tmp_path) as world, world.node("XAR") as sender, world.node("XBO") as reader:
        receipt = await sender.send(report("two boats", title="Boats"), agreement=AGREEMENT)
        assert receipt.recipients == (("XBO/n1", (0,)),)
        assert not receipt.duplicate
        async for delivery in reader.receive(follow=False, purpose="counter-terrorism"):
            async with delivery as received:
                assert (received.text, received.title) == ("two boats", "Boats")
                assert received.report_id == receipt.report_id
                assert received.leaf == receipt.leaf
                assert (delivery.origin, delivery.attempt, delivery.origin_sequence) == ("XAR/n1", 1, 1)
        await reader.refresh()
        await sender.refresh()
        assert not (*sender.alarms(), *reader.alarms())
        kinds = [entry.kind for entry in sender.mirror.entries(AGREEMENT, receipt.log_index)]
        assert kinds == ["SUBMIT_ACCEPTED", "DELIVERED", "ACKNOWLEDGED"]


async def test_a_portion_for_own_eyes_stays_closed_to_the_partner(tmp_path):
    async with sharing(tmp_path) as world, world.node("XAR") as sender, world.node("XBO") as reader:
        both = report(
            "",
            Portion.of_text("for both", "SECRET//REL TO XAR, XBO"),
            Portion.of_text("for us", "SECRET//NOFORN"),
            marking="SECRET//NOFORN",
        )
        preview = sender.preview(both, agreement=AGREEMENT)
        assert [(one.node, one.portions, one.withheld) for one in preview.nodes] == [("XBO/n1", (0,), (1,))]
        await sender.send(both, agreement=AGREEMENT)
        async for delivery in reader.receive(follow=False, purpose="counter-terrorism"):
            async with delivery as received:
                assert received.text == "for both"
                assert received.withheld == (1,)


async def test_a_group_and_an_assessment_arrive_as_they_were_meant_on_the_day_of_the_report(tmp_path):
    async with sharing(tmp_path) as world, world.node("XAR") as sender, world.node("XBO") as reader:
        graded = Portion.of_text("two boats", "SECRET//REL TO XAR, XSEA").assessed(
            grading="B2", confidence="icd-203: moderate", estimative="icd-203: likely"
        )
        receipt = await sender.send(report("", graded, marking="SECRET//REL TO XAR, XSEA"), agreement=AGREEMENT)
        assert receipt.recipients == (("XBO/n1", (0,)),)
        async for delivery in reader.receive(follow=False, purpose="counter-terrorism"):
            async with delivery as received:
                day = day_of(received.times.created_at)
                (portion,) = received.portions
                assert portion.extra["groups"] == bundled().record({"XSEA"}, day)
                assert portion.marking.label.releasable_to == bundled().on(day)["XSEA"]
                assert received.banner == "//XAR SECRET//REL TO XAR, XBO"
                assert portion.assessment == graded.assessment


async def test_a_refused_report_is_explained_and_takes_nobody_with_it(tmp_path):
    async with sharing(tmp_path) as world, world.node("XAR") as sender, world.node("XBO") as reader:
        mixed = [report(f"number {i}", **({"marking": "SECRET//NOFORN"} if i == 3 else {})) for i in range(6)]
        sent = [one async for one in sender.send_many(mixed, agreement=AGREEMENT)]
        assert [one.number for one in sent if not one.accepted] == [3]
        (refused,) = [one.refusal for one in sent if one.refusal is not None]
        assert isinstance(refused, RefusedError)
        assert any(clause.remedy.who for clause in refused.clauses)
        with pytest.raises(RefusedError):
            await sender.send(mixed[3], agreement=AGREEMENT)
        assert await texts(reader) == [f"number {i}" for i in range(6) if i != 3]


async def test_reports_come_in_their_order_and_once(tmp_path):
    async with sharing(tmp_path) as world, world.node("XAR") as sender, world.node("XBO") as reader:
        count = 700
        sent = [one async for one in sender.send_many((report(f"{i}") for i in range(count)), agreement=AGREEMENT)]
        assert all(one.accepted for one in sent)
        assert [int(text) for text in await texts(reader)] == list(range(count))
        assert await texts(reader) == []
        await reader.refresh()
        await sender.refresh()
        assert not (*sender.alarms(), *reader.alarms())


async def test_a_report_whose_reader_raised_comes_again_and_its_lane_waits(tmp_path):
    async with sharing(tmp_path) as world, world.node("XAR") as sender, world.node("XBO") as reader:
        for text in ("first", "second", "third"):
            await sender.send(report(text), agreement=AGREEMENT)
        seen = []
        async for delivery in reader.receive(purpose="counter-terrorism"):
            seen.append((delivery.report.text, delivery.attempt))
            if seen == [("first", 1)]:
                delivery.retry(0.0)
                continue
            async with delivery:
                pass
            if delivery.report.text == "third":
                break
        assert seen == [("first", 1), ("first", 2), ("second", 1), ("third", 1)]


async def test_what_a_reader_raises_reaches_the_program_and_the_report_stays_unread(tmp_path):
    async with sharing(tmp_path) as world, world.node("XAR") as sender, world.node("XBO") as reader:
        await sender.send(report(), agreement=AGREEMENT)
        with pytest.raises(KeyError, match="mine"):  # noqa: PT012 - the loop itself is what raises
            async for delivery in reader.receive(purpose="counter-terrorism"):
                async with delivery:
                    raise KeyError("mine")
        async for delivery in reader.receive(purpose="counter-terrorism"):
            async with delivery:
                assert delivery.attempt == 2
                break


async def test_a_parked_report_is_listed_with_its_reason_and_comes_again_when_replayed(tmp_path):
    async with sharing(tmp_path) as world, world.node("XAR") as sender, world.node("XBO") as reader:
        await sender.send(report("poison"), agreement=AGREEMENT)
        await sender.send(report("plain"), agreement=AGREEMENT)
        shown = []
        async for delivery in reader.receive(follow=False, purpose="counter-terrorism"):
            shown.append(delivery.report.text)
            if delivery.report.text == "poison":
                delivery.park("nobody here reads this")
            else:
                delivery.acknowledge()
        assert shown == ["poison", "plain"]
        (row,) = [one async for one in reader.reports(AGREEMENT, states=(ReportState.PARKED,))]
        assert [one.reason for one in row.consumers] == ["nobody here reads this"]
        await reader.resolve_parked([row.ref], ParkedAction.REPLAY)
        assert await texts(reader) == ["poison"]
        await reader.refresh()
        assert not reader.alarms()


async def test_each_consumer_has_its_own_copy(tmp_path):
    async with sharing(tmp_path) as world, world.node("XAR") as sender, world.node("XBO") as reader:
        await sender.send(report("for two"), agreement=AGREEMENT)
        assert await texts(reader) == ["for two"]
        assert await texts(reader, consumer="archive") == ["for two"]


async def test_what_is_more_urgent_passes_a_backlog_beyond_the_credit(tmp_path):
    async with sharing(tmp_path) as world, world.node("XAR") as sender, world.node("XBO") as reader:
        count = CREDIT_REPORTS + 500
        backlog = (report(f"{i}") for i in range(count))
        assert all([one.accepted async for one in sender.send_many(backlog, agreement=AGREEMENT)])
        shown = 0
        async for delivery in reader.receive(purpose="counter-terrorism"):
            async with delivery as received:
                shown += 1
                if shown == 1:
                    await sender.send(report("now", precedence="priority"), agreement=AGREEMENT)
                if received.text == "now":
                    break
        assert shown <= count


async def test_two_processes_do_not_read_one_inbox(tmp_path):
    async with sharing(tmp_path) as world, world.node("XAR") as sender, world.node("XBO") as reader:
        await sender.send(report("one"), agreement=AGREEMENT)
        async for delivery in reader.receive(purpose="counter-terrorism"):
            async with world.node("XBO") as other:
                with pytest.raises(ConflictError) as caught:
                    await texts(other)
                assert caught.value.code is ErrorCode.LOCKED
            async with delivery:
                break


async def test_a_suspended_agreement_refuses_at_the_sender_as_soon_as_it_knows(tmp_path):
    async with sharing(tmp_path) as world, world.node("XAR") as sender:
        await world.treaty.take(StepKind.SUSPEND, world.world.xbo, clauses=(), reason="a review")
        await sender.refresh()
        with pytest.raises(RefusedError) as caught:
            await sender.send(report(), agreement=AGREEMENT)
        assert caught.value.code is ErrorCode.AGREEMENT_NOT_IN_FORCE


async def test_reports_handed_over_and_not_answered_come_again_in_the_next_session(tmp_path):
    async with sharing(tmp_path) as world, world.node("XAR") as sender, world.node("XBO") as reader:
        for i in range(3):
            await sender.send(report(f"{i}"), agreement=AGREEMENT)
        async for delivery in reader.receive(purpose="counter-terrorism"):
            assert delivery.attempt == 1
            break
        again = []
        async for delivery in reader.receive(follow=False, purpose="counter-terrorism"):
            async with delivery as received:
                again.append((received.text, delivery.attempt))
        assert again == [("0", 2), ("1", 2), ("2", 2)]


async def test_many_tasks_send_at_once_and_each_has_its_own_receipt(tmp_path):
    async with sharing(tmp_path) as world, world.node("XAR") as sender, world.node("XBO") as reader:
        receipts = await asyncio.gather(*(sender.send(report(f"{i}"), agreement=AGREEMENT) for i in range(40)))
        assert len({receipt.report_id for receipt in receipts}) == 40
        assert sorted(await texts(reader), key=int) == [f"{i}" for i in range(40)]


async def test_the_sender_hears_of_what_did_not_come_whole_though_the_log_says_delivered(tmp_path, monkeypatch):
    async with sharing(tmp_path) as world, world.node("XAR") as sender, world.node("XBO") as reader:
        monkeypatch.setattr(Opening, "remember_packets", lambda *_: None)
        await sender.send(report(), agreement=AGREEMENT)
        assert await texts(reader) == []
        await sender.refresh()
        (heard,) = sender.alarms()
        assert (heard.kind, heard.agreement_id) == (AlarmKind.NOT_CARRIED, AGREEMENT)
        assert heard.subject.startswith("XBO/n1 (default)")
        assert [one.kind for one in reader.alarms()] == [AlarmKind.INCOMPLETE]
