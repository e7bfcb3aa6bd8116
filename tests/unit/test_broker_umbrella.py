"""Arrangements under an umbrella at a real broker: what happens to the umbrella counts for the arrangement at once."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from builders_broker import World
from builders_life import Living, amended, living, write_bundle
from builders_officers import at_work
from builders_restored import restore, save
from comity.errors import ComityError, ErrorCode, StorageError
from comity.statement import Statement
from comity.verify.checks import Verification
from comity_broker.auditlog.kinds import EventKind
from comity_policy.lifecycle import Phase, StepKind

UMBRELLA, ARRANGEMENT = "XAR-XBO-GSA", "XAR-XBO-CT"


def umbrella_text(world, text: bytes = b"") -> bytes:
    """Give the template's text, or another, as an umbrella: everything but what grants."""
    head, *clauses = (text or world.text()).split(b"[[clause]]")
    kept = [one for one in clauses if b'kind = "scope"' not in one]
    text = b"[[clause]]".join([head, *kept])
    return text.replace(b'kind = "agreement"', b'kind = "umbrella"').replace(b'"XAR-XBO-1"', f'"{UMBRELLA}"'.encode())


def arrangement_text(world, umbrella: Living, name: str = ARRANGEMENT) -> bytes:
    text = world.text().replace(b'"XAR-XBO-1"', f'"{name}"'.encode())
    under = f'[under]\nagreement = "{umbrella.id}"\ndigest = "sha384:{umbrella.digest.hex()}"\n\n[entry_into_force]'
    text = text.replace(b"[entry_into_force]", under.encode(), 1)
    return text.replace(b'kind = "agreement"', b'kind = "arrangement"')


async def both(world) -> tuple[Living, Living]:
    """Bring an umbrella and an arrangement under it into force."""
    umbrella = await world.in_force(umbrella_text(world), UMBRELLA)
    return umbrella, await world.in_force(arrangement_text(world, umbrella), ARRANGEMENT)


async def followed(world, agreement_id: str = ARRANGEMENT) -> list[dict]:
    """Give what UMBRELLA_CHANGED says, entry by entry."""
    reader = world.base.broker._storage.reader
    entries = await reader.entries(agreement_id, 0, 1024)
    found = [one.log_index for one in entries if one.kind == EventKind.UMBRELLA_CHANGED]
    return [json.loads(one.body) for one in await reader.bodies(agreement_id, found, ["shared"])]


async def refused(waiting) -> ComityError:
    with pytest.raises(ComityError) as caught:
        await waiting
    return caught.value


async def test_an_arrangement_follows_its_umbrella_from_its_first_entry_on(tmp_path):
    async with living(tmp_path) as world:
        umbrella, treaty = await both(world)
        assert not (await world.publish("XAR", treaty)).refusals
        said = await followed(world)
        newest = umbrella.standing.steps[-1].log_index
        assert [(one["umbrella"], one["umbrella_log_index"]) for one in said] == [(UMBRELLA, newest)]
        assert said[0]["umbrella_origin"] == umbrella.standing.origin
        before = treaty.standing.epoch
        at = await umbrella.take(StepKind.SUSPEND, "XBO", reason="Consultations.")
        assert [one["umbrella_log_index"] for one in await followed(world)] == [newest, at]
        assert treaty.standing.epoch == before + 1 == (await followed(world))[-1]["state_epoch"]


async def test_an_arrangement_has_no_party_that_is_none_of_its_umbrellas(tmp_path):
    async with living(tmp_path, "XAR", "XBO", "XDE") as world:
        of_two = World.agreement(world.base, categories=("terrorism", "cyber")).encode()
        umbrella = world.treaty(umbrella_text(world, of_two), UMBRELLA)
        await umbrella.propose()
        below = world.treaty(arrangement_text(world, umbrella), ARRANGEMENT)
        error = await refused(below.propose())
        assert (error.code, f"the umbrella {UMBRELLA}" in error.message) == (ErrorCode.AGREEMENT_UNKNOWN, True)
        assert world.base.broker.ledger.standing(ARRANGEMENT) is None


async def test_a_suspended_umbrella_refuses_under_the_arrangement_and_a_resumed_one_does_not(tmp_path):
    async with living(tmp_path) as world:
        umbrella, treaty = await both(world)
        await umbrella.take(StepKind.SUSPEND, "XBO", reason="Consultations.")
        now = world.base.clock.now_ms()
        assert treaty.state().phase is Phase.IN_FORCE
        assert not treaty.standing.in_force(now)
        answer = await world.publish("XAR", treaty)
        assert "baseline/in-force" in str(answer.refusals)
        await umbrella.take(StepKind.RESUME, "XBO")
        assert not (await world.publish("XAR", treaty)).refusals
        # What waited at the suspension waits for a word: the arrangement's own log says from where on.
        holds = await world.base.broker._storage.reader.holds(ARRANGEMENT)
        assert [one.clauses for one in holds] == [""]


