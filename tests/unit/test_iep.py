"""FIRST IEP 2.0: reading and writing policies, what cannot be found, and what a policy means here."""

from __future__ import annotations

from dataclasses import replace

import pytest

from comity_policy.iep import (
    MOST_RESTRICTIVE,
    Actions,
    Attribution,
    Encryption,
    Handling,
    Permission,
    Policy,
    Use,
    from_json,
    resolve,
    strictest,
    to_json,
)
from comity_policy.marking import MarkingError, Pap, Tlp

AMBER = {
    "id": "01bc4353-4829-4d55-8d52-0ab7e0790df9",
    "name": "FIRST IEP-SIG TLP-AMBER",
    "description": "an example",
    "iep_version": 2.0,
    "start_date": "2017-01-01T00:00:00Z",
    "end_date": None,
    "encrypt_in_transit": "may",
    "permitted_actions": "externally-visible-direct-actions",
    "affected_party_notifications": "may",
    "tlp": "amber",
    "attribution": "must-not",
    "unmodified_resale": "must-not",
    "external_references": ["https://www.first.org/tlp"],
}
NEW_YEAR_2017 = 1_483_228_800_000
NOW = 1_800_000_000_000


def test_a_policy_reads_and_writes_back() -> None:
    policy = from_json(AMBER)
    assert policy == Policy(
        id="01bc4353-4829-4d55-8d52-0ab7e0790df9",
        name="FIRST IEP-SIG TLP-AMBER",
        description="an example",
        start_date=NEW_YEAR_2017,
        encrypt_in_transit=Encryption.MAY,
        permitted_actions=Actions.EXTERNALLY_VISIBLE_DIRECT_ACTIONS,
        affected_party_notifications=Permission.MAY,
        tlp=Tlp.AMBER,
        attribution=Attribution.MUST_NOT,
        unmodified_resale=Permission.MUST_NOT,
        external_references=("https://www.first.org/tlp",),
    )
    assert to_json(policy) == AMBER


def test_white_is_clear_and_written_as_the_standard_has_it() -> None:
    for word in ("white", "clear"):
        policy = from_json(AMBER | {"tlp": word})
        assert policy.tlp is Tlp.CLEAR
        assert to_json(policy)["tlp"] == "white"
    assert from_json(AMBER | {"tlp": "amber+strict"}).tlp is Tlp.AMBER_STRICT


def test_a_statement_left_out_is_the_narrowest() -> None:
    bare = from_json({"id": "bare", "iep_version": 2.0})
    assert Handling.of(bare, NOW) == Handling.of(MOST_RESTRICTIVE, NOW)
    assert bare.encrypt_in_transit is Encryption.MUST


REFUSED = {
    "an unknown statement": {"watermark": "must"},
    "another version": {"iep_version": 1.0},
    "a version that is a text": {"iep_version": "2.0"},
    "a version that is true": {"iep_version": True},
    "an empty id": {"id": ""},
    "an id that is a number": {"id": 5},
    "an id with a line break": {"id": "a\nb"},
    "an unknown word": {"permitted_actions": "anything"},
    "a word that is no text": {"encrypt_in_transit": True},
    "a statement that is null": {"attribution": None},
    "a TLP in capitals": {"tlp": "AMBER"},
    "an unknown TLP": {"tlp": "orange"},
    "a TLP that is a list": {"tlp": ["amber"]},
    "a start without a zone": {"start_date": "2017-01-01T00:00:00"},
    "a start that is no time": {"start_date": "soon"},
    "an end that is a number": {"end_date": 5},
    "an end before all time": {"end_date": "0001-01-01T00:00:00+14:00"},
    "references that are one text": {"external_references": "https://www.first.org/tlp"},
    "references without end": {"external_references": ["x"] * 65},
    "a name without end": {"name": "n" * 5000},
}


@pytest.mark.parametrize("said", REFUSED.values(), ids=REFUSED.keys())
def test_a_policy_that_is_not_understood_refuses(said: dict[str, object]) -> None:
    with pytest.raises(MarkingError):
        from_json(AMBER | said)


