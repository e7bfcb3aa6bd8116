"""The duties that follow from an agreement: who owes what until when, and whether it was done; a fold of dated facts.

What a decision leaves to be done afterwards, and what a clause asks of people, is a dated row with an owner and a proof. Rules in
order:

1. Facts are the agreement's steps (`State`), the acts that its log took, what was handed over, and what was answered. A fact later
   than the moment asked about is not known yet. Facts are sets: the order in which they come changes nothing.
2. A duty's id says all of it: kind, clause, owner, subject. The same facts give the same ids, and nothing is due twice.
3. In time is until the very millisecond of `due_ms`; one later is OVERDUE. What was done late is DONE and `late`.
4. From a hand-over: the recipient party acknowledges and reads within the time of its precedence (a recall's is FLASH's), both
   done by its first answer; and it ends its keeping at the admission's time and `longest`: by a certificate, or by the
   originator's release. Where the agreement ends and no surviving clause keeps the retention alive, keeping ends with it.
5. A version's clauses give the duties of what happened while it governed.
6. From acts: a declaration is reviewed; a breach is notified (from its discovery), reported and answered with measures. From
   steps: each party to a dispute closes it in the time to consult, later in the time to escalate; its deadline closes it too.
7. From time: each bound party attests its measures and reviews personal data at least so often, counted from the entry into force
   and then from the last time it did. Nothing new falls due after the end.
8. An open dispute is a legal hold: what it names is FROZEN, never due for destruction, until it is closed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from comity_policy.act_rules import is_held
from comity_policy.acts import Act, ActKind
from comity_policy.clauses import (
    Acknowledge,
    Breach,
    Disputes,
    Emergency,
    PersonalDataRule,
    PrecedenceRule,
    Retention,
    SecurityMeasures,
    Span,
    Survives,
)
from comity_policy.document import Document
from comity_policy.facts import Precedence
from comity_policy.state import Dispute, State
from comity_policy.steps import StepKind


class DutyKind(StrEnum):
    """What is owed."""

    ACKNOWLEDGE = "acknowledge"
    READ = "read"
    END_KEEPING = "end-keeping"
    REVIEW_EMERGENCY = "review-emergency"
    REVIEW_PERSONAL = "review-personal-data"
    NOTIFY_BREACH = "notify-breach"
    REPORT_BREACH = "report-breach"
    ANSWER_BREACH = "answer-breach"
    CONSULT = "consult"
    ESCALATE = "escalate"
    ATTEST = "attest-measures"

    @property
    def about_reports(self) -> bool:
        """Say whether it is about one report: then only its originator's party and its owner may know of it."""
        return self in {DutyKind.ACKNOWLEDGE, DutyKind.READ, DutyKind.END_KEEPING}


class DutyState(StrEnum):
    """Where a duty stands at a moment."""

    OPEN = "OPEN"
    DONE = "DONE"
    OVERDUE = "OVERDUE"
    FROZEN = "FROZEN"


@dataclass(frozen=True, slots=True, order=True)
class Duty:
    """One duty, owed by a party from `since_ms` until `due_ms`. `subject` is a report id, a digest, or the moment it counts from.

    Of a report `originator`, `leaf` and `entry` (the admission's) are known too.
    """

    due_ms: int
    id: str
    kind: DutyKind
    clause_id: str
    owner: str
    subject: str
    since_ms: int
    originator: str = ""
    leaf: str = ""
    entry: int = 0


@dataclass(frozen=True, slots=True)
class Tracked:
    """A duty as it stands at a moment; `done_at` is None while it is not done."""

    duty: Duty
    state: DutyState
    done_at: int | None = None

    @property
    def late(self) -> bool:
        """Say whether it was done, and after its time."""
        return self.done_at is not None and self.done_at > self.duty.due_ms


@dataclass(frozen=True, slots=True)
class Handover:
    """A report was handed to a node of a party: its id (32 hex digits), leaf, admission, and when."""

    report: str
    leaf: str
    entry: int
    admitted_at: int
    originator: str
    recipient: str
    precedence: Precedence
    at_ms: int


