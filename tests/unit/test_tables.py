"""Test tables reach every kind of clause with words of their own, and every fact can be said to be missing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders_every_kind import every_kind
from builders_treaties import UMBRELLA_DIGEST, caveat
from comity_policy.clauses import Exclude
from comity_policy.document import load
from comity_policy.engine import Umbrella
from comity_policy.facts import AgreementState
from comity_policy.mutants import mutants
from comity_policy.table_rows import MISSING
from comity_policy.tables import TableError, TableResult, run_table
from comity_policy.vocabulary import bundled

DOCUMENT = load(every_kind().encode())
DEFAULTS = """
[defaults]
from = "XAR"
to = "XBO"
level = "RESTRICTED"
releasable_to = ["XAR", "XBO"]
categories = ["terrorism"]
purpose = "counter-terrorism"
"""


def run(*rows: str, **beside: object) -> TableResult:
    table = DEFAULTS + "".join(f'[[row]]\nname = "row"\n{row}\n' for row in rows)
    return run_table(DOCUMENT, bytes(48), table.encode(), bundled(), **beside)  # type: ignore[arg-type]  # as given


PERMIT = "permit = true"
EVERYWHERE = 'points = ["egress", "admission", "opening"]\n'
OPENING = 'points = ["opening"]\n'
HIGHER = 'level = "CONFIDENTIAL"\n'

ROWS = {
    "by default nothing refuses": EVERYWHERE + PERMIT,
    "nor on a higher level, which officers approve and read": EVERYWHERE + HIGHER + PERMIT,
    "by courier": 'level = "SECRET"\npoints = ["egress", "admission"]\ndeny = ["23"]',
    "offices that do not need to know": 'offices = ["cert"]\ndeny = ["20"]',
    "offices nobody attests": 'missing = ["offices"]\ndeny = ["20"]',
    "communities nobody attests do not matter": f'missing = ["communities"]\n{PERMIT}',
    "an officer who needs to know": f'officer = "XBO/officer1"\noffices = []\n{EVERYWHERE}{PERMIT}',
    "an officer of no node": 'officer = "XBO/officer1"\nofficers = []\ndeny = ["baseline/addressee"]',
    "officers nobody attests": 'officer = "XBO/officer1"\nmissing = ["officers"]\ndeny = ["baseline/addressee"]',
    "another officer opens": (
        f'{OPENING}reader = "XBO/officer2"\nreader_offices = ["cert"]\nreader_communities = []\ndeny = ["20"]'
    ),
    "no officer opens": f'{OPENING}missing = ["reader"]\ndeny = ["20"]',
    "no officer opens a higher level": f'{OPENING}{HIGHER}missing = ["reader"]\ndeny = ["20", "37"]',
    "an uncleared officer opens": f'{OPENING}{HIGHER}clearance = "RESTRICTED"\ndeny = ["37"]',
    "a clearance that is over": f'{OPENING}{HIGHER}cleared_for = "1h"\nnow = "1h"\ndeny = ["37"]',
    "a clearance nobody attests": f'{OPENING}{HIGHER}missing = ["clearance"]\ndeny = ["37"]',
    "a clearance of nobody knows how long": f'{OPENING}{HIGHER}missing = ["cleared_for"]\ndeny = ["37"]',
    "passed on with the pre-approval": f"direct = false\n{PERMIT}",
    "passed on too far": 'direct = false\nhops = 2\ndeny = ["baseline/onward"]',
    "passed on in a dispute": 'direct = false\ndisputed = true\ndeny = ["baseline/onward"]',
    "passed on over nobody knows what": (
        'direct = false\nvary = { missing = [["hops"], ["disputed"]] }\ndeny = ["baseline/onward"]'
    ),
    "passed on by nobody knows whom": 'missing = ["direct"]\ndeny = ["baseline/onward"]',
    "a grant nobody attests": (
        'direct = false\ncategories = ["arms-trafficking"]\nmissing = ["onward_grant"]\ndeny = ["baseline/onward"]'
    ),
    "a warning passed on in an emergency": (
        f'direct = false\ncategories = ["arms-trafficking"]\nemergency = true\nwarn = true\n{PERMIT}'
    ),
    "personal data": f'personal_data = "ORDINARY"\npersons = 10\n{EVERYWHERE}{PERMIT}',
    "personal data of too many": 'personal_data = "ORDINARY"\npersons = 11\ndeny = ["22"]',
    "special personal data": f'personal_data = "SPECIAL"\n{EVERYWHERE}deny = ["22"]',
    "a copy with what it needs": f'{OPENING}vary = {{ use = ["copy", "translation"] }}\n{PERMIT}',
    "a copy that is not registered": f'{OPENING}use = "copy"\nregistered = false\ndeny = ["24"]',
    "a register nobody attests": f'{OPENING}use = "copy"\nmissing = ["registered"]\ndeny = ["24"]',
    "a copy without consent": f'{OPENING}{HIGHER}use = "copy"\nconsents = ["translation"]\ndeny = ["24"]',
    "consents nobody attests": f'{OPENING}{HIGHER}use = "copy"\nmissing = ["consents"]\ndeny = ["24"]',
    "a use nobody states": f'{OPENING}missing = ["use"]\ndeny = ["24", "28"]',
    "the last report of the day": f"used_reports = 199\n{PERMIT}",
    "a report too many": 'used_reports = 200\ndeny = ["25"]',
    "a report too large": 'used_bytes = 900000\nsize = 100001\ndeny = ["25"]',
    "a report nobody counts": 'vary = { missing = [["usage"], ["size"]] }\ndeny = ["25"]',
    "one approval": f'{HIGHER}approvals = 1\ndeny = ["26"]',
    "a report that asks for one approval": f'{HIGHER}approvals_required = 1\ndeny = ["26"]',
    "approvals nobody verified": f'{HIGHER}missing = ["approvals"]\ndeny = ["26"]',
    "something overdue": 'overdue = ["27"]\nvary = { precedence = ["PRIORITY", "ROUTINE"] }\ndeny = ["27"]',
    "nobody knows what is overdue": 'missing = ["overdue"]\ndeny = ["27"]',
    "a caveat not acknowledged": f'{OPENING}acknowledged = []\ndeny = ["28"]',
    "caveats of nobody knows whom": f'{OPENING}missing = ["acknowledged"]\ndeny = ["28"]',
    "evidence without consent": f'{OPENING}use = "evidence"\nconsents = []\ndeny = ["28"]',
    "a marking somebody changed": f'{OPENING}relabelled_by = "XBO"\ndeny = ["29"]',
    "a marking nobody knows who changed": f'{OPENING}missing = ["relabelled_by"]\ndeny = ["29"]',
    "a recipient below the floor": EVERYWHERE + 'capabilities = ["wire/1", "suite/1", "use"]\ndeny = ["39"]',
    "a sender below the floor": 'sender_capabilities = ["wire/1", "use", "destruction-certificate"]\ndeny = ["39"]',
    "nodes that stated nothing": 'vary = { missing = [["capabilities"], ["sender_capabilities"]] }\ndeny = ["39"]',
    "no log": 'log_available = false\ndeny = ["32"]',
    "a log of which nobody knows": 'missing = ["log_available"]\ndeny = ["32"]',
    "FLASH with one officer and a declaration, the quota used up": (
        f'{HIGHER}precedence = "FLASH"\nsender_roles = ["duty-officer"]\nemergency = true\napprovals = 1\n'
        f"used_reports = 200\n{PERMIT}"
    ),
    "an emergency nobody declared": 'emergency = true\ndeclared = false\nused_reports = 200\ndeny = ["25"]',
    "what is held after the end": f'{OPENING}state = "TERMINATED"\nheld = true\n{PERMIT}',
    "what is not held after the end": f'{OPENING}state = "TERMINATED"\ndeny = ["baseline/in-force"]',
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_a_row_is_answered_as_it_says(row: str) -> None:
    assert [one for one in run(row).rows if not one.passed] == []


def test_every_kind_that_refuses_is_the_sole_reason_of_a_denial_in_words() -> None:
    mine = {str(number) for number in range(20, 40)}
    result = run(*ROWS.values(), 'expires = "21d"\ndeny = ["38"]')
    assert [one for one in result.uncovered if one.split()[1] in mine] == []


def test_a_clause_that_survives_is_covered_by_what_it_lets_be_read() -> None:
    assert "clause 31 is never the reason of a permit" in run(ROWS["by courier"]).uncovered


def test_every_word_that_can_be_missing_is_known_and_no_other() -> None:
    run(*(f'missing = ["{word}"]\n{PERMIT}' for word in MISSING))
    with pytest.raises(TableError, match="'warn' cannot be missing"):
        run(f'missing = ["warn"]\n{PERMIT}')


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ('use = "print"\npoints = ["opening"]', "unknown use 'print'"),
        ('consents = ["print"]\npoints = ["opening"]', "unknown use 'print'"),
        ('personal_data = "SOME"', "unknown sort of personal data 'SOME'"),
    ],
)
def test_an_unknown_word_is_refused(row: str, problem: str) -> None:
    with pytest.raises(TableError, match=problem):
        run(f"{row}\n{PERMIT}")


def test_a_table_of_an_arrangement_may_name_its_umbrellas_clauses() -> None:
    under = f'agreement = "XAR-XBO-GSA-1"\ndigest = "sha384:{UMBRELLA_DIGEST.hex()}"'
    arrangement = load(every_kind(kind="arrangement", under=under).encode())
    text = every_kind(kind="umbrella").replace("XAR-XBO-CT-1", "XAR-XBO-GSA-1")
    scopes = [one for one in text.split("\n[[clause]]") if 'kind = "scope"' not in one]
    above = Umbrella(load("\n[[clause]]".join(scopes).encode()), UMBRELLA_DIGEST, AgreementState(in_force=True))
    table = DEFAULTS + '[[row]]\nname = "a"\nlog_available = false\ndeny = ["32", "XAR-XBO-GSA-1/32"]\n'
    table += '[[row]]\nname = "b"\nlevel = "CONFIDENTIAL"\npoints = ["egress", "admission", "opening"]\npermit = true\n'
    result = run_table(arrangement, bytes(48), table.encode(), bundled(), umbrella=above)
    assert result.failed == ()


def test_a_table_may_be_asked_with_a_caveat() -> None:
    mine = caveat(Exclude(id="1", text={"en": "."}, categories=("terrorism",)), digest=bytes(48))
    narrow = type(mine)(
        party="XAR",
        id="C1",
        agreement="XAR-XBO-CT-1",
        digest=mine.digest,
        partner_text=mine.partner_text,
        clauses=mine.clauses,
    )
    assert run('deny = ["caveat/XAR/C1/1"]', caveats=(narrow,)).failed == ()


def test_a_caveat_counts_like_a_clause_and_has_mutants() -> None:
    narrow = replace(
        caveat(Exclude(id="1", text={"en": "."}, categories=("terrorism", "cyber")), digest=bytes(48)),
        party="XAR",
        agreement="XAR-XBO-CT-1",
    )
    written = f"caveat/XAR/{narrow.id}/1"
    shown = run(f'deny = ["{written}"]', caveats=(narrow,))
    assert f"caveat XAR/{narrow.id}, clause 1: categories without cyber" in shown.survivors
    assert f"caveat XAR/{narrow.id}, clause 1 dropped" not in shown.survivors
    assert f"clause {written} is never the sole reason of a denial" not in shown.uncovered
    idle = run('categories = ["arms-trafficking"]\npermit = true', caveats=(narrow,))
    assert f"clause {written} is never the sole reason of a denial" in idle.uncovered


def test_an_umbrellas_requirements_are_held_to_stand_beside_the_missing_grant() -> None:
    text = every_kind(kind="umbrella")
    scopes = [one for one in text.split("\n[[clause]]") if 'kind = "scope"' not in one]
    above = load("\n[[clause]]".join(scopes).encode())
    table = DEFAULTS + '[[row]]\nname = "a"\nlog_available = false\ndeny = ["baseline/grant", "32"]\n'
    told = run_table(above, bytes(48), table.encode(), bundled())
    assert told.failed == ()
    assert "clause 32 is never the sole reason of a denial" not in told.uncovered
    assert "clause 28 is never the sole reason of a denial" in told.uncovered


def test_who_is_not_bound_is_granted_nothing() -> None:
    denied = 'unbound = ["XBO"]\ndeny = ["baseline/grant", "3.1"]'
    assert run(denied).failed == ()
    with pytest.raises(TableError, match="no party 'XDE'"):
        run(f'unbound = ["XDE"]\n{PERMIT}')


@pytest.mark.parametrize(
    "said", ['umbrella_state = "SUSPENDED"', 'umbrella_suspended = ["1"]', 'umbrella_unbound = ["XBO"]']
)
def test_a_state_of_no_umbrella_is_refused(said: str) -> None:
    with pytest.raises(TableError, match="no umbrella"):
        run(f"{said}\n{PERMIT}")


MUTANTS = {
    "20": ["row of XBO dropped", "row of XBO offices without ct-desk", "row of XBO officers without XBO/officer1"],
    "21": ["pre-approval of terrorism from XAR to XBO dropped", "max_hops one more", "max_hops one less"],
    "22": ["purposes without threat-to-life", "persons_max one more", "special_categories allow"],
    "23": [
        "row of XAR from SECRET dropped",
        "row of XAR from SECRET one level lower",
        "row of XAR from SECRET by broker",
    ],
    "24": ["row of XAR from CONFIDENTIAL copies free", "row of XAR from CONFIDENTIAL one level higher"],
    "25": ["reports one more", "reports one less", "bytes one more", "bytes one less"],
    "26": ["officers one more", "officers one less", "row of XAR from CONFIDENTIAL one level higher"],
    "28": ["evidence free", "action_on consent"],
    "30": ["onward the other way", "to without XBO"],
    "32": ["on_failure degrade"],
    "37": ["row of XAR from CONFIDENTIAL dropped", "row of XAR from CONFIDENTIAL one level lower"],
}


@pytest.mark.parametrize(("clause_id", "expected"), MUTANTS.items())
def test_each_thing_a_clause_says_has_mutants(clause_id: str, expected: list[str]) -> None:
    names = [name for name, _ in mutants(DOCUMENT)]
    for what in expected:
        assert f"clause {clause_id}: {what}" in names


def test_what_is_tracked_only_has_no_mutants() -> None:
    names = " ".join(name for name, _ in mutants(DOCUMENT))
    for clause_id in ("33", "34", "35", "36"):
        assert f"clause {clause_id}" not in names


def test_every_mutant_can_be_decided_by() -> None:
    result = run(*ROWS.values())
    assert result.mutants > 100
    assert result.survivors != ()
