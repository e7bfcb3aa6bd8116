"""The banner grammar: what is printed, what is accepted, and what a refused marking says to write instead."""

from __future__ import annotations

from dataclasses import replace

import pytest

from comity_policy.banner import (
    ILL_FORMED,
    abbreviations,
    banner,
    dual_banner,
    parse_banner,
    parse_portion_mark,
    parse_tlp,
    portion_mark,
    tlp_word,
)
from comity_policy.marking import CategoryKind, CategorySet, Label, MarkingError, Origin, OriginKind, Pap, Tlp

LEVELS = ("OPEN", "RESTRICTED", "CONFIDENTIAL", "SECRET", "TOP-SECRET")


def codes(*parties: str) -> frozenset[str]:
    return frozenset(parties)


REL = Label("XAR", "SECRET", releasable_to=codes("XAR", "XBO"))

# text, its portion mark, its label, as XAR's system prints it
GRAMMAR = {
    "level alone": ("SECRET", "(S)", Label("XAR", "SECRET")),
    "rel to": ("SECRET//REL TO XAR, XBO", "(S//REL TO XAR, XBO)", REL),
    "originator first, then alphabetical": (
        "SECRET//REL TO XAR, AUS, XAB, XBO",
        "(S//REL TO XAR, AUS, XAB, XBO)",
        replace(REL, releasable_to=codes("XBO", "AUS", "XAR", "XAB")),
    ),
    "national-only as the policy spells it": (
        "TOP-SECRET//NOFORN",
        "(TS//NOFORN)",
        Label("XAR", "TOP-SECRET", dissemination=frozenset({"NATIONAL-ONLY"})),
    ),
    "controls in one category, in order": (
        "SECRET//ORCON/REL TO XAR, XBO/RELIDO",
        "(S//ORCON/REL TO XAR, XBO/RELIDO)",
        replace(REL, dissemination=frozenset({"RELIDO", "ORCON"})),
    ),
    "display only": (
        "SECRET//REL TO XAR, XBO/DISPLAY ONLY XDE, XFA",
        "(S//REL TO XAR, XBO/DISPLAY ONLY XDE, XFA)",
        replace(REL, display_only=codes("XFA", "XDE")),
    ),
    "mixed product": (
        "SECRET//FGI XBO XDE//REL TO XAR, XBO",
        "(S//FGI XBO XDE//REL TO XAR, XBO)",
        replace(REL, origin=Origin(OriginKind.FGI, codes("XDE", "XBO"))),
    ),
    "foreign origin": (
        "//XBO SECRET//REL TO XBO, XAR",
        "(//XBO S//REL TO XBO, XAR)",
        replace(REL, policy="XBO"),
    ),
    "joint": (
        "//JOINT SECRET XAR XBO//REL TO XAR, XBO",
        "(//JOINT S XAR XBO//REL TO XAR, XBO)",
        replace(REL, origin=Origin(OriginKind.JOINT, codes("XBO", "XAR"))),
    ),
    "joint led by another": (
        "//JOINT SECRET XBO XAR//NOFORN",
        "(//JOINT S XBO XAR//NOFORN)",
        Label(
            "XBO",
            "SECRET",
            dissemination=frozenset({"NATIONAL-ONLY"}),
            origin=Origin(OriginKind.JOINT, codes("XBO", "XAR")),
        ),
    ),
    "tlp and pap": (
        "OPEN//TLP:AMBER+STRICT//PAP:GREEN",
        "(O//TLP:AMBER+STRICT//PAP:GREEN)",
        Label("XAR", "OPEN", tlp=Tlp.AMBER_STRICT, pap=Pap.GREEN),
    ),
}


@pytest.mark.parametrize(("text", "mark", "label"), GRAMMAR.values(), ids=GRAMMAR.keys())
def test_a_marking_prints_and_parses_exactly(text: str, mark: str, label: Label) -> None:
    assert banner(label, viewer="XAR") == text
    assert parse_banner(text, "XAR", LEVELS) == label
    assert portion_mark(label, LEVELS, viewer="XAR") == mark
    assert parse_portion_mark(mark, "XAR", LEVELS) == label


def test_without_a_viewer_a_label_is_printed_as_its_own_policy_sees_it() -> None:
    assert banner(replace(REL, policy="XBO")) == "SECRET//REL TO XBO, XAR"


def test_the_national_only_word_may_be_spelled_either_way() -> None:
    label = parse_banner("SECRET//NATIONAL-ONLY", "XAR", LEVELS)
    assert label == parse_banner("SECRET//NOFORN", "XAR", LEVELS)
    assert banner(label, national_only="NATIONAL-ONLY") == "SECRET//NATIONAL-ONLY"