@dataclass(frozen=True, slots=True)
class Answer:
    """A party's node answered for a report, in whatever way ends its waiting."""

    report: str
    party: str
    at_ms: int


DoneKey = tuple[DutyKind, str, str]
_Firsts = Mapping[tuple[ActKind, str, str, str], int]
_ANSWERED: Final = (DutyKind.ACKNOWLEDGE, DutyKind.READ)
_AGAIN: Final = {DutyKind.ATTEST: ActKind.ATTEST, DutyKind.REVIEW_PERSONAL: ActKind.REVIEW_PERSONAL}


def duties(
    state: State, acts: Iterable[Act], handovers: Iterable[Handover], answers: Iterable[Answer], now_ms: int
) -> tuple[Tracked, ...]:
    """Give every duty that is known at a moment, the one that is due first first."""
    state = state.at(now_ms)
    known = tuple(sorted((one for one in acts if one.at_ms <= now_ms), key=lambda one: (one.log_index, one.digest)))
    done = done_by(known, answers, now_ms)
    found: dict[str, Tracked] = {}
    for handover in first_handovers(handovers, now_ms):
        for duty in duties_of_handover(state, handover):
            found[duty.id] = tracked(duty, done.get(key_of(duty)), state)
    for one in duties_of_cases(state, known):
        found[one.duty.id] = one
    return tuple(sorted(found.values(), key=lambda one: one.duty))


# --- from reports ---------------------------------------------------------------------------------------------------


def duties_of_handover(state: State, handover: Handover) -> Iterator[Duty]:
    """Give the duties of one hand-over, in the state of the moment asked about."""
    document = state.governing(handover.at_ms).document
    for clause in document.clauses:
        match clause:
            case Acknowledge():
                yield from _within(clause.id, DutyKind.ACKNOWLEDGE, clause.within, handover)
            case PrecedenceRule():
                yield from _within(clause.id, DutyKind.READ, clause.read_within, handover)
            case Retention():
                due = _kept_until(state, document, clause, handover)
                yield _of_report(clause.id, DutyKind.END_KEEPING, handover, handover.admitted_at, due)
            case _:
                continue


def done_by(acts: Iterable[Act], answers: Iterable[Answer], now_ms: int) -> Mapping[DoneKey, int]:
    """Give when each duty about a report was done first, by kind, owner and report."""
    done: dict[DoneKey, int] = {}
    for key, at_ms in (*_by_acts(acts), *_by_answers(answers)):
        if at_ms <= now_ms:
            done[key] = min(at_ms, done.get(key, at_ms))
    return done


def key_of(duty: Duty) -> DoneKey:
    """Give under which key `done_by` has a duty about a report."""
    return (
        duty.kind,
        duty.owner,
        f"{duty.originator} {duty.leaf}" if duty.kind is DutyKind.END_KEEPING else duty.subject,
    )


def tracked(duty: Duty, done_at: int | None, state: State) -> Tracked:
    """Give a duty as it stands at the state's moment."""
    if done_at is not None and done_at <= state.now_ms:
        return Tracked(duty, DutyState.DONE, done_at)
    if duty.kind is DutyKind.END_KEEPING and is_held(state, duty.subject, duty.leaf, duty.entry):
        return Tracked(duty, DutyState.FROZEN)
    return Tracked(duty, DutyState.OVERDUE if state.now_ms > duty.due_ms else DutyState.OPEN)


def stopped_by(state: State, found: Iterable[Tracked], party: str) -> frozenset[str]:
    """Give the acknowledge clauses under which a party is late beyond their limit: nothing but urgent goes to it then."""
    return frozenset(
        one.duty.clause_id
        for one in found
        if one.state is DutyState.OVERDUE
        and one.duty.owner == party
        and (at := stops_at(state.document, one.duty)) is not None
        and state.now_ms > at
    )


