"""Labels: form, access and roll-up, each rule of the marking semantics as a row of data."""

from __future__ import annotations

from dataclasses import replace

import pytest

from comity_policy.banner import ILL_FORMED, banner, parse_banner
from comity_policy.marking import (
    CategoryKind,
    CategorySet,
    Label,
    MarkingError,
    Origin,
    OriginKind,
    Subject,
    Tlp,
    as_imported,
    faults,
    join,
    may_access,
    unmarked,
    validate,
)

LEVELS = ("OPEN", "RESTRICTED", "CONFIDENTIAL", "SECRET", "TOP-SECRET")


def label(text: str) -> Label:
    return parse_banner(text, "XAR", LEVELS)


# portions, separated by " + " -> roll-up
ROLL_UPS = {
    "one portion is its own roll-up": ("SECRET//REL TO XAR, XBO", "SECRET//REL TO XAR, XBO"),
    "highest classification": (
        "RESTRICTED//REL TO XAR, XBO + SECRET//REL TO XAR, XBO + CONFIDENTIAL//REL TO XAR, XBO",
        "SECRET//REL TO XAR, XBO",
    ),
    "REL TO is intersected": (
        "SECRET//REL TO XAR, XBO, XDE + SECRET//REL TO XAR, XBO, XFA",
        "SECRET//REL TO XAR, XBO",
    ),
    "no common party is national-only": ("SECRET//REL TO XAR, XBO + SECRET//REL TO XAR, XDE", "SECRET//NOFORN"),
    "national-only with anything is national-only": (
        "RESTRICTED//NOFORN + SECRET//REL TO XAR, XBO",
        "SECRET//NOFORN",
    ),
    "national-only with RELIDO is national-only": ("SECRET//RELIDO + SECRET//NOFORN", "SECRET//NOFORN"),
    "national-only with DISPLAY ONLY is national-only": (
        "SECRET//DISPLAY ONLY XBO + RESTRICTED//NOFORN",
        "SECRET//NOFORN",
    ),
    "an unclassified heading is neutral": ("OPEN + SECRET//REL TO XAR, XBO", "SECRET//REL TO XAR, XBO"),
    "an unclassified heading does not end RELIDO": ("OPEN + SECRET//RELIDO", "SECRET//RELIDO"),
    "only unclassified portions stay unmarked": ("OPEN + OPEN", "OPEN"),
    "an unclassified portion with a control is not neutral": (
        "OPEN//REL TO XAR, XDE + SECRET//REL TO XAR, XBO",
        "SECRET//NOFORN",
    ),
    "an unclassified ORCON portion is not neutral": (
        "OPEN//ORCON + SECRET//REL TO XAR, XBO",
        "SECRET//ORCON/NOFORN",
    ),
    "unclassified national-only binds": ("OPEN//NOFORN + OPEN", "OPEN//NOFORN"),
    "a classified portion without a foreign-disclosure marking counts as national-only": (
        "SECRET + SECRET//REL TO XAR, XBO",
        "SECRET//NOFORN",
    ),
    "so it does alone": ("RESTRICTED", "RESTRICTED//NOFORN"),
    "ORCON alone discloses to nobody": ("SECRET//ORCON + OPEN", "SECRET//ORCON/NOFORN"),
    "ORCON holds for what is derived": (
        "SECRET//ORCON/REL TO XAR, XBO + RESTRICTED//REL TO XAR, XBO",
        "SECRET//ORCON/REL TO XAR, XBO",
    ),
    "ORCON stays beside national-only": ("SECRET//ORCON/NOFORN + OPEN", "SECRET//ORCON/NOFORN"),
    "RELIDO survives where all classified portions carry it": (
        "SECRET//RELIDO + RESTRICTED//RELIDO + OPEN",
        "SECRET//RELIDO",
    ),
    "RELIDO beside one REL TO survives": (
        "SECRET//REL TO XAR, XBO, XDE/RELIDO + SECRET//REL TO XAR, XBO/RELIDO",
        "SECRET//REL TO XAR, XBO/RELIDO",
    ),
    "RELIDO ends where one classified portion lacks it": (
        "SECRET//REL TO XAR, XBO/RELIDO + SECRET//REL TO XAR, XBO",
        "SECRET//REL TO XAR, XBO",
    ),
    "RELIDO without a list has no party in common with a list": (
        "SECRET//RELIDO + SECRET//REL TO XAR, XBO",
        "SECRET//NOFORN",
    ),
    "RELIDO cannot reopen lists without a common party": (
        "SECRET//REL TO XAR, XBO/RELIDO + SECRET//REL TO XAR, XDE/RELIDO",
        "SECRET//NOFORN",
    ),
    "DISPLAY ONLY is intersected": (
        "SECRET//DISPLAY ONLY XBO, XDE + SECRET//DISPLAY ONLY XBO",
        "SECRET//DISPLAY ONLY XBO",
    ),
    "released in one portion and displayed in another is displayed": (
        "SECRET//REL TO XAR, XBO + SECRET//DISPLAY ONLY XBO",
        "SECRET//DISPLAY ONLY XBO",
    ),
    "REL to some and DISPLAY ONLY to others: united per portion, then intersected": (
        "SECRET//REL TO XAR, XBO/DISPLAY ONLY XDE + SECRET//REL TO XAR, XBO, XDE",
        "SECRET//REL TO XAR, XBO/DISPLAY ONLY XDE",
    ),
    "crossed release and display leave display to both": (
        "SECRET//REL TO XAR, XBO/DISPLAY ONLY XDE + SECRET//REL TO XAR, XDE/DISPLAY ONLY XBO",
        "SECRET//DISPLAY ONLY XBO, XDE",
    ),
    "display without a common party is national-only": (
        "SECRET//DISPLAY ONLY XBO + SECRET//DISPLAY ONLY XDE",
        "SECRET//NOFORN",
    ),
    "foreign information makes a mixed product": (
        "SECRET//REL TO XAR, XBO + SECRET//FGI XDE//REL TO XAR, XBO",
        "SECRET//FGI XDE//REL TO XAR, XBO",
    ),
    "foreign sources are united": (
        "SECRET//FGI XDE//REL TO XAR, XBO + SECRET//FGI XFA//REL TO XAR, XBO",
        "SECRET//FGI XDE XFA//REL TO XAR, XBO",
    ),
    "one joint origin stays joint": (
        "//JOINT SECRET XAR XBO//REL TO XAR, XBO + //JOINT RESTRICTED XAR XBO//REL TO XAR, XBO",
        "//JOINT SECRET XAR XBO//REL TO XAR, XBO",
    ),
    "joint and own is a product with foreign information": (
        "//JOINT SECRET XAR XBO//REL TO XAR, XBO + SECRET//REL TO XAR, XBO",
        "SECRET//FGI XBO//REL TO XAR, XBO",
    ),
    "ORCON of one unclassified portion holds for the whole": (
        "OPEN//ORCON/REL TO XAR, XBO + SECRET//REL TO XAR, XBO",
        "SECRET//ORCON/REL TO XAR, XBO",
    ),
    "RELIDO beside no list with RELIDO beside a list": (
        "SECRET//RELIDO + SECRET//REL TO XAR, XBO/RELIDO",
        "SECRET//NOFORN",
    ),
    "an unclassified portion with a list and no RELIDO ends RELIDO": (
        "OPEN//REL TO XAR, XBO + SECRET//REL TO XAR, XBO/RELIDO",
        "SECRET//REL TO XAR, XBO",
    ),
    "RELIDO and DISPLAY ONLY in two portions: shown to nobody, so national-only": (
        "SECRET//RELIDO + SECRET//DISPLAY ONLY XBO",
        "SECRET//NOFORN",
    ),
    "a joint product and a foreign source: whose information it is is united": (
        "//JOINT SECRET XAR XBO//REL TO XAR, XBO + SECRET//FGI XDE//REL TO XAR, XBO",
        "SECRET//FGI XBO XDE//REL TO XAR, XBO",
    ),
    "the narrower TLP": ("OPEN//TLP:GREEN + OPEN//TLP:AMBER+STRICT + OPEN//TLP:AMBER", "OPEN//TLP:AMBER+STRICT"),
    "the narrower PAP": ("OPEN//PAP:RED + OPEN//PAP:CLEAR", "OPEN//PAP:RED"),
}


