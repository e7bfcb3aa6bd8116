"""The book of one agreement's duties about reports, in memory: what is owed, what was answered, what the log was told of.

Rules in order:
1. What is owed is a line until it is answered, its moments lie in heaps: a line that was answered is taken out of them when they
   are mostly such lines, so they are never longer than a few times what is owed.
2. That something was answered is remembered until its day is over, on which the report expires: nothing is handed over later. The
   numbers of an agreement's reports are dense, so a day takes a pair of numbers, and one more for each hole.
3. A party that answers all the same takes back that it missed.
4. An answer is no reading. What is to be read is not kept as lines once it was answered: `unread` has one for each hand-over, whose
   entry is read again when the time is over. That something was read is remembered as that it was answered is. Of what the log was
   told was not read in time it is known for 30 days, so that its reading is told too.
Pure: moments are arguments, and nothing here reads a log.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from comity.runs import Runs
from comity_broker.auditlog.kinds import EventKind
from comity_policy.document import Document
from comity_policy.obligations import Duty, DutyKind, DutyState, Tracked, stops_at

DAY_MS: Final = 86_400_000
# So long after its time the log is still told that something was not read, or was read late.
TELLING_MS: Final = 30 * DAY_MS
ENDED: Final = {DutyState.DONE: EventKind.DUTY_DONE, DutyState.MISSED: EventKind.DUTY_MISSED}
_SLACK: Final = 1_024

# A party and a report's id: who owes, and about what.
Line = tuple[str, str]


@dataclass(frozen=True, slots=True)
class ToldOf:
    """The log was told of a duty."""

    kind: EventKind
    duty: Duty


@dataclass(frozen=True, slots=True)
class Numbered:
    """A report of the agreement: its id in hex, its number among all that were admitted, and when it expires."""

    report: str
    number: int
    expires_at: int


class Run(NamedTuple):
    """Reports with the numbers from `first` to `last`, all of which expire on one day."""

    first: int
    last: int
    day: int


@dataclass(slots=True)
class Book:
    """What is known of one agreement.

    `stops` has by (party, clause) when undone answers stop what is not urgent, `late` when they are overdue; `keeping` has when a
    hand-over's reports are to be destroyed, `unread` when they are to be read, and its entry. `told` are the duties that the log was told of, by their ids; `missed`
    what can only be done by another node of the party that has the report; `ended` what the log is to be told of next. `spoken` has
    which reports those entries speak of that disputes name.
    """

    cursor: int = 0
    owed: dict[Line, list[Duty]] = field(default_factory=dict)
    stops: dict[tuple[str, str], list[tuple[int, str]]] = field(default_factory=dict)
    late: list[tuple[int, str, str, str]] = field(default_factory=list)
    keeping: list[tuple[int, int]] = field(default_factory=list)
    unread: list[tuple[int, int]] = field(default_factory=list)
    over: frozenset[str] = frozenset()
    told: dict[str, ToldOf] = field(default_factory=dict)
    missed: dict[Line, tuple[int, list[Duty]]] = field(default_factory=dict)
    ended: list[Tracked] = field(default_factory=list)
    spoken: dict[int, frozenset[str]] = field(default_factory=dict)
    _answered: dict[tuple[str, int], Runs] = field(default_factory=dict)
    _read: dict[tuple[str, int], Runs] = field(default_factory=dict)
    _told_unread: dict[Line, dict[str, Duty]] = field(default_factory=dict)

    # --- hand-overs and answers -------------------------------------------------------------------------------------

    def answered(self, party: str, one: Numbered) -> bool:
        """Say whether a party's waiting for a report is over."""
        runs = self._answered.get((party, one.expires_at // DAY_MS))
        return runs is not None and one.number in runs

    def note_answered(self, party: str, reports: Iterable[Numbered]) -> None:
        """Take note that a party's waiting for reports is over."""
        for one in reports:
            self._answered.setdefault((party, one.expires_at // DAY_MS), Runs()).add(one.number)

    def all_answered(self, party: str, run: Run) -> bool:
        """Say whether a party's waiting for every report of a run is over."""
        runs = self._answered.get((party, run.day))
        return runs is not None and runs.has_span(run.first, run.last)

    def answer_run(self, party: str, run: Run) -> bool:
        """Take the answers to every report of a run; say False, and change nothing, where each is to be looked at by itself."""
        if self.owed or self.missed:
            return False
        self._answered.setdefault((party, run.day), Runs()).add_span(run.first, run.last)
        return True

    def owe(self, document: Document, report: str, duties: list[Duty]) -> None:
        """Take up what one party owes about a report, under the text that governs."""
        for duty in duties:
            self.owed.setdefault((duty.owner, report), []).append(duty)
            if duty.kind is DutyKind.READ:
                continue
            heapq.heappush(self.late, (duty.due_ms, duty.id, duty.owner, report))
            stop = stops_at(document, duty)
            if stop is not None:
                heapq.heappush(self.stops.setdefault((duty.owner, duty.clause_id), []), (stop, report))

    def answer(self, party: str, one: Numbered, at_ms: int, *, given: bool) -> None:
        """Take what ended a party's waiting for a report: its answer, or what made an answer impossible."""
        line = (party, one.report)
        owed = self.owed.pop(line, [])
        if given or owed:
            self.note_answered(party, [one])
        if not given:
            undone = [duty for duty in owed if duty.kind is not DutyKind.READ or not self.was_read(party, one)]
            if undone:
                self.missed[line] = (one.expires_at, undone)
            self.ended += [Tracked(duty, DutyState.MISSED) for duty in undone]
            return
        _, missed = self.missed.pop(line, (0, []))
        self.ended = [ended for ended in self.ended if ended.duty not in missed]
        done = [duty for duty in (*owed, *missed) if duty.kind is not DutyKind.READ]
        self.ended += [Tracked(duty, DutyState.DONE, at_ms) for duty in done if duty.id in self.told]

    def was_read(self, party: str, one: Numbered) -> bool:
        """Say whether an officer of a party read a report."""
        runs = self._read.get((party, one.expires_at // DAY_MS))
        return runs is not None and one.number in runs

    def read(self, party: str, reports: Iterable[Numbered], at_ms: int) -> None:
        """Take that an officer of a party read reports, or acted on them."""
        for one in reports:
            if self.was_read(party, one):
                continue
            self._read.setdefault((party, one.expires_at // DAY_MS), Runs()).add(one.number)
            line = (party, one.report)
            self.ended = [ended for ended in self.ended if not _is_reading(ended.duty, line)]
            told = self._told_unread.get(line, {}).values()
            self.ended += [Tracked(duty, DutyState.DONE, at_ms) for duty in told]

    def stopped(self, party: str, now_ms: int) -> frozenset[str]:
        """Give the clauses under which a party is late beyond the limit."""
        found = set()
        for (owner, clause_id), heap in self.stops.items():
            if owner != party:
                continue
            while heap and (party, heap[0][1]) not in self.owed:
                heapq.heappop(heap)
            if heap and now_ms > heap[0][0]:
                found.add(clause_id)
        return frozenset(found)

    # --- telling ----------------------------------------------------------------------------------------------------

    def note(self, told: ToldOf) -> None:
        """Take note that the log was told of a duty."""
        self.ended = [one for one in self.ended if (ENDED[one.state], one.duty.id) != (told.kind, told.duty.id)]
        duty = told.duty
        line = (duty.owner, duty.subject)
        if told.kind is EventKind.DUTY_DONE:
            self.told.pop(duty.id, None)
            if duty.kind is DutyKind.READ:
                self._told_unread.pop(line, None)
            return
        self.told[duty.id] = told
        if duty.kind is DutyKind.READ:
            self._told_unread.setdefault(line, {})[duty.id] = duty

    def late_answers(self, now_ms: int) -> list[Tracked]:
        """Give the answers that are overdue and of which the log was not told; they are given again until it was."""
        found, again = [], []
        while self.late and self.late[0][0] < now_ms:
            line = heapq.heappop(self.late)
            _, duty_id, party, report = line
            untold = [
                duty for duty in self.owed.get((party, report), ()) if duty.id == duty_id and duty_id not in self.told
            ]
            found += [Tracked(duty, DutyState.OVERDUE) for duty in untold]
            again += [line] * len(untold)
        for line in again:
            heapq.heappush(self.late, line)
        return found

    def forget(self, now_ms: int) -> None:
        """Forget what cannot matter any more, by rules 1 and 2."""
        today = now_ms // DAY_MS
        self._answered = {key: runs for key, runs in self._answered.items() if key[1] >= today}
        # The time to read may end after the report does.
        self._read = {key: runs for key, runs in self._read.items() if key[1] >= today - TELLING_MS // DAY_MS}
        self._forget_unread(now_ms)
        self.missed = {line: missed for line, missed in self.missed.items() if missed[0] > now_ms}
        if len(self.late) > _SLACK + 4 * len(self.owed):
            self.late = [line for line in self.late if line[2:] in self.owed]
            heapq.heapify(self.late)
        for (party, clause_id), heap in self.stops.items():
            if len(heap) > _SLACK + 4 * len(self.owed):
                self.stops[party, clause_id] = [one for one in heap if (party, one[1]) in self.owed]
                heapq.heapify(self.stops[party, clause_id])

    def _forget_unread(self, now_ms: int) -> None:
        over = [
            (line, duty)
            for line, duties in self._told_unread.items()
            for duty in duties.values()
            if duty.due_ms + TELLING_MS < now_ms
        ]
        for line, duty in over:
            self.told.pop(duty.id, None)
            self._told_unread.pop(line, None)


def _is_reading(duty: Duty, line: Line) -> bool:
    return duty.kind is DutyKind.READ and (duty.owner, duty.subject) == line


def keeps(duty: Duty) -> bool:
    """Say whether a duty is the end of a keeping, which the entry of the hand-over itself is looked at for."""
    return duty.kind is DutyKind.END_KEEPING