@pytest.mark.parametrize("missing", ["id", "iep_version"])
def test_a_policy_says_its_id_and_version(missing: str) -> None:
    with pytest.raises(MarkingError, match=missing):
        from_json({key: value for key, value in AMBER.items() if key != missing})


def test_a_policy_that_cannot_be_found_is_the_most_restrictive() -> None:
    begun = replace(from_json(AMBER), start_date=100, end_date=200)
    known = {"amber": begun}
    assert resolve("amber", known, at=100) is resolve("amber", known, at=199) is begun
    for reference, at in (("other", 150), ("amber", 99), ("amber", 200)):
        assert resolve(reference, known, at=at) is MOST_RESTRICTIVE


def test_the_most_restrictive_policy_lets_nothing_pass() -> None:
    assert Handling.of(MOST_RESTRICTIVE, NOW) == Handling(
        tlp=Tlp.RED,
        pap=Pap.RED,
        action=Use.DENY,
        notify_affected=False,
        attribution=Attribution.MUST_NOT,
        resale=False,
    )


def test_of_several_policies_every_statement_holds_at_its_narrowest() -> None:
    amber = from_json(AMBER)
    other = replace(
        amber,
        id="other",
        tlp=Tlp.GREEN,
        permitted_actions=Actions.CONTACT_FOR_INSTRUCTION,
        attribution=Attribution.MUST,
        encrypt_in_transit=Encryption.MUST,
        start_date=NEW_YEAR_2017 + 1,
        end_date=NEW_YEAR_2017 + 9,
    )
    both = strictest([amber, other])
    assert (both.tlp, both.permitted_actions) == (Tlp.AMBER, Actions.CONTACT_FOR_INSTRUCTION)
    assert (both.attribution, both.encrypt_in_transit) == (Attribution.MUST_NOT, Encryption.MUST)
    assert (both.start_date, both.end_date) == (NEW_YEAR_2017 + 1, NEW_YEAR_2017 + 9)
    assert strictest([amber]) is amber
    assert strictest([]) is MOST_RESTRICTIVE


# what a policy permits -> PAP of the label, use
ACTIONS = {
    Actions.NONE: (Pap.RED, Use.DENY),
    Actions.CONTACT_FOR_INSTRUCTION: (Pap.RED, Use.CONSENT),
    Actions.INTERNALLY_VISIBLE_ACTIONS: (Pap.RED, Use.ALLOW),
    Actions.EXTERNALLY_VISIBLE_INDIRECT_ACTIONS: (Pap.AMBER, Use.ALLOW),
    Actions.EXTERNALLY_VISIBLE_DIRECT_ACTIONS: (Pap.GREEN, Use.ALLOW),
}


@pytest.mark.parametrize("actions", Actions)
def test_permitted_actions_become_a_pap_and_a_use_and_back(actions: Actions) -> None:
    handling = Handling.of(Policy("p", permitted_actions=actions), NOW)
    assert (handling.pap, handling.action) == ACTIONS[actions]
    assert handling.to_policy("p", start=NOW).permitted_actions is actions


def test_a_label_without_limits_on_actions_permits_direct_ones() -> None:
    free = replace(Handling.of(from_json(AMBER), NOW), pap=Pap.CLEAR)
    assert free.to_policy("p", start=NOW).permitted_actions is Actions.EXTERNALLY_VISIBLE_DIRECT_ACTIONS


@pytest.mark.parametrize("changed", [{"end_date": NOW}, {"end_date": NOW - 1}, {"start_date": NOW + 1}])
def test_a_policy_that_does_not_hold_now_is_never_written_out_as_one_that_does(changed: dict[str, int]) -> None:
    over = replace(from_json(AMBER), **changed)
    assert Handling.of(over, NOW) == Handling.of(MOST_RESTRICTIVE, NOW)
    written_out = Handling.of(over, NOW).to_policy("p", start=NOW)
    assert (written_out.tlp, written_out.permitted_actions) == (Tlp.RED, Actions.NONE)


def test_what_is_written_out_begins_when_it_is_said_to_and_ends_with_its_policy() -> None:
    handling = Handling.of(replace(from_json(AMBER), end_date=NOW + 5), NOW)
    written_out = handling.to_policy("p", start=NOW)
    assert (written_out.start_date, written_out.end_date) == (NOW, NOW + 5)
