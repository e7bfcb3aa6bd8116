"""Group codes: dated memberships, expansion on the day of the report, and the file that says so."""

from __future__ import annotations

import hashlib
from datetime import date
from importlib.resources import files

import pytest

from comity_policy.groups import bundled, day_of, expanded, group_codes, is_group_code, read
from comity_policy.marking import MarkingError
from comity_policy.vocabulary import VocabularyError
from comity_policy.vocabulary import bundled as vocabularies

# group, party, a day, whether it belonged to it
MEMBERSHIPS = [
    ("NATO", "SWE", date(2024, 3, 6), False),
    ("NATO", "SWE", date(2024, 3, 7), True),
    ("NATO", "FIN", date(2023, 4, 3), False),
    ("NATO", "FIN", date(2023, 4, 4), True),
    ("NATO", "GRC", date(1952, 2, 17), False),
    ("EFTA", "GBR", date(1972, 12, 31), True),
    ("EFTA", "GBR", date(1973, 1, 1), False),
    ("FVEY", "NZL", date(2026, 11, 24), True),
    ("ACGU", "NZL", date(2026, 11, 24), False),
    ("XSEA", "XDE", date(2025, 12, 31), True),
    ("XSEA", "XDE", date(2026, 1, 1), False),
]


@pytest.mark.parametrize(("group", "party", "day", "belonged"), MEMBERSHIPS)
def test_a_party_belongs_to_a_group_from_its_first_day_to_the_day_before_its_end(group, party, day, belonged) -> None:
    assert (party in bundled().on(day)[group]) is belonged


def test_a_group_without_members_on_the_day_is_unknown() -> None:
    before = date(1950, 1, 1)
    assert "EFTA" not in bundled().on(before)
    with pytest.raises(MarkingError, match="unknown group 'EFTA'"):
        expanded(["XAR", "EFTA"], bundled().on(before))


def test_expansion_keeps_parties_and_leaves_out_what_it_is_told_to() -> None:
    members = {"XSEA": frozenset({"XAR", "XBO"})}
    assert expanded(["XDE", "XSEA"], members) == {"XAR", "XBO", "XDE"}
    assert expanded(["XAR", "XSEA"], members, without=frozenset({"XAR"})) == {"XAR", "XBO"}
    assert expanded(["XSEA"], members, without=frozenset({"XAR"})) == {"XBO"}


def test_what_is_kept_with_a_report_names_the_file_by_its_digest() -> None:
    data = (files("comity_policy") / "vocabulary" / "groups.toml").read_bytes()
    assert bundled().record({"XSEA", "NATO"}, date(2026, 11, 24)) == {
        "codes": ["NATO", "XSEA"],
        "day": "2026-11-24",
        "digest": "sha384:" + hashlib.sha384(data).hexdigest(),
    }


def test_every_member_is_a_party_the_vocabulary_knows() -> None:
    known = vocabularies().parties
    assert [one.party for members in bundled().memberships.values() for one in members if one.party not in known] == []
    assert all(bundled().meanings.values())


def test_the_day_of_a_report_is_the_utc_day() -> None:
    assert day_of(1_795_564_799_999) == date(2026, 11, 24)
    assert day_of(1_795_564_800_000) == date(2026, 11, 25)


@pytest.mark.parametrize(
    ("code", "is_one"),
    [
        ("NATO", True),
        ("XSEA", True),
        ("EU27", True),
        ("XAR", False),
        ("nato", False),
        ("4EYE", False),
        ("N" * 17, False),
    ],
)
def test_a_group_code_has_four_to_sixteen_capitals_and_digits(code: str, is_one: bool) -> None:
    assert is_group_code(code) is is_one


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("SECRET//REL TO XAR, NATO", {"NATO"}),
        ("(S//REL TO XAR, XBO/DISPLAY ONLY XSEA)", {"XSEA"}),
        ("SECRET//FGI NATO//REL TO XAR, XSEA", {"NATO", "XSEA"}),
        ("//JOINT SECRET XAR XSEA", {"XSEA"}),
        ("NATO SECRET//REL TO XAR, XBO", set()),
        ("SECRET//REL TO XAR, XBO", set()),
    ],
)
def test_group_codes_are_found_where_parties_are_listed(text: str, found: set[str]) -> None:
    assert group_codes(text, {"NATO", "XSEA"}) == found


DAMAGED = {
    "not TOML": "version = ",
    "no version": "[groups]",
    "an unknown key": "version = 1\nother = 2\n[groups]",
    "a text for a day": 'version = 1\n[groups.XSEA]\nmeaning = "m"\nmembers = [{ party = "XAR", since = "soon" }]',
    "a group that is a party": 'version = 1\n[groups.XAR]\nmeaning = "m"\nmembers = []',
    "a member that is no party": 'version = 1\n[groups.XSEA]\nmeaning = "m"\nmembers = [{ party = "X", since = 2020-01-01 }]',
    "an end before the beginning": 'version = 1\n[groups.XSEA]\nmeaning = "m"\n'
    'members = [{ party = "XAR", since = 2020-01-01, until = 2020-01-01 }]',
    "two memberships at once": 'version = 1\n[groups.XSEA]\nmeaning = "m"\n'
    'members = [{ party = "XAR", since = 2020-01-01 }, { party = "XAR", since = 2021-01-01 }]',
}


@pytest.mark.parametrize("text", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_file_is_no_vocabulary(text: str) -> None:
    with pytest.raises(VocabularyError) as refused:
        read(text.encode())
    assert refused.value.name == "groups"


def test_a_party_may_leave_a_group_and_come_back() -> None:
    text = (
        'version = 2\n[groups.XSEA]\nmeaning = "m"\nmembers = [{ party = "XAR", since = 2022-01-01 }, '
        '{ party = "XAR", since = 2020-01-01, until = 2021-01-01 }]'
    )
    groups = read(text.encode())
    days = (date(2020, 6, 1), date(2021, 6, 1), date(2022, 6, 1))
    assert ["XSEA" in groups.on(day) for day in days] == [True, False, True]
