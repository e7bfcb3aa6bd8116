"""Bundles with the log of an exercise: verified by its own origin, and every single thing that is wrong with it found."""

from __future__ import annotations

import contextlib

from builders_audit_exercise import last_step, playing
from builders_audit_files import codes
from builders_life import living, write_bundle, write_stored_log
from comity.node.replay_sources import replay_bundle
from comity.verify.bundle import Code
from comity.verify.checks import Verification
from comity_policy.facts import Role
from comity_policy.steps import StepKind

EXERCISE = "XAR-XBO-1/exercise"


@contextlib.asynccontextmanager
async def played(tmp_path):
    """An agreement with a real report and one of an exercise; gives the world, the agreement, and what writes and verifies a bundle."""
    async with living(tmp_path / "hub") as world:
        treaty = await world.in_force(world.text())
        await world.publish("XAR", treaty)
        await world.publish("XAR", treaty, exercise=True)

        async def verified(name: str = "bundle") -> Verification:
            folder = tmp_path / name
            await write_bundle(world, folder, treaty)
            await write_stored_log(folder, world.base.broker, EXERCISE)
            return Verification(folder)

        yield world, treaty, verified


def wrong(done: Verification) -> set[tuple[Code, bool]]:
    """Give the findings' codes, each with whether it is of the exercise's log."""
    return {(one.code, one.origin.endswith("/exercise")) for one in done.findings}


async def test_both_logs_of_an_agreement_verify_and_every_decision_is_the_same_when_taken_again(tmp_path):
    async with played(tmp_path) as (world, treaty, verified):
        await treaty.take(StepKind.SUSPEND, "XBO", reason="Consultations.")
        await world.publish("XAR", treaty, exercise=True)
        await treaty.take(StepKind.RESUME, "XBO")
        await world.publish("XAR", treaty, exercise=True)
        done = await verified()
        assert done.findings == []
        assert [one.origin.endswith("/exercise") for one in done.logs].count(True) == 1
        replayed = replay_bundle(tmp_path / "bundle", done.logs)
        assert replayed.findings == []
        # Of what was admitted no manifest is in this bundle; what was refused under the suspension stands in the log whole.
        assert (replayed.counts["decisions identical"], replayed.counts["decisions not replayed"]) == (1, 3)


async def test_an_exercise_without_its_agreements_log_is_not_judged(tmp_path):
    async with played(tmp_path) as (world, treaty, _):
        folder = tmp_path / "alone"
        await write_bundle(world, folder)
        await write_stored_log(folder, world.base.broker, EXERCISE)
        assert (Code.AGREEMENT, True) in wrong(Verification(folder)), "nor its text"
        await write_bundle(world, tmp_path / "whole", treaty)
        (folder / "agreements").mkdir(exist_ok=True)
        for text in (tmp_path / "whole" / "agreements").iterdir():
            (folder / "agreements" / text.name).write_bytes(text.read_bytes())
        assert wrong(Verification(folder)) == {(Code.EXERCISE, True)}


def test_what_is_taken_back_suspended_and_confirmed_beside_an_exercise_passes(tmp_path):
    """The agreement's own steps count in its exercise from where that one's log followed them, and nothing is told twice."""
    audit = playing()
    for kind in (StepKind.SUSPEND, StepKind.RESUME):
        step = audit.real.statement(kind, "XBO/lia", Role.LIAISON, reason="Consultations." * (kind is StepKind.SUSPEND))
        audit.real.step(step, kind)
        audit.time = max(audit.time, audit.real.time)
        audit.follow(last_step(audit.real))
    audit.play()
    audit.write(tmp_path)
    assert codes(tmp_path) == set()


def test_a_report_is_not_delivered_in_an_exercise_while_its_agreement_is_suspended(tmp_path):
    audit = playing()
    step = audit.real.statement(StepKind.SUSPEND, "XBO/lia", Role.LIAISON, reason="Consultations.")
    audit.real.step(step, StepKind.SUSPEND)
    audit.time = max(audit.time, audit.real.time)
    audit.follow(last_step(audit.real))
    audit.deliver(audit.sent[0], [0])
    audit.write(tmp_path)
    assert wrong(Verification(tmp_path)) == {(Code.DELIVERED, True)}


def test_a_step_that_is_wrong_is_told_once_where_it_stands(tmp_path):
    audit = playing()
    step = audit.real.statement(StepKind.SUSPEND, "XBO/law", Role.LEGAL_REVIEWER, reason="Not theirs to say.")
    audit.real.step(step, StepKind.SUSPEND)
    audit.time = max(audit.time, audit.real.time)
    audit.follow(last_step(audit.real))
    audit.write(tmp_path)
    assert wrong(Verification(tmp_path)) == {(Code.STATEMENT, False)}


def test_a_revoked_key_signs_nothing_in_an_exercise_that_followed_the_revocation(tmp_path):
    audit = playing()
    key = audit.real.nodes["XAR/n1"].signer.fingerprint
    audit.real.revoke(audit.real.xar, key)
    audit.time = max(audit.time, audit.real.time)
    audit.follow(last_step(audit.real))
    audit.play()
    audit.write(tmp_path)
    found = wrong(Verification(tmp_path))
    assert (Code.ENVELOPE, True) in found
    assert not any(code for code, of_exercise in found if not of_exercise)
