"""The clause kinds of an agreement as strict, frozen types: what a TOML clause may say and nothing else.

Every clause has an `id` (the article), a `kind` (the tag), a `text` in every authentic language and typed fields;
there are no free expressions. An unknown field, kind or word does not load. Spans are calendar-free durations.
Whether a clause is enforced, tracked or only recorded is its `status`, printed wherever the clause is.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

import msgspec

from comity_policy.facts import Point


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


class _Clause(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", kw_only=True):
    """What every clause has. `grant` clauses permit; all others only require."""

    id: str
    text: dict[str, str]

    grant: ClassVar[bool] = False
    suspendable: ClassVar[bool] = True
    status: ClassVar[tuple[Status, ...]] = (Status.ENFORCED,)
    points: ClassVar[frozenset[Point]] = frozenset()


_ALL = frozenset({Point.EGRESS, Point.ADMISSION, Point.OPENING})
_EA = frozenset({Point.EGRESS, Point.ADMISSION})
_AO = frozenset({Point.ADMISSION, Point.OPENING})


class Scope(_Clause, frozen=True, tag="scope", rename={"from_party": "from", "to_party": "to"}):
    """A grant: these kinds of message about these categories (and their descendants) may flow `from` -> `to`."""

    from_party: str
    to_party: str
    categories: tuple[str, ...]
    kinds: tuple[str, ...]

    grant: ClassVar[bool] = True
    points: ClassVar[frozenset[Point]] = _ALL


class CeilingLimit(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"from_party": "from", "to_party": "to"}
):
    """`level` is one of the sending party's levels; a direction without a limit is refused at load."""

    from_party: str
    to_party: str
    level: str


class Ceiling(_Clause, frozen=True, tag="ceiling"):
    """The common rank of a portion is at most that of the direction's level."""

    limits: tuple[CeilingLimit, ...]

    points: ClassVar[frozenset[Point]] = _ALL


class Clearance(_Clause, frozen=True, tag="clearance"):
    """The recipient node's attested accreditation covers the portion's rank."""

    points: ClassVar[frozenset[Point]] = _ALL


class Releasability(_Clause, frozen=True, tag="releasability"):
    """The addressee is in REL TO; unmarked is not releasable."""

    points: ClassVar[frozenset[Point]] = _ALL


class OriginatorControl(_Clause, frozen=True, tag="originator-control"):
    """ORCON content goes on only with a grant for that very report; a direct send by the originator needs none."""

    suspendable: ClassVar[bool] = False
    points: ClassVar[frozenset[Point]] = _AO


class Purpose(_Clause, frozen=True, tag="purpose"):
    """The purposes the recipient may use it for."""

    purposes: tuple[str, ...]

    points: ClassVar[frozenset[Point]] = _ALL


class Residency(_Clause, frozen=True, tag="residency"):
    """Regions where ciphertext and keys may rest, per party whose information it is."""

    regions: dict[str, tuple[str, ...]]

    points: ClassVar[frozenset[Point]] = _EA


class Retention(_Clause, frozen=True, tag="retention"):
    """Longest keeping: expires_at <= created_at + longest (E, A); opening <= admission + longest (O)."""

    longest: Span

    suspendable: ClassVar[bool] = False
    points: ClassVar[frozenset[Point]] = _ALL


class Embargo(_Clause, frozen=True, tag="embargo"):
    """Not handed over or opened before not_before; admission refuses not_before >= expires_at."""

    points: ClassVar[frozenset[Point]] = _AO


class PrecedenceRule(_Clause, frozen=True, tag="precedence"):
    """Roles that may send FLASH and IMMEDIATE; time to be read by precedence (tracked)."""

    flash: tuple[str, ...]
    immediate: tuple[str, ...]
    read_within: dict[str, Span]

    status: ClassVar[tuple[Status, ...]] = (Status.ENFORCED, Status.TRACKED)
    points: ClassVar[frozenset[Point]] = _EA


class Suites(_Clause, frozen=True, tag="suites"):
    """Allowed envelope suites, oldest key age (sender's signing and recipient's KEM), oldest key-log view."""

    allowed: tuple[int, ...]
    oldest_key: Span
    oldest_key_log_view: Span = Span(hours=1)

    points: ClassVar[frozenset[Point]] = _ALL


class Article(_Clause, frozen=True, tag="article"):
    """A recorded text: both signed it, no machine decides it."""

    topic: str

    suspendable: ClassVar[bool] = False
    status: ClassVar[tuple[Status, ...]] = (Status.RECORDED,)


Clause = (
    Scope
    | Ceiling
    | Clearance
    | Releasability
    | OriginatorControl
    | Purpose
    | Residency
    | Retention
    | Embargo
    | PrecedenceRule
    | Suites
    | Article
)
