"""One version of an agreement on its way: rounds of texts, reviews, signatures, completions, entry into force.

Rules in order:

1. PROPOSE brings the first text, COUNTER another one: the texts are rounds of one negotiation, and what was reviewed,
   objected to, initialled or signed is so of exactly one text. A new round begins with nothing.
2. INITIAL freezes the text once every party has; so does a first signature. A frozen text is countered only while somebody's
   objection is open, and never when as many have signed as it needs.
3. A party's legal reviewer signs off clause by clause (REVIEW_CLAUSES) or all at once (REVIEW), or objects to clauses
   (OBJECT). An objection blocks every signature until the same party signs the clause off or a new text takes its place.
4. SIGN is for the plenipotentiary of a party whose review is complete, while no objection is open.
5. NOTIFY_COMPLETION, under ``after-later-receipt`` alone, says that a party's internal procedures are done. The first RECEIVE
   by another party fixes the date that counts: the log's time of the receipt.
6. A version enters into force when enough parties have done all this and signed the terms of one log: all, or the minimum
   of the first version; of a later version all who are bound then. The moment is fixed by that last act and never moves: its
   own time, the fixed date, or the later of the receipts, with the offset in the agreement's zone, and never before that
   act. A party that comes later is bound from its own moment by the same rule.
7. An exchange of notes is such a version too, of which the notes are the signatures and the last note's time the entry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType

from comity_policy.calendar import effect, zone
from comity_policy.sections import Document, EntryRule
from comity_policy.steps import Step, StepKind
from comity_policy.transitions import TransitionFault, require

Enough = Callable[[frozenset[str]], bool]

KINDS = frozenset(
    {
        StepKind.INITIAL,
        StepKind.REVIEW,
        StepKind.REVIEW_CLAUSES,
        StepKind.OBJECT,
        StepKind.SIGN,
        StepKind.NOTIFY_COMPLETION,
        StepKind.RECEIVE,
    }
)


def _nobody() -> Mapping[str, frozenset[str]]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Completion:
    """What a party notified of its internal procedures: instrument, authority, the instrument's date, the step's digest."""

    instrument: str
    authority: str
    date: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version, its text on the table, and how far it has come. Moments are Unix milliseconds.

    `rounds` are the steps that brought a text, empty for a draft; `annex` is that of an exchange of notes. `receipts` maps
    the digest of a notification to who received it. `signed_at` is when enough had signed, `in_force_at` the entry into
    force, None while it is not fixed; `bound_from` says from when each party is bound. `renewals` counts the terms that were
    added to the first by all who are bound, `renewing` who of them has signed for one more.
    """

    document: Document
    digest: str
    rounds: tuple[Step, ...] = ()
    annex: str = ""
    signed_off: Mapping[str, frozenset[str]] = field(default_factory=_nobody)
    objections: Mapping[str, frozenset[str]] = field(default_factory=_nobody)
    initialled: frozenset[str] = frozenset()
    signed: frozenset[str] = frozenset()
    completed: Mapping[str, Completion] = field(default_factory=lambda: MappingProxyType({}))
    receipts: Mapping[str, frozenset[str]] = field(default_factory=_nobody)
    received_at: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    signed_at: int | None = None
    in_force_at: int | None = None
    bound_from: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    renewals: int = 0
    renewing: frozenset[str] = frozenset()

    @property
    def parties(self) -> frozenset[str]:
        """Give the parties the text names."""
        return frozenset(self.document.parties)

    @property
    def reviewed(self) -> frozenset[str]:
        """Give the parties whose reviewers signed off every clause."""
        every = {clause.id for clause in self.document.clauses}
        return frozenset(party for party, ids in self.signed_off.items() if ids == every)

    @property
    def needs_completion(self) -> bool:
        """Say whether internal procedures stand between signature and entry into force."""
        return self.document.entry_into_force.rule is EntryRule.AFTER_LATER_RECEIPT and not self.annex

    @property
    def received(self) -> frozenset[str]:
        """Give the parties whose completion another party has received."""
        return frozenset(self.received_at)

    @property
    def frozen(self) -> bool:
        """Say whether the text may not be countered any more."""
        return not self.objections and (bool(self.signed) or self.initialled == self.parties)

    @property
    def ready(self) -> frozenset[str]:
        """Give the parties that did all that this version asks of them, but for the log's terms."""
        return self.signed & self.received if self.needs_completion else self.signed

    def countered(self, document: Document, step: Step) -> Version:
        """Give the negotiation with a new text on the table."""
        return Version(document=document, digest=step.agreement_digest, rounds=(*self.rounds, step))


