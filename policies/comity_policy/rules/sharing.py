"""The tests of clauses that say what may flow to whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from comity_policy.clauses import Carrier
from comity_policy.facts import Kind


@dataclass(frozen=True, slots=True)
class Released:
    """The portion is releasable to this party, or nothing limits it."""

    party: str


@dataclass(frozen=True, slots=True)
class NotPassedOn:
    """ORCON content comes from its originator, under a grant for that very report, or in an emergency (`lifted`)."""

    lifted: bool = False


@dataclass(frozen=True, slots=True)
class RankAtMost:
    """The portion's rank is at most the limit; None: the limit's level has no rank."""

    limit: int | None


@dataclass(frozen=True, slots=True)
class Accredited:
    """The node's accreditation covers the rank; `covers` is the highest row of each level of the recipient."""

    covers: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ReaderCleared:
    """From the lowest rank on the reading officer's clearance covers the rank; None: that level has no rank."""

    covers: Mapping[str, int]
    lowest: int | None


@dataclass(frozen=True, slots=True)
class NeedsToKnow:
    """An office or community of the node, or an addressed officer of the party; where `asks_reader`, those of the reader."""

    party: str
    offices: frozenset[str]
    communities: frozenset[str]
    officers: frozenset[str]
    asks_reader: bool


@dataclass(frozen=True, slots=True)
class PersonalDataFor:
    """Personal data for these purposes, special categories only where `special`, of at most so many persons."""

    purposes: frozenset[str]
    special: bool
    persons_max: int
    asked_again: bool


@dataclass(frozen=True, slots=True)
class CarriedAs:
    """The broker may carry the rank."""

    by_rank: Mapping[int, Carrier] | None


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
class NotExcluded:
    """Not of these kinds and categories (with their descendants); None: any."""

    kinds: frozenset[Kind] | None
    categories: frozenset[str] | None
