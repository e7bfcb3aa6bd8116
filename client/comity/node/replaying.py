"""Replaying a log: its decisions taken again from what it holds, and held against what it says itself (design 02).

Rules in order:
1. Entries come in their order, from the first. That entries, bodies and manifests are what was signed says `comity.verify`.
2. The state that each decision should have been made under is folded from the log's own steps before its entry, at the time of the
   decision, the umbrella's from its own log (`logged_life`); facts that the log knows itself are worked out again (`logged_facts`).
3. Where an entry holds decisions for several parties, those of the originator's party are read: they are for every recipient.
4. What became of a report follows from its decision: what was admitted was permitted something, what was refused by policy nothing.
5. What was not presented is a gap, by name, and the rest goes on. A report whose profile nobody presented is counted as not replayed.
   A recipient's party has those of the reports that its nodes were handed, and of no other: what it cannot replay is counted
   apart, and is no gap, as is a decision that a partner's caveat may have touched.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from comity.envelope.evidence import SlotCode
from comity.errors import VerificationError
from comity.node.decision_records import RecordReader
from comity.node.logged_abilities import with_abilities
from comity.node.logged_entries import SUBMISSIONS, LoggedEntry, slots_in
from comity.node.logged_exercise import ExerciseLife, Played
from comity.node.logged_facts import LoggedFacts
from comity.node.logged_life import LoggedLife, LoggedUmbrella, folded_state
from comity.node.logged_offices import Offices
from comity.node.logged_texts import Texts
from comity_policy.document import Document
from comity_policy.recorded import Difference, Folded, Gap, Missing, Recorded, Under, What
from comity_policy.replay import Replayer, Second, Told, Verdict
from comity_policy.what_if import Change, WhatIf

_NO_MANIFEST: Final = Gap(Missing.MANIFEST, "its signed manifest")
_BY_POLICY: Final = frozenset({None, SlotCode.POLICY, SlotCode.STANZAS})
_CAVEAT_ADDED: Final = "AGREEMENT_CAVEAT_ADDED"
# How often each way to come out is counted; every report that was decided is in exactly one of them.
IDENTICAL: Final = "decisions identical"
AS_PRESENTED: Final = "decisions identical as far as was presented"
BUT_FOR_CAVEATS: Final = "decisions identical but for a caveat not shown"
DIFFERENT: Final = "decisions different"
NOT_REPLAYED: Final = "decisions not replayed"
NOT_HANDED: Final = "decisions of reports that this party was not handed"
GAPS: Final = (AS_PRESENTED, NOT_REPLAYED)
_EVERY: Final = (IDENTICAL, AS_PRESENTED, BUT_FOR_CAVEATS, DIFFERENT, NOT_REPLAYED, NOT_HANDED)


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of one entry's decisions.

    `told` has one for each report that was decided again, `unknown` the slots that could not be, `kept` those that could not be by a
    recipient's party, which was not handed them. `changes` are what another text would have changed, where one was asked about.
    """

    log_index: int
    told: tuple[Told, ...]
    unknown: tuple[int, ...] = ()
    kept: tuple[int, ...] = ()
    changes: tuple[Change, ...] = ()

    def counts(self) -> Counter[str]:
        """Give how many reports came out how, each way to come out among them."""
        found = Counter(dict.fromkeys(_EVERY, 0))
        found.update(_counted_as(one) for one in self.told)
        found[NOT_REPLAYED] += len(self.unknown)
        found[NOT_HANDED] += len(self.kept)
        return found

    def lines(self) -> Iterator[str]:
        """Tell what differs, the same difference of several reports once."""
        return self._lines((one.slot, each) for one in self.told for each in one.differences)

    def gaps(self) -> Iterator[str]:
        """Tell what was not presented, the same of several reports once."""
        return self._lines(self._missing())

    def missing(self) -> Counter[Gap]:
        """Give what was not presented, and of how many reports it was missing."""
        return Counter(gap for _, gap in self._missing())

    def _missing(self) -> Iterator[tuple[int, Gap]]:
        yield from ((one.slot, each) for one in self.told for each in one.gaps)
        yield from ((slot, _NO_MANIFEST) for slot in self.unknown)

    def _lines(self, found: Iterable[tuple[int, Difference | Gap]]) -> Iterator[str]:
        slots: dict[tuple[str, str], list[int]] = {}
        for slot, one in found:
            slots.setdefault((one.what.value, one.words), []).append(slot)
        for (what, words), named in slots.items():
            where = ", ".join(map(str, named[:8])) + (f" and {len(named) - 8} more" if len(named) > 8 else "")
            yield f"entry {self.log_index}, slot {where}: {what}: {words}"


