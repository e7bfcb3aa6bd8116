"""Audits in which exactly one check fails: what the log of an exercise says of its agreement."""

from __future__ import annotations

from pathlib import Path

from builders_audit_cases import case
from builders_audit_exercise import beside, last_step, playing
from builders_audit_log import ORIGIN, Audit
from builders_identity import nation
from comity_broker.auditlog.checkpoint import LogKeys
from comity_policy.facts import Role
from comity_policy.steps import StepKind


@case("EXERCISE")
def a_report_before_anything_was_followed(audit: Audit, folder: Path) -> None:
    exercise = beside(audit)
    exercise.play()
    exercise.write(folder)


@case("EXERCISE")
def an_exercise_that_goes_back(audit: Audit, folder: Path) -> None:
    exercise = beside(audit)
    exercise.follow(last_step(audit))
    exercise.play()
    exercise.follow(last_step(audit) - 1)
    exercise.write(folder)


@case("EXERCISE")
def an_exercise_that_follows_what_changes_nothing(_: Audit, folder: Path) -> None:
    exercise = playing()
    exercise.follow(exercise.real.find("DELIVERED"))
    exercise.write(folder)


@case("EXERCISE")
def an_exercise_that_follows_an_entry_that_there_is_not(_: Audit, folder: Path) -> None:
    exercise = playing()
    exercise.follow(1 << 20)
    exercise.write(folder)


@case("EXERCISE")
def an_exercise_that_follows_another_agreement(audit: Audit, folder: Path) -> None:
    exercise = beside(audit)
    exercise.follow(last_step(audit), agreement_id="XAR-XBO-2")
    exercise.write(folder)


@case("EXERCISE")
def an_exercise_that_follows_another_log_of_its_agreement(audit: Audit, folder: Path) -> None:
    exercise = beside(audit)
    exercise.follow(last_step(audit), agreement_origin=ORIGIN.rpartition("/")[0] + "/" + "ff" * 16)
    exercise.write(folder)


@case("EXERCISE")
def a_step_that_was_followed_before_it_was_taken(audit: Audit, folder: Path) -> None:
    exercise = beside(audit)
    exercise.time = audit.time
    audit.time += 600_000
    step = audit.statement(StepKind.SUSPEND, "XBO/lia", Role.LIAISON, reason="Consultations.")
    audit.step(step, StepKind.SUSPEND)
    exercise.follow(last_step(audit))
    exercise.write(folder)


@case("EXERCISE")
def a_suspension_that_the_exercise_did_not_follow(audit: Audit, folder: Path) -> None:
    exercise = beside(audit)
    exercise.follow(last_step(audit))
    step = audit.statement(StepKind.SUSPEND, "XBO/lia", Role.LIAISON, reason="Consultations.")
    audit.step(step, StepKind.SUSPEND)
    exercise.time = audit.time + 61_000
    exercise.play()
    exercise.write(folder)


@case("EXERCISE")
def a_report_of_an_exercise_in_the_real_log(audit: Audit, folder: Path) -> None:
    audit.submit(1, first=1, exercise=True)
    audit.write(folder)


@case("EXERCISE")
def a_real_report_in_the_log_of_an_exercise(_: Audit, folder: Path) -> None:
    exercise = playing()
    exercise.play(first=1, exercise=False)
    exercise.write(folder)


@case("EXERCISE")
def an_agreements_log_that_follows_one(audit: Audit, folder: Path) -> None:
    audit.events.append(playing().events[1])
    audit.change(len(audit.events) - 1, time=audit.tick())
    audit.write(folder)


@case("EXERCISE")
def an_exercise_that_other_keys_sign(_: Audit, folder: Path) -> None:
    exercise = playing()
    exercise.own_log_keys = LogKeys(*nation("XDE").broker().log_keys)
    exercise.events[0] = playing().events[0]
    exercise.change(0, log_vkeys=list(exercise.terms.log_vkeys))
    exercise.write(folder)


@case("EXERCISE")
def an_exercise_without_its_agreements_log(_: Audit, folder: Path) -> None:
    logs = playing().write(folder)
    for path in sorted(logs.agreement.rglob("*"), reverse=True):
        if logs.exercise not in (path, *path.parents) and path.is_file():
            path.unlink()
    for path in (*folder.glob("receipts/[0-9]*"), *folder.glob("envelopes/[0-9]*")):
        path.unlink()