@pytest.mark.parametrize(("portions", "expected"), ROLL_UPS.values(), ids=ROLL_UPS.keys())
def test_a_roll_up_follows_the_table(portions: str, expected: str) -> None:
    assert banner(join([label(text) for text in portions.split(" + ")], LEVELS)) == expected


RES, PER, INF = CategoryKind.RESTRICTIVE, CategoryKind.PERMISSIVE, CategoryKind.INFORMATIVE
CATEGORY_ROLL_UPS = {
    "restrictive sets are united": (RES, {"a"}, {"b"}, {"a", "b"}, False),
    "informative sets are united": (INF, {"a"}, {"b"}, {"a", "b"}, False),
    "permissive sets are intersected": (PER, {"a", "b"}, {"b", "c"}, {"b"}, False),
    "an emptied permissive set is kept, empty, and national-only": (PER, {"a"}, {"b"}, set(), True),
    "an absent permissive set opens to nobody": (PER, None, {"b"}, set(), True),
    "an absent permissive set stays absent": (PER, None, None, None, False),
    "an absent restrictive set stays the policy's default": (RES, None, {"b"}, None, False),
}


@pytest.mark.parametrize(
    ("kind", "left", "right", "expected", "national_only"), CATEGORY_ROLL_UPS.values(), ids=CATEGORY_ROLL_UPS.keys()
)
def test_category_sets_roll_up_by_kind(kind, left, right, expected, national_only) -> None:
    def marked(values: set[str] | None) -> Label:
        values_or_none = None if values is None else frozenset(values)
        return replace(label("SECRET//REL TO XAR, XBO"), categories=(CategorySet("topic", kind, values_or_none),))

    joined = join([marked(left), marked(right)], LEVELS)
    assert joined.categories == (CategorySet("topic", kind, None if expected is None else frozenset(expected)),)
    assert ("NATIONAL-ONLY" in joined.dissemination) is national_only
    assert (joined.releasable_to is None) is national_only


