"""Clauses about the agreement itself, its oversight and its cases; recorded texts; what only a national caveat may say."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

import msgspec

from comity_policy.clauses.base import AO, EA, BaseClause, Span, Status
from comity_policy.facts import Point


class Survives(BaseClause, frozen=True, tag="survives"):
    """These clauses bind what is held after the end, until the originator releases the holder."""

    clauses: tuple[str, ...]

    suspendable: ClassVar[bool] = False
    status: ClassVar[tuple[Status, ...]] = (Status.ENFORCED, Status.TRACKED)
    points: ClassVar[frozenset[Point]] = AO


class Oversight(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A body of a party that may oversee; it is not a third party."""

    party: str
    body: str
    access: str


class OnFailure(StrEnum):
    """What happens to traffic when the log takes no entries."""

    HALT = "halt"
    DEGRADE = "degrade"


class Audit(BaseClause, frozen=True, tag="audit"):
    """Who may oversee, how long the log is kept, and what happens when it takes no entries."""

    oversight: tuple[Oversight, ...] = ()
    keep_log: Span = Span(days=3650)
    on_failure: OnFailure = OnFailure.HALT

    suspendable: ClassVar[bool] = False
    points: ClassVar[frozenset[Point]] = frozenset({Point.ADMISSION})


class Breach(BaseClause, frozen=True, tag="breach"):
    """How a breach is notified, reported and closed, each in its time."""

    notify: Span
    initial_report: Span
    measures: Span

    suspendable: ClassVar[bool] = False
    status: ClassVar[tuple[Status, ...]] = (Status.TRACKED,)


class Disputes(BaseClause, frozen=True, tag="disputes"):
    """How long the parties consult, and when a dispute is escalated."""

    consult: Span
    escalate: Span

    suspendable: ClassVar[bool] = False
    status: ClassVar[tuple[Status, ...]] = (Status.TRACKED,)


class SecurityMeasures(BaseClause, frozen=True, tag="security-measures"):
    """Protection as for one's own; accreditations are attested anew at least so often."""

    attest_every: Span

    suspendable: ClassVar[bool] = False
    status: ClassVar[tuple[Status, ...]] = (Status.TRACKED,)


class Contact(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whom to call: an authority of a party, its role and its contact for people."""

    party: str
    role: str
    name: str
    contact: str


class Authorities(BaseClause, frozen=True, tag="authorities"):
    """The authorities of each party and whom to call."""

    contacts: tuple[Contact, ...]

    suspendable: ClassVar[bool] = False
    status: ClassVar[tuple[Status, ...]] = (Status.TRACKED,)


class Exclude(BaseClause, frozen=True, tag="exclude"):
    """Only in a national caveat: nothing of these categories (and descendants) and kinds to these parties; empty: all."""

    to: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()

    suspendable: ClassVar[bool] = False
    points: ClassVar[frozenset[Point]] = EA


class Closed(Exclude, frozen=True, tag="closed"):
    """What nobody writes: a caveat that does not read under a version, and might decide at opening too, lets nothing pass."""

    points: ClassVar[frozenset[Point]] = frozenset(Point)


class Article(BaseClause, frozen=True, tag="article"):
    """A recorded text: both signed it, no machine decides it."""

    topic: str

    suspendable: ClassVar[bool] = False
    status: ClassVar[tuple[Status, ...]] = (Status.RECORDED,)
