"""A fuzz target: bytes go in; a value, a documented refusal, or a finding comes out.

A finding is whatever else is raised (an AssertionError of the target's own checks included), a refusal that grows far beyond
its input, and a value that does. Time and memory of one input are bounded by whoever runs the target.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import msgspec

from comity import canonical
from comity.errors import ComityError, ErrorCode

# A value may be larger than its bytes by names and defaults, not by orders: what it holds is counted in bytes and in parts.
_SLACK = 64 << 10
_FACTOR = 64
_MESSAGE_FACTOR = 8
_MESSAGE_SLACK = 8 << 10


@dataclass(frozen=True, slots=True)
class Target:
    """One reader. `run` gives what was read, or raises one of `refusals`; `reads` says whose bytes they are.

    `inputs` is how many mutants the smoke test tries, `longest` the length of an input in bytes; `stop` ends what `run` has begun.
    """

    name: str
    reads: str
    run: Callable[[bytes], object]
    seeds: Callable[[], Iterable[bytes]]
    refusals: tuple[type[Exception], ...] = (ComityError,)
    inputs: int = 300
    longest: int = 64 << 10
    stop: Callable[[], None] | None = None


def attempt(target: Target, data: bytes) -> bool:
    """Try one input; say whether it was accepted. Raises whatever is a finding."""
    try:
        made = target.run(data)
    except target.refusals as error:
        _check_refusal(error, len(data))
        return False
    held = weight(made)
    assert held <= _SLACK + _FACTOR * len(data), f"{len(data)} bytes became a value of weight {held}"
    return True


def _check_refusal(error: Exception, size: int) -> None:
    said = len(str(error))
    assert said <= _MESSAGE_SLACK + _MESSAGE_FACTOR * size, f"{size} bytes became a refusal of {said} characters"
    if isinstance(error, ComityError):
        assert error.code is not ErrorCode.INTERNAL, "a refusal that says nothing"
        assert error.exit_code, "a refusal without an exit code"
        assert error.message, "a refusal without a word"


def weight(value: object) -> int:
    """Give how much a value holds: its bytes and characters, and one for each part. No recursion, shared parts once."""
    total, seen, open_ones = 0, set(), [value]
    while open_ones:
        one = open_ones.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        total += 1
        if isinstance(one, str | bytes | bytearray):
            total += len(one)
        elif isinstance(one, Mapping):
            open_ones += [*one.keys(), *one.values()]
        elif isinstance(one, list | tuple | set | frozenset):
            open_ones += one
        elif isinstance(one, msgspec.Struct):
            open_ones += [getattr(one, name) for name in one.__struct_fields__]
        elif dataclasses.is_dataclass(one) and not isinstance(one, type):
            open_ones += [getattr(one, field.name) for field in dataclasses.fields(one)]
    return total


# --- shapes of inputs -------------------------------------------------------------------------------------------------


def joined(*parts: bytes) -> bytes:
    """Give parts as one input: each behind its u16be length, but the last, which is the rest."""
    return b"".join(len(part).to_bytes(2, "big") + part for part in parts[:-1]) + parts[-1]


def split(data: bytes, count: int) -> list[bytes]:
    """Take an input of `count` parts apart; takes any bytes, so that no mutant is lost on this format."""
    parts, position = [], 0
    for _ in range(count - 1):
        start = position + 2
        position = start + int.from_bytes(data[position:start], "big")
        parts.append(data[start:position])
    return [*parts, data[position:]]


def chosen(choices: Mapping[str, Callable[[bytes], object]]) -> Callable[[bytes], object]:
    """Give a `run` whose first byte chooses one of several readers, and whose rest it reads."""
    readers = list(choices.values())

    def run(data: bytes) -> object:
        return readers[data[0] % len(readers)](data[1:]) if data else None

    return run


def choosing(number: int, *seeds: bytes) -> list[bytes]:
    """Give seeds of the reader with that number among `chosen`."""
    return [bytes([number]) + seed for seed in seeds]


def canonical_form(data: bytes) -> bytes:
    """Give JSON in canonical form, so that mutants come past the check of the form; bytes that have none stay as they are."""
    try:
        return canonical.dumps(json.loads(data))
    except (ValueError, RecursionError, ComityError):
        return data


def same(first: object, second: object) -> None:
    """Check that a value came back as it went; what a format promises."""
    assert first == second, f"not the same again: {str(first)[:200]!r} became {str(second)[:200]!r}"


def both_or_neither(data: bytes, *readers: tuple[Callable[[bytes], object], tuple[type[Exception], ...]]) -> object:
    """Give what the first reader makes of bytes; checks that every other reader takes them too, or refuses them too.

    Raises the first reader's refusal.
    """
    taken, made, refusal = [], None, None
    for number, (read, refusals) in enumerate(readers):
        try:
            value = read(data)
        except refusals as error:
            taken.append(False)
            refusal = error if number == 0 else refusal
        else:
            taken.append(True)
            made = value if number == 0 else made
    assert len(set(taken)) == 1, f"one reader takes what another refuses: {taken}, {refusal}"
    if refusal is not None:
        raise refusal
    return made
