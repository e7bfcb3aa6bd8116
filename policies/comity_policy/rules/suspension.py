"""What is left of a suspended clause: a requirement that cannot be met for what it covers, a grant that is named."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from comity_policy.rules.baseline import Grant


class Guard(Enum):
    """What a requirement covers: what its suspension makes impossible."""

    ALWAYS = auto()
    CLASSIFIED = auto()
    CONTROLLED = auto()
    EMBARGOED = auto()
    """With an embargo, at admission."""
    NOT_YET = auto()
    """With an embargo, or before it is over, at opening."""
    URGENT = auto()
    UNHURRIED = auto()
    """PRIORITY or ROUTINE."""
    PERSONAL_DATA = auto()
    COPYING = auto()
    """To be copied or translated, or for nobody knows what."""


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
class SuspendedOnward:
    """A suspended grant to pass on: named where somebody else than the originator sends."""