def stops_at(document: Document, duty: Duty) -> int | None:
    """Give the moment after which an undone acknowledgement stops what is not urgent; None for a duty that stops nothing."""
    if duty.kind is not DutyKind.ACKNOWLEDGE:
        return None
    for clause in document.clauses:
        if isinstance(clause, Acknowledge) and clause.id == duty.clause_id and clause.stop_after is not None:
            return duty.due_ms + clause.stop_after.milliseconds
    return None


def first_handovers(handovers: Iterable[Handover], now_ms: int) -> Sequence[Handover]:
    """Give the first hand-over of each report to each party: a party owes once, however many nodes and attempts there were."""
    first: dict[tuple[str, str], Handover] = {}
    for one in handovers:
        key = (one.recipient, one.leaf)
        before = first.get(key)
        if one.at_ms <= now_ms and (before is None or _order(one) < _order(before)):
            first[key] = one
    return tuple(first.values())


def _order(handover: Handover) -> tuple[int | str, ...]:
    return (
        handover.at_ms,
        handover.precedence,
        handover.entry,
        handover.admitted_at,
        handover.report,
        handover.originator,
    )


def _within(clause_id: str, kind: DutyKind, within: Mapping[str, Span], handover: Handover) -> Iterator[Duty]:
    span = within.get(handover.precedence.name)
    if span is not None:
        yield _of_report(clause_id, kind, handover, handover.at_ms, handover.at_ms + span.milliseconds)


def _kept_until(state: State, document: Document, clause: Retention, handover: Handover) -> int:
    due, end = handover.admitted_at + clause.longest.milliseconds, state.end
    survives = any(isinstance(one, Survives) and clause.id in one.clauses for one in document.clauses)
    return due if end is None or survives else min(due, end.at_ms)


def _of_report(clause_id: str, kind: DutyKind, handover: Handover, since_ms: int, due_ms: int) -> Duty:
    return Duty(
        due_ms=due_ms,
        id=_id(kind, clause_id, handover.recipient, handover.leaf),
        kind=kind,
        clause_id=clause_id,
        owner=handover.recipient,
        subject=handover.report,
        since_ms=since_ms,
        originator=handover.originator,
        leaf=handover.leaf,
        entry=handover.entry,
    )


def _by_acts(acts: Iterable[Act]) -> Iterator[tuple[DoneKey, int]]:
    for act in acts:
        if act.kind is ActKind.CERTIFY:
            holder, originator = act.party, act.originator
        elif act.kind is ActKind.RELEASE:
            holder, originator = act.holder, act.party
        else:
            continue
        for leaf in act.leaves:
            yield (DutyKind.END_KEEPING, holder, f"{originator} {leaf}"), act.at_ms


def _by_answers(answers: Iterable[Answer]) -> Iterator[tuple[DoneKey, int]]:
    for one in answers:
        for kind in _ANSWERED:
            yield (kind, one.party, one.report), one.at_ms


# --- from acts, steps and time --------------------------------------------------------------------------------------


def duties_of_cases(state: State, acts: Sequence[Act]) -> Iterator[Tracked]:
    """Give the duties that no report is the subject of; `acts` are those known at the state's moment, in the log's order."""
    first = _firsts(acts)
    for act in acts:
        if act.kind is ActKind.DECLARE:
            yield from _review(state, state.governing(act.at_ms).document, act, first)
        elif act.kind is ActKind.BREACH_OPEN:
            yield from _breach(state, state.governing(act.at_ms).document, act, first)
    closed = _closings(state) if state.disputes else {}
    for dispute in state.disputes:
        yield from _dispute(state, state.governing(dispute.opened.at_ms).document, dispute, closed)
    for clause in state.document.clauses:
        if isinstance(clause, SecurityMeasures):
            yield from _recurring(state, clause.id, DutyKind.ATTEST, clause.attest_every, acts)
        elif isinstance(clause, PersonalDataRule):
            yield from _recurring(state, clause.id, DutyKind.REVIEW_PERSONAL, clause.review_every, acts)