async def test_a_suspended_clause_of_the_umbrella_is_unsatisfiable_for_the_arrangement(tmp_path):
    async with living(tmp_path) as world:
        umbrella, treaty = await both(world)
        await umbrella.take(StepKind.SUSPEND, "XBO", clauses=("4",), reason="Under review.")
        answer = await world.publish("XAR", treaty)
        assert f"{UMBRELLA}/4" in str(answer.refusals)
        holds = await world.base.broker._storage.reader.holds(ARRANGEMENT)
        assert [one.clauses for one in holds] == [f"{UMBRELLA}/4"]
        under = treaty.standing.while_suspended(holds[0].clauses, world.base.clock.now_ms())
        (compiled,) = under(treaty.digest)
        assert compiled.source.umbrella.state.suspended_clauses == {"4"}


async def test_an_umbrella_that_was_amended_carries_no_arrangement_that_does_not_name_its_new_text(tmp_path):
    async with living(tmp_path) as world:
        umbrella, treaty = await both(world)
        old = treaty.text
        await umbrella.amend(amended(umbrella.text))
        assert (await world.publish("XAR", treaty)).refusals
        # What was shared before stays under the umbrella it was shared under.
        (compiled,) = treaty.standing.compiled_before(world.base.clock.now_ms())(treaty.digest)
        assert compiled.source.umbrella.state.in_force
        renewed = amended(arrangement_text(world, umbrella), of=old)
        await treaty.amend(renewed)
        assert not (await world.publish("XAR", treaty)).refusals


async def test_an_arrangement_needs_its_umbrella_at_the_same_broker(tmp_path):
    async with living(tmp_path) as world:
        unknown = world.treaty(umbrella_text(world), UMBRELLA)
        treaty = world.treaty(arrangement_text(world, unknown), ARRANGEMENT)
        assert (await refused(treaty.propose())).code is ErrorCode.AGREEMENT_UNKNOWN
        umbrella = await world.in_force(umbrella_text(world), UMBRELLA)
        other = arrangement_text(world, umbrella).replace(umbrella.digest.hex().encode(), b"0" * 96)
        treaty = world.treaty(other, ARRANGEMENT)
        assert (await refused(treaty.propose())).code is ErrorCode.DIGEST_MISMATCH
        itself = world.treaty(arrangement_text(world, umbrella, UMBRELLA), UMBRELLA)
        assert (await refused(itself.propose())).code is ErrorCode.AGREEMENT_INVALID
        agreement = await world.in_force(world.text())
        no_umbrella = world.treaty(arrangement_text(world, agreement), ARRANGEMENT)
        assert (await refused(no_umbrella.propose())).code is ErrorCode.AGREEMENT_UNKNOWN
        assert world.base.broker.ledger.standing(ARRANGEMENT) is None


async def test_no_amendment_takes_an_arrangement_from_under_its_umbrella(tmp_path):
    async with living(tmp_path) as world:
        _, treaty = await both(world)
        alone = world.text().replace(b'"XAR-XBO-1"', f'"{ARRANGEMENT}"'.encode())
        with pytest.raises(ComityError) as caught:
            await treaty.take(StepKind.AMEND, "XAR", text=amended(alone, of=treaty.text))
        assert caught.value.code is ErrorCode.DIGEST_MISMATCH


async def test_a_frozen_umbrella_stops_the_arrangement(tmp_path):
    async with living(tmp_path) as world:
        umbrella, treaty = await both(world)
        await world.base.broker.agreements.freeze(UMBRELLA, "two histories")
        assert "two histories" in treaty.standing.stopped
        with pytest.raises(ComityError, match="frozen: its umbrella's: two histories"):
            await world.publish("XAR", treaty)
        assert umbrella.standing.stopped == "two histories"