def _counted_as(one: Told) -> str:
    match one.verdict:
        case Verdict.IDENTICAL:
            return IDENTICAL
        case Verdict.DIFFERENT:
            return DIFFERENT
        case Verdict.UNKNOWN:
            return NOT_REPLAYED
        case Verdict.OPEN:
            return AS_PRESENTED if one.gaps else BUT_FOR_CAVEATS


class LogReplay:
    """Replays the entries of one agreement's log, which come in their order.

    `umbrellas` are the logs of umbrellas, by origin; `offices` says who was in office by the key log, None where that is not here.
    `played` is the agreement of an exercise, where the log is that of one.
    """

    def __init__(
        self,
        texts: Texts,
        *,
        draft: Document | None = None,
        second: Second = Second.ANSWER,
        umbrellas: Mapping[str, LoggedLife] | None = None,
        offices: Offices | None = None,
        played: Played | None = None,
    ) -> None:
        self._texts = texts
        self._reader = RecordReader()
        self._second = second
        self._draft = draft
        self._offices = offices
        self._replayer = Replayer(texts.held(), second)
        self._what_if = None if draft is None else WhatIf(texts.held(), draft)
        self._exercise = None if played is None else ExerciseLife(played)
        self._life = LoggedLife(texts) if played is None else played.life
        self._umbrella = LoggedUmbrella(umbrellas or {})
        self._facts = LoggedFacts(self._life, texts.documents, offices, exercise=played is not None)
        self._known: tuple[tuple[int, int], Under, tuple[Difference | Gap, ...]] | None = None

    def take(self, entry: LoggedEntry) -> Replayed | None:
        """Take the next entry; give what came of its decisions, None where it has none. Raises VerificationError."""
        try:
            return self._take(entry)
        except VerificationError as error:
            raise VerificationError(
                f"entry {entry.log_index}: {error.message}", what_to_do=error.what_to_do, code=error.code
            ) from error

    def _take(self, entry: LoggedEntry) -> Replayed | None:
        if self._exercise is None:
            self._take_caveat(entry)
            self._life.take(entry)
            self._umbrella.take(entry)
        else:
            for one in self._exercise.take(entry):
                self._take_caveat(one)
                self._umbrella.take(one)
        self._facts.take(entry)
        if entry.kind not in SUBMISSIONS or not entry.shared:
            return None
        return self._replayed(entry)

    def _take_caveat(self, entry: LoggedEntry) -> None:
        """Take the caveat that an entry's own body shows. Where a text is missing it may be on that one, and stays unread."""
        if entry.kind != _CAVEAT_ADDED:
            return
        for own in entry.own.values():
            if own.get("caveat"):
                on_one = self._texts.add_caveat(bytes.fromhex(own["caveat"]), bytes.fromhex(own["salt"]))
                if not on_one and not isinstance(self._life.state(entry.log_index, 0), Gap):
                    raise VerificationError("a caveat in the log is on none of the texts that were presented")
        self._replayer = Replayer(self._texts.held(), self._second)
        self._what_if = None if self._draft is None else WhatIf(self._texts.held(), self._draft)

    def _replayed(self, entry: LoggedEntry) -> Replayed:
        party = entry.shared["actor"]["party"]
        readers = [party] if entry.own.get(party) else sorted(entry.own)
        decisions = {reader: self._reader.decisions(entry.own[reader]) for reader in readers}
        slots = entry.shared["slots"]
        if any(last >= slots for said in decisions.values() for one in said for _, last in one["slots"]):
            raise VerificationError("a decision covers a slot that its segment does not have")
        under = self._reader.under(entry.shared)
        source = self._replayer.source(under)
        self._facts.begin(entry, source, decisions)
        told: dict[int, Told] = {}
        unknown: list[int] = []
        changes: list[Change] = []
        for reader, said in ((name, one) for name in readers for one in decisions[name]):
            folded, known = self._folded(entry, under, said["moment"]["now"])
            attested = entry.own[reader]["attested"]
            recorded, missing = self._reader.decision(folded, said, entry.manifests.get, attested)
            unknown += missing
            if recorded is not None:
                recorded = self._facts.compare(entry, reader, said, recorded, source, known)
                _add(told, self._replayer.replay(recorded))
                changes += self._changes(entry, recorded)
        self._facts.end(entry, source)
        _add(told, (Told(slot, Verdict.DIFFERENT, (wrong,)) for slot, wrong in _outcomes(entry, decisions)))
        unknown = [slot for slot in unknown if slot not in told]
        lacking, kept = (unknown, ()) if party in readers else ((), unknown)
        found = tuple(told[slot] for slot in sorted(told))
        return Replayed(entry.log_index, found, tuple(lacking), tuple(kept), tuple(changes))

    def _folded(self, entry: LoggedEntry, under: Under, now_ms: int) -> tuple[Under, tuple[Difference | Gap, ...]]:
        """Give what a decision says it was made under with what the log's own steps before it amount to, and what could not be held."""
        place = entry.log_index, now_ms
        if self._known is None or self._known[0] != place:
            folded, found = self._amounts_to(*place)
            self._known = place, under if folded is None else replace(under, folded=folded), found
        return self._known[1:]

    def _amounts_to(self, before: int, now_ms: int) -> tuple[Folded | None, tuple[Difference | Gap, ...]]:
        state = (self._exercise or self._life).state(before, now_ms)
        if isinstance(state, Gap):
            return None, (state,)
        above, late = self._umbrella.at(now_ms) if state.document.under is not None else (None, ())
        late = (*late, *(() if self._exercise is None else self._exercise.late(now_ms)))
        return folded_state(state, above), (*late, above) if isinstance(above, Gap) else late

    def _changes(self, entry: LoggedEntry, recorded: Recorded) -> Iterator[Change]:
        if self._what_if is None:
            return iter(())
        # The draft may set a floor where nobody asked for one then.
        return self._what_if.changes(with_abilities(self._offices, entry, recorded))


