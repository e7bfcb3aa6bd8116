"""The intermediate form of an agreement: plain tests with their constants, between typed clauses and what decides.

A rule is a clause's id and one test. Predicates (the hot path) are compiled from it, and so can be other renderings of
the same agreement; `lowering.py` says how clauses become rules. Spans are milliseconds, levels are ranks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from comity_policy.facts import Kind, Role


class Guard(Enum):
    """What a requirement covers: what its suspension makes impossible."""

    ALWAYS = auto()
    CLASSIFIED = auto()
    CONTROLLED = auto()
    EMBARGOED = auto()
    URGENT = auto()


@dataclass(frozen=True, slots=True)
class Grant:
    """What one scope clause lets flow in a direction: kinds, and categories with their descendants."""

    clause_id: str
    kinds: frozenset[Kind]
    categories: frozenset[str]


@dataclass(frozen=True, slots=True)
class Never:
    """Settled already: denied."""


@dataclass(frozen=True, slots=True)
class Suspended:
    """A suspended requirement: cannot hold for what it covers."""

    covers: Guard


@dataclass(frozen=True, slots=True)
class SuspendedGrant:
    """A suspended grant: named where it would have applied and no other does."""

    grant: Grant
    others: tuple[Grant, ...]


@dataclass(frozen=True, slots=True)
class Granted:
    """One of the grants applies."""

    grants: tuple[Grant, ...]


@dataclass(frozen=True, slots=True)
class Agreement:
    """The report names this agreement and these bytes."""

    agreement_id: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class Addressed:
    """An addressee of this party matches the node."""

    party: str


@dataclass(frozen=True, slots=True)
class CarriedBy:
    """The broker is one of these."""

    brokers: frozenset[str]


@dataclass(frozen=True, slots=True)
class NodeValid:
    """The node's bundle is current and not revoked."""


@dataclass(frozen=True, slots=True)
class WellMarked:
    """The label is well-formed and, where classified, carries a foreign-disclosure marking; not for named people."""

    parties: frozenset[str]


@dataclass(frozen=True, slots=True)
class KnownWords:
    """Every word of profile and label is known."""

    policy: str
    parties: frozenset[str]
    categories: frozenset[str]
    purposes: frozenset[str]


@dataclass(frozen=True, slots=True)
class CategoryAccess:
    """No category set of the label shuts this party out."""

    party: str


@dataclass(frozen=True, slots=True)
class NotNationalOnly:
    """The portion may leave its party at all."""


@dataclass(frozen=True, slots=True)
class Released:
    """The portion is releasable to this party, or nothing limits it."""

    party: str


@dataclass(frozen=True, slots=True)
class NotPassedOn:
    """ORCON content comes from its originator or under a grant for that very report."""


@dataclass(frozen=True, slots=True)
class InTime:
    """The signed times are in order and not over; where `windowed`, made near the clock (milliseconds)."""

    windowed: bool
    created_at_oldest: int
    created_at_ahead: int


@dataclass(frozen=True, slots=True)
class EmbargoEnds:
    """The embargo ends before the report expires."""


@dataclass(frozen=True, slots=True)
class EmbargoOver:
    """The embargo is over."""


@dataclass(frozen=True, slots=True)
class RankAtMost:
    """The portion's rank is at most the limit; None: the limit's level has no rank."""

    limit: int | None


@dataclass(frozen=True, slots=True)
class Accredited:
    """The node's accreditation covers the rank; `covers` is the highest row of each level of the recipient."""

    covers: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class PurposeAmong:
    """The stated purpose is one of these; at opening the opener states the same."""

    purposes: frozenset[str]
    asked_again: bool


@dataclass(frozen=True, slots=True)
class RestsIn:
    """Broker and node are in these regions."""

    regions: frozenset[str]


@dataclass(frozen=True, slots=True)
class ExpiresWithin:
    """Expiry is at most so many milliseconds after creation."""

    longest: int


@dataclass(frozen=True, slots=True)
class OpenedWithin:
    """Opening is at most so many milliseconds after admission."""

    longest: int


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
class AllOf:
    """Every part holds."""

    parts: tuple[Test, ...]


Test = (
    Never
    | Suspended
    | SuspendedGrant
    | Granted
    | Agreement
    | Addressed
    | CarriedBy
    | NodeValid
    | WellMarked
    | KnownWords
    | CategoryAccess
    | NotNationalOnly
    | Released
    | NotPassedOn
    | InTime
    | EmbargoEnds
    | EmbargoOver
    | RankAtMost
    | Accredited
    | PurposeAmong
    | RestsIn
    | ExpiresWithin
    | OpenedWithin
    | SentBy
    | SealedWith
    | AllOf
)


@dataclass(frozen=True, slots=True)
class Rule:
    """One clause as it is decided at one point in one direction."""

    clause_id: str
    test: Test
