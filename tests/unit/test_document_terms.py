"""The sections on an agreement's life: what loads as what, and what is refused at its path and line."""

from datetime import UTC, datetime

import pytest

from builders_document import ANNEX, DIGEST, EXAMPLE, agreement_text
from comity_policy.calendar import Offset, Period
from comity_policy.clauses import Article, Scope
from comity_policy.document import DocumentError, load
from comity_policy.sections import AmendedBy, AppliesTo, EntryRule, Renewal
from comity_policy.tables import run_table
from comity_policy.vocabulary import bundled
from document_refusals import AMENDS, PROVISIONAL, RECEIPT, REFUSED, UNDER


def loaded(**changes):
    return load(agreement_text(**changes).encode())


def refused(**changes):
    """Give path, the line's text and the problem of a text that does not load."""
    text = agreement_text(**changes)
    with pytest.raises(DocumentError) as caught:
        load(text.encode())
    return caught.value.path, text.splitlines()[caught.value.line - 1], caught.value.problem


# --- what loads -------------------------------------------------------------------------------------------------------


def test_an_entry_after_the_later_receipt_has_an_offset_a_minimum_and_a_zone():
    entry = loaded(
        entry_into_force=RECEIPT + 'offset = { first_day_of_month = 2 }\nminimum = 2\nzone = "Europe/Berlin"'
    ).entry_into_force
    assert (entry.rule, entry.minimum, entry.zone) == (EntryRule.AFTER_LATER_RECEIPT, 2, "Europe/Berlin")
    assert entry.offset.of_calendar == Offset(first_day_of_month=2)


def test_an_entry_says_nothing_more_than_it_must():
    entry = loaded(entry_into_force='rule = "on-signature"').entry_into_force
    assert (entry.at, entry.offset, entry.minimum, entry.zone) == (None, None, None, "UTC")


def test_a_term_has_a_length_a_renewal_and_reminders():
    duration = loaded(
        duration='kind = "term"\nyears = 3\nmonths = 6\nrenewal = "tacit"\nremind_days = [180, 90, 30]'
    ).duration
    assert (duration.length, duration.renewal, duration.remind_days) == (Period(42), Renewal.TACIT, (180, 90, 30))


def test_a_term_may_end_with_a_moment():
    duration = loaded(duration='kind = "term"\nuntil = 2030-01-01T00:00:00Z').duration
    assert (duration.until, duration.length) == (datetime(2030, 1, 1, tzinfo=UTC), None)


def test_notice_is_a_period_of_the_calendar():
    assert loaded(termination="notice = { months = 6, days = 1 }").termination.notice.of_calendar == Period(6, 0, 1)


def test_an_arrangement_names_its_umbrella():
    document = loaded(kind="arrangement", under=UNDER)
    assert (document.kind, document.under.agreement, document.under.digest) == ("arrangement", "XAR-XBO-GSA-1", DIGEST)


def test_an_umbrella_grants_nothing():
    scopes = EXAMPLE.index('[[clause]]\nid = "3.1"'), EXAMPLE.index('[[clause]]\nid = "4"')
    text = (EXAMPLE[: scopes[0]] + EXAMPLE[scopes[1] :]).replace('kind = "agreement"', 'kind = "umbrella"', 1)
    assert load(text.encode()).granted_directions() == ()


def test_provisional_application_names_grants_and_its_end():
    provisional = loaded(entry_into_force=RECEIPT, provisional=PROVISIONAL).provisional
    assert (provisional.clauses, provisional.until) == (("3.1",), datetime(2028, 1, 1, tzinfo=UTC))


def test_an_amendment_names_the_version_it_replaces():
    amends = loaded(version=2, amends=AMENDS).amends
    assert (amends.version, amends.digest, amends.applies_to) == (1, DIGEST, AppliesTo.NEW)
    held = loaded(version=2, amends=AMENDS.replace('"new"', '"held-if-stricter"')).amends
    assert held.applies_to is AppliesTo.HELD_IF_STRICTER


