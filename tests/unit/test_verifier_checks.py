"""For every check code of the verifier an audit in which exactly that check fails; a last test holds the list complete."""

from __future__ import annotations

from pathlib import Path

import pytest

import builders_audit_cases_bodies  # noqa: F401 - enters its cases
import builders_audit_cases_continued  # noqa: F401 - enters its cases
import builders_audit_cases_evidence  # noqa: F401 - enters its cases
import builders_audit_cases_exercise  # noqa: F401 - enters its cases
import builders_audit_cases_governing  # noqa: F401 - enters its cases
import builders_audit_cases_handled  # noqa: F401 - enters its cases
import builders_audit_cases_keys  # noqa: F401 - enters its cases
import builders_audit_cases_life  # noqa: F401 - enters its cases
from builders_audit import good_audit
from builders_audit_cases import CASES, Case
from builders_audit_cases_taken_back import recall, take_back
from builders_audit_files import codes
from comity.verify.bundle import GAPS as GAP_CODES
from comity.verify.bundle import Code
from comity.verify.checks import Verification
from comity_broker.auditlog.kinds import EventKind
from comity_policy.facts import Kind

GAPS = {code.name for code in GAP_CODES}


@pytest.mark.parametrize(("code", "make"), [pytest.param(*one, id=one[1].__name__) for one in CASES])
def test_exactly_one_check_fails(code: str, make: Case, tmp_path: Path) -> None:
    given = make(good_audit(), tmp_path)
    options = {"since": [given]} if isinstance(given, bytes) else {"roots": given} if isinstance(given, dict) else {}
    assert codes(tmp_path, **options) == {code}
    assert Verification(tmp_path, **options).verdict == ("PASS_WITH_GAPS" if code in GAPS else "FAIL")


def test_every_check_has_an_audit_in_which_only_it_fails() -> None:
    assert {code for code, _ in CASES} == {code.name for code in Code}


def test_what_is_taken_back_as_it_should_be_passes(tmp_path: Path) -> None:
    audit = good_audit()
    take_back(audit, audit.sent[0], [1], recall(audit))
    audit.deliver(audit.sent[0], [0], consumer="second")
    new = audit.submit(1, first=4, kind=Kind.SUPERSEDE)
    take_back(audit, audit.sent[0], [0], new, EventKind.SUPERSEDED)
    audit.write(tmp_path)
    assert codes(tmp_path) == set()
