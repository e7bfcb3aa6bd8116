"""Clauses that say how information is sent, kept and used: time, number, approvals, copies, caveats, keys."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from comity_policy.abilities import words_of
from comity_policy.clauses.base import ALL, AO, EA, BaseClause, LevelRow, Span, Status
from comity_policy.facts import Point


class End(StrEnum):
    """What happens to a report when the time to keep it is over."""

    DESTROY = "destroy"
    RETURN = "return"
    ASK = "ask"


class EndRow(LevelRow, frozen=True):
    """The end from a level on."""

    end: End


class Retention(BaseClause, frozen=True, tag="retention"):
    """Longest keeping: expires_at <= created_at + longest (E, A); opening <= admission + longest (O).

    At the end a report is destroyed unless a row says otherwise; so many officers sign the certificate beside its holder.
    """

    longest: Span
    end: tuple[EndRow, ...] = ()
    witnesses: int = 0
    emergency_destruction: bool = False

    suspendable: ClassVar[bool] = False
    status: ClassVar[tuple[Status, ...]] = (Status.ENFORCED, Status.TRACKED)
    points: ClassVar[frozenset[Point]] = ALL


class Copies(StrEnum):
    """Whether copies and translations may be made."""

    FREE = "free"
    REGISTERED = "registered"
    CONSENT = "consent"


class CopyRow(LevelRow, frozen=True):
    """The rule for copies and translations from a level on."""

    copies: Copies


class Reproduction(BaseClause, frozen=True, tag="reproduction"):
    """Copies and translations by level; below a party's rows they are free."""

    rows: tuple[CopyRow, ...]

    points: ClassVar[frozenset[Point]] = frozenset({Point.OPENING})


class Window(StrEnum):
    """A fixed UTC window: it begins at the full hour, at 00:00, or on Monday at 00:00."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"

    def around(self, at_ms: int) -> tuple[int, int]:
        """Give the window that a time lies in: its first millisecond, and the first that is no longer in it."""
        length, first = _WINDOWS[self]
        starts_at = (at_ms - first) // length * length + first
        return starts_at, starts_at + length


_HOUR_MS = 3_600_000
# Length and the start of one window, in Unix milliseconds: the first Monday is the fifth day of 1970.
_WINDOWS = {
    Window.HOUR: (_HOUR_MS, 0),
    Window.DAY: (24 * _HOUR_MS, 0),
    Window.WEEK: (7 * 24 * _HOUR_MS, 4 * 24 * _HOUR_MS),
}


class Quota(BaseClause, frozen=True, tag="quota", rename={"from_party": "from", "to_party": "to"}):
    """At most so many reports and bytes of a direction in each window."""

    from_party: str
    to_party: str
    window: Window
    reports: int
    bytes: int

    points: ClassVar[frozenset[Point]] = frozenset({Point.ADMISSION})


class DualControl(BaseClause, frozen=True, tag="dual-control", rename={"from_levels": "from"}):
    """From a level of the sending party on, so many distinct officers of it approve."""

    from_levels: tuple[LevelRow, ...]
    officers: int

    points: ClassVar[frozenset[Point]] = frozenset({Point.ADMISSION})


class Acknowledge(BaseClause, frozen=True, tag="acknowledge"):
    """A recipient acknowledges in time; `stop_after` overdue so long stops ROUTINE and PRIORITY to that party."""

    within: dict[str, Span]
    stop_after: Span | None = None

    status: ClassVar[tuple[Status, ...]] = (Status.ENFORCED, Status.TRACKED)
    points: ClassVar[frozenset[Point]] = frozenset({Point.ADMISSION})


class Consent(StrEnum):
    """Whether a use is free or needs the originator's consent."""

    FREE = "free"
    CONSENT = "consent"


class UseRule(BaseClause, frozen=True, tag="use"):
    """A caveat shown and acknowledged before opening; use as evidence and for action free or by consent."""

    caveat: dict[str, str]
    evidence: Consent
    action_on: Consent

    suspendable: ClassVar[bool] = False
    points: ClassVar[frozenset[Point]] = frozenset({Point.OPENING})


class Relabel(BaseClause, frozen=True, tag="relabel"):
    """Only the originator changes a marking, with notice; a marking lapses after so many years."""

    notice: Span
    lapse_years: int

    suspendable: ClassVar[bool] = False
    status: ClassVar[tuple[Status, ...]] = (Status.ENFORCED, Status.TRACKED)
    points: ClassVar[frozenset[Point]] = frozenset({Point.OPENING})


class Emergency(BaseClause, frozen=True, tag="emergency"):
    """A grant: under a duty officer's declaration some requirements become duties to review afterwards."""

    to: tuple[str, ...]
    onward: bool
    review_within: Span

    grant: ClassVar[bool] = True
    status: ClassVar[tuple[Status, ...]] = (Status.ENFORCED, Status.TRACKED)
    points: ClassVar[frozenset[Point]] = AO


class Embargo(BaseClause, frozen=True, tag="embargo"):
    """Not handed over or opened before not_before; admission refuses not_before >= expires_at."""

    points: ClassVar[frozenset[Point]] = AO


class PrecedenceRule(BaseClause, frozen=True, tag="precedence"):
    """Roles that may send FLASH and IMMEDIATE; time to be read by precedence (tracked)."""

    flash: tuple[str, ...]
    immediate: tuple[str, ...]
    read_within: dict[str, Span]

    status: ClassVar[tuple[Status, ...]] = (Status.ENFORCED, Status.TRACKED)
    points: ClassVar[frozenset[Point]] = EA


class Suites(BaseClause, frozen=True, tag="suites"):
    """Allowed envelope suites, oldest key age (sender's signing and recipient's KEM), oldest key-log view."""

    allowed: tuple[int, ...]
    oldest_key: Span
    oldest_key_log_view: Span = Span(hours=1)

    points: ClassVar[frozenset[Point]] = ALL


class Capabilities(BaseClause, frozen=True, tag="capabilities"):
    """The floor: what both nodes' signed statements say that their software can; at least one of the lists is not empty."""

    wire: tuple[int, ...] = ()
    suites: tuple[int, ...] = ()
    obligations: tuple[str, ...] = ()

    points: ClassVar[frozenset[Point]] = ALL

    @property
    def words(self) -> frozenset[str]:
        """Give the floor as the words that statements are compared by."""
        return words_of(wire=self.wire, suites=self.suites, obligations=self.obligations)