async def test_what_a_crash_left_out_is_written_at_the_next_start(tmp_path):
    async with living(tmp_path) as world:
        umbrella, treaty = await both(world)
        before, epoch = len(await followed(world)), treaty.standing.epoch
        agreements = world.base.broker.agreements

        async def crashed(standing: object) -> None:
            """The moment after the umbrella's commit, in which the broker dies."""

        agreements._follow = crashed  # type: ignore[method-assign]  # it dies right there
        at = await umbrella.take(StepKind.SUSPEND, "XBO", reason="Consultations.")
        assert len(await followed(world)) == before
    async with living(tmp_path, before=world) as again:
        treaty.world = umbrella.world = again
        said = await followed(again)
        assert [one["umbrella_log_index"] for one in said][-1] == at
        assert treaty.standing.epoch == epoch + 1
        assert (await again.publish("XAR", treaty)).refusals
        assert [one.clauses for one in await again.base.broker._storage.reader.holds(ARRANGEMENT)] == [""]
    async with living(tmp_path, before=again) as third:
        assert len(await followed(third)) == before + 1


async def test_whoever_comes_again_with_a_step_of_the_umbrella_lets_the_arrangement_follow(tmp_path):
    async with living(tmp_path) as world:
        umbrella, _ = await both(world)
        agreements = world.base.broker.agreements
        follow = agreements._follow

        async def broken(standing: object) -> None:
            agreements._follow = follow  # type: ignore[method-assign]  # the next call finds it mended
            raise StorageError("the disk went away")

        agreements._follow = broken  # type: ignore[method-assign]  # it fails right there
        statement = umbrella.statement(StepKind.SUSPEND, "XBO", reason="Consultations.")
        assert (await refused(umbrella.submit(statement))).code is ErrorCode.STORAGE_FAILED
        before = await followed(world)
        at = await umbrella.submit(statement)
        assert [one["umbrella_log_index"] for one in await followed(world)][len(before) :] == [at]


async def test_a_revocation_in_the_umbrellas_log_is_followed_too(tmp_path):
    async with living(tmp_path) as world:
        umbrella, _ = await both(world)
        key = world.officers["XBO", "liaison1"].signer.fingerprint
        statement: Statement = world.nations["XBO"].revocation(key)
        await world.base.broker.agreements.revoked("XBO", 0, statement)
        assert (await followed(world))[-1]["umbrella_log_index"] == umbrella.standing.changed_at
        assert umbrella.standing.changed_at > umbrella.standing.steps[-1].log_index


async def test_the_verifier_passes_an_arrangement_with_its_umbrella_beside_it(tmp_path):
    async with living(tmp_path / "broker") as world:
        umbrella, treaty = await both(world)
        await umbrella.take(StepKind.SUSPEND, "XBO", clauses=("4",), reason="Under review.")
        await world.publish("XAR", treaty)
        await umbrella.take(StepKind.RESUME, "XBO", clauses=("4",))
        await world.publish("XAR", treaty)
        await write_bundle(world, tmp_path / "bundle", umbrella, treaty)
    checked = Verification(tmp_path / "bundle")
    assert (checked.verdict, checked.findings) == ("PASS", [])


async def test_an_arrangement_goes_on_when_it_and_its_umbrella_are_confirmed(tmp_path):
    async with living(tmp_path / "hub") as world:
        umbrella, treaty = await both(world)
        assert not (await world.publish("XAR", treaty)).refusals
        shared = SimpleNamespace(world=world.base)
        saved = save(shared, tmp_path / "saved")
        await umbrella.take(StepKind.SUSPEND, "XBO", reason="Lost with the restore.")
        officer = next(one for (party, _), one in world.officers.items() if party == "XBO")
        async with at_work(world.base, officer, tmp_path) as work:
            await work.mirror.refresh(work.connection)
    await restore(shared, saved)
    async with living(tmp_path / "hub", before=world) as world:
        agreements = world.base.broker.agreements
        standing = {name: world.base.broker.ledger.require(name) for name in (UMBRELLA, ARRANGEMENT)}
        for one, name in ((treaty, ARRANGEMENT), (umbrella, UMBRELLA)):
            assert standing[ARRANGEMENT].stopped, "one of the two is not confirmed yet"
            for party in ("XAR", "XBO"):
                await one.take(StepKind.LOG_CONFIRM, party, log=await agreements.terms(name))
        assert [one.stopped for one in standing.values()] == ["", ""]
        assert standing[ARRANGEMENT].in_force(world.base.clock.now_ms()), "the suspension was lost with the restore"
        assert (await followed(world))[-1]["umbrella_origin"] == standing[UMBRELLA].origin
        async with at_work(world.base, officer, tmp_path) as work:
            await work.mirror.refresh(work.connection)
            assert work.mirror.faults == {}
            assert work.mirror.agreement(ARRANGEMENT).umbrella is not None
            assert work.mirror.lost.kinds(UMBRELLA) == {"AGREEMENT_SUSPENDED": 1}
