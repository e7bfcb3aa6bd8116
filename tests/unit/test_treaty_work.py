"""Officers live with an agreement at a real broker: arrangements under an umbrella, notes, renewals, objections."""

import time

import pytest

from builders_broker import AGREEMENT, brokered
from builders_identity import nation
from builders_officers import at_work
from builders_three import ThreeNations
from comity.errors import ConflictError, ErrorCode, MalformedError, NotFoundError
from comity.node.catching_up import catch_up
from comity.texts import agreement_digest
from comity_broker.settings import Settings
from comity_policy.facts import Role
from comity_policy.lifecycle import Phase
from comity_policy.steps import StepKind

UMBRELLA = "XAR-XBO-GSA"
EVERY_ROLE = (Role.LIAISON, Role.LEGAL_REVIEWER, Role.PLENIPOTENTIARY, Role.SECURITY_AUTHORITY)


async def both(world):
    """Enrol one officer of each nation who holds every role."""
    return [await world.enrolled(one.officer("officer1", EVERY_ROLE)) for one in (world.xar, world.xbo)]


async def into_force(world, people, text, agreement_id, tmp_path):
    """Propose, review and sign on both sides."""
    async with at_work(world, people[0], tmp_path) as officer:
        await officer.propose(text)
    for step in ("review", "sign"):
        for held in people:
            async with at_work(world, held, tmp_path) as officer:
                await getattr(officer, step)(agreement_id)


def umbrella_text(world):
    text = world.agreement().replace(f'id = "{AGREEMENT}"', f'id = "{UMBRELLA}"', 1)
    head, *clauses = text.replace('kind = "agreement"', 'kind = "umbrella"', 1).split("[[clause]]")
    return "[[clause]]".join([head, *(one for one in clauses if 'kind = "scope"' not in one)]).encode()


def arrangement_text(world, digest):
    under = f'[under]\nagreement = "{UMBRELLA}"\ndigest = "sha384:{digest}"\n\n[interpretation]'
    text = world.agreement().replace('kind = "agreement"', 'kind = "arrangement"', 1)
    return text.replace("[interpretation]", under, 1).encode()


def with_section(text, section):
    return text.replace("[interpretation]", f"{section}\n\n[interpretation]", 1)


async def fresh(officer, agreement_id=AGREEMENT):
    await catch_up(officer.connection, officer.mirror, (agreement_id,))
    return officer.mirror.agreement(agreement_id)


async def test_an_arrangement_is_decided_under_its_umbrella_and_stops_with_it(tmp_path):
    async with brokered(tmp_path / "hub") as world:
        people = await both(world)
        above = umbrella_text(world)
        text = arrangement_text(world, agreement_digest(above).hex())
        async with at_work(world, people[0], tmp_path) as officer:
            with pytest.raises(NotFoundError):
                await officer.propose(text)
        await into_force(world, people, above, UMBRELLA, tmp_path)
        async with at_work(world, people[0], tmp_path) as officer:
            with pytest.raises(MalformedError, match="names another text of XAR-XBO-GSA"):
                await officer.propose(arrangement_text(world, "00" * 48))
        await into_force(world, people, text, AGREEMENT, tmp_path)
        async with at_work(world, people[1], tmp_path) as other, at_work(world, people[0], tmp_path) as officer:
            view = await fresh(other)
            assert (view.umbrella.agreement_id, view.umbrella.state.phase) == (UMBRELLA, Phase.IN_FORCE)
            assert view.compiled.source.umbrella.state.in_force
            await officer.suspend(UMBRELLA, (), "consultations")
            view = await fresh(other)
            assert view.state.phase is Phase.IN_FORCE
            assert view.umbrella.state.phase is Phase.SUSPENDED
            assert not view.compiled.source.umbrella.state.in_force
            # What the log had before is still judged under the umbrella of then.
            fold = other.mirror.fold(AGREEMENT)
            place = fold.umbrella.places[-1].log_index
            before = fold.state_before(place, view.state.now_ms)
            assert fold.umbrella_of(before, place).log_index < view.umbrella.log_index
        # Another mirror of the same party, and the same one opened again, come to the same.
        async with at_work(world, people[1], tmp_path) as other:
            again = other.mirror.agreement(AGREEMENT).umbrella
            assert (again.log_index, again.state.phase) == (view.umbrella.log_index, Phase.SUSPENDED)


