"""The example agreements: their tables hold, nothing is wrong in them, and they show what every table must show."""

from __future__ import annotations

import json
import re
import tomllib

import pytest

from builders_agreements import EXAMPLES, NAMES, example, read
from comity_policy.check import Severity, check
from comity_policy.clauses import Consent, Emergency, UseRule
from comity_policy.document import DocumentError, load
from comity_policy.iep import Handling, Use, from_json
from comity_policy.marking import Tlp
from comity_policy.sections import NoLevel
from comity_policy.tables import CompanionNames, TableError, companions_named
from comity_policy.vocabulary import bundled

EXPECTED = (
    "xar-xbo-ct",
    "xar-xbo-ct-arrangement",
    "xar-xbo-gsa",
    "xar-xbo-xde-sea",
    "xar-xde-cert",
    "xbo-xde-borders",
)
# What has to stand in some table, by a part of the row's name.
REQUIRED = {
    "an unclassified heading keeps REL TO": "xar-xbo-ct-arrangement",
    "a suspended ceiling denies": "xar-xbo-ct-arrangement",
    "a suspended grant denies": "xar-xbo-ct-arrangement",
    "FLASH with one officer and a declaration": "xar-xbo-ct-arrangement",
    "nothing flows under the umbrella alone": "xar-xbo-gsa",
    "the controller of a listed body of oversight is not a third party": "xar-xbo-ct-arrangement",
    "a third party without an agreement in force gets nothing": "xar-xbo-ct-arrangement",
    "nothing goes to Delmark before it has acceded": "xar-xbo-xde-sea",
}


def test_the_examples_are_these() -> None:
    assert NAMES == EXPECTED


@pytest.mark.parametrize("name", NAMES)
def test_the_table_of_an_example_holds_and_would_notice_a_change(name: str) -> None:
    result = example(name).run()
    assert result.passed, "\n".join(result.lines())
    assert result.mutants >= 30


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_wrong_in_an_example(name: str) -> None:
    made = example(name)
    findings = check(made.document, bundled(), made.umbrella.document if made.umbrella else None)
    told = [one for one in findings if one.severity is not Severity.NOTE]
    assert [one.message for one in told] == []


@pytest.mark.parametrize(("row", "name"), REQUIRED.items())
def test_what_every_table_must_show_is_shown(row: str, name: str) -> None:
    rows = tomllib.loads(example(name).table.decode())["row"]
    assert row in [one["name"] for one in rows]


def test_an_emergency_that_lifts_the_second_approval_has_its_review_due() -> None:
    (clause,) = (one for one in example("xar-xbo-ct-arrangement").document.clauses if isinstance(one, Emergency))
    assert clause.review_within.milliseconds == 24 * 3_600_000


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_equivalence_row_does_not_load(name: str) -> None:
    """Any row with a level on both sides: what is left names a level that the other table has not, or the other way."""
    text = read(f"{name}.toml").decode()
    tried = 0
    for table in example(name).document.equivalences:
        begin = text.index(f'[[equivalence]]\nfrom = "{table.from_party}"\nto = "{table.to_party}"')
        for level, counterpart in table.rows:
            if isinstance(counterpart, NoLevel):
                continue
            row = re.compile(rf'\["{level}", "{counterpart}"\](?:,\s*)?')
            without = text[:begin] + row.sub("", text[begin:], count=1)
            with pytest.raises(DocumentError) as caught:
                load(without.encode())
            assert caught.value.path.startswith(("equivalence", "clause", "invariant", "document")), level
            tried += 1
    assert tried >= 8


def test_the_umbrella_enters_into_force_on_the_first_day_of_the_second_month_after_the_later_receipt() -> None:
    entry = example("xar-xbo-gsa").document.entry_into_force
    assert entry.offset is not None
    assert entry.offset.first_day_of_month == 2
    assert entry.rule.value == "after-later-receipt"


def test_every_clause_of_the_umbrella_has_a_text_in_three_languages() -> None:
    for clause in example("xar-xbo-gsa").document.clauses:
        assert set(clause.text) == {"xa", "xb", "en"}


def test_the_exchange_policy_of_the_response_teams_says_what_their_agreement_says() -> None:
    document = example("xar-xde-cert").document
    policy = from_json(json.loads(read("xar-xde-cert.iep.json")))
    assert document.entry_into_force.at is not None
    handling = Handling.of(policy, at=int(document.entry_into_force.at.timestamp()) * 1000)
    (clause,) = (one for one in document.clauses if isinstance(one, UseRule))
    assert (handling.tlp, handling.action, clause.action_on) == (Tlp.AMBER, Use.CONSENT, Consent.CONSENT)
    assert document.duration.until is not None
    assert handling.until == int(document.duration.until.timestamp()) * 1000


def test_every_file_beside_the_examples_belongs_to_one() -> None:
    known = {f"{name}{kind}" for name in NAMES for kind in (".toml", ".test.toml", ".iep.json")}
    known |= {one for name in NAMES for one in companions_named(example(name).table).caveats}
    assert {one.name for one in EXAMPLES.iterdir()} <= known


# What a table names beside itself


def test_a_table_names_files_beside_itself() -> None:
    table = b'umbrella = "gsa.toml"\ncaveats = ["a.toml", "b.toml"]\n[[row]]\n'
    assert companions_named(table) == CompanionNames("gsa.toml", ("a.toml", "b.toml"))
    assert companions_named(b"[[row]]\n") == CompanionNames()


@pytest.mark.parametrize(
    "line",
    [
        'umbrella = "../secret.toml"',
        'umbrella = "/etc/passwd"',
        'umbrella = ""',
        'umbrella = ".hidden"',
        "umbrella = 1",
        'caveats = "a.toml"',
        'caveats = ["a/b.toml"]',
        "caveats = [1]",
    ],
)
def test_a_table_names_no_file_elsewhere(line: str) -> None:
    with pytest.raises(TableError, match="file"):
        companions_named(f"{line}\n[[row]]\n".encode())
