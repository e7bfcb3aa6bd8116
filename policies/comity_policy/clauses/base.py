"""What every clause has: an `id` (the article), a `kind` (the tag), a `text` in every authentic language, its status and points."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

import msgspec

from comity_policy.facts import Point

ALL = frozenset({Point.EGRESS, Point.ADMISSION, Point.OPENING})
EA = frozenset({Point.EGRESS, Point.ADMISSION})
AO = frozenset({Point.ADMISSION, Point.OPENING})


class Status(StrEnum):
    """An auditor's first question about a clause."""

    ENFORCED = "enforced"
    TRACKED = "tracked"
    RECORDED = "recorded"


class Span(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A fixed length of time; at least one field is positive (checked by the document's load)."""

    weeks: int = 0
    days: int = 0
    hours: int = 0
    minutes: int = 0

    @property
    def milliseconds(self) -> int:
        """Give the span in milliseconds."""
        return (((self.weeks * 7 + self.days) * 24 + self.hours) * 60 + self.minutes) * 60_000


class BaseClause(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", kw_only=True):
    """What every clause has. `grant` clauses permit; all others only require."""

    id: str
    text: dict[str, str]

    grant: ClassVar[bool] = False
    suspendable: ClassVar[bool] = True
    status: ClassVar[tuple[Status, ...]] = (Status.ENFORCED,)
    points: ClassVar[frozenset[Point]] = frozenset()


class LevelRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """From this level of the sending party on, up to the party's next row."""

    party: str
    level: str
