"""Source grading, confidence and estimative words: the scale is always named, and none of it is a marking."""

from __future__ import annotations

import pytest

from comity_policy.grading import (
    Confidence,
    Estimate,
    Grading,
    HandlingEffect,
    confidence_from_header,
    estimate_from_header,
    grading_from_header,
    parse_confidence,
    parse_estimate,
    parse_grading,
)
from comity_policy.marking import MarkingError

SIX = [f"{letter}{number}" for letter in "ABCDEF" for number in range(1, 7)]
FOUR = [f"4x4 {letter}{number} H{code}" for letter in "ABCX" for number in range(1, 5) for code in range(3)]
CONDITIONAL = "4x4 B2 H3: only to the prosecutor named in the letter of 3 November"


@pytest.mark.parametrize("text", [*SIX, *FOUR, CONDITIONAL])
def test_a_grading_reads_writes_and_travels_in_a_header(text: str) -> None:
    grading = parse_grading(text)
    assert str(grading) == text
    assert grading_from_header(grading.to_header()) == grading
    assert grading.reliability_meaning
    assert grading.credibility_meaning


def test_the_header_says_the_scale() -> None:
    assert parse_grading("B2").to_header() == {"scale": "6x6", "reliability": "B", "credibility": 2}
    assert parse_grading("4x4 X4 H1").to_header() == {
        "scale": "4x4",
        "reliability": "X",
        "credibility": 4,
        "handling": "H1",
    }


EFFECTS = {
    "B2": HandlingEffect(),
    "4x4 B2 H0": HandlingEffect(),
    "4x4 B2 H1": HandlingEffect(evidence_by_consent=True),
    "4x4 B2 H2": HandlingEffect(orcon=True),
    "4x4 B2 H3: ask": HandlingEffect(conditions="ask"),
}


@pytest.mark.parametrize(("text", "effect"), EFFECTS.items())
def test_a_handling_code_limits_use(text: str, effect: HandlingEffect) -> None:
    assert parse_grading(text).handling_effect == effect


@pytest.mark.parametrize(
    "text",
    [
        *("", "b2", "G1", "A0", "A7", "A", "2B", "B2 ", "B 2", "X1", "B2 H1"),
        *("4x4 B2", "4x4 D1 H0", "4x4 A5 H0", "4x4 A1 H4", "4x4 F1 H0", "5x5 A1 H1", "4x4  A1 H1"),
        *("4x4 A1 H3", "4x4 A1 H3: ", "4x4 A1 H1: conditions", "4x4 A1 H3: a\nb", "4x4 A1 H3: " + "c" * 1001),
    ],
)
def test_a_grading_off_its_scale_refuses(text: str) -> None:
    with pytest.raises(MarkingError):
        parse_grading(text)


CONFIDENCES = [f"{scale}: {word}" for scale in ("ajp-2.1", "icd-203", "phia") for word in ("low", "moderate", "high")]


@pytest.mark.parametrize("text", CONFIDENCES)
def test_a_confidence_reads_writes_and_travels_in_a_header(text: str) -> None:
    confidence = parse_confidence(text)
    assert str(confidence) == text
    assert confidence_from_header(confidence.to_header()) == confidence


# text -> percent
ESTIMATES = {
    "icd-203: almost no chance": (1, 5),
    "icd-203: unlikely": (20, 45),
    "icd-203: likely": (55, 80),
    "icd-203: almost certain": (95, 99),
    "phia: unlikely": (25, 35),
    "phia: realistic possibility": (40, 50),
    "phia: likely": (55, 75),
    "ajp-2.1: likely": (60, 90),
    "ajp-2.1: highly likely": (90, 100),
}


@pytest.mark.parametrize(("text", "percent"), ESTIMATES.items())
def test_an_estimative_word_is_a_range_of_its_scale(text: str, percent: tuple[int, int]) -> None:
    estimate = parse_estimate(text)
    assert estimate.percent == percent
    assert str(estimate) == text
    assert estimate_from_header(estimate.to_header()) == estimate


@pytest.mark.parametrize(
    "text",
    ["likely", "75 %", "icd-203 likely", "icd-203:likely", "icd-204: likely", "icd-203: Likely", "phia: very likely"],
)
def test_a_word_without_its_scale_or_not_of_it_refuses(text: str) -> None:
    with pytest.raises(MarkingError):
        parse_estimate(text)
    with pytest.raises(MarkingError):
        parse_confidence(text)


HOSTILE = [
    None,
    "B2",
    [],
    {},
    {"scale": "6x6"},
    {"scale": "6x6", "reliability": "B", "credibility": "2"},
    {"scale": "6x6", "reliability": "B", "credibility": True},
    {"scale": "6x6", "reliability": ["B"], "credibility": 2},
    {"scale": "6x6", "reliability": "B", "credibility": 2, "handling": "H1"},
    {"scale": "4x4", "reliability": "B", "credibility": 2},
    {"scale": "9x9", "reliability": "B", "credibility": 2},
    {"scale": "6x6", "reliability": "B", "credibility": 2, "more": 1},
    {"scale": "icd-203", "word": 5},
    {"scale": "none", "word": "likely"},
    {"scale": "icd-203", "word": "likely", "more": "x"},
]


@pytest.mark.parametrize("value", HOSTILE, ids=str)
def test_what_a_hostile_header_says_is_no_assessment(value: object) -> None:
    for read in (grading_from_header, confidence_from_header, estimate_from_header):
        with pytest.raises(MarkingError):
            read(value)


def test_a_value_cannot_be_built_off_its_scale() -> None:
    with pytest.raises(MarkingError):
        Grading("6x6", "B", 2, "H1")
    with pytest.raises(MarkingError):
        Confidence("icd-203", "likely")
    with pytest.raises(MarkingError):
        Estimate("icd-203", "moderate")
