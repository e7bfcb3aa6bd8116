"""The duties that follow from acts, steps and time, and not from a hand-over (`obligations.py`, rules 6 and 7)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from comity_policy.acts import Act, ActKind
from comity_policy.clauses import Breach, Disputes, Emergency, PersonalDataRule, SecurityMeasures, Span
from comity_policy.document import Document
from comity_policy.owed import Duty, DutyKind, Tracked, duty_id, tracked
from comity_policy.state import Dispute, State
from comity_policy.steps import StepKind
from comity_policy.texts import Text, texts_at

_Firsts = Mapping[tuple[ActKind, str, str, str], int]
_Corrected = tuple[str, str, str]
_SHORT: Final = 32
_AGAIN: Final = {DutyKind.ATTEST: ActKind.ATTEST, DutyKind.REVIEW_PERSONAL: ActKind.REVIEW_PERSONAL}


def duties_of_cases(state: State, acts: Sequence[Act], above: State | None = None) -> Iterator[Tracked]:
    """Give the duties that no hand-over brings; `acts` are those known at the state's moment, in the log's order.

    `above` is the umbrella: of reports it asks for corrections as the agreement itself does, its other cases are in its own log.
    """
    first = _firsts(acts)
    corrected = _corrections(acts)
    for act in acts:
        if act.kind is ActKind.DECLARE:
            yield from _review(state, state.governing(act.at_ms).document, act, first)
        elif act.kind is ActKind.BREACH_OPEN:
            yield from _breach(state, state.governing(act.at_ms).document, act, first)
        elif act.kind is ActKind.ASK_CORRECTION:
            for text in texts_at(state, act.at_ms, above):
                yield from _correction(state, text, act, corrected)
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


def _corrections(acts: Sequence[Act]) -> Mapping[_Corrected, Sequence[int]]:
    """Give when each holder corrected each report, by holder, originator and leaf, ascending."""
    found: dict[_Corrected, list[int]] = {}
    for one in acts:
        if one.kind is ActKind.CORRECTED:
            for leaf in one.leaves:
                found.setdefault((one.party, one.originator, leaf), []).append(one.at_ms)
    return {key: sorted(times) for key, times in found.items()}


def _correction(
    state: State, text: Text, asked: Act, corrected: Mapping[_Corrected, Sequence[int]]
) -> Iterator[Tracked]:
    for clause in text.document.clauses:
        if isinstance(clause, PersonalDataRule):
            due = asked.at_ms + clause.correct_within.milliseconds
            for report, leaf in zip(asked.reports, asked.leaves, strict=True):
                times = corrected.get((asked.holder, asked.party, leaf), ())
                duty = Duty(
                    due_ms=due,
                    # Each time of asking is one of its own; what the log is told names the leaf last.
                    id=duty_id(DutyKind.CORRECT, text.written(clause), asked.holder, f"{asked.digest[:_SHORT]}/{leaf}"),
                    kind=DutyKind.CORRECT,
                    clause_id=text.written(clause),
                    owner=asked.holder,
                    subject=report,
                    since_ms=asked.at_ms,
                    originator=asked.party,
                    leaf=leaf,
                )
                yield tracked(duty, next((at for at in times if at >= asked.at_ms), None), state)


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
    return Duty(due, duty_id(kind, clause_id, owner, subject), kind, clause_id, owner, subject, since)
