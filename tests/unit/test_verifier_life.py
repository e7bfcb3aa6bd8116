"""The verifier follows an agreement through its life: rounds, amendments, caveats, umbrellas, and what it was not shown of them."""

from __future__ import annotations

import pytest

from builders_audit import fresh_audit
from builders_audit_cases_life import write
from builders_audit_files import codes
from builders_audit_life import UMBRELLA_ORIGIN, arrangement, rounds_and_caveats
from comity.verify.bundle import Code
from comity.verify.checks import Verification
from comity_policy.facts import Role
from comity_policy.steps import StepKind

OFFICERS = {Role.LIAISON: "lia", Role.LEGAL_REVIEWER: "law", Role.PLENIPOTENTIARY: "plen"}
FIELDS = {
    StepKind.OBJECT: {"clauses": ("1",), "reason": "Too wide."},
    StepKind.NOTIFY_COMPLETION: {"instrument": "Law 17", "authority": "Parliament", "date": "2027-01-04"},
    StepKind.RECEIVE: {"names": "ab" * 48},
    StepKind.NOTES: {"annex": "D"},
    StepKind.DISPUTE_OPEN: {"subject": "report", "subject_id": "r-1", "deadline": "2027-06-01", "reason": "Why?"},
    StepKind.DISPUTE_CLOSE: {"names": "ab" * 48},
    StepKind.CAVEAT_WITHDRAW: {"caveat": "C1"},
}
LATER = [
    one
    for one in StepKind
    if one not in {StepKind.PROPOSE, StepKind.LOG_SIGN, StepKind.LOG_CONFIRM, StepKind.CAVEAT_ADD}
]


def test_a_history_with_rounds_and_a_caveat_passes(tmp_path):
    write(rounds_and_caveats(), tmp_path)
    checked = Verification(tmp_path)
    assert (checked.verdict, checked.findings) == ("PASS", [])


@pytest.mark.parametrize("kind", LATER)
def test_every_step_of_an_agreements_life_passes(kind, tmp_path):
    audit = rounds_and_caveats()
    role = next(role for role in OFFICERS if role in kind.roles)
    given = {"clauses": ("1",)} if kind is StepKind.REVIEW_CLAUSES else FIELDS.get(kind, {})
    step = audit.statement(kind, f"XBO/{OFFICERS[role]}", role, **given)
    audit.step(step, kind)
    write(audit, tmp_path)
    assert codes(tmp_path) == set()


def test_a_text_that_is_not_presented_is_a_gap(tmp_path):
    audit = rounds_and_caveats()
    audit.write(tmp_path)
    text = audit.text
    for path in (tmp_path / "agreements").glob("*"):
        path.write_bytes(text.removesuffix(b"# another round\n"))
    checked = Verification(tmp_path)
    assert (checked.verdict, checked.findings) == ("PASS_WITH_GAPS", [])
    assert checked.counts["texts not presented"] == 1


def test_the_partners_auditor_passes_without_the_caveats_text(tmp_path):
    write(rounds_and_caveats(), tmp_path)
    for path in tmp_path.glob("logs/*/agreement/**/body/*.XAR"):
        path.unlink()
    checked = Verification(tmp_path, views=["XBO"])
    assert (checked.verdict, checked.findings) == ("PASS", [])


def test_an_entry_that_is_not_presented_may_have_brought_what_is_cited(tmp_path):
    audit = rounds_and_caveats()
    write(audit, tmp_path)
    (path,) = tmp_path.glob(f"logs/*/agreement/**/body/{audit.find('AGREEMENT_CAVEAT_ADDED')}.shared")
    path.unlink()
    assert codes(tmp_path) == set()


def test_an_arrangement_that_follows_its_umbrella_passes(tmp_path):
    arrangement(2, 3, 7, waited_ms=120_000).write(tmp_path)
    checked = Verification(tmp_path)
    assert (checked.verdict, checked.findings) == ("PASS", [])


def test_an_arrangement_whose_umbrella_was_not_presented_is_told_so_once(tmp_path):
    audit = arrangement(2, 3, 7)
    audit.above, audit.umbrella_text = None, b""
    audit.write(tmp_path)
    checked = Verification(tmp_path)
    assert (checked.verdict, [one.code for one in checked.findings]) == ("PASS_WITH_GAPS", [Code.UMBRELLA_LOG])
    assert checked.counts["texts not presented"] == 1


def test_an_umbrellas_log_is_verified_as_any_other(tmp_path):
    audit = arrangement(2)
    audit.above.change(3, state_epoch="9")
    audit.write(tmp_path)
    (finding, *_) = Verification(tmp_path).findings
    assert (finding.code, finding.origin, finding.log_index) == (Code.BODY, UMBRELLA_ORIGIN, 3)


@pytest.mark.parametrize(
    ("kind", "role", "given"),
    [
        (StepKind.RESUME, Role.LIAISON, {}),
        (StepKind.WITHDRAW, Role.PLENIPOTENTIARY, {"reason": "We go other ways."}),
        (None, None, {}),
    ],
)
def test_what_is_delivered_after_a_suspension_fails_unless_it_was_resumed_or_its_party_leaves(
    kind, role, given, tmp_path
):
    audit = fresh_audit()
    suspended = audit.statement(StepKind.SUSPEND, "XBO/lia", Role.LIAISON, reason="Consultations.")
    audit.step(suspended, StepKind.SUSPEND)
    if kind is not None:
        officer = f"XBO/{OFFICERS[role]}"
        audit.step(audit.statement(kind, officer, role, suspended.digest.hex(), **given), kind)
    audit.deliver(audit.sent[0], [0])
    audit.write(tmp_path)
    assert codes(tmp_path) == (set() if kind is not None else {"DELIVERED"})


def test_a_suspended_clause_says_nothing_of_what_is_delivered_by_the_others(tmp_path):
    audit = fresh_audit()
    statement = audit.statement(StepKind.SUSPEND, "XBO/lia", Role.LIAISON, clauses=("4",), reason="Under review.")
    audit.step(statement, StepKind.SUSPEND)
    audit.deliver(audit.sent[0], [0])
    audit.write(tmp_path)
    assert codes(tmp_path) == set()
