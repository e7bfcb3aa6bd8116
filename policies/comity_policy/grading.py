"""Source grading, confidence and estimative words: fields of a report with their scale named, never markings.

Rules, in order:

1. Two gradings: ``B2`` on the 6x6 scale (reliability of the source A to F, credibility of the information 1 to 6), and
   ``4x4 B2 H1`` of police work (source A, B, C or X, information 1 to 4, handling code H0 to H3). F, 6, X and 4 mean that it
   cannot be judged, not that it is bad.
2. Handling codes limit use: H1 asks consent before use as evidence, H2 asks it before passing on (ORCON), H3 has conditions
   of its own, which have to be written out. H0 limits nothing beyond the agreement.
3. Confidence and estimative words belong to a named scale: ``icd-203: likely``. The same word means another range on another
   scale, so a word without its scale, or not of it, refuses; a range is given in percent.
4. In a portion's header they are objects (`to_header`); what a received header says is read as strictly (`*_from_header`).

    >>> parse_grading("B2").reliability_meaning, parse_grading("4x4 A1 H2").handling_effect.orcon
    ('usually reliable', True)
    >>> parse_estimate("icd-203: likely").percent, parse_estimate("phia: likely").percent
    ((55, 80), (55, 75))

Sources: NATO AJP-2.1 (6x6, estimative words), Europol 4x4 and handling codes, ICD 203, UK PHIA yardstick.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from comity_policy.marking import MarkingError

CONDITIONS_LIMIT: Final = 1000
SIX_BY_SIX: Final = "6x6"
FOUR_BY_FOUR: Final = "4x4"
_RELIABILITY: Final = {
    SIX_BY_SIX: {
        "A": "completely reliable",
        "B": "usually reliable",
        "C": "fairly reliable",
        "D": "not usually reliable",
        "E": "unreliable",
        "F": "reliability cannot be judged",
    },
    FOUR_BY_FOUR: {
        "A": "no doubt about authenticity, trustworthiness and competence",
        "B": "proved to be reliable in most instances",
        "C": "proved to be unreliable in most instances",
        "X": "reliability cannot be judged",
    },
}
_CREDIBILITY: Final = {
    SIX_BY_SIX: {
        1: "confirmed by other sources",
        2: "probably true",
        3: "possibly true",
        4: "doubtful",
        5: "improbable",
        6: "truth cannot be judged",
    },
    FOUR_BY_FOUR: {
        1: "accuracy not in doubt",
        2: "known to the source itself, not to the officer passing it on",
        3: "not known to the source itself, but corroborated",
        4: "not known to the source itself, and cannot be corroborated",
    },
}
_CONFIDENCE: Final[Mapping[str, tuple[str, ...]]] = dict.fromkeys(
    ("ajp-2.1", "icd-203", "phia"), ("low", "moderate", "high")
)
_ESTIMATES: Final[Mapping[str, Mapping[str, tuple[int, int]]]] = {
    "ajp-2.1": {
        "highly unlikely": (0, 10),
        "unlikely": (10, 40),
        "even chance": (40, 60),
        "likely": (60, 90),
        "highly likely": (90, 100),
    },
    "icd-203": {
        "almost no chance": (1, 5),
        "very unlikely": (5, 20),
        "unlikely": (20, 45),
        "roughly even chance": (45, 55),
        "likely": (55, 80),
        "very likely": (80, 95),
        "almost certain": (95, 99),
    },
    "phia": {
        "remote chance": (0, 5),
        "highly unlikely": (10, 20),
        "unlikely": (25, 35),
        "realistic possibility": (40, 50),
        "likely": (55, 75),
        "highly likely": (80, 90),
        "almost certain": (95, 100),
    },
}
_GRADED: Final = frozenset({"scale", "reliability", "credibility"})
_HANDLED: Final = frozenset({"handling", "conditions"})
_WORDED: Final = frozenset({"scale", "word"})
_SIX = re.compile(r"([A-F])([1-6])")
_FOUR = re.compile(r"4x4 ([ABCX])([1-4]) (H[0-3])(?:: (.+))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class HandlingEffect:
    """What a police handling code asks: consent before evidence, the originator's consent before passing on, conditions."""

    evidence_by_consent: bool = False
    orcon: bool = False
    conditions: str = ""


@dataclass(frozen=True, slots=True)
class Grading:
    """The grading of a source and its information; `handling` and `conditions` belong to the 4x4 scale."""

    scale: str
    reliability: str
    credibility: int
    handling: str = ""
    conditions: str = ""

    def __post_init__(self) -> None:
        if self.scale not in _RELIABILITY:
            raise MarkingError(f"a grading is on the scale {SIX_BY_SIX} or {FOUR_BY_FOUR}, not {self.scale[:40]!r}")
        known = self.reliability in _RELIABILITY[self.scale] and self.credibility in _CREDIBILITY[self.scale]
        if not known or (self.handling in {"H0", "H1", "H2", "H3"}) != (self.scale == FOUR_BY_FOUR):
            raise MarkingError(_form(f"{self.reliability}{self.credibility} {self.handling}"))
        if bool(self.conditions) != (self.handling == "H3"):
            raise MarkingError("handling code H3, and no other, says its conditions: 4x4 B2 H3: ask before any use")
        if len(self.conditions) > CONDITIONS_LIMIT or not self.conditions.isprintable():
            raise MarkingError(f"the conditions of H3 are at most {CONDITIONS_LIMIT} printable characters")

    def __str__(self) -> str:
        """Give the grading as `parse_grading` reads it."""
        code = f"{self.reliability}{self.credibility}"
        if self.scale == SIX_BY_SIX:
            return code
        return f"{self.scale} {code} {self.handling}" + (f": {self.conditions}" if self.conditions else "")

    @property
    def reliability_meaning(self) -> str:
        """Give what the source's letter means."""
        return _RELIABILITY[self.scale][self.reliability]

    @property
    def credibility_meaning(self) -> str:
        """Give what the information's number means."""
        return _CREDIBILITY[self.scale][self.credibility]

    @property
    def handling_effect(self) -> HandlingEffect:
        """Give what the handling code asks; nothing where there is none."""
        return HandlingEffect(
            evidence_by_consent=self.handling == "H1", orcon=self.handling == "H2", conditions=self.conditions
        )

    def to_header(self) -> dict[str, str | int]:
        """Give the members of a portion's header."""
        said: dict[str, str | int] = {
            "scale": self.scale,
            "reliability": self.reliability,
            "credibility": self.credibility,
        }
        return said | {name: value for name in ("handling", "conditions") if (value := getattr(self, name))}


