"""Agreement documents: strict TOML in, one frozen value out, or a refusal that names path and line.

Rules in order (design of agreements):

1. At most 1 MiB of UTF-8 TOML. TOML, because it coerces nothing: YAML reads the country ``NO`` as false.
2. Only known sections, fields, clause kinds and words; a parameter that nothing honours is unknown. Every value has
   exactly its type: a date in quotation marks is text, ``true`` is no number.
3. What must hold between the parts is `semantics.py`: ids, references, texts in every language, equivalences that are
   total and monotone, ceilings for every direction that is granted, words of the vocabularies, positive spans.
4. The vocabularies an agreement names by digest are those bundled here (`vocabulary.py`), or it does not load.

    document = load(path.read_bytes())
    document.clause("4.1"), document.rank_of(("XAR", "XBO"), "SECRET")

The digest that is signed is taken over the very bytes given to `load`, never over a value printed again.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import TypeVar

import msgspec

from comity_policy.clauses import Clause
from comity_policy.sections import (
    Broker,
    Document,
    Duration,
    EntryIntoForce,
    Equivalence,
    Heading,
    Interpretation,
    Languages,
    NoLevel,
    Party,
    Row,
    Termination,
)
from comity_policy.semantics import Fault, structure_faults, word_faults
from comity_policy.toml_lines import Path, line_at, lines_of, shown
from comity_policy.vocabulary import VocabularyError, resolve

__all__ = [
    "SIZE_LIMIT",
    "Broker",
    "Document",
    "DocumentError",
    "Duration",
    "EntryIntoForce",
    "Equivalence",
    "Interpretation",
    "Languages",
    "NoLevel",
    "Party",
    "Row",
    "Termination",
    "load",
]

SIZE_LIMIT = 1 << 20

_REQUIRED = (
    "agreement",
    "parties",
    "brokers",
    "languages",
    "entry_into_force",
    "duration",
    "vocabularies",
    "equivalence",
    "clause",
)
_OPTIONAL = ("termination", "interpretation")
_LATER = ("under", "provisional", "amends", "invariant", "annex")
_LATER_KINDS = ("umbrella", "arrangement")
_CLAUSE_KINDS = tuple(
    str(one.__struct_config__.tag) for one in Clause.__args__ if one.__struct_config__.tag is not None
)
_SYNTAX_LINE = re.compile(r"line (\d+)")
_FAULT_PLACE = re.compile(r"^(?P<problem>.*) - at `\$(?P<path>.*)`$", re.DOTALL)
_PLACE_STEP = re.compile(r"\.([A-Za-z0-9_-]+)|\[(\d+)\]")
_UNKNOWN_FIELD = re.compile(r"unknown field `(.*)`", re.DOTALL)

_T = TypeVar("_T")


class DocumentError(ValueError):
    """A document that does not load. `path` and `line` say where, `problem` says what, `message` says all of it."""

    def __init__(self, path: str, line: int, problem: str) -> None:
        self.path = path
        self.line = line
        self.problem = problem
        self.message = f"line {line}, {path}: {problem}"
        super().__init__(self.message)


def load(data: bytes) -> Document:
    """Give the document the bytes say, at most 1 MiB; raises DocumentError, and nothing else, for anything wrong."""
    text = _text(data)
    raw = _parsed(text)
    try:
        document = _document(raw)
        fault = next(structure_faults(document), None) or _unknown_words(document)
    except _At as error:
        fault = error.fault
    if fault is not None:
        raise DocumentError(shown(fault.path), line_at(lines_of(text), fault.path), fault.problem)
    return document


class _At(Exception):  # noqa: N818 - carries a fault out of the conversion, never out of this module
    def __init__(self, path: Path, problem: str) -> None:
        self.fault = Fault(path, problem)
        super().__init__(problem)


def _text(data: bytes) -> str:
    if len(data) > SIZE_LIMIT:
        raise DocumentError("document", 1, f"is {len(data)} bytes long, at most {SIZE_LIMIT} are allowed")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DocumentError("document", line, "is not UTF-8") from error


def _parsed(text: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise DocumentError("document", 1, "is nested too deep") from error
    except ValueError as error:
        found = _SYNTAX_LINE.search(str(error))
        line = int(found.group(1)) if found else text.count("\n") + 1
        raise DocumentError("document", line, f"is not TOML: {error}") from error


def _document(raw: dict[str, object]) -> Document:
    for name in raw:
        if name in _LATER:
            raise _At((name,), "this section is not supported in this release")
        if name not in _REQUIRED + _OPTIONAL:
            known = ", ".join(_REQUIRED + _OPTIONAL)
            raise _At((name,), f"unknown section; known are {known}")
    for name in _REQUIRED:
        if name not in raw:
            raise _At((), f"section {name!r} is missing")
    heading = _converted(raw["agreement"], Heading, ("agreement",))
    if heading.kind in _LATER_KINDS:
        raise _At(("agreement", "kind"), f'{heading.kind!r} is not supported in this release; write "agreement"')
    if heading.kind != "agreement":
        raise _At(("agreement", "kind"), f'{heading.kind!r} is not a kind of agreement; write "agreement"')
    return Document(
        id=heading.id,
        version=heading.version,
        kind=heading.kind,
        title=heading.title,
        parties=_each_named(raw["parties"], Party, "parties"),
        brokers=_each_named(raw["brokers"], Broker, "brokers"),
        languages=_converted(raw["languages"], Languages, ("languages",)),
        entry_into_force=_converted(raw["entry_into_force"], EntryIntoForce, ("entry_into_force",)),
        duration=_converted(raw["duration"], Duration, ("duration",)),
        equivalences=_each(raw["equivalence"], "equivalence", _equivalence),
        clauses=_each(raw["clause"], "clause", _clause),
        vocabularies=_each_named(raw["vocabularies"], str, "vocabularies"),
        termination=(_converted(raw["termination"], Termination, ("termination",)) if "termination" in raw else None),
        interpretation=(
            _converted(raw["interpretation"], Interpretation, ("interpretation",))
            if "interpretation" in raw
            else Interpretation()
        ),
    )


def _equivalence(raw: object, path: Path) -> Equivalence:
    return _converted(raw, Equivalence, path)


def _clause(raw: object, path: Path) -> Clause:
    kind = raw.get("kind") if isinstance(raw, dict) else None
    if kind is not None and kind not in _CLAUSE_KINDS:
        known = ", ".join(_CLAUSE_KINDS)
        raise _At((*path, "kind"), f"unknown clause kind {kind!r}; this release knows {known}")
    made: Clause = _converted(raw, Clause, path)  # type: ignore[arg-type]  # a union is a type to msgspec, not to mypy
    return made


def _each(raw: object, name: str, convert: Callable[[object, Path], _T]) -> tuple[_T, ...]:
    if not isinstance(raw, list):
        raise _At((name,), f"must be written as [[{name}]]")
    return tuple(convert(one, (name, position)) for position, one in enumerate(raw))


def _each_named(raw: object, kind: type[_T], name: str) -> Mapping[str, _T]:
    if not isinstance(raw, dict):
        raise _At((name,), f"must be a table [{name}]")
    return {key: _converted(one, kind, (name, key)) for key, one in raw.items()}


def _converted(raw: object, kind: type[_T], path: Path) -> _T:
    try:
        return msgspec.convert(raw, kind, strict=True, builtin_types=(date, datetime))
    except msgspec.ValidationError as error:
        raise _located(str(error), path) from error
    except (OverflowError, RecursionError) as error:
        raise _At(path, "holds a value out of range") from error


def _located(message: str, path: Path) -> _At:
    """Give msgspec's complaint with the place it names as a path of the document."""
    found = _FAULT_PLACE.match(message)
    problem = message
    if found:
        problem = found["problem"]
        steps = _PLACE_STEP.findall(found["path"])
        path = (*path, *(name or int(position) for name, position in steps))
    unknown = _UNKNOWN_FIELD.search(problem)
    if unknown:
        return _At((*path, unknown[1]), "unknown field")
    return _At(path, problem)


def _unknown_words(document: Document) -> Fault | None:
    try:
        words = resolve(document.vocabularies)
    except VocabularyError as error:
        return Fault(("vocabularies", error.name), str(error))
    return next(word_faults(document, words), None)
