"""The tests of baseline rows."""

from __future__ import annotations

from dataclasses import dataclass

from comity_policy.facts import Kind


@dataclass(frozen=True, slots=True)
class Grant:
    """What one scope clause lets flow in a direction: kinds, and categories with their descendants."""

    clause_id: str
    kinds: frozenset[Kind]
    categories: frozenset[str]


@dataclass(frozen=True, slots=True)
class PreApproved:
    """A standing consent in a direction: categories with their descendants; where `tearline_only` for tearlines alone."""

    categories: frozenset[str]
    tearline_only: bool


@dataclass(frozen=True, slots=True)
class Never:
    """Settled already: denied."""


@dataclass(frozen=True, slots=True)
class OnlyHeld:
    """Not in force, but what this party opened before may be read on."""


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
    """An addressee of this party matches the node and, where `asks_reader`, the officer who opens."""

    party: str
    asks_reader: bool = False


@dataclass(frozen=True, slots=True)
class CarriedBy:
    """The broker is one of these."""

    brokers: frozenset[str]


@dataclass(frozen=True, slots=True)
class NodeValid:
    """The node's bundle is current and not revoked."""


@dataclass(frozen=True, slots=True)
class WellMarked:
    """Well-formed, with a foreign-disclosure marking where classified; TLP:RED only to named officers of `to_party`."""

    parties: frozenset[str]
    to_party: str


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
class SentDirectly:
    """The originator itself sends: nothing grants passing on."""


@dataclass(frozen=True, slots=True)
class PassedOn:
    """The originator sends, or: no dispute, few enough hops, and its grant, a pre-approval or an emergency (`lifted`)."""

    max_hops: int
    pre_approved: tuple[PreApproved, ...]
    lifted: bool


@dataclass(frozen=True, slots=True)
class InTime:
    """The signed times are in order and not over; where `windowed`, made near the clock (milliseconds)."""

    windowed: bool
    created_at_oldest: int
    created_at_ahead: int