@dataclass(frozen=True, slots=True)
class Confidence:
    """How sure the analyst is, as a word of a named scale."""

    scale: str
    word: str

    def __post_init__(self) -> None:
        _one_of("confidence", self.scale, self.word, _CONFIDENCE)

    def __str__(self) -> str:
        """Give the text `parse_confidence` reads."""
        return f"{self.scale}: {self.word}"

    def to_header(self) -> dict[str, str]:
        """Give the members of a portion's header."""
        return {"scale": self.scale, "word": self.word}


@dataclass(frozen=True, slots=True)
class Estimate:
    """How likely something is, as a word of a named scale."""

    scale: str
    word: str

    def __post_init__(self) -> None:
        _one_of("estimate", self.scale, self.word, _ESTIMATES)

    def __str__(self) -> str:
        """Give the text `parse_estimate` reads."""
        return f"{self.scale}: {self.word}"

    @property
    def percent(self) -> tuple[int, int]:
        """Give the range the word stands for on its scale, in percent, both ends included."""
        return _ESTIMATES[self.scale][self.word]

    def to_header(self) -> dict[str, str]:
        """Give the members of a portion's header."""
        return {"scale": self.scale, "word": self.word}


def parse_grading(text: str) -> Grading:
    """Give the grading of ``B2``, ``4x4 B2 H1`` or ``4x4 B2 H3: conditions``; raises MarkingError."""
    six, four = _SIX.fullmatch(text), _FOUR.fullmatch(text)
    if six is not None:
        return Grading(SIX_BY_SIX, six[1], int(six[2]))
    if four is not None:
        return Grading(FOUR_BY_FOUR, four[1], int(four[2]), four[3], four[4] or "")
    raise MarkingError(_form(text))


def parse_confidence(text: str) -> Confidence:
    """Give the confidence of ``icd-203: moderate``; raises MarkingError."""
    return Confidence(*_scale_and_word("confidence", text, _CONFIDENCE))


def parse_estimate(text: str) -> Estimate:
    """Give the estimate of ``icd-203: likely``; raises MarkingError."""
    return Estimate(*_scale_and_word("estimate", text, _ESTIMATES))


def grading_from_header(value: object) -> Grading:
    """Give the grading a received header says; raises MarkingError."""
    said = _members("grading", value, _GRADED, _HANDLED)
    credibility = said.pop("credibility")
    if isinstance(credibility, bool) or not isinstance(credibility, int):
        raise MarkingError("credibility of a grading is a number")
    return Grading(credibility=credibility, **_texts("grading", said))


def confidence_from_header(value: object) -> Confidence:
    """Give the confidence a received header says; raises MarkingError."""
    return Confidence(**_texts("confidence", _members("confidence", value, _WORDED)))


def estimate_from_header(value: object) -> Estimate:
    """Give the estimate a received header says; raises MarkingError."""
    return Estimate(**_texts("estimate", _members("estimate", value, _WORDED)))


def _form(text: str) -> str:
    return f"{text[:40]!r} is no grading: write B2 (A to F, 1 to 6) or 4x4 B2 H1 (A, B, C or X; 1 to 4; H0 to H3)"


def _scale_and_word(what: str, text: str, scales: Mapping[str, Collection[str]]) -> tuple[str, str]:
    scale, colon, word = text.partition(": ")
    if not colon:
        raise MarkingError(
            f"{what} {text[:40]!r} names no scale: write e.g. 'icd-203: ...', one of {', '.join(scales)}"
        )
    return scale, word


def _one_of(what: str, scale: str, word: str, scales: Mapping[str, Collection[str]]) -> None:
    words = scales.get(scale)
    if words is None:
        raise MarkingError(f"{scale[:40]!r} is no scale of {what}: one of {', '.join(scales)}")
    if word not in words:
        raise MarkingError(f"{word[:40]!r} is no {what} on the scale {scale}: one of {', '.join(words)}")


def _members(
    what: str, value: object, needed: frozenset[str], optional: frozenset[str] = frozenset()
) -> dict[str, object]:
    if not isinstance(value, Mapping) or not needed <= set(value) <= needed | optional:
        raise MarkingError(f"{what} in a header has the members {', '.join(sorted(needed))}")
    return dict(value)


def _texts(what: str, said: Mapping[str, object]) -> dict[str, str]:
    found = {name: value for name, value in said.items() if isinstance(value, str)}
    if len(found) != len(said):
        raise MarkingError(f"the members of {what} in a header are texts")
    return found