def test_a_category_one_portion_lacks_still_binds_the_roll_up() -> None:
    plain = label("SECRET//REL TO XAR, XBO")
    bound = replace(plain, categories=(CategorySet("cell", PER, frozenset({"XBO"})),))
    assert join([plain, bound], LEVELS).categories == bound.categories


def test_one_tag_of_two_kinds_does_not_join() -> None:
    plain = label("OPEN")
    with pytest.raises(MarkingError, match="two kinds"):
        join([replace(plain, categories=(CategorySet("t", kind, None),)) for kind in (RES, PER)], LEVELS)


def test_the_earliest_review_counts_and_a_successor_only_where_all_have_it() -> None:
    plain = label("SECRET//REL TO XAR, XBO")
    later = replace(plain, review_at=20, successor=label("OPEN"))
    sooner = replace(plain, review_at=10, successor=label("OPEN"))
    assert join([plain, later, sooner], LEVELS).review_at == 10
    assert join([later, sooner], LEVELS).successor == label("OPEN")
    assert join([later, sooner, plain], LEVELS).successor is None


def test_nothing_and_two_policies_have_no_roll_up() -> None:
    with pytest.raises(MarkingError, match="at least one"):
        join([], LEVELS)
    with pytest.raises(MarkingError, match="two policies"):
        join([label("OPEN"), replace(label("OPEN"), policy="XBO")], LEVELS)


def test_an_ill_formed_label_does_not_join() -> None:
    with pytest.raises(MarkingError, match="national-only excludes REL TO"):
        join([replace(label("SECRET//REL TO XAR, XBO"), dissemination=frozenset({"NATIONAL-ONLY"}))], LEVELS)


def codes(*parties: str) -> frozenset[str]:
    return frozenset(parties)


