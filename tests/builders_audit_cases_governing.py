"""Audits in which exactly one check fails: which version and umbrella governs, and what became of a report by its decision."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from builders_audit import begun_audit
from builders_audit_cases import case, drop
from builders_audit_cases_evidence import decide
from builders_audit_files import put
from builders_audit_life import UMBRELLA, add_caveat, arrangement, name_umbrella, rounds_and_caveats, text_digest
from builders_audit_log import Audit
from builders_life import amended
from comity.envelope.evidence import SlotCode
from comity_broker.auditlog import events
from comity_policy.facts import Role
from comity_policy.steps import StepKind

# --- versions -------------------------------------------------------------------------------------------------------


def second_version(audit: Audit, folder: Path, *signers: str) -> tuple[bytes, bytes]:
    """Amend the text, have these parties sign the new one, and write both; gives them."""
    first, second = audit.text, amended(audit.text)
    steps = [(StepKind.AMEND, "XAR/lia", Role.LIAISON)]
    steps += [(StepKind.REVIEW, f"{party}/law", Role.LEGAL_REVIEWER) for party in signers]
    steps += [(StepKind.SIGN, f"{party}/plen", Role.PLENIPOTENTIARY) for party in signers]
    audit.text = second
    for kind, name, role in steps:
        statement = audit.statement(kind, name, role)
        audit.text = first
        audit.step(statement, kind)
        audit.text = second
    put(folder / "agreements/first.toml", first)
    put(folder / "agreements/second.toml", second)
    return first, second


@case("GOVERNING")
def a_report_decided_by_a_version_that_not_all_have_signed(audit: Audit, folder: Path) -> None:
    second_version(audit, folder, "XAR")
    audit.submit(1)
    audit.write(folder)


@case("GOVERNING")
def a_report_decided_by_a_version_that_another_took_the_place_of(audit: Audit, folder: Path) -> None:
    first, _ = second_version(audit, folder, "XAR", "XBO")
    audit.text = first
    audit.submit(1)
    audit.write(folder)


@case("GOVERNING")
def a_report_decided_by_the_text_of_an_earlier_round(_: Audit, folder: Path) -> None:
    audit = rounds_and_caveats()
    first = audit.text.removesuffix(b"# another round\n")
    audit.change(audit.find("SUBMIT_ACCEPTED"), agreement_digest=text_digest(first))
    audit.envelopes = []
    audit.write(folder)
    put(folder / "agreements/first.toml", first)


@case("LOG_OPENED")
def a_report_before_as_many_signed_the_log_as_the_text_that_governs_needs(_: Audit, folder: Path) -> None:
    """The text that was proposed first would have been content with one."""
    audit = begun_audit()
    governs = audit.text
    audit.text = governs.replace(b"[entry_into_force]", b"[entry_into_force]\nminimum = 1", 1)
    assert audit.text != governs
    audit.events = [events.agreement_log_opened(terms=audit.terms, statements=(), **audit.common())]
    put(folder / "agreements/first.toml", audit.text)
    audit.step(audit.statement(StepKind.PROPOSE, "XAR/lia", Role.LIAISON), StepKind.PROPOSE)
    first, audit.text = audit.text, governs
    statement = audit.statement(StepKind.COUNTER, "XBO/lia", Role.LIAISON)
    audit.text = first
    audit.step(statement, StepKind.COUNTER)
    audit.text = governs
    log = audit.statement(StepKind.LOG_SIGN, "XAR/plen", Role.PLENIPOTENTIARY, log=audit.terms)
    audit.step(log, StepKind.LOG_SIGN)
    audit.submit(1)
    audit.write(folder)


@case("CLAUSES")
def a_report_decided_by_a_text_that_no_step_brought(audit: Audit, folder: Path) -> None:
    audit.change(audit.find("SUBMIT_ACCEPTED"), agreement_digest="ab" * 48)
    audit.envelopes = []
    audit.write(folder)


# --- umbrellas ------------------------------------------------------------------------------------------------------


@case("UMBRELLA_LOG")
def an_umbrella_whose_log_was_not_presented(_: Audit, folder: Path) -> None:
    audit = arrangement(2)
    audit.above = None
    audit.write(folder)


@case("UMBRELLA")
def a_report_under_another_umbrella_than_the_text_names(_: Audit, folder: Path) -> None:
    audit = arrangement(2)
    index = audit.find("SUBMIT_ACCEPTED")
    under = audit.body(index)["under"] | {"umbrella": UMBRELLA, "umbrella_digest": "ab" * 48}
    audit.change(index, under=under)
    audit.write(folder)


@case("UMBRELLA")
def a_step_of_the_umbrella_that_was_left_out_for_long(_: Audit, folder: Path) -> None:
    arrangement(2, waited_ms=120_000).write(folder)


@case("UMBRELLA")
def an_entry_of_the_umbrellas_log_that_is_no_step(_: Audit, folder: Path) -> None:
    audit = arrangement(2)
    audit.above.events.append(events.audit_failure(time=audit.time, reason="disk"))
    name_umbrella(audit, len(audit.above.events) - 1)
    audit.write(folder)


@case("UMBRELLA")
def an_entry_that_the_umbrellas_log_does_not_have(_: Audit, folder: Path) -> None:
    arrangement(2, 90).write(folder)


# --- caveats --------------------------------------------------------------------------------------------------------


@case("CLAUSES")
def a_report_decided_under_other_caveats_than_are_in_force(audit: Audit, folder: Path) -> None:
    index = audit.find("SUBMIT_ACCEPTED")
    caveats = [{"party": "XBO", "id": "C9", "digest": "ab" * 48}]
    audit.change(index, under=audit.body(index)["under"] | {"caveats": caveats})
    audit.write(folder)


@case("CLAUSES")
def a_report_decided_without_a_caveat_that_is_in_force(audit: Audit, folder: Path) -> None:
    add_caveat(audit)
    audit.caveats = {}
    audit.submit(1)
    audit.write(folder)


@case("STATEMENT")
def a_caveat_of_which_its_own_party_is_told_nothing(audit: Audit, folder: Path) -> None:
    add_caveat(audit)
    audit.events[-1] = replace(audit.events[-1], own={})
    audit.write(folder)


# --- outcomes -------------------------------------------------------------------------------------------------------


def unproved(audit: Audit) -> None:
    """Leave what a report's way and manifest would say besides."""
    audit.envelopes = []
    drop(audit, "DELIVERED", "ACKNOWLEDGED")


