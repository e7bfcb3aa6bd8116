"""What officers can do with an agreement at a broker, and what nobody can."""

from dataclasses import replace

import pytest

from builders_broker import AGREEMENT, brokered
from builders_identity import nation
from builders_sdk import until
from builders_treaty import treaty
from comity.errors import AccessError, ComityError, ConflictError, ErrorCode
from comity.v1 import agreement_pb2
from comity_policy.facts import Role
from comity_policy.lifecycle import Phase, StepKind


async def refused(waiting, code):
    with pytest.raises(ComityError) as caught:
        await waiting
    assert caught.value.code is code, caught.value
    return caught.value


async def test_two_nations_bring_an_agreement_into_force_and_a_restart_remembers_it(tmp_path):
    async with brokered(tmp_path) as world:
        agreed = await treaty(world)
        await agreed.into_force()
        standing = world.broker.ledger.require(AGREEMENT, "XBO")
        assert standing.state(world.clock.now_ms()).phase is Phase.IN_FORCE
        assert standing.admits(world.clock.now_ms())
        steps = standing.steps
    async with brokered(tmp_path, world=world) as again:
        standing = again.broker.ledger.require(AGREEMENT, "XBO")
        assert standing.state(world.clock.now_ms()).phase is Phase.IN_FORCE
        assert standing.steps == steps
        assert standing.text == agreed.text


async def test_a_step_that_is_there_already_is_answered_with_its_entry(tmp_path):
    async with brokered(tmp_path) as world:
        agreed = await treaty(world)
        liaison = agreed.officer(world.xar, "liaison1")
        proposal = agreed.statement(StepKind.PROPOSE, world.xar)
        assert await agreed.submit(proposal, liaison, agreed.text) == 1
        assert await agreed.submit(proposal, liaison, agreed.text) == 1


async def test_of_two_steps_that_follow_the_same_one_the_first_wins(tmp_path):
    async with brokered(tmp_path) as world:
        agreed = await treaty(world)
        await agreed.take(StepKind.PROPOSE, world.xar)
        theirs = agreed.statement(StepKind.REVIEW, world.xbo)
        await agreed.take(StepKind.REVIEW, world.xar)
        await refused(agreed.submit(theirs, agreed.officer(world.xbo, "legal1")), ErrorCode.STATEMENT_CONFLICT)


async def test_another_text_under_the_same_id_is_a_conflict(tmp_path):
    async with brokered(tmp_path) as world:
        agreed = await treaty(world)
        await agreed.take(StepKind.PROPOSE, world.xar)
        other = await_text(world)
        agreed.text, agreed.head = other, ""
        statement = agreed.statement(StepKind.PROPOSE, world.xar)
        error = await refused(
            agreed.submit(statement, agreed.officer(world.xar, "liaison1"), other), ErrorCode.STATEMENT_CONFLICT
        )
        assert isinstance(error, ConflictError)


def await_text(world):
    return world.agreement(title="Another title").encode()


async def test_an_officer_brings_its_own_steps_only(tmp_path):
    async with brokered(tmp_path) as world:
        agreed = await treaty(world)
        statement = agreed.statement(StepKind.PROPOSE, world.xar)
        partner = agreed.officer(world.xbo, "liaison1")
        await refused(agreed.submit(statement, partner, agreed.text), ErrorCode.ACTING_FOR_ANOTHER)


async def test_a_role_the_officer_does_not_hold_does_not_count(tmp_path):
    async with brokered(tmp_path) as world:
        agreed = await treaty(world)
        await agreed.take(StepKind.PROPOSE, world.xar)
        liaison = agreed.officer(world.xar, "liaison1")
        claimed = agreed.statement(StepKind.REVIEW, world.xar, by=liaison, role=Role.LEGAL_REVIEWER)
        await refused(agreed.submit(claimed, liaison), ErrorCode.ROLE_NOT_ALLOWED)


