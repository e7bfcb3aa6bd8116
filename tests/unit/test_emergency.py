"""A threat to life: what a duty officer's declaration lifts at a broker that runs, and what must hold all the same."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders_acting import CLAUSES, HOUR, Officers, wall_ms
from builders_approvals import approver
from builders_every_kind import clause_text
from builders_sdk import AGREEMENT, report, sharing
from comity.errors import ComityError, NotFoundError, RefusedError
from comity.node.acts import acts_of, declaration_of, declared_at
from comity.node.duties import duties_of
from comity.node.enrolment import publish_statement
from comity_policy.acts import ActKind
from comity_policy.obligations import DutyKind, DutyState

QUOTA = ("25", "quota", 'from = "XAR"\nto = "XBO"\nwindow = "week"\nreports = 1\nbytes = 1000000000')
DUAL = ("26", "dual-control", 'from = [{ party = "XAR", level = "SECRET" }]\nofficers = 2')


def limited(shared, *more):
    """Write the clauses of emergencies and some more into the agreement."""
    for clause_id, (kind, fields) in CLAUSES.items():
        shared.treaty.text += clause_text(clause_id, kind, fields).encode()
    for clause_id, kind, fields in more:
        shared.treaty.text += clause_text(clause_id, kind, fields).encode()


def flash(**fields):
    return report("two boats are sinking", **{"precedence": "flash", **fields})


async def fresh(node, log_index):
    """Refresh a node until its mirror has an entry."""
    while (pin := node.mirror.pin(AGREEMENT)) is None or pin.size <= log_index:
        await node.refresh()


async def test_a_flash_goes_out_though_the_quota_is_used_up_and_the_second_officer_asleep(tmp_path):
    async with sharing(tmp_path, into_force=False) as shared:
        limited(shared, QUOTA, DUAL)
        officers = await Officers(shared).accredit()
        await shared.treaty.into_force()
        duty1, liaison = officers.held(shared.world.xar, "duty1"), officers.held(shared.world.xar, "liaison1")
        awake = [approver(duty1)]
        async with shared.node("XAR") as sender, shared.node("XBO") as reader:
            with pytest.raises(RefusedError) as caught:
                await sender.send(flash(), agreement=AGREEMENT, approved_by=awake)
            assert {one.clause_id for one in caught.value.clauses} == {"26"}
            restricted = report(marking="RESTRICTED//REL TO XAR, XBO")
            await sender.send(restricted, agreement=AGREEMENT)
            with pytest.raises(RefusedError) as caught:
                await sender.send(restricted, agreement=AGREEMENT)
            assert {one.clause_id for one in caught.value.clauses} == {"25"}
            declared, log_index = await officers.take(ActKind.DECLARE, duty1)
            await fresh(sender, log_index)
            await sender.send(flash(emergency=declared.digest), agreement=AGREEMENT, approved_by=awake)
            await sender.send(report(emergency=declared.digest), agreement=AGREEMENT)
            read = 0
            async for delivery in reader.receive(follow=False, purpose="counter-terrorism"):
                async with delivery:
                    read += 1
            assert read == 3
            owed = duties_of(sender.mirror, AGREEMENT, wall_ms())
            (due,) = (one for one in owed.of("XAR") if one.duty.kind is DutyKind.REVIEW_EMERGENCY)
            assert due.state is DutyState.OPEN
            late = duties_of(sender.mirror, AGREEMENT, wall_ms() + 25 * HOUR)
            assert DutyState.OVERDUE in {one.state for one in late.of("XAR") if one.duty.id == due.duty.id}
            _, log_index = await officers.take(ActKind.REVIEW, liaison, names=declared.digest.hex())
            await fresh(sender, log_index)
            owed = duties_of(sender.mirror, AGREEMENT, wall_ms())
            assert [one.state for one in owed.of("XAR") if one.duty.id == due.duty.id] == [DutyState.DONE]


async def test_a_declaration_lifts_no_marking_and_is_good_for_its_own_party_alone(tmp_path):
    async with sharing(tmp_path, into_force=False) as shared:
        limited(shared, QUOTA)
        officers = await Officers(shared).accredit()
        await shared.treaty.into_force()
        duty1 = officers.held(shared.world.xar, "duty1")
        declared, log_index = await officers.take(ActKind.DECLARE, duty1)
        async with shared.node("XAR") as sender, shared.node("XBO") as other:
            await fresh(sender, log_index)
            await fresh(other, log_index)
            with pytest.raises(RefusedError):
                await sender.send(report(marking="SECRET//NOFORN", emergency=declared.digest), agreement=AGREEMENT)
            with pytest.raises(ComityError, match="not valid for XBO"):
                await other.send(
                    report(marking="SECRET//REL TO XBO, XAR", emergency=declared.digest), agreement=AGREEMENT
                )
            with pytest.raises(NotFoundError):
                await sender.send(report(emergency=b"\x07" * 48), agreement=AGREEMENT)
            assert declaration_of(sender.mirror, AGREEMENT, declared.digest, "XAR", wall_ms()).officer == duty1.name
            with pytest.raises(ComityError, match="not valid for XAR"):
                declaration_of(sender.mirror, AGREEMENT, declared.digest, "XAR", wall_ms() + 2 * HOUR)


async def test_a_declaration_is_judged_when_it_is_used_and_what_went_under_it_before_stays(tmp_path, monkeypatch):
    async with sharing(tmp_path, into_force=False) as shared:
        limited(shared, QUOTA)
        officers = await Officers(shared).accredit()
        await shared.treaty.into_force()
        xar = shared.world.xar
        declared, log_index = await officers.take(ActKind.DECLARE, officers.held(xar, "duty1"))
        under = report(emergency=declared.digest)
        async with shared.node("XAR") as sender, shared.node("XBO") as reader:
            await fresh(sender, log_index)
            for _ in range(2):
                sent = await sender.send(under, agreement=AGREEMENT)
            async with shared.world.connection(officers.held(xar, "liaison1")) as connection:
                await publish_statement(connection, replace(officers.held(xar, "duty1")).reissued(roles=()))
            for node in (sender, reader):
                await node.refresh()
            with pytest.raises(ComityError, match="not valid for XAR"):
                await sender.send(under, agreement=AGREEMENT)
            asked = (reader.mirror, AGREEMENT, declared.digest, "XAR")
            assert declared_at(*asked, sent.admitted_at)
            assert not declared_at(*asked, wall_ms() + 1)
            read = 0
            async for delivery in reader.receive(follow=False, purpose="counter-terrorism"):
                async with delivery:
                    read += 1
            assert read == 2
            # A node that does not look is refused by the broker, which does.
            monkeypatch.setattr("comity.node.egress.declaration_of", lambda *_: None)
            with pytest.raises(RefusedError) as caught:
                await sender.send(under, agreement=AGREEMENT)
            assert {one.clause_id for one in caught.value.clauses} == {"25"}


async def test_a_node_that_does_not_look_is_refused_by_the_broker(tmp_path, monkeypatch):
    async with sharing(tmp_path, into_force=False) as shared:
        limited(shared, QUOTA)
        await Officers(shared).accredit()
        await shared.treaty.into_force()
        monkeypatch.setattr("comity.node.egress.declaration_of", lambda *_: None)
        async with shared.node("XAR") as sender:
            await sender.send(report(), agreement=AGREEMENT)
            with pytest.raises(RefusedError) as caught:
                await sender.send(report(emergency=b"\x07" * 48), agreement=AGREEMENT)
            assert {one.clause_id for one in caught.value.clauses} == {"25"}


async def test_both_parties_know_of_a_certificate_and_the_mirror_leaves_out_what_does_not_count(tmp_path):
    async with sharing(tmp_path, into_force=False) as shared:
        limited(shared)
        officers = await Officers(shared).accredit()
        await shared.treaty.into_force()
        security = officers.held(shared.world.xbo, "security1")
        async with shared.node("XAR") as sender, shared.node("XBO") as reader:
            sent = await sender.send(report(), agreement=AGREEMENT)
            async for delivery in reader.receive(follow=False, purpose="counter-terrorism"):
                async with delivery:
                    pass
            about = {"originator": "XAR", "reports": (sent.report_id.hex,), "leaves": (sent.leaf.hex(),)}
            _, log_index = await officers.take(ActKind.CERTIFY, security, **about)
            for node in (sender, reader):
                await fresh(node, log_index)
                (ended,) = (
                    one
                    for one in duties_of(node.mirror, AGREEMENT, wall_ms()).of("XBO")
                    if one.duty.kind is DutyKind.END_KEEPING
                )
                assert (ended.state, ended.duty.subject) == (DutyState.DONE, sent.report_id.hex)
            # A broker that logs what it should have refused: the mirror gives it no effect.
            broker = shared.world.broker.monitor.duties.acts
            monkey = pytest.MonkeyPatch()
            monkey.setattr(type(broker), "_check_signers", lambda *_: None)
            monkey.setattr(type(broker), "_check_admissible", lambda *_: None)
            liaison = officers.held(shared.world.xar, "liaison1")
            before = acts_of(sender.mirror, AGREEMENT)
            for forged in (
                officers.signed(ActKind.DECLARE, liaison),
                officers.signed(ActKind.DECLARE, liaison, officer="XAR/duty1"),
                officers.signed(
                    ActKind.DECLARE, officers.held(shared.world.xar, "duty1"), valid_until=wall_ms() + 99 * HOUR
                ),
                officers.signed(ActKind.DECLARE, officers.held(shared.world.xar, "duty1"), agreement_digest="00" * 48),
            ):
                log_index = await officers.submit(
                    forged,
                    liaison if forged.fields["officer"] == liaison.name else officers.held(shared.world.xar, "duty1"),
                )
            monkey.undo()
            await fresh(sender, log_index)
            assert acts_of(sender.mirror, AGREEMENT) == before