@case("OUTCOME")
def a_report_refused_by_policy_whose_decision_permits(audit: Audit, folder: Path) -> None:
    audit.submit(2, refused={1: SlotCode.POLICY})
    audit.write(folder)


@case("OUTCOME")
def a_report_admitted_whose_decision_permits_nothing(audit: Audit, folder: Path) -> None:
    violations = [{"clause": "baseline/node", "reason": "DENIED", "portions": [0, 1]}]
    decide(audit, "both", portions=[], violations=violations)
    unproved(audit)
    audit.write(folder)


@case("OUTCOME")
def a_report_refused_for_its_stanzas_whose_decision_permits_nothing(audit: Audit, folder: Path) -> None:
    audit.submit(1, refused={0: SlotCode.STANZAS})
    violations = [{"clause": "baseline/node", "reason": "DENIED", "portions": [0, 1]}]
    decide(audit, "both", kind="SUBMIT_REJECTED", portions=[], violations=violations)
    audit.write(folder)


@case("OUTCOME")
def a_recipient_who_is_permitted_nothing_for_no_reason(audit: Audit, folder: Path) -> None:
    audit.submit(1, refused={0: SlotCode.POLICY})
    decide(audit, "both", kind="SUBMIT_REJECTED", portions=[], violations=[])
    audit.write(folder)


@case("OUTCOME")
def a_portion_that_is_permitted_and_refused(audit: Audit, folder: Path) -> None:
    decide(audit, "both", violations=[{"clause": "baseline/node", "reason": "DENIED", "portions": [0, 1]}])
    audit.write(folder)


@case("OUTCOME")
def an_admitted_report_without_a_decision(audit: Audit, folder: Path) -> None:
    index = audit.find("SUBMIT_ACCEPTED")
    decision = audit.body(index, "XAR")["decisions"][0]
    audit.change(index, "both", decisions=[decision | {"slots": [[0, 0]]}])
    unproved(audit)
    audit.write(folder)


@case("OUTCOME")
def a_refused_report_with_two_decisions(audit: Audit, folder: Path) -> None:
    index = audit.find("SUBMIT_ACCEPTED")
    decision = audit.body(index, "XAR")["decisions"][0]
    audit.change(index, "both", decisions=[decision, decision | {"slots": [[2, 2]]}])
    audit.write(folder)
