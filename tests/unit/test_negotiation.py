"""What an officer signs, and what nobody signs: against a real broker, with the officer's own mirror."""

from dataclasses import replace
from pathlib import Path

import pytest

from builders_broker import AGREEMENT, World, brokered
from builders_every_kind import MORE, clause_text
from builders_identity import nation
from builders_officers import at_work
from comity.errors import AccessError, ConflictError, ErrorCode, MalformedError, RefusedError, VerificationError
from comity.node.catching_up import catch_up
from comity.node.negotiation import check_roots, load_document
from comity_policy.facts import Role
from comity_policy.lifecycle import Phase
from comity_policy.steps import StepKind


async def officers(world: World):
    """Enrol a liaison, a lawyer and a minister of each nation."""
    found = {}
    for one in (world.xar, world.xbo):
        for name, role in (
            ("liaison1", Role.LIAISON),
            ("lawyer1", Role.LEGAL_REVIEWER),
            ("minister1", Role.PLENIPOTENTIARY),
        ):
            found[f"{one.party}/{name}"] = await world.enrolled(one.officer(name, (role,)))
    return found


async def test_six_people_bring_an_agreement_into_force_and_one_suspends_a_clause(tmp_path):
    async with brokered(tmp_path / "hub") as world:
        people = await officers(world)
        async with at_work(world, people["XAR/liaison1"], tmp_path) as liaison:
            assert (await liaison.propose(world.agreement().encode())).kind is StepKind.PROPOSE
        for name in ("XAR/lawyer1", "XBO/lawyer1"):
            async with at_work(world, people[name], tmp_path) as lawyer:
                await lawyer.review(AGREEMENT)
        for name in ("XAR/minister1", "XBO/minister1"):
            async with at_work(world, people[name], tmp_path) as minister:
                taken = await minister.sign(AGREEMENT)
                assert [one.kind for one in taken] == [StepKind.SIGN, StepKind.LOG_SIGN]
                with pytest.raises(ConflictError):
                    await minister.sign(AGREEMENT)
        async with at_work(world, people["XAR/liaison1"], tmp_path) as liaison:
            first = await liaison.suspend(AGREEMENT, ["3.1"], "a leak")
            # The second follows the first in its own party's chain, which the mirror must have seen.
            second = await liaison.suspend(AGREEMENT, ["3.2"], "another")
            await catch_up(liaison.connection, liaison.mirror, at_least={AGREEMENT: second.log_index + 1})
            state = liaison.mirror.agreement(AGREEMENT).state
            assert state.phase is Phase.IN_FORCE
            assert state.suspended_clauses == {"3.1", "3.2"}
            assert second.log_index > first.log_index
            await liaison.resume(AGREEMENT, ["3.1"], "found")


async def test_an_interrupted_signature_is_finished_by_signing_again(tmp_path):
    async with brokered(tmp_path / "hub") as world:
        people = await officers(world)
        async with at_work(world, people["XAR/liaison1"], tmp_path) as liaison:
            await liaison.propose(world.agreement().encode())
        async with at_work(world, people["XAR/lawyer1"], tmp_path) as lawyer:
            await lawyer.review(AGREEMENT)
        async with at_work(world, people["XAR/minister1"], tmp_path) as minister:
            view = await minister.view(AGREEMENT)
            await minister.bring(minister.step(StepKind.SIGN, view.state))
            taken = await minister.sign(AGREEMENT)
            assert [one.kind for one in taken] == [StepKind.LOG_SIGN]


async def test_whoever_lacks_the_role_signs_nothing_and_is_told_what_is_missing(tmp_path):
    async with brokered(tmp_path / "hub") as world:
        people = await officers(world)
        async with at_work(world, people["XAR/lawyer1"], tmp_path) as lawyer:
            with pytest.raises(AccessError) as refused:
                await lawyer.propose(world.agreement().encode())
    assert "--role liaison" in refused.value.what_to_do


async def test_a_text_that_does_not_name_this_broker_is_not_proposed_to_it(tmp_path):
    async with brokered(tmp_path / "hub") as world:
        people = await officers(world)
        text = world.agreement().replace("[brokers.hub]", "[brokers.other]")
        async with at_work(world, people["XAR/liaison1"], tmp_path) as liaison:
            with pytest.raises(RefusedError) as refused:
                await liaison.propose(text.encode())
    assert refused.value.code is ErrorCode.BROKER_NOT_NAMED


async def test_a_text_that_pins_a_root_nobody_here_trusts_is_neither_proposed_nor_signed(tmp_path):
    async with brokered(tmp_path / "hub") as world:
        people = await officers(world)
        alone = {"XAR": world.xar.card}
        async with at_work(world, people["XAR/liaison1"], tmp_path, cards=alone) as liaison:
            with pytest.raises(VerificationError) as refused:
                await liaison.propose(world.agreement().encode())
        assert refused.value.code is ErrorCode.PARTY_UNTRUSTED
        assert refused.value.exit_code == 16


async def test_a_text_that_this_release_does_not_carry_whole_is_not_proposed(tmp_path):
    async with brokered(tmp_path / "hub") as world:
        people = await officers(world)
        text = world.agreement() + clause_text("25", *MORE["25"])
        text = text.replace("[brokers.hub]", '[brokers.second]\noperator = "XBO"\nregion = "xbo"\n\n[brokers.hub]')
        async with at_work(world, people["XAR/liaison1"], tmp_path) as liaison:
            with pytest.raises(MalformedError, match="clause 25, quota: it is counted in one log") as refused:
                await liaison.propose(text.encode())
    assert refused.value.code is ErrorCode.AGREEMENT_INVALID
    assert "agreement check" in refused.value.what_to_do


async def test_a_text_that_does_not_load_is_refused_before_anything_is_asked(tmp_path):
    async with brokered(tmp_path / "hub") as world:
        people = await officers(world)
        async with at_work(world, people["XAR/liaison1"], tmp_path) as liaison:
            with pytest.raises(MalformedError) as refused:
                await liaison.propose(b"[agreement]\n")
    assert refused.value.code is ErrorCode.AGREEMENT_INVALID


def test_roots_are_compared_with_the_cards_that_are_trusted():
    xar, xbo, forger = nation("XAR"), nation("XBO"), nation("XBO", trust_domain="other.example")
    world = World(Path(), xar, xbo, xar.broker(), None)
    document = load_document(world.agreement().encode())
    cards = {"XAR": xar.card, "XBO": xbo.card}
    check_roots(document, cards)
    for wrong in (
        {"XAR": xar.card},
        {**cards, "XBO": replace(forger.card, root=xbo.card.root)},
        {**cards, "XBO": xar.card},
    ):
        with pytest.raises(VerificationError):
            check_roots(document, wrong)


async def test_catching_up_waits_for_no_entry_that_never_comes(tmp_path):
    async with brokered(tmp_path / "hub") as world:
        people = await officers(world)
        async with at_work(world, people["XAR/liaison1"], tmp_path) as liaison:
            await liaison.propose(world.agreement().encode())
            await catch_up(liaison.connection, liaison.mirror, at_least={AGREEMENT: 1_000}, patience_seconds=0.2)
            assert liaison.mirror.agreement(AGREEMENT).state.phase is Phase.PROPOSED