NATIONAL, RELIDO = frozenset({"NATIONAL-ONLY"}), frozenset({"RELIDO"})
SECRET = Label("XAR", "SECRET")
ILL_FORMED_LABELS = {
    "national-only with REL TO": replace(SECRET, dissemination=NATIONAL, releasable_to=codes("XAR", "XBO")),
    "national-only with an empty REL TO": replace(SECRET, dissemination=NATIONAL, releasable_to=codes()),
    "national-only with DISPLAY ONLY": replace(SECRET, dissemination=NATIONAL, display_only=codes("XBO")),
    "national-only with RELIDO": replace(SECRET, dissemination=NATIONAL | RELIDO),
    "RELIDO with DISPLAY ONLY": replace(SECRET, dissemination=RELIDO, display_only=codes("XBO")),
    "an empty REL TO": replace(SECRET, releasable_to=codes()),
    "REL TO the originator alone": replace(SECRET, releasable_to=codes("XAR")),
    "REL TO without the originator": replace(SECRET, releasable_to=codes("XBO", "XDE")),
    "REL TO a group not expanded": replace(SECRET, releasable_to=codes("XAR", "FVEY")),
    "REL TO a lower-case code": replace(SECRET, releasable_to=codes("XAR", "xbo")),
    "REL TO a code with a lookalike letter": replace(SECRET, releasable_to=codes("XAR", "X\u0412O")),
    "DISPLAY ONLY nobody": replace(SECRET, display_only=codes()),
    "DISPLAY ONLY the originator": replace(SECRET, display_only=codes("XAR")),
    "DISPLAY ONLY somebody released to": replace(SECRET, releasable_to=codes("XAR", "XBO"), display_only=codes("XBO")),
    "own origin with parties": replace(SECRET, origin=Origin(OriginKind.OWN, codes("XBO"))),
    "FGI of nobody": replace(SECRET, origin=Origin(OriginKind.FGI)),
    "FGI of the originator": replace(SECRET, origin=Origin(OriginKind.FGI, codes("XAR"))),
    "JOINT alone": replace(SECRET, origin=Origin(OriginKind.JOINT, codes("XAR"))),
    "JOINT without the originator": replace(SECRET, origin=Origin(OriginKind.JOINT, codes("XBO", "XDE"))),
    "category sets out of order": replace(
        SECRET, categories=(CategorySet("b", RES, None), CategorySet("a", RES, None))
    ),
    "a category tag twice": replace(SECRET, categories=(CategorySet("a", RES, None), CategorySet("a", PER, None))),
    "a successor of another policy": replace(SECRET, successor=Label("XBO", "OPEN")),
    "an ill-formed successor": replace(SECRET, successor=replace(SECRET, releasable_to=codes())),
    "an ill-formed successor's successor": replace(
        SECRET, successor=replace(SECRET, successor=replace(SECRET, releasable_to=codes()))
    ),
}


@pytest.mark.parametrize("ill_formed", ILL_FORMED_LABELS.values(), ids=ILL_FORMED_LABELS.keys())
def test_an_ill_formed_label_is_refused_everywhere(ill_formed: Label) -> None:
    assert faults(ill_formed)
    with pytest.raises(MarkingError):
        validate(ill_formed, LEVELS)
    assert not may_access(ill_formed, Subject("XBO", "TOP-SECRET"), LEVELS)
    if ill_formed.successor is None and not ill_formed.categories:
        assert banner(ill_formed) == ILL_FORMED


def test_an_unknown_level_or_control_word_is_named() -> None:
    with pytest.raises(MarkingError, match="'GEHEIM' is not a level of XAR"):
        validate(Label("XAR", "GEHEIM"), LEVELS)
    with pytest.raises(MarkingError, match="unknown dissemination word 'NOFORN'"):
        validate(replace(SECRET, dissemination=frozenset({"NOFORN"})), LEVELS)


REL = label("SECRET//REL TO XAR, XBO")
ACCESS = {
    "released and cleared": (REL, Subject("XBO", "SECRET"), True),
    "cleared higher": (REL, Subject("XBO", "TOP-SECRET"), True),
    "cleared one level too low": (REL, Subject("XBO", "CONFIDENTIAL"), False),
    "no clearance": (REL, Subject("XBO", None), False),
    "a clearance of another policy": (REL, Subject("XBO", "TAJNE"), False),
    "not in REL TO": (REL, Subject("XDE", "TOP-SECRET"), False),
    "the originator's own": (SECRET, Subject("XAR", "SECRET"), True),
    "an absent REL TO is the originator only": (SECRET, Subject("XBO", "SECRET"), False),
    "national-only": (label("SECRET//NOFORN"), Subject("XBO", "SECRET"), False),
    "national-only at home": (label("SECRET//NOFORN"), Subject("XAR", "SECRET"), True),
    "RELIDO releases nothing by itself": (label("SECRET//RELIDO"), Subject("XBO", "SECRET"), False),
    "DISPLAY ONLY keeps no copy": (label("SECRET//DISPLAY ONLY XBO"), Subject("XBO", "SECRET"), False),
    "unclassified and uncontrolled": (label("OPEN"), Subject("XBO", None), True),
    "unclassified with a control": (label("OPEN//ORCON"), Subject("XBO", None), False),
    "an unknown control word": (replace(REL, dissemination=frozenset({"HUSH"})), Subject("XBO", "SECRET"), False),
}