def admissible(version: Version, step: Step) -> None:
    """Raise TransitionError where one of `KINDS` may not be taken in this version; else do nothing."""
    name = version.document.id
    require(bool(version.rounds), f"{name} has not been proposed")
    require(not version.annex, f"annex {version.annex} is changed by notes: each party sends its own")
    match step.kind:
        case StepKind.INITIAL:
            require(version.in_force_at is None, f"{name} is in force by rule: nothing is left to initial")
            require(not version.objections, f"{name} cannot be initialled: {_objected(version)}")
            require(step.party not in version.initialled, f"{step.party} has initialled {name} already")
        case StepKind.REVIEW:
            require(step.party not in version.reviewed, f"{step.party} has reviewed {name} already")
        case StepKind.REVIEW_CLAUSES:
            done = version.signed_off.get(step.party, frozenset())
            _known_clauses(version, step)
            for clause_id in step.clauses:
                require(clause_id not in done, f"{step.party} has signed off clause {clause_id} already")
        case StepKind.OBJECT:
            _objection_admissible(version, step)
        case StepKind.SIGN:
            require(version.in_force_at is None, f"{name} is in force by rule: a party that comes later accedes")
            may_sign(version, step)
        case StepKind.NOTIFY_COMPLETION:
            _notification_admissible(version, step)
        case _:
            _receipt_admissible(version, step)


def may_sign(version: Version, step: Step) -> None:
    """Raise TransitionError where a party's review or somebody's objection stands against its signature."""
    name = version.document.id
    require(step.party not in version.signed, f"{step.party} has signed {name} already")
    require(step.party in version.reviewed, f"{step.party} has not reviewed {name}: no signature before")
    require(not version.objections, f"{name} cannot be signed: {_objected(version)}")


def counter_admissible(version: Version, step: Step) -> None:
    """Raise TransitionError where the text on the table may not be countered; else do nothing."""
    name = version.document.id
    require(bool(version.rounds), f"{name} has not been proposed")
    require(not version.annex, f"annex {version.annex} is changed by notes: answer with a note, or not at all")
    require(version.signed_at is None, f"{name} is signed by as many as it needs: propose an amendment")
    require(not version.frozen, f"the text of {name} is frozen: an objection opens it again")
    require(step.agreement_digest != version.digest, "the text is the one on the table", TransitionFault.DIGEST)


def applied(version: Version, step: Step) -> Version:
    """Give the version after an admissible step of `KINDS` or an accession."""
    party, own = step.party, frozenset({step.party})
    match step.kind:
        case StepKind.INITIAL:
            return replace(version, initialled=version.initialled | own)
        case StepKind.REVIEW:
            return _signed_off(version, party, (clause.id for clause in version.document.clauses))
        case StepKind.REVIEW_CLAUSES:
            return _signed_off(version, party, step.clauses)
        case StepKind.OBJECT:
            objected = version.objections.get(party, frozenset()) | frozenset(step.clauses)
            return replace(
                version,
                objections=_with(version.objections, party, objected),
                signed_off=_with(version.signed_off, party, version.signed_off.get(party, frozenset()) - objected),
                initialled=version.initialled - own,
            )
        case StepKind.SIGN | StepKind.ACCEDE | StepKind.NOTES:
            return replace(version, signed=version.signed | own)
        case StepKind.NOTIFY_COMPLETION:
            said = Completion(step.instrument, step.authority, step.date, step.digest)
            return replace(version, completed=MappingProxyType({**version.completed, party: said}))
        case _:
            return _received(version, step)


def settled(version: Version, log_signed: Mapping[str, frozenset[str]], enough: Enough, at_ms: int) -> Version:
    """Give the version with what a step at `at_ms` fixed: enough signatures, entry into force, parties that joined.

    `log_signed` says who signed the terms of which log. Raises CalendarError for a moment no calendar has.
    """
    if version.in_force_at is not None:
        return _joined(version, log_signed, at_ms)
    for signers in log_signed.values():
        if version.signed_at is None and enough(version.signed & signers):
            version = replace(version, signed_at=at_ms)
        counted = version.ready & signers
        if enough(counted):
            at = _entry(version, counted, at_ms)
            return replace(version, in_force_at=at, bound_from=MappingProxyType(dict.fromkeys(sorted(counted), at)))
    return version


