"""What must hold in the sections on an agreement's life: from its kind and entry into force to its end and its annexes.

In the document's order: only an arrangement names its umbrella, by another id, and an umbrella grants nothing; a rule of
entry has exactly the fields it needs, a minimum of at least two parties, a zone of the IANA database; a term has one length
or one end, and is renewed only by its length; reminders descend; a period of notice is positive; provisional clauses are
grants of this agreement, applied only where something lies between signature and entry into force; an amendment replaces
the version before it; an annex has an id of its own, clauses, and where notes change it the role that writes them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise

from comity_policy.calendar import CalendarError, zone
from comity_policy.clauses import Scope
from comity_policy.facts import Role
from comity_policy.faults import AGREEMENT_ID, Fault, digest_faults, time_faults
from comity_policy.sections import (
    AgreementKind,
    AmendedBy,
    Annex,
    Document,
    Duration,
    DurationKind,
    EntryIntoForce,
    EntryOffset,
    EntryRule,
    Renewal,
)
from comity_policy.toml_lines import Path

LONGEST_DAYS = 36_525
LONGEST_MONTHS = 1_200
NOTE_ROLES = frozenset({Role.LIAISON, Role.RELEASE_AUTHORITY, Role.SECURITY_AUTHORITY, Role.PLENIPOTENTIARY})

_ANNEX_ID = re.compile(r"[A-Z0-9](?:[A-Za-z0-9-]{0,14}[A-Za-z0-9])?")
_NOTE_ROLES = {role.word: role for role in NOTE_ROLES}


def term_faults(document: Document) -> Iterator[Fault]:
    """Give what is wrong with the sections on the agreement's life."""
    yield from _kind(document)
    yield from _entry(document, document.entry_into_force)
    yield from _duration(document.duration)
    yield from _order_of_dates(document)
    yield from _termination(document)
    yield from _provisional(document)
    yield from _amends(document)
    yield from _annexes(document)


def _kind(document: Document) -> Iterator[Fault]:
    under = document.under
    if document.kind == AgreementKind.ARRANGEMENT and under is None:
        yield Fault((), "an arrangement names its umbrella: section 'under' is missing")
    if document.kind != AgreementKind.ARRANGEMENT and under is not None:
        yield Fault(("under",), f'only an arrangement has an umbrella; write kind = "{AgreementKind.ARRANGEMENT}"')
    if under is not None:
        if not AGREEMENT_ID.fullmatch(under.agreement) or under.agreement == document.id:
            yield Fault(("under", "agreement"), "must be the id of another agreement")
        yield from digest_faults(under.digest, ("under", "digest"))
    if document.kind == AgreementKind.UMBRELLA:
        for clause, path in zip(document.clauses, document.clause_paths(), strict=True):
            if isinstance(clause, Scope):
                yield Fault((*path, "kind"), "an umbrella grants nothing: its arrangements do")


def _entry(document: Document, entry: EntryIntoForce) -> Iterator[Fault]:
    path: Path = ("entry_into_force",)
    fixed = entry.rule is EntryRule.FIXED_DATE
    yield from _paired(entry.at, needed=fixed, path=path, name="at")
    if entry.offset is not None:
        if fixed:
            yield Fault((*path, "offset"), "has no meaning under this rule; leave it out")
        yield from _offset(entry.offset, (*path, "offset"))
    if entry.minimum is not None and not 2 <= entry.minimum <= len(document.parties):
        yield Fault((*path, "minimum"), f"must be from 2 to {len(document.parties)}, as many as there are parties")
    try:
        zone(entry.zone)
    except CalendarError as error:
        yield Fault((*path, "zone"), str(error))


def _offset(offset: EntryOffset, path: Path) -> Iterator[Fault]:
    if (offset.days is None) == (offset.first_day_of_month is None):
        yield Fault(path, "must be either { days = n } or { first_day_of_month = n }")
    if offset.days is not None and not 1 <= offset.days <= LONGEST_DAYS:
        yield Fault((*path, "days"), f"must be from 1 to {LONGEST_DAYS}")
    if offset.first_day_of_month is not None and not 1 <= offset.first_day_of_month <= LONGEST_MONTHS:
        yield Fault((*path, "first_day_of_month"), f"must be from 1 to {LONGEST_MONTHS}")