def test_a_mapped_level_stands_beside_the_originators() -> None:
    assert dual_banner(REL, "XBO", "TAJNE") == "SECRET (XAR) / TAJNE (XBO)//REL TO XAR, XBO"


REFUSED = {
    "nothing": ("", "begins with a level, one of OPEN, RESTRICTED"),
    "no level": ("REL TO XAR, XBO", "unknown level 'REL TO XAR, XBO'"),
    "lower case": ("secret", "did you mean 'SECRET'"),
    "misspelt level": ("SECRETT", "did you mean 'SECRET'"),
    "one code in REL TO": ("SECRET//REL TO XBO", "REL TO needs the originator XAR and at least one other party"),
    "originator alone": ("SECRET//REL TO XAR", "REL TO needs the originator XAR and at least one other party"),
    "originator not first": ("SECRET//REL TO XBO, XAR", "write 'SECRET//REL TO XAR, XBO'"),
    "not alphabetical": ("SECRET//REL TO XAR, XDE, XBO", "write 'SECRET//REL TO XAR, XBO, XDE'"),
    "no space after the comma": ("SECRET//REL TO XAR,XBO", "write 'SECRET//REL TO XAR, XBO'"),
    "trailing space": ("SECRET//REL TO XAR, XBO ", "write 'SECRET//REL TO XAR, XBO'"),
    "categories out of order": ("SECRET//TLP:RED//NOFORN", "write 'SECRET//NOFORN//TLP:RED'"),
    "controls out of order": ("SECRET//RELIDO/ORCON", "write 'SECRET//ORCON/RELIDO'"),
    "a party twice": ("SECRET//REL TO XAR, XBO, XBO", "names a party twice"),
    "REL without TO": ("SECRET//REL XAR, XBO", "did you mean 'REL TO'"),
    "two REL TO lists": ("SECRET//REL TO XAR, XBO/REL TO XAR, XDE", "unknown or repeated control"),
    "a control twice": ("SECRET//ORCON/ORCON", "ORCON is given twice"),
    "an empty category": ("SECRET//", "unknown or repeated control"),
    "an unknown control": ("SECRET//EYES", "unknown or repeated control 'EYES'"),
    "national-only and REL TO": ("SECRET//NOFORN/REL TO XAR, XBO", "national-only excludes REL TO"),
    "national-only and RELIDO": ("SECRET//NOFORN/RELIDO", "national-only excludes RELIDO"),
    "RELIDO and DISPLAY ONLY": ("SECRET//RELIDO/DISPLAY ONLY XBO", "RELIDO excludes DISPLAY ONLY"),
    "a lower-case code": ("SECRET//REL TO XAR, xbo", "'xbo', which is no party code"),
    "an empty list": ("SECRET//REL TO ", "REL TO"),
    "an unknown group": ("SECRET//REL TO XAR, FVEY", "unknown group 'FVEY'"),
    "an unknown group, shown": ("SECRET//DISPLAY ONLY FVEY", "unknown group 'FVEY'"),
    "information of an unknown group": ("SECRET//FGI NATO//NOFORN", "unknown group 'NATO'"),
    "two PAPs": ("OPEN//PAP:RED//PAP:RED", "PAP is given twice"),
    "own information with a prefix": ("//XAR SECRET", "no leading //XAR"),
    "a prefix that is no party": ("//NATO SECRET", "a party or JOINT, not 'NATO'"),
    "joint with one party": ("//JOINT SECRET XAR", "at least two parties"),
    "joint without a level": ("//JOINT XAR XBO", "after //JOINT stand a level"),
    "FGI of the originator": ("SECRET//FGI XAR//NOFORN", "to whom it is not foreign"),
    "two origins": ("SECRET//FGI XBO//FGI XDE", "origin is given twice"),
    "an unknown TLP": ("OPEN//TLP:ORANGE", "unknown TLP 'TLP:ORANGE'"),
    "two TLPs": ("OPEN//TLP:RED//TLP:RED", "TLP is given twice"),
    "an unknown PAP": ("OPEN//PAP:WHITE", "unknown PAP 'PAP:WHITE'"),
    "endless": ("SECRET//REL TO " + "XBO, " * 1000, "at most 4096 characters"),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_a_refused_marking_says_what_to_write(text: str, message: str) -> None:
    with pytest.raises(MarkingError) as refused:
        parse_banner(text, "XAR", LEVELS)
    assert message in str(refused.value)


def test_a_marking_error_is_a_value_error() -> None:
    assert issubclass(MarkingError, ValueError)


def test_a_portion_mark_needs_its_parentheses() -> None:
    with pytest.raises(MarkingError, match="parentheses"):
        parse_portion_mark("S//REL TO XAR, XBO", "XAR", LEVELS)


def test_groups_stand_last_and_are_expanded_with_the_members_given() -> None:
    groups = {"EFTA": codes("XBO", "XDE")}
    label = parse_banner("SECRET//REL TO XAR, XFA, EFTA", "XAR", LEVELS, groups)
    assert label.releasable_to == codes("XAR", "XFA", "XBO", "XDE")
    with pytest.raises(MarkingError, match="XFA, EFTA"):
        parse_banner("SECRET//REL TO XAR, EFTA, XFA", "XAR", LEVELS, groups)


def test_a_group_that_holds_the_originator_does_not_stand_for_it() -> None:
    groups = {"XSEA": codes("XAR", "XBO")}
    assert parse_banner("SECRET//REL TO XAR, XSEA", "XAR", LEVELS, groups) == REL
    for written in ("SECRET//REL TO XSEA", "SECRET//REL TO XBO, XSEA"):
        with pytest.raises(MarkingError, match="needs the originator XAR"):
            parse_banner(written, "XAR", LEVELS, groups)


def test_a_group_that_is_shown_leaves_out_its_originator_and_whoever_is_released_to() -> None:
    groups = {"XSEA": codes("XAR", "XBO", "XDE")}
    label = parse_banner("SECRET//REL TO XAR, XBO/DISPLAY ONLY XSEA", "XAR", LEVELS, groups)
    assert (label.releasable_to, label.display_only) == (codes("XAR", "XBO"), codes("XDE"))
    assert parse_banner("SECRET//FGI XSEA//NOFORN", "XAR", LEVELS, groups).origin.parties == codes("XBO", "XDE")
    assert parse_portion_mark("(//JOINT S XAR XSEA//NOFORN)", "XAR", LEVELS, groups).origin.parties == groups["XSEA"]


def test_a_party_named_by_hand_is_not_left_out_silently() -> None:
    groups = {"XSEA": codes("XAR", "XBO", "XDE")}
    with pytest.raises(MarkingError, match="take out of DISPLAY ONLY"):
        parse_banner("SECRET//REL TO XAR, XBO/DISPLAY ONLY XBO, XSEA", "XAR", LEVELS, groups)


def test_white_is_accepted_as_clear() -> None:
    assert parse_tlp("TLP:WHITE") is Tlp.CLEAR
    assert banner(parse_banner("OPEN//TLP:WHITE", "XAR", LEVELS)) == "OPEN//TLP:CLEAR"
    assert [parse_tlp(tlp_word(tlp)) for tlp in Tlp] == list(Tlp)


def test_levels_are_abbreviated_by_initials_unless_that_is_ambiguous() -> None:
    assert abbreviations(LEVELS) == {
        "OPEN": "O",
        "RESTRICTED": "R",
        "CONFIDENTIAL": "C",
        "SECRET": "S",
        "TOP-SECRET": "TS",
    }
    assert abbreviations(("DUVERNE", "DULEZITE", "TAJNE")) == {
        "DUVERNE": "DUVERNE",
        "DULEZITE": "DULEZITE",
        "TAJNE": "T",
    }


@pytest.mark.parametrize(
    "hostile",
    [
        Label("XAR", "OPEN//REL TO XAR, XBO"),
        Label("XAR", "SECRET\u202eNEPO"),
        Label("XAR", "SECRET\n"),
        Label("XAR", ""),
        Label("XAR", "OPEN", dissemination=frozenset({"x//TLP:CLEAR"})),
        Label("X//", "OPEN"),
        Label("XAR", "OPEN", releasable_to=codes("XAR", "XBO//TLP:CLEAR")),
    ],
    ids=["level", "bidi", "newline", "empty", "control", "policy", "party"],
)
def test_what_a_hostile_label_says_never_reaches_a_screen_as_a_marking(hostile: Label) -> None:
    assert banner(hostile) == ILL_FORMED
    assert portion_mark(hostile, LEVELS) == f"({ILL_FORMED})"
    assert dual_banner(hostile, "XBO", "TAJNE") == ILL_FORMED


def test_a_banner_leaves_out_what_its_grammar_does_not_carry() -> None:
    full = replace(REL, categories=(CategorySet("t", CategoryKind.INFORMATIVE, None),), review_at=5, successor=REL)
    assert parse_banner(banner(full), "XAR", LEVELS) == REL