def _firsts(acts: Sequence[Act]) -> _Firsts:
    """Give when each act was first answered by its own party: by kind of the answer, digest, party and stage."""
    first: dict[tuple[ActKind, str, str, str], int] = {}
    for one in acts:
        if one.names:
            key = (one.kind, one.names, one.party, one.stage)
            first[key] = min(one.at_ms, first.get(key, one.at_ms))
    return first


def _closings(state: State) -> dict[tuple[str, str], int]:
    """Give when each party closed each dispute, by the digest of its opening and the party."""
    return {(one.names, one.party): one.at_ms for one in state.steps if one.kind is StepKind.DISPUTE_CLOSE}


def _review(state: State, document: Document, declared: Act, first: _Firsts) -> Iterator[Tracked]:
    done = first.get((ActKind.REVIEW, declared.digest, declared.party, ""))
    for clause in document.clauses:
        if isinstance(clause, Emergency):
            times = declared.at_ms, declared.at_ms + clause.review_within.milliseconds
            duty = _case(DutyKind.REVIEW_EMERGENCY, clause.id, declared.party, declared.digest, times)
            yield tracked(duty, done, state)


def _breach(state: State, document: Document, opened: Act, first: _Firsts) -> Iterator[Tracked]:
    found, at, owner, subject = opened.discovered_at, opened.at_ms, opened.party, opened.digest
    reported = first.get((ActKind.BREACH_UPDATE, subject, owner, "initial-report"))
    measures = first.get((ActKind.BREACH_UPDATE, subject, owner, "measures"))
    for clause in document.clauses:
        if isinstance(clause, Breach):
            for kind, since, span, done in (
                (DutyKind.NOTIFY_BREACH, found, clause.notify, at),
                (DutyKind.REPORT_BREACH, at, clause.initial_report, reported),
                (DutyKind.ANSWER_BREACH, at, clause.measures, measures),
            ):
                duty = _case(kind, clause.id, owner, subject, (since, since + span.milliseconds))
                yield tracked(duty, done, state)


def _dispute(
    state: State, document: Document, dispute: Dispute, closed: Mapping[tuple[str, str], int]
) -> Iterator[Tracked]:
    at, subject = dispute.opened.at_ms, dispute.opened.digest
    for clause in document.clauses:
        if isinstance(clause, Disputes):
            for owner in sorted(dispute.between):
                done = min(closed.get((subject, owner), dispute.until_ms), dispute.until_ms)
                for kind, span in ((DutyKind.CONSULT, clause.consult), (DutyKind.ESCALATE, clause.escalate)):
                    yield tracked(_case(kind, clause.id, owner, subject, (at, at + span.milliseconds)), done, state)


def _recurring(state: State, clause_id: str, kind: DutyKind, every: Span, acts: Sequence[Act]) -> Iterator[Tracked]:
    for owner in sorted(state.document.parties):
        base = min((one.bound_from[owner] for one in state.versions if owner in one.bound_from), default=None)
        if base is None or base > state.now_ms:
            continue
        taken = {one.at_ms for one in acts if one.kind is _AGAIN[kind] and one.party == owner and one.at_ms > base}
        times, over = (base, *sorted(taken)), _over(state, owner)
        for since, done in zip(times, (*times[1:], None), strict=True):
            due = since + every.milliseconds
            if done is not None or over is None or due < over:
                yield tracked(_case(kind, clause_id, owner, str(since), (since, due)), done, state)


def _over(state: State, party: str) -> int | None:
    """Give when nothing new falls due for a party any more: the agreement's end, or its own departure."""
    end, left = state.end, state.departures.get(party)
    ends = [one.at_ms for one in (end, left) if one is not None]
    return min(ends, default=None)


def _case(kind: DutyKind, clause_id: str, owner: str, subject: str, times: tuple[int, int]) -> Duty:
    since, due = times
    return Duty(due, _id(kind, clause_id, owner, subject), kind, clause_id, owner, subject, since)


def _id(kind: DutyKind, clause_id: str, owner: str, subject: str) -> str:
    return f"{kind.value}/{clause_id}/{owner}/{subject}"