def _joined(version: Version, log_signed: Mapping[str, frozenset[str]], at_ms: int) -> Version:
    """Bind the parties that came after the entry into force; each signed the terms of every log that is open."""
    bound = frozenset(version.bound_from)
    open_logs = [signers for signers in log_signed.values() if signers >= bound]
    joining = {
        party: max(version.in_force_at or 0, _entry(version, frozenset({party}), at_ms))
        for party in sorted(version.ready - bound)
        if open_logs and all(party in signers for signers in open_logs)
    }
    return replace(version, bound_from=MappingProxyType({**version.bound_from, **joining})) if joining else version


def _entry(version: Version, counted: frozenset[str], at_ms: int) -> int:
    entry = version.document.entry_into_force
    if version.annex:
        return at_ms
    if entry.at is not None:
        return max(at_ms, milliseconds(entry.at))
    event = max(version.received_at[party] for party in counted) if version.needs_completion else at_ms
    return at_ms if entry.offset is None else max(at_ms, effect(event, entry.offset.of_calendar, zone(entry.zone)))


def _objection_admissible(version: Version, step: Step) -> None:
    name = version.document.id
    require(version.signed_at is None, f"{name} is signed by as many as it needs: propose an amendment, or suspend")
    require(step.party not in version.signed, f"{step.party} has signed {name}: it objects no more")
    require(bool(step.reason.strip()), "an objection states its reason")
    _known_clauses(version, step)
    for clause_id in step.clauses:
        open_one = clause_id in version.objections.get(step.party, frozenset())
        require(not open_one, f"{step.party} objects to clause {clause_id} already")


def _notification_admissible(version: Version, step: Step) -> None:
    name = version.document.id
    require(version.needs_completion, f"{name} asks for no completion: its rule of entry does without")
    require(step.party in version.signed, f"{step.party} has not signed {name}: there is nothing to complete")
    require(step.party not in version.completed, f"{step.party} has notified its completion already")


def _receipt_admissible(version: Version, step: Step) -> None:
    sent = [party for party, one in version.completed.items() if one.digest == step.names]
    require(bool(sent), "there is no notification of completion with this digest", TransitionFault.DIGEST)
    require(sent[0] != step.party, f"{step.party} notified it itself: another party receives it")
    received = step.party in version.receipts.get(step.names, frozenset())
    require(not received, f"{step.party} has received this notification already")


def _received(version: Version, step: Step) -> Version:
    receivers = version.receipts.get(step.names, frozenset()) | {step.party}
    sender = next(party for party, one in version.completed.items() if one.digest == step.names)
    at = version.received_at.get(sender, step.at_ms)
    return replace(
        version,
        receipts=_with(version.receipts, step.names, receivers),
        received_at=MappingProxyType({**version.received_at, sender: at}),
    )


def _signed_off(version: Version, party: str, clauses: Iterable[str]) -> Version:
    ids = frozenset(clauses)
    objections = dict(version.objections)
    left = objections.pop(party, frozenset()) - ids
    if left:
        objections[party] = left
    done = version.signed_off.get(party, frozenset()) | ids
    return replace(version, signed_off=_with(version.signed_off, party, done), objections=MappingProxyType(objections))


def _known_clauses(version: Version, step: Step) -> None:
    known = {clause.id for clause in version.document.clauses}
    require(bool(step.clauses), f"{step.kind.value} names no clause")
    for clause_id in step.clauses:
        require(clause_id in known, f"{version.document.id} has no clause {clause_id}")


def _objected(version: Version) -> str:
    open_ones = (f"{party} objects to {', '.join(sorted(ids))}" for party, ids in sorted(version.objections.items()))
    return "; ".join(open_ones)


def _with(mapping: Mapping[str, frozenset[str]], key: str, value: frozenset[str]) -> Mapping[str, frozenset[str]]:
    return MappingProxyType({**mapping, key: value})


def milliseconds(at: datetime) -> int:
    """Give a moment of a document in Unix milliseconds."""
    return int(at.timestamp()) * 1000