def test_the_clauses_of_an_annex_come_after_the_agreements_own():
    document, plain = loaded(more=ANNEX), load(EXAMPLE.encode())
    assert document.own_clauses == plain.clauses
    assert [clause.id for clause in document.clauses[len(plain.clauses) :]] == ["D.1", "D.2"]
    assert [type(clause) for clause in document.annex("D").clauses] == [Scope, Article]
    assert document.clause("D.1") is document.annex("D").clauses[0]
    assert (document.annex("D").amended_by, document.annex("D").by) == (
        AmendedBy.EXCHANGE_OF_NOTES,
        "security-authority",
    )


def test_the_clauses_of_an_annex_are_decided_like_the_agreements_own():
    table = b"""
[defaults]
from = "XAR"
to = "XBO"
level = "SECRET"
releasable_to = ["XAR", "XBO"]
categories = ["cyber"]
purpose = "counter-terrorism"
expires = "20d"
[[row]]
name = "the annex grants it"
permit = true
[[row]]
name = "its suspension takes the grant away"
suspended = ["D.1"]
deny = ["baseline/grant", "D.1"]
"""
    result = run_table(loaded(more=ANNEX), bytes(48), table, bundled())
    assert [row.passed for row in result.rows] == [True, True], result.lines()
    unannexed = run_table(load(EXAMPLE.encode()), bytes(48), table.partition(b'[[row]]\nname = "its')[0], bundled())
    assert [row.passed for row in unannexed.rows] == [False]


def test_each_clause_knows_where_it_stands():
    document = loaded(more=ANNEX + ANNEX.replace('"D', '"E'))
    paths = dict(zip([clause.id for clause in document.clauses], document.clause_paths(), strict=True))
    assert paths["1"] == ("clause", 0)
    assert paths["D.2"] == ("annex", 0, "clause", 1)
    assert paths["E.1"] == ("annex", 1, "clause", 0)


def test_an_annex_that_is_not_there_is_an_error_not_an_answer():
    with pytest.raises(KeyError):
        loaded(more=ANNEX).annex("E")


# --- what does not load -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("changes", "path", "problem"), REFUSED.values(), ids=REFUSED.keys())
def test_what_must_not_be_in_a_document_is_refused_at_its_path(changes, path, problem):
    found, _, said = refused(**changes)
    assert found == path
    assert problem in said


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"duration": 'kind = "term"\nyears = 101'}, "years = 101"),
        ({"more": ANNEX.replace('"cyber"', '"gossip"')}, 'categories = ["gossip"]'),
        ({"more": ANNEX.replace('kind = "article"', 'kind = "wish"')}, 'kind = "wish"'),
        ({"entry_into_force": RECEIPT + 'zone = "localtime"'}, 'zone = "localtime"'),
        ({"more": ANNEX.replace("exchange-of-notes", "ratification")}, 'by = "security-authority"'),
    ],
)
def test_a_refusal_names_the_line(changes, line):
    assert refused(**changes)[1] == line


@pytest.mark.parametrize("section", ["under", "provisional", "amends", "termination", "interpretation"])
@pytest.mark.parametrize("body", ["7", '"text"', "[]", "{ unknown = 1 }", "true", "2027-01-01"])
def test_a_section_that_is_something_else_is_refused_and_nothing_else_is_raised(section, body):
    text = f"{section} = {body}\n" + agreement_text(**{section: None} if f"[{section}]" in EXAMPLE else {})
    with pytest.raises(DocumentError) as caught:
        load(text.encode())
    assert caught.value.path.startswith(section)


def test_an_annex_nested_in_an_annex_is_unknown():
    deeper = ANNEX + '[[annex.annex]]\nid = "E"\n'
    assert refused(more=deeper)[0] == "annex[0].annex"


def test_a_thousand_annexes_load_in_their_order():
    many = "".join(
        f'\n[[annex]]\nid = "A{number}"\namended_by = "ratification"\n[[annex.clause]]\nid = "A{number}.1"\n'
        f'kind = "article"\ntopic = "other"\ntext.en = "Number {number}."\n'
        for number in range(1000)
    )
    document = loaded(more=many)
    assert [annex.id for annex in document.annexes] == [f"A{number}" for number in range(1000)]
    assert document.clauses[-1].id == "A999.1"