def _duration(duration: Duration) -> Iterator[Fault]:
    path: Path = ("duration",)
    if duration.kind is DurationKind.INDEFINITE:
        said = (duration.years, duration.months, duration.renewal is not Renewal.NONE, duration.remind_days)
        for name, given in zip(("years", "months", "renewal", "remind_days"), said, strict=True):
            if given:
                yield Fault((*path, name), "has no meaning for an indefinite agreement; leave it out")
        yield from _paired(duration.until, needed=False, path=path, name="until")
        return
    if min(duration.years, duration.months) < 0 or 12 * duration.years + duration.months > LONGEST_MONTHS:
        yield Fault((*path, "years" if duration.years else "months"), "must be a positive length of at most 100 years")
    if duration.length is not None:
        yield from _paired(duration.until, needed=False, path=path, name="until")
    elif duration.until is None:
        yield Fault(path, "a term has a length ('years', 'months') or an end ('until' with a UTC date and time)")
    else:
        yield from time_faults(duration.until, (*path, "until"))
        if duration.renewal is not Renewal.NONE:
            yield Fault((*path, "renewal"), "a term is renewed by its length: write 'years' or 'months', not 'until'")
    yield from _reminders(duration.remind_days, (*path, "remind_days"))


def _reminders(days: tuple[int, ...], path: Path) -> Iterator[Fault]:
    for position, count in enumerate(days):
        if not 1 <= count <= LONGEST_DAYS:
            yield Fault((*path, position), f"must be from 1 to {LONGEST_DAYS} days")
    for position, (earlier, later) in enumerate(pairwise(days), start=1):
        if later >= earlier:
            yield Fault((*path, position), "reminders go from the earliest to the last: fewer days each")


def _order_of_dates(document: Document) -> Iterator[Fault]:
    begins, ends = document.entry_into_force.at, document.duration.until
    if begins is not None and ends is not None and ends <= begins:
        yield Fault(("duration", "until"), "must be later than the entry into force")


def _termination(document: Document) -> Iterator[Fault]:
    if document.termination is None:
        return
    notice = document.termination.notice
    parts = (notice.months, notice.weeks, notice.days)
    if min(parts) < 0 or not 1 <= 31 * notice.months + 7 * notice.weeks + notice.days <= LONGEST_DAYS:
        yield Fault(("termination", "notice"), "must be a positive length of time of at most 100 years")


def _provisional(document: Document) -> Iterator[Fault]:
    provisional, entry = document.provisional, document.entry_into_force
    if provisional is None:
        return
    path: Path = ("provisional",)
    if entry.rule is EntryRule.ON_SIGNATURE and entry.offset is None:
        yield Fault(path, "nothing lies between signature and entry into force; leave it out")
    yield from time_faults(provisional.until, (*path, "until"))
    if not provisional.clauses:
        yield Fault((*path, "clauses"), "is empty")
    known = {clause.id: clause for clause in document.clauses}
    seen: set[str] = set()
    for position, clause_id in enumerate(provisional.clauses):
        place: Path = (*path, "clauses", position)
        if clause_id not in known:
            yield Fault(place, f"there is no clause {clause_id!r}")
        elif not known[clause_id].grant:
            yield Fault(place, f"clause {clause_id} grants nothing; what clauses require holds from the first grant on")
        if clause_id in seen:
            yield Fault(place, f"{clause_id!r} is there already")
        seen.add(clause_id)


def _amends(document: Document) -> Iterator[Fault]:
    if document.amends is None:
        return
    if document.amends.version != document.version - 1 or document.version < 2:
        yield Fault(("amends", "version"), "an amendment has the version after the one that it replaces")
    yield from digest_faults(document.amends.digest, ("amends", "digest"))


def _annexes(document: Document) -> Iterator[Fault]:
    seen: set[str] = set()
    for number, annex in enumerate(document.annexes):
        path: Path = ("annex", number)
        if not _ANNEX_ID.fullmatch(annex.id):
            yield Fault((*path, "id"), "must be 1 to 16 letters, digits and '-', beginning with a capital or a digit")
        if annex.id in seen:
            yield Fault((*path, "id"), f"annex {annex.id!r} is there already")
        seen.add(annex.id)
        if not annex.clauses:
            yield Fault(path, "an annex has at least one clause, [[annex.clause]]")
        yield from _by(annex, (*path, "by"))


def _by(annex: Annex, path: Path) -> Iterator[Fault]:
    if annex.amended_by is AmendedBy.RATIFICATION:
        if annex.by:
            yield Fault(path, "has no meaning under ratification; leave it out")
    elif annex.by not in _NOTE_ROLES:
        known = ", ".join(sorted(_NOTE_ROLES))
        yield Fault(path, f"notes are written by a role: one of {known}")


def _paired(at: datetime | None, *, needed: bool, path: Path, name: str) -> Iterator[Fault]:
    if at is None:
        if needed:
            yield Fault(path, f"{name!r} is missing: a UTC date and time such as 2027-01-01T00:00:00Z")
    elif not needed:
        yield Fault((*path, name), "has no meaning under this rule; leave it out")
    else:
        yield from time_faults(at, (*path, name))
