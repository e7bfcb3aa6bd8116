"""The intermediate form of an agreement: plain tests with their constants, between typed clauses and what decides.

A rule is a clause's id and one test. Predicates (the hot path) are compiled from it, and so can be other renderings of
the same agreement; `lowering.py` says how clauses become rules. Spans are milliseconds, levels are ranks. A mapping by rank
has the word for each rank that a list of level rows covers, nothing where the party has no row (then no rank is asked for);
None in its place: a level of the list has no rank.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from comity_policy.rules.baseline import (
    Addressed,
    Agreement,
    CarriedBy,
    CategoryAccess,
    Grant,
    Granted,
    InTime,
    KnownWords,
    Never,
    NodeValid,
    NotNationalOnly,
    OnlyHeld,
    PassedOn,
    PreApproved,
    SentDirectly,
    WellMarked,
)
from comity_policy.rules.handling import (
    ApprovedBy,
    CopiedAs,
    EmbargoEnds,
    EmbargoOver,
    Enables,
    ExpiresWithin,
    LogTakesEntries,
    MarkedBy,
    NotOverdue,
    OpenedWithin,
    RankKnown,
    SealedWith,
    SentBy,
    UsedAs,
    WithinQuota,
)
from comity_policy.rules.sharing import (
    Accredited,
    CarriedAs,
    NeedsToKnow,
    NotExcluded,
    NotPassedOn,
    PersonalDataFor,
    PurposeAmong,
    RankAtMost,
    ReaderCleared,
    Released,
    RestsIn,
)
from comity_policy.rules.suspension import Guard, Suspended, SuspendedGrant, SuspendedOnward

__all__ = [
    "Accredited",
    "Addressed",
    "Agreement",
    "AllOf",
    "ApprovedBy",
    "ByTable",
    "CarriedAs",
    "CarriedBy",
    "CategoryAccess",
    "CopiedAs",
    "EmbargoEnds",
    "EmbargoOver",
    "Enables",
    "ExpiresWithin",
    "Grant",
    "Granted",
    "Guard",
    "InTime",
    "KnownWords",
    "LogTakesEntries",
    "MarkedBy",
    "NeedsToKnow",
    "Never",
    "NodeValid",
    "NotExcluded",
    "NotNationalOnly",
    "NotOverdue",
    "NotPassedOn",
    "OnlyHeld",
    "OpenedWithin",
    "PassedOn",
    "PersonalDataFor",
    "PreApproved",
    "PurposeAmong",
    "RankAtMost",
    "RankKnown",
    "ReaderCleared",
    "Released",
    "RestsIn",
    "Rule",
    "SealedWith",
    "SentBy",
    "SentDirectly",
    "Suspended",
    "SuspendedGrant",
    "SuspendedOnward",
    "Test",
    "UnlessLifted",
    "UsedAs",
    "WellMarked",
    "WithinQuota",
]


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every part holds."""

    parts: tuple[Test, ...]


@dataclass(frozen=True, slots=True)
class UnlessLifted:
    """The test holds, or the report goes under an emergency that a duty officer declared."""

    test: Test


@dataclass(frozen=True, slots=True)
class ByTable:
    """The test holds for the portion's rank in another table than the agreement's: these ranks."""

    ranks: Mapping[str, int]
    test: Test


Test = (
    Never
    | OnlyHeld
    | Suspended
    | SuspendedGrant
    | SuspendedOnward
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
    | SentDirectly
    | PassedOn
    | InTime
    | EmbargoEnds
    | EmbargoOver
    | RankAtMost
    | Accredited
    | ReaderCleared
    | NeedsToKnow
    | PersonalDataFor
    | CarriedAs
    | PurposeAmong
    | RestsIn
    | NotExcluded
    | ExpiresWithin
    | OpenedWithin
    | CopiedAs
    | WithinQuota
    | RankKnown
    | ApprovedBy
    | NotOverdue
    | UsedAs
    | MarkedBy
    | LogTakesEntries
    | SentBy
    | SealedWith
    | Enables
    | AllOf
    | UnlessLifted
    | ByTable
)


@dataclass(frozen=True, slots=True)
class Rule:
    """One clause as it is decided at one point in one direction. `of_recalls`: it is asked of the recall of a report too."""

    clause_id: str
    test: Test
    of_recalls: bool = False
