"""What a party is reminded of ahead: a term that ends, a departure, an entry into force, what lapses by its date. Pure.

Rules in order:
1. Of a term's end a party is reminded from the first of the agreement's `remind_days` on, or 30 days ahead where it names none.
   Whoever signed an express renewal waits for the others; nobody is reminded of a term whose successor is agreed on.
2. Of what a step brought about (a notice, a withdrawal, an objection, a version on its way into force) it is reminded from that
   step on; of what lapses by a date (provisional application, a dispute and the hold with it) 30 days ahead.
3. A reminder ends with the moment it is about. Duties have dates of their own (`obligations.py`).

    for one in reminders_of(state, "XAR"):
        one.at_ms, one.kind, one.words
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from comity_policy.binding import in_last_term
from comity_policy.negotiation import milliseconds
from comity_policy.sections import Renewal
from comity_policy.state import State

AHEAD_MS = 30 * 86_400_000


class ReminderKind(StrEnum):
    """What comes."""

    RENEW = "renew"
    RENEWS = "renews"
    LAPSES = "lapses"
    LEAVES = "leaves"
    ENDS = "ends"
    BEGINS = "begins"
    PROVISIONAL = "provisional-ends"
    DISPUTE = "dispute-lapses"


@dataclass(frozen=True, slots=True, order=True)
class Reminder:
    """What comes at `at_ms`, told from `from_ms` on; `words` say it, `names` is a dispute's digest or a party, where it is about one."""

    at_ms: int
    kind: ReminderKind
    words: str
    from_ms: int
    names: str = ""


def reminders_of(state: State, party: str) -> tuple[Reminder, ...]:
    """Give what a party of an agreement is reminded of at the state's moment, the next one first."""
    return tuple(one for one in coming(state, party) if one.from_ms <= state.now_ms)


def coming(state: State, party: str) -> tuple[Reminder, ...]:
    """Give everything that is known to come for a party, also what it is not reminded of yet."""
    found = (*_term(state, party), *_departures(state), *_versions(state), *_disputes(state))
    return tuple(sorted(one for one in found if one.at_ms > state.now_ms))


def _term(state: State, party: str) -> Iterator[Reminder]:
    ends, renewal = state.term_ends_at, state.document.duration.renewal
    if ends is None or state.ended or party not in state.bound:
        return
    first = min(state.reminders, default=ends - AHEAD_MS)
    if renewal is Renewal.TACIT:
        leaves = state.departures.get(party)
        if leaves is None or leaves.at_ms > ends:
            yield Reminder(
                ends, ReminderKind.RENEWS, "the term is renewed tacitly unless a party objects before", first
            )
    elif renewal is Renewal.EXPRESS and in_last_term(state.current, state.now_ms):
        lacking = sorted(state.bound - state.current.renewing)
        if party in lacking:
            words = f"the term ends and is not renewed before {', '.join(lacking)} signed for it"
            yield Reminder(ends, ReminderKind.RENEW, words, first)
        else:
            words = f"the term ends unless it is renewed: that waits for {', '.join(lacking)}"
            yield Reminder(ends, ReminderKind.LAPSES, words, first)
    elif renewal is Renewal.NONE:
        yield Reminder(ends, ReminderKind.LAPSES, "the term ends, and with it the agreement: it is not renewed", first)


def _departures(state: State) -> Iterator[Reminder]:
    for party, one in sorted(state.departures.items()):
        what = "its notice or withdrawal takes effect" if one.by_notice else "it objected to the renewal"
        yield Reminder(one.at_ms, ReminderKind.LEAVES, f"{party} leaves: {what}", one.said_ms, party)
    end = state.end
    if end is not None and state.departures:
        said = min(one.said_ms for one in state.departures.values())
        yield Reminder(end.at_ms, ReminderKind.ENDS, f"the agreement ends ({end.reason})", said)


def _versions(state: State) -> Iterator[Reminder]:
    for version in state.versions:
        at = version.in_force_at
        if at is not None:
            since = version.signed_at or at
            words = f"version {version.document.version} enters into force"
            yield Reminder(at, ReminderKind.BEGINS, words, since)
    provisional = state.current.document.provisional
    if provisional is not None and state.provisional_clauses is not None:
        until = milliseconds(provisional.until)
        words = "provisional application ends, unless the agreement is in force by then"
        yield Reminder(until, ReminderKind.PROVISIONAL, words, until - AHEAD_MS)


def _disputes(state: State) -> Iterator[Reminder]:
    for one in state.open_disputes:
        words = f"the dispute about {one.opened.subject} {one.opened.subject_id} lapses, and its hold with it"
        yield Reminder(one.until_ms, ReminderKind.DISPUTE, words, one.until_ms - AHEAD_MS, one.opened.digest)
