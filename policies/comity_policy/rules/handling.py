"""The tests of clauses that say how information is sent, kept and used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from comity_policy.clauses import Copies
from comity_policy.facts import Role, Use


@dataclass(frozen=True, slots=True)
class EmbargoEnds:
    """The embargo ends before the report expires."""


@dataclass(frozen=True, slots=True)
class EmbargoOver:
    """The embargo is over."""


@dataclass(frozen=True, slots=True)
class ExpiresWithin:
    """Expiry is at most so many milliseconds after creation."""

    longest: int


@dataclass(frozen=True, slots=True)
class OpenedWithin:
    """Opening is at most so many milliseconds after admission."""

    longest: int


@dataclass(frozen=True, slots=True)
class CopiedAs:
    """A copy or translation is free at the rank, registered, or consented to."""

    by_rank: Mapping[int, Copies] | None


@dataclass(frozen=True, slots=True)
class WithinQuota:
    """With this report the window of the clause (its id as decisions write it) holds at most so much."""

    clause_id: str
    reports: int
    size: int


@dataclass(frozen=True, slots=True)
class RankKnown:
    """The portion's rank and the rank it is compared with are known."""

    other: int | None


@dataclass(frozen=True, slots=True)
class ApprovedBy:
    """From the rank on so many officers approved, and the report says that as many must."""

    from_rank: int | None
    officers: int


@dataclass(frozen=True, slots=True)
class NotOverdue:
    """FLASH or IMMEDIATE, or no acknowledgement is overdue beyond the clause's limit (its id as decisions write it)."""

    clause_id: str


@dataclass(frozen=True, slots=True)
class UsedAs:
    """The clause's caveat (its id as decisions write it) was acknowledged; the originator consents to these uses."""

    clause_id: str
    consent: frozenset[Use]


@dataclass(frozen=True, slots=True)
class MarkedBy:
    """Nobody else than this party changed the marking."""

    party: str


@dataclass(frozen=True, slots=True)
class LogTakesEntries:
    """The agreement's log takes entries and has its quorum."""


@dataclass(frozen=True, slots=True)
class SentBy:
    """The sender's roles allow the precedence."""

    flash: frozenset[Role]
    immediate: frozenset[Role]


@dataclass(frozen=True, slots=True)
class SealedWith:
    """Suite, key ages (at admission where `as_admitted`) and key-log view, in milliseconds."""

    allowed: frozenset[int]
    oldest_key: int
    oldest_view: int
    as_admitted: bool


@dataclass(frozen=True, slots=True)
class Enables:
    """Both nodes state that they can all of this."""

    words: frozenset[str]
