"""Officers' approvals: who must give them, what a broker makes of false ones, and reports that wait for them."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from uuid import UUID

import pytest

from builders_approvals import TWO, approver, approving, received, signer_of
from builders_sdk import AGREEMENT, report
from comity.errors import AccessError, ComityError, ErrorCode, MalformedError, RefusedError
from comity.identity.names import Identity, IdentityKind
from comity.node.alarms import AlarmKind
from comity.node.approving import ToApprove
from comity.node.awaited import WaitingReport
from comity.node.publishing import Publisher
from comity.node.waiting import LONGEST_MS
from comity_broker.services import publishing
from comity_policy.explanation import RemedyAction
from comity_policy.facts import Role

# --- at once ----------------------------------------------------------------------------------------------------------


async def test_a_flash_report_that_two_officers_approved_goes_out(tmp_path):
    async with approving(tmp_path) as world, world.node("XAR") as sender:
        shown: list[ToApprove] = []
        officers = [approver(world.officers[name], shown) for name in TWO]
        receipt = await sender.send(report(precedence="flash"), agreement=AGREEMENT, approved_by=officers)
        assert receipt.recipients == (("XBO/n1", (0,)),)
        assert [(one.officer, one.role) for one in shown] == [
            ("XAR/duty1", Role.DUTY_OFFICER),
            ("XAR/release1", Role.RELEASE_AUTHORITY),
        ]
        assert {one.report.leaf for one in shown} == {receipt.leaf}
        assert {(one.report.banner, one.report.addressees) for one in shown} == {("SECRET//REL TO XAR, XBO", ("XBO",))}
        assert await received(world) == [("two boats", frozenset({"XAR/duty1", "XAR/release1"}))]


async def test_the_officer_who_acts_is_signed_in_the_profile_with_the_role(tmp_path):
    async with approving(tmp_path) as world, world.node("XAR") as sender:
        await sender.send(report(), agreement=AGREEMENT, approved_by=world.approvers(*TWO))
        async with (
            world.node("XBO") as reader,
            contextlib.aclosing(reader.receive(follow=False, purpose="counter-terrorism")) as deliveries,
        ):
            profiles = []
            async for delivery in deliveries:
                async with delivery as one:
                    profiles.append(one.profile)
        (profile,) = profiles
        assert profile.originator.officer_fingerprint == signer_of(world.officers["duty1"]).fingerprint
        assert profile.originator.officer_role is Role.DUTY_OFFICER
        assert profile.approvals_required == 2


async def test_one_officer_missing_is_refused_before_anything_is_sealed_and_names_the_second_officer(tmp_path):
    async with approving(tmp_path) as world, world.node("XAR") as sender:
        with pytest.raises(RefusedError) as refused:
            await sender.send(report(), agreement=AGREEMENT, approved_by=world.approvers("duty1"))
        (clause,) = refused.value.clauses
        assert (clause.clause_id, clause.kind) == ("26", "dual-control")
        assert clause.remedy.action is RemedyAction.SECOND_OFFICER
        assert clause.remedy.command.startswith(
            f"comity send FILE --agreement {AGREEMENT} --approve-as XAR/duty1 --approve-as XAR/"
        )
        assert "OFFICER" not in clause.remedy.command
        with pytest.raises(RefusedError):
            await sender.send(report(), agreement=AGREEMENT)
        alone = sender.preview(report(), agreement=AGREEMENT)
        assert (alone.permitted, [one.portions for one in alone.nodes]) == (False, [()])
        assert "OFFICER" not in alone.explanations[0].remedy.command
        asked = sender.preview(report(marking="RESTRICTED//REL TO XAR, XBO", approvals_required=1), agreement=AGREEMENT)
        assert (asked.permitted, asked.explanations) == (False, ())
        named = [Identity("XAR", IdentityKind.OFFICER, name) for name in TWO]
        seen = sender.preview(report(), agreement=AGREEMENT, approved_by=named)
        assert (seen.permitted, seen.approvals_required, seen.refusal) == (True, 2, None)
        assert seen.nodes[0].portions == (0,)


async def test_flash_by_a_node_alone_names_the_role_that_may_and_the_command(tmp_path):
    async with approving(tmp_path, dual_control=False) as world, world.node("XAR") as sender:
        with pytest.raises(RefusedError) as refused:
            await sender.send(report(precedence="flash"), agreement=AGREEMENT)
        (clause,) = refused.value.clauses
        assert clause.kind == "precedence"
        assert "--approve-as XAR/" in clause.remedy.command
        with pytest.raises(RefusedError):
            await sender.send(report(precedence="flash"), agreement=AGREEMENT, approved_by=world.approvers("release1"))
        receipt = await sender.send(
            report(precedence="flash"), agreement=AGREEMENT, approved_by=world.approvers("duty1")
        )
        assert receipt.transport_class == 1


async def test_what_is_below_the_level_needs_nobody(tmp_path):
    async with approving(tmp_path) as world, world.node("XAR") as sender:
        one = report(marking="RESTRICTED//REL TO XAR, XBO")
        assert sender.preview(one, agreement=AGREEMENT).approvals_required == 0
        await sender.send(one, agreement=AGREEMENT)


async def test_an_officer_who_does_not_agree_ends_it_and_frees_its_number(tmp_path):
    async with approving(tmp_path) as world, world.node("XAR") as sender:
        refusing = replace(world.approvers("release1")[0], agrees=lambda _: False)
        with pytest.raises(AccessError, match="did not approve"):
            await sender.send(report(), agreement=AGREEMENT, approved_by=[*world.approvers("duty1"), refusing])
        with world.offline(sender) as offline:
            assert offline.waiting() == ()
        first = await sender.send(report(), agreement=AGREEMENT, approved_by=world.approvers(*TWO))
        second = await sender.send(report(), agreement=AGREEMENT, approved_by=world.approvers(*TWO))
        assert (first.origin_sequence, second.origin_sequence) == (1, 2)


async def test_many_are_approved_one_by_one_and_a_refused_one_takes_nothing_with_it(tmp_path):
    async with approving(tmp_path) as world, world.node("XAR") as sender:
        reports = [report("one"), report("two", marking="TOP-SECRET//REL TO XAR, XBO"), report("three")]
        became = [
            one async for one in sender.send_many(reports, agreement=AGREEMENT, approved_by=world.approvers(*TWO))
        ]
        assert [one.refusal is None for one in became] == [True, False, True]
        assert [text for text, _ in await received(world)] == ["one", "three"]


async def test_an_officer_of_the_other_party_and_one_without_a_role_approve_nothing(tmp_path):
    async with approving(tmp_path) as world, world.node("XAR") as sender:
        foreign = await world.officer(world.shared.world.xbo, "foreign1", Role.DUTY_OFFICER)
        await sender.refresh()
        for one in (
            approver(foreign),
            replace(world.approvers("duty1")[0], identity=Identity("XAR", IdentityKind.OFFICER, "x")),
        ):
            with pytest.raises(AccessError) as refused:
                await sender.send(report(), agreement=AGREEMENT, approved_by=[one])
            assert refused.value.code is ErrorCode.ROLE_NOT_ALLOWED


# --- later ------------------------------------------------------------------------------------------------------------


def waiting_of(world, sender) -> set[UUID]:
    with world.offline(sender) as offline:
        return {one.report.report_id for one in offline.waiting()}


async def wait_for(world, sender, report_id) -> WaitingReport:
    with world.offline(sender) as offline:
        (one,) = [each for each in offline.waiting() if each.report.report_id == report_id]
        return one


async def test_a_report_waits_on_disk_and_goes_when_enough_officers_have_approved(tmp_path):
    async with approving(tmp_path) as world:
        async with world.node("XAR") as sender:
            held = await sender.await_approval(report("held", precedence="flash"), agreement=AGREEMENT)
            assert held.approved_by == ()
            assert held.refusal is not None
            assert "XAR/duty1 (duty-officer)" in held.may_approve
            await sender.send(report("meanwhile", marking="RESTRICTED//REL TO XAR, XBO"), agreement=AGREEMENT)
            with world.offline(sender) as offline:
                offline.approve(held.report.report_id, approver(world.officers["release1"]))
            one = await wait_for(world, sender, held.report.report_id)
            assert one.approved_by == ("XAR/release1",)
            assert one.refusal is not None
            assert await sender._sender._awaiting.release_ready() == ()
        # The process ends, and another one sends.
        async with world.node("XAR") as sender:
            with world.offline(sender) as offline:
                done = offline.approve(held.report.report_id, approver(world.officers["duty1"]))
            assert done.refusal is None
            await sender.settle()
            assert sender.released == (held.report.report_id,)
            with world.offline(sender) as offline:
                assert offline.waiting() == ()
        assert ("held", frozenset({"XAR/duty1", "XAR/release1"})) in await received(world)


async def test_a_running_sender_releases_what_another_process_approved(tmp_path):
    async with approving(tmp_path) as world, world.node("XAR") as sender:
        held = await sender.await_approval(report("held"), agreement=AGREEMENT, approved_by=world.approvers("duty1"))
        assert held.approved_by == ("XAR/duty1",)
        with world.offline(sender) as offline:
            offline.approve(held.report.report_id, approver(world.officers["release1"]))
        assert await sender._sender._awaiting.release_ready() == (held.report.report_id,)
        await sender.settle()
        assert [text for text, _ in await received(world)] == ["held"]


async def test_the_same_officer_does_not_approve_twice(tmp_path):
    async with approving(tmp_path) as world, world.node("XAR") as sender:
        held = await sender.await_approval(report(), agreement=AGREEMENT)
        with world.offline(sender) as offline:
            offline.approve(held.report.report_id, approver(world.officers["duty1"]))
            with pytest.raises(ComityError, match="already"):
                offline.approve(held.report.report_id, approver(world.officers["duty1"]))
            refusing = replace(approver(world.officers["release1"]), agrees=lambda _: False)
            with pytest.raises(AccessError):
                offline.approve(held.report.report_id, refusing)
        assert (await wait_for(world, sender, held.report.report_id)).approved_by == ("XAR/duty1",)


async def test_what_waited_too_long_is_told_and_given_up(tmp_path):
    async with approving(tmp_path) as world:
        async with world.node("XAR") as sender:
            held = await sender.await_approval(report(), agreement=AGREEMENT)
            later = held.until_ms
            with world.offline(sender, now_ms=lambda: later) as offline:
                (one,) = offline.waiting()
                assert one.expired
                with pytest.raises(ComityError, match="waited for approvals until"):
                    offline.approve(held.report.report_id, approver(world.officers["duty1"]))
        assert later <= world.shared.world.clock.now_ms() + LONGEST_MS
        async with world.node("XAR", now_ms=lambda: later) as sender:
            await sender.settle()
            assert sender.released == ()
            assert [one.kind for one in sender.alarms()] == [AlarmKind.NOT_TAKEN]
            with world.offline(sender) as offline:
                assert offline.waiting() == ()


async def test_waiting_reports_have_lanes_of_their_own_that_are_used_again(tmp_path):
    async with approving(tmp_path) as world, world.node("XAR") as sender:
        held = [await sender.await_approval(report(f"{number}"), agreement=AGREEMENT) for number in range(3)]
        with world.offline(sender) as offline:
            for one in (held[2], held[0]):
                for name in TWO:
                    offline.approve(one.report.report_id, approver(world.officers[name]))
        # The sender looks by itself too, so either of the two may have released one.
        await sender._sender._awaiting.release_ready()
        for _ in range(20_000):
            if len(left := waiting_of(world, sender)) == 1:
                break
            await asyncio.sleep(0)
        assert left == {held[1].report.report_id}
        await sender.settle()
        again = await sender.send(report("again"), agreement=AGREEMENT, approved_by=world.approvers(*TWO))
        assert again.origin_sequence == 2
        assert sorted(text for text, _ in await received(world)) == ["0", "2", "again"]


async def test_a_report_that_waits_outlives_the_one_before_it_whatever_the_broker_makes_of_that(tmp_path, monkeypatch):
    async with approving(tmp_path) as world:
        async with world.node("XAR") as sender:
            first = await sender.await_approval(report("first"), agreement=AGREEMENT, approved_by=world.approvers(*TWO))
            # Stored, and the process dies before it is on the wire.
            monkeypatch.setattr(Publisher, "put", lambda *_: None)
            assert await sender._sender._awaiting.release_ready() == (first.report.report_id,)
            second = await sender.await_approval(
                report("second"), agreement=AGREEMENT, approved_by=world.approvers(*TWO)
            )
            monkeypatch.undo()
        honest, refused = publishing.parse_in_slices, []

        async def parsed(data, memo):
            if not refused:
                refused.append(data)
                raise MalformedError("a broker of another mind")
            return await honest(data, memo)

        monkeypatch.setattr(publishing, "parse_in_slices", parsed)
        async with world.node("XAR") as sender:
            await sender.settle()
            assert sender.released == (second.report.report_id,)
            assert [one.kind for one in sender.alarms()] == [AlarmKind.NOT_TAKEN]
            third = await sender.send(report("third"), agreement=AGREEMENT, approved_by=world.approvers(*TWO))
            assert third.origin_sequence > 0
        assert sorted(text for text, _ in await received(world)) == ["second", "third"]


async def test_an_approval_of_an_officer_who_was_revoked_since_counts_no_more(tmp_path):
    async with approving(tmp_path) as world, world.node("XAR") as sender:
        held = await sender.await_approval(report(), agreement=AGREEMENT, approved_by=world.approvers("duty1"))
        revoked = world.shared.world.xar.revocation(signer_of(world.officers["duty1"]).fingerprint)
        sender.mirror.directory.apply(revoked, log_index=10_000, at_ms=world.shared.world.clock.now_ms())
        with world.offline(sender) as offline:
            done = offline.approve(held.report.report_id, approver(world.officers["release1"]))
        assert done.approved_by == ("XAR/release1",)
        assert done.refusal is not None
        assert await sender._sender._awaiting.release_ready() == ()


async def test_a_process_that_died_after_it_stored_an_approved_report_sends_it_once(tmp_path, monkeypatch):
    async with approving(tmp_path) as world:
        async with world.node("XAR") as sender:
            held = await sender.await_approval(report("once"), agreement=AGREEMENT, approved_by=world.approvers(*TWO))
            awaiting = sender._sender._awaiting
            kept = (await awaiting._open()).all()
            await awaiting.release_ready()
            (await awaiting._open()).add(kept[0])
            assert await awaiting.release_ready() == (held.report.report_id,)
            await sender.settle()
        assert [text for text, _ in await received(world)] == ["once"]