@pytest.mark.parametrize(("marked", "subject", "expected"), ACCESS.values(), ids=ACCESS.keys())
def test_access_follows_the_table(marked: Label, subject: Subject, expected: bool) -> None:
    assert may_access(marked, subject, LEVELS) is expected


CATEGORY_ACCESS = {
    "all restrictive values held": (RES, {"a"}, {"a", "b"}, True),
    "one restrictive value missing": (RES, {"a", "c"}, {"a", "b"}, False),
    "an empty restrictive set asks nothing": (RES, set(), set(), True),
    "an absent restrictive set is the originator only": (RES, None, {"a"}, False),
    "in the permissive set": (PER, {"XBO"}, set(), True),
    "not in the permissive set": (PER, {"XDE"}, set(), False),
    "an empty permissive set is nobody but the originator": (PER, set(), set(), False),
    "an absent permissive set is the policy's default, the originator": (PER, None, set(), False),
    "an informative set asks nothing": (INF, {"a"}, set(), True),
}


@pytest.mark.parametrize(("kind", "values", "held", "expected"), CATEGORY_ACCESS.values(), ids=CATEGORY_ACCESS.keys())
def test_category_sets_limit_access_by_kind(kind, values, held, expected) -> None:
    one = CategorySet("topic", kind, None if values is None else frozenset(values))
    subject = Subject("XBO", "SECRET", (CategorySet("topic", kind, frozenset(held)),))
    assert may_access(replace(REL, categories=(one,)), subject, LEVELS) is expected


def test_absent_and_empty_are_two_labels() -> None:
    absent = replace(REL, categories=(CategorySet("topic", PER, None),))
    empty = replace(REL, categories=(CategorySet("topic", PER, frozenset()),))
    assert absent != empty


def test_tlp_orders_from_clear_to_red() -> None:
    assert Tlp.CLEAR < Tlp.GREEN < Tlp.AMBER < Tlp.AMBER_STRICT < Tlp.RED


IMPORTED = {
    "a classified label that says nothing is national-only": ("SECRET", "SECRET//NOFORN"),
    "ORCON discloses to nobody, so it is too": ("RESTRICTED//ORCON", "RESTRICTED//ORCON/NOFORN"),
    "an unclassified label stays as it is": ("OPEN", "OPEN"),
    "a list stays as it is": ("SECRET//REL TO XAR, XBO", "SECRET//REL TO XAR, XBO"),
    "RELIDO stays as it is": ("SECRET//RELIDO", "SECRET//RELIDO"),
    "DISPLAY ONLY stays as it is": ("SECRET//DISPLAY ONLY XBO", "SECRET//DISPLAY ONLY XBO"),
}


@pytest.mark.parametrize(("read", "taken"), IMPORTED.values(), ids=IMPORTED.keys())
def test_a_label_from_outside_opens_no_further_than_it_says(read: str, taken: str) -> None:
    assert banner(as_imported(label(read), LEVELS)) == taken


def test_an_ill_formed_label_is_not_taken_in() -> None:
    with pytest.raises(MarkingError, match="not a level"):
        as_imported(Label("XAR", "GEHEIM"), LEVELS)


def test_what_carries_no_label_is_treated_as_the_highest() -> None:
    assert banner(unmarked("XAR", LEVELS)) == "TOP-SECRET//NOFORN"
    assert not may_access(unmarked("XAR", LEVELS), Subject("XBO", "TOP-SECRET"), LEVELS)
