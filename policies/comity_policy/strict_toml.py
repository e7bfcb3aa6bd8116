"""Strict TOML into typed values: what agreements, and national caveats on them, are read with.

Only known fields and exact types; whatever is wrong is an `AtError` with its path while a text is being read, and a
`DocumentError` with path and line for whoever gave the text.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import TypeVar

import msgspec

from comity_policy.faults import Fault
from comity_policy.toml_lines import Path, line_at, lines_of, shown

SIZE_LIMIT = 1 << 20

# `tomllib` takes time that grows with the square of a key's parts; no key here has more than a few. No key begins behind a backslash:
# looked for there as well, a string that never ends would be read anew from every quotation mark in it.
_LONG_KEY = re.compile(
    r"""(?<![\w"'\\-])(?:(?:[\w-]++|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){64}""",
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


class AtError(Exception):
    """A fault found while a text is converted; never leaves the function that loads it."""

    def __init__(self, path: Path, problem: str) -> None:
        self.fault = Fault(path, problem)
        super().__init__(problem)


def tables_of(data: bytes) -> dict[str, object]:
    """Give the tables of a TOML text of at most 1 MiB, as they are; raises DocumentError, and nothing else, for any fault."""
    return _parsed(_text(data))


def load_with(data: bytes, read: Callable[[dict[str, object]], _T], check: Callable[[_T], Fault | None]) -> _T:
    """Give what `read` makes of the text's tables, at most 1 MiB; raises DocumentError, and nothing else, for any fault."""
    text = _text(data)
    raw = _parsed(text)
    try:
        made = read(raw)
        fault = check(made)
    except AtError as error:
        fault = error.fault
    else:
        if fault is None:
            return made
    raise DocumentError(shown(fault.path), line_at(lines_of(text), fault.path), fault.problem)


def _text(data: bytes) -> str:
    if len(data) > SIZE_LIMIT:
        raise DocumentError("document", 1, f"is {len(data)} bytes long, at most {SIZE_LIMIT} are allowed")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DocumentError("document", line, "is not UTF-8") from error


def _parsed(text: str) -> dict[str, object]:
    if long := _LONG_KEY.search(text):
        raise DocumentError("document", text.count("\n", 0, long.start()) + 1, "has a key of too many parts")
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise DocumentError("document", 1, "is nested too deep") from error
    except ValueError as error:
        found = _SYNTAX_LINE.search(str(error))
        line = int(found.group(1)) if found else text.count("\n") + 1
        raise DocumentError("document", line, f"is not TOML: {error}") from error


def sections_known(raw: Mapping[str, object], required: tuple[str, ...], optional: tuple[str, ...] = ()) -> None:
    """Hold a text to its sections: all that must be there, none that is unknown. Raises AtError."""
    for name in raw:
        if name not in required + optional:
            known = ", ".join(required + optional)
            raise AtError((name,), f"unknown section; known are {known}")
    for name in required:
        if name not in raw:
            raise AtError((), f"section {name!r} is missing")


def each(raw: object, name: str, convert: Callable[[object, Path], _T], within: Path = ()) -> tuple[_T, ...]:
    """Give every table of an array of tables, converted. Raises AtError."""
    if not isinstance(raw, list):
        full_name = ".".join(str(step) for step in (*within, name) if not isinstance(step, int))
        raise AtError((*within, name), f"must be written as [[{full_name}]]")
    return tuple(convert(one, (*within, name, position)) for position, one in enumerate(raw))


def each_named(raw: object, kind: type[_T], name: str) -> Mapping[str, _T]:
    """Give every value of a table, converted. Raises AtError."""
    if not isinstance(raw, dict):
        raise AtError((name,), f"must be a table [{name}]")
    return {key: converted(one, kind, (name, key)) for key, one in raw.items()}


def clause_of(raw: object, kinds: type[_T], path: Path, what: str = "clause") -> _T:
    """Give a clause (or what else has kinds) of one of the kinds of a union of types. Raises AtError."""
    known = tuple(str(one.__struct_config__.tag) for one in kinds.__args__)  # type: ignore[attr-defined]  # a union
    kind = raw.get("kind") if isinstance(raw, dict) else None
    if kind is not None and kind not in known:
        raise AtError((*path, "kind"), f"unknown {what} kind {kind!r}; this release knows {', '.join(known)}")
    return converted(raw, kinds, path)


def converted(raw: object, kind: type[_T], path: Path) -> _T:
    """Give the value as exactly that type. Raises AtError with the place msgspec names."""
    try:
        return msgspec.convert(raw, kind, strict=True, builtin_types=(date, datetime))
    except msgspec.ValidationError as error:
        raise _located(str(error), path) from error
    except (OverflowError, RecursionError) as error:
        raise AtError(path, "holds a value out of range") from error


def _located(message: str, path: Path) -> AtError:
    found = _FAULT_PLACE.match(message)
    problem = message
    if found:
        problem = found["problem"]
        steps = _PLACE_STEP.findall(found["path"])
        path = (*path, *(name or int(position) for name, position in steps))
    unknown = _UNKNOWN_FIELD.search(problem)
    if unknown:
        return AtError((*path, unknown[1]), "unknown field")
    return AtError(path, problem)
