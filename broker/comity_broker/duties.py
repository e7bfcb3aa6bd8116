"""The ledger of duties: what is owed under each agreement, followed from its log (`comity_policy.obligations` says what follows).

Rules in order:
1. The ledger follows each log from its beginning, entry by entry, also at a start: what was handed over, what was answered, and which
   duties the log has told of already. Nothing else is stored, so nothing can contradict the log.
2. What decisions ask (`emergency`, `overdue`) is answered from memory in a time that does not grow with what is owed. A declaration
   counts from its commit as long as its officer and key do; an answer counts once it was followed, a beat later: the later the stricter.
3. A hand-over owes once per party. That it was answered is remembered until the report expired: nothing is handed over later.
4. The end of a keeping is looked at when it is due, by reading the entry of the hand-over again: a million reports that are kept cost
   one line of memory for each time they were handed over together.
5. Each duty is told of at most once each way: DUTY_DUE when people have something to do (not for answers and keepings, which
   their reports' entries say), DUTY_OVERDUE when its time is over, DUTY_DONE when one that was told of was done, DUTY_MISSED when
   its report expired or was given up without an answer: it stops nothing then, since nothing could be given any more.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from comity.errors import ComityError
from comity_broker.acts import Acts
from comity_broker.auditlog.kinds import EventKind
from comity_broker.ledger import Ledger
from comity_broker.log_facts import FOLLOWED, Followed, LogFacts, ToldOf
from comity_broker.storage.protocol import Reader
from comity_policy.act_rules import valid_declaration
from comity_policy.acts import Act, ActKind
from comity_policy.clauses import Acknowledge
from comity_policy.holds import Holds
from comity_policy.obligations import (
    Answer,
    Duty,
    DutyKind,
    DutyState,
    Handover,
    Tracked,
    done_by,
    duties_of_cases,
    duties_of_handover,
    key_of,
    stops_at,
    tracked,
)
from comity_policy.state import State

# What a page says is held whole while it is read: with few entries that is little.
_PAGE: Final = 16
_REMEMBERED: Final = 16_384
_HELD_AGAIN_MS: Final = 3_600_000
_KEEPINGS_A_LOOK: Final = 256
_ENDED: Final = {DutyState.DONE: EventKind.DUTY_DONE, DutyState.MISSED: EventKind.DUTY_MISSED}
Change = tuple[EventKind, Tracked]


@dataclass(slots=True)
class _Book:
    """What is known of one agreement; of a report by (party, report), with when it expires.

    `stops` has by (party, clause) when undone answers stop what is not urgent, `late` when they are overdue; `keeping` has when a
    hand-over's reports are to be destroyed, and its entry. `told` are the duties that the log was told of, by their ids; `missed`
    what can only be done by another node of the party that has the report; `ended` what the log is to be told of next. `spoken` has
    which reports those entries speak of that disputes name.
    """

    cursor: int = 0
    owed: dict[tuple[str, str], tuple[int, list[Duty]]] = field(default_factory=dict)
    stops: dict[tuple[str, str], list[tuple[int, str]]] = field(default_factory=dict)
    late: list[tuple[int, str, str, str]] = field(default_factory=list)
    answered: dict[tuple[str, str], int] = field(default_factory=dict)
    keeping: list[tuple[int, int]] = field(default_factory=list)
    over: frozenset[str] = frozenset()
    crowded: int = _REMEMBERED
    told: dict[str, ToldOf] = field(default_factory=dict)
    missed: dict[tuple[str, str], list[Duty]] = field(default_factory=dict)
    ended: list[Tracked] = field(default_factory=list)
    spoken: dict[int, frozenset[str]] = field(default_factory=dict)


@dataclass(slots=True)
class Duties:
    """The ledger of one broker; what decisions ask of it is `comity_broker.deciding.Attested`."""

    ledger: Ledger
    acts: Acts
    reader: Reader
    _books: dict[str, _Book] = field(default_factory=dict)
    _declared: dict[tuple[str, bytes], Act] = field(default_factory=dict)
    _seen: dict[str, int] = field(default_factory=dict)

    # --- what decisions ask -----------------------------------------------------------------------------------------

    def emergency(self, agreement_id: str, declaration: bytes, party: str, now_ms: int) -> bool:
        """Say whether a logged declaration of `party` with that digest is valid at the time, and its officer in office now."""
        acts = self.acts.of(agreement_id)
        for act in acts[self._seen.get(agreement_id, 0) :]:
            if act.kind is ActKind.DECLARE:
                self._declared[agreement_id, bytes.fromhex(act.digest)] = act
        self._seen[agreement_id] = len(acts)
        declared = self._declared.get((agreement_id, declaration))
        if declared is None or not valid_declaration(declared, party, now_ms):
            return False
        return self.acts.counts(declared, now_ms)

    def overdue(self, agreement_id: str, party: str, now_ms: int) -> frozenset[str]:
        """Give the acknowledge clauses under which that party is late beyond the limit."""
        book = self._books.get(agreement_id)
        if book is None:
            return frozenset()
        found = set()
        for (owner, clause_id), heap in book.stops.items():
            if owner != party:
                continue
            while heap and (party, heap[0][1]) not in book.owed:
                heapq.heappop(heap)
            if heap and now_ms > heap[0][0]:
                found.add(clause_id)
        return frozenset(found)

    # --- following --------------------------------------------------------------------------------------------------

    async def read_back(self) -> None:
        """Follow, before anything is admitted, the logs of agreements under which a late answer stops what is sent."""
        for standing in self.ledger.standings():
            clauses = (one for version in standing.state(0).versions for one in version.document.clauses)
            if any(isinstance(one, Acknowledge) and one.stop_after is not None for one in clauses):
                await self.follow(standing.agreement_id)

    async def follow(self, agreement_id: str) -> None:
        """Read what the log has gained; raises StorageError."""
        standing = self.ledger.require(agreement_id)
        book = self._books.setdefault(agreement_id, _Book())
        facts = LogFacts(self.reader, agreement_id, standing.parties)
        while entries := await self.reader.entries(agreement_id, book.cursor, _PAGE):
            kinds = {entry.log_index: entry.kind for entry in entries if entry.kind in FOLLOWED}
            for followed in await facts.read(kinds):
                self._take(book, standing.state(followed.at_ms), followed)
            book.cursor = entries[-1].log_index + 1

    def _take(self, book: _Book, state: State, followed: Followed) -> None:
        for told in followed.told:
            _note(book, told)
        for handover, expires_at in followed.handovers:
            self._handed(book, state, handover, expires_at)
        for answer in followed.answers:
            _answer(book, answer)
        if followed.handovers:
            dues = [duty.due_ms for one, _ in followed.handovers for duty in _keepings(state, one)]
            if dues:
                heapq.heappush(book.keeping, (min(dues), followed.log_index))

    def _handed(self, book: _Book, state: State, handover: Handover, expires_at: int) -> None:
        key = (handover.recipient, handover.report)
        if key in book.answered or key in book.owed:
            return
        owed = [duty for duty in duties_of_handover(state, handover) if duty.kind is not DutyKind.END_KEEPING]
        if not owed:
            return
        book.owed[key] = (expires_at, owed)
        document = state.governing(handover.at_ms).document
        for duty in owed:
            heapq.heappush(book.late, (duty.due_ms, duty.id, *key))
            stop = stops_at(document, duty)
            if stop is not None:
                heapq.heappush(book.stops.setdefault((duty.owner, duty.clause_id), []), (stop, handover.report))

    # --- telling ----------------------------------------------------------------------------------------------------

    async def changes(self, agreement_id: str, now_ms: int, *, time_counts: bool = True) -> tuple[Change, ...]:
        """Give what the log is to be told of, after `follow`; without `time_counts` nothing that only time brought about."""
        book, state = self._books.setdefault(agreement_id, _Book()), self.ledger.require(agreement_id).state(now_ms)
        known = tuple(self.acts.of(agreement_id))
        _forget(book, now_ms)
        found = [
            change
            for one in duties_of_cases(state, known)
            if (change := _changed(one, book.told.get(one.duty.id))) is not None
        ]
        found += [(_ENDED[one.state], one) for one in book.ended]
        if time_counts:
            found += [(EventKind.DUTY_OVERDUE, one) for one in _late_answers(book, state)]
            found += [(EventKind.DUTY_OVERDUE, one) for one in await self._ended_keepings(book, state, known)]
        found += [(EventKind.DUTY_DONE, one) for one in _ended_late(book, state, known)]
        return tuple(one for one in found if time_counts or one[0] is not EventKind.DUTY_OVERDUE)

    def told(self, agreement_id: str, changes: Iterable[Change]) -> None:
        """Take note that the log was told; following it later changes nothing more."""
        book = self._books[agreement_id]
        for kind, one in changes:
            _note(book, ToldOf(kind, one.duty))

    async def _ended_keepings(self, book: _Book, state: State, acts: Sequence[Act]) -> list[Tracked]:
        over = frozenset(state.document.parties if state.ended else state.departed)
        if over != book.over:
            # What was kept for longer may be due with the agreement's end, or a party's leaving: all of it is looked at, once.
            book.over, book.keeping = over, [(0, log_index) for _, log_index in book.keeping]
        ready: list[tuple[int, int]] = []
        while book.keeping and book.keeping[0][0] < state.now_ms and len(ready) < _KEEPINGS_A_LOOK:
            ready.append(heapq.heappop(book.keeping))
        if not ready:
            return []
        done, found = done_by(acts, (), state.now_ms), []
        facts = LogFacts(self.reader, state.document.id, sorted(state.document.parties))
        try:
            holds = await _holds(book, state, facts)
            read = await facts.read(dict.fromkeys((index for _, index in ready), EventKind.DELIVERED.value))
        except ComityError:
            for line in ready:
                heapq.heappush(book.keeping, line)
            raise
        for followed in read:
            again: list[int] = []
            for duty in (one for handover, _ in followed.handovers for one in _keepings(state, handover)):
                one = tracked(duty, done.get(key_of(duty)), state, holds=holds)
                if one.state is DutyState.OVERDUE and duty.id not in book.told:
                    found.append(one)
                    again.append(0)
                elif one.state is not DutyState.DONE and duty.id not in book.told:
                    # A legal hold, or a report that is kept for longer than the others of its hand-over.
                    again.append(max(duty.due_ms, state.now_ms + _HELD_AGAIN_MS))
            if again:
                heapq.heappush(book.keeping, (min(again), followed.log_index))
        return list({one.duty.id: one for one in found}.values())


async def _holds(book: _Book, state: State, facts: LogFacts) -> Holds:
    """Give what the open disputes hold; an entry never changes, so each is read once."""
    asked = state.holds().entries
    if unread := asked - book.spoken.keys():
        book.spoken.update(await facts.speaking(unread))
    return state.holds(book.spoken) if asked else state.holds()


def _note(book: _Book, told: ToldOf) -> None:
    book.ended = [one for one in book.ended if (_ENDED[one.state], one.duty.id) != (told.kind, told.duty.id)]
    if told.kind is EventKind.DUTY_DONE:
        book.told.pop(told.duty.id, None)
    else:
        book.told[told.duty.id] = told


def _answer(book: _Book, answer: Answer) -> None:
    key = (answer.party, answer.report)
    expires_at, owed = book.owed.pop(key, (0, []))
    if owed:
        book.answered[key] = expires_at
    if not answer.given:
        if owed:
            book.missed[key] = owed
        book.ended += [Tracked(duty, DutyState.MISSED) for duty in owed]
        return
    missed = book.missed.pop(key, [])
    book.ended = [one for one in book.ended if one.duty not in missed]
    book.ended += [Tracked(duty, DutyState.DONE, answer.at_ms) for duty in (*owed, *missed) if duty.id in book.told]


def _forget(book: _Book, now_ms: int) -> None:
    """Forget which reports were answered once they expired: none of them is handed over any more."""
    if len(book.answered) > book.crowded:
        book.answered = {key: expires_at for key, expires_at in book.answered.items() if expires_at > now_ms}
        book.missed = {key: duties for key, duties in book.missed.items() if key in book.answered}
        book.crowded = max(_REMEMBERED, 2 * len(book.answered))


def _changed(one: Tracked, told: ToldOf | None) -> Change | None:
    if told is None:
        if one.state is DutyState.DONE:
            return None
        return (EventKind.DUTY_OVERDUE if one.state is DutyState.OVERDUE else EventKind.DUTY_DUE), one
    if one.state is DutyState.DONE:
        return EventKind.DUTY_DONE, one
    late = one.state is DutyState.OVERDUE and told.kind is EventKind.DUTY_DUE
    return (EventKind.DUTY_OVERDUE, one) if late else None


def _late_answers(book: _Book, state: State) -> list[Tracked]:
    """Give the answers that are overdue and of which the log was not told; they are given again until it was."""
    found, again = [], []
    while book.late and book.late[0][0] < state.now_ms:
        line = heapq.heappop(book.late)
        _, duty_id, party, report = line
        _, owed = book.owed.get((party, report), (0, ()))
        untold = [duty for duty in owed if duty.id == duty_id and duty_id not in book.told]
        found += [Tracked(duty, DutyState.OVERDUE) for duty in untold]
        again += [line] * len(untold)
    for line in again:
        heapq.heappush(book.late, line)
    return found


def _ended_late(book: _Book, state: State, acts: Sequence[Act]) -> list[Tracked]:
    keepings = [told.duty for told in book.told.values() if told.duty.kind is DutyKind.END_KEEPING]
    if not keepings:
        return []
    done: Mapping[tuple[DutyKind, str, str], int] = done_by(acts, (), state.now_ms)
    return [Tracked(duty, DutyState.DONE, at) for duty in keepings if (at := done.get(key_of(duty))) is not None]


def _keepings(state: State, handover: Handover) -> Iterator[Duty]:
    return (duty for duty in duties_of_handover(state, handover) if duty.kind is DutyKind.END_KEEPING)
