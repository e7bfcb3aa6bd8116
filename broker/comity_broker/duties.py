"""The ledger of duties: what is owed under each agreement, followed from its log (`comity_policy.obligations` says what follows).

Rules in order:
1. The ledger follows each log from its beginning, entry by entry, also at a start: what was handed over, what was answered, and which
   duties the log has told of already. Nothing else is stored, so nothing can contradict the log.
2. What decisions ask (`emergency`, `overdue`) is answered from memory in a time that does not grow with what is owed. A declaration
   counts from its commit as long as its officer and key do; an answer counts once it was followed, a beat later: the later the stricter.
3. A hand-over owes once per party. That it was answered is remembered until the report expired: nothing is handed over later.
4. The end of a keeping, and of the time to read, is looked at when it is due, by reading the entry of the hand-over again: a million
   reports that are kept, or that nobody has read, cost one line of memory for each time they were handed over together. That
   something was not read is told within 30 days, and not of what expired 30 days ago.
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
from comity_broker.duty_book import ENDED, TELLING_MS, Book, ToldOf, keeps
from comity_broker.ledger import Ledger
from comity_broker.log_facts import FOLLOWED, TELLING, Followed, LogFacts, Spoken, SpokenReport
from comity_broker.standing import Standing
from comity_broker.storage.protocol import Reader
from comity_policy.act_rules import valid_declaration
from comity_policy.acts import Act, ActKind
from comity_policy.clauses import Acknowledge
from comity_policy.holds import Holds
from comity_policy.obligations import (
    Duty,
    DutyKind,
    DutyState,
    Handover,
    Tracked,
    done_by,
    duties_of_cases,
    duties_of_handover,
    key_of,
    tracked,
)
from comity_policy.state import State
from comity_policy.texts import later_for_held

# What a page says is held whole while it is read: with few entries that is little. Of a window its entries' kinds are known.
_PAGE: Final = 16
_WINDOW: Final = 512
_HELD_AGAIN_MS: Final = 3_600_000
_KEEPINGS_A_LOOK: Final = 256
_ENTRIES_A_LOOK: Final = 64
Change = tuple[EventKind, Tracked]


@dataclass(slots=True)
class Duties:
    """The ledger of one broker; what decisions ask of it is `comity_broker.deciding.Attested`."""

    ledger: Ledger
    acts: Acts
    reader: Reader
    _books: dict[str, Book] = field(default_factory=dict)
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
        return book.stopped(party, now_ms)

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
        book = self._books.setdefault(agreement_id, Book())
        facts = LogFacts(self.reader, agreement_id, standing.parties)
        while entries := await self.reader.entries(agreement_id, book.cursor, _WINDOW):
            kinds = {entry.log_index: entry.kind for entry in entries if entry.kind in FOLLOWED}
            for page in _pages(kinds):
                for followed in await facts.read(page):
                    await self._take(book, standing, followed, facts)
            book.cursor = entries[-1].log_index + 1

    async def _take(self, book: Book, standing: Standing, followed: Followed, facts: LogFacts) -> None:
        for told in followed.told:
            book.note(told)
        for spoken in followed.ended:
            await _take_ended(book, followed, spoken, facts)
        book.read(followed.party, followed.read, followed.at_ms)
        if followed.handed:
            await _take_handed(book, standing, followed, facts)

    # --- telling ----------------------------------------------------------------------------------------------------

    async def changes(self, agreement_id: str, now_ms: int, *, time_counts: bool = True) -> tuple[Change, ...]:
        """Give what the log is to be told of, after `follow`; without `time_counts` nothing that only time brought about."""
        book, standing = self._books.setdefault(agreement_id, Book()), self.ledger.require(agreement_id)
        state, above = standing.state(now_ms), standing.umbrella_state(now_ms)
        known = tuple(self.acts.of(agreement_id))
        book.forget(now_ms)
        found = [
            change
            for one in duties_of_cases(state, known, above)
            if (change := _changed(one, book.told.get(one.duty.id))) is not None
        ]
        found += [(ENDED[one.state], one) for one in book.ended]
        if time_counts:
            found += [(EventKind.DUTY_OVERDUE, one) for one in book.late_answers(state.now_ms)]
            found += [(EventKind.DUTY_OVERDUE, one) for one in await self._unread(book, state, above)]
            found += [(EventKind.DUTY_OVERDUE, one) for one in await self._ended_keepings(book, state, above, known)]
        found += [(EventKind.DUTY_DONE, one) for one in _ended_late(book, state, known)]
        return tuple(one for one in found if time_counts or one[0] is not EventKind.DUTY_OVERDUE)

    def told(self, agreement_id: str, changes: Iterable[Change]) -> None:
        """Take note that the log was told; following it later changes nothing more."""
        book = self._books[agreement_id]
        for kind, one in changes:
            book.note(ToldOf(kind, one.duty))

    async def _unread(self, book: Book, state: State, above: State | None) -> list[Tracked]:
        """Give what was to be read by now and was not; it is given again until the log was told."""
        ready: list[tuple[int, int]] = []
        while book.unread and book.unread[0][0] < state.now_ms and len(ready) < _ENTRIES_A_LOOK:
            ready.append(heapq.heappop(book.unread))
        if not ready:
            return []
        facts = LogFacts(self.reader, state.document.id, sorted(state.document.parties))
        try:
            read = await _read_handed(facts, ready)
        except ComityError:
            for line in ready:
                heapq.heappush(book.unread, line)
            raise
        found: dict[str, Tracked] = {}
        for followed, places in read:
            waiting: list[int] = []
            for place in places:
                if book.was_read(followed.party, place.numbered) or place.row.expires_at + TELLING_MS < state.now_ms:
                    continue
                for duty in _readings(state, above, followed.handover(place)):
                    if duty.id in book.told or duty.due_ms + TELLING_MS < state.now_ms:
                        continue
                    waiting.append(duty.due_ms)
                    if duty.due_ms < state.now_ms:
                        found[duty.id] = Tracked(duty, DutyState.OVERDUE)
            if waiting:
                heapq.heappush(book.unread, (min(waiting), followed.log_index))
        return list(found.values())

    async def _ended_keepings(
        self, book: Book, state: State, above: State | None, acts: Sequence[Act]
    ) -> list[Tracked]:
        over = _over(state) if above is None else _over(state) | _over(above)
        if over != book.over:
            # What was kept for longer may be due with the agreement's end, a party's leaving, or a version for what is held: all
            # of it is looked at, once.
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
            read = await _read_handed(facts, ready)
        except ComityError:
            for line in ready:
                heapq.heappush(book.keeping, line)
            raise
        for followed, places in read:
            again: list[int] = []
            for duty in (one for place in places for one in _keepings(state, above, followed.handover(place))):
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


async def _read_handed(facts: LogFacts, lines: Iterable[tuple[int, int]]) -> list[tuple[Followed, list[SpokenReport]]]:
    """Read the hand-overs that lines name by their entries again, and the reports of each."""
    kinds = dict.fromkeys((index for _, index in lines), EventKind.DELIVERED.value)
    return [(followed, await facts.reports(followed.handed)) for followed in await facts.read(kinds)]


async def _take_ended(book: Book, followed: Followed, spoken: Spoken, facts: LogFacts) -> None:
    run = spoken.run if followed.given and not followed.taken_back else None
    if run is not None and book.answer_run(followed.party, run):
        return
    numbered = [one.numbered for one in await facts.reports([spoken])]
    for one in numbered:
        book.answer(followed.party, one, followed.at_ms, given=followed.given)
    if followed.taken_back:
        book.read(followed.party, numbered, followed.at_ms)


async def _take_handed(book: Book, standing: Standing, followed: Followed, facts: LogFacts) -> None:
    state, above = standing.state(followed.at_ms), standing.umbrella_state(followed.at_ms)
    document = state.governing(followed.at_ms).document
    keeping: list[int] = []
    unread: list[int] = []
    for spoken in followed.handed:
        duties = list(duties_of_handover(state, followed.together(spoken), above))
        keeping += [duty.due_ms for duty in duties if keeps(duty)]
        unread += [duty.due_ms for duty in duties if duty.kind is DutyKind.READ]
        if all(map(keeps, duties)) or ((run := spoken.run) is not None and book.all_answered(followed.party, run)):
            continue
        for one in await facts.reports([spoken]):
            numbered = one.numbered
            if not book.answered(followed.party, numbered) and (followed.party, numbered.report) not in book.owed:
                handover = followed.handover(one)
                owed = [duty for duty in duties_of_handover(state, handover, above) if not keeps(duty)]
                book.owe(document, handover.report, owed)
    for lines, dues in ((book.keeping, keeping), (book.unread, unread)):
        if dues:
            heapq.heappush(lines, (min(dues), followed.log_index))


async def _holds(book: Book, state: State, facts: LogFacts) -> Holds:
    """Give what the open disputes hold; an entry never changes, so each is read once."""
    asked = state.holds().entries
    if unread := asked - book.spoken.keys():
        book.spoken.update(await facts.speaking(unread))
    return state.holds(book.spoken) if asked else state.holds()


def _pages(kinds: Mapping[int, str]) -> Iterator[dict[int, str]]:
    """Give entries in pages: answers first, so that what was answered soon is never owed in memory.

    Where the log was told of duties between them they come in its order: an answer says something else of such a duty.
    """
    order = sorted(kinds)
    if not TELLING.intersection(kinds.values()):
        order.sort(key=lambda index: kinds[index] != EventKind.ACKNOWLEDGED)
    for first in range(0, len(order), _PAGE):
        yield {index: kinds[index] for index in order[first : first + _PAGE]}


def _changed(one: Tracked, told: ToldOf | None) -> Change | None:
    if told is None:
        if one.state is DutyState.DONE:
            return None
        return (EventKind.DUTY_OVERDUE if one.state is DutyState.OVERDUE else EventKind.DUTY_DUE), one
    if one.state is DutyState.DONE:
        return EventKind.DUTY_DONE, one
    late = one.state is DutyState.OVERDUE and told.kind is EventKind.DUTY_DUE
    return (EventKind.DUTY_OVERDUE, one) if late else None


def _ended_late(book: Book, state: State, acts: Sequence[Act]) -> list[Tracked]:
    keepings = [told.duty for told in book.told.values() if keeps(told.duty)]
    if not keepings:
        return []
    done: Mapping[tuple[DutyKind, str, str], int] = done_by(acts, (), state.now_ms)
    return [Tracked(duty, DutyState.DONE, at) for duty in keepings if (at := done.get(key_of(duty))) is not None]


def _keepings(state: State, above: State | None, handover: Handover) -> Iterator[Duty]:
    return (duty for duty in duties_of_handover(state, handover, above) if keeps(duty))


def _readings(state: State, above: State | None, handover: Handover) -> Iterator[Duty]:
    return (duty for duty in duties_of_handover(state, handover, above) if duty.kind is DutyKind.READ)


def _over(state: State) -> frozenset[str]:
    """Give what may end keepings sooner: the parties for which an agreement is over, the versions that apply to what is held."""
    stricter = {one.digest for one in later_for_held(state, state.governed[0])} if state.governed else set[str]()
    return frozenset(state.document.parties if state.ended else state.departed).union(stricter)
