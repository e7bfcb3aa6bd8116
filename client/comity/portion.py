"""Markings and portions: the parts that users build reports from. Domain objects and validation, no I/O.

A marking is written as a banner line, which the sender's party and levels turn into a label (`comity_policy.banner`), or
given as a label. What a received header says is never trusted: a file name loses its folders, other types are dropped.
Grading, confidence and estimate of a portion are fields of its sealed header, not of its marking.

    >>> Portion.of_text("two boats", "SECRET//NOFORN").assessed(grading="B2", estimative="icd-203: likely").assessment
    {'grading': 'B2', 'estimative': 'icd-203: likely'}
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Final

from comity.canonical import Json
from comity.errors import MalformedError
from comity.light import light
from comity_policy.banner import banner, parse_banner
from comity_policy.facts import PersonalData, PortionMarking
from comity_policy.grading import (
    Confidence,
    Estimate,
    Grading,
    confidence_from_header,
    estimate_from_header,
    grading_from_header,
    parse_confidence,
    parse_estimate,
    parse_grading,
)
from comity_policy.marking import Control, Label, MarkingError

TEXT: Final = "text/plain;charset=utf-8"
BINARY: Final = "application/octet-stream"
_NO_GROUPS: Final[Mapping[str, frozenset[str]]] = {}
_OWN_NAMES: Final = frozenset({"media_type", "file_name", "title"})
_ASSESSMENTS: Final[Mapping[str, Callable[[object], Grading | Confidence | Estimate]]] = {
    "grading": grading_from_header,
    "confidence": confidence_from_header,
    "estimative": estimate_from_header,
}


@dataclass(frozen=True, slots=True)
class Marking:
    """A marking as a person writes it (a banner line) or as a label. Exactly one of the two is given."""

    text: str = ""
    label: Label | None = None

    def __post_init__(self) -> None:
        if bool(self.text) == (self.label is not None):
            raise MalformedError("a marking is either a banner line or a label", what_to_do="Give one of the two.")

    @classmethod
    def of(cls, marking: Marking | Label | str) -> Marking:
        """Take a marking in any of its forms."""
        if isinstance(marking, Marking):
            return marking
        return cls(label=marking) if isinstance(marking, Label) else _written(marking)

    @property
    def banner(self) -> str:
        """Give the banner line."""
        return self.text if self.label is None else banner(self.label)

    @property
    def has_orcon(self) -> bool:
        """Say whether the marking carries originator control."""
        words = re.split(r"[/()]+", self.text) if self.label is None else self.label.dissemination
        return Control.ORCON.value in words

    def to_label(self, policy: str, levels: Sequence[str], groups: Mapping[str, frozenset[str]] = _NO_GROUPS) -> Label:
        """Give the label, reading the text as party `policy` writes it; raises MalformedError saying what to write."""
        if self.label is not None:
            return self.label
        try:
            return parse_banner(self.text, policy, levels, groups)
        except MarkingError as error:
            raise MalformedError(f"marking {self.text!r}: {error}", what_to_do="Correct the marking.") from error


@lru_cache(maxsize=256)
def _written(text: str) -> Marking:
    """Give the marking that a text is; reports of one application are marked with a few."""
    return Marking(text=text)


_SIGNED: Final[dict[int, Marking]] = {}
_SIGNED_KEPT: Final = 256


def _signed(label: Label) -> Marking:
    """Give the marking that a label is: one for each label object, which the reports of a run share."""
    # By identity, the label itself kept in the marking so that its identity stays taken; hashing a label costs more.
    marking = _SIGNED.get(id(label))
    if marking is None:
        if len(_SIGNED) >= _SIGNED_KEPT:
            _SIGNED.clear()
        marking = _SIGNED[id(label)] = Marking(label=label)
    return marking


@dataclass(frozen=True, slots=True)
class StoredContent:
    """Content too large for memory: where it lies and how long it is. Whoever sends it reads it."""

    path: Path
    length: int


@light
class Portion:
    """One part of a report with one marking. `extra` are further members of the sealed header (grading and others)."""

    content: bytes | StoredContent
    marking: Marking
    media_type: str = BINARY
    file_name: str = ""
    title: str = ""
    personal_data: PersonalData = PersonalData.NONE
    persons: int = 0
    warn: bool = False
    extra: Mapping[str, Json] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.file_name and _bare(self.file_name) != self.file_name:
            raise MalformedError(f"{self.file_name!r} is not a bare file name", what_to_do="Leave its folders out.")
        if (self.personal_data is PersonalData.NONE) != (self.persons == 0) or not 0 <= self.persons < 1 << 32:
            raise MalformedError(
                "a portion with personal data says of how many persons, one without says 0",
                what_to_do="Set personal_data and persons together.",
            )
        if self.extra and not _OWN_NAMES.isdisjoint(self.extra):
            raise MalformedError("media type, file name and title of a portion have fields of their own")

    @classmethod
    def of_text(cls, text: str, marking: Marking | Label | str, *, title: str = "") -> Portion:
        """Build a portion from text."""
        return cls(utf8(text), Marking.of(marking), media_type=TEXT, title=title)

    def assessed(self, *, grading: str = "", confidence: str = "", estimative: str = "") -> Portion:
        """Give the portion with a source grading (``B2``, ``4x4 B2 H1``), a confidence and an estimative word.

        Words name their scale: ``icd-203: moderate``. Raises MalformedError for a word off its scale, and for handling code
        H2 on a portion whose marking has no ORCON.
        """
        try:
            said: dict[str, Grading | Confidence | Estimate] = {}
            if grading:
                said["grading"] = graded = parse_grading(grading)
                if graded.handling_effect.orcon and not self.marking.has_orcon:
                    raise MalformedError(
                        "handling code H2 asks the originator's consent before anything is passed on",
                        what_to_do="Write ORCON in the portion's marking.",
                    )
            if confidence:
                said["confidence"] = parse_confidence(confidence)
            if estimative:
                said["estimative"] = parse_estimate(estimative)
        except MarkingError as error:
            raise MalformedError(str(error), what_to_do="Correct the field.") from error
        members: dict[str, Json] = {name: {**one.to_header()} for name, one in said.items()}
        return replace(self, extra={**self.extra, **members})

    @classmethod
    def from_header(
        cls, header: Mapping[str, Json], content: bytes | StoredContent, marking: PortionMarking
    ) -> Portion:
        """Build the portion that was received: its opened header and content, its signed marking.

        A file name or other member a sender should not have written is dropped here, never trusted.
        """
        name, media_type, title = header.get("file_name"), header.get("media_type"), header.get("title")
        return cls(
            content=content,
            marking=_signed(marking.label),
            media_type=media_type if isinstance(media_type, str) and media_type else BINARY,
            file_name=_bare(name) if name and isinstance(name, str) else "",
            title=title if isinstance(title, str) else "",
            personal_data=marking.personal_data,
            # Made to fit one another: what was really said stays in the signed profile.
            persons=0 if marking.personal_data is PersonalData.NONE else max(1, marking.persons),
            warn=marking.warn,
            extra={}
            if header.keys() <= _OWN_NAMES
            else {key: value for key, value in header.items() if key not in _OWN_NAMES},
        )

    @property
    def header(self) -> dict[str, Json]:
        """Give the members of the header that is sealed with the content; what is empty is left out."""
        said = {"media_type": self.media_type, "file_name": self.file_name, "title": self.title}
        return {**self.extra, **{name: value for name, value in said.items() if value}}

    @property
    def assessment(self) -> dict[str, str]:
        """Give grading, confidence and estimative word as people write them; what is not on its scale is left out."""
        found: dict[str, str] = {}
        for name, read in _ASSESSMENTS.items():
            try:
                found[name] = str(read(self.extra[name])) if name in self.extra else ""
            except MarkingError:
                # A sender should not have written it: it says nothing, and the rest of the portion stands.
                continue
        return {name: text for name, text in found.items() if text}

    @property
    def is_text(self) -> bool:
        """Say whether the content reads as text."""
        return _reads_as_text(self.media_type)

    @property
    def text(self) -> str:
        """Give the content as text, characters that are none replaced; empty for content that is no text."""
        if not self.is_text or isinstance(self.content, StoredContent):
            return ""
        return self.content.decode("utf-8", "replace")

    @property
    def length(self) -> int:
        """Give the length of the content in bytes."""
        return self.content.length if isinstance(self.content, StoredContent) else len(self.content)


@lru_cache(maxsize=256)
def _reads_as_text(media_type: str) -> bool:
    kind = media_type.split(";", maxsplit=1)[0].strip().lower()
    return kind.startswith("text/") or kind == "application/json" or kind.endswith(("+json", "+xml", "/xml"))


def utf8(text: str) -> bytes:
    """Give text as UTF-8; raises MalformedError for a lone surrogate."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise MalformedError("the text holds a lone surrogate") from error


def _bare(name: str) -> str:
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    return "" if last in {".", ".."} or not last.isprintable() else last
