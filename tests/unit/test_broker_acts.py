"""Acts of officers at a broker that runs: who may, what is refused, what the log has of them, and what follows."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import replace

import pytest

from builders_acting import CLAUSES, HOUR, Officers, wall_ms
from builders_every_kind import clause_text
from builders_sdk import AGREEMENT, report, sharing
from comity.errors import AccessError, ComityError, ConflictError, ErrorCode, NotFoundError
from comity.node.enrolment import publish_statement
from comity_policy.acts import ActKind
from comity_policy.facts import Role
from comity_policy.obligations import DutyKind, DutyState, duties
from comity_policy.steps import StepKind


@contextlib.asynccontextmanager
async def acting(path, *more: tuple[str, str, str]):
    """Two nations under an agreement with every tracked clause, and their officers."""
    async with sharing(path, into_force=False) as shared:
        for clause_id, (kind, fields) in CLAUSES.items():
            shared.treaty.text += clause_text(clause_id, kind, fields).encode()
        for clause_id, kind, fields in more:
            shared.treaty.text += clause_text(clause_id, kind, fields).encode()
        officers = await Officers(shared).accredit()
        await shared.treaty.into_force()
        yield officers


def ledger(officers):
    return officers.shared.world.broker.monitor.duties


async def test_a_declaration_is_logged_and_valid_until_its_time_for_its_party_and_agreement_alone(tmp_path):
    async with acting(tmp_path) as officers:
        duty1 = officers.held(officers.shared.world.xar, "duty1")
        until = wall_ms() + HOUR
        declared, log_index = await officers.take(ActKind.DECLARE, duty1, valid_until=until)
        assert (await officers.kinds())[log_index] == "EMERGENCY_DECLARED"
        asked = ledger(officers).emergency
        assert asked(AGREEMENT, declared.digest, "XAR", until - 1)
        assert not asked(AGREEMENT, declared.digest, "XAR", until)
        assert not asked(AGREEMENT, declared.digest, "XBO", until - 1)
        assert not asked("XAR-XBO-2", declared.digest, "XAR", until - 1)
        assert not asked(AGREEMENT, bytes(48), "XAR", until - 1)
        assert await officers.submit(declared, duty1) == log_index, "the same act again is the same entry"
        assert (await officers.kinds()).count("EMERGENCY_DECLARED") == 1


async def test_nobody_declares_who_may_not(tmp_path):
    async with acting(tmp_path) as officers:
        xar, xbo = officers.shared.world.xar, officers.shared.world.xbo
        duty1, liaison = officers.held(xar, "duty1"), officers.held(xar, "liaison1")
        theirs = officers.held(xbo, "duty1")
        for by, changes, error, code in (
            (liaison, {}, AccessError, ErrorCode.ROLE_NOT_ALLOWED),
            (liaison, {"role": Role.LIAISON}, AccessError, ErrorCode.ROLE_NOT_ALLOWED),
            (duty1, {"party": "XBO"}, AccessError, ErrorCode.ACTING_FOR_ANOTHER),
            (duty1, {"officer": theirs.name}, AccessError, ErrorCode.ACTING_FOR_ANOTHER),
            (duty1, {"agreement_id": "XAR-XBO-2"}, ConflictError, ErrorCode.DIGEST_MISMATCH),
            (duty1, {"agreement_digest": "00" * 48}, ConflictError, ErrorCode.DIGEST_MISMATCH),
            (duty1, {"valid_until": wall_ms() + 25 * HOUR}, ConflictError, ErrorCode.TRANSITION_NOT_ALLOWED),
            (duty1, {"valid_until": wall_ms() - 1}, ConflictError, ErrorCode.TRANSITION_NOT_ALLOWED),
            (duty1, {"made_at": wall_ms() - 80 * HOUR}, ConflictError, ErrorCode.TRANSITION_NOT_ALLOWED),
        ):
            with pytest.raises(error) as caught:
                await officers.take(ActKind.DECLARE, by, **changes)
            assert caught.value.code is code, changes
        assert "EMERGENCY_DECLARED" not in await officers.kinds()


async def test_an_officer_brings_what_it_signed_itself_and_nobody_else_signs_it(tmp_path):
    async with acting(tmp_path) as officers:
        xar, xbo = officers.shared.world.xar, officers.shared.world.xbo
        duty1, liaison = officers.held(xar, "duty1"), officers.held(xar, "liaison1")
        declared = officers.signed(ActKind.DECLARE, duty1)
        with pytest.raises(AccessError) as caught:
            await officers.submit(declared, liaison)
        assert caught.value.code is ErrorCode.ACTING_FOR_ANOTHER
        for other in (liaison, officers.held(xbo, "duty1")):
            with pytest.raises(ComityError) as caught:
                await officers.submit(officers.signed(ActKind.DECLARE, duty1, also=(other,)), duty1)
            assert caught.value.code is ErrorCode.STATEMENT_REJECTED
        node = officers.shared.nodes["XAR"]
        with pytest.raises(AccessError):
            await officers.submit(declared, node)


async def test_a_step_is_no_act_and_an_act_no_step(tmp_path):
    async with acting(tmp_path) as officers:
        duty1 = officers.held(officers.shared.world.xar, "duty1")
        liaison = officers.held(officers.shared.world.xar, "liaison1")
        step = officers.shared.treaty.statement(StepKind.SUSPEND, officers.shared.world.xar, reason="x")
        declaration = officers.signed(ActKind.DECLARE, duty1)
        for bringing in (officers.submit(step, liaison), officers.shared.treaty.submit(declaration, liaison)):
            with pytest.raises(ComityError) as caught:
                await bringing
            assert caught.value.code is ErrorCode.STATEMENT_REJECTED


async def delivered(officers):
    """Send one report from XAR, let XBO take it, and give its id and leaf."""
    shared = officers.shared
    async with shared.node("XAR") as sender, shared.node("XBO") as reader:
        receipt = await sender.send(report(), agreement=AGREEMENT)
        async for delivery in reader.receive(follow=False, purpose="counter-terrorism"):
            async with delivery:
                pass
        rows = [row async for row in sender.reports(AGREEMENT)]
    (leaf,) = (row.leaf for row in rows if row.report_id == receipt.report_id)
    return receipt.report_id.hex, leaf.hex()


async def test_a_holder_certifies_what_it_was_handed_and_nothing_else(tmp_path):
    async with acting(tmp_path) as officers:
        xar, xbo = officers.shared.world.xar, officers.shared.world.xbo
        security, theirs = officers.held(xbo, "security1"), officers.held(xar, "security1")
        report_id, leaf = await delivered(officers)
        about = {"originator": "XAR", "reports": (report_id,), "leaves": (leaf,)}
        for by, changes in (
            (security, {"reports": ("ab" * 16,)}),
            (security, {"leaves": ("ab" * 48,)}),
            (theirs, {"originator": "XBO"}),
        ):
            with pytest.raises(NotFoundError) as caught:
                await officers.take(ActKind.CERTIFY, by, **{**about, **changes})
            assert caught.value.code is ErrorCode.REPORT_UNKNOWN
        _, log_index = await officers.take(ActKind.CERTIFY, security, **about)
        assert (await officers.kinds())[log_index] == "SHREDDED"
        _, log_index = await officers.take(ActKind.CERTIFY, security, **{**about, "outcome": "returned"})
        assert (await officers.kinds())[log_index] == "RETURNED"


PERSONAL = (
    "purposes = ['counter-terrorism']\nspecial_categories = 'deny'\npersons_max = 5\nreview_every = { days = 90 }\n"
    "correct_within = { days = 5 }"
)


async def test_wrong_personal_data_is_due_for_correction_and_known_to_originator_and_holder_alone(tmp_path):
    async with acting(tmp_path, ("36", "personal-data", PERSONAL)) as officers:
        world = officers.shared.world
        report_id, leaf = await delivered(officers)
        release, theirs = officers.held(world.xar, "release1"), officers.held(world.xbo, "release1")
        named = {"reports": (report_id,), "leaves": (leaf,)}
        with pytest.raises(NotFoundError):
            await officers.take(ActKind.ASK_CORRECTION, theirs, holder="XAR", **named)
        with pytest.raises(NotFoundError):
            await officers.take(ActKind.CORRECTED, release, originator="XBO", **named)
        _, asked = await officers.take(ActKind.ASK_CORRECTION, release, holder="XBO", **named)
        for _ in range(2):
            await world.broker.monitor.look()
        due = ("DUTY_DUE", "correct-personal-data", "XBO")
        assert await officers.told(DutyKind.CORRECT) == [due]
        _, done = await officers.take(ActKind.CORRECTED, theirs, originator="XAR", **named)
        for _ in range(2):
            await world.broker.monitor.look()
        assert await officers.told(DutyKind.CORRECT) == [due, ("DUTY_DONE", "correct-personal-data", "XBO")]
        kinds = await officers.kinds()
        assert (kinds[asked], kinds[done]) == ("CORRECTION_ASKED", "DATA_CORRECTED")
        (body,) = await world.broker.logs._reader.bodies(AGREEMENT, [asked], ["shared"])
        assert "statement" not in json.loads(body.body)


async def test_a_witness_is_accredited_for_the_agreement_too(tmp_path):
    async with acting(tmp_path) as officers:
        shared, xbo = officers.shared, officers.shared.world.xbo
        security = officers.held(xbo, "security1")
        report_id, leaf = await delivered(officers)
        about = {"originator": "XAR", "reports": (report_id,), "leaves": (leaf,)}
        elsewhere = await shared.world.enrolled(xbo.officer("clerk1", [Role.LIAISON], agreements=("XAR-XBO-2",)))
        withdrawn = await shared.world.enrolled(xbo.officer("clerk2", [Role.LIAISON]))
        async with shared.world.connection(officers.held(xbo, "liaison1")) as connection:
            await publish_statement(connection, replace(withdrawn).reissued(roles=()))
        for witness, code in ((elsewhere, ErrorCode.ROLE_NOT_ALLOWED), (withdrawn, ErrorCode.KEY_REVOKED)):
            with pytest.raises(ComityError) as caught:
                await officers.take(ActKind.CERTIFY, security, witness, **about)
            assert caught.value.code is code
        await officers.take(ActKind.CERTIFY, security, officers.held(xbo, "liaison1"), **about)


@pytest.mark.parametrize("how", ["accreditation", "key"])
async def test_a_declaration_allows_nothing_once_its_officer_is_out_of_office(tmp_path, how):
    async with acting(tmp_path) as officers:
        shared, xar = officers.shared, officers.shared.world.xar
        duty1 = officers.held(xar, "duty1")
        declared, _ = await officers.take(ActKind.DECLARE, duty1)
        asked = ledger(officers).emergency
        assert asked(AGREEMENT, declared.digest, "XAR", wall_ms())
        ends = replace(duty1).reissued(roles=()) if how == "accreditation" else xar.revocation(duty1.signer.fingerprint)
        async with shared.world.connection(officers.held(xar, "liaison1")) as connection:
            await publish_statement(connection, ends)
        assert not asked(AGREEMENT, declared.digest, "XAR", wall_ms())


async def test_acts_and_what_the_log_was_told_of_duties_are_read_back_at_a_start(tmp_path):
    async with acting(tmp_path) as officers:
        world = officers.shared.world
        duty1 = officers.held(world.xar, "duty1")
        declared, _ = await officers.take(ActKind.DECLARE, duty1)
        await world.broker.monitor.look()
        before = await officers.told()
        assert sorted(before) == [
            ("DUTY_DUE", "attest-measures", "XAR"),
            ("DUTY_DUE", "attest-measures", "XBO"),
            ("DUTY_DUE", "review-emergency", "XAR"),
        ]
    async with sharing(tmp_path, into_force=False, world=world) as again:
        asked = again.world.broker.monitor.duties.emergency
        assert asked(AGREEMENT, declared.digest, "XAR", wall_ms())
        await again.world.broker.monitor.look()
        assert await Officers(again).told() == before


async def test_a_clock_that_was_set_a_moment_ago_makes_nothing_overdue(tmp_path):
    """Whoever is first to ask for the time notices: no beat stands between the step and what would go by it."""
    async with acting(tmp_path) as officers:
        world = officers.shared.world
        await officers.take(ActKind.DECLARE, officers.held(world.xar, "duty1"))
        monitor = world.broker.monitor
        await monitor.look()
        world.clock.wall = lambda: wall_ms() + 25 * HOUR
        await monitor.look()
        assert await officers.told(DutyKind.REVIEW_EMERGENCY) == [("DUTY_DUE", "review-emergency", "XAR")]
        assert [(one.agreement_id, one.times) for one in monitor.alarms] == [("", 1)]


async def test_a_review_is_due_then_overdue_then_done_once_each(tmp_path):
    async with acting(tmp_path) as officers:
        world = officers.shared.world
        duty1, liaison = officers.held(world.xar, "duty1"), officers.held(world.xar, "liaison1")
        declared, _ = await officers.take(ActKind.DECLARE, duty1)
        monitor, state = world.broker.monitor, world.broker.ledger.require(AGREEMENT)
        for _ in range(2):
            await monitor.look()
        later = wall_ms() + 25 * HOUR
        world.clock.committed(later)
        monitor.clock_stepped()
        await monitor.look()
        reviews = DutyKind.REVIEW_EMERGENCY
        due, overdue, done = ((f"DUTY_{word}", "review-emergency", "XAR") for word in ("DUE", "OVERDUE", "DONE"))
        assert await officers.told(reviews) == [due], "nothing falls due by a clock that was set"
        monitor._time_counts = True
        for _ in range(2):
            await monitor.look()
        assert await officers.told(reviews) == [due, overdue]
        acts = monitor.duties.acts.of(AGREEMENT)
        (owed,) = (
            one for one in duties(state.state(later), acts, (), (), later) if one.duty.kind is DutyKind.REVIEW_EMERGENCY
        )
        assert (owed.state, owed.duty.owner) == (DutyState.OVERDUE, "XAR")
        await officers.take(ActKind.REVIEW, liaison, names=declared.digest.hex(), made_at=later)
        for _ in range(2):
            await monitor.look()
        assert await officers.told(reviews) == [due, overdue, done]


async def test_acts_and_steps_at_the_same_moment_are_all_taken(tmp_path):
    async with acting(tmp_path) as officers:
        world, treaty = officers.shared.world, officers.shared.treaty
        security = [officers.held(nation, "security1") for nation in (world.xar, world.xbo)]
        acts = [officers.take(ActKind.ATTEST, by, reason=f"time {number}") for number in range(3) for by in security]
        await asyncio.gather(*acts, treaty.take(StepKind.SUSPEND, world.xar, clauses=("30",), reason="consultations"))
        kinds = await officers.kinds()
        assert (kinds.count("MEASURES_ATTESTED"), kinds.count("AGREEMENT_SUSPENDED")) == (6, 1)
