"""Audits in which exactly one check fails: what an agreement's life brings with it, texts, caveats, umbrellas."""

from __future__ import annotations

from pathlib import Path

from builders_audit_cases import case
from builders_audit_files import put
from builders_audit_life import CAVEAT, add_caveat, arrangement, rounds_and_caveats
from builders_audit_log import Audit
from comity_policy.facts import Role
from comity_policy.steps import StepKind


def write(audit: Audit, folder: Path) -> None:
    """Write a bundle with the text that was proposed first beside the one that binds."""
    audit.write(folder)
    put(folder / "agreements/first.toml", audit.text.removesuffix(b"# another round\n"))


@case("STATEMENT")
def a_caveat_whose_text_is_told_to_the_partner(_: Audit, folder: Path) -> None:
    audit = rounds_and_caveats()
    add_caveat(audit, reader="XBO")
    write(audit, folder)


@case("STATEMENT")
def a_caveat_of_another_text_than_its_party_signed(_: Audit, folder: Path) -> None:
    audit = rounds_and_caveats()
    add_caveat(audit, CAVEAT + b"# more\n")
    write(audit, folder)


@case("STATEMENT")
def a_signature_under_a_text_that_nobody_proposed(_: Audit, folder: Path) -> None:
    audit = rounds_and_caveats()
    audit.text += b"# yet another\n"
    statement = audit.statement(StepKind.SUSPEND, "XBO/lia", Role.LIAISON, reason="trouble")
    audit.text = audit.text.removesuffix(b"# yet another\n")
    audit.step(statement, StepKind.SUSPEND)
    write(audit, folder)


@case("STATEMENT")
def a_note_by_an_officer_who_may_not_send_one(_: Audit, folder: Path) -> None:
    audit = rounds_and_caveats()
    statement = audit.statement(StepKind.NOTES, "XBO/lia", Role.LIAISON, annex="D")
    fields = statement.fields | {"role": "legal-reviewer"}
    audit.step(statement, StepKind.NOTES)
    audit.resign(len(audit.events) - 1, fields, audit.officers["XBO/lia"].signer)
    write(audit, folder)


@case("CLAUSES")
def a_caveats_clause_that_is_cited_to_the_partner(_: Audit, folder: Path) -> None:
    audit = rounds_and_caveats()
    index = audit.find("SUBMIT_ACCEPTED")
    audit.events[index].own["XBO"] = audit.events[index].own["XAR"]  # type: ignore[index]  # a dict in fact
    write(audit, folder)


@case("CLAUSES")
def a_clause_that_the_caveat_does_not_have(_: Audit, folder: Path) -> None:
    audit = rounds_and_caveats()
    audit.cited = "caveat/XAR/C1/8"
    audit.submit(1)
    write(audit, folder)


@case("CLAUSES")
def a_caveat_that_was_withdrawn(_: Audit, folder: Path) -> None:
    audit = rounds_and_caveats()
    step = audit.statement(StepKind.CAVEAT_WITHDRAW, "XAR/plen", Role.PLENIPOTENTIARY, caveat="C1")
    audit.step(step, StepKind.CAVEAT_WITHDRAW)
    audit.submit(1)
    write(audit, folder)


@case("UMBRELLA")
def an_umbrella_that_goes_back(_: Audit, folder: Path) -> None:
    arrangement(2, 7, 5).write(folder)


@case("UMBRELLA")
def a_report_before_the_umbrella_was_named(_: Audit, folder: Path) -> None:
    arrangement().write(folder)


@case("UMBRELLA")
def another_umbrella_than_the_texts(_: Audit, folder: Path) -> None:
    arrangement(2, umbrella="XAR-XBO-V").write(folder)


@case("UMBRELLA")
def an_umbrella_of_an_agreement_that_has_none(audit: Audit, folder: Path) -> None:
    changed = arrangement(2)
    audit.events.append(changed.events[changed.find("UMBRELLA_CHANGED")])
    audit.change(len(audit.events) - 1, time=audit.tick())
    audit.write(folder)


@case("DELIVERED")
def a_report_delivered_while_the_agreement_was_suspended(audit: Audit, folder: Path) -> None:
    statement = audit.statement(StepKind.SUSPEND, "XBO/lia", Role.LIAISON, reason="Consultations.")
    audit.step(statement, StepKind.SUSPEND)
    audit.deliver(audit.sent[0], [0])
    audit.write(folder)
