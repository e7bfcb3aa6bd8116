"""Whom a version binds and until when: terms, renewals, notices, withdrawals.

Rules in order:

1. A term with a length begins with the entry into force and is over after that length, of as many terms as were renewed. A
   tacit renewal needs nothing; it is over only by objection. A term with a date is over at that moment.
2. A notice, a withdrawal or an objection to renewal makes a *departure*: its party is bound no more from that moment. The
   earliest of a party counts, and nothing takes it back.
3. An agreement of which fewer than two parties are bound is over; that the number falls below the minimum of its entry into
   force does not end it (Vienna Convention on the Law of Treaties, article 55).
4. It is TERMINATED where a notice or withdrawal brought the end about, EXPIRED where the term did.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from comity_policy.calendar import Period, term_ends, terms_begun, zone
from comity_policy.negotiation import Version, milliseconds
from comity_policy.sections import DurationKind, Renewal

EXPIRED = "EXPIRED"
TERMINATED = "TERMINATED"


@dataclass(frozen=True, slots=True)
class Departure:
    """When a party ceases to be bound, when it said so, and whether by notice (else by objecting to a renewal)."""

    at_ms: int
    said_ms: int
    by_notice: bool


@dataclass(frozen=True, slots=True)
class End:
    """The first moment at which an agreement is over, and why: EXPIRED or TERMINATED."""

    at_ms: int
    reason: str


def bound_at(version: Version, departures: Mapping[str, Departure], at_ms: int) -> frozenset[str]:
    """Give the parties that a version binds at a moment, as far as its own end does not matter."""
    return _staying(version.bound_from, departures, at_ms)


def term_at(version: Version, at_ms: int) -> int | None:
    """Give the end of the term that runs at a moment (the last one, where it is over); None where there is no term."""
    duration, length = version.document.duration, version.document.duration.length
    if duration.until is not None:
        return milliseconds(duration.until)
    if length is None or version.in_force_at is None:
        return None
    where = zone(version.document.entry_into_force.zone)
    count = 1 + version.renewals
    if duration.renewal is Renewal.TACIT:
        count = terms_begun(version.in_force_at, length, max(at_ms, version.in_force_at), where)
    return term_ends(version.in_force_at, length, count, where)


def in_last_term(version: Version, at_ms: int) -> bool:
    """Say whether no later term than the one that runs has been agreed on yet."""
    length = version.document.duration.length or Period()
    if version.in_force_at is None or not length.months:
        return False
    where = zone(version.document.entry_into_force.zone)
    return terms_begun(version.in_force_at, length, max(at_ms, version.in_force_at), where) > version.renewals


def end_of(version: Version, departures: Mapping[str, Departure]) -> End | None:
    """Give when a version is over by what is known; None where nothing ends it."""
    if not departures and version.document.duration.kind is DurationKind.INDEFINITE:
        return None
    ends = [end for end in (_by_term(version), _by_departures(version, departures)) if end is not None]
    return min(ends, key=lambda end: end.at_ms, default=None)


def _by_term(version: Version) -> End | None:
    if version.document.duration.renewal is Renewal.TACIT:
        return None
    at = term_at(version, 0)
    return None if at is None else End(at, EXPIRED)


def _by_departures(version: Version, departures: Mapping[str, Departure]) -> End | None:
    since = version.bound_from
    if not since and version.signed_at is not None:
        # Before its entry into force it may bind those who signed provisionally, and they may leave as well.
        since = dict.fromkeys(version.signed, version.signed_at)
    for at, party in sorted((departures[party].at_ms, party) for party in since if party in departures):
        if len(_staying(since, departures, at)) < 2:
            return End(at, TERMINATED if departures[party].by_notice else EXPIRED)
    return None


def _staying(since: Mapping[str, int], departures: Mapping[str, Departure], at_ms: int) -> frozenset[str]:
    return frozenset(
        party
        for party, begins in since.items()
        if begins <= at_ms and not (party in departures and departures[party].at_ms <= at_ms)
    )