def _add(told: dict[int, Told], found: Iterable[Told]) -> None:
    """Add what came of reports; of one whose decision was told to several parties, or differs in more ways, it is put together."""
    for one in found:
        known = told.setdefault(one.slot, one)
        if known is not one:
            told[one.slot] = _both(known, one)


def _both(first: Told, second: Told) -> Told:
    verdict = max(first.verdict, second.verdict, key=list(Verdict).index)
    differences = tuple(dict.fromkeys((*first.differences, *second.differences)))
    gaps = tuple(dict.fromkeys((*first.gaps, *second.gaps)))
    return Told(first.slot, verdict, differences, gaps, tuple(sorted({*first.unread, *second.unread})))


def _outcomes(
    entry: LoggedEntry, decisions: Mapping[str, Sequence[Mapping[str, Any]]]
) -> Iterator[tuple[int, Difference]]:
    """Hold what became of each slot against its decision: rule 4."""
    codes = {**dict.fromkeys((slot for slot, _ in entry.shared["duplicates"]), 0), **dict(entry.shared["refusals"])}
    whole = entry.shared["actor"]["party"] in decisions
    times, some = Counter[int](), set[int]()
    for said in (one for found in decisions.values() for one in found):
        slots = slots_in(said["slots"])
        times.update(slots)
        some.update(slots if any(one["portions"] for one in said["recipients"]) else ())
    count = min(entry.shared["slots"], 256)
    if whole and len(times) == times.total() == count:
        refused = dict.fromkeys((slot for slot in range(count) if slot not in some), int(SlotCode.POLICY))
        if codes == refused:
            # As nearly always: one decision of each, and those refused by policy are those that nothing was permitted of.
            return
    for slot in range(count):
        code = codes.get(slot)
        if whole and times[slot] != 1 and code in _BY_POLICY:
            yield slot, Difference(What.OUTCOME, f"{times[slot]} decisions are recorded of it")
        elif code == SlotCode.POLICY and slot in some:
            yield slot, Difference(What.OUTCOME, "it was refused by policy, and its decision permits something of it")
        elif whole and slot not in some and code in (None, SlotCode.STANZAS):
            was = "admitted" if code is None else "refused for its stanzas alone"
            yield slot, Difference(What.OUTCOME, f"it was {was}, and its decision permits nothing of it")