async def test_an_annex_is_changed_by_notes_of_the_role_it_names(tmp_path):
    annex = (
        '\n[[annex]]\nid = "A"\namended_by = "exchange-of-notes"\nby = "security-authority"\n'
        '[[annex.clause]]\nid = "A1"\nkind = "article"\ntopic = "visits"\ntext = { en = "Visits are announced." }\n'
    )
    async with brokered(tmp_path / "hub") as world:
        people = await both(world)
        text = world.agreement() + annex
        await into_force(world, people, text.encode(), AGREEMENT, tmp_path)
        amends = f'[amends]\nversion = 1\ndigest = "sha384:{agreement_digest(text.encode()).hex()}"\napplies_to = "new"'
        note = with_section(text, amends).replace("version = 1\n", "version = 2\n", 1)
        note = note.replace("are announced.", "are announced a week before.").encode()
        async with at_work(world, people[0], tmp_path) as officer:
            with pytest.raises(ConflictError):
                await officer.notes(note.replace(b"months = 6", b"months = 5"), "A")
            await officer.notes(note, "A")
            pending = (await fresh(officer)).state.pending
            assert (pending.annex, pending.signed) == ("A", {"XAR"})
        async with at_work(world, people[1], tmp_path) as officer:
            await officer.notes(note, "A")
            view = await fresh(officer)
            assert (view.document.version, view.document_bytes) == (2, note)


async def test_a_term_is_renewed_by_both_or_objected_to_by_one(tmp_path):
    async with brokered(tmp_path / "hub") as world:
        people = await both(world)
        text = world.agreement().replace(
            'kind = "indefinite"', 'kind = "term"\nyears = 1\nrenewal = "express"\nremind_days = [30]', 1
        )
        await into_force(world, people, text.encode(), AGREEMENT, tmp_path)
        ends = []
        for held in people:
            async with at_work(world, held, tmp_path) as officer:
                await officer.renew(AGREEMENT)
                ends.append((await fresh(officer)).state.ends_at)
                with pytest.raises(ConflictError) as refused:
                    await officer.object_renewal(AGREEMENT, "no need")
                assert refused.value.code is ErrorCode.TRANSITION_NOT_ALLOWED
        assert ends[0] < ends[1]


async def test_what_a_step_cannot_say_is_refused_before_it_is_signed(tmp_path):
    async with brokered(tmp_path / "hub") as world:
        people = await both(world)
        async with at_work(world, people[0], tmp_path) as officer:
            await officer.propose(world.agreement().encode())
            for wrong in (
                officer.object(AGREEMENT, ("3.1",), "x" * 1001),
                officer.object(AGREEMENT, ("3\n1",), "why"),
                officer.dispute_open(AGREEMENT, "entry", "3", "30 June 2027", "why"),
                officer.dispute_open(AGREEMENT, "report", "r-1", "2027-06-30", "why"),
                officer.notify_completion(AGREEMENT, "Law\x1b[2J", "Parliament", "2026-01-01"),
                officer.notify_completion(AGREEMENT, "Law", "Parliament", "2026-13-01"),
                officer.caveat_add(b"[caveat]\n"),
                officer.caveat_add(b"#" * ((64 << 10) + 1)),
            ):
                with pytest.raises(MalformedError):
                    await wrong
            view = officer.mirror.agreement(AGREEMENT)
            assert len(view.statements) == 1


async def test_a_third_party_accedes_to_what_two_brought_into_force_and_withdraws_again(tmp_path):
    now = time.time_ns() // 1_000_000
    xar, xbo, xde = (nation(code, now=now) for code in ("XAR", "XBO", "XDE"))
    settings = Settings(listen="127.0.0.1:0", drain=2.0)
    world = ThreeNations(tmp_path / "hub", xar, xbo, xar.broker(), settings, xde=xde)
    cards = {one.party: one.card for one in world.nations}
    async with brokered(tmp_path / "hub", world=world):
        people = [await world.enrolled(one.officer("officer1", EVERY_ROLE)) for one in world.nations]
        text = world.agreement().replace('rule = "on-signature"', 'rule = "on-signature"\nminimum = 2', 1)
        async with at_work(world, people[0], tmp_path, cards=cards) as officer:
            await officer.propose(text.encode())
        for held in people[:2]:
            async with at_work(world, held, tmp_path, cards=cards) as officer:
                await officer.review(AGREEMENT)
                await officer.sign(AGREEMENT)
        async with at_work(world, people[2], tmp_path, cards=cards) as officer:
            view = await fresh(officer)
            assert (view.state.phase, view.state.bound) == (Phase.IN_FORCE, {"XAR", "XBO"})
            await officer.review(AGREEMENT)
            with pytest.raises(ConflictError, match="accedes"):
                await officer.sign(AGREEMENT)
            taken = await officer.accede(AGREEMENT)
            assert [one.kind for one in taken] == [StepKind.ACCEDE, StepKind.LOG_SIGN]
            assert (await fresh(officer)).state.bound == {"XAR", "XBO", "XDE"}
            with pytest.raises(ConflictError, match="withdraws"):
                await officer.notice(AGREEMENT, "a change of policy")
            await officer.withdraw(AGREEMENT, "a change of policy")
            state = (await fresh(officer)).state
            assert (state.phase, state.notices, state.ends_at) == (Phase.NOTICE_GIVEN, {"XDE"}, None)
