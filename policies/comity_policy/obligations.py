"""The duties that follow from an agreement: who owes what until when, and whether it was done; a fold of dated facts.

What a decision leaves to be done afterwards, and what a clause asks of people, is a dated row with an owner and a proof. Rules in
order:

1. Facts are the agreement's steps (`State`), the acts that its log took, what was handed over, and what was answered. A fact later
   than the moment asked about is not known yet. Facts are sets: the order in which they come changes nothing.
2. A duty's id says all of it: kind, clause, owner, subject. The same facts give the same ids, and nothing is due twice.
3. In time is until the very millisecond of `due_ms`; one later is OVERDUE. What was done late is DONE and `late`. What nothing can
   be done about any more without having been done is MISSED: a report that expired, or was given up, was not acknowledged.
4. From a hand-over: the recipient party acknowledges and reads within the time of its precedence (a recall's is FLASH's, and
   nobody has to read one). Its node's first answer acknowledges; an officer's word that it was read, or acted on, reads. What ends
   its waiting otherwise leaves both MISSED, until it answers or reads all the same. And it ends its keeping at the admission's time
   and `longest`: by a certificate, or by the originator's release. Where the agreement ends, or the recipient leaves it, and no
   surviving clause keeps the retention alive, keeping ends with it.
5. A version's clauses give the duties of what happened while it governed; how long a report is kept is of its admission, or of
   a later version that applies to what is held, whichever is shorter. What an umbrella says of reports is owed under its
   arrangements as well (`texts.py`).
6. From acts: a declaration is reviewed; a breach is notified (from its discovery), reported and answered with measures; personal
   data is corrected, in each report of which its originator told the holder that it is wrong. From
   steps: each party to a dispute closes it in the time to consult, later in the time to escalate; its deadline closes it too.
7. From time: each bound party attests its measures and reviews personal data at least so often, counted from the entry into force
   and then from the last time it did. Nothing new falls due after the end.
8. An open dispute is a legal hold: what it names (`holds.py`) is FROZEN, never due for destruction, until it is closed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from comity_policy.acts import Act, ActKind
from comity_policy.case_duties import duties_of_cases
from comity_policy.clauses import Acknowledge, PrecedenceRule, Retention, Span, Survives
from comity_policy.document import Document
from comity_policy.owed import Answer, Duty, DutyKind, DutyState, Handover, Tracked, duty_id, tracked
from comity_policy.state import State
from comity_policy.texts import Text, texts_at, texts_of_held

__all__ = [
    "Answer",
    "DoneKey",
    "Duty",
    "DutyKind",
    "DutyState",
    "Handover",
    "Tracked",
    "done_by",
    "duties",
    "duties_of_cases",
    "duties_of_handover",
    "first_handovers",
    "key_of",
    "stopped_by",
    "stops_at",
    "tracked",
]

DoneKey = tuple[DutyKind, str, str]
# What is missed where a report expired before it was answered for, or was given up.
_WAITING: Final = (DutyKind.ACKNOWLEDGE, DutyKind.READ)


def duties(
    state: State,
    acts: Iterable[Act],
    handovers: Iterable[Handover],
    answers: Iterable[Answer],
    now_ms: int,
    *,
    speaking: Mapping[int, Collection[str]] = MappingProxyType({}),
    above: State | None = None,
) -> tuple[Tracked, ...]:
    """Give every duty that is known at a moment, the one that is due first first.

    `speaking` has the ids of the reports that those entries speak of which disputes name (`State.holds`), `above` is the umbrella.
    """
    state = state.at(now_ms)
    holds = state.holds(speaking)
    known = tuple(sorted((one for one in acts if one.at_ms <= now_ms), key=lambda one: (one.log_index, one.digest)))
    told = tuple(answers)
    done, missed = done_by(known, told, now_ms), _missed_by(told, now_ms)
    found: dict[str, Tracked] = {}
    for handover in first_handovers(handovers, now_ms):
        for duty in duties_of_handover(state, handover, above):
            key = key_of(duty)
            found[duty.id] = tracked(duty, done.get(key), state, missed=key in missed, holds=holds)
    for one in duties_of_cases(state, known, above):
        found[one.duty.id] = one
    return tuple(sorted(found.values(), key=lambda one: one.duty))


# --- from reports ---------------------------------------------------------------------------------------------------


def duties_of_handover(state: State, handover: Handover, above: State | None = None) -> Iterator[Duty]:
    """Give the duties of one hand-over, in the state of the moment asked about; `above` is its umbrella's then."""
    for text in texts_at(state, handover.at_ms, above):
        for clause in text.document.clauses:
            match clause:
                case Acknowledge():
                    yield from _within(text.written(clause), DutyKind.ACKNOWLEDGE, clause.within, handover)
                case PrecedenceRule() if not handover.control:
                    yield from _within(text.written(clause), DutyKind.READ, clause.read_within, handover)
                case _:
                    continue
    keepings: dict[str, int] = {}
    for text in texts_of_held(state, handover.admitted_at, above):
        for clause in text.document.clauses:
            if isinstance(clause, Retention):
                due, name = _kept_until(text, clause, handover), text.written(clause)
                keepings[name] = min(due, keepings.get(name, due))
    for name, due in keepings.items():
        yield _of_report(name, DutyKind.END_KEEPING, handover, handover.admitted_at, due)


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


def _kept_until(text: Text, clause: Retention, handover: Handover) -> int:
    due = handover.admitted_at + clause.longest.milliseconds
    survives = any(isinstance(one, Survives) and clause.id in one.clauses for one in text.document.clauses)
    ends = (end for state in text.states for end in (state.end, state.departures.get(handover.recipient)))
    return due if survives else min((due, *(one.at_ms for one in ends if one is not None)))


def _of_report(clause_id: str, kind: DutyKind, handover: Handover, since_ms: int, due_ms: int) -> Duty:
    return Duty(
        due_ms=due_ms,
        id=duty_id(kind, clause_id, handover.recipient, handover.leaf),
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
        elif act.kind.of_handling:
            yield from (((DutyKind.READ, act.party, report), act.at_ms) for report in act.reports)
            continue
        else:
            continue
        for leaf in act.leaves:
            yield (DutyKind.END_KEEPING, holder, f"{originator} {leaf}"), act.at_ms


def _by_answers(answers: Iterable[Answer]) -> Iterator[tuple[DoneKey, int]]:
    for one in answers:
        if one.given:
            yield (DutyKind.ACKNOWLEDGE, one.party, one.report), one.at_ms
        if one.taken_back:
            yield (DutyKind.READ, one.party, one.report), one.at_ms


def _missed_by(answers: Iterable[Answer], now_ms: int) -> frozenset[DoneKey]:
    """Give what nobody can do any more: who gave an answer has the report, and may read it still."""
    known = [one for one in answers if one.at_ms <= now_ms]
    has = {(one.party, one.report) for one in known if one.given}
    ended = {(one.party, one.report) for one in known if not one.given} - has
    return frozenset((kind, *line) for line in ended for kind in _WAITING)