async def test_an_officer_accredited_for_another_agreement_sees_and_does_nothing_here(tmp_path):
    async with brokered(tmp_path) as world:
        agreed = await treaty(world)
        await agreed.take(StepKind.PROPOSE, world.xar)
        stranger = await world.enrolled(world.xar.officer("liaison2", [Role.LIAISON], agreements=("OTHER-1",)))
        async with world.connection(stranger) as connection:
            listed = await connection.call(connection.agreements.ListAgreements, agreement_pb2.ListAgreementsRequest())
            assert list(listed.agreements) == []
            with pytest.raises(AccessError):
                await connection.call(
                    connection.agreements.GetAgreement, agreement_pb2.GetAgreementRequest(agreement_id=AGREEMENT)
                )


async def test_a_withdrawn_officer_signs_nothing_more(tmp_path):
    async with brokered(tmp_path) as world:
        agreed = await treaty(world)
        await agreed.take(StepKind.PROPOSE, world.xar)
        legal = agreed.officer(world.xar, "legal1")
        await world.broker.directory.take(legal.reissued(roles=()), _nobody())
        statement = agreed.statement(StepKind.REVIEW, world.xar)
        with pytest.raises(ComityError):
            await agreed.submit(statement, legal)


def _nobody():
    from comity_broker.auditlog.bodies import BROKER

    return BROKER


async def test_a_text_that_names_this_broker_otherwise_is_not_carried(tmp_path):
    async with brokered(tmp_path) as world:
        agreed = await treaty(world)
        agreed.text = agreed.text.replace(b'region = "xar"', b'region = "xbo"')
        statement = agreed.statement(StepKind.PROPOSE, world.xar)
        liaison = agreed.officer(world.xar, "liaison1")
        await refused(agreed.submit(statement, liaison, agreed.text), ErrorCode.BROKER_NOT_NAMED)


async def test_a_text_that_pins_another_root_is_not_carried(tmp_path):
    async with brokered(tmp_path) as world:
        agreed = await treaty(world)
        other = nation("XDE").card.root_fingerprint.hex().encode()
        agreed.text = agreed.text.replace(world.xbo.card.root_fingerprint.hex().encode(), other)
        statement = agreed.statement(StepKind.PROPOSE, world.xar)
        liaison = agreed.officer(world.xar, "liaison1")
        await refused(agreed.submit(statement, liaison, agreed.text), ErrorCode.PARTY_UNTRUSTED)


async def test_terms_of_the_log_that_are_not_the_brokers_are_not_taken(tmp_path):
    async with brokered(tmp_path) as world:
        agreed = await treaty(world)
        await agreed.take(StepKind.PROPOSE, world.xar)
        terms = await world.broker.agreements.terms(AGREEMENT)
        changed = type(terms)(terms.origin, terms.log_vkeys, terms.anchor_slot + 1, terms.anchor_key)
        statement = agreed.statement(StepKind.LOG_SIGN, world.xar, log=changed)
        await refused(
            agreed.submit(statement, agreed.officer(world.xar, "plenipotentiary1")), ErrorCode.STATEMENT_CONFLICT
        )


async def test_a_text_that_does_not_load_is_refused_with_path_and_line(tmp_path):
    async with brokered(tmp_path) as world:
        agreed = await treaty(world)
        broken = agreed.text.replace(b'kind = "ceiling"', b'kind = "celing"')
        statement = agreed.statement(StepKind.PROPOSE, world.xar)
        error = await refused(
            agreed.submit(statement, agreed.officer(world.xar, "liaison1"), broken), ErrorCode.AGREEMENT_INVALID
        )
        assert "line" in error.message
        assert "celing" in error.message


