"""What an agreement's steps amount to at a moment: the value that the fold gives, and what is read off it.

Time alone changes it too: a version enters into force, a term is over, a notice takes effect. So nothing here is stored that
depends on the moment; `State.at` gives the same steps at another one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType

from comity_policy.binding import Departure, End, bound_at, end_of, term_at
from comity_policy.calendar import LATEST_MS, reminders, zone
from comity_policy.clauses import Scope
from comity_policy.facts import AgreementState
from comity_policy.history import Event, told
from comity_policy.holds import Holds, named
from comity_policy.negotiation import Version, milliseconds
from comity_policy.sections import Document
from comity_policy.steps import LogTerms, Step

WHOLE = ""
_NO_HOLDS = Holds()


class Phase(StrEnum):
    """Where an agreement stands. COUNTERED also while an objection is open; NOTICE_GIVEN is still in force."""

    DRAFT = "DRAFT"
    PROPOSED = "PROPOSED"
    COUNTERED = "COUNTERED"
    INITIALLED = "INITIALLED"
    REVIEWED = "REVIEWED"
    SIGNED = "SIGNED"
    COMPLETED = "COMPLETED"
    PROVISIONAL = "PROVISIONAL"
    IN_FORCE = "IN_FORCE"
    NOTICE_GIVEN = "NOTICE_GIVEN"
    SUSPENDED = "SUSPENDED"
    EXPIRED = "EXPIRED"
    TERMINATED = "TERMINATED"


_BINDING = frozenset({Phase.PROVISIONAL, Phase.IN_FORCE, Phase.NOTICE_GIVEN})
_OVER = frozenset({Phase.EXPIRED, Phase.TERMINATED})
_BINDING_NO_MORE = _OVER | {Phase.SUSPENDED}


@dataclass(frozen=True, slots=True)
class Dispute:
    """A dispute about a report, a decision or a log entry, named by the digest of the step that opened it.

    It holds until each of `between` has closed it, or until its deadline.
    """

    opened: Step
    between: frozenset[str]
    until_ms: int
    closed_by: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What the steps amount to at a time, in Unix milliseconds.

    `versions` are the first version, those that took its place, and last one that may still be on its way. `suspensions`
    are who suspended what, the whole under WHOLE. `chain_head` and `party_heads` are the digests that the next steps must
    follow; `logs` are the logs' terms, `log_signed` who signed which. `caveats` maps (party, caveat) to the digest of its
    text.
    """

    texts: Mapping[str, Document] = field(repr=False)
    versions: tuple[Version, ...]
    now_ms: int = 0
    logs: Mapping[str, LogTerms] = field(default_factory=lambda: MappingProxyType({}))
    log_signed: Mapping[str, frozenset[str]] = field(default_factory=lambda: MappingProxyType({}))
    suspensions: Mapping[str, frozenset[str]] = field(default_factory=lambda: MappingProxyType({}))
    departures: Mapping[str, Departure] = field(default_factory=lambda: MappingProxyType({}))
    disputes: tuple[Dispute, ...] = ()
    caveats: Mapping[tuple[str, str], str] = field(default_factory=lambda: MappingProxyType({}))
    chain_head: str = ""
    party_heads: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    steps: tuple[Step, ...] = ()

    def at(self, now_ms: int) -> State:
        """Give the same steps at another time, not before the last of them."""
        least = self.steps[-1].at_ms if self.steps else 0
        return replace(self, now_ms=min(max(now_ms, least), LATEST_MS))

    # --- the version that counts ------------------------------------------------------------------------------------

    @property
    def current(self) -> Version:
        """Give the version that binds or bound last; before the first entry into force the one on the table."""
        return self.governing(self.now_ms)

    def governing(self, at_ms: int) -> Version:
        """Give the version that governs what is shared at that time, as far as is known now."""
        found = self.versions[0]
        for version in self.versions[1:]:
            end = end_of(found, self.departures)
            if version.in_force_at is None or version.in_force_at > at_ms:
                break
            if end is not None and end.at_ms <= version.in_force_at:
                break
            found = version
        return found

    @property
    def governed(self) -> tuple[Version, ...]:
        """Give the versions that govern or governed, the current one last."""
        return self.versions if self.pending is None else self.versions[:-1]

    @property
    def pending(self) -> Version | None:
        """Give the version that is on its way beside the current one, None where there is none."""
        last = self.versions[-1]
        return None if last is self.current else last

    @property
    def document(self) -> Document:
        """Give the current version's text."""
        return self.current.document

    @property
    def digest(self) -> bytes:
        """Give the current version's digest, 48 bytes."""
        return bytes.fromhex(self.current.digest)

    @property
    def proposed(self) -> bool:
        """Say whether the current version has been proposed."""
        return bool(self.current.rounds)

    @property
    def reviewed(self) -> frozenset[str]:
        """Give the parties whose reviewers signed off every clause of the current version."""
        return self.current.reviewed

    @property
    def signed(self) -> frozenset[str]:
        """Give the parties that signed the current version."""
        return self.current.signed

    @property
    def in_force_at(self) -> int | None:
        """Give when the current version entered (or will enter) into force, None while that is not fixed."""
        return self.current.in_force_at

    # --- whom it binds, and until when ------------------------------------------------------------------------------

    def enough(self, parties: frozenset[str]) -> bool:
        """Say whether these are as many as the first version needs: all its parties, or its minimum."""
        document = self.versions[0].document
        minimum = document.entry_into_force.minimum
        return len(parties & document.parties.keys()) >= (len(document.parties) if minimum is None else minimum)

    @property
    def end(self) -> End | None:
        """Give when the current version is over and why, None where nothing known ends it."""
        return end_of(self.current, self.departures)

    @property
    def ends_at(self) -> int | None:
        """Give the first moment at which the agreement is over, None where nothing known ends it."""
        end = self.end
        return None if end is None else end.at_ms

    @property
    def term_ends_at(self) -> int | None:
        """Give the end of the term that runs, also where it will be renewed; None where there is none."""
        return term_at(self.current, self.now_ms)

    @property
    def reminders(self) -> tuple[int, ...]:
        """Give the moments at which the parties are reminded of the running term's end, the earliest first."""
        ends = self.term_ends_at
        if ends is None:
            return ()
        document = self.document
        return reminders(ends, document.duration.remind_days, zone(document.entry_into_force.zone))

    @property
    def bound(self) -> frozenset[str]:
        """Give the parties that are bound now: by force, or provisionally; none before and after."""
        version = self.current
        return self._bound(version, self._phase(version))

    @property
    def ever_bound(self) -> frozenset[str]:
        """Give the parties that are bound now or were: what they hold they account for after they left, too."""
        was = {party for version in self.governed for party, at in version.bound_from.items() if at <= self.now_ms}
        first = self.versions[0]
        provisional = first.document.provisional is not None and (first.signed_at or LATEST_MS) <= self.now_ms
        return self.bound.union(was, first.signed if provisional else ())

    @property
    def provisional_clauses(self) -> frozenset[str] | None:
        """Give the grants that apply provisionally now, None where nothing is applied provisionally."""
        version, provisional = self.current, self.current.document.provisional
        return frozenset(provisional.clauses) if provisional is not None and self._is_provisional(version) else None

    @property
    def notices(self) -> frozenset[str]:
        """Give the parties whose notice or withdrawal runs now."""
        return frozenset(party for party, one in self.departures.items() if one.by_notice and self.now_ms < one.at_ms)

    @property
    def ended(self) -> str:
        """Give EXPIRED or TERMINATED where the agreement is over now, else nothing."""
        end = self.end
        return end.reason if end is not None and self.now_ms >= end.at_ms else ""

    # --- what was suspended, disputed, logged -----------------------------------------------------------------------

    @property
    def whole_suspended_by(self) -> frozenset[str]:
        """Give the parties that suspended the whole agreement and have not left it."""
        return self._still_here(self.suspensions.get(WHOLE, frozenset()))

    @property
    def suspended_by(self) -> Mapping[str, frozenset[str]]:
        """Give who suspended which single clause of the current version and has not left it."""
        return self._suspended_in(self.document)

    def _suspended_in(self, document: Document) -> Mapping[str, frozenset[str]]:
        known = {clause.id for clause in document.clauses if clause.suspendable}
        found = {one: self._still_here(by) for one, by in self.suspensions.items() if one in known}
        return MappingProxyType({clause_id: by for clause_id, by in found.items() if by})

    @property
    def suspended_clauses(self) -> frozenset[str]:
        """Give the ids of clauses that somebody suspended singly."""
        return frozenset(self.suspended_by) if self.suspensions else frozenset()

    @property
    def open_disputes(self) -> tuple[Dispute, ...]:
        """Give the disputes that hold now, in the order in which they were opened."""
        return tuple(one for one in self.disputes if self.now_ms < one.until_ms and not one.closed_by >= one.between)

    def disputed(self, subject: str, subject_id: str) -> bool:
        """Say whether an open dispute names this report, decision or entry, in whatever way it writes it."""
        asked = (subject, named(subject, subject_id))
        return any((what, named(what, which)) == asked for what, which in self.disputed_names)

    @property
    def disputed_names(self) -> tuple[tuple[str, str], ...]:
        """Give what the open disputes are about, as they write it: (subject, id)."""
        return tuple((one.opened.subject, one.opened.subject_id) for one in self.open_disputes)

    def holds(self, speaking: Mapping[int, Collection[str]] = MappingProxyType({})) -> Holds:
        """Give what the open disputes hold; `speaking` has the ids of the reports that entries they name speak of."""
        return Holds.of(self.disputed_names, speaking) if self.disputes else _NO_HOLDS

    @property
    def open_logs(self) -> tuple[str, ...]:
        """Give the origins of the logs whose terms all needed parties signed: only there may reports be admitted."""
        bound = frozenset(self.current.bound_from) - self.departed
        return tuple(
            origin
            for origin, parties in self.log_signed.items()
            if (parties >= bound if bound else self.enough(parties))
        )

    # --- what follows -----------------------------------------------------------------------------------------------

    @property
    def phase(self) -> Phase:
        """Give where the agreement stands."""
        return self._phase(self.current)

    def phase_of(self, version: Version) -> Phase:
        """Give where one of `versions` stands: `pending` has a negotiation of its own beside the one that binds."""
        return self._phase(version)

    def policy(self, version: Version | None = None) -> AgreementState:
        """Give what decisions need to know, for the text `document`; with an earlier `version`, for what was shared under it.

        A grant from or to a party that is not bound, and one that is not applied provisionally yet, counts as suspended:
        suspending a grant removes it, and nothing that somebody else required of it. Whether the agreement is in force, and
        whom it binds, is for the current version to say; an earlier one binds nobody whom it did not bind itself.
        """
        current = self.current
        version = version or current
        phase = self._phase(current)
        suspended = frozenset(self._suspended_in(version.document)) if self.suspensions else frozenset[str]()
        if phase not in _BINDING:
            reason = phase.value if phase in _BINDING_NO_MORE else "NOT_YET"
            return AgreementState(in_force=False, reason=reason, suspended_clauses=suspended)
        bound = self._bound(version, phase)
        if version is not current:
            bound &= self._bound(current, phase)
        without = self._without_effect(version, phase, bound)
        unbound = frozenset(version.document.parties) - bound
        return AgreementState(in_force=True, suspended_clauses=suspended | without, unbound=unbound)

    def version(self, digest: str) -> Version | None:
        """Give the version with that digest, in hex, which governs or governed; None for a text that never did."""
        return next((one for one in self.governed if one.digest == digest), None)

    @property
    def history(self) -> tuple[Event, ...]:
        """Give what happened until now, in order, with who and when; what time alone brought about included."""
        events = [told(step) for step in self.steps]
        for version in self.versions:
            if version.in_force_at is not None and self.governing(version.in_force_at) is version:
                number = version.document.version
                what = "entered into force" if version is self.versions[0] else f"version {number} entered into force"
                events.append(Event(version.in_force_at, what))
        if self.end is not None:
            events.append(Event(self.end.at_ms, self.end.reason.lower()))
        return tuple(sorted((one for one in events if one.at_ms <= self.now_ms), key=lambda event: event.at_ms))

    @property
    def turning_points(self) -> tuple[int, ...]:
        """Give the moments after now at which time alone may change what decisions need to know, ascending."""
        moments = {end.at_ms for version in self.versions if (end := end_of(version, self.departures)) is not None}
        moments |= {one.at_ms for one in self.departures.values()} | {one.until_ms for one in self.disputes}
        for version in self.versions:
            moments |= set(version.bound_from.values())
            if version.document.provisional is not None:
                moments.add(milliseconds(version.document.provisional.until))
        return tuple(sorted(moment for moment in moments if moment > self.now_ms))

    # --- inside -----------------------------------------------------------------------------------------------------

    def _phase(self, version: Version) -> Phase:
        end = end_of(version, self.departures)
        if end is not None and self.now_ms >= end.at_ms:
            return Phase(end.reason)
        if version.in_force_at is not None and self.now_ms >= version.in_force_at:
            if self.whole_suspended_by:
                return Phase.SUSPENDED
            return Phase.NOTICE_GIVEN if self.notices else Phase.IN_FORCE
        if self._is_provisional(version):
            return Phase.SUSPENDED if self.whole_suspended_by else Phase.PROVISIONAL
        return self._phase_of_negotiation(version)

    def _bound(self, version: Version, phase: Phase) -> frozenset[str]:
        if phase is Phase.PROVISIONAL:
            return self._provisional_parties(version)
        if version.in_force_at is None or self.now_ms < version.in_force_at or phase in _OVER:
            return frozenset()
        return bound_at(version, self.departures, self.now_ms)

    def _phase_of_negotiation(self, version: Version) -> Phase:
        if not version.rounds:
            return Phase.DRAFT
        if version.objections and version.signed_at is None:
            return Phase.COUNTERED
        if self.enough(version.signed):
            return Phase.COMPLETED if version.needs_completion and self.enough(version.ready) else Phase.SIGNED
        if version.reviewed == version.parties:
            return Phase.REVIEWED
        if version.initialled == version.parties:
            return Phase.INITIALLED
        return Phase.COUNTERED if len(version.rounds) > 1 else Phase.PROPOSED

    def _is_provisional(self, version: Version) -> bool:
        provisional = version.document.provisional
        if provisional is None or version.signed_at is None:
            return False
        entered = version.in_force_at is not None and self.now_ms >= version.in_force_at
        applied = not entered and version.signed_at <= self.now_ms < milliseconds(provisional.until)
        # Whoever has not signed the log's terms, or has left, applies nothing; one alone has nobody to apply it to.
        return applied and len(self._provisional_parties(version)) > 1

    def _provisional_parties(self, version: Version) -> frozenset[str]:
        signed = version.signed - self.departed
        return frozenset(party for party in signed if any(party in by for by in self.log_signed.values()))

    def _without_effect(self, version: Version, phase: Phase, bound: frozenset[str]) -> frozenset[str]:
        """Give the grants of a version that apply to nobody yet, or to somebody who is not bound."""
        document = version.document
        provisional = self.provisional_clauses if phase is Phase.PROVISIONAL else None
        if provisional is None and bound >= document.parties.keys():
            return frozenset()
        return frozenset(
            clause.id
            for clause in document.clauses
            if clause.grant
            and (
                (provisional is not None and clause.id not in provisional)
                or (isinstance(clause, Scope) and not bound >= {clause.from_party, clause.to_party})
            )
        )

    def _still_here(self, parties: frozenset[str]) -> frozenset[str]:
        return parties - self.departed if self.departures else parties

    @property
    def departed(self) -> frozenset[str]:
        """Give the parties that have left."""
        return frozenset(party for party, one in self.departures.items() if one.at_ms <= self.now_ms)
