"""Clauses that say what may flow to whom: grants, levels, parties and people, purposes, places and channels."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

import msgspec

from comity_policy.clauses.base import ALL, AO, EA, BaseClause, LevelRow, Span, Status
from comity_policy.facts import Point


class Scope(BaseClause, frozen=True, tag="scope", rename={"from_party": "from", "to_party": "to"}):
    """A grant: these kinds of message about these categories (and their descendants) may flow `from` -> `to`."""

    from_party: str
    to_party: str
    categories: tuple[str, ...]
    kinds: tuple[str, ...]

    grant: ClassVar[bool] = True
    points: ClassVar[frozenset[Point]] = ALL


class CeilingLimit(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"from_party": "from", "to_party": "to"}
):
    """`level` is one of the sending party's levels; a direction without a limit is refused at load."""

    from_party: str
    to_party: str
    level: str


class Ceiling(BaseClause, frozen=True, tag="ceiling"):
    """The common rank of a portion is at most that of the direction's level."""

    limits: tuple[CeilingLimit, ...]

    points: ClassVar[frozenset[Point]] = ALL


class Clearance(BaseClause, frozen=True, tag="clearance"):
    """The recipient node's attested accreditation covers the portion's rank, the reader's from its party's row on."""

    officer_from: tuple[LevelRow, ...] = ()

    points: ClassVar[frozenset[Point]] = ALL


class Releasability(BaseClause, frozen=True, tag="releasability"):
    """The addressee is in REL TO; unmarked is not releasable."""

    points: ClassVar[frozenset[Point]] = ALL


class NeedRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who of a receiving party needs to know; at least one list is not empty."""

    party: str
    offices: tuple[str, ...] = ()
    communities: tuple[str, ...] = ()
    officers: tuple[str, ...] = ()


class NeedToKnow(BaseClause, frozen=True, tag="need-to-know"):
    """Only the named offices, communities or officers of the receiving party."""

    rows: tuple[NeedRow, ...]

    points: ClassVar[frozenset[Point]] = ALL


class OriginatorControl(BaseClause, frozen=True, tag="originator-control"):
    """ORCON content goes on only with a grant for that very report; a direct send by the originator needs none."""

    suspendable: ClassVar[bool] = False
    points: ClassVar[frozenset[Point]] = AO


class Passage(StrEnum):
    """Which reports a standing pre-approval lets go on."""

    ANY = "any"
    TEARLINE = "tearline"


class PreApproval(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    kw_only=True,
    rename={"from_party": "from", "to_party": "to"},
):
    """The originating party's standing consent: reports about a category (and its descendants) may go on to a party."""

    from_party: str
    to_party: str
    category: str
    portions: Passage = Passage.TEARLINE


class Onward(BaseClause, frozen=True, tag="onward"):
    """A grant: a holder may pass reports on, with the originator's grant or a standing pre-approval, this many hops."""

    max_hops: int
    pre_approved: tuple[PreApproval, ...] = ()

    grant: ClassVar[bool] = True
    points: ClassVar[frozenset[Point]] = AO


class Special(StrEnum):
    """Whether special categories of personal data may flow."""

    ALLOW = "allow"
    DENY = "deny"


class PersonalDataRule(BaseClause, frozen=True, tag="personal-data"):
    """Portions with personal data flow only for these purposes, of at most so many persons; reviewed and corrected."""

    purposes: tuple[str, ...]
    special_categories: Special
    persons_max: int
    review_every: Span
    correct_within: Span

    status: ClassVar[tuple[Status, ...]] = (Status.ENFORCED, Status.TRACKED)
    points: ClassVar[frozenset[Point]] = ALL


class Carrier(StrEnum):
    """How information of a level may travel."""

    BROKER = "broker"
    COURIER = "courier"
    VOICE = "voice"


class ChannelRow(LevelRow, frozen=True):
    """The channel from a level on."""

    by: Carrier


class Channel(BaseClause, frozen=True, tag="channel"):
    """Which channel carries a level; the broker refuses what must go otherwise. Below a party's rows: the broker."""

    rows: tuple[ChannelRow, ...]

    points: ClassVar[frozenset[Point]] = EA


class Purpose(BaseClause, frozen=True, tag="purpose"):
    """The purposes the recipient may use it for."""

    purposes: tuple[str, ...]

    points: ClassVar[frozenset[Point]] = ALL


class Residency(BaseClause, frozen=True, tag="residency"):
    """Regions where ciphertext and keys may rest, per party whose information it is."""

    regions: dict[str, tuple[str, ...]]

    points: ClassVar[frozenset[Point]] = EA