async def test_every_step_raises_the_epoch_that_decisions_are_compared_with(tmp_path):
    async with brokered(tmp_path) as world:
        agreed = await treaty(world)
        await agreed.into_force()
        before = world.broker.ledger.require(AGREEMENT).epoch
        await agreed.take(StepKind.SUSPEND, world.xbo, reason="consultations")
        standing = world.broker.ledger.require(AGREEMENT)
        head = await world.broker._storage.reader.head(AGREEMENT)
        assert standing.epoch == head.state_epoch == before + 1
        assert standing.state(world.clock.now_ms()).phase is Phase.SUSPENDED


# --- frozen ---------------------------------------------------------------------------------------------------------


async def kinds_of(world) -> list[str]:
    """Give the kinds of every entry of the agreement's log."""
    return [entry.kind for entry in await world.broker._storage.reader.entries(AGREEMENT, 0, 1024)]


async def test_under_a_frozen_log_no_step_is_taken_and_reading_goes_on(tmp_path):
    async with brokered(tmp_path) as world:
        agreed = await treaty(world)
        await agreed.into_force()
        await world.broker.agreements.freeze(AGREEMENT, "two histories")
        before = await kinds_of(world)
        liaison = agreed.officer(world.xbo, "liaison1")
        suspension = agreed.statement(StepKind.SUSPEND, world.xbo, reason="consultations")
        error = await refused(agreed.submit(suspension, liaison), ErrorCode.LOG_FROZEN)
        assert "two histories" in error.message
        assert await kinds_of(world) == before
        async with world.connection(liaison) as connection:
            shown = await connection.call(
                connection.agreements.GetAgreement, agreement_pb2.GetAgreementRequest(agreement_id=AGREEMENT)
            )
        assert shown.summary.frozen_reason == "two histories"


async def test_a_step_that_was_taken_before_the_freeze_is_answered_with_its_entry_still(tmp_path):
    async with brokered(tmp_path) as world:
        agreed = await treaty(world)
        proposal = agreed.statement(StepKind.PROPOSE, world.xar)
        liaison = agreed.officer(world.xar, "liaison1")
        assert await agreed.submit(proposal, liaison, agreed.text) == 1
        await world.broker.agreements.freeze(AGREEMENT, "two histories")
        assert await agreed.submit(proposal, liaison, agreed.text) == 1


async def test_a_step_that_meets_a_freeze_on_its_way_to_the_log_is_not_taken(tmp_path):
    async with brokered(tmp_path) as world:
        agreed = await treaty(world)
        await agreed.into_force()
        agreements = world.broker.agreements
        journal = agreements._journal

        class Freezing:
            """The moment between the check of a step and its commit."""

            async def submit(self, unit):
                agreements._journal = journal
                await agreements.freeze(AGREEMENT, "two histories")
                return await journal.submit(replace(unit, expected_epoch=None))

        agreements._journal = Freezing()
        suspension = agreed.statement(StepKind.SUSPEND, world.xbo, reason="consultations")
        await refused(agreed.submit(suspension, agreed.officer(world.xbo, "liaison1")), ErrorCode.LOG_FROZEN)
        assert (await kinds_of(world))[-1] == "LOG_FROZEN"


async def test_a_revocation_counts_under_a_frozen_log_and_writes_nothing_to_it(tmp_path):
    async with brokered(tmp_path) as world:
        agreed = await treaty(world)
        await agreed.into_force()
        await world.broker.agreements.freeze(AGREEMENT, "two histories")
        before, epoch = await kinds_of(world), world.broker.ledger.require(AGREEMENT).epoch
        liaison = agreed.officer(world.xbo, "liaison1")
        key = liaison.signer.fingerprint
        await world.broker.directory.take(world.xbo.revocation(key), _nobody())
        await until(lambda: world.broker.ledger.require(AGREEMENT).epoch > epoch)
        assert await kinds_of(world) == before
        assert before[-1] == "LOG_FROZEN"
        assert world.broker.directory.keys.revocation(key) is not None
    async with brokered(tmp_path, world=world) as again:
        assert await kinds_of(again) == before
        assert again.broker.directory.keys.revocation(key) is not None
