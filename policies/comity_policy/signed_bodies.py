"""Reading the exact JSON objects that officers sign: a closed table of keys, each of its shape. Shared by steps and acts.

Whatever is wrong is raised as the error of the kind of statement that is read, and names the key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final

from comity_policy.facts import Role

DIGEST: Final = re.compile(r"[0-9a-f]{96}")
PARTY: Final = re.compile(r"[A-Z]{3}")
OFFICER: Final = re.compile(r"[A-Z]{3}/[a-z0-9][a-z0-9-]{0,62}")
AGREEMENT: Final = re.compile(r"[A-Z0-9][A-Z0-9-]{1,63}")
SUBJECT: Final = re.compile(r"report|decision|entry")
SUBJECT_ID: Final = re.compile(r"[A-Za-z0-9./:_-]{1,128}")

JsonValue = str | int | list[str]

_ROLES: Final = {role.word: role for role in Role}
_ODD_SHOWN: Final = 8


def for_people(longest: int) -> re.Pattern[str]:
    """Give the shape of words that people read: of so many characters, not all blank, none that moves or hides others."""
    return re.compile(rf"(?=.*\S)[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]{{1,{longest}}}")


@dataclass(frozen=True, slots=True)
class Body:
    """One body as it is read; `fault` makes the error that says what is wrong."""

    fields: Mapping[str, object]
    fault: Callable[[str], ValueError]

    def check_keys(self, kind: str, wanted: Collection[str]) -> None:
        """Check that every key is there and no other is."""
        if self.fields.keys() != set(wanted):
            odd = sorted(map(str, self.fields.keys() ^ set(wanted)))
            raise self.fault(f"{kind}: missing or unknown {', '.join(odd[:_ODD_SHOWN])}")

    def text(self, key: str, shape: re.Pattern[str] | None = None, *, may_be_empty: bool = False) -> str:
        """Give a text of a shape."""
        value = self.fields[key]
        if not isinstance(value, str):
            raise self.fault(f"{key!r} must be text")
        if shape is not None and not shape.fullmatch(value) and not (may_be_empty and not value):
            raise self.fault(f"{key!r} has not the shape it must have")
        return value

    def texts(self, key: str, shape: re.Pattern[str], limit: int) -> tuple[str, ...]:
        """Give a list of at most so many different texts of a shape."""
        values = self.fields[key]
        if not isinstance(values, list) or len(values) > limit:
            raise self.fault(f"{key!r} must be a list of at most {limit}")
        texts = tuple(value for value in values if isinstance(value, str) and shape.fullmatch(value))
        if len(texts) != len(values):
            raise self.fault(f"{key!r} holds what it must not hold")
        if len(set(texts)) != len(texts):
            raise self.fault(f"{key!r} holds something twice")
        return texts

    def number(self, key: str, below: int, what: str) -> int:
        """Give a whole number from 0 to below a limit, which a truth value is not; `what` it must be, in words."""
        value = self.fields[key]
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < below:
            raise self.fault(f"{key!r} must be {what}")
        return value

    def role(self, kind: str) -> Role:
        """Give the role that the body states."""
        role = _ROLES.get(self.text("role"))
        if role is None:
            raise self.fault(f"{kind}: unknown role")
        return role
