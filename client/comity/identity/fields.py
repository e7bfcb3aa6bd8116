"""Strict reading of a statement's body: exactly the keys it must have, each of exactly its form, everything bounded.

Lists are sets: strictly ascending by their text, so that one meaning has one body. Integers are never booleans. Bytes are
lower-case hexadecimal. Free text has no control or direction-changing characters and is never empty.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from comity.canonical import INTEGER_LIMIT, Json, is_hex
from comity.errors import ErrorCode, MalformedError

# Control characters, line separators, and what turns the direction of writing: a name must look like what it is.
_UNPRINTABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


class Fields:
    """One object of a body. Every method raises MalformedError for a value that has not the form asked for."""

    __slots__ = ("_fields", "_where")

    def __init__(self, value: Json, where: str, keys: Sequence[str]) -> None:
        if not isinstance(value, dict):
            raise MalformedError(f"{where}: not an object")
        if set(value) != set(keys):
            odd = sorted(name[:40] for name in set(value) ^ set(keys))
            raise MalformedError(f"{where}: missing or unknown {', '.join(odd[:8])}")
        self._fields = value
        self._where = where

    def malformed(self, name: str, problem: str) -> MalformedError:
        """Build the error for a field."""
        return MalformedError(f"{self._where}: {name!r} {problem}")

    def text(self, name: str, check: Callable[[str], str]) -> str:
        """Give a text that `check` gives back."""
        return self._checked(name, self._fields[name], check)

    def free_text(self, name: str, limit: int) -> str:
        """Give a text for people, of at most `limit` characters."""
        value = self._fields[name]
        if not isinstance(value, str) or not 0 < len(value) <= limit or _UNPRINTABLE.search(value):
            raise self.malformed(name, f"must be printable text of 1 to {limit} characters")
        return value

    def number(self, name: str, *, least: int = 0, most: int = INTEGER_LIMIT - 1) -> int:
        """Give an integer in a range."""
        value = self._fields[name]
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self.malformed(name, f"must be a whole number from {least} to {most}")
        return value

    def numbers(self, name: str, limit: int, *, most: int) -> tuple[int, ...]:
        """Give a set of 1 to `limit` integers from 1 to `most`, strictly ascending."""
        values = self.items(name, limit)
        numbers = tuple(one for one in values if type(one) is int and 1 <= one <= most)
        if not numbers or len(numbers) != len(values):
            raise self.malformed(name, f"must hold whole numbers from 1 to {most}")
        if any(numbers[i] >= numbers[i + 1] for i in range(len(numbers) - 1)):
            raise self.malformed(name, "must be strictly ascending")
        return numbers

    def data(self, name: str, *, size: int | None = None, limit: int = 8192) -> bytes:
        """Give bytes, of exactly `size` or at most `limit`."""
        value = self._fields[name]
        if not isinstance(value, str) or len(value) > 2 * limit or not is_hex(value):
            raise self.malformed(name, "must be lower-case hexadecimal")
        data = bytes.fromhex(value)
        if size is not None and len(data) != size:
            raise self.malformed(name, "has not the length it must have")
        return data

    def texts(self, name: str, limit: int, check: Callable[[str], str]) -> tuple[str, ...]:
        """Give a set of at most `limit` texts, each of which `check` gives back."""
        texts = tuple(self._checked(name, value, check) for value in self.items(name, limit))
        if any(texts[i] >= texts[i + 1] for i in range(len(texts) - 1)):
            raise self.malformed(name, "must be strictly ascending")
        return texts

    def items(self, name: str, limit: int) -> list[Json]:
        """Give a list of at most `limit` items."""
        value = self._fields[name]
        if not isinstance(value, list):
            raise self.malformed(name, "must be a list")
        if len(value) > limit:
            raise MalformedError(
                f"{self._where}: {name!r} has {len(value)} items, at most {limit}", code=ErrorCode.LIMIT_EXCEEDED
            )
        return value

    def part(self, name: str, keys: Sequence[str]) -> Fields:
        """Give an object within this one."""
        return Fields(self._fields[name], f"{self._where}: {name}", keys)

    def part_or_none(self, name: str, keys: Sequence[str]) -> Fields | None:
        """Give an object within this one, None where it is null."""
        return None if self._fields[name] is None else self.part(name, keys)

    def parts(self, name: str, limit: int, keys: Sequence[str]) -> list[Fields]:
        """Give a list of at most `limit` objects."""
        return [Fields(value, f"{self._where}: {name}", keys) for value in self.items(name, limit)]

    def _checked(self, name: str, value: Json, check: Callable[[str], str]) -> str:
        if not isinstance(value, str):
            raise self.malformed(name, "must be text")
        try:
            return check(value)
        except MalformedError as error:
            raise self.malformed(name, f"is wrong: {error.message}") from error


def word_of(shape: re.Pattern[str], what: str) -> Callable[[str], str]:
    """Give a check for `Fields.text` that a text has a shape."""

    def check(text: str) -> str:
        if not shape.fullmatch(text):
            raise MalformedError(f"not {what}")
        return text

    return check


def ascending(texts: Iterable[str]) -> list[str]:
    """Give texts as a set's list, for a body; doubles become one."""
    return sorted(set(texts))
